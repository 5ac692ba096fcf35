//! The rules against lying, where they are about texts.

use thermowell_flow::published::{Deficit, EventBody, Forecast, Lease, SlotQuality};
use thermowell_flow::time::Utc;
use thermowell_wire::line::Demand;

use super::super::model::Stored;
use super::super::testing::{NOON_NS, cable_out, decided, lease, noon_s, snapshot, state, status};
use super::*;

/// Noon and so many seconds, in real time.
fn after(seconds: f64) -> Moment {
    let real_ns = std::time::Duration::from_secs_f64(seconds).as_nanos();
    let real_ns = i64::try_from(real_ns).unwrap();
    Moment { now: Utc(NOON_NS + real_ns), real_ns, speed: 1 }
}

/// A boiler whose messages are all of noon.
fn boiler() -> Boiler {
    let mut boiler = Boiler::new("b1".parse().unwrap());
    boiler.state = Some(state(noon_s()));
    boiler.take_status(Some(status(noon_s())));
    boiler.lease = Some(Stored { lease: lease(noon_s()), at_real_ns: 0 });
    boiler
}

fn cards(boiler: Boiler, at: &Moment) -> Frame {
    let mut model = Model::new([]);
    model.server = Server::Answers;
    let mut frame = Frame::new(&model, at);
    frame.cards(&boiler, at);
    frame
}

#[test]
fn fresh_values_are_shown() {
    let frame = cards(boiler(), &after(0.4));
    for (id, text) in [
        ("pill", "fresh · 0.4 s"),
        ("flow", "61.4"),
        ("flow-note", ""),
        ("mean", "58.9"),
        ("range", "40.1 … 64.2 °C"),
        ("known", "99.1 % known"),
        ("asked", "55.5"),
        ("accepted", "55.0"),
        ("setpoint-note", "gateway asks, lease 43 s"),
        ("burner", "60 %"),
        ("burner-note", "firing"),
        ("fault", "none"),
    ] {
        assert_eq!(frame.t[id], text, "{id}");
    }
    assert_eq!((frame.s["pill"], frame.s["burner"], frame.s["fault"]), ("fresh", "on", "ok"));
    assert!((frame.w["known-bar"] - 99.1).abs() < 1e-9 && (frame.w["lease"] - 71.7).abs() < 1e-9, "{:?}", frame.w);
    let device: Vec<String> = frame.rows["device"].iter().map(|row| row.t.join(" ")).collect();
    assert!(device.contains(&"pressure 1.50 bar".to_owned()) && device.contains(&"link up".to_owned()), "{device:?}");
}

/// A broken sensor is not a boiler that has just begun.
#[test]
fn hour_without_a_valid_reading_is_named() {
    for (quality, state, pill, note) in [
        (SlotQuality::Open, "stale", "no valid reading · 0.4 s", "the sensor reads open"),
        (SlotQuality::Missing, "waiting", "warming · 0.4 s", "the newest slot is missing"),
    ] {
        let mut boiler = boiler();
        boiler.state = boiler.state.map(|state| State { average: None, current: None, quality, ..state });
        let frame = cards(boiler, &after(0.4));
        assert_eq!((frame.s["pill"], frame.t["pill"].as_str(), frame.t["flow-note"].as_str()), (state, pill, note));
        assert_eq!((frame.t["flow"].as_str(), frame.t["mean"].as_str()), (UNKNOWN, UNKNOWN));
    }
}

/// Rule 2: after 60 s the number is unknown, and so is everything that was derived from it.
#[test]
fn old_values_are_named_old_and_then_unknown() {
    let waiting = cards(boiler(), &after(17.0));
    assert_eq!((waiting.s["pill"], waiting.t["pill"].as_str()), ("waiting", "waiting · 17 s old"));
    assert_eq!((waiting.t["flow"].as_str(), waiting.t["mean"].as_str()), ("61.4", "58.9"));
    let stale = cards(boiler(), &after(67.0));
    for (id, text) in [
        ("pill", "stale · 67 s old"),
        ("flow", "–"),
        ("flow-note", "last 61.4 °C at 12:00:00"),
        ("mean", "–"),
        ("range", "– … – °C"),
        ("known", "– % known"),
    ] {
        assert_eq!(stale.t[id], text, "{id}");
    }
    assert_eq!(stale.s["pill"], "stale");
    assert!(stale.w["known-bar"].abs() < 1e-9, "its bar is empty too");
    assert!(cards(boiler(), &after(7_300.0)).t["pill"].starts_with("stale · 2 h 1 min old"));
}

