//! One boiler's agent: from its serial line into its subject of SAMPLES.
//!
//! ```text
//! bytes ▸ serial ▸ decode ▸ batch ▸ spool ▸ publish ▸ SAMPLES          lease ▸ actuate ▸ bytes
//!              ▲ Resume                        │ where the stream ends
//!              └───────────────────────────────┘
//! ```
//!
//! The design rests on one rule: the stream's end is the single source of truth. Whenever it is read, the agent
//! continues from there: from memory if that holds the next slot, else from the device. So a crash of this process, a
//! lost acknowledgement, a server that lost its last seconds and a pulled cable share one path.

mod deliver;
mod effect;
mod faults;
mod read;
mod senses;
mod spill;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::mem::{Discriminant, discriminant, take};

use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{FrameReader, ToDevice, encode};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, Slot, device_id};

pub use effect::{Counters, Effect, Frame, Input, Level, Log, Settings, Timing};

pub use crate::publish::Refused;

use faults::Faults;

use crate::actuate::Actuator;
use crate::batch::stamp::{Rate, Stamper};
use crate::batch::{Cutter, Record};
use crate::decode::Cursor;
use crate::plausible::Sensors;
use crate::publish::Publisher;
use crate::published::{self, EventBody};
use crate::serial::Link;
use crate::spool::Spool;
use crate::spool::spill::Spiller;
use crate::time::{HOUR_NS, Monotonic, Now};

/// Smallest number of held slots to skip with a `Resume`; fewer arrive faster than the skip takes.
const SKIP_MIN: u64 = 64;
/// A calendar that stepped forward by more than an hour is not trusted for 10 minutes.
const DISTRUST_NS: u64 = 600_000_000_000;

/// One boiler's agent.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    link: Link,
    reader: FrameReader,
    cursor: Option<Cursor>,
    cutter: Cutter,
    stamper: Option<Stamper>,
    /// The boot at the stream's end when that was read, and its period there in nanoseconds.
    stored_period: Option<(Boot, u32)>,
    spool: Spool,
    spiller: Spiller,
    /// The agent shuts down: unacknowledged records are spilled now.
    leaving: bool,
    publisher: Publisher,
    actuator: Actuator,
    /// When the device was accepted.
    accepted: Monotonic,
    /// A board accepted by an operator: the replaced device and the new one.
    accepted_board: Option<(u32, u32)>,
    /// The read position has to be compared with the stream's end.
    needs_resync: bool,
    /// The spool is full: the device is not read.
    full: bool,
    /// When bytes arrived last; `None` after a write.
    arrived: Option<Monotonic>,
    newest: Option<Slot>,
    announced: Option<Boot>,
    faults: Faults,
    sensors: Sensors,
    calendar: Calendar,
    /// The rate of the device's clock, as last reported.
    rate: Option<Rate>,
    report: Report,
    logged: Vec<(Discriminant<Log>, Monotonic)>,
    prune_at: Option<Monotonic>,
    /// Until when reading waits for the stream's end.
    aim_at: Option<Monotonic>,
    /// Until when stamping waits for the clocks.
    stamp_at: Option<Monotonic>,
    out: Vec<ToDevice>,
    cut: Vec<Record>,
    counters: Counters,
}

/// The mapping from the monotonic clock to UTC, and how far it is trusted.
#[derive(Clone, Copy, Debug, Default)]
struct Calendar {
    /// The time of the first observation, and the last observation.
    seen: Option<(Monotonic, Seen)>,
    distrusted_until: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// UTC minus monotonic.
    mapping_ns: i64,
    clock: ClockQuality,
}

impl Calendar {
    /// When it was first observed.
    fn since(&self, now: Now) -> Monotonic {
        self.seen.map_or(now.monotonic, |(since, _)| since)
    }
}

/// When the status was last published, and whether it has changed since.
#[derive(Clone, Copy, Debug, Default)]
struct Report {
    at: Option<Monotonic>,
    changed: bool,
    link: published::Link,
}

