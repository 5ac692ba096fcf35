//! The conformance kit: publishes states and statuses of a fictitious boiler to a controller under test, and checks its
//! leases.
//!
//! ```text
//!  ancient ▶ ageing ▶ fresh ▶ broken sensor ▶ fresh ▶ mixed ▶ locked out ▶ fresh ▶ silence ▶ fresh (▶ frozen)
//!  10 min    20 s     must    lie             must    lie     must not     must    nothing   must     the same
//!  old       old      ask                     ask             ask          ask     at all    ask      again
//! ```
//!
//! A phase in which the controller must ask ends as soon as it has asked twice, or after `ASK_WITHIN`. A phase in which
//! it must not ask is longer than the usual renewal interval of leases of 60 s (`WATCH`). Leases under way at the
//! beginning of a phase (`REACTION`; for silence and frozen states, also the 5 s in which data are still fresh) do not
//! count. A release is always allowed. Messages are checked as sent, including those that the server refuses.

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

/// Real time within which a controller must ask, if it has to.
const ASK_WITHIN: Duration = Duration::from_secs(30);
/// Real time allowed for messages under way when a phase begins.
const REACTION: Duration = Duration::from_secs(1);
/// Boiler time within which a controller would renew.
const WATCH: Duration = Duration::from_secs(20);
/// The longest lease that a device accepts.
const LEASE_S_MAX: u16 = 120;
/// Heat demand with a flow temperature up to this, °C, is an error: "off" is `none`.
const ZERO: f64 = 5.0;
/// Slots per second.
const RATE: u64 = 100;
/// The only boot of the fictitious boiler.
const BOOT: Boot = Boot(0x0000_0001_c04f_0121);
/// Examples kept for each check; further breaches are counted.
const FINDINGS_MAX: usize = 3;

/// A check. Its JSON name is its stable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Asks while data are fresh and good.
    Asks,
    /// Renews its lease before that ends.
    Renews,
    /// Asks again when data are fresh again.
    ComesBack,
    /// Asks nothing on old states: freshness is the stamp's age, not the message's.
    Ancient,
    /// Renews nothing on states that are 20 s old.
    Stale,
    /// Asks nothing while the sensor is broken.
    Sensor,
    /// Asks nothing if one of state and status is simulated and the other is not.
    Mixed,
    /// Asks nothing of a boiler that is locked out.
    Lockout,
    /// Renews nothing when no more states arrive.
    Silence,
    /// Renews nothing, and holds no lease, when the same state is repeated.
    Frozen,
    /// Flow temperature and lease are within their limits.
    Limits,
    /// Does not request 0 °C to mean no heat.
    NoZero,
    /// Names the slot on which it is based: a published and recent one.
    BasedOn,
    /// Publishes on the condition that no other lease was published (`Nats-Expected-Last-Subject-Sequence`).
    Order,
    /// All leases are from one instance.
    OneAuthor,
    /// Its messages are valid leases.
    Readable,
}

impl Check {
    /// All checks, in the order of the report.
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

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    Failed,
    /// The case did not occur.
    NotSeen,
}

/// The finding of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub check: Check,
    pub verdict: Verdict,
    /// Number of breaches.
    pub breaches: u32,
    /// The first breaches, as text.
    pub examples: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The fictitious boiler: configured in the controller under test only.
    pub boiler: BoilerId,
    /// The lowest and the highest allowed flow temperature, °C.
    pub flow: (f64, f64),
    /// Speed factor of both sides.
    pub speed: u32,
    /// Also run the phase of frozen states: 80 s of real time more.
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
    /// The check that is breached by asking in this phase.
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

/// Messages for the shell to publish.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// On the boiler's STATE subject.
    State(Box<State>),
    /// On the boiler's STATUS subject.
    Status(Box<Status>),
}

/// A message on the boiler's set-point subject.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The lease, or why it is malformed.
    pub lease: Result<&'a Lease, &'a str>,
    /// Whether it was published with an expected sequence.
    pub has_expectation: bool,
}

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
    /// The active lease and when it was received.
    active: Option<(Lease, Monotonic)>,
    instance: Option<String>,
    seen: Vec<Check>,
    breaches: Vec<(Check, String)>,
    counts: [u32; Check::ALL.len()],
}

