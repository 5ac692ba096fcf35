//! Scenario files, played to their end where nothing else goes wrong, and judged by what is published.
//!
//! | assertion about | is judged on |
//! |---|---|
//! | `state`, `fault`, `lockout`, `pump`, `starts`, `return_c`, `room_c`, `outdoor_c` | STATUS |
//! | `burner` | the power in STATUS, which is none without a flame: gas that does not burn yet is not told |
//! | `reading_c`, `quality` | STATE |
//! | `fault`, `lockout` | EVENT as well: what began there last and did not end |
//! | `flow_c` | STATE, where the reading is sound; not at all where the scenario gives the sensor faulty readings |
//!
//! A message that is older than 5 s says nothing any more: who goes quiet does not pass. What was read is judged at its
//! own time, which STATE names. The firmware samples ten times a second, as on the bench: a day of heating takes a
//! second or two.

use std::time::Duration;

use firmware_sim::proof::{Failure, Look, Read, Told, Trial};
use firmware_sim::scenario::{Must, Scenario};
use firmware_sim::sensor::SensorConfig;
use thermowell_flow::published::{EventBody, Freshness, FreshnessLimits, Link, SlotQuality, State, Status, freshness};
use thermowell_wire::{BoilerId, Quality};

use crate::agent::SPOOL;
use crate::leases::Author;
use crate::plan::{MS, Plan, SECOND};
use crate::random::Random;
use crate::told::history;
use crate::world::{Outcome, START, Stage, World};

/// The step of the firmware's control.
const PERIOD: u64 = 100 * MS;
/// The firmware is looked at so seldom, and at each ping: a frame carries a few samples, and a change is told that much
/// late. The half second between two pings is what is left of it.
const TICK: u64 = SECOND;
/// STATE comes every five seconds: what it says of an hour is worked out anew each time.
const BATCH: u16 = 50;
/// Everything has come up by then, and the first messages are there.
const UP: u64 = 10 * SECOND;
/// Who hears nothing looks all the same.
const SILENCE: u64 = 8 * SECOND;

/// What became of a scenario.
#[derive(Clone, Debug)]
pub struct Played {
    /// Assertions that could be judged.
    pub judged: usize,
    /// Those that could not, in their words.
    pub hidden: Vec<String>,
    /// Those that do not hold.
    pub failures: Vec<Failure>,
    /// Those that are judged on EVENT too.
    pub told: usize,
    /// The device runs from the beginning to the end: EVENT has its start, its faults and nothing else.
    pub steady: bool,
    /// What was published in EVENT.
    pub events: Vec<EventBody>,
    /// The world: its invariants hold as well.
    pub outcome: Outcome,
}

/// Plays `scenario` for the boiler `id`, as long as something of it can be judged.
#[must_use]
pub fn play(scenario: &Scenario, id: &BoilerId) -> Played {
    let cast = scenario.boiler(id);
    let (misreads, steady) = (misreads(&cast.sensor), cast.device.faults.is_empty());
    let (judged, hidden): (Vec<&Must>, Vec<&Must>) =
        scenario.musts().iter().partition(|must| must.flow_c.is_none() || !misreads);
    let told: Vec<Must> = judged.iter().filter_map(|must| must.about_faults()).collect();
    let mut audience = Audience::new(&judged, &told);
    let length = audience.until_us() * 1_000;
    let (period, tick, batch) = (PERIOD, TICK, Some(BATCH));
    let stage = Stage { scenario: cast, period, tick, batch, spool: SPOOL, asks: false, watched: true };
    let seed = scenario.seed();
    let mut world = World::on(stage, Plan::quiet(length), Random::new(seed), id.clone(), Author::new(seed), None);
    world.play(|world| audience.watch(world));
    let events = std::mem::take(&mut world.broker.events);
    Played {
        judged: judged.len(),
        told: told.len(),
        hidden: hidden.iter().map(|must| must.what.clone()).collect(),
        failures: audience.failures(),
        steady,
        events,
        outcome: world.outcome(seed),
    }
}

/// Whether the sensor reads another temperature than the water has, and calls it sound.
fn misreads(sensor: &SensorConfig) -> bool {
    let SensorConfig { stuck, stuck_at, offset, pocket_lag: _, noise_counts: _, open: _, short: _ } = sensor;
    !(stuck.is_empty() && stuck_at.is_empty() && offset.is_empty())
}

/// Somebody who reads STATUS, STATE and EVENT, and knows nothing else.
struct Audience<'a> {
    /// Of what the boiler says about itself.
    telling: Post<'a>,
    /// Of the faults that EVENT tells: looked at whenever the boiler says something.
    faults: Trial<'a>,
    /// Of what is read, whatever else is asked beside it.
    reading: Post<'a>,
}

/// One subject, and what is judged when a message of it comes, or none for long.
struct Post<'a> {
    trial: Trial<'a>,
    /// Messages that were read.
    read: u64,
    silent_at: u64,
}

impl<'a> Post<'a> {
    fn new(musts: Vec<&'a Must>) -> Self {
        Self { trial: Trial::new(musts), read: 0, silent_at: START + UP }
    }

    /// Whether there is something new, or nothing for long.
    fn looks(&mut self, now: u64, messages: u64) -> bool {
        let looks = messages != self.read || now >= self.silent_at;
        if looks {
            (self.read, self.silent_at) = (messages, now.max(START + UP) + SILENCE);
        }
        looks
    }
}

impl<'a> Audience<'a> {
    fn new(musts: &[&'a Must], told: &'a [Must]) -> Self {
        let (reading, telling) = musts.iter().partition(|must| must.flow_c.is_some() || must.asks_what_is_read());
        Self { telling: Post::new(telling), faults: Trial::new(told), reading: Post::new(reading) }
    }

    fn until_us(&self) -> u64 {
        self.telling.trial.until_us().max(self.reading.trial.until_us())
    }

    fn failures(self) -> Vec<Failure> {
        let trials = [self.telling.trial, self.faults, self.reading.trial];
        trials.into_iter().flat_map(Trial::failures).collect()
    }

    fn watch(&mut self, world: &World) {
        let (now, broker) = (world.now, &world.broker);
        let (tells, reads) =
            (self.telling.looks(now, broker.status.messages), self.reading.looks(now, broker.state.messages));
        if !tells && !reads {
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
        let look = Look { told: status.and_then(told), flow_c, reading };
        let t_us = (now - START) / 1_000;
        if tells {
            self.telling.trial.look(t_us, &look);
            self.faults.look(t_us, &with_faults_of(&broker.faults, look.clone()));
        }
        if reads {
            let age = state.map_or(Duration::ZERO, |state| age(utc_s, state.stamp));
            let age_us = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
            self.reading.trial.look(t_us.saturating_sub(age_us), &look);
        }
    }
}

fn age(utc_s: f64, at_s: f64) -> Duration {
    Duration::from_secs_f64((utc_s - at_s).max(0.0))
}

fn is_fresh(utc_s: f64, at_s: f64) -> bool {
    freshness(Some(age(utc_s, at_s)), &FreshnessLimits::at_speed(1)) == Freshness::Fresh
}

fn told(status: &Status) -> Option<Told> {
    let device = status.device.as_ref().filter(|_| status.link == Link::Up)?;
    Some(Told {
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

/// The same look, with the fault that stands as EVENT says it; what is no history tells nobody anything.
fn with_faults_of(events: &[EventBody], look: Look) -> Look {
    let told = look.told.zip(history(events).ok());
    Look { told: told.map(|(told, (fault, _))| Told { fault, ..told }), ..look }
}

/// What was read; nothing where the newest slot lies in a gap.
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
