//! What makers ship: a curve with room influence, and a PI controller with the curve as feed-forward.
//!
//! ```text
//! influence: S = curve(outdoor) + 5 · (target − room)
//! PI:        S = curve(outdoor) + Kp · (target − room) + I      I' = Kp ÷ Ti · (target − room)
//! ```
//! Both read the firmware's room and outdoor temperature and set the flow by leases, as our controller does, and have
//! the same limits.
//!
//! | what | number | source |
//! |---|---|---|
//! | room influence | 5 K/K | Siemens RVL470 (CE1P2522E, 8.5.2): VF ÷ 2 × (1 + slope), VF 4, slope 1.5 |
//! | heat off, room above the target | 1 K | Viessmann Vitodens 200-W (5692 843), code b5:5; Siemens RVL471, 10.5.1 |
//! | heat on, room below the target | 0 K | the same code; RVS in Potterton's Paramount, line 760: 0.25 K below |
//! | heat off, flow above the target | 2 K × slope | Siemens RVA47.320 (CE1P2379E, 7.3): 24-hour heating limit |
//! | heat on, flow above the target | 4 K × slope | the same |
//!
//! The gains of the PI controller follow from the house by the SIMC rule (Skogestad 2003) for an integrating process:
//! Kp = 1 ÷ (k′ (λ + θ)), Ti = 4 (λ + θ), with k′ = the emitter's W per K of flow ÷ the house's J/K, θ = the lag of
//! sensor and emitter, and λ = 2 h, or θ if that is longer.

use firmware_sim::scenario::BoilerScenario;
use thermowell_wire::line::Demand;

use super::plan::Line;

/// K of flow per K below the target.
const INFLUENCE: f64 = 5.0;
/// Room limit: heat off above the target plus the first, on again below the target plus the second, K.
const ROOM_LIMIT: (f64, f64) = (1.0, 0.0);
/// Heating limit: heat off while the flow is below the target plus the first, on again above the second, K per slope.
const FLOW_LIMIT: (f64, f64) = (2.0, 4.0);
/// Limit of the integral either way, K.
const INTEGRAL_MAX: f64 = 15.0;
/// The wanted time constant of the closed loop, h.
const LAMBDA_H: f64 = 2.0;
/// Emitters are linear around this excess over the room, K: that of an average day.
const EXCESS_K: f64 = 20.0;
/// The same for a floor's surface.
const SURFACE_EXCESS_K: f64 = 3.0;

/// The gains of a PI controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pi {
    /// K of flow per K below the target.
    pub kp: f64,
    /// Reset time, h.
    pub ti_h: f64,
}

impl Pi {
    /// By the rule above.
    #[must_use]
    pub fn of(scenario: &BoilerScenario) -> Self {
        let (heating, house) = (&scenario.plant.heating, &scenario.plant.house);
        let rated_w = heating.radiator_kw * 1e3;
        let slope_w_per_k = |excess_k: f64| {
            rated_w * heating.radiator_exponent / 50.0 * (excess_k / 50.0).powf(heating.radiator_exponent - 1.0)
        };
        let screed_j_per_k = heating.screed_mj_per_k * 1e6;
        let (w_per_k, lag_s) = if screed_j_per_k > 0.0 {
            let (inner, outer) = (heating.screed_w_per_k, slope_w_per_k(SURFACE_EXCESS_K));
            (inner * outer / (inner + outer), screed_j_per_k / (inner + outer))
        } else {
            let water_j_per_k = heating.radiator_litres * 4_186.0;
            (slope_w_per_k(EXCESS_K), water_j_per_k / (heating.pump_l_per_h / 3_600.0 * 4_186.0))
        };
        let house_j_per_k = house.area_m2 * house.kj_per_m2_k * 1e3 + screed_j_per_k;
        let theta_h = scenario.room_sensor.lag.as_secs_f64() / 3_600.0 + lag_s / 3_600.0;
        let closed_h = LAMBDA_H.max(theta_h) + theta_h;
        let k_per_h = w_per_k * 3_600.0 / house_j_per_k;
        Self { kp: 1.0 / (k_per_h * closed_h), ti_h: 4.0 * closed_h }
    }
}

