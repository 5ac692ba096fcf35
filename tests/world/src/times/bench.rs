//! One boiler with its crystal, one agent on true time, and the path between them.
//!
//! ```text
//! device ─ 115,200 baud ─ adapter (sends when its timer fires, or with 62 bytes) ─ host (runs, or stalls) ─ agent
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use firmware_sim::boiler::{Boiler, BoilerSetup};
use firmware_sim::scenario::Scenario;
use firmware_sim::source::Source;
use thermowell_device::Config;
use thermowell_flow::agent::{Agent, Effect, Input, Settings, Timing};
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::BoilerId;
use thermowell_wire::batch::{ClockQuality, Packed, decode};

use super::whole;
use crate::plan::{MS, SECOND};
use crate::random::Random;

/// Time between two slots, by the device's clock.
const PERIOD: u64 = 10 * MS;
/// Period of the firmware's main loop.
const LOOP: u64 = MS / 5;
/// Ten bits at 115,200 baud.
const BYTE: u64 = 86_806;
/// Packet size at which an FTDI adapter sends without waiting for its timer.
const PACKET: usize = 62;
/// The adapter's timer has a crystal of its own: 40 ppm slow, so that it does not lock to anything.
const TIMER_PPM: u64 = 40;
/// Length of a host's stall, and the mean time between two.
const STALL: u64 = 300 * MS;
const STALL_EVERY: u64 = 5 * SECOND;
/// Uptime of the machine when the world begins.
const START: u64 = 1_000 * SECOND;
const UTC_NS: i64 = 1_767_751_200_000_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Crystal {
    /// Rate error, positive for fast.
    pub drift_ppm: f64,
    /// Amplitude of the rate's change with temperature.
    pub wander_ppm: f64,
    /// Period of that change.
    pub wander_s: f64,
}

impl Crystal {
    /// Time gained after `at` nanoseconds.
    fn gain(&self, at: f64) -> f64 {
        let turn = std::f64::consts::TAU / (self.wander_s * 1e9);
        1e-6 * (self.drift_ppm * at + self.wander_ppm * (1.0 - (turn * at).cos()) / turn)
    }

    /// The clock's reading at a true time.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an hour of ns is below 2^53")]
    fn shows(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.gain(at as f64) as i64)
    }

    /// True time at which the clock reads `shown`.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an hour of ns is below 2^53")]
    fn when(&self, shown: u64) -> i64 {
        let shown = shown as f64;
        // Each iteration reduces the error 10,000-fold.
        (0..4).fold(shown, |at, _| shown - self.gain(at)) as i64
    }
}

/// The conditions between a slot and its stamp.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Label of its row.
    pub name: &'static str,
    pub crystal: Crystal,
    /// The adapter's latency timer; 0 without one.
    pub timer_ns: u64,
    /// The host stalls now and then.
    pub stalls: bool,
    /// Begin and end of the agent's downtime.
    pub down: Option<(u64, u64)>,
}

/// One published slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped {
    pub(super) stamp_ns: i64,
    pub(super) truth_ns: i64,
    /// Start of the agent that stamped it.
    pub(super) since_ns: i64,
}

#[derive(Debug)]
pub(super) struct Bench {
    case: Case,
    random: Random,
    now: u64,
    boiler: Boiler,
    agent: Option<Agent>,
    since: u64,
    to_device: VecDeque<(u64, Vec<u8>)>,
    on_line: VecDeque<(u64, Vec<u8>)>,
    adapter: Vec<u8>,
    timer_at: u64,
    to_host: VecDeque<(u64, Vec<u8>)>,
    stall: (u64, u64),
    tail: Option<(u64, Vec<u8>)>,
    pub(super) stamped: Vec<Stamped>,
    pub(super) jumps: u64,
}

impl Bench {
    pub(super) fn new(case: Case, seed: u64) -> Self {
        let id: BoilerId = "b1".parse().expect("an id");
        let scenario = Scenario::parse("times", &format!("seed = {seed}\n")).expect("a scenario").boiler(&id);
        let source = Source::plant(&scenario);
        let device = Config { catch_up_slots: u64::MAX, simulated: true, ..Config::default() };
        let mut random = Random::new(seed);
        let (timer_at, stall_at) = (random.below(case.timer_ns), random.below(2 * STALL_EVERY));
        Self {
            case,
            random,
            now: 0,
            boiler: Boiler::new(BoilerSetup { id, device, scenario, source, ring: 12_000, boots: 3 }, 0),
            agent: None,
            since: 0,
            to_device: VecDeque::new(),
            on_line: VecDeque::new(),
            adapter: Vec::new(),
            timer_at,
            to_host: VecDeque::new(),
            stall: (stall_at, stall_at + STALL),
            tail: None,
            stamped: Vec::new(),
            jumps: 0,
        }
    }

    pub(super) fn live(&mut self, length: u64) {
        let down = self.case.down.unwrap_or((u64::MAX, u64::MAX));
        // The device has been running for a while when the first agent starts.
        let begin = 5 * SECOND;
        while self.now < length {
            self.now += LOOP;
            let lives = self.now >= begin && !(down.0..down.1).contains(&self.now);
            if lives != self.agent.is_some() {
                self.to_host.clear();
                self.agent = None;
                if lives {
                    self.start();
                }
            }
            self.run_device();
            self.run_adapter();
            self.run_host();
        }
    }

