//! The account: what a simulator sampled and what it destroyed, so that others' books can be checked against it.
//!
//! A folder with two kinds of files per boiler:
//!
//! | file | holds |
//! |---|---|
//! | `b1.jsonl` | one [`Event`] a line, in the order of simulated time |
//! | `b1-{boot}.slots` | three bytes a slot, from slot 0 on |
//!
//! A slot is hundredths of a degree (`i16`, little endian) and the marks as in [`Reading`], with bit 7 for one that was
//! not sampled: 26 MB a day and boiler. A reader takes what it asks for, in pieces, and never the whole day. Both files
//! grow at their ends only, about ten times a second, slots first: while a simulator runs, everything that an event
//! names is there.

mod reader;
mod writer;

use serde::{Deserialize, Serialize};
use thermowell_wire::{Boot, CentiCelsius, Reading};

pub(crate) use self::reader::true_ns;
pub use self::reader::{Account, AccountError, Boiler, BootRecord, Readings, Summary};
pub use self::writer::{Writer, WriterError};

/// Bytes of a slot in the file.
const SLOT_BYTES: u64 = 3;
/// In the marks of a slot that was not sampled.
const MISSED: u8 = 1 << 7;

/// Something that happened to one boiler. Times are simulated nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The firmware started: slot 0 is sampled at `t_ns`.
    Boot {
        /// When.
        t_ns: u64,
        /// The start's name.
        boot: Boot,
        /// The device's serial number.
        serial_number: String,
        /// UTC of slot 0 in nanoseconds since 1970.
        utc_ns: i64,
        /// Microseconds of the device clock between two slots.
        period_us: u32,
        /// How much faster than true the device clock runs, in parts per billion.
        drift_ppb: i64,
        /// Slots that the ring holds.
        ring: u64,
    },
    /// The firmware ended.
    End {
        /// When.
        t_ns: u64,
        /// Which start of it.
        boot: Boot,
        /// How many slots it had sampled or missed: the first one that never was.
        slots: u64,
    },
    /// The device told the gateway that its ring no longer holds these slots.
    Ring {
        /// When.
        t_ns: u64,
        /// Of which start.
        boot: Boot,
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
    },
    /// The device did not sample these slots.
    Missed {
        /// When the last of them was due.
        t_ns: u64,
        /// Of which start.
        boot: Boot,
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
    },
    /// The cable was pulled.
    Unplug {
        /// When.
        t_ns: u64,
    },
    /// The cable was put back.
    Plug {
        /// When.
        t_ns: u64,
    },
    /// A lease began.
    Lease {
        /// When.
        t_ns: u64,
        /// Of which start.
        boot: Boot,
        /// The request's number.
        n: u32,
        /// The flow temperature, within the device's limits.
        flow: CentiCelsius,
        /// As given, in seconds.
        lease_s: u16,
    },
    /// A lease ended, and with it anybody's say but the boiler's own.
    OwnControl {
        /// Since when.
        t_ns: u64,
        /// Of which start.
        boot: Boot,
        /// The request's number, of the lease that ended.
        n: u32,
    },
}

/// What a boiler has to account for since it was asked last, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The next slot of the boot that runs; None was missed.
    Slot(Option<Reading>),
    /// Something that happened.
    Event(Event),
}

fn slots_file(boiler: &str, boot: Boot) -> String {
    format!("{boiler}-{boot}.slots")
}

fn events_file(boiler: &str) -> String {
    format!("{boiler}.jsonl")
}

fn slot_bytes(reading: Option<Reading>) -> [u8; 3] {
    let reading = reading.unwrap_or(Reading { temperature: CentiCelsius(0), marks: MISSED });
    let [low, high] = reading.temperature.0.to_le_bytes();
    [low, high, reading.marks]
}

fn slot_reading([low, high, marks]: [u8; 3]) -> Option<Reading> {
    let temperature = CentiCelsius(i16::from_le_bytes([low, high]));
    (marks & MISSED == 0).then_some(Reading { temperature, marks })
}

#[cfg(test)]
mod tests;