/// A rival.
#[derive(Clone, Debug)]
pub struct Rival {
    line: Line,
    target: f64,
    flow_min: f64,
    flow_max: f64,
    /// Without gains it is the room influence.
    pi: Option<Pi>,
    integral: f64,
    is_warm: bool,
    is_low: bool,
}

impl Rival {
    /// Curve and room influence, or a PI controller.
    #[must_use]
    pub fn new(line: Line, target: f64, (flow_min, flow_max): (f64, f64), pi: Option<Pi>) -> Self {
        Self { line, target, flow_min, flow_max, pi, integral: 0.0, is_warm: false, is_low: false }
    }

    /// The demand and the flow temperature for the next `passed_s` seconds, from the firmware's room and outdoor
    /// temperatures.
    pub fn decide(&mut self, room: f64, outdoor: f64, passed_s: f64) -> (Demand, f64) {
        let below = self.target - room;
        let kp = self.pi.map_or(INFLUENCE, |pi| pi.kp);
        let free = self.line.flow(outdoor) + kp * below + self.integral;
        let limit = if self.is_warm { ROOM_LIMIT.1 } else { ROOM_LIMIT.0 };
        self.is_warm = -below > limit;
        let limit = if self.is_low { FLOW_LIMIT.1 } else { FLOW_LIMIT.0 };
        self.is_low = free < self.target + limit * self.line.slope();
        let heats = !self.is_warm && !self.is_low;
        if let Some(pi) = self.pi {
            // Anti-windup: frozen where a higher integral would find its limit, or a lower one.
            let is_full = free > self.flow_max && below > 0.0;
            let is_empty = (free < self.flow_min || !heats) && below < 0.0;
            if !is_full && !is_empty {
                let grown = self.integral + pi.kp / pi.ti_h * below * passed_s / 3_600.0;
                self.integral = grown.clamp(-INTEGRAL_MAX, INTEGRAL_MAX);
            }
        }
        (if heats { Demand::Heat } else { Demand::None }, free.clamp(self.flow_min, self.flow_max))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Point;
    use super::*;

    /// 20 °C of flow at 20 °C outdoors, 1 K per K.
    fn rival(pi: Option<Pi>) -> Rival {
        let line = Line { cold: Point { outdoor: 0.0, flow: 40.0 }, warm: Point { outdoor: 20.0, flow: 20.0 } };
        Rival::new(line, 20.0, (25.0, 75.0), pi)
    }

    #[test]
    fn influence_shifts_the_curve_and_its_limits_have_hysteresis() {
        let mut rival = rival(None);
        assert_eq!(rival.decide(19.0, 0.0, 15.0), (Demand::Heat, 45.0));
        assert_eq!(rival.decide(21.0, 0.0, 15.0), (Demand::Heat, 35.0), "at the limit");
        assert_eq!(rival.decide(21.1, 0.0, 15.0).0, Demand::None);
        assert_eq!(rival.decide(20.1, 0.0, 15.0).0, Demand::None);
        assert_eq!(rival.decide(20.0, 0.0, 15.0), (Demand::Heat, 40.0));
        assert_eq!(rival.decide(20.0, 18.1, 15.0).0, Demand::None, "a flow of 21.9 °C");
        assert_eq!(rival.decide(20.0, 16.1, 15.0).0, Demand::None, "23.9 °C");
        assert_eq!(rival.decide(20.0, 15.9, 15.0), (Demand::Heat, 25.0));
    }

    #[test]
    fn integral_grows_with_the_error_and_not_beyond_a_limit() {
        let mut rival = rival(Some(Pi { kp: 10.0, ti_h: 10.0 }));
        let hour = |rival: &mut Rival, room| (0..240).map(|_| rival.decide(room, 0.0, 15.0)).last().unwrap().1;
        assert!((hour(&mut rival, 19.0) - 51.0).abs() < 0.01);
        assert!((hour(&mut rival, 20.0) - 41.0).abs() < 0.01, "it stays without an error");
        for _ in 0..20 {
            hour(&mut rival, 15.0);
        }
        assert!((hour(&mut rival, 20.0) - 41.0).abs() < 0.01, "the flow was at its limit");
        for _ in 0..20 {
            hour(&mut rival, 22.0);
        }
        assert!((hour(&mut rival, 20.0) - 41.0).abs() < 0.01, "no heat was wanted");
    }
}
