//! The schedule: which row is played when.
//!
//! ```text
//! rows:      a    b    c    (lost)    d                    e
//! time:      0    1    2    3         4                    10      usual step 1
//! played:    aaaaabbbbbccccc──────────ddddd────────────────eeeee
//! ```
//! A row lasts until the next one. A jump of [`Gaps::silent_from`] usual steps or more is a gap: the row before it
//! lasts for one usual step, and the rest is silence. So is a jump of two if rows in between could not be parsed. With
//! a fixed row length, rows follow each other at that length, and each usual step of a gap is a silent row.

use jiff::SignedDuration;

use super::series::{Row, Series};
use super::stamp::{self, DAY_US};
use super::{Gaps, Options, Reading, ReplayError};

/// Longest jump that needs no argument.
const ERA_US: i64 = 366 * DAY_US;
/// A single lost row is a hiccup of the recorder, two are a gap.
const SILENT_FROM: u32 = 3;
/// Shortest usual step, and shortest row.
pub(super) const SHORTEST_US: u64 = 1_000;

/// A reading that is played from `from_us` until the next span; None is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Since the beginning of the series.
    pub from_us: u64,
    pub reading: Option<Reading>,
}

/// The spans, and figures for the summary.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) spans: Vec<Span>,
    pub(super) end_us: u64,
    usual_us: Option<u64>,
    gaps: u64,
    gap_us: u64,
    /// The longest gap and the line after it.
    longest: Option<(u64, u64)>,
}

/// A jump between two rows.
#[derive(Clone, Copy, Debug)]
struct Jump {
    us: u64,
    /// Rounded to usual steps, because recorders write a row a little early or late.
    steps: u64,
    silent: bool,
}

impl Schedule {
    /// Schedules the rows `chosen` of `series`; the last one ends at `stop_wall_us` at the latest, on the clock of its
    /// row.
    pub(super) fn new(
        name: &str,
        series: &Series,
        chosen: std::ops::Range<usize>,
        stop_wall_us: Option<i64>,
        options: &Options,
    ) -> Result<Self, ReplayError> {
        let usual_us = if series.timed { usual_step(&series.rows) } else { None };
        let rows = &series.rows[chosen.clone()];
        let mut gaps = options.gaps;
        gaps.silent_from.get_or_insert(if series.on_change { u32::MAX } else { SILENT_FROM });
        if gaps.most_rows == u32::MAX {
            refuse_eras(name, rows)?;
        }
        let mut schedule = Self { usual_us, ..Self::default() };
        if let Some(row) = options.row {
            schedule.in_rows(rows, crate::quantity::micros(row), gaps);
            return Ok(schedule);
        }
        let step = |what| ReplayError::Step { name: name.to_owned(), rows: series.rows.len(), what };
        let usual_us = usual_us.ok_or_else(|| step("no two with different times"))?;
        if usual_us < SHORTEST_US {
            return Err(step("less than 1 ms between two of them"));
        }
        schedule.by_time(rows, usual_us, gaps);
        let last = rows.last().expect("a series that is not empty");
        let behind = series.rows.get(chosen.end);
        let holds_us = match behind.map(|next| jump(last, next, Some(usual_us), gaps)) {
            Some(jump) if !jump.silent => jump.us,
            Some(_) | None => usual_us,
        };
        let stop = stop_wall_us.and_then(|stop| u64::try_from(stop.saturating_sub(last.wall_us)).ok());
        let holds_us = stop.filter(|stop| *stop > 0).map_or(holds_us, |stop| holds_us.min(stop));
        schedule.end_us = schedule.end_us.saturating_add(holds_us);
        Ok(schedule)
    }

    /// Plays each row from its time until the next one.
    fn by_time(&mut self, rows: &[Row], usual_us: u64, gaps: Gaps) {
        self.play(rows[0].reading);
        for pair in rows.windows(2) {
            let jump = jump(&pair[0], &pair[1], Some(usual_us), gaps);
            if jump.silent {
                let most_us = usual_us.saturating_mul(u64::from(gaps.most_rows));
                let silent_us = jump.us.saturating_sub(usual_us).min(most_us);
                self.end_us = self.end_us.saturating_add(jump.us.min(usual_us));
                self.silence(silent_us, pair[1].line);
            } else {
                self.end_us = self.end_us.saturating_add(jump.us);
            }
            self.play(pair[1].reading);
        }
    }

