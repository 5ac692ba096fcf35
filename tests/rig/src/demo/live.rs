//! What is going on, as the streams tell it, and the table that shows it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use thermowell_flow::published::{Lease, Link, Snapshot, State, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::line::Demand;
use thermowell_wire::subject;

use super::setup::Plan;

/// What was said last about one boiler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// By the aggregator.
    pub(crate) state: Option<State>,
    /// By the agent.
    pub(crate) status: Option<Status>,
    /// By the controller.
    pub(crate) lease: Option<Lease>,
    /// Hours closed in this run, with their means.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// Every boiler, by id.
pub(crate) type Boilers = BTreeMap<BoilerId, Live>;

/// Takes a message of one of the four subjects. What does not parse is not ours to show.
pub(crate) fn take(boilers: &mut Boilers, subject: &str, payload: &[u8]) {
    let Some(live) = subject::boiler_of(subject).and_then(|id| boilers.get_mut(&id)) else { return };
    match subject.rsplit('.').next() {
        Some("state") => live.state = serde_json::from_slice(payload).ok().or(live.state.take()),
        Some("status") => live.status = serde_json::from_slice(payload).ok().or(live.status.take()),
        Some("setpoint") => live.lease = serde_json::from_slice(payload).ok().or(live.lease.take()),
        Some("hourly-snapshot") => live.snapshots.extend(serde_json::from_slice::<Snapshot>(payload)),
        Some(_) | None => {}
    }
}

/// The table, one line per boiler.
#[must_use]
pub(crate) fn table(boilers: &Boilers, plan: &Plan, deaths: &[(String, u32)]) -> String {
    let mut text = String::new();
    let elapsed = plan.elapsed();
    let _always_fits = writeln!(
        text,
        "Thermowell demo   {}   {} simulated at speed {}\n",
        super::rfc3339(plan.utc_ns()),
        clock(elapsed),
        plan.speed
    );
    let _always_fits = writeln!(
        text,
        "boiler        now   1h avg coverage      age backlog    hours last hour    asked  accepted  control   \
         boiler is"
    );
    for (id, live) in boilers {
        let _always_fits = writeln!(text, "{}", row(id, live, plan));
    }
    let dead: Vec<String> = deaths.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} ×{n}")).collect();
    if !dead.is_empty() {
        let _always_fits = writeln!(text, "\nrestarted: {}", dead.join(", "));
    }
    text
}

fn row(id: &BoilerId, live: &Live, plan: &Plan) -> String {
    let celsius = |value: Option<f64>| value.map_or("–".to_owned(), |c| format!("{c:.2}°"));
    let state = live.state.as_ref();
    let device = live.status.as_ref().and_then(|status| status.device.as_ref());
    let now = state.and_then(|state| state.current);
    let average = state.and_then(|state| state.average);
    let coverage = state.map_or("–".to_owned(), |state| format!("{:.1}%", state.coverage * 100.0));
    let age = state.map_or("–".to_owned(), |state| age(state.stamp, plan));
    let backlog = live.status.as_ref().map_or("–".to_owned(), |status| status.backlog.to_string());
    let last = live.snapshots.last().and_then(|snapshot| snapshot.temperature);
    let asked = live.lease.as_ref().map_or("–".to_owned(), |lease| match (lease.lease_s, lease.demand) {
        (0, _) => "release".to_owned(),
        (_, Demand::None) => "no heat".to_owned(),
        (_, Demand::Heat) => format!("{:.1}°", lease.flow),
    });
    let setpoint = device.and_then(|device| device.setpoint);
    let accepted = setpoint.map_or("–".to_owned(), |setpoint| match setpoint.demand {
        Demand::None => "no heat".to_owned(),
        Demand::Heat => format!("{:.1}°", setpoint.flow),
    });
    let control = match (live.status.as_ref().map(|status| status.link), device, setpoint) {
        (Some(Link::Up), Some(_), Some(setpoint)) => format!("lease {:.0}s", setpoint.lease_left_s),
        (Some(Link::Up), Some(_), None) => "own".to_owned(),
        (Some(link), _, _) => format!("link {link:?}").to_lowercase(),
        (None, _, _) => "–".to_owned(),
    };
    let doing = device.map_or(String::new(), |device| {
        let flame = if device.flame { format!("{} %", device.modulation) } else { String::new() };
        format!("{:?} {flame}", device.state).to_lowercase()
    });
    format!(
        "{:<8} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>9} {:>8} {:>9}  {:<9} {}",
        id.as_str(),
        celsius(now),
        celsius(average),
        coverage,
        age,
        backlog,
        live.snapshots.len(),
        celsius(last),
        asked,
        accepted,
        control,
        doing.trim_end()
    )
}

/// The age of the newest slot in real time: what freshness is measured by.
fn age(stamp: f64, plan: &Plan) -> String {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay far below 2^53")]
    let now = plan.utc_ns().div_euclid(1_000_000) as f64 / 1e3;
    let age = (now - stamp) / f64::from(plan.speed);
    if age < 10.0 { format!("{age:.2}s") } else { format!("{age:.0}s") }
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