/// Rule 3: without a device its values are unknown, not off, not none.
#[test]
fn absent_device_is_neither_off_nor_without_fault() {
    let mut boiler = boiler();
    boiler.take_status(Some(cable_out(noon_s() + 50.0)));
    let frame = cards(boiler, &after(50.0));
    for (id, text) in [("burner", "–"), ("burner-note", "–"), ("fault", "–"), ("accepted", "–")] {
        assert_eq!(frame.t[id], text, "{id}");
    }
    assert_eq!((frame.s["burner"], frame.s["fault"]), ("unknown", "unknown"));
    let note = "link is down: by its lease it is on its own control since 12:00:43";
    assert_eq!(frame.t["setpoint-note"], note);
    let device: Vec<String> = frame.rows["device"].iter().map(|row| row.t.join(" ")).collect();
    assert!(device.contains(&"room –".to_owned()) && device.contains(&"link down".to_owned()), "{device:?}");
}

#[test]
fn lease_of_a_lost_link_ends_when_it_says() {
    let mut boiler = boiler();
    boiler.take_status(Some(cable_out(noon_s() + 9.0)));
    assert_eq!(cards(boiler, &after(9.0)).t["setpoint-note"], "link is down: its lease ends at 12:00:43");
}

/// Rule 3 and rule 2 of the device: its last report ages too.
#[test]
fn old_status_is_unknown() {
    let frame = cards(boiler(), &after(6.0));
    assert_eq!((frame.t["burner"].as_str(), frame.t["accepted"].as_str()), ("–", "–"));
    assert_eq!(frame.t["setpoint-note"], "unknown: the last STATUS is 6.0 s old");
}

/// Rule 4: no heat is a request, on both sides of the arrow; an expired lease asks nothing.
#[test]
fn asked_is_no_heat_or_nothing_but_never_an_old_number() {
    let mut none = boiler();
    none.lease = Some(Stored { lease: Lease { demand: Demand::None, ..lease(noon_s()) }, at_real_ns: 0 });
    let mut obeys = status(noon_s());
    if let Some(setpoint) = obeys.device.as_mut().and_then(|device| device.setpoint.as_mut()) {
        setpoint.demand = Demand::None;
    }
    none.take_status(Some(obeys));
    let frame = cards(none, &after(1.0));
    assert_eq!((frame.t["asked"].as_str(), frame.t["accepted"].as_str()), ("no heat", "no heat"));
    assert_eq!(cards(boiler(), &after(61.0)).t["asked"], "nothing");
}

#[test]
fn target_has_the_next_one_and_is_unknown_without_a_lease() {
    let target = |at: f64, change: fn(&mut Decision)| {
        let mut boiler = boiler();
        let mut event = decided(noon_s(), "law", Some(40.0));
        let EventBody::Decided(decision) = &mut event.body else { unreachable!() };
        change(decision);
        boiler.take_event(event);
        let frame = cards(boiler, &after(at));
        frame.rows["device"].iter().find(|row| row.t[0] == "target").map(|row| row.t[1].clone())
    };
    let next = |decision: &mut Decision| {
        let at = noon_s() + 3_600.0 * 18.0;
        decision.forecast = Some(Forecast { target: 22.0, at, heats_from: at - 5_400.0 });
    };
    assert_eq!(target(1.0, |_| {}).as_deref(), Some("21.0 °C"));
    let shown = "21.0 °C; 22.0 °C at 06:00 UTC, heats from 04:30";
    assert_eq!(target(1.0, next).as_deref(), Some(shown));
    assert_eq!(target(61.0, next).as_deref(), Some("–"));
}

#[test]
fn own_control_is_named() {
    let mut boiler = boiler();
    let mut own = status(noon_s());
    own.device.as_mut().unwrap().setpoint = None;
    boiler.take_status(Some(own));
    let frame = cards(boiler, &after(1.0));
    assert_eq!(frame.t["accepted"], "own control");
    assert_eq!(frame.t["setpoint-note"], "the boiler is on its own control, though it is asked");
}

