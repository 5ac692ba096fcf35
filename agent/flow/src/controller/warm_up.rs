//! Optimum start: heat in time for the next higher target.
//!
//! ```text
//! lead = (target − 0.3 K − room) ÷ rate          at most half a day, with a floor a day
//! rate = how fast the rooms have warmed up lately, K/h: what they rise by ÷ how long it takes
//! ```
//! Warm-ups of 0.6 K and more are measured, from the first heat until 0.3 K below the target, with all that delays
//! it: the boiler's start, the ramp, the lag of floor and sensor. So the rate fits the depth of the usual set-back, and
//! the boiler. A quarter of each new one counts, and half of the first: one sunny morning changes little. Once begun, a
//! start is not taken back.
//!
//! Without a room temperature there is no start: the curve alone does not know a target.

use core::time::Duration;

use super::Controller;
use super::orders::Order;
use super::senses::RoomState;
use crate::control::{Emitter, Step};
use crate::published::{Action, Forecast};
use crate::time::{Monotonic, Now, Utc};

/// A room this far below its target counts as warm, K.
const CLOSE: f64 = 0.3;
/// The least warm-up that is measured, K. A night of a rate that is far too low still has as much.
const LEAST: f64 = 0.6;
/// An unfinished warm-up is measured after this time, if the room has become as much warmer.
const UNFINISHED: Duration = Duration::from_secs(2 * 3_600);
/// A warm-up without heating in more than a fifth of its time is not measured: it was interrupted, or the sun's.
const HEATED_MIN: f64 = 0.8;
/// The rate is at most this many times the usual one, or that part of it.
const RATE_SPAN: f64 = 5.0;
/// The shares of a new rate: of the first one, and of any other.
const LEARNS: (f64, f64) = (0.5, 0.25);
/// A target is looked for within this time.
const HORIZON: Duration = Duration::from_secs(24 * 3_600);
/// An operator's set-back of this length is an absence, whose end is known: rooms are warm then. A shorter one may be
/// an open window.
const ABSENCE: Duration = Duration::from_secs(12 * 3_600);

#[derive(Clone, Copy, Debug)]
pub(super) struct WarmUp {
    emitter: Emitter,
    /// How fast the rooms warm up, K/h; `None` before the first one that was measured.
    rate: Option<f64>,
    measured: Option<Measured>,
    forecast: Option<Forecast>,
    /// The step for which heating has begun, and when.
    begun: Option<(Utc, Utc)>,
    early: Option<f64>,
}

/// A warm-up while it lasts.
#[derive(Clone, Copy, Debug)]
struct Measured {
    since: Monotonic,
    last: Monotonic,
    heated: Duration,
    from: f64,
    room: f64,
    to: f64,
}

impl Measured {
    fn lasts(&self) -> Duration {
        self.last.since(self.since)
    }

    fn is_whole(&self) -> bool {
        self.room >= self.to - CLOSE
    }

    /// Its rate, K/h; `None` if it is no measure.
    fn rate(&self) -> Option<f64> {
        let hours = self.lasts().as_secs_f64() / 3_600.0;
        let is_heated = self.heated.as_secs_f64() / 3_600.0 >= HEATED_MIN * hours;
        let rise = self.room - self.from;
        let counts = self.is_whole() || (self.lasts() >= UNFINISHED && rise >= LEAST);
        (is_heated && hours > 0.0 && counts).then_some(rise / hours)
    }
}

