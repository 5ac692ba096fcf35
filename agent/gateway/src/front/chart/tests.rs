//! The rules against lying, where they are about the chart.

use thermowell_wire::line::GapReason;
use thermowell_wire::{CentiCelsius, Quality, Reading};

use super::super::model::Stored;
use super::super::testing::{NOON_NS, Stream, decided, lease, noon_s, state};
use super::*;

/// A boiler with this hour, whose state is of `stamp`.
fn boiler(stream: Stream, stamp: f64) -> Boiler {
    let mut boiler = Boiler::new("b1".parse().unwrap());
    boiler.hour = stream.hour;
    boiler.is_read = true;
    boiler.state = Some(state(stamp));
    boiler
}

/// Noon and so many seconds, in real time.
fn after(seconds: i64) -> Moment {
    Moment { now: Utc(NOON_NS + seconds * SECOND_NS), real_ns: seconds * SECOND_NS, speed: 1 }
}

/// The places of the unknown in the plot: x and width of each.
fn hatched(svg: &str) -> Vec<(f64, f64)> {
    let attribute = |rect: &str, name: &str| -> f64 {
        let begin = rect.split(&format!(" {name}=\"")).nth(1).unwrap();
        begin.split('"').next().unwrap().parse().unwrap()
    };
    let rects = svg.split("<rect class=\"unknown\"").skip(1);
    rects.map(|rect| (attribute(rect, "x"), attribute(rect, "width"))).collect()
}

/// An hour of readings, drawn when it has ended.
fn whole_hour() -> Stream {
    let mut stream = Stream::default();
    stream.seconds(3_600, 4_700);
    stream
}

#[test]
fn known_hour_has_line_band_mean_and_dot_and_no_hatch() {
    let svg = draw(&boiler(whole_hour(), noon_s() + 3_600.0), &after(3_600), Width::Wide);
    for class in ["flow", "band", "mean", "now", "burner"] {
        assert!(svg.contains(&format!("class=\"{class}\"")), "{class}: {svg}");
    }
    assert_eq!(hatched(&svg), []);
    assert!(svg.contains(">61.4</text>") && svg.contains(">⌀ 58.9</text>"), "{svg}");
    assert!(svg.contains(">12:10</text>") && svg.contains(">13:00</text>"), "{svg}");
}

/// Rule 1: the chart ends at now; what is after the newest sample is hatched, and says since when.
#[test]
fn chart_ends_at_now_and_not_at_the_newest_sample() {
    let fresh = draw(&boiler(whole_hour(), noon_s() + 3_600.0), &after(3_604), Width::Wide);
    assert_eq!(hatched(&fresh), []);
    let stale = draw(&boiler(whole_hour(), noon_s() + 3_600.0), &after(3_900), Width::Wide);
    let [(x, width)] = hatched(&stale)[..] else { panic!("{:?}", hatched(&stale)) };
    assert!((x + width - (1_120.0 - RIGHT)).abs() < 0.2, "it reaches the right end: {x} + {width}");
    assert!((width - 1_018.0 * 300.0 / 3_600.0).abs() < 0.5, "five minutes: {width}");
    assert!(stale.contains(">no data since 13:00:00</text>"), "{stale}");
}

/// Rule 1, where there is room for one note only.
#[test]
fn hole_up_to_now_is_named_before_a_longer_one() {
    let mut young = Stream::default();
    young.seconds(20, 4_700);
    let svg = draw(&boiler(young, noon_s() + 20.0), &after(40), Width::Narrow);
    assert!(svg.contains(">no data since 12:00:20</text>") && !svg.contains("no data before"), "{svg}");
}

/// Rule 2: mean line and dot are not drawn from old data.
#[test]
fn old_state_draws_neither_mean_nor_dot() {
    let waiting = draw(&boiler(whole_hour(), noon_s() + 3_600.0), &after(3_617), Width::Wide);
    assert!(waiting.contains("class=\"mean\"") && !waiting.contains("class=\"now\""), "it waits");
    let stale = draw(&boiler(whole_hour(), noon_s() + 3_600.0), &after(3_667), Width::Wide);
    assert!(!stale.contains("class=\"mean\"") && !stale.contains("class=\"now\""), "{stale}");
}

