//! A recorded series on the command line: notes on standard error, and exit codes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

fn simulator(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firmware-sim"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn unplayable_series_exits_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write("good.csv", b"time,flow\n2024-01-01 10:00,40\n2024-01-01 10:01,41\n");
    write("us.csv", b"time,flow\n1/1/2024 10:00,40\n1/2/2024 10:01,41\n");
    write("comma.csv", b"time,flow\n2024-01-01 10:00,40,7\n2024-01-01 10:01,41,9\n");
    write("rtc.csv", b"time,flow\n1970-01-01 00:00:01,40\n1970-01-01 00:00:02,40\n2024-01-01 10:00:00,41\n");
    write("empty.csv", b"");
    write("scenario.toml", b"seed = \"a\"\n");
    let series = ["--column", "flow", "--replay"];
    let play = |more: &[&'static str]| [&series[..], more].concat();
    for (arguments, code, what) in [
        (play(&["good.csv", "--unit", "R"]), 2, "C, F or K"),
        (play(&["good.csv", "--row", "0s"]), 2, "1 ms to 24 h"),
        (vec!["--replay", "good.csv"], 2, "--column"),
        (vec!["--boiler", "a", "--boiler", "a"], 2, "given twice"),
        (play(&["absent.csv"]), 78, "cannot read the series absent.csv: No such file"),
        (play(&["."]), 78, "cannot read the series .: Is a directory"),
        (play(&["empty.csv"]), 78, "no row is left to play"),
        (play(&["us.csv"]), 78, "us.csv:2: the order of day, month and year is ambiguous in `1/1/2024 10:00,40`"),
        (play(&["comma.csv"]), 78, "2 of 2 rows cannot be parsed; the first is line 2, `2024-01-01 10:00,40,7`"),
        (play(&["rtc.csv"]), 78, "--from 2024-01-01T10:00:00"),
        (vec!["--replay", "good.csv", "--column", "x"], 78, "the columns are 1 `time`, 2 `flow`"),
        (vec!["--scenario", "scenario.toml"], 78, "the scenario is refused"),
    ] {
        let output = simulator(folder.path(), &arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(what), "no {what:?} of {arguments:?} in: {error}");
        assert!(code == 2 || error.trim_end().lines().count() == 1, "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("ports").exists(), "a refused start leaves no files");
}

#[test]
fn start_logs_notes_and_summary() {
    let folder = tempfile::tempdir().unwrap();
    let text = "time;flow [K]\n2024-01-01 10:00;313,15\n2024-01-01 10:01;x\n2024-01-01 10:02;313,15\n";
    fs::write(folder.path().join("a.csv"), text).unwrap();
    let mut child = simulator(folder.path(), &["--replay", "a.csv", "--column", "2"]).spawn().unwrap();
    let mut error = BufReader::new(child.stderr.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        error.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(line(), "firmware-sim: a.csv:3: `x` is not a temperature; not played\n");
    let expected = "firmware-sim: a.csv: 2 rows, 1 in the file not parsed, of column 2 \"flow [K]\" in K, \
        time in column 1 \"time\", year-month-day without an offset; usual step 1m, each row lasts \
        until the next one, no gap, 3m in all\n";
    assert_eq!(line(), expected);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    error.read_to_string(&mut rest).unwrap();
}
