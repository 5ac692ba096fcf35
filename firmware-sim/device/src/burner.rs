//! The burner sequence: purge, ignition, flame, purge. Nothing else opens the gas valve.
//!
//! ```text
//!                    wanted, no flame seen                5 s with air
//!        ┌─────── Off ──────────────────▶ Purging ───────────────────▶ Igniting   gas and spark, at most 5 s
//!        │         ▲ ▲                   ▲ ▲   ▲                        │    │
//!        │         │ │ not wanted        │ │   └──── no flame in 5 s ───┘    │ flame and air
//!        │         │ └───────────────────┼─┤         (tries < 3)             ▼
//!        │         │   no air in 10 s ───┘ └──────── no flame or air ───── Burning   gas
//!        │         │   (tries < 3)                   for 0.5 s (losses < 3)  │
//!        │         └──────────────── not wanted, from anywhere ──────────────┘
//!        │                           the fan runs on for 10 s
//!        │
//!        └─▶ lockout:  the third try without a flame or air, whatever ended it            → Ignition
//!                      the third loss of flame or air within 10 min of firing             → FlameLoss
//!                      a flame for 10 s although the gas is closed (a leaking valve)      → Ignition
//! ```
//!
//! | what | number | why |
//! |---|---|---|
//! | purge | 5 s | several air changes in a combustion chamber of this size |
//! | air | within 10 s | a fan needs 2 to 3 s to run up; the purge counts from there on; ours |
//! | purge after the flame | 10 s | what is left in the chamber leaves it, also after a boot; makers give 5 to 30 s |
//! | safety time | 5 s | the longest that gas flows without a flame; makers of wall-hung boilers give 3 to 10 s |
//! | flame-failure response | 0.5 s | well within the 1 s of EN 298; a flicker is not a loss |
//! | tries, losses | 3 | as the makers do: then the boiler needs an inspection |
//!
//! A try counts as soon as the gas opens or the air stays away, and only a flame clears the count: toggling the demand
//! does not give a fourth try. Without a proof of air the sequence goes by time alone. The counts are volatile; the
//! lockout that they lead to is not ([`crate::memory`]).

use thermowell_wire::line::FaultKind;

const PURGE_US: u64 = 5_000_000;
const AIR_TIMEOUT_US: u64 = 10_000_000;
const POST_PURGE_US: u64 = 10_000_000;
/// How long a flame burns at the start load before it is modulated: it settles within a few seconds. Ours.
const START_LOAD_US: u64 = 5_000_000;
const SAFETY_TIME_US: u64 = 5_000_000;
const FLAME_FAILURE_US: u64 = 500_000;
const TRIES_MAX: u8 = 3;
const LOSSES_MAX: u8 = 3;
/// A burner must fire this long for its flame losses to be cleared.
const SOUND_US: u64 = 600_000_000;
/// Longest flame without gas; an after-burning is over by then.
const STRAY_US: u64 = 10_000_000;

/// State of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Gas closed, fan off or running on.
    Off,
    /// Fan on, gas closed. Without air at `air_by_us` the try has failed.
    Purging { until_us: u64, air_by_us: u64 },
    /// Gas open, spark on, no flame yet.
    Igniting { until_us: u64 },
    /// Gas open since the flame of `lit_us`; the last flame signal was at `flame_us`.
    Burning { lit_us: u64, flame_us: u64 },
}

#[derive(Clone, Debug)]
pub(crate) struct Burner {
    phase: Phase,
    tries: u8,
    losses: u8,
    /// Firing time since the last flame loss.
    sound_us: u64,
    /// Since when there is a flame without gas.
    stray_since_us: Option<u64>,
    /// When the gas was closed; a boot counts as closing.
    off_since_us: u64,
    stepped_us: u64,
    ignitions: u32,
}

impl Burner {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Off,
            tries: 0,
            losses: 0,
            sound_us: 0,
            stray_since_us: None,
            off_since_us: 0,
            stepped_us: 0,
            ignitions: 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the gas is open.
    pub(crate) fn has_gas(&self) -> bool {
        match self.phase {
            Phase::Igniting { .. } | Phase::Burning { .. } => true,
            Phase::Off | Phase::Purging { .. } => false,
        }
    }

    /// Whether the fan must run.
    pub(crate) fn needs_air(&self) -> bool {
        self.phase != Phase::Off || self.stepped_us.saturating_sub(self.off_since_us) < POST_PURGE_US
    }

    /// Whether the flame is still to burn at the start load: it does not exist yet, or is young.
    pub(crate) fn is_starting(&self) -> bool {
        match self.phase {
            Phase::Igniting { .. } => true,
            Phase::Burning { lit_us, .. } => self.stepped_us.saturating_sub(lit_us) < START_LOAD_US,
            Phase::Off | Phase::Purging { .. } => false,
        }
    }

