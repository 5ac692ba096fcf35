//! The agent with any input from the line, the stream and the disk.
//!
//! Answers are given only to requests, as the shell does; everything else may come at any time.

use std::mem::{replace, take};
use std::time::Duration;

use proptest::prelude::*;
use thermowell_flow::agent::{Agent, Effect, Input, Refused, Settings, Timing};
use thermowell_flow::published::{Event, EventBody, Lease, Status};
use thermowell_flow::spool::spill::Spill;
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::batch::{BatchHeader, COUNT_MAX, ClockQuality, decode, encoded_max};
use thermowell_wire::line::{Demand, FrameReader, GapReason, Hello, Pong, ToDevice, ToGateway};

use super::inputs::{Grammar, number};
use super::run::Target;
use super::script::{self, Line, line, lines};
use super::{json, line as frames, packed};

pub(crate) const TARGET: Target = Target {
    grammar,
    judge,
    cases: &[
        // A spilled record of slot 2^61, and a stream that ends with slot 100: the gap between them was one of
        // centuries, for which UTC has no numbers.
        b"\x0b)\x00\x81\x07\x81\x80\x80\x80p\x80\x80\x80\x80\x80\x80\x80\x80 \xe4\x80\x80\x80\x80\x80\x80\x80 \x00\
          \x80\x80\xef\xff\xfc\xe7\xa9\x881\x80\xad\xe2\x04\x00\x01\x04\x00\x00\x06!\x00\x07\x00\x00\x00\x00\x00\x00\
          \x00\
          \x81\x07\x81\x80\x80\x80p\x00d\x00\x80\x80\xef\xff\xfc\xe7\xa9\x881\x80\xad\xe2\x04\x00\x01",
    ],
};

const PORT_OPENED: u8 = 0;
const PORT_CLOSED: u8 = 1;
/// A message of the device without checksum and frame, which are added, so that mutations reach the decoder.
const MESSAGE: u8 = 2;
const BYTES: u8 = 3;
const CONNECTED: u8 = 4;
const DISCONNECTED: u8 = 5;
/// Sequence and payload of the stream's end, if it was requested.
const TAIL: u8 = 6;
const NO_TAIL: u8 = 7;
const ACKNOWLEDGED: u8 = 8;
const REFUSED: u8 = 9;
const LEASE: u8 = 10;
const SPILLED: u8 = 11;
const SYNCED: u8 = 12;
const FLUSH: u8 = 13;
const LEAVE: u8 = 14;
const PASS: u8 = 15;
/// The last event about a fault, or none, if it was requested; bytes that are no event are no answer.
const FAULT: u8 = 16;

const SPOOL: usize = 1 << 20;
/// The longest time that passes at once: an hour.
const PASS_MAX_NS: u64 = 3_600_000_000_000;
/// Time after which a request counts as unanswered.
const ANSWER_NS: u64 = 10_000_000_000;
/// How often in a row it may request a wake-up for the same moment.
const WAKES: u32 = 4;

/// An agent and its pending requests.
struct Bench {
    agent: Agent,
    passed_ns: u64,
    /// When the stream's end was requested, and a message published, without an answer yet.
    tail_asked: Option<u64>,
    publishing: Option<u64>,
    fault_asked: bool,
    syncing: bool,
    begun: bool,
    is_open: bool,
    connected: bool,
    acted: bool,
    effects: Vec<Effect>,
}

fn judge(input: &[u8]) -> bool {
    let settings = Settings {
        boiler: json::boiler(),
        serial_number: None,
        batch: 10,
        control: true,
        simulated_only: false,
        catch_up: 1_000,
        spool_bytes: SPOOL,
        timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(5)),
    };
    let mut bench = Bench {
        agent: Agent::new(settings),
        passed_ns: 0,
        tail_asked: None,
        publishing: None,
        fault_asked: false,
        syncing: false,
        begun: false,
        is_open: false,
        connected: false,
        acted: false,
        effects: Vec::new(),
    };
    for line in lines(input) {
        bench.give(&line);
        bench.judge();
        for left in (0..=WAKES).rev() {
            if bench.agent.wake_at().is_none_or(|at| at.0 > bench.passed_ns) {
                break;
            }
            assert!(left > 0, "it wants to be woken at once again and again");
            bench.step(Input::Wake);
            bench.judge();
        }
    }
    bench.acted
}

