//! One boiler's agent: from its serial line into its subject of SAMPLES.
//!
//! ```text
//!          Reader                    Timekeeper           Delivery
//! bytes ▸ serial ▸ decode ▸ batch ▸ stamp ▸ spool ▸ publish ▸ SAMPLES         lease ▸ actuate ▸ bytes
//!              ▲ Resume                                 │ where the stream ends
//!              └────────────────────────────────────────┘
//! ```
//!
//! The reader knows no UTC and no server, the delivery no line. Each step takes one input through the parts, in the
//! order of `Agent::settle`.
//!
//! The design rests on one rule: the stream's end is the single source of truth. Whenever it is read, the agent
//! continues from there: from memory if that holds the next slot, else from the device. So a crash of this process, a
//! lost acknowledgement, a server that lost its last seconds and a pulled cable share one path.

mod delivery;
mod effect;
mod faults;
mod greet;
mod reader;
mod status;
#[cfg(test)]
mod tests;
mod timekeeper;

use alloc::vec::Vec;
use core::mem::take;

use thermowell_wire::line::{Answer, Rejection, ToDevice, ToGateway, encode};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, device_id};

pub use effect::{Counters, Effect, Frame, Input, Level, Log, Settings, Timing};

pub use crate::publish::Refused;

use delivery::Delivery;
use effect::Out;
use faults::Faults;
use reader::Reader;
use timekeeper::{Jump, Timekeeper};

use crate::actuate::{Actuator, Declined};
use crate::plausible::Sensors;
use crate::published::{self, EventBody};
use crate::spool::Unrestored;
use crate::time::{Monotonic, Now};

/// One boiler's agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    reader: Reader,
    timekeeper: Timekeeper,
    delivery: Delivery,
    actuator: Actuator,
    faults: Faults,
    sensors: Sensors,
    report: status::Report,
    /// A board accepted by an operator: the replaced device and the new one.
    accepted_board: Option<(u32, u32)>,
    /// The boot that was compared with the stream, and published if it was new.
    announced: Option<Boot>,
    out: Out,
}

