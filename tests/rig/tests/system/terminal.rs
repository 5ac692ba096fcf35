//! The demo in a terminal: Ctrl-C, signals, the frame, and the commands for a second terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rig::clock::Stopwatch;
use rig::house::{House, SOON};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// For what takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);
const CTRL_C: &[u8] = b"\x03";
const CTRL_Z: &[u8] = b"\x1a";
const CTRL_S: &[u8] = b"\x13";
const CTRL_Q: &[u8] = b"\x11";

/// The demo in its own terminal of 80 × 24, with its own folder for temporary files.
struct Terminal {
    child: Child,
    keyboard: fs::File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    temporary: tempfile::TempDir,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        Self::of(super::DEMO, arguments)
    }

    fn of(program: &str, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave =
            || -> Stdio { fs::OpenOptions::new().read(true).write(true).open(path.to_str().unwrap()).unwrap().into() };
        let temporary = tempfile::tempdir().unwrap();
        // A session of its own with this terminal, which turns the key into a signal. setsid becomes the demo.
        let child = Command::new("setsid")
            .args(["--ctty", program])
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let keyboard = fs::File::from(master.try_clone().unwrap());
        let screen = watch(master);
        Self { child, keyboard, screen, seen: String::new(), temporary }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Waits until the screen has shown `text`.
    fn until(&mut self, text: &str) {
        let watch = Stopwatch::start();
        while !self.seen.contains(text) {
            let left = watch.left_of(PATIENCE).unwrap_or_else(|| panic!("no {text:?} on the screen:\n{}", self.seen));
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {text:?}:\n{}", self.seen),
            }
        }
    }

    /// Waits until it ends by itself. Returns what the screen showed, and how it ended.
    fn end(mut self) -> (String, ExitStatus) {
        let watch = Stopwatch::start();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(watch.left_of(PATIENCE).is_some(), "it does not end:\n{}", self.seen);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(20)) {
                self.seen += &String::from_utf8_lossy(&bytes);
            }
        };
        // Read the rest, until the terminal is closed: its last user has ended.
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        let left: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "still running: {left:?}\n{}", self.seen);
        assert_eq!(processes_with(self.temporary.path()), Vec::<String>::new(), "{}", self.seen);
        (std::mem::take(&mut self.seen), status)
    }

    fn ends_with_a_ledger(self) -> String {
        let (seen, status) = self.end();
        assert_eq!(status.code(), Some(0), "{seen}");
        assert!(seen.contains("Every sum closes."), "{seen}");
        seen
    }
}

/// A failed test must not leave a demo running; the demo's children end with it.
impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).unwrap_or_default();
    }
}

/// The output of the terminal, until its other end is closed.
fn watch(master: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let mut master = fs::File::from(master);
    thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The folder in /proc and the command line of each process that names `text` there.
fn processes_naming(text: &str) -> Vec<(PathBuf, String)> {
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((entry.path(), String::from_utf8_lossy(&line).replace('\0', " ")))
    });
    processes.filter(|(_, line)| line.contains(text)).collect()
}

/// The command lines that name `folder`.
fn processes_with(folder: &Path) -> Vec<String> {
    processes_naming(folder.to_str().unwrap()).into_iter().map(|(_, line)| line).collect()
}

/// The process that `parent` started with `name` in its command line.
fn child_of(parent: &Child, name: &str) -> Pid {
    let its_parent = format!("PPid:\t{}\n", parent.id());
    let is_its_own =
        |folder: &PathBuf| fs::read_to_string(folder.join("status")).is_ok_and(|it| it.contains(&its_parent));
    let folders: Vec<PathBuf> =
        processes_naming(name).into_iter().map(|(folder, _)| folder).filter(is_its_own).collect();
    assert_eq!(folders.len(), 1, "{name}: {folders:?}");
    let pid = folders[0].file_name().unwrap().to_str().unwrap();
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

#[test]
fn ctrl_c_before_the_first_sample_ends_with_a_ledger() {
    let mut terminal = Terminal::start(&["--boilers", "1"]);
    terminal.until("nats-server 2");
    terminal.press(CTRL_C);
    terminal.ends_with_a_ledger();
}

#[test]
fn ctrl_c_while_samples_flow_ends_with_a_ledger() {
    let mut terminal = Terminal::start(&["--boilers", "2"]);
    terminal.until("fire ");
    terminal.press(CTRL_C);
    let seen = terminal.ends_with_a_ledger();
    assert!(!seen.contains("died"), "the children see no Ctrl-C: {seen}");
}

#[test]
fn a_second_ctrl_c_changes_nothing_and_a_third_ends_at_once() {
    let mut terminal = Terminal::start(&["--boilers", "1"]);
    terminal.until("fire ");
    terminal.press(CTRL_C);
    terminal.until("Ctrl-C: stopping all roles");
    terminal.press(CTRL_C);
    terminal.ends_with_a_ledger();

    let mut terminal = Terminal::start(&["--boilers", "1"]);
    terminal.until("nats-server 2");
    for answer in ["stopping all roles", "one more signal", "interrupted, without a ledger"] {
        terminal.press(CTRL_C);
        terminal.until(answer);
    }
    let (seen, status) = terminal.end();
    assert_eq!(status.code(), Some(130), "{seen}");
}

#[test]
fn sigterm_and_a_closed_terminal_end_with_a_ledger_too() {
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = Terminal::start(&["--boilers", "1"]);
        terminal.until("fire ");
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        terminal.ends_with_a_ledger();
    }
}

