//! The world around an agent: a line, a server and time that jumps from event to event.

mod faults;
mod judge;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::eprintln;

use thermowell_wire::batch::{ClockQuality, Packed, decode};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Slot};

pub(super) use faults::Faults;

use super::device::{Device, PERIOD_NS, mix};
use super::disk::Disk;
use super::stream::Stream;
use crate::agent::{Agent, Effect, Input, Refused, Settings, Timing};
use crate::time::{Monotonic, Now, Utc};

const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MS;
/// The world begins long after the machine, and the device before the agent.
pub(super) const START: u64 = 100 * SECOND;
const FAULTS_FOR: u64 = 35 * SECOND;
/// After a minute in calm everything is delivered, or it never will be.
const CALM_MAX: u64 = 60 * SECOND;
/// What a server that crashes loses at most.
const SYNC: u64 = 2 * SECOND;
pub(super) const UTC_NS: i64 = 1_767_751_200_000_000_000;
/// The least that a frame takes.
const LATENCY: u64 = MS / 5;

struct Arrival {
    at: u64,
    expected: u64,
    payload: Vec<u8>,
    /// The agent's life that waits for the answer; none when it is lost.
    answered: Option<u64>,
}

enum Answer {
    Tail(Option<(u64, Vec<u8>)>),
    TailUnknown,
    Acknowledged(u64),
    Refused(Refused),
}

pub(super) struct World {
    seed: u64,
    random: u64,
    faults: Faults,
    now: u64,
    agent: Option<Agent>,
    /// Rises with every crash and disconnect: answers to earlier questions are dropped.
    life: u64,
    device: Device,
    device_at: u64,
    plugged: bool,
    to_gateway: VecDeque<(u64, Vec<u8>)>,
    to_device: VecDeque<(u64, Vec<u8>)>,
    stream: Stream,
    disk: Disk,
    /// When the sync that is under way ends, and whether it succeeds.
    syncing: Option<(u64, bool)>,
    connected: bool,
    arrivals: Vec<Arrival>,
    answers: Vec<(u64, u64, Answer)>,
    publishing: bool,
    reading_tail: bool,
    agent_back: Option<u64>,
    cable_back: Option<u64>,
    server_back: Option<u64>,
    fault_at: u64,
    /// Slots that a gap named while nobody could have had them any more: they are justified for good.
    history: Vec<String>,
    /// True times of the boots that ended.
    past: Vec<Past>,
    unjustified: Option<String>,
    only_reboots: bool,
}

struct Past {
    boot: Boot,
    slot_zero: u64,
    slots: u64,
    /// Delivered to an agent in a world whose line is clean.
    sent: u64,
}

