//! Messages of SAMPLES for tests.

use std::ops::Range;

use thermowell_wire::batch::{BatchHeader, ClockQuality, GAP_ENCODED_MAX, Gap, encode_batch, encode_gap, encoded_max};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

/// 2026-01-07T12:00:00Z.
pub(crate) const NOON_NS: i64 = 1_767_787_200_000_000_000;
pub(crate) const BOOT: Boot = Boot(0x0000_0001_0000_0002);
const PERIOD_NS: u32 = 10_000_000;

/// A valid reading, the burner on.
pub(crate) fn reading(centi: i16) -> Reading {
    Reading::new(CentiCelsius(centi), Quality::Ok, true, false, true)
}

/// A reading of a broken sensor.
pub(crate) fn invalid() -> Reading {
    Reading::new(CentiCelsius(0), Quality::Open, false, true, false)
}

/// A batch.
pub(crate) fn batch(boot: Boot, seq: u64, first_utc_ns: i64, clock: ClockQuality, readings: &[Reading]) -> Vec<u8> {
    let count = u16::try_from(readings.len()).unwrap();
    let header =
        BatchHeader { device: 1, boot, seq, count, first_utc_ns, period_ns: PERIOD_NS, clock, simulated: true };
    let mut out = vec![0; encoded_max(readings.len())];
    encode_batch(&header, readings, &mut out).unwrap().to_vec()
}

/// A gap.
pub(crate) fn gap(boot: Boot, slots: Range<u64>, reason: GapReason, from_utc_ns: i64) -> Vec<u8> {
    let Range { start: from, end: to } = slots;
    let clock = ClockQuality::Synced;
    let gap = Gap { device: 1, boot, from, to, reason, from_utc_ns, period_ns: PERIOD_NS, clock, simulated: true };
    let mut out = [0; GAP_ENCODED_MAX];
    encode_gap(&gap, &mut out).unwrap().to_vec()
}
