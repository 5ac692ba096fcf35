//! One connection to the broker: MQTT 5, over TCP or TLS. Its client is dropped with it.
//!
//! | what | bound | why |
//! |---|---|---|
//! | messages that wait in the client | [`QUEUE`] | the session derives the next one when there is room |
//! | messages without an acknowledgement | [`IN_FLIGHT`] | far below what brokers allow |
//! | a packet from the broker | [`PACKET_MAX`] | commands are small; the broker gets this limit |
//! | an attempt to connect | [`ATTEMPT`] | |
//! | a message that the client does not take | [`STUCK`] | the broker acknowledges nothing: another connection helps |

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use rumqttc::tokio_rustls::rustls::crypto::ring;
use rumqttc::tokio_rustls::rustls::pki_types::CertificateDer;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject as _;
use rumqttc::tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, PubAckReason, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions, StateError};
use rumqttc::{TlsConfiguration, Transport};
use tokio::time::timeout;

use super::{Message, trust};
use crate::config::{Mqtt, MqttTls};
use crate::regular;

/// A dead peer is detected after one and a half of these by the broker, after two by us.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const QUEUE: usize = 4;
const IN_FLIGHT: u16 = 16;
const PACKET_MAX: u32 = 64 * 1_024;
const ATTEMPT: Duration = Duration::from_secs(10);
const STUCK: Duration = Duration::from_secs(20);
/// The longest password file.
const PASSWORD_MAX: u64 = 4_096;

/// Why there is no connection to the broker.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A file of `[mqtt]` cannot be used.
    #[error("{key}: {path} cannot be read")]
    File {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file has something else.
    #[error("{key}: {path} {lacks}")]
    Damaged { key: &'static str, path: PathBuf, lacks: &'static str },
    /// The system has no CA certificates.
    #[error("no CA certificates on this system; set `ca` in [mqtt]")]
    NoAuthorities,
    /// The certificates cannot be used.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The broker speaks an older version.
    #[error(
        "the broker does not speak MQTT 5, which Thermowell needs, and Home Assistant from 2027.1 on; use Mosquitto \
         2 or another broker with MQTT 5"
    )]
    Version,
    /// The broker's certificate is not accepted, or it does not speak TLS.
    #[error("no TLS with the broker: {0}")]
    Untrusted(String),
    /// Closed without an answer that this version has: what a broker of 3.1.1 does.
    #[error(
        "the broker closed the connection without an answer of MQTT 5; one that speaks only 3.1.1 does that: use \
         Mosquitto 2 or another broker with MQTT 5, which Home Assistant needs too from 2027.1 on"
    )]
    NoAnswer,
    /// Unknown user, wrong password, or not allowed.
    #[error("the broker rejects our login; correct user and password_file in [mqtt], or the broker's users")]
    Login,
    /// The broker refuses the connection.
    #[error("the broker refuses the connection: {why}")]
    Refused { why: &'static str },
    /// Another client has our name.
    #[error("another client took our place at the broker; gateways on one broker need different names (`gateway`)")]
    TakenOver,
    /// The connection cannot be made, or has ended.
    #[error("{what}")]
    Ended {
        what: &'static str,
        #[source]
        source: Box<ConnectionError>,
    },
    /// No answer to a connection, or none to messages.
    #[error("the broker does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The client has stopped.
    #[error("the MQTT client has stopped")]
    Stopped,
}

impl LinkError {
    /// Whether only a change of the configuration or of its files helps.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Damaged { .. } | Self::NoAuthorities)
    }
}

/// What the broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A message of a topic.
    Publish { topic: String, payload: bytes::Bytes, is_retained: bool },
    /// It has a message of ours; `has_subscriber` only if another client receives it.
    Acknowledged { is_allowed: bool, has_subscriber: bool },
    /// It has our subscriptions, of which so many are refused.
    Subscribed { refused: usize },
    /// Anything else.
    Other,
}

