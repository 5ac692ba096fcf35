//! Whether somebody may approve of a reset now.

use alloc::string::String;
use alloc::vec::Vec;

use thermowell_wire::line::{Fault, FaultKind};
use thermowell_wire::{BoilerId, Occurrence, OperatorName};

use super::{APPROVAL_AGE_MAX, Vote};
use crate::command::{self, fresh, names, reachable, show};
use crate::published::{Approval, FreshnessLimits, Reset, Status};
use crate::time::Utc;

/// What an approval is decided on.
#[derive(Clone, Debug)]
pub struct Approving<'a> {
    /// The boiler.
    pub boiler: &'a BoilerId,
    /// The fault that is meant.
    pub fault: Occurrence,
    /// Who approves.
    pub by: &'a OperatorName,
    /// Those who could.
    pub operators: &'a [OperatorName],
    /// Requests are sent to boilers at all.
    pub control: bool,
    /// The last status.
    pub status: Option<&'a Status>,
    /// When it is too old.
    pub freshness: FreshnessLimits,
    /// Each operator's newest approval of this fault.
    pub votes: &'a [Vote],
    /// The reset, where it was ordered.
    pub reset: Option<&'a Reset>,
}

/// Why not, and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// As for a command: who, where, and what is known.
    #[error(transparent)]
    Rule(command::Refusal),
    /// Nothing is sent to the boiler.
    #[error("control is off, nothing is ever sent to a boiler; set enabled = true in [control]")]
    ControlOff,
    /// Another fault stands, or none.
    #[error("boiler {boiler} has no fault {fault}; {stands}")]
    NoSuchFault {
        /// The boiler.
        boiler: BoilerId,
        /// What was meant.
        fault: Occurrence,
        /// What stands instead.
        stands: String,
    },
    /// It passes by itself.
    #[error("fault {fault} ({}) passes by itself; only a lockout is reset", kind.word())]
    NoLockout {
        /// The fault.
        fault: Occurrence,
        /// What it is.
        kind: FaultKind,
    },
    /// Somebody has to look first.
    #[error("fault {fault} ({}) is reset at the boiler alone, by somebody who has looked at it", kind.word())]
    LocalOnly {
        /// The fault.
        fault: Occurrence,
        /// What it is.
        kind: FaultKind,
    },
    /// The same person, again.
    #[error("{by} approved {} ago; it counts for 15 min, and somebody else must approve too: {others}", show(*age))]
    Twice {
        /// Who.
        by: OperatorName,
        /// When.
        age: core::time::Duration,
        /// Who else could.
        others: String,
    },
    /// It was ordered.
    #[error("the reset of fault {fault} was ordered already, and there is one for each fault; look at its events")]
    Ordered {
        /// The fault.
        fault: Occurrence,
    },
}

/// The approval that may be published, or why there is none.
///
/// # Errors
/// See [`Refusal`]: operating conditions.
pub fn approve(now: Utc, on: &Approving<'_>) -> Result<Approval, Refusal> {
    if !on.control {
        return Err(Refusal::ControlOff);
    }
    let kind = standing(now, on)?.kind;
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

/// The lockout that is meant, as the device reports it now.
fn standing(now: Utc, on: &Approving<'_>) -> Result<Fault, Refusal> {
    let nothing = || command::Refusal::Nothing { boiler: on.boiler.clone(), what: "status", by: "the agent" };
    let status = on.status.ok_or_else(nothing).map_err(Refusal::Rule)?;
    fresh(now, "status", status.created_at, &on.freshness).map_err(Refusal::Rule)?;
    let device = reachable(status).map_err(Refusal::Rule)?;
    let (boiler, fault) = (on.boiler.clone(), on.fault);
    match device.fault {
        Some(found) if Occurrence::from(found) == fault && found.lockout => Ok(found),
        Some(found) if Occurrence::from(found) == fault => Err(Refusal::NoLockout { fault, kind: found.kind }),
        Some(found) => {
            let stands = alloc::format!("{} ({}) stands", Occurrence::from(found), found.kind.word());
            Err(Refusal::NoSuchFault { boiler, fault, stands })
        }
        None => Err(Refusal::NoSuchFault { boiler, fault, stands: "none stands".into() }),
    }
}
