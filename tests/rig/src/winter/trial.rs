//! The simulations and their comparison.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use serde::Serialize;
use thermowell_flow::control::{Emitter, Law, Plan};

use super::heating::{Author, Heating};
use super::plan::{COLD, Case, Climate, GOOD, House, Kind, POOR, Parameters, RoomSensor, Weather};
use super::report::Described;
use super::rivals::{Pi, Rival};
use super::week::{Outcome, heat};

/// Days of each run of the sensitivity; only the first seed, in the cold climate.
const SENSITIVITY_DAYS: u64 = 3;
/// Days of each run of the lazy boiler.
const LAZY_DAYS: u64 = 3;
/// The house of the lazy boiler and of the sensitivity.
const PLAIN_HOUSE: &str = "readme";
/// The compared gains: Kp, Ki and k.
const TRIED: [(f64, f64, f64); 8] = [
    (20.0, 1.0, 0.5),
    (20.0, 1.0, 0.0),
    (20.0, 0.0, 0.5),
    (20.0, 0.5, 0.5),
    (20.0, 2.0, 0.5),
    (10.0, 1.0, 0.5),
    (15.0, 1.0, 0.5),
    (30.0, 1.0, 0.5),
];
/// When the target rises on the second day: noon.
const STEP_AT_S: u64 = 43_200;
/// Hours that are observed after a step.
const STEP_HOURS: u64 = 12;
const FLOOR_STEP_HOURS: u64 = 36;
/// Height of the step, K.
const STEP_K: f64 = 2.0;
/// The step has arrived this close to the target, K.
const ARRIVED_K: f64 = 0.3;

/// Parameters of all simulations.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) parameters: Parameters,
    pub(crate) houses: Vec<String>,
    pub(crate) weathers: Vec<Weather>,
    pub(crate) climates: Vec<Climate>,
    pub(crate) days: u64,
    pub(crate) seeds: Vec<u64>,
}

/// A house in a climate, under each control.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) house: String,
    pub(crate) emitter: Emitter,
    pub(crate) weather: Weather,
    pub(crate) climate: &'static str,
    pub(crate) outdoor_c: f64,
    pub(crate) curve: Outcome,
    pub(crate) influence: Outcome,
    pub(crate) pi: Outcome,
    pub(crate) ours: Outcome,
    /// Ours without a room sensor, with a floor heating only.
    pub(crate) roomless: Option<Outcome>,
}

/// A lazy boiler in a climate, without the help of integral and hourly correction and with it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lazy {
    pub(crate) climate: &'static str,
    pub(crate) without: Outcome,
    pub(crate) with: Outcome,
}

/// Other gains.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sensitivity {
    pub(crate) kp: f64,
    pub(crate) ki: f64,
    pub(crate) k: f64,
    pub(crate) ours: Outcome,
}

/// The response of a house to a step of the target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) house: String,
    pub(crate) sensor: RoomSensor,
    pub(crate) target_c: f64,
    /// The true room for each hour after the step, °C.
    pub(crate) room_c: Vec<f64>,
    /// Overshoot of the true room, K.
    pub(crate) overshoot_k: f64,
    /// Remaining oscillation: the largest distance from the mean of the last three hours within them, K.
    pub(crate) ripple_k: f64,
    /// Hours until the room is within 0.3 K of the target; none if it does not arrive.
    pub(crate) arrived_h: Option<f64>,
}

/// A week to simulate.
#[derive(Clone, Debug)]
struct Run<'a> {
    case: Case<'a>,
    author: Author,
    days: u64,
}

impl Stage {
    /// Each house in each weather.
    pub(crate) fn described(&self) -> Result<Vec<Described>> {
        let mut described = Vec::new();
        for house in &self.houses {
            for weather in &self.weathers {
                let pi = Pi::of(&self.parameters.scenario(&case(house, *weather, COLD, Kind::Sound))?);
                described.push(Described {
                    house: house.clone(),
                    about: self.parameters.house(house).about.clone(),
                    weather: *weather,
                    line: self.parameters.line(house, *weather),
                    pi,
                });
            }
        }
        Ok(described)
    }

