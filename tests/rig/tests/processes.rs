//! Children of the rig: none outlives it, and they are restarted as systemd would do it.

use std::path::Path;
use std::time::Duration;

use rig::clock::until;
use rig::process::{Change, Child, Launch, Programs, Role, Supervised, stop_in_order};
use rustix::process::Signal;

const LIMIT: Duration = Duration::from_secs(10);
const DEMO: &str = env!("CARGO_BIN_EXE_demo");

fn shell(script: &str, folder: &Path) -> Launch {
    Launch {
        name: "shell".to_owned(),
        programs: Programs::at(DEMO),
        role: Role::Program("/bin/sh".into()),
        args: vec!["-c".into(), script.into()],
        log: folder.join("shell.log"),
    }
}

/// `exec` keeps the pid, and makes no grandchild.
const FOREVER: &str = "exec sleep 1000";

/// Waits until the log contains `text`.
fn wait_for_log(launch: &Launch, text: &str) {
    let found = until(LIMIT, || rig::house::log(&launch.log).contains(text).then_some(()));
    found.unwrap_or_else(|| panic!("{text:?} is not in the log"));
}

/// Calls `tend` at `now` until it returns a change.
fn next_change(role: &mut Supervised, now: Duration) -> Change {
    until(LIMIT, || role.tend(now).expect("a shell can be started")).expect("a change")
}

#[test]
fn a_child_ends_with_the_thread_that_started_it() {
    let folder = tempfile::tempdir().unwrap();
    let launch = shell(&format!("echo started; {FOREVER}"), folder.path());
    let mut child = std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            let mut child = Child::spawn(&launch).unwrap();
            wait_for_log(&launch, "started");
            assert_eq!(child.ended().unwrap(), None);
            child
        });
        starter.join().unwrap()
    });
    let status = child.wait(LIMIT).unwrap().expect("the kernel kills it");
    assert_eq!(rig::process::describe(status), "killed by signal 9");
}

#[test]
fn the_guard_refuses_to_wait_for_a_foreign_parent() {
    let output = std::process::Command::new(DEMO).args(["guard", "1", "/bin/true"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(127), "{stderr}");
    assert!(stderr.contains("parent 1 has already ended"), "{stderr}");
    let output = std::process::Command::new(DEMO).args(["guard", "me", "/bin/true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_program_is_named_in_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut launch = shell("", folder.path());
    launch.role = Role::Program("/nowhere/program".into());
    let mut child = Child::spawn(&launch).unwrap();
    let status = child.wait(LIMIT).unwrap().expect("it ends by itself");
    assert_eq!(status.code(), Some(127));
    let log = std::fs::read_to_string(&launch.log).unwrap();
    assert!(log.contains("cannot start /nowhere/program"), "{log}");
}

#[test]
fn a_crash_is_restarted_after_growing_delays() {
    let folder = tempfile::tempdir().unwrap();
    let mut role = Supervised::start(shell("exit 1", folder.path())).unwrap();
    let mut now = Duration::ZERO;
    let mut delays = Vec::new();
    for _ in 0..8 {
        let Change::Died { restart_in, .. } = next_change(&mut role, now) else {
            panic!("it exits by itself");
        };
        delays.push(restart_in.as_millis());
        let early = now + restart_in.saturating_sub(Duration::from_millis(1));
        assert_eq!(role.tend(early).unwrap(), None);
        now += restart_in;
        assert!(matches!(role.tend(now).unwrap(), Some(Change::Restarted { .. })));
    }
    assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(role.deaths(), 8);
}

#[test]
fn a_role_that_has_recovered_starts_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut role = Supervised::start(shell(FOREVER, folder.path())).unwrap();
    let mut now = Duration::ZERO;
    for expected in [100, 200, 100] {
        if expected == 100 {
            // Ten seconds by the test's clock.
            assert_eq!(role.tend(now).unwrap(), None);
            now += Duration::from_secs(10);
            assert_eq!(role.tend(now).unwrap(), None);
        }
        let killed = role.pid().unwrap();
        role.signal(Signal::KILL).unwrap();
        let Change::Died { restart_in, .. } = next_change(&mut role, now) else {
            panic!("it was killed");
        };
        assert_eq!(restart_in.as_millis(), expected);
        now += restart_in;
        next_change(&mut role, now);
        assert_ne!(role.pid(), Some(killed));
    }
}

#[test]
fn usage_and_configuration_errors_are_not_restarted() {
    let folder = tempfile::tempdir().unwrap();
    for code in [2, 78] {
        let script = format!("exit {code}");
        let mut role = Supervised::start(shell(&script, folder.path())).unwrap();
        let Change::GaveUp { status } = next_change(&mut role, Duration::ZERO) else {
            panic!("another start would only repeat it");
        };
        assert_eq!(status.code(), Some(code));
        assert_eq!(role.tend(LIMIT * 100).unwrap(), None);
        assert_eq!(role.given_up(), Some(status));
    }
}

#[test]
fn what_is_kept_down_stays_down_until_it_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut role = Supervised::start(shell(FOREVER, folder.path())).unwrap();
    role.keep_down().unwrap();
    assert_eq!(role.tend(LIMIT).unwrap(), None);
    assert_eq!((role.pid(), role.deaths()), (None, 0));
    role.bring_up().unwrap();
    assert!(role.pid().is_some());
}

#[test]
fn stopping_terminates_first_and_kills_what_ignores_it() {
    let folder = tempfile::tempdir().unwrap();
    let polite = shell(FOREVER, folder.path());
    let mut stubborn = shell("trap '' TERM; echo stubborn; while :; do sleep 0.05; done", folder.path());
    stubborn.log = folder.path().join("stubborn.log");
    let mut polite_role = Supervised::start(polite).unwrap();
    let mut stubborn_role = Supervised::start(stubborn.clone()).unwrap();
    wait_for_log(&stubborn, "stubborn");
    let limit = Duration::from_millis(300);
    let ends = stop_in_order([&mut polite_role, &mut stubborn_role], limit).unwrap();
    let ends: Vec<_> = ends.into_iter().flatten().map(rig::process::describe).collect();
    assert_eq!(ends, ["killed by signal 15", "killed by signal 9"]);
}
