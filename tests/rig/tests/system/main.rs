//! The whole system: real processes, a real nats-server, serial lines. Each test ends with the ledger.
//!
//! One program: the harness runs several tests at a time, because they wait more than they compute, and the tests share
//! two cores.

#![expect(clippy::unwrap_used, reason = "a panic fails the test with its place")]

mod accounts;
mod alerts;
mod ambient;
mod attack;
mod bench;
mod boilers;
mod browser;
mod check;
mod conformance;
mod control;
mod cuts;
mod dashboard;
mod data;
mod demo;
mod deployment;
mod documents;
mod examples;
mod exits;
mod faults;
mod input;
mod loss;
mod metrics;
mod mqtt;
mod patterns;
mod permissions;
mod programs;
mod replay;
mod resets;
mod rows;
mod starts;
mod stranger;
mod terminal;
mod verify;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// The multi-call binary.
const DEMO: &str = env!("CARGO_BIN_EXE_demo");

/// Runs `thermowell` with this configuration. Returns the exit code, stdout and stderr.
fn thermowell(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(DEMO);
    let output = command.arg("thermowell").args(arguments).arg("--config").arg(config).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// On standard error itself, because the harness captures what a test prints.
fn skipped(reason: &str) {
    writeln!(std::io::stderr().lock(), "SKIPPED: {reason}").unwrap();
}
