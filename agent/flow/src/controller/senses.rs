//! Room and outdoor temperature, and how long they are valid.
//!
//! | what | valid | otherwise |
//! |---|---|---|
//! | room | while it is at most 30 min old | the room is unknown: its term is 0 |
//! | room | while it changes: constant through 12 h (24 h, 72 h: below) of heating is a sensor that hangs | the same |
//! | room | the same, 5 K or more below the target: through 6 h of heating | the same |
//! | room | the same, 5 K or more above the target: until the house must have lost 2 K | the same |
//! | outdoor | while it is at most 3 h old, through a low-pass of 15 min | the mean of the day before it went silent |
//! | that mean | for a day, and only of at least 12 hours | the outdoor temperature is unknown |
//! | outdoor of the day | through a low-pass of 24 h; in the first day, the mean until now | the last one |
//!
//! Heating changes every room temperature that is measured to a hundredth of a degree, so a good sensor is never
//! constant for 12 h of it; without heating it may well be. A sensor with steps of 0.1 K is constant for longer in a
//! room that is controlled well, one of 0.25 K or 1 °F for days. The least change so far is its step; before the first
//! change, the coarsest usual one that the reading fits. Far below its target a room is heated with the law's full
//! range: that changes it by at least 0.1 K/h, which a sensor of half a degree shows within 6 h.
//!
//! Far above its target a room is not heated, and is constant as long as people and the sun replace its loss. A sensor
//! is frozen where that is impossible. The house is assumed to be heavy and insulated (a time constant of [`LOSS_H`];
//! others lose faster), and to stay [`GAINS`] warmer than the outdoor air without heating: 5 K by people and devices,
//! as in the degree days 20/15 of VDI 3807, and 5 K more by the sun of clear days. It loses 1 % of the rest of the
//! difference an hour while heating is off. After [`LOST`] the sensor is frozen: four steps of a half-degree sensor, of
//! which the sun of an afternoon may delay two. A constant 25.5 °C counts as frozen after 19 h at 5 °C outdoors, after
//! 10 h at −5 °C, never at 15.5 °C or more; 45 °C after 4 h at −10 °C.
//!
//! All of these counts restart when the number changes, and after 30 min without a reading: it may have changed then.
//! Impossible values are not handled here: the agent publishes them as null ([`crate::plausible`]), and the controller
//! drops those of an older agent. Not detected: a sensor that is wrong within its window from the first reading on
//! affects the room term until it is frozen, and one that drifts affects it permanently.
//!
//! The mean is that of a whole day, because half a day is its warm or its cold half.

use core::time::Duration;

use thermowell_wire::subject::Ambient;

use crate::control::{LowPass, centi};
use crate::published::{age_max, celsius, centi_mean};
use crate::time::{HOUR_NS, Monotonic};

/// Maximum age of a room temperature.
const ROOM_AGE_MAX: Duration = age_max(Ambient::Room);
/// A room temperature that is constant through this much heating is frozen, by the least step of its sensor in
/// hundredths of a degree.
const ROOM_FROZEN: [(i64, Duration); 3] = [(25, hours_of(72)), (10, hours_of(24)), (1, hours_of(12))];
/// Usual steps of room sensors, in hundredths of a degree.
const STEPS: [i64; 4] = [50, 25, 10, 1];
/// From this distance to its target a room changes sooner, K.
const ROOM_FAR: f64 = 5.0;
/// Heating that changes a room this far below its target.
const ROOM_COLD_FROZEN: Duration = Duration::from_secs(6 * 3_600);
/// The time constant of a heavy, insulated house, hours.
const LOSS_H: f64 = 100.0;
/// Temperature gain by people, devices and the sun over the outdoor air, K.
const GAINS: f64 = 10.0;
/// A room far above its target that should have lost this much is frozen, K.
const LOST: f64 = 2.0;
/// The curve has to be early rather than smooth: an hour's low-pass costs a fifth of the room's error, and a sensor in
/// the sun is wrong for longer than either.
const OUTDOOR_LOW_PASS: Duration = Duration::from_secs(15 * 60);
/// The heating limit is compared with the outdoor temperature of the day: a daily swing of 4 K leaves 0.6 K of it.
const DAY_LOW_PASS: Duration = DAY;
/// A reading stands for at most this much of the day: sources send as rarely as that.
const DAY_READING_MAX: Duration = Duration::from_secs(3_600);
/// Maximum age of an outdoor temperature.
const OUTDOOR_AGE_MAX: Duration = age_max(Ambient::Outdoor);
const HOURS: usize = 24;
/// Maximum age of the mean of the day before the sensor went silent.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Minimum of hours for the mean of a day.
const DAY_HOURS_MIN: usize = 12;

