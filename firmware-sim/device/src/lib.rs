//! The boiler's firmware: it samples every 10 ms, remembers two minutes, talks over a serial line, and decides.
//!
//! ```text
//!            poll(now, board)                       receive(bytes, now)      transmit(now, out)
//!                  │                                        │                       ▲
//!   board ──▶ sampling ──▶ ring (120 s) ────────────────────┼────▶ link ────────────┘
//!                  │                                        ▼
//!                  └──────────────▶ control ◀────────── leases        safety may always say no
//!                                      │
//!   board ◀──────────────────── actuators
//! ```
//!
//! One struct, [`Device`], without a clock, an allocation or a port of its own: whoever drives it brings the time of
//! the device clock (microseconds since this start) and moves the bytes. The same code runs in the simulator, in the
//! deterministic world and on a board.
//!
//! | what | number | why |
//! |---|---|---|
//! | period | 10 ms | slot n is *scheduled* at n × period: late sampling never shifts the next slot |
//! | ring | 120 s | what a gateway may be away without losing a sample; overwritten by age alone |
//! | control | 100 ms | a boiler body changes by less than 0.2 K in it |
//! | ignition | 5 s of purge, at most 5 s of gas without a flame, 3 tries | `burner` has the diagram |
//! | limits | 88, 95, 110 °C and the others | `safety` has the table, with the sources |
//! | lockout, resets | they outlive a power cut; 5 resets in 15 min | `memory` says what else is kept |
//! | lease | at most 120 s | whatever hangs on the other side, the boiler is on its own control after that |
//!
//! What goes before what: the limits, a lockout, hot water, frost protection, a hand at the panel, a lease, the curve.
//!
//! **This is a demonstrator.** It must not drive a gas valve; limiters are independent hardware (EN 14597).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod board;
mod burner;
mod config;
mod control;
mod device;
mod firmware;
mod lease;
mod link;
mod memory;
mod ring;
mod safety;

pub use board::{Actuators, Board, Diverter, Inputs, Measured, Panel};
pub use config::{Config, CurvePoint, HeatingCurve, LineConfig};
pub use device::{Counters, Device, Event};
pub use memory::NonVolatile;
pub use ring::{Ring, Stretch};

#[cfg(test)]
mod tests;
