//! The control law: the flow temperature to request. Pure arithmetic on the controller's inputs.
//!
//! ```text
//! T* = clamp(curve(outdoor) + clamp(Kp · (target − room), −10, +15), flow_min, flow_max)
//! late = asked − avg        the mean S less the mean flow temperature of the last hour's heating seconds
//! trend = current − avg     excess = trend − clamp(trend, −8, +8)
//! u = share · clamp(k · late − 0.5 · excess, −5, +5)
//! S = clamp(T* + u, flow_min, flow_max), at most 2 K/min, changed only by ≥ 0.5 K
//! ```
//!
//! The room term controls comfort; the hourly term compensates for a boiler that delivers less than requested. `asked`
//! is the requested set-point including the correction, not T*: so `late` measures only the boiler's deficit, and the
//! correction does not act on itself with an hour's delay. All temperatures are °C; set-points are in centi-degrees, so
//! that limits are exact to the last digit.

use alloc::vec::Vec;
use core::time::Duration;

use crate::time::{Monotonic, Utc};

#[cfg(test)]
mod tests;

/// The room term's limits, K.
const ROOM_TERM: (f64, f64) = (-10.0, 15.0);
/// The hourly term's limit either way, K.
const CORRECTION_MAX: f64 = 5.0;
/// Dead band of the current temperature around the average, for the cycling of burners, K.
const SWING: f64 = 8.0;
/// How fast the set-point may move: 2 K/min.
const RAMP_CENTI_PER_MIN: u64 = 200;
/// Smaller changes are not applied.
const CHANGE_MIN_CENTI: i64 = 50;
/// A constant set-point accumulates ramp for at most this time: one change.
const RAMP_SAVED: Duration = Duration::from_secs(15);

/// The law's parameters. `flow_min ≤ flow_max`, and the curve's cold point is the colder one.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// Flow temperature by outdoor temperature.
    pub curve: Curve,
    /// Room temperature target, by time of day.
    pub schedule: Schedule,
    /// K of flow temperature per K of room deficit, 0 to 12.
    pub kp: f64,
    /// Gain of the hourly deficit, 0 to 1.
    pub k: f64,
    /// The lowest set-point, °C.
    pub flow_min: f64,
    /// The highest set-point, °C.
    pub flow_max: f64,
    /// How long a lease lasts, seconds; more than twice `renew`.
    pub lease_s: u16,
    /// How often it is renewed.
    pub renew: Duration,
}

/// A line through two points, constant outside of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// The point at the cold end.
    pub cold: CurvePoint,
    /// The point at the warm end.
    pub warm: CurvePoint,
}

/// A point of the heating curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Outdoor temperature, °C.
    pub outdoor: f64,
    /// Flow temperature, °C.
    pub flow: f64,
}

/// Room temperature target, by time of day.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Local time minus UTC, seconds.
    pub offset_s: i32,
    /// In order of time; the last one extends over midnight to the first. Without any, the target is 20 °C.
    pub periods: Vec<Period>,
}

/// A target from a time of day on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// Seconds since local midnight.
    pub from_s: u32,
    /// Room temperature, °C.
    pub target: f64,
}

/// T*, the target before the hourly correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Curve plus room term without limits, °C: decides whether heat is wanted.
    pub free: f64,
    /// The same within the limits, °C.
    pub flow: f64,
}

/// Means over the last hour's heating seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastHour {
    /// Flow temperature now, through a 60 s low-pass, °C.
    pub current: f64,
    /// Mean flow temperature, °C.
    pub average: f64,
    /// Mean set-point, °C.
    pub asked: f64,
    /// Heating seconds ÷ 3,600.
    pub share: f64,
}

impl Curve {
    /// The flow temperature at an outdoor temperature, °C.
    #[must_use]
    pub fn flow(&self, outdoor: f64) -> f64 {
        let (cold, warm) = (self.cold, self.warm);
        let part = (outdoor - cold.outdoor) / (warm.outdoor - cold.outdoor);
        cold.flow + part.clamp(0.0, 1.0) * (warm.flow - cold.flow)
    }
}

