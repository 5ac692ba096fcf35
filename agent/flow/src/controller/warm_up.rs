//! Optimum start: heat in time for the next higher target.
//!
//! ```text
//! lead = (target − 0.3 K − room) ÷ rate          at most half a day, with a floor a day
//! rate = how fast the rooms have warmed up lately, K/h: what they rise by ÷ how long it takes
//! ```
//! Every warm-up of 1 K and more is measured, from the first heat until 0.3 K below the target, with all that delays
//! it: the boiler's start, the ramp, the lag of floor and sensor. So the rate fits the depth of the usual set-back, and
//! the boiler. A quarter of each new one counts, and half of the first: one sunny morning changes little. Once begun, a
//! start is not taken back.
//!
//! Without a room temperature there is no start: the curve alone does not know a target.

use core::time::Duration;

use super::Controller;
use super::senses::RoomState;
use crate::control::{Emitter, Step};
use crate::published::{Action, Forecast};
use crate::time::{Monotonic, Now, Utc};

/// A room this far below its target counts as warm, K.
const CLOSE: f64 = 0.3;
/// The least warm-up that is measured, K.
const LEAST: f64 = 1.0;
/// An unfinished warm-up is measured after this time.
const UNFINISHED: Duration = Duration::from_secs(2 * 3_600);
/// A warm-up without heating in more than a fifth of its time is not measured: it was interrupted, or the sun's.
const HEATED_MIN: f64 = 0.8;
/// The limits of the rate, K/h.
const RATE: (f64, f64) = (0.05, 5.0);
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

    /// Its rate, K/h; `None` if it is no measure.
    fn rate(&self) -> Option<f64> {
        let hours = self.lasts().as_secs_f64() / 3_600.0;
        let is_heated = self.heated.as_secs_f64() / 3_600.0 >= HEATED_MIN * hours;
        let rate = (self.room - self.from) / hours;
        (is_heated && rate.is_finite()).then(|| rate.clamp(RATE.0, RATE.1))
    }
}

impl WarmUp {
    pub(super) fn new(emitter: Emitter) -> Self {
        Self { emitter, rate: None, measured: None, forecast: None, begun: None }
    }

    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// It heats for a later target.
    pub(super) fn is_early(&self) -> bool {
        self.begun.is_some()
    }

    pub(super) fn forecast(&self) -> Option<Forecast> {
        self.forecast
    }

    /// Continues from a predecessor.
    pub(super) fn continue_from(&mut self, rate: Option<f64>) {
        self.rate = rate.filter(|rate| rate.is_finite()).map(|rate| rate.clamp(RATE.0, RATE.1));
    }

    /// Looks ahead to `rise`. Returns its target if it is time to heat for it.
    fn look(&mut self, rise: Option<Step>, room: Option<f64>, utc: Utc) -> Option<f64> {
        self.forecast = None;
        self.begun = self.begun.filter(|(from, _)| room.is_some() && rise.is_some_and(|rise| rise.from == *from));
        let (rise, room) = (rise?, room?);
        let (usual, longest) = usual(self.emitter);
        let missing = (rise.target - CLOSE - room).max(0.0);
        let lead = Duration::try_from_secs_f64(missing / self.rate.unwrap_or(usual) * 3_600.0);
        let lead = lead.map_or(longest, |lead| lead.min(longest));
        let begin = rise.from.before(lead);
        if missing > 0.0 && utc >= begin {
            self.begun.get_or_insert((rise.from, utc));
        }
        let heats_from = self.begun.map_or(begin, |(_, at)| at);
        let (at, heats_from) = (rise.from.unix_seconds(), heats_from.unix_seconds());
        self.forecast = Some(Forecast { target: rise.target, at, heats_from });
        self.begun.map(|_| rise.target)
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
            self.learn(&measured, measured.lasts() >= UNFINISHED);
            return;
        }
        if is_heating {
            measured.heated += now.since(measured.last);
        }
        (measured.last, measured.room) = (now, room);
        let is_warm = room >= target - CLOSE;
        if is_warm || measured.lasts() >= HORIZON {
            self.learn(&measured, true);
        } else {
            self.measured = Some(measured);
        }
    }

    fn learn(&mut self, measured: &Measured, counts: bool) {
        let Some(new) = measured.rate().filter(|_| counts) else { return };
        let (old, share) = self.rate.map_or((usual(self.emitter).0, LEARNS.0), |rate| (rate, LEARNS.1));
        // In times, not in rates: a start that is late by an hour counts as much as one that is early by an hour.
        self.rate = Some(1.0 / ((1.0 - share) / old + share / new));
    }
}

impl Controller {
    /// The target that is heated for: that of the next step, if it is time.
    pub(super) fn early(&mut self, now: &Now, room: RoomState, target: f64) -> Option<f64> {
        let rise = self.rise(now, target);
        self.warm_up.look(rise, room.celsius(), now.utc)
    }

    /// The next higher target.
    fn rise(&self, now: &Now, target: f64) -> Option<Step> {
        let plan = &self.settings.law.plan;
        let end = now.utc.after(HORIZON);
        match self.orders.standing() {
            Some(order) if matches!(order.action, Action::SetBack { .. }) => {
                let from = order.ends();
                let step = Step { from, target: plan.target(from) };
                (order.length >= ABSENCE && from <= end && step.target > target).then_some(step)
            }
            Some(_) | None => plan.rise(now.utc, end, target),
        }
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
