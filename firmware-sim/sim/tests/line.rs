//! The simulator as a process, tested by a minimal gateway that uses only the line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use firmware_sim::account::{Account, BootRecord, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use thermowell_wire::line::{Demand, FrameReader, GapReason, Hello, Outcome, Setpoint, Status, ToDevice, ToGateway};
use thermowell_wire::{Boot, CentiCelsius, Reading};

/// Longest wait for anything: far above what a loaded machine needs.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest wait for bytes at once.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

struct Simulator {
    child: Child,
    folder: tempfile::TempDir,
}

impl Simulator {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_firmware-sim"))
            .args(["--seed", "5", "--port-dir"])
            .arg(folder.path().join("ports"))
            .arg("--account")
            .arg(folder.path().join("account"))
            .arg("--control")
            .arg(folder.path().join("control"))
            .args(args)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn port(&self) -> PathBuf {
        self.folder.path().join("ports/b1")
    }

    fn command(&self, command: &str) -> String {
        let path = self.folder.path().join("control");
        let mut stream = until("the control socket", || UnixStream::connect(&path).ok());
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }

    /// Stops it by SIGTERM, and reads its account.
    fn end(&mut self) -> Account {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(self.port().symlink_metadata().is_err(), "the link is removed");
        Account::open(&self.folder.path().join("account")).unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    // Polls every 10 ms.
    for _ in 0..TIMEOUT.as_millis() / 10 {
        if let Some(found) = look() {
            return found;
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        poll(&mut [], Some(&pause)).unwrap();
    }
    panic!("waited in vain for {what}")
}

/// A gateway with go-back-N and nothing else.
struct Gateway {
    path: PathBuf,
    file: File,
    reader: FrameReader,
    hello: Option<Hello>,
    /// Slots of the current boot; None for one reported as missing.
    slots: Vec<Option<Reading>>,
    status: Option<Status>,
    answers: Vec<Outcome>,
    rejected: u32,
}

impl Gateway {
    fn open(path: &Path) -> Self {
        let mut gateway = Self {
            path: path.to_owned(),
            file: open(path),
            reader: FrameReader::new(),
            hello: None,
            slots: Vec::new(),
            status: None,
            answers: Vec::new(),
            rejected: 0,
        };
        gateway.send(&ToDevice::Identify);
        gateway
    }

    fn send(&mut self, message: &ToDevice) {
        let mut buffer = [0; 256];
        let frame = thermowell_wire::line::encode(message, &mut buffer).unwrap();
        // If the cable is out the message is lost, and sent again later.
        drop(self.file.write_all(frame));
    }

    fn boot(&self) -> Boot {
        self.hello.as_ref().unwrap().boot
    }

    /// Receives until `done`.
    fn receive_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let looks = TIMEOUT.as_millis() / 50 * 4;
        let mut silent = 0;
        for _ in 0..looks {
            if done(self) {
                return;
            }
            poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&POLL)).unwrap();
            let mut bytes = [0; 4_096];
            match self.file.read(&mut bytes) {
                Ok(0) => self.reopen(),
                Ok(read) => {
                    self.receive(&bytes[..read]);
                    silent = 0;
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.reopen(),
            }
            silent += 1;
            // Half a second without bytes: identify again.
            if silent % 10 == 0 {
                self.send(&ToDevice::Identify);
            }
        }
        panic!("{} slots, waited in vain for {what}", self.slots.len());
    }

    fn reopen(&mut self) {
        let path = self.path.clone();
        self.file = open(&path);
        self.reader.reset();
        self.send(&ToDevice::Identify);
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut reader = std::mem::take(&mut self.reader);
        reader.feed(bytes, |message| match message {
            Ok(message) => self.note(message),
            Err(_) => self.rejected += 1,
        });
        self.reader = reader;
    }

    fn note(&mut self, message: ToGateway) {
        let expected = self.slots.len() as u64;
        match message {
            ToGateway::Hello(hello) => {
                if self.hello.as_ref().is_none_or(|known| known.boot != hello.boot) {
                    self.slots.clear();
                }
                let (boot, from) = (hello.boot, self.slots.len() as u64);
                self.hello = Some(hello);
                self.send(&ToDevice::Resume { boot, from });
            }
            ToGateway::Samples(samples) if samples.seq <= expected => {
                let seen = usize::try_from(expected - samples.seq).unwrap();
                self.slots.extend(samples.readings.iter().skip(seen).copied().map(Some));
            }
            ToGateway::Gap(gap) if gap.from == expected => {
                self.slots.resize(usize::try_from(gap.to).unwrap(), None);
                assert!(matches!(gap.reason, GapReason::Ring | GapReason::Missed));
            }
            ToGateway::Samples(_) => {
                let boot = self.boot();
                self.send(&ToDevice::Resume { boot, from: expected });
            }
            ToGateway::Status(status) => self.status = Some(status),
            ToGateway::Answer(answer) => self.answers.push(answer.outcome),
            ToGateway::Gap(_) | ToGateway::Pong(_) => {}
        }
    }
}

fn open(path: &Path) -> File {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap();
    until("the port", || OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok())
}

fn record(account: &Account, boot: Boot) -> &BootRecord {
    account.boilers[0].boot(boot).unwrap()
}

fn sampled(record: &BootRecord, slots: usize) -> Vec<Option<Reading>> {
    record.readings(0..slots as u64).unwrap().map(Result::unwrap).collect()
}

