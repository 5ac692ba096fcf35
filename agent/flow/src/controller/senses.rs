//! The room and the weather, and how far they can be believed.
//!
//! | what | is believed | else |
//! |---|---|---|
//! | room | while it is at most 30 min old | the room is unknown: its term is 0 |
//! | room | while it moves: the same number through 12 h of heating is a sensor that hangs | the same |
//! | room | the same, 5 K or more below the target: through 6 h of heating | the same |
//! | room | the same, 5 K or more above the target: until the house should have lost 2 K | the same |
//! | outdoor | while it is at most 3 h old, through a low-pass of 1 h | the mean of the day before it went silent |
//! | that mean | for a day, and only of 12 hours at least | the weather is unknown |
//!
//! Heating moves every room that is measured to a hundredth of a degree, so 12 h are far beyond what a good sensor
//! shows; without heating a room may well stand still. Far below its target it is heated with all that the law has:
//! that moves it by 0.1 K/h at least, which a sensor of half a degree shows within 6 h.
//!
//! Far above its target it is not heated, and stands still as long as people and the sun replace what it loses. What
//! has to be seen is a room that cannot: one of a heavy, insulated house (a time constant of [`LOSS_H`]; others lose
//! faster) that stays [`GAINS`] warmer than the outdoor air without heating: 5 K by people and devices, as in the
//! degree days 20/15 of VDI 3807, and 5 K more by the sun of clear days. The rest of the difference is loss, 1 % of it
//! an hour while heating is off. After [`LOST`] it is frozen: four steps of a half-degree sensor, of which the sun of
//! an afternoon may hold back two. 25.5 °C are frozen after 19 h at 5 °C outdoors, after 10 h at −5 °C, never at 15.5
//! °C or more; 45 °C after 4 h at −10 °C.
//!
//! All of these counts begin again when the number moves, and after 30 min without a reading: it may have moved then.
//! What is impossible never gets here: the agent publishes it as null ([`crate::plausible`]), and the controller drops
//! what an older agent would publish. What is left: a sensor that is wrong within its window from the first reading on
//! has the room term until it is frozen, and one that drifts has it for good.
//!
//! The mean is that of a whole day because half of one is the
//! warm half or the cold one.

use core::time::Duration;

use crate::control::LowPass;
use crate::published::{celsius, centi_mean};
use crate::time::Monotonic;

/// An older room temperature is none.
const ROOM_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// A room that stood still through so much heating is no room.
const ROOM_FROZEN: Duration = Duration::from_secs(12 * 3_600);
/// So far from its target a room moves sooner, K.
const ROOM_FAR: f64 = 5.0;
/// Heating that moves a room so far below its target.
const ROOM_COLD_FROZEN: Duration = Duration::from_secs(6 * 3_600);
/// The time constant of a heavy, insulated house, hours.
const LOSS_H: f64 = 100.0;
/// What people, devices and the sun keep a house above the outdoor air, K.
const GAINS: f64 = 10.0;
/// A room far above its target that should have lost so much is no room, K.
const LOST: f64 = 2.0;
const OUTDOOR_LOW_PASS: Duration = Duration::from_secs(3_600);
/// An older outdoor temperature says nothing about the weather now.
const OUTDOOR_AGE_MAX: Duration = Duration::from_secs(3 * 3_600);
const HOURS: usize = 24;
/// Before the sensor went silent, in hours: after so long the day before it says nothing either.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Fewer hours are no day.
const DAY_HOURS_MIN: usize = 12;
const HOUR_NS: u64 = 3_600_000_000_000;

/// What is known of the room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RoomSays {
    /// Its temperature, °C.
    Celsius(f64),
    /// Nothing, or nothing for long.
    Missing,
    /// The same number for longer than a room can have it.
    Frozen,
}

impl RoomSays {
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
    /// Heating since the number moved last.
    still: Duration,
    /// Of that, what came while it is far below its target; none where it is not.
    cold: Option<Duration>,
    /// What it should have lost, K, while it is far above its target; none where it is not.
    lost: Option<f64>,
    /// Heating since the newest reading.
    heated: Duration,
}

