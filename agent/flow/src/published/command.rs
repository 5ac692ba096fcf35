//! Commands, approvals and resets of operators: the JSON of COMMAND.
//!
//! | subject | holds | written by |
//! |---|---|---|
//! | `boiler.{id}.command.{command}.{operator}` | one [`Command`], at most once | this operator alone |
//! | `boiler.{id}.approval.{fault}.{operator}` | [`Approval`]s | this operator alone |
//! | `boiler.{id}.reset.{fault}` | [`Reset`]s | the agent, after the approvals on which it is based |

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thermowell_wire::line::FaultKind;
use thermowell_wire::subject;
use thermowell_wire::{BoilerId, CommandId, Occurrence, OperatorName, Slot};

/// Longest command that runs the burner harder than the control law would: an hour, then it must be given again.
const HEAT_LONGEST: Duration = Duration::from_secs(60 * 60);
/// Longest set-back: an absence of two months. Rooms are not set back below 5 °C.
const SET_BACK_LONGEST: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// `boiler.{id}.command.{command}.{operator}`: an operator's command that passed every rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// The id in the subject, never reused.
    pub id: CommandId,
    pub boiler: BoilerId,
    /// The operator, as in the subject: see [`Command::is_at`].
    pub by: OperatorName,
    #[serde(flatten)]
    pub action: Action,
    /// When it was accepted, Unix seconds; informational, not used for ordering.
    pub created_at: f64,
    /// When it ends, Unix seconds; null for a release, which takes effect at once.
    pub valid_until: Option<f64>,
    /// The data on which the rules were checked; null for a release, which is never refused.
    pub based_on: Option<BasedOn>,
    pub version: u8,
}

impl Command {
    /// Whether it is in effect at `now_s`, Unix seconds, unless a later one has replaced it. A release never is.
    #[must_use]
    pub fn is_active(&self, now_s: f64) -> bool {
        self.action != Action::Release && self.valid_until.is_some_and(|until| now_s < until)
    }

    /// Whether `subject` is this command's own, to which only its operator may publish. Commands from before the
    /// operator was in the subject count too: no user may publish there any more.
    #[must_use]
    pub fn is_at(&self, subject: &str) -> bool {
        let own = subject::command(&self.boiler, &self.id, &self.by);
        own == subject || own.rsplit_once('.').is_some_and(|(before, _)| before == subject)
    }
}

/// The requested action. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Heat with this flow temperature.
    Boost {
        /// °C.
        flow: f64,
    },
    /// Lower the room temperature.
    SetBack {
        /// Room temperature, °C.
        room: f64,
    },
    /// Heat with this flow temperature for hot water.
    HotWater {
        /// °C.
        flow: f64,
    },
    /// Keep the current set-point.
    Hold,
    /// End the active command and return to the control law.
    Release,
}

impl Action {
    /// The name in JSON and on the command line.
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

    /// The temperature of the action, °C.
    #[must_use]
    pub fn temperature(&self) -> Option<f64> {
        match self {
            Self::Boost { flow } | Self::HotWater { flow } => Some(*flow),
            Self::SetBack { room } => Some(*room),
            Self::Hold | Self::Release => None,
        }
    }

    /// The longest allowed duration, checked on acceptance and by the controller.
    #[must_use]
    pub fn longest(&self) -> Duration {
        match self {
            Self::SetBack { .. } => SET_BACK_LONGEST,
            Self::Boost { .. } | Self::HotWater { .. } | Self::Hold | Self::Release => HEAT_LONGEST,
        }
    }
}

/// The data on which the rules were checked: its sequences and its values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BasedOn {
    /// Sequence in STATE. The stream is kept in memory: its sequences restart with the server.
    pub state: u64,
    /// Sequence in STATUS, which is kept in memory too.
    pub status: u64,
    /// Sequence in COMMAND of the boiler's previous command; 0 without one.
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

/// `boiler.{id}.approval.{fault}.{operator}`: an operator approves a reset. The operator is that of the subject, and
/// the time is that of the stream: both are checked or set by the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    pub boiler: BoilerId,
    /// The occurrence of the fault.
    pub fault: Occurrence,
    pub kind: FaultKind,
    /// The approving operator, as in the subject.
    pub by: OperatorName,
    /// Unix seconds; informational.
    pub created_at: f64,
    pub version: u8,
}

/// `boiler.{id}.reset.{fault}`: the order to reset the lockout, once for these approvals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reset {
    pub boiler: BoilerId,
    /// The occurrence of the fault.
    pub fault: Occurrence,
    pub kind: FaultKind,
    /// The approvals on which it is based, in their order in COMMAND; all precede it.
    pub approvals: Vec<Approved>,
    /// The gateway that ordered it.
    pub instance: String,
    /// Unix seconds; informational.
    pub created_at: f64,
    /// Until when it may be sent to the device, Unix seconds.
    pub valid_until: f64,
    pub version: u8,
}

/// One approval on which a [`Reset`] is based.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approved {
    pub by: OperatorName,
    /// Sequence in COMMAND.
    pub sequence: u64,
    /// When the server stored it, Unix seconds.
    pub at: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_of_the_operator_in_its_subject() {
        let text = r#"{"id":"x1","boiler":"b1","by":"anna","action":"release","created_at":1.0,"version":1}"#;
        let command: Command = serde_json::from_str(text).unwrap();
        assert!(command.is_at("boiler.b1.command.x1.anna"));
        assert!(command.is_at("boiler.b1.command.x1"), "from before the operator was in the subject");
        for other in ["x1.ben", "x1.ann", "x2.anna", "x1.anna.x", "x2", "x1."] {
            assert!(!command.is_at(&alloc::format!("boiler.b1.command.{other}")), "{other}");
        }
        assert!(!command.is_at("boiler.b2.command.x1.anna"));
    }
}
