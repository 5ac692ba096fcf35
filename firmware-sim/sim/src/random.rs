//! SplitMix64 (Steele, Lea and Flood 2014): numbers from a seed, and seeds from a seed.
//!
//! The numbers belong to the seeds of scenarios, worlds and tests: they must not change.

/// What a state grows by from one number to the next: the golden ratio.
pub const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number of a state.
#[must_use]
pub const fn mix(z: u64) -> u64 {
    let z = stir(z);
    z ^ (z >> 31)
}

/// The same without the last step, which only the lower half needs.
pub(crate) const fn stir(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        let state = |n: u64| 1_234_567_u64.wrapping_add(GAMMA.wrapping_mul(n));
        assert_eq!([mix(state(1)), mix(state(2))], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
