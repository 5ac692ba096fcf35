//! When the power is cut: drawn from a seed, so that a run is repeatable as far as the machine allows.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// One history of boilers, from an empty disk through many cuts to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LifePlan {
    /// Counted from 1.
    pub(super) number: u32,
    /// Simulated seconds per real second.
    pub(super) speed: u32,
    /// Number of power cuts.
    pub(super) cuts: u32,
    /// Capacity of the devices' rings, in real seconds.
    pub(super) ring_s: u32,
    /// Each cut is in an outage of the server that is longer than the ring.
    pub(super) outages: bool,
}

/// Capacity of the firmware's ring.
pub(super) const RING_S: u32 = 120;
/// A short ring, so that an outage beyond it takes half a minute. Longer than a sync of nats-server or of the spill
/// file (10 s) and a start.
const SHORT_RING_S: u32 = 20;
/// Cuts of a short life. Each life starts on an empty disk and ends with the ledger.
const SHORT: u32 = 8;
/// Their speeds, in turn: at 60 an hour passes in a minute, 1 is real time.
const SHORT_SPEEDS: [u32; 4] = [60, 1, 60, 5];

/// Divides `cuts` into lives: one long history, some short ones at other speeds, some that need the spill file.
#[must_use]
pub(super) fn lives(cuts: u32) -> Vec<LifePlan> {
    let outages = cuts * 8 / 100;
    let short = cuts * 32 / 100;
    let long = LifePlan { number: 0, speed: 5, cuts: cuts - outages - short, ring_s: RING_S, outages: false };
    let shorts =
        pieces(short).zip(SHORT_SPEEDS.into_iter().cycle()).map(|(cuts, speed)| LifePlan { speed, cuts, ..long });
    let beyond = LifePlan { speed: 2, ring_s: SHORT_RING_S, outages: true, ..long };
    let beyonds = pieces(outages).map(|cuts| LifePlan { cuts, ..beyond });
    let lives = [long].into_iter().chain(shorts).chain(beyonds);
    (1..).zip(lives).map(|(number, life)| LifePlan { number, ..life }).collect()
}

fn pieces(cuts: u32) -> impl Iterator<Item = u32> {
    (0..cuts.div_ceil(SHORT)).map(move |at| (cuts - at * SHORT).min(SHORT))
}

/// What a cut interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Everything was just started on an empty disk, and the streams are new.
    Creation,
    /// Steady load.
    Load,
    /// An hour was just closed.
    Hour,
    /// Everything was just started after the previous cut: journal, server, refill.
    Start,
    /// nats-server was killed and has just been started again.
    Server,
    /// nats-server is away.
    Outage,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub(super) const ALL: [Self; 6] = [Self::Creation, Self::Load, Self::Hour, Self::Start, Self::Server, Self::Outage];

    /// As text.
    #[must_use]
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Creation => "after the streams were created",
            Self::Load => "under load",
            Self::Hour => "after an hour was closed",
            Self::Start => "while everything starts after a cut",
            Self::Server => "after a start of nats-server",
            Self::Outage => "while nats-server is away",
        }
    }
}

/// What is interrupted, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) kind: Kind,
    /// The time since its beginning.
    pub(super) after: Duration,
}

/// Draws moments.
#[derive(Debug)]
pub(super) struct Chance {
    rng: ChaCha8Rng,
    outages: bool,
}

impl Chance {
    /// Of one life.
    #[must_use]
    pub(super) fn new(seed: u64, life: &LifePlan) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::from(life.number));
        Self { rng, outages: life.outages }
    }

    #[must_use]
    pub(super) fn first(&mut self) -> Moment {
        self.moment(Kind::Creation, 0..8_000)
    }

    /// A later cut. Loads and outages last up to more than nats-server's sync interval of 10 s.
    #[must_use]
    pub(super) fn next(&mut self) -> Moment {
        let choice = self.rng.random_range(0..100);
        match (self.outages, choice) {
            (true, 0..75) => self.moment(Kind::Outage, 22_000..30_000),
            (true, _) => self.moment(Kind::Start, 500..4_000),
            (false, 0..45) => self.moment(Kind::Load, 200..14_000),
            (false, 45..65) => self.moment(Kind::Start, 0..3_000),
            (false, 65..80) => self.moment(Kind::Server, 0..1_500),
            (false, _) => self.moment(Kind::Outage, 500..14_000),
        }
    }

    /// A load that is long enough for nats-server to sync in any case.
    #[must_use]
    pub(super) fn long_load(&mut self) -> Moment {
        self.moment(Kind::Load, 11_500..14_000)
    }

    /// Soon after the end of an hour.
    #[must_use]
    pub(super) fn hour(&mut self) -> Moment {
        self.moment(Kind::Hour, 0..4_000)
    }

    /// How long the load runs ahead of an outage.
    #[must_use]
    pub(super) fn before(&mut self) -> Duration {
        Duration::from_millis(self.rng.random_range(0..3_000))
    }

    /// True in half of the cases.
    #[must_use]
    pub(super) fn coin(&mut self) -> bool {
        self.rng.random()
    }

    fn moment(&mut self, kind: Kind, after_ms: std::ops::Range<u64>) -> Moment {
        Moment { kind, after: Duration::from_millis(self.rng.random_range(after_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lives_have_all_the_cuts() {
        for cuts in [1, 5, 20, 60, 200, 999] {
            let lives = lives(cuts);
            assert_eq!(lives.iter().map(|life| life.cuts).sum::<u32>(), cuts);
            assert!(lives.iter().all(|life| life.cuts > 0), "{lives:?}");
            assert!((1..).zip(&lives).all(|(number, life)| life.number == number));
        }
        let lives = lives(200);
        assert_eq!(lives.iter().filter(|life| life.outages).map(|life| life.cuts).sum::<u32>(), 16);
        assert_eq!(lives.len(), 11);
    }

    #[test]
    fn every_kind_is_drawn_and_a_seed_draws_the_same_again() {
        let life = lives(200)[0];
        let draw = |seed| {
            let mut chance = Chance::new(seed, &life);
            (0..100).map(|_| chance.next()).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
        for kind in [Kind::Load, Kind::Start, Kind::Server, Kind::Outage] {
            assert!(drawn.iter().filter(|moment| moment.kind == kind).count() >= 5, "{kind:?}");
        }
    }
}
