//! Who is the author of a boiler's set-points, where two programs want to be.
//!
//! ```text
//!            another's lease stands, renewed within our patience
//!     asks ───────────────────────────────────────────────────────▶ stands by
//!      ▲                                                              │ it is not renewed for as long as our patience
//!      └──────────────────────────────────────────────────────────────┘ lasts, or it is a release
//! ```
//!
//! Each lease goes behind the one that was read before it, so there is no moment in which two are authors: whoever
//! comes second meets what the first one wrote. What is decided here is only who gives way. Patience is two renewals
//! and a little, as far as the lease allows: one renewal may get lost, and whoever takes over does so while the boiler
//! still obeys what its predecessor asked.
//!
//! At the begin the age of a lease is what the server's calendar says. From then on only what is seen counts, on our
//! own clock: two hosts whose calendars differ would else take over from each other for ever.

use alloc::string::String;
use core::time::Duration;

use crate::control::Law;
use crate::time::Monotonic;

/// What stands in LEASE for the boiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Sequence in LEASE.
    pub sequence: u64,
    /// Who asks.
    pub instance: String,
    /// It is a release: nobody has to be waited for.
    pub is_release: bool,
    /// How old it is, on the axis of the boiler.
    pub age: Duration,
}

/// The other one, for whom we stand by.
#[derive(Clone, Debug)]
struct Other {
    instance: String,
    sequence: u64,
    renewed_at: Monotonic,
}

/// Whether this program asks for one boiler, or stands by.
#[derive(Clone, Debug)]
pub struct Author {
    instance: String,
    patience: Duration,
    other: Option<Other>,
    /// The lease of another that ended for us.
    passed: Option<(u64, String)>,
}

impl Author {
    /// Asks until somebody else does.
    #[must_use]
    pub fn new(instance: String, law: &Law) -> Self {
        Self { instance, patience: patience(law), other: None, passed: None }
    }

    /// For whom this program stands by; none while it may ask.
    #[must_use]
    pub fn other(&self) -> Option<&str> {
        self.other.as_ref().map(|other| other.instance.as_str())
    }

    /// Whether a lease is one for whose author this program would stand by, however old.
    #[must_use]
    pub fn is_anothers(&self, standing: &Standing) -> bool {
        let passed = self.passed.as_ref().is_some_and(|(sequence, instance)| {
            (*sequence, instance.as_str()) == (standing.sequence, standing.instance.as_str())
        });
        !standing.is_release && !passed && standing.instance != self.instance
    }

