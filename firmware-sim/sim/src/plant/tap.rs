//! Hot-water draws: a seeded daily schedule of showers and sinks, and the draws that a scenario lists.

use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::Deserialize;
use thermowell_wire::units::DAY_US;

use crate::quantity::{self, micros, window_us};

/// Hot water in a scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HotWaterConfig {
    /// Seeded draws per day, 0 to 200; those that would overlap are dropped.
    #[serde(deserialize_with = "quantity::within::<_, 0, 200>")]
    pub draws_per_day: f64,
    /// Longest seeded draw; the shortest is 20 s.
    #[serde(deserialize_with = "quantity::span")]
    pub longest: Duration,
    /// Largest seeded draw in l/min, 1 to 20; the smallest is 3.
    #[serde(deserialize_with = "quantity::within::<_, 1, 20>")]
    pub litres_per_minute: f64,
    /// Cold-water temperature in °C, 1 to 25.
    #[serde(deserialize_with = "quantity::within::<_, 1, 25>")]
    pub cold_c: f64,
    /// Effectiveness of the plate exchanger in %, 10 to 95.
    #[serde(deserialize_with = "quantity::within::<_, 10, 95>")]
    pub plate_percent: f64,
    /// Draws at given times, in addition to the seeded ones.
    pub draw: Vec<DrawConfig>,
}

impl Default for HotWaterConfig {
    fn default() -> Self {
        Self {
            draws_per_day: 20.0,
            longest: Duration::from_secs(7 * 60),
            litres_per_minute: 8.0,
            cold_c: 10.0,
            plate_percent: 65.0,
            draw: Vec::new(),
        }
    }
}

/// A draw listed in a scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawConfig {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
    /// Flow rate in l/min, 1 to 20.
    #[serde(deserialize_with = "quantity::within::<_, 1, 20>")]
    pub litres_per_minute: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Draw {
    from_us: u64,
    until_us: u64,
    kg_per_s: f64,
}

const SHORTEST_S: f64 = 20.0;
const SMALLEST_L_MIN: f64 = 3.0;
/// Share of the day's draws, first hour, last hour: mornings and evenings, and a few at any time.
const HABITS: [(f64, f64, f64); 3] = [(0.4, 6.0, 9.0), (0.4, 17.0, 22.5), (0.2, 0.0, 24.0)];

/// The tap over time. Time only moves forward.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    config: HotWaterConfig,
    starts_at_us: u64,
    seed: u64,
    /// The day of the draws in `today`, counted from the midnight before the start.
    day: u64,
    today: Vec<Draw>,
    /// Index of the next draw of `today` that has not ended.
    next: usize,
    named: Vec<Draw>,
}

impl Tap {
    pub(super) fn new(config: &HotWaterConfig, starts_at_us: u64, seed: u64) -> Self {
        let named = config.draw.iter().map(|draw| {
            let (from_us, until_us) = window_us(draw.at, draw.length);
            Draw { from_us, until_us, kg_per_s: draw.litres_per_minute / 60.0 }
        });
        let mut tap = Self {
            config: config.clone(),
            starts_at_us,
            seed,
            day: 0,
            today: Vec::new(),
            next: 0,
            named: named.collect(),
        };
        tap.plan();
        tap
    }

    /// Flow at `t_us` after the start, in kg/s: the larger of the seeded and the listed draw.
    pub(super) fn flow_at(&mut self, t_us: u64) -> f64 {
        let day_us = self.starts_at_us + t_us;
        while day_us / DAY_US > self.day {
            self.day += 1;
            self.plan();
        }
        while self.today.get(self.next).is_some_and(|draw| draw.until_us <= day_us) {
            self.next += 1;
        }
        let seeded = self.today.get(self.next).filter(|draw| draw.from_us <= day_us).map_or(0.0, |draw| draw.kg_per_s);
        let named = self.named.iter().filter(|draw| (draw.from_us..draw.until_us).contains(&t_us));
        named.map(|draw| draw.kg_per_s).fold(seeded, f64::max)
    }

    /// Draws the day's schedule. Each day has its own random stream, independent of the others.
    fn plan(&mut self) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.day);
        let longest_s = self.config.longest.as_secs_f64().max(SHORTEST_S);
        let largest = self.config.litres_per_minute.max(SMALLEST_L_MIN);
        let mut draws: Vec<Draw> = Vec::new();
        for (share, from_h, until_h) in HABITS {
            let mut wanted = self.config.draws_per_day * share;
            // The fractional draw that remains is a probability.
            while wanted > uniform(&mut rng) {
                wanted -= 1.0;
                let hour = from_h + (until_h - from_h) * uniform(&mut rng);
                // Squared: most draws are a washing of hands, few are a shower.
                let length = Duration::from_secs_f64(SHORTEST_S + (longest_s - SHORTEST_S) * uniform(&mut rng).powi(2));
                let litres = SMALLEST_L_MIN + (largest - SMALLEST_L_MIN) * uniform(&mut rng);
                let from_us = self.day * DAY_US + micros(Duration::from_secs_f64(hour * 3_600.0));
                draws.push(Draw { from_us, until_us: from_us + micros(length), kg_per_s: litres / 60.0 });
            }
        }
        draws.sort_by_key(|draw| draw.from_us);
        let mut free_from_us = 0;
        draws.retain(|draw| {
            let fits = draw.from_us >= free_from_us;
            if fits {
                free_from_us = draw.until_us;
            }
            fits
        });
        self.today = draws;
        self.next = 0;
    }
}

/// A number from 0 to just below 1, of 32 bits.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn_seconds(tap: &mut Tap, days: u64) -> (u64, u64) {
        let (mut seconds, mut draws, mut before) = (0, 0, false);
        for second in 0..days * 86_400 {
            let on = tap.flow_at(second * 1_000_000) > 0.0;
            seconds += u64::from(on);
            draws += u64::from(on && !before);
            before = on;
        }
        (seconds, draws)
    }

    #[test]
    fn a_week_has_about_the_configured_number_of_draws() {
        let (seconds, draws) = drawn_seconds(&mut Tap::new(&HotWaterConfig::default(), 0, 5), 7);
        assert!((100..=140).contains(&draws), "{draws} draws");
        assert!(seconds / draws > 60 && seconds / draws < 300, "{seconds} s in {draws} draws");
    }

    #[test]
    fn days_differ_and_follow_the_seed() {
        let minutes = |seed, day: u64| {
            let mut tap = Tap::new(&HotWaterConfig::default(), 0, seed);
            (day * 1_440..(day + 1) * 1_440).map(|minute| tap.flow_at(minute * 60_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(minutes(1, 2), minutes(1, 2));
        assert_ne!(minutes(1, 2), minutes(1, 3));
        assert_ne!(minutes(1, 2), minutes(2, 2));
    }

    #[test]
    fn without_seeded_draws_only_listed_ones_remain() {
        let draw = DrawConfig { at: Duration::from_secs(100), length: Duration::from_secs(50), litres_per_minute: 6.0 };
        let config = HotWaterConfig { draws_per_day: 0.0, draw: vec![draw], ..HotWaterConfig::default() };
        let mut tap = Tap::new(&config, 3_600_000_000, 5);
        assert_eq!(tap.flow_at(99_999_999), 0.0);
        assert_eq!(tap.flow_at(100_000_000), 0.1);
        assert_eq!(tap.flow_at(149_999_999), 0.1);
        assert_eq!(tap.flow_at(150_000_000), 0.0);
        assert_eq!(drawn_seconds(&mut Tap::new(&config, 0, 5), 3), (50, 1));
    }
}
