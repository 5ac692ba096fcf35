//! Every effect of Thermowell.

pub mod config;
pub mod shutdown;
