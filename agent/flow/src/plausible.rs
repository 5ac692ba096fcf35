//! How far the reading of a slow sensor (room, outdoor, return, pressure) can be believed.
//!
//! ```text
//!             five in the window: their median            outside the window, or a step that is too large
//!   starting ─────────────────────────────────▶ sound ──────────────────────────────────────▶ implausible
//!      ▲                                        ▲   ▲    within a step of the last sound one        │  │
//!      │ nothing was read for an hour           │   └───────────────────────────────────────────────┘  │
//!      └────────────────────────────────────────┘   the new level stood for `settle`, and moved         │
//!                                               └───────────────────────────────────────────────────────┘
//! ```
//!
//! What is not sound is not read: [`Sense::says`] has nothing then. An implausible sensor is named when that begins,
//! and when it was sound for `CALM` again, so one that flickers is named at most once a minute.
//!
//! | quantity | window | step at once | and per minute since it moved last | a new level settles in |
//! |---|---|---|---|---|
//! | room | −10 … 50 °C | 3 K | 0.5 K, for 10 min | 30 min |
//! | outdoor | −50 … 50 °C | 5 K | 1 K, for 15 min | 30 min |
//! | return | −10 … 150 °C | 30 K | 600 K, for 10 s | 10 s |
//! | pressure | 0 … 10 bar | any | – | – |
//!
//! * **Windows.** Room sensors and thermostats are rated up to 50 °C in their makers' data sheets, and below −10 °C
//!   nothing is heated. Outdoor sensors are rated from −50 °C. 85.0 °C (what a DS18B20 reads before its first
//!   conversion, by its data sheet) and −127 °C (what its usual drivers return where it does not answer) lie outside of
//!   both. Water: `WATER`. Transmitters of heating systems end at 10 bar, the safety valve of a house opens at 3, and
//!   0 is what an empty system has, which has to be seen.
//! * **Steps.** A room moves by less than 0.1 K/min under full heat, the air at its sensor by about 3 K when a window
//!   is opened, and a radio sensor repeats one reading for minutes. Outdoors the sun on the housing makes 5 K, a front
//!   about 1 K/min. Return water jumps by the whole spread (20 K, at most 40 K) within seconds when a pump starts: the
//!   limits of a boiler's own sensors stand in its firmware.
//! * **A jump that stays** is a sensor that was carried elsewhere, or one that hangs. The first moves as all sensors
//!   do; the second repeats one number. So a new level is believed when it has stood for `settle` and has moved. A
//!   number that never moves (12 °C from a room that had 20) is not believed as long as the last sound reading is
//!   known. A restart of the agent, another board or an hour without readings ends that: then the median of five
//!   readings is believed, and the number is. A reading outside the window does not interrupt a level that settles.
//! * **0.00 °C in a room** is what an unset register reads: no start is made of it before it moves.
//!
//! What is left: a sensor that is wrong within the window from the first reading on, or drifts more slowly than the
//! steps. The controller's limit on a room that stands still (`controller/senses.rs`) ends the first; nothing here sees
//! the second.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use thermowell_wire::{CentiCelsius, Reading};

use crate::time::Monotonic;

/// Room temperatures that can be, centi-degrees.
const ROOM: RangeInclusive<i32> = -1_000..=5_000;
/// Outdoor temperatures that can be, centi-degrees.
const OUTDOOR: RangeInclusive<i32> = -5_000..=5_000;
/// Temperatures of water in a heating system, centi-degrees.
const WATER: RangeInclusive<i32> = Reading::LOWEST.0 as i32..=Reading::HIGHEST.0 as i32;
/// Pressures of a heating system, mbar.
const PRESSURE: RangeInclusive<i32> = 0..=10_000;

/// Readings that a start is made of: a status comes once a second, and two outliers do not move the median of five.
const START: usize = 5;
/// A sensor that was silent for so long may be another one, or elsewhere.
const FORGET: Duration = Duration::from_secs(3_600);
/// Sound for so long is sound again for people. Readings are used at once.
const CALM: Duration = Duration::from_secs(60);

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// How far a reading may be from the last sound one: `at_once`, and `per_minute` for each minute since that moved, at
/// most for `up_to`.
#[derive(Clone, Copy, Debug)]
struct Step {
    at_once: i32,
    per_minute: i32,
    up_to: Duration,
    settle: Duration,
}

