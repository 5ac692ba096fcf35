//! One boiler's controller: the aggregator's state and the device's status in, leases out.
//!
//! ```text
//! freshness   what happens
//! warming     asks; without an average the hour's correction is 0
//! fresh       asks, renews
//! coasting    asks nothing: the lease runs out by itself
//! fault       releases, once
//! ```
//!
//! It comes back only on fresh good data. The order in which reasons win is that of `Controller::verdict`. When this
//! program dies, the lease ends and the boiler is on its own control: nothing here has to happen for that.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::Demand;
use thermowell_wire::{BoilerId, CentiCelsius, Quality, Reading, Slot};

use crate::aggregate::{Pane, Window};
use crate::control::{LastHour, Law, LowPass, Ramp, Wish, centi};
use crate::published::{self, Decision, Lease, State, Status, celsius, centi_mean};
use crate::time::{Monotonic, Now};

pub use crate::published::FreshnessLimits as Freshness;

#[cfg(test)]
mod tests;

const CURRENT_LOW_PASS: Duration = Duration::from_secs(60);
const OUTDOOR_LOW_PASS: Duration = Duration::from_secs(3_600);
/// An older outdoor temperature says nothing about the weather.
const OUTDOOR_AGE_MAX: Duration = Duration::from_secs(3 * 3_600);
/// An older room temperature is none.
const ROOM_AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// After a draw the flow sensor needs that long to tell about the rooms again.
const DRAW_REST: Duration = Duration::from_secs(120);
/// States come once a second or so; a longer silence is not filled with what was asked.
const SILENCE_MAX_S: i64 = 10;

/// Whose controller it is, and what it goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The boiler.
    pub boiler: BoilerId,
    /// Names this process in leases.
    pub instance: String,
    /// The law.
    pub law: Law,
    /// When a state is too old.
    pub freshness: Freshness,
}

/// What the controller is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The aggregator's newest state.
    State(&'a State),
    /// The agent's newest status.
    Status(&'a Status),
    /// Time has passed.
    Wake,
    /// Another controller is live: this one is silent for ever.
    Stopped,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Publishes a lease; one of 0 s is a release.
    Lease(Box<Lease>),
    /// Publishes a decision: on change.
    Decision(Box<Decision>),
    /// Writes a log line.
    Log(Log),
}

/// What people should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Another rule decides now.
    Rule {
        /// As in the decision.
        rule: &'static str,
    },
    /// There is no room temperature, or an old one: its term is 0.
    RoomMissing,
    /// The room temperature is back.
    RoomBack,
    /// Another controller is live.
    Stopped,
}

/// The newest state.
#[derive(Clone, Copy, Debug)]
struct Known {
    slot: Slot,
    stamp: f64,
    /// When the stamp last moved: where a clock goes back, this is what shows the age.
    moved_at: Monotonic,
    usable: bool,
    has_average: bool,
    average_heating: Option<f64>,
    share: f64,
    simulated: bool,
}

/// What stands at the boiler as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    demand: Demand,
    flow_centi: i64,
    at: Monotonic,
}

/// What to do, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Verdict {
    rule: &'static str,
    act: Act,
    wish: Option<Wish>,
    correction: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Asks for nothing more: what stands runs out.
    Wait,
    /// Ends what stands.
    Release,
    /// Asks for it, or renews it.
    Ask(Demand, i64),
}

/// One boiler's controller.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    known: Option<Known>,
    status_simulated: Option<bool>,
    current: LowPass,
    outdoor: LowPass,
    outdoor_at: Option<Monotonic>,
    room: Option<(f64, Monotonic)>,
    draw_at: Option<Monotonic>,
    /// T* of the last hour's heating seconds.
    wishes: Window,
    wish: Option<Wish>,
    heat_wanted: bool,
    ramp: Option<Ramp>,
    asked: Option<Asked>,
    decided: Option<(&'static str, Act)>,
    room_missing: bool,
    stopped: bool,
    wake_at: Option<Monotonic>,
}

