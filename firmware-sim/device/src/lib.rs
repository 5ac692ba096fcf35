//! The boiler's firmware: samples every 10 ms, keeps two minutes in a ring, serves the serial line, runs the control.
//!
//! ```text
//!            poll(now, board)                       receive(bytes, now)      transmit(now, out)
//!                  │                                        │                       ▲
//!   board ──▶ sampling ──▶ ring (120 s) ────────────────────┼────▶ link ────────────┘
//!                  │                                        ▼
//!                  └──────────────▶ control ◀────────── leases        safety can veto anything
//!                                      │
//!   board ◀──────────────────── actuators
//! ```
//!
//! One struct, [`Device`], without a clock, an allocation or a port of its own: the caller passes in the device time
//! (microseconds since this start) and moves the bytes. The same code runs in the simulator, in the deterministic
//! world and on a board.
//!
//! | what | number | why |
//! |---|---|---|
//! | period | 10 ms | slot n is *scheduled* at n × period: late sampling never shifts the next slot |
//! | ring | 120 s | how long a gateway may be away without losing a sample; overwritten by age alone |
//! | control | 100 ms | a boiler body changes by less than 0.2 K in it |
//! | ignition | 5 s of purge, at most 5 s of gas without a flame, 3 tries | `burner` has the state diagram |
//! | start load | 50 % for 5 s | a flame lights better there than at the minimum |
//! | pump | 180 s of overrun; 60 s a day for exercise | the heat of the body; a pump that stands still seizes |
//! | hot water first | for 30 min, then heating has its turn | a flow switch can be stuck |
//! | limits | 88, 95, 110 °C and the others | `safety` has the table, with the sources |
//! | lockout, resets | both survive a power cut; 5 resets in 15 min | `memory` lists what else is kept |
//! | lease | at most 120 s | if the gateway hangs, the boiler returns to its own control after that |
//! | own control | no heat from 15 °C outdoors on; 72 h without any guide | `season` |
//!
//! Priority, highest first: limits, lockout, hot water, frost protection, panel, lease, heating limit, room contact,
//! heating curve.
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
mod season;

pub use board::{Actuators, Board, Diverter, Inputs, Measured, Panel};
pub use config::{Config, CurvePoint, HeatingCurve, LineConfig};
pub use device::{Counters, Device, Event};
pub use memory::NonVolatile;
pub use ring::{Ring, Stretch};
pub use season::NoHeat;

#[cfg(test)]
mod tests;
