//! The whole system on one machine: real parts, real processes, a real NATS server.
//!
//! The `demo`, the system tests and the measurements stand on it. Nothing here is part of the product, and the
//! product knows nothing of it.

#![forbid(unsafe_code)]

mod cli;
pub mod clock;
pub mod cuts;
pub mod demo;
pub mod ears;
pub mod faults;
pub mod figures;
pub mod guard;
pub mod house;
pub mod nats;
mod page;
pub mod process;
pub mod winter;
