//! The rules for an operator's approval of a reset.

use alloc::string::String;
use alloc::vec::Vec;

use thermowell_wire::line::{Fault, FaultKind};
use thermowell_wire::{BoilerId, Occurrence, OperatorName};

use super::{APPROVAL_AGE_MAX, Vote};
use crate::command::{self, fresh, names, reachable, show};
use crate::published::{Approval, FreshnessLimits, Reset, Status};
use crate::time::Utc;

/// The data on which an approval is decided.
#[derive(Clone, Debug)]
pub struct Approving<'a> {
    pub boiler: &'a BoilerId,
    /// The fault to reset.
    pub fault: Occurrence,
    pub by: &'a OperatorName,
    /// The configured operators.
    pub operators: &'a [OperatorName],
    /// Control is enabled.
    pub control: bool,
    /// The last status.
    pub status: Option<&'a Status>,
    /// The age limits of the status.
    pub freshness: FreshnessLimits,
    /// Each operator's newest approval of this fault.
    pub votes: &'a [Vote],
    /// The reset, if it was already ordered.
    pub reset: Option<&'a Reset>,
}

/// Why an approval is refused, and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The rules shared with commands: boiler, operator, status.
    #[error(transparent)]
    Rule(command::Refusal),
    /// Control is disabled.
    #[error("control is off, nothing is ever sent to a boiler; set enabled = true in [control]")]
    ControlOff,
    /// The boiler has another fault, or none.
    #[error("boiler {boiler} has no fault {fault}; {actual}")]
    NoSuchFault {
        boiler: BoilerId,
        /// The fault of the approval.
        fault: Occurrence,
        /// A description of the active fault.
        actual: String,
    },
    /// It ends without a reset.
    #[error("fault {fault} ({kind}) passes by itself; only a lockout is reset")]
    NoLockout { fault: Occurrence, kind: FaultKind },
    /// It must be inspected first.
    #[error("fault {fault} ({kind}) can only be reset at the boiler, after an inspection")]
    LocalOnly { fault: Occurrence, kind: FaultKind },
    /// The same operator has approved already.
    #[error("{by} approved {} ago; it counts for 15 min, and another operator must approve too: {others}", show(*age))]
    Twice {
        by: OperatorName,
        /// Age of the first approval.
        age: core::time::Duration,
        /// The other operators.
        others: String,
    },
    /// The reset was ordered already.
    #[error("the reset of fault {fault} was ordered already, and there is one for each fault; look at its events")]
    Ordered { fault: Occurrence },
}

/// The approval to publish.
///
/// # Errors
/// [`Refusal`]: an operating condition.
pub fn approve(now: Utc, on: &Approving<'_>) -> Result<Approval, Refusal> {
    if !on.control {
        return Err(Refusal::ControlOff);
    }
    let kind = reported_lockout(now, on)?.kind;
    let fault = on.fault;
    if kind.is_local_only() {
        return Err(Refusal::LocalOnly { fault, kind });
    }
    if on.reset.is_some() {
        return Err(Refusal::Ordered { fault });
    }
    if let Some(own) = on.votes.iter().find(|vote| vote.approved.by == *on.by && vote.age <= APPROVAL_AGE_MAX) {
        let others: Vec<&str> = on.operators.iter().filter(|name| *name != on.by).map(OperatorName::as_str).collect();
        let others = names(others.into_iter());
        return Err(Refusal::Twice { by: on.by.clone(), age: own.age, others });
    }
    Ok(Approval {
        boiler: on.boiler.clone(),
        fault,
        kind,
        by: on.by.clone(),
        created_at: now.unix_seconds(),
        version: 1,
    })
}

/// The lockout of the approval, as the device reports it now.
fn reported_lockout(now: Utc, on: &Approving<'_>) -> Result<Fault, Refusal> {
    let nothing = || command::Refusal::Nothing { boiler: on.boiler.clone(), what: "status", by: "the agent" };
    let status = on.status.ok_or_else(nothing).map_err(Refusal::Rule)?;
    fresh(now, "status", status.created_at, &on.freshness).map_err(Refusal::Rule)?;
    let device = reachable(status).map_err(Refusal::Rule)?;
    let (boiler, fault) = (on.boiler.clone(), on.fault);
    match device.fault {
        Some(found) if Occurrence::from(found) == fault && found.lockout => Ok(found),
        Some(found) if Occurrence::from(found) == fault => Err(Refusal::NoLockout { fault, kind: found.kind }),
        Some(found) => {
            let actual = alloc::format!("its fault is {} ({})", Occurrence::from(found), found.kind);
            Err(Refusal::NoSuchFault { boiler, fault, actual })
        }
        None => Err(Refusal::NoSuchFault { boiler, fault, actual: "it has no fault".into() }),
    }
}
