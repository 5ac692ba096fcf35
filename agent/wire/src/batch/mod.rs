//! The messages of SAMPLES: packed batches and gaps, version 1.
//!
//! Byte 0 selects the layout: [`BATCH_V1`] or [`GAP_V1`]. A batch is a postcard [`BatchHeader`], then the temperatures
//! by frame of reference (the smallest as zigzag varint, the width in bits, `count` differences of that width, least
//! significant bit first, padded to a byte), then the marks as runs (the mark, then the run's length as varint) that
//! add up to `count`. A gap is a postcard [`Gap`]. Trailing bytes are an error.
//!
//! Measured 0.6–0.8 bytes per sample. White noise makes delta coding worse than subtracting a constant.

use serde::{Deserialize, Serialize};

use crate::line::GapReason;
use crate::{Boot, Reading, Slot};

mod pack;
#[cfg(test)]
mod tests;

use pack::{above, pack_bits};

pub use pack::Readings;

/// The first byte of a batch of version 1.
pub const BATCH_V1: u8 = 0x01;
/// The first byte of a gap of version 1.
pub const GAP_V1: u8 = 0x81;
/// The most samples in a batch: ten seconds at 100 Hz, well below NATS's payload limit.
pub const COUNT_MAX: usize = 1_000;
/// Upper bound of a version 1 batch with `count` samples: the header and the frame of reference take at most 60 bytes,
/// a temperature two, a run of marks three.
#[must_use]
pub const fn encoded_max(count: usize) -> usize {
    64 + 5 * count
}
/// Upper bound of a version 1 gap.
pub const GAP_ENCODED_MAX: usize = 72;

/// Whether the gateway's clock was synchronised at the time of stamping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClockQuality {
    /// The kernel reports that a time source disciplines the clock.
    Synced,
    /// No time source disciplines the clock.
    #[default]
    Unsynced,
}

/// The header of a batch: the facts common to all its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchHeader {
    /// [`crate::device_id`] of the serial number.
    pub device: u32,
    /// The start of the firmware.
    pub boot: Boot,
    /// The slot of the first sample.
    pub seq: u64,
    /// Number of samples, 1 to [`COUNT_MAX`].
    pub count: u16,
    /// UTC of the first sample, nanoseconds since 1970.
    pub first_utc_ns: i64,
    /// UTC nanoseconds between two samples.
    pub period_ns: u32,
    /// Whether the clock was synchronised.
    pub clock: ClockQuality,
    /// Not a real boiler.
    pub simulated: bool,
}

impl BatchHeader {
    /// The first slot of the batch.
    #[must_use]
    pub fn first(&self) -> Slot {
        Slot::new(self.boot, self.seq)
    }

    /// The slot after the last one of the batch.
    #[must_use]
    pub fn end(&self) -> Slot {
        Slot::new(self.boot, self.seq + u64::from(self.count))
    }

    /// UTC of the sample `index`, nanoseconds since 1970.
    #[must_use]
    pub fn utc_ns(&self, index: u16) -> i64 {
        self.first_utc_ns + i64::from(index) * i64::from(self.period_ns)
    }

    /// Checks the constraints that the types do not express: 1 to [`COUNT_MAX`] samples, a period above 0, and an end
    /// that does not overflow, in slots and in UTC. Checked by encoder and decoder, so that no unreadable message is
    /// stored.
    fn is_in_range(&self) -> bool {
        let span = i64::from(self.count) * i64::from(self.period_ns);
        (1..=COUNT_MAX).contains(&usize::from(self.count))
            && self.period_ns > 0
            && self.seq.checked_add(u64::from(self.count)).is_some()
            && self.first_utc_ns.checked_add(span).is_some()
    }
}

/// Slots `from..to` of `boot` will never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// [`crate::device_id`] of the serial number.
    pub device: u32,
    /// The start of the firmware.
    pub boot: Boot,
    /// The first missing slot.
    pub from: u64,
    /// The slot after the last missing one.
    pub to: u64,
    pub reason: GapReason,
    /// UTC of `from`, nanoseconds since 1970.
    pub from_utc_ns: i64,
    /// UTC nanoseconds between two slots.
    pub period_ns: u32,
    /// Whether the clock was synchronised.
    pub clock: ClockQuality,
    /// Not a real boiler.
    pub simulated: bool,
}

impl Gap {
    #[must_use]
    pub fn count(&self) -> u64 {
        self.to - self.from
    }

    /// Checks the constraints that the types do not express: at least one slot, a period above 0, and an end in UTC
    /// that does not overflow.
    fn is_in_range(&self) -> bool {
        let slots = self.to.checked_sub(self.from).and_then(|slots| i64::try_from(slots).ok());
        let span = slots.and_then(|slots| slots.checked_mul(i64::from(self.period_ns)));
        let end = span.and_then(|span| self.from_utc_ns.checked_add(span));
        self.from < self.to && self.period_ns > 0 && end.is_some()
    }
}

