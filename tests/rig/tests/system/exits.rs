//! How a process ends: after a signal, or with an exit code after which a restart is pointless.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rig::clock::{Stopwatch, until};
use rig::house::{self, SOON};
use rig::process::{Child, HTTP_OFF, Launch, Programs, Role, describe};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use thermowell::shutdown::is_ignored;
use tokio::signal::unix::SignalKind;

/// A configuration without a server, with these lines in `[nats]`.
fn configuration(folder: &Path, nats: &str) -> PathBuf {
    let path = folder.join("thermowell.toml");
    let folder = folder.display();
    let text = format!(
        "gateway = \"test\"\ncontrol = {{ enabled = true, emitter = \"radiators\" }}\n\
         spool.directory = \"{folder}/spool\"\n\n\
         [nats]\nurl = \"nats://127.0.0.1:9\"\n{nats}\n\n[[boiler]]\nid = \"b1\"\nport = \"{folder}/port\"\n{HTTP_OFF}"
    );
    fs::write(&path, text).unwrap();
    path
}

fn role(name: &str, folder: &Path, config: &Path) -> Child {
    let log = folder.join("log");
    fs::write(&log, "").unwrap();
    Child::spawn(&Launch::run(&Programs::at(super::DEMO), name, config, log)).unwrap()
}

/// Waits until the process has written `line` to its log.
fn until_logged(folder: &Path, line: &str) {
    let log = || house::log(&folder.join("log"));
    let found = until(SOON, || log().contains(line).then_some(()));
    found.unwrap_or_else(|| panic!("no {line:?} in:\n{}", log()));
}

#[test]
fn a_key_file_of_no_use_is_78_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong");
    fs::write(&wrong, "hunter2").unwrap();
    let (absent, wrong) = (folder.path().join("absent"), wrong.display());
    let (absent_name, of_agent) = (absent.display(), absent.join("agent.nk"));
    for (name, nats, key, file) in [
        ("agent", format!("keys = \"{absent_name}\""), "nats.keys", of_agent.display().to_string()),
        ("aggregator", format!("keys = \"{absent_name}\""), "nats.keys", format!("{absent_name}/aggregator.nk")),
        ("controller", format!("keys = \"{absent_name}\""), "nats.keys", format!("{absent_name}/controller.nk")),
        ("front", format!("keys = \"{absent_name}\""), "nats.keys", format!("{absent_name}/front.nk")),
        ("agent", format!("nkey_file = \"{wrong}\""), "nats.nkey_file", wrong.to_string()),
        ("agent", format!("credentials = \"{absent_name}\""), "nats.credentials", absent_name.to_string()),
        ("agent", format!("credentials = \"{wrong}\""), "nats.credentials", wrong.to_string()),
        (
            "agent",
            format!("user = \"a\"\npassword_file = \"{absent_name}\""),
            "nats.password_file",
            absent_name.to_string(),
        ),
        ("agent", format!("tls.ca = \"{wrong}\""), "nats.tls.ca", wrong.to_string()),
    ] {
        let mut child = role(name, folder.path(), &configuration(folder.path(), &nats));
        let status = child.wait(SOON).unwrap();
        let log = house::log(&folder.path().join("log"));
        assert_eq!(status.map(describe).as_deref(), Some("exit code 78"), "{nats}:\n{log}");
        assert!(log.contains(&format!("{key}: {file} ")) && !log.contains("hunter2"), "{nats}:\n{log}");
    }
}

#[test]
fn a_key_file_of_another_user_is_78_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.nk");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_ok() {
        return super::skipped("root reads the files of all users");
    }
    let nats = format!("keys = \"{}\"", folder.path().display());
    let mut child = role("agent", folder.path(), &configuration(folder.path(), &nats));
    let status = child.wait(SOON).unwrap();
    let log = house::log(&folder.path().join("log"));
    assert_eq!(status.map(describe).as_deref(), Some("exit code 78"), "{log}");
    assert!(log.contains("agent.nk is not readable for this user"), "{log}");
}

