//! The report as text and as JSON.

use std::fmt::{Result, Write as _};

use serde::Serialize;

use super::bars::{
    FLOOR_MAX, LAZY_MAX, NIGHT_GAS_MAX, NIGHT_MAX, OVERSHOOT_MAX_K, RADIATORS_MAX, RIPPLE_MAX_K, STARTS_MAX,
    SUMMER_MAX_K, ratio, word,
};
use super::bestest::{self, Bestest};
use super::night::{Begin, Night};
use super::plan::{GOOD, Line, Weather};
use super::rivals::Pi;
use super::summer::Summer;
use super::trial::{Compared, Lazy, Sensitivity, Step};
use super::tune::TUNED_WITH;
use super::week::{BAND_K, Outcome, START_J};

/// All results. What was not selected is empty.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) days: u64,
    pub(crate) seeds: Vec<u64>,
    #[serde(skip)]
    pub(crate) houses: Vec<Described>,
    pub(crate) table: Vec<Compared>,
    pub(crate) lazy: Vec<Lazy>,
    pub(crate) sensitivity: Vec<Sensitivity>,
    pub(crate) steps: Vec<Step>,
    pub(crate) nights: Vec<Night>,
    pub(crate) summers: Vec<Summer>,
    pub(crate) bestest: Vec<Bestest>,
}

/// A house in a weather, for the heading of its table.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) house: String,
    pub(crate) about: String,
    pub(crate) weather: Weather,
    pub(crate) line: Line,
    pub(crate) pi: Pi,
}

const HEAD: &str = "                              room error  bias   dev   cold   warm  starts  return      gas\n\
                    \u{20}                                K RMSE     K     K      K·h/day      /h      °C  kWh/day\n";
/// The hours of a step that are shown.
const SHOWN_H: [usize; 7] = [0, 1, 2, 4, 8, 11, 24];

impl Report {
    /// Whether all requirements are met.
    pub(crate) fn is_as_wanted(&self) -> bool {
        let Self { table, lazy, steps, .. } = self;
        let is_in_time = self.starts().all(|[late, _, optimum]| optimum.is_in_time(late));
        table.iter().all(Compared::is_met)
            && lazy.iter().all(Lazy::is_met)
            && steps.iter().all(Step::is_met)
            && is_in_time
            && self.summers.iter().all(Summer::is_met)
            && self.bestest.iter().all(Bestest::is_met)
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are always JSON")
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text.truncate(text.trim_end().len());
        text
    }

    fn write(&self, text: &mut String) -> Result {
        let Self { days, seeds, .. } = self;
        let counted = |seeds: &[u64]| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        writeln!(text, "{days} days, seeds {}; curves tuned with {} only", counted(seeds), counted(&TUNED_WITH))?;
        if seeds.iter().any(|seed| TUNED_WITH.contains(seed)) {
            writeln!(text, "NOT A FAIR COMPARISON: a curve was tuned with these seeds")?;
        }
        writeln!(
            text,
            "room sensor {} min, {} K; cold and warm beyond ±{BAND_K} K; gas with {:.0} kJ for each start",
            GOOD.lag_min,
            GOOD.step_k,
            START_J / 1e3
        )?;
        if !self.table.is_empty() {
            self.verdicts(text)?;
        }
        self.lazy(text)?;
        self.steps(text)?;
        self.nights(text)?;
        self.summers(text)?;
        bestest::write(text, &self.bestest)?;
        if !self.table.is_empty() {
            self.houses(text)?;
        }
        self.sensitivity(text)
    }

    /// Ours in one line for each house and weather.
    fn verdicts(&self, text: &mut String) -> Result {
        writeln!(
            text,
            "\nours ÷ curve with room influence: room error, wanted at most {RADIATORS_MAX:.2}, with a floor heating \
             {FLOOR_MAX:.2};\nburner starts, wanted at most {STARTS_MAX:.2}; and ours ÷ plain curve and ÷ PI: error"
        )?;
        writeln!(text, "\n house   weather  climate   ÷ influence     starts            ÷ curve   ÷ PI")?;
        for it in &self.table {
            let Compared { house, weather, climate, .. } = it;
            let (error, starts) = (it.error(), it.starts());
            let (nearer, sparing) = (word(it.is_nearer()), word(it.is_sparing()));
            let [curve, pi] = [&it.curve, &it.pi].map(|other| ratio(&it.ours, other, |it| it.room_rmse_k));
            writeln!(
                text,
                " {house:<8}{:<9}{climate:<7}{error:>8.2} {nearer:<6}{starts:>11.2} {sparing:<6}{curve:>13.2}{pi:>7.2}",
                weather.name()
            )?;
        }
        let missed = self.table.iter().filter(|it| !it.is_met()).count();
        writeln!(text, "{missed} of {} missed", self.table.len())
    }

    fn houses(&self, text: &mut String) -> Result {
        for Described { house, about, weather, line, pi } in &self.houses {
            let (cold, warm) = (line.cold, line.warm);
            writeln!(text, "\n{house}: {about}")?;
            writeln!(
                text,
                "weather {}; curve {:.1} °C at {:+.0} °C, {:.1} °C at {:+.0} °C; PI with {:.1} K/K and {:.1} h",
                weather.name(),
                cold.flow,
                cold.outdoor,
                warm.flow,
                warm.outdoor,
                pi.kp,
                pi.ti_h
            )?;
            text.push_str(HEAD);
            for it in self.table.iter().filter(|it| it.house == *house && it.weather == *weather) {
                row(text, &format!("{} {:+.0} °C", it.climate, it.outdoor_c), "curve", &it.curve)?;
                row(text, "", "influence", &it.influence)?;
                row(text, "", "PI", &it.pi)?;
                row(text, "", "ours", &it.ours)?;
                if let Some(roomless) = &it.roomless {
                    row(text, "", "ours, no room", roomless)?;
                }
            }
        }
        Ok(())
    }