impl Kit {
    /// A kit that begins with the first phase at the first step.
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
            active: None,
            instance: None,
            seen: Vec::new(),
            breaches: Vec::new(),
            counts: [0; Check::ALL.len()],
        }
    }

    /// Advances by about one second of the boiler and emits the messages to publish. Returns false after the last
    /// phase.
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

    /// Takes a message of the controller under test.
    pub fn receive(&mut self, now: Monotonic, received: Received<'_>) {
        self.mark_seen(Check::Readable);
        let lease = match received.lease {
            Ok(lease) => lease,
            Err(error) => return self.breach(Check::Readable, String::from(error)),
        };
        self.judge(received.has_expectation, Check::Order, || String::from("published without an expected sequence"));
        let author = self.instance.get_or_insert_with(|| lease.instance.clone()).clone();
        self.judge(author == lease.instance, Check::OneAuthor, || {
            format!("{} in addition to {author}", lease.instance)
        });
        if lease.lease_s == 0 {
            self.active = None;
            return;
        }
        self.judge_lease(lease);
        self.judge_moment(now);
        self.active = Some((lease.clone(), now));
        self.asked_in_phase += 1;
    }

    /// The findings so far.
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

    /// Whether the controller conforms: no breach, and every check occurred except those of phases that were left out.
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

    /// The grace period of a phase: for messages under way, and for data that are still fresh.
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
            Phase::Fresh => self.real(ASK_WITHIN) + 2 * WATCH,
            // Longer than `coasting`, to see the release as well.
            Phase::Frozen => self.limits.coasting + self.real(REACTION) + WATCH,
            Phase::Ancient | Phase::Ageing | Phase::BrokenSensor | Phase::Mixed | Phase::LockedOut | Phase::Silence => {
                self.grace(phase) + WATCH
            }
        }
    }

    fn end_phase(&mut self, now: Monotonic) {
        let Some(phase) = PHASES.get(self.phase).copied() else { return };
        if let Some(check) = phase.forbids() {
            return self.mark_seen(check);
        }
        let is_first = PHASES.iter().position(|phase| *phase == Phase::Fresh) == Some(self.phase);
        let check = if is_first { Check::Asks } else { Check::ComesBack };
        let asked = self.asked_in_phase;
        self.judge(asked > 0, check, || String::from("asked nothing on fresh, good data"));
        let renewed = asked >= 2 || self.is_active(now);
        self.judge(renewed, Check::Renews, || String::from("asked once and let the lease expire on fresh, good data"));
    }

    /// While data are fresh, a lease of the same phase must not expire.
    fn watch_renewal(&mut self, now: Monotonic) {
        let is_fresh = PHASES.get(self.phase) == Some(&Phase::Fresh);
        if is_fresh && self.asked_in_phase > 0 && self.active.is_some() && !self.is_active(now) {
            self.active = None;
            self.breach(Check::Renews, String::from("a lease expired on fresh, good data"));
        }
    }

    fn is_active(&self, now: Monotonic) -> bool {
        self.active.as_ref().is_some_and(|(lease, received)| {
            now.since(*received) < Duration::from_secs(u64::from(lease.lease_s)) + self.real(REACTION)
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
        // The lease cannot be based on slots published while it was under way.
        let under_way = self.settings.slots(REACTION);
        let young = self.settings.slots(Duration::from_secs(5)) + under_way;
        let known = based_on.boot == BOOT && based_on.seq <= self.seq && self.seq - based_on.seq <= young;
        let newest = self.seq;
        self.judge(known, Check::BasedOn, || format!("{based_on}, but {BOOT}/{newest} was published last"));
    }

    fn judge_moment(&mut self, now: Monotonic) {
        let (Some(phase), Some(began)) = (PHASES.get(self.phase).copied(), self.began) else { return };
        let Some(check) = phase.forbids() else { return };
        if now.since(began) >= self.grace(phase) {
            let second = now.since(began).as_secs();
            self.breach(check, format!("asked {second} s into the phase"));
        }
    }

    fn mark_seen(&mut self, check: Check) {
        if !self.seen.contains(&check) {
            self.seen.push(check);
        }
    }

    fn judge(&mut self, holds: bool, check: Check, what: impl FnOnce() -> String) {
        self.mark_seen(check);
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
        let age = match phase {
            Phase::Silence => return,
            Phase::Ancient => self.real(Duration::from_secs(600)),
            Phase::Ageing => self.real(Duration::from_secs(20)),
            Phase::Fresh | Phase::BrokenSensor | Phase::Mixed | Phase::LockedOut | Phase::Frozen => Duration::ZERO,
        };
        if phase != Phase::Frozen {
            self.seq += RATE;
            let utc = Utc(now.utc.0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
            self.stamp = utc.unix_seconds();
        }
        effects.push(Effect::Status(Box::new(self.status(phase, &now))));
        effects.push(Effect::State(Box::new(self.state(phase))));
    }
}

impl Settings {
    /// Slots that pass in `real` time: one step is a second of the boiler.
    fn slots(&self, real: Duration) -> u64 {
        real.as_secs() * u64::from(self.speed) * RATE
    }
}

fn index(check: Check) -> usize {
    Check::ALL.iter().position(|known| *known == check).expect("ALL lists every check")
}
