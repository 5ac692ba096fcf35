//! What changes slowly, and outlasts a controller: the integral, the heating season, how fast the rooms warm up, the
//! outdoor temperature of the day, and whether the boiler delivers what it is asked for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::subject::EventKind;

use super::delivery::Change;
use super::senses::RoomState;
use super::verdict::Verdict;
use super::{Controller, Effect, Log, NO_HEAT_WANTED, PREHEAT};
use crate::aggregate::WINDOW_S;
use crate::published::EventBody;
use crate::time::Monotonic;

/// How long a predecessor's integral and outdoor temperature of the day count.
const DAY_S: i64 = 86_400;

impl Controller {
    /// A new controller takes what is slow from its predecessor's last decision: the state of the hystereses, the
    /// integral, how fast the rooms warm up, the outdoor temperature of the day, a deficit.
    pub(super) fn continue_from(&mut self, second: i64, now: Monotonic) {
        if let Some(decision) = self.history.newest(second, WINDOW_S) {
            self.heat_wanted = decision.rule != NO_HEAT_WANTED;
        }
        if let Some(decision) = self.history.newest(second, DAY_S) {
            self.is_season = decision.heating_season;
            self.integral = self.settings.law.bound_integral(decision.integral);
            self.delivery.continue_from(decision.deficit, now);
            let begun = decision.forecast.filter(|_| decision.rule == PREHEAT);
            self.warm_up.continue_from(decision.warm_up, begun);
            if let Some(day) = decision.outdoor_day {
                let seen = Duration::try_from_secs_f64(decision.outdoor_day_hours * 3_600.0).unwrap_or_default();
                self.outdoor.continue_day(day, seen);
            }
        }
    }

    /// The boiler obeys a lower set-point than requested: its installer's limit.
    fn is_capped(&self, now: Monotonic) -> bool {
        const ROUNDED_CENTI: i64 = 100;
        let below = |flow_centi: i64| {
            self.asked.is_some_and(|asked| flow_centi.saturating_add(ROUNDED_CENTI) < asked.flow_centi)
        };
        self.boiler.obeys(now).is_some_and(below)
    }

    /// Continues the law's integral while the law heats the rooms. A boiler that is blocked or draws hot water does not
    /// show what its set-point is worth. What a frozen sensor has added is dropped with it.
    pub(super) fn integrate(&mut self, now: Monotonic, verdict: &Verdict, room: RoomState, target: f64) {
        let passed = self.integrated_at.replace(now).map_or(Duration::ZERO, |at| now.since(at));
        let is_held = self.boiler.is_drawing(now) || self.boiler.is_blocked() || self.is_capped(now);
        let can_show = verdict.is_law_heating() && !is_held;
        match (room, &verdict.wish) {
            (RoomState::Celsius(room), Some(wish)) if can_show => {
                // A longer silence is not heating that was seen.
                let passed = passed.min(self.settings.freshness.fresh);
                self.integral = self.settings.law.integrate(self.integral, wish, room, target, passed);
            }
            (RoomState::Frozen, _) => self.integral = 0.0,
            (RoomState::Celsius(_) | RoomState::Missing, None | Some(_)) => {}
        }
    }

    /// Compares what was asked in the last hour with what was delivered, and reports when a deficit begins and ends.
    pub(super) fn look_at_delivery(&mut self, now: Monotonic, effects: &mut Vec<Effect>) {
        let hour = self.known.and_then(|known| self.last_hour(&known));
        let Some(change) = self.delivery.take(hour.as_ref(), now) else { return };
        let (body, log) = match change {
            Change::Began(deficit) => (EventBody::DeliversLess(deficit), Log::DeliversLess(deficit)),
            Change::Ended(deficit) => (EventBody::DeliversAgain(deficit), Log::DeliversAgain(deficit)),
        };
        effects.push(Effect::Log(log));
        effects.push(Effect::Event(EventKind::Decision, Box::new(body)));
    }
}