    fn lazy(&self, text: &mut String) -> Result {
        if self.lazy.is_empty() {
            return Ok(());
        }
        write!(
            text,
            "\na lazy boiler: one stage of 9.6 kW, begins 10 K below; house readme, at most three days\n{HEAD}"
        )?;
        for it in &self.lazy {
            row(text, it.climate, "without help", &it.without)?;
            row(text, "", "with help", &it.with)?;
            writeln!(text, "{:>27} {:>12.2}", "with ÷ without", it.error())?;
        }
        writeln!(
            text,
            "wanted of the help (integral and hour): at most {LAZY_MAX:.2}: {}",
            word(self.lazy.iter().all(Lazy::is_met))
        )
    }

    fn steps(&self, text: &mut String) -> Result {
        if self.steps.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "\na step of +2 K, cold and calm: the true room, K below the target after so many hours\n\
             wanted: overshoot at most {OVERSHOOT_MAX_K:.1} K, ripple of the last 3 hours at most {RIPPLE_MAX_K:.1} K"
        )?;
        write!(text, "\n house   sensor        ")?;
        for hour in SHOWN_H {
            write!(text, "{hour:>4} h ")?;
        }
        writeln!(text, "  within 0.3 K  over  ripple")?;
        for it in &self.steps {
            let sensor = format!("{} min {} K", it.sensor.lag_min, it.sensor.step_k);
            write!(text, " {:<8}{sensor:<14}", it.house)?;
            for hour in SHOWN_H {
                let shown = it.room_c.get(hour).map_or(String::new(), |room| format!("{:.2}", it.target_c - room));
                write!(text, "{shown:>7}")?;
            }
            let arrived = it.arrived_h.map_or(String::from("never"), |hours| format!("{hours:.1} h"));
            let (over, ripple) = (it.overshoot_k.max(0.0), it.ripple_k);
            writeln!(text, "{arrived:>14}{over:>6.2}{ripple:>8.2} {}", word(it.is_met()))?;
        }
        Ok(())
    }

    /// The three starts of each house and climate.
    fn starts(&self) -> impl Iterator<Item = &[Night; 3]> {
        self.nights.as_chunks().0.iter()
    }

    fn nights(&self, text: &mut String) -> Result {
        if self.nights.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "\nset back by 4 K from 22 to 6, four days after three: the true room; wanted of the optimum start:\n\
             too cold for at most {NIGHT_MAX:.2} of the start at six, with {NIGHT_GAS_MAX:.2} of its gas"
        )?;
        writeln!(text, "\n house   climate  heats from     cold by day   at six  warm before      gas")?;
        writeln!(text, "                                     K·h/day  K short            h  kWh/day")?;
        for starts in self.starts() {
            for it in starts {
                let Night { house, climate, cold_kh_day, short_k, early_h, gas_kwh_day, .. } = it;
                let name = it.begin.name();
                write!(text, " {house:<8}{climate:<9}{name:<14}{cold_kh_day:>12.2}{short_k:>9.2}")?;
                write!(text, "{early_h:>13.1}{gas_kwh_day:>9.1}")?;
                let verdict = if it.begin == Begin::Optimum { word(it.is_in_time(&starts[0])) } else { "" };
                writeln!(text, "{}{verdict}", if verdict.is_empty() { "" } else { " " })?;
            }
        }
        Ok(())
    }

    fn summers(&self, text: &mut String) -> Result {
        if self.summers.is_empty() {
            return Ok(());
        }
        writeln!(
            text,
            "\nsummer without draws, after two days, first seed: gas in kWh/day and the warmest room; wanted: 0 kWh, \
             and at\nmost {SUMMER_MAX_K:.1} K more than in a house that nothing heats\n\n \
             house   outdoors   free        own control        the law            the law, no room"
        )?;
        for it in &self.summers {
            write!(text, " {:<8}{:>5.0} °C {:>6.1} °C", it.house, it.outdoor_c, it.free_c)?;
            for warm in [it.own, it.ours, it.roomless] {
                write!(text, "{:>8.1} {:>6.1} °C", warm.gas_kwh_day, warm.room_c)?;
            }
            writeln!(text, " {}", word(it.is_met()))?;
        }
        Ok(())
    }

    fn sensitivity(&self, text: &mut String) -> Result {
        if !self.sensitivity.is_empty() {
            write!(text, "\nother gains: house readme, cold climate, first seed, at most three days\n{HEAD}")?;
        }
        for Sensitivity { kp, ki, k, ours } in &self.sensitivity {
            row(text, &format!("Kp {kp} Ki {ki}"), &format!("k {k}"), ours)?;
        }
        Ok(())
    }
}

fn row(text: &mut String, first: &str, second: &str, outcome: &Outcome) -> Result {
    let Outcome { room_rmse_k, room_bias_k, room_deviation_k, cold_kh_day, warm_kh_day, .. } = outcome;
    let Outcome { starts_per_hour, return_c, gas_kwh_day, refused, .. } = outcome;
    let refused = if *refused == 0 { String::new() } else { format!("  {refused} leases refused") };
    writeln!(
        text,
        "{first:>12}  {second:<14}{room_rmse_k:>11.2}{room_bias_k:>+7.2}{room_deviation_k:>6.2}{cold_kh_day:>7.1}\
         {warm_kh_day:>7.1}{starts_per_hour:>8.2}{return_c:>8.1}{gas_kwh_day:>9.1}{refused}"
    )
}
