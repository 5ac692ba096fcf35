//! Judges what a scenario says must be seen: on the bench, or on what is published of a boiler.
//!
//! ```text
//! bench ────────┐
//!               ├─▶ Look, again and again ─▶ Trial: one watch per assertion ─▶ failures
//! STATUS, STATE ┘
//! ```
//! [`prove`] plays on the bench, where everything is known. Whoever reads messages makes looks of them, and leaves out
//! what he does not know: an assertion about that does not hold.

use std::fmt;

use thermowell_wire::line::{BoilerState, Fault};
use thermowell_wire::{BoilerId, Quality};

use crate::bench::Bench;
use crate::plant::STEP_US;
use crate::scenario::{FaultName, Must, Scenario, When, quantity};

/// Something that must be seen and is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What must be seen.
    pub what: String,
    /// What was seen instead, and when.
    pub seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.seen)
    }
}

/// Plays `scenario` for the boiler `id`, as long as one of its assertions looks at it, and returns those that fail.
#[must_use]
pub fn prove(scenario: &Scenario, id: &BoilerId) -> Vec<Failure> {
    let mut trial = Trial::new(scenario.musts());
    let mut bench = Bench::new(&scenario.boiler(id));
    let mut t_us = 0;
    while t_us < trial.until_us() {
        t_us += STEP_US;
        bench.run_to(t_us);
        trial.look(t_us, &Look::at(&bench));
    }
    trial.failures()
}

/// The boiler at one moment; none is what is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// What it says about itself.
    pub told: Option<Told>,
    /// The water in it, in °C.
    pub flow_c: Option<f64>,
    /// What its flow sensor reads.
    pub reading: Option<Read>,
}

/// What a boiler says about itself, and the temperatures beside that of the flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What it is doing.
    pub state: BoilerState,
    /// The fault that stands.
    pub fault: Option<Fault>,
    /// The gas is open.
    pub burner: bool,
    /// The pump is commanded.
    pub pump: bool,
    /// Burner starts so far.
    pub starts: u32,
    /// The water that comes back, in °C; NaN where nobody measures it.
    pub return_c: f64,
    /// The rooms, likewise.
    pub room_c: f64,
    /// The weather, likewise.
    pub outdoor_c: f64,
}

/// What a flow sensor reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    /// The verdict on it.
    pub quality: Quality,
    /// In °C; NaN where it is not worth anything.
    pub celsius: f64,
}

impl Look {
    fn at(bench: &Bench) -> Self {
        let (status, signals, reading) = (bench.status(), bench.signals(), bench.reading());
        let (quality, actuators) = (reading.quality(), bench.device().actuators());
        let told = Told {
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
        Self { told: Some(told), flow_c: Some(signals.flow_c), reading: Some(Read { quality, celsius }) }
    }
}

/// Assertions while their scenario is played.
#[derive(Debug)]
pub struct Trial<'a> {
    watches: Vec<Watch<'a>>,
    until_us: u64,
}

impl<'a> Trial<'a> {
    /// A trial of `musts`.
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

    /// Looks at the boiler, in the order of time.
    pub fn look(&mut self, t_us: u64, look: &Look) {
        for watch in &mut self.watches {
            watch.look(t_us, look);
        }
    }

    /// The assertions that do not hold, in their order.
    #[must_use]
    pub fn failures(self) -> Vec<Failure> {
        self.watches.into_iter().filter_map(Watch::verdict).collect()
    }
}

