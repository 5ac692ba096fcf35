//! The deterministic world: the real firmware, the real plant, the real decisions, and a model of everything between.
//!
//! ```text
//!  boiler (firmware-sim: device + plant) ─ line ─ agent (flow) ─ broker ─ aggregator (flow)
//!        account of what it destroyed      faults    disk        faults        judge
//! ```
//!
//! One seed makes one world: which faults it has, how often, when. Time jumps from one event to the next. A phase with
//! faults is followed by a calm one, then the `judge` compares the streams with the account, by invariant. The shells
//! here carry out what `flow` decides, as the gateway does; a [`plan::Bug`] planted in one of them must be found, or
//! the judge is blind.
//!
//! Not in here: sockets, processes, `tokio`. The same faults on real processes are the rig's.
#![forbid(unsafe_code)]

mod agent;
mod aggregator;
mod broker;
mod disk;
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
pub mod told;
mod truth;
mod world;

pub use world::{Outcome, run};
