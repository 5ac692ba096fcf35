//! Log lines when a condition begins, and decisions when they change.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::{Demand, Fault};
use thermowell_wire::subject::{Ambient, EventKind};
use thermowell_wire::{CommandId, SourceName};

use super::orders::Unfit;
use super::senses::{RoomState, Weather};
use super::verdict::{Act, Verdict};
use super::{Controller, Effect};
use crate::plausible::{Implausible, Quantity};
use crate::published::{Decision, Deficit, EventBody, Forecast, Unusable, celsius};
use crate::time::{Monotonic, Now};

/// A change of T* by this much publishes a decision, K.
const WISH_MOVED: f64 = 1.0;
/// So does this time: a new controller continues from what slowly changes in it.
const DECIDED_MAX: Duration = Duration::from_secs(3 * 3_600);

/// Log lines.
#[derive(Clone, Debug, PartialEq)]
pub enum Log {
    /// Another rule decides.
    Rule {
        /// The rule, as in the decision.
        rule: &'static str,
    },
    /// There is no room temperature, or an old one: its term is 0.
    RoomMissing,
    /// The room temperature is constant for longer than is possible (`senses.rs`): its term is 0.
    RoomFrozen,
    /// The room temperature is back.
    RoomBack,
    /// The outdoor temperature is old; the mean of the day before is used.
    OutdoorMissing {
        /// °C.
        mean: f64,
    },
    /// A reading of a source outside of the boiler is too old, or ahead of our clock.
    AmbientUnusable { what: Ambient, source: SourceName, why: Unusable },
    /// A source outside of the boiler became implausible: its readings are not used.
    AmbientImplausible { source: SourceName, it: Implausible },
    /// It has been plausible again for a minute.
    AmbientSound { source: SourceName, quantity: Quantity },
    /// The boiler is locked out.
    Lockout {
        /// The fault, if reported.
        fault: Option<Fault>,
    },
    /// The boiler refuses requests.
    Refused,
    /// The burner starts more than three times an hour.
    Cycling,
    /// The boiler has delivered less than it was asked for, for two hours.
    DeliversLess(Deficit),
    /// It does no more.
    DeliversAgain(Deficit),
    /// An operator's command takes effect; a release has ended the active one.
    Ordered { id: CommandId },
    /// An operator's command is not executed.
    Unfit { id: CommandId, why: Unfit },
    /// An operator's command has ended.
    OrderEnded { id: CommandId },
}

/// The last published decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decided {
    pub(super) rule: &'static str,
    demand: Option<Demand>,
    flow_centi: i64,
    wish: Option<f64>,
    has_deficit: bool,
    forecast: Option<Forecast>,
    at: Monotonic,
}

/// The reported conditions, so that each is reported once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported {
    room: RoomState,
    is_day_mean: bool,
    is_locked: bool,
    is_refused: bool,
    is_cycling: bool,
}

impl Reported {
    /// No condition is reported yet.
    pub(super) fn new() -> Self {
        Self {
            room: RoomState::Celsius(0.0),
            is_day_mean: false,
            is_locked: false,
            is_refused: false,
            is_cycling: false,
        }
    }
}