impl Room {
    /// Takes what the room has, °C, where it should have `target` and the weather is `outdoor`.
    pub(super) fn take(&mut self, room: f64, target: f64, outdoor: Option<f64>, now: Monotonic) {
        let before = self.newest.replace((room, now));
        let passed = before.map_or(Duration::ZERO, |(_, at)| now.since(at));
        let stands = before.is_some_and(|(before, _)| before.to_bits() == room.to_bits()) && passed <= ROOM_AGE_MAX;
        if !stands {
            (self.still, self.cold, self.lost) = (Duration::ZERO, None, None);
        }
        let unheated = passed.saturating_sub(core::mem::take(&mut self.heated));
        let loss = outdoor.map_or(0.0, |outdoor| (room - outdoor - GAINS).max(0.0) / LOSS_H);
        self.cold = (target - room >= ROOM_FAR).then(|| self.cold.unwrap_or_default());
        self.lost = (room - target >= ROOM_FAR).then(|| self.lost.map_or(0.0, |lost| lost + loss * hours(unheated)));
    }

    /// Heat went to the rooms for so long.
    pub(super) fn heated(&mut self, passed: Duration) {
        self.still = self.still.saturating_add(passed);
        self.heated = self.heated.saturating_add(passed);
        self.cold = self.cold.map(|cold| cold.saturating_add(passed));
    }

    pub(super) fn says(&self, now: Monotonic) -> RoomSays {
        let is_frozen = self.still >= ROOM_FROZEN
            || self.cold.is_some_and(|heated| heated >= ROOM_COLD_FROZEN)
            || self.lost.is_some_and(|lost| lost >= LOST);
        match self.newest {
            Some((_, at)) if now.since(at) > ROOM_AGE_MAX => RoomSays::Missing,
            Some(_) if is_frozen => RoomSays::Frozen,
            Some((room, _)) => RoomSays::Celsius(room),
            None => RoomSays::Missing,
        }
    }
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3_600.0
}

/// What is known of the weather.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weather {
    /// Through the low-pass, °C.
    Now(f64),
    /// The mean of the day before the sensor went silent, °C.
    DayBefore(f64),
    /// Nothing.
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
    at: Option<Monotonic>,
    /// By the hour of the monotonic axis; the one that is newest, and those before it.
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
        Self { low_pass: LowPass::new(OUTDOOR_LOW_PASS), at: None, hours: [Hour::default(); HOURS] }
    }

    pub(super) fn take(&mut self, outdoor: f64, now: Monotonic) {
        let before = self.at.replace(now);
        self.low_pass.add(outdoor, before.map_or(Duration::ZERO, |at| now.since(at)));
        let (first, last) = (before.map_or(hour(now), hour), hour(now));
        // What lies a day back gives way, also that of hours in which nothing came.
        let passed = last.saturating_sub(first).min(HOURS as u64);
        for skipped in (last - passed + 1)..=last {
            self.hours[place(skipped)] = Hour::default();
        }
        let newest = &mut self.hours[place(last)];
        newest.centi = newest.centi.saturating_add(crate::control::centi(outdoor));
        newest.readings += 1;
    }

    pub(super) fn says(&self, now: Monotonic) -> Weather {
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

    /// Each hour counts the same, however often it was looked at.
    fn day_mean(&self) -> Option<f64> {
        let means = self.hours.iter().filter_map(|hour| centi_mean(hour.centi, hour.readings));
        let (sum, hours) = means.fold((0_i64, 0_usize), |(sum, hours), mean| (sum.saturating_add(mean), hours + 1));
        centi_mean(sum, hours as u64).filter(|_| hours >= DAY_HOURS_MIN).map(celsius)
    }
}

