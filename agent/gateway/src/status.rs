//! `thermowell status`: the state of each boiler, on one screen.
//!
//! It reads the last message of STATE, STATUS, LEASE, COMMAND and SNAPSHOT and judges their age by the same limits as
//! the controller. A value is shown only while it is valid: from [`Freshness::Fault`] on, current value, average and
//! coverage are unknown, and the last reading is shown with its age. A STATUS is published every second: the device's
//! state is unknown when the last one is no longer fresh. A stamp ahead of this clock has no meaningful age: a fault.

mod ambient;
mod text;

use std::io;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use schemars::JsonSchema;
use serde::Serialize;
use thermowell_flow::command;
use thermowell_flow::published::{Command, freshness};
use thermowell_flow::published::{DeviceStatus, Freshness, FreshnessLimits, Lease, Link, Snapshot, State, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::line::Demand;
use thermowell_wire::subject::{self, stream};

use crate::boilers::{last, last_known};
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{Connection, Kept, NatsError, RequestError, User, command_in};
use crate::output::Report;
use crate::quantity::show_measured;

pub use ambient::Outside;
pub(crate) use ambient::{Sourced, sources};
pub(crate) use text::{doing, unread};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream cannot be read.
    #[error("query the server")]
    Request(#[source] RequestError),
    /// The boiler is not configured.
    #[error(transparent)]
    Unknown(command::Refusal),
    #[error("write the report")]
    Write(#[source] io::Error),
}

/// The state of each boiler.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Boilers {
    /// In the configuration's order.
    pub boilers: Vec<Boiler>,
}

/// The state of one boiler: the last messages as they were published, and their age.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Boiler {
    pub boiler: BoilerId,
    /// By the age of the newest sample; without an average of the last hour `no_valid_reading` if the sensor is broken,
    /// else `warming`; `null` without a STATE.
    pub freshness: Option<Freshness>,
    /// Age of the newest sample in seconds of real time, negative if its stamp is ahead of this clock; `null` without a
    /// STATE.
    pub age_s: Option<f64>,
    /// Age of the last STATUS in seconds of real time; `null` without one.
    pub status_age_s: Option<f64>,
    pub state: Option<State>,
    pub status: Option<Status>,
    /// The controller's set-point; `null` without a lease.
    pub lease: Option<Lease>,
    /// The operator's command that is active now; `null` without one.
    pub command: Option<Command>,
    /// The last closed hour.
    pub snapshot: Option<Snapshot>,
    /// The room and outdoor temperature, if they do not come from the device.
    pub outside: Vec<Outside>,
}

/// The summary of a report: the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every boiler is fresh.
    Fresh,
    /// At least one is not.
    NotFresh,
    /// There is no STATE of any boiler.
    Unknown,
}

/// Reads the state of `boiler`, or of each boiler of the configuration.
///
/// # Errors
/// See [`StatusError`].
pub async fn status(config: &Config, boiler: Option<&BoilerId>) -> Result<Boilers, StatusError> {
    Looker::new(config, boiler).await?.look().await
}

/// Reads the states of boilers, once or repeatedly.
#[derive(Debug)]
pub struct Looker {
    connection: Connection,
    clock: Clock,
    ids: Vec<BoilerId>,
    sources: Vec<Sourced>,
}

impl Looker {
    /// For `boiler`, or each boiler of the configuration.
    ///
    /// # Errors
    /// The boiler is not configured, or the server is not usable.
    pub async fn new(config: &Config, boiler: Option<&BoilerId>) -> Result<Self, StatusError> {
        let mut ids = config.boiler_ids();
        if let Some(boiler) = boiler {
            command::admit_boiler(boiler, &ids).map_err(StatusError::Unknown)?;
            ids = vec![boiler.clone()];
        }
        let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(StatusError::Server)?;
        let sources = sources(config, boiler);
        Ok(Self { connection, clock: Clock::new(&config.clock), ids, sources })
    }

    /// Reads the last messages.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn look(&self) -> Result<Boilers, StatusError> {
        // At once: a read that fails takes two seconds.
        let boilers = try_join_all(self.ids.iter().map(|id| self.read(id))).await;
        Ok(Boilers { boilers: boilers.map_err(StatusError::Request)? })
    }

    async fn read(&self, id: &BoilerId) -> Result<Boiler, RequestError> {
        let boiler = read(&self.connection, &self.clock, id.clone(), &self.sources).await?;
        Ok(Boiler { command: self.command(id).await?, ..boiler })
    }

    /// The active command.
    async fn command(&self, id: &BoilerId) -> Result<Option<Command>, RequestError> {
        let last = last(self.connection.context(), stream::COMMAND, &subject::commands(id)).await?;
        let now_s = self.clock.now().utc.unix_seconds();
        Ok(last.as_ref().and_then(command_in).filter(|command| command.is_active(now_s)))
    }
}