    /// Every control in all houses, weathers and climates.
    pub(crate) fn table(&self) -> Result<Vec<Compared>> {
        let mut cases = Vec::new();
        for house in &self.houses {
            for weather in &self.weathers {
                cases.extend(self.climates.iter().map(|climate| case(house, *weather, *climate, Kind::Sound)));
            }
        }
        let mut asked = Vec::new();
        for case in &cases {
            let law = Box::new(self.parameters.law(case));
            let mut authors = vec![Author::Curve, self.rival(case, false)?, self.rival(case, true)?];
            authors.push(Author::Ours(law.clone()));
            if self.parameters.house(case.house).emitter == Emitter::Floor {
                authors.push(Author::Roomless(law));
            }
            asked.extend(authors.into_iter().map(|author| (*case, author)));
        }
        let mut outcomes = self.all_seeds(&asked, self.days)?.into_iter();
        let mut next = || outcomes.next().expect("one outcome for each request");
        let compare = |case: &Case<'_>| {
            let emitter = self.parameters.house(case.house).emitter;
            Compared {
                house: case.house.to_owned(),
                emitter,
                weather: case.weather,
                climate: case.climate.name,
                outdoor_c: case.climate.mean_c,
                curve: next(),
                influence: next(),
                pi: next(),
                ours: next(),
                roomless: (emitter == Emitter::Floor).then(&mut next),
            }
        };
        Ok(cases.iter().map(compare).collect())
    }

    /// A lazy boiler with the help of integral and hourly correction, and without.
    pub(crate) fn lazy(&self) -> Result<Vec<Lazy>> {
        let days = self.days.min(LAZY_DAYS);
        let mut asked = Vec::new();
        for climate in &self.climates {
            let case = case(PLAIN_HOUSE, Weather::Now, *climate, Kind::Lazy);
            let law = self.parameters.law(&case);
            asked.extend([Law { k: 0.0, ki: 0.0, ..law.clone() }, law].map(|law| (case, ours(law))));
        }
        let outcomes = self.all_seeds(&asked, days)?;
        let pairs = self.climates.iter().zip(outcomes.chunks_exact(2));
        Ok(pairs.map(|(climate, pair)| Lazy { climate: climate.name, without: pair[0], with: pair[1] }).collect())
    }

    /// Other gains, in the cold climate.
    pub(crate) fn sensitivity(&self) -> Result<Vec<Sensitivity>> {
        let short = Self { seeds: self.seeds[..1].to_vec(), ..self.clone() };
        let case = case(PLAIN_HOUSE, Weather::Now, COLD, Kind::Sound);
        let law = self.parameters.law(&case);
        let attempt = |(kp, ki, k)| (case, ours(Law { kp, ki, k, ..law.clone() }));
        let asked: Vec<_> = TRIED.into_iter().map(attempt).collect();
        let outcomes = short.all_seeds(&asked, self.days.min(SENSITIVITY_DAYS))?;
        Ok(TRIED.into_iter().zip(outcomes).map(|((kp, ki, k), ours)| Sensitivity { kp, ki, k, ours }).collect())
    }

    /// At noon of the second day the target rises, in a calm cold climate, in each house and with each sensor.
    pub(crate) fn steps(&self) -> Result<Vec<Step>> {
        let sensors = [GOOD, POOR];
        let cases: Vec<_> = self.houses.iter().flat_map(|house| sensors.map(|sensor| (house, sensor))).collect();
        in_parallel(&cases, |(house, sensor)| self.step(house, *sensor)).into_iter().collect()
    }

    /// The same in one house with one sensor.
    pub(crate) fn step(&self, house: &str, sensor: RoomSensor) -> Result<Step> {
        let parameters = &self.parameters;
        let case = Case { sensor, ..case(house, Weather::Now, COLD, Kind::Sound) };
        let observed_h = match parameters.house(house).emitter {
            Emitter::Radiators | Emitter::FanCoil => STEP_HOURS,
            Emitter::Floor => FLOOR_STEP_HOURS,
        };
        let low = Plan::constant(parameters.target - STEP_K);
        let author = ours(Law { plan: low, ..parameters.law(&case) });
        let mut heating = Heating::new(&parameters.calm(&case, STEP_K)?, parameters.firmware(&case), author);
        let before_s = 86_400 + STEP_AT_S;
        for _ in 0..before_s {
            heating.second();
        }
        heating.plan(&Plan::constant(parameters.target));
        Ok(observe(&mut heating, parameters.target, observed_h, house, sensor))
    }

    fn rival(&self, case: &Case<'_>, is_pi: bool) -> Result<Author> {
        let parameters = &self.parameters;
        let pi = if is_pi { Some(Pi::of(&parameters.scenario(case)?)) } else { None };
        let House { flow_min, flow_max, .. } = *parameters.house(case.house);
        let line = parameters.line(case.house, case.weather);
        Ok(Author::Rival(Box::new(Rival::new(line, parameters.target, (flow_min, flow_max), pi))))
    }

    /// The outcomes of all requests, each with all seeds.
    fn all_seeds(&self, asked: &[(Case<'_>, Author)], days: u64) -> Result<Vec<Outcome>> {
        let mut runs = Vec::new();
        for (case, author) in asked {
            let seeded = |seed| Run { case: Case { seed, ..*case }, author: author.clone(), days };
            runs.extend(self.seeds.iter().map(|seed| seeded(*seed)));
        }
        let weeks = in_parallel(&runs, |run| self.week(run)).into_iter().collect::<Result<Vec<_>>>()?;
        Ok(weeks.chunks(self.seeds.len()).map(Outcome::together).collect())
    }

    fn week(&self, run: &Run<'_>) -> Result<Outcome> {
        let scenario = self.parameters.scenario(&run.case)?;
        let firmware = self.parameters.firmware(&run.case);
        Ok(heat(&scenario, firmware, run.author.clone(), run.days, self.parameters.target))
    }
}

pub(super) fn case(house: &str, weather: Weather, climate: Climate, kind: Kind) -> Case<'_> {
    Case { house, weather, climate, kind, sensor: GOOD, seed: 1 }
}

fn ours(law: Law) -> Author {
    Author::Ours(Box::new(law))
}

fn observe(heating: &mut Heating, target: f64, hours: u64, house: &str, sensor: RoomSensor) -> Step {
    let (mut room_c, mut last) = (Vec::new(), Vec::new());
    let (mut overshoot_k, mut arrived_h) = (f64::MIN, None);
    for second in 0..hours * 3_600 {
        let room = heating.bench().signals().room_c;
        if second % 3_600 == 0 {
            room_c.push(room);
        }
        if arrived_h.is_none() && room >= target - ARRIVED_K {
            arrived_h = Some(second as f64 / 3_600.0);
        }
        overshoot_k = overshoot_k.max(room - target);
        if second >= (hours - 3) * 3_600 {
            last.push(room);
        }
        heating.second();
    }
    let mean = last.iter().sum::<f64>() / last.len() as f64;
    let ripple_k = last.iter().map(|room| (room - mean).abs()).fold(0.0, f64::max);
    Step { house: house.to_owned(), sensor, target_c: target, room_c, overshoot_k, ripple_k, arrived_h }
}

/// The results of `run` for all jobs, in their order, on as many threads as there are cores.
pub(super) fn in_parallel<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(jobs.len())));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let result = run(job);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
