//! Lists the boilers and their states.

use async_nats::jetstream::Context;
use serde::Serialize;
use thermowell_flow::published::{Freshness, Link, Snapshot, State, Status};
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;
use thermowell_wire::batch::decode;
use thermowell_wire::subject::{self, stream};

use super::{BoilerError, in_samples, is_configured, last, last_known};
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{Connection, RequestError, User};
use crate::output::Report;
use crate::quantity::moment;
use crate::status::judge;

#[derive(Debug, Serialize)]
struct Row {
    boiler: BoilerId,
    /// It is in this gateway's configuration.
    configured: bool,
    /// SAMPLES has its subject.
    in_samples: bool,
    /// As reported by its board, else as configured.
    serial_number: Option<String>,
    /// The stamp of the last slot in SAMPLES, RFC 3339.
    last_slot: Option<String>,
    /// The hour of the last stored snapshot.
    last_snapshot: Option<String>,
    /// Of the serial line; `null` if no agent has reported for a minute.
    link: Option<Link>,
    /// Of the last hour, °C; `null` if the newest sample is older than a minute.
    average: Option<f64>,
}

/// The boilers; in JSON an array.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct List {
    rows: Vec<Row>,
}

/// Every boiler of the configuration and of SAMPLES.
///
/// # Errors
/// See [`BoilerError`].
pub async fn list(config: &Config) -> Result<List, BoilerError> {
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(BoilerError::Server)?;
    let context = connection.context();
    let known = in_samples(context).await.map_err(BoilerError::Request)?;
    let mut ids = config.boiler_ids();
    ids.extend(known.iter().filter(|id| !is_configured(config, id)).cloned());
    let mut rows = Vec::new();
    for id in &ids {
        rows.push(row(config, context, id, known.contains(id)).await.map_err(BoilerError::Request)?);
    }
    Ok(List { rows })
}

async fn row(config: &Config, context: &Context, id: &BoilerId, in_samples: bool) -> Result<Row, RequestError> {
    let configured = config.boilers.iter().find(|boiler| boiler.id == *id);
    let clock = Clock::new(&config.clock);
    let holds = |stamp: f64| [Freshness::Fresh, Freshness::Coasting].contains(&judge(clock.age_s(stamp)));
    let status: Option<Status> = last_known(context, stream::STATUS, &subject::status(id)).await?;
    let state: Option<State> = last_known(context, stream::STATE, &subject::state(id)).await?;
    let tail = last(context, stream::SAMPLES, &subject::samples(id)).await?;
    let end_ns = tail.and_then(|tail| decode(&tail.payload).ok().map(|packed| packed.end_utc_ns()));
    let snapshot: Option<Snapshot> = last_known(context, stream::SNAPSHOT, &subject::snapshot(id)).await?;
    let reported = status.as_ref().and_then(|status| Some(status.device.as_ref()?.serial_number.clone()));
    Ok(Row {
        boiler: id.clone(),
        configured: configured.is_some(),
        in_samples,
        serial_number: reported.or_else(|| configured.and_then(|boiler| boiler.serial_number.clone())),
        last_slot: end_ns.map(|end_ns| moment(Utc(end_ns).unix_seconds())),
        last_snapshot: snapshot.map(|snapshot| snapshot.hour),
        link: status.filter(|status| holds(status.created_at)).map(|status| status.link),
        average: state.filter(|state| holds(state.stamp)).and_then(|state| state.average),
    })
}

impl Report for List {
    fn text(&self) -> String {
        let mut text = line(["boiler", "serial number", "last slot", "last snapshot", "average", "state"]);
        for row in &self.rows {
            let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            text += &line([
                row.boiler.as_str(),
                &show(&row.serial_number),
                &show(&row.last_slot),
                &show(&row.last_snapshot),
                &show(&row.average.map(|celsius| format!("{celsius:.2}"))),
                standing(row),
            ]);
        }
        text
    }
}

fn line([boiler, serial, slot, snapshot, average, state]: [&str; 6]) -> String {
    format!("{boiler:<12} {serial:<20} {slot:<20} {snapshot:<20} {average:>7} {state}\n")
}

fn standing(row: &Row) -> &'static str {
    match (row.configured, row.in_samples, row.link) {
        (false, ..) => "not in this configuration",
        (true, false, _) => "no samples yet",
        (true, true, None) => "no agent reports",
        (true, true, Some(Link::Up)) => "up",
        (true, true, Some(Link::Down)) => "port not open",
        (true, true, Some(Link::Silent)) => "silent",
        (true, true, Some(Link::Refused)) => "refused",
    }
}