/// One assertion.
#[derive(Debug)]
struct Watch<'a> {
    must: &'a Must,
    from_us: u64,
    until_us: u64,
    /// When it held first, when it did not, and when nobody could know.
    held: Option<String>,
    failed: Option<String>,
    unknown: Option<String>,
    /// Burner starts before and until now.
    starts: Option<(u32, u32)>,
    /// The smallest and the largest flow and room temperature: for whoever has to find out why.
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

    fn look(&mut self, t_us: u64, look: &Look) {
        if !(self.from_us..=self.until_us).contains(&t_us) {
            return;
        }
        widen(&mut self.flow_c, look.flow_c);
        widen(&mut self.room_c, look.told.as_ref().map(|told| told.room_c));
        if let Some(Told { starts, .. }) = look.told {
            self.starts = Some((self.starts.map_or(starts, |(first, _)| first), starts));
        }
        let place = match holds(self.must, look) {
            Some(true) => &mut self.held,
            Some(false) => &mut self.failed,
            None => &mut self.unknown,
        };
        if place.is_none() {
            let at = std::time::Duration::from_micros(t_us);
            let told = look.told.as_ref().map(|told| (told.state, told.fault.map(|fault| fault.kind)));
            *place = Some(format!("at {at:?} {told:?}, flow {:.1?}, {:?}", look.flow_c, look.reading));
        }
    }

    fn verdict(self) -> Option<Failure> {
        // A firmware that started anew counts from none.
        let starts = self.starts.map_or(0, |(first, last)| last.saturating_sub(first));
        let looked = self.held.is_some() || self.failed.is_some();
        let wrong = match self.must.when {
            When::Always => self.failed,
            When::Never => self.held,
            When::Once if self.held.is_none() => Some(String::from("not once")),
            When::Once => None,
        };
        let unknown = self.unknown.map(|unknown| format!("nobody can know {unknown}"));
        let unseen = (!looked).then(|| String::from("nobody looked"));
        let counted = self.must.starts.is_none_or(|[least, most]| (least..=most).contains(&starts));
        let wrong = wrong.or(unknown).or(unseen);
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

/// Whether all holds that `must` names; none where something of that is not known.
fn holds(must: &Must, look: &Look) -> Option<bool> {
    let Look { told, flow_c, reading } = look;
    let told = if must.asks_what_it_tells() { Some(told.as_ref()?) } else { None };
    let flow = if must.flow_c.is_some() { Some((*flow_c)?) } else { None };
    let read = if must.asks_what_is_read() { Some((*reading)?) } else { None };
    let within = |range: Option<[f64; 2]>, value: f64| range.is_none_or(|[low, high]| (low..=high).contains(&value));
    let told = told.is_none_or(|told| {
        must.state.is_none_or(|state| told.state == state)
            && must.fault.is_none_or(|FaultName(kind)| told.fault.map(|fault| fault.kind) == kind)
            && must.lockout.is_none_or(|lockout| told.fault.is_some_and(|fault| fault.lockout) == lockout)
            && must.burner.is_none_or(|burner| told.burner == burner)
            && must.pump.is_none_or(|pump| told.pump == pump)
            && within(must.return_c, told.return_c)
            && within(must.room_c, told.room_c)
            && within(must.outdoor_c, told.outdoor_c)
    });
    let read = read.is_none_or(|read| {
        must.quality.is_none_or(|quality| read.quality == quality) && within(must.reading_c, read.celsius)
    });
    Some(told && read && flow.is_none_or(|flow| within(must.flow_c, flow)))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn id() -> BoilerId {
        "b1".parse().unwrap()
    }

    #[test]
    fn every_scenario_of_the_firmware_shows_what_it_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 16, "{files:?}");
        let judge = |file: &Path| {
            let name = file.file_name().unwrap().display().to_string();
            let scenario = Scenario::read(file).unwrap();
            assert!(scenario.musts().len() >= 2, "{name} says hardly anything");
            prove(&scenario, &id()).iter().map(|failure| format!("{name}: {failure}")).collect::<Vec<_>>()
        };
        let wrong = std::thread::scope(|scope| {
            let players: Vec<_> = files.iter().map(|file| scope.spawn(|| judge(file))).collect();
            players.into_iter().flat_map(|player| player.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn an_assertion_that_does_not_hold_is_named() {
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
    fn what_nobody_knows_does_not_hold() {
        let text = r#"
            [[must]]
            what = "water"
            until = "1 min"
            flow_c = [0, 100]
            [[must]]
            what = "no hot water, as far as anybody knows"
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
        let named = |looks: &[Look]| {
            let mut trial = Trial::new(scenario.musts());
            looks.iter().for_each(|look| trial.look(1, look));
            trial.failures().into_iter().map(|failure| failure.what).collect::<Vec<_>>()
        };
        let mut known = Look::at(&Bench::new(&scenario.boiler(&id())));
        assert_eq!(named(&[known.clone()]), ["later"], "at which nobody looked");
        let blind = Look { flow_c: None, ..known.clone() };
        let dark = "no hot water, as far as anybody knows";
        assert_eq!(named(&[known.clone(), blind]), ["water", dark, "later"]);
        known.told = None;
        assert_eq!(named(&[known]), ["starts", "later"]);
        assert_eq!(named(&[Look::default()]), ["water", dark, "sound", "starts", "later"]);
    }
}
