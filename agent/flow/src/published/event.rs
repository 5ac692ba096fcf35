//! Events: the JSON of `boiler.{id}.event.{kind}`.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thermowell_wire::line::{self, BoilerState, Demand, Fault, FaultKind, Refusal};
use thermowell_wire::{BoilerId, Boot, CommandId, Occurrence, OperatorName, Slot, SourceName};

use super::{Action, Approved, Snapshot};
use crate::plausible::{Change, Quantity};

/// `boiler.{id}.event.{kind}`. The last token of the subject is the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    pub boiler: BoilerId,
    /// Unix seconds.
    pub created_at: f64,
    #[serde(flatten)]
    pub body: EventBody,
}

/// The body of an event. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "name")]
pub enum EventBody {
    /// A boot of the firmware that is new to the stream.
    BootSeen {
        boot: Boot,
        /// Serial number of the board.
        serial_number: String,
        /// Name and version of the firmware.
        firmware: String,
    },
    /// Slots that will never arrive.
    GapNamed {
        /// The boot of the slots.
        boot: Boot,
        from: u64,
        /// The slot after the last missing one.
        to: u64,
        /// The reason, as in the snapshot's `missing`.
        reason: String,
    },
    /// The device is not the one to which this boiler is bound, or has a newer protocol.
    DeviceRefused {
        /// Serial number of the board.
        serial_number: String,
        /// The cause, and what to do.
        reason: String,
    },
    /// The end of the stream is before the last acknowledged message.
    StreamWentBack {
        /// The sequence that was expected.
        expected: u64,
        /// The sequence that was found; 0 if empty.
        found: u64,
    },
    /// The end of the stream is not ours: this boiler is stopped until an operator intervenes.
    Conflict {
        /// What was found there.
        found: String,
    },
    /// A spill file could not be used completely and was moved aside.
    SpillFilePutAside { file: String, reason: String },
    /// The stamps of this boiler jumped.
    ClockJumped {
        /// By how much, nanoseconds; positive is forward.
        by_ns: i64,
    },
    /// The device's clock is outside a crystal's tolerance.
    ClockRate {
        /// Its rate against this machine's clock, parts per million; positive is fast.
        ppm: i64,
        /// Whether stamps follow it; otherwise they jump every 10 s, and slots are lost as `clock`.
        followed: bool,
    },
    /// The device answered a request.
    Answered {
        /// The number of the request.
        n: u32,
        outcome: Outcome,
    },
    /// A stored snapshot differs from its recomputation. The stored one is kept.
    SnapshotDiffers { recomputed: Box<Snapshot> },
    /// A decision of the controller and its inputs.
    Decided(Box<Decision>),
    /// An operator retired the boiler: its stored messages remain until they expire.
    Retired {
        /// The sequence of its last message in SAMPLES; 0 without one.
        last: u64,
        /// The gateway on which this was done.
        gateway: String,
    },
    /// An operator accepted a replacement of the board.
    BoardAccepted {
        /// Serial number of the new board.
        serial_number: String,
        /// [`thermowell_wire::device_id`] of the replaced board.
        instead_of: u32,
        /// The sequence of the replaced board's last message in SAMPLES.
        last: u64,
        /// The gateway on which this was done.
        gateway: String,
    },
    /// An operator's command was stored in COMMAND.
    CommandAccepted {
        id: CommandId,
        by: OperatorName,
        #[serde(flatten)]
        action: Action,
        /// When it ends, Unix seconds.
        valid_until: Option<f64>,
        /// Its sequence in COMMAND.
        sequence: u64,
    },
    /// An operator's command was refused.
    CommandRefused {
        id: CommandId,
        by: OperatorName,
        #[serde(flatten)]
        action: Action,
        /// The cause, and what is allowed.
        reason: String,
    },
    /// An operator approved the reset of a fault.
    ResetApproved {
        fault: Occurrence,
        kind: FaultKind,
        by: OperatorName,
        /// The approval's sequence in COMMAND.
        sequence: u64,
    },
    /// An operator's approval of a reset was refused.
    ResetRefused {
        fault: Occurrence,
        /// The operator who tried to approve.
        by: OperatorName,
        /// The cause, and what is allowed.
        reason: String,
    },
    /// Enough operators approved: the reset was stored in COMMAND.
    ResetOrdered {
        fault: Occurrence,
        kind: FaultKind,
        /// The approvals, in their order in COMMAND.
        approvals: Vec<Approved>,
        /// The reset's sequence in COMMAND.
        sequence: u64,
    },
    /// The device answered a reset.
    ResetAnswered {
        fault: Occurrence,
        /// The number of the request.
        n: u32,
        outcome: Outcome,
    },
    /// A reset was not sent to the device, or not answered: it will not be retried.
    ResetDropped { fault: Occurrence, reason: String },
    /// The burner starts more than three times an hour for the rooms, which wears it out.
    BurnerCycles {
        /// Starts within the last hour, at least.
        starts: u32,
    },
    /// The boiler has delivered less than it was asked for, for two hours and longer.
    DeliversLess(Deficit),
    /// It delivers what it is asked for again, or has not heated for a day.
    DeliversAgain(Deficit),
    /// The device reports a new fault.
    FaultBegan(FaultReport),
    /// The reported fault has become a lockout.
    FaultLockedOut(FaultReport),
    /// The device no longer reports the fault.
    FaultEnded(FaultReport),
    /// A sensor became implausible: its value is not used, and null in STATUS, until it is plausible again.
    SensorImplausible {
        quantity: Quantity,
        /// The reading, °C or mbar.
        value: f64,
        /// Why it is implausible, and what is allowed.
        reason: String,
        /// The source, if it is not the device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<SourceName>,
    },
    /// The sensor has been plausible again for a minute.
    SensorSound {
        quantity: Quantity,
        /// The source, if it is not the device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<SourceName>,
    },
}

