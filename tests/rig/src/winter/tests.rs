use super::plan::{CLIMATES, Parameters};
use super::trial::{Compared, Stage};

fn stage(days: u64) -> Stage {
    Stage { parameters: Parameters::committed().unwrap(), days, seeds: vec![1] }
}

#[test]
fn a_day_of_ours_is_nearer_to_the_target_than_the_curve() {
    let compared = stage(1).compare(CLIMATES[1]).unwrap();
    let (curve, ours) = (compared.curve, compared.ours);
    assert_eq!(ours.refused, 0, "the firmware obeys");
    assert!(ours.room_rmse_k < 0.75 * curve.room_rmse_k, "{compared:?}");
    assert!(ours.starts_per_hour < 1.2 * curve.starts_per_hour, "{compared:?}");
    assert!(ours.gas_kwh_day > 1.0 && curve.gas_kwh_day > 1.0, "{compared:?}");
}

#[test]
fn a_step_settles_without_a_swing() {
    let step = stage(1).step().unwrap();
    let first = step.hours.first().unwrap();
    assert!(first.room_c < 19.0, "the step begins below its target: {first:?}");
    assert!(step.overshoot_k < 0.7 && step.ripple_k < 0.2, "{} {}", step.overshoot_k, step.ripple_k);
    let last = step.hours.last().unwrap();
    assert!((last.room_c - 20.0).abs() < 0.6, "{last:?}");
}

#[test]
fn the_json_has_the_promised_names() {
    let outcome = super::week::Outcome::together(&[Default::default()]);
    let climates = CLIMATES.map(|climate| Compared {
        climate: climate.name,
        outdoor_c: climate.mean_c,
        curve: outcome,
        ours: outcome,
    });
    let report = super::report::Report {
        days: 1,
        seeds: vec![1],
        climates: climates.to_vec(),
        lazy: vec![],
        sensitivity: vec![],
        step: None,
    };
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
