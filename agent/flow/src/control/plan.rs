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

    /// The steps after `utc`, until `end`, to more than `target`.
    pub fn rises(&self, utc: Utc, end: Utc, target: f64) -> impl Iterator<Item = Step> {
        let steps = self.steps.iter().copied();
        steps.filter(move |step| step.from > utc && step.from <= end && step.target > target)
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
    fn rises_are_the_higher_targets_to_come() {
        let plan = Plan::new(Vec::from([step(10, 17.0), step(20, 16.0), step(30, 18.0), step(40, 21.0)]));
        let rises = |utc, end, target| plan.rises(Utc(utc), Utc(end), target).collect::<Vec<_>>();
        assert_eq!(rises(10, 99, 17.0), [step(30, 18.0), step(40, 21.0)]);
        assert_eq!(rises(10, 39, 17.0), [step(30, 18.0)], "until the end");
        assert_eq!(rises(30, 99, 18.0), [step(40, 21.0)], "the current one is over");
        assert_eq!(rises(40, 99, 21.0), []);
    }
}
