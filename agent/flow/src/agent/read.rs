//! The reading half of an agent: bytes of the line to records in memory.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::mem::take;
use core::time::Duration;

use thermowell_wire::line::{
    GapNotice, GapReason, Hello, Pong, Rejection, Samples, Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, Reading, Slot, device_id};

use super::faults::Report;
use super::{Agent, Effect, Log, SKIP_MIN};
use crate::batch::stamp::{Answered, Rate, Stamper};
use crate::batch::{Origin, Record};
use crate::decode::Arrival;
use crate::plausible::Sensors;
use crate::published::EventBody;
use crate::serial::{Greeting, Session};
use crate::spool::Coverage;
use crate::time::{DeviceTime, Monotonic, Now};

/// A change of the rate of a device's clock by this much is reported again.
const RATE_CHANGE_PPM: u64 = 5_000;

/// The longest time for which bytes may wait in the kernel: a quarter of the silence after which a device counts as
/// gone. At 115,200 baud the kernel has 2,900 of its 4,096 bytes by then. Not scaled with the speed of a simulated
/// world: the bytes are.
const REST_MAX: Duration = Duration::from_millis(250);
/// The last slots of a batch are read as they come.
const CLOSE: u64 = 2;

impl Agent {
    /// Until when the bytes of the port may wait in the kernel; `None`: read them as they come.
    ///
    /// A reading carries its own time, so it is not needed before its batch is full. A pong is, because its time of
    /// arrival counts, and a backlog is read as fast as it comes.
    #[must_use]
    pub fn read_at(&self) -> Option<Monotonic> {
        let (arrived, session, cursor) = (self.arrived?, self.link.live()?, self.cursor.as_ref()?);
        let next = cursor.expected().seq;
        let is_known = self.stamper.as_ref().is_some_and(Stamper::is_ready);
        let is_current = session.next.saturating_sub(next) < SKIP_MIN;
        let slots = self.cutter.room(next).saturating_sub(CLOSE);
        if !is_known || !is_current || slots == 0 || self.link.awaits_pong() || self.full {
            return None;
        }
        let wait = Duration::from_nanos(u64::from(session.period_ns()).saturating_mul(slots));
        Some(arrived.after(wait.min(REST_MAX)))
    }

    pub(super) fn read(&mut self, now: Now, bytes: &[u8], effects: &mut Vec<Effect>) {
        let mut reader = take(&mut self.reader);
        reader.feed(bytes, |frame| match frame {
            Ok(message) => self.dispatch(now, message, effects),
            Err(cause) => self.reject(now, cause, effects),
        });
        self.reader = reader;
    }

    fn reject(&mut self, now: Now, cause: Rejection, effects: &mut Vec<Effect>) {
        self.counters.rejected[cause.index()] += 1;
        let total = self.counters.rejected.iter().sum();
        self.log(now, Log::Rejected { cause, total }, effects);
    }

    fn dispatch(&mut self, now: Now, message: ToGateway, effects: &mut Vec<Effect>) {
        self.counters.frames += 1;
        self.link.frame_received(now.monotonic);
        match message {
            ToGateway::Hello(hello) => self.greet(now, hello, effects),
            ToGateway::Samples(samples) => self.take_samples(now, &samples),
            ToGateway::Gap(gap) => self.take_gap(now, &gap),
            ToGateway::Status(status) => self.take_status(now, status, effects),
            ToGateway::Answer(answer) => {
                if let Some(fault) = self.actuator.answers_reset(&answer) {
                    let body = EventBody::ResetAnswered { fault, n: answer.n, outcome: answer.outcome.into() };
                    effects.push(Effect::Event(EventKind::Reset, Box::new(body)));
                } else if let Some(answer) = self.actuator.answer(&answer, self.link.live()) {
                    let body = EventBody::Answered { n: answer.n, outcome: answer.outcome.into() };
                    effects.push(Effect::Event(EventKind::Answer, Box::new(body)));
                }
            }
            ToGateway::Pong(pong) => self.take_pong(now, &pong, effects),
        }
    }

