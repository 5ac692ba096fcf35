//! `cargo cuts`, short: it needs root and some tools, and prints SKIPPED if something is missing.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rig::clock::Stopwatch;
use rustix::process::{Pid, Signal, kill_process};

const SKIPPED: &str = "SKIPPED: power cuts: ";
/// For what takes a second on an idle machine.
const SOON: Duration = Duration::from_secs(60);

fn cuts(arguments: &[&str]) -> Command {
    let mut command = Command::new(super::DEMO);
    command.arg("cuts").args(arguments).stdin(Stdio::null());
    command
}

/// Prints to the log of CI.
fn show(line: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

#[test]
fn what_the_machine_does_not_have_is_skipped_with_its_reason() {
    let empty = tempfile::tempdir().unwrap();
    let output = cuts(&["--cuts", "1"]).env("PATH", empty.path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(0), true), "{stderr}");
    let reason = stderr.strip_prefix(SKIPPED).unwrap_or_else(|| panic!("{stderr}"));
    assert!(reason.contains("only root may") || reason.contains("there is no unshare"), "{reason}");
}

#[test]
#[ignore = "a minute, root"]
fn nothing_is_lost_in_a_few_cuts() {
    let output = cuts(&["--cuts", "7", "--boilers", "2", "--feed"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let sum = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}{sum}");
    match stderr.lines().find(|line| line.starts_with(SKIPPED)) {
        Some(skipped) => show(skipped),
        None => assert!(sum.starts_with("as predicted: 7 cuts, ") && sum.contains(" 0 lost, 0 twice"), "{stderr}{sum}"),
    }
}

#[test]
#[ignore = "half a minute, root"]
fn nothing_stays_mounted_when_it_is_interrupted_or_killed() {
    for (signal, leaves) in [(Signal::INT, 0), (Signal::KILL, 1)] {
        let temporary = tempfile::tempdir().unwrap();
        let mut run = cuts(&["--cuts", "50"]).env("TMPDIR", temporary.path()).stderr(Stdio::piped()).spawn().unwrap();
        let Some(progress) = until_the_first_cut(&mut run) else { return };
        assert!(holds_loops(temporary.path()), "{progress}");
        kill_process(Pid::from_child(&run), signal).unwrap();
        let status = run.wait().unwrap();
        assert!(!status.success());
        // The kernel removes a mount namespace asynchronously.
        let watch = Stopwatch::start();
        while holds_loops(temporary.path()) {
            assert!(watch.left_of(SOON).is_some(), "a loop device is left after {signal:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let left = fs::read_dir(temporary.path()).unwrap().count();
        assert_eq!(left, leaves, "after {signal:?}: only a kill leaves the folder of logs and accounts");
    }
}

/// Its output up to the first cut; `None` if it is skipped.
fn until_the_first_cut(run: &mut Child) -> Option<String> {
    let mut progress = String::new();
    let mut lines = BufReader::new(run.stderr.as_mut().unwrap());
    while !progress.contains("life  1 cut   1") {
        let read = lines.read_line(&mut progress).unwrap();
        if let Some(skipped) = progress.lines().find(|line| line.starts_with(SKIPPED)) {
            show(skipped);
            return None;
        }
        assert!(read > 0, "it ended: {progress}");
    }
    Some(progress)
}

/// Whether a loop device is on a file below `folder`, named or not.
fn holds_loops(folder: &Path) -> bool {
    let below = |name: &str| {
        let backing = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).unwrap_or_default();
        backing.contains(folder.to_str().unwrap())
    };
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    devices.filter_map(|device| device.file_name().into_string().ok()).any(|name| below(&name))
}
