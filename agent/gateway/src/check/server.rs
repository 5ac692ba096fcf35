//! Checks the server: reachable, version, JetStream, login, health and sync interval.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::limits::{self, Bounds, Reserved};
use super::{Finding, Status, authority};
use crate::config::{Address, Config, Nats, show_duration};
use crate::logs;
use crate::nats::probe::{self, Answer};
use crate::nats::{Connection, Phase, SERVER_MIN, User, monitor};

/// Time-out for each of greeting and login.
const PATIENCE: Duration = Duration::from_secs(3);
/// A greeting has about 500 bytes.
const GREETING_MAX: u64 = 64 * 1024;

/// The server's INFO message, sent before the login.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Greeting {
    version: String,
    #[serde(default)]
    jetstream: bool,
    max_payload: Option<u64>,
}

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let nats = &config.nats;
    let greeting = match greeting(nats).await {
        Ok(greeting) => greeting,
        Err(error) => {
            let message = format!("{}: {error}", nats.url);
            let advice = "start it (systemctl start thermowell-nats), or set url in [nats] to another server";
            let mut findings = vec![Finding::new("nats.reachable", Status::Error, message).advise(advice)];
            let unseen = |id| Finding::new(id, Status::Unknown, "not checked: no server");
            findings.extend(["nats.version", "nats.jetstream"].map(unseen));
            // The files of the login are read without a server.
            findings.push(match Connection::open(nats, User::Inspector).await {
                Ok(_) => unseen("nats.login"),
                Err(error) => Finding::new("nats.login", Status::Error, logs::chain(&error)),
            });
            findings.extend(["nats.max-payload", "nats.permissions"].map(unseen));
            findings.extend(monitored(config, None).await);
            return findings;
        }
    };
    let (greeting, connection, login) = match login(nats).await {
        Ok(connection) => {
            let greeting = greeting.unwrap_or_else(|| of_connection(&connection));
            (Some(greeting), Some(connection), Finding::new("nats.login", Status::Ok, "the server accepts the login"))
        }
        Err(login) => (greeting, None, login),
    };
    let mut findings = vec![Finding::new("nats.reachable", Status::Ok, format!("{} answers", nats.url))];
    let payload = greeting.as_ref().and_then(|greeting| greeting.max_payload);
    match greeting {
        Some(greeting) => findings.extend([version(&greeting.version), jetstream(greeting.jetstream)]),
        None => {
            let unseen = |id| Finding::new(id, Status::Unknown, "the server reports it only after the login");
            findings.extend(["nats.version", "nats.jetstream"].map(unseen));
        }
    }
    findings.push(login);
    findings.push(limits::max_payload(config, payload));
    let [storage, sync_interval] = monitored(config, connection.as_ref()).await;
    findings.push(storage);
    findings.push(authority::check(config).await);
    findings.extend(authority::current(config));
    findings.extend(health(nats).await);
    findings.push(sync_interval);
    findings
}

