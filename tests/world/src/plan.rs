//! What a seed has in store: a swarm, in which each world has its own few kinds of faults.
//!
//! A world with every fault at once finds less than many worlds with some: faults hide each other.

use crate::random::Random;

/// A nanosecond count.
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
/// So many worlds of a thousand are sieges of the server, and of the cable.
const SIEGES: [u64; 2] = [60, 40];

/// A kind of fault, as counted and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The agent's process is killed, and started again.
    AgentCrash,
    /// The aggregator's is.
    AggregatorCrash,
    /// The cable is pulled, and put back.
    Unplug,
    /// The server cannot be reached.
    Outage,
    /// It comes back without the last seconds of each stream.
    Rollback,
    /// It comes back without SAMPLES.
    Wipe,
    /// It answers no publish until it is restarted: a full disk.
    Freeze,
    /// The firmware starts again.
    Reboot,
    /// The wall clock steps.
    ClockStep,
    /// The gateway sleeps.
    Suspend,
    /// Bits flip and bytes vanish on the line.
    Noise,
    /// The line stalls.
    Stall,
    /// An acknowledgement, or the message itself, is lost.
    LostAck,
    /// A message arrives long after its sender has given it up.
    Zombie,
    /// The spill file cannot be synced.
    DiskError,
    /// Old bytes of the line come again.
    Replayed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::AgentCrash,
        Self::AggregatorCrash,
        Self::Unplug,
        Self::Outage,
        Self::Rollback,
        Self::Wipe,
        Self::Freeze,
        Self::Reboot,
        Self::ClockStep,
        Self::Suspend,
        Self::Noise,
        Self::Stall,
        Self::LostAck,
        Self::Zombie,
        Self::DiskError,
        Self::Replayed,
    ];

    /// Its place in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|&kind| kind == self).expect("ALL holds every kind")
    }
}

/// A planted bug: what a shell does wrong, so that the judge can show that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The agent publishes whatever the subject ends with.
    NoExpectation,
    /// A publish without an answer is sent again as it is, behind whatever is there.
    BlindRetry,
    /// The aggregator knows messages again by their sequence number within a boot alone.
    DedupBySeq,
    /// It does not know them again at all: what is delivered twice is counted twice.
    NoDedup,
    /// `Resume` asks for the slot behind the one that is wanted.
    ResumeTooFar,
    /// The agent's own memory of the stream's end is believed before the stream.
    OwnMemory,
    /// A pane is filed a second late.
    WindowOff,
    /// Snapshots are published whatever stands there.
    SnapshotBlind,
    /// Samples feed the device's clock.
    SamplesFeedOffset,
    /// The monotonic clock follows the steps of the wall clock.
    StepLeaks,
    /// A set-point acts on whatever boot it meets.
    LeaseUnbound,
    /// A gap counts wherever it begins.
    GapAnywhere,
    /// The spill file is never read.
    SpillUnread,
}

impl Bug {
    /// Every bug, with the name by which it is asked for.
    pub const ALL: [(&'static str, Self); 13] = [
        ("no-expectation", Self::NoExpectation),
        ("blind-retry", Self::BlindRetry),
        ("dedup-by-seq", Self::DedupBySeq),
        ("no-dedup", Self::NoDedup),
        ("resume-too-far", Self::ResumeTooFar),
        ("own-memory", Self::OwnMemory),
        ("window-off", Self::WindowOff),
        ("snapshot-blind", Self::SnapshotBlind),
        ("samples-feed-offset", Self::SamplesFeedOffset),
        ("step-leaks", Self::StepLeaks),
        ("lease-unbound", Self::LeaseUnbound),
        ("gap-anywhere", Self::GapAnywhere),
        ("spill-unread", Self::SpillUnread),
    ];
}

/// The rates of one world. Faults of the line and of answers are per thousand frames or requests.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kinds: Vec<Kind>,
    /// Mean time between two faults that have a moment.
    pub(crate) every: u64,
    /// The longest outage.
    pub(crate) outage: u64,
    /// What a fault that has a moment is drawn from.
    pub(crate) moments: Vec<Kind>,
    /// What is away for longer than the device remembers, again and again. The server: the agent dies meanwhile, and
    /// only the spill file has the samples. The cable: the ring is behind at each plug, and names it, also when old
    /// requests come again.
    pub(crate) siege: Option<Kind>,
    /// What the device remembers, in slots.
    pub(crate) ring: usize,
    /// Of the faults.
    pub(crate) length: u64,
    /// From the start to the next full hour.
    pub(crate) to_hour: u64,
    pub(crate) drift_ppm: i64,
    /// Nothing may be lost: every outage is well inside the ring, and boots do not end.
    pub(crate) lossless: bool,
}

impl Plan {
    pub(crate) fn of(random: &mut Random) -> Self {
        let lossless = random.chance(400);
        let destroys = [Kind::Reboot, Kind::Wipe];
        let mut kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|_| random.chance(350)).collect();
        if lossless {
            kinds.retain(|kind| !destroys.contains(kind));
        }
        // A whole hour in one world of fifty; in the others the hour's end lies within the faults.
        let long = random.chance(20);
        let length = if long { 3_700 * SECOND } else { (150 + random.below(200)) * SECOND };
        let ring = if lossless || random.chance(500) { 12_000 } else { 2_500 };
        let outage = if lossless { 15 } else { 20 + random.below(100) } * SECOND;
        let plan = Self {
            kinds,
            moments: Kind::ALL.to_vec(),
            siege: None,
            every: (4 + random.below(40)) * SECOND,
            outage,
            ring,
            length,
            to_hour: (20 + random.below(if long { 3_000 } else { 100 })) * SECOND,
            drift_ppm: i64::try_from(random.below(120)).unwrap_or(0) - 60,
            lossless,
        };
        // A draw that leaves the stream of numbers as it is: the other worlds do not depend on it.
        match random.clone().below(1_000) {
            draw if draw < SIEGES[0] => plan.besieged(Kind::Outage, Kind::AgentCrash),
            draw if draw < SIEGES[0] + SIEGES[1] => plan.besieged(Kind::Unplug, Kind::Replayed),
            _ => plan,
        }
    }

    /// A world in which nothing goes wrong.
    pub(crate) fn quiet(length: u64) -> Self {
        Self {
            kinds: Vec::new(),
            every: length.max(SECOND),
            outage: 0,
            moments: Kind::ALL.to_vec(),
            siege: None,
            ring: 12_000,
            length,
            to_hour: 1_800 * SECOND,
            drift_ppm: 0,
            lossless: true,
        }
    }

    /// The same world as a siege.
    fn besieged(mut self, away: Kind, meanwhile: Kind) -> Self {
        let sieges = [meanwhile, away];
        // A wipe takes what was delivered, and with it the proof.
        self.kinds.retain(|kind| *kind != Kind::Wipe && !sieges.contains(kind));
        self.kinds.extend(sieges);
        Self {
            every: 12 * SECOND,
            outage: 120 * SECOND,
            moments: sieges.to_vec(),
            siege: Some(away),
            ring: 2_500,
            lossless: false,
            ..self
        }
    }

    /// How long what `kind` takes away stays away. Most are short; a few are as long as they may be.
    pub(crate) fn away(&self, kind: Kind, random: &mut Random) -> u64 {
        let long = self.siege.map_or_else(|| random.chance(250), |away| kind == away);
        match (long, self.siege.is_some()) {
            (true, true) => self.outage / 2 + random.below(self.outage / 2),
            (true, false) => random.below(self.outage),
            (false, _) => random.below(self.outage / 8),
        }
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    pub(crate) fn has_any(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|&kind| self.has(kind))
    }
}
