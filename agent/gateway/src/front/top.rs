//! `thermowell top`: the dashboard's model in a terminal of 80 × 24, with the texts of its pages (`super::cards`).
//!
//! ```text
//! header: gateway, uptime of the machine, server, clock, time
//! table of boilers                                      as many as there is room for
//! last hour of the chosen one: three rows of 60 minutes, ░ where unknown
//! lease · this hour · last 24 hours
//! last five events
//! keys
//! ```

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use thermowell_wire::BoilerId;

use super::cards::{self, Frame, Ledger, UNKNOWN, clock, degrees, grouped};
use super::hub::{Hub, View, lock};
use super::model::{Boiler, Model, Moment, Server};
use super::read::Reader;
use super::width::Width;
use crate::clock::{Clock, boottime_ns};
use crate::config::Config;
use crate::nats::{Connection, NatsError, User};
use crate::output::word;

/// Minutes of the chart, one column each.
const COLUMNS: i64 = 60;
/// Rows of the chart, of eight levels each.
const CHART_ROWS: usize = 3;
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Rows of everything but the table: header, heads of table and chart, chart, lease, sums, events, keys.
const FIXED_ROWS: usize = 15;
const EVENTS: usize = 5;
const HEADS: [&str; 9] = ["boiler", "flow", "hour", "known", "asks → takes", "burner", "age", "backlog", "link"];
const BOLD: &str = "\x1b[1m";
const REVERSE: &str = "\x1b[7m";
const PLAIN: &str = "\x1b[0m";

/// What is chosen with the keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    pub boiler: usize,
    /// Details of the boiler instead of the events.
    pub is_detailed: bool,
    /// Slots a second instead of the sum.
    pub is_rate: bool,
    pub is_paused: bool,
    pub is_help: bool,
}

/// What is stored, read for one terminal.
pub struct Top {
    reader: Reader,
    gateway: String,
}

impl Top {
    /// For `boiler`, or each boiler of the configuration.
    ///
    /// # Errors
    /// The server is not usable.
    pub async fn open(config: &Config, boiler: Option<&BoilerId>) -> Result<Self, NatsError> {
        let connection = Connection::reach(&config.nats, User::Inspector).await?;
        let clock = Clock::new(&config.clock);
        let model = Arc::new(Mutex::new(Model::of(config, boiler)));
        let hub = Arc::new(Hub::new(model.clone(), clock.clone()));
        let reader = Reader { connection, clock, model, hub, reads_commands: false, board: None };
        Ok(Self { reader, gateway: config.gateway.clone() })
    }

    /// Reads until it is dropped.
    pub async fn read(&self) {
        // With a viewer it reads each second.
        let viewer = self.reader.hub.watch(View { boiler: None, width: Width::Narrow });
        self.reader.run().await;
        drop(viewer);
    }

    /// How many boilers there are.
    #[must_use]
    pub fn boilers(&self) -> usize {
        lock(&self.reader.model).boilers.len()
    }

    /// The screen now, of this many rows.
    #[must_use]
    pub fn screen(&self, choice: &Choice, rows: usize) -> String {
        let at = self.reader.hub.moment();
        let server = self.reader.connection.client().server_info().version;
        let head = Head { gateway: &self.gateway, server: &server, up_s: boottime_ns() / 1_000_000_000 };
        screen(&lock(&self.reader.model), &at, choice, &head, rows)
    }
}

/// What the header shows that is not in the model.
struct Head<'a> {
    gateway: &'a str,
    server: &'a str,
    up_s: u64,
}

