//! Each rule of the commands, with its message.

use std::string::ToString as _;

use proptest::prelude::*;
use thermowell_wire::line::{Demand, Fault, FaultKind};
use thermowell_wire::{Boot, Slot};

use super::*;
use crate::published::AcceptedSetpoint;
use crate::testing;
use crate::time::SECOND_NS;

mod acts;

const NOW_S: i64 = 1_767_754_800;
const NOW: Utc = Utc(NOW_S * SECOND_NS);

/// A warm boiler with fresh state and status, on which every command is accepted.
struct Bench {
    state: State,
    status: Status,
    last: Option<Command>,
    limits: Limits,
}

#[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
fn bench() -> Bench {
    let (boot, now) = (Boot(7), NOW_S as f64);
    let state = State {
        current: Some(52.0),
        average: Some(48.5),
        coverage: 1.0,
        simulated: false,
        ..testing::state(Slot::new(boot, 900_000), now - 1.0)
    };
    let mut status = Status { simulated: false, ..testing::status(boot, now - 0.5) };
    let setpoint = AcceptedSetpoint { n: 9, demand: Demand::Heat, flow: 50.0, lease_left_s: 55.0 };
    status.device.as_mut().unwrap().setpoint = Some(setpoint);
    let limits = Limits {
        control: true,
        flow: 25.0..=75.0,
        room: 5.0..=21.0,
        coverage: 0.1,
        freshness: FreshnessLimits::at_speed(1),
    };
    Bench { state, status, last: None, limits }
}

impl Bench {
    fn decide(&self, action: Action, minutes: u64) -> Result<Command, Refusal> {
        let ask = ask("x1", action, minutes);
        let known = Known {
            state: Some((31, &self.state)),
            status: Some((32, &self.status)),
            last: self.last.as_ref().map(|last| (33, last)),
        };
        decide(NOW, &ask, &known, &self.limits)
    }

    /// The refusal of a boost to 65 °C for half an hour.
    fn refusal(&self) -> String {
        self.decide(Action::Boost { flow: 65.0 }, 30).unwrap_err().to_string()
    }

    fn device(&mut self) -> &mut DeviceStatus {
        self.status.device.as_mut().unwrap()
    }
}

fn ask(id: &str, action: Action, minutes: u64) -> Ask {
    Ask {
        id: id.parse().unwrap(),
        boiler: "b1".parse().unwrap(),
        by: "anna".parse().unwrap(),
        action,
        length: Duration::from_secs(minutes * 60),
        until: None,
    }
}

#[test]
fn accepted_command_contains_the_checked_data() {
    let command = bench().decide(Action::Boost { flow: 65.0 }, 30).unwrap();
    let based_on = command.based_on.unwrap();
    assert_eq!((based_on.state, based_on.status, based_on.command), (31, 32, 0));
    assert_eq!((based_on.current, based_on.average, based_on.coverage), (52.0, 48.5, 1.0));
    assert_eq!(command.valid_until, Some(command.created_at + 1_800.0));
    for (action, minutes) in [
        (Action::SetBack { room: 16.0 }, 7 * 24 * 60),
        (Action::HotWater { flow: 60.0 }, 60),
        (Action::Hold, 1),
        (Action::Boost { flow: 75.0 }, 60),
    ] {
        assert!(bench().decide(action, minutes).is_ok(), "{action:?}");
    }
}

#[test]
fn refused_temperature_or_duration_names_the_limits() {
    let bench = bench();
    for (action, minutes, reason) in [
        (Action::Boost { flow: 200.0 }, 30, "a boost of 200 °C is not allowed; allowed are 25 °C to 75 °C"),
        (Action::HotWater { flow: 75.5 }, 30, "a hot-water of 75.5 °C is not allowed; allowed are 25 °C to 75 °C"),
        (Action::SetBack { room: 22.0 }, 30, "a set-back of 22 °C is not allowed; allowed are 5 °C to 21 °C"),
        (Action::SetBack { room: 4.0 }, 30, "a set-back of 4 °C is not allowed; allowed are 5 °C to 21 °C"),
        (Action::Boost { flow: f64::NAN }, 30, "a boost of NaN °C is not allowed; allowed are 25 °C to 75 °C"),
        (Action::Boost { flow: 65.0 }, 24 * 60, "a boost of 24 h is not allowed; allowed are 60 s to 60 min"),
        (Action::Hold, 61, "a hold of 61 min is not allowed; allowed are 60 s to 60 min"),
        (Action::HotWater { flow: 60.0 }, 0, "a hot-water of 0 s is not allowed; allowed are 60 s to 60 min"),
        (
            Action::SetBack { room: 16.0 },
            61 * 24 * 60,
            "a set-back of 61 days is not allowed; allowed are 60 s to 60 days",
        ),
    ] {
        assert_eq!(bench.decide(action, minutes).unwrap_err().to_string(), reason);
    }
}

