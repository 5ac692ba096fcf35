//! The chart of the hourly snapshots, the bar of the ledger, and the overview's small line.
//!
//! | an hour | is drawn as |
//! |---|---|
//! | closed | a bar from the least to the most, a tick at the mean, a bar below for what is known of it |
//! | partial, or less than 90 % known | the bar hatched, with a dashed edge |
//! | closed without a valid reading | × |
//! | without a snapshot | a dash |
//! | open | a ring at the mean so far |
//!
//! Each hour can be focused, and its title says all of it.

use thermowell_flow::published::{Freshness, Snapshot};
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::{HOUR_NS, SECOND_NS, Utc, hour_text};

use super::cards::{Ledger, Row, UNKNOWN, degrees, grouped};
use super::model::{Boiler, Moment};
use super::svg::{self, Axis, Path, push, px, rect};
use super::width::Width;

const LEFT: f64 = 52.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BELOW: f64 = 44.0;
const HEIGHT: u16 = 190;
/// Below this part known, an hour is drawn as uncertain.
const KNOWN_MIN: f64 = 0.9;

/// The chart of the last two days, or of one where it is narrow.
pub(super) fn draw(boiler: &Boiler, at: &Moment, width: Width) -> String {
    let (hours, every) = width.hours();
    let bars = Bars {
        last: at.now.hour(),
        hours,
        plot: f64::from(width.pixels()) - LEFT - RIGHT,
        axis: axis(boiler, at.now.hour() - hours),
        bottom: f64::from(HEIGHT) - BELOW,
    };
    let mut svg = svg::begin("hours", "means of the last hours", width.pixels(), HEIGHT);
    bars.grid(&mut svg, every);
    bars.closed(&mut svg, boiler);
    bars.open(&mut svg, boiler, at);
    svg + "</svg>"
}

/// The axis of the snapshots after the hour `before`, and of the open hour.
fn axis(boiler: &Boiler, before: i64) -> Axis {
    let shown = boiler.snapshots.iter().filter(|snapshot| hour_of(snapshot) > before);
    let ends = shown.flat_map(|snapshot| [snapshot.minimum, snapshot.maximum, snapshot.temperature]).flatten();
    Axis::of(ends.chain(boiler.state.as_ref().and_then(|state| state.provisional.temperature)))
}

struct Bars {
    /// The open hour, at the right.
    last: i64,
    hours: i64,
    plot: f64,
    axis: Axis,
    bottom: f64,
}

impl Bars {
    /// The pixels of one hour.
    fn step(&self) -> f64 {
        self.plot / f64::from(u16::try_from(self.hours).unwrap_or(1))
    }

    /// The left end of an hour.
    fn x(&self, hour: i64) -> f64 {
        let place = i32::try_from(hour - (self.last - self.hours + 1)).unwrap_or(0);
        LEFT + self.step() * f64::from(place)
    }

    fn y(&self, celsius: f64) -> f64 {
        self.bottom - (self.bottom - TOP) * self.axis.share(celsius)
    }

    fn grid(&self, svg: &mut String, every: i64) {
        let (mut lines, mut days) = (Path::default(), Path::default());
        for tick in self.axis.ticks() {
            lines.to(LEFT, self.y(tick));
            lines.to(LEFT + self.plot, self.y(tick));
            lines.lift();
            svg::text(svg, "tick", "end", LEFT - 8.0, self.y(tick) + 4.0, &format!("{tick:.0}"));
        }
        for hour in (self.last - self.hours + 1..=self.last).filter(|hour| hour % every == 0) {
            let x = self.x(hour);
            if hour % 24 == 0 {
                days.to(x, TOP);
                days.to(x, self.bottom);
                days.lift();
            }
            svg::text(svg, "tick", "middle", x, self.bottom + 36.0, hour_text(hour).get(11..16).unwrap_or_default());
        }
        lines.write(svg, "grid");
        days.write(svg, "hour");
    }

