//! One boiler's controller: the aggregator's state and the device's status in, leases out.
//!
//! ```text
//!                  first state
//!   waiting ──────────────────────▶ warming / fresh ◀────────────────────────────┐
//!   (asks nothing)                  asks, renews; without an average             │
//!                                   the hour's correction is 0                   │ a state
//!                                      │ nothing new for 5 s                     │ that is
//!                                      ▼                                         │ young
//!                                   coasting ────────────────────────────────────┤ again
//!                                   asks nothing: the lease expires              │
//!                                      │ nothing new for 60 s                    │
//!                                      ▼                                         │
//!                                   fault ───────────────────────────────────────┘
//!                                   releases, once
//! ```
//!
//! While a state is fresh, the first matching rule decides (`controller/verdict.rs`):
//!
//! | rule | when | what |
//! |---|---|---|
//! | `mixed` | state and status are not both of a simulated boiler, or both of a real one | releases |
//! | `sensor` | the newest reading is not valid, or older than 5 s because of a gap | asks nothing |
//! | `lockout` | the boiler is locked out | asks nothing; it would refuse |
//! | `boost`, `tap`, `hold` | an operator's command is active | asks for its set-point |
//! | `no_outdoor` | the outdoor temperature is unknown (`controller/senses.rs`) | releases |
//! | `heating_limit` | the day outdoors is above the limit, or was until its sensor fell silent | asks for no heat |
//! | `no_heat_wanted` | the room is warm enough | the same |
//! | `hot_water` | hot water is drawn, and for 120 s after | keeps the set-point |
//! | `preheat` | it is time to heat for the next higher target (`controller/warm_up.rs`) | the law, with that target |
//! | `set_back` | an operator has set the rooms back | the same |
//! | `warming`, `law` | otherwise | the law, without and with the hourly correction |
//! | `refused` | the boiler does not obey: an override at its panel | probes once a minute, to detect the end |
//!
//! The last one overrides every rule that would ask. If this program stops, the lease expires and the boiler is on its
//! own control, without any action here. Of two controllers, one asks (`controller/author.rs`). A new one continues
//! from the set-point that the boiler obeys, and from its predecessor's decisions: the set-points of the last hour, the
//! integral, how fast the rooms warm up, and the outdoor temperature of the day.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::Demand;
use thermowell_wire::subject::{Ambient, EventKind};
use thermowell_wire::{BoilerId, Slot, SourceName};

use crate::control::{Law, LowPass, Plan, Ramp};
use crate::plausible::{Quantity, is_water};
use crate::published::{
    AmbientReading, Command, Decision, EventBody, Lease, Outcome, SlotQuality, State, Status, celsius,
};
use crate::time::{Monotonic, Now};

pub use crate::published::FreshnessLimits as Freshness;
pub use author::{Author, Standing};
pub use delivery::SHARE_MIN;
pub use hindsight::{PastDecision, replay};
pub use orders::Unfit;
pub use tell::Log;

use ambient::Outside;
use boiler::Boiler;
use delivery::Delivery;
use hindsight::SetpointHistory;
use orders::Orders;
use senses::{Outdoor, Room};
use tell::{Decided, Reported};
use verdict::{Act, Verdict};
use warm_up::WarmUp;

mod ambient;
mod author;
mod boiler;
mod delivery;
mod hindsight;
mod orders;
mod senses;
mod slow;
mod tell;
#[cfg(test)]
mod tests;
mod verdict;
mod warm_up;