impl WarmUp {
    pub(super) fn new(emitter: Emitter) -> Self {
        Self { emitter, rate: None, measured: None, forecast: None, begun: None, early: None }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The later target that is heated for already, °C.
    pub(super) fn early(&self) -> Option<f64> {
        self.early
    }

    pub(super) fn forecast(&self) -> Option<Forecast> {
        self.forecast
    }

    /// Continues from a predecessor, which has `begun` to heat for a step.
    pub(super) fn continue_from(&mut self, rate: Option<f64>, begun: Option<Forecast>) {
        self.rate = rate.filter(|rate| rate.is_finite()).map(|rate| self.bound(rate));
        self.begun = begun.map(|it| (Utc::from_unix_seconds(it.at), Utc::from_unix_seconds(it.heats_from)));
    }

    /// Looks ahead to higher targets, and sets that for which it is time: the highest of several.
    fn look(&mut self, rises: impl Iterator<Item = Step>, room: Option<f64>, utc: Utc) {
        (self.forecast, self.early) = (None, None);
        // A sensor that is silent for a while does not take a start back.
        let Some(room) = room else { return };
        let mut due: Option<(Step, Utc)> = None;
        let mut next: Option<(Step, Utc)> = None;
        for rise in rises {
            let begun = self.begun.filter(|(from, _)| *from == rise.from).map(|(_, at)| at);
            let begin = begun.unwrap_or_else(|| self.begin(&rise, room));
            if begin > utc {
                next = next.filter(|(_, at)| *at <= begin).or(Some((rise, begin)));
            } else if due.is_none_or(|(other, _)| other.target < rise.target) {
                due = Some((rise, begun.unwrap_or(utc)));
            }
        }
        self.begun = due.map(|(rise, at)| (rise.from, at));
        self.early = due.map(|(rise, _)| rise.target);
        self.forecast = due.or(next).map(|(rise, begin)| Forecast {
            target: rise.target,
            at: rise.from.unix_seconds(),
            heats_from: begin.unix_seconds(),
        });
    }

    /// When heating for a step is to begin; not before it if the room is warm.
    fn begin(&self, rise: &Step, room: f64) -> Utc {
        let (usual, longest) = usual(self.emitter);
        let missing = (rise.target - CLOSE - room).max(0.0);
        let lead = Duration::try_from_secs_f64(missing / self.rate.unwrap_or(usual) * 3_600.0);
        rise.from.before(lead.map_or(longest, |lead| lead.min(longest)))
    }

    fn bound(&self, rate: f64) -> f64 {
        let (usual, _) = usual(self.emitter);
        rate.clamp(usual / RATE_SPAN, usual * RATE_SPAN)
    }

    /// Measures a warm-up to `target`.
    pub(super) fn measure(&mut self, room: Option<f64>, target: f64, is_heating: bool, now: Monotonic) {
        let Some(room) = room else {
            self.measured = None;
            return;
        };
        let Some(mut measured) = self.measured.take() else {
            if is_heating && target - room >= LEAST {
                let heated = Duration::ZERO;
                self.measured = Some(Measured { since: now, last: now, heated, from: room, room, to: target });
            }
            return;
        };
        if (target - measured.to).abs() > f64::EPSILON {
            self.learn(&measured);
            return;
        }
        if is_heating {
            measured.heated += now.since(measured.last);
        }
        (measured.last, measured.room) = (now, room);
        if measured.is_whole() || measured.lasts() >= HORIZON {
            self.learn(&measured);
        } else {
            self.measured = Some(measured);
        }
    }

    fn learn(&mut self, measured: &Measured) {
        let Some(new) = measured.rate().map(|rate| self.bound(rate)) else { return };
        let (old, share) = self.rate.map_or((usual(self.emitter).0, LEARNS.0), |rate| (rate, LEARNS.1));
        // The mean of hours for each kelvin: a start late by an hour counts as much as one early by it.
        self.rate = Some(1.0 / ((1.0 - share) / old + share / new));
    }
}

impl Controller {
    /// The room's target: of the plan, or lower by an operator's set-back.
    pub(super) fn target(&self, now: &Now) -> f64 {
        let target = self.settings.law.plan.target(now.utc);
        match self.orders.standing().map(|order| order.action) {
            Some(Action::SetBack { room }) => target.min(room),
            Some(Action::Boost { .. } | Action::HotWater { .. } | Action::Hold | Action::Release) | None => target,
        }
    }

    /// The target that is heated for: early that of a later step.
    pub(super) fn aim(&self, now: &Now) -> f64 {
        self.warm_up.early().unwrap_or_else(|| self.target(now))
    }

    /// Looks ahead to later targets, for [`Controller::aim`].
    pub(super) fn look_ahead(&mut self, now: &Now, room: RoomState) {
        let target = self.target(now);
        let plan = &self.settings.law.plan;
        let end = now.utc.after(HORIZON);
        // Before the end of a set-back, the plan's own steps are lowered too.
        let set_back = self.orders.standing().filter(|order| matches!(order.action, Action::SetBack { .. }));
        let from = set_back.map_or(now.utc, Order::ends);
        let is_known = set_back.is_none_or(|order| order.length >= ABSENCE) && self.is_season != Some(false);
        let resumed = set_back.map(|_| Step { from, target: plan.target(from) });
        let resumed = resumed.filter(|step| step.from <= end && step.target > target);
        let rises = resumed.into_iter().chain(plan.rises(from, end, target)).filter(|_| is_known);
        self.warm_up.look(rises, room.celsius(), now.utc);
    }
}

/// How fast rooms warm up before it is known, K/h, and the longest lead.
fn usual(emitter: Emitter) -> (f64, Duration) {
    const HALF_DAY: Duration = Duration::from_secs(12 * 3_600);
    match emitter {
        Emitter::Radiators => (1.0, HALF_DAY),
        Emitter::Floor => (0.25, HORIZON),
        Emitter::FanCoil => (2.0, HALF_DAY),
    }
}