fn screen(model: &Model, at: &Moment, choice: &Choice, head: &Head<'_>, rows: usize) -> String {
    if choice.is_help {
        return HELP.to_owned();
    }
    let chosen = choice.boiler.min(model.boilers.len().saturating_sub(1));
    let mut text = header(model, at, choice, head);
    text += &format!("{BOLD} {}{PLAIN}\n", columns(HEADS.map(str::to_owned)));
    let room = rows.saturating_sub(FIXED_ROWS).max(1);
    let first = (chosen + 1).saturating_sub(room);
    for (number, boiler) in model.boilers.iter().enumerate().skip(first).take(room) {
        let line = row(boiler, at, &model.server);
        text += &match number == chosen {
            true => format!("{REVERSE}▸{line:<79}{PLAIN}\n"),
            false => format!(" {line}\n"),
        };
    }
    let Some(boiler) = model.boilers.get(chosen) else { return text };
    let mut frame = Frame::new(model, at);
    frame.cards(boiler, at);
    Ledger::of(boiler.snapshots.iter().rev().take(24)).show(&mut frame);
    let part = |id: &str| frame.t.get(id).cloned().unwrap_or_default();
    text += &chart(boiler, at);
    let lease = meter(frame.w.get("lease").copied().unwrap_or(0.0));
    text +=
        &line(&format!("asked {}, accepted {}  {lease} {}", part("asked"), part("accepted"), part("setpoint-note")));
    text += &sums(boiler, at, choice, &part("ledger"), &part("ledger-note"));
    if choice.is_detailed {
        let rows = frame.rows.get("device").map(Vec::as_slice).unwrap_or_default();
        for pair in rows.chunks(2).take(DETAIL_LINES) {
            let cells = pair.iter().map(|row| format!("{:<15}{:<24.24}", row.t[0], row.t[1]));
            text += &line(cells.collect::<String>().trim_end());
        }
    } else {
        events(boiler).iter().for_each(|line| text += line);
    }
    text + &format!("{BOLD} ↑↓ boiler  ⏎ detail  t sum/rate  p pause  ? help  q quit{PLAIN}\n")
}

/// The lines of details that fit 24 rows.
const DETAIL_LINES: usize = 5;

const HELP: &str = "\
thermowell top: what is stored, read once a second. It writes nothing.

 ↑ ↓  k j   the boiler
 Enter      its details instead of the events
 t          the slots of this hour, or slots a second
 p          pause: nothing is redrawn
 ?          this help
 q  Ctrl-C  quit

 flow, hour, known   the newest reading; mean of the last hour, and how much
                     of it is known. – is not known, never the last value
 asks → takes        what the controller asks for, and what the boiler accepts
 age                 of the newest sample
 backlog             slots that are read from the boiler and not yet stored
 ░ in the chart      nothing is known of that minute
";

fn header(model: &Model, at: &Moment, choice: &Choice, head: &Head<'_>) -> String {
    let server = match &model.server {
        Server::Answers => format!("nats {} ok", head.server),
        Server::Away { since: None } => "nats …".to_owned(),
        Server::Away { since: Some(_) } => "nats AWAY".to_owned(),
        Server::Fails { .. } => "nats FAILS".to_owned(),
    };
    let state = model.boilers.iter().find_map(|boiler| boiler.state.as_ref());
    let sync = state.map_or(UNKNOWN.to_owned(), |state| word(&state.clock));
    let (days, hours, minutes) = (head.up_s / 86_400, head.up_s / 3_600 % 24, head.up_s / 60 % 60);
    let left = format!("thermowell  {}  up {days}d {hours:02}:{minutes:02}  {server}  clock {sync}", head.gateway);
    let right = if choice.is_paused { "PAUSED".to_owned() } else { format!("{} UTC", clock(at.now.unix_seconds())) };
    let room = 79 - right.chars().count();
    let left: String = left.chars().take(room - 1).collect();
    format!("{BOLD}{left:<room$}{right}{PLAIN}\n")
}

fn row(boiler: &Boiler, at: &Moment, server: &Server) -> String {
    let judged = boiler.judged(at);
    let cells = cards::overview(boiler, at, server).t;
    let flow = if cells[2] == UNKNOWN { UNKNOWN.to_owned() } else { format!("{} °C", cells[2]) };
    let burner = match judged.device() {
        Ok(device) if device.flame => format!("{} %", device.modulation),
        Ok(_) => "off".to_owned(),
        Err(_) => UNKNOWN.to_owned(),
    };
    let status = judged.fresh_status();
    let backlog = status.map_or(UNKNOWN.to_owned(), |it| it.backlog.to_string());
    let link = status.map_or(UNKNOWN.to_owned(), |it| word(&it.link));
    let age = judged.age_s.map_or(UNKNOWN.to_owned(), short);
    let [hour, known, set] = [3, 4, 5].map(|cell| cells[cell].clone());
    columns([boiler.id.to_string(), flow, hour, known, set, burner, age, backlog, link])
}