/// A connection that is established.
pub(super) struct Link {
    client: AsyncClient,
    events: Pin<Box<dyn Stream<Item = Result<Event, ConnectionError>> + Send>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// Connects as `identity`. The broker publishes `will` when the connection ends without a farewell.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub(super) async fn open(mqtt: &Mqtt, identity: &str, will: Option<Message>) -> Result<Self, LinkError> {
        let options = options(mqtt, identity, will)?;
        let (client, poller) = AsyncClient::new(options, QUEUE);
        let events = stream::unfold(poller, async |mut poller| {
            let event = poller.poll().await;
            Some((event, poller))
        });
        let mut link = Self { client, events: Box::pin(events) };
        // The first event of a connection is its acknowledgement.
        match timeout(ATTEMPT, link.next()).await {
            Ok(Ok(_)) => Ok(link),
            Ok(Err(LinkError::Ended { source, .. })) if matches!(*source, ConnectionError::MqttState(_)) => {
                Err(LinkError::NoAnswer)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(LinkError::Silent(ATTEMPT)),
        }
    }

    /// The next that the broker sends. Safe to cancel.
    ///
    /// # Errors
    /// The connection has ended: drop it.
    pub(super) async fn next(&mut self) -> Result<Arrival, LinkError> {
        loop {
            match self.events.next().await {
                Some(Ok(Event::Incoming(packet))) => return Ok(incoming(packet)),
                Some(Ok(Event::Outgoing(_))) => {}
                Some(Err(error)) => return Err(ended(error)),
                None => return Err(LinkError::Stopped),
            }
        }
    }

    /// Hands a message to the client, which has room for a few. [`Link::next`] must run meanwhile. Safe to cancel: then
    /// it is not sent.
    ///
    /// # Errors
    /// The client takes no message for [`STUCK`], or has stopped.
    pub(super) fn send(&self, message: Message) -> impl Future<Output = Result<(), LinkError>> + use<> {
        let (client, Message { topic, payload, retain, is_acknowledged }) = (self.client.clone(), message);
        let qos = if is_acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        async move {
            let sent = timeout(STUCK, client.publish(topic, qos, retain, payload)).await;
            sent.map_err(|_| LinkError::Silent(STUCK))?.map_err(|_| LinkError::Stopped)
        }
    }

    /// Sends a message that the broker acknowledges, and waits for that: whether it is allowed, and whether another
    /// client receives it. What else arrives is ignored.
    ///
    /// # Errors
    /// As [`Link::send`] and [`Link::next`].
    pub(super) async fn deliver(&mut self, message: Message) -> Result<(bool, bool), LinkError> {
        self.send(message).await?;
        loop {
            if let Arrival::Acknowledged { is_allowed, has_subscriber } = self.next().await? {
                return Ok((is_allowed, has_subscriber));
            }
        }
    }

    /// Subscribes to these filters. With `keeps_retain`, messages that are published now with the flag have it too.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub(super) fn subscribe(
        &self,
        filters: Vec<String>,
        keeps_retain: bool,
    ) -> impl Future<Output = Result<(), LinkError>> + use<> {
        let client = self.client.clone();
        async move {
            if filters.is_empty() {
                return Ok(());
            }
            let filter =
                |filter: String| Filter { preserve_retain: keeps_retain, ..Filter::new(filter, QoS::AtLeastOnce) };
            let sent = timeout(STUCK, client.subscribe_many(filters.into_iter().map(filter))).await;
            sent.map_err(|_| LinkError::Silent(STUCK))?.map_err(|_| LinkError::Stopped)
        }
    }

    /// Ends the connection in order, so that the broker does not publish the will.
    pub(super) async fn close(mut self) {
        if self.client.disconnect().await.is_ok() {
            // The client ends with an error once the broker has closed the connection.
            while self.next().await.is_ok() {}
        }
    }
}

