//! The whole system on one machine: real parts, real processes, a real NATS server.
//!
//! The demo, the system tests and the measurements use it. It is not part of the product, and the
//! product does not depend on it.

#![forbid(unsafe_code)]

mod cli;
pub mod clock;
pub mod cuts;
pub mod demo;
pub mod faults;
pub mod figures;
pub mod guard;
pub mod house;
pub mod nats;
mod numbers;
mod page;
pub mod process;
pub mod wait;
pub mod winter;
