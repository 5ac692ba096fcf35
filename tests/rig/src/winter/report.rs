//! The report as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::trial::{Compared, Lazy, Sensitivity, Step};
use super::week::Outcome;

/// All results. What was not selected is empty.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) days: u64,
    pub(crate) seeds: Vec<u64>,
    pub(crate) climates: Vec<Compared>,
    pub(crate) lazy: Vec<Lazy>,
    pub(crate) sensitivity: Vec<Sensitivity>,
    pub(crate) step: Option<Step>,
}

const HEAD: &str = "                    room error     bias   starts   return       gas\n\
                    \u{20}                       K RMSE        K      /h       °C   kWh/day\n";

/// Requirement for the law: share of the plain curve's room error, and of its burner starts.
const ERROR_MAX: f64 = 0.5;
const STARTS_MAX: f64 = 1.2;
/// Requirement for k with a lazy boiler: share of the room error without k.
const LAZY_MAX: f64 = 0.9;
/// Requirement for the step: overshoot of the room, and remaining oscillation, K.
const OVERSHOOT_MAX_K: f64 = 0.3;
const RIPPLE_MAX_K: f64 = 0.1;

impl Report {
    /// Whether all requirements are met.
    pub(crate) fn is_as_wanted(&self) -> bool {
        self.climates.iter().all(is_better) && self.lazy.iter().all(pays) && self.step.as_ref().is_none_or(is_calm)
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are always JSON")
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} days, seeds {:?}\n", self.days, self.seeds);
        self.write(&mut text).expect("a string takes everything");
        text.truncate(text.trim_end().len());
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if !self.climates.is_empty() {
            write!(text, "\n{HEAD}")?;
        }
        for Compared { climate, outdoor_c, curve, ours } in &self.climates {
            row(text, &format!("{climate} {outdoor_c:+.0} °C  curve"), curve)?;
            row(text, "ours", ours)?;
            let (error, starts) =
                (ratio(ours, curve, |it| it.room_rmse_k), ratio(ours, curve, |it| it.starts_per_hour));
            writeln!(text, "{:>18}  {error:>10.2} {:>8} {starts:>8.2}", "ours ÷ curve", "")?;
        }
        if !self.climates.is_empty() {
            let word = word(self.climates.iter().all(is_better));
            writeln!(
                text,
                "wanted of ours: at most {ERROR_MAX:.2} of the curve's room error, at most {STARTS_MAX:.2} of its \
                 starts: {word}"
            )?;
        }
        if !self.lazy.is_empty() {
            write!(text, "\na lazy boiler: one stage of 40 % power, begins 10 K below; at most three days\n{HEAD}")?;
        }
        for Lazy { climate, without, with } in &self.lazy {
            row(text, &format!("{climate}  k = 0"), without)?;
            row(text, "with k", with)?;
            writeln!(text, "{:>18}  {:>10.2}", "with ÷ without", ratio(with, without, |it| it.room_rmse_k))?;
        }
        if !self.lazy.is_empty() {
            writeln!(text, "wanted of k: at most {LAZY_MAX:.2}: {}", word(self.lazy.iter().all(pays)))?;
        }
        if !self.sensitivity.is_empty() {
            write!(text, "\nother gains: cold climate, first seed, at most three days\n{HEAD}")?;
        }
        for Sensitivity { k, kp, ours } in &self.sensitivity {
            row(text, &format!("k {k:.2}  Kp {kp:.0}"), ours)?;
        }
        if let Some(step) = &self.step {
            writeln!(text, "\na step of +2 K, cold and calm\n  hour   room °C   asked °C")?;
            for hour in &step.hours {
                let asked = hour.asked_c.map_or(String::from("no heat"), |asked| format!("{asked:.1}"));
                writeln!(text, "{:>6} {:>9.2} {asked:>10}", hour.hour, hour.room_c)?;
            }
            writeln!(
                text,
                "overshoot {:.2} K, wanted at most {OVERSHOOT_MAX_K:.2}; ripple of the last three hours {:.2} K, \
                 wanted at most {RIPPLE_MAX_K:.2}: {}",
                step.overshoot_k,
                step.ripple_k,
                word(is_calm(step))
            )?;
        }
        Ok(())
    }
}

fn is_better(Compared { curve, ours, .. }: &Compared) -> bool {
    ratio(ours, curve, |it| it.room_rmse_k) <= ERROR_MAX && ratio(ours, curve, |it| it.starts_per_hour) <= STARTS_MAX
}

fn pays(Lazy { with, without, .. }: &Lazy) -> bool {
    ratio(with, without, |it| it.room_rmse_k) <= LAZY_MAX
}

fn is_calm(step: &Step) -> bool {
    step.overshoot_k <= OVERSHOOT_MAX_K && step.ripple_k <= RIPPLE_MAX_K
}

fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

fn row(text: &mut String, name: &str, outcome: &Outcome) -> std::fmt::Result {
    let Outcome { room_rmse_k, starts_per_hour, return_c, gas_kwh_day, room_bias_k, refused: _ } = outcome;
    writeln!(
        text,
        "{name:>18}  {room_rmse_k:>10.2} {room_bias_k:>+8.2} {starts_per_hour:>8.2} {return_c:>8.1} {gas_kwh_day:>9.1}"
    )
}

fn ratio(ours: &Outcome, other: &Outcome, of: fn(&Outcome) -> f64) -> f64 {
    of(ours) / of(other)
}
