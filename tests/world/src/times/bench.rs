//! One boiler on its crystal, one agent on true time, and what lies between.
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

/// Between two slots, by the device's clock.
const PERIOD: u64 = 10 * MS;
/// The firmware's main loop.
const LOOP: u64 = MS / 5;
/// Ten bits at 115,200 baud.
const BYTE: u64 = 86_806;
/// What an adapter of FTDI's sends at once, timer or no timer.
const PACKET: usize = 62;
/// The adapter's timer has a crystal of its own: 40 ppm slow, so that it locks to nothing.
const TIMER_PPM: u64 = 40;
/// A host that stalls does so for this long, on average every five seconds.
const STALL: u64 = 300 * MS;
const STALL_EVERY: u64 = 5 * SECOND;
/// Machine and world begin here.
const START: u64 = 1_000 * SECOND;
const UTC_NS: i64 = 1_767_751_200_000_000_000;

/// The device's crystal.
#[derive(Clone, Copy, Debug)]
pub struct Crystal {
    /// How much too fast it runs.
    pub drift_ppm: f64,
    /// How far the temperature moves that, up and down.
    pub wander_ppm: f64,
    /// How long such a wave takes.
    pub wander_s: f64,
}

impl Crystal {
    /// What it has gained after `at` nanoseconds.
    fn gain(&self, at: f64) -> f64 {
        let turn = std::f64::consts::TAU / (self.wander_s * 1e9);
        1e-6 * (self.drift_ppm * at + self.wander_ppm * (1.0 - (turn * at).cos()) / turn)
    }

    /// What it shows at a true time.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an hour of ns is below 2^53")]
    fn shows(&self, at: u64) -> u64 {
        at.saturating_add_signed(self.gain(at as f64) as i64)
    }

    /// When it shows `shown`.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an hour of ns is below 2^53")]
    fn when(&self, shown: u64) -> i64 {
        let shown = shown as f64;
        // Each round is 10,000 times as exact as the one before.
        (0..4).fold(shown, |at, _| shown - self.gain(at)) as i64
    }
}

/// What is between a slot and its stamp.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// In words.
    pub name: &'static str,
    /// The device's clock.
    pub crystal: Crystal,
    /// The adapter's latency timer; 0 is none.
    pub timer_ns: u64,
    /// The host stalls now and then.
    pub stalls: bool,
    /// The agent is dead from then until then.
    pub down: Option<(u64, u64)>,
}

/// One slot as it was published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamped {
    pub(super) stamp_ns: i64,
    pub(super) truth_ns: i64,
    /// When the agent was started that stamped it.
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
        // The device has run for a while when the first agent comes.
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
            spool_bytes: 1 << 20,
            timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(30)),
        }));
        self.tell(self.now, Input::Connected);
        self.tell(self.now, Input::PortOpened);
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

    /// Bytes leave the adapter when its timer fires, or when a packet is full.
    fn run_adapter(&mut self) {
        while let Some((at, bytes)) = self.on_line.pop_front() {
            if at > self.now {
                self.on_line.push_front((at, bytes));
                break;
            }
            self.fire_until(at);
            self.adapter.extend(bytes);
            if self.case.timer_ns == 0 || self.adapter.len() >= PACKET {
                self.hand_over(at);
            }
        }
        self.fire_until(self.now);
    }

    fn fire_until(&mut self, at: u64) {
        while self.case.timer_ns > 0 && self.timer_at <= at {
            self.hand_over(self.timer_at);
        }
    }

    fn hand_over(&mut self, at: u64) {
        self.timer_at = at + self.case.timer_ns + self.case.timer_ns * TIMER_PPM / 1_000_000;
        if !self.adapter.is_empty() {
            let bytes = std::mem::take(&mut self.adapter);
            // What a host takes to wake up and to read its clock.
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
            // All that came meanwhile is read now.
            self.to_host.iter_mut().for_each(|(at, _)| *at = (*at).max(self.stall.1));
            self.stall = (next, next + STALL);
        }
        while self.to_host.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((at, bytes)) = self.to_host.pop_front() else { break };
            self.tell(at, Input::Bytes(&bytes));
        }
        let wakes = self.agent.as_ref().and_then(Agent::wake_at);
        if wakes.is_some_and(|at| at.0 <= START + self.now) {
            self.tell(self.now, Input::Wake);
        }
    }

    fn tell(&mut self, at: u64, input: Input<'_>) {
        let now = Now { monotonic: Monotonic(START + at), utc: Utc(UTC_NS + whole(at)), clock: ClockQuality::Synced };
        let Some(agent) = &mut self.agent else { return };
        let mut effects = Vec::new();
        agent.step(now, input, &mut effects);
        for effect in effects {
            self.carry_out(at, effect);
        }
    }

    fn carry_out(&mut self, at: u64, effect: Effect) {
        match effect {
            Effect::Write(frame) => {
                let length = u64::try_from(frame.len()).unwrap_or(0) * BYTE;
                let written = at + MS / 10 + self.random.below(MS / 5);
                let free = self.to_device.back().map_or(0, |(at, _)| *at).max(written);
                self.to_device.push_back((free + length, frame.to_vec()));
            }
            Effect::ReadTail => {
                let tail = self.tail.clone();
                self.tell(at, Input::Tail(tail.as_ref().map(|(sequence, bytes)| (*sequence, bytes.as_slice()))));
            }
            Effect::Publish { payload, .. } => {
                self.compare(&payload);
                let sequence = self.tail.as_ref().map_or(0, |(sequence, _)| *sequence) + 1;
                self.tail = Some((sequence, payload));
                self.tell(at, Input::Acknowledged { sequence });
            }
            Effect::Event(_, body) => {
                let jumped = matches!(*body, thermowell_flow::published::EventBody::ClockJumped { .. });
                self.jumps += u64::from(jumped);
            }
            Effect::ReadFault | Effect::ClosePort | Effect::Spill(_) => {}
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
