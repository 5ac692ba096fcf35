//! The deterministic world.
#![forbid(unsafe_code)]
