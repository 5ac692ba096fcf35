//! A broker for tests: it knows as much of MQTT 5 as a few packets need.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The reason codes of its answers.
#[derive(Clone, Copy)]
pub(crate) struct Answers {
    /// To a connection.
    pub(crate) connect: u8,
    /// To a message, by its topic.
    pub(crate) publish: fn(&str) -> u8,
    /// To each filter of a subscription.
    pub(crate) subscribe: u8,
}

pub(crate) const NOT_AUTHORIZED: u8 = 0x87;
pub(crate) const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;

/// Serves one connection; returns the port.
pub(crate) async fn broker(answers: Answers) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some((first, body)) = packet(&mut stream).await {
            let answer = match first >> 4 {
                1 => vec![0x20, 3, 0, answers.connect, 0],
                3 => {
                    let (topic, rest) = body[2..].split_at(usize::from(body[1]));
                    let reason = (answers.publish)(std::str::from_utf8(topic).unwrap());
                    vec![0x40, 4, rest[0], rest[1], reason, 0]
                }
                // Identifier, properties, then for each filter its length, its text and its options.
                8 => {
                    let (mut rest, mut codes) = (&body[3..], Vec::new());
                    while let Some((&[0, length], text)) = rest.split_first_chunk::<2>() {
                        rest = &text[usize::from(length) + 1..];
                        codes.push(answers.subscribe);
                    }
                    let length = u8::try_from(3 + codes.len()).unwrap();
                    [&[0x90, length, body[0], body[1], 0], &codes[..]].concat()
                }
                _ => return,
            };
            stream.write_all(&answer).await.unwrap();
        }
    });
    port
}

/// The first byte and the rest of a short packet; none at the end.
async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let mut length = usize::from(stream.read_u8().await.ok()?);
    if length >= 0x80 {
        length = length - 0x80 + 0x80 * usize::from(stream.read_u8().await.ok()?);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}
