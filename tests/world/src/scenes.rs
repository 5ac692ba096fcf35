//! Plays scenario files without other faults, and checks their assertions against the published data.
//!
//! | assertion about | checked on |
//! |---|---|
//! | `state`, `fault`, `lockout`, `pump`, `starts`, `return_c`, `room_c`, `outdoor_c` | STATUS |
//! | `burner` | the power in STATUS, which is 0 without a flame: gas that does not burn yet is not reported |
//! | `reading_c`, `quality` | STATE |
//! | `fault`, `lockout` | EVENT as well: the last fault that began there and did not end |
//! | `flow_c` | STATE, if the reading is valid; not at all if the scenario gives the sensor faulty readings |
//!
//! A message older than 5 s counts as unknown, so a publisher that stops fails the assertions. A reading is checked at
//! its own time, which STATE has. The firmware samples ten times a second, as on the bench: a day of heating takes a
//! second or two.

use std::time::Duration;

use firmware_sim::proof::{Failure, Observation, Read, StatusReport, Trial};
use firmware_sim::scenario::{Must, Scenario};
use firmware_sim::sensor::SensorConfig;
use thermowell_flow::published::{EventBody, Freshness, FreshnessLimits, Link, SlotQuality, State, Status, freshness};
use thermowell_wire::{BoilerId, Quality};

use crate::fault_events::history;
use crate::leases::Author;
use crate::plan::{MS, Plan, SECOND};
use crate::random::Random;
use crate::world::{Outcome, START, Stage, World};

/// Step of the firmware's control.
const PERIOD: u64 = 100 * MS;
/// The firmware runs this seldom, and at each ping: a frame has a few samples, and a change is reported late by up to
/// this; the pings every half second keep the delay below that.
const TICK: u64 = SECOND;
/// STATE every five seconds, because its average over the hour is computed each time.
const BATCH: u16 = 50;
/// By then all parts are up, and the first messages are published.
const UP: u64 = 10 * SECOND;
/// Without a message for this long an observation is made anyway.
const SILENCE: u64 = 8 * SECOND;

/// Result of a scenario.
#[derive(Clone, Debug)]
pub struct Played {
    /// Number of assertions that can be checked.
    pub judged: usize,
    /// Descriptions of those that cannot.
    pub hidden: Vec<String>,
    /// Assertions that fail.
    pub failures: Vec<Failure>,
    /// Assertions that are checked on EVENT too.
    pub on_event: usize,
    /// The scenario has no reboots: EVENT must have one boot, the faults and nothing else.
    pub steady: bool,
    pub events: Vec<EventBody>,
    /// Result of the world's own invariants.
    pub outcome: Outcome,
}

/// Plays `scenario` for the boiler `id` until its last assertion is decided.
#[must_use]
pub fn play(scenario: &Scenario, id: &BoilerId) -> Played {
    let cast = scenario.boiler(id);
    let (misreads, steady) = (misreads(&cast.sensor), cast.device.faults.is_empty());
    let (judged, hidden): (Vec<&Must>, Vec<&Must>) =
        scenario.musts().iter().partition(|must| must.flow_c.is_none() || !misreads);
    let on_event: Vec<Must> = judged.iter().filter_map(|must| must.about_faults()).collect();
    let mut subscriber = Subscriber::new(&judged, &on_event);
    let length = subscriber.until_us() * 1_000;
    let stage = Stage { period: PERIOD, tick: TICK, batch: Some(BATCH), watched: true, ..Stage::new(cast) };
    let seed = scenario.seed();
    let mut world = World::on(stage, Plan::quiet(length), Random::new(seed), id.clone(), Author::new(seed), None);
    world.play(|world| subscriber.watch(world));
    let events = std::mem::take(&mut world.broker.events);
    Played {
        judged: judged.len(),
        on_event: on_event.len(),
        hidden: hidden.iter().map(|must| must.what.clone()).collect(),
        failures: subscriber.failures(),
        steady,
        events,
        outcome: world.outcome(seed),
    }
}

/// Whether the sensor reads a wrong temperature with quality ok.
fn misreads(sensor: &SensorConfig) -> bool {
    let SensorConfig { stuck, stuck_at, offset, pocket_lag: _, noise_counts: _, open: _, short: _ } = sensor;
    !(stuck.is_empty() && stuck_at.is_empty() && offset.is_empty())
}