    fn closed(&self, svg: &mut String, boiler: &Boiler) {
        let mut line = Path::default();
        let mut before = None;
        let first = boiler.snapshots.front().map(hour_of);
        if first.is_none() {
            let note = if boiler.is_read { "no hour has closed yet" } else { "reading the last hours" };
            svg::text(svg, "note", "middle", LEFT + self.plot / 2.0, (TOP + self.bottom) / 2.0, note);
        }
        for hour in self.last - self.hours + 1..self.last {
            let snapshot = boiler.snapshots.iter().find(|snapshot| hour_of(snapshot) == hour);
            match snapshot {
                Some(snapshot) => self.bar(svg, hour, snapshot),
                None if first.is_some_and(|first| first < hour) => self.skipped(svg, hour),
                None => {}
            }
            let mean = snapshot.and_then(|snapshot| snapshot.temperature);
            if before != Some(hour - 1) {
                line.lift();
            }
            if let Some(mean) = mean {
                line.to(self.x(hour) + self.step() / 2.0, self.y(mean));
                before = Some(hour);
            }
        }
        line.write(svg, "means");
        // As many snapshots as are kept: then more are stored.
        let is_begin = boiler.snapshots.len() < super::model::SNAPSHOTS_MAX && boiler.is_read;
        let note = "history begins";
        let is_room = |first: &i64| self.x(*first) - 4.0 - svg::note_width(note) > LEFT;
        if let Some(first) = first.filter(|first| is_begin && is_room(first)) {
            svg::text(svg, "note", "end", self.x(first) - 4.0, self.bottom - 6.0, note);
        }
    }

    fn bar(&self, svg: &mut String, hour: i64, snapshot: &Snapshot) {
        let (x, step) = (self.x(hour), self.step());
        let (left, width) = (x + step * 0.15, step * 0.7);
        push(svg, format_args!("<g tabindex=\"0\" role=\"img\" data-k=\"{hour}\"><title>{}</title>", title(snapshot)));
        rect(svg, "class=\"reach\"", [x, TOP - 8.0, step, self.bottom + 32.0 - TOP]);
        if let Some((least, most)) = snapshot.minimum.zip(snapshot.maximum) {
            let (top, bottom) = (self.y(most), self.y(least));
            let attributes = match is_uncertain(snapshot) {
                true => "class=\"uncertain\" fill=\"url(#hours-hatch)\"",
                false => "class=\"range\"",
            };
            rect(svg, attributes, [left, top, width, (bottom - top).max(1.0)]);
        }
        match snapshot.temperature {
            Some(mean) => {
                let mut tick = Path::default();
                tick.to(left, self.y(mean));
                tick.to(left + width, self.y(mean));
                tick.write(svg, "mean-tick");
            }
            None => self.cross(svg, x + step / 2.0),
        }
        rect(svg, "class=\"empty\"", [left, self.bottom + 10.0, width, 6.0]);
        rect(svg, "class=\"known\"", [left, self.bottom + 10.0, width * snapshot.coverage.clamp(0.0, 1.0), 6.0]);
        svg.push_str("</g>");
    }

    /// × at the foot of an hour.
    fn cross(&self, svg: &mut String, x: f64) {
        let (mut cross, y) = (Path::default(), self.bottom - 8.0);
        for slope in [3.0, -3.0] {
            cross.to(x - 3.0, y - slope);
            cross.to(x + 3.0, y + slope);
            cross.lift();
        }
        cross.write(svg, "none");
    }

    fn skipped(&self, svg: &mut String, hour: i64) {
        let mut dash = Path::default();
        let middle = self.x(hour) + self.step() / 2.0;
        dash.to(middle - 3.0, self.bottom + 13.0);
        dash.to(middle + 3.0, self.bottom + 13.0);
        let (x, step, hour) = (self.x(hour), self.step(), hour_text(hour));
        push(svg, format_args!("<g><title>{} · no snapshot</title>", hour.get(..16).unwrap_or_default()));
        rect(svg, "class=\"reach\"", [x, TOP - 8.0, step, self.bottom + 32.0 - TOP]);
        dash.write(svg, "none");
        svg.push_str("</g>");
    }

    fn open(&self, svg: &mut String, boiler: &Boiler, at: &Moment) {
        let judged = boiler.judged(at);
        let Some(provisional) = judged.valid_state().map(|state| &state.provisional) else { return };
        let is_this = provisional.hour == hour_text(self.last);
        if let Some(mean) = provisional.temperature.filter(|_| is_this) {
            let (x, y) = (px(self.x(self.last) + self.step() / 2.0), px(self.y(mean)));
            push(svg, format_args!("<circle class=\"open\" cx=\"{x}\" cy=\"{y}\" r=\"4\"><title>{}", clock(self.last)));
            push(svg, format_args!(" · {mean:.2} °C so far</title></circle>"));
        }
    }
}

/// Whether an hour's numbers stand for less than they seem to.
fn is_uncertain(snapshot: &Snapshot) -> bool {
    snapshot.partial || snapshot.coverage < KNOWN_MIN
}

fn clock(hour: i64) -> String {
    hour_text(hour).get(11..16).unwrap_or_default().to_owned()
}

