//! The flow sensor: from the water to hundredths of a degree, as in a boiler's electronics.
//!
//! ```text
//! water ─▶ thermowell pocket ─▶ NTC 10 kΩ ─▶ divider ─▶ noise ─▶ 12-bit ADC ─▶ table of 4,096 ─▶ reading
//!          first-order lag      β 3977 K     4.7 kΩ up            count         centi-degrees, quality
//! ```
//! With the NTC below 4.7 kΩ one count is 0.03 K at 60 °C and 0.13 K at −25 °C. The noise of about one count spreads a
//! steady temperature over several counts, so averages are finer than one count.
//!
//! The firmware's conversion is a table: computed once, then one load per sample, as in flash. An open circuit reads
//! full scale (far below −25 °C), a short reads 0 (far above 125 °C); the table detects them by temperature alone, as
//! real electronics must.

use std::time::Duration;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::Deserialize;
use thermowell_wire::{CentiCelsius, Quality};

use crate::{
    quantity::{self, window_us},
    weather::normal,
};

/// The flow sensor of a scenario, with its faults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorConfig {
    /// Time constant of the thermowell pocket.
    #[serde(deserialize_with = "quantity::offset")]
    pub pocket_lag: Duration,
    /// Standard deviation of the noise in counts of the converter, 0 to 100.
    #[serde(deserialize_with = "quantity::within::<_, 0, 100>")]
    pub noise_counts: f64,
    /// The circuit is open.
    pub open: Vec<Outage>,
    /// The circuit is shorted.
    pub short: Vec<Outage>,
    /// The converter repeats its last count.
    pub stuck: Vec<Outage>,
    /// The converter returns one fixed temperature.
    pub stuck_at: Vec<StuckAt>,
    /// The sensor reads too warm or too cold.
    pub offset: Vec<Offset>,
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            pocket_lag: Duration::from_secs(6),
            noise_counts: 0.8,
            open: Vec::new(),
            short: Vec::new(),
            stuck: Vec::new(),
            stuck_at: Vec::new(),
            offset: Vec::new(),
        }
    }
}

/// A fault from `at`, for `length`, the end excluded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
}

impl Outage {
    /// Begin and end in µs since the start, the end excluded.
    #[must_use]
    pub fn window_us(&self) -> (u64, u64) {
        window_us(self.at, self.length)
    }
}

/// A sensor stuck at a temperature.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StuckAt {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
    /// Its reading in °C, −20 to 120.
    #[serde(deserialize_with = "quantity::within::<_, -20, 120>")]
    pub celsius: f64,
}

/// A sensor with an offset, which may drift.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    /// Begin, since the start of the simulation.
    #[serde(deserialize_with = "quantity::offset")]
    pub at: Duration,
    #[serde(rename = "for", deserialize_with = "quantity::span")]
    pub length: Duration,
    /// Initial offset in K, positive for too warm, −100 to 100.
    #[serde(default, deserialize_with = "quantity::within::<_, -100, 100>")]
    pub kelvin: f64,
    /// Drift in K per hour, −100 to 100.
    #[serde(default, deserialize_with = "quantity::within::<_, -100, 100>")]
    pub kelvin_per_hour: f64,
}

const NTC_OHM: f64 = 10_000.0;
const NTC_BETA_K: f64 = 3_977.0;
const NTC_AT_K: f64 = 298.15;
const ZERO_C_K: f64 = 273.15;
const SERIES_OHM: f64 = 4_700.0;
/// Largest count: the NTC at infinite resistance.
const FULL_SCALE: u16 = 4_095;
/// Lower readings are an open circuit.
const OPEN_BELOW: CentiCelsius = CentiCelsius(-2_500);
/// Higher readings are a short circuit.
const SHORT_ABOVE: CentiCelsius = CentiCelsius(12_500);

/// Quality of a reading, by the range of a flow sensor.
#[must_use]
pub fn judge(temperature: CentiCelsius) -> Quality {
    if temperature < OPEN_BELOW {
        Quality::Open
    } else if temperature > SHORT_ABOVE {
        Quality::Short
    } else {
        Quality::Ok
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Open,
    Short,
    Stuck,
    StuckAt { count: u16 },
    Offset { kelvin: f64, kelvin_per_us: f64 },
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from_us: u64,
    until_us: u64,
    fault: Fault,
}

/// The flow sensor. Time only moves forward.
#[derive(Clone, Debug)]
pub struct Sensor {
    pocket: Lag,
    noise_counts: f64,
    windows: Vec<Window>,
    /// Start of the first window and end of the last, to skip the search without a fault.
    faulty_from_us: u64,
    faulty_until_us: u64,
    rng: ChaCha8Rng,
    table: Vec<(CentiCelsius, Quality)>,
    count: u16,
}

/// A first-order lag: the temperature of a sensor in its pocket, or in its housing on a wall. Time only moves forward.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    lag_us: f64,
    /// None before the first sample, which it takes at once.
    celsius: Option<f64>,
    last_us: u64,
    /// Share of the way to its surroundings that it covers in `stride_us`; cached, because the stride hardly ever
    /// changes.
    stride_us: u64,
    approach: f64,
}

