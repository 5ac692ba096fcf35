//! Parsing of scenario files, and the errors for wrong ones.

use thermowell_device::Config;
use thermowell_wire::CentiCelsius;

use super::*;

fn id(text: &str) -> BoilerId {
    text.parse().unwrap()
}

fn parse(text: &str) -> Scenario {
    Scenario::parse("test.toml", text).unwrap()
}

fn refused(text: &str) -> String {
    Scenario::parse("test.toml", text).unwrap_err().to_string()
}

#[test]
fn empty_file_is_the_default() {
    assert_eq!(parse(""), Scenario::default());
    let boiler = parse("").boiler(&id("b1"));
    assert_eq!(boiler.plant.heating.burner_kw, 24.0);
    assert_eq!(boiler.plant.starts_at, Duration::from_secs(6 * 3_600));
    assert!(boiler.line.faults.is_empty() && boiler.device.faults.is_empty());
}

#[test]
fn all_kinds_of_keys_are_parsed() {
    let scenario = parse(
        r#"
        seed = 7
        starts_at = "0 s"
        [weather]
        mean_c = -5
        [hot_water]
        draws_per_day = 0
        [[hot_water.draw]]
        at = "10 min"
        for = "3 min"
        litres_per_minute = 9.5
        [sensor]
        pocket_lag = "0 s"
        [[sensor.open]]
        at = "1h"
        for = "10 s"
        [[sensor.offset]]
        at = "2h"
        for = "1h30m"
        kelvin_per_hour = -1.5
        [device]
        drift_ppm = -20
        [[device.missed]]
        at = "30 min"
        for = "250 ms"
        [[device.reboot]]
        at = "5 min"
        for = "30 s"
        [[line.lost_bytes]]
        ppm = 3
        [[line.bit_errors]]
        at = "1 s"
        for = "1 s"
        ppm = 0.5
        [[line.unplug]]
        at = "20 min"
        for = "30 s"
        [[line.stall]]
        at = "15 min"
        for = "1 s"
        "#,
    );
    let boiler = scenario.boiler(&id("b1"));
    assert_eq!(boiler.plant.starts_at, Duration::ZERO);
    assert_eq!(boiler.plant.weather.mean_c, -5.0);
    assert_eq!(boiler.plant.hot_water.draw[0].litres_per_minute, 9.5);
    assert_eq!(boiler.sensor.open[0].window_us(), (3_600_000_000, 3_610_000_000));
    assert_eq!(boiler.sensor.offset[0].kelvin_per_hour, -1.5);
    assert_eq!(boiler.device.drift_ppm, -20.0);
    assert_eq!(
        boiler.device.faults,
        [
            DeviceFault { from_us: 300_000_000, until_us: 330_000_000, kind: DeviceFaultKind::Reboot },
            DeviceFault { from_us: 1_800_000_000, until_us: 1_800_250_000, kind: DeviceFaultKind::Missed },
        ]
    );
    let kinds: Vec<(u64, u64, LineFaultKind)> =
        boiler.line.faults.iter().map(|fault| (fault.from_us, fault.until_us, fault.kind)).collect();
    assert_eq!(
        kinds,
        [
            (0, u64::MAX, LineFaultKind::LostBytes { ppm: 3.0 }),
            (1_000_000, 2_000_000, LineFaultKind::BitErrors { ppm: 0.5 }),
            (900_000_000, 901_000_000, LineFaultKind::Stall),
            (1_200_000_000, 1_230_000_000, LineFaultKind::Unplug),
        ]
    );
}

#[test]
fn installers_settings_reach_the_firmware() {
    let own = Config::default();
    let firmware = |text: &str| parse(text).boiler(&id("b1")).firmware(own.clone());
    let plain = firmware("");
    assert_eq!((plain.heating_limit, plain.flow_min, plain.flow_max), (own.heating_limit, own.flow_min, own.flow_max));
    assert_eq!(plain.start_below, own.start_below);
    let floor = "[device]\nheating_limit_c = 12.5\nflow_min_c = 20\nflow_max_c = 45\nstart_below_k = 2\n";
    let set = firmware(floor);
    let celsius = [set.heating_limit, set.flow_min, set.flow_max].map(CentiCelsius::celsius);
    assert_eq!((celsius, set.start_below), ([12.5, 20.0, 45.0], 200));
    for wrong in
        ["heating_limit_c = 4", "heating_limit_c = 31", "flow_min_c = 31", "flow_max_c = 29", "room_contact_c = 40"]
    {
        assert!(refused(&format!("[device]\n{wrong}\n")).contains("is not from"), "{wrong}");
    }
}

#[test]
fn boiler_overrides_keys_and_appends_to_lists() {
    let scenario = parse(
        r#"
        [weather]
        mean_c = -5.0
        swing_k = 2.0
        [[line.unplug]]
        at = "1h"
        for = "30 s"
        [boiler.b2.weather]
        mean_c = 5.0
        [[boiler.b2.line.unplug]]
        at = "30 min"
        for = "10 s"
        "#,
    );
    let (first, second) = (scenario.boiler(&id("b1")), scenario.boiler(&id("b2")));
    assert_eq!((first.plant.weather.mean_c, first.plant.weather.swing_k), (-5.0, 2.0));
    assert_eq!((second.plant.weather.mean_c, second.plant.weather.swing_k), (5.0, 2.0));
    assert_eq!(first.line.faults.len(), 1);
    assert_eq!(
        second.line.faults.iter().map(|fault| fault.from_us).collect::<Vec<_>>(),
        [1_800_000_000, 3_600_000_000]
    );
    assert_eq!(scenario.named().map(BoilerId::as_str).collect::<Vec<_>>(), ["b2"]);
}

