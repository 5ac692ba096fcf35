//! The faults of a seed. This is swarm testing: each world has its own few kinds of faults.
//!
//! Many worlds with some faults find more than one with all of them, because faults hide each other.

use crate::random::Random;

/// Nanoseconds.
pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
/// Worlds per thousand with prolonged outages of the server, and of the cable.
const PROLONGED: [u64; 2] = [60, 40];
/// Worlds per thousand with many reboots and nothing that loses samples.
const REBOOTS: u64 = 60;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The agent's process is killed and restarted.
    AgentCrash,
    /// The aggregator's process is killed and restarted.
    AggregatorCrash,
    /// The cable is pulled and restored.
    Unplug,
    /// The server is unreachable.
    Outage,
    /// The server restarts without the last seconds of each stream.
    Rollback,
    /// The server restarts without SAMPLES.
    Wipe,
    /// The server answers no publish until it is restarted: disk full.
    Freeze,
    /// The firmware reboots.
    Reboot,
    /// The firmware samples nothing for a moment.
    Missed,
    /// The wall clock steps.
    ClockStep,
    /// The gateway is suspended.
    Suspend,
    /// Bits flip and bytes vanish on the line.
    Noise,
    /// The line stalls.
    Stall,
    /// An acknowledgement, or the message itself, is lost.
    LostAck,
    /// A message arrives after its sender's timeout.
    Zombie,
    /// The server refuses messages with more than a few slots.
    SizeLimit,
    /// The spill file cannot be synced.
    DiskError,
    /// Old bytes of the line are replayed.
    Replayed,
}

impl Kind {
    pub const ALL: [Self; 18] = [
        Self::AgentCrash,
        Self::AggregatorCrash,
        Self::Unplug,
        Self::Outage,
        Self::Rollback,
        Self::Wipe,
        Self::Freeze,
        Self::Reboot,
        Self::Missed,
        Self::ClockStep,
        Self::Suspend,
        Self::Noise,
        Self::Stall,
        Self::LostAck,
        Self::Zombie,
        Self::SizeLimit,
        Self::DiskError,
        Self::Replayed,
    ];

    /// Kinds that lose bytes of the line, or records of the agent or of SAMPLES.
    pub(crate) const LOSSY: [Self; 7] =
        [Self::AgentCrash, Self::Unplug, Self::Rollback, Self::Wipe, Self::Suspend, Self::Noise, Self::Replayed];

    /// Index in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|&kind| kind == self).expect("ALL holds every kind")
    }
}

/// A bug planted in a shell, to show that the judge finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The agent publishes without an expected sequence.
    NoExpectation,
    /// A publish without an answer is repeated unconditionally.
    BlindRetry,
    /// The aggregator deduplicates by sequence number within a boot, ignoring the boot.
    DedupBySeq,
    /// The aggregator does not deduplicate: redelivered messages are counted twice.
    NoDedup,
    /// `Resume` requests the slot after the wanted one.
    ResumeTooFar,
    /// The agent trusts its own memory of the stream's end instead of the stream.
    OwnMemory,
    /// Readings are counted in the pane one second later.
    WindowOff,
    /// Snapshots are published without an expected sequence.
    SnapshotBlind,
    /// The estimate of the device's clock is fed by samples.
    SamplesFeedOffset,
    /// The monotonic clock follows the steps of the wall clock.
    StepLeaks,
    /// A set-point is accepted in any boot.
    LeaseUnbound,
    /// A gap is accepted wherever it begins.
    GapAnywhere,
    /// The spill file is never read.
    SpillUnread,
}

