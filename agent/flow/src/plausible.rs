//! Plausibility check of the slow sensors (room, outdoor, return, pressure): a device's own, and sources outside of it.
//!
//! ```text
//!            five in the window: their median           outside the window, or too large a step
//!   starting ────────────────────────────────▶ plausible ────────────────────────────────▶ implausible
//!      ▲                                        ▲   ▲  within a step of the last accepted reading │  │
//!      │ no reading for an hour                 │   └─────────────────────────────────────────────┘  │
//!      └────────────────────────────────────────┘   the new level lasted for `settle`, and moved     │
//!                                               └────────────────────────────────────────────────────┘
//! ```
//!
//! An outdoor sensor is forgotten after three hours without a reading, for which its last one may count.
//!
//! An implausible value is not used: [`Sensor::reading`] returns `None`. The sensor is reported when it becomes
//! implausible, and again after it has been plausible for `CALM`, so a flickering sensor is reported at most once a
//! minute.
//!
//! | quantity | window | step at once | and per minute since the last move | a new level settles in |
//! |---|---|---|---|---|
//! | room | −10 … 50 °C | 3 K | 0.5 K, for 10 min | 30 min |
//! | outdoor | −50 … 50 °C | 5 K | 1 K, for 15 min | 30 min |
//! | return | −10 … 150 °C | 30 K | 600 K, for 10 s | 10 s |
//! | pressure | 0 … 10 bar | any | – | – |
//!
//! * **Windows.** Room sensors and thermostats are rated up to 50 °C in their makers' data sheets, and below −10 °C
//!   nothing is heated. Outdoor sensors are rated from −50 °C. 85.0 °C (what a DS18B20 reads before its first
//!   conversion, by its data sheet) and −127 °C (what its usual drivers return when it does not answer) lie outside of
//!   both. Water: `WATER`. Transmitters of heating systems end at 10 bar, the safety valve of a house opens at 3, and
//!   0 is the reading of an empty system, which must be reported.
//! * **Steps.** A room changes by less than 0.1 K/min under full heat, the air at its sensor by about 3 K when a window
//!   is opened, and a radio sensor repeats one reading for minutes. Outdoors the sun on the housing makes 5 K, a front
//!   about 1 K/min. Return water jumps by the whole spread (20 K, at most 40 K) within seconds when a pump starts: the
//!   limits of a boiler's own sensors are in its firmware.
//! * **A jump that stays** is a sensor that was moved elsewhere, or one that hangs. The first keeps changing as all
//!   sensors do; the second repeats one number. So a new level is accepted once it has lasted for `settle` and has
//!   moved. A number that never moves (12 °C from a room that had 20) is not accepted as long as the last accepted
//!   reading is kept. A restart of the agent, another board or an hour without readings drops that reading: then the
//!   median of five readings is accepted, and with it the number. A reading outside the window does not interrupt a
//!   level that settles.
//! * **0.00 °C in a room** is the value of an unset register: it does not count as a start until it moves.
//!
//! Not detected: a sensor that is wrong within the window from the first reading on, or drifts more slowly than the
//! steps. The controller's limit on a room temperature that does not change (`controller/senses.rs`) covers the first;
//! nothing covers the second.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use thermowell_wire::subject::Ambient;
use thermowell_wire::{CentiCelsius, Reading};

use crate::time::Monotonic;

/// Plausible room temperatures, centi-degrees.
const ROOM: RangeInclusive<i32> = -1_000..=5_000;
/// Plausible outdoor temperatures, centi-degrees.
const OUTDOOR: RangeInclusive<i32> = -5_000..=5_000;
/// Plausible water temperatures of a heating system, centi-degrees.
const WATER: RangeInclusive<i32> = Reading::LOWEST.0 as i32..=Reading::HIGHEST.0 as i32;
/// Plausible pressures of a heating system, mbar.
const PRESSURE: RangeInclusive<i32> = 0..=10_000;

/// Readings needed for a start: a status arrives once a second, and two outliers do not move the median of five.
const START: usize = 5;
/// After a silence of this length, the sensor may have been replaced or moved. An outdoor temperature counts for three
/// hours, and its source may be as slow.
const FORGET: Duration = Duration::from_secs(3_600);
const FORGET_OUTDOOR: Duration = Duration::from_secs(3 * 3_600);
/// A sensor is reported as plausible again after this time. Its readings are used at once.
const CALM: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Room temperature, centi-degrees.
    Room,
    /// Outdoor temperature, centi-degrees.
    Outdoor,
    /// Return temperature, centi-degrees.
    Return,
    /// Water pressure, mbar.
    Pressure,
}

