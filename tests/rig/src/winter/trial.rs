//! The simulations and their comparison.

use anyhow::Result;
use serde::Serialize;
use thermowell_flow::control::{Law, Period};

use super::heating::{Author, Heating};
use super::plan::{CLIMATES, Climate, Kind, Parameters, calm, scenario};
use super::week::{Outcome, heat};

/// Days of each run of the sensitivity; only the first seed, in the cold climate.
const SENSITIVITY_DAYS: u64 = 3;
/// Days of each run of the lazy boiler, so that a whole `cargo winter` stays within two minutes of one core.
const LAZY_DAYS: u64 = 3;
/// The compared pairs of k and Kp.
const TRIED: [(f64, f64); 7] =
    [(0.5, 10.0), (0.0, 10.0), (0.25, 10.0), (1.0, 10.0), (0.5, 4.0), (0.5, 8.0), (0.5, 12.0)];
/// Hours that are reported after a step.
const STEP_HOURS: u64 = 12;
/// Height of the step, K.
const STEP_K: f64 = 2.0;

/// Parameters of all simulations.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) parameters: Parameters,
    pub(crate) days: u64,
    pub(crate) seeds: Vec<u64>,
}

/// A climate, with the plain heating curve and with the law.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) climate: &'static str,
    pub(crate) outdoor_c: f64,
    pub(crate) curve: Outcome,
    pub(crate) ours: Outcome,
}

/// A lazy boiler in a climate, without the hourly correction and with it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Lazy {
    pub(crate) climate: &'static str,
    pub(crate) without: Outcome,
    pub(crate) with: Outcome,
}

/// Other gains.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sensitivity {
    pub(crate) k: f64,
    pub(crate) kp: f64,
    pub(crate) ours: Outcome,
}

/// The response to a step of the target.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// Room and set-point for each hour after the step, °C.
    pub(crate) hours: Vec<StepHour>,
    /// Overshoot of the room, K.
    pub(crate) overshoot_k: f64,
    /// Remaining oscillation: the largest distance from the mean of the last three hours within them, K.
    pub(crate) ripple_k: f64,
}

/// An hour after the step.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StepHour {
    pub(crate) hour: u64,
    pub(crate) room_c: f64,
    pub(crate) asked_c: Option<f64>,
}

impl Stage {
    /// Both laws in all climates.
    pub(crate) fn climates(&self) -> Result<Vec<Compared>> {
        CLIMATES.iter().map(|climate| self.compare(*climate)).collect()
    }

    /// Both laws in one climate.
    pub(crate) fn compare(&self, climate: Climate) -> Result<Compared> {
        Ok(Compared {
            climate: climate.name,
            outdoor_c: climate.mean_c,
            curve: self.all_seeds(climate, Kind::Sound, &Author::Curve)?,
            ours: self.all_seeds(climate, Kind::Sound, &ours(self.parameters.law()))?,
        })
    }

    /// A lazy boiler with k and without.
    pub(crate) fn lazy(&self) -> Result<Vec<Lazy>> {
        let short = Self { days: self.days.min(LAZY_DAYS), ..self.clone() };
        let law = self.parameters.law();
        let compare = |climate: &Climate| {
            Ok(Lazy {
                climate: climate.name,
                without: short.all_seeds(*climate, Kind::Lazy, &ours(Law { k: 0.0, ..law.clone() }))?,
                with: short.all_seeds(*climate, Kind::Lazy, &ours(law.clone()))?,
            })
        };
        CLIMATES.iter().map(compare).collect()
    }

    /// Other gains, in the cold climate.
    pub(crate) fn sensitivity(&self) -> Result<Vec<Sensitivity>> {
        let short = Self { days: self.days.min(SENSITIVITY_DAYS), seeds: self.seeds[..1].to_vec(), ..self.clone() };
        let law = self.parameters.law();
        let attempt = |&(k, kp): &(f64, f64)| {
            let author = ours(Law { k, kp, ..law.clone() });
            Ok(Sensitivity { k, kp, ours: short.all_seeds(CLIMATES[0], Kind::Sound, &author)? })
        };
        TRIED.iter().map(attempt).collect()
    }

    /// At noon of the second day the target rises, in a calm cold climate.
    pub(crate) fn step(&self) -> Result<Step> {
        const NOON_S: u32 = 43_200;
        let target = self.parameters.target;
        let mut law = self.parameters.law();
        law.schedule.periods = vec![Period { from_s: 0, target: target - STEP_K }, Period { from_s: NOON_S, target }];
        let mut heating = Heating::new(&calm(CLIMATES[0])?, self.parameters.own(), ours(law));
        for _ in 0..86_400 + u64::from(NOON_S) {
            heating.second();
        }
        let mut hours = Vec::new();
        let (mut overshoot_k, mut last) = (f64::MIN, Vec::new());
        for second in 0..STEP_HOURS * 3_600 {
            let room_c = heating.bench().signals().room_c;
            if second % 3_600 == 0 {
                hours.push(StepHour { hour: second / 3_600, room_c, asked_c: heating.asked() });
            }
            overshoot_k = overshoot_k.max(room_c - target);
            if second >= (STEP_HOURS - 3) * 3_600 {
                last.push(room_c);
            }
            heating.second();
        }
        let mean = last.iter().sum::<f64>() / last.len() as f64;
        let ripple_k = last.iter().map(|room_c| (room_c - mean).abs()).fold(0.0, f64::max);
        Ok(Step { hours, overshoot_k, ripple_k })
    }

    fn all_seeds(&self, climate: Climate, kind: Kind, author: &Author) -> Result<Outcome> {
        let (own, target) = (self.parameters.own(), self.parameters.target);
        let mut weeks = Vec::with_capacity(self.seeds.len());
        let houses: Vec<_> = self.seeds.iter().map(|seed| scenario(climate, kind, *seed)).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let run = |house| scope.spawn(move || heat(house, own, author.clone(), self.days, target));
            let running: Vec<_> = houses.iter().map(run).collect();
            weeks.extend(running.into_iter().map(|week| week.join().expect("a week does not panic")));
        });
        Ok(Outcome::together(&weeks))
    }
}

fn ours(law: Law) -> Author {
    Author::Ours(Box::new(law))
}