impl Schedule {
    /// The target at `utc`, °C.
    #[must_use]
    pub fn target(&self, utc: Utc) -> f64 {
        const DAY_S: i64 = 86_400;
        const UNSCHEDULED: f64 = 20.0;
        let of_day = (utc.second() + i64::from(self.offset_s)).rem_euclid(DAY_S);
        let current = self.periods.iter().rfind(|period| i64::from(period.from_s) <= of_day);
        current.or(self.periods.last()).map_or(UNSCHEDULED, |period| period.target)
    }
}

impl Law {
    /// T*, from outdoor and room temperature. Without a room temperature its term is 0.
    #[must_use]
    pub fn wish(&self, outdoor: f64, room: Option<f64>, target: f64) -> Wish {
        let room_term = room.map_or(0.0, |room| (self.kp * (target - room)).clamp(ROOM_TERM.0, ROOM_TERM.1));
        let free = self.curve.flow(outdoor) + room_term;
        Wish { free, flow: free.clamp(self.flow_min, self.flow_max) }
    }

    /// u: the hourly correction, K; 0 without `hour`.
    #[must_use]
    pub fn correction(&self, hour: Option<&LastHour>) -> f64 {
        let Some(hour) = hour else { return 0.0 };
        let late = hour.asked - hour.average;
        let trend = hour.current - hour.average;
        let excess = trend - trend.clamp(-SWING, SWING);
        hour.share * (self.k * late - 0.5 * excess).clamp(-CORRECTION_MAX, CORRECTION_MAX)
    }

    /// T* + u within the limits, centi-degrees.
    #[must_use]
    pub fn aim(&self, wish: &Wish, correction: f64) -> i64 {
        centi((wish.flow + correction).clamp(self.flow_min, self.flow_max))
    }

    /// Whether heat is wanted, with hysteresis on `was`: off below room + 4 K or above target + 0.7 K, on again above
    /// room + 6 K and below target + 0.4 K. Without a room temperature the target is used instead.
    #[must_use]
    pub fn is_heat_wanted(wish: &Wish, room: Option<f64>, target: f64, was: bool) -> bool {
        let room = room.unwrap_or(target);
        let (margin, excess) = if was { (4.0, 0.7) } else { (6.0, 0.4) };
        let enough = if was { room > target + excess } else { room >= target + excess };
        let pointless = if was { wish.free < room + margin } else { wish.free <= room + margin };
        !enough && !pointless
    }
}

/// A set-point that is ramped towards the aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    centi: i64,
    changed_at: Monotonic,
}

impl Ramp {
    /// Begins at the aim, without an earlier set-point.
    #[must_use]
    pub fn begin(aim_centi: i64, now: Monotonic) -> Self {
        Self { centi: aim_centi, changed_at: now }
    }

    /// The set-point, centi-degrees.
    #[must_use]
    pub fn centi(&self) -> i64 {
        self.centi
    }

    /// Moves towards the aim: at most 2 K/min, and only by 0.5 K or more.
    pub fn follow(&mut self, aim_centi: i64, now: Monotonic) {
        let since_ms = now.since(self.changed_at).min(RAMP_SAVED).as_millis();
        let reach = u64::try_from(since_ms).unwrap_or(0) * RAMP_CENTI_PER_MIN / 60_000;
        let reach = i64::try_from(reach).unwrap_or(0);
        let change = (aim_centi - self.centi).clamp(-reach, reach);
        if change.abs() >= CHANGE_MIN_CENTI {
            self.centi += change;
            self.changed_at = now;
        }
    }
}

/// A first-order low-pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowPass {
    time_constant_s: f64,
    value: Option<f64>,
}

impl LowPass {
    /// A low-pass without a value.
    #[must_use]
    pub fn new(time_constant: Duration) -> Self {
        Self { time_constant_s: time_constant.as_secs_f64(), value: None }
    }

    /// Adds `input`, which lasted for `passed`; the first input is the initial value.
    pub fn add(&mut self, input: f64, passed: Duration) {
        let passed_s = passed.as_secs_f64();
        let part = passed_s / (self.time_constant_s + passed_s);
        self.value = Some(self.value.map_or(input, |value| value + part * (input - value)));
    }

    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.value
    }
}

/// °C in centi-degrees, the nearest.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates; temperatures are far from it")]
pub fn centi(celsius: f64) -> i64 {
    libm::round(celsius * 100.0) as i64
}
