//! Every decision of Thermowell: no clock, no I/O, no randomness.
//!
//! A room is a module. It imports only [`time`], [`plausible`], [`published`] and the rooms to its left:
//!
//! ```text
//! agent:       serial ▸ decode ▸ batch ▸ spool ▸ publish ▸ actuate ▸ agent
//! aggregator:  consume ▸ aggregate ▸ snapshot ▸ feed ▸ aggregator
//! controller:  control ▸ controller
//! operators:      command ▸ reset
//! conformance: conformance, which tests controllers and imports none
//! ```
//!
//! A room that depends on time has this interface: only `step(&mut self, now, input, effects)` changes its state, and
//! `wake_at(&self)` returns the latest time at which it needs `Input::Wake`; early is harmless, late is not. Effects
//! are values that the shell executes without any decision of its own.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod actuate;
pub mod agent;
pub mod aggregate;
pub mod aggregator;
pub mod batch;
pub mod command;
pub mod conformance;
pub mod consume;
pub mod control;
pub mod controller;
pub mod decode;
pub mod feed;
pub mod plausible;
pub mod publish;
pub mod published;
pub mod reset;
pub mod serial;
pub mod snapshot;
pub mod spool;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