/// A message of SAMPLES.
#[derive(Clone, Copy, Debug)]
pub enum Packed<'a> {
    Batch(Batch<'a>),
    Gap(Gap),
}

impl Packed<'_> {
    /// [`crate::device_id`] of the device.
    #[must_use]
    pub fn device(&self) -> u32 {
        match self {
            Self::Batch(batch) => batch.header.device,
            Self::Gap(gap) => gap.device,
        }
    }

    /// UTC nanoseconds between two slots.
    #[must_use]
    pub fn period_ns(&self) -> u32 {
        match self {
            Self::Batch(batch) => batch.header.period_ns,
            Self::Gap(gap) => gap.period_ns,
        }
    }

    /// The first slot it accounts for.
    #[must_use]
    pub fn first(&self) -> Slot {
        match self {
            Self::Batch(batch) => batch.header.first(),
            Self::Gap(gap) => Slot::new(gap.boot, gap.from),
        }
    }

    /// The slot after the last one it accounts for.
    #[must_use]
    pub fn end(&self) -> Slot {
        match self {
            Self::Batch(batch) => batch.header.end(),
            Self::Gap(gap) => Slot::new(gap.boot, gap.to),
        }
    }

    /// UTC of [`Packed::end`], nanoseconds since 1970: where the next slot would be.
    #[must_use]
    pub fn end_utc_ns(&self) -> i64 {
        match self {
            Self::Batch(batch) => batch.header.utc_ns(batch.header.count),
            Self::Gap(gap) => {
                let slots = i64::try_from(gap.count()).unwrap_or(i64::MAX);
                gap.from_utc_ns.saturating_add(slots.saturating_mul(i64::from(gap.period_ns)))
            }
        }
    }
}

/// A batch whose bytes have been checked: reading it cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    pub body: Body<'a>,
}

impl<'a> Batch<'a> {
    /// The samples in order.
    #[must_use]
    pub fn readings(&self) -> Readings<'a> {
        self.body.readings()
    }
}

/// The packed samples of a batch, without its header. Its bytes have been checked.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
    count: u16,
    base: i16,
    width: u32,
    bits: &'a [u8],
    runs: &'a [u8],
}

impl<'a> Body<'a> {
    /// The samples in order.
    #[must_use]
    pub fn readings(&self) -> Readings<'a> {
        Readings::new(self.count, self.base, self.width, self.bits, self.runs)
    }

    /// What [`encode_body`] has packed.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Why bytes are not a batch or a gap of a known version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("empty")]
    Empty,
    /// Byte 0 is not a known layout.
    #[error("unknown layout {0:#04x}, this program knows 0x01 and 0x81")]
    Layout(u8),
    /// The postcard part does not parse.
    #[error("malformed header")]
    Header,
    /// A count, a range or a width outside its limits.
    #[error("value out of range in the header")]
    Range,
    /// The packed temperatures or the runs end early, do not add up, or have trailing bytes.
    #[error("the packed samples do not match the header")]
    Body,
}

/// Why a batch or a gap cannot be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// No samples, more than [`COUNT_MAX`], or another number than in the header.
    #[error("a batch has 1 to {COUNT_MAX} samples, as many as its header says")]
    Count,
    /// No period, no slots, or an end that overflows slots or UTC: [`decode`] would refuse the message.
    #[error("value out of range in the header")]
    Range,
    /// `out` is too small; [`encoded_max`] is always enough.
    #[error("the buffer is too small")]
    Space,
}

/// Packs a batch into `out` and returns its bytes.
///
/// # Errors
/// See [`PackError`].
pub fn encode_batch<'a>(
    header: &BatchHeader,
    readings: &[Reading],
    out: &'a mut [u8],
) -> Result<&'a mut [u8], PackError> {
    if readings.is_empty() || readings.len() > COUNT_MAX || readings.len() != usize::from(header.count) {
        return Err(PackError::Count);
    }
    if !header.is_in_range() {
        return Err(PackError::Range);
    }
    let head = encode_head(BATCH_V1, header, out)?;
    let end = head + encode_body(readings, space(out, head)?)?.len();
    Ok(&mut out[..end])
}

/// Packs the samples of a batch into `out` without their header, and returns their bytes: a header that is known later
/// is put before them by [`encode_packed`].
///
/// # Errors
/// See [`PackError`].
pub fn encode_body<'a>(readings: &[Reading], out: &'a mut [u8]) -> Result<&'a mut [u8], PackError> {
    if readings.is_empty() || readings.len() > COUNT_MAX {
        return Err(PackError::Count);
    }
    let base = readings.iter().map(|r| r.temperature.0).min().unwrap_or(0);
    let top = readings.iter().map(|r| r.temperature.0).max().unwrap_or(0);
    let width = u16::BITS - above(top, base).leading_zeros();
    let mut at = postcard::to_slice(&base, &mut *out).map_err(|_| PackError::Space)?.len();
    *space(out, at)?.first_mut().ok_or(PackError::Space)? = width.to_le_bytes()[0];
    at += 1;
    at += pack_bits(readings, base, width, space(out, at)?)?;
    for run in readings.chunk_by(|a, b| a.marks == b.marks) {
        let length = u16::try_from(run.len()).map_err(|_| PackError::Count)?;
        at += postcard::to_slice(&(run[0].marks, length), space(out, at)?).map_err(|_| PackError::Space)?.len();
    }
    Ok(&mut out[..at])
}