    fn greet(&mut self, now: Now, hello: Hello, effects: &mut Vec<Effect>) {
        if let Some(reason) = self.foreign_board(now, &hello) {
            let greeting = self.link.refuse(reason);
            return self.greeted(now, greeting, &hello, effects);
        }
        let open = self.cutter.open().filter(|(first, _)| first.boot == hello.boot).map(|(_, end)| end);
        let held = self.spool.last_end(hello.boot).max(open).map(|end| Slot::new(hello.boot, end));
        let greeting = self.link.greet(now.monotonic, hello.clone(), held);
        self.greeted(now, greeting, &hello, effects);
    }

    fn greeted(&mut self, now: Now, greeting: Greeting, hello: &Hello, effects: &mut Vec<Effect>) {
        let (boot, serial_number) = (hello.boot, hello.serial_number.to_string());
        match greeting {
            Greeting::Refused { reason, news } => {
                self.counters.refused_devices += 1;
                self.log(now, Log::DeviceRefused { reason: reason.clone() }, effects);
                if news {
                    let body = EventBody::DeviceRefused { serial_number, reason };
                    effects.push(Effect::Event(EventKind::Boot, Box::new(body)));
                }
            }
            Greeting::Accepted { new, .. } => {
                if new {
                    self.begin_boot(now, boot);
                    self.log(now, Log::Device { serial_number, boot }, effects);
                } else if !self.full {
                    self.resume(now);
                }
                if let Some(stamper) = &mut self.stamper
                    && let Some(by_ns) = stamper.observe(now.monotonic, DeviceTime(hello.device_us))
                {
                    self.stamps_jumped(now, by_ns, effects);
                }
                self.needs_resync = true;
            }
        }
    }

    /// Why a board is not read because the history is that of another one. `None` if it is the board of the history, or
    /// if an operator has accepted it and no record of its predecessor waits. Records of two boards are never held at
    /// once: their boots have no common order.
    fn foreign_board(&mut self, now: Now, hello: &Hello) -> Option<String> {
        let serial = &hello.serial_number;
        if self.settings.serial_number.as_ref().is_some_and(|bound| bound.as_str() != serial.as_str()) {
            return None;
        }
        let device = device_id(serial);
        let other = |known: &u32| *known != device;
        let held = self.spool.front().map(|record| record.origin.device).filter(other);
        let before = held.or_else(|| self.publisher.device().filter(other))?;
        if self.accepted_board != Some((before, device)) {
            self.publisher.look_again(now.monotonic);
            let boiler = &self.settings.boiler;
            return Some(format!(
                "its serial number is {serial}, the history of {boiler} is of another board: check the port; if the \
                 board was replaced, `thermowell boiler accept {boiler} {serial} --yes`"
            ));
        }
        if held.is_some() {
            self.cut(now);
            if self.spool.backlog() > 0 {
                return Some("samples of the previous board are delivered first".to_owned());
            }
            self.spool.clear();
        }
        if self.link.bound().is_some_and(|bound| bound != serial.as_str()) {
            self.link.release();
            (self.cursor, self.stamper, self.newest) = (None, None, None);
            self.sensors = Sensors::default();
        }
        self.publisher.reread(now.monotonic);
        None
    }

    /// Begins a new boot: the open batch of the old one ends here.
    fn begin_boot(&mut self, now: Now, boot: Boot) {
        self.cut(now);
        self.place_the_rest(now);
        self.counters.boots += 1;
        self.accepted = now.monotonic;
        self.cursor = None;
        let period_ns = self.link.session().map_or(1, Session::period_ns);
        self.stamper = Some(Stamper::new(self.settings.timing.stamp, boot, period_ns, now.monotonic));
        self.anchor(now);
    }

