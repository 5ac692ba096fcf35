//! Every effect of Thermowell.

pub mod shutdown;
