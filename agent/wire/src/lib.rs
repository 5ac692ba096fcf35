//! Every byte that leaves a Thermowell process.
//!
//! | module | what it lays out | who reads it |
//! |---|---|---|
//! | [`units`] | temperatures, readings, boots, slots | all crates |
//! | [`names`] | ids of boilers, operators, commands, faults | all crates |
//! | [`mod@line`] | the serial line between firmware and gateway, version 1 | `device`, the agent |
//! | [`batch`] | the packed samples and gaps in JetStream, version 1 | the agent, the aggregator, `verify` |
//! | [`spill`] | the spill file, version 1 | the agent |
//! | [`subject`] | NATS subjects and stream names | every role |
//!
//! `LAYOUTS.md` next to this crate's manifest documents the byte layouts, in enough detail to write a C encoder. A
//! layout never changes: a new one is added at the end, and the version is raised.
//!
//! Nothing here allocates, panics on arbitrary input bytes, or reads a clock.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod batch;
pub mod line;
pub mod names;
#[cfg(feature = "schema")]
mod schema;
pub mod spill;
pub mod subject;
pub mod units;

pub use names::{
    BoilerId, CommandId, InvalidBoilerId, InvalidCommandId, InvalidOccurrence, InvalidOperatorName, InvalidSourceName,
    Occurrence, OperatorName, SourceName,
};
pub use units::{Boot, CentiCelsius, InvalidBoot, Quality, Reading, Slot};

/// CRC-32C (Castagnoli): checksum of the line's frames, and hash of the serial number in the packed layouts.
///
/// Of 10 million corrupted frames none passed as a wrong sample; with CRC-16 nine did.
pub const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The 32-bit id of a device in packed layouts: the CRC-32C of its serial number.
#[must_use]
pub fn device_id(serial_number: &str) -> u32 {
    CRC32C.checksum(serial_number.as_bytes())
}

#[cfg(test)]
mod tests {
    /// The check value of CRC-32C in Koopman's and the RevEng catalogue.
    #[test]
    fn device_id_is_the_crc_of_the_serial_number() {
        assert_eq!(super::device_id("123456789"), 0xe306_9283);
    }
}