/// The state of the room temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RoomState {
    /// Valid, °C.
    Celsius(f64),
    /// No reading, or an old one.
    Missing,
    /// Constant for longer than is possible.
    Frozen,
}

impl RoomState {
    pub(super) fn celsius(self) -> Option<f64> {
        match self {
            Self::Celsius(room) => Some(room),
            Self::Missing | Self::Frozen => None,
        }
    }
}

/// The room's sensor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    newest: Option<(f64, Monotonic)>,
    /// The least change of the readings so far, in hundredths of a degree.
    least_centi: Option<i64>,
    /// Heating since the number last changed.
    still: Duration,
    /// The part of that since it has been far below its target; `None` if it is not.
    cold: Option<Duration>,
    /// The loss that it should have shown since it has been far above its target, K; `None` if it is not.
    lost: Option<f64>,
    /// Heating since the newest reading.
    heated: Duration,
}

impl Room {
    /// Takes a reading, °C, with the current target and outdoor temperature.
    pub(super) fn take(&mut self, room: f64, target: f64, outdoor: Option<f64>, now: Monotonic) {
        let before = self.newest.replace((room, now));
        let passed = before.map_or(Duration::ZERO, |(_, at)| now.since(at));
        let is_constant =
            before.is_some_and(|(before, _)| before.to_bits() == room.to_bits()) && passed <= ROOM_AGE_MAX;
        if !is_constant {
            (self.still, self.cold, self.lost) = (Duration::ZERO, None, None);
        }
        let change = before.map_or(0, |(before, _)| (centi(room) - centi(before)).abs());
        if change > 0 {
            self.least_centi = Some(self.least_centi.map_or(change, |least| least.min(change)));
        }
        let unheated = passed.saturating_sub(core::mem::take(&mut self.heated));
        let loss = outdoor.map_or(0.0, |outdoor| (room - outdoor - GAINS).max(0.0) / LOSS_H);
        self.cold = (target - room >= ROOM_FAR).then(|| self.cold.unwrap_or_default());
        self.lost = (room - target >= ROOM_FAR).then(|| self.lost.map_or(0.0, |lost| lost + loss * hours(unheated)));
    }

    /// Adds heating time of the rooms.
    pub(super) fn heated(&mut self, passed: Duration) {
        self.still = self.still.saturating_add(passed);
        self.heated = self.heated.saturating_add(passed);
        self.cold = self.cold.map(|cold| cold.saturating_add(passed));
    }

    /// The step of its readings, K.
    pub(super) fn step(&self) -> f64 {
        celsius(self.step_centi())
    }

    fn step_centi(&self) -> i64 {
        let room_centi = self.newest.map_or(1, |(room, _)| centi(room));
        let coarsest = || STEPS.into_iter().find(|step| room_centi % step == 0);
        self.least_centi.or_else(coarsest).unwrap_or(1)
    }

    pub(super) fn state(&self, now: Monotonic) -> RoomState {
        let frozen_after = ROOM_FROZEN.iter().find(|(step_centi, _)| self.step_centi() >= *step_centi);
        let is_frozen = frozen_after.is_some_and(|(_, after)| self.still >= *after)
            || self.cold.is_some_and(|heated| heated >= ROOM_COLD_FROZEN)
            || self.lost.is_some_and(|lost| lost >= LOST);
        match self.newest {
            Some((_, at)) if now.since(at) > ROOM_AGE_MAX => RoomState::Missing,
            Some(_) if is_frozen => RoomState::Frozen,
            Some((room, _)) => RoomState::Celsius(room),
            None => RoomState::Missing,
        }
    }
}

