//! The weather around the house, and the heat gains from sun, people and appliances.
//!
//! Outdoor temperature = mean + a daily wave that is warmest at 15:00 + a seeded wander (an Ornstein-Uhlenbeck process:
//! it decays within hours and stays bounded). The sun is half a sine wave from 8:00 to 16:00, dimmed by a cloudiness
//! that wanders likewise. People and appliances give heat always, or not in the working hours of working days. The wind
//! is the length of a vector of two such wanders: a Rayleigh distribution, as real wind speeds have. Values are drawn
//! once a minute in one fixed order and interpolated between, so that the same seed gives the same weather; the wind
//! has a generator of its own, so that it changes nothing else.

use std::f64::consts::{PI, TAU};
use std::time::Duration;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde::Deserialize;

use thermowell_wire::units::{DAY_US, MINUTE_US};

use crate::quantity;

/// The weather of a scenario.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeatherConfig {
    /// Mean outdoor temperature of a day in °C, −40 to 45.
    #[serde(deserialize_with = "quantity::within::<_, -40, 45>")]
    pub mean_c: f64,
    /// Half the difference between the warmest and the coldest hour in K, 0 to 20.
    #[serde(deserialize_with = "quantity::within::<_, 0, 20>")]
    pub swing_k: f64,
    /// Standard deviation of the seeded wander in K, 0 to 10.
    #[serde(deserialize_with = "quantity::within::<_, 0, 10>")]
    pub wander_k: f64,
    /// Heat through the windows at noon under a clear sky in W, 0 to 20,000.
    #[serde(deserialize_with = "quantity::within::<_, 0, 20_000>")]
    pub solar_peak_w: f64,
    /// Mean wind speed in m/s, 0 to 20.
    #[serde(deserialize_with = "quantity::within::<_, 0, 20>")]
    pub wind_m_s: f64,
    /// Heat of people and appliances in W, 0 to 5,000.
    #[serde(deserialize_with = "quantity::within::<_, 0, 5_000>")]
    pub internal_w: f64,
    /// When the house is empty and nothing but the sun heats it from inside; None for never.
    pub empty: Option<Empty>,
}

/// The hours of each working day in which the house is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "EmptyTable")]
pub struct Empty {
    /// Begin, since midnight.
    pub from: Duration,
    /// End, since midnight.
    pub until: Duration,
    /// The day on which the simulation starts.
    pub starts_on: Weekday,
}

/// `empty = { from = "7h", until = "20h", starts_on = "friday" }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyTable {
    #[serde(deserialize_with = "quantity::offset")]
    from: Duration,
    #[serde(deserialize_with = "quantity::offset")]
    until: Duration,
    #[serde(default)]
    starts_on: Weekday,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    #[default]
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// From Monday on.
    pub const ALL: [Self; 7] =
        [Self::Monday, Self::Tuesday, Self::Wednesday, Self::Thursday, Self::Friday, Self::Saturday, Self::Sunday];

    /// The day `days` later.
    #[must_use]
    pub fn after(self, days: u64) -> Self {
        let mut week = Self::ALL.into_iter().cycle().skip_while(|day| *day != self);
        let within = usize::try_from(days % 7).expect("a week is short");
        week.nth(within).expect("a cycle has no end")
    }

    /// Saturday and Sunday.
    #[must_use]
    pub fn is_weekend(self) -> bool {
        self >= Self::Saturday
    }
}

impl TryFrom<EmptyTable> for Empty {
    type Error = String;

    fn try_from(table: EmptyTable) -> Result<Self, String> {
        let EmptyTable { from, until, starts_on } = table;
        if from < until && until <= DAY {
            return Ok(Self { from, until, starts_on });
        }
        Err(format!(
            "the house is empty from {from:?} until {until:?}, which are not two times of a day in their order"
        ))
    }
}

impl Empty {
    /// Whether the house is empty at `since`, the time since the midnight at which the first day began.
    #[must_use]
    pub fn is_at(&self, since: Duration) -> bool {
        let days = since.as_secs() / DAY.as_secs();
        let of_day = since - Duration::from_secs(days * DAY.as_secs());
        !self.starts_on.after(days).is_weekend() && (self.from..self.until).contains(&of_day)
    }
}

impl Default for WeatherConfig {
    fn default() -> Self {
        Self {
            mean_c: 0.0,
            swing_k: 4.0,
            wander_k: 1.0,
            solar_peak_w: 1_500.0,
            wind_m_s: 0.0,
            internal_w: 350.0,
            empty: None,
        }
    }
}

/// The weather's effect on the house at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sky {
    /// Outdoor temperature in °C.
    pub outdoor_c: f64,
    /// Heat from the sun in W.
    pub sun_w: f64,
    /// Heat from people and appliances in W.
    pub internal_w: f64,
    /// Wind speed in m/s.
    pub wind_m_s: f64,
}

