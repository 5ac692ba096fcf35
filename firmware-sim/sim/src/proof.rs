//! Checks a scenario's assertions, on the bench or against the data that a gateway publishes.
//!
//! ```text
//! bench ────────┐
//!               ├─▶ Observation, again and again ─▶ Trial: one watch per assertion ─▶ failures
//! STATUS, STATE ┘
//! ```
//! [`prove`] runs the bench, where every value is known. A reader of messages builds observations from them, and leaves
//! out unknown values: an assertion about an unknown value fails.

use std::fmt;

use thermowell_wire::line::{BoilerState, Fault};
use thermowell_wire::{BoilerId, Quality};

use crate::bench::Bench;
use crate::plant::STEP_US;
use crate::quantity;
use crate::scenario::{FaultName, Must, Scenario, When};

/// An assertion that fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The assertion's description.
    pub what: String,
    /// What was observed instead, and when.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.seen)
    }
}

/// Plays `scenario` for the boiler `id` until its last assertion is decided, and returns those that fail.
#[must_use]
pub fn prove(scenario: &Scenario, id: &BoilerId) -> Vec<Failure> {
    let mut trial = Trial::new(scenario.musts());
    let mut bench = Bench::new(&scenario.boiler(id));
    let mut t_us = 0;
    while t_us < trial.until_us() {
        t_us += STEP_US;
        bench.run_to(t_us);
        trial.observe(t_us, &Observation::at(&bench));
    }
    trial.failures()
}

/// The boiler at one moment; None for what is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// Its status, and temperatures other than the flow.
    pub report: Option<StatusReport>,
    /// True flow temperature in °C.
    pub flow_c: Option<f64>,
    /// The flow sensor's reading.
    pub reading: Option<Read>,
}

/// A boiler's status, and temperatures other than the flow.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReport {
    pub state: BoilerState,
    /// The fault reported.
    pub fault: Option<Fault>,
    /// The gas is open.
    pub burner: bool,
    /// The pump is commanded.
    pub pump: bool,
    /// Burner starts so far.
    pub starts: u32,
    /// Return temperature in °C; NaN if not measured.
    pub return_c: f64,
    /// Room temperature in °C; NaN if not measured.
    pub room_c: f64,
    /// Outdoor temperature in °C; NaN if not measured.
    pub outdoor_c: f64,
}

/// A reading of the flow sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    pub quality: Quality,
    /// In °C; NaN if the quality is not ok.
    pub celsius: f64,
}

impl Observation {
    fn at(bench: &Bench) -> Self {
        let (status, signals, reading) = (bench.status(), bench.signals(), bench.reading());
        let (quality, actuators) = (reading.quality(), bench.device().actuators());
        let report = StatusReport {
            state: status.state,
            fault: status.fault,
            burner: actuators.burner_permille > 0,
            pump: actuators.pump,
            starts: status.burner_starts,
            return_c: signals.return_c,
            room_c: signals.room_c,
            outdoor_c: signals.outdoor_c,
        };
        let celsius = if quality == Quality::Ok { reading.temperature.celsius() } else { f64::NAN };
        Self { report: Some(report), flow_c: Some(signals.flow_c), reading: Some(Read { quality, celsius }) }
    }
}

/// The assertions of a scenario that is being played.
#[derive(Debug)]
pub struct Trial<'a> {
    watches: Vec<Watch<'a>>,
    until_us: u64,
}

impl<'a> Trial<'a> {
    /// A trial of the assertions `musts`.
    pub fn new(musts: impl IntoIterator<Item = &'a Must>) -> Self {
        let watches: Vec<Watch<'a>> = musts.into_iter().map(Watch::new).collect();
        let until_us = watches.iter().map(|watch| watch.until_us).max().unwrap_or(0);
        Self { watches, until_us }
    }

    /// When the last assertion is decided, in µs since the start.
    #[must_use]
    pub fn until_us(&self) -> u64 {
        self.until_us
    }