/// How far a reading may be from the last accepted one: `at_once`, plus `per_minute` for each minute since that one
/// moved, limited to `up_to`.
#[derive(Clone, Copy, Debug)]
struct Step {
    at_once: i32,
    per_minute: i32,
    up_to: Duration,
    settle: Duration,
}

/// The name in JSON.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl From<Ambient> for Quantity {
    fn from(what: Ambient) -> Self {
        match what {
            Ambient::Room => Self::Room,
            Ambient::Outdoor => Self::Outdoor,
        }
    }
}

impl Quantity {
    fn window(self) -> RangeInclusive<i32> {
        match self {
            Self::Room => ROOM,
            Self::Outdoor => OUTDOOR,
            Self::Return => WATER,
            Self::Pressure => PRESSURE,
        }
    }

    fn forget(self) -> Duration {
        match self {
            Self::Outdoor => FORGET_OUTDOOR,
            Self::Room | Self::Return | Self::Pressure => FORGET,
        }
    }

    fn step(self) -> Option<Step> {
        let step = |at_once, per_minute, up_to_s, settle_s| {
            let (up_to, settle) = (Duration::from_secs(up_to_s), Duration::from_secs(settle_s));
            Some(Step { at_once, per_minute, up_to, settle })
        };
        match self {
            Self::Room => step(300, 50, 600, 1_800),
            Self::Outdoor => step(500, 100, 900, 1_800),
            Self::Return => step(3_000, 60_000, 10, 10),
            Self::Pressure => None,
        }
    }

    /// Whether `celsius` lies in the window of a temperature.
    #[must_use]
    pub fn can_be(self, celsius: f64) -> bool {
        let window = self.window();
        (f64::from(*window.start()) / 100.0..=f64::from(*window.end()) / 100.0).contains(&celsius)
    }

    /// The window, with its unit.
    pub(crate) fn limits(self) -> impl fmt::Display {
        let window = self.window();
        Limits(self.show(*window.start()), self.show(*window.end()))
    }

    fn show(self, value: i32) -> Shown {
        Shown { quantity: self, value }
    }
}

/// Whether a number can be the temperature of water in a heating system, °C.
#[must_use]
pub fn is_water(celsius: f64) -> bool {
    Quantity::Return.can_be(celsius)
}

/// A value with its unit.
struct Shown {
    quantity: Quantity,
    value: i32,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quantity {
            Quantity::Room | Quantity::Outdoor | Quantity::Return => {
                let sign = if self.value < 0 { "-" } else { "" };
                write!(f, "{sign}{}.{:02} °C", self.value.unsigned_abs() / 100, self.value.unsigned_abs() % 100)
            }
            Quantity::Pressure => write!(f, "{} mbar", self.value),
        }
    }
}

/// The ends of a window.
struct Limits(Shown, Shown);

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(low, high) = self;
        write!(f, "{low} to {high}")
    }
}

/// Cause a reading is implausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is outside the window of the quantity.
    Window,
    /// It is farther from the last accepted reading than the quantity can have moved.
    Step {
        /// The last accepted reading.
        from: i32,
        /// How far the quantity can have moved since.
        allowed: i32,
    },
    /// It is the value of an unset register, and has not moved.
    Unset,
}

/// An implausible reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible {
    pub quantity: Quantity,
    /// The reading, in the quantity's unit.
    pub value: i32,
    pub cause: Cause,
}

impl Implausible {
    /// The reading in °C or mbar.
    #[must_use]
    pub fn reads(&self) -> f64 {
        match self.quantity {
            Quantity::Room | Quantity::Outdoor | Quantity::Return => f64::from(self.value) / 100.0,
            Quantity::Pressure => f64::from(self.value),
        }
    }
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantity, value, cause } = *self;
        write!(f, "{} is outside of what is plausible: ", quantity.show(value))?;
        match cause {
            Cause::Window => write!(f, "{} are allowed", quantity.limits()),
            Cause::Step { from, allowed } => {
                let (low, high) = (from.saturating_sub(allowed), from.saturating_add(allowed));
                let from = quantity.show(from);
                write!(f, "{} to {} are allowed after {from}", quantity.show(low), quantity.show(high))
            }
            Cause::Unset => f.write_str("it is what an unset register reads, and has not moved"),
        }
    }
}

/// A change of a sensor's plausibility, to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The sensor became implausible.
    Began(Implausible),
    /// The sensor has been plausible for `CALM`.
    Ended(Quantity),
}