/// Packs a batch whose samples are packed already, and returns its bytes.
///
/// # Errors
/// See [`PackError`].
pub fn encode_packed<'a>(header: &BatchHeader, body: &Body<'_>, out: &'a mut [u8]) -> Result<&'a mut [u8], PackError> {
    if header.count != body.count {
        return Err(PackError::Count);
    }
    if !header.is_in_range() {
        return Err(PackError::Range);
    }
    let head = encode_head(BATCH_V1, header, out)?;
    let end = head + body.bytes.len();
    out.get_mut(head..end).ok_or(PackError::Space)?.copy_from_slice(body.bytes);
    Ok(&mut out[..end])
}

/// Packs a gap into `out` and returns its bytes.
///
/// # Errors
/// `out` is too small ([`GAP_ENCODED_MAX`] is always enough), or the gap is out of range.
pub fn encode_gap<'a>(gap: &Gap, out: &'a mut [u8]) -> Result<&'a mut [u8], PackError> {
    if !gap.is_in_range() {
        return Err(PackError::Range);
    }
    let end = encode_head(GAP_V1, gap, out)?;
    Ok(&mut out[..end])
}

/// Decodes and checks a message of SAMPLES.
///
/// # Errors
/// If the bytes are not a message of a known version. Never panics.
pub fn decode(bytes: &[u8]) -> Result<Packed<'_>, Malformed> {
    let (&layout, rest) = bytes.split_first().ok_or(Malformed::Empty)?;
    match layout {
        BATCH_V1 => decode_batch(rest).map(Packed::Batch),
        GAP_V1 => decode_gap(rest).map(Packed::Gap),
        unknown => Err(Malformed::Layout(unknown)),
    }
}

fn decode_batch(bytes: &[u8]) -> Result<Batch<'_>, Malformed> {
    let (header, rest) = postcard::take_from_bytes::<BatchHeader>(bytes).map_err(|_| Malformed::Header)?;
    if !header.is_in_range() {
        return Err(Malformed::Range);
    }
    Ok(Batch { header, body: decode_body(header.count, rest)? })
}

/// Checks the packed samples of a batch of `count`, see [`encode_body`].
///
/// # Errors
/// If the bytes are not `count` packed samples. Never panics.
pub fn decode_body(count: u16, bytes: &[u8]) -> Result<Body<'_>, Malformed> {
    let (base, rest) = postcard::take_from_bytes::<i16>(bytes).map_err(|_| Malformed::Body)?;
    let (&width, rest) = rest.split_first().ok_or(Malformed::Body)?;
    if u32::from(width) > u16::BITS {
        return Err(Malformed::Range);
    }
    let packed = (usize::from(count) * usize::from(width)).div_ceil(8);
    if rest.len() < packed {
        return Err(Malformed::Body);
    }
    let (bits, runs) = rest.split_at(packed);
    check_runs(runs, usize::from(count))?;
    Ok(Body { bytes, count, base, width: u32::from(width), bits, runs })
}

fn decode_gap(bytes: &[u8]) -> Result<Gap, Malformed> {
    let (gap, rest) = postcard::take_from_bytes::<Gap>(bytes).map_err(|_| Malformed::Header)?;
    if !rest.is_empty() {
        return Err(Malformed::Body);
    }
    if gap.is_in_range() { Ok(gap) } else { Err(Malformed::Range) }
}

fn check_runs(mut runs: &[u8], count: usize) -> Result<(), Malformed> {
    let mut covered = 0usize;
    while !runs.is_empty() {
        let ((_, length), rest) = postcard::take_from_bytes::<(u8, u16)>(runs).map_err(|_| Malformed::Body)?;
        if length == 0 {
            return Err(Malformed::Body);
        }
        // Refused as soon as the sum exceeds `count`: a long foreign payload must not overflow 32 bits.
        covered += usize::from(length);
        if covered > count {
            return Err(Malformed::Body);
        }
        runs = rest;
    }
    if covered == count { Ok(()) } else { Err(Malformed::Body) }
}

fn encode_head<T: Serialize>(layout: u8, head: &T, out: &mut [u8]) -> Result<usize, PackError> {
    *out.first_mut().ok_or(PackError::Space)? = layout;
    let head = postcard::to_slice(head, space(out, 1)?).map_err(|_| PackError::Space)?;
    Ok(1 + head.len())
}

fn space(out: &mut [u8], at: usize) -> Result<&mut [u8], PackError> {
    out.get_mut(at..).ok_or(PackError::Space)
}