/// A stopped terminal (Ctrl-S) holds up only the frames: after SIGTERM the roles stop, and only the ledger waits.
#[test]
fn sigterm_is_obeyed_while_the_terminal_is_stopped() {
    let mut terminal = Terminal::start(&["--boilers", "1"]);
    terminal.until("fire ");
    terminal.press(CTRL_S);
    // Frames are drawn four times a second: without one for a second, the key has taken effect.
    let watch = Stopwatch::start();
    while terminal.screen.recv_timeout(Duration::from_secs(1)).is_ok() {
        assert!(watch.left_of(PATIENCE).is_some(), "the terminal is not stopped");
    }
    let boiler = child_of(&terminal.child, "firmware-sim");
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    while rustix::process::test_kill_process(boiler).is_ok() {
        assert!(watch.left_of(PATIENCE).is_some(), "the roles go on");
        thread::sleep(Duration::from_millis(50));
    }
    terminal.press(CTRL_Q);
    terminal.ends_with_a_ledger();
}

/// Roles that were killed with the Ctrl-C are restarted before the flow stops.
#[test]
fn roles_killed_with_the_ctrl_c_come_back_for_the_ledger() {
    let mut terminal = Terminal::start(&["--boilers", "1"]);
    terminal.until("fire ");
    for name in ["nats-server", "aggregator"] {
        let pid = child_of(&terminal.child, name);
        kill_process(pid, Signal::KILL).unwrap();
    }
    terminal.press(CTRL_C);
    let seen = terminal.ends_with_a_ledger();
    for name in ["nats-server", "aggregator"] {
        assert!(seen.contains(&format!("{name} started again")), "{seen}");
    }
}

