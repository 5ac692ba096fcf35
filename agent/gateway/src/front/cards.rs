//! The texts of a page: what may be shown of a boiler at a moment, by the same rules as `thermowell status`.
//!
//! A value that is not known is `–`, never the last one, never 0, and never the name of a state.

use std::collections::BTreeMap;

use serde::Serialize;
use thermowell_flow::published::{Decision, DeviceStatus, Freshness, Lease, Link, Missing, Snapshot, State};
use thermowell_wire::SourceName;
use thermowell_wire::line::{BoilerState, Fault};

use super::model::{Boiler, Model, Moment, Server};
use crate::output::word;
use crate::quantity::{self, moment};
use crate::status::{self, age, doing, heat, unread};

/// The state of a server that answers.
const UP: &str = "up";

/// The sign of an unknown value.
pub(super) const UNKNOWN: &str = "–";

/// What a page is told: by the ids of its elements.
#[derive(Debug, Default, Serialize)]
pub(super) struct Frame {
    /// UTC in Unix milliseconds.
    pub(super) now: i64,
    /// Texts.
    pub(super) t: BTreeMap<&'static str, String>,
    /// States, by which the style chooses colours and symbols.
    pub(super) s: BTreeMap<&'static str, &'static str>,
    /// Widths of bars in percent.
    pub(super) w: BTreeMap<&'static str, f64>,
    /// Unix seconds that the browser shows in local time.
    pub(super) at: BTreeMap<&'static str, f64>,
    /// Drawings, made of numbers.
    pub(super) svg: BTreeMap<&'static str, String>,
    /// Rows of tables.
    pub(super) rows: BTreeMap<&'static str, Vec<Row>>,
}

/// A row of a table.
#[derive(Debug, Default, Serialize, PartialEq)]
pub(super) struct Row {
    /// Texts, one for each cell.
    pub(super) t: Vec<String>,
    /// A time that the browser shows in local time, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<f64>,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) s: Option<&'static str>,
    /// A boiler to which it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// A drawing, made of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) svg: Option<String>,
}

impl Frame {
    /// A frame with the header of every page.
    pub(super) fn new(model: &Model, at: &Moment) -> Self {
        let mut frame = Self { now: at.now.0.div_euclid(1_000_000), ..Self::default() };
        let (state, text) = match &model.server {
            Server::Answers => (UP, String::new()),
            Server::Away { since: Some(since) } => {
                ("away", format!("the NATS server is away since {}", clock(since.unix_seconds())))
            }
            Server::Away { since: None } => ("away", "the NATS server has not answered yet".to_owned()),
            Server::Fails { why } => ("away", format!("the streams cannot be read: {why}")),
        };
        frame.text("server", text);
        frame.s.insert("server", state);
        frame
    }

    pub(super) fn text(&mut self, id: &'static str, text: impl Into<String>) {
        self.t.insert(id, text.into());
    }

    /// The cards of one boiler.
    pub(super) fn cards(&mut self, boiler: &Boiler, at: &Moment) {
        let judged = boiler.judged(at);
        self.flow(&judged);
        self.mean(&judged);
        self.setpoint(boiler, &judged, at);
        self.burner(boiler, &judged);
        self.rows.insert("device", device_rows(boiler, &judged));
        self.s.insert("simulated", if judged.is_simulated() { "yes" } else { "no" });
    }

    fn flow(&mut self, judged: &status::Boiler) {
        let (state, pill) = pill(judged);
        self.s.insert("pill", state);
        self.text("pill", pill);
        self.text("flow", flow(judged));
        let note = match (judged.valid_state(), &judged.state) {
            (None, Some(State { current: Some(current), stamp, .. })) => {
                self.at.insert("flow-note", *stamp);
                format!("last {current:.1} °C at {}", clock(*stamp))
            }
            (None, Some(state)) => {
                self.at.insert("flow-note", state.stamp);
                format!("last sample at {}", clock(state.stamp))
            }
            (Some(State { current: None, quality, .. }), _) => unread(*quality),
            (Some(_), _) => String::new(),
            (None, None) => "no data yet".to_owned(),
        };
        self.text("flow-note", note);
    }

