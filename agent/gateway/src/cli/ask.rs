//! `thermowell command`: an operator's command for a boiler, and the answer.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::civil::DateTime;
use serde_json::{Value, json};
use thermowell_flow::command::{Ask, Refusal};
use thermowell_flow::published::{Action, Command};
use thermowell_wire::{BoilerId, CommandId, OperatorName};

use super::{Exit, Outcome, Source, print, print_refusal};
use crate::calendar;
use crate::clock::Clock;
use crate::command::{self, Accepted, Answer};
use crate::quantity::{duration, moment};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell command boost --boiler b1 --flow 65 --for 30m --by anna
  thermowell command set-back --boiler b1 --room 16 --for 3d --by anna
  thermowell command release --boiler b1 --by ben
  thermowell command release --boiler b1 --by ben --id party-over --json

A command is accepted only if the boiler's newest state allows it; a refusal
names what is allowed. One command is active at a time, until it expires or is
released. Without --id, the same command of the same person within 5 s is one
command; with --id, the same id always is: after a lost answer, repeat the
command with it.

Exit codes: 0 accepted, 1 refused or no answer, 2 wrong command line, 78 the
configuration is wrong";

#[derive(Debug, Subcommand)]
pub(super) enum AskCommand {
    /// Heat with this flow temperature, for at most an hour
    Boost {
        /// Flow temperature, °C
        #[arg(long, value_name = "CELSIUS", value_parser = celsius, allow_hyphen_values = true)]
        flow: f64,
        #[command(flatten)]
        length: Length,
        #[command(flatten)]
        who: Who,
    },
    /// Lower the target room temperature, for at most 60 days
    SetBack {
        /// Room temperature, °C
        #[arg(long, value_name = "CELSIUS", value_parser = celsius, allow_hyphen_values = true)]
        room: f64,
        #[command(flatten)]
        stay: Stay,
        #[command(flatten)]
        who: Who,
    },
    /// Heat with this flow temperature for hot water, for at most an hour
    HotWater {
        /// Flow temperature, °C
        #[arg(long, value_name = "CELSIUS", value_parser = celsius, allow_hyphen_values = true)]
        flow: f64,
        #[command(flatten)]
        length: Length,
        #[command(flatten)]
        who: Who,
    },
    /// Keep the present set-point, for at most an hour
    Hold {
        #[command(flatten)]
        length: Length,
        #[command(flatten)]
        who: Who,
    },
    /// End the active command; never refused
    Release {
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Debug, Args)]
pub(super) struct Length {
    /// Duration, such as 30m or 1h30m
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    length: Duration,
}

/// How long a set-back lasts.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Stay {
    /// Duration, such as 8h or 3d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    length: Option<Duration>,
    /// Local time by [control] timezone, such as 2027-01-03T16:00, when the rooms are to be warm again
    #[arg(long, value_name = "TIME", value_parser = local_time)]
    until: Option<DateTime>,
}

#[derive(Debug, Args)]
pub(super) struct Who {
    /// The boiler
    #[arg(long, value_name = "ID")]
    boiler: BoilerId,
    /// The person's name: an [[operator]] of the configuration
    #[arg(long, value_name = "NAME")]
    by: OperatorName,
    /// A unique name for the command, which makes repeating it safe
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    id: Option<CommandId>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Source,
}

fn celsius(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|it| it.is_finite()).ok_or_else(|| "expected °C as a number, such as 65 or 62.5".to_owned())
}

fn local_time(text: &str) -> Result<DateTime, String> {
    calendar::local_time(text).ok_or_else(|| "expected a date and a time, such as 2027-01-03T16:00".to_owned())
}

pub(super) fn run(command: &AskCommand) -> Outcome {
    let whole = |length: &Length| Stay { length: Some(length.length), until: None };
    let (action, stay, who) = match command {
        AskCommand::Boost { flow, length, who } => (Action::Boost { flow: *flow }, whole(length), who),
        AskCommand::SetBack { room, stay, who } => (Action::SetBack { room: *room }, *stay, who),
        AskCommand::HotWater { flow, length, who } => (Action::HotWater { flow: *flow }, whole(length), who),
        AskCommand::Hold { length, who } => (Action::Hold, whole(length), who),
        AskCommand::Release { who } => (Action::Release, Stay { length: None, until: None }, who),
    };
    let id = who.id.clone().unwrap_or_else(command::new_id);
    let clicked = who.id.is_none();
    let (ask, answer) = super::command(&who.source, async |config| {
        let until = stay.until.and_then(|until| calendar::utc(&config.control.law.timezone, until));
        let left = until.map(|until| until.since(Clock::new(&config.clock).now().utc));
        let length = stay.length.or(left).unwrap_or_default();
        let ask = Ask { id: id.clone(), boiler: who.boiler.clone(), by: who.by.clone(), action, length, until };
        command::ask(config, &ask, clicked).await.map(|answer| (ask, answer))
    })?;
    Ok(match &answer {
        Answer::Refused(refusal) => print_refusal(refusal, who.json, &refused(&ask, refusal)),
        Answer::Accepted(accepted) if who.json => print(&format!("{}\n", in_json(accepted)), Exit::Success),
        Answer::Accepted(accepted) => print(&format!("{}\n", in_words(accepted)), Exit::Success),
    })
}

fn in_words(accepted: &Accepted) -> String {
    let Accepted { command, sequence, again } = accepted;
    let Command { id, boiler, by, action, valid_until, .. } = command;
    let verb = if *again { "accepted before" } else { "accepted" };
    let degrees = action.temperature().map(|celsius| format!(" {celsius} °C")).unwrap_or_default();
    let until = valid_until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    format!("{verb}: {}{degrees} for boiler {boiler}{until}, by {by}; id {id}, number {sequence}", action.word())
}

fn in_json(Accepted { command, sequence, again }: &Accepted) -> Value {
    json!({"accepted": true, "again": again, "sequence": sequence, "command": command})
}

fn refused(ask: &Ask, refusal: &Refusal) -> Value {
    let Ask { id, boiler, by, action, .. } = ask;
    json!({
        "accepted": false, "reason": refusal.to_string(),
        "id": id, "boiler": boiler, "by": by, "action": action.word(), "temperature": action.temperature(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_must_be_numbers() {
        assert_eq!((celsius("65"), celsius("-62.5")), (Ok(65.0), Ok(-62.5)));
        for wrong in ["", "NaN", "inf", "65 °C", "hot"] {
            assert!(celsius(wrong).unwrap_err().contains("62.5"), "{wrong}");
        }
    }

    #[test]
    fn generated_ids_differ() {
        assert_ne!(command::new_id(), command::new_id());
    }
}
