//! The tables of decisions and events.

use thermowell_flow::published::Decision;
use thermowell_wire::SourceName;
use thermowell_wire::line::Demand;

use super::cards::{Row, clock, degrees};
use super::model::Boiler;

/// Rows of the table of decisions.
const DECISIONS: usize = 8;

/// The last decisions, the newest first: time, why, asked, the hour's correction, room, outdoors.
pub(super) fn decisions(boiler: &Boiler) -> Vec<Row> {
    let row = |(created_at, decision): &(f64, Decision)| {
        let asks = match (decision.demand, decision.flow) {
            (Some(Demand::Heat), flow) => degrees(flow),
            (Some(Demand::None), _) => "no heat".to_owned(),
            (None, _) => "nothing".to_owned(),
        };
        let hour = format!("{:+.1}", decision.correction).replace("-0.0", "+0.0");
        let room = sourced(decision.room, decision.room_source.as_ref());
        let outdoor = sourced(decision.outdoor, decision.outdoor_source.as_ref());
        let why = why(&decision.rule).unwrap_or(&decision.rule).to_owned();
        let t = vec![clock(*created_at), why, asks, hour, room, outdoor];
        Row { t, at: Some(*created_at), ..Row::default() }
    };
    boiler.decisions.iter().rev().take(DECISIONS).map(row).collect()
}

/// A temperature, and its source if that is not the device.
fn sourced(value: Option<f64>, source: Option<&SourceName>) -> String {
    match source {
        Some(source) => format!("{} {source}", degrees(value)),
        None => degrees(value),
    }
}

/// The last events, the newest first: time and sentence.
pub(super) fn happened(boiler: &Boiler) -> Vec<Row> {
    let row = |(created_at, text): &(f64, String)| {
        let t = vec![clock(*created_at), text.clone()];
        Row { t, at: Some(*created_at), ..Row::default() }
    };
    boiler.happened.iter().rev().map(row).collect()
}

/// The rule of a decision in words; the rules are in `flow`'s controller.
fn why(rule: &str) -> Option<&'static str> {
    Some(match rule {
        "law" => "heating curve, room and hour",
        "warming" => "heating curve and room; no hour yet",
        "no_heat_wanted" => "no heat wanted",
        "heating_limit" => "above the heating limit",
        "no_outdoor" => "the outdoor temperature is unknown",
        "hot_water" => "hot water is drawn: kept as it was",
        "preheat" => "heating early for the next target",
        "set_back" => "an operator has set the rooms back",
        "boost" => "an operator's boost",
        "tap" => "an operator asks for hot water",
        "hold" => "an operator holds the set-point",
        "waiting" => "no data yet",
        "coasting" => "the data is more than 5 s old",
        "fault" => "the data is more than 60 s old",
        "sensor" => "the flow sensor is not readable",
        "mixed" => "simulated and real data are mixed",
        "lockout" => "the boiler is locked out",
        "refused" => "the boiler does not obey",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::EventBody;

    use super::super::testing::{decided, noon_s};
    use super::*;

    fn texts(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| row.t.join(" | ")).collect()
    }

    #[test]
    fn decisions_are_in_words_and_the_newest_first() {
        let mut boiler = Boiler::new("b1".parse().unwrap());
        (0..20).for_each(|n| boiler.take_event(decided(noon_s() - f64::from(100 - n), "law", Some(40.0))));
        boiler.take_event(decided(noon_s(), "law", Some(45.86)));
        boiler.take_event(decided(noon_s() + 60.0, "coasting", None));
        let mut later = decided(noon_s() + 61.0, "a_later_rule", None);
        if let EventBody::Decided(decision) = &mut later.body {
            decision.room_source = "hall".parse().ok();
        }
        boiler.take_event(later);
        let rows = texts(&decisions(&boiler));
        assert_eq!(rows.len(), DECISIONS);
        assert_eq!(rows[0], "12:01:01 | a_later_rule | nothing | +0.4 | 18.5 hall | -5.9", "of a newer version");
        assert_eq!(rows[1], "12:01:00 | the data is more than 5 s old | nothing | +0.4 | 18.5 | -5.9");
        assert_eq!(rows[2], "12:00:00 | heating curve, room and hour | 45.9 | +0.4 | 18.5 | -5.9");
    }

    /// The table of rules in `flow`'s controller is the documentation of them all.
    #[test]
    fn every_rule_has_words() {
        let documented = include_str!("../../../flow/src/controller.rs");
        let rows = documented.lines().filter(|line| line.starts_with("//! | `"));
        let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or("").split('`').skip(1).step_by(2));
        let names: Vec<&str> = names.chain(["waiting", "coasting", "fault"]).collect();
        assert!(names.len() > 12, "{names:?}");
        for name in names {
            assert!(why(name).is_some(), "{name}");
        }
    }
}