impl Bug {
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

/// The faults and rates of one world. Faults of the line and of answers are per thousand frames or requests.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kinds: Vec<Kind>,
    /// Mean time between two timed faults.
    pub(crate) every: u64,
    /// Longest outage.
    pub(crate) outage: u64,
    /// Kinds to draw a timed fault from.
    pub(crate) timed: Vec<Kind>,
    /// A kind with repeated long outages. Of the server: the agent dies meanwhile, and only the spill file has the
    /// samples; or the firmware reboots, and only the agent has the samples of the ended boot. Of the cable: at each
    /// plug the ring has overwritten slots, and must report them, also when old requests are replayed.
    pub(crate) prolonged: Option<Kind>,
    /// Slots in the largest message that the server accepts.
    pub(crate) slots_max: u64,
    /// Size of the ring in slots.
    pub(crate) ring: usize,
    /// Length of the phase with faults.
    pub(crate) length: u64,
    /// Time from the start to the next full hour.
    pub(crate) to_hour: u64,
    pub(crate) drift_ppm: i64,
    /// Nothing may be lost: every outage is well within the ring, and there are no reboots.
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
        // A whole hour in one world of fifty; in the others the hour ends during the faults.
        let long = random.chance(20);
        let length = if long { 3_700 * SECOND } else { (150 + random.below(200)) * SECOND };
        let ring = if lossless || random.chance(500) { 12_000 } else { 2_500 };
        let outage = if lossless { 15 } else { 20 + random.below(100) } * SECOND;
        let plan = Self {
            kinds,
            timed: Kind::ALL.to_vec(),
            prolonged: None,
            slots_max: u64::MAX,
            every: (4 + random.below(40)) * SECOND,
            outage,
            ring,
            length,
            to_hour: (20 + random.below(if long { 3_000 } else { 100 })) * SECOND,
            drift_ppm: i64::try_from(random.below(120)).unwrap_or(0) - 60,
            lossless,
        };
        // Drawn from a copy, so that the other worlds do not change.
        let mut random = random.clone();
        let [server, cable] = PROLONGED;
        match random.below(1_000) {
            draw if draw < server => plan.with_prolonged(Kind::Outage, Kind::AgentCrash),
            draw if draw < server + cable => plan.with_prolonged(Kind::Unplug, Kind::Replayed),
            draw if draw < server + cable + REBOOTS => plan.with_reboots(),
            _ => plan,
        }
        .with_size_limit(&mut random)
    }

    /// A world without faults.
    pub(crate) fn quiet(length: u64) -> Self {
        Self {
            kinds: Vec::new(),
            every: length.max(SECOND),
            outage: 0,
            timed: Kind::ALL.to_vec(),
            prolonged: None,
            slots_max: u64::MAX,
            ring: 12_000,
            length,
            to_hour: 1_800 * SECOND,
            drift_ppm: 0,
            lossless: true,
        }
    }

    /// The same world with prolonged outages of `away`.
    fn with_prolonged(mut self, away: Kind, meanwhile: Kind) -> Self {
        let faults = [meanwhile, away];
        // A wipe would remove what was delivered, and with it the proof.
        self.kinds.retain(|kind| *kind != Kind::Wipe && !faults.contains(kind));
        self.kinds.extend(faults);
        Self {
            every: 12 * SECOND,
            outage: 120 * SECOND,
            timed: faults.to_vec(),
            prolonged: Some(away),
            ring: 2_500,
            lossless: false,
            ..self
        }
    }

    /// The same world with a reboot every few seconds, mostly while the server is away, and without [`Kind::LOSSY`].
    fn with_reboots(mut self) -> Self {
        let faults = [Kind::Reboot, Kind::Outage];
        self.kinds.retain(|kind| !faults.contains(kind) && !Kind::LOSSY.contains(kind));
        self.kinds.extend(faults);
        Self {
            every: 3 * SECOND,
            outage: 8 * SECOND,
            timed: faults.to_vec(),
            prolonged: Some(Kind::Outage),
            lossless: false,
            ..self
        }
    }

    /// Draws the limit. A message whose answer is lost takes two seconds: then smaller ones would not keep up.
    fn with_size_limit(mut self, random: &mut Random) -> Self {
        if self.has(Kind::SizeLimit) {
            let least = if self.has_any(&[Kind::LostAck, Kind::Zombie]) { 30 } else { 1 };
            self.slots_max = least + random.below(60);
        }
        self
    }

    /// Duration of the outage by `kind`. Most are short; a few are as long as allowed.
    pub(crate) fn away(&self, kind: Kind, random: &mut Random) -> u64 {
        let long = self.prolonged.map_or_else(|| random.chance(250), |away| kind == away);
        match (long, self.prolonged.is_some()) {
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
