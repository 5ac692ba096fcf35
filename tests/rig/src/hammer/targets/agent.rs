//! The agent, with anybody at the other end of the line, of the stream, of the disk.
//!
//! Answers come only to what was asked, as the shell gives them; all else may be said at any time.

use std::mem::{replace, take};
use std::time::Duration;

use thermowell_flow::agent::{Agent, Effect, Input, Refused, Settings, Timing};
use thermowell_flow::published::{Event, EventBody, Lease};
use thermowell_flow::spool::spill::Spill;
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::batch::{COUNT_MAX, ClockQuality, decode, encoded_max};
use thermowell_wire::line::{Demand, FRAME_MAX, FrameReader, GapReason, Hello, Pong, ToDevice, ToGateway, encode};

use super::script::{self, Line, lines, story};
use super::{json, line as frames, packed};
use crate::hammer::judge::{Complaint, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "agent",
    what: "frames, stream ends, leases and spill records, and what the agent makes of them",
    longest: 8_192,
    seeds,
    words: &[&[0xff; 9], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x7f", b"null", b"\x0d\0\0", b"\x0e\0\0"],
    parts: Some(script::PARTS),
    judge,
    cases: include_str!("../../../fuzz-corpus/agent.txt"),
};

const PORT_OPENED: u8 = 0;
const PORT_CLOSED: u8 = 1;
/// A message of the device without its checksum and frame, which are put on: mutations get through.
const MESSAGE: u8 = 2;
const BYTES: u8 = 3;
const CONNECTED: u8 = 4;
const DISCONNECTED: u8 = 5;
/// Sequence and payload of the stream's end, where it was asked for.
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
/// The last event about a fault, or nothing, where it was asked for; bytes that are no event are no answer.
const FAULT: u8 = 16;

const SPOOL: usize = 1 << 20;
/// The longest that passes at once: an hour.
const PASS_MAX_NS: u64 = 3_600_000_000_000;
/// So long an answer is waited for.
const ANSWER_NS: u64 = 10_000_000_000;
/// So often in a row it may want to be woken for one moment.
const WAKES: u32 = 4;

/// An agent and what it waits for.
struct Bench {
    agent: Agent,
    passed_ns: u64,
    /// When the stream's end was asked for, and a message published, that is not answered yet.
    tail_asked: Option<u64>,
    publishing: Option<u64>,
    fault_asked: bool,
    syncing: bool,
    begun: bool,
    is_open: bool,
    connected: bool,
    effects: Vec<Effect>,
}

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
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
        effects: Vec::new(),
    };
    for line in lines(input) {
        bench.tell(&line);
        bench.judge(&mut trace)?;
        for left in (0..=WAKES).rev() {
            if bench.agent.wake_at().is_none_or(|at| at.0 > bench.passed_ns) {
                break;
            }
            must(left > 0, "it does not want to be woken at once for ever")?;
            bench.step(Input::Wake);
            bench.judge(&mut trace)?;
        }
    }
    Ok(trace)
}

impl Bench {
    fn step(&mut self, input: Input<'_>) {
        let utc = json::UTC_NS.saturating_add_unsigned(self.passed_ns);
        let now = Now { monotonic: Monotonic(self.passed_ns), utc: Utc(utc), clock: ClockQuality::Synced };
        self.begun |= !matches!(input, Input::Spilled(_));
        self.agent.step(now, input, &mut self.effects);
    }