/// The last accepted reading.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    value: i32,
    /// When the value last changed.
    moved: Monotonic,
}

/// A level that is too far from the last accepted reading.
#[derive(Clone, Copy, Debug)]
struct Level {
    value: i32,
    since: Monotonic,
    has_moved: bool,
}

/// One sensor.
#[derive(Clone, Debug)]
pub struct Sensor {
    quantity: Quantity,
    starting: Vec<i32, START>,
    accepted: Option<Accepted>,
    level: Option<Level>,
    /// The last reading, if it is plausible.
    reading: Option<i32>,
    /// When a reading arrived last.
    at: Option<Monotonic>,
    /// While reported as implausible: the time of the last implausible reading.
    reported: Option<Monotonic>,
}

impl Sensor {
    /// A sensor without readings.
    #[must_use]
    pub fn new(quantity: Quantity) -> Self {
        Self { quantity, starting: Vec::new(), accepted: None, level: None, reading: None, at: None, reported: None }
    }

    /// Takes a reading; `None` if the device has no such sensor or reports it as faulty.
    pub fn take(&mut self, reading: Option<i32>, now: Monotonic) -> Option<Change> {
        self.reading = None;
        let value = reading?;
        if self.at.replace(now).is_some_and(|at| now.since(at) >= self.quantity.forget()) {
            (self.accepted, self.level) = (None, None);
            self.starting.clear();
        }
        match self.judge(value, now) {
            Ok(reading) => {
                self.reading = reading;
                let calm = reading.is_some() && self.reported.is_some_and(|bad| now.since(bad) >= CALM);
                calm.then(|| self.reported = None).map(|()| Change::Ended(self.quantity))
            }
            Err(cause) => {
                let first = self.reported.replace(now).is_none();
                first.then_some(Change::Began(Implausible { quantity: self.quantity, value, cause }))
            }
        }
    }

    /// The last reading, unless it is implausible or older than `age_max`.
    #[must_use]
    pub fn reading(&self, now: Monotonic, age_max: Duration) -> Option<i32> {
        self.reading.filter(|_| self.at.is_some_and(|at| now.since(at) <= age_max))
    }

    /// The accepted value of a reading; `None` while starting.
    fn judge(&mut self, value: i32, now: Monotonic) -> Result<Option<i32>, Cause> {
        if !self.quantity.window().contains(&value) {
            // Not a level of its own: a level that settles is not interrupted.
            return Err(Cause::Window);
        }
        let Some(step) = self.quantity.step() else { return Ok(Some(value)) };
        let Some(accepted) = self.accepted else { return self.start(value, now) };
        // The allowance does not grow while another level settles.
        let allowed = step.allowed(accepted.moved, self.level.map_or(now, |level| level.since));
        if value.abs_diff(accepted.value) <= allowed.unsigned_abs() {
            let moved = if value == accepted.value { accepted.moved } else { now };
            (self.accepted, self.level) = (Some(Accepted { value, moved }), None);
            return Ok(Some(value));
        }
        if !self.settles(value, now, &step) {
            return Err(Cause::Step { from: accepted.value, allowed });
        }
        (self.accepted, self.level) = (Some(Accepted { value, moved: now }), None);
        Ok(Some(value))
    }

    fn start(&mut self, value: i32, now: Monotonic) -> Result<Option<i32>, Cause> {
        if self.quantity == Quantity::Room && value == 0 {
            return Err(Cause::Unset);
        }
        if self.starting.push(value).is_ok() && !self.starting.is_full() {
            return Ok(None);
        }
        self.starting.sort_unstable();
        let median = self.starting[START / 2];
        self.starting.clear();
        self.accepted = Some(Accepted { value: median, moved: now });
        Ok(Some(median))
    }

    /// Whether a level that is too far away has lasted for long enough and has moved, as that of a working sensor does.
    fn settles(&mut self, value: i32, now: Monotonic, step: &Step) -> bool {
        let near = |level: &Level| value.abs_diff(level.value) <= step.at_once.unsigned_abs();
        let before = self.level.filter(near).unwrap_or(Level { value, since: now, has_moved: false });
        let level = Level { value, has_moved: before.has_moved || value != before.value, ..before };
        self.level = Some(level);
        level.has_moved && now.since(level.since) >= step.settle
    }
}

impl Step {
    fn allowed(&self, moved: Monotonic, now: Monotonic) -> i32 {
        let ms = now.since(moved).min(self.up_to).as_millis();
        let ms = i32::try_from(ms).expect("up to 15 minutes");
        self.at_once.saturating_add(self.per_minute.saturating_mul(ms / 1_000) / 60)
    }
}