/// The columns of the table: 79 in all.
fn columns(cells: [String; 9]) -> String {
    const WIDTHS: [usize; 9] = [8, 7, 5, 7, 18, 6, 6, 7, 7];
    let cells = cells.into_iter().zip(WIDTHS).map(|(cell, width)| {
        let cell: String = cell.chars().take(width).collect();
        format!("{cell:<width$}")
    });
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// An age in six columns.
fn short(seconds: f64) -> String {
    match seconds.abs() {
        0.0..60.0 => format!("{seconds:.1} s"),
        60.0..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// The last hour as columns of a minute, ending now; `░` where there is no reading.
fn chart(boiler: &Boiler, at: &Moment) -> String {
    let now = at.now.second();
    let column = |column: i64| {
        let begin = now - (COLUMNS - column) * 60;
        let panes = (begin + 1..=begin + 60).filter_map(|second| boiler.hour.pane(second));
        let (sum, points) =
            panes.fold((0, 0_u64), |(sum, points), pane| (sum + pane.sum, points + u64::from(pane.points)));
        thermowell_flow::published::centi_mean(sum, points)
    };
    let means: Vec<Option<i64>> = (0..COLUMNS).map(column).collect();
    let known = || means.iter().flatten().copied();
    let (least, most) = (known().min().unwrap_or(0), known().max().unwrap_or(0));
    let longest = boiler.hour.holes().into_iter().max_by_key(|hole| hole.to_ns - hole.from_ns);
    let note = match longest {
        _ if !boiler.is_read => "reading …".to_owned(),
        Some(hole) => hole.text(),
        None => String::new(),
    };
    let mut text = line(&format!("{} last hour  {note}", boiler.id));
    let levels = i64::try_from(CHART_ROWS * 8).unwrap_or(8);
    for row in (0..CHART_ROWS).rev() {
        let label = match row {
            _ if known().next().is_none() => String::new(),
            row if row + 1 == CHART_ROWS => degrees(Some(thermowell_flow::published::celsius(most))),
            0 => degrees(Some(thermowell_flow::published::celsius(least))),
            _ => String::new(),
        };
        let cell = |mean: &Option<i64>| match mean {
            None => '░',
            Some(mean) => {
                let level = 1 + (mean - least) * (levels - 1) / (most - least).max(1);
                let below = i64::try_from(row * 8).unwrap_or(0);
                LEVELS[usize::try_from((level - below).clamp(0, 8)).unwrap_or(0)]
            }
        };
        let cells: String = means.iter().map(cell).collect();
        let _always_fits = writeln!(text, " {label:>12} ┤{cells}");
    }
    text
}

/// A line of at most 80 columns.
fn line(text: &str) -> String {
    let text: String = text.chars().take(79).collect();
    format!(" {text}\n")
}

fn meter(percent: f64) -> String {
    const CELLS: u8 = 12;
    let full = |cell: u8| f64::from(cell) * 100.0 / f64::from(CELLS) < percent;
    (0..CELLS).map(|cell| if full(cell) { '█' } else { '░' }).collect()
}

fn sums(boiler: &Boiler, at: &Moment, choice: &Choice, ledger: &str, closes: &str) -> String {
    let judged = boiler.judged(at);
    let this_hour = match judged.valid_state() {
        None => UNKNOWN.to_owned(),
        Some(_) if choice.is_rate => {
            let newest = boiler.hour.end().map_or(0, |end| end.second());
            let panes = (newest - 60..newest).filter_map(|second| boiler.hour.pane(second));
            let points: u32 = panes.map(|pane| pane.points).sum();
            format!("{:.1} valid slots a second in the last minute", f64::from(points) / 60.0)
        }
        Some(state) => format!("{} of 360\u{202f}000 counted", grouped(state.provisional.points)),
    };
    line(&format!("this hour  {this_hour}")) + &line(&format!("last 24 h  {ledger} {closes}"))
}

/// The last events, decisions among them, newest first.
fn events(boiler: &Boiler) -> Vec<String> {
    let decided = boiler.decisions.iter().rev().take(EVENTS).map(|(at_s, decision)| {
        (
            *at_s,
            format!("{} {}", decision.rule, decision.flow.map_or("no heat".to_owned(), |flow| format!("{flow:.1} °C"))),
        )
    });
    let happened = boiler.happened.iter().rev().take(EVENTS).cloned();
    let mut all: Vec<(f64, String)> = decided.chain(happened).collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut lines: Vec<String> =
        all.iter().take(EVENTS).map(|(at_s, text)| line(&format!("{} {text}", clock(*at_s)))).collect();
    lines.resize(EVENTS, "\n".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON_NS, Stream, decided, noon_s, snapshot, state, status};
    use super::*;
    use thermowell_flow::published::Status;
    use thermowell_flow::time::Utc;

    const HEAD: Head<'static> = Head { gateway: "cellar", server: "2.15.1", up_s: 273_120 };

    fn model(boilers: usize) -> Model {
        let ids = (1..=boilers).map(|number| format!("b{number}").parse().unwrap());
        let mut model = Model::new(ids);
        model.server = Server::Answers;
        let mut stream = Stream::default();
        stream.seconds(1_200, 4_700);
        stream.reboot(300);
        stream.seconds(600, 6_500);
        let boiler = &mut model.boilers[0];
        boiler.hour = stream.hour;
        boiler.is_read = true;
        let now = noon_s() + 2_100.0;
        boiler.state = Some(state(now - 0.4));
        boiler.take_status(Some(status(now - 0.2)));
        boiler.take_snapshot(snapshot(491_050, 357_000, 3_000));
        for n in 0..9 {
            boiler.take_event(decided(now - f64::from(n) * 15.0, "law", Some(52.5)));
        }
        model
    }

    fn at() -> Moment {
        Moment { now: Utc(NOON_NS + 2_100_000_000_000), real_ns: 0, speed: 1 }
    }

    fn lines(model: &Model, choice: &Choice) -> Vec<String> {
        let text = screen(model, &at(), choice, &HEAD, 24);
        let plain = [BOLD, REVERSE, PLAIN].iter().fold(text, |text, style| text.replace(style, ""));
        plain.lines().map(str::to_owned).collect()
    }

    #[test]
    fn screen_fits_80_by_24_with_any_number_of_boilers() {
        for boilers in [1, 2, 7, 40] {
            for boiler in [0, boilers - 1] {
                let choice = Choice { boiler, ..Choice::default() };
                for choice in [choice, Choice { is_detailed: true, ..choice }, Choice { is_help: true, ..choice }] {
                    let lines = lines(&model(boilers), &choice);
                    assert!(lines.len() <= 24, "{} lines\n{}", lines.len(), lines.join("\n"));
                    let wide = lines.iter().find(|line| line.chars().count() > 80);
                    assert_eq!(wide, None);
                }
                let all = lines(&model(boilers), &choice).join("\n");
                assert!(all.contains(&format!("▸b{} ", boiler + 1)), "{all}");
            }
        }
    }

    #[test]
    fn known_values_are_shown_and_unknown_ones_are_not() {
        let all = lines(&model(2), &Choice::default());
        let text = all.join("\n");
        assert!(
            all[0].contains("cellar  up 3d 03:52  nats 2.15.1 ok  clock synced") && all[0].ends_with("12:35:00 UTC"),
            "{text}"
        );
        for word in [
            "61.4 °C",
            "58.9  99.1 %",
            "99.1 %",
            "5:00 min missing · reboot",
            "░░░░░",
            "law 52.5 °C",
            "✓ the sum closes",
        ] {
            assert!(text.contains(word), "no {word}:\n{text}");
        }
        let second = all.iter().find(|line| line.starts_with(" b2")).unwrap();
        assert_eq!(second.matches('–').count(), 8, "{second}");
        let other = lines(&model(2), &Choice { boiler: 1, ..Choice::default() }).join("\n");
        assert!(!other.contains("61.4 °C\n") && other.contains("no hour has closed yet"), "{other}");
        assert!(other.contains(&"░".repeat(60)), "{other}");
    }

    /// The agent is gone: its last STATUS says nothing of now.
    #[test]
    fn link_and_backlog_of_an_old_status_are_unknown() {
        let row = |age_s: f64| {
            let mut model = model(1);
            let stale = Status { backlog: 4_321, ..status(noon_s() + 2_100.0 - age_s) };
            model.boilers[0].take_status(Some(stale));
            lines(&model, &Choice::default()).into_iter().find(|line| line.starts_with("▸b1")).unwrap()
        };
        let (fresh, old) = (row(0.2), row(60.0));
        assert!(fresh.contains("4321") && fresh.contains(" up"), "{fresh}");
        assert!(!old.contains("4321") && !old.contains(" up"), "{old}");
    }

    #[test]
    fn rate_and_pause_are_visible() {
        let choice = Choice { is_rate: true, is_paused: true, ..Choice::default() };
        let all = lines(&model(1), &choice);
        assert!(all[0].ends_with("PAUSED") && all.join("\n").contains("100.0 valid slots a second"), "{all:?}");
    }
}
