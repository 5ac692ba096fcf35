//! Inputs, effects, log lines and counters of an agent: its interface to the shell.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{Discriminant, discriminant};
use core::time::Duration;

use thermowell_wire::line::Rejection;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{BoilerId, Boot, Slot};

use crate::actuate::Declined;
use crate::batch::stamp;
use crate::plausible::{Implausible, Quantity};
use crate::publish::Refused;
use crate::published;
use crate::spool::spill::{self, Spill};
use crate::time::{Monotonic, Now};
use crate::{decode, publish, serial};

/// A frame for the device. The longest message to a device takes 29 bytes.
pub type Frame = heapless::Vec<u8, 48>;

/// The settings of an agent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The boiler.
    pub boiler: BoilerId,
    /// The device that it is bound to; `None` binds it to the first one that connects in this run.
    pub serial_number: Option<String>,
    /// Samples per batch, 1 to 1,000.
    pub batch: u16,
    /// Most samples in one message while batches wait, 1 to 1,000. With 1, none are joined.
    pub catch_up: u16,
    /// Whether set-points may be sent.
    pub control: bool,
    /// The clock is not real: a device that is not simulated is refused.
    pub simulated_only: bool,
    /// Bound of the spool.
    pub spool_bytes: usize,
    pub timing: Timing,
}

/// Every duration, on the flow axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub serial: serial::Timing,
    pub decode: decode::Timing,
    pub stamp: stamp::Timing,
    pub publish: publish::Timing,
    pub spill: spill::Timing,
    /// After the device was accepted, reading waits this long for the stream's end.
    pub tail_first: Duration,
    /// Without a new slot for this long, the open batch is cut.
    pub cut_after: Duration,
    /// Stamping waits at most this long for a trusted clock; well below the time that the ring covers.
    pub clock_wait: Duration,
    /// The calendar stepped when it moves by more than this against the monotonic clock.
    pub clock_step: Duration,
    /// How far behind the device's newest slot the data of a lease may be.
    pub based_on: Duration,
    /// Sensor readings of the device are published for at most this long; its statuses arrive once a second.
    pub reading_age: Duration,
    /// Between two statuses.
    pub status: Duration,
    /// Between two statuses when something changed.
    pub status_change: Duration,
    /// Between two log lines of the same kind.
    pub log: Duration,
}

