//! The curve of each house: a line on which the plain curve has no mean error at two outdoor temperatures.

use std::fmt::Write as _;

use anyhow::Result;

use super::heating::Author;
use super::plan::{COLD, Case, Climate, GOOD, Kind, Line, MILD, Parameters, Point, WARM, Weather};
use super::trial::in_parallel;
use super::week::{Outcome, heat};

/// The seeds of the tuning, which no reported run uses.
pub(super) const TUNED_WITH: [u64; 6] = [101, 102, 103, 104, 105, 106];
/// First near the solution with few days and seeds, then with all: mean error that is small enough in K, iterations at
/// most, days at most, seeds.
const PHASES: [(f64, usize, u64, usize); 2] = [(0.1, 4, 2, 2), (0.02, 5, u64::MAX, TUNED_WITH.len())];
/// K of room per K of flow: assumed first, and the limits of what is measured.
const GAIN: f64 = 0.5;
const GAIN_LIMITS: (f64, f64) = (0.15, 1.5);
/// A house that is warmer than this at the lowest flow temperature, K below the target, has no curve to tune there.
const SPARE_K: f64 = 0.3;

/// The curve of a house in a weather, while it is searched.
#[derive(Clone, Debug)]
struct Search<'a> {
    house: &'a str,
    weather: Weather,
    ends: [End; 2],
}

/// One end of it.
#[derive(Clone, Copy, Debug)]
struct End {
    climate: Climate,
    flow: f64,
    gain: f64,
    /// Flow and mean error of the iteration before.
    before: Option<(f64, f64)>,
    bias: f64,
    is_found: bool,
}

impl End {
    fn new(climate: Climate, flow: f64) -> Self {
        Self { climate, flow, gain: GAIN, before: None, bias: f64::INFINITY, is_found: false }
    }

    /// Takes the mean error at this flow, and moves to a better one if it is too large.
    fn learn(&mut self, bias: f64, wanted: f64, (lowest, highest): (f64, f64)) {
        self.bias = bias;
        if let Some((flow, before)) = self.before {
            let gain = (bias - before) / (self.flow - flow);
            if gain.is_finite() {
                self.gain = gain.clamp(GAIN_LIMITS.0, GAIN_LIMITS.1);
            }
        }
        self.before = Some((self.flow, bias));
        self.is_found = bias.abs() <= wanted;
        if !self.is_found {
            self.flow = (self.flow - bias / self.gain).clamp(lowest, highest);
        }
    }

    /// Other days and seeds have another mean error.
    fn forget(&mut self) {
        (self.before, self.is_found) = (None, false);
    }

    fn point(&self) -> Point {
        Point { outdoor: self.climate.mean_c, flow: self.flow }
    }
}

impl Search<'_> {
    fn line(&self) -> Line {
        Line { cold: self.ends[0].point(), warm: self.ends[1].point() }
    }
}

/// The curves of these houses, as a part of `config/winter.toml`. Each iteration passes a line to `tell`.
pub(super) fn tune(parameters: &Parameters, houses: &[String], days: u64, tell: impl Fn(&str)) -> Result<String> {
    let mut searches: Vec<_> = houses
        .iter()
        .flat_map(|house| Weather::ALL.map(|weather| (house.as_str(), weather)))
        .map(|(house, weather)| Search { house, weather, ends: [End::new(COLD, 45.0), End::new(WARM, 30.0)] })
        .collect();
    let floor = |house: &str| Point { outdoor: WARM.mean_c, flow: parameters.house(house).flow_min };
    let flat = |lowest: Point| Line { cold: Point { outdoor: COLD.mean_c, ..lowest }, warm: lowest };
    let jobs: Vec<_> = searches.iter().map(|it| (it.house, it.weather, WARM, flat(floor(it.house)))).collect();
    let (_, _, few_days, few) = PHASES[0];
    for (search, bias) in searches.iter_mut().zip(biases(parameters, &jobs, few_days, &TUNED_WITH[..few])?) {
        if bias > -SPARE_K {
            search.ends[1] = End::new(MILD, 30.0);
        }
    }
    for (wanted, iterations, days_max, seeds) in PHASES {
        searches.iter_mut().flat_map(|search| &mut search.ends).for_each(End::forget);
        for _ in 0..iterations {
            let open = improve(parameters, &mut searches, wanted, days.min(days_max), &TUNED_WITH[..seeds])?;
            tell(&format!("{open} of {} points are more than {wanted} K off", 2 * searches.len()));
            if open == 0 {
                break;
            }
        }
    }
    Ok(text(&searches))
}

