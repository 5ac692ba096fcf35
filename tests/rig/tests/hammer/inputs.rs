//! Almost valid inputs, as a proptest strategy.
//!
//! An input begins as a valid one from our own encoders, in parts: messages without checksums, lines, members of an
//! object. Up to eight changes insert, replace, remove, repeat, swap or edit parts; then the parts are closed, which
//! adds frames and checksums. One input in four is edited after that as well. While the judge fails, proptest removes
//! changes and makes numbers smaller.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The maximum size of a repeated part, bytes.
const LONGEST: usize = 8_192;

/// A part of an input, without checksum and frame.
pub(crate) type Part = Vec<u8>;

/// Printed as the byte string for the `cases` of a target.
#[derive(Clone)]
pub(crate) struct Input(pub(crate) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// The inputs of a target.
pub(crate) struct Grammar {
    /// Valid inputs, in parts.
    pub(crate) seeds: Vec<Vec<Part>>,
    /// Parts to insert.
    parts: BoxedStrategy<Part>,
    /// Words that the decoder knows, with `|` between them: random bytes never hit them.
    words: &'static str,
    /// Weight of changes that are likely to be accepted.
    gentle: u32,
    /// Joins parts to an input in which every checksum matches.
    pub(crate) close: fn(&[Part]) -> Vec<u8>,
}

impl Grammar {
    pub(crate) fn new(seeds: Vec<Vec<Part>>, close: fn(&[Part]) -> Vec<u8>) -> Self {
        let parts = select(seeds.concat()).boxed();
        Self { seeds, parts, words: "\0", gentle: 2, close }
    }

    /// Adds parts to those of the seeds.
    pub(crate) fn with_parts(self, parts: impl Strategy<Value = Part> + 'static) -> Self {
        Self { parts: prop_oneof![self.parts, parts].boxed(), ..self }
    }

    pub(crate) fn with_words(self, words: &'static str) -> Self {
        Self { words, ..self }
    }

    /// For a text whose syntax most changes break.
    pub(crate) fn with_text(self, words: &'static str) -> Self {
        Self { words, gentle: 12, ..self }
    }

    pub(crate) fn inputs(self) -> BoxedStrategy<Input> {
        let close = self.close;
        let edits = few(edit(self.words, self.gentle).boxed(), 4);
        let changes = few(change(self.parts, edits.clone(), self.gentle).boxed(), 8);
        let closed_edits = prop_oneof![1 + self.gentle => Just(Vec::new()), 1 => edits];
        (select(self.seeds), changes, closed_edits)
            .prop_map(move |(mut parts, changes, edits)| {
                changes.into_iter().for_each(|change| change.apply(&mut parts));
                let mut input = close(&parts);
                edits.iter().for_each(|edit| edit.apply(&mut input));
                Input(input)
            })
            .boxed()
    }
}

/// One item as often as several: almost valid inputs get furthest.
fn few<T: fmt::Debug + 'static>(item: BoxedStrategy<T>, most: usize) -> BoxedStrategy<Vec<T>> {
    prop_oneof![vec(item.clone(), 1), vec(item, 2..=most)].boxed()
}

/// A change of the parts.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, Part),
    Replace(Index, Part),
    Remove(Index),
    Repeat(Index, usize),
    Swap(Index, Index),
    Edit(Index, Vec<Edit>),
}

fn change(parts: BoxedStrategy<Part>, edits: BoxedStrategy<Vec<Edit>>, gentle: u32) -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), parts.clone()).prop_map(|(at, part)| Change::Insert(at, part)),
        2 => (at(), parts).prop_map(|(at, part)| Change::Replace(at, part)),
        1 => at().prop_map(Change::Remove),
        1 => (at(), prop_oneof![4 => Just(2), 1 => 2..200_usize]).prop_map(|(at, times)| Change::Repeat(at, times)),
        1 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        3 + gentle => (at(), edits).prop_map(|(at, edits)| Change::Edit(at, edits)),
    ]
}