    /// Feeds an observation, in the order of time.
    pub fn observe(&mut self, t_us: u64, observation: &Observation) {
        for watch in &mut self.watches {
            watch.observe(t_us, observation);
        }
    }

    /// The assertions that fail, in their order.
    #[must_use]
    pub fn failures(self) -> Vec<Failure> {
        self.watches.into_iter().filter_map(Watch::verdict).collect()
    }
}

#[derive(Debug)]
struct Watch<'a> {
    must: &'a Must,
    from_us: u64,
    until_us: u64,
    /// First observations at which it held, failed, and could not be decided.
    held: Option<String>,
    failed: Option<String>,
    unknown: Option<String>,
    /// Burner starts at the first observation and at the last.
    starts: Option<(u32, u32)>,
    /// Range of the flow and room temperature, to explain a failure.
    flow_c: (f64, f64),
    room_c: (f64, f64),
}

impl<'a> Watch<'a> {
    fn new(must: &'a Must) -> Self {
        let empty = (f64::INFINITY, f64::NEG_INFINITY);
        let (from_us, until_us) = (quantity::micros(must.from), quantity::micros(must.until));
        let (held, failed, unknown) = (None, None, None);
        Self { must, from_us, until_us, held, failed, unknown, starts: None, flow_c: empty, room_c: empty }
    }

    fn observe(&mut self, t_us: u64, observation: &Observation) {
        if !(self.from_us..=self.until_us).contains(&t_us) {
            return;
        }
        widen(&mut self.flow_c, observation.flow_c);
        widen(&mut self.room_c, observation.report.as_ref().map(|report| report.room_c));
        if let Some(StatusReport { starts, .. }) = observation.report {
            self.starts = Some((self.starts.map_or(starts, |(first, _)| first), starts));
        }
        let place = match holds(self.must, observation) {
            Some(true) => &mut self.held,
            Some(false) => &mut self.failed,
            None => &mut self.unknown,
        };
        if place.is_none() {
            let at = std::time::Duration::from_micros(t_us);
            let report = observation.report.as_ref().map(|report| (report.state, report.fault.map(|fault| fault.kind)));
            *place = Some(format!("at {at:?} {report:?}, flow {:.1?}, {:?}", observation.flow_c, observation.reading));
        }
    }

    fn verdict(self) -> Option<Failure> {
        // After a reboot of the firmware the count starts from 0.
        let starts = self.starts.map_or(0, |(first, last)| last.saturating_sub(first));
        let observed = self.held.is_some() || self.failed.is_some();
        let wrong = match self.must.when {
            When::Always => self.failed,
            When::Never => self.held,
            When::Once if self.held.is_none() => Some(String::from("never held")),
            When::Once => None,
        };
        let unknown = self.unknown.map(|unknown| format!("not decidable {unknown}"));
        let unobserved = (!observed).then(|| String::from("never observed"));
        let counted = self.must.starts.is_none_or(|[least, most]| (least..=most).contains(&starts));
        let wrong = wrong.or(unknown).or(unobserved);
        let wrong = wrong.or_else(|| (!counted).then(|| String::from("too many or too few starts")))?;
        let ((cold, hot), (cool, warm)) = (self.flow_c, self.room_c);
        let range = format!("flow {cold:.1} to {hot:.1} °C, rooms {cool:.1} to {warm:.1} °C, {starts} starts");
        Some(Failure { what: self.must.what.clone(), seen: format!("{wrong}; in all {range}") })
    }
}

fn widen(range: &mut (f64, f64), value: Option<f64>) {
    if let Some(value) = value {
        *range = (range.0.min(value), range.1.max(value));
    }
}

