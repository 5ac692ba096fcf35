//! Runs the rows, several at a time, each in its own process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::geteuid;

use super::report::{Line, Verdict};
use super::rows::Row;
use super::{Options, WORD};
use crate::cli::say;
use crate::clock::Stopwatch;
use crate::demo::setup::kept;
use crate::process::{Child, Launch, Programs, Role, describe, last_lines, own_program};
use crate::wait::Wait;

/// The file with the result of a row.
pub(super) const RESULT: &str = "line.json";
/// Interval between two polls of the rows.
const LOOK: Duration = Duration::from_millis(100);
/// A row hangs if it takes so many times its expected duration, and this much more.
const HANGS: (u32, Duration) = (4, Duration::from_secs(120));

/// A running row.
struct Playing {
    index: usize,
    child: Child,
    folder: PathBuf,
    watch: Stopwatch,
}

/// Runs all of `rows` and returns their lines, in order.
///
/// # Errors
/// A row cannot be started, or a signal interrupts the run.
pub(super) fn run(options: &Options, rows: Vec<Row>) -> Result<Vec<Line>> {
    let temporary = tempfile::Builder::new().prefix("thermowell-faults-").tempdir().context("make a folder")?;
    let parent = match &options.keep {
        Some(folder) => kept(folder)?,
        None => temporary.path().to_owned(),
    };
    // Running rows end with this process, and their folders are removed.
    let wait = Wait::interruptible()?;
    // The long ones first, so that short ones are left at the end.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(rows[index].seconds));
    let mut waiting = VecDeque::from(order);
    let mut playing: Vec<Playing> = Vec::new();
    let mut lines: Vec<Option<Line>> = rows.iter().map(skipped).collect();
    while !waiting.is_empty() || !playing.is_empty() {
        while playing.len() < usize::from(options.jobs)
            && let Some(index) = waiting.pop_front()
        {
            if lines[index].is_none() {
                playing.push(start(options, &parent, &rows[index], index)?);
            }
        }
        let mut still = Vec::new();
        for mut one in playing {
            let row = &rows[one.index];
            match ended(&mut one, row)? {
                Some(line) => {
                    say(&progress(&line, one.watch.elapsed()));
                    lines[one.index] = Some(line);
                    if options.keep.is_none() {
                        fs::remove_dir_all(&one.folder).with_context(|| format!("remove {}", one.folder.display()))?;
                    }
                }
                None => still.push(one),
            }
        }
        playing = still;
        wait.sleep(LOOK)?;
    }
    Ok(lines.into_iter().flatten().collect())
}

/// The line of a row that cannot run here.
fn skipped(row: &Row) -> Option<Line> {
    let reason = (row.mounts && !geteuid().is_root()).then_some("it mounts a small disk, which takes root")?;
    Some(line_of(row, Verdict::Skipped(reason.to_owned())))
}

fn line_of(row: &Row, verdict: Verdict) -> Line {
    Line { row: row.name.clone(), fault: row.fault.clone(), verdict, measured: None }
}

fn start(options: &Options, parent: &Path, row: &Row, index: usize) -> Result<Playing> {
    let folder = parent.join(&row.name);
    fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    let program = own_program()?;
    let mut args: Vec<OsString> = vec![WORD.into(), "--only".into(), row.name.as_str().into()];
    args.extend(["--seed".into(), options.seed.to_string().into(), "--inside".into(), folder.clone().into()]);
    if options.quick {
        args.push("--quick".into());
    }
    if let Some(slots) = options.predict_lost {
        args.extend(["--predict-lost".into(), slots.to_string().into()]);
    }
    let mut role = program.clone();
    if row.mounts {
        let words = ["--mount", "--propagation", "private"].map(OsString::from);
        args.splice(0..0, words.into_iter().chain([program.clone().into()]));
        role = PathBuf::from("unshare");
    }
    let launch = Launch {
        name: row.name.clone(),
        programs: Programs::at(program),
        role: Role::Program(role),
        args,
        log: folder.join("row.log"),
    };
    let child = Child::spawn(&launch)?;
    Ok(Playing { index, child, folder, watch: Stopwatch::start() })
}

/// The line of a row that has ended.
fn ended(one: &mut Playing, row: &Row) -> Result<Option<Line>> {
    let log = one.folder.join("row.log");
    let limit = Duration::from_secs(u64::from(row.seconds)) * HANGS.0 + HANGS.1;
    let Some(status) = one.child.ended()? else {
        if one.watch.left_of(limit).is_some() {
            return Ok(None);
        }
        one.child.kill()?;
        let why = format!("it does not end; killed after {} s\n{}", limit.as_secs(), last_lines(&log));
        return Ok(Some(line_of(row, Verdict::Otherwise(vec![why]))));
    };
    let result = fs::read(one.folder.join(RESULT)).ok().and_then(|json| serde_json::from_slice(&json).ok());
    Ok(Some(result.unwrap_or_else(|| {
        let output = crate::house::log(&log);
        // A missing program is the guard's 127; unshare reports missing rights itself.
        if row.mounts && (status.code() == Some(127) || output.starts_with("unshare:")) {
            return line_of(row, Verdict::Skipped(output.trim().replace('\n', ", ")));
        }
        line_of(row, Verdict::Otherwise(vec![format!("it ended with {}:\n{}", describe(status), output.trim())]))
    })))
}

fn progress(line: &Line, took: Duration) -> String {
    let verdict = match &line.verdict {
        Verdict::AsPredicted => "as predicted",
        Verdict::Otherwise(_) => "NOT as predicted",
        Verdict::Skipped(_) => "SKIPPED",
    };
    format!("{:<20} {verdict} ({} s)", line.row, took.as_secs())
}