/// An iteration; returns how many points are not found. The weather swings by a few kelvins, so an end that is found is
/// hardly moved by the other one.
fn improve(
    parameters: &Parameters,
    searches: &mut [Search<'_>],
    wanted: f64,
    days: u64,
    seeds: &[u64],
) -> Result<usize> {
    let mut jobs = Vec::new();
    for search in &*searches {
        let open = search.ends.into_iter().filter(|end| !end.is_found);
        jobs.extend(open.map(|end| (search.house, search.weather, end.climate, search.line())));
    }
    let mut found = biases(parameters, &jobs, days, seeds)?.into_iter();
    for search in &mut *searches {
        // A flow as cold as the room is no heat.
        let limits = (parameters.target, parameters.house(search.house).flow_max);
        for (end, bias) in search.ends.iter_mut().filter(|end| !end.is_found).zip(&mut found) {
            end.learn(bias, wanted, limits);
        }
    }
    Ok(searches.iter().flat_map(|search| &search.ends).filter(|end| !end.is_found).count())
}

/// The mean errors of the plain curve, K.
fn biases(
    parameters: &Parameters,
    jobs: &[(&str, Weather, Climate, Line)],
    days: u64,
    seeds: &[u64],
) -> Result<Vec<f64>> {
    let seeded: Vec<_> = jobs.iter().flat_map(|job| seeds.iter().map(move |seed| (job, seed))).collect();
    let weeks = in_parallel(&seeded, |((house, weather, climate, line), seed)| {
        let case = Case { house, weather: *weather, climate: *climate, kind: Kind::Sound, sensor: GOOD, seed: **seed };
        let scenario = parameters.scenario(&case)?;
        Ok(heat(&scenario, parameters.firmware_with(&case, line), Author::Curve, days, parameters.target))
    });
    let weeks = weeks.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(weeks.chunks_exact(seeds.len()).map(|weeks| Outcome::together(weeks).room_bias_k).collect())
}

fn text(searches: &[Search<'_>]) -> String {
    let mut text = String::new();
    for search in searches {
        let point = |end: &End| format!("{{ outdoor = {:.1}, flow = {:.2} }}", end.climate.mean_c, end.flow);
        let [cold, warm] = &search.ends;
        if search.weather == Weather::Now {
            writeln!(text, "\n[curve.{}]", search.house).expect("a string takes everything");
        }
        let line = format!(
            "{} = {{ cold = {}, warm = {} }} # {:+.2} and {:+.2} K off",
            search.weather.name(),
            point(cold),
            point(warm),
            cold.bias,
            warm.bias
        );
        writeln!(text, "{line}").expect("a string takes everything");
    }
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_finds_the_flow_without_a_mean_error() {
        let mut end = End::new(COLD, 45.0);
        for _ in 0..7 {
            let bias = 0.3 * (end.flow - 52.0) + 0.001 * (end.flow - 52.0).powi(2);
            end.learn(bias, 0.02, (20.0, 75.0));
        }
        assert!((end.flow - 52.0).abs() < 0.05 && end.is_found, "{end:?}");
        let mut stuck = End::new(WARM, 30.0);
        for _ in 0..7 {
            stuck.learn(1.0, 0.02, (20.0, 75.0));
        }
        assert_eq!(stuck.flow, 20.0, "a house that needs no heat");
    }
}
