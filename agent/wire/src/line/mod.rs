//! The serial line between firmware and gateway, version 1.
//!
//! Frame = `COBS( postcard(message) ‖ CRC-32C, little endian ) ‖ 0x00`, at most [`FRAME_MAX`] bytes encoded. One sample
//! takes about 20 bytes: 18 % of 115,200 baud at 100 Hz. Any number of `0x00` may separate frames.
//!
//! A conversation:
//!
//! ```text
//! gateway                       device
//!    │ Identify                    │   on opening the port, after 1 s without a valid frame, on an unknown tag
//!    │────────────────────────────▶│
//!    │                       Hello │   boot, serial number, extent of the ring
//!    │◀────────────────────────────│
//!    │ Resume {boot, from}         │   until then the device ignores all but Identify and Resume
//!    │────────────────────────────▶│
//!    │  Gap {from, oldest, ring}   │   if the ring no longer reaches back to `from`
//!    │  Samples …  Status (1 Hz)   │   go-back-N: the gateway answers a hole with another Resume
//!    │◀────────────────────────────│
//!    │ Ping ──▶            ◀── Pong│   feeds the estimate of the device clock
//!    │ Setpoint ──▶      ◀── Answer│   a lease; `n` rises strictly within a boot
//! ```
//!
//! **Version policy.** Layouts never change, that of `Hello` least of all. A message or an enum value is added at the
//! end, and [`PROTOCOL`] is raised; a device reports its version in `Hello`, and the gateway refuses a version above
//! its own.
//!
//! **Contract.** Decoders accept any chunking and any bytes, never panic, and return the cause of each rejection.

mod frame;
mod message;
#[cfg(test)]
mod tests;

pub use frame::{EncodeError, FRAME_MAX, FrameReader, Message, Rejection, encode};
pub use message::{
    ActiveSetpoint, Answer, BoilerState, Demand, Fault, FaultKind, GapNotice, GapReason, Hello, Outcome, Pong,
    READINGS_MAX, Refusal, Samples, Setpoint, Status, ToDevice, ToGateway,
};

/// The version of the line protocol.
pub const PROTOCOL: u8 = 1;