/// Rule 5.
#[test]
fn hole_is_hatched_and_named_with_length_and_reason() {
    let mut stream = Stream::default();
    stream.seconds(1_000, 4_700);
    stream.reboot(240);
    stream.seconds(1_000, 4_700);
    stream.gap(60, GapReason::Ring);
    stream.seconds(1_300, 4_700);
    let svg = draw(&boiler(stream, noon_s() + 3_600.0), &after(3_600), Width::Wide);
    let widths: Vec<f64> = hatched(&svg).iter().map(|(_, width)| width.round()).collect();
    assert_eq!(widths, [68.0, 17.0], "{svg}");
    assert!(svg.contains(">4:00 min missing · reboot</text>"), "{svg}");
    assert!(svg.contains(">1:00 min missing · ring</text>"), "{svg}");
    let flow = svg.split("class=\"flow\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(flow.matches('M').count(), 3, "the line is not drawn across: {flow}");
}

#[test]
fn notes_without_room_are_left_out_the_longest_stays() {
    let mut stream = Stream::default();
    for seconds in [10, 90, 20] {
        stream.seconds(30, 4_700);
        stream.gap(seconds, GapReason::Ring);
    }
    stream.seconds(3_390, 4_700);
    let svg = draw(&boiler(stream, noon_s() + 3_600.0), &after(3_600), Width::Narrow);
    assert_eq!(svg.matches("class=\"note\"").count(), 1, "{svg}");
    assert!(svg.contains("1:30 min missing"), "{svg}");
}

#[test]
fn hour_that_is_still_read_is_not_called_missing() {
    let mut early = Boiler::new("b1".parse().unwrap());
    assert!(draw(&early, &after(0), Width::Wide).contains(">reading the last hour</text>"));
    early.is_read = true;
    assert!(draw(&early, &after(0), Width::Wide).contains(">no data</text>"));
    let mut half = Stream::default();
    half.seconds(60, 4_700);
    let mut half = boiler(half, noon_s() + 3_600.0);
    half.is_read = false;
    let svg = draw(&half, &after(3_600), Width::Wide);
    assert!(svg.contains("reading the last hour") && !svg.contains("no data since"), "{svg}");
}

/// Rule 4: the asked line ends with its lease.
#[test]
fn asked_line_ends_with_its_lease() {
    let mut boiler = boiler(whole_hour(), noon_s() + 3_600.0);
    boiler.take_event(decided(noon_s() + 600.0, "law", Some(52.5)));
    boiler.take_event(decided(noon_s() + 1_200.0, "no_heat_wanted", None));
    boiler.take_event(decided(noon_s() + 1_800.0, "law", Some(50.0)));
    let stored = |created_at: f64, at_real_ns| Some(Stored { lease: lease(created_at), at_real_ns });
    let seconds = |boiler: &Boiler, at: &Moment| -> Vec<(i64, i64)> {
        let second = |ns: i64| (ns - NOON_NS) / SECOND_NS;
        asked(boiler, at, NOON_NS).iter().map(|(from, to, _)| (second(*from), second(*to))).collect()
    };
    boiler.lease = stored(noon_s() + 3_590.0, 3_590 * SECOND_NS);
    assert_eq!(seconds(&boiler, &after(3_600)), [(600, 1_200), (1_800, 3_600)]);
    boiler.lease = stored(noon_s() + 2_000.0, 2_000 * SECOND_NS);
    assert_eq!(seconds(&boiler, &after(3_600)), [(600, 1_200), (1_800, 2_060)], "the controller has died");
    let svg = draw(&boiler, &after(3_600), Width::Wide);
    assert!(svg.contains("class=\"asked\""), "{svg}");
}

#[test]
fn lanes_show_burner_and_hot_water() {
    let mut stream = Stream::default();
    let reading = |hot_water, flame| Reading::new(CentiCelsius(4_700), Quality::Ok, true, hot_water, flame);
    for (hot_water, flame) in [(false, false), (true, true), (false, true), (false, false), (true, false)] {
        (0..720).for_each(|_| stream.second(reading(hot_water, flame)));
    }
    let svg = draw(&boiler(stream, noon_s() + 3_600.0), &after(3_600), Width::Wide);
    let runs = |name: &str| {
        let path = svg.split(&format!("class=\"{name}\" d=\"")).nth(1).unwrap().split('"').next().unwrap();
        path.matches('M').count()
    };
    assert_eq!((runs("burner"), runs("water")), (1, 2), "{svg}");
}

/// The measured prototype needed 52 KB with both charts.
#[test]
fn widest_chart_of_a_noisy_hour_is_small() {
    let mut stream = Stream::default();
    for second in 0..3_600_i16 {
        stream.seconds(1, 4_000 + second % 7 * 61);
    }
    let svg = draw(&boiler(stream, noon_s() + 3_600.0), &after(3_600), Width::Wide);
    assert!(svg.len() < 26_000, "{} bytes", svg.len());
}