impl Lag {
    pub(crate) fn new(lag: Duration, celsius: Option<f64>) -> Self {
        Self { lag_us: lag.as_secs_f64() * 1e6, celsius, last_us: 0, stride_us: 0, approach: 0.0 }
    }

    /// Its temperature at `t_us`, °C, in surroundings of `around_c` since the last call.
    pub(crate) fn settle(&mut self, t_us: u64, around_c: f64) -> f64 {
        let stride_us = t_us.saturating_sub(self.last_us);
        if stride_us != self.stride_us {
            self.stride_us = stride_us;
            // Without a lag this divides by zero: e^-∞ is 0, and 0 ÷ 0 gives NaN.
            let left = (-(stride_us as f64) / self.lag_us).exp();
            self.approach = if left.is_nan() { 1.0 } else { 1.0 - left };
        }
        self.last_us = t_us;
        let before_c = self.celsius.unwrap_or(around_c);
        let celsius = before_c + (around_c - before_c) * self.approach;
        self.celsius = Some(celsius);
        celsius
    }
}

impl Sensor {
    /// A sensor whose pocket takes the temperature of the water at the first sample.
    #[must_use]
    pub fn new(config: &SensorConfig, seed: u64) -> Self {
        let windows = windows(config);
        Self {
            pocket: Lag::new(config.pocket_lag, None),
            noise_counts: config.noise_counts,
            faulty_from_us: windows.iter().map(|window| window.from_us).min().unwrap_or(u64::MAX),
            faulty_until_us: windows.iter().map(|window| window.until_us).max().unwrap_or(0),
            windows,
            rng: ChaCha8Rng::seed_from_u64(seed),
            table: (0..=FULL_SCALE).map(convert).collect(),
            count: 0,
        }
    }

    /// The reading at `t_us` in water of `water_c`.
    pub fn sample(&mut self, t_us: u64, water_c: f64) -> (CentiCelsius, Quality) {
        let pocket_c = self.pocket.settle(t_us, water_c);
        // Drawn for every sample, so that a fault does not shift the noise after it.
        let noise = normal(&mut self.rng) * self.noise_counts;
        let (mut offset_k, mut broken) = (0.0, None);
        if (self.faulty_from_us..self.faulty_until_us).contains(&t_us) {
            for window in self.windows.iter().filter(|window| (window.from_us..window.until_us).contains(&t_us)) {
                match window.fault {
                    Fault::Offset { kelvin, kelvin_per_us } => {
                        offset_k += kelvin + kelvin_per_us * (t_us - window.from_us) as f64;
                    }
                    Fault::Open | Fault::Short | Fault::Stuck | Fault::StuckAt { .. } => broken = Some(window.fault),
                }
            }
        }
        self.count = match broken {
            Some(Fault::Open) => FULL_SCALE,
            Some(Fault::Short) => 0,
            Some(Fault::Stuck) => self.count,
            Some(Fault::StuckAt { count }) => count,
            Some(Fault::Offset { .. }) | None => quantise(divider(pocket_c + offset_k) + noise),
        };
        self.table[usize::from(self.count)]
    }
}

fn windows(config: &SensorConfig) -> Vec<Window> {
    let window = |at: Duration, length: Duration, fault| {
        let (from_us, until_us) = window_us(at, length);
        Window { from_us, until_us, fault }
    };
    let outages = |list: &[Outage], fault| list.iter().map(|o| window(o.at, o.length, fault)).collect::<Vec<_>>();
    let offsets = config.offset.iter().map(|offset| {
        let fault = Fault::Offset { kelvin: offset.kelvin, kelvin_per_us: offset.kelvin_per_hour / 3.6e9 };
        window(offset.at, offset.length, fault)
    });
    // The last active one wins: a stuck converter hides a broken wire.
    let mut all = outages(&config.open, Fault::Open);
    all.extend(outages(&config.short, Fault::Short));
    all.extend(outages(&config.stuck, Fault::Stuck));
    let stuck = config.stuck_at.iter();
    all.extend(stuck.map(|it| window(it.at, it.length, Fault::StuckAt { count: quantise(divider(it.celsius)) })));
    all.extend(offsets);
    all
}

