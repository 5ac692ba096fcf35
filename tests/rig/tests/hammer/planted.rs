//! Decoders with one planted defect each, which proptest must find.

use std::hint::black_box;

use proptest::test_runner::{Config, TestError};

use super::inputs::{Grammar, Input};
use super::line;
use super::run::{self, Target};

/// Runs a decoder with a defect, and returns the input that failed.
fn found(test: &'static str, judge: fn(&[u8]) -> bool) -> Vec<u8> {
    let grammar = || Grammar::new(vec![vec![b"seed 0 0 0".to_vec()]], <[_]>::concat).with_words("[");
    found_in(test, Target { grammar, judge, cases: &[] })
}

fn found_in(test: &'static str, target: Target) -> Vec<u8> {
    // Each step of shrinking an endless loop takes the whole timeout.
    let config = Config { timeout: 1_000, max_shrink_iters: 2, ..run::config(test) };
    match run::run(config, &target) {
        Err(TestError::Fail(_, Input(input))) => input,
        other => panic!("no input failed: {other:?}"),
    }
}

/// It is reached only with a valid checksum: mutations of the whole message do not get there.
#[test]
fn panic_is_found() {
    fn judge(input: &[u8]) -> bool {
        for body in line::open(input) {
            if input.starts_with(&line::close(std::slice::from_ref(&body))) && body.first() == Some(&1) {
                let at = usize::from(body.get(2).copied().unwrap_or(0));
                black_box([0_u8; 250][at]);
            }
        }
        true
    }
    let target = Target { grammar: line::TO_DEVICE.grammar, judge, cases: &[] };
    let bodies = line::open(&found_in("hammer::planted::panic_is_found", target));
    assert!(bodies.iter().any(|body| body[0] == 1 && body[2] >= 250), "{bodies:?}");
}

#[test]
fn broken_promise_is_found() {
    fn digits(input: &[u8]) -> usize {
        input.iter().filter(|byte| byte.is_ascii_digit()).count()
    }
    fn judge(input: &[u8]) -> bool {
        assert!(digits(input) <= 6, "decode(encode(x)) is x");
        true
    }
    assert!(digits(&found("hammer::planted::broken_promise_is_found", judge)) > 6);
}

#[test]
fn allocation_by_length_is_found() {
    fn len(input: &[u8]) -> usize {
        let len = input.first_chunk().map_or(0, |len| u32::from_le_bytes(*len) & 0x3fff_ffff);
        usize::try_from(len).expect("32 bits fit")
    }
    fn judge(input: &[u8]) -> bool {
        black_box(vec![1_u8; len(input)].len());
        true
    }
    assert!(len(&found("hammer::planted::allocation_by_length_is_found", judge)) > 32 << 20);
}

#[test]
fn endless_loop_is_found() {
    fn judge(input: &[u8]) -> bool {
        let (step, mut at) = (input.first().copied().unwrap_or(1), 0);
        while at < 1_000 {
            at = black_box(at + u32::from(step));
        }
        true
    }
    assert_eq!(found("hammer::planted::endless_loop_is_found", judge)[0], 0);
}

#[test]
fn unbounded_recursion_is_found() {
    fn deep(left: u64) -> u64 {
        let here = black_box([left; 64]);
        if left == 0 { 0 } else { deep(left - 1) + here[63] }
    }
    fn is_nested(input: &[u8]) -> bool {
        input.iter().filter(|&&byte| byte == b'[').count() > 3
    }
    fn judge(input: &[u8]) -> bool {
        black_box(deep(if is_nested(input) { 1 << 40 } else { 0 }));
        true
    }
    assert!(is_nested(&found("hammer::planted::unbounded_recursion_is_found", judge)));
}
