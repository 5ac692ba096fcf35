//! A simulated boiler: the real firmware with a simulated plant, sensor, line and port.
//!
//! ```text
//!   scenario ──▶ plant ▶ sensor ─┐                         ┌─▶ account (what was sampled, what was lost)
//!                                ├▶ source ▶ boiler ───────┤
//!                        replay ─┘    (the real firmware)  └─▶ line ▶ port ──▶ the gateway
//!                                          ▲                    (faults)
//!                    clock × speed ── simulation ◀── console (commands)
//! ```
//! Everything left of `port` is deterministic: simulated time and a seed go in, and the same bytes come out. `clock`
//! reads the clock, `port` and `account` do the input and output, `simulation` drives them in one thread. `bench` runs
//! the same firmware and plant without line and port, a week in seconds.
#![forbid(unsafe_code)]

pub mod account;
pub mod bench;
pub mod boiler;
pub mod cli;
pub mod clock;
pub mod console;
pub mod line;
pub mod plant;
pub mod port;
pub mod proof;
pub mod quantity;
pub mod random;
pub mod replay;
pub mod scenario;
pub mod sensor;
pub mod simulation;
pub mod source;
pub mod station;
pub mod weather;
