//! Which of two controllers is the author of a boiler's set-points.
//!
//! ```text
//!            another's lease, renewed within `takeover_after`
//!     asks ───────────────────────────────────────────────────────▶ stands by
//!      ▲                                                              │ it is not renewed for `takeover_after`,
//!      └──────────────────────────────────────────────────────────────┘ or it is a release
//! ```
//!
//! Each lease is published on the condition that its predecessor is the last one read, so there is never a split-brain:
//! the second writer is refused. This module only decides which one stands by. `takeover_after` is a little more than
//! two renewals, as far as the lease allows: one renewal may get lost, and the takeover happens while the boiler still
//! obeys the predecessor's lease.
//!
//! Initially the age of a lease is that by the server's calendar. From then on only our own observations on our own
//! clock count: otherwise two hosts with different calendars would keep taking over from each other.

use alloc::string::String;
use core::time::Duration;

use crate::control::Law;
use crate::time::Monotonic;

/// The boiler's last message in LEASE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Sequence in LEASE.
    pub sequence: u64,
    /// The requesting process.
    pub instance: String,
    /// It is a release: no takeover delay.
    pub is_release: bool,
    /// Its age, on the axis of the boiler.
    pub age: Duration,
}

/// The other controller, for which this one stands by.
#[derive(Clone, Debug)]
struct Other {
    instance: String,
    sequence: u64,
    renewed_at: Monotonic,
}

/// Whether this controller asks for one boiler, or stands by.
#[derive(Clone, Debug)]
pub struct Author {
    instance: String,
    takeover_after: Duration,
    other: Option<Other>,
    /// The lease of another controller from which this one took over.
    taken_over: Option<(u64, String)>,
}

impl Author {
    /// An author that asks until it sees another one.
    #[must_use]
    pub fn new(instance: String, law: &Law) -> Self {
        Self { instance, takeover_after: takeover_after(law), other: None, taken_over: None }
    }

    /// The instance for which this controller stands by; `None` while it may ask.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.other.as_ref().map(|other| other.instance.as_str())
    }

    /// Whether a lease is of another author for which this controller would stand by, regardless of its age.
    #[must_use]
    pub fn is_anothers(&self, standing: &Standing) -> bool {
        let taken_over = self.taken_over.as_ref().is_some_and(|(sequence, instance)| {
            (*sequence, instance.as_str()) == (standing.sequence, standing.instance.as_str())
        });
        !standing.is_release && !taken_over && standing.instance != self.instance
    }

    /// LEASE was read; `standing` is its last message.
    pub fn look(&mut self, now: Monotonic, standing: Option<&Standing>) {
        let Some(standing) = standing else {
            // LEASE is in memory and empty after a restart of the server: the earlier observation counts.
            self.other.take_if(|other| now.since(other.renewed_at) >= self.takeover_after);
            return;
        };
        if !self.is_anothers(standing) {
            self.other = None;
            return;
        }
        let renewed_at = match &self.other {
            Some(other) if (other.sequence, &other.instance) == (standing.sequence, &standing.instance) => {
                other.renewed_at
            }
            Some(_) => now,
            None => Monotonic(now.0.saturating_sub(u64::try_from(standing.age.as_nanos()).unwrap_or(u64::MAX))),
        };
        if now.since(renewed_at) >= self.takeover_after {
            self.taken_over = Some((standing.sequence, standing.instance.clone()));
            self.other = None;
        } else {
            self.stand_by(standing, renewed_at);
        }
    }

    /// Another controller published at the same time: it is alive now, regardless of the calendars.
    pub fn met(&mut self, now: Monotonic, standing: &Standing) {
        self.stand_by(standing, now);
    }

    fn stand_by(&mut self, standing: &Standing, renewed_at: Monotonic) {
        let (instance, sequence) = (standing.instance.clone(), standing.sequence);
        self.other = Some(Other { instance, sequence, renewed_at });
    }
}

/// Two renewals and a fifth of one. If the lease is shorter than that: two renewals, and half of what is left of it.
fn takeover_after(law: &Law) -> Duration {
    let (lease, two) = (Duration::from_secs(u64::from(law.lease_s)), law.renew * 2);
    two + (law.renew / 5).min(lease.saturating_sub(two) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::time::SECOND_NS;

    const TAKEOVER_S: u64 = 33;

    fn author(lease_s: u16, renew_s: u64) -> Author {
        let renew = Duration::from_secs(renew_s);
        Author::new("ours".into(), &Law { lease_s, renew, ..testing::law() })
    }

    fn at(second: u64) -> Monotonic {
        Monotonic((1_000 + second) * SECOND_NS.unsigned_abs())
    }

    fn lease(sequence: u64, instance: &str, age_s: u64) -> Standing {
        Standing { sequence, instance: instance.into(), is_release: false, age: Duration::from_secs(age_s) }
    }

    #[test]
    fn takeover_happens_after_a_missing_renewal() {
        let mut author = author(60, 15);
        let left = lease(7, "theirs", 12);
        for second in 0..TAKEOVER_S - 12 {
            author.look(at(second), Some(&left));
            assert_eq!(author.other(), Some("theirs"), "after {second} s");
        }
        author.look(at(TAKEOVER_S - 12), Some(&left));
        assert_eq!(author.other(), None);
        assert!(!author.is_anothers(&left), "the lease of the takeover is ignored from now on");
        // Another session begins: the calendar age of that lease does not matter any more.
        author.look(at(TAKEOVER_S), Some(&lease(7, "theirs", 0)));
        assert_eq!(author.other(), None);
    }

    #[test]
    fn no_takeover_while_the_other_renews() {
        let mut author = author(60, 15);
        // The server's calendar is an hour off: after the first observation only our own clock counts.
        author.met(at(0), &lease(8, "theirs", 3_600));
        for second in 0..600 {
            author.look(at(second), Some(&lease(8 + second / 30, "theirs", 3_600)));
            assert_eq!(author.other(), Some("theirs"), "after {second} s");
        }
        let last = lease(8 + 599 / 30, "theirs", 3_600);
        author.look(at(570 + TAKEOVER_S), Some(&last));
        assert_eq!(author.other(), None);
        author.look(at(700), Some(&lease(100, "theirs", 0)));
        assert_eq!(author.other(), Some("theirs"), "it is back");
    }

    #[test]
    fn no_standby_for_a_release_or_an_own_lease() {
        let mut author = author(60, 15);
        author.look(at(0), None);
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(7, "ours", 0)));
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(7, "theirs", 0)));
        assert_eq!(author.other(), Some("theirs"));
        author.look(at(1), Some(&Standing { is_release: true, ..lease(8, "theirs", 0) }));
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(9, "theirs", TAKEOVER_S)));
        assert_eq!(author.other(), None, "it has not been renewed for long");
    }

    #[test]
    fn empty_lease_stream_does_not_end_standby_early() {
        let mut author = author(60, 15);
        author.look(at(0), Some(&lease(7, "theirs", 0)));
        author.look(at(TAKEOVER_S - 1), None);
        assert_eq!(author.other(), Some("theirs"));
        author.look(at(TAKEOVER_S), None);
        assert_eq!(author.other(), None);
    }

    #[test]
    fn takeover_happens_within_a_lease() {
        for (lease_s, renew_s, takeover_ms) in [(60, 15, 33_000), (120, 15, 33_000), (60, 29, 59_000), (31, 15, 30_500)]
        {
            let takeover_after = author(lease_s, renew_s).takeover_after;
            assert_eq!(takeover_after, Duration::from_millis(takeover_ms));
            assert!(takeover_after < Duration::from_secs(u64::from(lease_s)));
        }
    }
}
