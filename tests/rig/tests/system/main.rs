//! The whole system: real processes, a real nats-server, serial lines. Each test ends with the ledger.
//!
//! One program, so that the tests share two cores without a queue of their own: the harness runs a few
//! at a time, because they wait more than they compute.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test, and says where")]

mod accounts;
mod attack;
mod boilers;
mod conformance;
mod control;
mod cuts;
mod demo;
mod deployment;
mod desk;
mod documents;
mod exits;
mod faults;
mod input;
mod loss;
mod patterns;
mod permissions;
mod replay;
mod resets;
mod rows;
mod stranger;
mod terminal;
mod verify;

/// The multi-call binary.
const DEMO: &str = env!("CARGO_BIN_EXE_demo");
