//! The next action and its rule: the table at the top of [`super`].

use core::time::Duration;

use thermowell_wire::line::Demand;

use super::{Controller, HEATING_LIMIT, HOT_WATER, Known, NO_HEAT_WANTED, PREHEAT, WAITING};
use crate::control::{LastHour, Ramp, Wish, centi};
use crate::published::{self, Action, celsius};
use crate::time::{Monotonic, Now};

/// Above the heating limit, without an outdoor temperature: this far below its target a room begins to need heat, and
/// ends to, K.
const COLD: (f64, f64) = (2.0, 1.0);

/// An action and its rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) rule: &'static str,
    pub(super) act: Act,
    pub(super) wish: Option<Wish>,
    pub(super) correction: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Requests nothing: an active lease expires.
    Wait,
    /// Ends an active lease.
    Release,
    /// Requests the set-point, or renews the lease.
    Ask(Demand, i64),
    /// Requests the set-point at intervals, because the boiler refuses it.
    Probe(Demand, i64),
}

impl Verdict {
    /// The law requests heat, and the boiler is not known to refuse it.
    pub(super) fn is_law_heating(&self) -> bool {
        matches!(self.act, Act::Ask(Demand::Heat, _)) && ["law", "warming", PREHEAT, "set_back"].contains(&self.rule)
    }
}

impl Controller {
    /// Decides the next action. The first matching rule wins.
    pub(super) fn verdict(&mut self, now: &Now, room: Option<f64>, outdoor: Option<f64>, target: f64) -> Verdict {
        let known = match self.gate(now) {
            Ok(known) => known,
            Err((rule, act)) => return Verdict { rule, act, wish: None, correction: 0.0 },
        };
        let verdict = self.ordered(now).unwrap_or_else(|| self.lawful(now, &known, room, outdoor, target));
        let lease = Duration::from_secs(u64::from(self.settings.law.lease_s));
        match verdict.act {
            Act::Ask(demand, flow_centi) if self.boiler.is_refusing(lease, now.monotonic) => {
                Verdict { rule: "refused", act: Act::Probe(demand, flow_centi), ..verdict }
            }
            Act::Wait | Act::Release | Act::Ask(..) | Act::Probe(..) => verdict,
        }
    }

    /// Checks the conditions of any request; returns the rule and its action if one fails.
    fn gate(&self, now: &Now) -> Result<Known, (&'static str, Act)> {
        let known = self.known.ok_or((WAITING, Act::Wait))?;
        if self.status_simulated.is_some_and(|simulated| simulated != known.simulated) {
            return Err(("mixed", Act::Release));
        }
        match published::freshness(Self::age(&known, now), &self.settings.freshness) {
            published::Freshness::Fault => return Err(("fault", Act::Release)),
            published::Freshness::Coasting => return Err(("coasting", Act::Wait)),
            published::Freshness::Fresh | published::Freshness::Warming | published::Freshness::NoValidReading => {}
        }
        if known.reading_age(now).is_none_or(|age| age > self.settings.freshness.fresh) {
            return Err(("sensor", Act::Wait));
        }
        if self.boiler.lockout().is_some() {
            return Err(("lockout", Act::Wait));
        }
        Ok(known)
    }

    /// The action of an operator's command.
    fn ordered(&mut self, now: &Now) -> Option<Verdict> {
        let (rule, demand, flow_centi) = match self.orders.standing()?.action {
            Action::Boost { flow } => ("boost", Demand::Heat, centi(flow)),
            Action::HotWater { flow } => ("tap", Demand::Heat, centi(flow)),
            Action::Hold => {
                let (demand, flow_centi) = self.held?;
                ("hold", demand, flow_centi)
            }
            // A set-back only changes the law's target, and a release ends a command.
            Action::SetBack { .. } | Action::Release => return None,
        };
        let act = match demand {
            Demand::Heat => Act::Ask(demand, self.ramp(flow_centi, now.monotonic)),
            Demand::None => Act::Ask(demand, flow_centi),
        };
        let flow = celsius(flow_centi);
        Some(Verdict { rule, act, wish: Some(Wish { free: flow, flow }), correction: 0.0 })
    }