fn incoming(packet: Incoming) -> Arrival {
    match packet {
        Incoming::Publish(publish) => Arrival::Publish {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            payload: publish.payload,
            is_retained: publish.retain,
        },
        Incoming::PubAck(acknowledgement) => Arrival::Acknowledged {
            is_allowed: matches!(acknowledgement.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers),
            has_subscriber: acknowledgement.reason == PubAckReason::Success,
        },
        Incoming::SubAck(acknowledgement) => {
            let codes = acknowledgement.return_codes.iter();
            let refused = codes.filter(|code| !matches!(code, SubscribeReasonCode::Success(_))).count();
            Arrival::Subscribed { refused }
        }
        Incoming::Auth(_)
        | Incoming::Connect(..)
        | Incoming::ConnAck(_)
        | Incoming::PubRec(_)
        | Incoming::PubRel(_)
        | Incoming::PubComp(_)
        | Incoming::PingReq(_)
        | Incoming::PingResp(_)
        | Incoming::Subscribe(_)
        | Incoming::Unsubscribe(_)
        | Incoming::UnsubAck(_)
        | Incoming::Disconnect(_) => Arrival::Other,
    }
}

/// What ended the connection, in our words where a person can do something about it.
fn ended(error: ConnectionError) -> LinkError {
    if let Some(why) = trust::fault(&error) {
        return LinkError::Untrusted(why);
    }
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::MqttState(StateError::ServerDisconnect {
            reason_code: DisconnectReasonCode::SessionTakenOver,
            ..
        }) => LinkError::TakenOver,
        error @ (ConnectionError::Io(_) | ConnectionError::Tls(_) | ConnectionError::Timeout(_)) => {
            LinkError::Ended { what: "no connection to the broker", source: Box::new(error) }
        }
        error @ (ConnectionError::MqttState(_) | ConnectionError::NotConnAck(_) | ConnectionError::RequestsDone) => {
            LinkError::Ended { what: "the connection to the broker has ended", source: Box::new(error) }
        }
    }
}

fn refused(code: ConnectReturnCode) -> LinkError {
    use ConnectReturnCode as Code;
    let why = match code {
        Code::UnsupportedProtocolVersion | Code::RefusedProtocolVersion => return LinkError::Version,
        Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned | Code::BadAuthenticationMethod => {
            return LinkError::Login;
        }
        Code::ServerUnavailable | Code::ServiceUnavailable | Code::ServerBusy => "it is not ready",
        Code::BadClientId | Code::ClientIdentifierNotValid => "it does not allow our client id",
        Code::TopicNameInvalid => "it does not allow the topic of our last will; set another prefix in [mqtt]",
        Code::RetainNotSupported => "it does not keep retained messages, which discovery needs",
        Code::QoSNotSupported => "it acknowledges no messages (QoS 1)",
        Code::UseAnotherServer | Code::ServerMoved => "it refers to another server; set its url in [mqtt]",
        Code::QuotaExceeded | Code::ConnectionRateExceeded => "too many connections",
        Code::Success
        | Code::UnspecifiedError
        | Code::MalformedPacket
        | Code::ProtocolError
        | Code::ImplementationSpecificError
        | Code::PacketTooLarge
        | Code::PayloadFormatInvalid => "without a reason that we know",
    };
    LinkError::Refused { why }
}

fn options(mqtt: &Mqtt, identity: &str, will: Option<Message>) -> Result<MqttOptions, LinkError> {
    let host = match mqtt.broker.host.contains(':') {
        true => format!("[{}]", mqtt.broker.host),
        false => mqtt.broker.host.clone(),
    };
    let mut options = MqttOptions::new(identity, host, mqtt.broker.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(true).set_connection_timeout(ATTEMPT.as_secs());
    options.set_max_packet_size(Some(PACKET_MAX)).set_outgoing_inflight_upper_limit(IN_FLIGHT);
    if let Some(will) = will {
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.retain, None));
    }
    if let (Some(user), Some(path)) = (&mqtt.user, &mqtt.password_file) {
        let password = read("mqtt.password_file", path, PASSWORD_MAX)?;
        let (key, path) = ("mqtt.password_file", path.clone());
        let Ok(password) = String::from_utf8(password) else {
            return Err(LinkError::Damaged { key, path, lacks: "is not text" });
        };
        if password.trim().is_empty() {
            return Err(LinkError::Damaged { key, path, lacks: "is empty" });
        }
        options.set_credentials(user, password.trim());
    }
    if let Some(tls) = &mqtt.tls {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(client_config(tls)?)));
    }
    Ok(options)
}

