//! The world around the firmware.
#![forbid(unsafe_code)]

pub mod plant;
pub mod scenario;
pub mod sensor;
pub mod weather;
