//! Operators' commands.

use super::*;
use crate::published::{Action, BasedOn};

/// A command of `minutes` from now on, accepted now.
fn command(bench: &Bench, id: &str, action: Action, minutes: f64) -> Command {
    let now = bench.now().utc.unix_seconds();
    let slot = bench.state.slot;
    let based_on = BasedOn { state: 1, status: 1, command: 0, slot, current: 40.0, average: 40.0, coverage: 0.9 };
    let release = action == Action::Release;
    Command {
        id: id.parse().unwrap(),
        boiler: "b1".parse().unwrap(),
        by: "anna".parse().unwrap(),
        action,
        created_at: now,
        valid_until: (!release).then_some(now + 60.0 * minutes),
        based_on: (!release).then_some(based_on),
        version: 1,
    }
}

pub(super) fn order(bench: &mut Bench, sequence: u64, action: Action, minutes: f64) -> Vec<Effect> {
    let command = command(bench, "x-1", action, minutes);
    bench.input(Input::Command(sequence, &command));
    core::mem::take(&mut bench.effects)
}

fn flows(output: &[Effect]) -> Vec<f64> {
    leases(output).iter().map(|lease| lease.flow).collect()
}

fn refusals(output: &[Effect]) -> Vec<String> {
    let mut reasons = vec![];
    for effect in output {
        if let Effect::Event(_, body) = effect
            && let EventBody::CommandRefused { reason, .. } = &**body
        {
            reasons.push(reason.clone());
        }
    }
    reasons
}

#[test]
fn boost_is_ramped_and_expires() {
    let mut bench = Bench::new();
    bench.seconds(5);
    let output = order(&mut bench, 7, Action::Boost { flow: 52.0 }, 30.0);
    assert_eq!(rules(&output), ["boost"]);
    let output = bench.seconds(29 * 60);
    let flows = flows(&output);
    assert!(flows.windows(2).all(|pair| (0.0..=0.51).contains(&(pair[1] - pair[0]))), "2 K a minute: {flows:?}");
    assert!((flows.last().unwrap() - 52.0).abs() < 1e-9);
    let Some(Effect::Decision(decision)) = output.iter().find(|effect| matches!(effect, Effect::Decision(_))) else {
        panic!("no decision");
    };
    assert_eq!(decision.command.as_ref().unwrap().as_str(), "x-1");
    let output = bench.seconds(90);
    assert_eq!(rules(&output)[0], "law");
    assert!(output.contains(&Effect::Log(Log::OrderEnded { id: "x-1".parse().unwrap() })));
}

#[test]
fn boost_expires_without_messages_or_calendar() {
    let mut bench = Bench::new();
    bench.seconds(5);
    order(&mut bench, 7, Action::Boost { flow: 52.0 }, 1.0);
    assert!(bench.controller.wake_at().unwrap() <= bench.now().monotonic.after(Duration::from_secs(15)));
    let frozen = bench.now().utc;
    bench.controller.settings.freshness = Freshness::at_speed(100);
    let end = Now { monotonic: bench.now().monotonic.after(Duration::from_secs(61)), utc: frozen, ..bench.now() };
    bench.controller.step(end, Input::Wake, &mut bench.effects);
    assert_eq!(rules(&bench.effects), ["law"]);
}

#[test]
fn newest_command_wins_and_a_release_ends_it() {
    let mut bench = Bench::new();
    bench.seconds(5);
    order(&mut bench, 7, Action::Boost { flow: 60.0 }, 30.0);
    assert_eq!(order(&mut bench, 6, Action::Boost { flow: 30.0 }, 60.0), [], "an older one changes nothing");
    assert_eq!(order(&mut bench, 7, Action::Release, 0.0), [], "nor does the same one again");
    assert_eq!(rules(&order(&mut bench, 8, Action::HotWater { flow: 58.0 }, 10.0)), ["tap"]);
    assert_eq!(rules(&order(&mut bench, 9, Action::Release, 0.0)), ["law"]);
    // An old message that is delivered again changes nothing.
    assert_eq!(order(&mut bench, 8, Action::HotWater { flow: 58.0 }, 10.0), []);
}

