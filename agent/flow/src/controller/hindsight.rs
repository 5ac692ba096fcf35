//! `asked`: the mean set-point over the last hour's heating seconds, and how it outlives a restart.
//!
//! A running controller adds the set-point that stood to each second that heated rooms. One that has just started
//! reads what its predecessor decided: a decision stands until the next one, and its seconds count while it asked for
//! heat and nobody drew hot water. Which of those seconds had the pump on is not in a decision: the rebuilt mean is as
//! near as that.

use alloc::vec::Vec;

use thermowell_wire::line::Demand;
use thermowell_wire::{CentiCelsius, Reading};

use crate::aggregate::{Pane, WINDOW_S, Window};
use crate::published::{Decision, celsius, centi_mean};

/// States come once a second or so; a longer silence is not filled with what was asked.
const SILENCE_MAX_S: i64 = 10;

/// A decision of the hour before this controller started.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// When it was made, Unix seconds.
    pub at: f64,
    /// It.
    pub decision: Decision,
}

impl Told {
    /// The set-point whose seconds count.
    fn asked(&self) -> Option<f64> {
        let heats = self.decision.demand == Some(Demand::Heat) && self.decision.rule != super::HOT_WATER;
        self.decision.flow.filter(|flow| heats && flow.is_finite())
    }
}

/// The set-points of the hour that ends with second `until`, as `told` (in the order of the stream) has them. The last
/// decision stands for `last_s` seconds at most.
#[must_use]
pub fn replay(told: &[Told], until: i64, last_s: i64) -> Window {
    let mut setpoints = Window::new();
    let mut second = until.saturating_sub(WINDOW_S - 1);
    for (index, decision) in told.iter().enumerate() {
        let begins = super::whole(decision.at);
        let ends = match told.get(index + 1) {
            Some(next) => super::whole(next.at),
            None => begins.saturating_add(last_s),
        };
        // A calendar that went back, or a stamp from the ends of time, fills nothing.
        for second in begins.max(second)..ends.min(until.saturating_add(1)) {
            add(&mut setpoints, second, decision.asked());
        }
        second = second.max(ends.min(until.saturating_add(1)));
    }
    setpoints
}

fn add(setpoints: &mut Window, second: i64, asked: Option<f64>) {
    match asked {
        Some(flow) => {
            let mut pane = Pane::EMPTY;
            pane.add(Reading { temperature: CentiCelsius::from_celsius(flow), marks: 0 });
            setpoints.add(second, &pane);
        }
        None => setpoints.advance(second),
    }
}

/// What was asked.
#[derive(Debug)]
pub(super) struct Hindsight {
    setpoints: Window,
    /// The newest state's second.
    second: Option<i64>,
    past: Vec<Told>,
}

impl Hindsight {
    pub(super) fn new() -> Self {
        Self { setpoints: Window::new(), second: None, past: Vec::new() }
    }

    /// What a predecessor decided. A controller that has seen a state knows better.
    pub(super) fn read(&mut self, told: &[Told]) {
        if self.second.is_none() {
            self.past = told.to_vec();
        }
    }

    /// The newest decision that was read, within the hour before `second`.
    pub(super) fn newest(&self, second: i64) -> Option<&Decision> {
        let newest = self.past.last().filter(|told| super::whole(told.at) > second.saturating_sub(WINDOW_S));
        newest.map(|told| &told.decision)
    }

    /// The seconds up to that of a state were spent on `asked`, where they heated rooms. On the first one, what was
    /// read becomes the hour before it; its last decision stands for `last_s`.
    pub(super) fn pass(&mut self, second: i64, asked: Option<f64>, last_s: i64) {
        if self.second.is_none() {
            self.setpoints = replay(&core::mem::take(&mut self.past), second.saturating_sub(1), last_s);
        }
        let earliest = second.saturating_sub(SILENCE_MAX_S);
        let from = self.second.filter(|from| (earliest..=second).contains(from));
        for passed in from.map_or(second, |from| from.saturating_add(1))..=second {
            add(&mut self.setpoints, passed, asked);
        }
        self.second = Some(second);
    }

    /// The mean, °C, if it is known for nine tenths of `heating_seconds`.
    pub(super) fn asked(&self, heating_seconds: f64) -> Option<f64> {
        let asked = self.setpoints.valid();
        let points = f64::from(u32::try_from(asked.points).ok()?);
        (points >= 0.9 * heating_seconds).then(|| centi_mean(asked.centi, asked.points).map(celsius)).flatten()
    }
}