    fn take_status(&mut self, now: Now, status: Status, effects: &mut Vec<Effect>) {
        let expected = self.cursor.as_ref().map_or(0, |cursor| cursor.expected().seq);
        let Some(session) = self.link.session_mut().filter(|session| session.boot().tag() == status.tag) else {
            return self.foreign(now);
        };
        if status.next < expected {
            // The same tag, but another boot: one reboot in 256.
            return self.foreign(now);
        }
        let device_us = status.device_us;
        let slot = Slot::new(session.boot(), status.next);
        let faults = Report { fault: status.fault, state: status.state, slot };
        if status.next > session.seq_max() || !session.agrees(&status) {
            self.counters.implausible += 1;
            return;
        }
        session.saw_next(status.next);
        let before = session.status.replace(status.clone());
        self.take_readings_of_sensors(now, &status, effects);
        let session = self.link.session().expect("its status was just taken");
        let key = |status: &Status| {
            let setpoint = status.setpoint.map(|active| (active.n, active.demand, active.flow));
            (status.marks, status.state, status.fault, setpoint)
        };
        self.report.changed |= before.as_ref().map(key) != session.status.as_ref().map(key);
        self.observe_fault(now, faults, effects);
        if self.link.live().is_some()
            && let Some(stamper) = &mut self.stamper
            && let Some(by_ns) = stamper.observe(now.monotonic, DeviceTime(device_us))
        {
            self.stamps_jumped(now, by_ns, effects);
        }
    }

    fn take_pong(&mut self, now: Now, pong: &Pong, effects: &mut Vec<Effect>) {
        let Some(asked) = self.link.answered(pong.nonce) else { return };
        if !self.link.live().is_some_and(|session| session.can_show(pong.device_us)) {
            self.counters.implausible += 1;
            return;
        }
        let (received, device) = (now.monotonic, DeviceTime(pong.device_us));
        let lengths = (ping_len(pong.nonce), pong_len(pong));
        let answered = Answered { asked, received, device, lengths };
        if let Some(by_ns) = self.stamper.as_mut().and_then(|stamper| stamper.pong(answered)) {
            self.stamps_jumped(now, by_ns, effects);
        }
    }

    /// The stamps jumped. With a clock too far off to be followed they do so every 10 s; then only its rate is
    /// reported, once.
    fn stamps_jumped(&mut self, now: Now, by_ns: i64, effects: &mut Vec<Effect>) {
        if self.stamper.as_ref().and_then(Stamper::rate).is_some_and(|rate| !rate.followed) {
            self.counters.clock_jumps += 1;
        } else {
            self.jumped(now, by_ns, effects);
        }
    }

    /// Reports a device's clock outside a crystal's tolerance, once it is measured and when its rate has changed.
    pub(super) fn report_rate(&mut self, effects: &mut Vec<Effect>) {
        let Some(rate) = self.stamper.as_ref().and_then(Stamper::rate) else { return };
        let same =
            |reported: &Rate| reported.followed == rate.followed && reported.ppm.abs_diff(rate.ppm) < RATE_CHANGE_PPM;
        if self.rate.as_ref().is_some_and(same) {
            return;
        }
        self.rate = Some(rate);
        effects.push(Effect::Log(Log::ClockRate(rate)));
        let Rate { ppm, followed } = rate;
        effects.push(Effect::Event(EventKind::Clock, Box::new(EventBody::ClockRate { ppm, followed })));
    }

    fn take_samples(&mut self, now: Now, samples: &Samples) {
        let Some((origin, seq_max)) = self.reading() else { return };
        let Some(cursor) = &self.cursor else { return };
        if samples.seq > seq_max {
            self.counters.implausible += 1;
            return;
        }
        let count = u64::try_from(samples.readings.len()).unwrap_or(u64::MAX);
        match cursor.samples(samples) {
            Arrival::Foreign => self.foreign(now),
            Arrival::Duplicate => self.counters.duplicates += count,
            Arrival::Hole => self.hole(now),
            Arrival::InOrder(_) if self.full => self.counters.full += count,
            Arrival::InOrder(readings) => {
                let from = cursor.expected();
                let new = u64::try_from(readings.len()).unwrap_or(u64::MAX);
                self.counters.duplicates += count - new;
                self.take_readings(now, from, readings, origin);
                self.advance(now, Slot::new(from.boot, from.seq + new));
            }
        }
    }

