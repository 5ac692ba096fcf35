//! Mutations: what turns a good input into one that is nearly good.
//!
//! Each takes bytes and leaves bytes; up to eight are stacked. Where a target has checksums, every other mutation
//! happens behind them: the parts are opened, one is mutated, and all are closed again.

use rand::{Rng, RngExt as _};
use rand_chacha::ChaCha8Rng;

use super::judge::{Parts, Target};

/// What a decoder of numbers has to get right: the ends of every width, and what lies beside them.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    0x7e,
    0x7f,
    0x80,
    0xff,
    0x100,
    1_000,
    1_001,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_fffe,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

/// The same for decoders of text.
const TEXT_NUMBERS: [&str; 21] = [
    "0",
    "-0",
    "-1",
    "1.5",
    "0.1",
    "1e308",
    "-1e308",
    "1e-320",
    "5e-324",
    "255",
    "65535",
    "65536",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "999999999999999999",
    "99999999999999999999999999999999999999",
    "170141183460469231731687303715884105727",
];

/// Most mutations in a row.
const STACK: u32 = 8;
/// Most bytes that one mutation inserts or removes.
const PIECE: usize = 48;

/// Makes inputs for one target, the same ones for the same seed.
#[derive(Debug)]
pub(super) struct Mutator {
    rng: ChaCha8Rng,
    target: &'static Target,
}

impl Mutator {
    pub(super) fn new(rng: ChaCha8Rng, target: &'static Target) -> Self {
        Self { rng, target }
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// A mutation of `input`; `other` is spliced in now and then.
    pub(super) fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut mutant = match &self.target.parts {
            Some(Parts { open, close }) if self.rng.random() => {
                let mut parts = open(input);
                self.mutate_parts(&mut parts, &open(other));
                close(&parts)
            }
            Some(_) | None => {
                let mut mutant = input.to_vec();
                self.stack(&mut mutant, other);
                mutant
            }
        };
        mutant.truncate(self.target.longest);
        mutant
    }

    /// Mutates parts, and which there are.
    fn mutate_parts(&mut self, parts: &mut Vec<Vec<u8>>, others: &[Vec<u8>]) {
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let at = self.below(parts.len());
        match self.below(8) {
            0 => {
                let part = parts[at].clone();
                parts.insert(at, part);
            }
            1 => {
                parts.remove(at);
                return;
            }
            2 if !others.is_empty() => {
                let other = others[self.below(others.len())].clone();
                parts.insert(at, other);
            }
            // Parts as short as that may be numbers.
            3 | 4 if parts[at].len() <= 10 => {
                parts[at] = self.varint();
                return;
            }
            5 => {
                let with = self.below(parts.len());
                parts.swap(at, with);
            }
            _ => {}
        }
        if self.rng.random() {
            let other = if others.is_empty() { &[][..] } else { &others[self.below(others.len())] };
            self.stack(&mut parts[at], other);
        }
    }

    fn stack(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        // One alone as often as more: what is nearly good gets furthest.
        let times = if self.rng.random() { 1 } else { self.rng.random_range(1..=STACK) };
        for _ in 0..times {
            self.once(bytes, other);
        }
    }

