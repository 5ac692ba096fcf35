//! What people ask for: the JSON of COMMAND.
//!
//! | subject | holds | written by |
//! |---|---|---|
//! | `boiler.{id}.command.{command}` | one [`Command`], once for ever | the operator whom it names in `by` |
//! | `boiler.{id}.approval.{fault}.{operator}` | [`Approval`]s | this operator alone |
//! | `boiler.{id}.reset.{fault}` | [`Reset`]s | the agent, behind the approvals that it rests on |

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thermowell_wire::line::FaultKind;
use thermowell_wire::{BoilerId, CommandId, Occurrence, OperatorName, Slot};

/// What runs the burner harder than the law wants: an hour, and then somebody has to want it again.
const HEAT_LONGEST: Duration = Duration::from_secs(60 * 60);
/// A week away. Whoever is away for longer changes the schedule.
const SET_BACK_LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `boiler.{id}.command.{command}`: what an operator asks for; it stands here because every rule allowed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// Its name for ever, as in the subject.
    pub id: CommandId,
    /// The boiler.
    pub boiler: BoilerId,
    /// Who asks.
    pub by: OperatorName,
    /// What is asked for.
    #[serde(flatten)]
    pub action: Action,
    /// When it was accepted, Unix seconds; for people, never for order.
    pub created_at: f64,
    /// When it ends, Unix seconds; none of a release, which begins nothing.
    pub valid_until: Option<f64>,
    /// What the rules were checked with; none of a release, which no rule can refuse.
    pub based_on: Option<BasedOn>,
    /// Of this layout.
    pub version: u8,
}

/// What is asked for. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Heat with this flow temperature.
    Boost {
        /// °C.
        flow: f64,
    },
    /// Want the rooms cooler.
    SetBack {
        /// Room temperature, °C.
        room: f64,
    },
    /// Heat with this flow temperature for the tap.
    HotWater {
        /// °C.
        flow: f64,
    },
    /// Keep asking for what is asked for now.
    Hold,
    /// End what stands, and go back to the control law.
    Release,
}

impl Action {
    /// The word for it, as in the JSON and on the command line.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Boost { .. } => "boost",
            Self::SetBack { .. } => "set-back",
            Self::HotWater { .. } => "hot-water",
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }

    /// The temperature in it, °C.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        match self {
            Self::Boost { flow } | Self::HotWater { flow } => Some(*flow),
            Self::SetBack { room } => Some(*room),
            Self::Hold | Self::Release => None,
        }
    }

    /// The longest that it may stand: for whoever allows it and for whoever acts on it.
    #[must_use]
    pub fn longest(&self) -> Duration {
        match self {
            Self::SetBack { .. } => SET_BACK_LONGEST,
            Self::Boost { .. } | Self::HotWater { .. } | Self::Hold | Self::Release => HEAT_LONGEST,
        }
    }
}

/// What the rules were checked with: where it was read, and what it said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BasedOn {
    /// Sequence in STATE. It lives in memory: after a restart of the server it begins anew.
    pub state: u64,
    /// Sequence in STATUS, which lives in memory too.
    pub status: u64,
    /// Sequence in COMMAND of the boiler's last command, behind which this one was published; 0 is none.
    pub command: u64,
    /// The newest slot.
    pub slot: Slot,
    /// Flow temperature, °C.
    pub current: f64,
    /// Mean of the last hour, °C.
    pub average: f64,
    /// Valid time in the last hour ÷ the hour.
    pub coverage: f64,
}

/// `boiler.{id}.approval.{fault}.{operator}`: an operator approves of a reset. Whose it is stands in the subject,
/// and when it was given is the time that the stream gave it: both are the server's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    /// The boiler.
    pub boiler: BoilerId,
    /// The occurrence of the fault.
    pub fault: Occurrence,
    /// What the fault is.
    pub kind: FaultKind,
    /// Who approves, as in the subject.
    pub by: OperatorName,
    /// When, Unix seconds; for people.
    pub created_at: f64,
    /// Of this layout.
    pub version: u8,
}

/// `boiler.{id}.reset.{fault}`: the lockout is reset, once for these approvals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reset {
    /// The boiler.
    pub boiler: BoilerId,
    /// The occurrence of the fault.
    pub fault: Occurrence,
    /// What the fault is.
    pub kind: FaultKind,
    /// Whose approvals it rests on, in their order in COMMAND; all of them stand before it.
    pub approvals: Vec<Approved>,
    /// The gateway that ordered it.
    pub instance: String,
    /// When, Unix seconds; for people.
    pub created_at: f64,
    /// Until when it may be handed to the device, Unix seconds.
    pub valid_until: f64,
    /// Of this layout.
    pub version: u8,
}

/// One approval that a [`Reset`] rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approved {
    /// Who.
    pub by: OperatorName,
    /// Sequence in COMMAND.
    pub sequence: u64,
    /// When the server took it, Unix seconds.
    pub at: f64,
}
