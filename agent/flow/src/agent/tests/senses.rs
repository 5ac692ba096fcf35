//! Implausible readings: null in STATUS, and one event for each begin and end.

use super::*;
use crate::published::DeviceStatus;

/// A status every second, changed by `of`.
fn report(bench: &mut Bench, second: u64, seconds: u64, of: impl Fn(&mut Status)) {
    for at in second..second + seconds {
        let mut status = status(200 + at * 100);
        of(&mut status);
        bench.status(status);
        bench.advance(1_000);
    }
}

fn newest(bench: &Bench) -> DeviceStatus {
    let status = |e: &Effect| if let Effect::Status(status) = e { status.device.clone() } else { None };
    bench.effects.iter().rev().find_map(status).expect("a status with a device")
}

fn named(bench: &Bench) -> Vec<String> {
    bench.events_of(EventKind::Sensor).iter().map(|body| serde_json::to_string(body).unwrap()).collect()
}

#[test]
fn impossible_readings_are_null_and_named_once() {
    for bad in [8_500, -12_700, -32_768] {
        let mut bench = Bench::running(settings(), 100, None);
        report(&mut bench, 0, 10, |status| status.outdoor = Some(CentiCelsius(300)));
        assert_eq!((newest(&bench).room, newest(&bench).outdoor), (Some(20.5), Some(3.0)));
        report(&mut bench, 10, 100, |status| {
            (status.room, status.outdoor) = (Some(CentiCelsius(bad)), Some(CentiCelsius(bad)));
        });
        assert_eq!((newest(&bench).room, newest(&bench).outdoor), (None, None), "{bad}");
        assert_eq!(named(&bench).len(), 2, "{:?}", named(&bench));
        report(&mut bench, 110, 100, |status| status.outdoor = Some(CentiCelsius(300)));
        assert_eq!((newest(&bench).room, newest(&bench).outdoor), (Some(20.5), Some(3.0)));
        assert_eq!(named(&bench).len(), 4, "{:?}", named(&bench));
    }
}

#[test]
fn outdoor_power_on_value_is_not_a_first_reading() {
    let mut bench = Bench::running(settings(), 100, None);
    report(&mut bench, 0, 3, |status| status.outdoor = Some(CentiCelsius(8_500)));
    assert_eq!(newest(&bench).outdoor, None);
    report(&mut bench, 3, 10, |status| status.outdoor = Some(CentiCelsius(300)));
    assert_eq!(newest(&bench).outdoor, Some(3.0));
}

#[test]
fn room_that_falls_to_zero_in_a_second_is_implausible() {
    let mut bench = Bench::running(settings(), 100, None);
    report(&mut bench, 0, 10, |_| {});
    report(&mut bench, 10, 2 * 3_600, |status| status.room = Some(CentiCelsius(0)));
    assert_eq!(newest(&bench).room, None);
    assert_eq!(named(&bench).len(), 1, "{:?}", named(&bench));
}

#[test]
fn reading_expires_without_further_statuses() {
    let mut bench = Bench::running(settings(), 100, None);
    report(&mut bench, 0, 10, |_| {});
    assert_eq!(newest(&bench).room, Some(20.5));
    // Pongs keep the link up.
    for _ in 0..40 {
        bench.advance(500);
        bench.pong();
    }
    assert_eq!((newest(&bench).room, newest(&bench).return_temperature), (None, None));
}
