//! The ledger of the last day, by its snapshots. `thermowell verify` recomputes them from the samples.

use thermowell_flow::published::{EventBody, Snapshot, State};
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::hour_text;

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Unknown};
use super::evidence::{Evidence, Moment};
use super::finding::of;
use crate::quantity::{second, unix};

const DAY_S: f64 = 86_400.0;
const HOUR_S: f64 = 3_600.0;
/// After the end of an hour, its snapshot may take so long: minutes of the calendar, and seconds of a demo.
const LATE_S: f64 = 300.0;
const LATE_REAL_S: f64 = 15.0;
/// Readings of an hour in the mean of the last one count from this time on.
const ROUNDING_S: f64 = 60.0;

pub(super) fn check(it: &Evidence, now: &Moment) -> Vec<Finding> {
    let find = of("data.books");
    let id = it.last.boiler.as_str();
    let wrong = |hour: String, what: String| {
        let verify = ["thermowell", "verify", "--boiler", id, "--hour", &hour];
        find(Error, format!("{hour}: {what}"))
            .fix(&verify)
            .advise("recompute it from the samples; report what it shows, with `thermowell check --bundle FILE`")
    };
    let mut found: Vec<Finding> =
        it.snapshots.iter().filter_map(|snapshot| Some(wrong(snapshot.hour.clone(), open(snapshot)?))).collect();
    if let Some(event) = it.differs.as_ref().filter(|event| now.since(event.created_at) < DAY_S)
        && let EventBody::SnapshotDiffers { recomputed } = &event.body
    {
        found.push(wrong(recomputed.hour.clone(), "the stored snapshot differs from its recomputation".to_owned()));
    }
    found.extend(missing(it, now).into_iter().map(|hour| wrong(hour_text(hour), "it has no snapshot".to_owned())));
    if !found.is_empty() {
        return found;
    }
    let Some(last) = it.snapshots.last() else {
        return vec![match it.begins_s {
            Some(_) => find(Skipped, "its first hour has not closed yet".to_owned()),
            None => find(Unknown, "nothing was published about it yet".to_owned()),
        }];
    };
    let slots: u64 = it.snapshots.iter().map(|snapshot| snapshot.slots).sum();
    let counted: u64 = it.snapshots.iter().map(|snapshot| snapshot.temperature_points).sum();
    let hours = it.snapshots.len();
    let message =
        format!("{hours} hours up to {}: {slots} slots = {counted} counted + {} missing", last.hour, slots - counted);
    vec![find(Fine, message)]
}

/// Why the books of an hour are open.
fn open(snapshot: &Snapshot) -> Option<String> {
    let Snapshot { slots, temperature_points: counted, missing, .. } = snapshot;
    let total = missing.total();
    if counted.checked_add(total) != Some(*slots) {
        return Some(format!("{slots} slots are not {counted} counted + {total} missing"));
    }
    (missing.unexplained > 0).then(|| format!("{} slots are missing without a known cause", missing.unexplained))
}

/// The hours between and after the snapshots that have none, although their samples were averaged.
fn missing(it: &Evidence, now: &Moment) -> Vec<i64> {
    let mut missing = Vec::new();
    for pair in it.snapshots.windows(2) {
        let (before, after) = (hour_of(&pair[0]), hour_of(&pair[1]));
        // Hours in which nothing was known are skipped on purpose, and counted.
        let skipped = i64::try_from(pair[1].skipped_hours).unwrap_or(i64::MAX);
        missing.extend((before + 1..after.saturating_sub(skipped)).take(24));
    }
    missing.extend(it.last.valid_state().and_then(|state| last_missing(state, it, now)));
    missing
}