#[test]
fn hold_keeps_the_set_point_and_boost_needs_no_outdoor() {
    let mut bench = Bench::new();
    bench.seconds(5);
    order(&mut bench, 1, Action::Hold, 60.0);
    bench.device().room = Some(15.0);
    let output = bench.seconds(30 * 60);
    assert!(flows(&output).iter().all(|flow| (flow - 42.5).abs() < 1e-9), "the law would request 15 K more");
    let mut bench = Bench::new();
    bench.device().outdoor = None;
    bench.seconds(5);
    assert_eq!(leases(&order(&mut bench, 1, Action::Boost { flow: 50.0 }, 60.0)).len(), 1);
    // Without a request there is nothing to hold.
    assert_eq!(rules(&order(&mut bench, 2, Action::Release, 0.0)), ["no_outdoor"]);
    assert_eq!(leases(&order(&mut bench, 3, Action::Hold, 60.0)), Vec::<&Lease>::new());
}

#[test]
fn set_back_lowers_the_target_and_never_raises_it() {
    for (room, target) in [(17.0, 17.0), (25.0, 20.0)] {
        let mut bench = Bench::new();
        bench.device().room = Some(17.2);
        bench.seconds(5);
        order(&mut bench, 1, Action::SetBack { room }, 60.0);
        let output = bench.seconds(20 * 60);
        assert_eq!(rules(&output).last().copied().unwrap_or("set_back"), "set_back");
        assert!((bench.controller.target(&bench.now()) - target).abs() < 1e-9);
    }
}

#[test]
fn set_back_of_three_days_lasts_three_days() {
    let mut bench = Bench::new();
    bench.device().room = Some(14.0);
    bench.seconds(5);
    let hours: i64 = 3 * 24;
    let begun = bench.at_s;
    order(&mut bench, 1, Action::SetBack { room: 16.0 }, 60.0 * 72.0);
    for hour in 1..=hours {
        bench.at_s = begun + hour * 3_600 - 3;
        let output = bench.seconds(2);
        assert!(!output.contains(&Effect::Log(Log::OrderEnded { id: "x-1".parse().unwrap() })), "after {hour} h");
        assert!((bench.controller.target(&bench.now()) - 16.0).abs() < 1e-9, "after {hour} h");
        let decided = bench.controller.decided.unwrap();
        // 5.7 K at the usual 1 K/h: the rooms are to be warm at the end.
        assert_eq!(decided.rule, if hour < 67 { "set_back" } else { "preheat" }, "after {hour} h");
    }
    let output = bench.second();
    assert!(output.contains(&Effect::Log(Log::OrderEnded { id: "x-1".parse().unwrap() })));
    assert_eq!(rules(&output), ["law"]);
}

#[test]
fn command_asks_nothing_on_stale_data_or_lockout() {
    let mut bench = Bench::new();
    bench.seconds(5);
    order(&mut bench, 1, Action::Boost { flow: 60.0 }, 60.0);
    let output = bench.silence(100);
    assert_eq!(rules(&output), ["coasting", "fault"]);
    assert!(leases(&output).iter().all(|lease| lease.lease_s == 0));
    bench.device().state = BoilerState::Lockout;
    assert_eq!(leases(&bench.seconds(60)), Vec::<&Lease>::new());
}