/// The slow sensors of one boiler.
#[derive(Clone, Debug)]
pub struct Sensors {
    room: Sensor,
    outdoor: Sensor,
    return_temperature: Sensor,
    pressure: Sensor,
}

/// One reading of each slow sensor; `None` without a plausible one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub room: Option<CentiCelsius>,
    pub outdoor: Option<CentiCelsius>,
    pub return_temperature: Option<CentiCelsius>,
    pub pressure_mbar: Option<u16>,
}

impl Default for Sensors {
    fn default() -> Self {
        Self {
            room: Sensor::new(Quantity::Room),
            outdoor: Sensor::new(Quantity::Outdoor),
            return_temperature: Sensor::new(Quantity::Return),
            pressure: Sensor::new(Quantity::Pressure),
        }
    }
}

impl Sensors {
    /// Takes a device's readings; returns at most one change per sensor.
    pub fn take(&mut self, reported: &Reported, now: Monotonic) -> impl Iterator<Item = Change> + use<> {
        let centi = |reading: Option<CentiCelsius>| reading.map(|CentiCelsius(centi)| i32::from(centi));
        let changes = [
            self.room.take(centi(reported.room), now),
            self.outdoor.take(centi(reported.outdoor), now),
            self.return_temperature.take(centi(reported.return_temperature), now),
            self.pressure.take(reported.pressure_mbar.map(i32::from), now),
        ];
        changes.into_iter().flatten()
    }