#[test]
fn samples_arrive_intact_through_noise_and_unplugging() {
    let scenario = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&scenario, "[line]\nbit_errors = [{ ppm = 20 }]\nlost_bytes = [{ ppm = 20 }]\n").unwrap();
    let mut simulator = Simulator::start(&["--speed", "20", "--scenario", scenario.path().to_str().unwrap()]);
    let mut gateway = Gateway::open(&simulator.port());
    gateway.receive_until("the first slots", |it| it.slots.len() > 1_000);
    assert_eq!(simulator.command("garbage b1 300"), "ok 300 bytes");
    gateway.receive_until("slots after garbage", |it| it.slots.len() > 2_000);
    assert_eq!(simulator.command("stall b1 2s"), "ok stalled");
    gateway.receive_until("slots after a stall", |it| it.slots.len() > 3_000);
    assert_eq!(simulator.command("unplug b1"), "ok unplugged");
    until("the link to go", || simulator.port().symlink_metadata().err());
    assert_eq!(simulator.command("plug b1"), "ok plugged");
    let arrived = gateway.slots.len();
    gateway.receive_until("slots after unplugging", |it| it.slots.len() > arrived + 3_000);
    let hello = gateway.hello.clone().unwrap();
    assert_eq!((hello.ring, hello.serial_number.as_str(), hello.simulated), (240_000, "SIM-b1", true));
    assert!(gateway.rejected > 0, "no frame was corrupted");

    let account = simulator.end();
    let boiler = &account.boilers[0];
    let record = record(&account, gateway.boot());
    assert_eq!(gateway.slots, sampled(record, gateway.slots.len()));
    assert!(gateway.slots.iter().all(Option::is_some), "the ring covers all of it");
    assert!(record.missed.is_empty() && record.ring_gaps.is_empty() && record.ended_ns.is_some());
    assert!(boiler.events.iter().any(|it| matches!(it, Event::Unplug { .. })));
    assert!(boiler.events.iter().any(|it| matches!(it, Event::Plug { .. })));
    // The account is complete up to the slot that was due when it stopped.
    let lived_ns = record.ended_ns.unwrap() - record.t0_ns;
    assert_eq!(record.slots, lived_ns / 10_000_000 + 1);
    assert_eq!(record.t0_ns, 0);
}

#[test]
fn reboot_is_a_new_boot_and_ends_the_lease() {
    let mut simulator = Simulator::start(&["--speed", "20", "--real"]);
    let mut gateway = Gateway::open(&simulator.port());
    gateway.receive_until("slots", |it| it.slots.len() > 500);
    let first = gateway.boot();
    assert!(!gateway.hello.as_ref().unwrap().simulated, "--real");
    let ask = Setpoint { boot: first, n: 1, demand: Demand::Heat, flow: CentiCelsius(9_900), lease_s: 120 };
    gateway.send(&ToDevice::Setpoint(ask));
    gateway.receive_until("the answer", |it| !it.answers.is_empty());
    let flow = CentiCelsius(7_500);
    assert_eq!(gateway.answers, [Outcome::Accepted { flow, lease_s: 120 }]);
    gateway.receive_until("the lease in the status", |it| it.status.as_ref().is_some_and(|it| it.setpoint.is_some()));

    assert_eq!(simulator.command("miss b1 1s"), "ok silent");
    let slots = gateway.slots.len();
    gateway.receive_until("slots after missed ones", |it| it.slots.len() > slots + 400);
    let before = gateway.slots.clone();
    assert_eq!(simulator.command("reboot b1 5s"), "ok off");
    gateway.receive_until("another boot", |it| it.boot() != first && it.slots.len() > 500);
    let second = gateway.boot();
    assert_eq!(second.counter(), first.counter() + 1);
    assert!(gateway.status.as_ref().unwrap().setpoint.is_none(), "the lease ends with the boot");

    let account = simulator.end();
    let (one, two) = (record(&account, first), record(&account, second));
    assert_eq!(before, sampled(one, before.len()));
    assert_eq!(gateway.slots, sampled(two, gateway.slots.len()));
    assert_eq!(one.missed.iter().map(|range| range.end - range.start).sum::<u64>(), 100);
    assert_eq!(one.summary(0..one.slots).unwrap().missed, 100);
    assert_eq!(two.t0_ns - one.ended_ns.unwrap(), 5_000_000_000);
    assert_eq!(two.utc_ns(0) - one.utc_ns(0), i64::try_from(two.t0_ns).unwrap());
    assert!(account.boilers[0].events.iter().any(|it| matches!(it, Event::Lease { n: 1, lease_s: 120, .. })));
}

#[test]
fn garbage_that_does_not_fit_is_refused() {
    let mut simulator = Simulator::start(&["--speed", "1"]);
    let gateway = Gateway::open(&simulator.port());
    assert_eq!(simulator.command("stall b1 1h"), "ok stalled");
    let [first, _, third] = [(); 3].map(|()| simulator.command("garbage b1 16384"));
    assert_eq!(first, "ok 16384 bytes");
    assert!(third.starts_with("error the line has room for "), "{third}");
    drop(gateway);
    simulator.end();
}

#[test]
fn commands_are_executed_ahead_of_the_epoch() {
    // Centuries after the start of the machine.
    let mut simulator = Simulator::start(&["--epoch-monotonic-ns", "9000000000000000000"]);
    for (command, reply) in [("status b1", "ok off"), ("unplug b1", "ok unplugged"), ("quit", "ok bye")] {
        assert_eq!(simulator.command(command), reply);
    }
    assert!(simulator.child.wait().unwrap().success());
}