    /// The action of the control law.
    fn lawful(&mut self, now: &Now, known: &Known, room: Option<f64>, outdoor: Option<f64>, target: f64) -> Verdict {
        let Some(outdoor) = outdoor else {
            return self.blind(room, target);
        };
        let law = &self.settings.law;
        // Without a room nothing would undo a wrong integral.
        let integral = room.map_or(0.0, |_| self.integral);
        let wish = law.wish(outdoor, room, self.room.step(), target, integral);
        if let Some(day) = self.outdoor.day() {
            // The mean of one warm afternoon must not hold the heating down to the lower limit.
            let was_season = self.is_season.unwrap_or(true) || !self.outdoor.is_day_whole();
            self.is_season = Some(law.is_heating_season(day, was_season));
        }
        let is_season = self.is_season.unwrap_or(true);
        self.heat_wanted = law.is_heat_wanted(&wish, room, target, self.heat_wanted);
        if !(is_season && self.heat_wanted) {
            let act = Act::Ask(Demand::None, centi(law.flow_min));
            let rule = if is_season { NO_HEAT_WANTED } else { HEATING_LIMIT };
            return Verdict { rule, act, wish: Some(wish), correction: 0.0 };
        }
        let correction = law.correction(self.last_hour(known).as_ref());
        let aim = law.aim(&wish, correction);
        let drawing = self.boiler.is_drawing(now.monotonic) && self.ramp.is_some();
        let flow_centi = self.ramp(aim, now.monotonic);
        let set_back = self.orders.standing().is_some();
        let rule = match () {
            () if drawing => HOT_WATER,
            () if self.warm_up.early().is_some() => PREHEAT,
            () if set_back => "set_back",
            () if !known.has_average => "warming",
            () => "law",
        };
        Verdict { rule, act: Act::Ask(Demand::Heat, flow_centi), wish: Some(wish), correction }
    }

    /// Without an outdoor temperature the boiler is on its own control. Where its sensor fell silent above the heating
    /// limit, that control would heat in July: the room says when there is need.
    fn blind(&mut self, room: Option<f64>, target: f64) -> Verdict {
        let (begin, end) = COLD;
        let below = if self.is_cold { end } else { begin };
        self.is_cold = room.is_none_or(|room| room <= target - below);
        let (rule, act) = match self.is_season != Some(false) || self.is_cold {
            true => ("no_outdoor", Act::Release),
            false => (HEATING_LIMIT, Act::Ask(Demand::None, centi(self.settings.law.flow_min))),
        };
        Verdict { rule, act, wish: None, correction: 0.0 }
    }

    /// The set-point ramped towards `aim`, centi-degrees. It begins at the set-point that the boiler obeys, if any, and
    /// pauses while hot water is drawn.
    fn ramp(&mut self, aim: i64, now: Monotonic) -> i64 {
        let law = &self.settings.law;
        let (min, max) = (centi(law.flow_min), centi(law.flow_max));
        let aim = aim.clamp(min, max);
        let drawing = self.boiler.is_drawing(now) && self.ramp.is_some();
        let begin = self.boiler.obeys(now).map_or(aim, |flow_centi| flow_centi.clamp(min, max));
        let ramp = self.ramp.get_or_insert(Ramp::begin(begin, now));
        if !drawing {
            ramp.follow(aim, law.emitter.change_min_centi(), now);
        }
        ramp.centi()
    }

    /// The last hour, if the set-point is known for nine tenths of its heating seconds; otherwise the correction is 0.
    pub(super) fn last_hour(&self, known: &Known) -> Option<LastHour> {
        let asked = self.asked_mean(known)?;
        Some(LastHour { average: known.average_heating?, asked, share: known.share })
    }

    pub(super) fn asked_mean(&self, known: &Known) -> Option<f64> {
        self.history.asked(known.share * 3_600.0)
    }

    /// The age of a state: by its stamp, or by our own clock since the stamp last changed, whichever is more.
    pub(super) fn age(known: &Known, now: &Now) -> Duration {
        super::age(known.stamp, known.moved_at, now)
    }
}
