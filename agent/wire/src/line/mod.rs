//! The serial line between firmware and gateway, version 1.
//!
//! Frame = `COBS( postcard(message) ‖ CRC-32C, little endian ) ‖ 0x00`, at most [`FRAME_MAX`] bytes encoded. One
//! sample takes about 20 bytes: 18 % of 115,200 baud at 100 Hz. Between frames any number of `0x00` may stand.
//!
//! A conversation:
//!
//! ```text
//! gateway                       device
//!    │ Identify                    │   on opening the port, after 1 s without a valid frame, on a foreign tag
//!    │────────────────────────────▶│
//!    │                       Hello │   boot, serial number, what the ring holds
//!    │◀────────────────────────────│
//!    │ Resume {boot, from}         │   nothing but Identify and Resume is obeyed before it
//!    │────────────────────────────▶│
//!    │  Gap {from, oldest, ring}   │   where the ring no longer reaches `from`
//!    │  Samples …  Status (1 Hz)   │   go-back-N: a hole is answered by another Resume
//!    │◀────────────────────────────│
//!    │ Ping ──▶            ◀── Pong│   feeds the estimate of the device clock
//!    │ Setpoint ──▶      ◀── Answer│   a lease; `n` rises strictly within a boot
//! ```
//!
//! **Version policy.** Layouts never change, that of `Hello` least of all. A message or an enum value is added at the
//! end, and [`PROTOCOL`] is raised; a device says its version in `Hello`, and the gateway refuses one above its own.
//!
//! **Contract.** Decoders take any chunking and any bytes, never panic, and name the cause of each rejection.

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