    /// When the gas was last closed; 0 is the boot.
    pub(crate) fn off_since_us(&self) -> u64 {
        self.off_since_us
    }

    /// Successful ignitions since the boot.
    pub(crate) fn ignitions(&self) -> u32 {
        self.ignitions
    }

    /// Clears the counts after a lockout reset.
    pub(crate) fn clear_counts(&mut self) {
        (self.tries, self.losses, self.sound_us, self.stray_since_us) = (0, 0, 0, None);
    }

    /// One step; returns the fault that must lock out the burner. `flame` is None if the signal is unknown: then no
    /// start begins, and an open gas valve is taken to have no flame. `air` is None if the boiler does not measure it.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        wanted: bool,
        flame: Option<bool>,
        air: Option<bool>,
    ) -> Option<FaultKind> {
        let passed_us = now_us.saturating_sub(self.stepped_us);
        self.stepped_us = now_us;
        if let Some(fault) = self.watch_stray_flame(now_us, flame) {
            self.close(now_us, Phase::Off);
            return Some(fault);
        }
        let airless = air == Some(false);
        // A flame without air soots and dies: it does not count, and an ignition without air ends.
        let lit = flame == Some(true) && !airless;
        match self.phase {
            Phase::Off if wanted && flame == Some(false) => self.purge(now_us),
            Phase::Off => {}
            Phase::Purging { .. } if !wanted || flame != Some(false) => self.phase = Phase::Off,
            Phase::Purging { air_by_us, .. } if airless && now_us >= air_by_us => {
                self.tries += 1;
                return self.end_try(now_us, wanted);
            }
            Phase::Purging { air_by_us, .. } if airless => {
                self.phase = Phase::Purging { until_us: now_us.saturating_add(PURGE_US), air_by_us };
            }
            Phase::Purging { until_us, .. } if now_us >= until_us => {
                self.tries += 1;
                self.phase = Phase::Igniting { until_us: now_us.saturating_add(SAFETY_TIME_US) };
            }
            Phase::Purging { .. } => {}
            Phase::Igniting { .. } if wanted && lit => {
                self.tries = 0;
                self.ignitions += 1;
                self.phase = Phase::Burning { lit_us: now_us, flame_us: now_us };
            }
            Phase::Igniting { until_us } if !wanted || airless || now_us >= until_us => {
                return self.end_try(now_us, wanted);
            }
            Phase::Igniting { .. } => {}
            Phase::Burning { .. } if !wanted => self.close(now_us, Phase::Off),
            Phase::Burning { lit_us, .. } if lit => self.burn(now_us, passed_us, lit_us),
            Phase::Burning { flame_us, .. } if now_us.saturating_sub(flame_us) >= FLAME_FAILURE_US => {
                return self.lose_flame(now_us);
            }
            Phase::Burning { .. } => {}
        }
        None
    }

    fn watch_stray_flame(&mut self, now_us: u64, flame: Option<bool>) -> Option<FaultKind> {
        if self.has_gas() || flame != Some(true) {
            self.stray_since_us = None;
            return None;
        }
        let since_us = *self.stray_since_us.get_or_insert(now_us);
        (now_us.saturating_sub(since_us) >= STRAY_US).then_some(FaultKind::Ignition)
    }

    fn purge(&mut self, now_us: u64) {
        self.phase = Phase::Purging {
            until_us: now_us.saturating_add(PURGE_US),
            air_by_us: now_us.saturating_add(AIR_TIMEOUT_US),
        };
    }

    /// Closes the gas and enters `next`.
    fn close(&mut self, now_us: u64, next: Phase) {
        if self.has_gas() {
            self.off_since_us = now_us;
        }
        self.phase = next;
    }

    fn end_try(&mut self, now_us: u64, wanted: bool) -> Option<FaultKind> {
        self.close(now_us, Phase::Off);
        if self.tries >= TRIES_MAX {
            return Some(FaultKind::Ignition);
        }
        if wanted {
            self.purge(now_us);
        }
        None
    }

    fn burn(&mut self, now_us: u64, passed_us: u64, lit_us: u64) {
        self.phase = Phase::Burning { lit_us, flame_us: now_us };
        self.sound_us = self.sound_us.saturating_add(passed_us);
        if self.sound_us >= SOUND_US {
            self.losses = 0;
        }
    }

    fn lose_flame(&mut self, now_us: u64) -> Option<FaultKind> {
        self.close(now_us, Phase::Off);
        self.sound_us = 0;
        self.losses += 1;
        if self.losses >= LOSSES_MAX {
            return Some(FaultKind::FlameLoss);
        }
        self.purge(now_us);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_US: u64 = 100_000;

    /// A burner stepped ten times a second.
    struct Rig {
        burner: Burner,
        now_us: u64,
        air: Option<bool>,
    }

    impl Rig {
        fn new() -> Self {
            Self { burner: Burner::new(), now_us: 0, air: None }
        }

        fn step(&mut self, wanted: bool, flame: Option<bool>) -> Option<FaultKind> {
            self.now_us += STEP_US;
            self.burner.step(self.now_us, wanted, flame, self.air)
        }

        /// Steps until the phase changes, at most `most` tenths of a second. Returns the steps taken and the fault.
        fn until_change(&mut self, wanted: bool, flame: bool, most: u32) -> (u32, Option<FaultKind>) {
            let before = core::mem::discriminant(&self.burner.phase());
            for tenths in 1..=most {
                let fault = self.step(wanted, Some(flame));
                if fault.is_some() || core::mem::discriminant(&self.burner.phase()) != before {
                    return (tenths, fault);
                }
            }
            panic!("still {:?} after {most} steps", self.burner.phase());
        }

        fn lit() -> Self {
            let mut rig = Self::new();
            rig.light();
            rig
        }

        fn light(&mut self) {
            while !matches!(self.burner.phase(), Phase::Igniting { .. }) {
                assert_eq!(self.step(true, Some(false)), None);
            }
            assert_eq!(self.step(true, Some(true)), None);
            assert!(matches!(self.burner.phase(), Phase::Burning { .. }));
        }
    }

    #[test]
    fn ignition_needs_purge_and_spark() {
        let mut rig = Rig::new();
        assert_eq!(rig.until_change(true, false, 1), (1, None));
        assert!(matches!(rig.burner.phase(), Phase::Purging { .. }) && !rig.burner.has_gas());
        assert_eq!(rig.until_change(true, false, 100), (50, None));
        assert!(matches!(rig.burner.phase(), Phase::Igniting { .. }) && rig.burner.has_gas());
        assert_eq!(rig.until_change(true, true, 1), (1, None));
        assert!(matches!(rig.burner.phase(), Phase::Burning { .. }));
        assert_eq!(rig.burner.ignitions(), 1);
        assert_eq!(rig.until_change(false, true, 1), (1, None));
        assert_eq!((rig.burner.phase(), rig.burner.off_since_us()), (Phase::Off, rig.now_us));
    }

    #[test]
    fn third_failed_ignition_locks_out() {
        let mut rig = Rig::new();
        rig.step(true, Some(false));
        for _ in 0..2 {
            assert_eq!(rig.until_change(true, false, 100), (50, None), "purged");
            assert_eq!(rig.until_change(true, false, 100), (50, None), "no longer than the safety time");
            assert!(matches!(rig.burner.phase(), Phase::Purging { .. }));
        }
        assert_eq!(rig.until_change(true, false, 100), (50, None));
        assert_eq!(rig.until_change(true, false, 100), (50, Some(FaultKind::Ignition)));
        assert_eq!(rig.burner.phase(), Phase::Off);
    }

    #[test]
    fn flame_or_reset_clears_the_tries() {
        let mut rig = Rig::new();
        rig.step(true, Some(false));
        for _ in 0..2 {
            rig.until_change(true, false, 100);
            rig.until_change(true, false, 100);
        }
        rig.light();
        assert_eq!(rig.burner.tries, 0);
        rig.burner.tries = 3;
        rig.burner.clear_counts();
        assert_eq!(rig.burner.tries, 0);
    }

    #[test]
    fn demand_withdrawn_during_ignition_counts_as_a_try() {
        let mut rig = Rig::new();
        for attempt in 1..=3 {
            while !rig.burner.has_gas() {
                assert_eq!(rig.step(true, Some(false)), None);
            }
            let fault = rig.step(false, Some(false));
            assert_eq!(fault, (attempt == 3).then_some(FaultKind::Ignition));
            assert_eq!(rig.burner.phase(), Phase::Off);
        }
    }

    #[test]
    fn demand_withdrawn_during_purge_costs_no_try() {
        let mut rig = Rig::new();
        for _ in 0..10 {
            rig.step(true, Some(false));
            assert_eq!(rig.until_change(false, false, 1), (1, None));
        }
        assert_eq!((rig.burner.phase(), rig.burner.tries, rig.burner.off_since_us()), (Phase::Off, 0, 0));
    }

    #[test]
    fn flame_failure_closes_gas_and_third_locks_out() {
        let mut rig = Rig::lit();
        for _ in 0..4 {
            assert_eq!(rig.step(true, Some(false)), None);
            assert!(rig.burner.has_gas(), "a flicker is not a loss");
        }
        rig.step(true, Some(true));
        for loss in 1..=3 {
            let (tenths, fault) = rig.until_change(true, false, 20);
            assert_eq!((tenths, fault), (5, (loss == 3).then_some(FaultKind::FlameLoss)));
            assert!(!rig.burner.has_gas());
            if loss < 3 {
                assert!(matches!(rig.burner.phase(), Phase::Purging { .. }), "a purge precedes the next try");
                rig.light();
            }
        }
        assert_eq!(rig.burner.phase(), Phase::Off);
    }

    #[test]
    fn ten_minutes_of_firing_clear_the_losses() {
        for (minutes, cleared) in [(9, false), (11, true)] {
            let mut rig = Rig::lit();
            for _ in 0..2 {
                rig.until_change(true, false, 20);
                rig.light();
            }
            for _ in 0..minutes * 600 {
                assert_eq!(rig.step(true, Some(true)), None);
            }
            let (_, fault) = rig.until_change(true, false, 20);
            assert_eq!(fault.is_none(), cleared, "after {minutes} min");
        }
    }

    #[test]
    fn flame_without_gas_blocks_start_then_locks_out() {
        let mut rig = Rig::new();
        for _ in 0..99 {
            assert_eq!(rig.step(true, Some(true)), None);
            assert_eq!(rig.burner.phase(), Phase::Off);
        }
        rig.step(true, Some(false));
        assert!(matches!(rig.burner.phase(), Phase::Purging { .. }), "the after-burning is over");
        assert_eq!(rig.step(true, Some(true)), None);
        assert_eq!(rig.burner.phase(), Phase::Off, "no start with a flame present");
        let (tenths, fault) = rig.until_change(true, true, 200);
        assert_eq!((tenths, fault), (100, Some(FaultKind::Ignition)));
    }

    #[test]
    fn unknown_flame_signal_counts_as_no_flame() {
        let mut rig = Rig::new();
        for _ in 0..200 {
            rig.step(true, None);
            assert_eq!(rig.burner.phase(), Phase::Off);
        }
        let mut rig = Rig::lit();
        for _ in 0..5 {
            assert_eq!(rig.step(true, None), None);
        }
        assert!(!rig.burner.has_gas());
    }

    #[test]
    fn purge_counts_from_the_proof_of_air() {
        let mut rig = Rig { air: Some(false), ..Rig::new() };
        for _ in 0..30 {
            rig.step(true, Some(false));
            assert!(matches!(rig.burner.phase(), Phase::Purging { .. }) && rig.burner.needs_air());
        }
        rig.air = Some(true);
        assert_eq!(rig.until_change(true, false, 100), (50, None), "five seconds of air");
        assert!(matches!(rig.burner.phase(), Phase::Igniting { .. }));
    }

    #[test]
    fn third_purge_without_air_locks_out() {
        let mut rig = Rig { air: Some(false), ..Rig::new() };
        let mut faults = 0;
        for tenths in 0..1_000 {
            assert!(!rig.burner.has_gas(), "gas without air");
            if let Some(fault) = rig.step(true, Some(false)) {
                assert_eq!((fault, tenths), (FaultKind::Ignition, 3 * 100), "three times ten seconds");
                faults += 1;
                break;
            }
        }
        assert_eq!((faults, rig.burner.phase()), (1, Phase::Off));
    }

    #[test]
    fn lost_air_is_a_lost_flame() {
        let mut rig = Rig { air: Some(true), ..Rig::lit() };
        rig.step(true, Some(true));
        rig.air = Some(false);
        let (tenths, fault) = rig.until_change(true, true, 20);
        assert_eq!((tenths, fault, rig.burner.losses), (5, None, 1));
        assert!(!rig.burner.has_gas());
    }

    #[test]
    fn lost_air_ends_an_ignition_at_once() {
        let mut rig = Rig { air: Some(true), ..Rig::new() };
        while !matches!(rig.burner.phase(), Phase::Igniting { .. }) {
            rig.step(true, Some(false));
        }
        assert!(rig.burner.has_gas());
        rig.air = Some(false);
        rig.step(true, Some(false));
        assert!(!rig.burner.has_gas());
    }

    #[test]
    fn fan_runs_through_the_sequence_and_ten_seconds_more() {
        let mut rig = Rig::lit();
        assert!(rig.burner.needs_air());
        rig.step(false, Some(true));
        let after = (0..200).take_while(|_| {
            let fan = rig.burner.needs_air();
            rig.step(false, Some(false));
            fan
        });
        assert_eq!(after.count(), 100);
        assert!(!rig.burner.needs_air());
        rig.step(true, Some(false));
        assert!(rig.burner.needs_air(), "purging");
        rig.step(false, Some(false));
        assert!(!rig.burner.needs_air(), "there was no gas");
    }

    #[test]
    fn flame_is_starting_for_five_seconds() {
        let mut rig = Rig::lit();
        for _ in 0..49 {
            assert!(rig.burner.is_starting());
            rig.step(true, Some(true));
        }
        rig.step(true, Some(true));
        assert!(!rig.burner.is_starting());
    }
}
