//! The last published state of each boiler, and the frame that shows it: 80 columns, and as many rows as there are.
//!
//! ```text
//! title and progress      2 lines
//! table                   a header, and a line per boiler
//! totals, restarts        1 or 2 lines
//! legend                  only where everything else fits
//! access                  the lines to type in a second terminal
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use thermowell::output::word;
use thermowell_flow::published::{DeviceStatus, FreshnessLimits, Lease, Link, Missing, Snapshot, State, Status};
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;
use thermowell_wire::line::{BoilerState, Demand};
use thermowell_wire::subject;

use super::screen::Size;
use super::setup::Plan;
use crate::numbers::thousands;

/// The last messages about one boiler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// From the aggregator.
    pub(crate) state: Option<State>,
    /// From the agent.
    pub(crate) status: Option<Status>,
    /// From the controller.
    pub(crate) lease: Option<Lease>,
    /// Hours closed in this run.
    pub(crate) snapshots: Vec<Snapshot>,
}

/// All boilers by id.
pub(crate) type Boilers = BTreeMap<BoilerId, Live>;

/// Takes a message of one of the four subjects. Messages that do not parse are ignored.
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

/// Columns of the progress bar.
const BAR: u64 = 30;
const HEADER: [&str; 10] = ["", "now", "1h mean", "known", "age", "backlog", "hour", "asked", "obeyed", "burner"];
const LEGEND: [&str; 3] = [
    "now: flow temperature. 1h mean, known: of the last hour, and how much is known.",
    "age: of the newest sample. backlog: samples not yet stored. hour: last closed.",
    "obeyed: the set-point that the boiler accepted, or its own control.",
];

/// The content of a frame.
pub(crate) struct View<'a> {
    pub(crate) boilers: &'a Boilers,
    pub(crate) plan: &'a Plan,
    /// The duration of the run, if limited.
    pub(crate) duration: Option<Duration>,
    /// How often each process was restarted.
    pub(crate) restarts: &'a [(String, u32)],
    /// Commands for a second terminal.
    pub(crate) access: &'a [String],
}

impl View<'_> {
    /// The lines of a frame for a terminal of `size`; all lines without a terminal.
    #[must_use]
    pub(crate) fn lines(&self, size: Option<Size>) -> Vec<String> {
        let mut lines = self.title();
        lines.push(String::new());
        lines.push(line(HEADER));
        let mut below = self.totals();
        below.extend(self.restarted());
        let rows = self.rows();
        // The cursor is on the line below the frame.
        let height = size.map_or(usize::MAX, |size| size.rows.saturating_sub(1));
        let mut room = height.saturating_sub(lines.len() + below.len());
        let access = spaced(self.access.iter().flat_map(|line| folded(line, size)));
        let legend = spaced(LEGEND.map(str::to_owned));
        let shows_access = room > access.len();
        room -= if shows_access { access.len() } else { 0 };
        let shows_legend = room >= rows.len() + legend.len();
        room -= if shows_legend { legend.len() } else { 0 };
        if rows.len() <= room {
            lines.extend(rows);
        } else {
            let shown = room.saturating_sub(1);
            let more = format!("… and {} more: make the terminal higher", rows.len() - shown);
            lines.extend(rows.into_iter().take(shown).chain([more]));
        }
        lines.append(&mut below);
        lines.extend(if shows_legend { legend } else { Vec::new() });
        lines.extend(if shows_access { access } else { Vec::new() });
        lines
    }

    fn title(&self) -> Vec<String> {
        let Plan { speed, .. } = self.plan;
        let elapsed = self.plan.elapsed();
        let utc = super::rfc3339(self.plan.utc_ns()).replace('T', " ").replace('Z', " UTC");
        let title = format!("Thermowell demo    simulated time {utc}    {speed} × real time");
        let progress = match self.duration {
            None => format!("{} played, until Ctrl-C", clock(elapsed)),
            Some(whole) if elapsed < whole => {
                let done = (elapsed.as_secs() * BAR).checked_div(whole.as_secs()).unwrap_or(0).min(BAR);
                let bar: String = (0..BAR).map(|at| if at < done { '#' } else { '.' }).collect();
                format!("[{bar}] {} of {}", clock(elapsed), clock(whole))
            }
            Some(whole) => format!("{} played; waiting for the snapshot of the hour that has begun", clock(whole)),
        };
        vec![title, progress]
    }

    /// One line per boiler, b2 before b10.
    fn rows(&self) -> Vec<String> {
        in_order(self.boilers).map(|(id, live)| row(id, live, self.plan)).collect()
    }

    /// The sums of the closed hours.
    fn totals(&self) -> Vec<String> {
        let snapshots = || self.boilers.values().flat_map(|live| &live.snapshots);
        let hours = snapshots().count();
        if hours == 0 {
            return vec!["closed hours: none yet".to_owned()];
        }
        let slots: u64 = snapshots().map(|snapshot| snapshot.slots).sum();
        let counted: u64 = snapshots().map(|snapshot| snapshot.temperature_points).sum();
        let mut missing = Missing::default();
        snapshots().for_each(|snapshot| missing += snapshot.missing);
        let reasons = if missing == Missing::default() { String::new() } else { format!(" ({missing})") };
        let missing = missing.total();
        let closes = if slots == counted + missing { "the sum closes" } else { "the sum does NOT close" };
        let [slots, counted, missing] = [slots, counted, missing].map(|number| thousands(&number.to_string()));
        vec![
            format!("closed hours: {hours}, {closes}"),
            format!("  {slots} slots = {counted} counted + {missing} missing{reasons}"),
        ]
    }

    fn restarted(&self) -> Option<String> {
        let restarts = self.restarts.iter().filter(|(_, n)| *n > 0);
        let restarts: Vec<String> = restarts.map(|(name, n)| format!("{name} {n}")).collect();
        if restarts.is_empty() { None } else { Some(format!("restarts: {}", restarts.join(", "))) }
    }
}

