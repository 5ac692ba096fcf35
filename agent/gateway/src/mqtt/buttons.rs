//! Gives the commands of pressed buttons, one after another, by the rules of `thermowell command`.

use std::time::Duration;

use serde_json::{Value, json};
use thermowell_flow::command::Ask;
use thermowell_flow::published::Action;
use thermowell_wire::{BoilerId, OperatorName};
use tokio::sync::mpsc::{Receiver, Sender};

use super::session::refusal;
use crate::command::{self, Accepted, Answer};
use crate::config::Config;
use crate::logs;
use crate::quantity::moment;

/// A pressed button.
#[derive(Debug)]
pub(super) struct Press {
    pub(super) boiler: BoilerId,
    pub(super) action: Action,
    pub(super) length: Duration,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) boiler: BoilerId,
    pub(super) is_accepted: bool,
    /// The payload of the event.
    pub(super) answer: Value,
}

/// Gives the command of each press until either end is dropped. The same button within 5 s is one command.
pub(super) async fn work(config: Config, by: OperatorName, mut presses: Receiver<Press>, outcomes: Sender<Outcome>) {
    while let Some(press) = presses.recv().await {
        if outcomes.send(give(&config, &by, press).await).await.is_err() {
            return;
        }
    }
}

async fn give(config: &Config, by: &OperatorName, press: Press) -> Outcome {
    let Press { boiler, action, length } = press;
    let ask = Ask { id: command::new_id(), boiler: boiler.clone(), by: by.clone(), action, length, until: None };
    match command::ask(config, &ask, true).await {
        Ok(Answer::Accepted(Accepted { command, again, .. })) => {
            tracing::info!(%boiler, action = action.word(), id = %command.id, "button of Home Assistant: accepted");
            let until = command.valid_until.map(moment);
            let answer = json!({"event_type": "accepted", "action": action.word(), "flow": action.temperature(),
                "until": until, "by": by, "id": command.id, "again": again});
            Outcome { boiler, is_accepted: true, answer }
        }
        Ok(Answer::Refused(refusal)) => refused(boiler, action, &refusal.to_string()),
        Err(error) => refused(boiler, action, &logs::chain(&error)),
    }
}

fn refused(boiler: BoilerId, action: Action, why: &str) -> Outcome {
    tracing::info!(%boiler, action = action.word(), why, "button of Home Assistant: refused");
    Outcome { boiler, is_accepted: false, answer: refusal(action.word(), why) }
}