    /// Holds those of `readings` that are not held yet.
    fn take_readings(&mut self, now: Now, from: Slot, mut readings: &[Reading], origin: Origin) {
        let mut at = from;
        while !readings.is_empty() {
            let len = u64::try_from(readings.len()).unwrap_or(u64::MAX);
            let (held, end) = match self.spool.coverage(at) {
                Coverage::Held(end) => (true, end),
                Coverage::Free(next) => (false, next.unwrap_or(u64::MAX)),
            };
            let count = len.min(end - at.seq);
            let (these, rest) = readings.split_at(usize::try_from(count).unwrap_or(readings.len()));
            if held {
                self.cut(now);
                self.counters.duplicates += count;
            } else {
                self.counters.samples += count;
                let cut = &mut self.cut;
                self.cutter.feed(now.monotonic, at, these, origin, |record| cut.push(record));
                self.hold_cut(now);
            }
            readings = rest;
            at.seq += count;
            if !held && at.seq == end {
                self.cut(now);
            }
        }
    }

    fn take_gap(&mut self, now: Now, gap: &GapNotice) {
        let Some((origin, _)) = self.reading() else { return };
        let Some(cursor) = &self.cursor else { return };
        if !self.link.session().is_some_and(|session| session.can_reach(gap.to)) {
            self.counters.implausible += 1;
            return;
        }
        match cursor.gap(gap) {
            Arrival::Foreign => self.foreign(now),
            Arrival::Duplicate => {}
            Arrival::Hole => self.hole(now),
            Arrival::InOrder(_) if self.full => self.counters.full += 1,
            Arrival::InOrder(range) => {
                // The line has two reasons; any other one counts as not sampled.
                let reason = if gap.reason == GapReason::Ring { GapReason::Ring } else { GapReason::Missed };
                let mut at = cursor.expected();
                self.cut(now);
                while at.seq < range.end {
                    match self.spool.coverage(at) {
                        Coverage::Held(end) => at.seq = end,
                        Coverage::Free(next) => {
                            let end = next.unwrap_or(u64::MAX).min(range.end);
                            self.counters.gaps += 1;
                            self.hold(now, Record::gap(at, end, reason, origin));
                            at.seq = end;
                        }
                    }
                }
                self.advance(now, at);
            }
        }
    }

    /// Slots below `to` are taken; held slots after it are skipped.
    fn advance(&mut self, now: Now, to: Slot) {
        let expected = self.spool.contiguous_end(to);
        if let Some(cursor) = &mut self.cursor {
            cursor.advance(expected, now.monotonic);
        }
        if let Some(session) = self.link.session_mut() {
            session.saw_next(expected);
        }
        let newest = Slot::new(to.boot, expected.saturating_sub(1));
        self.newest = self.newest.max(Some(newest));
        if expected - to.seq >= SKIP_MIN {
            self.cut(now);
            self.resume(now);
        }
    }

    fn hole(&mut self, now: Now) {
        self.counters.holes += 1;
        if self.full {
            return;
        }
        if let Some(cursor) = &mut self.cursor
            && cursor.may_resume(now.monotonic)
        {
            let Slot { boot, seq } = cursor.expected();
            self.out.push(ToDevice::Resume { boot, from: seq });
        }
    }

    fn foreign(&mut self, now: Now) {
        self.counters.foreign += 1;
        self.link.foreign(now.monotonic, &mut self.out);
    }

    /// The properties needed to read samples; `None` until the device is accepted.
    fn reading(&self) -> Option<(Origin, u64)> {
        let session = self.link.live()?;
        let origin =
            Origin { device: session.device(), period_ns: session.period_ns(), simulated: session.hello.simulated };
        Some((origin, session.seq_max()))
    }
}

/// Bytes of a pong on the line.
fn pong_len(pong: &Pong) -> usize {
    let mut frame = [0; 32];
    encode(&ToGateway::Pong(*pong), &mut frame).expect("a pong takes at most 23 bytes").len()
}

/// Bytes of a ping on the line.
fn ping_len(nonce: u32) -> usize {
    let mut frame = [0; 32];
    encode(&ToDevice::Ping { nonce }, &mut frame).expect("a ping takes at most 12 bytes").len()
}
