//! The conformance kit: plays states and statuses of a made-up boiler to a controller under test, and judges what it
//! asks for.
//!
//! ```text
//!  ancient ▶ ageing ▶ fresh ▶ broken sensor ▶ fresh ▶ mixed ▶ locked out ▶ fresh ▶ silence ▶ fresh (▶ frozen)
//!  10 min    20 s     must    lie             must    lie     must not     must    nothing   must     the same
//!  old       old      ask                     ask             ask          ask     at all    ask      again
//! ```
//!
//! Where it must ask, a phase ends as soon as it has asked twice, or after `PATIENCE`. Where it must not, the phase
//! is longer than the interval at which leases of 60 s are usually renewed (`WATCH`). What was under way when it
//! began (`REACTION`; for silence and frozen states, the 5 s in which they are still fresh besides) does not count. A
//! release is always allowed. What is heard is judged as it was sent, also what the server refuses.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;
use thermowell_wire::line::Demand;
use thermowell_wire::{BoilerId, Boot};

use crate::published::{FreshnessLimits, Lease, State, Status};
use crate::time::{Monotonic, Now, Utc};

mod boiler;
#[cfg(test)]
mod tests;

/// Real time in which a controller that must ask has to.
const PATIENCE: Duration = Duration::from_secs(30);
/// Real time for what is under way when a phase begins.
const REACTION: Duration = Duration::from_secs(1);
/// Time of the boiler in which a controller would renew.
const WATCH: Duration = Duration::from_secs(20);
/// The longest lease of a device.
const LEASE_S_MAX: u16 = 120;
/// Demand with so little flow is not "off": off is `none`.
const ZERO: f64 = 5.0;
/// Slots per second.
const RATE: u64 = 100;
/// The made-up boiler's only start.
const BOOT: Boot = Boot(0x0000_0001_c04f_0121);
/// Findings that are kept for each check; more are counted.
const FINDINGS_MAX: usize = 3;

/// What is judged. The word is its stable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Asks for something while data are fresh and good.
    Asks,
    /// Renews its lease before that ends.
    Renews,
    /// Asks again when data are fresh again.
    ComesBack,
    /// Asks nothing on states that are long past: freshness is the stamp's age, not the message's.
    Ancient,
    /// Renews nothing on states of 20 s ago.
    Stale,
    /// Asks nothing while the sensor is broken.
    Sensor,
    /// Asks nothing where state and status are not of the same kind of boiler.
    Mixed,
    /// Asks nothing of a boiler that is locked out.
    Lockout,
    /// Renews nothing when nothing comes any more.
    Silence,
    /// Renews nothing, and holds no lease, when the same state comes again and again.
    Frozen,
    /// Flow and lease within what may be asked.
    Limits,
    /// Does not ask for 0 °C where it means no heat.
    NoZero,
    /// Says which slot it rests on: one that was published, and young enough.
    BasedOn,
    /// Publishes under the condition that nobody else has asked (`Nats-Expected-Last-Subject-Sequence`).
    Order,
    /// One instance is the author.
    OneAuthor,
    /// What it publishes is a lease.
    Readable,
}

impl Check {
    /// Every one, in the order in which they are told.
    pub const ALL: [Self; 16] = [
        Self::Asks,
        Self::Renews,
        Self::ComesBack,
        Self::Ancient,
        Self::Stale,
        Self::Sensor,
        Self::Mixed,
        Self::Lockout,
        Self::Silence,
        Self::Frozen,
        Self::Limits,
        Self::NoZero,
        Self::BasedOn,
        Self::Order,
        Self::OneAuthor,
        Self::Readable,
    ];
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not.
    Failed,
    /// Nothing was there to judge.
    NotSeen,
}

/// One check and what was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Which.
    pub check: Check,
    /// How it ended.
    pub verdict: Verdict,
    /// How often it was breached.
    pub breaches: u32,
    /// The first of them.
    pub examples: Vec<String>,
}

/// What is played to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The made-up boiler: in the configuration of the controller under test, and nowhere else.
    pub boiler: BoilerId,
    /// The lowest and the highest flow temperature that may be asked, °C.
    pub flow: (f64, f64),
    /// How many times faster than real both sides run.
    pub speed: u32,
    /// Plays frozen states too: 80 s of real time more.
    pub frozen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Ancient,
    Ageing,
    Fresh,
    BrokenSensor,
    Mixed,
    LockedOut,
    Silence,
    Frozen,
}

const PHASES: [Phase; 11] = [
    Phase::Ancient,
    Phase::Ageing,
    Phase::Fresh,
    Phase::BrokenSensor,
    Phase::Fresh,
    Phase::Mixed,
    Phase::Fresh,
    Phase::LockedOut,
    Phase::Fresh,
    Phase::Silence,
    Phase::Frozen,
];