fn hour(at: Monotonic) -> u64 {
    at.0 / HOUR_NS
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
    fn a_room_that_stands_still_through_half_a_day_of_heating_is_frozen() {
        let mut room = Room::default();
        assert_eq!(room.says(at(0)), RoomSays::Missing);
        for minute in 0..24 * 60 {
            room.take(20.0, 20.0, None, at(minute * 60));
            assert_eq!(room.says(at(minute * 60)), RoomSays::Celsius(20.0), "without heating it may stand still");
        }
        let mut now = 0;
        for minute in 24 * 60..36 * 60 {
            now = minute * 60;
            room.take(20.0, 20.0, None, at(now));
            assert_eq!(room.says(at(now)), RoomSays::Celsius(20.0), "minute {minute}");
            room.heated(Duration::from_secs(60));
        }
        assert_eq!(room.says(at(now)), RoomSays::Frozen);
        room.take(20.01, 20.0, None, at(now));
        assert_eq!(room.says(at(now)), RoomSays::Celsius(20.01), "it moves");
        assert_eq!(room.says(at(now + 1_801)), RoomSays::Missing);
    }

    /// Hours after which a room that reads `room` each minute is frozen, where it should have 20 °C; none in four days.
    fn frozen_after(room: f64, outdoor: Option<f64>, heats: bool) -> Option<u64> {
        let mut sensor = Room::default();
        (0..4 * 24 * 60).find_map(|minute| {
            let now = at(minute * 60);
            sensor.take(room, 20.0, outdoor, now);
            if heats {
                sensor.heated(Duration::from_secs(60));
            }
            (sensor.says(now) == RoomSays::Frozen).then_some(minute / 60)
        })
    }

    #[test]
    fn a_room_far_below_its_target_is_frozen_after_6_h_of_heating() {
        for stuck in [0.0, 15.0] {
            assert_eq!(frozen_after(stuck, Some(0.0), true), Some(5), "the last minute of six hours");
            assert_eq!(frozen_after(stuck, Some(0.0), false), None, "without heat it may stand still");
        }
        assert_eq!(frozen_after(15.1, Some(0.0), true), Some(11));
        // A set-back counts from its beginning, not from when the room moved last.
        let mut room = Room::default();
        (0..600).for_each(|minute| room.take(20.0, 20.0, None, at(minute * 60)));
        room.take(20.0, 15.0, None, at(36_000));
        assert_eq!(room.says(at(36_000)), RoomSays::Celsius(20.0));
    }

    #[test]
    fn a_room_far_above_its_target_is_frozen_once_it_should_have_cooled() {
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
        assert_eq!(frozen_after(25.5, None, false), None, "without weather nothing is known of the loss");
        let mut room = Room::default();
        (0..30 * 60).for_each(|minute| room.take(25.5, 20.0, Some(5.0), at(minute * 60)));
        assert_eq!(room.says(at(30 * 3_600)), RoomSays::Frozen);
        room.take(25.4, 20.0, Some(5.0), at(30 * 3_600));
        assert_eq!(room.says(at(30 * 3_600)), RoomSays::Celsius(25.4), "it moves");
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
                assert_ne!(sensor.says(at(minute * 60)), RoomSays::Frozen);
            }
            sensor.take(room, 20.0, Some(-10.0), at(20 * 3_600));
            assert_eq!(sensor.says(at(20 * 3_600)), RoomSays::Celsius(room));
        }
    }

    /// A day that swings by 5 K around 3 °C.
    fn swing(hour: u64) -> f64 {
        if hour % 24 < 12 { -2.0 } else { 8.0 }
    }

    #[test]
    fn a_silent_outdoor_sensor_leaves_the_mean_of_its_last_day() {
        let mut outdoor = Outdoor::new();
        for hour in 0..60 {
            // Some hours are looked at more often than others.
            for look in 0..=hour % 3 {
                outdoor.take(swing(hour), at(hour * 3_600 + look * 600));
            }
        }
        let last = 59 * 3_600 + 1_200;
        assert!(matches!(outdoor.says(at(last + 3 * 3_600)), Weather::Now(_)));
        assert_eq!(outdoor.says(at(last + 3 * 3_600 + 1)), Weather::DayBefore(3.0));
        assert_eq!(outdoor.says(at(last + 24 * 3_600)), Weather::DayBefore(3.0));
        assert_eq!(outdoor.says(at(last + 24 * 3_600 + 1)), Weather::Unknown);
    }

    #[test]
    fn half_a_night_is_no_day() {
        for (hours, known) in [(11, false), (12, true)] {
            let mut outdoor = Outdoor::new();
            (0..hours).for_each(|hour| outdoor.take(-2.0, at(hour * 3_600)));
            let says = outdoor.says(at(hours * 3_600 + 3 * 3_600));
            assert_eq!(says == Weather::DayBefore(-2.0), known, "{says:?} of {hours} h");
        }
    }

    #[test]
    fn what_lies_a_day_back_gives_way() {
        let mut outdoor = Outdoor::new();
        (0..24).for_each(|hour| outdoor.take(-20.0, at(hour * 3_600)));
        // Silent for ten hours, then four new ones: of the last 24 hours, 10 of the old ones are left.
        (34..38).for_each(|hour| outdoor.take(8.0, at(hour * 3_600)));
        assert_eq!(outdoor.says(at(41 * 3_600)), Weather::DayBefore(-12.0));
        // A leap of years leaves nothing of before.
        outdoor.take(8.0, at(90_000 * 3_600));
        assert_eq!(outdoor.says(at(90_004 * 3_600)), Weather::Unknown);
    }
}
