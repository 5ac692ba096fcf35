//! The control law: the flow temperature to request. Pure arithmetic on the controller's inputs.
//!
//! ```text
//! e = target − room
//! T* = clamp(curve(outdoor) + clamp(Kp · e, low, high) + I, flow_min, flow_max)     Kp ≤ 5 K ÷ the sensor's step
//! dI/dt = Ki · clamp(e, −0.5, +0.5)     while T* heats the rooms; never further into a limit
//! late = asked − average                 the mean S less the mean flow temperature of the last hour's heating seconds
//! u = share · clamp(k · (late − 2), 0, +5)
//! S = clamp(T* + u, flow_min, flow_max), at most 2 K/min, changed only by ≥ 0.5 K (floor: 0.2 K)
//! ```
//!
//! The room term reacts to people, sun and wind. The integral removes what is constant: a curve that does not fit the
//! house, or a boiler that always delivers less. The hourly term compensates at once for a boiler that has delivered
//! less than requested. On a sound boiler, whose flow sags by up to 2 K while its burner pauses, it is 0: 1 K too much
//! for a floor that needs 24 °C warms the room by as much. `asked` is the requested set-point including the correction,
//! not T*: so `late` measures only the boiler's deficit, and the correction does not act on itself with an hour's
//! delay.
//!
//! Above the heating limit no heat is requested, whatever the room: the house is warm by its gains, or will be.
//!
//! All temperatures are °C; set-points are in centi-degrees, so that limits are exact to the last digit.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Monotonic;

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Plan, Step};

/// The hourly term's limit, K.
const CORRECTION_MAX: f64 = 5.0;
/// A step of the room's sensor may move the flow by this much, K: a coarse sensor gets a lower gain.
const JUMP_MAX: f64 = 5.0;
/// The integral takes at most this error, K: a morning's warm-up of hours adds little to it.
const INTEGRATED_MAX: f64 = 0.5;
/// Below the heating limit by this much, heat may be requested again, K. More than the day's swing leaves of itself in
/// the day's outdoor temperature.
const LIMIT_HYSTERESIS: f64 = 2.0;
/// How fast the set-point may move: 2 K/min.
const RAMP_CENTI_PER_MIN: u64 = 200;
/// The flow of a sound boiler is on average this far below its set-point, K: its burner starts 3 K below.
const SAG: f64 = 2.0;
/// A constant set-point accumulates ramp for at most this time: one change.
const RAMP_SAVED: Duration = Duration::from_secs(15);

/// The law's parameters. `flow_min ≤ flow_max`, and the curve's cold point is the colder one.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// What heats the rooms.
    pub emitter: Emitter,
    /// Flow temperature by outdoor temperature.
    pub curve: Curve,
    /// The targets of the room temperature.
    pub plan: Plan,
    /// K of flow temperature per K of room deficit, 0 to 30.
    pub kp: f64,
    /// K of flow temperature per K of room deficit and hour, 0 to 2.
    pub ki: f64,
    /// Gain of the hourly deficit, 0 to 1.
    pub k: f64,
    /// No heat at or above this outdoor temperature of the day, °C.
    pub heating_limit: f64,
    /// The lowest set-point, °C.
    pub flow_min: f64,
    /// The highest set-point, °C.
    pub flow_max: f64,
    /// How long a lease lasts, seconds; more than twice `renew`.
    pub lease_s: u16,
    /// How often it is renewed.
    pub renew: Duration,
}

/// What heats the rooms: how far the room may move the flow temperature, and which flow temperature still heats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emitter {
    /// Radiators and convectors.
    Radiators,
    /// Heated floors: slow, and warm enough at a few kelvins above the room.
    Floor,
    /// Fan coils: quick, and a draught while their water is lukewarm.
    FanCoil,
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

/// T*, the target before the hourly correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Curve, room term and integral without limits, °C: decides whether heat is wanted.
    pub free: f64,
    /// The same within the limits, °C.
    pub flow: f64,
}

/// Means over the last hour's heating seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastHour {
    /// Mean flow temperature, °C.
    pub average: f64,
    /// Mean set-point, °C.
    pub asked: f64,
    /// Heating seconds ÷ 3,600.
    pub share: f64,
}

/// The name in the configuration.
impl fmt::Display for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Emitter {
    /// Every emitter.
    pub const ALL: [Self; 3] = [Self::Radiators, Self::Floor, Self::FanCoil];

    /// The limits of the room term, K. A floor's water is a few kelvins above the room, and it answers after hours.
    #[must_use]
    pub fn room_term(self) -> (f64, f64) {
        match self {
            Self::Radiators | Self::FanCoil => (-10.0, 15.0),
            Self::Floor => (-5.0, 5.0),
        }
    }

    /// The limit of the integral either way, K.
    #[must_use]
    pub fn integral_max(self) -> f64 {
        match self {
            Self::Radiators | Self::FanCoil => 10.0,
            Self::Floor => 5.0,
        }
    }

    /// Smaller changes of the set-point are not applied, centi-degrees. Half a kelvin is a tenth of a floor's heat.
    #[must_use]
    pub fn change_min_centi(self) -> i64 {
        match self {
            Self::Radiators | Self::FanCoil => 50,
            Self::Floor => 20,
        }
    }