/// The last messages of a boiler, without its command.
pub(crate) async fn read(
    connection: &Connection,
    clock: &Clock,
    id: BoilerId,
    sources: &[Sourced],
) -> Result<Boiler, RequestError> {
    let context = connection.context();
    let state: Option<State> = last_known(context, stream::STATE, &subject::state(&id)).await?;
    let status: Option<Status> = last_known(context, stream::STATUS, &subject::status(&id)).await?;
    let lease = last(context, stream::LEASE, &subject::setpoint(&id)).await?;
    let lease = lease.and_then(|message| Kept::<Lease>::read(&message).ok());
    let lease = lease.filter(|kept| still_asks(&kept.value, kept.age().as_secs_f64(), clock.speed()));
    let lease = lease.map(|kept| kept.value);
    let snapshot = last_known(context, stream::SNAPSHOT, &subject::snapshot(&id)).await?;
    let outside = sources.iter().filter(|sourced| sourced.boiler == id).map(|sourced| async move {
        match sourced.read(connection).await {
            Ok(reading) => sourced.judge(reading.as_ref(), clock.now().utc.unix_seconds(), |stamp| clock.age_s(stamp)),
            // It is unknown; the rest is known.
            Err(error) => sourced.unread(&error),
        }
    });
    let outside = join_all(outside).await;
    Ok(Boiler { outside, ..Boiler::of(id, |stamp| clock.age_s(stamp), state, status, lease, snapshot) })
}

impl Boilers {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.boilers.iter().all(|boiler| boiler.freshness.is_none()) {
            return Verdict::Unknown;
        }
        let is_fresh = |boiler: &Boiler| boiler.freshness == Some(Freshness::Fresh);
        if self.boilers.iter().all(is_fresh) { Verdict::Fresh } else { Verdict::NotFresh }
    }
}

impl Report for Boilers {
    /// A block per boiler.
    fn text(&self) -> String {
        self.boilers.iter().map(Boiler::text).collect::<Vec<_>>().join("\n")
    }
}

/// Whether a lease still asks, `age_s` real seconds after the server stored it. LEASE deletes it by age, without a
/// message and later than a lease that is shorter than its limit. A demo's leases are shorter than the interval of
/// reading, so they last as long as fresh data.
pub(crate) fn still_asks(lease: &Lease, age_s: f64, speed: u32) -> bool {
    let lease_s = f64::from(lease.lease_s) / f64::from(speed);
    // A stamp ahead of this clock counts as equally old.
    let age_s = age_s.abs();
    lease.lease_s > 0 && (age_s <= lease_s || speed > 1 && judge(age_s) == Freshness::Fresh)
}

/// The freshness for an age in real seconds, whatever was read.
pub(crate) fn judge(age_s: f64) -> Freshness {
    let limits = FreshnessLimits::at_speed(1);
    match Duration::try_from_secs_f64(age_s.max(0.0)) {
        Ok(age) if age_s >= -limits.fresh.as_secs_f64() => freshness(age, &limits),
        Ok(_) | Err(_) => Freshness::Fault,
    }
}

impl Boiler {
    /// `age_s` is the age of a stamp in real seconds.
    pub(crate) fn of(
        boiler: BoilerId,
        age_s: impl Fn(f64) -> f64,
        state: Option<State>,
        status: Option<Status>,
        lease: Option<Lease>,
        snapshot: Option<Snapshot>,
    ) -> Self {
        let state_age_s = state.as_ref().map(|state| age_s(state.stamp));
        Self {
            boiler,
            freshness: state.as_ref().zip(state_age_s).map(|(state, age_s)| state.freshness(judge(age_s))),
            age_s: state_age_s,
            status_age_s: status.as_ref().map(|status| age_s(status.created_at)),
            state,
            status,
            lease: lease.filter(|lease| lease.lease_s > 0),
            command: None,
            snapshot,
            outside: Vec::new(),
        }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.state.as_ref().map(|state| state.simulated).or(self.status.as_ref().map(|status| status.simulated))
            == Some(true)
    }

    /// STATE, while its values are valid.
    pub(crate) fn valid_state(&self) -> Option<&State> {
        self.state.as_ref().filter(|_| self.freshness != Some(Freshness::Fault))
    }

