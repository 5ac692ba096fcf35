//! Accepted commands take effect in the controller: both have the same rules.

use thermowell_wire::batch::ClockQuality;

use super::*;
use crate::control::{Law, Plan};
use crate::controller::{Controller, Effect, Input, Settings};
use crate::published::{Decision, EventBody};
use crate::testing;
use crate::time::{Monotonic, Now};

/// A controller with the limits, state and status of [`bench`].
fn controller(bench: &Bench, now: Now) -> Controller {
    let law = Law {
        plan: Plan::constant(21.0),
        flow_min: *bench.limits.flow.start(),
        flow_max: *bench.limits.flow.end(),
        ..testing::law()
    };
    let (boiler, freshness) = (bench.state.boiler.clone(), bench.limits.freshness);
    let mut controller =
        Controller::new(Settings { boiler, instance: "c1".into(), law, freshness, sources: std::vec![] });
    let mut effects = std::vec![];
    controller.step(now, Input::Status(&bench.status), &mut effects);
    controller.step(now, Input::State(&bench.state), &mut effects);
    controller
}

/// The reasons with which the controller refuses `command` at `now`, and its decision.
fn taken(bench: &Bench, command: &Command, now: Now) -> (std::vec::Vec<String>, Option<Decision>) {
    let mut controller = controller(bench, now);
    let mut effects = std::vec![];
    controller.step(now, Input::Command(34, command), &mut effects);
    let (mut reasons, mut decided) = (std::vec![], None);
    for effect in effects {
        match effect {
            Effect::Event(_, body) => {
                if let EventBody::CommandRefused { reason, .. } = *body {
                    reasons.push(reason);
                }
            }
            Effect::Decision(decision) => decided = Some(*decision),
            Effect::Lease(_) | Effect::Log(_) => {}
        }
    }
    (reasons, decided)
}

fn lengths() -> impl Strategy<Value = Duration> {
    let shortest = SHORTEST.as_millis();
    let longest = Action::SetBack { room: 16.0 }.longest().as_millis();
    let millis = prop_oneof![
        (shortest..=longest),
        (shortest..=Action::Hold.longest().as_millis()),
        Just(longest),
        Just(Action::Hold.longest().as_millis()),
    ];
    millis.prop_map(|millis| Duration::from_millis(u64::try_from(millis).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]
    #[test]
    fn accepted_commands_take_effect_in_the_controller(
        action in actions(),
        length in lengths(),
        decided_ns in 0..SECOND_NS,
        // The clocks of two hosts differ a little.
        later_ns in -3 * SECOND_NS..2 * SECOND_NS,
    ) {
        let bench = bench();
        let utc = Utc(NOW.0 + decided_ns);
        let known = Known { state: Some((31, &bench.state)), status: Some((32, &bench.status)), last: None };
        let ask = Ask { length, ..ask("x1", action, 0) };
        let Ok(command) = decide(utc, &ask, &known, &bench.limits) else { return Ok(()) };
        let now = Now { monotonic: Monotonic(5), utc: Utc(utc.0 + later_ns), clock: ClockQuality::Synced };
        let (reasons, decided) = taken(&bench, &command, now);
        prop_assert!(reasons.is_empty(), "{reasons:?}");
        let decided = decided.unwrap();
        let acts = match action {
            Action::Boost { .. } => decided.rule == "boost",
            Action::HotWater { .. } => decided.rule == "tap",
            Action::Hold | Action::Release => decided.rule == "hold",
            // The room of the bench has 20 °C: a target of at most that needs no heat.
            Action::SetBack { room } => {
                ["set_back", "no_heat_wanted"].contains(&decided.rule.as_str()) && decided.target <= room
            }
        };
        prop_assert!(acts, "{decided:?}");
    }
}
