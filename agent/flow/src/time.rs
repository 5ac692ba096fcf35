//! Three times, three types, never added to each other.
//!
//! | type | whose | counts | who makes it |
//! |---|---|---|---|
//! | [`DeviceTime`] | one boot of one device | microseconds since its start | the firmware's free-running counter |
//! | [`Monotonic`] | this machine | nanoseconds, never back, on during suspend | `clock.rs` |
//! | [`Utc`] | everybody | nanoseconds since 1970 | stamped once by the agent, else read from messages |
//!
//! `flow` lives on one monotonic axis. When the rig runs the world faster, that axis is already scaled; durations
//! that stand for the transport (acknowledgements, freshness, `based_on`, `Identify`, the 20 ms) then arrive
//! multiplied by the speed, so that no decision here knows about it.

use core::time::Duration;

use thermowell_wire::batch::ClockQuality;

/// Nanoseconds in a second, for the integer arithmetic of stamps.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in an hour.
pub const HOUR_NS: i64 = 3_600 * SECOND_NS;

/// Nanoseconds of a clock that never goes back and does not stop in suspend (CLOCK_BOOTTIME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The moment `later` from here; the end of time where that would overflow.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc(pub i64);

impl Utc {
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

    /// Unix seconds to the microsecond, as published in JSON.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 stay below 2^53 until the year 2255")]
    pub fn unix_seconds(self) -> f64 {
        self.0.div_euclid(1_000) as f64 / 1e6
    }
}

/// Microseconds of the device clock since one start of the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTime(pub u64);

/// One reading of this machine's clocks, taken together: what every `step` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub monotonic: Monotonic,
    /// The calendar.
    pub utc: Utc,
    /// Whether the calendar can be trusted.
    pub clock: ClockQuality,
}
