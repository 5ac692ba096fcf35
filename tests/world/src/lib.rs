//! The deterministic world: the real firmware, plant and decisions, with models of line, server, disk and clocks.
//!
//! ```text
//!  boiler (firmware-sim: device + plant) ─ line ─ agent (flow) ─ broker ─ aggregator (flow)
//!        account of what it lost         faults    disk        faults        judge
//! ```
//!
//! One seed makes one world: its kinds of faults, their rates and times. Time jumps from one event to the next. A phase
//! with faults is followed by a calm one, then the `judge` compares the streams with the account, by invariant. The
//! shells here execute what `flow` decides, as the gateway does. A [`plan::Bug`] planted in a shell must be found;
//! otherwise the judge misses violations.
//!
//! Sockets, processes and `tokio` are not covered here: the rig injects the same faults into real processes.
#![forbid(unsafe_code)]

mod agent;
mod aggregator;
mod broker;
mod disk;
pub mod fault_events;
mod faults;
mod judge;
mod leases;
mod line;
pub mod outage;
pub mod plan;
mod random;
pub mod reconnect;
pub mod report;
pub mod scenes;
pub mod times;
mod truth;
mod world;

pub use world::{Outcome, run};