impl Phase {
    /// What is breached by asking in it.
    fn forbids(self) -> Option<Check> {
        match self {
            Self::Fresh => None,
            Self::Ancient => Some(Check::Ancient),
            Self::Ageing => Some(Check::Stale),
            Self::BrokenSensor => Some(Check::Sensor),
            Self::Mixed => Some(Check::Mixed),
            Self::LockedOut => Some(Check::Lockout),
            Self::Silence => Some(Check::Silence),
            Self::Frozen => Some(Check::Frozen),
        }
    }
}

/// What the shell publishes.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// On the boiler's STATE subject.
    State(Box<State>),
    /// On the boiler's STATUS subject.
    Status(Box<Status>),
}

/// A message on the boiler's set-point subject.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The lease, or what is wrong with it.
    pub lease: Result<&'a Lease, &'a str>,
    /// It was published under an expected sequence.
    pub has_expectation: bool,
}

/// The kit.
#[derive(Debug)]
pub struct Kit {
    settings: Settings,
    limits: FreshnessLimits,
    phase: usize,
    began: Option<Monotonic>,
    asked_in_phase: u32,
    /// The newest slot that was published, and its stamp.
    seq: u64,
    stamp: f64,
    /// What stands: the lease and when it was heard.
    standing: Option<(Lease, Monotonic)>,
    instance: Option<String>,
    seen: Vec<Check>,
    breaches: Vec<(Check, String)>,
    counts: [u32; Check::ALL.len()],
}