/// Whether everything in `must` holds; None if a value that it needs is unknown.
fn holds(must: &Must, observation: &Observation) -> Option<bool> {
    let Observation { report, flow_c, reading } = observation;
    let report = if must.needs_report() { Some(report.as_ref()?) } else { None };
    let flow = if must.flow_c.is_some() { Some((*flow_c)?) } else { None };
    let read = if must.needs_reading() { Some((*reading)?) } else { None };
    let within = |range: Option<[f64; 2]>, value: f64| range.is_none_or(|[low, high]| (low..=high).contains(&value));
    let report = report.is_none_or(|report| {
        must.state.is_none_or(|state| report.state == state)
            && must.fault.is_none_or(|FaultName(kind)| report.fault.map(|fault| fault.kind) == kind)
            && must.lockout.is_none_or(|lockout| report.fault.is_some_and(|fault| fault.lockout) == lockout)
            && must.burner.is_none_or(|burner| report.burner == burner)
            && must.pump.is_none_or(|pump| report.pump == pump)
            && within(must.return_c, report.return_c)
            && within(must.room_c, report.room_c)
            && within(must.outdoor_c, report.outdoor_c)
    });
    let read = read.is_none_or(|read| {
        must.quality.is_none_or(|quality| read.quality == quality) && within(must.reading_c, read.celsius)
    });
    Some(report && read && flow.is_none_or(|flow| within(must.flow_c, flow)))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn id() -> BoilerId {
        "b1".parse().unwrap()
    }

    #[test]
    fn every_firmware_scenario_passes_its_assertions() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 16, "{files:?}");
        let judge = |file: &Path| {
            let name = file.file_name().unwrap().display().to_string();
            let scenario = Scenario::read(file).unwrap();
            assert!(scenario.musts().len() >= 2, "{name} has too few assertions");
            prove(&scenario, &id()).iter().map(|failure| format!("{name}: {failure}")).collect::<Vec<_>>()
        };
        let wrong = std::thread::scope(|scope| {
            let players: Vec<_> = files.iter().map(|file| scope.spawn(|| judge(file))).collect();
            players.into_iter().flat_map(|player| player.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn failed_assertions_are_named() {
        let text = r#"
            [[must]]
            what = "hot"
            until = "1 min"
            flow_c = [80, 90]
            [[must]]
            what = "cold once"
            until = "1 min"
            when = "once"
            room_c = [0, 5]
            [[must]]
            what = "never a room"
            until = "1 min"
            when = "never"
            room_c = [15, 25]
            [[must]]
            what = "starts"
            until = "1 min"
            starts = [1, 9]
            [[must]]
            what = "sound"
            until = "1 min"
            fault = "none"
        "#;
        let failures = prove(&Scenario::parse("test", text).unwrap(), &id());
        let names: Vec<&str> = failures.iter().map(|failure| failure.what.as_str()).collect();
        assert_eq!(names, ["hot", "cold once", "never a room", "starts"]);
    }

    #[test]
    fn assertions_on_unknown_values_fail() {
        let text = r#"
            [[must]]
            what = "water"
            until = "1 min"
            flow_c = [0, 100]
            [[must]]
            what = "never hot water"
            until = "1 min"
            when = "never"
            flow_c = [80, 100]
            [[must]]
            what = "sound"
            until = "1 min"
            quality = "ok"
            [[must]]
            what = "starts"
            until = "1 min"
            starts = [0, 9]
            [[must]]
            what = "later"
            from = "2 min"
            until = "3 min"
            quality = "ok"
        "#;
        let scenario = Scenario::parse("test", text).unwrap();
        let named = |observations: &[Observation]| {
            let mut trial = Trial::new(scenario.musts());
            observations.iter().for_each(|observation| trial.observe(1, observation));
            trial.failures().into_iter().map(|failure| failure.what).collect::<Vec<_>>()
        };
        let mut known = Observation::at(&Bench::new(&scenario.boiler(&id())));
        assert_eq!(named(&[known.clone()]), ["later"], "never observed");
        let without_flow = Observation { flow_c: None, ..known.clone() };
        let hot_water = "never hot water";
        assert_eq!(named(&[known.clone(), without_flow]), ["water", hot_water, "later"]);
        known.report = None;
        assert_eq!(named(&[known]), ["starts", "later"]);
        assert_eq!(named(&[Observation::default()]), ["water", hot_water, "sound", "starts", "later"]);
    }
}