    fn mean(&mut self, judged: &status::Boiler) {
        let state = judged.valid_state();
        self.text("mean", degrees(state.and_then(|state| state.average)));
        let extremes = state.and_then(|state| state.minimum.zip(state.maximum));
        let range = extremes.map(|(least, most)| format!("{least:.1} … {most:.1}"));
        self.text("range", format!("{} °C", range.unwrap_or_else(|| format!("{UNKNOWN} … {UNKNOWN}"))));
        self.text("known", format!("{} known", known(judged)));
        self.w.insert("known-bar", state.map_or(0.0, |state| percent(state.coverage)));
    }

    fn setpoint(&mut self, boiler: &Boiler, judged: &status::Boiler, at: &Moment) {
        self.text("asked", asked(judged, self.s["server"] == UP));
        self.text("accepted", accepted(judged));
        let (state, note) = obeys(boiler, judged, at);
        self.s.insert("setpoint", state);
        self.text("setpoint-note", note);
        let device = judged.device().ok();
        let left_s = device.and_then(|device| device.setpoint).map_or(0.0, |setpoint| setpoint.lease_left_s);
        let whole_s = judged.lease.as_ref().map_or(60.0, |lease| f64::from(lease.lease_s));
        self.w.insert("lease", percent(left_s / whole_s));
    }

    fn burner(&mut self, boiler: &Boiler, judged: &status::Boiler) {
        let device = judged.device();
        let power = match &device {
            Ok(device) if device.flame => format!("{} %", device.modulation),
            Ok(_) => "off".to_owned(),
            Err(_) => UNKNOWN.to_owned(),
        };
        self.s.insert("burner", device.as_ref().map_or("unknown", |device| if device.flame { "on" } else { "off" }));
        self.text("burner", power);
        let hot_water = if device.as_ref().is_ok_and(|device| device.hot_water) { ", hot water" } else { "" };
        let state = device.as_ref().map_or(UNKNOWN, |device| doing(device.state));
        self.text("burner-note", format!("{state}{hot_water}"));
        let (state, text) = fault(boiler, judged);
        self.s.insert("fault", state);
        self.text("fault", text);
    }
}

/// State and text of the pill of freshness.
fn pill(judged: &status::Boiler) -> (&'static str, String) {
    let Some((freshness, age_s)) = judged.freshness.zip(judged.age_s) else {
        return ("none", "no data".to_owned());
    };
    match freshness {
        Freshness::Fresh => ("fresh", format!("fresh · {:.1} s", age_s.max(0.0))),
        Freshness::Warming => ("waiting", format!("warming · {:.1} s", age_s.max(0.0))),
        Freshness::NoValidReading => ("stale", format!("no valid reading · {:.1} s", age_s.max(0.0))),
        Freshness::Coasting => ("waiting", format!("waiting · {age_s:.0} s old")),
        Freshness::Fault if age_s < 0.0 => ("stale", format!("stamped {} ahead", age(age_s))),
        Freshness::Fault if age_s < 120.0 => ("stale", format!("stale · {age_s:.0} s old")),
        Freshness::Fault => ("stale", format!("stale · {} old", age(age_s))),
    }
}

/// The flow temperature in °C with one decimal.
fn flow(judged: &status::Boiler) -> String {
    degrees(judged.valid_state().and_then(|state| state.current))
}

fn known(judged: &status::Boiler) -> String {
    judged.valid_state().map_or(format!("{UNKNOWN} %"), |state| format!("{:.1} %", state.coverage * 100.0))
}

/// What the controller asks for. That it asks nothing is known from a server that answers.
fn asked(judged: &status::Boiler, is_served: bool) -> String {
    match &judged.lease {
        Some(Lease { demand, flow, .. }) => heat(*demand, *flow),
        None if is_served => "nothing".to_owned(),
        None => UNKNOWN.to_owned(),
    }
}

