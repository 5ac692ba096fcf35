//! What the streams have about each boiler: read once, for the checks of device, data and control.

use futures_util::future::join_all;
use serde::de::DeserializeOwned;
use thermowell_flow::published::{Event, Snapshot};
use thermowell_flow::time::{HOUR_NS, SECOND_NS};
use thermowell_wire::batch::{self, Packed};
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, Quality};

use crate::boilers::last_known;
use crate::clock::Clock;
use crate::config::Config;
use crate::logs;
use crate::nats::{self, Connection, InOrder, RequestError};
use crate::quantity::nanos;
use crate::status::{self, Sourced};

/// How long ago the oldest decision and the oldest snapshot are that are read.
const DECISIONS_NS: i64 = HOUR_NS;
const SNAPSHOTS_NS: i64 = 25 * HOUR_NS;
/// The most messages of a subject that are read: a decision each 15 s of an hour are 240.
const MESSAGES_MAX: usize = 500;

/// What is stored about one boiler.
#[derive(Debug)]
pub(super) struct Evidence {
    /// The last STATE, STATUS, LEASE and SNAPSHOT, with their ages.
    pub(super) last: status::Boiler,
    pub(super) tail: Option<Tail>,
    /// When its history in SAMPLES begins, Unix seconds.
    pub(super) begins_s: Option<f64>,
    /// The last event of the kinds `boot`, `clock`, `gap`, `snapshot`.
    pub(super) boot: Option<Event>,
    pub(super) clock: Option<Event>,
    pub(super) gap: Option<Event>,
    pub(super) differs: Option<Event>,
    /// The decisions of the last hour, and the last one before, oldest first.
    pub(super) decisions: Vec<Event>,
    /// The snapshots of the last day, oldest first.
    pub(super) snapshots: Vec<Snapshot>,
}

/// The last message in SAMPLES.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tail {
    /// When its last slot ends, Unix seconds.
    pub(super) end_s: f64,
    /// The sensor's noise within it, K; none in a gap, and with less than a quarter of a second.
    pub(super) noise: Option<f64>,
}

/// The moment of a check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Unix seconds of the calendar.
    pub(super) now_s: f64,
    /// Seconds of the calendar in a real second.
    pub(super) speed: u32,
}

impl Moment {
    pub(super) fn of(clock: &Clock) -> Self {
        Self { now_s: clock.now().utc.unix_seconds(), speed: clock.speed() }
    }

    /// The age of a stamp in seconds of the calendar.
    pub(super) fn since(&self, stamp: f64) -> f64 {
        self.now_s - stamp
    }

    /// The age of a stamp in real seconds.
    pub(super) fn age_s(&self, stamp: f64) -> f64 {
        self.since(stamp) / f64::from(self.speed.max(1))
    }
}

/// What is stored about each boiler of the configuration; an error is why it cannot be read.
pub(super) async fn read(config: &Config, connection: &Connection) -> Vec<(BoilerId, Result<Evidence, String>)> {
    let clock = Clock::new(&config.clock);
    let sources = status::sources(config, None);
    let read = |id: BoilerId| {
        let (clock, sources) = (&clock, &sources);
        async move {
            let found = of(connection, clock, id.clone(), sources).await;
            (id, found.map_err(|error| logs::chain(&error)))
        }
    };
    join_all(config.boiler_ids().into_iter().map(read)).await
}

async fn of(
    connection: &Connection,
    clock: &Clock,
    id: BoilerId,
    sources: &[Sourced],
) -> Result<Evidence, RequestError> {
    let context = connection.context();
    let event = async |kind| last_known::<Event>(context, stream::EVENT, &subject::event(&id, kind)).await;
    let (boot, at_clock) = (event(EventKind::Boot).await?, event(EventKind::Clock).await?);
    let (gap, differs) = (event(EventKind::Gap).await?, event(EventKind::Snapshot).await?);
    let decision = subject::event(&id, EventKind::Decision);
    let created = |event: &Event| nanos(event.created_at);
    let mut decisions = since(connection, stream::EVENT, &decision, clock, DECISIONS_NS, created).await?;
    if decisions.is_empty() {
        decisions.extend(last_known::<Event>(context, stream::EVENT, &decision).await?);
    }
    let snapshot = subject::snapshot(&id);
    let closed = |snapshot: &Snapshot| snapshot.created_at.saturating_mul(SECOND_NS);
    let snapshots = since(connection, stream::SNAPSHOT, &snapshot, clock, SNAPSHOTS_NS, closed).await?;
    let (tail, begins_s) = samples(connection, &id).await?;
    // Last, so that the ages are those of the verdict.
    let last = status::read(connection, clock, id, sources).await?;
    Ok(Evidence { last, tail, begins_s, boot, clock: at_clock, gap, differs, decisions, snapshots })
}