    /// Plays each row for `row_us`.
    fn in_rows(&mut self, rows: &[Row], row_us: u64, gaps: Gaps) {
        for (place, row) in rows.iter().enumerate() {
            if let Some(before) = place.checked_sub(1).map(|before| &rows[before]) {
                let jump = jump(before, row, self.usual_us, gaps);
                let steps = if self.usual_us.is_some() { jump.steps.saturating_sub(1) } else { u64::from(row.lost) };
                if jump.silent && steps > 0 {
                    self.silence(steps.min(u64::from(gaps.most_rows)).saturating_mul(row_us), row.line);
                }
            }
            self.play(row.reading);
            self.end_us = self.end_us.saturating_add(row_us);
        }
    }

    fn play(&mut self, reading: Option<Reading>) {
        self.spans.push(Span { from_us: self.end_us, reading });
    }

    fn silence(&mut self, us: u64, line: u64) {
        self.play(None);
        self.end_us = self.end_us.saturating_add(us);
        self.gaps += 1;
        self.gap_us = self.gap_us.saturating_add(us);
        if self.longest.is_none_or(|(longest, _)| us > longest) {
            self.longest = Some((us, line));
        }
    }

    /// Steps, row length and gaps in words.
    pub(super) fn about(&self, options: &Options) -> String {
        let usual = self.usual_us.map_or("no usual step".to_owned(), |us| format!("usual step {}", words(us)));
        let row = match options.row {
            Some(row) => format!("each row lasts {}", words(crate::quantity::micros(row))),
            None => "each row lasts until the next one".to_owned(),
        };
        let gaps = match (self.gaps, self.longest) {
            (0, _) | (_, None) => "no gap".to_owned(),
            (1, Some((us, line))) => format!("1 gap of {} before line {line}", words(us)),
            (gaps, Some((us, line))) => {
                let all = words(self.gap_us);
                format!("{gaps} gaps of {all} in all, the longest of {} before line {line}", words(us))
            }
        };
        format!("{usual}, {row}, {gaps}, {} in all", words(self.end_us))
    }
}

/// The median step between two rows, the shorter one of two. Steps across lost rows do not count, unless there are no
/// others.
pub(super) fn usual_step(rows: &[Row]) -> Option<u64> {
    let steps = |all: bool| {
        let seen = rows.windows(2).filter(move |pair| all || pair[1].lost == 0);
        let mut steps: Vec<u64> = seen.filter_map(|pair| u64::try_from(pair[1].at_us - pair[0].at_us).ok()).collect();
        steps.retain(|step| *step > 0);
        steps.sort_unstable();
        steps.get(steps.len().saturating_sub(1) / 2).copied()
    };
    steps(false).or_else(|| steps(true))
}

fn jump(before: &Row, row: &Row, usual_us: Option<u64>, gaps: Gaps) -> Jump {
    let us = u64::try_from(row.at_us.saturating_sub(before.at_us)).unwrap_or(0);
    let steps = usual_us.map_or(0, |usual_us| us.saturating_add(usual_us / 2) / usual_us);
    let lost = row.lost > 0 && (steps >= 2 || usual_us.is_none());
    let gap = gaps.silent_from.is_some_and(|from| from != u32::MAX && steps >= u64::from(from));
    Jump { us, steps, silent: lost || gap }
}

/// Refuses a jump of more than a year: a recorder whose clock was not set writes times of 1970.
fn refuse_eras(name: &str, rows: &[Row]) -> Result<(), ReplayError> {
    let far = |pair: &&[Row]| pair[1].at_us.saturating_sub(pair[0].at_us) > ERA_US;
    let Some(pair) = rows.windows(2).find(far) else { return Ok(()) };
    let from = stamp::wall(pair[1].wall_us).map_or(String::new(), |wall| wall.to_string());
    let days = (pair[1].at_us - pair[0].at_us) / DAY_US;
    Err(ReplayError::Era { name: name.to_owned(), line: pair[1].line, days, from })
}

fn words(us: u64) -> String {
    format!("{:#}", SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX)))
}