fn accepted(judged: &status::Boiler) -> String {
    match judged.device() {
        Ok(DeviceStatus { setpoint: Some(setpoint), .. }) => heat(setpoint.demand, setpoint.flow),
        Ok(_) => "own control".to_owned(),
        Err(_) => UNKNOWN.to_owned(),
    }
}

/// Who decides the set-point, and until when.
fn obeys(boiler: &Boiler, judged: &status::Boiler, at: &Moment) -> (&'static str, String) {
    match judged.device() {
        Ok(DeviceStatus { setpoint: Some(setpoint), .. }) => {
            ("gateway", format!("gateway asks, lease {:.0} s", setpoint.lease_left_s))
        }
        Ok(_) if judged.lease.is_some() => ("own", "the boiler is on its own control, though it is asked".to_owned()),
        Ok(_) => ("own", "the boiler is on its own control".to_owned()),
        Err(why) => {
            let link = judged.fresh_status().map(|status| status.link);
            let link = link.filter(|link| matches!(link, Link::Down | Link::Silent));
            let lease = match boiler.obeyed_until {
                Some(end) if end <= at.now.unix_seconds() => {
                    format!("by its lease it is on its own control since {}", clock(end))
                }
                Some(end) => format!("its lease ends at {}", clock(end)),
                None => "no lease is known".to_owned(),
            };
            ("unknown", link.map_or(why, |link| format!("link is {}: {lease}", word(&link))))
        }
    }
}

/// A fault of the device, or that it delivers less than the gateway asks for now.
fn fault(boiler: &Boiler, judged: &status::Boiler) -> (&'static str, String) {
    let deficit = boiler.decisions.back().and_then(|(_, decision)| decision.deficit);
    match judged.device() {
        Err(_) => ("unknown", UNKNOWN.to_owned()),
        Ok(DeviceStatus { fault: Some(Fault { kind, lockout: true, .. }), .. }) => {
            ("bad", format!("{kind}, locked out").replace('_', " "))
        }
        Ok(DeviceStatus { fault: Some(Fault { kind, .. }), .. }) => ("warn", kind.to_string().replace('_', " ")),
        Ok(DeviceStatus { state: BoilerState::Lockout, .. }) => ("bad", "locked out".to_owned()),
        Ok(_) => match deficit.filter(|_| judged.lease.is_some()) {
            Some(deficit) => ("warn", format!("delivers {:.1} K less", deficit.kelvin)),
            None => ("ok", "none".to_owned()),
        },
    }
}

/// The room's target, and the next higher one.
fn target(decision: &Decision) -> String {
    let next = decision.forecast.map(|forecast| {
        let minute = |unix_seconds| clock(unix_seconds).get(..5).unwrap_or_default().to_owned();
        let [at, heats_from] = [forecast.at, forecast.heats_from].map(minute);
        format!("; {:.1} °C at {at} UTC, heats from {heats_from}", forecast.target)
    });
    format!("{:.1} °C{}", decision.target, next.unwrap_or_default())
}

