//! Cases that one can tell: what the agent does when …

mod control;
mod delivery;
mod device;
mod faults;
mod senses;
mod spill;
mod stamps;

use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::batch::{self, BatchHeader, ClockQuality, Packed, decode, encode_batch};
use thermowell_wire::line::{
    Answer, BoilerState, Demand, FrameReader, GapNotice, GapReason, Hello, Outcome, Pong, Samples, Status, ToDevice,
    ToGateway,
};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, CentiCelsius, Reading, Slot, device_id};

use super::device::frame;
use crate::agent::{Agent, Effect, Input, Log, Settings, Timing};
use crate::published::{EventBody, Lease, Link};
use crate::time::{Monotonic, Now, Utc};

const MS: u64 = 1_000_000;
const BOOT: Boot = Boot(0x0000_0007_1234_5678);

struct Bench {
    agent: Agent,
    now: Now,
    effects: Vec<Effect>,
    reader: FrameReader,
}

fn settings() -> Settings {
    Settings {
        boiler: "b1".parse().unwrap(),
        serial_number: None,
        batch: 100,
        control: true,
        simulated_only: false,
        catch_up: 1,
        spool_bytes: 1 << 20,
        timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(30)),
    }
}

fn hello(next: u64) -> Hello {
    Hello {
        protocol: 1,
        boot: BOOT,
        serial_number: "TW-1".try_into().unwrap(),
        firmware: "test 1".try_into().unwrap(),
        period_us: 10_000,
        ring: 12_000,
        oldest: next.saturating_sub(12_000),
        next,
        device_us: next * 10_000,
        simulated: true,
        own_flow: CentiCelsius(5_500),
    }
}

fn status(next: u64) -> Status {
    Status {
        tag: BOOT.tag(),
        next,
        device_us: next * 10_000,
        marks: Reading::PUMP,
        modulation: 40,
        return_temperature: Some(CentiCelsius(4_000)),
        room: Some(CentiCelsius(2_050)),
        outdoor: None,
        pressure_mbar: 1_500,
        setpoint: None,
        state: BoilerState::Firing,
        fault: None,
        burner_starts: 1,
    }
}

fn stored(first: u64, boot: Boot, serial_number: &str) -> Vec<u8> {
    let header = BatchHeader {
        device: device_id(serial_number),
        boot,
        seq: first,
        count: 100,
        first_utc_ns: 1_000_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    };
    let mut out = vec![0; batch::encoded_max(100)];
    encode_batch(&header, &[Reading::default(); 100], &mut out).unwrap().to_vec()
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Now {
            monotonic: Monotonic(1_000_000 * MS),
            utc: Utc(1_767_751_200_000_000_000),
            clock: ClockQuality::Synced,
        };
        Self { agent: Agent::new(settings), now, effects: Vec::new(), reader: FrameReader::new() }
    }

    /// Port open, device identified with its `next`, server there and `tail` read, three pongs.
    fn running(settings: Settings, next: u64, tail: Option<(u64, &[u8])>) -> Self {
        let mut bench = Self::new(settings);
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(tail));
        bench.tell(Input::PortOpened);
        bench.say(&ToGateway::Hello(hello(next)));
        for _ in 0..3 {
            bench.pong();
        }
        bench
    }

    fn tell(&mut self, input: Input<'_>) {
        self.agent.step(self.now, input, &mut self.effects);
    }

    fn say(&mut self, message: &ToGateway) {
        self.tell(Input::Bytes(&frame(message)));
    }

    fn samples(&mut self, from: u64, count: u64) {
        let mut at = from;
        while at < from + count {
            let len = usize::try_from((from + count - at).min(32)).unwrap();
            let readings = core::iter::repeat_n(Reading::default(), len).collect();
            self.say(&ToGateway::Samples(Samples { tag: BOOT.tag(), seq: at, readings }));
            at += u64::try_from(len).unwrap();
        }
    }

    /// Answers the next ping after 20 ms.
    fn pong(&mut self) {
        let started = self.heard_pings().last().copied();
        self.pass(20);
        let nonce = self.heard_pings().last().copied().or(started);
        let device_us = (self.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000;
        if let Some(nonce) = nonce {
            self.say(&ToGateway::Pong(Pong { nonce, device_us }));
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic.0 += ms * MS;
        self.now.utc.0 += i64::try_from(ms * MS).unwrap();
        self.tell(Input::Wake);
    }

    /// Everything that was written to the device so far; it stays in `effects`.
    fn written(&mut self) -> Vec<ToDevice> {
        let mut messages = Vec::new();
        for effect in &self.effects {
            if let Effect::Write(bytes) = effect {
                self.reader.feed(bytes, |message| messages.push(message.unwrap()));
            }
        }
        messages
    }

    fn heard_pings(&mut self) -> Vec<u32> {
        let pings = self.written().into_iter();
        pings.filter_map(|message| if let ToDevice::Ping { nonce } = message { Some(nonce) } else { None }).collect()
    }

    fn resumes(&mut self) -> Vec<u64> {
        let resumes = self.written().into_iter();
        resumes.filter_map(|m| if let ToDevice::Resume { from, .. } = m { Some(from) } else { None }).collect()
    }

    /// What was published so far: the expectation and the slots.
    fn published(&self) -> Vec<(u64, u64, u64)> {
        let mut all = Vec::new();
        for effect in &self.effects {
            if let Effect::Publish { expected, payload } = effect {
                let packed = decode(payload).unwrap();
                all.push((*expected, packed.first().seq, packed.end().seq));
            }
        }
        all
    }

    /// The last message that was published.
    fn payload(&self) -> Vec<u8> {
        let published = |e: &Effect| if let Effect::Publish { payload, .. } = e { Some(payload.clone()) } else { None };
        self.effects.iter().rev().find_map(published).expect("something was published")
    }

    fn events(&self) -> Vec<(EventKind, EventBody)> {
        let events = self.effects.iter();
        events
            .filter_map(|e| if let Effect::Event(kind, body) = e { Some((*kind, (**body).clone())) } else { None })
            .collect()
    }

    fn stops(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Stop { .. }))
    }
}