/// The hour before the open one, if it has no snapshot although some of its readings are in the mean of the last hour:
/// an hour in which the boiler or the gateway was off has none either.
fn last_missing(state: &State, it: &Evidence, now: &Moment) -> Option<i64> {
    let begin = second(&state.provisional.hour)?;
    let since_s = now.since(unix(begin));
    let is_late = since_s > LATE_S.max(LATE_REAL_S * f64::from(now.speed)) && state.stamp - unix(begin) < HOUR_S;
    let is_known = state.coverage * HOUR_S > since_s + ROUNDING_S;
    let hour = begin.div_euclid(3_600) - 1;
    let is_closed = it.snapshots.last().is_some_and(|last| hour_of(last) >= hour);
    (is_late && is_known && !is_closed).then_some(hour)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::evidence::testing::{NOW, NOW_S, event, evidence, snapshot};
    use super::*;

    fn messages(it: &Evidence) -> Vec<String> {
        let found = check(it, &NOW);
        let wrong = found.iter().filter(|finding| finding.status == Error);
        wrong
            .map(|finding| format!("{} $ {}", finding.message, finding.fix.clone().unwrap_or_default().join(" ")))
            .collect()
    }

    #[test]
    fn closed_books_have_their_sum() {
        let found = check(&evidence(&[]), &NOW);
        assert_eq!(found[0].status, Fine);
        let sum = "24 hours up to 2026-01-07T11:00:00Z: 8640000 slots = 8640000 counted + 0 missing";
        assert_eq!(found[0].message, sum);
        let first = Evidence { snapshots: Vec::new(), begins_s: Some(NOW_S - 60.0), ..evidence(&[]) };
        assert_eq!(check(&first, &NOW)[0].status, Skipped);
        let none = Evidence { snapshots: Vec::new(), begins_s: None, ..evidence(&[]) };
        assert_eq!(check(&none, &NOW)[0].status, Unknown);
    }

    #[test]
    fn hour_that_does_not_add_up_is_an_error_with_the_command() {
        let with = |changes: &[(&str, serde_json::Value)]| {
            let mut it = evidence(&[]);
            it.snapshots[23] = snapshot(491_051, changes);
            messages(&it)
        };
        let command = "$ thermowell verify --boiler b1 --hour 2026-01-07T11:00:00Z";
        assert_eq!(
            with(&[("slots", json!(360_007))]),
            [format!("2026-01-07T11:00:00Z: 360007 slots are not 360000 counted + 0 missing {command}")]
        );
        assert_eq!(
            with(&[("slots", json!(360_007)), ("missing.unexplained", json!(7))]),
            [format!("2026-01-07T11:00:00Z: 7 slots are missing without a known cause {command}")]
        );
        assert!(with(&[("slots", json!(360_007)), ("missing.reboot", json!(7))]).is_empty());
    }

    #[test]
    fn missing_and_differing_hours_are_errors() {
        let mut it = evidence(&[]);
        it.snapshots.remove(5);
        assert!(messages(&it)[0].starts_with("2026-01-06T17:00:00Z: it has no snapshot"), "{:?}", messages(&it));
        it.snapshots[5] = snapshot(491_034, &[("skipped_hours", json!(1))]);
        assert!(messages(&it).is_empty(), "an hour without slots is counted");

        let body = json!({"name": "SnapshotDiffers", "recomputed": snapshot(491_050, &[])});
        let differs = Evidence { differs: Some(event(3_000.0, body.clone())), ..evidence(&[]) };
        assert!(messages(&differs)[0].starts_with("2026-01-07T10:00:00Z: the stored snapshot differs"));
        let before = Evidence { differs: Some(event(90_000.0, body)), ..evidence(&[]) };
        assert!(messages(&before).is_empty());
    }

    #[test]
    fn last_hour_is_missing_only_after_a_while() {
        let mut it = evidence(&[]);
        it.snapshots.pop();
        assert!(messages(&it).is_empty(), "it has just ended");
        let later = Moment { now_s: NOW_S + 301.0, ..NOW };
        let state = json!(NOW_S + 300.5);
        let mut it = evidence(&[("state.stamp", state)]);
        it.last.freshness = Some(thermowell_flow::published::Freshness::Fresh);
        it.snapshots.pop();
        let found = check(&it, &later);
        assert!(found[0].message.starts_with("2026-01-07T11:00:00Z: it has no snapshot"), "{found:?}");
        it.snapshots.clear();
        it.begins_s = Some(NOW_S - 5_400.0);
        assert_eq!(check(&it, &later)[0].message, found[0].message, "its first hour");
        it.last.state.as_mut().unwrap().coverage = 0.08;
        assert_eq!(check(&it, &later)[0].status, Skipped, "the boiler was off in that hour");
    }
}