/// A line for a shell. A long one is folded with backslashes, so that it still works when copied.
fn folded(line: &str, size: Option<Size>) -> Vec<String> {
    let columns = size.map_or(usize::MAX, |size| size.columns).max(2);
    let letters: Vec<char> = line.chars().collect();
    if letters.len() <= columns {
        return vec![line.to_owned()];
    }
    let pieces: Vec<String> = letters.chunks(columns - 1).map(|piece| piece.iter().collect()).collect();
    let last = pieces.len() - 1;
    pieces.into_iter().enumerate().map(|(at, piece)| if at < last { piece + "\\" } else { piece }).collect()
}

/// The lines after an empty one; nothing if there are none.
fn spaced(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let lines: Vec<String> = lines.into_iter().collect();
    if lines.is_empty() { lines } else { [String::new()].into_iter().chain(lines).collect() }
}

/// The boilers by the lengths of their ids first: b2 before b10.
pub(crate) fn in_order(boilers: &Boilers) -> impl Iterator<Item = (&BoilerId, &Live)> {
    let mut all: Vec<_> = boilers.iter().collect();
    all.sort_by_key(|(id, _)| (id.as_str().len(), *id));
    all.into_iter()
}

fn row(id: &BoilerId, live: &Live, plan: &Plan) -> String {
    let celsius = |value: Option<f64>| value.map_or("–".to_owned(), |c| format!("{c:.2}°"));
    let limits = FreshnessLimits::at_speed(1);
    let is_within = |stamp: f64, limit: Duration| age_s(stamp, plan) <= limit.as_secs_f64();
    // An outdated value is not shown; its age is.
    let state = live.state.as_ref().filter(|state| is_within(state.stamp, limits.coasting));
    let status = live.status.as_ref().filter(|status| is_within(status.created_at, limits.fresh));
    // What the agent last heard of a device says nothing while the link is not up.
    let device = status.filter(|status| status.link == Link::Up).and_then(|status| status.device.as_ref());
    let now = state.and_then(|state| state.current);
    let average = state.and_then(|state| state.average);
    let coverage = state.map_or("–".to_owned(), |state| format!("{:.1}%", state.coverage * 100.0));
    let age = live.state.as_ref().map_or("–".to_owned(), |state| age(age_s(state.stamp, plan)));
    let backlog = status.map_or("–".to_owned(), |status| status.backlog.to_string());
    let last = live.snapshots.last().and_then(|snapshot| snapshot.temperature);
    let wanted = |demand, flow: f64| match demand {
        Demand::None => "no heat".to_owned(),
        Demand::Heat => format!("{flow:.1}°"),
    };
    let now_s = Utc(plan.utc_ns()).unix_seconds();
    let asked = live.lease.as_ref().map_or("–".to_owned(), |lease| match lease.lease_s {
        0 => "release".to_owned(),
        lease_s if lease.created_at + f64::from(lease_s) < now_s => "–".to_owned(),
        _ => wanted(lease.demand, lease.flow),
    });
    let obeyed = match (status.map(|status| status.link), device) {
        (Some(Link::Up), Some(device)) => {
            device.setpoint.map_or("own".to_owned(), |setpoint| wanted(setpoint.demand, setpoint.flow))
        }
        (Some(link), _) => word(&link),
        (None, _) => "–".to_owned(),
    };
    line([
        id.as_str(),
        &celsius(now),
        &celsius(average),
        &coverage,
        &age,
        &backlog,
        &celsius(last),
        &asked,
        &obeyed,
        &device.map_or("–".to_owned(), burner),
    ])
}

