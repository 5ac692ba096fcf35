//! The last message of each of many boilers' subjects, by one request for up to 1,024 of them.
//!
//! It is a direct get with `multi_last` (NATS ADR-31), which async-nats 0.51 cannot send. The answer is one message for
//! each subject that has one, and an end. Each part names the sequence of the part before it, so a lost one is noticed:
//!
//! ```text
//! request ─▶ message after 0 ─▶ message after 7 ─▶ … ─▶ 204 after 9, 0 pending: complete
//!         │                                        ├──▶ 204 after 9, n pending: BYTES_MAX reached, ask for the rest
//!         │                                        └──▶ 404, one expired meanwhile: ask for the rest
//!         ├▶ 404 no results: complete
//!         └▶ another status: an error
//! ```
//!
//! | what | bound | why |
//! |---|---|---|
//! | subjects of a request | 1,024 | the server refuses more with status 413 |
//! | bytes of an answer | 4 MiB, and one message | what the client holds unread; 1,024 snapshots are 2 MiB |
//! | silence | [`ACK_TIMEOUT`] | as of other requests |
//!
//! A direct get may be answered by a follower of a replicated stream, with an older message. So it is for readers who
//! publish under a condition on what they read.

use std::collections::BTreeMap;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message, Request, Subscriber};
use futures_util::StreamExt as _;
use serde::Serialize;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::Subject;
use tokio::time::timeout;

use super::{ACK_TIMEOUT, RequestError};

const SUBJECTS_MAX: usize = 1_024;
const BYTES_MAX: usize = 4 << 20;

/// The last message in `stream` of the `subject` of each of `boilers`; boilers without one are left out.
///
/// # Errors
/// The server does not answer or refuses, or the stream does not exist.
pub async fn last_of_each(
    context: &Context,
    stream: &str,
    boilers: &[BoilerId],
    subject: fn(&BoilerId) -> Subject,
) -> Result<BTreeMap<BoilerId, StreamMessage>, RequestError> {
    let mut found = BTreeMap::new();
    for boilers in boilers.chunks(SUBJECTS_MAX) {
        let mut wanted = boilers.iter().map(|boiler| (subject(boiler), boiler)).collect();
        let asked = ask(context, stream, &mut wanted, &mut found).await;
        asked.map_err(|defect| RequestError::new(format!("read the last messages of {stream}"), defect))?;
    }
    Ok(found)
}

/// Why an answer is unusable.
#[derive(Debug, thiserror::Error)]
enum Defect {
    #[error("send the request")]
    Send(#[source] async_nats::Error),
    #[error("no answer within {} s", ACK_TIMEOUT.as_secs())]
    Silence,
    #[error("the server answers {status} {description}")]
    Refused { status: u16, description: String },
    #[error("a part of the answer is missing: {found} follows {expected}")]
    Hole { expected: u64, found: u64 },
    #[error("{subject} was not asked for")]
    Foreign { subject: String },
    #[error("the server stops after every answer without a message")]
    Stuck,
    #[error("malformed answer")]
    Malformed(#[source] async_nats::Error),
}

/// Asks for the `wanted` subjects, again for what an answer leaves out, and moves them to `found`.
async fn ask(
    context: &Context,
    stream: &str,
    wanted: &mut BTreeMap<Subject, &BoilerId>,
    found: &mut BTreeMap<BoilerId, StreamMessage>,
) -> Result<(), Defect> {
    loop {
        let before = wanted.len();
        let mut parts = send(context, stream, wanted.keys()).await.map_err(Defect::Send)?;
        let mut answer = Answer::default();
        let end = loop {
            let part = timeout(ACK_TIMEOUT, parts.next()).await.ok().flatten().ok_or(Defect::Silence)?;
            match answer.take(part)? {
                Part::Message(message) => {
                    let boiler = wanted.remove(message.subject.as_str());
                    let boiler = boiler.ok_or_else(|| Defect::Foreign { subject: message.subject.to_string() })?;
                    found.insert(boiler.clone(), message);
                }
                Part::End(end) => break end,
            }
        };
        match end {
            End::Complete => return Ok(()),
            End::Early if wanted.len() == before => return Err(Defect::Stuck),
            End::Early => {}
        }
    }
}

#[derive(Serialize)]
struct MultiLast<'a> {
    multi_last: Vec<&'a str>,
    max_bytes: usize,
}

async fn send(
    context: &Context,
    stream: &str,
    subjects: impl Iterator<Item = &Subject>,
) -> Result<Subscriber, async_nats::Error> {
    let multi_last = subjects.map(Subject::as_str).collect();
    let payload = super::json(&MultiLast { multi_last, max_bytes: BYTES_MAX });
    let client = context.client();
    let inbox = client.new_inbox();
    let parts = client.subscribe(inbox.clone()).await?;
    let request = Request::new().inbox(inbox).payload(payload.into());
    context.send_request(format!("DIRECT.GET.{stream}"), request).await?;
    Ok(parts)
}

/// How far an answer has been read.
#[derive(Debug, Default)]
struct Answer {
    /// The sequence of the last message; 0 before the first.
    last: u64,
}

#[derive(Debug)]
enum Part {
    Message(StreamMessage),
    End(End),
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// What did not come has no message.
    Complete,
    /// What did not come may have a message.
    Early,
}

impl Answer {
    fn take(&mut self, part: Message) -> Result<Part, Defect> {
        match part.status.map(|status| status.as_u16()) {
            None => {
                self.follow(&part)?;
                let message = StreamMessage::try_from(part).map_err(|error| Defect::Malformed(error.into()))?;
                self.last = message.sequence;
                Ok(Part::Message(message))
            }
            Some(204) => {
                self.follow(&part)?;
                let is_complete = number(&part, "Nats-Num-Pending")? == 0;
                Ok(Part::End(if is_complete { End::Complete } else { End::Early }))
            }
            Some(404) if self.last == 0 && part.description.as_deref() == Some("No Results") => {
                Ok(Part::End(End::Complete))
            }
            Some(404) => Ok(Part::End(End::Early)),
            Some(status) => Err(Defect::Refused { status, description: part.description.unwrap_or_default() }),
        }
    }