const fn hours_of(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3_600.0
}

/// The state of the outdoor temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weather {
    /// Current, through the low-pass, °C.
    Now(f64),
    /// The mean of the day before the sensor went silent, °C.
    DayBefore(f64),
    /// No valid reading.
    Unknown,
}

impl Weather {
    pub(super) fn celsius(self) -> Option<f64> {
        match self {
            Self::Now(outdoor) | Self::DayBefore(outdoor) => Some(outdoor),
            Self::Unknown => None,
        }
    }
}

/// The outdoor sensor.
#[derive(Clone, Debug)]
pub(super) struct Outdoor {
    low_pass: LowPass,
    day: LowPass,
    at: Option<Monotonic>,
    /// A ring by the hour of the monotonic axis: the newest hour and those before it.
    hours: [Hour; HOURS],
}

/// The readings of one hour.
#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    centi: i64,
    readings: u64,
}

impl Outdoor {
    pub(super) fn new() -> Self {
        let (low_pass, day) = (LowPass::new(OUTDOOR_LOW_PASS), LowPass::beginning_with_a_mean(DAY_LOW_PASS));
        Self { low_pass, day, at: None, hours: [Hour::default(); HOURS] }
    }

    /// The outdoor temperature of the day, °C.
    pub(super) fn day(&self) -> Option<f64> {
        self.day.value()
    }

    /// Whether that is of a whole day, and not of a part of it.
    pub(super) fn is_day_whole(&self) -> bool {
        self.day.is_whole()
    }

    /// The same for a successor; `None` without a reading for a day: the next one begins it again.
    pub(super) fn recent_day(&self, now: Monotonic) -> Option<f64> {
        self.at.filter(|at| now.since(*at) <= DAY).and(self.day.value())
    }

    /// For how long readings have been in it, at most a day.
    pub(super) fn day_seen(&self) -> Duration {
        self.day.seen()
    }

    /// Continues from that of a predecessor.
    pub(super) fn continue_day(&mut self, day: f64, seen: Duration) {
        self.day.continue_from(day, seen);
    }

    pub(super) fn take(&mut self, outdoor: f64, now: Monotonic) {
        let before = self.at.replace(now);
        let passed = before.map_or(Duration::ZERO, |at| now.since(at));
        self.low_pass.add(outdoor, passed);
        if passed > DAY {
            self.day = LowPass::beginning_with_a_mean(DAY_LOW_PASS);
        }
        // What was not measured does not count: one reading after a silence is not the day.
        self.day.add(outdoor, passed.min(DAY_READING_MAX));
        let (first, last) = (before.map_or(hour(now), hour), hour(now));
        // Clears hours that are a day old, also for hours without readings.
        let passed = last.saturating_sub(first).min(HOURS as u64);
        for skipped in (last - passed + 1)..=last {
            self.hours[place(skipped)] = Hour::default();
        }
        let newest = &mut self.hours[place(last)];
        newest.centi = newest.centi.saturating_add(crate::control::centi(outdoor));
        newest.readings += 1;
    }

    pub(super) fn state(&self, now: Monotonic) -> Weather {
        let Some(age) = self.at.map(|at| now.since(at)) else { return Weather::Unknown };
        let found = if age <= OUTDOOR_AGE_MAX {
            self.low_pass.value().map(Weather::Now)
        } else if age <= DAY {
            self.day_mean().map(Weather::DayBefore)
        } else {
            None
        };
        found.unwrap_or(Weather::Unknown)
    }

    /// Each hour has the same weight, whatever its number of readings.
    fn day_mean(&self) -> Option<f64> {
        let means = self.hours.iter().filter_map(|hour| centi_mean(hour.centi, hour.readings));
        let (sum, hours) = means.fold((0_i64, 0_usize), |(sum, hours), mean| (sum.saturating_add(mean), hours + 1));
        centi_mean(sum, hours as u64).filter(|_| hours >= DAY_HOURS_MIN).map(celsius)
    }
}

fn hour(at: Monotonic) -> u64 {
    at.0 / HOUR_NS.unsigned_abs()
}

