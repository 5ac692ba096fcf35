//! `asked`: the mean set-point over the last hour's heating seconds, and its reconstruction after a restart.
//!
//! A running controller adds the current set-point for each second that heated rooms. A new one reads its predecessor's
//! decisions: a decision lasts until the next one, and its seconds count if it requested heat and no hot water was
//! drawn. Decisions do not contain which of those seconds had the pump on, so the reconstructed mean is approximate.

use alloc::vec::Vec;

use thermowell_wire::line::Demand;
use thermowell_wire::{CentiCelsius, Reading};

use crate::aggregate::{Pane, WINDOW_S, Window};
use crate::published::{Decision, celsius, centi_mean};

/// States arrive about once a second; a longer silence is not filled with the set-point.
const SILENCE_MAX_S: i64 = 10;

/// A decision in the hour before this controller started.
#[derive(Clone, Debug, PartialEq)]
pub struct PastDecision {
    /// When it was made, Unix seconds.
    pub at: f64,
    pub decision: Decision,
}

impl PastDecision {
    /// The set-point, if its seconds count.
    fn asked(&self) -> Option<f64> {
        let heats = self.decision.demand == Some(Demand::Heat) && self.decision.rule != super::HOT_WATER;
        self.decision.flow.filter(|flow| heats && flow.is_finite())
    }
}

/// The set-points of the hour that ends with second `until`, from `past` in the order of the stream. The last decision
/// lasts for `last_s` seconds at most.
#[must_use]
pub fn replay(past: &[PastDecision], until: i64, last_s: i64) -> Window {
    let mut setpoints = Window::new();
    let mut second = until.saturating_sub(WINDOW_S - 1);
    for (index, decision) in past.iter().enumerate() {
        let begins = super::whole(decision.at);
        let ends = match past.get(index + 1) {
            Some(next) => super::whole(next.at),
            None => begins.saturating_add(last_s),
        };
        // A calendar that went back, or an extreme stamp, fills nothing.
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

/// The set-points of the last hour.
#[derive(Debug)]
pub(super) struct SetpointHistory {
    setpoints: Window,
    /// The newest state's second.
    second: Option<i64>,
    past: Vec<PastDecision>,
}

impl SetpointHistory {
    pub(super) fn new() -> Self {
        Self { setpoints: Window::new(), second: None, past: Vec::new() }
    }

    /// Takes a predecessor's decisions. Ignored after the first state: then the controller has its own history.
    pub(super) fn read(&mut self, past: &[PastDecision]) {
        if self.second.is_none() {
            self.past = past.to_vec();
        }
    }

    /// The newest decision of the predecessor, within `within_s` before `second`. One that waited for data knew
    /// nothing.
    pub(super) fn newest(&self, second: i64, within_s: i64) -> Option<&Decision> {
        let knew = self.past.iter().rfind(|past| past.decision.rule != super::WAITING);
        let newest = knew.filter(|past| super::whole(past.at) > second.saturating_sub(within_s));
        newest.map(|past| &past.decision)
    }

    /// Adds `asked` for the seconds up to a state's; a gap, if the boiler did not heat rooms in them. On the first
    /// state, the predecessor's decisions fill the hour before it; the last one lasts for `last_s`.
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
