//! Single behaviours of the agent, on a bench: an agent, its clocks, and both ends of its line and of its stream.
//!
//! Many behaviours at once, under random faults, are tested in the deterministic world (`tests/world`).

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
use core::ops::RangeInclusive;
use core::time::Duration;

use thermowell_wire::batch::{self, BatchHeader, ClockQuality, Packed, decode, encode_batch};
use thermowell_wire::line::{
    Answer, BoilerState, Demand, FrameReader, GapNotice, GapReason, Hello, Outcome, Pong, Samples, Status, ToDevice,
    ToGateway, encode,
};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, CentiCelsius, Reading, Slot, device_id};

use super::{Agent, Effect, Input, Log, Refused, Settings, Timing};
use crate::published::{EventBody, Lease, Link};
use crate::testing;
use crate::time::{Monotonic, Now, Utc};

const MS: u64 = 1_000_000;
/// Uptime of the machine when a test begins.
const START: Monotonic = Monotonic(1_000_000 * MS);
const BOOT: Boot = Boot(0x0000_0007_1234_5678);
const NEXT_BOOT: Boot = Boot(BOOT.0 + (1 << 32));

struct Bench {
    agent: Agent,
    now: Now,
    /// All effects so far.
    effects: Vec<Effect>,
}

fn settings() -> Settings {
    Settings {
        boiler: "b1".parse().unwrap(),
        serial_number: None,
        batch: 100,
        // Batches are published as they were cut.
        catch_up: 1,
        control: true,
        simulated_only: false,
        spool_bytes: 1 << 20,
        timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(30)),
    }
}

fn hello(next: u64) -> Hello {
    testing::hello(BOOT, next)
}

fn status(next: u64) -> Status {
    testing::line_status(BOOT, next)
}

/// A stored batch of 100 slots of the usual device and boot.
fn stored(first: u64) -> Vec<u8> {
    stored_by("TW-1", BOOT, first)
}

fn stored_by(serial_number: &str, boot: Boot, first: u64) -> Vec<u8> {
    stored_with(BatchHeader {
        device: device_id(serial_number),
        boot,
        seq: first,
        count: 100,
        first_utc_ns: 1_000_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    })
}

fn stored_with(header: BatchHeader) -> Vec<u8> {
    let mut out = vec![0; batch::encoded_max(100)];
    encode_batch(&header, &[Reading::default(); 100], &mut out).unwrap().to_vec()
}