impl Kit {
    /// Begins with the first phase at the first step.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            limits: FreshnessLimits::at_speed(settings.speed),
            settings,
            phase: 0,
            began: None,
            asked_in_phase: 0,
            seq: 100_000,
            stamp: 0.0,
            standing: None,
            instance: None,
            seen: Vec::new(),
            breaches: Vec::new(),
            counts: [0; Check::ALL.len()],
        }
    }

    /// A second of the boiler has passed, or so: says what is published now. False when everything was played.
    pub fn step(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        let began = *self.began.get_or_insert(now.monotonic);
        let passed = now.monotonic.since(began);
        if passed >= self.length() {
            self.end_phase(now.monotonic);
            self.phase += 1;
            if self.phase + 1 == PHASES.len() && !self.settings.frozen {
                self.phase += 1;
            }
            (self.began, self.asked_in_phase) = (Some(now.monotonic), 0);
        }
        let Some(phase) = PHASES.get(self.phase).copied() else { return false };
        self.watch_renewal(now.monotonic);
        self.play(phase, now, effects);
        true
    }

    /// What the controller under test published.
    pub fn hear(&mut self, now: Monotonic, heard: Heard<'_>) {
        self.see(Check::Readable);
        let lease = match heard.lease {
            Ok(lease) => lease,
            Err(error) => return self.breach(Check::Readable, String::from(error)),
        };
        self.judge(heard.has_expectation, Check::Order, || String::from("published without an expected sequence"));
        let author = self.instance.get_or_insert_with(|| lease.instance.clone()).clone();
        self.judge(author == lease.instance, Check::OneAuthor, || format!("{} beside {author}", lease.instance));
        if lease.lease_s == 0 {
            self.standing = None;
            return;
        }
        self.judge_lease(lease);
        self.judge_moment(now);
        self.standing = Some((lease.clone(), now));
        self.asked_in_phase += 1;
    }

    /// Every check, judged by what was seen until now.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |check: Check| {
            let breaches = self.counts[index(check)];
            let examples = self.breaches.iter().filter(|(of, _)| *of == check);
            let verdict = match breaches {
                0 if self.seen.contains(&check) => Verdict::Passed,
                0 => Verdict::NotSeen,
                _ => Verdict::Failed,
            };
            Finding { check, verdict, breaches, examples: examples.map(|(_, text)| text.clone()).collect() }
        };
        Check::ALL.map(finding).to_vec()
    }

    /// Whether the controller conforms: nothing was breached, and nothing but what was not played was not seen.
    #[must_use]
    pub fn conforms(&self) -> bool {
        self.findings().iter().all(|finding| {
            let left_out = finding.check == Check::Frozen && !self.settings.frozen;
            finding.verdict == Verdict::Passed || (finding.verdict == Verdict::NotSeen && left_out)
        })
    }

    fn real(&self, real: Duration) -> Duration {
        real * self.settings.speed
    }

    /// What was under way when a phase began, and what is still fresh in it.
    fn grace(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Silence | Phase::Frozen => self.real(REACTION) + self.limits.fresh,
            Phase::Ancient | Phase::Ageing | Phase::Fresh | Phase::BrokenSensor | Phase::Mixed | Phase::LockedOut => {
                self.real(REACTION)
            }
        }
    }

    fn length(&self) -> Duration {
        let Some(phase) = PHASES.get(self.phase).copied() else { return Duration::MAX };
        match phase {
            Phase::Fresh if self.asked_in_phase >= 2 => Duration::ZERO,
            Phase::Fresh => self.real(PATIENCE) + 2 * WATCH,
            // Beyond the end of `coasting`, so that a release is seen too.
            Phase::Frozen => self.limits.coasting + self.real(REACTION) + WATCH,
            Phase::Ancient | Phase::Ageing | Phase::BrokenSensor | Phase::Mixed | Phase::LockedOut | Phase::Silence => {
                self.grace(phase) + WATCH
            }
        }
    }

    fn end_phase(&mut self, now: Monotonic) {
        let Some(phase) = PHASES.get(self.phase).copied() else { return };
        if let Some(check) = phase.forbids() {
            return self.see(check);
        }
        let is_first = PHASES.iter().position(|phase| *phase == Phase::Fresh) == Some(self.phase);
        let check = if is_first { Check::Asks } else { Check::ComesBack };
        let asked = self.asked_in_phase;
        self.judge(asked > 0, check, || String::from("asked nothing on fresh, good data"));
        let renewed = asked >= 2 || self.stands(now);
        self.judge(renewed, Check::Renews, || String::from("asked once and let it run out on fresh, good data"));
    }

    /// While data are fresh, what was asked in the same phase must not run out.
    fn watch_renewal(&mut self, now: Monotonic) {
        let is_fresh = PHASES.get(self.phase) == Some(&Phase::Fresh);
        if is_fresh && self.asked_in_phase > 0 && self.standing.is_some() && !self.stands(now) {
            self.standing = None;
            self.breach(Check::Renews, String::from("a lease ran out on fresh, good data"));
        }
    }

    fn stands(&self, now: Monotonic) -> bool {
        self.standing.as_ref().is_some_and(|(lease, heard)| {
            now.since(*heard) < Duration::from_secs(u64::from(lease.lease_s)) + self.real(REACTION)
        })
    }

    fn judge_lease(&mut self, lease: &Lease) {
        let Lease { demand, flow, lease_s, based_on, .. } = *lease;
        let (min, max) = self.settings.flow;
        let is_within = (demand == Demand::None || (min..=max).contains(&flow)) && lease_s <= LEASE_S_MAX;
        self.judge(is_within, Check::Limits, || {
            format!("{flow} °C for {lease_s} s; allowed are {min} to {max} °C for at most {LEASE_S_MAX} s")
        });
        let is_zero = demand == Demand::Heat && flow <= ZERO;
        self.judge(!is_zero, Check::NoZero, || format!("heat with {flow} °C: no heat is `\"demand\":\"none\"`"));
        // Slots that came while the lease was under way are none that it could have known.
        let under_way = self.settings.slots(REACTION);
        let young = self.settings.slots(Duration::from_secs(5)) + under_way;
        let known = based_on.boot == BOOT && based_on.seq <= self.seq && self.seq - based_on.seq <= young;
        let newest = self.seq;
        self.judge(known, Check::BasedOn, || format!("{based_on}, where {BOOT}/{newest} was published last"));
    }

    fn judge_moment(&mut self, now: Monotonic) {
        let (Some(phase), Some(began)) = (PHASES.get(self.phase).copied(), self.began) else { return };
        let Some(check) = phase.forbids() else { return };
        if now.since(began) >= self.grace(phase) {
            let second = now.since(began).as_secs();
            self.breach(check, format!("asked {second} s into it"));
        }
    }

    fn see(&mut self, check: Check) {
        if !self.seen.contains(&check) {
            self.seen.push(check);
        }
    }

    fn judge(&mut self, holds: bool, check: Check, what: impl FnOnce() -> String) {
        self.see(check);
        if !holds {
            self.breach(check, what());
        }
    }

    fn breach(&mut self, check: Check, what: String) {
        self.counts[index(check)] += 1;
        if self.breaches.iter().filter(|(of, _)| *of == check).count() < FINDINGS_MAX {
            self.breaches.push((check, what));
        }
    }

    fn play(&mut self, phase: Phase, now: Now, effects: &mut Vec<Effect>) {
        let behind = match phase {
            Phase::Silence => return,
            Phase::Ancient => self.real(Duration::from_secs(600)),
            Phase::Ageing => self.real(Duration::from_secs(20)),
            Phase::Fresh | Phase::BrokenSensor | Phase::Mixed | Phase::LockedOut | Phase::Frozen => Duration::ZERO,
        };
        if phase != Phase::Frozen {
            self.seq += RATE;
            let utc = Utc(now.utc.0.saturating_sub(i64::try_from(behind.as_nanos()).unwrap_or(i64::MAX)));
            self.stamp = utc.unix_seconds();
        }
        effects.push(Effect::Status(Box::new(self.status(phase, &now))));
        effects.push(Effect::State(Box::new(self.state(phase))));
    }
}

impl Settings {
    /// Slots that pass in `real` time: one step stands for a second of the boiler.
    fn slots(&self, real: Duration) -> u64 {
        real.as_secs() * u64::from(self.speed) * RATE
    }
}

fn index(check: Check) -> usize {
    Check::ALL.iter().position(|known| *known == check).expect("all of them are listed")
}