impl Quantity {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Outdoor => "outdoor",
            Self::Return => "return",
            Self::Pressure => "pressure",
        }
    }

    fn window(self) -> RangeInclusive<i32> {
        match self {
            Self::Room => ROOM,
            Self::Outdoor => OUTDOOR,
            Self::Return => WATER,
            Self::Pressure => PRESSURE,
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

/// Why a reading is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No such place has this value.
    Window,
    /// It is farther from the last sound reading than the quantity can have moved.
    Step {
        /// The last sound reading.
        from: i32,
        /// How far it can have moved.
        allowed: i32,
    },
    /// It is what an unset register reads, and has not moved.
    Unset,
}

/// A reading that is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible {
    /// What was read.
    pub quantity: Quantity,
    /// What the sensor reads, in the quantity's unit.
    pub value: i32,
    /// Why it is not believed.
    pub why: Why,
}

impl Implausible {
    /// What the sensor reads: °C, or mbar.
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
        let Self { quantity, value, why } = *self;
        write!(f, "{} is outside of what is plausible: ", quantity.show(value))?;
        match why {
            Why::Window => {
                let window = quantity.window();
                write!(f, "{} to {} are allowed", quantity.show(*window.start()), quantity.show(*window.end()))
            }
            Why::Step { from, allowed } => {
                let (low, high) = (from.saturating_sub(allowed), from.saturating_add(allowed));
                let from = quantity.show(from);
                write!(f, "{} to {} are allowed after {from}", quantity.show(low), quantity.show(high))
            }
            Why::Unset => f.write_str("it is what an unset register reads, and has not moved"),
        }
    }
}

/// What people are to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The sensor is implausible from now on.
    Began(Implausible),
    /// It has been sound for `CALM`.
    Ended(Quantity),
}

/// The last sound reading.
#[derive(Clone, Copy, Debug)]
struct Sound {
    value: i32,
    /// When the number moved last.
    moved: Monotonic,
}

/// A level that is too far from the last sound reading.
#[derive(Clone, Copy, Debug)]
struct Level {
    value: i32,
    since: Monotonic,
    has_moved: bool,
}

/// One sensor.
#[derive(Clone, Debug)]
pub struct Sense {
    quantity: Quantity,
    starting: Vec<i32, START>,
    sound: Option<Sound>,
    level: Option<Level>,
    /// What it reads, if that is sound.
    says: Option<i32>,
    /// When anything was read last.
    at: Option<Monotonic>,
    /// It is named as implausible; the last reading that was.
    named: Option<Monotonic>,
}

impl Sense {
    /// A sensor that was not read.
    #[must_use]
    pub fn new(quantity: Quantity) -> Self {
        Self { quantity, starting: Vec::new(), sound: None, level: None, says: None, at: None, named: None }
    }

    /// Takes a reading; none where the device has no sensor, or names it faulty itself.
    pub fn take(&mut self, reading: Option<i32>, now: Monotonic) -> Option<News> {
        self.says = None;
        let value = reading?;
        if self.at.replace(now).is_some_and(|at| now.since(at) >= FORGET) {
            (self.sound, self.level) = (None, None);
            self.starting.clear();
        }
        match self.judge(value, now) {
            Ok(says) => {
                self.says = says;
                let calm = says.is_some() && self.named.is_some_and(|bad| now.since(bad) >= CALM);
                calm.then(|| self.named = None).map(|()| News::Ended(self.quantity))
            }
            Err(why) => {
                let first = self.named.replace(now).is_none();
                first.then_some(News::Began(Implausible { quantity: self.quantity, value, why }))
            }
        }
    }

    /// What it reads: nothing where that is not sound, or older than `age_max`.
    #[must_use]
    pub fn says(&self, now: Monotonic, age_max: Duration) -> Option<i32> {
        self.says.filter(|_| self.at.is_some_and(|at| now.since(at) <= age_max))
    }

    /// What is believed of a reading; nothing yet at the start.
    fn judge(&mut self, value: i32, now: Monotonic) -> Result<Option<i32>, Why> {
        if !self.quantity.window().contains(&value) {
            // It shows no level: the one that settles goes on to settle.
            return Err(Why::Window);
        }
        let Some(step) = self.quantity.step() else { return Ok(Some(value)) };
        let Some(sound) = self.sound else { return self.start(value, now) };
        // While another level stands, time does not bring it nearer.
        let allowed = step.allowed(sound.moved, self.level.map_or(now, |level| level.since));
        if value.abs_diff(sound.value) <= allowed.unsigned_abs() {
            let moved = if value == sound.value { sound.moved } else { now };
            (self.sound, self.level) = (Some(Sound { value, moved }), None);
            return Ok(Some(value));
        }
        if !self.settles(value, now, &step) {
            return Err(Why::Step { from: sound.value, allowed });
        }
        (self.sound, self.level) = (Some(Sound { value, moved: now }), None);
        Ok(Some(value))
    }