/// The messages of the last `age_ns`, oldest first. Those that this version cannot parse are left out.
async fn since<T: DeserializeOwned>(
    connection: &Connection,
    stream: &'static str,
    subject: &str,
    clock: &Clock,
    age_ns: i64,
    created_ns: impl Fn(&T) -> i64,
) -> Result<Vec<T>, RequestError> {
    let context = connection.context();
    // A stream that does not exist yet has no messages.
    if last_known::<serde_json::Value>(context, stream, subject).await?.is_none() {
        return Ok(Vec::new());
    }
    let since_ns = clock.now().utc.0.saturating_sub(age_ns);
    let from = nats::first_since(context, stream, subject, since_ns, |message| {
        Some(created_ns(&nats::parse(&message.payload).ok()?))
    });
    let (from, end) = (from.await?, nats::end(context, stream, subject).await?);
    let mut messages = InOrder::new(context, stream, subject.to_owned(), from, end);
    let mut found = Vec::new();
    while found.len() < MESSAGES_MAX
        && let Some(message) = messages.next().await?
    {
        found.extend(nats::parse(&message.payload).ok());
    }
    Ok(found)
}

/// The last message in SAMPLES, and when the first one there begins.
async fn samples(connection: &Connection, id: &BoilerId) -> Result<(Option<Tail>, Option<f64>), RequestError> {
    let (context, subject) = (connection.context(), subject::samples(id));
    let last = crate::boilers::last(context, stream::SAMPLES, &subject).await?;
    let Some(tail) = last.and_then(|last| tail(&last.payload)) else { return Ok((None, None)) };
    let first = nats::first_from(context, stream::SAMPLES, &subject, 1).await?;
    let begins = first.and_then(|first| match batch::decode(&first.payload).ok()? {
        Packed::Batch(batch) => Some(batch.header.first_utc_ns),
        Packed::Gap(gap) => Some(gap.from_utc_ns),
    });
    Ok((Some(tail), begins.map(seconds)))
}

fn tail(payload: &[u8]) -> Option<Tail> {
    let packed = batch::decode(payload).ok()?;
    let noise = match &packed {
        Packed::Batch(batch) => {
            let valid = batch.readings().filter(|reading| reading.quality() == Quality::Ok);
            noise(&valid.map(|reading| reading.temperature.celsius()).collect::<Vec<_>>())
        }
        Packed::Gap(_) => None,
    };
    Some(Tail { end_s: seconds(packed.end_utc_ns()), noise })
}

/// The standard deviation of a noise that is independent from sample to sample: that of the second differences, which
/// a change of the water's temperature does not have, is √6 times as large.
pub(super) fn noise(values: &[f64]) -> Option<f64> {
    const LEAST: usize = 25;
    if values.len() < LEAST {
        return None;
    }
    let (mut sum, mut count) = (0.0, 0.0);
    for three in values.windows(3) {
        sum += (three[0] - 2.0 * three[1] + three[2]).powi(2);
        count += 1.0;
    }
    Some((sum / count / 6.0).sqrt())
}

fn seconds(ns: i64) -> f64 {
    thermowell_flow::time::Utc(ns).unix_seconds()
}

