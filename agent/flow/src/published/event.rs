//! What happened: the JSON of `boiler.{id}.event.{kind}`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thermowell_wire::line::{self, BoilerState, Demand, Fault, FaultKind, Refusal};
use thermowell_wire::{BoilerId, Boot, CommandId, Occurrence, OperatorName, Slot};

use super::{Action, Approved, Snapshot};
use crate::plausible::Quantity;

/// `boiler.{id}.event.{kind}`: something happened. The last token of the subject is the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The boiler.
    pub boiler: BoilerId,
    /// When, Unix seconds.
    pub created_at: f64,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. Append only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name")]
pub enum EventBody {
    /// A start of the firmware that the agent had not seen.
    BootSeen {
        /// It.
        boot: Boot,
        /// Serial number of the board.
        serial_number: String,
        /// Name and version of the firmware.
        firmware: String,
    },
    /// Slots that will never arrive.
    GapNamed {
        /// In this boot.
        boot: Boot,
        /// The first.
        from: u64,
        /// The slot behind the last.
        to: u64,
        /// Why, as in the snapshot's `missing`.
        reason: String,
    },
    /// The device is not the one that this boiler is bound to, or speaks a newer protocol.
    DeviceRefused {
        /// Serial number of the board.
        serial_number: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The end of the stream is not where the last acknowledgement left it.
    StreamWentBack {
        /// The sequence that was expected.
        expected: u64,
        /// The sequence that was found; 0 is none.
        found: u64,
    },
    /// The end of the stream is not ours: this boiler stands still until somebody looks.
    Conflict {
        /// What was found there.
        found: String,
    },
    /// A spill file could not be used, or not wholly: it lies aside.
    SpillFilePutAside {
        /// Where.
        file: String,
        /// Why.
        reason: String,
    },
    /// The stamps of this boiler jumped.
    ClockJumped {
        /// By how much, nanoseconds; positive is forward.
        by_ns: i64,
    },
    /// The device's clock is beyond a crystal's tolerance.
    ClockRate {
        /// How fast it runs against this machine's, parts per million; positive is fast.
        ppm: i64,
        /// Stamps follow it; else they jump every 10 s, and slots are lost as `clock`.
        followed: bool,
    },
    /// The device answered a request.
    Answered {
        /// The number of the request.
        n: u32,
        /// What became of it.
        outcome: Outcome,
    },
    /// A stored snapshot differs from its recomputation: the stored one stands.
    SnapshotDiffers {
        /// What was recomputed.
        recomputed: Box<Snapshot>,
    },
    /// What the controller decided, with what it knew.
    Decided(Decision),
    /// An operator took the boiler out of SAMPLES: what is stored stays until its age ends it.
    Retired {
        /// The sequence of its last message there; 0 is none.
        last: u64,
        /// The gateway on which that was done.
        gateway: String,
    },
    /// An operator accepted another board in the place of the one whose history this is.
    BoardAccepted {
        /// Its serial number.
        serial_number: String,
        /// [`thermowell_wire::device_id`] of the board before.
        instead_of: u32,
        /// The sequence of that board's last message in SAMPLES then.
        last: u64,
        /// The gateway on which that was done.
        gateway: String,
    },
    /// An operator's command stands in COMMAND.
    CommandAccepted {
        /// Its id.
        id: CommandId,
        /// Who asked.
        by: OperatorName,
        /// What is asked for.
        #[serde(flatten)]
        action: Action,
        /// When it ends, Unix seconds.
        valid_until: Option<f64>,
        /// Its sequence in COMMAND.
        sequence: u64,
    },
    /// An operator's command was refused.
    CommandRefused {
        /// Its id.
        id: CommandId,
        /// Who asked.
        by: OperatorName,
        /// What was asked for.
        #[serde(flatten)]
        action: Action,
        /// Why, and what is allowed.
        reason: String,
    },
    /// An operator approved of the reset of a fault.
    ResetApproved {
        /// The occurrence.
        fault: Occurrence,
        /// What it is.
        kind: FaultKind,
        /// Who approved.
        by: OperatorName,
        /// The approval's sequence in COMMAND.
        sequence: u64,
    },
    /// An operator's approval of a reset was refused.
    ResetRefused {
        /// The occurrence.
        fault: Occurrence,
        /// Who wanted to approve.
        by: OperatorName,
        /// Why, and what is allowed.
        reason: String,
    },
    /// Enough people approved: the reset stands in COMMAND.
    ResetOrdered {
        /// The occurrence.
        fault: Occurrence,
        /// What it is.
        kind: FaultKind,
        /// Who approved, and when.
        approvals: Vec<Approved>,
        /// The reset's sequence in COMMAND.
        sequence: u64,
    },
    /// The device answered a reset.
    ResetAnswered {
        /// The occurrence.
        fault: Occurrence,
        /// The number of the request.
        n: u32,
        /// What became of it.
        outcome: Outcome,
    },
    /// A reset was not handed to the device, or the device never answered it: it will not be tried again.
    ResetDropped {
        /// The occurrence.
        fault: Occurrence,
        /// Why.
        reason: String,
    },
    /// The burner starts more than three times an hour for the rooms: it wears out.
    BurnerCycles {
        /// Starts within the last hour, at least.
        starts: u32,
    },
    /// The device reports a fault that it did not report before.
    FaultBegan(FaultReport),
    /// The fault that it reports does not pass by itself any more.
    FaultLockedOut(FaultReport),
    /// It does not report the fault any more.
    FaultEnded(FaultReport),
    /// A sensor reads what cannot be: its value is null in STATUS until it is sound.
    SensorImplausible {
        /// Which.
        quantity: Quantity,
        /// What it reads, °C; of a pressure mbar.
        value: f64,
        /// Why that is not believed, and what is allowed.
        reason: String,
    },
    /// The sensor has been sound for a minute.
    SensorSound {
        /// Which.
        quantity: Quantity,
    },
}

/// What became of a set-point, release or reset: the device's answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, within the device's limits.
    Accepted {
        /// The flow temperature that is held now, °C.
        flow: f64,
        /// The lease that was given, in seconds.
        lease_s: u16,
    },
    /// Not done.
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

/// One occurrence of a fault, and what the device says beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultReport {
    /// The occurrence.
    pub fault: Occurrence,
    /// What it is.
    pub kind: FaultKind,
    /// It needs a reset; the others pass by themselves.
    pub lockout: bool,
    /// What the boiler is doing.
    pub state: BoilerState,
    /// The slot that the device sampled next then: the place among the samples.
    pub slot: Slot,
}

impl FaultReport {
    /// The fault as the device names it.
    #[must_use]
    pub fn as_fault(&self) -> Fault {
        let Self { fault: Occurrence { boot, counter }, kind, lockout, .. } = *self;
        Fault { boot, counter, kind, lockout }
    }
}

/// One decision of the controller: inputs, rule, result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Why, as a stable word: `law`, `warming`, `coasting`, `fault`, `no_heat_wanted`, `hot_water`, …
    pub rule: String,
    /// Heat, no heat, or nothing asked.
    pub demand: Option<Demand>,
    /// The flow temperature asked for, °C.
    pub flow: Option<f64>,
    /// T*: the wish before the hour's correction, °C.
    pub wish: Option<f64>,
    /// The correction u, K.
    pub correction: f64,
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
    /// Outdoor temperature through the low-pass, °C.
    pub outdoor: Option<f64>,
    /// What the room should have, °C.
    pub target: f64,
    /// The newest slot that it knew.
    pub based_on: Option<Slot>,
    /// The operator's command that stood behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandId>,
}