    fn follow(&self, part: &Message) -> Result<(), Defect> {
        let (expected, found) = (self.last, number(part, "Nats-Last-Sequence")?);
        if found == expected { Ok(()) } else { Err(Defect::Hole { expected, found }) }
    }
}

fn number(part: &Message, name: &str) -> Result<u64, Defect> {
    let value = part.headers.as_ref().and_then(|headers: &HeaderMap| headers.get_last(name));
    let number = value.and_then(|value| value.as_str().parse().ok());
    number.ok_or_else(|| Defect::Malformed(format!("no number in {name}").into()))
}

#[cfg(test)]
mod tests {
    use async_nats::StatusCode;
    use bytes::Bytes;

    use super::*;

    fn part(status: Option<(u16, &str)>, headers: &[(&str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        Message {
            subject: "_INBOX.x".into(),
            reply: None,
            payload: Bytes::new(),
            headers: Some(map),
            status: status.map(|(code, _)| StatusCode::from_u16(code).unwrap()),
            description: status.map(|(_, text)| text.to_owned()),
            length: 0,
        }
    }

    fn message(sequence: &str, after: &str) -> Message {
        let headers = [
            ("Nats-Subject", "boiler.b1.state"),
            ("Nats-Sequence", sequence),
            ("Nats-Time-Stamp", "2026-01-07T02:00:00Z"),
            ("Nats-Last-Sequence", after),
        ];
        part(None, &headers)
    }

    fn end(after: &str, pending: &str) -> Message {
        part(Some((204, "EOB")), &[("Nats-Last-Sequence", after), ("Nats-Num-Pending", pending)])
    }

    fn read(parts: impl IntoIterator<Item = Message>) -> Result<(usize, End), Defect> {
        let (mut answer, mut messages) = (Answer::default(), 0);
        for part in parts {
            match answer.take(part)? {
                Part::Message(_) => messages += 1,
                Part::End(end) => return Ok((messages, end)),
            }
        }
        panic!("the answer has no end")
    }

    #[test]
    fn answer_without_any_of_its_messages_is_an_error() {
        let whole = || vec![message("3", "0"), message("7", "3"), message("9", "7"), end("9", "0")];
        assert_eq!(read(whole()).unwrap(), (3, End::Complete));
        for lost in 0..3 {
            let mut parts = whole();
            parts.remove(lost);
            let error = read(parts).unwrap_err();
            assert!(matches!(error, Defect::Hole { .. }), "without message {lost}: {error}");
        }
    }

    #[test]
    fn answer_that_ends_early_is_not_complete() {
        assert_eq!(read([message("3", "0"), end("3", "2")]).unwrap(), (1, End::Early));
        assert_eq!(read([message("3", "0"), part(Some((404, "Message Not Found")), &[])]).unwrap(), (1, End::Early));
        assert_eq!(read([part(Some((404, "Message Not Found")), &[])]).unwrap(), (0, End::Early));
    }

    #[test]
    fn no_message_of_any_subject_is_an_answer() {
        assert_eq!(read([part(Some((404, "No Results")), &[])]).unwrap(), (0, End::Complete));
    }

    #[test]
    fn refusals_name_the_status() {
        for (status, text) in [(413, "Too Many Results"), (503, "No Responders"), (408, "Bad Request")] {
            let error = read([part(Some((status, text)), &[])]).unwrap_err().to_string();
            assert_eq!(error, format!("the server answers {status} {text}"));
        }
        let error = read([part(Some((204, "EOB")), &[])]).unwrap_err();
        assert!(matches!(error, Defect::Malformed(_)), "{error}");
    }
}