/// All of an hour in a sentence, made of numbers and words of ours.
fn title(snapshot: &Snapshot) -> String {
    let hour = hour_text(hour_of(snapshot));
    let hour = hour.get(..16).unwrap_or_default().replace('T', " ");
    let mean = snapshot.temperature.map_or("no valid reading".to_owned(), |mean| format!("{mean:.2} °C"));
    let range = snapshot.minimum.zip(snapshot.maximum);
    let range = range.map_or(String::new(), |(least, most)| format!(", {least:.1} to {most:.1} °C"));
    let known = format!("{:.1} % known", snapshot.coverage * 100.0);
    let (slots, counted) = (grouped(snapshot.slots), grouped(snapshot.temperature_points));
    let missing = if snapshot.missing.total() > 0 { format!(", missing: {}", snapshot.missing) } else { String::new() };
    let partial = if snapshot.partial { ", partial" } else { "" };
    format!("{hour} UTC · {mean}{range}, {known}, {counted} of {slots} slots counted{missing}{partial}")
}

/// The snapshots as a table, the newest first.
pub(super) fn rows(boiler: &Boiler) -> Vec<Row> {
    let row = |snapshot: &Snapshot| {
        let hour = hour_text(hour_of(snapshot)).get(..16).unwrap_or_default().replace('T', " ");
        let missing = match snapshot.missing.total() {
            0 => UNKNOWN.to_owned(),
            _ => snapshot.missing.to_string(),
        };
        let t = vec![
            hour,
            degrees(snapshot.temperature),
            degrees(snapshot.minimum),
            degrees(snapshot.maximum),
            format!("{:.1} %{}", snapshot.coverage * 100.0, if snapshot.partial { ", partial" } else { "" }),
            grouped(snapshot.temperature_points),
            missing,
        ];
        let at = Utc(hour_of(snapshot) * HOUR_NS).unix_seconds();
        Row { t, at: Some(at), ..Row::default() }
    };
    boiler.snapshots.iter().rev().map(row).collect()
}

/// The closed hours of the last day.
pub(super) fn day<'a>(boiler: &'a Boiler, at: &Moment) -> impl Iterator<Item = &'a Snapshot> + use<'a> {
    let since = at.now.hour() - 24;
    boiler.snapshots.iter().filter(move |snapshot| hour_of(snapshot) >= since)
}

/// The bar of the ledger: what is counted, and the rest hatched.
pub(super) fn ledger(ledger: &Ledger, width: Width) -> String {
    let share = if ledger.slots > 0 { ratio(ledger.counted, ledger.slots) } else { 0.0 };
    let whole = f64::from(width.pixels());
    let mut svg = svg::begin("ledger", "counted slots", width.pixels(), 14);
    rect(&mut svg, "fill=\"url(#ledger-hatch)\"", [0.0, 1.0, whole, 12.0]);
    rect(&mut svg, "class=\"known\"", [0.0, 1.0, whole * share, 12.0]);
    svg + "</svg>"
}