impl Controller {
    /// Knows nothing and has asked for nothing.
    ///
    /// # Panics
    /// The law's limits must be in order; a checked configuration is proof of that.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        assert!(settings.law.flow_min <= settings.law.flow_max, "flow_min is above flow_max");
        assert!(settings.law.curve.cold.outdoor < settings.law.curve.warm.outdoor, "the curve's points are in order");
        Self {
            settings,
            known: None,
            status_simulated: None,
            current: LowPass::new(CURRENT_LOW_PASS),
            outdoor: LowPass::new(OUTDOOR_LOW_PASS),
            outdoor_at: None,
            room: None,
            draw_at: None,
            wishes: Window::new(),
            wish: None,
            heat_wanted: true,
            ramp: None,
            asked: None,
            decided: None,
            room_missing: false,
            stopped: false,
            wake_at: None,
        }
    }

    /// Moves the controller forward: the only way its state changes.
    pub fn step(&mut self, now: Now, input: Input<'_>, effects: &mut Vec<Effect>) {
        if self.stopped {
            return;
        }
        match input {
            Input::State(state) => self.take_state(now.monotonic, state),
            Input::Status(status) => self.take_status(now.monotonic, status),
            Input::Wake => {}
            Input::Stopped => {
                self.stopped = true;
                self.wake_at = None;
                return effects.push(Effect::Log(Log::Stopped));
            }
        }
        let target = self.settings.law.schedule.target(now.utc);
        let room = self.room(now.monotonic);
        self.tell_room(room, effects);
        let verdict = self.verdict(&now, room, target);
        self.wish = verdict.wish.or(self.wish);
        self.act(&now, &verdict, effects);
        self.tell(&verdict, room, target, effects);
        self.wake_at = self.next_wake(&now, &verdict);
    }

    /// The latest time at which `step` wants [`Input::Wake`].
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        self.wake_at
    }

    fn take_state(&mut self, now: Monotonic, state: &State) {
        let before = self.known;
        let moved = before.is_none_or(|known| state.stamp > known.stamp);
        let passed_s = before.map_or(1.0, |known| (state.stamp - known.stamp).max(0.0));
        let usable = state.quality == Quality::Ok && state.current.is_some();
        if moved
            && !self.is_drawing(now)
            && let Some(current) = state.current
        {
            self.current.add(current, Duration::try_from_secs_f64(passed_s).unwrap_or_default());
        }
        self.remember_wish(before.map(|known| known.stamp), state);
        self.known = Some(Known {
            slot: state.slot,
            stamp: state.stamp,
            moved_at: before.filter(|_| !moved).map_or(now, |known| known.moved_at),
            usable,
            has_average: state.average.is_some(),
            average_heating: state.average_heating,
            share: state.heating_share,
            simulated: state.simulated,
        });
    }

    /// The seconds since the last state were spent on the wish that stood: if they heated rooms, it counts.
    fn remember_wish(&mut self, before: Option<f64>, state: &State) {
        // A state may come from anybody, and its stamp from the ends of time.
        let second = whole(state.stamp);
        let from = before.map(whole).filter(|from| (second.saturating_sub(SILENCE_MAX_S)..=second).contains(from));
        let wish = self.wish.map(|wish| wish.flow).filter(|_| state.heating);
        let reading = wish.map(|flow| Reading { temperature: CentiCelsius::from_celsius(flow), marks: 0 });
        for passed in from.map_or(second, |from| from.saturating_add(1))..=second {
            match reading {
                Some(reading) => {
                    let mut pane = Pane::EMPTY;
                    pane.add(reading);
                    self.wishes.add(passed, &pane);
                }
                None => self.wishes.advance(passed),
            }
        }
    }

    fn take_status(&mut self, now: Monotonic, status: &Status) {
        self.status_simulated = Some(status.simulated);
        let Some(device) = &status.device else { return };
        if let Some(outdoor) = device.outdoor {
            let passed = self.outdoor_at.map_or(Duration::ZERO, |at| now.since(at));
            self.outdoor.add(outdoor, passed);
            self.outdoor_at = Some(now);
        }
        if let Some(room) = device.room {
            self.room = Some((room, now));
        }
        if device.hot_water {
            self.draw_at = Some(now);
        }
    }

    fn room(&self, now: Monotonic) -> Option<f64> {
        self.room.filter(|(_, at)| now.since(*at) <= ROOM_AGE_MAX).map(|(room, _)| room)
    }

    fn outdoor(&self, now: Monotonic) -> Option<f64> {
        self.outdoor_at.filter(|at| now.since(*at) <= OUTDOOR_AGE_MAX).and_then(|_| self.outdoor.value())
    }

    fn is_drawing(&self, now: Monotonic) -> bool {
        self.draw_at.is_some_and(|at| now.since(at) < DRAW_REST)
    }

    /// The age of what is known: by its stamp, or by our own clock since the stamp last moved, whichever is more.
    fn age(known: &Known, now: &Now) -> Duration {
        let by_stamp = Duration::try_from_secs_f64(now.utc.unix_seconds() - known.stamp).unwrap_or_default();
        by_stamp.max(now.monotonic.since(known.moved_at))
    }

    /// What to do now. The first reason that holds wins.
    fn verdict(&mut self, now: &Now, room: Option<f64>, target: f64) -> Verdict {
        let law = &self.settings.law;
        let plain = |rule, act| Verdict { rule, act, wish: None, correction: 0.0 };
        let Some(known) = self.known else { return plain("waiting", Act::Wait) };
        if self.status_simulated.is_some_and(|simulated| simulated != known.simulated) {
            return plain("mixed", Act::Release);
        }
        match published::freshness(Some(Self::age(&known, now)), &self.settings.freshness) {
            published::Freshness::Fault => return plain("fault", Act::Release),
            published::Freshness::Coasting => return plain("coasting", Act::Wait),
            published::Freshness::Fresh | published::Freshness::Warming => {}
        }
        if !known.usable {
            return plain("sensor", Act::Wait);
        }
        let Some(outdoor) = self.outdoor(now.monotonic) else { return plain("no_outdoor", Act::Release) };
        let wish = law.wish(outdoor, room, target);
        self.heat_wanted = Law::is_heat_wanted(&wish, room, target, self.heat_wanted);
        if !self.heat_wanted {
            let act = Act::Ask(Demand::None, centi(law.flow_min));
            return Verdict { wish: Some(wish), ..plain("no_heat_wanted", act) };
        }
        let hour = self.last_hour(&known);
        let correction = law.correction(hour.as_ref());
        let aim = law.aim(&wish, correction);
        let drawing = self.is_drawing(now.monotonic) && self.ramp.is_some();
        let ramp = self.ramp.get_or_insert(Ramp::begin(aim, now.monotonic));
        if !drawing {
            ramp.follow(aim, now.monotonic);
        }
        let rule = match () {
            () if drawing => "hot_water",
            () if !known.has_average => "warming",
            () => "law",
        };
        Verdict { rule, act: Act::Ask(Demand::Heat, ramp.centi()), wish: Some(wish), correction }
    }

    /// The last hour, if what was asked is known for nine tenths of its heating seconds. (A controller that has just
    /// started does not know it; the correction is 0 until it does.)
    fn last_hour(&self, known: &Known) -> Option<LastHour> {
        let asked = self.asked_mean(known)?;
        Some(LastHour { current: self.current.value()?, average: known.average_heating?, asked, share: known.share })
    }

    fn asked_mean(&self, known: &Known) -> Option<f64> {
        let asked = self.wishes.valid();
        let heating_seconds = known.share * 3_600.0;
        let points = f64::from(u32::try_from(asked.points).ok()?);
        (points >= 0.9 * heating_seconds).then(|| centi_mean(asked.centi, asked.points).map(celsius)).flatten()
    }

    fn act(&mut self, now: &Now, verdict: &Verdict, effects: &mut Vec<Effect>) {
        let law = &self.settings.law;
        let lease = Duration::from_secs(u64::from(law.lease_s));
        match verdict.act {
            Act::Wait => {
                if self.asked.is_some_and(|asked| now.monotonic.since(asked.at) >= lease) {
                    self.forget();
                }
            }
            Act::Release => {
                if let Some(asked) = self.asked {
                    effects.extend(self.lease(now, asked.demand, asked.flow_centi, 0));
                }
                self.forget();
            }
            Act::Ask(demand, flow_centi) => {
                if demand == Demand::None {
                    self.ramp = None;
                }
                let stands = self.asked.is_some_and(|asked| {
                    let same = asked.demand == demand && asked.flow_centi == flow_centi;
                    same && now.monotonic.since(asked.at) < law.renew
                });
                if !stands {
                    effects.extend(self.lease(now, demand, flow_centi, law.lease_s));
                    self.asked = Some(Asked { demand, flow_centi, at: now.monotonic });
                }
            }
        }
    }

    /// Nothing of ours stands at the boiler: the next set-point begins anew.
    fn forget(&mut self) {
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

    fn tell_room(&mut self, room: Option<f64>, effects: &mut Vec<Effect>) {
        if self.known.is_some() && self.room_missing != room.is_none() {
            self.room_missing = room.is_none();
            effects.push(Effect::Log(if self.room_missing { Log::RoomMissing } else { Log::RoomBack }));
        }
    }

    /// A decision is told when it is another one.
    fn tell(&mut self, verdict: &Verdict, room: Option<f64>, target: f64, effects: &mut Vec<Effect>) {
        let before = self.decided.replace((verdict.rule, verdict.act));
        if before == self.decided {
            return;
        }
        if before.is_none_or(|(rule, _)| rule != verdict.rule) {
            effects.push(Effect::Log(Log::Rule { rule: verdict.rule }));
        }
        let (demand, flow) = match verdict.act {
            Act::Wait | Act::Release => (None, None),
            Act::Ask(Demand::None, _) => (Some(Demand::None), None),
            Act::Ask(Demand::Heat, flow_centi) => (Some(Demand::Heat), Some(celsius(flow_centi))),
        };
        effects.push(Effect::Decision(Box::new(Decision {
            rule: verdict.rule.to_string(),
            demand,
            flow,
            wish: verdict.wish.map(|wish| wish.flow),
            correction: verdict.correction,
            current: self.current.value(),
            average: self.known.and_then(|known| known.average_heating),
            asked: self.known.and_then(|known| self.asked_mean(&known)),
            share: self.known.map_or(0.0, |known| known.share),
            room,
            outdoor: self.outdoor.value(),
            target,
            based_on: self.known.map(|known| known.slot),
        })));
    }

    /// The next renewal, or the next loss of freshness.
    fn next_wake(&self, now: &Now, verdict: &Verdict) -> Option<Monotonic> {
        let law = &self.settings.law;
        let renewal = self.asked.map(|asked| match verdict.act {
            Act::Ask(..) => asked.at.after(law.renew),
            Act::Wait | Act::Release => asked.at.after(Duration::from_secs(u64::from(law.lease_s))),
        });
        let ageing = self.known.and_then(|known| {
            let age = Self::age(&known, now);
            let limits = [self.settings.freshness.fresh, self.settings.freshness.coasting];
            let next = limits.into_iter().find(|limit| age <= *limit)?;
            Some(now.monotonic.after(next - age + Duration::from_millis(1)))
        });
        renewal.into_iter().chain(ageing).min()
    }
}

/// The second of a stamp.
#[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates; stamps are far from it")]
fn whole(stamp: f64) -> i64 {
    libm::floor(stamp) as i64
}