    /// STATUS, while it is fresh: it is published every second.
    pub(crate) fn fresh_status(&self) -> Option<&Status> {
        let is_fresh = self.status_age_s.is_some_and(|age_s| judge(age_s) == Freshness::Fresh);
        self.status.as_ref().filter(|_| is_fresh)
    }

    /// The device's last status, or why it is unknown.
    pub(crate) fn device(&self) -> Result<&DeviceStatus, String> {
        let Some(status) = &self.status else { return Err("unknown: no STATUS yet".to_owned()) };
        if self.fresh_status().is_none() {
            return Err(format!("unknown: the last STATUS is {} old", age(self.status_age_s.unwrap_or(f64::INFINITY))));
        }
        match (&status.device, status.link) {
            (_, Link::Down) => Err("unknown: the serial port is not open".to_owned()),
            (_, Link::Silent) => Err("unknown: the device is silent".to_owned()),
            (_, Link::Refused) => Err("unknown: another board answers".to_owned()),
            (None, Link::Up) => Err("unknown: the device has sent no status yet".to_owned()),
            (Some(device), Link::Up) => Ok(device),
        }
    }
}

/// A flow temperature that is asked or accepted, °C without the unit.
pub(crate) fn heat(demand: Demand, flow: f64) -> String {
    match demand {
        Demand::Heat => format!("{flow:.1}"),
        Demand::None => "no heat".to_owned(),
    }
}

