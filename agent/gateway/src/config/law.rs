//! The configured law in the units of `flow`.

use thermowell_flow::control::{self, Curve, Plan};

use super::{CurvePoint, Law};

impl Law {
    /// The control law, without a plan: the calendar makes it.
    ///
    /// # Panics
    /// Without an emitter: a checked configuration does not enable control then.
    #[must_use]
    pub fn to_flow(&self) -> control::Law {
        let point = |point: CurvePoint| {
            let CurvePoint { outdoor, flow } = point;
            control::CurvePoint { outdoor: outdoor.celsius(), flow: flow.celsius() }
        };
        let [cold, warm] = self.curve;
        control::Law {
            emitter: self.emitter.expect("control is not enabled without an emitter"),
            curve: Curve { cold: point(cold), warm: point(warm) },
            plan: Plan::new(Vec::new()),
            kp: self.kp,
            ki: self.ki,
            k: self.k,
            heating_limit: self.heating_limit.celsius(),
            flow_min: self.flow_min.celsius(),
            flow_max: self.flow_max.celsius(),
            lease_s: u16::try_from(self.lease.as_secs()).expect("the configuration allows at most 120 s"),
            renew: self.renew,
        }
    }
}