/// The last hour in 120 × 28 px, for the overview.
pub(super) fn spark(boiler: &Boiler, at: &Moment) -> String {
    const WIDTH: f64 = 120.0;
    const GROUP: i64 = 60;
    let last = at.now.0.div_euclid(GROUP * SECOND_NS);
    let minute = |minute: i64| {
        let panes = (minute * GROUP..(minute + 1) * GROUP).filter_map(|second| boiler.hour.pane(second));
        let (sum, points) = panes.fold((0, 0), |(sum, points), pane| (sum + pane.sum, points + u64::from(pane.points)));
        thermowell_flow::published::centi_mean(sum, points).map(thermowell_flow::published::celsius)
    };
    let minutes: Vec<Option<f64>> = (last - 59..=last).map(minute).collect();
    let axis = Axis::of(minutes.iter().flatten().copied());
    let mut svg = svg::begin(&format!("spark-{}", boiler.id), "last hour", 120, 28);
    let mut line = Path::default();
    let is_fresh = boiler.judged(at).freshness == Some(Freshness::Fresh);
    for (place, mean) in (0_u16..).zip(&minutes) {
        let x = f64::from(place) * WIDTH / 60.0;
        match mean {
            Some(mean) => line.to(x + 1.0, 26.0 - 24.0 * axis.share(*mean)),
            // The present minute has only begun.
            None if place == 59 && is_fresh => {}
            None => {
                line.lift();
                let hatch = format!("fill=\"url(#spark-{}-hatch)\"", boiler.id);
                rect(&mut svg, &hatch, [x, 1.0, WIDTH / 60.0, 26.0]);
            }
        }
    }
    line.write(&mut svg, "flow");
    svg + "</svg>"
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a pixel needs no more than 15 digits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON_NS, snapshot, state};
    use super::*;

    fn at() -> Moment {
        Moment { now: Utc(NOON_NS + 600 * SECOND_NS), real_ns: 0, speed: 1 }
    }

    fn noon() -> i64 {
        Utc(NOON_NS).hour()
    }

    fn boiler(snapshots: impl IntoIterator<Item = Snapshot>) -> Boiler {
        let mut boiler = Boiler::new("b1".parse().unwrap());
        snapshots.into_iter().for_each(|snapshot| boiler.take_snapshot(snapshot));
        boiler.state = Some(state(at().now.unix_seconds()));
        boiler.is_read = true;
        boiler
    }

    fn count(svg: &str, part: &str) -> usize {
        svg.matches(part).count()
    }

    #[test]
    fn each_closed_hour_can_be_focused_and_says_itself() {
        let boiler = boiler([snapshot(noon() - 2, 360_000, 0), snapshot(noon() - 1, 352_800, 7_200)]);
        let svg = draw(&boiler, &at(), Width::Wide);
        assert_eq!((count(&svg, "tabindex=\"0\""), count(&svg, "class=\"range\"")), (2, 2));
        let title = "2026-01-07 11:00 UTC · 48.50 °C, 40.0 to 60.0 °C, 98.0 % known, 352 800 of 360 000 slots counted, \
                     missing: reboot 7200";
        assert!(svg.replace('\u{202f}', " ").contains(&format!("<title>{title}</title>")), "{svg}");
        assert!(svg.contains("12:00 · 58.90 °C so far") && svg.contains("history begins"), "{svg}");
        assert_eq!(rows(&boiler)[0].t[..2], ["2026-01-07 11:00", "48.5"]);
    }

    #[test]
    fn begin_of_the_history_is_named_where_there_is_room() {
        for (hours, is_named) in [(20, true), (38, true), (46, false)] {
            let svg =
                draw(&boiler((1..=hours).rev().map(|ago| snapshot(noon() - ago, 360_000, 0))), &at(), Width::Middle);
            assert_eq!(svg.contains("history begins"), is_named, "{hours}: {svg}");
        }
    }

    #[test]
    fn uncertain_absent_and_skipped_hours_look_different() {
        let partial = Snapshot { partial: true, ..snapshot(noon() - 5, 360_000, 0) };
        let little = snapshot(noon() - 4, 302_400, 57_600);
        let nothing = Snapshot { minimum: None, maximum: None, ..snapshot(noon() - 3, 0, 0) };
        let boiler = boiler([partial, little, nothing, snapshot(noon() - 1, 360_000, 0)]);
        let svg = draw(&boiler, &at(), Width::Wide);
        assert_eq!((count(&svg, "class=\"uncertain\""), count(&svg, "class=\"range\"")), (2, 1));
        assert_eq!(count(&svg, "class=\"none\""), 2, "one without a reading, one without a snapshot");
        assert!(svg.contains("10:00 · no snapshot") && svg.contains("no valid reading"), "{svg}");
        assert_eq!(rows(&boiler)[1].t[1], "–");
    }

    #[test]
    fn line_of_means_is_not_drawn_across_a_hole() {
        let boiler = boiler([noon() - 6, noon() - 5, noon() - 2, noon() - 1].map(|hour| snapshot(hour, 360_000, 0)));
        let svg = draw(&boiler, &at(), Width::Wide);
        let means = svg.split("class=\"means\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(means.matches('M').count(), 2, "{means}");
    }

    #[test]
    fn open_hour_is_not_shown_once_its_state_is_old() {
        let mut boiler = boiler([]);
        assert!(draw(&boiler, &at(), Width::Narrow).contains("so far"));
        boiler.state = Some(state(at().now.unix_seconds() - 61.0));
        assert!(!draw(&boiler, &at(), Width::Narrow).contains("so far"));
    }

    #[test]
    fn ledger_bar_is_as_long_as_what_is_counted() {
        let svg = ledger(&Ledger::of([&snapshot(noon(), 324_000, 36_000)]), Width::Wide);
        assert!(svg.contains("class=\"known\" x=\"0\" y=\"1\" width=\"1008\""), "{svg}");
        assert!(!ledger(&Ledger::default(), Width::Wide).contains("class=\"known\""));
    }

    #[test]
    fn small_line_is_hatched_where_nothing_is_known() {
        let mut boiler = boiler([]);
        let svg = spark(&boiler, &at());
        assert_eq!((count(&svg, "<rect"), count(&svg, "class=\"flow\"")), (59, 0));
        boiler.state = None;
        assert_eq!(count(&spark(&boiler, &at()), "<rect"), 60);
    }
}