/// A life of the agent may have another batch size than the one before.
fn settings(batch: u16) -> Settings {
    Settings {
        boiler: "b1".parse().unwrap(),
        serial_number: Some("TW-1".into()),
        batch,
        control: true,
        simulated_only: false,
        catch_up: 1,
        spool_bytes: 1 << 20,
        timing: Timing::at_speed(1, Duration::from_nanos(SYNC), Duration::from_secs(1)),
    }
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let mut world = Self {
            seed,
            random: seed.wrapping_mul(7_919) + 1,
            now: START,
            agent: None,
            life: 0,
            device: Device::new(Boot::new(3, 0xabcd_0000), START, 0, 0),
            device_at: START,
            plugged: true,
            to_gateway: VecDeque::new(),
            to_device: VecDeque::new(),
            stream: Stream::default(),
            disk: Disk::default(),
            syncing: None,
            connected: false,
            arrivals: Vec::new(),
            answers: Vec::new(),
            publishing: false,
            reading_tail: false,
            agent_back: None,
            cable_back: None,
            server_back: None,
            fault_at: u64::MAX,
            history: Vec::new(),
            past: Vec::new(),
            unjustified: None,
            only_reboots: faults.only_reboots,
            faults,
        };
        // Where nothing may be lost, the history begins well inside the ring.
        let age = world.below(if world.faults.lossless { 10 } else { 50 } * SECOND);
        let drift = i64::try_from(world.below(120)).unwrap() - 60;
        let short = !world.faults.lossless && world.chance(500);
        let ring = if short { world.faults.ring / 10 } else { world.faults.ring };
        world.device = Device::new(Boot::new(3, 0xabcd_0000), START - age, ring, drift);
        world.agent_back = Some(START + world.below(SECOND));
        world.server_back = Some(START + world.below(3 * SECOND));
        world.fault_at = world.next_fault();
        world
    }

    /// The whole story: faults, calm, judgement.
    pub(super) fn run(mut self) {
        let guard = Guard(self.seed);
        let calm = START + FAULTS_FOR;
        while self.now < calm {
            self.step(calm);
        }
        self.note("calm");
        self.calm();
        let end = self.now + CALM_MAX;
        while !self.is_delivered() {
            if self.now >= end {
                let (tail, head) = (self.stream_end(), self.device.head());
                self.fail(&format!("not delivered within {} s: {tail:?} of {head}", CALM_MAX / SECOND));
            }
            self.step(end);
        }
        self.judge();
        core::mem::forget(guard);
    }

    fn calm(&mut self) {
        let Faults { lossless, slots_max, .. } = self.faults;
        self.faults = Faults { lossless, slots_max, ..Faults::none() };
        self.fault_at = u64::MAX;
        let soon = self.now + SECOND;
        for back in [&mut self.agent_back, &mut self.cable_back, &mut self.server_back] {
            *back = back.map(|at| at.min(soon));
        }
    }

    fn is_delivered(&self) -> bool {
        let Some(end) = self.stream_end() else { return false };
        self.connected && self.plugged && end.boot == self.device.boot && end.seq + 1_100 > self.device.next
    }

    fn stream_end(&self) -> Option<Slot> {
        self.stream.tail().map(|(_, payload)| decode(payload).unwrap().end())
    }

    // Time and chance.

    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(1);
        mix(self.random, self.seed) % limit.max(1)
    }

    fn chance(&mut self, per_thousand: u64) -> bool {
        self.below(1_000) < per_thousand
    }

    fn next_fault(&mut self) -> u64 {
        if self.faults.every == 0 { u64::MAX } else { self.now + self.below(2 * self.faults.every) }
    }

    fn clock(&self) -> Now {
        let since = i64::try_from(self.now - START).unwrap();
        Now { monotonic: Monotonic(self.now), utc: Utc(UTC_NS + since), clock: ClockQuality::Synced }
    }

    /// Jumps to the next event and lets it happen.
    fn step(&mut self, limit: u64) {
        let wake = self.agent.as_ref().and_then(Agent::wake_at).map(|at| at.0);
        let events = [
            Some(limit),
            Some(self.device_at),
            Some(self.fault_at),
            wake,
            self.to_gateway.front().map(|(at, _)| *at),
            self.to_device.front().map(|(at, _)| *at),
            self.arrivals.iter().map(|arrival| arrival.at).min(),
            self.answers.iter().map(|(at, ..)| *at).min(),
            self.agent_back,
            self.cable_back,
            self.server_back,
            self.syncing.map(|(at, _)| at),
        ];
        self.now = self.now.max(events.into_iter().flatten().min().unwrap());
        self.happen();
        if self.agent.as_ref().and_then(Agent::wake_at).is_some_and(|at| at.0 <= self.now) {
            self.tell(Input::Wake);
            let at = self.agent.as_ref().and_then(Agent::wake_at);
            assert!(at.is_none_or(|at| at.0 > self.now), "the agent wants to be woken for ever");
        }
    }

    fn happen(&mut self) {
        if self.device_at <= self.now {
            self.device_at = self.now + PERIOD_NS;
            let mut frames = Vec::new();
            self.device.tick(self.now, |frame| frames.push(frame));
            for frame in frames {
                self.send_to_gateway(frame);
            }
        }
        if self.fault_at <= self.now {
            self.fault_at = self.next_fault();
            self.break_something();
        }
        self.come_back();
        let now = self.now;
        if let Some((_, synced)) = self.syncing.take_if(|(at, _)| *at <= now) {
            self.tell(if synced { Input::SpillSynced } else { Input::SpillFailed });
        }
        while self.to_device.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.to_device.pop_front().unwrap();
            self.device.receive(self.now, &bytes);
        }
        while self.to_gateway.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.to_gateway.pop_front().unwrap();
            let (head, tail) = bytes.split_at(usize::try_from(self.below(8)).unwrap().min(bytes.len()));
            self.tell(Input::Bytes(head));
            self.tell(Input::Bytes(tail));
        }
        self.serve();
    }

    // The line.

    fn send_to_gateway(&mut self, mut bytes: Vec<u8>) {
        if !self.plugged || self.agent.is_none() {
            return;
        }
        self.spoil(&mut bytes);
        let at = self.arrival(self.to_gateway.back().map(|(at, _)| *at));
        self.to_gateway.push_back((at, bytes));
    }

    fn send_to_device(&mut self, mut bytes: Vec<u8>) {
        if !self.plugged {
            return;
        }
        self.spoil(&mut bytes);
        let at = self.arrival(self.to_device.back().map(|(at, _)| *at));
        self.to_device.push_back((at, bytes));
    }

    fn arrival(&mut self, last: Option<u64>) -> u64 {
        let stall = if self.chance(self.faults.stalls) { self.below(300 * MS) } else { 0 };
        let at = self.now + LATENCY + self.below(3 * MS) + stall;
        at.max(last.unwrap_or(0))
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        if !self.chance(self.faults.noise) {
            return;
        }
        let at = usize::try_from(self.below(u64::try_from(bytes.len()).unwrap())).unwrap();
        if self.chance(500) {
            bytes[at] ^= 1 << self.below(8);
        } else {
            bytes.remove(at);
        }
    }

    // The agent.

    fn tell(&mut self, input: Input<'_>) {
        let now = self.clock();
        let Some(agent) = &mut self.agent else { return };
        let mut effects = Vec::new();
        agent.step(now, input, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Write(frame) => self.send_to_device(frame.to_vec()),
            Effect::ReadTail => {
                assert!(!core::mem::replace(&mut self.reading_tail, true), "one tail at a time");
                assert!(self.connected, "the server is asked only when it is there");
                let at = self.now + LATENCY + self.below(2 * MS);
                let answer = if self.chance(self.faults.lost_acks) {
                    Answer::TailUnknown
                } else {
                    Answer::Tail(self.stream.tail().map(|(sequence, payload)| (sequence, payload.to_vec())))
                };
                self.answers.push((at, self.life, answer));
            }
            // Nothing ever fails in this device.
            Effect::ReadFault => self.tell(Input::LastFault(None)),
            Effect::Publish { expected, payload } => self.publish(expected, payload),
            Effect::Spill(spill) => {
                let fails = self.chance(self.faults.lost_acks);
                if self.disk.carry_out(spill, fails) {
                    assert!(self.syncing.is_none(), "one sync at a time");
                    self.syncing = Some((self.now + self.below(500 * MS), !fails));
                }
            }
            Effect::Status(status) => assert!(status.backlog < 10_000),
            Effect::Event(kind, body) => self.note(&format!("event {kind:?} {body:?}")),
            Effect::Stop { reason } => self.fail(&format!("it stopped: {reason}")),
            Effect::Log(log) => self.note(&format!("log {log}")),
        }
    }

    fn publish(&mut self, expected: u64, payload: Vec<u8>) {
        assert!(!core::mem::replace(&mut self.publishing, true), "one publish at a time");
        assert!(self.connected, "the server is asked only when it is there");
        let packed = decode(&payload).unwrap();
        if matches!(packed, Packed::Batch(_)) && packed.end().seq - packed.first().seq > self.faults.slots_max {
            self.answers.push((self.now + LATENCY, self.life, Answer::Refused(Refused::TooLarge)));
            return;
        }
        self.note(&format!("publish {} to {} expecting {expected}", packed.first(), packed.end()));
        let mut at = self.now + LATENCY + self.below(2 * MS);
        let mut answered = Some(self.life);
        if self.chance(self.faults.lost_acks) {
            // The answer is lost, or the question: then there is nothing to arrive.
            answered = None;
            self.answers.push((self.now + 2 * SECOND, self.life, Answer::Refused(Refused::Unknown)));
            if self.chance(300) {
                return;
            }
        }
        if self.chance(self.faults.zombies) {
            at = self.now + 2 * SECOND + self.below(2 * SECOND);
            if answered.take().is_some() {
                self.answers.push((self.now + 2 * SECOND, self.life, Answer::Refused(Refused::Unknown)));
            }
        }
        self.arrivals.push(Arrival { at, expected, payload, answered });
    }

    // The server.

    fn serve(&mut self) {
        while let Some(index) = self.arrivals.iter().position(|arrival| arrival.at <= self.now) {
            let arrival = self.arrivals.remove(index);
            self.justify(&arrival.payload);
            let others = self.below(3);
            let stored = self.stream.publish(self.now, arrival.expected, arrival.payload, others);
            if stored.is_some() {
                self.note(&format!("stored up to {:?}", self.stream_end()));
            }
            if let Some(life) = arrival.answered {
                let answer = stored.map_or(Answer::Refused(Refused::WrongSequence), Answer::Acknowledged);
                let at = self.now + LATENCY;
                self.answers.push((at, life, answer));
            }
        }
        while let Some(index) = self.answers.iter().position(|(at, ..)| *at <= self.now) {
            let (_, life, answer) = self.answers.remove(index);
            if life == self.life {
                self.answer(answer);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Tail(tail) => {
                self.reading_tail = false;
                self.tell(Input::Tail(tail.as_ref().map(|(sequence, payload)| (*sequence, payload.as_slice()))));
            }
            Answer::TailUnknown => {
                self.reading_tail = false;
                self.tell(Input::TailUnknown);
            }
            Answer::Acknowledged(sequence) => {
                self.publishing = false;
                self.tell(Input::Acknowledged { sequence });
            }
            Answer::Refused(refused) => {
                self.publishing = false;
                self.note(&format!("refused {refused:?}"));
                self.tell(Input::Refused(refused));
            }
        }
    }

    /// A gap of the ring is justified when its slots are out of reach at that moment.
    fn justify(&mut self, payload: &[u8]) {
        let Packed::Gap(gap) = decode(payload).unwrap() else { return };
        if gap.reason != GapReason::Ring {
            return;
        }
        let gone = if gap.boot == self.device.boot { self.device.oldest() } else { u64::MAX };
        if gap.to > gone || self.faults.lossless {
            self.unjustified = Some(format!("{gap:?}, the ring begins at {gone}"));
        }
    }

    fn check(&self, holds: bool, otherwise: &str) {
        if !holds {
            self.fail(otherwise);
        }
    }

    #[expect(clippy::print_stderr, reason = "the story of a failed seed")]
    fn fail(&self, why: &str) -> ! {
        for line in self.history.iter().rev().take(60).rev() {
            eprintln!("{line}");
        }
        panic!("seed {}, {} ms: {why}", self.seed, (self.now - START) / MS);
    }

    fn note(&mut self, what: &str) {
        self.history.push(format!("{:>8} ms  {what}", (self.now - START) / MS));
    }
}

/// Says which seed was running when something inside the agent panics.
struct Guard(u64);

impl Drop for Guard {
    #[expect(clippy::print_stderr, reason = "the seed of a panic")]
    fn drop(&mut self) {
        eprintln!("in the world of seed {}", self.0);
    }
}