#[test]
fn invalid_command_is_refused_and_ends_the_active_one() {
    let boost = |flow| Action::Boost { flow };
    for (action, minutes, reason) in [
        (boost(200.0), 30.0, "200 °C is outside 25 to 65 °C"),
        (boost(f64::NAN), 30.0, "NaN °C is outside 25 to 65 °C"),
        (boost(24.9), 30.0, "24.9 °C is outside 25 to 65 °C"),
        (boost(50.0), -1.0, "it expired before it could take effect"),
        (boost(50.0), 61.0, "it does not expire within 1 h"),
        (boost(50.0), f64::INFINITY, "it does not expire within 1 h"),
        (Action::SetBack { room: 16.0 }, 60.0 * 24.0 * 60.0 + 1.0, "it does not expire within 1440 h"),
        (Action::SetBack { room: 4.0 }, 30.0, "4 °C is outside 5 to 30 °C"),
    ] {
        let mut bench = Bench::new();
        bench.seconds(5);
        order(&mut bench, 1, boost(50.0), 30.0);
        let output = order(&mut bench, 2, action, minutes);
        assert_eq!(refusals(&output), [reason]);
        assert_eq!(rules(&output), ["law"], "{action:?} ends the active command");
    }
    let mut bench = Bench::new();
    bench.seconds(5);
    let boosted = command(&bench, "x", boost(50.0), 30.0);
    for unfit in [
        Command { based_on: None, ..boosted.clone() },
        Command { valid_until: None, ..boosted.clone() },
        Command { version: 2, ..boosted },
    ] {
        bench.controller.orders = Orders::default();
        bench.input(Input::Command(1, &unfit));
        assert_eq!(refusals(&core::mem::take(&mut bench.effects)).len(), 1, "{unfit:?}");
    }
}

#[test]
fn data_of_a_command_are_checked_again() {
    let boot = Boot::new(3, 1);
    // Slots are 10 ms: a command may be 5 s ahead of the state, and 60 s behind it.
    for (moved, reason) in [
        (0, None),
        (500, None),
        (-6_000, None),
        (501, Some("it was checked with slot")),
        (-6_001, Some("it was checked with slot")),
    ] {
        let mut bench = Bench::new();
        bench.state.slot.seq += 100_000;
        bench.seconds(120);
        let mut boost = command(&bench, "x", Action::Boost { flow: 50.0 }, 30.0);
        let based_on = boost.based_on.as_mut().unwrap();
        based_on.slot.seq = based_on.slot.seq.checked_add_signed(moved).unwrap();
        bench.input(Input::Command(1, &boost));
        let output = core::mem::take(&mut bench.effects);
        let refused = refusals(&output);
        assert!(reason.map_or(refused.is_empty(), |reason| refused[0].starts_with(reason)), "{moved}: {refused:?}");
        assert_eq!(rules(&output), if reason.is_none() { &["boost"][..] } else { &[] }, "{moved}");
    }
    let mut bench = Bench::new();
    bench.seconds(5);
    let boost = command(&bench, "x", Action::Boost { flow: 50.0 }, 30.0);
    bench.state.slot = Slot::new(boot, 7);
    bench.second();
    bench.input(Input::Command(1, &boost));
    let refused = refusals(&core::mem::take(&mut bench.effects));
    assert!(refused[0].ends_with(" of the boiler, which is in boot 0000000300000001 now"), "{refused:?}");
    // At the begin of a session it may have been in effect for long, and continues.
    bench.input(Input::LastCommand(Some((2, &boost))));
    assert_eq!(rules(&core::mem::take(&mut bench.effects)), ["boost"]);
}

#[test]
fn session_begins_with_the_last_command() {
    let mut bench = Bench::new();
    bench.seconds(5);
    let old = command(&bench, "old", Action::Boost { flow: 50.0 }, -5.0);
    bench.input(Input::LastCommand(Some((9, &old))));
    assert_eq!(core::mem::take(&mut bench.effects), [], "an expired one is not reported");
    let boosted = command(&bench, "x", Action::Boost { flow: 50.0 }, 30.0);
    bench.input(Input::LastCommand(Some((12, &boosted))));
    assert_eq!(rules(&core::mem::take(&mut bench.effects)), ["boost"]);
    // A power cut has taken the stream's last seconds: a lost command is no longer in effect.
    bench.input(Input::LastCommand(Some((9, &old))));
    assert_eq!(rules(&core::mem::take(&mut bench.effects)), ["law"]);
    bench.input(Input::LastCommand(Some((12, &boosted))));
    bench.effects.clear();
    bench.input(Input::LastCommand(None));
    assert_eq!(rules(&core::mem::take(&mut bench.effects)), ["law"]);
}