    fn start(&mut self) {
        self.since = self.now;
        self.agent = Some(Agent::new(Settings {
            boiler: "b1".parse().expect("an id"),
            serial_number: None,
            batch: 100,
            control: false,
            simulated_only: false,
            catch_up: 1_000,
            spool_bytes: 1 << 20,
            timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(30)),
        }));
        self.feed(self.now, Input::Connected);
        self.feed(self.now, Input::PortOpened);
    }

    fn run_device(&mut self) {
        let shown = self.case.crystal.shows(self.now);
        while self.to_device.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, bytes)) = self.to_device.pop_front() else { break };
            self.boiler.receive(&bytes, shown);
        }
        self.boiler.advance(shown, |_| 0);
        drop(self.boiler.take_journal());
        let mut out = [0; 512];
        loop {
            let len = self.boiler.transmit(shown, &mut out);
            let Some(frame) = out.get(..len).filter(|frame| !frame.is_empty()) else { break };
            let free = self.on_line.back().map_or(0, |(at, _)| *at).max(self.now);
            let length = u64::try_from(len).unwrap_or(0) * BYTE;
            self.on_line.push_back((free + length, frame.to_vec()));
        }
    }

    /// The adapter sends its bytes when its timer fires, or when a packet is full.
    fn run_adapter(&mut self) {
        while let Some((at, bytes)) = self.on_line.pop_front() {
            if at > self.now {
                self.on_line.push_front((at, bytes));
                break;
            }
            self.fire_until(at);
            self.adapter.extend(bytes);
            if self.case.timer_ns == 0 || self.adapter.len() >= PACKET {
                self.flush_adapter(at);
            }
        }
        self.fire_until(self.now);
    }

    fn fire_until(&mut self, at: u64) {
        while self.case.timer_ns > 0 && self.timer_at <= at {
            self.flush_adapter(self.timer_at);
        }
    }

    fn flush_adapter(&mut self, at: u64) {
        self.timer_at = at + self.case.timer_ns + self.case.timer_ns * TIMER_PPM / 1_000_000;
        if !self.adapter.is_empty() {
            let bytes = std::mem::take(&mut self.adapter);
            // The time until the host has woken up and read its clock.
            let read = at + MS / 50 + self.random.below(MS / 8);
            let last = self.to_host.back().map_or(0, |(at, _)| *at);
            self.to_host.push_back((read.max(last), bytes));
        }
    }

    fn run_host(&mut self) {
        if self.case.stalls && self.now >= self.stall.0 {
            if self.now < self.stall.1 {
                return;
            }
            let next = self.now + self.random.below(2 * STALL_EVERY);
            // Everything that arrived meanwhile is read now.
            self.to_host.iter_mut().for_each(|(at, _)| *at = (*at).max(self.stall.1));
            self.stall = (next, next + STALL);
        }
        loop {
            // The agent lets bytes wait at the port.
            let reads_at = self.agent.as_ref().and_then(Agent::read_at).map_or(0, |at| at.0.saturating_sub(START));
            let Some((at, bytes)) = self.to_host.pop_front_if(|(at, _)| reads_at.max(*at) <= self.now) else { break };
            self.feed(reads_at.max(at), Input::Bytes(&bytes));
        }
        let wakes = self.agent.as_ref().and_then(Agent::wake_at);
        if wakes.is_some_and(|at| at.0 <= START + self.now) {
            self.feed(self.now, Input::Wake);
        }
    }

    fn feed(&mut self, at: u64, input: Input<'_>) {
        let now = Now { monotonic: Monotonic(START + at), utc: Utc(UTC_NS + whole(at)), clock: ClockQuality::Synced };
        let Some(agent) = &mut self.agent else { return };
        let mut effects = Vec::new();
        agent.step(now, input, &mut effects);
        for effect in effects {
            self.execute(at, effect);
        }
    }

    fn execute(&mut self, at: u64, effect: Effect) {
        match effect {
            Effect::Write(frame) => {
                let length = u64::try_from(frame.len()).unwrap_or(0) * BYTE;
                let written = at + MS / 10 + self.random.below(MS / 5);
                let free = self.to_device.back().map_or(0, |(at, _)| *at).max(written);
                self.to_device.push_back((free + length, frame.to_vec()));
            }
            Effect::ReadTail => {
                let tail = self.tail.clone();
                self.feed(at, Input::Tail(tail.as_ref().map(|(sequence, bytes)| (*sequence, bytes.as_slice()))));
            }
            Effect::Publish { payload, .. } => {
                self.compare(&payload);
                let sequence = self.tail.as_ref().map_or(0, |(sequence, _)| *sequence) + 1;
                self.tail = Some((sequence, payload));
                self.feed(at, Input::Acknowledged { sequence });
            }
            Effect::Event(_, body) => {
                let jumped = matches!(*body, thermowell_flow::published::EventBody::ClockJumped { .. });
                self.jumps += u64::from(jumped);
            }
            Effect::ReadFault | Effect::Spill(_) => {}
            Effect::Status(_) | Effect::Stop { .. } | Effect::Log(_) => {}
        }
    }

    fn compare(&mut self, payload: &[u8]) {
        let Ok(Packed::Batch(batch)) = decode(payload) else { return };
        for index in 0..batch.header.count {
            let seq = batch.header.seq + u64::from(index);
            self.stamped.push(Stamped {
                stamp_ns: batch.header.utc_ns(index) - UTC_NS,
                truth_ns: self.case.crystal.when(seq * PERIOD),
                since_ns: whole(self.since),
            });
        }
    }
}