fn device_rows(boiler: &Boiler, judged: &status::Boiler) -> Vec<Row> {
    let device = judged.device().ok();
    let status = judged.fresh_status();
    let celsius = |value: Option<f64>| value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.1} °C"));
    let sourced = |(value, source): (Option<f64>, Option<&SourceName>)| match source {
        Some(source) => format!("{} · {source}", celsius(value)),
        None => celsius(value),
    };
    let of_device = |read: fn(&DeviceStatus) -> String| device.map_or(UNKNOWN.to_owned(), read);
    let decision = boiler.decisions.back().filter(|_| judged.lease.is_some());
    let pressure = device.and_then(|device| device.pressure_mbar);
    let rows = [
        ("return", celsius(device.and_then(|device| device.return_temperature))),
        ("room", sourced(judged.room())),
        ("target", decision.map_or(UNKNOWN.to_owned(), |(_, decision)| target(decision))),
        ("outdoors", sourced(judged.outdoor())),
        ("pressure", pressure.map_or(UNKNOWN.to_owned(), |mbar| format!("{:.2} bar", f64::from(mbar) / 1_000.0))),
        ("burner starts", of_device(|device| device.burner_starts.to_string())),
        ("link", status.map_or(UNKNOWN.to_owned(), |status| word(&status.link))),
        ("not yet stored", status.map_or(UNKNOWN.to_owned(), |status| format!("{} slots", grouped(status.backlog)))),
        ("firmware", of_device(|device| device.firmware.clone())),
        ("clock", judged.valid_state().map_or(UNKNOWN.to_owned(), |state| word(&state.clock))),
        ("board", of_device(|device| device.serial_number.clone())),
    ];
    rows.map(|(name, value)| Row { t: vec![name.to_owned(), value], ..Row::default() }).into()
}

/// A boiler's row of the overview: name, pill, flow, mean, known, asked, accepted, fault.
pub(super) fn overview(boiler: &Boiler, at: &Moment, server: &Server) -> Row {
    let judged = boiler.judged(at);
    let (state, pill) = pill(&judged);
    let (sign, fault) = fault(boiler, &judged);
    let sign = match sign {
        "ok" => "✓ ",
        "warn" => "▲ ",
        "bad" => "✕ ",
        _ => "",
    };
    let mean = degrees(judged.valid_state().and_then(|state| state.average));
    let set = format!("{} → {}", asked(&judged, *server == Server::Answers), accepted(&judged));
    let t = vec![boiler.id.to_string(), pill, flow(&judged), mean, known(&judged), set, format!("{sign}{fault}")];
    Row { t, s: Some(state), to: Some(boiler.id.to_string()), ..Row::default() }
}

/// The sum of some closed hours.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    hours: u64,
    pub(super) slots: u64,
    pub(super) counted: u64,
    missing: Missing,
}

impl Ledger {
    pub(super) fn of<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        snapshots.into_iter().fold(Self::default(), |mut sum, snapshot| {
            sum.hours += 1;
            sum.slots = sum.slots.saturating_add(snapshot.slots);
            sum.counted = sum.counted.saturating_add(snapshot.temperature_points);
            sum.missing += snapshot.missing;
            sum
        })
    }

    /// Its texts, and whether it closes.
    pub(super) fn show(&self, frame: &mut Frame) {
        let Self { hours, slots, counted, missing } = *self;
        if hours == 0 {
            frame.s.insert("ledger", "none");
            return frame.text("ledger", "no hour has closed yet");
        }
        let closes = slots == counted.saturating_add(missing.total());
        let reasons = missing.by_reason().into_iter().filter(|(_, slots)| *slots > 0);
        let reasons: String = reasons.map(|(reason, slots)| format!(" + {} {reason}", grouped(slots))).collect();
        frame.text("ledger", format!("{} slots = {} counted{reasons}", grouped(slots), grouped(counted)));
        frame.text("ledger-note", if closes { "✓ the sum closes" } else { "✕ the sum does NOT close" });
        frame.s.insert("ledger", if closes { "ok" } else { "bad" });
        frame.text("ledger-hours", format!("{hours} of 24 hours"));
    }
}

/// °C with one decimal, without the unit.
pub(super) fn degrees(value: Option<f64>) -> String {
    value.map_or(UNKNOWN.to_owned(), |value| format!("{value:.1}"))
}

/// A time of day, UTC; empty if it is out of range.
pub(super) fn clock(unix_seconds: f64) -> String {
    moment(unix_seconds).get(11..19).unwrap_or_default().to_owned()
}

fn percent(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 1_000.0).round() / 10.0
}

/// A number with narrow spaces between its thousands.
pub(super) fn grouped(number: u64) -> String {
    quantity::grouped(&number.to_string(), '\u{202f}')
}

#[cfg(test)]
mod tests;