impl Timing {
    /// The durations of a world that runs `speed` times as fast as this machine: all are durations of the transport, so
    /// each is a real duration × `speed`. `sync_interval` is the server's, `spill_after` the spool's.
    #[must_use]
    pub fn at_speed(speed: u32, sync_interval: Duration, spill_after: Duration) -> Self {
        let ms = |ms: u64| Duration::from_millis(ms).saturating_mul(speed);
        Self {
            serial: serial::Timing { silence: ms(1_000), ping: ms(500), ping_quick: ms(20), ping_sweep: ms(16) },
            decode: decode::Timing { again: ms(100), apart: ms(20), progress: ms(1_000) },
            stamp: stamp::Timing { off: ms(20), off_for: ms(10_000), byte: stamp::byte_at(115_200) },
            publish: publish::Timing {
                keep: sync_interval.saturating_mul(3).saturating_mul(speed),
                again: ms(1_000),
                answer: ms(10_000),
                overlap: ms(20),
                device: ms(120_000),
                conflict_window: ms(60_000),
                conflict_pause: ms(5_000),
            },
            spill: spill::Timing { after: spill_after.saturating_mul(speed), every: ms(10_000) },
            tail_first: ms(1_000),
            cut_after: ms(1_000),
            clock_wait: ms(60_000),
            clock_step: ms(20),
            based_on: ms(5_000),
            reading_age: ms(10_000),
            status: ms(1_000),
            status_change: ms(100),
            log: ms(10_000),
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The serial port is open, and empty of old bytes.
    PortOpened,
    /// The serial port is gone.
    PortClosed,
    /// Bytes of the serial port.
    Bytes(&'a [u8]),
    /// The server can be reached and the stream exists.
    Connected,
    /// The server cannot be reached. Requests under way are cancelled and will not be answered.
    Disconnected,
    /// The answer to `ReadTail`: sequence and payload of the subject's last message, if any.
    Tail(Option<(u64, &'a [u8])>),
    /// `ReadTail` failed.
    TailUnknown,
    /// The answer to `ReadFault`: the last event about a fault, if any.
    LastFault(Option<&'a published::EventBody>),
    /// `ReadFault` failed.
    LastFaultUnknown,
    /// An operator has accepted a replacement board. Precedes the answer to `ReadTail`.
    Accepted {
        /// [`thermowell_wire::device_id`] of the replaced board.
        instead_of: u32,
        /// Serial number of the new one.
        serial_number: &'a str,
    },
    /// The answer to `Publish`: stored.
    Acknowledged { sequence: u64 },
    /// The answer to `Publish`: not stored, or the outcome is unknown.
    Refused(Refused),
    /// A new lease.
    Setpoint(&'a published::Lease),
    /// A reset that was ordered.
    Reset(&'a published::Reset),
    /// Shutdown begins: the open batch is cut now.
    Flush,
    /// Shutdown ends: unacknowledged records are written to the spill file.
    Leave,
    /// A record of the spill file. Precedes any other input.
    Spilled(&'a [u8]),
    /// The spill file is synced.
    SpillSynced,
    /// The spill file could not be written or synced.
    SpillFailed,
    /// The time of [`super::Agent::wake_at`] is reached.
    Wake,
}

/// Requests to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// To the serial port.
    Write(Frame),
    /// Read the subject's last message. At most one is under way.
    ReadTail,
    /// Read the last event about a fault. At most one is under way.
    ReadFault,
    /// Publish to the subject. At most one is under way.
    Publish {
        /// The sequence of the subject's last message, as a condition; 0 for no message.
        expected: u64,
        payload: Vec<u8>,
    },
    /// To the spill file.
    Spill(Spill),
    /// Publish the status.
    Status(Box<published::Status>),
    /// Publish an event.
    Event(EventKind, Box<published::EventBody>),
    /// Stop this boiler until an operator restarts the agent.
    Stop {
        /// Why, and what to do.
        reason: String,
    },
    Log(Log),
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A change of state.
    Info,
    /// Needs attention.
    Warn,
}

/// A log line; repetitions are throttled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    /// A device was accepted.
    Device {
        /// Serial number of its board.
        serial_number: String,
        /// Its boot.
        boot: Boot,
    },
    /// A device was refused.
    DeviceRefused {
        /// Why, and what to do.
        reason: String,
    },
    /// Reading begins or continues at another slot.
    Resumed { from: Slot },
    /// The stream's end was read.
    TailRead {
        /// The next slot; `None` without a message.
        end: Option<Slot>,
    },
    /// The stream lost what it had acknowledged; it is published again.
    StreamWentBack {
        /// The sequence that was expected.
        expected: u64,
        /// The sequence that was found.
        found: u64,
        /// Slots to publish again from memory; the device has the rest.
        slots: u64,
    },
    /// The last message in SAMPLES is not from this agent.
    Conflict {
        /// What was found.
        found: String,
    },
    /// A message is too large for the server.
    TooLarge {
        /// Its slots.
        slots: u64,
    },
    /// The spool is full: the device is not read.
    SpoolFull {
        /// Slots that wait for the server.
        backlog: u64,
    },
    /// The spool has room again.
    SpoolHasRoom,
    /// The server acknowledges nothing: waiting records go to the spill file.
    Spilling {
        /// Slots that wait.
        backlog: u64,
    },
    /// The spill file is no longer needed.
    SpillDone,
    /// Frames were rejected.
    Rejected {
        /// The last cause.
        cause: Rejection,
        /// Rejections since the start.
        total: u64,
    },
    /// A lease was not sent to the device.
    LeaseDeclined(Declined),
    /// A reset was not sent to the device.
    ResetDeclined(Declined),
    /// The stamps of this boiler jumped.
    ClockJumped { by_ns: i64 },
    /// The device's clock is beyond a crystal's tolerance.
    ClockRate(stamp::Rate),
    /// A sensor became implausible.
    SensorImplausible(Implausible),
    /// A sensor has been plausible again for a minute.
    SensorSound {
        /// Which.
        quantity: Quantity,
    },
}

impl Log {
    /// The severity of the line.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Device { .. }
            | Self::Resumed { .. }
            | Self::TailRead { .. }
            | Self::SpoolHasRoom
            | Self::SpillDone
            | Self::SensorSound { .. } => Level::Info,
            Self::DeviceRefused { .. }
            | Self::StreamWentBack { .. }
            | Self::Conflict { .. }
            | Self::TooLarge { .. }
            | Self::SpoolFull { .. }
            | Self::Spilling { .. }
            | Self::Rejected { .. }
            | Self::LeaseDeclined(_)
            | Self::ResetDeclined(_)
            | Self::ClockJumped { .. }
            | Self::ClockRate(_)
            | Self::SensorImplausible(_) => Level::Warn,
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { serial_number, boot } => write!(f, "device {serial_number} accepted, boot {boot}"),
            Self::DeviceRefused { reason } => write!(f, "device refused: {reason}"),
            Self::Resumed { from } => write!(f, "reading from {from}"),
            Self::TailRead { end: Some(end) } => write!(f, "SAMPLES ends at {end}"),
            Self::TailRead { end: None } => f.write_str("SAMPLES has no message of this boiler"),
            Self::StreamWentBack { expected, found, slots } => {
                write!(
                    f,
                    "SAMPLES lost messages (sequence {expected} → {found}): republishing {slots} slots from memory"
                )
            }
            Self::Conflict { found } => write!(f, "the last message in SAMPLES is not from this agent: {found}"),
            Self::TooLarge { slots: 1 } => f.write_str("one sample is too large for the server, raise its max_payload"),
            Self::TooLarge { slots } => {
                write!(f, "a message of {slots} slots is too large for the server: splitting it")
            }
            Self::SpoolFull { backlog } => write!(f, "the spool is full with {backlog} slots: not reading the device"),
            Self::SpoolHasRoom => f.write_str("the spool has room again"),
            Self::Spilling { backlog } => {
                write!(f, "the server acknowledges nothing: {backlog} slots go to the spill file")
            }
            Self::SpillDone => f.write_str("the spill file is no longer needed"),
            Self::Rejected { cause, total } => write!(f, "frame rejected: {cause} ({total} so far)"),
            Self::LeaseDeclined(declined) => write!(f, "lease not passed on: {declined}"),
            Self::ResetDeclined(declined) => write!(f, "reset not passed on: {declined}"),
            Self::ClockJumped { by_ns } => write!(f, "stamps jumped by {} ms", by_ns / 1_000_000),
            Self::ClockRate(stamp::Rate { ppm, followed: true }) => {
                write!(f, "the device's clock is {ppm} ppm fast: stamps follow it")
            }
            Self::ClockRate(stamp::Rate { ppm, followed: false }) => {
                let max = stamp::RATE_MAX_PPM;
                write!(f, "the device's clock is {ppm} ppm fast, up to ±{max} are followed: slots are lost as `clock`")
            }
            Self::SensorImplausible(it) => write!(f, "{} sensor dropped: {it}", it.quantity),
            Self::SensorSound { quantity } => write!(f, "{quantity} sensor is plausible again"),
        }
    }
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Valid frames.
    pub frames: u64,
    /// Frames thrown away, in the order of [`Rejection::ALL`].
    pub rejected: [u64; 6],
    /// Messages with impossible numbers.
    pub implausible: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples that had been read before.
    pub duplicates: u64,
    /// Holes before received samples or gaps.
    pub holes: u64,
    /// Frames of another boot than the session's.
    pub foreign: u64,
    /// `Identify` sent.
    pub identifies: u64,
    /// `Resume` sent.
    pub resumes: u64,
    /// Devices refused.
    pub refused_devices: u64,
    /// Boots seen.
    pub boots: u64,
    /// Samples dropped because the spool was full; the ring may still hold them.
    pub full: u64,
    /// Batches cut.
    pub batches: u64,
    /// Gaps recorded, from the line or from memory.
    pub gaps: u64,
    /// Messages published, retries included.
    pub publishes: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Refusals of a wrong sequence.
    pub wrong_sequences: u64,
    /// Publishes with an unknown outcome.
    pub unknown: u64,
    /// Records written to the spill file.
    pub spilled: u64,
    /// Syncs of the spill file that failed.
    pub spill_failures: u64,
    /// Records restored from the spill file at the start.
    pub restored: u64,
    /// Oldest records of the spill file for which memory had no room.
    pub unrestored: u64,
    /// Messages that were too large for the server.
    pub too_large: u64,
    /// Times that the stream lost what it had acknowledged.
    pub rollbacks: u64,
    /// Times that the last message in SAMPLES was not from this agent.
    pub conflicts: u64,
    /// Jumps of the stamps.
    pub clock_jumps: u64,
    /// Changes of the device's fault that were not published because of the rate limit.
    pub faults_unreported: u64,
    /// Set-points, releases and resets sent.
    pub requests: u64,
    /// Leases and resets not sent.
    pub declined: u64,
}

/// What the parts of an agent request, log and count in a step.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
    pub(super) counters: Counters,
    /// When a line of each kind was logged last.
    logged: Vec<(Discriminant<Log>, Monotonic)>,
    log_every: Duration,
}

impl Out {
    pub(super) fn new(log_every: Duration) -> Self {
        let counters = Counters::default();
        Self { now: Now::default(), effects: Vec::new(), counters, logged: Vec::new(), log_every }
    }

    /// Logs, unless a line of the same kind was logged recently.
    pub(super) fn log(&mut self, log: Log) {
        let (kind, now) = (discriminant(&log), self.now.monotonic);
        match self.logged.iter_mut().find(|(logged, _)| *logged == kind) {
            Some((_, at)) if now.since(*at) < self.log_every => return,
            Some((_, at)) => *at = now,
            None => self.logged.push((kind, now)),
        }
        self.effects.push(Effect::Log(log));
    }

    pub(super) fn event(&mut self, kind: EventKind, body: published::EventBody) {
        self.effects.push(Effect::Event(kind, Box::new(body)));
    }
}