/// A line of the table: 80 columns.
fn line([boiler, now, mean, known, age, backlog, hour, asked, obeyed, burner]: [&str; 10]) -> String {
    format!("{boiler:<4} {now:>7} {mean:>8} {known:>7} {age:>6} {backlog:>7} {hour:>7} {asked:>8} {obeyed:>8} {burner}")
}

fn burner(device: &DeviceStatus) -> String {
    match device.state {
        BoilerState::Firing => format!("fire {}%", device.modulation),
        state @ (BoilerState::Standby
        | BoilerState::Waiting
        | BoilerState::Overrun
        | BoilerState::Blocked
        | BoilerState::Lockout) => word(&state),
    }
}

/// The age of a stamp in real time, as freshness is measured.
fn age_s(stamp: f64, plan: &Plan) -> f64 {
    (Utc(plan.utc_ns()).unix_seconds() - stamp) / f64::from(plan.speed)
}

fn age(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn frame(boilers: u16, size: Option<Size>) -> Vec<String> {
        let boilers: Boilers = (1..=boilers).map(|n| (super::super::boiler(n), Live::default())).collect();
        let plan = Plan::in_folder(Path::new("/nowhere"), 60);
        let access = ["From a second terminal:".to_owned(), "  a line".to_owned()];
        let restarts = [("agent".to_owned(), 1), ("nats-server".to_owned(), 2), ("controller".to_owned(), 0)];
        let duration = Some(Duration::from_secs(10_800));
        View { boilers: &boilers, plan: &plan, duration, restarts: &restarts, access: &access }.lines(size)
    }

    #[test]
    fn a_frame_fits_80_columns_and_any_number_of_rows() {
        for boilers in [1, 2, 10, 64] {
            for rows in [8, 12, 24, 50, 200] {
                let lines = frame(boilers, Some(Size { columns: 80, rows }));
                assert!(lines.len() < rows, "{boilers} boilers, {rows} rows: {}", lines.join("\n"));
                assert!(lines.iter().all(|line| line.chars().count() <= 80), "{}", lines.join("\n"));
            }
        }
    }

    #[test]
    fn rows_are_left_out_by_name_and_the_legend_before_the_access() {
        let all = frame(2, Some(Size { columns: 80, rows: 24 })).join("\n");
        assert!(all.contains(LEGEND[0]) && all.contains("  a line"), "{all}");
        let short = frame(2, Some(Size { columns: 80, rows: 12 })).join("\n");
        assert!(!short.contains(LEGEND[0]) && short.contains("  a line"), "{short}");
        let many = frame(64, Some(Size { columns: 80, rows: 24 })).join("\n");
        assert!(many.contains("b1 ") && many.contains("… and "), "{many}");
    }

    #[test]
    fn a_line_for_a_shell_is_folded_and_not_cut() {
        let line = format!("  export X=/{}", "long/".repeat(40));
        let folded = folded(&line, Some(Size { columns: 80, rows: 24 }));
        assert!(folded.len() == 3 && folded.iter().all(|piece| piece.chars().count() <= 80), "{folded:?}");
        let typed = std::process::Command::new("sh").arg("-c").arg(folded.join("\n") + "\necho $X").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&typed.stdout).trim(), line.trim().trim_start_matches("export X="));
    }

    #[test]
    fn boilers_are_sorted_by_number() {
        let lines = frame(11, None);
        let ids: Vec<&str> = lines.iter().filter(|l| l.starts_with('b')).filter_map(|l| l.split(' ').next()).collect();
        let expected: Vec<String> = (1..=11).map(|n| format!("b{n}")).collect();
        assert_eq!(ids[..11], expected, "{}", lines.join("\n"));
    }

    #[test]
    fn outdated_values_are_not_shown() {
        let plan = Plan::in_folder(Path::new("/nowhere"), 1);
        let now_s = Utc(plan.utc_ns()).unix_seconds();
        let row_of = |age_s: f64| {
            let state = serde_json::json!({
                "boiler": "b1", "instance": "test", "stamp": now_s - age_s,
                "slot": {"boot": "0000000100000002", "seq": 1}, "current": 61.37, "quality": "ok", "heating": true,
                "average": 58.93, "average_points": 1, "average_heating": null, "heating_share": 0.8,
                "coverage": 0.5, "minimum": null, "maximum": null,
                "provisional": {"hour": "2026-01-07T00:00:00Z", "temperature": null, "points": 0},
                "last_hour": null, "clock": "synced", "simulated": true, "version": 1
            });
            let status = serde_json::json!({
                "boiler": "b1", "created_at": now_s - age_s, "link": "silent", "newest": null, "backlog": 7,
                "simulated": true, "version": 1, "device": null
            });
            let mut boilers = Boilers::from([(super::super::boiler(1), Live::default())]);
            take(&mut boilers, "boiler.b1.state", state.to_string().as_bytes());
            take(&mut boilers, "boiler.b1.status", status.to_string().as_bytes());
            in_order(&boilers).map(|(id, live)| row(id, live, &plan)).next().unwrap()
        };
        let young = row_of(0.5);
        assert!(young.contains("61.37°") && young.contains("58.93°") && young.contains("silent"), "{young}");
        let waiting = row_of(10.5);
        assert!(waiting.contains("61.37°") && !waiting.contains("silent"), "{waiting}");
        let old = row_of(100.5);
        assert!(!old.contains('°') && !old.contains('%') && old.contains("10"), "{old}");
    }

    /// The controller is dead, or the cable is out: the last message stays, and says nothing of now.
    #[test]
    fn asked_ends_with_its_lease_and_the_burner_with_the_link() {
        let plan = Plan::in_folder(Path::new("/nowhere"), 60);
        let now_s = Utc(plan.utc_ns()).unix_seconds();
        let row_of = |lease_age_s: f64, link: &str| {
            let lease = serde_json::json!({
                "demand": "heat", "flow": 55.5, "lease_s": 3_600, "based_on": {"boot": "0000000100000002", "seq": 1},
                "instance": "test", "created_at": now_s - lease_age_s, "version": 1
            });
            let status = serde_json::json!({
                "boiler": "b1", "created_at": now_s, "link": link, "newest": null, "backlog": 7,
                "simulated": true, "version": 1,
                "device": {
                    "boot": "0000000100000002", "serial_number": "SIM-b1", "firmware": "device 0.1.0",
                    "state": "firing", "flame": true, "pump": true, "hot_water": false, "modulation": 60,
                    "return_temperature": 45.0, "room": 20.5, "outdoor": -3.0, "pressure_mbar": 1500,
                    "own_flow": 50.0, "setpoint": null, "fault": null, "burner_starts": 2
                }
            });
            let mut boilers = Boilers::from([(super::super::boiler(1), Live::default())]);
            take(&mut boilers, "boiler.b1.setpoint", lease.to_string().as_bytes());
            take(&mut boilers, "boiler.b1.status", status.to_string().as_bytes());
            in_order(&boilers).map(|(id, live)| row(id, live, &plan)).next().unwrap()
        };
        let active = row_of(0.0, "up");
        assert!(active.contains("55.5°") && active.contains("fire 60%"), "{active}");
        assert!(!row_of(3_700.0, "up").contains("55.5°"), "{}", row_of(3_700.0, "up"));
        for link in ["silent", "down"] {
            let cut = row_of(0.0, link);
            assert!(cut.contains(link) && !cut.contains("fire"), "{cut}");
        }
    }

    #[test]
    fn restarts_of_every_process_are_named() {
        assert!(frame(1, None).contains(&"restarts: agent 1, nats-server 2".to_owned()));
    }
}
