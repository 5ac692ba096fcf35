//! What people are told: a log line when something begins, a decision when it is another one.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use thermowell_wire::CommandId;
use thermowell_wire::line::{Demand, Fault};

use super::orders::Unfit;
use super::senses::{RoomSays, Weather};
use super::verdict::{Act, Verdict};
use super::{Controller, Effect};
use crate::published::{Decision, EventBody, celsius};
use crate::time::Now;

/// A wish that moved this far is told, K.
const WISH_MOVED: f64 = 1.0;

/// What people should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Log {
    /// Another rule decides now.
    Rule {
        /// As in the decision.
        rule: &'static str,
    },
    /// There is no room temperature, or an old one: its term is 0.
    RoomMissing,
    /// The room temperature stands still for longer than a room can (`senses.rs`): its term is 0.
    RoomFrozen,
    /// The room temperature is back.
    RoomBack,
    /// The outdoor temperature is old; the mean of the day before stands for it.
    OutdoorMissing {
        /// It, °C.
        mean: f64,
    },
    /// The boiler is locked out.
    Lockout {
        /// By this, if it says so.
        fault: Option<Fault>,
    },
    /// The boiler does not do what it is asked.
    Refused,
    /// The burner starts more than three times an hour.
    Cycling,
    /// An operator's command acts from now on; a release ended what stood.
    Ordered {
        /// Its id.
        id: CommandId,
    },
    /// An operator's command does not act.
    Unfit {
        /// Its id.
        id: CommandId,
        /// Why.
        why: Unfit,
    },
    /// The time of an operator's command is over.
    OrderEnded {
        /// Its id.
        id: CommandId,
    },
}

/// What was told last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decided {
    pub(super) rule: &'static str,
    demand: Option<Demand>,
    flow_centi: i64,
    wish: Option<f64>,
}

/// What people have been told, so that they are told once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    room: RoomSays,
    is_day_mean: bool,
    is_locked: bool,
    is_refused: bool,
    is_cycling: bool,
}

impl Said {
    /// Nothing is wrong until it is.
    pub(super) fn new() -> Self {
        Self {
            room: RoomSays::Celsius(0.0),
            is_day_mean: false,
            is_locked: false,
            is_refused: false,
            is_cycling: false,
        }
    }
}

impl Controller {
    /// What people should look at, each time that it begins.
    pub(super) fn say(
        &mut self,
        now: &Now,
        verdict: &Verdict,
        room: RoomSays,
        weather: Weather,
        effects: &mut Vec<Effect>,
    ) {
        let mut say = |log| effects.push(Effect::Log(log));
        let same_room = core::mem::discriminant(&room) == core::mem::discriminant(&self.said.room);
        if self.known.is_some() && !same_room {
            self.said.room = room;
            say(match room {
                RoomSays::Missing => Log::RoomMissing,
                RoomSays::Frozen => Log::RoomFrozen,
                RoomSays::Celsius(_) => Log::RoomBack,
            });
        }
        let day_mean = match weather {
            Weather::DayBefore(mean) => Some(mean),
            Weather::Now(_) | Weather::Unknown => None,
        };
        if begins(&mut self.said.is_day_mean, day_mean.is_some()) {
            say(Log::OutdoorMissing { mean: day_mean.unwrap_or_default() });
        }
        let lockout = self.boiler.lockout();
        if begins(&mut self.said.is_locked, lockout.is_some()) {
            say(Log::Lockout { fault: lockout.flatten() });
        }
        if begins(&mut self.said.is_refused, verdict.rule == "refused") {
            say(Log::Refused);
        }
        if begins(&mut self.said.is_cycling, self.boiler.is_cycling(now.monotonic)) {
            say(Log::Cycling);
            let starts = self.boiler.starts();
            effects.push(Effect::Event(Box::new(EventBody::BurnerCycles { starts })));
        }
    }

    /// A decision is told when it is another one, or its wish is.
    pub(super) fn tell(
        &mut self,
        verdict: &Verdict,
        room: Option<f64>,
        outdoor: Option<f64>,
        target: f64,
        effects: &mut Vec<Effect>,
    ) {
        let (demand, flow_centi) = match verdict.act {
            Act::Wait | Act::Release | Act::Knock(..) => (None, 0),
            Act::Ask(Demand::None, _) => (Some(Demand::None), 0),
            Act::Ask(Demand::Heat, flow_centi) => (Some(Demand::Heat), flow_centi),
        };
        let wish = verdict.wish.map(|wish| wish.flow);
        let decided = Decided { rule: verdict.rule, demand, flow_centi, wish };
        let is_same = self.decided.is_some_and(|before| {
            let moved = before.wish.zip(wish).map_or(0.0, |(before, wish)| (wish - before).abs());
            before == Decided { wish: before.wish, ..decided } && moved < WISH_MOVED
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
            current: self.current.value(),
            average: self.known.and_then(|known| known.average_heating),
            asked: self.known.and_then(|known| self.asked_mean(&known)),
            share: self.known.map_or(0.0, |known| known.share),
            room,
            outdoor,
            target,
            based_on: self.known.map(|known| known.slot),
            command: self.orders.standing().filter(|_| is_law).map(|order| order.id.clone()),
        })));
    }
}

/// Remembers that `is` holds; whether it did not until now.
fn begins(was: &mut bool, is: bool) -> bool {
    !core::mem::replace(was, is) && is
}
