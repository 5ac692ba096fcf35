//! Every byte that leaves a Thermowell process.
#![no_std]
#![forbid(unsafe_code)]
