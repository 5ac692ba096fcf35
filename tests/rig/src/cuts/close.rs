//! The end of a life: everything stops, every book is read.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use thermowell_wire::BoilerId;

use super::hands::Hands;
use super::life::configuration;
use super::{Bench, books};
use crate::demo::audit;
use crate::demo::ledger::Ledger;
use crate::demo::setup::{Plan, Processes};
use crate::process::{Child, Launch, Role, stop_in_order};

/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// For the aggregator to reach the end of SAMPLES.
const SETTLE: Duration = Duration::from_secs(60);
/// `thermowell verify` reads everything once.
const VERIFY: Duration = Duration::from_secs(120);

/// What the books of a life say.
#[derive(Debug)]
pub(super) struct Closed {
    /// Every value against what the simulator sampled, every hour against a sum of its own.
    pub(super) ledger: Ledger,
    /// Hours that `thermowell verify` computed from SAMPLES, by its verdict; `agrees` is its own word.
    pub(super) verified: Value,
}

/// Stops everything in flow order and reads the books.
///
/// # Errors
/// Something does not stop or cannot be read.
pub(super) fn close(
    bench: &Bench,
    hands: &Hands,
    processes: &mut Processes,
    plan: &Plan,
    boilers: &[BoilerId],
) -> Result<Closed> {
    let Processes { broker, simulator, agent, aggregator, controller } = processes;
    stop_in_order([controller, agent], STOP)?;
    let client = hands.wait_for(books::connect(broker)).context("connect")?;
    let no_tending = || Ok(());
    let settled = hands.wait_for(audit::settle(&client, boilers, bench.feed, SETTLE, no_tending))?;
    stop_in_order([aggregator, simulator], STOP)?;
    let ledger = hands.wait_for(audit::audit(&client, boilers, plan, bench.feed, settled)).context("read the books")?;
    let verified = verify(bench, plan)?;
    broker.stop()?;
    Ok(Closed { ledger, verified })
}

/// Runs `thermowell verify` over everything; its last line is the sum.
fn verify(bench: &Bench, plan: &Plan) -> Result<Value> {
    let log = plan.folder.join("logs").join("verify.log");
    let mut args = vec!["verify".into(), "--json".into(), "--config".into()];
    args.push(configuration(plan).into());
    let (name, programs) = ("thermowell verify".to_owned(), bench.programs.clone());
    let launch = Launch { name, programs, role: Role::Thermowell, args, log: log.clone() };
    let mut child = Child::spawn(&launch)?;
    let ended = child.wait(VERIFY)?;
    let said = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    let last = said.lines().rev().find(|line| line.starts_with('{'));
    let sum = last.and_then(|line| serde_json::from_str(line).ok());
    match (ended, sum) {
        (Some(_), Some(sum)) => Ok(sum),
        (_, None) | (None, _) => {
            bail!("thermowell verify has no sum; the end of what it says:\n{}", audit::last_lines(&log))
        }
    }
}
