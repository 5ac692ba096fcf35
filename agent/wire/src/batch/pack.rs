//! Temperatures by frame of reference: differences of a fixed width, least significant bit first.
//!
//! Both directions hold at most one field and seven bits in a register, so neither needs the whole batch at once.

use super::PackError;
use crate::{CentiCelsius, Reading};

/// `value` − `base`, for a `base` of at most `value`: 0 to 65,535.
pub(super) fn above(value: i16, base: i16) -> u16 {
    value.wrapping_sub(base).cast_unsigned()
}

pub(super) fn pack_bits(readings: &[Reading], base: i16, width: u32, out: &mut [u8]) -> Result<usize, PackError> {
    let mut held = 0u32;
    let mut held_bits = 0u32;
    let mut at = 0;
    for reading in readings {
        held |= u32::from(above(reading.temperature.0, base)) << held_bits;
        held_bits += width;
        while held_bits >= 8 {
            *out.get_mut(at).ok_or(PackError::Space)? = held.to_le_bytes()[0];
            at += 1;
            held >>= 8;
            held_bits -= 8;
        }
    }
    if held_bits > 0 {
        *out.get_mut(at).ok_or(PackError::Space)? = held.to_le_bytes()[0];
        at += 1;
    }
    Ok(at)
}

/// The samples of a batch in order.
#[derive(Clone, Debug)]
pub struct Readings<'a> {
    left: u16,
    base: i16,
    width: u32,
    bits: &'a [u8],
    held: u32,
    held_bits: u32,
    runs: &'a [u8],
    mark: u8,
    run_left: u16,
}

impl<'a> Readings<'a> {
    /// Expects parts that `decode` has checked: `bits` holds `count` fields, `runs` add up to `count`.
    pub(super) fn new(count: u16, base: i16, width: u32, bits: &'a [u8], runs: &'a [u8]) -> Self {
        Self { left: count, base, width, bits, held: 0, held_bits: 0, runs, mark: 0, run_left: 0 }
    }
}

impl Iterator for Readings<'_> {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        self.left = self.left.checked_sub(1)?;
        if self.run_left == 0 {
            let ((mark, length), rest) = postcard::take_from_bytes::<(u8, u16)>(self.runs).ok()?;
            (self.mark, self.run_left, self.runs) = (mark, length, rest);
        }
        self.run_left -= 1;
        while self.held_bits < self.width {
            let (&byte, rest) = self.bits.split_first()?;
            self.held |= u32::from(byte) << self.held_bits;
            self.held_bits += 8;
            self.bits = rest;
        }
        let mask = (1u32 << self.width) - 1;
        let [low, high, ..] = (self.held & mask).to_le_bytes();
        self.held >>= self.width;
        self.held_bits -= self.width;
        let difference = u16::from_le_bytes([low, high]).cast_signed();
        Some(Reading { temperature: CentiCelsius(self.base.wrapping_add(difference)), marks: self.mark })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Readings<'_> {}