#[cfg(test)]
pub(super) mod testing {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::check) const NOW_S: f64 = 1_767_787_200.0;
    pub(in crate::check) const NOW: Moment = Moment { now_s: NOW_S, speed: 1 };
    /// The hour that is open is this many hours since 1970.
    const OPEN_HOUR: i64 = 491_052;

    /// A boiler in good order at [`NOW_S`], 12:00:00, with these changes: paths of the JSON of `state`, `status` and
    /// `lease`, and their new values.
    pub(in crate::check) fn evidence(changes: &[(&str, Value)]) -> Evidence {
        let slot = json!({"boot": "0000000100000002", "seq": 360_000});
        let mut all = json!({
            "state": {
                "boiler": "b1", "instance": "cellar", "stamp": NOW_S - 0.5, "slot": slot, "current": 52.5,
                "quality": "ok", "heating": true, "average": 52.4, "average_points": 360_000, "average_heating": 52.4,
                "heating_share": 1.0, "coverage": 1.0, "minimum": 50.0, "maximum": 55.0,
                "provisional": {"hour": "2026-01-07T12:00:00Z", "temperature": null, "points": 0},
                "last_hour": null, "clock": "synced", "simulated": false, "version": 1
            },
            "status": {
                "boiler": "b1", "created_at": NOW_S - 0.4, "link": "up", "newest": slot, "backlog": 73,
                "simulated": false, "version": 1,
                "device": {
                    "boot": "0000000100000002", "serial_number": "TW-0042", "firmware": "device 0.1.0",
                    "state": "firing", "flame": true, "pump": true, "hot_water": false, "modulation": 24,
                    "return_temperature": 45.0, "room": 20.0, "outdoor": -3.0, "pressure_mbar": 1500,
                    "own_flow": 50.0, "setpoint": {"n": 3, "demand": "heat", "flow": 52.5, "lease_left_s": 47.0},
                    "fault": null, "burner_starts": 2
                }
            },
            "lease": {
                "demand": "heat", "flow": 52.5, "lease_s": 60, "based_on": slot, "instance": "cellar-7-1f",
                "created_at": NOW_S - 13.0, "version": 1
            }
        });
        for (path, value) in changes {
            let parts: Vec<&str> = path.split('.').collect();
            let target = parts.iter().fold(&mut all, |value, part| &mut value[*part]);
            *target = value.clone();
        }
        let parsed = |key: &str| all[key].clone();
        let last = status::Boiler::of(
            "b1".parse().unwrap(),
            |stamp| NOW.age_s(stamp),
            serde_json::from_value(parsed("state")).unwrap(),
            serde_json::from_value(parsed("status")).unwrap(),
            serde_json::from_value(parsed("lease")).unwrap(),
            None,
        );
        let decision = json!({
            "name": "Decided", "rule": "law", "demand": "heat", "flow": 52.5, "wish": 52.0, "correction": 0.5,
            "current": 52.4, "average": 52.4, "asked": 52.5, "share": 1.0, "room": 20.0, "outdoor": -3.0,
            "target": 21.0, "based_on": slot
        });
        Evidence {
            last,
            tail: Some(Tail { end_s: NOW_S - 0.4, noise: Some(0.02) }),
            begins_s: Some(NOW_S - 259_200.0),
            boot: None,
            clock: None,
            gap: None,
            differs: None,
            decisions: vec![event(600.0, decision)],
            snapshots: (1..=24).rev().map(|ago| snapshot(OPEN_HOUR - ago, &[])).collect(),
        }
    }

    /// An event of so many seconds ago.
    pub(in crate::check) fn event(ago_s: f64, mut body: Value) -> Event {
        body["boiler"] = json!("b1");
        body["created_at"] = json!(NOW_S - ago_s);
        serde_json::from_value(body).unwrap()
    }

    /// A complete hour, with these changes of its fields.
    pub(in crate::check) fn snapshot(hour: i64, changes: &[(&str, Value)]) -> Snapshot {
        let slot = json!({"boot": "0000000100000002", "seq": 1});
        let mut snapshot = json!({
            "temperature": 52.4, "created_at": (hour + 1) * 3_600, "temperature_points": 360_000, "boiler": "b1",
            "hour": thermowell_flow::time::hour_text(hour), "minimum": 50.0, "maximum": 55.0, "coverage": 1.0,
            "partial": false, "heating": {"temperature": 52.4, "points": 360_000}, "slots": 360_000,
            "missing": {
                "ring": 0, "reboot": 0, "missed": 0, "invalid": 0, "clock": 0, "discarded": 0, "unexplained": 0
            },
            "skipped_hours": 0, "sum_centi": 1_886_400_000, "first": slot, "last": slot,
            "samples": {"replay": 1, "first": 1, "last": 2}, "simulated": false, "clock": "synced", "version": 1
        });
        for (path, value) in changes {
            let target = path.split('.').fold(&mut snapshot, |value, part| &mut value[part]);
            *target = value.clone();
        }
        serde_json::from_value(snapshot).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp is no noise; readings that alternate by 2 K around their mean have at least 1 K of it.
    #[test]
    fn noise_is_what_does_not_follow_the_water() {
        let ramp: Vec<f64> = (0..100).map(|n| 40.0 + f64::from(n) * 0.05).collect();
        assert!(noise(&ramp).unwrap() < 1e-6);
        let shaking: Vec<f64> = (0..100).map(|n| if n % 2 == 0 { 51.0 } else { 49.0 }).collect();
        assert!(noise(&shaking).unwrap() > 1.0);
        assert_eq!(noise(&ramp[..24]), None);
    }

    #[test]
    fn ages_are_real_and_intervals_of_the_calendar() {
        let moment = Moment { now_s: 600.0, speed: 60 };
        assert!((moment.age_s(0.0) - 10.0).abs() < 1e-9 && (moment.since(0.0) - 600.0).abs() < 1e-9);
    }
}