impl EventBody {
    /// A sensor's change; `source` is its source, if it is not the device.
    #[must_use]
    pub fn sensor(change: Change, source: Option<SourceName>) -> Self {
        match change {
            Change::Began(it) => {
                let (quantity, value, reason) = (it.quantity, it.reads(), it.to_string());
                Self::SensorImplausible { quantity, value, reason, source }
            }
            Change::Ended(quantity) => Self::SensorSound { quantity, source },
        }
    }
}

/// The device's answer to a set-point, release or reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted, within the device's limits.
    Accepted {
        /// The flow temperature that is held now, °C.
        flow: f64,
        /// The granted lease, in seconds.
        lease_s: u16,
    },
    Refused(Refusal),
}

impl From<line::Outcome> for Outcome {
    fn from(outcome: line::Outcome) -> Self {
        match outcome {
            line::Outcome::Accepted { flow, lease_s } => Self::Accepted { flow: flow.celsius(), lease_s },
            line::Outcome::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

/// One occurrence of a fault, with the state of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FaultReport {
    pub fault: Occurrence,
    pub kind: FaultKind,
    /// It needs a reset; other faults end with their cause.
    pub lockout: bool,
    pub state: BoilerState,
    /// The slot that the device was to sample next: the position among the samples.
    pub slot: Slot,
}

impl FaultReport {
    /// The fault as reported by the device.
    #[must_use]
    pub fn as_fault(&self) -> Fault {
        let Self { fault: Occurrence { boot, counter }, kind, lockout, .. } = *self;
        Fault { boot, counter, kind, lockout }
    }
}

/// One decision of the controller: inputs, rule, result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// The rule, as a stable word: `law`, `warming`, `coasting`, `fault`, `no_heat_wanted`, `hot_water`, …
    pub rule: String,
    /// Heat, no heat, or null without a request.
    pub demand: Option<Demand>,
    /// The requested flow temperature, °C.
    pub flow: Option<f64>,
    /// T*: the target before the hour's correction, °C.
    pub wish: Option<f64>,
    /// The hour's correction u, K.
    pub correction: f64,
    /// The integral of the room's error, a part of `wish`, K.
    #[serde(default)]
    pub integral: f64,
    /// Flow temperature through the 60 s low-pass, °C.
    pub current: Option<f64>,
    /// Mean over the last hour's heating seconds, °C.
    pub average: Option<f64>,
    /// Mean set-point over the same seconds, °C.
    pub asked: Option<f64>,
    /// Heating seconds ÷ 3,600.
    pub share: f64,
    /// Room temperature, °C.
    pub room: Option<f64>,
    /// Its source, if that is not the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_source: Option<SourceName>,
    /// Outdoor temperature through the low-pass, °C.
    pub outdoor: Option<f64>,
    /// Its source, if that is not the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdoor_source: Option<SourceName>,
    /// The outdoor temperature of the day, through a low-pass of 24 h, °C: compared with the heating limit.
    #[serde(default)]
    pub outdoor_day: Option<f64>,
    /// Hours of readings in it, at most 24.
    #[serde(default)]
    pub outdoor_day_hours: f64,
    /// It is colder than the heating limit; null before the outdoor temperature was known.
    #[serde(default)]
    pub heating_season: Option<bool>,
    /// Target of the room temperature, °C: already that of the forecast, once `heats_from` has passed.
    pub target: f64,
    /// A higher target within a day, with a known room temperature and below the heating limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// How fast the rooms have warmed up lately, K/h; null before that was measured.
    #[serde(default)]
    pub warm_up: Option<f64>,
    /// The newest slot known at the decision.
    pub based_on: Option<Slot>,
    /// The operator's command on which it is based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
    /// The boiler delivers less than it is asked for: only while that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deficit: Option<Deficit>,
}

/// The next higher target of the room temperature, and when heating for it begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Forecast {
    /// The target, °C.
    pub target: f64,
    /// From when on, Unix seconds.
    pub at: f64,
    /// When heating for it begins, Unix seconds: an estimate until then.
    pub heats_from: f64,
}

impl Forecast {
    /// The same target, and heating begins within a quarter of an hour.
    pub(crate) fn is_near(&self, other: &Self) -> bool {
        const NEAR_S: f64 = 900.0;
        let is_same = Self { heats_from: self.heats_from, ..*other } == *self;
        is_same && (other.heats_from - self.heats_from).abs() < NEAR_S
    }
}

/// How much less than asked a boiler delivers: the mean set-point less the mean flow temperature, over the heating
/// seconds of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Deficit {
    /// The difference, K.
    pub kelvin: f64,
    /// Heating seconds of the hour ÷ 3,600.
    pub share: f64,
    /// For how long, hours.
    pub hours: f64,
}
