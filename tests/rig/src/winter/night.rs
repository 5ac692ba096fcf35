//! A set-back in each night: the rooms are to be warm at six.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use thermowell_flow::control::{Law, Plan, Step};
use thermowell_flow::time::{SECOND_NS, Utc};

use super::heating::{Author, EPOCH_S, Heating};
use super::plan::{Case, Climate, Kind, Weather};
use super::trial::{Stage, case, in_parallel};
use super::week::{BAND_K, Burnt};

const DAY_S: i64 = 86_400;
/// The rooms are to be warm from this time of day until that one, s.
const WARM_S: (i64, i64) = (6 * 3_600, 22 * 3_600);
/// The depth of the set-back, K.
const SET_BACK_K: f64 = 4.0;
/// Days that do not count: the warm-up is not known yet.
const LEARNING_DAYS: i64 = 3;
const COUNTED_DAYS: i64 = 4;
/// A manager's fixed start, s before the time.
const HOUR_S: i64 = 3_600;

/// When heating begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Begin {
    /// At the time at which the rooms are to be warm.
    AtTheTime,
    /// An hour before.
    AnHourBefore,
    /// By the product's optimum start.
    Optimum,
}

/// A house in a climate, with one kind of start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Night {
    pub(crate) house: String,
    pub(crate) climate: &'static str,
    pub(crate) begin: Begin,
    /// Integral of what the room is colder than the band, by day, K·h in a day.
    pub(crate) cold_kh_day: f64,
    /// The room at six, K below its target.
    pub(crate) short_k: f64,
    /// Hours for which it was within the band before six.
    pub(crate) early_h: f64,
    pub(crate) gas_kwh_day: f64,
}

impl Begin {
    pub(crate) const ALL: [Self; 3] = [Self::AtTheTime, Self::AnHourBefore, Self::Optimum];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AtTheTime => "at six",
            Self::AnHourBefore => "at five",
            Self::Optimum => "optimum start",
        }
    }
}

impl Stage {
    pub(crate) fn nights(&self) -> Result<Vec<Night>> {
        let mut jobs = Vec::new();
        for house in &self.houses {
            for climate in &self.climates {
                jobs.extend(Begin::ALL.map(|begin| (house, *climate, begin)));
            }
        }
        in_parallel(&jobs, |(house, climate, begin)| self.night(house, *climate, *begin)).into_iter().collect()
    }

    /// The mean of all seeds.
    fn night(&self, house: &str, climate: Climate, begin: Begin) -> Result<Night> {
        let nights = self.seeds.iter().map(|seed| {
            let case = Case { seed: *seed, ..case(house, Weather::Now, climate, Kind::Sound) };
            self.nights_of(&case, begin)
        });
        let nights = nights.collect::<Result<Vec<_>>>()?;
        let mean = |of: fn(&Night) -> f64| nights.iter().map(of).sum::<f64>() / nights.len() as f64;
        Ok(Night {
            house: house.to_owned(),
            climate: climate.name,
            begin,
            cold_kh_day: mean(|night| night.cold_kh_day),
            short_k: mean(|night| night.short_k),
            early_h: mean(|night| night.early_h),
            gas_kwh_day: mean(|night| night.gas_kwh_day),
        })
    }

    fn nights_of(&self, case: &Case<'_>, begin: Begin) -> Result<Night> {
        let target = self.parameters.target;
        let (from_s, until_s) = WARM_S;
        let days = 0..=LEARNING_DAYS + COUNTED_DAYS;
        let plan = |begin_s: i64| {
            let step = |day: i64, of_day: i64, target| Step { from: at(day * DAY_S + of_day), target };
            days.clone().flat_map(|day| [step(day, begin_s, target), step(day, until_s, target - SET_BACK_K)]).collect()
        };
        // Without an optimum start, the controller does not see a step in advance.
        let (planned, surprises): (Plan, Vec<Step>) = match begin {
            Begin::AtTheTime => (Plan::constant(target), plan(from_s)),
            Begin::AnHourBefore => (Plan::constant(target), plan(from_s - HOUR_S)),
            Begin::Optimum => (Plan::new(plan(from_s)), Vec::new()),
        };
        let law = Law { plan: planned, ..self.parameters.law(case) };
        let mut scenario = self.parameters.scenario(case)?;
        // The controller's clock begins at midnight; sun and cold must follow the same one.
        scenario.plant.starts_at = Duration::ZERO;
        let mut heating = Heating::new(&scenario, self.parameters.firmware(case), Author::Ours(Box::new(law)));
        let counted = LEARNING_DAYS * DAY_S..(LEARNING_DAYS + COUNTED_DAYS) * DAY_S;
        (0..counted.start).for_each(|second| pass(&mut heating, &surprises, second));
        let burnt = Burnt::since_now(heating.bench());
        let mut seen = Seen::default();
        for second in counted {
            pass(&mut heating, &surprises, second);
            seen.second(second.rem_euclid(DAY_S), &heating, target);
        }
        let days = COUNTED_DAYS as f64;
        Ok(Night {
            house: case.house.to_owned(),
            climate: case.climate.name,
            begin,
            cold_kh_day: seen.cold / 3_600.0 / days,
            short_k: seen.short / days,
            early_h: seen.early / 3_600.0 / days,
            gas_kwh_day: burnt.kwh(heating.bench()) / days,
        })
    }
}

/// Sums over the days that count.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    cold: f64,
    short: f64,
    early: f64,
}

impl Seen {
    fn second(&mut self, of_day: i64, heating: &Heating, target: f64) {
        let below = target - heating.bench().signals().room_c;
        if (WARM_S.0..WARM_S.1).contains(&of_day) {
            self.cold += (below - BAND_K).max(0.0);
        } else if of_day < WARM_S.0 && below <= BAND_K {
            self.early += 1.0;
        }
        if of_day == WARM_S.0 {
            self.short += below;
        }
    }
}

/// Simulates a second, with the step of the target that comes then, if any.
fn pass(heating: &mut Heating, surprises: &[Step], second: i64) {
    if let Some(step) = surprises.iter().find(|step| step.from == at(second)) {
        heating.plan(&Plan::constant(step.target));
    }
    heating.second();
}

fn at(second: i64) -> Utc {
    Utc((EPOCH_S + second) * SECOND_NS)
}
