use thermowell_flow::control::Emitter;

use super::night::Night;
use super::plan::{COLD, Case, Climate, GOOD, Kind, POOR, Parameters, Weather};
use super::report::Report;
use super::rivals::Pi;
use super::trial::{Compared, Lazy, Stage, Step, in_parallel};
use super::week::Outcome;

fn stage(house: &str) -> Stage {
    Stage {
        parameters: Parameters::committed().unwrap(),
        houses: vec![house.to_owned()],
        weathers: vec![Weather::Now],
        climates: vec![COLD],
        days: 1,
        seeds: vec![1],
    }
}

#[test]
fn every_control_heats_and_no_lease_is_refused() {
    let table = stage("readme").table().unwrap();
    let [it] = table.as_slice() else { panic!("{table:?}") };
    for outcome in [it.curve, it.influence, it.pi, it.ours] {
        assert_eq!(outcome.refused, 0, "the firmware obeys");
        assert!(outcome.room_rmse_k > 0.0 && outcome.room_rmse_k < 2.0, "{it:?}");
        assert!(outcome.gas_kwh_day > 50.0 && outcome.starts_per_hour > 0.1, "{it:?}");
        let parts = outcome.room_bias_k.hypot(outcome.room_deviation_k);
        assert!((parts - outcome.room_rmse_k).abs() < 1e-9, "{it:?}");
    }
    let errors = [it.curve, it.influence, it.pi, it.ours].map(|outcome| outcome.room_rmse_k.to_bits());
    assert!((0..4).all(|at| !errors[..at].contains(&errors[at])), "four controls: {it:?}");
    assert!(it.ours.room_rmse_k < it.curve.room_rmse_k, "{it:?}");
}

#[test]
fn a_step_is_observed_until_the_room_arrives() {
    let step = stage("readme").step("readme", GOOD).unwrap();
    assert_eq!(step.room_c.len(), 12);
    assert!((17.5..19.0).contains(&step.room_c[0]), "it begins near its low target: {:?}", step.room_c);
    assert!((step.room_c[11] - 20.0).abs() < 0.5, "{:?}", step.room_c);
}

#[test]
fn summer_burns_nothing_under_the_law_and_without_it() {
    let mut summer = Stage { days: 2, ..stage("readme") };
    let summers = summer.summers().unwrap();
    assert_eq!(summers.iter().map(|it| it.outdoor_c).collect::<Vec<_>>(), [15.0, 18.0, 20.0, 22.0]);
    for it in &summers {
        // At 15 °C the first days may heat, and the house is warmer for days.
        let burnt = [it.own, it.ours, it.roomless].map(|warm| warm.gas_kwh_day);
        assert_eq!(burnt, [0.0; 3], "{it:?}");
        assert!(it.is_met() || it.outdoor_c < 16.0, "{it:?}");
        assert!(it.free_c > it.outdoor_c + 1.0, "the sun shines: {it:?}");
    }
    summer.climates = vec![Climate { name: "spring", mean_c: 8.0 }];
    let spring = summer.table().unwrap();
    assert!(spring[0].ours.gas_kwh_day > 20.0, "it does heat in spring: {spring:?}");
}

#[test]
fn nights_are_in_time_and_not_all_night() {
    let nights = stage("readme").nights().unwrap();
    let [late, hour, optimum] = nights.as_slice() else { panic!("{nights:?}") };
    assert!(late.short_k > 2.0 && hour.short_k < 1.0, "they differ: {nights:?}");
    assert!(optimum.is_in_time(late) && !late.is_in_time(late), "{nights:?}");
    let all_night = Night { gas_kwh_day: late.gas_kwh_day * 1.05, ..optimum.clone() };
    assert!(!all_night.is_in_time(late));
}

#[test]
fn houses_and_sensors_become_scenarios() {
    let parameters = Parameters::committed().unwrap();
    let names = parameters.house.keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(names, ["floor", "heavy", "light", "readme", "tight"]);
    let case =
        Case { house: "floor", weather: Weather::First, climate: COLD, kind: Kind::Sound, sensor: POOR, seed: 7 };
    let scenario = parameters.scenario(&case).unwrap();
    let (weather, heating) = (&scenario.plant.weather, &scenario.plant.heating);
    assert_eq!((weather.mean_c, weather.wander_k, weather.solar_peak_w, weather.wind_m_s), (-5.0, 2.5, 3_000.0, 3.0));
    assert_eq!((heating.screed_mj_per_k, heating.burner_kw), (13.0, 19.0));
    assert_eq!((scenario.room_sensor.lag.as_secs(), scenario.room_sensor.step_k), (1_800, 0.5));
    let lazy = Case { house: "readme", kind: Kind::Lazy, ..case };
    let scenario = parameters.scenario(&lazy).unwrap();
    assert_eq!((scenario.plant.heating.burner_kw, scenario.device.installer.start_below_k), (9.6, Some(10.0)));
    for house in names {
        let scenario = parameters.scenario(&Case { house, ..case }).unwrap();
        let (line, flow_max) = (parameters.line(house, Weather::Now), parameters.house(house).flow_max);
        assert!(line.flow(-10.0) < flow_max && line.flow(-10.0) > line.flow(10.0), "{house}: {line:?}");
        let pi = Pi::of(&scenario);
        assert!((2.0..30.0).contains(&pi.kp) && (5.0..40.0).contains(&pi.ti_h), "{house}: {pi:?}");
    }
    let unknown = "[house.lost]\nabout = \"\"\nemitter = \"floor\"\nflow_min = 1.0\nflow_max = 1.0\nscenario = {}\n";
    let text = format!("target = 20.0\ncurve = {{}}\n{unknown}");
    assert!(Parameters::parse(&text).unwrap_err().to_string().contains("[curve.lost]"));
}