fn header(message: &[u8]) -> BatchHeader {
    let Packed::Batch(batch) = decode(message).unwrap() else { panic!("no batch") };
    batch.header
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Now { monotonic: START, utc: Utc(1_767_751_200_000_000_000), clock: ClockQuality::Synced };
        Self { agent: Agent::new(settings), now, effects: Vec::new() }
    }

    /// Server connected and `tail` read, port open, device identified with its `next` slot, its clock known.
    fn running(settings: Settings, next: u64, tail: Option<(u64, &[u8])>) -> Self {
        let mut bench = Self::new(settings);
        bench.connect(tail);
        bench.plug_in(hello(next));
        bench.pongs();
        bench
    }

    // Inputs.

    fn feed(&mut self, input: Input<'_>) {
        self.agent.step(self.now, input, &mut self.effects);
    }

    fn receive(&mut self, message: &ToGateway) {
        let mut frame = [0; 300];
        self.feed(Input::Bytes(encode(message, &mut frame).unwrap()));
    }

    fn hello(&mut self, hello: Hello) {
        self.receive(&ToGateway::Hello(hello));
    }

    fn status(&mut self, status: Status) {
        self.receive(&ToGateway::Status(status));
    }

    fn plug_in(&mut self, hello: Hello) {
        self.feed(Input::PortOpened);
        self.hello(hello);
    }

    fn connect(&mut self, tail: Option<(u64, &[u8])>) {
        self.feed(Input::Connected);
        self.feed(Input::Tail(tail));
    }

    fn reconnect(&mut self, tail: Option<(u64, &[u8])>) {
        self.feed(Input::Disconnected);
        self.connect(tail);
    }

    fn acknowledge(&mut self, sequence: u64) {
        self.feed(Input::Acknowledged { sequence });
    }

    fn acknowledge_all(&mut self, sequences: RangeInclusive<u64>) {
        sequences.for_each(|sequence| self.acknowledge(sequence));
    }

    fn samples(&mut self, from: u64, count: u64) {
        let mut at = from;
        while at < from + count {
            let len = (from + count - at).min(32);
            let readings = (0..len).map(|_| Reading::default()).collect();
            self.receive(&ToGateway::Samples(Samples { tag: BOOT.tag(), seq: at, readings }));
            at += len;
        }
    }

    fn gap(&mut self, from: u64, to: u64) {
        let reason = GapReason::Ring;
        self.receive(&ToGateway::Gap(GapNotice { tag: BOOT.tag(), from, to, reason }));
    }

    /// Answers the newest ping after 20 ms.
    fn pong(&mut self) {
        self.advance(20);
        self.pong_with(self.device_us());
    }

    /// Answers the newest ping now, with this reading of the device's clock.
    fn pong_with(&mut self, device_us: u64) {
        if let Some(nonce) = self.pings().last().copied() {
            self.receive(&ToGateway::Pong(Pong { nonce, device_us }));
        }
    }

    /// By the third pong, the device's clock is known.
    fn pongs(&mut self) {
        for _ in 0..3 {
            self.pong();
        }
    }

    fn advance(&mut self, ms: u64) {
        self.advance_ns(ms * MS);
    }

    fn advance_ns(&mut self, ns: u64) {
        self.now.monotonic.0 += ns;
        self.now.utc.0 += i64::try_from(ns).unwrap();
        self.feed(Input::Wake);
    }

    /// A device's clock that showed 1 s when the test began.
    fn device_us(&self) -> u64 {
        (self.now.monotonic.0 - START.0) / 1_000 + 1_000_000
    }

    // Effects.

    /// Everything written to the device.
    fn written(&self) -> Vec<ToDevice> {
        let (mut reader, mut messages) = (FrameReader::new(), Vec::new());
        for effect in &self.effects {
            if let Effect::Write(bytes) = effect {
                reader.feed(bytes, |message| messages.push(message.unwrap()));
            }
        }
        messages
    }

    fn pings(&self) -> Vec<u32> {
        let nonce = |message| if let ToDevice::Ping { nonce } = message { Some(nonce) } else { None };
        self.written().into_iter().filter_map(nonce).collect()
    }

    fn resumes(&self) -> Vec<u64> {
        let from = |message| if let ToDevice::Resume { from, .. } = message { Some(from) } else { None };
        self.written().into_iter().filter_map(from).collect()
    }

    /// The published messages, each with the sequence that it expects.
    fn messages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let message = |effect| {
            if let &Effect::Publish { expected, ref payload } = effect {
                Some((expected, payload.as_slice()))
            } else {
                None
            }
        };
        self.effects.iter().filter_map(message)
    }

    /// What was published: expected sequence, first slot, end.
    fn published(&self) -> Vec<(u64, u64, u64)> {
        let slots = |(expected, payload)| {
            let packed = decode(payload).unwrap();
            (expected, packed.first().seq, packed.end().seq)
        };
        self.messages().map(slots).collect()
    }

    /// The last published message.
    fn payload(&self) -> Vec<u8> {
        self.messages().last().expect("a published message").1.to_vec()
    }

    fn events(&self) -> Vec<(EventKind, EventBody)> {
        let event = |effect: &Effect| {
            if let Effect::Event(kind, body) = effect { Some((*kind, (**body).clone())) } else { None }
        };
        self.effects.iter().filter_map(event).collect()
    }

    /// The events of one kind.
    fn events_of(&self, kind: EventKind) -> Vec<EventBody> {
        self.events().into_iter().filter(|(of, _)| *of == kind).map(|(_, body)| body).collect()
    }

    fn stops(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Stop { .. }))
    }
}
