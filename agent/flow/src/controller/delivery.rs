//! Whether the boiler delivers what it is asked for: over the last hour's heating seconds, the mean set-point less the
//! mean flow temperature.
//!
//! ```text
//!               3 K or more for two hours                    less than 1.5 K
//!   delivers ───────────────────────────▶ delivers less ───────────────────────▶ delivers
//! ```
//!
//! After a set-back a sound boiler is late for up to an hour, and the mean of the last hour for one hour more. Only
//! hours with a quarter of an hour of heating count: in less, the warm-up is most of it. Without such an hour for
//! a day the answer is unknown again. A sound boiler is up to 2 K below its set-point, because its burner pauses; one
//! with too little power, a wrong limit or closed valves is far below it, whatever the law asks for.

use core::time::Duration;

use crate::control::LastHour;
use crate::published::Deficit;
use crate::time::Monotonic;

/// The deficit that begins and ends the diagnosis, K.
const BEGINS: f64 = 3.0;
const ENDS: f64 = 1.5;
/// The least share of heating seconds in an hour that counts.
pub const SHARE_MIN: f64 = 0.25;
/// A deficit is reported after this time.
const LASTS: Duration = Duration::from_secs(2 * 3_600);
/// Without an hour that counts for this long, the diagnosis is dropped.
const SILENT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A change of the diagnosis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    Began(Deficit),
    Ended(Deficit),
}

/// The diagnosis of one boiler.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    /// Since when the deficit has stood, and the newest hour that counts.
    since: Option<Monotonic>,
    seen: Option<(Monotonic, f64, f64)>,
    is_reported: bool,
}

impl Delivery {
    /// Takes the last hour, if its set-points are known; returns a change that is to be reported.
    pub(super) fn take(&mut self, hour: Option<&LastHour>, now: Monotonic) -> Option<Change> {
        let before = self.deficit();
        if let Some(hour) = hour.filter(|hour| hour.share >= SHARE_MIN) {
            let kelvin = hour.asked - hour.average;
            self.seen = Some((now, kelvin, hour.share));
            let stands = if self.is_reported { kelvin >= ENDS } else { kelvin >= BEGINS };
            self.since = stands.then(|| self.since.unwrap_or(now));
        } else if !self.is_reported {
            self.since = None;
        }
        if self.seen.is_some_and(|(at, ..)| now.since(at) > SILENT_MAX) {
            *self = Self { is_reported: self.is_reported, ..Self::default() };
        }
        let lasts = self.since.is_some_and(|since| self.is_reported || now.since(since) >= LASTS);
        match (core::mem::replace(&mut self.is_reported, lasts), lasts) {
            (false, true) => self.deficit().map(Change::Began),
            (true, false) => before.map(Change::Ended),
            (false, false) | (true, true) => None,
        }
    }

    /// The deficit, while it is reported.
    pub(super) fn deficit(&self) -> Option<Deficit> {
        let ((at, kelvin, share), since) = (self.seen?, self.since?);
        let hours = at.since(since).as_secs_f64() / 3_600.0;
        self.is_reported.then_some(Deficit { kelvin, share, hours })
    }

    /// Continues from what a predecessor has reported.
    pub(super) fn continue_from(&mut self, deficit: Option<Deficit>, now: Monotonic) {
        let Some(Deficit { kelvin, share, hours }) = deficit else { return };
        let lasted = Duration::try_from_secs_f64(hours * 3_600.0).unwrap_or_default();
        let since = now.checked_before(lasted).unwrap_or(Monotonic(0));
        *self = Self { since: Some(since), seen: Some((now, kelvin, share)), is_reported: true };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The diagnosis after each minute of `minutes` with `late` and `share`.
    fn run(delivery: &mut Delivery, minutes: core::ops::Range<u64>, late: f64, share: f64) -> Vec<(u64, Change)> {
        let hour = LastHour { average: 50.0 - late, asked: 50.0, share };
        let mut step = |minute: u64| {
            let change = delivery.take(Some(&hour), Monotonic(minute * 60_000_000_000))?;
            Some((minute, change))
        };
        minutes.filter_map(&mut step).collect()
    }

    #[test]
    fn deficit_of_two_hours_is_reported_once_and_so_is_its_end() {
        let mut delivery = Delivery::default();
        assert_eq!(run(&mut delivery, 0..300, 2.0, 1.0), []);
        let began = run(&mut delivery, 300..600, 4.0, 0.5);
        let [(420, Change::Began(deficit))] = began[..] else { panic!("{began:?}") };
        assert_eq!(deficit, Deficit { kelvin: 4.0, share: 0.5, hours: 2.0 });
        assert_eq!(run(&mut delivery, 600..700, 2.0, 1.0), [], "between the limits it stands");
        let now = delivery.deficit().unwrap();
        assert_eq!((now.kelvin, now.hours), (2.0, 399.0 / 60.0));
        let ended = run(&mut delivery, 700..800, 1.0, 1.0);
        assert!(matches!(ended[..], [(700, Change::Ended(_))]), "{ended:?}");
        assert_eq!(delivery.deficit(), None);
    }

    #[test]
    fn begin_needs_two_whole_hours_of_the_deficit() {
        let mut delivery = Delivery::default();
        assert_eq!(run(&mut delivery, 0..110, 4.0, 1.0), []);
        assert_eq!(run(&mut delivery, 110..120, 2.5, 1.0), [], "between the limits it is not one yet");
        assert_eq!(run(&mut delivery, 120..230, 4.0, 1.0), []);
        assert_eq!(run(&mut delivery, 230..240, 4.0, 0.2), [], "nor without heating");
        assert_eq!(run(&mut delivery, 240..350, 4.0, 1.0), []);
    }

    #[test]
    fn deficit_of_a_predecessor_stands_after_a_reboot() {
        let mut delivery = Delivery::default();
        let hours = 3.0;
        delivery.continue_from(Some(Deficit { kelvin: 4.0, share: 0.5, hours }), Monotonic(60_000_000_000));
        assert_eq!(run(&mut delivery, 1..30, 4.0, 1.0), []);
        assert!(matches!(run(&mut delivery, 30..31, 1.0, 1.0)[..], [(30, Change::Ended(_))]));
    }

    #[test]
    fn a_day_of_short_heating_drops_the_diagnosis() {
        let mut delivery = Delivery::default();
        assert_eq!(run(&mut delivery, 0..300, 9.0, 0.2), []);
        assert_eq!(run(&mut delivery, 300..421, 9.0, 0.3).len(), 1);
        assert_eq!(run(&mut delivery, 421..1_860, 0.0, 0.2), []);
        assert!(delivery.deficit().is_some());
        let ended = run(&mut delivery, 1_860..2_000, 0.0, 0.2);
        assert!(matches!(ended[..], [(1_861, Change::Ended(_))]), "{ended:?}");
    }
}
