//! The chart of the last hour: flow temperature with its band, the asked set-point, the mean, burner and hot water.
//!
//! It ends at *now*, not at the newest sample: what is between is unknown, and hatched like every hole.
//!
//! ```text
//!          4:00 min missing · reboot          notes
//!   50 ┤        ▨▨▨▨▨        ╭──● 46.5        TOP … bottom of the plot
//!   40 ┤ - - - -▨▨▨▨▨- - - - - - ⌀ 40.7
//!      20:20   20:30   20:40   20:50          ticks
//! burner ━━━━━          ━━━━━━                lanes
//! ```

use thermowell_flow::aggregate::Pane;
use thermowell_flow::published::Freshness;
use thermowell_flow::time::{HOUR_NS, SECOND_NS, Utc};

use super::cards::clock;
use super::hour::Hole;
use super::model::{Boiler, Moment};
use super::svg::{self, Axis, Path, push, px, rect};
use super::width::Width;
use crate::quantity::nanos;
use crate::status::judge;

const LEFT: f64 = 52.0;
const RIGHT: f64 = 50.0;
const TOP: f64 = 24.0;
/// Ticks and two lanes below the plot.
const BELOW: f64 = 56.0;
/// Pixels of a point of the line.
const POINT: f64 = 1.5;

/// The chart of `boiler` at a moment.
pub(super) fn draw(boiler: &Boiler, at: &Moment, width: Width) -> String {
    Chart::new(boiler, at, width).draw()
}

struct Chart<'a> {
    boiler: &'a Boiler,
    width: Width,
    begin_ns: i64,
    end_ns: i64,
    bottom: f64,
    axis: Axis,
    /// The points of the line, in time.
    points: Vec<Point>,
    /// What is unknown, with its note.
    unknown: Vec<(i64, i64, String)>,
    /// The asked flow temperatures: from, to, °C.
    asked: Vec<(i64, i64, f64)>,
    mean: Option<f64>,
    /// The newest temperature, while it is fresh.
    current: Option<f64>,
}

/// Some seconds of readings, drawn as one point.
#[derive(Clone, Copy)]
struct Point {
    /// Its first and last second.
    first: i64,
    last: i64,
    pane: Pane,
}

impl<'a> Chart<'a> {
    fn new(boiler: &'a Boiler, at: &Moment, width: Width) -> Self {
        let judged = boiler.judged(at);
        let state = judged.valid_state();
        let (end_ns, begin_ns) = (at.now.0, at.now.0.saturating_sub(HOUR_NS));
        let bottom = f64::from(width.hour_height()) - BELOW;
        let mut chart = Self {
            boiler,
            width,
            begin_ns,
            end_ns,
            bottom,
            axis: Axis::of([]),
            points: Vec::new(),
            unknown: unknown(boiler, at, begin_ns),
            asked: asked(boiler, at, begin_ns),
            mean: state.and_then(|state| state.average),
            current: state.filter(|_| judged.freshness == Some(Freshness::Fresh)).and_then(|state| state.current),
        };
        chart.points = chart.points();
        let extremes = chart.points.iter().flat_map(|point| [point.pane.minimum, point.pane.maximum]);
        let extremes = extremes.map(|centi| f64::from(centi) / 100.0);
        chart.axis = Axis::of(extremes.chain(chart.asked.iter().map(|(.., flow)| *flow)).chain(chart.mean));
        chart
    }

    fn draw(&self) -> String {
        let label = "flow temperature of the last hour";
        let mut svg = svg::begin("hour", label, self.width.pixels(), self.width.hour_height());
        self.grid(&mut svg);
        self.holes(&mut svg);
        self.line(&mut svg);
        self.steps(&mut svg);
        self.lane(&mut svg, "burner", self.bottom + 30.0, Pane::has_flame);
        self.lane(&mut svg, "water", self.bottom + 44.0, Pane::has_draw);
        self.ends(&mut svg);
        svg + "</svg>"
    }

    fn right(&self) -> f64 {
        f64::from(self.width.pixels()) - RIGHT
    }

    fn x(&self, utc_ns: i64) -> f64 {
        LEFT + (self.right() - LEFT) * share(utc_ns - self.begin_ns, HOUR_NS).clamp(0.0, 1.0)
    }

    fn y(&self, celsius: f64) -> f64 {
        self.bottom - (self.bottom - TOP) * self.axis.share(celsius)
    }

    /// The known seconds, in groups of as many as a point of the line has.
    fn points(&self) -> Vec<Point> {
        let group = self.width.seconds(self.right() - LEFT, POINT);
        let mut points: Vec<Point> = Vec::new();
        for second in Utc(self.begin_ns).second() + 1..=Utc(self.end_ns).second() {
            let Some(pane) = self.boiler.hour.pane(second) else { continue };
            match points.last_mut() {
                Some(last) if last.first.div_euclid(group) == second.div_euclid(group) && last.last + 1 == second => {
                    last.last = second;
                    last.pane.merge(pane);
                }
                Some(_) | None => points.push(Point { first: second, last: second, pane: *pane }),
            }
        }
        points
    }