#[test]
fn fault_has_a_word_and_a_sign() {
    let mut boiler = boiler();
    let mut faulty = status(noon_s());
    faulty.device.as_mut().unwrap().fault = Some(Fault {
        boot: super::super::testing::BOOT,
        counter: 7,
        kind: thermowell_wire::line::FaultKind::FlameLoss,
        lockout: true,
    });
    boiler.take_status(Some(faulty));
    assert_eq!(overview(&boiler, &after(1.0), &Server::Answers).t[6], "✕ flame loss, locked out");
    let frame = cards(boiler, &after(1.0));
    assert_eq!((frame.s["fault"], frame.t["fault"].as_str()), ("bad", "flame loss, locked out"));
}

#[test]
fn deficit_is_shown_while_the_gateway_asks() {
    let mut boiler = boiler();
    let mut event = decided(noon_s(), "law", Some(55.5));
    let EventBody::Decided(decision) = &mut event.body else { panic!() };
    decision.deficit = Some(Deficit { kelvin: 4.25, share: 0.8, hours: 3.0 });
    boiler.take_event(event);
    assert_eq!(overview(&boiler, &after(1.0), &Server::Answers).t[6], "▲ delivers 4.2 K less");
    boiler.lease = None;
    assert_eq!(overview(&boiler, &after(1.0), &Server::Answers).t[6], "✓ none");
}

/// Rule 7, and only then.
#[test]
fn simulated_is_tagged_always() {
    assert_eq!(cards(boiler(), &after(0.0)).s["simulated"], "yes");
    assert_eq!(cards(boiler(), &after(100_000.0)).s["simulated"], "yes", "stale data too");
    let mut real = boiler();
    real.state.as_mut().unwrap().simulated = false;
    assert_eq!(cards(real, &after(0.0)).s["simulated"], "no");
}

#[test]
fn boiler_without_messages_is_unknown_everywhere() {
    let frame = cards(Boiler::new("b1".parse().unwrap()), &after(1.0));
    assert_eq!((frame.s["pill"], frame.t["pill"].as_str()), ("none", "no data"));
    for id in ["flow", "mean", "accepted", "burner", "fault"] {
        assert_eq!(frame.t[id], "–", "{id}");
    }
    assert_eq!(frame.t["flow-note"], "no data yet");
}

#[test]
fn server_that_is_away_is_named() {
    let mut model = Model::new([]);
    for (server, text) in [
        (Server::Away { since: None }, "the NATS server has not answered yet"),
        (Server::Away { since: Some(Utc(NOON_NS)) }, "the NATS server is away since 12:00:00"),
        (Server::Fails { why: "time-out".to_owned() }, "the streams cannot be read: time-out"),
    ] {
        model.server = server;
        let mut frame = Frame::new(&model, &after(1.0));
        frame.cards(&Boiler::new("b1".parse().unwrap()), &after(1.0));
        assert_eq!(frame.t["asked"], "–", "that nothing is asked is not known either");
        assert_eq!((frame.s["server"], frame.t["server"].as_str()), ("away", text));
    }
}

#[test]
fn ledger_names_each_reason_and_whether_its_sum_closes() {
    let mut broken = snapshot(491_052, 352_800, 7_200);
    let whole = snapshot(491_051, 360_000, 0);
    let mut frame = Frame::default();
    Ledger::of([&whole, &broken]).show(&mut frame);
    assert_eq!(frame.t["ledger"].replace('\u{202f}', " "), "720 000 slots = 712 800 counted + 7 200 reboot");
    assert_eq!((frame.s["ledger"], frame.t["ledger-note"].as_str()), ("ok", "✓ the sum closes"));
    broken.slots += 1;
    Ledger::of([&whole, &broken]).show(&mut frame);
    assert_eq!((frame.s["ledger"], frame.t["ledger-note"].as_str()), ("bad", "✕ the sum does NOT close"));
    Ledger::of([]).show(&mut frame);
    assert_eq!(frame.s["ledger"], "none");
}