    fn tell(&mut self, line: &Line<'_>) {
        match line.kind {
            PORT_OPENED if !replace(&mut self.is_open, true) => self.step(Input::PortOpened),
            PORT_CLOSED if take(&mut self.is_open) => self.step(Input::PortClosed),
            MESSAGE => self.step(Input::Bytes(&(frames::PARTS.close)(&[line.bytes.to_vec()]))),
            BYTES => self.step(Input::Bytes(line.bytes)),
            CONNECTED if !replace(&mut self.connected, true) => self.step(Input::Connected),
            DISCONNECTED if take(&mut self.connected) => {
                (self.tail_asked, self.publishing, self.fault_asked) = (None, None, false);
                self.step(Input::Disconnected);
            }
            TAIL if self.tail_asked.take().is_some() => {
                let found = (!line.bytes.is_empty()).then(|| (line.number(), line.behind_number()));
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
            // The shell hands over what decodes, before all else.
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

    /// What was asked for at that time will not be answered any more.
    fn is_overdue(&self, asked: Option<u64>) -> bool {
        asked.is_none_or(|asked| self.passed_ns >= asked + ANSWER_NS)
    }

    fn judge(&mut self, trace: &mut Trace) -> Result<(), Complaint> {
        must(self.agent.spool_bytes() <= SPOOL, "S5 memory keeps its bound")?;
        trace.note_shape(&self.agent.link());
        for effect in std::mem::take(&mut self.effects) {
            trace.accept();
            match effect {
                Effect::Write(frame) => judge_frame(&frame, trace)?,
                Effect::ReadTail => {
                    let asked = self.tail_asked.replace(self.passed_ns);
                    must(self.is_overdue(asked), "at most one reading of the stream's end is under way")?;
                }
                Effect::ReadFault => {
                    let asked = replace(&mut self.fault_asked, true);
                    must(!asked, "at most one reading of the last fault is under way")?;
                }
                Effect::Publish { payload, .. } => {
                    let asked = self.publishing.replace(self.passed_ns);
                    must(self.is_overdue(asked), "at most one publish is under way")?;
                    trace.note("publish");
                    judge_message(&payload, trace)?;
                }
                Effect::Spill(Spill::Append(message)) => judge_message(&message, trace)?,
                Effect::Spill(Spill::Sync) => {
                    must(!self.syncing, "at most one sync is under way")?;
                    self.syncing = true;
                }
                Effect::Spill(spill @ (Spill::Begin | Spill::Remove)) => trace.note_shape(&spill),
                Effect::Status(status) => {
                    trace.note_shape(&status);
                    let text = done("a status can be printed", serde_json::to_vec(&status))?;
                    let read = done("a status can be read", serde_json::from_slice(&text))?;
                    same("a status reads back", &status, &read)?;
                }
                Effect::Event(kind, body) => {
                    trace.note(kind.token());
                    trace.note_shape(&body);
                }
                Effect::Stop { .. } => trace.note_shape(&effect),
                Effect::Log(log) => trace.note_shape(&std::mem::discriminant(&log)),
            }
        }
        Ok(())
    }
}

fn judge_frame(frame: &[u8], trace: &mut Trace) -> Result<(), Complaint> {
    let (mut reader, mut read) = (FrameReader::new(), Vec::new());
    reader.feed::<ToDevice>(frame, |outcome| read.push(outcome));
    trace.note_shape(&read);
    must(matches!(read[..], [Ok(_)]), "what is written to the device is one message")
}

fn judge_message(message: &[u8], trace: &mut Trace) -> Result<(), Complaint> {
    let packed = done("what is published can be read", decode(message))?;
    trace.note_size(packed.end().seq - packed.first().seq);
    must(message.len() <= encoded_max(COUNT_MAX), "a message is not longer than any batch")
}

/// A message of the device without its frame and checksum.
fn body(message: &ToGateway) -> Vec<u8> {
    let mut out = [0; FRAME_MAX];
    let frame = encode(message, &mut out).expect("no message is longer than a frame");
    (frames::PARTS.open)(frame).pop().expect("one frame")
}

fn seeds() -> Vec<Vec<u8>> {
    let message = |message: &ToGateway| (MESSAGE, body(message));
    let said = frames::said();
    let [.., pong] = said.as_slice() else { unreachable!("there are several") };
    let empty = |kind| (kind, Vec::new());
    let pass_ms = |ms: u64| (PASS, (ms * 1_000_000).to_le_bytes().to_vec());
    let tail = |payload: &[u8]| (TAIL, [&7_u64.to_le_bytes(), payload].concat());
    let ping = ToGateway::Pong(Pong { nonce: 1, device_us: 123_470_000 });
    let hello = said.iter().find(|said| matches!(said, ToGateway::Hello(Hello { .. }))).expect("a device says hello");
    let samples = |seq| message(&frames::samples(seq, 10));
    let up = [empty(PORT_OPENED), empty(CONNECTED), message(hello), empty(TAIL), message(&ping), pass_ms(20)];
    let reading = [samples(0), samples(10), pass_ms(100), (ACKNOWLEDGED, vec![1]), samples(20), pass_ms(2_000)];
    let batch = packed::batch(&packed::readings(10));
    let told = Event { boiler: json::boiler(), created_at: json::UTC, body: EventBody::FaultBegan(json::fault(false)) };
    let (gap, lease) = (packed::gap(GapReason::Ring, 0, 12_300), json::lease(Demand::Heat, 47.25, 60));
    let mut whole = up.to_vec();
    whole.extend(said.iter().map(message));
    whole.extend([message(pong), (LEASE, json::json(&lease)), empty(FLUSH), empty(LEAVE)]);
    vec![
        story(&[up.as_slice(), &reading].concat()),
        story(&whole),
        story(&[up.as_slice(), &[(FAULT, json::json(&told))], &whole[up.len()..]].concat()),
        story(&[up.as_slice(), &[empty(FAULT)], &whole[up.len()..], &[(FAULT, b"?".to_vec())]].concat()),
        story(&[&[(SPILLED, gap), (SPILLED, batch.clone())], up.as_slice(), &reading].concat()),
        story(&[&up[..3], &[tail(&batch)], &up[4..], &reading, &[(REFUSED, vec![0]), tail(b"?")]].concat()),
        story(&[&up[..1], &up[2..3], &up[4..], &reading[..2], &[pass_ms(9_000), (SYNCED, vec![0])]].concat()),
    ]
}