impl Bench {
    fn step(&mut self, input: Input<'_>) {
        let utc = json::UTC_NS.saturating_add_unsigned(self.passed_ns);
        let now = Now { monotonic: Monotonic(self.passed_ns), utc: Utc(utc), clock: ClockQuality::Synced };
        self.begun |= !matches!(input, Input::Spilled(_));
        self.agent.step(now, input, &mut self.effects);
    }

    fn give(&mut self, line: &Line<'_>) {
        match line.kind {
            PORT_OPENED if !replace(&mut self.is_open, true) => self.step(Input::PortOpened),
            PORT_CLOSED if take(&mut self.is_open) => self.step(Input::PortClosed),
            MESSAGE => self.step(Input::Bytes(&frames::close(&[line.bytes.to_vec()]))),
            BYTES => self.step(Input::Bytes(line.bytes)),
            CONNECTED if !replace(&mut self.connected, true) => self.step(Input::Connected),
            DISCONNECTED if take(&mut self.connected) => {
                (self.tail_asked, self.publishing, self.fault_asked) = (None, None, false);
                self.step(Input::Disconnected);
            }
            TAIL if self.tail_asked.take().is_some() => {
                let found = (!line.bytes.is_empty()).then(|| (line.number(), line.after_number()));
                self.step(Input::Tail(found));
            }
            NO_TAIL if self.tail_asked.take().is_some() => self.step(Input::TailUnknown),
            FAULT if take(&mut self.fault_asked) => match serde_json::from_slice::<Event>(line.bytes) {
                Ok(event) => self.step(Input::LastFault(Some(&event.body))),
                Err(_) if line.bytes.is_empty() => self.step(Input::LastFault(None)),
                Err(_) => self.step(Input::LastFaultUnknown),
            },
            ACKNOWLEDGED if self.publishing.take().is_some() => {
                self.step(Input::Acknowledged { sequence: line.number() });
            }
            REFUSED if self.publishing.take().is_some() => self.step(Input::Refused(match line.number() % 3 {
                0 => Refused::WrongSequence,
                1 => Refused::Unknown,
                _ => Refused::TooLarge,
            })),
            LEASE => {
                if let Ok(lease) = serde_json::from_slice::<Lease>(line.bytes) {
                    self.step(Input::Setpoint(&lease));
                }
            }
            // The shell passes on what decodes, as the first input.
            SPILLED if !self.begun && decode(line.bytes).is_ok() => self.step(Input::Spilled(line.bytes)),
            SYNCED if take(&mut self.syncing) => {
                self.step(if line.number().is_multiple_of(2) { Input::SpillSynced } else { Input::SpillFailed });
            }
            FLUSH => self.step(Input::Flush),
            LEAVE => self.step(Input::Leave),
            PASS => {
                self.passed_ns = self.passed_ns.saturating_add(line.number() % PASS_MAX_NS);
                self.step(Input::Wake);
            }
            _ => {}
        }
    }

    /// Whether a request of that time will not be answered any more.
    fn is_overdue(&self, asked: Option<u64>) -> bool {
        asked.is_none_or(|asked| self.passed_ns >= asked + ANSWER_NS)
    }

    fn judge(&mut self) {
        assert!(self.agent.spool_bytes() <= SPOOL, "S5 memory keeps its bound");
        for effect in take(&mut self.effects) {
            self.acted = true;
            match effect {
                Effect::Write(frame) => judge_frame(&frame),
                Effect::ReadTail => {
                    let asked = self.tail_asked.replace(self.passed_ns);
                    assert!(self.is_overdue(asked), "two reads of the stream's end are under way");
                }
                Effect::ReadFault => assert!(!replace(&mut self.fault_asked, true), "two reads of the last fault"),
                Effect::Publish { payload, .. } => {
                    let asked = self.publishing.replace(self.passed_ns);
                    assert!(self.is_overdue(asked), "two publishes are under way");
                    judge_message(&payload);
                }
                Effect::Spill(Spill::Append(message)) => judge_message(&message),
                Effect::Spill(Spill::Sync) => assert!(!replace(&mut self.syncing, true), "two syncs are under way"),
                Effect::Status(status) => {
                    let read: Status = serde_json::from_slice(&json::json(&status)).expect("a status reads back");
                    assert_eq!(*status, read);
                }
                Effect::Event(_, body) => drop(json::json(&body)),
                Effect::Spill(Spill::Begin | Spill::Remove) | Effect::Stop { .. } | Effect::Log(_) => {}
            }
        }
    }
}

