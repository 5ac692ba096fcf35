//! As much of HTTP as a monitor on the next machine needs: one GET, one answer, bounded in time and size.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Address;

/// `/varz` has about 8 KiB.
const ANSWER_MAX: u64 = 256 * 1024;
/// For name, connection and answer together.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer within {PATIENCE:?}")]
    TimedOut,
    #[error("no connection")]
    Exchange(#[source] io::Error),
    #[error("the answer is no HTTP")]
    Malformed,
    #[error("the answer has more than {ANSWER_MAX} bytes")]
    TooLong,
    #[error("the answer is cut short")]
    CutShort,
    #[error("it says {0}")]
    Refused(u16),
}

/// The body that `path` has at `address`.
pub(super) async fn get(address: &Address, path: &str) -> Result<Vec<u8>, HttpError> {
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
    body(&answer)
}

/// The body of a whole answer. An answer in chunks is none to a request of HTTP/1.0.
fn body(answer: &[u8]) -> Result<Vec<u8>, HttpError> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(HttpError::Malformed)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| HttpError::Malformed)?;
    let mut lines = head.split("\r\n");
    let mut status = lines.next().unwrap_or("").split(' ');
    let version = status.next().unwrap_or("");
    let code = status.next().and_then(|code| code.parse::<u16>().ok()).ok_or(HttpError::Malformed)?;
    if !version.starts_with("HTTP/1.") {
        return Err(HttpError::Malformed);
    }
    if code != 200 {
        return Err(HttpError::Refused(code));
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
    body.get(..length).map(<[u8]>::to_vec).ok_or(HttpError::CutShort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(answer: &[u8]) -> String {
        match body(answer) {
            Ok(body) => String::from_utf8(body).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn an_answer_has_a_body_of_the_length_that_it_says() {
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "{}");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\ncontent-length:1\r\n\r\n{}"), "{");
        assert_eq!(outcome(b"HTTP/1.1 200 OK\r\n\r\n{}"), "{}");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n{}"), "the answer is cut short");
        assert_eq!(outcome(b"HTTP/1.0 404 Not Found\r\n\r\n"), "it says 404");
    }

    #[test]
    fn what_is_no_http_is_refused() {
        for answer in [&b""[..], b"INFO {}\r\n", b"\r\n\r\n", b"SSH-2.0 200 OK\r\n\r\n", b"HTTP/1.0 \xff\r\n\r\n"] {
            assert_eq!(outcome(answer), "the answer is no HTTP", "{answer:?}");
        }
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(outcome(chunked), "the answer is no HTTP");
        assert_eq!(outcome(b"HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n"), "the answer is no HTTP");
    }
}
