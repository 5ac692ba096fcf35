//! What the server forbids us.
//!
//! A violation of permissions is not an answer: the server drops the message and says so on the connection, out of
//! band. A JetStream publish without permission just times out. So the last violation is kept, for whoever has to say
//! why something did not work.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// Different violations that are said once each: more than the subjects that a role has by mistake.
const SAID_MAX: usize = 64;

/// Something that the server did not let us do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server forbids {user} to {what} {subject}; its permissions come from `thermowell keys`")]
pub struct Forbidden {
    /// Who we are, as in [`super::User`].
    pub user: String,
    /// `publish to` or `subscribe to`.
    pub what: &'static str,
    /// The subject.
    pub subject: String,
}

/// The last thing that the server forbade this process.
static LAST: Mutex<Option<Forbidden>> = Mutex::new(None);

/// The last thing that the server forbade this process, if there was any: the cause of a time-out.
#[must_use]
pub fn last_forbidden() -> Option<Forbidden> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Keeps what was forbidden on one connection, and says each once.
#[derive(Debug)]
pub(super) struct Record {
    user: String,
    said: Vec<Forbidden>,
    sender: watch::Sender<Option<Forbidden>>,
}

impl Record {
    pub(super) fn new(user: String) -> (Self, watch::Receiver<Option<Forbidden>>) {
        let (sender, receiver) = watch::channel(None);
        (Self { user, said: Vec::new(), sender }, receiver)
    }

    /// Takes what the server said; false where it is no violation of permissions.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let Some((what, subject)) = parse(text) else { return false };
        let forbidden = Forbidden { user: self.user.clone(), what, subject: subject.to_owned() };
        if !self.said.contains(&forbidden) && self.said.len() < SAID_MAX {
            tracing::error!(user = forbidden.user, subject, "the server forbids us to {what} this subject");
            self.said.push(forbidden.clone());
        }
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(forbidden.clone());
        self.sender.send_replace(Some(forbidden));
        true
    }

    /// A new connection may have other permissions: what is still forbidden is said again.
    pub(super) fn begin(&mut self) {
        self.said.clear();
    }
}

/// `Permissions Violation for Publish to "subject"`, or `… for Subscription to "subject"`.
fn parse(text: &str) -> Option<(&'static str, &str)> {
    let rest = text.strip_prefix("Permissions Violation for ")?;
    let (what, rest) = match rest.strip_prefix("Publish to \"") {
        Some(rest) => ("publish to", rest),
        None => ("subscribe to", rest.strip_prefix("Subscription to \"")?),
    };
    Some((what, rest.split('"').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_the_subject() {
        assert_eq!(parse("Permissions Violation for Publish to \"a.b\""), Some(("publish to", "a.b")));
        let queue = "Permissions Violation for Subscription to \"a.>\" using queue \"q\"";
        assert_eq!(parse(queue), Some(("subscribe to", "a.>")));
        for other in ["", "Authorization Violation", "Stale Connection", "Permissions Violation for Publish"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn each_is_said_once_a_connection_and_all_are_kept() {
        let (mut record, receiver) = Record::new("agent".to_owned());
        for _ in 0..3 {
            assert!(record.take("Permissions Violation for Publish to \"a\""));
        }
        assert_eq!(record.said.len(), 1);
        assert_eq!(receiver.borrow().as_ref().map(|forbidden| forbidden.subject.clone()), Some("a".to_owned()));
        record.begin();
        assert!(record.said.is_empty());
    }
}