const CURRENT_LOW_PASS: Duration = Duration::from_secs(60);
/// Interval of requests to a boiler that does not obey: rare enough not to fight an override at its panel, often enough
/// to detect its end.
const OVERRIDE_PROBE: Duration = Duration::from_secs(60);
/// The rule during a draw: its seconds do not heat rooms.
const HOT_WATER: &str = "hot_water";
/// The rules that request no heat.
const HEATING_LIMIT: &str = "heating_limit";
const NO_HEAT_WANTED: &str = "no_heat_wanted";
/// The rule of a start before its time.
const PREHEAT: &str = "preheat";
/// The rule before the first state.
const WAITING: &str = "waiting";

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub boiler: BoilerId,
    /// Identifies this process in leases.
    pub instance: String,
    pub law: Law,
    /// The age limits of a state.
    pub freshness: Freshness,
    /// The temperatures that do not come from the device, and their sources.
    pub sources: Vec<(Ambient, SourceName)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The aggregator's newest state.
    State(&'a State),
    /// The agent's newest status.
    Status(&'a Status),
    /// An operator's command was stored in COMMAND with this sequence.
    Command(u64, &'a Command),
    /// The boiler's last command in COMMAND, if any: at the begin of a session.
    LastCommand(Option<(u64, &'a Command)>),
    /// The device's answer to a set-point.
    Answer(&'a Outcome),
    /// The decisions of the last hour, in the order of the stream, and the one before them: at the begin of a session.
    Past(&'a [PastDecision]),
    /// A reading of a source outside of the boiler; `is_new` if it was not stored before this controller began.
    Ambient { what: Ambient, reading: &'a AmbientReading, is_new: bool },
    /// The targets of the room temperature from now on.
    Plan(&'a Plan),
    /// Time has passed.
    Wake,
}

/// Requests to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publishes a lease; one of 0 s is a release.
    Lease(Box<Lease>),
    /// Publishes a decision: on change.
    Decision(Box<Decision>),
    /// Publishes another event than a decision.
    Event(EventKind, Box<EventBody>),
    /// Writes a log line.
    Log(Log),
}

/// The newest state.
#[derive(Clone, Copy, Debug)]
struct Known {
    slot: Slot,
    stamp: f64,
    /// When the stamp last changed: gives the age if a clock goes back.
    moved_at: Monotonic,
    /// The first known slot of this boot, and when it was received: gives the boiler's slot rate.
    first: (u64, Monotonic),
    /// The stamp of the newest reading, and when it was received; `None` after an invalid reading.
    read: Option<(f64, Monotonic)>,
    has_average: bool,
    average_heating: Option<f64>,
    share: f64,
    simulated: bool,
}

impl Known {
    /// The age of the newest reading; `None` if the sensor has failed.
    fn reading_age(&self, now: &Now) -> Option<Duration> {
        self.read.map(|(stamp, at)| age(stamp, at, now))
    }
}

/// The age of a message stamped `stamp` and received at `at`: by its stamp or by our own clock, whichever is more.
fn age(stamp: f64, at: Monotonic, now: &Now) -> Duration {
    let by_stamp = Duration::try_from_secs_f64(now.utc.unix_seconds() - stamp).unwrap_or_default();
    by_stamp.max(now.monotonic.since(at))
}

/// The last request to the boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    demand: Demand,
    flow_centi: i64,
    at: Monotonic,
}

/// One boiler's controller.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    known: Option<Known>,
    status_simulated: Option<bool>,
    current: LowPass,
    outdoor: Outdoor,
    room: Room,
    /// The sources outside of the boiler.
    outside: Vec<Outside>,
    boiler: Boiler,
    orders: Orders,
    /// The set-point of an active `hold`.
    held: Option<(Demand, i64)>,
    /// The set-points of the last hour's heating seconds.
    history: SetpointHistory,
    delivery: Delivery,
    /// The current set-point, if heat is requested, centi-degrees.
    heating_setpoint: Option<i64>,
    heat_wanted: bool,
    /// It is colder than the heating limit; `None` before the outdoor temperature is known.
    is_season: Option<bool>,
    /// Without an outdoor temperature: the room needs heat.
    is_cold: bool,
    /// The law's integral, K, and when it was last continued.
    integral: f64,
    integrated_at: Option<Monotonic>,
    warm_up: WarmUp,
    ramp: Option<Ramp>,
    asked: Option<Asked>,
    decided: Option<Decided>,
    reported: Reported,
    wake_at: Option<Monotonic>,
}

impl Controller {
    /// A controller without inputs or requests.
    ///
    /// # Panics
    /// If the law's limits are out of order, which a checked configuration rules out.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        assert!(settings.law.flow_min <= settings.law.flow_max, "flow_min is above flow_max");
        assert!(settings.law.curve.cold.outdoor < settings.law.curve.warm.outdoor, "the curve's points are in order");
        let sources = settings.sources.iter();
        let outside = sources.map(|(what, source)| Outside::new(*what, source.clone())).collect();
        let warm_up = WarmUp::new(settings.law.emitter);
        Self {
            settings,
            known: None,
            status_simulated: None,
            current: LowPass::new(CURRENT_LOW_PASS),
            outdoor: Outdoor::new(),
            room: Room::default(),
            outside,
            boiler: Boiler::default(),
            orders: Orders::default(),
            held: None,
            history: SetpointHistory::new(),
            delivery: Delivery::default(),
            heating_setpoint: None,
            heat_wanted: true,
            is_season: None,
            is_cold: false,
            integral: 0.0,
            integrated_at: None,
            warm_up,
            ramp: None,
            asked: None,
            decided: None,
            reported: Reported::new(),
            wake_at: None,
        }
    }

    /// Processes one input. Nothing else changes the controller's state.
    pub fn step(&mut self, now: Now, input: Input<'_>, effects: &mut Vec<Effect>) {
        match input {
            Input::State(state) => {
                self.take_state(now.monotonic, state);
                self.look_at_delivery(now.monotonic, effects);
            }
            Input::Status(status) => self.take_status(&now, status),
            Input::Command(sequence, command) => self.take_command(&now, sequence, command, true, effects),
            Input::LastCommand(last) => {
                self.orders.end_at(last.map(|(sequence, _)| sequence));
                if let Some((sequence, command)) = last {
                    self.take_command(&now, sequence, command, false, effects);
                }
            }
            Input::Answer(outcome) => self.boiler.answered(outcome),
            Input::Past(past) => self.history.read(past),
            Input::Ambient { what, reading, is_new } => self.take_ambient(&now, what, reading, is_new, effects),
            Input::Plan(plan) => self.settings.law.plan.clone_from(plan),
            Input::Wake => {}
        }
        if let Some(order) = self.orders.expire(&now) {
            effects.push(Effect::Log(Log::OrderEnded { id: order.id }));
        }
        let room = self.room.state(now.monotonic);
        let weather = self.outdoor.state(now.monotonic);
        self.look_ahead(&now, room);
        let target = self.aim(&now);
        let verdict = self.verdict(&now, room.celsius(), weather.celsius(), target);
        self.integrate(now.monotonic, &verdict, room, target);
        let heats = verdict.is_law_heating() && !self.boiler.is_blocked();
        self.warm_up.measure(room.celsius(), target, heats, now.monotonic);
        self.heating_setpoint = match verdict.act {
            Act::Ask(Demand::Heat, flow_centi) => Some(flow_centi),
            Act::Ask(Demand::None, _) | Act::Wait | Act::Release | Act::Probe(..) => None,
        };
        self.act(&now, &verdict, effects);
        self.report_changes(&now, &verdict, room, weather, effects);
        self.report_decision(now.monotonic, &verdict, room.celsius(), weather.celsius(), target, effects);
        self.wake_at = self.next_wake(&now, &verdict);
    }

    /// The latest time at which `step` needs [`Input::Wake`].
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.wake_at
    }

    fn take_state(&mut self, now: Monotonic, state: &State) {
        let before = self.known;
        let moved = before.is_none_or(|known| state.stamp > known.stamp);
        let passed_s = before.map_or(1.0, |known| (state.stamp - known.stamp).max(0.0));
        let passed = Duration::try_from_secs_f64(passed_s).unwrap_or_default();
        let plausible = is_plausible(state);
        let moved_at = before.filter(|_| !moved).map_or(now, |known| known.moved_at);
        // A gap does not indicate a sensor fault: the reading before it is used until it is too old.
        let read = match (state.quality, state.current) {
            (SlotQuality::Ok, Some(_)) if plausible => Some((state.stamp, moved_at)),
            (SlotQuality::Ok | SlotQuality::Missing, None) if plausible => before.and_then(|known| known.read),
            (
                SlotQuality::Ok
                | SlotQuality::Open
                | SlotQuality::Short
                | SlotQuality::OutOfRange
                | SlotQuality::Missing,
                _,
            ) => None,
        };
        if moved
            && plausible
            && !self.boiler.is_drawing(now)
            && let Some(current) = state.current
        {
            self.current.add(current, passed);
        }
        if moved && state.heating {
            // A state describes about a second before it, not a longer silence.
            self.room.heated(passed.min(self.settings.freshness.fresh));
        }
        let second = whole(state.stamp);
        if before.is_none() {
            self.continue_from(second, now);
        }
        // A boiler that obeys a lease had a running controller until now; otherwise the last lease expired soon.
        let alive = self.boiler.obeys(now).map_or(i64::from(self.settings.law.lease_s), |_| i64::MAX);
        self.history.pass(second, self.heating_setpoint.filter(|_| state.heating).map(celsius), alive);
        self.known = Some(Known {
            slot: state.slot,
            stamp: state.stamp,
            moved_at,
            first: before
                .filter(|known| known.slot.boot == state.slot.boot && known.first.0 <= state.slot.seq)
                .map_or((state.slot.seq, now), |known| known.first),
            read,
            has_average: state.average.is_some(),
            average_heating: state.average_heating.filter(|_| plausible),
            share: if plausible { state.heating_share } else { 0.0 },
            simulated: state.simulated,
        });
    }

    fn take_status(&mut self, now: &Now, status: &Status) {
        let (target, now) = (self.aim(now), now.monotonic);
        let weather = self.outdoor.state(now).celsius();
        self.status_simulated = Some(status.simulated);
        let Some(device) = &status.device else { return };
        let own = |what, reading: Option<f64>| {
            reading.filter(|celsius| Quantity::from(what).can_be(*celsius) && self.source(what).is_none())
        };
        let (room, outdoor) = (own(Ambient::Room, device.room), own(Ambient::Outdoor, device.outdoor));
        if let Some(outdoor) = outdoor {
            self.outdoor.take(outdoor, now);
        }
        if let Some(room) = room {
            self.room.take(room, target, weather, now);
        }
        self.boiler.take(device, self.asked.is_some(), now);
    }

    /// Takes a reading of a source outside of the boiler. It counts from the time when it was measured.
    fn take_ambient(
        &mut self,
        now: &Now,
        what: Ambient,
        reading: &AmbientReading,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(outside) = self.outside.iter_mut().find(|outside| outside.what() == what) else { return };
        let Some((celsius, at)) = outside.take(reading, is_new, now, effects) else { return };
        match what {
            Ambient::Room => {
                let (target, weather) = (self.aim(now), self.outdoor.state(now.monotonic).celsius());
                self.room.take(celsius, target, weather, at);
            }
            Ambient::Outdoor => self.outdoor.take(celsius, at),
        }
    }

    /// The source of a temperature, if it is not the device.
    fn source(&self, what: Ambient) -> Option<&SourceName> {
        self.outside.iter().find(|outside| outside.what() == what).map(Outside::source)
    }

    fn act(&mut self, now: &Now, verdict: &Verdict, effects: &mut Vec<Effect>) {
        let law = &self.settings.law;
        let lease = Duration::from_secs(u64::from(law.lease_s));
        match verdict.act {
            Act::Wait => {
                if self.asked.is_some_and(|asked| now.monotonic.since(asked.at) >= lease) {
                    self.clear_request();
                }
            }
            Act::Release => {
                if let Some(asked) = self.asked {
                    effects.extend(self.lease(now, asked.demand, asked.flow_centi, 0));
                }
                self.clear_request();
            }
            Act::Ask(demand, flow_centi) => {
                if demand == Demand::None {
                    self.ramp = None;
                }
                let is_current = self.asked.is_some_and(|asked| {
                    let same = asked.demand == demand && asked.flow_centi == flow_centi;
                    same && now.monotonic.since(asked.at) < law.renew
                });
                if !is_current {
                    effects.extend(self.lease(now, demand, flow_centi, law.lease_s));
                    self.asked = Some(Asked { demand, flow_centi, at: now.monotonic });
                }
            }
            Act::Probe(demand, flow_centi) => {
                self.ramp = None;
                if self.asked.is_none_or(|asked| now.monotonic.since(asked.at) >= OVERRIDE_PROBE) {
                    effects.extend(self.lease(now, demand, flow_centi, law.lease_s));
                    self.asked = Some(Asked { demand, flow_centi, at: now.monotonic });
                }
            }
        }
    }

    /// No request of ours is active at the boiler: the next set-point starts a new ramp.
    fn clear_request(&mut self) {
        self.asked = None;
        self.ramp = None;
    }

    fn lease(&self, now: &Now, demand: Demand, flow_centi: i64, lease_s: u16) -> Option<Effect> {
        let known = self.known?;
        Some(Effect::Lease(Box::new(Lease {
            demand,
            flow: celsius(flow_centi),
            lease_s,
            based_on: known.slot,
            instance: self.settings.instance.clone(),
            created_at: now.utc.unix_seconds(),
            version: 1,
        })))
    }

    /// The next renewal, the next loss of freshness, or the end of a command.
    fn next_wake(&self, now: &Now, verdict: &Verdict) -> Option<Monotonic> {
        let law = &self.settings.law;
        let renewal = self.asked.map(|asked| match verdict.act {
            Act::Ask(..) => asked.at.after(law.renew),
            Act::Probe(..) => asked.at.after(OVERRIDE_PROBE),
            Act::Wait | Act::Release => asked.at.after(Duration::from_secs(u64::from(law.lease_s))),
        });
        let Freshness { fresh, coasting } = self.settings.freshness;
        let ageing = self.known.and_then(|known| {
            let age = Self::age(&known, now);
            let next = [fresh, coasting].into_iter().find(|limit| age <= *limit)?;
            Some(now.monotonic.after(next - age + Duration::from_millis(1)))
        });
        let read_age = self.known.and_then(|known| known.reading_age(now)).filter(|age| *age <= fresh);
        let reading = read_age.map(|age| now.monotonic.after(fresh - age + Duration::from_millis(1)));
        renewal.into_iter().chain(ageing).chain(reading).chain(self.orders.wake_at(now)).min()
    }
}

/// The second of a stamp.
#[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates; stamps are far from it")]
fn whole(stamp: f64) -> i64 {
    libm::floor(stamp) as i64
}

/// Whether the numbers are in the range of the law. JSON may contain any.
fn is_plausible(state: &State) -> bool {
    let temperatures = [state.current, state.average, state.average_heating];
    temperatures.into_iter().flatten().all(is_water) && (0.0..=1.0).contains(&state.heating_share)
}