#[test]
fn each_role_drains_at_a_hangup() {
    if is_ignored(SignalKind::hangup()) {
        return super::skipped("SIGHUP is ignored here");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    for name in ["agent", "aggregator", "controller", "front"] {
        let mut child = role(name, folder.path(), &config);
        until_logged(folder.path(), &format!("role=\"{name}\""));
        child.signal(Signal::HUP).unwrap();
        let status = child.wait(SOON).unwrap();
        let log = house::log(&folder.path().join("log"));
        assert_eq!(status.map(describe).as_deref(), Some("exit code 0"), "{name}:\n{log}");
        assert!(log.contains("SIGHUP") && log.contains("stopped"), "{name}:\n{log}");
    }
}

#[test]
fn an_ignored_hangup_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    let words = ["-c", "trap '' HUP; exec \"$@\"", "sh", super::DEMO, "thermowell", "run", "agent", "--config"];
    let args = words.iter().map(Into::into).chain([config.into()]).collect();
    let (programs, log) = (Programs::at(super::DEMO), folder.path().join("log"));
    let launch = Launch { name: "agent".to_owned(), programs, role: Role::Program("/bin/sh".into()), args, log };
    let mut child = Child::spawn(&launch).unwrap();
    until_logged(folder.path(), "role=\"agent\"");
    child.signal(Signal::HUP).unwrap();
    child.signal(Signal::TERM).unwrap();
    let status = child.wait(SOON).unwrap();
    let log = house::log(&folder.path().join("log"));
    assert_eq!(status.map(describe).as_deref(), Some("exit code 0"), "{log}");
    assert!(log.contains("SIGTERM") && !log.contains("SIGHUP"), "{log}");
}

#[test]
fn log_level_of_a_running_role_changes_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    let log = folder.path().join("log");
    let mut child = Command::new(super::DEMO)
        .args(["thermowell", "run", "agent", "--config"])
        .arg(config)
        .env("RUNTIME_DIRECTORY", folder.path())
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(super::DEMO);
        let command = command.args(["thermowell", "log"]).args(arguments).env("RUNTIME_DIRECTORY", folder.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let answer = until(SOON, || Some(ask(&["trace", "--for", "2s"])).filter(|(code, _)| *code == Some(0)));
    assert_eq!(answer.unwrap().1, format!("agent {}: trace for 2 s\n", child.id()));
    until_logged(folder.path(), "another log filter was asked for");
    until_logged(folder.path(), "DEBUG");
    until_logged(folder.path(), "the log filter is the configured one again");
    assert_eq!(ask(&["debug", "--role", "front"]).0, Some(1));
    assert_eq!(ask(&["configured"]), (Some(0), format!("agent {}: the configured filter\n", child.id())));
    assert_eq!(ask(&["thermowell"]).0, Some(2));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = until(SOON, || child.try_wait().unwrap());
    if status.is_none() {
        child.kill().unwrap();
    }
    assert_eq!(status.map(describe).as_deref(), Some("exit code 0"), "{}", house::log(&log));
    assert_eq!(ask(&["debug"]).0, Some(1), "its socket is gone");
}

/// When a terminal closes, stderr closes too: the drain must not end at the first line that cannot be written.
#[test]
fn a_terminal_that_closes_ends_a_role_in_order() {
    if is_ignored(SignalKind::hangup()) {
        return super::skipped("SIGHUP is ignored here");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "");
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let stderr = fs::OpenOptions::new().write(true).open(name).unwrap();
    let mut child = Command::new(super::DEMO)
        .args(["thermowell", "run", "agent", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .unwrap();
    let mut output = String::new();
    let watch = Stopwatch::start();
    while !output.contains("role=\"agent\"") {
        let left = watch.left_of(SOON).unwrap_or_else(|| panic!("the agent does not start: {output}"));
        let left = Timespec::try_from(left).unwrap();
        if poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&left)).unwrap() == 0 {
            continue;
        }
        let mut buffer = [0; 4_096];
        let count = rustix::io::read(&terminal, &mut buffer).unwrap();
        output += &String::from_utf8_lossy(&buffer[..count]);
    }
    drop(terminal);
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    let status = until(SOON, || child.try_wait().unwrap());
    if status.is_none() {
        child.kill().unwrap();
    }
    assert_eq!(status.map(describe).as_deref(), Some("exit code 0"), "{output}");
}
