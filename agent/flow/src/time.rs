//! Three times, three types, never added to each other.
//!
//! | type | scope | counts | source |
//! |---|---|---|---|
//! | [`DeviceTime`] | one boot of one device | microseconds since its start | the firmware's free-running counter |
//! | [`Monotonic`] | this machine | nanoseconds, never back, on during suspend | `clock.rs` |
//! | [`Utc`] | all processes | nanoseconds since 1970 | stamped once by the agent, else read from messages |
//!
//! `flow` uses one monotonic axis. When the rig runs the world faster, that axis is already scaled; durations of the
//! transport (acknowledgements, freshness, `based_on`, `Identify`, the 20 ms) are then passed in multiplied by the
//! speed, so that no decision here depends on it.

use alloc::format;
use alloc::string::String;
use core::ops::Range;
use core::time::Duration;

use thermowell_wire::batch::ClockQuality;
pub use thermowell_wire::units::{HOUR_NS, SECOND_NS};

/// Nanoseconds of a clock that never goes back and does not stop in suspend (CLOCK_BOOTTIME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The moment `later` from here, saturating.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The moment `earlier` before this one; `None` if that is before the axis begins.
    #[must_use]
    pub fn checked_before(self, earlier: Duration) -> Option<Self> {
        self.0.checked_sub(u64::try_from(earlier.as_nanos()).ok()?).map(Self)
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc(pub i64);

/// The longest possible boot: 73 years. With this bound and [`Utc::PLAUSIBLE`], stamp arithmetic uses at most half of
/// its type's range and cannot overflow.
pub const BOOT_NS_MAX: u64 = u64::MAX / 8;

impl Utc {
    /// The plausible years, 2020 to 2099. A calendar outside of them is not trusted, even if it is reported as
    /// synchronised. A gateway without a real-time clock starts in 1970, a broken one anywhere up to 2262; no later
    /// hour could ever follow one opened there.
    pub const PLAUSIBLE: Range<Self> = Self(1_577_836_800 * SECOND_NS)..Self(4_102_444_800 * SECOND_NS);

    /// Whether the calendar can show this time.
    #[must_use]
    pub fn is_plausible(self) -> bool {
        Self::PLAUSIBLE.contains(&self)
    }

    /// This moment, `ago` nanoseconds earlier. The moment is first clamped to 1970 … the end of [`Utc::PLAUSIBLE`]:
    /// slots are stamped even if the clock is not trusted.
    #[must_use]
    pub fn earlier_by(self, ago: i64) -> Self {
        Self(self.0.clamp(0, Self::PLAUSIBLE.end.0).saturating_sub(ago))
    }

    /// The second that holds this moment, half open.
    #[must_use]
    pub fn second(self) -> i64 {
        self.0.div_euclid(SECOND_NS)
    }

    /// The hour that holds this moment, half open, in hours since 1970.
    #[must_use]
    pub fn hour(self) -> i64 {
        self.0.div_euclid(HOUR_NS)
    }

    /// This moment and `later`, saturating.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(later.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This moment less `earlier`, saturating.
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(earlier.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Unix seconds of JSON, to the microsecond.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates, and NaN gives 0")]
    pub fn from_unix_seconds(seconds: f64) -> Self {
        Self(((seconds * 1e6) as i64).saturating_mul(1_000))
    }

    /// Unix seconds to the microsecond, as published in JSON.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 stay below 2^53 until the year 2255")]
    pub fn unix_seconds(self) -> f64 {
        self.0.div_euclid(1_000) as f64 / 1e6
    }
}

/// The beginning of an hour, counted from 1970, as RFC 3339: `2026-01-07T02:00:00Z`.
///
/// The date is the proleptic Gregorian one, by counting from 1 March, so that the leap day is a year's last day: eras
/// of 400 years have 146,097 days, and months then follow 153 days in five.
#[must_use]
pub fn hour_text(hour: i64) -> String {
    let (days, hour_of_day) = (hour.div_euclid(24), hour.rem_euclid(24));
    // 0000-03-01 lies 719,468 days before 1970-01-01.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour_of_day:02}:00:00Z")
}

/// How long `slots` last, in nanoseconds; saturating.
#[must_use]
pub fn slots_ns(slots: u64, period_ns: u32) -> i64 {
    i64::try_from(slots).unwrap_or(i64::MAX).saturating_mul(i64::from(period_ns))
}

/// Microseconds of the device clock since one start of the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTime(pub u64);

/// One reading of this machine's clocks, taken together: what every `step` gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub monotonic: Monotonic,
    pub utc: Utc,
    /// Whether the calendar is synchronised.
    pub clock: ClockQuality,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plausible_years_are_2020_to_2099() {
        let Range { start, end } = Utc::PLAUSIBLE;
        assert_eq!(
            (hour_text(start.hour()), hour_text(end.hour())),
            ("2020-01-01T00:00:00Z".into(), "2100-01-01T00:00:00Z".into(),)
        );
        assert!(start.is_plausible() && Utc(end.0 - 1).is_plausible());
        assert!(!Utc(start.0 - 1).is_plausible() && !end.is_plausible() && !Utc(0).is_plausible());
    }

    #[test]
    fn stamps_never_overflow_for_any_clock_and_boot() {
        let boot = i64::try_from(BOOT_NS_MAX).unwrap();
        for utc in [i64::MIN, -1, 0, Utc::PLAUSIBLE.start.0, Utc::PLAUSIBLE.end.0, i64::MAX] {
            let stamp = Utc(utc).earlier_by(boot).0;
            assert!(stamp > i64::MIN && stamp.checked_add(2 * boot).is_some(), "{utc}");
        }
    }

    #[test]
    fn hours_print_as_rfc_3339() {
        for (hour, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:00:00Z"),
            (490_898, "2026-01-01T02:00:00Z"),
            (19_782 * 24 + 5, "2024-02-29T05:00:00Z"),
            (19_783 * 24, "2024-03-01T00:00:00Z"),
            (11_016 * 24, "2000-02-29T00:00:00Z"),
            (47_541 * 24 - 1, "2100-02-28T23:00:00Z"),
            (47_541 * 24, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(hour_text(hour), text);
        }
    }
}