    fn grid(&self, svg: &mut String) {
        let (mut lines, mut hours) = (Path::default(), Path::default());
        for tick in self.axis.ticks() {
            let y = self.y(tick);
            lines.to(LEFT, y);
            lines.to(self.right(), y);
            lines.lift();
            svg::text(svg, "tick", "end", LEFT - 8.0, y + 4.0, &format!("{tick:.0}"));
        }
        let every_ns = self.width.tick_minutes() * 60 * SECOND_NS;
        let first = (self.begin_ns + every_ns).div_euclid(every_ns);
        for tick_ns in (first..).map(|n| n * every_ns).take_while(|tick_ns| *tick_ns <= self.end_ns) {
            let x = self.x(tick_ns);
            let line = if tick_ns % HOUR_NS == 0 { &mut hours } else { &mut lines };
            line.to(x, TOP);
            line.to(x, self.bottom);
            line.lift();
            let time = clock(Utc(tick_ns).unix_seconds());
            svg::text(svg, "tick", "middle", x, self.bottom + 17.0, time.get(..5).unwrap_or_default());
        }
        lines.write(svg, "grid");
        hours.write(svg, "hour");
    }

    fn holes(&self, svg: &mut String) {
        let mut drawn: Vec<(f64, f64)> = Vec::new();
        for (from_ns, to_ns, _) in &self.unknown {
            let (from, to) = (self.x(*from_ns), self.x(*to_ns));
            match drawn.last_mut() {
                // Holes of less than a pixel, next to each other, are one.
                Some(last) if from - last.1 < 1.0 => last.1 = to.max(last.1),
                Some(_) | None => drawn.push((from, to)),
            }
        }
        for (from, to) in drawn {
            let width = (to - from).max(0.5);
            rect(svg, "class=\"unknown\" fill=\"url(#hour-hatch)\"", [from, TOP, width, self.bottom - TOP]);
            rect(svg, "fill=\"url(#hour-hatch)\"", [from, self.bottom + 26.0, width, 22.0]);
        }
        self.notes(svg);
    }

    /// The notes of the hole that reaches to now, and of the longest others, as far as there is room.
    fn notes(&self, svg: &mut String) {
        let mut holes: Vec<_> = self.unknown.iter().filter(|(.., note)| !note.is_empty()).collect();
        holes.sort_by_key(|(from_ns, to_ns, _)| (*to_ns < self.end_ns, from_ns - to_ns));
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for (from_ns, to_ns, note) in holes {
            let half = svg::note_width(note) / 2.0;
            let centre = (self.x(*from_ns) + self.x(*to_ns)) / 2.0;
            let centre = centre.clamp(half, (f64::from(self.width.pixels()) - half).max(half));
            if taken.iter().all(|(from, to)| centre + half < *from || *to < centre - half) {
                svg::text(svg, "note", "middle", centre, TOP - 8.0, note);
                taken.push((centre - half, centre + half));
            }
        }
    }

    fn line(&self, svg: &mut String) {
        let (mut line, mut band) = (Path::default(), Path::default());
        for run in self.points.chunk_by(|one, next| one.last + 1 == next.first) {
            for point in run {
                let mean = mean(&point.pane);
                line.to(self.middle(point), self.y(mean));
            }
            // A single point is a dot: round caps.
            if let [point] = run {
                line.to(self.middle(point) + 0.5, self.y(mean(&point.pane)));
            }
            line.lift();
            let above = run.iter().map(|point| (point, point.pane.maximum));
            let below = run.iter().rev().map(|point| (point, point.pane.minimum));
            for (point, centi) in above.chain(below) {
                band.to(self.middle(point), self.y(f64::from(centi) / 100.0));
            }
            band.close();
        }
        band.write(svg, "band");
        line.write(svg, "flow");
    }

    fn middle(&self, point: &Point) -> f64 {
        (self.x(point.first * SECOND_NS) + self.x((point.last + 1) * SECOND_NS)) / 2.0
    }

    fn steps(&self, svg: &mut String) {
        let mut path = Path::default();
        let mut end_ns = i64::MIN;
        for (from_ns, to_ns, flow) in &self.asked {
            if *from_ns != end_ns {
                path.lift();
            }
            path.to(self.x(*from_ns), self.y(*flow));
            path.to(self.x(*to_ns), self.y(*flow));
            end_ns = *to_ns;
        }
        path.write(svg, "asked");
    }

