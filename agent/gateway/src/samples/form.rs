//! One slot or one hole as a line: for people, as CSV, as JSON, as SenML.
//!
//! | form | a reading | a hole |
//! |---|---|---|
//! | text | `2026-01-07T12:00:00.010Z  61.37 °C  ok        flame pump` | `# gap 41999 reboot` |
//! | CSV | the columns of [`CSV_HEADER`] | the same: number and reason in the last two, temperature and quality empty |
//! | JSON | an object | an object with `missing` and `reason` |
//! | SenML (RFC 8428) | `flow` in `Cel`; one that is not valid is a `quality` | `missing`, a count, and its `reason` |
//!
//! What is unknown is empty, null or absent: never 0, never the last value. Columns and fields may be appended.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde_json::json;
use thermowell_flow::published::celsius;
use thermowell_flow::time::Utc;
use thermowell_wire::{BoilerId, Reading, Slot};

use super::Hole;
use crate::output::word;

/// The columns of CSV. `slot` is the first one of a hole, empty for the time between two boots.
pub(crate) const CSV_HEADER: &str = "time,boot,slot,celsius,quality,flame,pump,hot_water,missing,reason\n";

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Csv,
    Json,
    Senml,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row {
    Reading { slot: Slot, utc_ns: i64, reading: Reading },
    Hole(Hole),
}

impl Row {
    /// Its time, or that of its beginning, UTC nanoseconds.
    pub(crate) fn utc_ns(&self) -> i64 {
        match self {
            Self::Reading { utc_ns, .. } => *utc_ns,
            Self::Hole(hole) => hole.from_ns,
        }
    }

    /// Appends the line to `out`, without its end.
    pub(crate) fn write(&self, form: Form, boiler: &BoilerId, out: &mut String) {
        let written = match form {
            Form::Text => self.text(out),
            Form::Csv => self.csv(out),
            Form::Json => write!(out, "{}", self.json(boiler)),
            Form::Senml => self.senml(out),
        };
        written.expect("writing to a string does not fail");
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        match self {
            Self::Reading { utc_ns, reading, .. } => {
                let flow = valid(reading).map_or("unknown".to_owned(), |flow| format!("{flow:.2} °C"));
                write!(out, "{}  {flow:>9}  {:<12}", Time(*utc_ns), word(&reading.quality()))?;
                let marks =
                    [(reading.flame(), " flame"), (reading.pump(), " pump"), (reading.hot_water(), " hot water")];
                marks.iter().filter(|(is_on, _)| *is_on).try_for_each(|(_, mark)| out.write_str(mark))?;
                out.truncate(out.trim_end().len());
                Ok(())
            }
            Self::Hole(hole) => write!(out, "# gap {} {}", hole.slots, word(&hole.reason)),
        }
    }

    fn csv(&self, out: &mut String) -> fmt::Result {
        match self {
            Self::Reading { slot, utc_ns, reading } => {
                write!(out, "{},{},{},", Time(*utc_ns), slot.boot, slot.seq)?;
                if reading.is_valid() {
                    write!(out, "{}", reading.temperature)?;
                }
                let bit = u8::from;
                let (flame, pump, hot_water) = (bit(reading.flame()), bit(reading.pump()), bit(reading.hot_water()));
                write!(out, ",{},{flame},{pump},{hot_water},,", word(&reading.quality()))
            }
            Self::Hole(hole) => {
                let slot = hole.first.map(|slot| format!("{},{}", slot.boot, slot.seq)).unwrap_or(",".to_owned());
                write!(out, "{},{slot},,,,,,{},{}", Time(hole.from_ns), hole.slots, word(&hole.reason))
            }
        }
    }

    fn json(&self, boiler: &BoilerId) -> serde_json::Value {
        match self {
            Self::Reading { slot, utc_ns, reading } => json!({
                "boiler": boiler, "time": Time(*utc_ns).to_string(), "slot": slot, "celsius": valid(reading),
                "quality": reading.quality(), "flame": reading.flame(), "pump": reading.pump(),
                "hot_water": reading.hot_water(),
            }),
            Self::Hole(hole) => json!({
                "boiler": boiler, "time": Time(hole.from_ns).to_string(), "slot": hole.first, "missing": hole.slots,
                "reason": hole.reason,
            }),
        }
    }

    fn senml(&self, out: &mut String) -> fmt::Result {
        let t = Utc(self.utc_ns()).unix_seconds();
        match self {
            Self::Reading { reading, .. } => match valid(reading) {
                Some(flow) => write!(out, r#"{{"n":"flow","t":{t},"u":"Cel","v":{flow}}}"#),
                None => write!(out, r#"{{"n":"quality","t":{t},"vs":"{}"}}"#, word(&reading.quality())),
            },
            Self::Hole(hole) => {
                write!(out, r#"{{"n":"missing","t":{t},"u":"count","v":{}}},"#, hole.slots)?;
                write!(out, "\n{{\"n\":\"reason\",\"t\":{t},\"vs\":\"{}\"}}", word(&hole.reason))
            }
        }
    }
}

/// °C; none unless the reading may be averaged.
fn valid(reading: &Reading) -> Option<f64> {
    reading.is_valid().then(|| celsius(i64::from(reading.temperature.0)))
}

/// UTC nanoseconds as RFC 3339 to the millisecond: a slot has 10 of them.
pub(crate) struct Time(pub(crate) i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => Ok(()),
        }
    }
}