    /// The least useful distance of the flow to the room, to continue and to begin, K.
    fn lift(self) -> (f64, f64) {
        match self {
            Self::Radiators => (4.0, 6.0),
            Self::Floor => (1.0, 2.0),
            Self::FanCoil => (8.0, 10.0),
        }
    }
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

impl Law {
    /// T*, from outdoor and room temperature and the integral. Without a room temperature its term is 0. `step` is that
    /// of the room's sensor, K.
    #[must_use]
    pub fn wish(&self, outdoor: f64, room: Option<f64>, step: f64, target: f64, integral: f64) -> Wish {
        let (low, high) = self.emitter.room_term();
        let kp = self.kp.min(JUMP_MAX / step);
        let room_term = room.map_or(0.0, |room| (kp * (target - room)).clamp(low, high));
        let free = self.curve.flow(outdoor) + room_term + integral;
        Wish { free, flow: free.clamp(self.flow_min, self.flow_max) }
    }

    /// The integral after `passed` of heating with `room`, K. It does not grow into a limit of the set-point that holds
    /// already.
    #[must_use]
    pub fn integrate(&self, integral: f64, wish: &Wish, room: f64, target: f64, passed: Duration) -> f64 {
        let error = (target - room).clamp(-INTEGRATED_MAX, INTEGRATED_MAX);
        let is_limited = if error > 0.0 { wish.free >= self.flow_max } else { wish.free <= self.flow_min };
        let change = if is_limited { 0.0 } else { self.ki * error * passed.as_secs_f64() / 3_600.0 };
        self.bound_integral(integral + change)
    }

    /// An integral within its limits, K; 0 for one that is not a number.
    #[must_use]
    pub fn bound_integral(&self, integral: f64) -> f64 {
        let most = self.emitter.integral_max();
        if integral.is_nan() { 0.0 } else { integral.clamp(-most, most) }
    }

    /// u: the hourly correction, K; 0 without `hour`.
    #[must_use]
    pub fn correction(&self, hour: Option<&LastHour>) -> f64 {
        let Some(hour) = hour else { return 0.0 };
        let late = hour.asked - hour.average;
        hour.share * (self.k * (late - SAG)).clamp(0.0, CORRECTION_MAX)
    }

    /// T* + u within the limits, centi-degrees.
    #[must_use]
    pub fn aim(&self, wish: &Wish, correction: f64) -> i64 {
        centi((wish.flow + correction).clamp(self.flow_min, self.flow_max))
    }

    /// Whether it is cold enough outdoors to heat, by the outdoor temperature of the day, with hysteresis on `was`.
    #[must_use]
    pub fn is_heating_season(&self, day: f64, was: bool) -> bool {
        day < if was { self.heating_limit } else { self.heating_limit - LIMIT_HYSTERESIS }
    }

    /// Whether the room wants heat, with hysteresis on `was`: off above target + 0.7 K, on again below target + 0.4 K;
    /// off while T* is too little above the room to heat it. Without a room temperature it does.
    #[must_use]
    pub fn is_heat_wanted(&self, wish: &Wish, room: Option<f64>, target: f64, was: bool) -> bool {
        let Some(room) = room else { return true };
        let (lift_off, lift_on) = self.emitter.lift();
        let (lift, excess) = if was { (lift_off, 0.7) } else { (lift_on, 0.4) };
        let enough = if was { room > target + excess } else { room >= target + excess };
        let pointless = if was { wish.free < room + lift } else { wish.free <= room + lift };
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

    /// Moves towards the aim: at most 2 K/min, and only by `least_centi` or more.
    pub fn follow(&mut self, aim_centi: i64, least_centi: i64, now: Monotonic) {
        let since_ms = now.since(self.changed_at).min(RAMP_SAVED).as_millis();
        let reach = u64::try_from(since_ms).unwrap_or(0) * RAMP_CENTI_PER_MIN / 60_000;
        let reach = i64::try_from(reach).unwrap_or(0);
        let change = (aim_centi - self.centi).clamp(-reach, reach);
        if change.abs() >= least_centi {
            self.centi += change;
            self.changed_at = now;
        }
    }
}

/// A first-order low-pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowPass {
    time_constant_s: f64,
    /// The time constant now: of one that begins with a mean, the time that it has seen.
    now_s: f64,
    value: Option<f64>,
}

impl LowPass {
    /// A low-pass without a value.
    #[must_use]
    pub fn new(time_constant: Duration) -> Self {
        let time_constant_s = time_constant.as_secs_f64();
        Self { time_constant_s, now_s: time_constant_s, value: None }
    }

    /// A low-pass whose value is the mean of all inputs until the time constant has passed: the first one does not
    /// weigh more than the others.
    #[must_use]
    pub fn beginning_with_a_mean(time_constant: Duration) -> Self {
        Self { now_s: 0.0, ..Self::new(time_constant) }
    }

    /// Replaces the value by that of a predecessor, which has seen inputs for `seen`.
    pub fn continue_from(&mut self, value: f64, seen: Duration) {
        if value.is_finite() {
            (self.value, self.now_s) = (Some(value), seen.as_secs_f64().min(self.time_constant_s));
        }
    }

    /// Adds `input`, which lasted for `passed`; the first input is the initial value.
    pub fn add(&mut self, input: f64, passed: Duration) {
        let passed_s = passed.as_secs_f64();
        let whole_s = self.now_s + passed_s;
        let part = if whole_s > 0.0 { passed_s / whole_s } else { 0.0 };
        self.value = Some(self.value.map_or(input, |value| value + part * (input - value)));
        self.now_s = whole_s.min(self.time_constant_s);
    }

    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.value
    }

    /// For how long it has seen inputs, at most its time constant.
    #[must_use]
    pub fn seen(&self) -> Duration {
        Duration::try_from_secs_f64(self.now_s).unwrap_or_default()
    }

    /// Whether it has seen its time constant.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.now_s >= self.time_constant_s
    }
}

/// °C in centi-degrees, the nearest.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates; temperatures are far from it")]
pub fn centi(celsius: f64) -> i64 {
    libm::round(celsius * 100.0) as i64
}