    fn start(&mut self, value: i32, now: Monotonic) -> Result<Option<i32>, Why> {
        if self.quantity == Quantity::Room && value == 0 {
            return Err(Why::Unset);
        }
        if self.starting.push(value).is_ok() && !self.starting.is_full() {
            return Ok(None);
        }
        self.starting.sort_unstable();
        let median = self.starting[START / 2];
        self.starting.clear();
        self.sound = Some(Sound { value: median, moved: now });
        Ok(Some(median))
    }

    /// Whether a level that is too far away has stood for long enough, and has moved as a sensor does that works.
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
pub struct Senses {
    room: Sense,
    outdoor: Sense,
    return_temperature: Sense,
    pressure: Sense,
}

/// One reading of each slow sensor; none where it has no sound one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub room: Option<CentiCelsius>,
    pub outdoor: Option<CentiCelsius>,
    pub return_temperature: Option<CentiCelsius>,
    pub pressure_mbar: Option<u16>,
}

impl Default for Senses {
    fn default() -> Self {
        Self {
            room: Sense::new(Quantity::Room),
            outdoor: Sense::new(Quantity::Outdoor),
            return_temperature: Sense::new(Quantity::Return),
            pressure: Sense::new(Quantity::Pressure),
        }
    }
}

impl Senses {
    /// Takes what a device reports; at most one piece of news for each sensor.
    pub fn take(&mut self, reported: &Reported, now: Monotonic) -> impl Iterator<Item = News> + use<> {
        let centi = |reading: Option<CentiCelsius>| reading.map(|CentiCelsius(centi)| i32::from(centi));
        let news = [
            self.room.take(centi(reported.room), now),
            self.outdoor.take(centi(reported.outdoor), now),
            self.return_temperature.take(centi(reported.return_temperature), now),
            self.pressure.take(reported.pressure_mbar.map(i32::from), now),
        ];
        news.into_iter().flatten()
    }