#[test]
fn commands_are_refused_on_old_missing_or_mixed_data() {
    type Break = fn(&mut Bench);
    let cases: [(&str, Break); 11] = [
        ("control is off", |b| b.limits.control = false),
        ("the status is 6 s old; at most 5 s are allowed", |b| b.status.created_at -= 5.2),
        ("the link to the boiler is silent; it must be up", |b| b.status.link = Link::Silent),
        ("up, but the boiler has not reported its state", |b| b.status.device = None),
        ("the state is 61 s old; at most 5 s are allowed", |b| b.state.stamp -= 60.0),
        ("the state is 9 s old", |b| b.state.stamp += 10.0),
        ("there is no average of the last hour", |b| b.state.average = None),
        ("only 9.9 % of the last hour is known; at least 10 % is needed", |b| b.state.coverage = 0.0999),
        ("the flow sensor is open; a valid reading is needed", |b| {
            b.state.current = None;
            b.state.quality = SlotQuality::Open;
        }),
        ("a simulated one and a real one", |b| b.state.simulated = true),
        ("a simulated one and a real one", |b| b.status.simulated = true),
    ];
    for (reason, break_it) in cases {
        let mut bench = bench();
        assert!(bench.decide(Action::Boost { flow: 65.0 }, 30).is_ok());
        break_it(&mut bench);
        let refusal = bench.refusal();
        assert!(refusal.contains(reason), "{refusal}, not {reason}");
        assert!(bench.decide(Action::Hold, 30).is_err() && bench.decide(Action::SetBack { room: 16.0 }, 30).is_err());
        assert!(bench.decide(Action::Release, 0).is_ok(), "a release is never refused: {reason}");
    }
}

#[test]
fn commands_are_refused_without_status_or_state() {
    let bench = bench();
    let (ask, status) = (ask("x1", Action::Hold, 30), Some((32, &bench.status)));
    let refusal = |known| decide(NOW, &ask, &known, &bench.limits).unwrap_err().to_string();
    let none = refusal(Known::default());
    assert_eq!(none, "nothing is known about boiler b1: there is no status; the agent must run");
    let half = refusal(Known { status, ..Known::default() });
    assert_eq!(half, "nothing is known about boiler b1: there is no state; the aggregator must run");
}

#[test]
fn lockout_refuses_commands_and_names_its_fault() {
    let mut bench = bench();
    let fault = Fault { boot: Boot::new(3, 0xdead_beef), counter: 7, kind: FaultKind::Ignition, lockout: false };
    bench.device().fault = Some(fault);
    assert!(bench.decide(Action::Hold, 30).is_ok(), "this fault passes by itself");
    bench.device().fault = Some(Fault { lockout: true, ..fault });
    let reason = "the boiler is locked out by fault 00000003deadbeef-7; the lockout must be reset first";
    assert_eq!(bench.refusal(), reason);
    bench.device().fault = None;
    bench.device().state = BoilerState::Lockout;
    assert_eq!(bench.refusal(), "the boiler is locked out; the lockout must be reset first");
}

#[test]
fn boost_must_exceed_average_and_current_temperature() {
    let mut bench = bench();
    let refusal = |bench: &Bench, flow| bench.decide(Action::Boost { flow }, 30).unwrap_err().to_string();
    let reason = "a boost to 48.5 °C has no effect: the last hour's mean is 48.5 °C; allowed is more, up to 75 °C";
    assert_eq!(refusal(&bench, 48.5), reason);
    let reason = "the flow is at 52 °C already, a boost to 52 °C has no effect; allowed is more, up to 75 °C";
    assert_eq!(refusal(&bench, 52.0), reason);
    bench.device().hot_water = true;
    assert!(bench.decide(Action::Boost { flow: 52.0 }, 30).is_ok(), "the sensor measures the hot-water circuit");
    bench.device().setpoint = None;
    assert!(bench.decide(Action::Hold, 30).unwrap_err().to_string().contains("no set-point to hold"));
}

#[test]
fn one_command_is_active_until_its_end_or_a_release() {
    let mut bench = bench();
    let mut standing = bench.decide(Action::Boost { flow: 60.0 }, 30).unwrap();
    standing.created_at -= 60.0;
    standing.valid_until = Some(NOW.unix_seconds() + 1_740.0);
    bench.last = Some(standing.clone());
    let reason = "anna's boost of 60 °C (x1) is active for another 29 min; a release ends it";
    assert_eq!(bench.refusal(), reason);
    assert!(bench.decide(Action::Release, 0).is_ok());
    bench.last = Some(Command { valid_until: Some(NOW.unix_seconds()), ..standing.clone() });
    assert_eq!(bench.decide(Action::Hold, 30).unwrap().based_on.unwrap().command, 33, "over");
    bench.last = Some(bench.decide(Action::Release, 0).unwrap());
    assert!(bench.decide(Action::Hold, 30).is_ok(), "released");
}

