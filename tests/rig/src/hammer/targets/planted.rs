//! Decoders with one defect each. They are not hammered unless they are named; a test shows that each is found.

use std::hint::black_box;

use super::line;
use crate::hammer::judge::{Complaint, Target, Trace};

const NONE: Target = Target {
    name: "planted",
    what: "a decoder with a defect",
    longest: 256,
    seeds: || vec![b"seed 0 0 0".to_vec()],
    words: &[],
    parts: None,
    judge: |input| Ok(Trace::of(input.len())),
    cases: "",
};

pub(super) const TARGETS: &[Target] = &[
    // Only behind a good checksum: mutations of the whole never get there.
    Target {
        name: "planted-panic",
        what: "indexes by a length that was read",
        seeds: line::TO_DEVICE.seeds,
        parts: Some(line::PARTS),
        judge: panic_behind_checksum,
        ..NONE
    },
    Target { name: "planted-lie", what: "forgets the third digit", judge: lie, ..NONE },
    Target { name: "planted-memory", what: "allocates what a length says", judge: allocate, ..NONE },
    Target { name: "planted-loop", what: "counts by a step that may be 0", judge: count, ..NONE },
    Target { name: "planted-overflow", what: "calls itself as deep as the input says", judge: nest, ..NONE },
];

fn panic_behind_checksum(input: &[u8]) -> Result<Trace, Complaint> {
    for body in (line::PARTS.open)(input) {
        let sealed = (line::PARTS.close)(std::slice::from_ref(&body));
        if input.windows(sealed.len()).any(|window| window == sealed) && body.first() == Some(&1) {
            let at = usize::from(body.get(2).copied().unwrap_or(0));
            black_box([0u8; 250][at]);
        }
    }
    Ok(Trace::of(input.len()))
}

fn lie(input: &[u8]) -> Result<Trace, Complaint> {
    let digits = input.iter().filter(|byte| byte.is_ascii_digit()).count();
    let mut trace = Trace::of(input.len());
    trace.note(digits);
    if digits > 6 { Err(Complaint("decode(encode(x)) is x".to_owned())) } else { Ok(trace) }
}

fn allocate(input: &[u8]) -> Result<Trace, Complaint> {
    if let Some((len, _)) = input.split_first_chunk() {
        let len = u32::from_le_bytes(*len) & 0x3fff_ffff;
        black_box(vec![1u8; usize::try_from(len).expect("32 bits fit")].len());
    }
    Ok(Trace::of(input.len()))
}

fn count(input: &[u8]) -> Result<Trace, Complaint> {
    let step = input.first().copied().unwrap_or(1);
    let mut at = 0u32;
    while at < 1_000 {
        at = black_box(at + u32::from(step));
    }
    Ok(Trace::of(input.len()))
}

fn nest(input: &[u8]) -> Result<Trace, Complaint> {
    fn deep(left: u64) -> u64 {
        let here = black_box([left; 64]);
        if left == 0 { 0 } else { deep(left - 1) + here[63] }
    }
    let depth = input.iter().filter(|&&byte| byte == b'[').count();
    black_box(deep(if depth > 3 { 1 << 40 } else { 0 }));
    Ok(Trace::of(input.len()))
}
