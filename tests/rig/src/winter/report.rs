//! The figures, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::trial::{Compared, Lazy, Sensitivity, Step};
use super::week::Outcome;

/// All that was played. What was not asked for is empty.
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

impl Report {
    /// One object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are always JSON")
    }

    /// Tables.
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
            writeln!(text, "wanted of ours: at most 0.50 of the curve's room error, at most 1.20 of its starts")?;
        }
        if !self.lazy.is_empty() {
            write!(text, "\na lazy boiler: one stage of 40 % power, begins 10 K below; at most three days\n{HEAD}")?;
        }
        for Lazy { climate, without, with } in &self.lazy {
            row(text, &format!("{climate}  k = 0"), without)?;
            row(text, "with k", with)?;
            writeln!(text, "{:>18}  {:>10.2}", "with ÷ without", ratio(with, without, |it| it.room_rmse_k))?;
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
                "overshoot {:.2} K, ripple of the last three hours {:.2} K",
                step.overshoot_k, step.ripple_k
            )?;
        }
        Ok(())
    }
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
