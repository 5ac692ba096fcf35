//! The world around the firmware.
#![forbid(unsafe_code)]