    /// The readings that are plausible and not older than `age_max`.
    #[must_use]
    pub fn readings(&self, now: Monotonic, age_max: Duration) -> Reported {
        let reading = |sensor: &Sensor| sensor.reading(now, age_max);
        let centi = |sensor| reading(sensor).and_then(|centi| i16::try_from(centi).ok()).map(CentiCelsius);
        Reported {
            room: centi(&self.room),
            outdoor: centi(&self.outdoor),
            return_temperature: centi(&self.return_temperature),
            pressure_mbar: reading(&self.pressure).and_then(|mbar| u16::try_from(mbar).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;
    use std::vec::Vec;

    use super::*;

    const AGE: Duration = Duration::from_secs(10);

    fn at(second: u64) -> Monotonic {
        Monotonic(second * 1_000_000_000)
    }

    /// Feeds `readings`, one a second; returns the accepted reading after each, and the reported changes.
    fn read(
        sensor: &mut Sensor,
        from: u64,
        readings: impl IntoIterator<Item = i32>,
    ) -> (Vec<Option<i32>>, Vec<Change>) {
        let (mut accepted, mut reported) = (Vec::new(), Vec::new());
        for (second, reading) in (from..).zip(readings) {
            reported.extend(sensor.take(Some(reading), at(second)));
            accepted.push(sensor.reading(at(second), AGE));
        }
        (accepted, reported)
    }

    fn started(quantity: Quantity, value: i32) -> Sensor {
        let mut sensor = Sensor::new(quantity);
        let (accepted, reported) = read(&mut sensor, 0, [value; START]);
        assert_eq!((accepted.last(), reported.len()), (Some(&Some(value)), 0));
        sensor
    }

    #[test]
    fn windows_end_at_their_documented_limits() {
        for (quantity, low, high) in [
            (Quantity::Room, -1_000, 5_000),
            (Quantity::Outdoor, -5_000, 5_000),
            (Quantity::Return, -1_000, 15_000),
            (Quantity::Pressure, 0, 10_000),
        ] {
            for (value, is_plausible) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
                let (accepted, reported) = read(&mut Sensor::new(quantity), 0, [value; START]);
                assert_eq!(accepted.last(), Some(&is_plausible.then_some(value)), "{quantity:?} {value}");
                assert_eq!(reported.len(), usize::from(!is_plausible), "once");
            }
        }
    }

    #[test]
    fn start_is_the_median_of_five_readings() {
        let mut sensor = Sensor::new(Quantity::Outdoor);
        let (accepted, reported) = read(&mut sensor, 0, [8_500, 4_500, 300, -4_000, 310, 290, 305]);
        assert_eq!(accepted, [None, None, None, None, None, Some(300), Some(305)]);
        assert!(
            matches!(reported[..], [Change::Began(Implausible { value: 8_500, cause: Cause::Window, .. })]),
            "{reported:?}"
        );
    }

    #[test]
    fn jump_to_a_constant_is_never_accepted() {
        let mut sensor = started(Quantity::Room, 2_000);
        let (accepted, reported) = read(&mut sensor, 5, [0; 8 * 3_600]);
        assert!(accepted.iter().all(Option::is_none));
        let [Change::Began(implausible)] = reported[..] else { panic!("{reported:?}") };
        assert_eq!(
            implausible.to_string(),
            "0.00 °C is outside of what is plausible: 17.00 °C to 23.00 °C are allowed after 20.00 °C"
        );
        let (accepted, reported) = read(&mut sensor, 5 + 8 * 3_600, [1_950; 70]);
        assert_eq!(accepted[0], Some(1_950), "a plausible reading is used at once");
        assert_eq!(reported, [Change::Ended(Quantity::Room)]);
    }

    #[test]
    fn moving_new_level_is_accepted_after_half_an_hour() {
        let mut sensor = started(Quantity::Room, 2_000);
        let elsewhere = |second: i32| 1_200 + (second / 300) % 2;
        let (accepted, _) = read(&mut sensor, 5, (0..1_801).map(elsewhere));
        assert_eq!(accepted.iter().position(Option::is_some), Some(1_800));
    }

    #[test]
    fn outliers_do_not_interrupt_a_settling_level() {
        // A sensor that was moved, and 85.00 °C once in 20 min: that is not a reading of another level.
        let dips = |second: i32, else_reads: i32| if second % 1_200 == 600 { 8_500 } else { else_reads };
        let mut sensor = started(Quantity::Room, 2_000);
        let (accepted, _) = read(&mut sensor, 5, (0..7_200).map(|second| dips(second, 900 + (second / 300) % 2)));
        assert_eq!(accepted.iter().position(Option::is_some), Some(1_801), "1,800 is a dip");
        // Nor does it help a number that never moves.
        let mut sensor = started(Quantity::Room, 2_000);
        let (accepted, _) = read(&mut sensor, 5, (0..7_200).map(|second| dips(second, 1_300)));
        assert!(accepted.iter().all(Option::is_none));
    }

    #[test]
    fn normal_changes_of_a_house_are_accepted() {
        // An open window cools the sensor, a radio sensor reports every ten minutes, a pump starts.
        let mut window = started(Quantity::Room, 2_000);
        let (accepted, _) = read(&mut window, 5, (0..600).map(|second| 1_750 - second / 2));
        assert!(accepted.iter().all(Option::is_some));
        let mut radio = started(Quantity::Room, 2_000);
        let (accepted, _) = read(&mut radio, 5, (0..7_200).map(|second| 2_000 - 100 * (second / 600)));
        assert!(accepted.iter().all(Option::is_some));
        let mut pump = started(Quantity::Return, 2_000);
        assert_eq!(read(&mut pump, 5, [6_000, 5_500, 2_500]).0, [Some(6_000), Some(5_500), Some(2_500)]);
    }

    #[test]
    fn room_at_zero_is_accepted_once_it_moves() {
        let mut sensor = Sensor::new(Quantity::Room);
        let (accepted, reported) = read(&mut sensor, 0, [0; 3_600]);
        assert!(accepted.iter().all(Option::is_none));
        assert!(matches!(reported[..], [Change::Began(Implausible { cause: Cause::Unset, .. })]), "{reported:?}");
        let (accepted, _) = read(&mut sensor, 3_600, [6, 6, 6, 6, 6, 0]);
        assert_eq!(accepted[4..], [Some(6), Some(0)]);
    }

    #[test]
    fn flickering_sensor_is_reported_once() {
        let mut sensor = started(Quantity::Room, 2_000);
        let (accepted, reported) =
            read(&mut sensor, 5, (0..3_600).map(|second| if second % 2 == 0 { 8_500 } else { 2_000 }));
        assert_eq!((reported.len(), accepted[1], accepted[2]), (1, Some(2_000), None));
    }

    #[test]
    fn an_hour_of_silence_restarts_the_sensor() {
        let mut sensor = started(Quantity::Room, 2_000);
        assert_eq!(sensor.reading(at(14), AGE), Some(2_000));
        assert_eq!(sensor.reading(at(15), AGE), None, "older than its age");
        assert_eq!(sensor.take(None, at(16)), None);
        assert_eq!(sensor.reading(at(16), AGE), None, "the device has no reading");
        let (accepted, reported) = read(&mut sensor, 3_700, [1_000; START]);
        assert_eq!((accepted.last(), reported.len()), (Some(&Some(1_000)), 0));
    }
}
