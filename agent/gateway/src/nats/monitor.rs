//! Requests to the server's HTTP monitor, with a minimal HTTP client: one GET, one response, limited in time and size.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Address, show_duration};
use crate::logs;

/// `/varz` has about 8 KiB.
const ANSWER_MAX: u64 = 256 * 1024;
/// Time-out for name resolution, connection and response together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no valid response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no response within {}", show_duration(PATIENCE))]
    TimedOut,
    #[error("no connection")]
    Exchange(#[source] io::Error),
    #[error("the response is not HTTP")]
    Malformed,
    #[error("the response has more than {ANSWER_MAX} bytes")]
    TooLong,
    #[error("the response is truncated")]
    CutShort,
    #[error("it responds with status {0}")]
    Refused(u16),
}

/// What to do about an unhealthy server.
pub(crate) const ADVICE: &str =
    "free space on the disk of nats-server, then restart it: its streams stay frozen until then";

/// The response of `/healthz`.
#[derive(Debug, Deserialize)]
struct Health {
    status: String,
    error: Option<String>,
}

/// The server's health probe: its error text, or none if it is healthy.
///
/// A server with a full disk does not answer publishes, and its streams stay frozen until it is restarted, even after
/// space is freed. Only this probe reports the cause.
pub(crate) async fn health_error(address: &Address) -> Result<Option<String>, String> {
    let (_, body) = exchange(address, "/healthz").await.map_err(|error| logs::chain(&error))?;
    let health: Health =
        serde_json::from_slice(&body).map_err(|_| "the health probe has no valid response".to_owned())?;
    if health.status == "ok" {
        return Ok(None);
    }
    Ok(Some(health.error.unwrap_or(health.status)))
}

/// The body of `path` at `address`.
pub(crate) async fn get(address: &Address, path: &str) -> Result<Vec<u8>, HttpError> {
    match exchange(address, path).await? {
        (200, body) => Ok(body),
        (code, _) => Err(HttpError::Refused(code)),
    }
}

async fn exchange(address: &Address, path: &str) -> Result<(u16, Vec<u8>), HttpError> {
    let exchange = async {
        let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nAccept: application/json\r\n\r\n", address.host);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_MAX + 1).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| HttpError::TimedOut)?.map_err(HttpError::Exchange)?;
    if u64::try_from(answer.len()).unwrap_or(u64::MAX) > ANSWER_MAX {
        return Err(HttpError::TooLong);
    }
    parse(&answer)
}

/// Status and body of a complete response. A chunked response to an HTTP/1.0 request is malformed.
fn parse(answer: &[u8]) -> Result<(u16, Vec<u8>), HttpError> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(HttpError::Malformed)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| HttpError::Malformed)?;
    let mut lines = head.split("\r\n");
    let mut status = lines.next().unwrap_or("").split(' ');
    let version = status.next().unwrap_or("");
    let code = status.next().and_then(|code| code.parse::<u16>().ok()).ok_or(HttpError::Malformed)?;
    if !version.starts_with("HTTP/1.") {
        return Err(HttpError::Malformed);
    }
    let body = &answer[end + 4..];
    let mut length = body.len();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| HttpError::Malformed)?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::Malformed);
        }
    }
    body.get(..length).map(|body| (code, body.to_vec())).ok_or(HttpError::CutShort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(answer: &[u8]) -> String {
        match parse(answer) {
            Ok((code, body)) => format!("{code} {}", String::from_utf8(body).unwrap()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn body_has_the_length_of_the_header() {
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "200 {}");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\ncontent-length:1\r\n\r\n{}"), "200 {");
        assert_eq!(outcome(b"HTTP/1.1 200 OK\r\n\r\n{}"), "200 {}");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n{}"), "the response is truncated");
        assert_eq!(outcome(b"HTTP/1.0 404 Not Found\r\n\r\n"), "404 ");
    }

    #[test]
    fn other_protocols_are_malformed() {
        for answer in [&b""[..], b"INFO {}\r\n", b"\r\n\r\n", b"SSH-2.0 200 OK\r\n\r\n", b"HTTP/1.0 \xff\r\n\r\n"] {
            assert_eq!(outcome(answer), "the response is not HTTP", "{answer:?}");
        }
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(outcome(chunked), "the response is not HTTP");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"), "the response is not HTTP");
    }

    #[tokio::test]
    async fn health_probe_tells_frozen_from_healthy_servers() {
        for (answer, expected) in [
            (
                r#"HTTP/1.0 200 OK

{"status":"ok"}"#,
                Ok(None),
            ),
            (
                r#"HTTP/1.0 503 Service Unavailable

{"status":"unavailable","error":"write error: no space left"}"#,
                Ok(Some("write error: no space left".to_owned())),
            ),
            ("HTTP/1.0 404 Not Found\n\n", Err("the health probe has no valid response".to_owned())),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = Address { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
            let answer = answer.replace('\n', "\r\n");
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 512];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
            assert_eq!(health_error(&address).await, expected);
            server.await.unwrap();
        }
    }
}
