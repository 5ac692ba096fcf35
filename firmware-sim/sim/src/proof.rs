//! Plays a scenario on the bench and judges what it says must be seen.

use std::fmt;

use thermowell_device::Actuators;
use thermowell_wire::line::Status;
use thermowell_wire::{BoilerId, Quality};

use crate::bench::Bench;
use crate::plant::{STEP_US, Signals};
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
    let mut watches: Vec<Watch<'_>> = scenario.musts().iter().map(Watch::new).collect();
    let end_us = watches.iter().map(|watch| watch.until_us).max().unwrap_or(0);
    let mut bench = Bench::new(&scenario.boiler(id));
    let mut t_us = 0;
    while t_us < end_us {
        t_us += STEP_US;
        bench.run_to(t_us);
        let look = Look::at(&bench);
        for watch in &mut watches {
            watch.look(t_us, &look);
        }
    }
    watches.into_iter().filter_map(Watch::verdict).collect()
}

/// The boiler at one moment.
struct Look {
    status: Status,
    signals: Signals,
    actuators: Actuators,
    /// What the flow sensor reads in °C; a broken one reads nothing.
    read_c: f64,
}

impl Look {
    fn at(bench: &Bench) -> Self {
        let (reading, actuators) = (bench.reading(), *bench.device().actuators());
        let read_c = if reading.quality() == Quality::Ok { reading.temperature.celsius() } else { f64::NAN };
        Self { status: bench.status(), signals: bench.signals(), actuators, read_c }
    }
}

/// One assertion while the scenario is played.
struct Watch<'a> {
    must: &'a Must,
    from_us: u64,
    until_us: u64,
    /// When it held first, and when it did not.
    held: Option<String>,
    failed: Option<String>,
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
        Self { must, from_us, until_us, held: None, failed: None, starts: None, flow_c: empty, room_c: empty }
    }

    fn look(&mut self, t_us: u64, look: &Look) {
        if !(self.from_us..=self.until_us).contains(&t_us) {
            return;
        }
        let Look { status, signals, .. } = look;
        widen(&mut self.flow_c, signals.flow_c);
        widen(&mut self.room_c, signals.room_c);
        let starts = status.burner_starts;
        self.starts = Some((self.starts.map_or(starts, |(first, _)| first), starts));
        let place = if holds(self.must, look) { &mut self.held } else { &mut self.failed };
        if place.is_none() {
            let (at, fault) = (std::time::Duration::from_micros(t_us), status.fault.map(|fault| fault.kind));
            *place = Some(format!("at {at:?} {:?} {fault:?}, flow {:.1}", status.state, signals.flow_c));
        }
    }

    fn verdict(self) -> Option<Failure> {
        let starts = self.starts.map_or(0, |(first, last)| last - first);
        let wrong = match self.must.when {
            When::Always => self.failed,
            When::Never => self.held,
            When::Once if self.held.is_none() => Some(String::from("not once")),
            When::Once => None,
        };
        let counted = self.must.starts.is_none_or(|[least, most]| (least..=most).contains(&starts));
        let wrong = wrong.or_else(|| (!counted).then(|| String::from("too many or too few starts")))?;
        let ((cold, hot), (cool, warm)) = (self.flow_c, self.room_c);
        let range = format!("flow {cold:.1} to {hot:.1} °C, rooms {cool:.1} to {warm:.1} °C, {starts} starts");
        Some(Failure { what: self.must.what.clone(), seen: format!("{wrong}; in all {range}") })
    }
}

fn widen(range: &mut (f64, f64), value: f64) {
    *range = (range.0.min(value), range.1.max(value));
}

fn holds(must: &Must, look: &Look) -> bool {
    let Look { status, signals, actuators, read_c } = look;
    let within = |range: Option<[f64; 2]>, value: f64| range.is_none_or(|[low, high]| (low..=high).contains(&value));
    must.state.is_none_or(|state| status.state == state)
        && must.fault.is_none_or(|FaultName(kind)| status.fault.map(|fault| fault.kind) == kind)
        && must.lockout.is_none_or(|lockout| status.fault.is_some_and(|fault| fault.lockout) == lockout)
        && must.burner.is_none_or(|burner| (actuators.burner_permille > 0) == burner)
        && must.pump.is_none_or(|pump| actuators.pump == pump)
        && within(must.flow_c, signals.flow_c)
        && within(must.return_c, signals.return_c)
        && within(must.room_c, signals.room_c)
        && within(must.reading_c, *read_c)
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
}
