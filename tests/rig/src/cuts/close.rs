//! The end of a life: stops everything, and reads all streams and the simulator's account.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::demo::ledger::Ledger;
use crate::house::House;
use crate::process::{Child, Launch, last_lines};

/// `thermowell verify` reads everything once.
const VERIFY: Duration = Duration::from_secs(120);

/// The results of a life.
#[derive(Debug)]
pub(super) struct Closed {
    /// Every value against the simulator's account, every hour against an independent sum.
    pub(super) ledger: Ledger,
    /// The sum of `thermowell verify`: hours by verdict, and `agrees`; `disagreeing` has the lines of the other hours.
    pub(super) verified: Value,
}

/// Stops everything in flow order and checks the streams.
///
/// # Errors
/// A process does not stop, or a stream cannot be read.
pub(super) fn close(house: &mut House) -> Result<Closed> {
    let (ledger, _) = house.try_books()?;
    let verified = verify(house)?;
    house.processes.broker.stop()?;
    Ok(Closed { ledger, verified })
}

/// Runs `thermowell verify` over everything; its last line is the sum, those before it are hours.
fn verify(house: &House) -> Result<Value> {
    let args = vec!["verify".into(), "--json".into(), "--config".into(), house.config().into()];
    let launch = Launch { args, ..house.another("", &house.config(), "verify") };
    let ended = Child::spawn(&launch)?.wait(VERIFY)?;
    let log = launch.log;
    let output = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    let objects = output.lines().filter(|line| line.starts_with('{'));
    let mut lines: Vec<Value> = objects.filter_map(|line| serde_json::from_str(line).ok()).collect();
    match (ended, lines.pop()) {
        (Some(_), Some(mut sum)) => {
            lines.retain(|line| ["different", "no_snapshot"].iter().any(|verdict| line["verdict"] == *verdict));
            if sum["agrees"] != true {
                sum["disagreeing"] = lines.into();
            }
            Ok(sum)
        }
        (_, None) | (None, _) => {
            bail!("thermowell verify has no sum; the end of its output:\n{}", last_lines(&log))
        }
    }
}