/// TLS as for NATS: the same library, the same provider, the broker's name is verified.
fn client_config(tls: &MqttTls) -> Result<Arc<ClientConfig>, LinkError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            let pem = read("mqtt.ca", path, regular::MAX)?;
            let damaged = || LinkError::Damaged {
                key: "mqtt.ca",
                path: path.clone(),
                lacks: "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
            };
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate.map_err(|_| damaged())?).map_err(LinkError::Tls)?;
            }
            if roots.is_empty() {
                return Err(damaged());
            }
        }
        None => {
            let (_added, _ignored) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(LinkError::NoAuthorities);
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(LinkError::Tls)?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn read(key: &'static str, path: &Path, max: u64) -> Result<Vec<u8>, LinkError> {
    regular::read(path, max).map_err(|source| LinkError::File { key, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::testing;
    use super::*;

    const ACCEPTED: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// A broker that answers the first packet with these bytes, and closes the connection.
    async fn broker(answer: Vec<u8>) -> Mqtt {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut mqtt = testing::config("").mqtt.unwrap();
        mqtt.broker.port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0; 1_024];
            assert!(stream.read(&mut packet).await.unwrap() > 0);
            stream.write_all(&answer).await.unwrap();
        });
        mqtt
    }

    /// How a connection to such a broker ends.
    async fn end(answer: Vec<u8>) -> LinkError {
        let mqtt = broker(answer).await;
        let served = async {
            let mut link = Link::open(&mqtt, "test", None).await?;
            while link.next().await.is_ok() {}
            link.next().await.map(drop)
        };
        let ended = timeout(Duration::from_secs(20), served).await.expect("the connection is closed");
        ended.expect_err("the connection is closed")
    }

    #[tokio::test]
    async fn refusal_says_what_to_do() {
        for (answer, words) in [
            // A broker of MQTT 3.1.1, and one of a later version.
            (vec![0x20, 2, 0, 1], "without an answer of MQTT 5"),
            (vec![0x20, 3, 0, 0x84, 0], "does not speak MQTT 5"),
            (vec![0x20, 3, 0, 0x86, 0], "correct user and password_file in [mqtt]"),
            (vec![0x20, 3, 0, 0x87, 0], "correct user and password_file in [mqtt]"),
            (vec![0x20, 3, 0, 0x9a, 0], "it does not keep retained messages, which discovery needs"),
            (vec![], "without an answer of MQTT 5"),
        ] {
            let error = end(answer.clone()).await.to_string();
            assert!(error.contains(words), "{answer:?}: {error}");
        }
        let mut taken = ACCEPTED.to_vec();
        taken.extend([0xe0, 2, 0x8e, 0]);
        let mqtt = broker(taken).await;
        let mut link = Link::open(&mqtt, "test", None).await.unwrap();
        let ended = link.next().await.unwrap_err().to_string();
        assert!(ended.contains("gateways on one broker need different names"), "{ended}");
    }

    #[tokio::test]
    async fn garbage_of_a_broker_ends_the_connection_only() {
        let mut random = 1_u64;
        for length in 1..100 {
            let mut answer = ACCEPTED.to_vec();
            answer.extend((0..length).map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                random.to_be_bytes()[0]
            }));
            end(answer).await;
        }
    }

    #[tokio::test]
    async fn unusable_files_are_named_without_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut mqtt = testing::config("").mqtt.unwrap();
        (mqtt.user, mqtt.password_file) = (Some("u".to_owned()), Some(file.clone()));
        let mut fails = |content: Option<&[u8]>, words: &str| {
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let error = options(&mqtt, "test", None).unwrap_err().to_string();
            assert!(error.starts_with("mqtt.") && error.contains(words) && !error.contains("hunter2"), "{error}");
            mqtt.tls = Some(MqttTls { ca: Some(file.clone()) });
            mqtt.user.take_if(|_| words == "is not text");
        };
        fails(None, "cannot be read");
        fails(Some(b" \n"), "is empty");
        fails(Some(b"\xffhunter2"), "is not text");
        fails(Some(b"hunter2"), "holds no certificate in PEM");
    }
}