    /// What of it is sound, and not older than `age_max`.
    #[must_use]
    pub fn says(&self, now: Monotonic, age_max: Duration) -> Reported {
        let says = |sense: &Sense| sense.says(now, age_max);
        let centi = |sense| says(sense).and_then(|centi| i16::try_from(centi).ok()).map(CentiCelsius);
        Reported {
            room: centi(&self.room),
            outdoor: centi(&self.outdoor),
            return_temperature: centi(&self.return_temperature),
            pressure_mbar: says(&self.pressure).and_then(|mbar| u16::try_from(mbar).ok()),
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

    /// What `readings`, one a second, leave of a sensor: what it says each time, and what was named.
    fn read(sense: &mut Sense, from: u64, readings: impl IntoIterator<Item = i32>) -> (Vec<Option<i32>>, Vec<News>) {
        let (mut says, mut named) = (Vec::new(), Vec::new());
        for (second, reading) in (from..).zip(readings) {
            named.extend(sense.take(Some(reading), at(second)));
            says.push(sense.says(at(second), AGE));
        }
        (says, named)
    }

    fn started(quantity: Quantity, value: i32) -> Sense {
        let mut sense = Sense::new(quantity);
        let (says, named) = read(&mut sense, 0, [value; START]);
        assert_eq!((says.last(), named.len()), (Some(&Some(value)), 0));
        sense
    }

    #[test]
    fn each_window_ends_where_the_table_says() {
        for (quantity, low, high) in [
            (Quantity::Room, -1_000, 5_000),
            (Quantity::Outdoor, -5_000, 5_000),
            (Quantity::Return, -1_000, 15_000),
            (Quantity::Pressure, 0, 10_000),
        ] {
            for (value, is_sound) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
                let (says, named) = read(&mut Sense::new(quantity), 0, [value; START]);
                assert_eq!(says.last(), Some(&is_sound.then_some(value)), "{quantity:?} {value}");
                assert_eq!(named.len(), usize::from(!is_sound), "once");
            }
        }
    }

    #[test]
    fn a_start_is_the_median_of_five() {
        let mut sense = Sense::new(Quantity::Outdoor);
        let (says, named) = read(&mut sense, 0, [8_500, 4_500, 300, -4_000, 310, 290, 305]);
        assert_eq!(says, [None, None, None, None, None, Some(300), Some(305)]);
        assert!(matches!(named[..], [News::Began(Implausible { value: 8_500, why: Why::Window, .. })]), "{named:?}");
    }

    #[test]
    fn a_jump_that_never_moves_is_never_believed() {
        let mut sense = started(Quantity::Room, 2_000);
        let (says, named) = read(&mut sense, 5, [0; 8 * 3_600]);
        assert!(says.iter().all(Option::is_none));
        let [News::Began(implausible)] = named[..] else { panic!("{named:?}") };
        assert_eq!(
            implausible.to_string(),
            "0.00 °C is outside of what is plausible: 17.00 °C to 23.00 °C are allowed after 20.00 °C"
        );
        let (says, named) = read(&mut sense, 5 + 8 * 3_600, [1_950; 70]);
        assert_eq!(says[0], Some(1_950), "a sound reading is used at once");
        assert_eq!(named, [News::Ended(Quantity::Room)]);
    }

    #[test]
    fn a_jump_that_stays_and_moves_is_believed_after_half_an_hour() {
        let mut sense = started(Quantity::Room, 2_000);
        let elsewhere = |second: i32| 1_200 + (second / 300) % 2;
        let (says, _) = read(&mut sense, 5, (0..1_801).map(elsewhere));
        assert_eq!(says.iter().position(Option::is_some), Some(1_800));
    }

    #[test]
    fn a_level_settles_between_power_dips() {
        // Carried elsewhere, and 85.00 °C once in 20 min: that is no reading of another level.
        let dips = |second: i32, else_reads: i32| if second % 1_200 == 600 { 8_500 } else { else_reads };
        let mut sense = started(Quantity::Room, 2_000);
        let (says, _) = read(&mut sense, 5, (0..7_200).map(|second| dips(second, 900 + (second / 300) % 2)));
        assert_eq!(says.iter().position(Option::is_some), Some(1_801), "1,800 is a dip");
        // Nor does it bring a number nearer that never moves.
        let mut sense = started(Quantity::Room, 2_000);
        let (says, _) = read(&mut sense, 5, (0..7_200).map(|second| dips(second, 1_300)));
        assert!(says.iter().all(Option::is_none));
    }

    #[test]
    fn what_a_house_does_is_believed() {
        // A window blows the sensor cold, full heat, and a radio sensor that reports every ten minutes.
        let mut window = started(Quantity::Room, 2_000);
        let (says, _) = read(&mut window, 5, (0..600).map(|second| 1_750 - second / 2));
        assert!(says.iter().all(Option::is_some));
        let mut radio = started(Quantity::Room, 2_000);
        let (says, _) = read(&mut radio, 5, (0..7_200).map(|second| 2_000 - 100 * (second / 600)));
        assert!(says.iter().all(Option::is_some));
        let mut pump = started(Quantity::Return, 2_000);
        assert_eq!(read(&mut pump, 5, [6_000, 5_500, 2_500]).0, [Some(6_000), Some(5_500), Some(2_500)]);
    }

    #[test]
    fn a_room_at_zero_is_believed_once_it_moves() {
        let mut sense = Sense::new(Quantity::Room);
        let (says, named) = read(&mut sense, 0, [0; 3_600]);
        assert!(says.iter().all(Option::is_none));
        assert!(matches!(named[..], [News::Began(Implausible { why: Why::Unset, .. })]), "{named:?}");
        let (says, _) = read(&mut sense, 3_600, [6, 6, 6, 6, 6, 0]);
        assert_eq!(says[4..], [Some(6), Some(0)]);
    }

    #[test]
    fn a_sensor_that_flickers_is_named_once() {
        let mut sense = started(Quantity::Room, 2_000);
        let (says, named) = read(&mut sense, 5, (0..3_600).map(|second| if second % 2 == 0 { 8_500 } else { 2_000 }));
        assert_eq!((named.len(), says[1], says[2]), (1, Some(2_000), None));
    }

    #[test]
    fn an_hour_of_silence_begins_another_start() {
        let mut sense = started(Quantity::Room, 2_000);
        assert_eq!(sense.says(at(14), AGE), Some(2_000));
        assert_eq!(sense.says(at(15), AGE), None, "older than its age");
        assert_eq!(sense.take(None, at(16)), None);
        assert_eq!(sense.says(at(16), AGE), None, "the device has no reading");
        let (says, named) = read(&mut sense, 3_700, [1_000; START]);
        assert_eq!((says.last(), named.len()), (Some(&Some(1_000)), 0));
    }
}
