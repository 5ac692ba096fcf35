//! What the controller reports of a boiler, with each decision and lease.

use std::collections::BTreeMap;

use thermowell_flow::published::Lease;
use thermowell_flow::time::Monotonic;
use thermowell_wire::line::Demand;

use super::sheet::Rows;

/// What is known of a boiler's control.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Decisions by rule. The rules are words of `flow::controller`, two dozen at most.
    decisions: BTreeMap<String, u64>,
    published: u64,
    pub unpublished: u64,
    pub stands_by: bool,
    /// The flow temperature in °C of the last published lease, none for no heat, and when the lease ends.
    asked: Option<(Option<f64>, Monotonic)>,
}

impl Report {
    /// A decision was made by this rule.
    pub fn decided(&mut self, rule: &str) {
        match self.decisions.get_mut(rule) {
            Some(count) => *count += 1,
            None => drop(self.decisions.insert(rule.to_owned(), 1)),
        }
    }

    /// A lease was published.
    pub fn published(&mut self, lease: &Lease, ends: Monotonic) {
        self.published += 1;
        self.asked = Some(((lease.demand == Demand::Heat).then_some(lease.flow), ends));
    }

    pub(super) fn write(&self, rows: &mut Rows<'_>, now: Monotonic) {
        for (rule, count) in &self.decisions {
            rows.one("decisions_total", ("rule", rule.clone()), *count);
        }
        rows.add("leases_published_total", self.published);
        rows.add("leases_unpublished_total", self.unpublished);
        rows.add("standing_by", self.stands_by);
        let asked = self.asked.filter(|(_, ends)| now < *ends && !self.stands_by);
        rows.known("setpoint_asked_celsius", asked.and_then(|(flow, _)| flow));
    }
}
