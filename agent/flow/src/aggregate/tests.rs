use alloc::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::Quality;

use super::*;

/// The expected aggregates, computed from all readings.
fn reference(arrived: &[(i64, Reading)], newest: i64) -> View {
    let of = |second: i64| arrived.iter().filter(move |(at, _)| *at == second).map(|(_, reading)| *reading);
    let drawn = |second: i64| of(second).any(Reading::hot_water);
    let mut view = View::default();
    for second in newest - 3_599..=newest {
        let readings: Vec<Reading> = of(second).collect();
        let heats = !readings.is_empty()
            && readings.iter().all(|reading| reading.is_valid() && reading.pump() && !reading.hot_water())
            && !(second - 120..second).any(drawn);
        for centi in readings.iter().filter(|reading| reading.is_valid()).map(|reading| reading.temperature.0) {
            view.valid.centi += i64::from(centi);
            view.valid.points += 1;
            view.heating.centi += if heats { i64::from(centi) } else { 0 };
            view.heating.points += u64::from(heats);
            view.minimum = Some(view.minimum.map_or(centi, |minimum| minimum.min(centi)));
            view.maximum = Some(view.maximum.map_or(centi, |maximum| maximum.max(centi)));
        }
        view.heating_seconds += u64::from(heats);
        view.is_heating = heats;
    }
    view
}

fn reading() -> impl Strategy<Value = Reading> {
    (-1_500i16..16_000, 0u8..40, prop::bool::weighted(0.9), prop::bool::weighted(0.02)).prop_map(
        |(centi, quality, pump, draw)| {
            let quality = if quality == 0 { Quality::Open } else { Quality::Ok };
            Reading::new(CentiCelsius(centi), quality, pump, draw, false)
        },
    )
}

fn step() -> impl Strategy<Value = (i64, Vec<Reading>)> {
    let passed =
        prop_oneof![6 => Just(0i64), 60 => Just(1), 10 => 2i64..300, 3 => 3_400i64..3_700, 1 => 7_000i64..9_000];
    (passed, prop::collection::vec(reading(), 0..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn window_agrees_with_a_naive_reference(
        start in -5_000i64..2_000_000_000,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut window = Window::new();
        let mut arrived = Vec::new();
        let mut second = start;
        for (passed, readings) in steps {
            second += passed;
            let mut pane = Pane::EMPTY;
            for reading in readings {
                pane.add(reading);
                arrived.push((second, reading));
            }
            window.add(second, &pane);
        }
        prop_assert_eq!(window.view(), reference(&arrived, second));
    }
}

#[test]
fn window_holds_exactly_3600_seconds() {
    let mut window = Window::new();
    let mut pane = Pane::EMPTY;
    pane.add(Reading::new(CentiCelsius(5_000), Quality::Ok, true, false, true));
    window.add(6_401, &pane);
    window.advance(10_000);
    assert_eq!(window.view().valid.points, 1);
    window.advance(10_001);
    assert_eq!(window.view(), View::default());
}

#[test]
fn panes_of_the_window_can_be_read_and_no_others() {
    let mut window = Window::new();
    assert!(window.pane(0).is_none());
    let mut pane = Pane::EMPTY;
    pane.add(Reading::new(CentiCelsius(5_000), Quality::Ok, true, false, true));
    window.add(10_000, &pane);
    assert_eq!(window.pane(10_000), Some(&pane));
    assert_eq!(window.pane(6_401), Some(&Pane::EMPTY), "without readings");
    assert!(window.pane(6_400).is_none() && window.pane(10_001).is_none());
    assert!(pane.has_flame() && !Pane::EMPTY.has_flame());
}

#[test]
fn time_going_back_clears_the_window() {
    let mut window = Window::new();
    let mut pane = Pane::EMPTY;
    pane.add(Reading::new(CentiCelsius(5_000), Quality::Ok, true, true, true));
    window.add(100, &pane);
    window.add(99, &pane);
    assert_eq!((window.view().valid.points, window.newest()), (1, Some(99)));
}

#[test]
fn coverage_is_rounded_and_at_most_one() {
    assert!((coverage(357_008, 10_000_000) - 0.99169).abs() < 1e-12);
    assert!((coverage(360_018, 10_000_000) - 1.0).abs() < 1e-12);
    assert!(coverage(0, 10_000_000).abs() < 1e-12);
}