/// An age in seconds, whatever its sign.
pub(crate) fn age(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.abs()).map_or_else(|_| "unknown".to_owned(), show_measured)
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::{Action, SlotQuality};

    use super::*;

    const NOW_S: f64 = 1_767_744_000.0;

    fn boiler(state_age_s: f64, status_age_s: f64) -> Boiler {
        let state = serde_json::json!({
            "boiler": "b1", "instance": "test", "stamp": NOW_S - state_age_s,
            "slot": {"boot": "0000000100000002", "seq": 359_999}, "current": 61.37, "quality": "ok", "heating": true,
            "average": 58.93, "average_points": 357_008, "average_heating": 59.4, "heating_share": 0.8,
            "coverage": 0.991, "minimum": 40.11, "maximum": 64.2,
            "provisional": {"hour": "2026-01-07T00:00:00Z", "temperature": 58.9, "points": 1},
            "last_hour": null, "clock": "synced", "simulated": true, "version": 1
        });
        let status = serde_json::json!({
            "boiler": "b1", "created_at": NOW_S - status_age_s, "link": "up", "newest": null, "backlog": 0,
            "simulated": true, "version": 1,
            "device": {
                "boot": "0000000100000002", "serial_number": "SIM-b1", "firmware": "device 0.1.0", "state": "firing",
                "flame": true, "pump": true, "hot_water": false, "modulation": 60, "return_temperature": 45.0,
                "room": 20.5, "outdoor": -3.0, "pressure_mbar": 1500, "own_flow": 50.0,
                "setpoint": {"n": 3, "demand": "heat", "flow": 55.0, "lease_left_s": 43.0}, "fault": null,
                "burner_starts": 2
            }
        });
        let state = serde_json::from_value(state).unwrap();
        let status = serde_json::from_value(status).unwrap();
        Boiler::of("b1".parse().unwrap(), |stamp| NOW_S - stamp, Some(state), Some(status), None, None)
    }

    #[test]
    fn each_thing_has_its_line_of_at_most_80_columns() {
        let mut fresh = boiler(0.4, 0.2);
        fresh.lease = Some(crate::front::testing::lease(NOW_S));
        let action = Action::Boost { flow: 72.0 };
        let (by, id) = ("anna".parse().unwrap(), "x1".parse().unwrap());
        let (created_at, valid_until) = (NOW_S, Some(NOW_S + 1_800.0));
        let boiler = fresh.boiler.clone();
        fresh.command = Some(Command { id, boiler, by, action, created_at, valid_until, based_on: None, version: 1 });
        fresh.snapshot = Some(crate::front::testing::snapshot(491_040, 357_008, 2_996));
        let text = fresh.text();
        assert_eq!(
            text,
            "b1  (simulated)\n  \
             flow       61.4 °C fresh 0.4 s\n  \
             hour       58.9 °C, 99.1 % known, 40.1 to 64.2 °C\n  \
             asks       55.5 → 55.0, lease 43 s\n  \
             command    boost 72 °C until 2026-01-07T00:30:00Z, by anna\n  \
             burner     firing 60 %\n  \
             last hour  2026-01-07 00:00 48.5 °C, 360,004 = 357,008 + 2,996 reboot ✓\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(Boilers { boilers: vec![fresh] }.verdict(), Verdict::Fresh);
    }

    #[test]
    fn old_values_are_unknown() {
        for (state, status, word) in [(0.4, 5.1, "the last STATUS is 5.1 s old"), (0.4, 7_300.0, "is 2 h 1 min old")] {
            let text = boiler(state, status).text();
            assert!(text.contains(word) && !text.contains("firing") && !text.contains(", lease"), "{text}");
        }
        let old = boiler(61.0, 0.2);
        let text = old.text();
        assert!(text.contains("the newest sample is 1 min 1 s old, last 61.4 °C"), "{text}");
        assert!(!text.contains("58.9") && !text.contains("% known"), "{text}");
        assert_eq!(Boilers { boilers: vec![old] }.verdict(), Verdict::NotFresh);
    }

    /// The stream keeps it for a minute of real time, whatever its length and the speed.
    #[test]
    fn lease_asks_until_its_end() {
        let lease = |lease_s| Lease { lease_s, ..crate::front::testing::lease(NOW_S) };
        let asks = |lease_s, age_s, speed| still_asks(&lease(lease_s), age_s, speed);
        assert!(asks(20, 19.9, 1) && !asks(20, 20.1, 1) && !asks(20, -20.1, 1));
        assert!(asks(60, 4.9, 60) && !asks(60, 5.1, 60), "as long as fresh data");
        assert!(asks(60, 5.9, 10) && !asks(60, 6.1, 10));
        assert!(!asks(0, 0.0, 1), "a release");
    }

    #[test]
    fn without_an_average_the_newest_slot_has_the_reason() {
        let without = |age_s: f64, quality: SlotQuality| {
            let mut state = boiler(age_s, 0.2).state.unwrap();
            (state.average, state.current, state.quality) = (None, None, quality);
            Boiler::of("b1".parse().unwrap(), |stamp| NOW_S - stamp, Some(state), None, None, None)
        };
        for (quality, word, flow) in [
            (SlotQuality::Missing, "warming", "unknown: the newest slot is missing, warming 0.4 s"),
            (SlotQuality::Open, "no_valid_reading", "unknown: the sensor reads open, no valid reading 0.4 s"),
            (SlotQuality::OutOfRange, "no_valid_reading", "the sensor reads out of range, no valid reading 0.4 s"),
        ] {
            let without_average = without(0.4, quality);
            assert_eq!(serde_json::to_value(&without_average).unwrap()["freshness"], word);
            let text = without_average.text();
            assert!(text.contains(flow) && text.contains("hour       unknown: no valid reading within the"), "{text}");
            assert_eq!(Boilers { boilers: vec![without_average] }.verdict(), Verdict::NotFresh);
            assert_eq!(without(61.0, quality).freshness, Some(Freshness::Fault), "an old one stays a fault");
        }
    }

    #[test]
    fn schema_has_the_properties_of_the_json() {
        let schema = crate::schema::REPORT.schema();
        let json = serde_json::to_value(Boilers { boilers: vec![boiler(0.4, 0.2)] }).unwrap();
        let names = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for (name, published) in [
            ("Boiler", &json["boilers"][0]),
            ("State", &json["boilers"][0]["state"]),
            ("Status", &json["boilers"][0]["status"]),
            ("DeviceStatus", &json["boilers"][0]["status"]["device"]),
        ] {
            assert_eq!(names(&schema["$defs"][name]["properties"]), names(published), "{name}");
        }
    }

    #[test]
    fn stamp_ahead_of_the_clock_is_a_fault() {
        assert_eq!(boiler(-4.0, 0.2).freshness, Some(Freshness::Fresh));
        let ahead = boiler(-3_600.0, 0.2);
        assert_eq!(ahead.freshness, Some(Freshness::Fault));
        assert!(ahead.text().contains("stamped 1 h 0 min ahead of now"), "{}", ahead.text());
    }

    #[test]
    fn boiler_without_messages_is_unknown() {
        let nothing = Boiler::of("b1".parse().unwrap(), |_| 0.0, None, None, None, None);
        assert!(nothing.text().contains("unknown: no STATE yet"), "{}", nothing.text());
        assert_eq!(Boilers { boilers: vec![nothing] }.verdict(), Verdict::Unknown);
    }
}
