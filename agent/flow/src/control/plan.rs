//! The targets of the room temperature over time. The shell's calendar makes them: weekdays, time zones and absences
//! end there.

use alloc::vec::Vec;

use crate::time::Utc;

/// Targets in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// A target from a time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub from: Utc,
    /// Room temperature, °C.
    pub target: f64,
}

impl Plan {
    /// Of several steps at one time, the last one counts.
    #[must_use]
    pub fn new(mut steps: Vec<Step>) -> Self {
        steps.sort_by_key(|step| step.from);
        Self { steps }
    }

    /// One target at all times.
    #[must_use]
    pub fn constant(target: f64) -> Self {
        Self::new(Vec::from([Step { from: Utc(i64::MIN), target }]))
    }

    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The target at `utc`, °C; before the first step, that of the first. Without any, 20 °C.
    #[must_use]
    pub fn target(&self, utc: Utc) -> f64 {
        const UNPLANNED: f64 = 20.0;
        let current = self.steps.iter().rfind(|step| step.from <= utc);
        current.or(self.steps.first()).map_or(UNPLANNED, |step| step.target)
    }

    /// The first step after `utc`, until `end`, to more than `target`.
    #[must_use]
    pub fn rise(&self, utc: Utc, end: Utc, target: f64) -> Option<Step> {
        self.steps.iter().find(|step| step.from > utc && step.from <= end && step.target > target).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from_s: i64, target: f64) -> Step {
        Step { from: Utc(from_s), target }
    }

    #[test]
    fn step_holds_until_the_next() {
        let plan = Plan::new(Vec::from([step(20, 21.0), step(10, 17.0), step(30, 18.0), step(30, 16.0)]));
        for (utc, target) in [(0, 17.0), (10, 17.0), (19, 17.0), (20, 21.0), (29, 21.0), (30, 16.0), (99, 16.0)] {
            assert!((plan.target(Utc(utc)) - target).abs() < 1e-9, "{utc}");
        }
        assert!((Plan::new(Vec::new()).target(Utc(0)) - 20.0).abs() < 1e-9);
        assert!((Plan::constant(19.0).target(Utc(-5)) - 19.0).abs() < 1e-9);
    }

    #[test]
    fn rise_is_the_next_higher_target() {
        let plan = Plan::new(Vec::from([step(10, 17.0), step(20, 16.0), step(30, 18.0), step(40, 21.0)]));
        assert_eq!(plan.rise(Utc(10), Utc(99), 17.0), Some(step(30, 18.0)));
        assert_eq!(plan.rise(Utc(10), Utc(29), 17.0), None, "after the end");
        assert_eq!(plan.rise(Utc(30), Utc(99), 18.0), Some(step(40, 21.0)), "the current one is over");
        assert_eq!(plan.rise(Utc(40), Utc(99), 21.0), None);
    }
}
