//! Permission violations reported by the server.
//!
//! A violation is not a response: the server drops the message and reports it on the connection, out of band. A
//! JetStream publish without permission just times out. So violations are recorded, to explain such time-outs.
//!
//! A violation explains only requests made before it: a reload of the server changes permissions while a connection is
//! open, and what was forbidden may be allowed later. So a caller takes a [`Mark`] before its request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The most different violations that are logged, once each: more than a misconfigured role has subjects.
const LOGGED_MAX: usize = 64;
/// Subjects whose newest violation is kept.
const KEPT_MAX: usize = 64;

/// A permission violation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server forbids {user} to {what} {subject}; its permissions come from `thermowell keys`")]
pub struct Forbidden {
    /// Our [`super::User`].
    pub user: String,
    /// `publish to` or `subscribe to`.
    pub what: &'static str,
    pub subject: String,
}

/// A position in the sequence of this process's violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// The newest violation of each subject, numbered in the order of arrival.
#[derive(Debug)]
struct Violations {
    count: u64,
    kept: VecDeque<(u64, Forbidden)>,
}

static VIOLATIONS: Mutex<Violations> = Mutex::new(Violations { count: 0, kept: VecDeque::new() });

fn violations() -> MutexGuard<'static, Violations> {
    VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Violations {
    fn take(&mut self, forbidden: Forbidden) {
        self.count += 1;
        self.kept.retain(|(_, older)| *older != forbidden);
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((self.count, forbidden));
    }
}

/// The present position, to be taken before a request that may be forbidden.
#[must_use]
pub fn mark() -> Mark {
    Mark(violations().count)
}

/// The newest violation of `subject` since `mark`: the cause of a time-out.
#[must_use]
pub fn forbidden_since(mark: Mark, subject: &str) -> Option<Forbidden> {
    newest_since(mark, |forbidden| forbidden == subject)
}

/// The newest violation since `mark` of a request to the server's API, whatever its prefix: `STREAM.INFO.STATE`.
pub(super) fn request_forbidden_since(mark: Mark, request: &str) -> Option<Forbidden> {
    newest_since(mark, |forbidden| forbidden.strip_suffix(request).is_some_and(|prefix| prefix.ends_with('.')))
}

fn newest_since(mark: Mark, is_it: impl Fn(&str) -> bool) -> Option<Forbidden> {
    let violations = violations();
    let (_, newest) = violations.kept.iter().rev().find(|(n, it)| *n > mark.0 && is_it(&it.subject))?;
    Some(newest.clone())
}

/// How the log line of a violation begins.
pub const DENIED: &str = "permission denied";

/// Records the violations of one connection, and logs each once.
#[derive(Debug)]
pub(super) struct Record {
    user: String,
    logged: Vec<Forbidden>,
    sender: watch::Sender<Option<Forbidden>>,
}

impl Record {
    pub(super) fn new(user: String) -> (Self, watch::Receiver<Option<Forbidden>>) {
        let (sender, receiver) = watch::channel(None);
        (Self { user, logged: Vec::new(), sender }, receiver)
    }

    /// Records an error message of the server; false if it is no permission violation.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let Some((what, subject)) = parse(text) else { return false };
        let forbidden = Forbidden { user: self.user.clone(), what, subject: subject.to_owned() };
        if !self.logged.contains(&forbidden) && self.logged.len() < LOGGED_MAX {
            tracing::error!(user = forbidden.user, "{DENIED}: {what} {subject}");
            self.logged.push(forbidden.clone());
        }
        violations().take(forbidden.clone());
        self.sender.send_replace(Some(forbidden));
        true
    }

    /// A new connection may have other permissions: violations are logged again.
    pub(super) fn begin(&mut self) {
        self.logged.clear();
        self.sender.send_replace(None);
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
    use super::super::RequestError;
    use super::*;

    #[test]
    fn violation_has_its_subject() {
        assert_eq!(parse("Permissions Violation for Publish to \"a.b\""), Some(("publish to", "a.b")));
        let queue = "Permissions Violation for Subscription to \"a.>\" using queue \"q\"";
        assert_eq!(parse(queue), Some(("subscribe to", "a.>")));
        for other in ["", "Authorization Violation", "Stale Connection", "Permissions Violation for Publish"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn violation_is_logged_once_per_connection() {
        let (mut record, receiver) = Record::new("agent".to_owned());
        for _ in 0..3 {
            assert!(record.take("Permissions Violation for Publish to \"a\""));
        }
        assert_eq!(record.logged.len(), 1);
        assert_eq!(receiver.borrow().as_ref().map(|forbidden| forbidden.subject.clone()), Some("a".to_owned()));
        record.begin();
        assert!(record.logged.is_empty());
        assert_eq!(*receiver.borrow(), None, "the new connection may have other permissions");
    }

    /// Forbidden, then permitted by a reload: a later time-out on the same subject has another cause.
    #[test]
    fn violation_explains_only_earlier_requests() {
        let (mut record, _receiver) = Record::new("agent".to_owned());
        let before = mark();
        assert!(record.take("Permissions Violation for Publish to \"mended.a\""));
        assert!(record.take("Permissions Violation for Publish to \"mended.b\""));
        let found = forbidden_since(before, "mended.a").map(|forbidden| forbidden.subject);
        assert_eq!(found.as_deref(), Some("mended.a"), "even after another violation");
        let mended = mark();
        assert_eq!(forbidden_since(mended, "mended.a"), None);
        assert!(record.take("Permissions Violation for Publish to \"mended.a\""));
        assert!(forbidden_since(mended, "mended.a").is_some(), "forbidden again");
    }

    /// Instead of "timed out".
    #[test]
    fn missing_right_is_the_cause_of_an_unanswered_request() {
        let (mut record, _receiver) = Record::new("reader".to_owned());
        let before = mark();
        assert!(record.take("Permissions Violation for Publish to \"plant.api.STREAM.INFO.MINE\""));
        let cause = |request: &str| {
            let error = RequestError::of_api("read MINE", before, request, "timed out");
            assert_eq!(error.is_forbidden(), request == "STREAM.INFO.MINE");
            crate::logs::chain(&error)
        };
        let forbidden = "read MINE: the server forbids reader to publish to plant.api.STREAM.INFO.MINE; its \
                         permissions come from `thermowell keys`";
        assert_eq!(cause("STREAM.INFO.MINE"), forbidden);
        assert_eq!(cause("STREAM.INFO.M"), "read MINE: timed out");
        assert_eq!(cause("INFO.MINE.ALL"), "read MINE: timed out");
    }

    #[test]
    fn newest_violations_of_many_subjects_are_kept() {
        let mut violations = Violations { count: 0, kept: VecDeque::new() };
        let forbidden =
            |n: usize| Forbidden { user: "agent".to_owned(), what: "publish to", subject: format!("many.{n}") };
        (0..KEPT_MAX + 2).for_each(|n| violations.take(forbidden(n)));
        violations.take(forbidden(2));
        assert_eq!(violations.kept.len(), KEPT_MAX);
        assert_eq!(violations.kept.front().map(|(n, _)| *n), Some(4), "0 and 1 were dropped, 2 is the newest");
        assert_eq!(violations.kept.back().map(|(_, newest)| newest.clone()), Some(forbidden(2)));
    }
}