impl Agent {
    /// An agent with the port closed and the server disconnected.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let timing = &settings.timing;
        Self {
            link: Link::new(timing.serial, settings.serial_number.clone(), settings.simulated_only),
            reader: FrameReader::new(),
            cursor: None,
            cutter: Cutter::new(settings.batch),
            stamper: None,
            stored_period: None,
            spool: Spool::new(settings.spool_bytes),
            spiller: Spiller::new(timing.spill, settings.spool_bytes),
            leaving: false,
            publisher: Publisher::new(timing.publish, settings.catch_up),
            actuator: Actuator::new(settings.control, timing.based_on),
            accepted: Monotonic::default(),
            accepted_board: None,
            needs_resync: false,
            full: false,
            arrived: None,
            newest: None,
            announced: None,
            faults: Faults::default(),
            sensors: Sensors::default(),
            calendar: Calendar::default(),
            rate: None,
            report: Report::default(),
            logged: Vec::new(),
            prune_at: None,
            aim_at: None,
            stamp_at: None,
            out: Vec::new(),
            cut: Vec::new(),
            counters: Counters::default(),
            settings,
        }
    }

    /// Processes one input. Nothing else changes the agent's state.
    pub fn step(&mut self, now: Now, input: Input<'_>, effects: &mut Vec<Effect>) {
        self.watch_calendar(now, effects);
        match input {
            Input::PortOpened => {
                self.reader.reset();
                self.link.open(now.monotonic, &mut self.out);
            }
            Input::PortClosed => self.link.close(),
            Input::Bytes(bytes) => {
                self.arrived = Some(now.monotonic);
                self.read(now, bytes, effects);
            }
            Input::Connected => self.publisher.connect(now.monotonic),
            Input::Disconnected => {
                self.publisher.disconnect(now.monotonic);
                self.faults.disconnect();
            }
            Input::Tail(tail) => self.tail(now, tail, effects),
            Input::Accepted { instead_of, serial_number } => {
                self.accepted_board = Some((instead_of, device_id(serial_number)));
            }
            Input::TailUnknown => self.publisher.tail_unknown(now.monotonic),
            Input::LastFault(last) => self.faults.read(last),
            Input::LastFaultUnknown => self.faults.unread(now.monotonic.after(self.settings.timing.publish.again)),
            Input::Acknowledged { sequence } => self.acknowledged(now, sequence, effects),
            Input::Refused(refused) => self.refused(now, refused, effects),
            Input::Setpoint(lease) => self.pass_on(now, lease, effects),
            Input::Reset(reset) => self.pass_on_reset(now, reset, effects),
            Input::Flush => self.cut(now),
            Input::Spilled(message) => self.restore(now, message),
            Input::SpillSynced => self.spiller.synced(now.monotonic),
            Input::SpillFailed => self.spill_failed(now, effects),
            Input::Leave => {
                self.cut(now);
                self.leaving = true;
            }
            Input::Wake => {}
        }
        self.settle(now, effects);
    }

    /// The latest time at which `step` needs [`Input::Wake`]. Early is harmless, late is not.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        let timing = &self.settings.timing;
        let live = self.link.live().is_some();
        let stalled = self.cursor.as_ref().filter(|_| live && !self.full).map(Cursor::stalled_at);
        let pause = if self.report.changed { timing.status_change } else { timing.status };
        [
            self.link.wake_at(),
            stalled,
            self.aim_at,
            self.stamp_at,
            self.cutter.silent_at(timing.cut_after),
            self.publisher.wake_at(),
            self.faults.read_at().filter(|_| self.publisher.is_connected()),
            self.faults.report_at(),
            self.prune_at,
            self.spiller.wake_at(&self.spool),
            self.report.at.map(|at| at.after(pause)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Slots read but not acknowledged.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.spool.backlog() + self.cutter.len()
    }

    /// Memory used by records, in bytes.
    #[must_use]
    pub fn spool_bytes(&self) -> usize {
        self.spool.bytes()
    }

    /// Whether nothing is left that could be published now. Shutdown waits for this.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.cutter.is_empty() && (self.spool.backlog() == 0 || !self.publisher.is_busy())
    }

    /// Bytes of the spill file's records.
    #[must_use]
    pub fn spill_bytes(&self) -> usize {
        self.spiller.bytes()
    }

    /// The state of the serial link.
    #[must_use]
    pub fn link(&self) -> published::Link {
        self.link.state()
    }

    /// Acts on the new state after every input.
    fn settle(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let timing = self.settings.timing;
        self.link.wake(now.monotonic, &mut self.out);
        if self.cutter.silent_at(timing.cut_after).is_some_and(|at| at <= now.monotonic) {
            self.cut(now);
        }
        self.stamp_waiting(now);
        self.make_room(now, effects);
        self.read_fault(now, effects);
        self.deliver(now, effects);
        self.spill(now, effects);
        self.aim(now, effects);
        self.keep_reading(now);
        self.announce(effects);
        self.report_rate(effects);
        self.report_faults(now, effects);
        self.report(now, effects);
        if !self.out.is_empty() {
            self.arrived = None;
        }
        for message in self.out.drain(..) {
            self.counters.identifies += u64::from(matches!(message, ToDevice::Identify));
            self.counters.resumes += u64::from(matches!(message, ToDevice::Resume { .. }));
            let mut frame = [0; 48];
            let frame = encode(&message, &mut frame).expect("no message to a device is longer than 48 bytes");
            effects.push(Effect::Write(Frame::from_slice(frame).expect("cut from 48 bytes")));
        }
    }

    /// Prunes old records; pauses and resumes reading.
    fn make_room(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let keep = self.settings.timing.publish.keep;
        let connected = self.publisher.connected_time(now.monotonic);
        self.spool.prune(connected, keep);
        let left = self.spool.prune_in(connected, keep).filter(|_| self.publisher.is_connected());
        self.prune_at = left.map(|left| now.monotonic.after(left));
        let full = !self.spool.has_room();
        if full == self.full {
            return;
        }
        self.full = full;
        if full {
            self.log(now, Log::SpoolFull { backlog: self.spool.backlog() }, effects);
        } else {
            self.log(now, Log::SpoolHasRoom, effects);
            self.resume(now);
        }
    }

    /// Repeats a `Resume` that seems to be lost.
    fn keep_reading(&mut self, now: Now) {
        let live = self.link.live().is_some() && !self.full;
        if live && self.cursor.as_ref().is_some_and(|cursor| cursor.stalled_at() <= now.monotonic) {
            self.resume(now);
        }
    }

    /// Requests samples from the expected slot on.
    fn resume(&mut self, now: Now) {
        if self.link.live().is_none() {
            return;
        }
        if let Some(cursor) = &mut self.cursor {
            let Slot { boot, seq } = cursor.expected();
            cursor.aim(seq, now.monotonic);
            self.out.push(ToDevice::Resume { boot, from: seq });
        }
    }

    fn pass_on(&mut self, now: Now, lease: &published::Lease, effects: &mut Vec<Effect>) {
        let clock = self.stamper.as_ref().and_then(|stamper| stamper.device_time(now.monotonic));
        let session = self.link.live().filter(|_| self.cursor.is_some());
        match self.actuator.request(lease, session, clock) {
            Ok(request) => {
                self.counters.requests += 1;
                self.out.push(request);
            }
            Err(declined) => {
                self.counters.declined += 1;
                self.log(now, Log::LeaseDeclined(declined), effects);
            }
        }
    }

    fn pass_on_reset(&mut self, now: Now, reset: &published::Reset, effects: &mut Vec<Effect>) {
        let clock = self.stamper.as_ref().and_then(|stamper| stamper.device_time(now.monotonic));
        let session = self.link.live().filter(|_| self.cursor.is_some());
        match self.actuator.reset(now.utc, reset, session, clock) {
            Ok(request) => {
                self.counters.requests += 1;
                self.out.push(request);
            }
            Err(declined) => {
                self.counters.declined += 1;
                self.log(now, Log::ResetDeclined(declined), effects);
            }
        }
    }

    /// Detects steps of the calendar. A long step forward from a trusted time is not trusted at once; a step from an
    /// untrusted time is expected.
    fn watch_calendar(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let monotonic_ns = i64::try_from(now.monotonic.0).unwrap_or(i64::MAX);
        let seen = Seen { mapping_ns: now.utc.0.saturating_sub(monotonic_ns), clock: clock_quality(now) };
        let (_, last) = self.calendar.seen.get_or_insert((now.monotonic, seen));
        let before = core::mem::replace(last, seen);
        let by_ns = seen.mapping_ns.saturating_sub(before.mapping_ns);
        if by_ns > HOUR_NS && before.clock == ClockQuality::Synced {
            self.calendar.distrusted_until = Monotonic(now.monotonic.0.saturating_add(DISTRUST_NS));
        }
        if u128::from(by_ns.unsigned_abs()) > self.settings.timing.clock_step.as_nanos() {
            self.jumped(now, by_ns, effects);
        }
    }

    fn jumped(&mut self, now: Now, by_ns: i64, effects: &mut Vec<Effect>) {
        self.counters.clock_jumps += 1;
        self.log(now, Log::ClockJumped { by_ns }, effects);
        effects.push(Effect::Event(EventKind::Clock, Box::new(EventBody::ClockJumped { by_ns })));
    }

    /// Whether the calendar is trusted now.
    fn clock(&self, now: Now) -> ClockQuality {
        if now.monotonic < self.calendar.distrusted_until { ClockQuality::Unsynced } else { clock_quality(now) }
    }

    /// Publishes once per boot that it is new to the stream.
    fn announce(&mut self, effects: &mut Vec<Effect>) {
        let Some(session) = self.link.live() else { return };
        let boot = session.boot();
        if self.announced == Some(boot) || !self.publisher.is_known() {
            return;
        }
        self.announced = Some(boot);
        if self.publisher.end().is_none_or(|end| end.boot != boot) {
            let serial_number = session.hello.serial_number.to_string();
            let firmware = session.hello.firmware.to_string();
            let body = EventBody::BootSeen { boot, serial_number, firmware };
            effects.push(Effect::Event(EventKind::Boot, Box::new(body)));
        }
    }

    /// Publishes the status when due.
    fn report(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let timing = &self.settings.timing;
        self.report.changed |= core::mem::replace(&mut self.report.link, self.link.state()) != self.link.state();
        let pause = if self.report.changed { timing.status_change } else { timing.status };
        if self.report.at.is_some_and(|at| now.monotonic < at.after(pause)) {
            return;
        }
        self.report.at = Some(now.monotonic);
        self.report.changed = false;
        let link = self.link.state();
        let device = self.link.session().filter(|_| link != published::Link::Down);
        let device = device.and_then(|session| self.device_status(now, session));
        effects.push(Effect::Status(Box::new(published::Status {
            boiler: self.settings.boiler.clone(),
            created_at: now.utc.unix_seconds(),
            link,
            device,
            newest: self.newest,
            backlog: self.backlog(),
            simulated: self.link.session().is_some_and(|session| session.hello.simulated),
            version: 1,
        })));
    }

    /// Logs, unless a line of the same kind was logged recently.
    fn log(&mut self, now: Now, log: Log, effects: &mut Vec<Effect>) {
        let kind = discriminant(&log);
        match self.logged.iter_mut().find(|(logged, _)| *logged == kind) {
            Some((_, at)) if now.monotonic.since(*at) < self.settings.timing.log => return,
            Some((_, at)) => *at = now.monotonic,
            None => self.logged.push((kind, now.monotonic)),
        }
        effects.push(Effect::Log(log));
    }

    /// Ends the open batch.
    fn cut(&mut self, now: Now) {
        if let Some(record) = self.cutter.cut() {
            self.hold(now, record);
        }
    }

    /// Stores a record in memory, stamped if possible.
    fn hold(&mut self, now: Now, mut record: Record) {
        if let Some(stamper) = self.stamper.as_ref().filter(|stamper| stamper.boot() == record.first.boot) {
            // Stamp and period must come from the same estimate of the device's clock.
            record.origin.period_ns = stamper.period_ns();
        }
        record.stamp = self.stamp(now, &record);
        self.counters.batches += 1;
        let (first, end) = (record.first, record.end());
        self.spool.insert(now.monotonic, record);
        if self.publisher.end().is_some_and(|stored| end <= stored) {
            // It was open when the stream's end was read and is stored already: no acknowledgement will follow.
            self.spool.acknowledge(first, end, self.publisher.connected_time(now.monotonic));
        }
    }

    fn hold_cut(&mut self, now: Now) {
        let mut cut = take(&mut self.cut);
        for record in cut.drain(..) {
            self.hold(now, record);
        }
        self.cut = cut;
    }
}

/// The reported clock quality, or `Unsynced` if the calendar is implausible.
fn clock_quality(now: Now) -> ClockQuality {
    if now.utc.is_plausible() { now.clock } else { ClockQuality::Unsynced }
}
