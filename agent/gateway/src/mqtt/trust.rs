//! Why TLS with the broker fails, in words that lead to a key of `[mqtt]`.

use std::io;

use rumqttc::TlsError;
use rumqttc::tokio_rustls::rustls::{CertificateError, Error};
use rumqttc::v5::ConnectionError;

const NOT_TLS: &str = "if its port has no TLS, write mqtt:// in url, or the port that has it";

/// None if it is not a fault of TLS.
pub(super) fn fault(error: &ConnectionError) -> Option<String> {
    match error {
        ConnectionError::Tls(TlsError::TLS(error)) => Some(words(error)),
        ConnectionError::Tls(TlsError::Io(error)) => Some(inner(error).map_or_else(|| cut(error), words)),
        ConnectionError::Io(error) => inner(error).map(words),
        ConnectionError::Tls(
            TlsError::Addr(_)
            | TlsError::WebPki(_)
            | TlsError::DNSName(_)
            | TlsError::NoValidCertInChain
            | TlsError::NoValidClientCertInChain
            | TlsError::NoValidKeyInChain,
        )
        | ConnectionError::MqttState(_)
        | ConnectionError::Timeout(_)
        | ConnectionError::ConnectionRefused(_)
        | ConnectionError::NotConnAck(_)
        | ConnectionError::RequestsDone => None,
    }
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// A port without TLS ends the connection.
fn cut(error: &io::Error) -> String {
    format!("it ends the handshake ({error}); {NOT_TLS}")
}

fn words(error: &Error) -> String {
    use CertificateError as Certificate;
    if matches!(error, Error::InvalidMessage(_)) {
        return format!("it does not answer with TLS; {NOT_TLS}");
    }
    let Error::InvalidCertificate(cause) = error else { return error.to_string() };
    if matches!(cause, Certificate::UnknownIssuer | Certificate::BadSignature) {
        return "its certificate is signed by another CA; set ca in [mqtt] to the certificate of the CA that signed it"
            .to_owned();
    }
    if let Certificate::NotValidForNameContext { expected, presented } = cause {
        let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        let expected = expected.to_str();
        return format!("its certificate is for {names}, not for {expected}; write a name of the certificate in url");
    }
    if matches!(cause, Certificate::Expired | Certificate::ExpiredContext { .. }) {
        return "its certificate has ended; renew it at the broker".to_owned();
    }
    if matches!(cause, Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) {
        return "its certificate is not valid yet; compare the clocks of both machines".to_owned();
    }
    format!("its certificate is not accepted: {cause}")
}

/// A name as the library has it, such as `DnsName("broker.example")`, without its kind.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')').trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use rumqttc::tokio_rustls::rustls::InvalidMessage;
    use rumqttc::tokio_rustls::rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn each_fault_leads_to_a_key() {
        let expected = ServerName::try_from("homeassistant.local").unwrap().to_owned();
        let presented = vec!["DnsName(\"broker.example\")".to_owned(), "IpAddress(192.0.2.7)".to_owned()];
        for (error, words) in [
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "set ca in [mqtt] to the certificate of the CA",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }),
                "is for broker.example, 192.0.2.7, not for homeassistant.local; write a name of the certificate in url",
            ),
            (Error::InvalidCertificate(CertificateError::Expired), "renew it at the broker"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not answer with TLS"),
            (Error::InvalidCertificate(CertificateError::Revoked), "not accepted: "),
        ] {
            let wrapped = ConnectionError::Tls(TlsError::Io(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
            let found = fault(&wrapped).unwrap();
            assert!(found.contains(words), "{found}");
            assert_eq!(fault(&ConnectionError::Io(io::Error::other(error))), Some(found));
        }
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert!(fault(&ConnectionError::Tls(TlsError::Io(cut))).unwrap().contains("write mqtt:// in url"));
        assert_eq!(fault(&ConnectionError::Io(io::ErrorKind::ConnectionRefused.into())), None);
    }
}