/// On a terminal of 80 columns nothing wraps, nothing is cleared, and nothing is drawn below the last row.
#[test]
fn the_frame_is_redrawn_in_place_on_80_by_24() {
    let mut terminal = Terminal::start(&["--boilers", "11", "--speed", "10", "--for", "3m"]);
    terminal.until("thermowell command boost");
    terminal.until("waiting for the snapshot");
    terminal.press(CTRL_C);
    let seen = terminal.ends_with_a_ledger();
    let (before, frames) = seen.split_once("Thermowell demo").expect("a frame");
    assert!(!before.contains('\x1b') && !seen.contains("\x1b[2J"), "{before}");
    for frame in frames.split("Thermowell demo").map(|frame| frame.split("\x1b[J").next().unwrap_or(frame)) {
        let lines: Vec<&str> = frame.split("\x1b[K\r\n").collect();
        assert!(lines.len() <= 24, "{} lines:\n{frame}", lines.len());
        for line in &lines[1..] {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
    let (b2, b10) = (frames.find("\nb2 ").expect("b2"), frames.find("\nb10 ").expect("b10"));
    assert!(b2 < b10);
    let (_, ledger) = seen.split_once("Ledger:").expect("a ledger");
    let (b2, b10) = (ledger.find("\nb2 ").expect("b2"), ledger.find("\nb10 ").expect("b10"));
    assert!(b2 < b10, "{ledger}");
}

#[test]
fn a_file_that_is_not_there_ends_the_demo_with_that_error() {
    for (arguments, word) in [
        (["--scenario", "/nowhere/winter.toml"].as_slice(), "/nowhere/winter.toml"),
        (&["--replay", "/nowhere/series.csv", "--column", "1"], "/nowhere/series.csv"),
        // Only the simulator itself can refuse this.
        (&["--sim-arg=--serial-number=b1"], "ID=TEXT"),
    ] {
        let (seen, status) = Terminal::start(arguments).end();
        assert!(seen.contains(word) && !seen.contains("restarted"), "{seen}");
        assert!([Some(2), Some(78)].contains(&status.code()), "{status}: {seen}");
    }
}

/// Each line that the demo prints for a second terminal works as it is printed, in any folder.
#[test]
fn the_printed_lines_work_in_a_second_terminal() {
    let mut terminal = Terminal::start(&["--boilers", "2"]);
    terminal.until("fire ");
    terminal.until("--by anna");
    let (_, lines) = terminal.seen.split_once("while this runs:").expect("the lines");
    let (lines, _) = lines.split_once("--by anna").expect("the last line");
    let script = format!("set -e\n{}--by anna\n", lines.replace("\x1b[K", "").replace('\r', ""));
    let watch = Stopwatch::start();
    let out = loop {
        let typed = Command::new("sh").arg("-c").arg(&script).current_dir("/").output().unwrap();
        let out = format!("{}{}", String::from_utf8_lossy(&typed.stdout), String::from_utf8_lossy(&typed.stderr));
        if typed.status.success() {
            break out;
        }
        // A boost needs a tenth of an hour of samples: the first six seconds are too early. On a busy machine a
        // sample may be late.
        let is_early = ["of the last hour is known", "waiting", "unknown"].iter().any(|word| out.contains(word));
        assert!(watch.left_of(PATIENCE).is_some() && is_early, "{script}\n{out}");
    };
    for word in ["fresh", "boilers: ", "accepted: boost 72"] {
        assert!(out.contains(word), "no {word:?} in:\n{out}");
    }
    terminal.press(CTRL_C);
    terminal.ends_with_a_ledger();
}

/// The second screen of the terminal is left, with cursor and line wrap.
const RESTORED: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// `top` and `status --watch` on 80 × 24: they restore the terminal however they end.
#[test]
fn top_and_watch_restore_the_terminal() {
    let mut house = House::start(super::DEMO, &["--speed", "60", "--boilers", "2"]);
    let config = house.config();
    house.until("samples", SOON, |house| house.stored(&house.boilers()[0]));
    let start =
        |words: &[&str]| Terminal::start(&[&["thermowell"], words, &["--config", config.to_str().unwrap()]].concat());

    let mut terminal = start(&["top"]);
    terminal.until("b1 last hour");
    terminal.press(b"?");
    terminal.until("nothing is known of that minute");
    terminal.press(b"x\x1b[B\r");
    terminal.until("b2 last hour");
    terminal.until("firmware");
    terminal.press(b"q");
    let (seen, status) = terminal.end();
    assert!(status.code() == Some(0) && seen.ends_with(RESTORED), "{status}: {seen}");
    for frame in seen.split("\x1b[H").skip(1) {
        let frame = frame.split("\x1b[J").next().unwrap();
        let lines: Vec<&str> = frame.split("\x1b[K\r\n").collect();
        assert!(lines.len() <= 24, "{} lines:\n{frame}", lines.len());
        let styles = ["\x1b[1m", "\x1b[7m", "\x1b[0m", "\x1b[K"];
        let plain = |line: &str| styles.iter().fold(line.to_owned(), |line, style| line.replace(style, ""));
        let wide = lines.iter().find(|line| plain(line).chars().count() > 80);
        assert_eq!(wide, None);
    }

    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut terminal = start(&["top"]);
        terminal.until("b1 last hour");
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        let (seen, status) = terminal.end();
        assert!(status.code() == Some(130) && seen.ends_with(RESTORED), "{status}: {seen}");
    }

    // Ctrl-Z gives the terminal to the shell as it was, and `fg` sets it up again.
    let (demo, path) = (super::DEMO, config.display());
    let script =
        format!("'{demo}' thermowell top --config '{path}'; echo 'in the shell'; read line; fg; echo \"ended $?\"");
    let mut terminal = Terminal::of("sh", &["-mc", &script]);
    terminal.until("b1 last hour");
    terminal.press(CTRL_Z);
    terminal.until("in the shell");
    assert!(terminal.seen.contains(RESTORED), "{}", terminal.seen);
    terminal.seen.clear();
    terminal.press(b"\n");
    terminal.until("\x1b[?1049h");
    terminal.until("b1 last hour");
    terminal.press(b"q");
    terminal.until("ended 0");
    assert!(terminal.end().0.contains(RESTORED));

    let mut terminal = start(&["status", "--watch", "1s"]);
    terminal.until("last hour");
    terminal.press(CTRL_C);
    let (seen, status) = terminal.end();
    assert!(status.code() == Some(130) && seen.contains(RESTORED), "{status}: {seen}");
    assert!(!seen.contains("\x1b[2J"), "nothing is cleared");
    assert!(house.close().ok);
}