/// A subscriber of STATUS, STATE and EVENT, without any other knowledge.
struct Subscriber<'a> {
    /// Assertions about the boiler's status.
    on_status: Subject<'a>,
    /// Assertions about faults on EVENT, checked with each status.
    on_event: Trial<'a>,
    /// Assertions that include a reading.
    on_state: Subject<'a>,
}

/// Assertions checked with each message of one subject, or after a long silence.
struct Subject<'a> {
    trial: Trial<'a>,
    /// Messages received.
    read: u64,
    silent_at: u64,
}

impl<'a> Subject<'a> {
    fn new(musts: Vec<&'a Must>) -> Self {
        Self { trial: Trial::new(musts), read: 0, silent_at: START + UP }
    }

    /// Whether there is a new message, or a long silence.
    fn is_due(&mut self, now: u64, messages: u64) -> bool {
        let is_due = messages != self.read || now >= self.silent_at;
        if is_due {
            (self.read, self.silent_at) = (messages, now.max(START + UP) + SILENCE);
        }
        is_due
    }
}

impl<'a> Subscriber<'a> {
    fn new(musts: &[&'a Must], on_event: &'a [Must]) -> Self {
        let (on_state, on_status) = musts.iter().partition(|must| must.flow_c.is_some() || must.needs_reading());
        Self { on_status: Subject::new(on_status), on_event: Trial::new(on_event), on_state: Subject::new(on_state) }
    }

    fn until_us(&self) -> u64 {
        self.on_status.trial.until_us().max(self.on_state.trial.until_us())
    }

    fn failures(self) -> Vec<Failure> {
        let trials = [self.on_status.trial, self.on_event, self.on_state.trial];
        trials.into_iter().flat_map(Trial::failures).collect()
    }

    fn watch(&mut self, world: &World) {
        let (now, broker) = (world.now, &world.broker);
        let (status_due, state_due) =
            (self.on_status.is_due(now, broker.status.messages), self.on_state.is_due(now, broker.state.messages));
        if !status_due && !state_due {
            return;
        }
        let utc_s = world.clocks().utc.unix_seconds();
        let status = broker.status.last.as_ref().filter(|status| is_fresh(utc_s, status.created_at));
        let state = broker.state.last.as_ref().filter(|state| is_fresh(utc_s, state.stamp));
        if now < START + UP && (status.is_none() || state.is_none()) {
            return;
        }
        let reading = state.and_then(read);
        let flow_c = reading.map(|read| read.celsius).filter(|celsius| !celsius.is_nan());
        let observation = Observation { report: status.and_then(report), flow_c, reading };
        let t_us = (now - START) / 1_000;
        if status_due {
            self.on_status.trial.observe(t_us, &observation);
            self.on_event.observe(t_us, &with_faults_of(&broker.faults, observation.clone()));
        }
        if state_due {
            let age = state.map_or(Duration::ZERO, |state| age(utc_s, state.stamp));
            let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            self.on_state.trial.observe(t_us.saturating_sub(age_us), &observation);
        }
    }
}

fn age(utc_s: f64, at_s: f64) -> Duration {
    Duration::from_secs_f64((utc_s - at_s).max(0.0))
}

fn is_fresh(utc_s: f64, at_s: f64) -> bool {
    freshness(age(utc_s, at_s), &FreshnessLimits::at_speed(1)) == Freshness::Fresh
}

fn report(status: &Status) -> Option<StatusReport> {
    let device = status.device.as_ref().filter(|_| status.link == Link::Up)?;
    Some(StatusReport {
        state: device.state,
        fault: device.fault,
        burner: device.modulation > 0,
        pump: device.pump,
        starts: device.burner_starts,
        return_c: device.return_temperature.unwrap_or(f64::NAN),
        room_c: device.room.unwrap_or(f64::NAN),
        outdoor_c: device.outdoor.unwrap_or(f64::NAN),
    })
}

/// The same observation with the fault from EVENT. An inconsistent history makes the report unknown.
fn with_faults_of(events: &[EventBody], observation: Observation) -> Observation {
    let report = observation.report.zip(history(events).ok());
    Observation { report: report.map(|(report, (fault, _))| StatusReport { fault, ..report }), ..observation }
}

/// The last reading; None if the newest slot lies in a gap.
fn read(state: &State) -> Option<Read> {
    let quality = match state.quality {
        SlotQuality::Ok => Quality::Ok,
        SlotQuality::Open => Quality::Open,
        SlotQuality::Short => Quality::Short,
        SlotQuality::OutOfRange => Quality::OutOfRange,
        SlotQuality::Missing => return None,
    };
    Some(Read { quality, celsius: state.current.unwrap_or(f64::NAN) })
}