/// Counts of the divider at `celsius`, before noise and rounding.
fn divider(celsius: f64) -> f64 {
    let ohm = NTC_OHM * (NTC_BETA_K * (1.0 / (celsius + ZERO_C_K) - 1.0 / NTC_AT_K)).exp();
    f64::from(FULL_SCALE) * ohm / (ohm + SERIES_OHM)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the converter's range first")]
fn quantise(counts: f64) -> u16 {
    (counts + 0.5).clamp(0.0, f64::from(FULL_SCALE)) as u16
}

/// The firmware's conversion of one count.
fn convert(count: u16) -> (CentiCelsius, Quality) {
    // At the ends the resistance is 0 or infinite: return the extremes of the table.
    let celsius = match count {
        0 => 150.0,
        FULL_SCALE => -60.0,
        _ => {
            let ratio = f64::from(count) / f64::from(FULL_SCALE);
            let ohm = SERIES_OHM * ratio / (1.0 - ratio);
            (1.0 / ((ohm / NTC_OHM).ln() / NTC_BETA_K + 1.0 / NTC_AT_K) - ZERO_C_K).clamp(-60.0, 150.0)
        }
    };
    let temperature = CentiCelsius::from_celsius(celsius);
    (temperature, judge(temperature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(at_s: u64, length_s: u64) -> Outage {
        Outage { at: Duration::from_secs(at_s), length: Duration::from_secs(length_s) }
    }

    fn quiet() -> SensorConfig {
        SensorConfig { noise_counts: 0.0, ..SensorConfig::default() }
    }

    #[test]
    fn table_inverts_the_divider() {
        for celsius in -24..=124 {
            let (read, quality) = convert(quantise(divider(f64::from(celsius))));
            assert_eq!(quality, Quality::Ok, "{celsius}");
            // Half a count is 0.12 K at the hot end, where the NTC is nearly a wire.
            assert!((read.celsius() - f64::from(celsius)).abs() < 0.13, "{celsius} reads {read}");
        }
        let sixty = convert(quantise(divider(60.0))).0.celsius();
        assert!((sixty - 60.0).abs() < 0.02, "{sixty}");
    }

    #[test]
    fn table_ends_are_open_and_short_circuit() {
        assert_eq!(convert(FULL_SCALE), (CentiCelsius(-6_000), Quality::Open));
        assert_eq!(convert(0), (CentiCelsius(15_000), Quality::Short));
        assert_eq!(judge(CentiCelsius(-2_500)), Quality::Ok);
        assert_eq!(judge(CentiCelsius(-2_501)), Quality::Open);
        assert_eq!(judge(CentiCelsius(12_500)), Quality::Ok);
        assert_eq!(judge(CentiCelsius(12_501)), Quality::Short);
    }

    #[test]
    fn pocket_follows_with_its_time_constant() {
        let mut sensor = Sensor::new(&quiet(), 1);
        assert!((sensor.sample(0, 20.0).0.celsius() - 20.0).abs() < 0.05);
        for slot in 1..=600 {
            sensor.sample(slot * 10_000, 80.0);
        }
        let after_6_s = 80.0 - 60.0 * (-1.0_f64).exp();
        assert!((sensor.pocket.celsius.unwrap() - after_6_s).abs() < 1e-6, "{:?}", sensor.pocket);
        // A pause is one long stride.
        sensor.sample(66_000_000, 80.0);
        assert!((sensor.pocket.celsius.unwrap() - 80.0).abs() < 0.01);
        let mut bare = Sensor::new(&SensorConfig { pocket_lag: Duration::ZERO, ..quiet() }, 1);
        bare.sample(0, 20.0);
        assert!((bare.sample(10_000, 80.0).0.celsius() - 80.0).abs() < 0.05);
    }

    #[test]
    fn noise_averages_out_below_one_count() {
        let mut sensor = Sensor::new(&SensorConfig::default(), 7);
        let readings: Vec<i64> = (0..36_000).map(|slot| i64::from(sensor.sample(slot * 10_000, 61.237).0.0)).collect();
        let mean = readings.iter().sum::<i64>() as f64 / 36_000.0;
        assert!((mean - 6_123.7).abs() < 1.0, "{mean}");
        assert!(readings.iter().max() != readings.iter().min());
    }

    #[test]
    fn faults_start_and_end_on_time() {
        let config = SensorConfig {
            open: vec![outage(10, 10)],
            short: vec![outage(30, 10)],
            stuck: vec![outage(50, 10)],
            offset: vec![Offset {
                at: Duration::from_secs(70),
                length: Duration::from_secs(3_600),
                kelvin: 2.0,
                kelvin_per_hour: 3.0,
            }],
            pocket_lag: Duration::ZERO,
            ..quiet()
        };
        let mut sensor = Sensor::new(&config, 1);
        let mut at = |t_s: u64, celsius| sensor.sample(t_s * 1_000_000, celsius);
        assert_eq!(at(9, 40.0).1, Quality::Ok);
        assert_eq!(at(10, 40.0).1, Quality::Open);
        assert_eq!(at(20, 40.0).1, Quality::Ok);
        assert_eq!(at(39, 40.0).1, Quality::Short);
        let before = at(49, 40.0);
        assert_eq!(at(59, 70.0), before);
        assert!((at(60, 70.0).0.celsius() - 70.0).abs() < 0.05);
        assert!((at(70, 50.0).0.celsius() - 52.0).abs() < 0.05);
        assert!((at(70 + 1_800, 50.0).0.celsius() - 53.5).abs() < 0.05);
        assert!((at(70 + 3_600, 50.0).0.celsius() - 50.0).abs() < 0.05);
    }

    #[test]
    fn same_seed_gives_same_readings() {
        let series = |seed| {
            let mut sensor = Sensor::new(&SensorConfig::default(), seed);
            (0..1_000).map(|slot| sensor.sample(slot * 10_000, 55.0)).collect::<Vec<_>>()
        };
        assert_eq!(series(1), series(1));
        assert_ne!(series(1), series(2));
    }
}
