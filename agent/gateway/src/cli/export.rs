//! `thermowell export`.

mod target;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use thermowell_wire::BoilerId;

use super::progress::Progress;
use super::{Exit, Outcome, Source, command, print_error};
use crate::export::{self, Books, Desk, ExportError, What, Wish};
use crate::quantity::{duration, grouped, instant};
use crate::samples::Form;

use target::{Output, Target};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell export samples --boiler b1 --per 1s --out b1.csv
  thermowell export samples --boiler b1 --format jsonl | head -n 3
  thermowell export samples --boiler b1 --from 2026-01-07 --to 2026-01-08
  thermowell export snapshots --boiler b1 --local

Without --from and --to it exports all that is stored: three days of samples,
years of snapshots. A day is written as 2026-01-07, a time as
2026-01-07T02:00:00Z. Times are UTC (RFC 3339); --local adds a column. An
unknown value is empty, never 0; slots that are missing are rows with their
number and reason. --out writes FILE.part and renames it when it is complete; a
pipe or a terminal is written as it is. Progress and the sum are on standard
error. It reads with inspector.nk.

Exit codes: 0 every slot of the range is counted or missing for a reason, 1
the books do not close or the server does not answer, 2 wrong command line, 78
the configuration is wrong, 130 Ctrl-C";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with the names of the columns first
    Csv,
    /// One JSON object a line
    Jsonl,
    /// One JSON array of SenML records (RFC 8428)
    Senml,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// What to export
    what: What,
    /// The boiler
    #[arg(long, value_name = "ID")]
    boiler: BoilerId,
    /// The beginning, UTC
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<i64>,
    /// The end, UTC, not included
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<i64>,
    /// The form of the file
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Means over this time instead of readings: whole seconds, up to a day
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds)]
    per: Option<u32>,
    /// Add the local time of this machine
    #[arg(long)]
    local: bool,
    /// Write to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
}

fn whole_seconds(text: &str) -> Result<u32, String> {
    let length = duration(text)?;
    let is_allowed = length.subsec_nanos() == 0 && length <= Duration::from_secs(86_400);
    let seconds = u32::try_from(length.as_secs()).ok().filter(|_| is_allowed);
    seconds.ok_or_else(|| "expected whole seconds, 1s to 1d, such as 1s, 1m or 1h".to_owned())
}

pub(super) fn run(args: &ExportArgs) -> Outcome {
    let ExportArgs { what, boiler, from, to, format, per, local, out, source } = args;
    let refuse = |why: &str| {
        print_error(why);
        Err(Exit::Usage)
    };
    if from.zip(*to).is_some_and(|(from, to)| from >= to) {
        return refuse("--to: expected a later time than --from");
    }
    if *local && *format == Format::Senml {
        return refuse("--local: SenML has no local time; use --format csv or jsonl");
    }
    if per.is_some() && *what == What::Snapshots {
        return refuse("--per: a snapshot is the mean of an hour; --per is for samples");
    }
    let form = match format {
        Format::Csv => Form::Csv,
        Format::Jsonl => Form::Json,
        Format::Senml => Form::Senml,
    };
    let target = match Target::of(out.as_deref()) {
        Ok(target) => target,
        Err(why) => return refuse(&format!("--out: {why}")),
    };
    let boiler = boiler.clone();
    let wish = Wish { boiler, what: *what, from_ns: *from, to_ns: *to, form, per_s: *per, local: *local };
    // A FIFO waits for its reader: until then, Ctrl-C ends the process.
    let (straight, target) = if target.is_straight() { (Some(target.open()), None) } else { (None, Some(target)) };
    let written = command(source, async |config| {
        let opened = straight.or_else(|| target.map(Target::open)).expect("one of both is there");
        let output = opened.map_err(ExportError::Write)?;
        let mut paper = Paper { output, progress: Progress::begin() };
        let books = match export::export(config, &wish, &mut paper).await {
            // The reader has seen enough.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
            books => books?,
        };
        paper.output.finish().map_err(ExportError::Write)?;
        Ok::<_, ExportError>(Some(books))
    });
    let Some(books) = written? else { return Ok(Exit::Success) };
    print_error(&sum(&books));
    Ok(if books.open.is_empty() { Exit::Success } else { Exit::Failure })
}

/// `8,640,000 slots = 8,610,001 counted + 29,999 missing (reboot 29999): the books close`.
fn sum(books: &Books) -> String {
    let [slots, counted, total] =
        [books.slots, books.counted, books.missing.total()].map(|slots| grouped(&slots.to_string(), ','));
    let reasons = if books.missing.total() == 0 { String::new() } else { format!(" ({})", books.missing) };
    let verdict = match books.open.as_slice() {
        [] => "the books close".to_owned(),
        why => format!("the books do NOT close: {}", why.join("; ")),
    };
    format!("{slots} slots = {counted} counted + {total} missing{reasons}: {verdict}")
}

struct Paper {
    output: Output,
    progress: Progress,
}

impl Desk for Paper {
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.output.to.write_all(text.as_bytes())
    }

    fn begins(&mut self, text: &str) {
        print_error(text);
    }

    fn reached(&mut self, part: f64) {
        self.progress.reached(|| format!("exported {:.0} %", part * 100.0));
    }
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::Missing;

    use super::*;

    #[test]
    fn sum_names_reasons_and_why_the_books_do_not_close() {
        let missing = Missing { reboot: 29_999, ..Missing::default() };
        let books = Books { slots: 8_640_000, counted: 8_610_001, missing, ..Books::default() };
        assert_eq!(sum(&books), "8,640,000 slots = 8,610,001 counted + 29,999 missing (reboot 29999): the books close");
        let open = Books { open: vec!["nothing is stored".to_owned()], ..books };
        assert!(sum(&open).ends_with("the books do NOT close: nothing is stored"));
    }

    #[test]
    fn lengths_are_whole_seconds_up_to_a_day() {
        assert_eq!((whole_seconds("1s"), whole_seconds("1d")), (Ok(1), Ok(86_400)));
        for wrong in ["10ms", "1500ms", "25h", "0s", "fast"] {
            assert!(whole_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
