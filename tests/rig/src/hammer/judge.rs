//! What a target is, and what a judge says of one input.

use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A decoder under the hammer.
#[derive(Debug)]
pub(super) struct Target {
    /// Its name on the command line and in the corpus.
    pub(super) name: &'static str,
    /// What it takes, for `--list`.
    pub(super) what: &'static str,
    /// The longest input, in bytes: a few times what the decoder holds at once.
    pub(super) longest: usize,
    /// Good inputs from our own encoders.
    pub(super) seeds: fn() -> Vec<Vec<u8>>,
    /// Words that the decoder knows: without them no mutation finds them.
    pub(super) words: &'static [&'static [u8]],
    /// How an input falls into parts; none where it has none.
    pub(super) parts: Option<Parts>,
    /// Runs the decoder. A panic is a finding too, and so is the end of the process.
    pub(super) judge: fn(&[u8]) -> Result<Trace, Complaint>,
    /// The cases of earlier findings, as text: see [`super::record`].
    pub(super) cases: &'static str,
}

/// How inputs fall into parts. Above all it is the way behind a checksum: nothing that is mutated as a whole gets past.
#[derive(Debug)]
pub(super) struct Parts {
    /// The parts, without their checksums.
    pub(super) open: fn(&[u8]) -> Vec<Vec<u8>>,
    /// An input of such parts, in which every checksum matches.
    pub(super) close: fn(&[Vec<u8>]) -> Vec<u8>,
}

/// What an input led to, step by step. One that leads to a step, behind the one before it, that no other took is kept.
#[derive(Debug)]
pub(super) struct Trace {
    steps: Vec<u64>,
    last: u64,
    accepted: bool,
}

impl Trace {
    /// Nothing yet, of an input with that many bytes: only the power of two counts.
    pub(super) fn of(len: usize) -> Self {
        let mut trace = Self { steps: Vec::new(), last: 0, accepted: false };
        trace.note(len.checked_ilog2());
        trace
    }

    /// Something that happened.
    pub(super) fn note(&mut self, what: impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.step(&hasher);
    }

    /// How much there was of something: only the power of two counts.
    pub(super) fn note_size(&mut self, size: u64) {
        self.note(size.checked_ilog2());
    }

    /// Which variants and fields something has, without its numbers and texts: two values of one shape are alike.
    pub(super) fn note_shape(&mut self, what: &dyn Debug) {
        let mut shape = Shape { hasher: DefaultHasher::new(), quoted: false, escaped: false };
        fmt::write(&mut shape, format_args!("{what:?}")).expect("the hasher takes everything");
        self.step(&shape.hasher);
    }

    fn step(&mut self, hasher: &DefaultHasher) {
        let mut pair = hasher.clone();
        pair.write_u64(self.last);
        self.steps.push(pair.finish());
        self.last = hasher.finish();
    }

    /// Something was decoded.
    pub(super) fn accept(&mut self) {
        self.accepted = true;
    }

    /// Whether something was decoded.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The steps, each with the one before it.
    pub(super) fn steps(&self) -> &[u64] {
        &self.steps
    }
}

/// What a decoder did that it must not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Complaint(pub(super) String);

/// `promise` must hold; it is named where it does not.
pub(super) fn must(holds: bool, promise: &str) -> Result<(), Complaint> {
    if holds { Ok(()) } else { Err(Complaint(promise.to_owned())) }
}

/// Two ways to the same thing must give the same.
pub(super) fn same<T: PartialEq + Debug>(promise: &str, left: &T, right: &T) -> Result<(), Complaint> {
    if left == right { Ok(()) } else { Err(Complaint(format!("{promise}\n   left: {left:?}\n  right: {right:?}"))) }
}

/// Says what could not be done that must be possible.
pub(super) fn done<T, E: Debug>(promise: &str, result: Result<T, E>) -> Result<T, Complaint> {
    result.map_err(|error| Complaint(format!("{promise}: {error:?}")))
}

/// Hashes what is written into it, except for digits and what stands in quotes.
struct Shape {
    hasher: DefaultHasher,
    quoted: bool,
    escaped: bool,
}

impl fmt::Write for Shape {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.quoted {
                self.quoted = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
            } else {
                self.quoted = byte == b'"';
                if !(byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) {
                    self.hasher.write_u8(byte);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(what: &dyn Debug) -> Vec<u64> {
        let mut trace = Trace::of(0);
        trace.note_shape(what);
        trace.steps().to_vec()
    }

    #[test]
    fn a_shape_has_variants_and_no_values() {
        assert_eq!(shape(&(Some(-1.5), "a \" 7")), shape(&(Some(23.0), "")));
        assert_ne!(shape(&Some(1)), shape(&None::<u8>));
        assert_ne!(shape(&("a", 1)), shape(&(1, "a")));
    }
}