#[test]
fn jobs_keep_their_order() {
    let jobs: Vec<u64> = (0..50).collect();
    assert_eq!(in_parallel(&jobs, |job| job * 2), jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
    assert!(in_parallel(&[0_u8; 0], |job| *job).is_empty());
}

fn of(room_rmse_k: f64, starts_per_hour: f64) -> Outcome {
    Outcome { room_rmse_k, starts_per_hour, ..Outcome::default() }
}

fn report(emitter: Emitter, ours: Outcome, with: Outcome, overshoot_k: f64, ripple_k: f64) -> Report {
    let compared = Compared {
        house: String::from("readme"),
        emitter,
        weather: Weather::Now,
        climate: "cold",
        outdoor_c: -5.0,
        curve: of(2.0, 1.0),
        influence: of(1.0, 2.0),
        pi: of(1.0, 1.0),
        ours,
        roomless: None,
    };
    let step = Step {
        house: String::from("readme"),
        sensor: GOOD,
        target_c: 20.0,
        room_c: vec![18.0, 19.0],
        overshoot_k,
        ripple_k,
        arrived_h: None,
    };
    Report {
        days: 1,
        seeds: vec![1],
        houses: Vec::new(),
        table: vec![compared],
        lazy: vec![Lazy { climate: "cold", without: of(1.0, 2.0), with }],
        sensitivity: Vec::new(),
        steps: vec![step],
        nights: Vec::new(),
        summers: Vec::new(),
        bestest: Vec::new(),
    }
}

#[test]
fn missed_requirements_are_in_text_and_exit_code() {
    use Emitter::{Floor, Radiators};
    let met = report(Radiators, of(0.74, 2.19), of(0.59, 2.0), 0.29, 0.09);
    assert!(met.is_as_wanted() && !met.text().contains("MISSED") && met.text().contains("0 of 1 missed"));
    assert!(report(Floor, of(0.99, 2.0), of(0.5, 2.0), 0.0, 0.0).is_as_wanted());
    for missed in [
        report(Radiators, of(0.76, 2.0), of(0.59, 2.0), 0.0, 0.0),
        report(Floor, of(1.01, 2.0), of(0.59, 2.0), 0.0, 0.0),
        report(Radiators, of(0.74, 2.21), of(0.59, 2.0), 0.0, 0.0),
        report(Radiators, of(0.74, 2.0), of(0.61, 2.0), 0.0, 0.0),
        report(Radiators, of(0.74, 2.0), of(0.59, 2.0), 0.31, 0.0),
        report(Radiators, of(0.74, 2.0), of(0.59, 2.0), 0.0, 0.11),
    ] {
        assert!(!missed.is_as_wanted() && missed.text().matches("MISSED").count() == 1, "{}", missed.text());
    }
}

#[test]
fn seeds_of_the_tuning_are_named_and_refused_as_evidence() {
    let fair = report(Emitter::Radiators, of(0.7, 2.0), of(0.5, 2.0), 0.0, 0.0);
    assert!(fair.text().contains("tuned with 101, 102, 103, 104, 105, 106 only"));
    assert!(!fair.text().contains("NOT A FAIR"));
    assert!(Report { seeds: vec![1, 103], ..fair }.text().contains("NOT A FAIR"));
}

#[test]
fn the_json_has_the_promised_names() {
    let report = report(Emitter::Floor, of(0.7, 2.0), of(0.5, 2.0), 0.1, 0.0);
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    let row = &json["table"][0];
    assert_eq!((&row["house"], &row["emitter"]), (&"readme".into(), &"floor".into()));
    assert_eq!((&row["weather"], &row["climate"]), (&"now".into(), &"cold".into()));
    let names = ["room_rmse_k", "room_bias_k", "room_deviation_k", "cold_kh_day", "warm_kh_day", "starts_per_hour"];
    for name in names.into_iter().chain(["return_c", "gas_kwh_day", "burning_h_day"]) {
        for control in ["curve", "influence", "pi", "ours"] {
            assert!(row[control][name].is_f64(), "{control}.{name}");
        }
    }
    assert!(json["steps"][0]["sensor"]["lag_min"] == 15 && json["steps"][0]["overshoot_k"].is_f64());
}