fn judge_frame(frame: &[u8]) {
    let (mut reader, mut read) = (FrameReader::new(), Vec::new());
    reader.feed::<ToDevice>(frame, |outcome| read.push(outcome));
    assert!(matches!(read[..], [Ok(_)]), "what is written to the device is one message: {read:?}");
}

fn judge_message(message: &[u8]) {
    decode(message).expect("what is published can be read");
    assert!(message.len() <= encoded_max(COUNT_MAX), "a message is not longer than any batch");
}

fn grammar() -> Grammar {
    let message = |message: &ToGateway| line(MESSAGE, frames::body(message));
    let sent = frames::from_device();
    let [.., pong] = sent.as_slice() else { unreachable!("there are several") };
    let empty = |kind| line(kind, []);
    let pass_ms = |ms: u64| script::number(PASS, ms * 1_000_000);
    let tail = |payload: &[u8]| line(TAIL, [&7_u64.to_le_bytes(), payload].concat());
    let ping = ToGateway::Pong(Pong { nonce: 1, device_us: 123_470_000 });
    let hello = sent.iter().find(|sent| matches!(sent, ToGateway::Hello(Hello { .. }))).expect("a device sends it");
    let samples = |seq| message(&frames::samples(seq, 10));
    let up = [empty(PORT_OPENED), empty(CONNECTED), message(hello), empty(TAIL), message(&ping), pass_ms(20)];
    let acknowledged = script::number(ACKNOWLEDGED, 1);
    let reading = [samples(0), samples(10), pass_ms(100), acknowledged, samples(20), pass_ms(2_000)];
    let batch = packed::batch(&packed::HEADER, &packed::readings(10)).expect("it is in range");
    let gap_to = |to| packed::gap(&BatchHeader { seq: 0, ..packed::HEADER }, to, GapReason::Ring).expect("in range");
    let body = EventBody::FaultBegan(json::fault(false));
    let known = line(FAULT, json::json(&Event { boiler: json::boiler(), created_at: json::UTC, body }));
    let lease = line(LEASE, json::json(&json::lease(Demand::Heat, 47.25, 60)));
    let rest: Vec<_> = sent.iter().map(message).chain([message(pong), lease, empty(FLUSH), empty(LEAVE)]).collect();
    let spilled = [line(SPILLED, gap_to(12_300)), line(SPILLED, &batch)];
    let seeds = vec![
        [up.as_slice(), &reading].concat(),
        [up.as_slice(), &rest].concat(),
        [up.as_slice(), &[known], &rest].concat(),
        [up.as_slice(), &[empty(FAULT)], &rest, &[line(FAULT, b"?")]].concat(),
        [spilled.as_slice(), &up[..3], &[tail(&gap_to(100))], &up[4..], &reading].concat(),
        [&up[..3], &[tail(&batch)], &up[4..], &reading, &[script::number(REFUSED, 0), tail(b"?")]].concat(),
        [&up[..1], &up[2..3], &up[4..], &reading[..2], &[pass_ms(9_000), script::number(SYNCED, 0)]].concat(),
    ];
    let tail = |(sequence, message): (u64, Vec<u8>)| line(TAIL, [&sequence.to_le_bytes()[..], &message].concat());
    let parts = prop_oneof![
        (number(), packed::message()).prop_map(tail),
        packed::message().prop_map(|message| line(SPILLED, message)),
        (ACKNOWLEDGED..=PASS, number()).prop_map(|(kind, number)| script::number(kind, number)),
    ];
    Grammar::new(seeds, script::close).with_parts(parts).with_words("null")
}