impl Controller {
    /// Reports each condition that begins.
    pub(super) fn report_changes(
        &mut self,
        now: &Now,
        verdict: &Verdict,
        room: RoomState,
        weather: Weather,
        effects: &mut Vec<Effect>,
    ) {
        let mut emit = |log| effects.push(Effect::Log(log));
        let same_room = core::mem::discriminant(&room) == core::mem::discriminant(&self.reported.room);
        if self.known.is_some() && !same_room {
            self.reported.room = room;
            emit(match room {
                RoomState::Missing => Log::RoomMissing,
                RoomState::Frozen => Log::RoomFrozen,
                RoomState::Celsius(_) => Log::RoomBack,
            });
        }
        let day_mean = match weather {
            Weather::DayBefore(mean) => Some(mean),
            Weather::Now(_) | Weather::Unknown => None,
        };
        if begins(&mut self.reported.is_day_mean, day_mean.is_some()) {
            emit(Log::OutdoorMissing { mean: day_mean.unwrap_or_default() });
        }
        let lockout = self.boiler.lockout();
        if begins(&mut self.reported.is_locked, lockout.is_some()) {
            emit(Log::Lockout { fault: lockout.flatten() });
        }
        if begins(&mut self.reported.is_refused, verdict.rule == "refused") {
            emit(Log::Refused);
        }
        if begins(&mut self.reported.is_cycling, self.boiler.is_cycling(now.monotonic)) {
            emit(Log::Cycling);
            let starts = self.boiler.starts();
            effects.push(Effect::Event(EventKind::Decision, Box::new(EventBody::BurnerCycles { starts })));
        }
    }

    /// Publishes a decision if it, or its T*, has changed, and every few hours.
    pub(super) fn report_decision(
        &mut self,
        now: Monotonic,
        verdict: &Verdict,
        room: Option<f64>,
        outdoor: Option<f64>,
        target: f64,
        effects: &mut Vec<Effect>,
    ) {
        let (demand, flow_centi) = match verdict.act {
            Act::Wait | Act::Release | Act::Probe(..) => (None, 0),
            Act::Ask(Demand::None, _) => (Some(Demand::None), 0),
            Act::Ask(Demand::Heat, flow_centi) => (Some(Demand::Heat), flow_centi),
        };
        let wish = verdict.wish.map(|wish| wish.flow);
        let (deficit, outdoor_day) = (self.delivery.deficit(), self.outdoor.recent_day(now));
        let has_deficit = deficit.is_some();
        let forecast = self.warm_up.forecast();
        let decided = Decided { rule: verdict.rule, demand, flow_centi, wish, has_deficit, forecast, at: now };
        let is_same = self.decided.is_some_and(|before| {
            let moved = before.wish.zip(wish).map_or(0.0, |(before, wish)| (wish - before).abs());
            let is_expected = match (before.forecast, forecast) {
                (Some(before), Some(forecast)) => before.is_near(&forecast),
                (before, forecast) => before.is_none() && forecast.is_none(),
            };
            before == Decided { wish: before.wish, forecast: before.forecast, at: before.at, ..decided }
                && is_expected
                && moved < WISH_MOVED
                && now.since(before.at) < DECIDED_MAX
        });
        if is_same {
            return;
        }
        if self.decided.replace(decided).is_none_or(|before| before.rule != verdict.rule) {
            effects.push(Effect::Log(Log::Rule { rule: verdict.rule }));
        }
        let is_law = !matches!(verdict.act, Act::Wait | Act::Release);
        effects.push(Effect::Decision(Box::new(Decision {
            rule: verdict.rule.to_string(),
            demand,
            flow: (demand == Some(Demand::Heat)).then(|| celsius(flow_centi)),
            wish,
            correction: verdict.correction,
            integral: self.integral,
            current: self.current.value(),
            average: self.known.and_then(|known| known.average_heating),
            asked: self.known.and_then(|known| self.asked_mean(&known)),
            share: self.known.map_or(0.0, |known| known.share),
            room,
            room_source: self.source(Ambient::Room).cloned(),
            outdoor,
            outdoor_source: self.source(Ambient::Outdoor).cloned(),
            outdoor_day,
            outdoor_day_hours: self.outdoor.day_seen().as_secs_f64() / 3_600.0,
            heating_season: self.is_season,
            target,
            forecast,
            warm_up: self.warm_up.rate(),
            based_on: self.known.map(|known| known.slot),
            deficit,
            command: self.orders.standing().filter(|_| is_law).map(|order| order.id.clone()),
        })));
    }
}

/// Stores `is`; returns whether it has become true.
fn begins(was: &mut bool, is: bool) -> bool {
    !core::mem::replace(was, is) && is
}
