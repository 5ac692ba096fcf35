//! The cable: flips and loses bytes, stalls, and can be pulled. A wrapper with a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::scenario::{LineFault, LineFaultKind};

/// The cable of one boiler. Each direction has its own generator, so that requests do not change the noise on the
/// answers.
#[derive(Clone, Debug)]
pub struct Line {
    faults: Vec<LineFault>,
    to_gateway: Noise,
    to_device: Noise,
    broken: u64,
    pulled: bool,
    stalled_until_us: u64,
}

/// Direction of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the firmware.
    ToGateway,
    /// From the gateway.
    ToDevice,
}

impl Line {
    /// A cable with these faults, in simulated time.
    #[must_use]
    pub fn new(faults: Vec<LineFault>, seed: u64) -> Self {
        let noise = |stream| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(stream);
            Noise { rng, flip: Countdown::default(), loss: Countdown::default() }
        };
        Self { faults, to_gateway: noise(0), to_device: noise(1), broken: 0, pulled: false, stalled_until_us: 0 }
    }

    /// Pulls or restores the cable by hand, in addition to the scenario.
    pub fn pull(&mut self, pulled: bool) {
        self.pulled = pulled;
    }

    /// Holds all bytes back until `until_us`.
    pub fn stall(&mut self, until_us: u64) {
        self.stalled_until_us = until_us;
    }

    /// Corrupted bytes since the start.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// Whether the cable is plugged in at `now_us`.
    #[must_use]
    pub fn is_plugged(&self, now_us: u64) -> bool {
        !self.pulled && !self.now(now_us).any(|kind| kind == LineFaultKind::Unplug)
    }

    /// Whether the line stalls at `now_us`; bytes written then wait.
    #[must_use]
    pub fn is_stalled(&self, now_us: u64) -> bool {
        now_us < self.stalled_until_us || self.now(now_us).any(|kind| kind == LineFaultKind::Stall)
    }

    /// Applies the noise at `now_us` to `bytes`.
    pub fn disturb(&mut self, now_us: u64, direction: Direction, bytes: &mut Vec<u8>) {
        let (mut flips_ppm, mut losses_ppm) = (0.0, 0.0);
        for kind in self.now(now_us) {
            match kind {
                LineFaultKind::BitErrors { ppm } => flips_ppm += ppm,
                LineFaultKind::LostBytes { ppm } => losses_ppm += ppm,
                LineFaultKind::Stall | LineFaultKind::Unplug => {}
            }
        }
        let noise = match direction {
            Direction::ToGateway => &mut self.to_gateway,
            Direction::ToDevice => &mut self.to_device,
        };
        if losses_ppm > 0.0 {
            bytes.retain(|_| !noise.loss.strikes(losses_ppm, &mut noise.rng));
        }
        if flips_ppm > 0.0 {
            for byte in bytes {
                let sound = *byte;
                for bit in 0..8 {
                    *byte ^= u8::from(noise.flip.strikes(flips_ppm, &mut noise.rng)) << bit;
                }
                self.broken += u64::from(*byte != sound);
            }
        }
    }

    fn now(&self, now_us: u64) -> impl Iterator<Item = LineFaultKind> {
        self.faults.iter().filter(move |it| (it.from_us..it.until_us).contains(&now_us)).map(|fault| fault.kind)
    }
}

#[derive(Clone, Debug)]
struct Noise {
    rng: ChaCha8Rng,
    flip: Countdown,
    loss: Countdown,
}

/// Events at a given rate, with one draw per event instead of one per trial: the number of trials between two events is
/// geometrically distributed.
#[derive(Clone, Debug, Default)]
struct Countdown {
    ppm: f64,
    left: u64,
}

impl Countdown {
    fn strikes(&mut self, ppm: f64, rng: &mut ChaCha8Rng) -> bool {
        if ppm.to_bits() != self.ppm.to_bits() {
            self.ppm = ppm;
            self.left = self.draw(rng);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                false
            }
            None => {
                self.left = self.draw(rng);
                true
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer `as` saturates")]
    fn draw(&self, rng: &mut ChaCha8Rng) -> u64 {
        // In (0, 1], so that its logarithm is finite. At a rate of 1 the other logarithm is −∞, and the quotient 0.
        let uniform = (f64::from(rng.next_u32()) + 1.0) / 4_294_967_296.0;
        (uniform.ln() / (-(self.ppm / 1e6).min(1.0)).ln_1p()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn always(kind: LineFaultKind) -> Line {
        Line::new(vec![LineFault { from_us: 0, until_us: u64::MAX, kind }], 7)
    }

    #[test]
    fn noise_has_the_given_rate_and_follows_the_seed() {
        for ppm in [100.0, 20_000.0, 1_000_000.0] {
            let mut bytes = vec![0; 500_000];
            let mut line = always(LineFaultKind::BitErrors { ppm });
            let mut twin = line.clone();
            line.disturb(5, Direction::ToGateway, &mut bytes);
            let flipped: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
            let expected = 4e6 * ppm / 1e6;
            let broken = bytes.iter().filter(|byte| **byte != 0).count();
            assert_eq!(line.broken(), u64::try_from(broken).unwrap());
            assert!((f64::from(flipped) - expected).abs() <= expected * 0.2, "{flipped} of {expected}");

            // The noise depends neither on the chunking nor on the other direction.
            let mut pieces = Vec::new();
            for chunk in vec![0_u8; 500_000].chunks(777) {
                let (mut piece, mut other) = (chunk.to_vec(), vec![0; 100]);
                twin.disturb(5, Direction::ToDevice, &mut other);
                twin.disturb(5, Direction::ToGateway, &mut piece);
                pieces.extend(piece);
            }
            assert_eq!(bytes, pieces);
        }
    }

    #[test]
    fn lost_bytes_have_the_given_rate() {
        let mut bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        always(LineFaultKind::LostBytes { ppm: 10_000.0 }).disturb(0, Direction::ToDevice, &mut bytes);
        assert!((98_500..99_500).contains(&bytes.len()), "{}", bytes.len());
        always(LineFaultKind::LostBytes { ppm: 1_000_000.0 }).disturb(0, Direction::ToDevice, &mut bytes);
        assert!(bytes.is_empty());
    }

    #[test]
    fn cable_is_pulled_by_scenario_or_command() {
        let unplug = LineFault { from_us: 10, until_us: 20, kind: LineFaultKind::Unplug };
        let stall = LineFault { kind: LineFaultKind::Stall, ..unplug };
        let mut line = Line::new(vec![unplug, stall], 1);
        let seen: Vec<_> = [9, 10, 19, 20].iter().map(|&t| (line.is_plugged(t), line.is_stalled(t))).collect();
        assert_eq!(seen, [(true, false), (false, true), (false, true), (true, false)]);
        line.pull(true);
        line.stall(30);
        assert!(!line.is_plugged(25) && line.is_stalled(29) && !line.is_stalled(30));
    }
}