    fn once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        match self.below(12) {
            0 => self.flip(bytes),
            1 => self.set(bytes),
            2 => self.step(bytes),
            3 => self.write_number(bytes),
            4 => self.write_varint(bytes),
            5 => self.write_text_number(bytes),
            6 => self.cut(bytes),
            7 => self.copy(bytes),
            8 => self.insert(bytes),
            9 => self.word(bytes),
            10 => self.splice(bytes, other),
            _ => self.truncate(bytes),
        }
    }

    /// A range that lies in `len` bytes.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        if len == 0 {
            return 0..0;
        }
        let from = self.below(len);
        let most = PIECE.min(len - from);
        from..from + 1 + self.below(most)
    }

    /// A place in `len` bytes, or behind them.
    fn place(&mut self, len: usize) -> usize {
        self.below(len + 1)
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.rng.random_range(0..8);
        }
    }

    fn set(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] = self.rng.random();
        }
    }

    /// A little more or less: lengths and counts are missed by one.
    fn step(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let (at, by) = (self.below(bytes.len()), self.rng.random_range(1..=16));
            bytes[at] = if self.rng.random() { bytes[at].wrapping_add(by) } else { bytes[at].wrapping_sub(by) };
        }
    }

    /// A number of a fixed width, in either order.
    fn write_number(&mut self, bytes: &mut [u8]) {
        let mut number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
        let width = 1 << self.below(4);
        if self.rng.random() {
            number[..width].reverse();
        }
        if let Some(last) = bytes.len().checked_sub(width) {
            let at = self.place(last);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
    }

    /// A number as it stands in postcard.
    fn varint(&mut self) -> Vec<u8> {
        let mut left = NUMBERS[self.below(NUMBERS.len())];
        let mut varint = Vec::with_capacity(10);
        while left >= 0x80 {
            varint.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        varint.push(left.to_le_bytes()[0]);
        varint
    }

    /// Such a number in place of what may be one, or before it.
    fn write_varint(&mut self, bytes: &mut Vec<u8>) {
        let varint = self.varint();
        let at = self.place(bytes.len());
        let old = bytes[at..].iter().take(10).position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
        let end = if self.rng.random() { at + old } else { at };
        bytes.splice(at..end, varint);
    }

    /// A number as text, in place of one that stands there, with sign, fraction and exponent.
    fn write_text_number(&mut self, bytes: &mut Vec<u8>) {
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e');
        let at = self.place(bytes.len());
        let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else { return };
        let from = bytes[..digit].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
        let len = bytes[from..].iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len() - from);
        let number = TEXT_NUMBERS[self.below(TEXT_NUMBERS.len())];
        bytes.splice(from..from + len, number.bytes());
    }

    fn cut(&mut self, bytes: &mut Vec<u8>) {
        let range = self.range(bytes.len());
        bytes.drain(range);
    }

    /// What stands there once stands there more often: now and then so often that a limit is passed.
    fn copy(&mut self, bytes: &mut Vec<u8>) {
        let range = self.range(bytes.len());
        let times = if self.below(16) == 0 { self.below(200) } else { 1 };
        let piece = bytes[range].repeat(times);
        let room = self.target.longest.saturating_sub(bytes.len());
        let at = self.place(bytes.len());
        bytes.splice(at..at, piece.into_iter().take(room));
    }

    fn insert(&mut self, bytes: &mut Vec<u8>) {
        let mut piece = vec![0; 1 + self.below(8)];
        if self.rng.random() {
            self.rng.fill_bytes(&mut piece);
        } else {
            piece.fill(self.rng.random());
        }
        let at = self.place(bytes.len());
        bytes.splice(at..at, piece);
    }

    fn word(&mut self, bytes: &mut Vec<u8>) {
        if self.target.words.is_empty() {
            return self.insert(bytes);
        }
        let word = self.target.words[self.below(self.target.words.len())];
        let at = self.place(bytes.len());
        let end = if self.rng.random() { at } else { (at + word.len()).min(bytes.len()) };
        bytes.splice(at..end, word.iter().copied());
    }

    /// A piece of another input, or its whole end.
    fn splice(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.place(bytes.len());
        if self.rng.random() {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[self.place(other.len())..]);
        } else {
            let range = self.range(other.len());
            bytes.splice(at..at, other[range].iter().copied());
        }
    }

    fn truncate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes.len());
        bytes.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::super::targets::TARGETS;
    use super::*;

    fn mutants(target: &'static Target, seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(ChaCha8Rng::seed_from_u64(seed), target);
        let seeds = (target.seeds)();
        (0..300).map(|n| mutator.mutate(&seeds[n % seeds.len()], &seeds[0])).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_inputs() {
        for target in TARGETS {
            assert_eq!(mutants(target, 7), mutants(target, 7), "{}", target.name);
            assert_ne!(mutants(target, 7), mutants(target, 8), "{}", target.name);
        }
    }

    #[test]
    fn no_input_is_longer_than_its_target_says() {
        for target in TARGETS {
            assert!(mutants(target, 1).iter().all(|mutant| mutant.len() <= target.longest), "{}", target.name);
        }
    }

    /// Behind a checksum the mutations must arrive, or the whole layout behind it is never tried.
    #[test]
    fn many_mutants_are_accepted() {
        for target in TARGETS.iter().filter(|target| target.parts.is_some()) {
            let accepted = |mutant: &Vec<u8>| (target.judge)(mutant).is_ok_and(|trace| trace.is_accepted());
            let accepted = mutants(target, 3).iter().filter(|mutant| accepted(mutant)).count();
            assert!(accepted > 20, "{}: {accepted} of 300", target.name);
        }
    }
}