fn place(hour: u64) -> usize {
    usize::try_from(hour % HOURS as u64).expect("a remainder of 24 is small")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(seconds * 1_000_000_000)
    }

    #[test]
    fn constant_room_is_frozen_after_12_h_of_heating() {
        let mut room = Room::default();
        assert_eq!(room.state(at(0)), RoomState::Missing);
        for minute in 0..24 * 60 {
            room.take(20.02, 20.0, None, at(minute * 60));
            assert_eq!(room.state(at(minute * 60)), RoomState::Celsius(20.02), "without heating it may be constant");
        }
        let mut now = 0;
        for minute in 24 * 60..36 * 60 {
            now = minute * 60;
            room.take(20.02, 20.0, None, at(now));
            assert_eq!(room.state(at(now)), RoomState::Celsius(20.02), "minute {minute}");
            room.heated(Duration::from_secs(60));
        }
        assert_eq!(room.state(at(now)), RoomState::Frozen);
        room.take(20.01, 20.0, None, at(now));
        assert_eq!(room.state(at(now)), RoomState::Celsius(20.01), "it changes");
        assert_eq!(room.state(at(now + 1_801)), RoomState::Missing);
    }

    /// Hours after which a constant reading of `room` is frozen, with a target of 20 °C; `None` if not within four
    /// days.
    fn frozen_after(room: f64, outdoor: Option<f64>, heats: bool) -> Option<u64> {
        let mut sensor = Room::default();
        (0..4 * 24 * 60).find_map(|minute| {
            let now = at(minute * 60);
            sensor.take(room, 20.0, outdoor, now);
            if heats {
                sensor.heated(Duration::from_secs(60));
            }
            (sensor.state(now) == RoomState::Frozen).then_some(minute / 60)
        })
    }

    #[test]
    fn constant_cold_room_is_frozen_after_6_h_of_heating() {
        for stuck in [0.0, 15.0] {
            assert_eq!(frozen_after(stuck, Some(0.0), true), Some(5), "the last minute of six hours");
            assert_eq!(frozen_after(stuck, Some(0.0), false), None, "without heat it may be constant");
        }
        assert_eq!(frozen_after(15.11, Some(0.0), true), Some(11));
        // A set-back counts from its beginning, not from the last change of the room.
        let mut room = Room::default();
        (0..600).for_each(|minute| room.take(20.0, 20.0, None, at(minute * 60)));
        room.take(20.0, 15.0, None, at(36_000));
        assert_eq!(room.state(at(36_000)), RoomState::Celsius(20.0));
    }

    #[test]
    fn coarse_sensor_may_be_constant_for_longer() {
        for (room, hours) in [(20.01, 11), (20.1, 23), (20.25, 71), (20.5, 71)] {
            assert_eq!(frozen_after(room, Some(0.0), true), Some(hours), "{room} °C");
        }
    }

    #[test]
    fn least_change_is_the_step() {
        let fahrenheit = [68.0, 69.0, 70.0, 69.0].map(|reading: f64| (reading - 32.0) / 1.8);
        for (readings, step, hours) in [
            (fahrenheit, 0.55, 72),
            ([20.25, 20.5, 20.75, 20.5], 0.25, 72),
            ([20.0, 20.5, 20.4, 20.5], 0.1, 24),
            ([20.0, 20.5, 20.47, 20.5], 0.03, 12),
        ] {
            let mut room = Room::default();
            readings.into_iter().for_each(|reading| room.take(reading, 20.0, None, at(0)));
            assert!((room.step() - step).abs() < 1e-9, "{readings:?}: {}", room.step());
            room.heated(Duration::from_secs(hours * 3_600 - 1));
            assert_ne!(room.state(at(0)), RoomState::Frozen, "{readings:?}");
            room.heated(Duration::from_secs(1));
            assert_eq!(room.state(at(0)), RoomState::Frozen, "{readings:?}");
        }
    }

    #[test]
    fn constant_warm_room_is_frozen_once_it_should_have_cooled() {
        for (stuck, outdoor, hours) in [
            (25.5, 5.0, Some(19)),
            (25.5, -5.0, Some(9)),
            (45.0, -10.0, Some(4)),
            (25.5, 15.5, None),
            (25.5, 22.0, None),
            (24.9, -5.0, None),
        ] {
            assert_eq!(frozen_after(stuck, Some(outdoor), false), hours, "{stuck} °C, {outdoor} °C outdoors");
        }
        assert_eq!(frozen_after(25.5, None, false), None, "the loss is unknown without an outdoor temperature");
        let mut room = Room::default();
        (0..30 * 60).for_each(|minute| room.take(25.5, 20.0, Some(5.0), at(minute * 60)));
        assert_eq!(room.state(at(30 * 3_600)), RoomState::Frozen);
        room.take(25.4, 20.0, Some(5.0), at(30 * 3_600));
        assert_eq!(room.state(at(30 * 3_600)), RoomState::Celsius(25.4), "it changes");
    }

    #[test]
    fn hours_without_readings_do_not_freeze_a_room() {
        for (room, heats) in [(12.0, true), (20.0, true), (26.0, false)] {
            let mut sensor = Room::default();
            sensor.take(room, 20.0, Some(-10.0), at(0));
            for minute in 0..20 * 60 {
                if heats {
                    sensor.heated(Duration::from_secs(60));
                }
                assert_ne!(sensor.state(at(minute * 60)), RoomState::Frozen);
            }
            sensor.take(room, 20.0, Some(-10.0), at(20 * 3_600));
            assert_eq!(sensor.state(at(20 * 3_600)), RoomState::Celsius(room));
        }
    }

    /// A day that swings by 5 K around 3 °C.
    fn swing(hour: u64) -> f64 {
        if hour % 24 < 12 { -2.0 } else { 8.0 }
    }

    #[test]
    fn reading_after_a_silence_is_not_the_day() {
        let mut outdoor = Outdoor::new();
        (0..48 * 60).for_each(|minute| outdoor.take(8.0, at(minute * 60)));
        outdoor.take(19.0, at(47 * 3_600 + 20 * 3_600));
        assert!(outdoor.day().is_some_and(|day| day < 8.5), "{:?}", outdoor.day());
        outdoor.take(19.0, at(100 * 3_600));
        assert_eq!((outdoor.day(), outdoor.is_day_whole()), (Some(19.0), false), "after a day it begins again");
    }

    #[test]
    fn silent_outdoor_sensor_is_replaced_by_its_day_mean() {
        let mut outdoor = Outdoor::new();
        for hour in 0..60 {
            // Some hours have more readings than others.
            for reading in 0..=hour % 3 {
                outdoor.take(swing(hour), at(hour * 3_600 + reading * 600));
            }
        }
        let last = 59 * 3_600 + 1_200;
        assert!(matches!(outdoor.state(at(last + 3 * 3_600)), Weather::Now(_)));
        assert_eq!(outdoor.state(at(last + 3 * 3_600 + 1)), Weather::DayBefore(3.0));
        assert_eq!(outdoor.state(at(last + 24 * 3_600)), Weather::DayBefore(3.0));
        assert_eq!(outdoor.state(at(last + 24 * 3_600 + 1)), Weather::Unknown);
    }

    #[test]
    fn day_mean_needs_twelve_hours() {
        for (hours, known) in [(11, false), (12, true)] {
            let mut outdoor = Outdoor::new();
            (0..hours).for_each(|hour| outdoor.take(-2.0, at(hour * 3_600)));
            let state = outdoor.state(at(hours * 3_600 + 3 * 3_600));
            assert_eq!(state == Weather::DayBefore(-2.0), known, "{state:?} of {hours} h");
        }
    }

    #[test]
    fn hours_older_than_a_day_are_cleared() {
        let mut outdoor = Outdoor::new();
        (0..24).for_each(|hour| outdoor.take(-20.0, at(hour * 3_600)));
        // Silent for ten hours, then four new ones: of the last 24 hours, 10 of the old ones are left.
        (34..38).for_each(|hour| outdoor.take(8.0, at(hour * 3_600)));
        assert_eq!(outdoor.state(at(41 * 3_600)), Weather::DayBefore(-12.0));
        // A step of years clears everything.
        outdoor.take(8.0, at(90_000 * 3_600));
        assert_eq!(outdoor.state(at(90_004 * 3_600)), Weather::Unknown);
    }
}