#[test]
fn seeds_depend_on_scenario_boiler_and_part() {
    let scenario = parse("seed = 3");
    let (first, second) = (scenario.boiler(&id("b1")), scenario.boiler(&id("b2")));
    assert_ne!(first.seed, second.seed);
    assert_ne!(first.seed_of("plant"), first.seed_of("sensor"));
    assert_eq!(first, parse("seed = 3").boiler(&id("b1")));
    assert_ne!(first.seed, scenario.with_seed(4).boiler(&id("b1")).seed);
}

#[test]
fn errors_have_line_and_column() {
    for (text, place, words) in [
        ("[weather]\nmean_c = 99.0\n", "test.toml:2:10: ", "99 is not from -40 to 45"),
        ("[plant]\nscreed_mj_per_k = 0.5\n", "test.toml:2:19: ", "0.5 is neither 0 nor from 1 to 200"),
        ("[weather]\nmean_c = nan\n", "test.toml:2:10: ", "NaN is not from -40 to 45"),
        ("[house]\nsun_to_mass_percent = 101\n", "test.toml:2:23: ", "101 is not from 0 to 100"),
        ("[plant]\nto_mass_percent = -1\n", "test.toml:2:19: ", "-1 is not from 0 to 100"),
        ("[weather]\nempty = { from = \"8h\", until = \"8h\" }\n", "test.toml:2:9: ", "not two times of a day"),
        ("[weather]\nempty = { from = \"8h\", until = \"25h\" }\n", "test.toml:2:9: ", "not two times of a day"),
        ("[weather.empty]\nfrom = \"8h\"\n", "test.toml:1:1: ", "missing field `until`"),
        ("[weather.empty]\nstarts_on = \"freitag\"\n", "test.toml:2:13: ", "unknown variant `freitag`"),
        ("\n[wether]\n", "test.toml:2:2: ", "unknown field `wether`"),
        ("[plant]\nburner_kw = \"24\"\n", "test.toml:2:13: ", "invalid type"),
        ("[[line.unplug]]\nat = \"1h\"\n", "test.toml:1:1: ", "missing field `for`"),
        ("[[line.unplug]]\nat = \"noon\"\nfor = \"1 s\"\n", "test.toml:2:6: ", "`noon` is not a time"),
        ("[[device.reboot]]\nat = \"1h\"\nfor = \"0 s\"\n", "test.toml:3:7: ", "longer than 0 s"),
        ("[boiler.b1.weather]\nswing_k = -1\n", "test.toml:2:11: ", "-1 is not from 0 to 20"),
        ("[boiler.b1]\n# ä\nsped = 1\n", "test.toml:3:1: ", "unknown field `sped`"),
        ("seed = 1\nseed = 2\n", "test.toml:2:1: ", "duplicate key"),
        ("[sensor\n", "test.toml:1:", ""),
    ] {
        let message = refused(text);
        assert!(message.starts_with(place) && message.contains(words), "{text:?} gives {message:?}");
    }
}

#[test]
fn errors_without_a_position_name_the_table() {
    assert_eq!(refused("[boiler.B1]\n"), "test.toml: [boiler.B1] is not a boiler id");
    assert_eq!(
        refused("[boiler.b1]\nseed = 4\n"),
        "test.toml: [boiler.b1] must not hold `seed`, which is the whole scenario's"
    );
    assert_eq!(
        refused("[boiler.b1.boiler.b2]\n"),
        "test.toml: [boiler.b1] must not hold `boiler`, which is the whole scenario's"
    );
    let overlap = refused(
        "[[device.reboot]]\nat = \"60 s\"\nfor = \"30 s\"\n[[boiler.b1.device.missed]]\nat = \"90 s\"\nfor = \"1 s\"\n",
    );
    assert_eq!(overlap, "test.toml: b1: the device faults at 60s and at 90s overlap");
}

#[test]
fn sample_scenarios_match_their_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scenarios");
    let mut seen = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let boiler = Scenario::read(&path).unwrap().boiler(&id("b1"));
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let unplugged = boiler.line.faults.iter().any(|fault| fault.kind == LineFaultKind::Unplug);
        let reboots = boiler.device.faults.iter().any(|fault| fault.kind == DeviceFaultKind::Reboot);
        let faults = boiler.line.faults.len() + boiler.device.faults.len();
        match file.as_str() {
            "winter-day.toml" => assert_eq!(faults, 0, "the demo's default has no faults"),
            "quiet.toml" => assert!(faults == 0 && boiler.plant.hot_water.draws_per_day == 0.0),
            "unplug.toml" => assert!(unplugged && !reboots),
            "reboot.toml" => assert!(reboots && !unplugged),
            _ => {}
        }
        seen.push(file);
    }
    for file in ["winter-day.toml", "quiet.toml", "unplug.toml", "reboot.toml"] {
        assert!(seen.iter().any(|name| name == file), "{file} is missing in {seen:?}");
    }
}

#[test]
fn missing_file_is_named() {
    let error = Scenario::read(Path::new("no-such-scenario.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the scenario no-such-scenario.toml");
}