impl Change {
    fn apply(self, parts: &mut Vec<Part>) {
        let len = parts.len();
        match self {
            Self::Insert(at, part) => parts.insert(at.index(len + 1), part),
            _ if len == 0 => {}
            Self::Replace(at, part) => parts[at.index(len)] = part,
            Self::Remove(at) => drop(parts.remove(at.index(len))),
            Self::Repeat(at, times) => {
                let at = at.index(len);
                let times = times.min(LONGEST / (parts[at].len() + 1));
                parts.splice(at..at, vec![parts[at].clone(); times]);
            }
            Self::Swap(a, b) => parts.swap(a.index(len), b.index(len)),
            Self::Edit(at, edits) => edits.iter().for_each(|edit| edit.apply(&mut parts[at.index(len)])),
        }
    }
}

/// A change of bytes.
#[derive(Clone, Debug)]
enum Edit {
    /// Off-by-one errors of lengths and counts.
    Add(Index, u8),
    /// Other bytes instead of that many.
    Replace(Index, usize, Vec<u8>),
    /// A number in postcard's encoding instead of the next bytes.
    Varint(Index, u64),
    /// A number as text instead of the next one.
    Numeral(Index, String),
}

fn edit(words: &'static str, gentle: u32) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let word = select(words.split('|').collect::<Vec<_>>()).prop_map(|word| word.as_bytes().to_vec());
    let fixed = (number(), 0..4_u32, any::<bool>()).prop_map(|(number, width, big_endian)| {
        let mut bytes = number.to_le_bytes()[..1 << width].to_vec();
        if big_endian {
            bytes.reverse();
        }
        bytes
    });
    let piece = prop_oneof![vec(any::<u8>(), 0..8), fixed, word];
    let pieces = (piece, prop_oneof![15 => Just(1), 1 => 2..200_usize]).prop_map(|(piece, n)| piece.repeat(n));
    let len = prop_oneof![2 => Just(0), 6 => 1..=8_usize, 1 => 9..=64_usize, 1 => Just(usize::MAX)];
    prop_oneof![
        1 => (at(), prop_oneof![1..=16_u8, 240..=255_u8]).prop_map(|(at, by)| Edit::Add(at, by)),
        3 => (at(), len, pieces).prop_map(|(at, len, with)| Edit::Replace(at, len, with)),
        2 => (at(), number()).prop_map(|(at, number)| Edit::Varint(at, number)),
        gentle => (at(), numeral()).prop_map(|(at, text)| Edit::Numeral(at, text)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Add(at, by) => {
                let at = at.index(bytes.len() + 1);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(*by));
            }
            Self::Replace(at, len, with) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at.saturating_add(*len).min(bytes.len()), with.iter().copied());
            }
            Self::Varint(at, number) => {
                let at = at.index(bytes.len() + 1);
                let old = bytes[at..].iter().take(10).position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
                bytes.splice(at..at + old, varint(*number));
            }
            Self::Numeral(at, text) => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e');
                let at = at.index(bytes.len() + 1);
                let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
                    return;
                };
                let from = bytes[..digit].iter().rposition(|byte| !is_part(byte)).map_or(0, |before| before + 1);
                let len = bytes[from..].iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len() - from);
                bytes.splice(from..from + len, text.bytes());
            }
        }
    }
}

fn varint(mut left: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    bytes.push(left.to_le_bytes()[0]);
    bytes
}

/// Any number; more often a small one, or one next to a power of two, where every width ends.
pub(crate) fn number() -> impl Strategy<Value = u64> + Clone {
    let edge = (0..64_u32, -2..=2_i64).prop_map(|(bit, by)| (1_u64 << bit).wrapping_add_signed(by));
    prop_oneof![2 => edge, 1 => 0..=1_001_u64, 1 => any::<u64>()]
}

/// The same as text, with signs, fractions and exponents.
fn numeral() -> impl Strategy<Value = String> {
    prop_oneof![
        number().prop_map(|number| number.to_string()),
        number().prop_map(|number| format!("-{number}")),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        (-200.0..200.0).prop_map(|number: f64| number.to_string()),
        select(&["-0", "1e308", "-1e308", "1e999", "5e-324", "18446744073709551616", "0.30000000000000004"][..])
            .prop_map(str::to_owned),
    ]
}