/// The server's greeting; none if the TLS handshake comes first.
async fn greeting(nats: &Nats) -> io::Result<Option<Greeting>> {
    let Address { host, port } = nats.address();
    let exchange = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        if nats.tls.as_ref().is_some_and(|tls| tls.first) {
            return Ok(None);
        }
        let mut line = String::new();
        BufReader::new(stream.take(GREETING_MAX)).read_line(&mut line).await?;
        let greeting = line.strip_prefix("INFO ").and_then(|json| serde_json::from_str(json).ok());
        greeting.map(Some).ok_or_else(|| io::Error::other("the answer is not from a NATS server"))
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn of_connection(connection: &Connection) -> Greeting {
    let server = connection.client().server_info();
    let max_payload = u64::try_from(server.max_payload).ok();
    Greeting { version: server.version, jetstream: server.jetstream, max_payload }
}

async fn login(nats: &Nats) -> Result<Connection, Finding> {
    let refused = |message: String| Finding::new("nats.login", Status::Error, message);
    // The error of an unusable file includes advice.
    let connection = Connection::open(nats, User::Inspector).await.map_err(|error| refused(logs::chain(&error)))?;
    let mut phase = connection.phase();
    let up = timeout(PATIENCE, phase.wait_for(|phase| matches!(phase, Phase::Up(_)))).await.is_ok_and(|up| up.is_ok());
    if up {
        return Ok(connection);
    }
    let has_secret = nats.credentials.is_some() || nats.nkey_file.is_some() || nats.user.is_some();
    let user = nats.keys.is_some().then_some(&User::Inspector);
    let message = match user {
        None if has_secret => format!("no login within {}", show_duration(PATIENCE)),
        user => match (probe::may_publish(nats, user, authority::SUBJECT).await, user) {
            (Ok(Answer::Rejected), Some(_)) => "the server rejects the inspector's key".to_owned(),
            (Ok(Answer::Rejected), None) => "the server requires a key or a password".to_owned(),
            (Ok(Answer::Forbidden | Answer::Allowed | Answer::Unknown) | Err(_), _) => {
                format!("no login within {}", show_duration(PATIENCE))
            }
        },
    };
    let advice = "check keys, credentials, nkey_file, user and [nats.tls], and the server's log";
    Err(refused(message).advise(advice))
}

fn version(found: &str) -> Finding {
    let (major, minor, patch) = SERVER_MIN;
    match parse_version(found) {
        Some(version) if version >= SERVER_MIN => Finding::new("nats.version", Status::Ok, found),
        Some(_) => Finding::new("nats.version", Status::Error, format!("{found} is too old"))
            .advise(format!("install nats-server {major}.{minor}.{patch} or later")),
        None => Finding::new("nats.version", Status::Unknown, format!("{found} is not a version")),
    }
}

/// The three numbers of a version. A suffix after a hyphen (`2.15.1-rc.2`) is ignored.
fn parse_version(text: &str) -> Option<(i64, i64, i64)> {
    let release = text.split(['-', '+']).next()?;
    let mut numbers = release.split('.').map(|number| number.parse::<i64>().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(version)
}

fn jetstream(enabled: bool) -> Finding {
    if enabled {
        return Finding::new("nats.jetstream", Status::Ok, "on");
    }
    Finding::new("nats.jetstream", Status::Error, "the server runs without JetStream")
        .advise("add a `jetstream` block to its configuration, as in nats.conf")
}

#[derive(Debug, Deserialize)]
struct Varz {
    jetstream: Option<VarzJetStream>,
}

#[derive(Debug, Deserialize)]
struct VarzJetStream {
    config: VarzConfig,
    #[serde(default)]
    stats: Reserved,
}

#[derive(Debug, Deserialize)]
struct VarzConfig {
    #[serde(flatten)]
    bounds: Bounds,
    /// Nanoseconds.
    sync_interval: Option<u64>,
    /// Absent when off.
    #[serde(default)]
    sync_always: bool,
}

/// What the server's monitor is needed for: `nats.storage` and `nats.sync-interval`.
async fn monitored(config: &Config, connection: Option<&Connection>) -> [Finding; 2] {
    let varz = varz(&config.nats).await;
    let found = |id| varz.as_ref().map_err(|(message, advice)| unknown(id, message, advice));
    let bounds = found("nats.storage").map(|varz| (&varz.config.bounds, &varz.stats));
    let sync_interval = found("nats.sync-interval").map(|varz| judge_sync(&varz.config, config.nats.sync_interval));
    [limits::storage(config, connection, bounds).await, sync_interval.unwrap_or_else(|unknown| unknown)]
}

fn unknown(id: &'static str, message: &str, advice: &str) -> Finding {
    Finding::new(id, Status::Unknown, message).advise(advice)
}

/// What the monitor reports about JetStream; else why it does not, and what to do.
async fn varz(nats: &Nats) -> Result<VarzJetStream, (String, &'static str)> {
    let Some(address) = &nats.monitor else {
        let advice = "set monitor in [nats] to the server's monitor, such as \"http://127.0.0.1:8222\"";
        return Err(("this needs the server's monitor".to_owned(), advice));
    };
    let advice = "compare `http` in nats.conf with monitor in [nats]";
    let body = monitor::get(address, "/varz").await;
    let body = body.map_err(|error| (format!("the monitor at {address}: {}", logs::chain(&error)), advice))?;
    let varz = serde_json::from_slice::<Varz>(&body).ok().and_then(|varz| varz.jetstream);
    varz.ok_or_else(|| (format!("the monitor at {address} does not report it"), advice))
}

/// The server's health probe: the only check that detects a full disk.
async fn health(nats: &Nats) -> Option<Finding> {
    let found = |status, message: String| Some(Finding::new("nats.health", status, message));
    match monitor::health_error(nats.monitor.as_ref()?).await {
        Ok(None) => found(Status::Ok, "the server reports healthy".to_owned()),
        Ok(Some(error)) => found(Status::Error, error).map(|finding| finding.advise(monitor::ADVICE)),
        Err(error) => found(Status::Unknown, error),
    }
}

/// A server that syncs less often than configured here can lose more than the boilers' rings still hold.
fn judge_sync(server: &VarzConfig, assumed: Duration) -> Finding {
    let found = |status, message: String| Finding::new("nats.sync-interval", status, message);
    let configured = show_duration(assumed);
    if server.sync_always {
        return found(Status::Warning, "the server syncs each message: four times the wear without benefit".to_owned())
            .advise(format!("set sync_interval: \"{}\" in nats.conf", configured.replace(' ', "")));
    }
    let Some(interval) = server.sync_interval.map(Duration::from_nanos) else {
        return found(Status::Unknown, "the monitor does not report it".to_owned());
    };
    let actual = show_duration(interval);
    if interval == assumed {
        return found(Status::Ok, format!("the server syncs every {actual}"));
    }
    let message = format!("the server syncs every {actual}, but sync_interval in [nats] is {configured}");
    let advice = format!("set sync_interval: \"{}\" in nats.conf, on a line of its own", configured.replace(' ', ""));
    let status = if interval > assumed { Status::Error } else { Status::Warning };
    found(status, message).advise(advice)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn sync(json: &str) -> Status {
        judge_sync(&serde_json::from_str(json).unwrap(), Duration::from_secs(10)).status
    }

    #[test]
    fn sync_interval_is_compared_with_the_configuration() {
        assert_eq!(sync(r#"{"sync_interval":10000000000}"#), Status::Ok);
        assert_eq!(sync(r#"{"sync_interval":120000000000}"#), Status::Error);
        assert_eq!(sync(r#"{"sync_interval":1000000000}"#), Status::Warning);
        assert_eq!(sync(r#"{"sync_interval":10000000000,"sync_always":true}"#), Status::Warning);
        assert_eq!(sync("{}"), Status::Unknown);
    }

    #[test]
    fn versions_compare_numerically() {
        for (found, status) in [
            ("2.15.1", Status::Ok),
            ("2.15.1-rc.2", Status::Ok),
            ("3.0.0", Status::Ok),
            ("2.100.0", Status::Ok),
            ("2.15.0", Status::Error),
            ("2.9.24", Status::Error),
            ("2.15", Status::Unknown),
            ("devel", Status::Unknown),
        ] {
            assert_eq!(version(found).status, status, "{found}");
        }
    }

    async fn greeted_by(line: &'static str) -> io::Result<Option<Greeting>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!("nats.url = \"nats://127.0.0.1:{port}\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"");
        let nats = Config::parse(&text, "t.toml").unwrap().nats;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
        };
        tokio::join!(greeting(&nats), server).0
    }

    #[tokio::test]
    async fn greeting_has_the_version() {
        let greeting = greeted_by("INFO {\"version\":\"2.15.1\",\"jetstream\":true,\"max_payload\":1024}\r\n").await;
        let expected = Greeting { version: "2.15.1".to_owned(), jetstream: true, max_payload: Some(1_024) };
        assert_eq!(greeting.unwrap(), Some(expected));
    }

    #[tokio::test]
    async fn other_program_is_not_a_server() {
        for line in ["HTTP/1.0 400 Bad Request\r\n", "INFO nonsense\r\n", "INFO {}", ""] {
            let error = greeted_by(line).await.unwrap_err();
            assert_eq!(error.to_string(), "the answer is not from a NATS server", "{line:?}");
        }
    }
}
