//! `thermowell reset`: shows or approves the reset of a lockout.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;
use thermowell_flow::published::{Approval, Freshness};
use thermowell_wire::{BoilerId, Occurrence, OperatorName};

use super::{Exit, Outcome, Source, command, print, print_refusal, show};
use crate::output::Report;
use crate::quantity::moment;
use crate::reset::{self, Answer, Standing};
use crate::status::{age, judge};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell reset status --boiler b1
  thermowell reset approve --boiler b1 --fault 00000003deadbeef-7 --by anna

A lockout is reset when enough different people have approved within 15
minutes ([reset] approvals). The agent then orders it once and sends it to the
boiler, which decides: it allows five resets in 15 minutes. A lockout for
overheating, disagreeing sensors or low water can only be reset at the boiler.

Exit codes: 0 done, 1 refused or no answer, 2 wrong command line, 3 the boiler
does not report now, 78 the configuration is wrong";

#[derive(Debug, Subcommand)]
pub(super) enum ResetCommand {
    /// Show the present fault, its approvals, and who else can approve
    Status {
        #[command(flatten)]
        at: Place,
    },
    /// Approve the reset of one fault
    Approve {
        /// The fault, as `status` shows it
        #[arg(long, value_name = "FAULT")]
        fault: Occurrence,
        /// The person's name: an [[operator]] of the configuration
        #[arg(long, value_name = "NAME")]
        by: OperatorName,
        #[command(flatten)]
        at: Place,
    },
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The boiler
    #[arg(long, value_name = "ID")]
    boiler: BoilerId,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(action: &ResetCommand) -> Outcome {
    match action {
        ResetCommand::Status { at } => {
            let standing = command(&at.source, async |config| reset::status(config, &at.boiler).await)?;
            Ok(show(&standing, at.json, if is_known(&standing) { Exit::Success } else { Exit::Unknown }))
        }
        ResetCommand::Approve { fault, by, at } => {
            let answer = command(&at.source, async |config| reset::approve(config, &at.boiler, *fault, by).await)?;
            Ok(print_approval(&answer, at.json))
        }
    }
}

fn print_approval(answer: &Answer, json: bool) -> Exit {
    let (approval, sequence, stand, needed) = match answer {
        Answer::Approved { approval, sequence, stand, needed } => (approval, sequence, stand, needed),
        Answer::Refused(refusal) => {
            return print_refusal(refusal, json, &json!({"approved": false, "reason": refusal.to_string()}));
        }
    };
    let enough = *stand >= usize::from(*needed);
    if json {
        let answer = json!({
            "approved": true, "approval": approval, "sequence": sequence, "stand": stand, "needed": needed,
            "enough": enough,
        });
        return print(&format!("{answer}\n"), Exit::Success);
    }
    let Approval { boiler, fault, kind, by, .. } = approval;
    let then = if enough { ": the agent orders the reset now" } else { "" };
    let text = format!("approved: fault {fault} ({kind}) of boiler {boiler}, by {by}; {stand} of {needed}{then}\n");
    print(&text, Exit::Success)
}

/// Whether the boiler reports now: a STATUS comes every second.
fn is_known(report: &Standing) -> bool {
    report.status_age_s.is_some_and(|age_s| judge(age_s) == Freshness::Fresh)
}

impl Report for Standing {
    fn text(&self) -> String {
        let boiler = &self.boiler;
        match self.status_age_s {
            None => format!("unknown: there is no STATUS of boiler {boiler} yet\n"),
            Some(_) if is_known(self) => last_reported(self),
            Some(age_s) => format!("unknown: the last STATUS is {} old; then:\n{}", age(age_s), last_reported(self)),
        }
    }
}

fn last_reported(report: &Standing) -> String {
    let Standing { boiler, status_age_s: _, fault, occurrence, remote, approvals, needed, missing, reset } = report;
    let (Some(fault), Some(occurrence)) = (fault, occurrence) else {
        return format!("boiler {boiler} reports no fault\n");
    };
    let what = match (fault.lockout, *remote) {
        (false, _) => "it clears by itself",
        (true, true) => "a lockout that can be reset remotely",
        (true, false) => "a lockout that can only be reset at the boiler",
    };
    let mut text = format!("boiler {boiler} reports fault {occurrence} ({}): {what}\n", fault.kind);
    for approved in approvals {
        let at = moment(approved.at);
        let _always_fits = writeln!(text, "approved by {} at {at}, number {}", approved.by, approved.sequence);
    }
    let others = missing.iter().map(OperatorName::as_str).collect::<Vec<_>>().join(", ");
    if let Some(reset) = reset {
        let at = moment(reset.created_at);
        let _always_fits = writeln!(text, "ordered by gateway {} at {at}; a fault is reset only once", reset.instance);
    } else if *remote {
        let _always_fits =
            writeln!(text, "{} of {needed} approvals; others who can approve: {others}", approvals.len());
    }
    text
}