const DAY_S: f64 = 86_400.0;
const DAY: Duration = Duration::from_micros(DAY_US);
/// Correlation time of the wander and of the clouds, in minutes.
const WANDER_MINUTES: f64 = 360.0;
const CLOUD_MINUTES: f64 = 90.0;
/// Wind comes and goes with weather fronts.
const WIND_MINUTES: f64 = 720.0;
/// Mean of a Rayleigh distribution whose two parts have unit variance: √(π ÷ 2).
const RAYLEIGH_MEAN: f64 = 1.253_314_137_315_500_3;

/// The weather over time. Time only moves forward.
#[derive(Clone, Debug)]
pub struct Weather {
    config: WeatherConfig,
    starts_at_us: u64,
    rng: ChaCha8Rng,
    wind_rng: ChaCha8Rng,
    /// Wander, cloud and wind have unit variance.
    wander: f64,
    cloud: f64,
    wind: [f64; 2],
    /// The minute of `ahead`.
    ahead_minute: u64,
    behind: Sky,
    ahead: Sky,
}

impl Weather {
    /// Weather from the time of day `starts_at_us` (µs since midnight) on.
    #[must_use]
    pub fn new(config: &WeatherConfig, starts_at_us: u64, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (wander, cloud) = (normal(&mut rng), normal(&mut rng));
        let mut wind_rng = ChaCha8Rng::seed_from_u64(seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
        let wind = [normal(&mut wind_rng), normal(&mut wind_rng)];
        let mut weather = Self {
            config: config.clone(),
            starts_at_us,
            rng,
            wind_rng,
            wander,
            cloud,
            wind,
            ahead_minute: 0,
            behind: Sky::default(),
            ahead: Sky::default(),
        };
        weather.ahead = weather.sky();
        weather.advance();
        weather
    }

    /// The sky at `t_us` after the start. `t_us` must not be before the minute of the previous call.
    pub fn at(&mut self, t_us: u64) -> Sky {
        while t_us >= self.ahead_minute * MINUTE_US {
            self.advance();
        }
        let part = 1.0 - (self.ahead_minute * MINUTE_US - t_us) as f64 / MINUTE_US as f64;
        let between = |of: fn(&Sky) -> f64| of(&self.behind) + (of(&self.ahead) - of(&self.behind)) * part;
        Sky {
            outdoor_c: between(|sky| sky.outdoor_c),
            sun_w: between(|sky| sky.sun_w),
            internal_w: between(|sky| sky.internal_w),
            wind_m_s: between(|sky| sky.wind_m_s),
        }
    }

    fn advance(&mut self) {
        self.wander = walk(self.wander, WANDER_MINUTES, &mut self.rng);
        self.cloud = walk(self.cloud, CLOUD_MINUTES, &mut self.rng);
        self.wind = self.wind.map(|part| walk(part, WIND_MINUTES, &mut self.wind_rng));
        self.ahead_minute += 1;
        self.behind = self.ahead;
        self.ahead = self.sky();
    }

    /// The sky at `ahead_minute`.
    fn sky(&self) -> Sky {
        let day_s = (self.starts_at_us as f64 / 1e6 + self.ahead_minute as f64 * 60.0) % DAY_S;
        let hour = day_s / 3_600.0;
        let wave = ((hour - 15.0) / 24.0 * TAU).cos();
        let sun = if (8.0..16.0).contains(&hour) { ((hour - 8.0) / 8.0 * PI).sin() } else { 0.0 };
        // One standard deviation of cloud is a third of the light; an overcast sky still has a tenth.
        let clear = (0.6 - 0.33 * self.cloud).clamp(0.1, 1.0);
        let since = Duration::from_micros(self.starts_at_us + self.ahead_minute * MINUTE_US);
        let is_empty = self.config.empty.is_some_and(|empty| empty.is_at(since));
        Sky {
            outdoor_c: self.config.mean_c + self.config.swing_k * wave + self.config.wander_k * self.wander,
            sun_w: self.config.solar_peak_w * sun * clear,
            internal_w: if is_empty { 0.0 } else { self.config.internal_w },
            wind_m_s: self.config.wind_m_s / RAYLEIGH_MEAN * self.wind[0].hypot(self.wind[1]),
        }
    }
}

/// One step of an Ornstein-Uhlenbeck process of unit variance.
fn walk(value: f64, memory_steps: f64, rng: &mut ChaCha8Rng) -> f64 {
    let keep = (-1.0 / memory_steps).exp();
    keep * value + (1.0 - keep * keep).sqrt() * normal(rng)
}

/// A bell-shaped number of mean 0 and variance 1 within ±3.47: the sum of four uniform ones (Irwin-Hall), which costs
/// one 64-bit draw and no logarithm.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let bits = rng.next_u64();
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    // Each term has mean 65,535 ÷ 2 and variance 65,536² ÷ 12, so four of them have a deviation of 65,536 ÷ √3.
    (sum as f64 - 131_070.0) * (1.732_050_807_568_877_2 / 65_536.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_has_its_mean_and_is_warmest_at_15() {
        let config = WeatherConfig { mean_c: -5.0, wander_k: 0.0, ..WeatherConfig::default() };
        let mut weather = Weather::new(&config, 0, 1);
        let hours: Vec<f64> = (0..24).map(|hour| weather.at(hour * 60 * MINUTE_US).outdoor_c).collect();
        let mean = hours.iter().sum::<f64>() / 24.0;
        assert!((mean + 5.0).abs() < 1e-6, "mean {mean}");
        assert!((hours[15] + 1.0).abs() < 1e-6 && (hours[3] + 9.0).abs() < 1e-6, "{hours:?}");
    }

    #[test]
    fn same_seed_gives_same_weather_at_any_stride() {
        let config = WeatherConfig::default();
        let (mut coarse, mut fine) = (Weather::new(&config, 0, 9), Weather::new(&config, 0, 9));
        let mut other = Weather::new(&config, 0, 10);
        let mut differs = false;
        for second in 0..50_000_u64 {
            let sky = fine.at(second * 1_000_000);
            if second % 700 == 0 {
                assert_eq!(sky, coarse.at(second * 1_000_000));
                differs |= sky != other.at(second * 1_000_000);
            }
        }
        assert!(differs, "another seed must give other weather");
    }

    #[test]
    fn wander_has_the_configured_deviation() {
        let config = WeatherConfig { mean_c: 0.0, swing_k: 0.0, wander_k: 2.0, ..WeatherConfig::default() };
        let mut weather = Weather::new(&config, 0, 3);
        let values: Vec<f64> = (0..4_000).map(|hour| weather.at(hour * 60 * MINUTE_US).outdoor_c).collect();
        let mean = values.iter().sum::<f64>() / 4_000.0;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 4_000.0;
        assert!(mean.abs() < 0.4, "mean {mean}");
        assert!((1.7..2.3).contains(&variance.sqrt()), "deviation {}", variance.sqrt());
    }

    /// For a Rayleigh distribution, deviation ÷ mean = √(4 ÷ π − 1) = 0.523.
    #[test]
    fn wind_has_the_configured_mean_and_rayleigh_deviation() {
        let config = WeatherConfig { wind_m_s: 4.0, ..WeatherConfig::default() };
        let mut weather = Weather::new(&config, 0, 3);
        let speeds: Vec<f64> = (0..20_000).map(|hour| weather.at(hour * 60 * MINUTE_US).wind_m_s).collect();
        let mean = speeds.iter().sum::<f64>() / 20_000.0;
        let variance = speeds.iter().map(|speed| (speed - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((3.8..4.2).contains(&mean), "mean {mean}");
        assert!((0.49..0.56).contains(&(variance.sqrt() / mean)), "deviation {}", variance.sqrt());
        assert!(speeds.iter().all(|speed| *speed >= 0.0));
    }

    #[test]
    fn house_is_empty_in_working_hours_of_working_days() {
        let empty = Empty {
            from: Duration::from_secs(7 * 3_600),
            until: Duration::from_secs(20 * 3_600),
            starts_on: Weekday::Friday,
        };
        let config = WeatherConfig { internal_w: 73.0, empty: Some(empty), ..WeatherConfig::default() };
        // From six in the morning of a Friday.
        let mut weather = Weather::new(&config, 6 * 3_600 * 1_000_000, 1);
        let hours: Vec<f64> = (0..7 * 24).map(|hour| weather.at(hour * 60 * MINUTE_US).internal_w).collect();
        let is_empty = |day: usize, hour: usize| hours[day * 24 + hour - 6] == 0.0;
        for (day, expected) in [(0, true), (1, false), (2, false), (3, true), (6, true)] {
            assert!(!is_empty(day, 6) && !is_empty(day, 20) && !is_empty(day, 23), "day {day}");
            assert!([7, 12, 19].into_iter().all(|hour| is_empty(day, hour) == expected), "day {day}");
        }
        let mut always = Weather::new(&WeatherConfig { empty: None, ..config.clone() }, 0, 1);
        let mut at_times = Weather::new(&config, 0, 1);
        for minute in 0..3_000 {
            let (always, at_times) = (always.at(minute * MINUTE_US), at_times.at(minute * MINUTE_US));
            assert_eq!(Sky { internal_w: 0.0, ..always }, Sky { internal_w: 0.0, ..at_times });
        }
    }

    #[test]
    fn wind_does_not_change_other_weather() {
        let windy = WeatherConfig { wind_m_s: 8.0, ..WeatherConfig::default() };
        let (mut windy, mut calm) = (Weather::new(&windy, 0, 5), Weather::new(&WeatherConfig::default(), 0, 5));
        for minute in 0..3_000 {
            let (windy, calm) = (windy.at(minute * MINUTE_US), calm.at(minute * MINUTE_US));
            assert_eq!(Sky { wind_m_s: 0.0, ..windy }, calm);
        }
    }
}
