//! The account: what a simulator sampled and what it lost, so that the gateway's data can be checked against it.
//!
//! A folder with two kinds of files per boiler:
//!
//! | file | content |
//! |---|---|
//! | `b1.jsonl` | one [`Event`] per line, in the order of simulated time |
//! | `b1-{boot}.slots` | three bytes per slot, from slot 0 on |
//!
//! A slot is hundredths of a degree (`i16`, little endian) and the marks as in [`Reading`], with bit 7 for one that was
//! not sampled: 26 MB per day and boiler. A reader loads only the range that it needs, in pieces. Both files are only
//! appended to, about ten times a second, slots first: so while a simulator runs, every slot that an event names is in
//! the file.

mod reader;
mod writer;

use serde::{Deserialize, Serialize};
use thermowell_wire::{Boot, CentiCelsius, Reading};

pub use self::reader::{Account, AccountError, Boiler, BootRecord, Readings, Summary, true_ns};
pub use self::writer::{Writer, WriterError};

/// Bytes per slot in the file.
const SLOT_BYTES: u64 = 3;
/// Mark of a slot that was not sampled.
const MISSED: u8 = 1 << 7;

/// An event of one boiler. Times are simulated nanoseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The firmware started: slot 0 is sampled at `t_ns`.
    Boot {
        t_ns: u64,
        /// Id of this start.
        boot: Boot,
        serial_number: String,
        /// UTC of slot 0 in nanoseconds since 1970.
        utc_ns: i64,
        /// Microseconds of the device clock between two slots.
        period_us: u32,
        /// How fast the device clock runs, in parts per billion above true.
        drift_ppb: i64,
        /// Size of the ring in slots.
        ring: u64,
    },
    /// The firmware stopped.
    End {
        t_ns: u64,
        boot: Boot,
        /// Slots sampled or missed, which is also the first slot that does not exist.
        slots: u64,
    },
    /// The device reported a gap to the gateway: its ring no longer holds slots `from..to`.
    Ring { t_ns: u64, boot: Boot, from: u64, to: u64 },
    /// The device did not sample slots `from..to`.
    Missed {
        /// Due time of the last of them.
        t_ns: u64,
        boot: Boot,
        from: u64,
        to: u64,
    },
    /// The cable was pulled.
    Unplug { t_ns: u64 },
    /// The cable was put back.
    Plug { t_ns: u64 },
    /// A lease began.
    Lease {
        t_ns: u64,
        boot: Boot,
        n: u32,
        /// Flow temperature, clamped to the device's limits.
        flow: CentiCelsius,
        /// Granted duration in seconds.
        lease_s: u16,
    },
    /// A lease ended; the boiler is on its own control.
    OwnControl {
        t_ns: u64,
        boot: Boot,
        /// Number of the lease that ended.
        n: u32,
    },
    /// The boiler's own control began to give heat, or to give none; during a lease too.
    OwnHeat {
        t_ns: u64,
        boot: Boot,
        /// Why it gives none: `panel`, `heating_limit`, `room_contact` or `unguided`. None if it gives heat.
        withheld: Option<String>,
    },
}

/// One entry of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The next slot of the current boot; None if it was missed.
    Slot(Option<Reading>),
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