    /// LEASE was looked at, and this stands there.
    pub fn look(&mut self, now: Monotonic, standing: Option<&Standing>) {
        let Some(standing) = standing else {
            // A server that has just started has forgotten every lease: what was seen before it counts.
            self.other.take_if(|other| now.since(other.renewed_at) >= self.patience);
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
        if now.since(renewed_at) >= self.patience {
            self.passed = Some((standing.sequence, standing.instance.clone()));
            self.other = None;
        } else {
            self.stand_by(standing, renewed_at);
        }
    }

    /// Another one has asked while this program did: it is alive now, whatever the calendars say.
    pub fn met(&mut self, now: Monotonic, standing: &Standing) {
        self.stand_by(standing, now);
    }

    fn stand_by(&mut self, standing: &Standing, renewed_at: Monotonic) {
        let (instance, sequence) = (standing.instance.clone(), standing.sequence);
        self.other = Some(Other { instance, sequence, renewed_at });
    }
}

/// Two renewals and a fifth of one; where a lease is hardly longer, half of what it lasts beyond the two.
fn patience(law: &Law) -> Duration {
    let (lease, two) = (Duration::from_secs(u64::from(law.lease_s)), law.renew * 2);
    two + (law.renew / 5).min(lease.saturating_sub(two) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Curve, CurvePoint, Schedule};
    use crate::time::SECOND_NS;

    const PATIENCE_S: u64 = 33;

    fn author(lease_s: u16, renew_s: u64) -> Author {
        let curve =
            Curve { cold: CurvePoint { outdoor: -12.0, flow: 60.0 }, warm: CurvePoint { outdoor: 18.0, flow: 25.0 } };
        let schedule = Schedule { offset_s: 0, periods: alloc::vec![] };
        let renew = Duration::from_secs(renew_s);
        let law = Law { curve, schedule, kp: 8.0, k: 0.5, flow_min: 25.0, flow_max: 65.0, lease_s, renew };
        Author::new("ours".into(), &law)
    }

    fn at(second: u64) -> Monotonic {
        Monotonic((1_000 + second) * SECOND_NS.unsigned_abs())
    }

    fn lease(sequence: u64, instance: &str, age_s: u64) -> Standing {
        Standing { sequence, instance: instance.into(), is_release: false, age: Duration::from_secs(age_s) }
    }

    #[test]
    fn a_lease_of_another_is_waited_for_from_its_last_renewal() {
        let mut author = author(60, 15);
        let left = lease(7, "theirs", 12);
        for second in 0..PATIENCE_S - 12 {
            author.look(at(second), Some(&left));
            assert_eq!(author.other(), Some("theirs"), "after {second} s");
        }
        author.look(at(PATIENCE_S - 12), Some(&left));
        assert_eq!(author.other(), None);
        assert!(!author.is_anothers(&left), "what it takes over from is not met again");
        // Another session begins: what the calendar says of the lease that was passed is not asked again.
        author.look(at(PATIENCE_S), Some(&lease(7, "theirs", 0)));
        assert_eq!(author.other(), None);
    }

    #[test]
    fn whoever_renews_is_never_taken_over_from() {
        let mut author = author(60, 15);
        // The server's calendar is an hour behind: seen once, only what is seen counts.
        author.met(at(0), &lease(8, "theirs", 3_600));
        for second in 0..600 {
            author.look(at(second), Some(&lease(8 + second / 30, "theirs", 3_600)));
            assert_eq!(author.other(), Some("theirs"), "after {second} s");
        }
        let last = lease(8 + 599 / 30, "theirs", 3_600);
        author.look(at(570 + PATIENCE_S), Some(&last));
        assert_eq!(author.other(), None);
        author.look(at(700), Some(&lease(100, "theirs", 0)));
        assert_eq!(author.other(), Some("theirs"), "it is back");
    }

    #[test]
    fn nobody_is_waited_for_who_has_released_or_is_this_program() {
        let mut author = author(60, 15);
        author.look(at(0), None);
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(7, "ours", 0)));
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(7, "theirs", 0)));
        assert_eq!(author.other(), Some("theirs"));
        author.look(at(1), Some(&Standing { is_release: true, ..lease(8, "theirs", 0) }));
        assert_eq!(author.other(), None);
        author.look(at(0), Some(&lease(9, "theirs", PATIENCE_S)));
        assert_eq!(author.other(), None, "it has long not been renewed");
    }

    #[test]
    fn a_server_that_forgot_every_lease_makes_nobody_the_author() {
        let mut author = author(60, 15);
        author.look(at(0), Some(&lease(7, "theirs", 0)));
        author.look(at(PATIENCE_S - 1), None);
        assert_eq!(author.other(), Some("theirs"));
        author.look(at(PATIENCE_S), None);
        assert_eq!(author.other(), None);
    }

    #[test]
    fn patience_is_shorter_than_a_lease() {
        for (lease_s, renew_s, patience_ms) in [(60, 15, 33_000), (120, 15, 33_000), (60, 29, 59_000), (31, 15, 30_500)]
        {
            let patience = author(lease_s, renew_s).patience;
            assert_eq!(patience, Duration::from_millis(patience_ms));
            assert!(patience < Duration::from_secs(u64::from(lease_s)));
        }
    }
}