#[test]
fn unknown_boiler_or_operator_is_refused() {
    let ids = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<std::vec::Vec<BoilerId>>();
    let people = ["anna".parse().unwrap(), "ben".parse().unwrap()];
    let refusal = |boiler: &str, by: &str, people: &[OperatorName]| {
        admit(&boiler.parse().unwrap(), &by.parse().unwrap(), &ids(&["b1", "b2"]), people).map_err(|r| r.to_string())
    };
    assert_eq!(refusal("b2", "ben", &people), Ok(()));
    assert_eq!(refusal("b3", "ben", &people), Err("there is no boiler b3 here; boilers are b1, b2".into()));
    assert_eq!(refusal("b1", "eve", &people), Err("eve is not an operator; operators are anna, ben".into()));
    let none = "eve is not an operator; no operator is configured: add an [[operator]]";
    assert_eq!(refusal("b1", "eve", &[]), Err(none.into()));
}

#[test]
fn same_request_is_recognised_regardless_of_its_id() {
    let command = bench().decide(Action::Boost { flow: 65.0 }, 30).unwrap();
    assert!(ask("x2", Action::Boost { flow: 65.0 }, 30).is(&command));
    assert!(!ask("x1", Action::Boost { flow: 65.5 }, 30).is(&command));
    assert!(!ask("x1", Action::Boost { flow: 65.0 }, 31).is(&command));
    assert!(!ask("x1", Action::HotWater { flow: 65.0 }, 30).is(&command));
    let release = bench().decide(Action::Release, 0).unwrap();
    assert!(ask("x2", Action::Release, 0).is(&release) && !ask("x2", Action::Hold, 0).is(&release));
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0.0..100.0).prop_map(|flow| Action::Boost { flow }),
        (0.0..40.0).prop_map(|room| Action::SetBack { room }),
        (0.0..100.0).prop_map(|flow| Action::HotWater { flow }),
        Just(Action::Hold),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]
    /// Checks accepted commands against an independent statement of each rule.
    #[test]
    fn accepted_commands_break_no_rule(
        action in actions(),
        minutes in prop_oneof![0_u64..90, 0_u64..12_000],
        ages in (-7.0_f64..7.0, -7.0_f64..7.0),
        current in proptest::option::weighted(0.9, 20.0..80.0),
        average in proptest::option::weighted(0.9, 20.0..80.0),
        coverage in 0.0..1.0,
        flags in proptest::array::uniform5(proptest::bool::weighted(0.2)),
        standing in proptest::option::of(-100.0..100.0),
    ) {
        let [locked, mixed, draw, unleased, down] = flags;
        let mut bench = bench();
        bench.state.stamp = NOW.unix_seconds() - ages.0;
        bench.status.created_at = NOW.unix_seconds() - ages.1;
        (bench.state.current, bench.state.average, bench.state.coverage) = (current, average, coverage);
        bench.state.simulated = mixed;
        bench.device().hot_water = draw;
        if locked {
            bench.device().state = BoilerState::Lockout;
        }
        if unleased {
            bench.device().setpoint = None;
        }
        if down {
            bench.status.link = Link::Silent;
        }
        bench.last = standing.map(|left| Command {
            valid_until: Some(NOW.unix_seconds() + left),
            ..bench.decide(Action::Release, 0).unwrap()
        });
        let Ok(command) = bench.decide(action, minutes) else { return Ok(()) };
        prop_assert!(!locked && !mixed && !down && coverage >= 0.1);
        prop_assert!(ages.0.abs() <= 5.001 && ages.1.abs() <= 5.001);
        prop_assert!(standing.is_none_or(|left| left <= 0.0));
        let (current, average) = (current.unwrap(), average.unwrap());
        let length = command.valid_until.unwrap() - command.created_at;
        match action {
            Action::Boost { flow } => {
                prop_assert!(flow > average && (draw || flow > current) && flow <= 75.0 && length <= 3_600.0);
            }
            Action::SetBack { room } => prop_assert!((5.0..=21.0).contains(&room) && length <= 60.0 * 86_400.0),
            Action::HotWater { flow } => prop_assert!((25.0..=75.0).contains(&flow) && length <= 3_600.0),
            Action::Hold => prop_assert!(!unleased && length <= 3_600.0),
            Action::Release => unreachable!("not generated"),
        }
        prop_assert!(length >= 60.0);
    }
}

#[test]
fn repeated_request_with_an_end_is_the_same() {
    let mut first = ask("x1", Action::SetBack { room: 16.0 }, 60);
    let ends = Utc(1_767_800_000 * SECOND_NS);
    first.until = Some(ends);
    let command = Command {
        id: first.id.clone(),
        boiler: first.boiler.clone(),
        by: first.by.clone(),
        action: first.action,
        created_at: 0.0,
        valid_until: Some(ends.unix_seconds()),
        based_on: None,
        version: 1,
    };
    let later = Ask { length: Duration::from_secs(3_580), ..first.clone() };
    assert!(first.is(&command) && later.is(&command), "20 s later");
    let another = Ask { until: Some(Utc(ends.0 + SECOND_NS)), ..later };
    assert!(!another.is(&command));
}