    fn lane(&self, svg: &mut String, name: &str, y: f64, is_on: fn(&Pane) -> bool) {
        let mut lane = Path::default();
        let seconds = Utc(self.begin_ns).second() + 1..=Utc(self.end_ns).second();
        let mut began: Option<i64> = None;
        for second in seconds.clone().chain([seconds.end() + 1]) {
            let is_on = seconds.contains(&second) && self.boiler.hour.pane(second).is_some_and(is_on);
            match (began, is_on) {
                (None, true) => began = Some(second),
                (Some(from), false) => {
                    lane.to(self.x(from * SECOND_NS), y);
                    lane.to(self.x(second * SECOND_NS), y);
                    lane.lift();
                    began = None;
                }
                (None, false) | (Some(_), true) => {}
            }
        }
        svg::text(svg, "tick", "end", LEFT - 8.0, y + 4.0, name);
        lane.write(svg, name);
    }

    /// The mean, the newest value, and their labels at the right.
    fn ends(&self, svg: &mut String) {
        let newest = self.current.zip(self.boiler.hour.end());
        let label_y = newest.map(|(current, _)| self.y(current));
        if let Some(mean) = self.mean {
            let (y, mut line) = (self.y(mean), Path::default());
            line.to(LEFT, y);
            line.to(self.right(), y);
            line.write(svg, "mean");
            let is_close = label_y.is_some_and(|label_y| (label_y - y).abs() < 13.0);
            let away = if label_y.is_some_and(|label_y| label_y > y) { -13.0 } else { 13.0 };
            let y = label_y.filter(|_| is_close).map_or(y, |label_y| label_y + away);
            svg::text(svg, "tick", "start", self.right() + 8.0, y + 4.0, &format!("⌀ {mean:.1}"));
        }
        if let Some((current, end)) = newest {
            let (x, y) = (px(self.x(end.0)), self.y(current));
            push(svg, format_args!("<circle class=\"now\" cx=\"{x}\" cy=\"{}\" r=\"3\"/>", px(y)));
            svg::text(svg, "current", "start", self.right() + 8.0, y + 4.0, &format!("{current:.1}"));
        }
    }
}

/// Everything unknown between `begin_ns` and now, with its note.
fn unknown(boiler: &Boiler, at: &Moment, begin_ns: i64) -> Vec<(i64, i64, String)> {
    let now_ns = at.now.0;
    let Some(end) = boiler.hour.end() else {
        let note = if boiler.is_read { "no data" } else { "reading the last hour" };
        return vec![(begin_ns, now_ns, note.to_owned())];
    };
    let holes = boiler.hour.holes();
    let first = (Utc(begin_ns).second()..=end.second()).find(|second| boiler.hour.pane(*second).is_some());
    let first_ns = first.map_or(end.0, |second| second * SECOND_NS);
    let first_ns = holes.first().map_or(first_ns, |hole| hole.from_ns.min(first_ns));
    let mut unknown = Vec::new();
    // A second is known as a whole or not at all.
    if first_ns > begin_ns + 2 * SECOND_NS {
        unknown.push((begin_ns, first_ns, format!("no data before {}", clock(Utc(first_ns).unix_seconds()))));
    }
    let inside = holes.iter().filter(|hole| hole.to_ns > begin_ns);
    unknown.extend(inside.map(|hole: &Hole| (hole.from_ns.max(begin_ns), hole.to_ns, hole.text())));
    if !boiler.is_read {
        unknown.push((end.0, now_ns, "reading the last hour".to_owned()));
    } else if judge(at.age_s(end.unix_seconds())) != Freshness::Fresh {
        unknown.push((end.0, now_ns, format!("no data since {}", clock(end.unix_seconds()))));
    }
    unknown
}

/// The asked flow temperatures between `begin_ns` and now, by the decisions: each holds until the next. The last one
/// holds while its lease does.
fn asked(boiler: &Boiler, at: &Moment, begin_ns: i64) -> Vec<(i64, i64, f64)> {
    let ends = boiler.decisions.iter().skip(1).map(|(created_at, _)| nanos(*created_at));
    let last_ends = match (boiler.asked(at), &boiler.lease, boiler.decisions.back()) {
        (Some(_), ..) => at.now.0,
        (None, Some(stored), _) => nanos(stored.lease.created_at + f64::from(stored.lease.lease_s)),
        (None, None, Some((created_at, _))) => nanos(*created_at),
        (None, None, None) => begin_ns,
    };
    let steps = boiler.decisions.iter().zip(ends.chain([last_ends.min(at.now.0)]));
    let steps = steps.filter_map(|((created_at, decision), to_ns)| Some((nanos(*created_at), to_ns, decision.flow?)));
    let visible = steps.filter(|(_, to_ns, _)| *to_ns > begin_ns);
    visible
        .map(|(from_ns, to_ns, flow)| (from_ns.max(begin_ns), to_ns, flow))
        .filter(|(from, to, _)| from < to)
        .collect()
}

/// The mean of the valid readings, °C.
fn mean(pane: &Pane) -> f64 {
    share(pane.sum, 100 * i64::from(pane.points.max(1)))
}

/// A quotient, for drawing.
#[expect(clippy::cast_precision_loss, reason = "a tenth of a pixel needs no more than 15 digits")]
fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests;