impl Agent {
    /// An agent with the port closed and the server disconnected.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let timing = &settings.timing;
        Self {
            reader: Reader::new(&settings),
            timekeeper: Timekeeper::new(timing),
            delivery: Delivery::new(&settings),
            actuator: Actuator::new(settings.control, timing.based_on),
            faults: Faults::default(),
            sensors: Sensors::default(),
            report: status::Report::default(),
            accepted_board: None,
            announced: None,
            out: Out::new(timing.log),
            settings,
        }
    }

    /// Processes one input. Nothing else changes the agent's state.
    pub fn step(&mut self, now: Now, input: Input<'_>, effects: &mut Vec<Effect>) {
        self.out.now = now;
        if let Some(by_ns) = self.timekeeper.watch_calendar(now) {
            self.jumped(Some(Jump { by_ns, is_regular: false }));
        }
        self.take(input);
        self.settle();
        effects.append(&mut self.out.effects);
    }

    fn take(&mut self, input: Input<'_>) {
        let now = self.out.now.monotonic;
        match input {
            Input::PortOpened => self.reader.open(now),
            Input::PortClosed => self.reader.link.close(),
            Input::Bytes(bytes) => {
                self.reader.arrived = Some(now);
                self.read(bytes);
            }
            Input::Connected => self.delivery.connect(now),
            Input::Disconnected => {
                self.delivery.disconnect(now);
                self.faults.disconnect();
            }
            Input::Tail(tail) => self.tail(tail),
            Input::Accepted { instead_of, serial_number } => {
                self.accepted_board = Some((instead_of, device_id(serial_number)));
            }
            Input::TailUnknown => self.delivery.tail_unknown(now),
            Input::LastFault(last) => self.faults.read(last),
            Input::LastFaultUnknown => self.faults.unread(now.after(self.settings.timing.publish.again)),
            Input::Acknowledged { sequence } => self.delivery.acknowledged(&mut self.out, sequence),
            Input::Refused(refused) => self.delivery.refused(&mut self.out, refused),
            Input::Setpoint(lease) => self.pass_on(lease),
            Input::Reset(reset) => self.pass_on_reset(reset),
            Input::Flush => self.cut(),
            Input::Spilled(message) => self.delivery.restore(&mut self.out, message),
            Input::SpillSynced => self.delivery.spill_synced(now),
            Input::SpillFailed => self.delivery.spill_failed(&mut self.out),
            Input::Leave => {
                self.cut();
                self.delivery.leave();
            }
            Input::Wake => {}
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let mut frames = take(&mut self.reader.frames);
        frames.feed(bytes, |frame| match frame {
            Ok(message) => self.dispatch(message),
            Err(cause) => self.reject(cause),
        });
        self.reader.frames = frames;
    }

    fn dispatch(&mut self, message: ToGateway) {
        self.out.counters.frames += 1;
        self.reader.link.frame_received(self.out.now.monotonic);
        match message {
            ToGateway::Samples(samples) => self.reader.samples(&mut self.out, &samples, &self.delivery),
            ToGateway::Gap(gap) => self.reader.gap(&mut self.out, &gap, &self.delivery),
            ToGateway::Hello(hello) => self.greet(&hello),
            ToGateway::Status(status) => self.take_status(&status),
            ToGateway::Answer(answer) => self.take_answer(&answer),
            ToGateway::Pong(pong) => {
                let answered = self.reader.pong(&mut self.out, &pong);
                let jump = answered.and_then(|answered| self.timekeeper.pong(answered));
                self.jumped(jump);
            }
        }
        self.hold();
    }

    fn reject(&mut self, cause: Rejection) {
        self.out.counters.rejected[cause.index()] += 1;
        let total = self.out.counters.rejected.iter().sum();
        self.out.log(Log::Rejected { cause, total });
    }

    fn take_answer(&mut self, answer: &Answer) {
        if let Some(fault) = self.actuator.answers_reset(answer) {
            let body = EventBody::ResetAnswered { fault, n: answer.n, outcome: answer.outcome.into() };
            self.out.event(EventKind::Reset, body);
        } else if let Some(answer) = self.actuator.answer(answer, self.reader.link.live()) {
            self.out.event(EventKind::Answer, EventBody::Answered { n: answer.n, outcome: answer.outcome.into() });
        }
    }

    fn tail(&mut self, tail: Option<(u64, &[u8])>) {
        let live = self.reader.live();
        let device = live.map(|live| live.device).or_else(|| self.reader.link.bound().map(device_id));
        let accepted = self.accepted_board.filter(|(_, board)| live.is_some_and(|live| live.device == *board));
        let boards = (device, accepted.map(|(before, _)| before), live);
        let turn = self.delivery.tail(&mut self.out, &mut self.timekeeper, tail, boards);
        self.turn(turn);
    }

    /// Acts on the new state after every input.
    fn settle(&mut self) {
        let now = self.out.now.monotonic;
        self.reader.link.wake(now, &mut self.reader.to_device);
        self.reader.cut_silent(now);
        self.hold();
        self.delivery.stamp(&self.out, &mut self.timekeeper);
        let is_full = self.delivery.make_room(&mut self.out);
        self.reader.pause(now, is_full);
        self.read_fault();
        let turn = self.delivery.deliver(&mut self.out, &mut self.timekeeper, self.reader.live());
        self.turn(turn);
        self.delivery.spill(&mut self.out);
        self.reader.aim(&mut self.out, &self.delivery);
        self.hold();
        self.reader.keep_reading(now);
        self.announce();
        self.report_rate();
        self.report_faults();
        self.report();
        self.write();
    }

    /// Hands the records that were cut to the delivery.
    fn hold(&mut self) {
        for record in self.reader.records.drain(..) {
            self.delivery.hold(&mut self.out, &self.timekeeper, record);
        }
    }

    /// Ends the open batch.
    fn cut(&mut self) {
        self.reader.cut();
        self.hold();
    }

    fn turn(&mut self, turn: Option<delivery::Turn>) {
        if let Some(turn) = turn {
            self.reader.turn(self.out.now.monotonic, turn);
        }
    }

    /// Reports that the stamps jumped.
    fn jumped(&mut self, jump: Option<Jump>) {
        let Some(Jump { by_ns, is_regular }) = jump else { return };
        self.out.counters.clock_jumps += 1;
        if !is_regular {
            self.out.log(Log::ClockJumped { by_ns });
            self.out.event(EventKind::Clock, EventBody::ClockJumped { by_ns });
        }
    }

    fn report_rate(&mut self) {
        if let Some(rate) = self.timekeeper.new_rate() {
            self.out.effects.push(Effect::Log(Log::ClockRate(rate)));
            self.out.event(EventKind::Clock, EventBody::ClockRate { ppm: rate.ppm, followed: rate.followed });
        }
    }

    fn pass_on(&mut self, lease: &published::Lease) {
        let clock = self.timekeeper.device_time(self.out.now);
        let request = self.actuator.request(lease, self.reader.positioned(), clock);
        self.request(request, Log::LeaseDeclined);
    }

    fn pass_on_reset(&mut self, reset: &published::Reset) {
        let clock = self.timekeeper.device_time(self.out.now);
        let request = self.actuator.reset(self.out.now.utc, reset, self.reader.positioned(), clock);
        self.request(request, Log::ResetDeclined);
    }

    fn request(&mut self, request: Result<ToDevice, Declined>, log: fn(Declined) -> Log) {
        match request {
            Ok(request) => {
                self.out.counters.requests += 1;
                self.reader.to_device.push(request);
            }
            Err(declined) => {
                self.out.counters.declined += 1;
                self.out.log(log(declined));
            }
        }
    }

    /// Sends the messages to the device.
    fn write(&mut self) {
        if !self.reader.to_device.is_empty() {
            self.reader.arrived = None;
        }
        for message in self.reader.to_device.drain(..) {
            self.out.counters.identifies += u64::from(matches!(message, ToDevice::Identify));
            self.out.counters.resumes += u64::from(matches!(message, ToDevice::Resume { .. }));
            let mut frame = [0; 48];
            let frame = encode(&message, &mut frame).expect("no message to a device is longer than 48 bytes");
            self.out.effects.push(Effect::Write(Frame::from_slice(frame).expect("cut from 48 bytes")));
        }
    }

    /// The latest time at which `step` needs [`Input::Wake`]. Early is harmless, late is not.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        [
            self.reader.wake_at(),
            self.timekeeper.wake_at(),
            self.delivery.wake_at(),
            self.faults.read_at().filter(|_| self.delivery.is_connected()),
            self.faults.report_at(),
            self.report_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Until when the bytes of the port may wait in the kernel; `None`: read them as they come.
    #[must_use]
    pub fn read_at(&self) -> Option<Monotonic> {
        self.reader.read_at().filter(|_| self.timekeeper.is_ready())
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// Slots read but not acknowledged.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.delivery.backlog() + self.reader.open_slots()
    }

    /// Memory used by records, in bytes.
    #[must_use]
    pub fn spool_bytes(&self) -> usize {
        self.delivery.spool_bytes()
    }

    /// Whether nothing is left that could be published now. Shutdown waits for this.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.reader.open_slots() == 0 && self.delivery.is_drained()
    }

    /// Bytes of the spill file's records.
    #[must_use]
    pub fn spill_bytes(&self) -> usize {
        self.delivery.spill_bytes()
    }

    /// Records that may exist in the spill file only, which must then not be removed.
    #[must_use]
    pub fn unrestored(&self) -> Option<Unrestored> {
        self.delivery.unrestored()
    }

    /// The state of the serial link.
    #[must_use]
    pub fn link(&self) -> published::Link {
        self.reader.link.state()
    }
}
