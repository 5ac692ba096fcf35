//! What may hold the burner off, whoever wants heat: the seam of the safety machine.
//!
//! Here are the control limit, the blocking limit and the flow sensor. All three come back by themselves; a lockout
//! does not exist yet.

use thermowell_wire::CentiCelsius;
use thermowell_wire::line::FaultKind;

/// Control limit: the burner goes off, no fault.
const LIMIT: CentiCelsius = CentiCelsius(8_800);
/// Where it may come back.
const LIMIT_BACK: CentiCelsius = CentiCelsius(8_200);
/// Blocking limit: a fault that passes.
const BLOCKING: CentiCelsius = CentiCelsius(9_500);
/// Where it passes.
const BLOCKING_BACK: CentiCelsius = CentiCelsius(8_000);

/// What the burner may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Burn.
    Free,
    /// Not now: hot enough by the control limit.
    Limited,
    /// Not until this has passed.
    Blocked(FaultKind),
}

/// Remembers what still stands.
#[derive(Clone, Debug)]
pub(crate) struct Safety {
    verdict: Verdict,
}

impl Safety {
    pub(crate) fn new() -> Self {
        Self { verdict: Verdict::Free }
    }

    /// Judges the flow temperature; None is a faulty sensor.
    pub(crate) fn step(&mut self, flow: Option<CentiCelsius>) -> Verdict {
        self.verdict = match (flow, self.verdict) {
            (None, _) => Verdict::Blocked(FaultKind::Sensor),
            (Some(flow), _) if flow >= BLOCKING => Verdict::Blocked(FaultKind::Overheat),
            (Some(flow), Verdict::Blocked(FaultKind::Overheat)) if flow > BLOCKING_BACK => self.verdict,
            (Some(flow), _) if flow >= LIMIT => Verdict::Limited,
            (Some(flow), Verdict::Limited) if flow > LIMIT_BACK => Verdict::Limited,
            (Some(_), _) => Verdict::Free,
        };
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_until_the_water_has_cooled() {
        let mut safety = Safety::new();
        let mut judge = |flow| safety.step(Some(CentiCelsius(flow)));
        assert_eq!(judge(8_799), Verdict::Free);
        assert_eq!(judge(8_800), Verdict::Limited);
        assert_eq!(judge(8_201), Verdict::Limited);
        assert_eq!(judge(8_200), Verdict::Free);
        assert_eq!(judge(9_500), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(judge(8_001), Verdict::Blocked(FaultKind::Overheat));
        assert_eq!(judge(8_000), Verdict::Free);
        assert_eq!(safety.step(None), Verdict::Blocked(FaultKind::Sensor));
        assert_eq!(safety.step(Some(CentiCelsius(5_000))), Verdict::Free, "an open sensor is a fault that passes");
    }
}
