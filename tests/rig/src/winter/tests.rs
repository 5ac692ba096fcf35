use super::plan::{CLIMATES, Parameters};
use super::report::Report;
use super::trial::{Compared, Lazy, Stage, Step};
use super::week::Outcome;

fn stage(days: u64) -> Stage {
    Stage { parameters: Parameters::committed().unwrap(), days, seeds: vec![1] }
}

#[test]
fn law_is_nearer_to_the_target_than_the_curve_in_a_day() {
    let compared = stage(1).compare(CLIMATES[0]).unwrap();
    let (curve, ours) = (compared.curve, compared.ours);
    assert_eq!(ours.refused, 0, "the firmware obeys");
    assert!(ours.room_rmse_k < 0.6 * curve.room_rmse_k, "{compared:?}");
    assert!(ours.starts_per_hour < 1.2 * curve.starts_per_hour, "{compared:?}");
    assert!(ours.gas_kwh_day > 1.0 && curve.gas_kwh_day > 1.0, "{compared:?}");
}

#[test]
fn a_step_settles_without_a_swing() {
    let step = stage(1).step().unwrap();
    let first = step.hours.first().unwrap();
    assert!(first.room_c < 19.0, "the step begins below its target: {first:?}");
    assert!(step.overshoot_k < 0.3 && step.ripple_k < 0.1, "{} {}", step.overshoot_k, step.ripple_k);
    let last = step.hours.last().unwrap();
    assert!((last.room_c - 20.0).abs() < 0.3, "{last:?}");
}

#[test]
fn missed_requirements_are_in_text_and_exit_code() {
    let of = |room_rmse_k, starts_per_hour| Outcome { room_rmse_k, starts_per_hour, ..Outcome::default() };
    let report = |ours, with, overshoot_k| Report {
        days: 1,
        seeds: vec![1],
        climates: vec![Compared { climate: "cold", outdoor_c: -5.0, curve: of(1.0, 2.0), ours }],
        lazy: vec![Lazy { climate: "cold", without: of(1.0, 2.0), with }],
        sensitivity: vec![],
        step: Some(Step { hours: vec![], overshoot_k, ripple_k: 0.05 }),
    };
    let met = report(of(0.49, 2.39), of(0.89, 2.0), 0.29);
    assert!(met.is_as_wanted() && !met.text().contains("MISSED") && met.text().matches("met").count() == 3);
    for missed in [
        report(of(0.51, 2.0), of(0.89, 2.0), 0.0),
        report(of(0.49, 2.41), of(0.89, 2.0), 0.0),
        report(of(0.49, 2.0), of(0.91, 2.0), 0.0),
        report(of(0.49, 2.0), of(0.89, 2.0), 0.31),
    ] {
        assert!(!missed.is_as_wanted() && missed.text().matches("MISSED").count() == 1, "{}", missed.text());
    }
}

#[test]
fn the_json_has_the_promised_names() {
    let outcome = Outcome::together(&[Default::default()]);
    let climates = CLIMATES.map(|climate| Compared {
        climate: climate.name,
        outdoor_c: climate.mean_c,
        curve: outcome,
        ours: outcome,
    });
    let report =
        Report { days: 1, seeds: vec![1], climates: climates.to_vec(), lazy: vec![], sensitivity: vec![], step: None };
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    for (climate, expected) in json["climates"].as_array().unwrap().iter().zip(CLIMATES) {
        assert_eq!(climate["climate"], expected.name);
        for (law, name) in ["curve", "ours"]
            .iter()
            .flat_map(|law| ["room_rmse_k", "starts_per_hour", "return_c", "gas_kwh_day"].map(|name| (law, name)))
        {
            assert!(climate[law][name].is_f64(), "{law}.{name}");
        }
    }
}
