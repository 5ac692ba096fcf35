//! Commands while the simulation runs, one per line over a unix socket or standard input, with one reply line each.
//!
//! ```text
//! unplug b1  ─▶  ok unplugged        fly b1  ─▶  error unknown command `fly b1`: `help` lists them
//! ```
//! `COMMANDS` lists them; the reply to `help` has several lines. A command that fails is answered by `error …`.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use thermowell_device::Panel;
use thermowell_wire::{BoilerId, CentiCelsius};

use crate::plant::Failing;
use crate::quantity::duration;
use crate::source::PlantSource;
use crate::station::Station;

/// Most simultaneous connections; further ones are closed. One is usual.
const CONNECTIONS_MAX: usize = 8;
/// Longest command in bytes. A longer line ends the connection.
const LINE_MAX: usize = 256;
/// Most garbage bytes in one command.
const GARBAGE_MAX: usize = 16_384;

/// A command with its arguments, and its effect.
struct Usage {
    usage: &'static str,
    effect: &'static str,
}

const fn usage(usage: &'static str, effect: &'static str) -> Usage {
    Usage { usage, effect }
}

const COMMANDS: [Usage; 12] = [
    usage("unplug BOILER", "pull the cable"),
    usage("plug BOILER", "put it back"),
    usage("reboot BOILER TIME", "switch off for TIME (simulated), such as 5s"),
    usage("miss BOILER TIME", "do not sample for TIME"),
    usage("stall BOILER TIME", "hold back all bytes on the line for TIME"),
    usage("garbage BOILER COUNT", "send COUNT wrong bytes to the gateway"),
    usage("fail BOILER flame|pump TIME", "no flame, or no water flow, for TIME"),
    usage("panel BOILER auto|off|5..95", "set the panel: automatic, off, or a flow temperature"),
    usage("press BOILER", "press the reset button at the boiler"),
    usage("status BOILER", "show boot, slots, lease, own control, corrupted and dropped bytes"),
    usage("help", "list these commands"),
    usage("quit", "stop, with a complete account"),
];

/// The commands with their arguments, one per line.
#[must_use]
pub fn help() -> String {
    COMMANDS.iter().map(|command| format!("  {:<29}{}\n", command.usage, command.effect)).collect()
}

/// The error message for a command that cannot be parsed.
fn usage_error(line: &str) -> String {
    let line = line.trim();
    let word = line.split_whitespace().next();
    match COMMANDS.iter().find(|command| command.usage.split(' ').next() == word) {
        Some(command) => format!("expected `{}`, not `{line}`", command.usage),
        None => format!("unknown command `{line}`: `help` lists them"),
    }
}

/// A parsed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop the process.
    Quit,
    /// Act on one boiler.
    Boiler { id: BoilerId, action: Action },
}

/// An action on one boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pull the cable.
    Unplug,
    /// Put it back.
    Plug,
    /// Switch off for a while.
    Reboot(Duration),
    /// Do not sample for a while.
    Miss(Duration),
    /// Hold back all bytes on the line for a while.
    Stall(Duration),
    /// Send wrong bytes to the gateway.
    Garbage(usize),
    /// Make a part of the plant fail for a while.
    Fail(Failing, Duration),
    /// Turn the knob at the panel.
    Panel(Panel),
    /// Press the reset button.
    Press,
    /// Report boot, slots, lease, own control, corrupted and dropped bytes.
    Status,
}

impl Action {
    /// Executes it at simulated `now_ns`, and returns the reply.
    ///
    /// # Errors
    /// Why it cannot be executed now.
    pub fn execute(self, station: &mut Station, now_ns: u64) -> Result<String, String> {
        let end_ns = |length: Duration| now_ns.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let reply = match self {
            Self::Unplug => {
                station.line_mut().pull(true);
                String::from("unplugged")
            }
            Self::Plug => {
                station.line_mut().pull(false);
                String::from("plugged")
            }
            Self::Reboot(length) => {
                station.boiler_mut().switch_off(now_ns, end_ns(length));
                String::from("off")
            }
            Self::Miss(length) => {
                station.boiler_mut().silence(now_ns, end_ns(length));
                String::from("silent")
            }
            Self::Stall(length) => {
                station.line_mut().stall(end_ns(length) / 1_000);
                String::from("stalled")
            }
            Self::Garbage(count) => {
                // All byte values occur, including the zeros that end frames.
                let bytes = (0..count).map(|n| (n * 151 + n / 251).to_le_bytes()[0]);
                let put = station.inject(&bytes.collect::<Vec<u8>>());
                put.map_err(|room| format!("the line has room for {room} bytes: the gateway does not read"))?;
                format!("{count} bytes")
            }
            Self::Fail(what, length) => {
                let until_us = end_ns(length) / 1_000;
                on_plant(station, "failing", |plant| plant.fail(what, now_ns / 1_000, until_us))
            }
            Self::Panel(panel) => on_plant(station, "set", |plant| plant.set_panel(panel)),
            Self::Press => on_plant(station, "pressed", PlantSource::press_reset),
            Self::Status => status(station),
        };
        Ok(reply)
    }
}

/// Acts on the plant, if there is one.
fn on_plant(station: &mut Station, done: &str, action: impl FnOnce(&mut PlantSource)) -> String {
    match station.boiler_mut().plant_mut() {
        Some(plant) => {
            action(plant);
            String::from(done)
        }
        None => String::from("nothing: a recorded series has no plant"),
    }
}

/// `own` is the flow temperature of the boiler's own control, or why it gives no heat.
fn status(station: &Station) -> String {
    let Some(device) = station.boiler().device() else { return String::from("off") };
    let (boot, next, oldest, leased) = (device.boot(), device.next(), device.oldest(), device.is_leased());
    let (broken, dropped) = (station.line().broken(), station.dropped());
    let own = device.own_heat().map_or_else(|reason| reason.name().to_owned(), |flow| flow.to_string());
    let day = device.outdoor_day().map_or_else(|| String::from("unknown"), |day| day.to_string());
    let line = format!("broken={broken} dropped={dropped}");
    format!("boot={boot} next={next} oldest={oldest} leased={leased} own={own} outdoor_day={day} {line}")
}

fn parse(line: &str) -> Result<Command, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (id, action) = match words.as_slice() {
        ["quit"] => return Ok(Command::Quit),
        ["unplug", id] => (id, Action::Unplug),
        ["plug", id] => (id, Action::Plug),
        ["reboot", id, text] => (id, Action::Reboot(duration(text)?)),
        ["miss", id, text] => (id, Action::Miss(duration(text)?)),
        ["stall", id, text] => (id, Action::Stall(duration(text)?)),
        ["garbage", id, text] => {
            let count = text.parse().ok().filter(|count| *count <= GARBAGE_MAX);
            (id, Action::Garbage(count.ok_or_else(|| format!("`{text}` is not from 0 to {GARBAGE_MAX}"))?))
        }
        ["fail", id, part, text] => {
            let part = match *part {
                "flame" => Failing::Flame,
                "pump" => Failing::Pump,
                _ => return Err(format!("`{part}` is neither flame nor pump")),
            };
            (id, Action::Fail(part, duration(text)?))
        }
        ["panel", id, text] => (id, Action::Panel(panel(text)?)),
        ["press", id] => (id, Action::Press),
        ["status", id] => (id, Action::Status),
        _ => return Err(usage_error(line)),
    };
    let id = id.parse().map_err(|error| format!("{id}: {error}"))?;
    Ok(Command::Boiler { id, action })
}

/// `auto`, `off`, or a flow temperature in whole degrees.
fn panel(text: &str) -> Result<Panel, String> {
    match text {
        "auto" => Ok(Panel::Automatic),
        "off" => Ok(Panel::Off),
        _ => match text.parse::<i16>() {
            Ok(celsius @ 5..=95) => Ok(Panel::Flow(CentiCelsius(celsius * 100))),
            Ok(_) | Err(_) => Err(format!("`{text}` is not auto, off, or 5 to 95 °C")),
        },
    }
}

/// Accepts commands.
#[derive(Debug)]
pub struct Console {
    listener: Option<UnixListener>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Socket(UnixStream),
    /// Standard input; replies go to standard output.
    Standard,
}

impl Console {
    /// Accepts commands on a unix socket at `path`. The socket of a killed simulator is replaced.
    ///
    /// # Errors
    /// If the socket cannot be created.
    pub fn socket(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: Some(listener), connections: Vec::new() })
    }

    /// Accepts commands on standard input, whose end means `quit`.
    #[must_use]
    pub fn standard() -> Self {
        Self { listener: None, connections: vec![Connection { stream: Stream::Standard, line: Vec::new() }] }
    }

    /// Descriptors to wait on.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = self.connections.iter().map(|it| match &it.stream {
            Stream::Socket(stream) => stream.as_fd(),
            Stream::Standard => rustix::stdio::stdin(),
        });
        self.listener.iter().map(AsFd::as_fd).chain(streams)
    }

    /// Executes every command received so far and replies with the result of `execute`.
    pub fn serve(&mut self, mut execute: impl FnMut(Command) -> Result<String, String>) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if self.connections.len() < CONNECTIONS_MAX && stream.set_nonblocking(true).is_ok() {
                self.connections.push(Connection { stream: Stream::Socket(stream), line: Vec::new() });
            }
        }
        self.connections.retain_mut(|it| it.serve(&mut execute));
    }
}

impl Connection {
    /// Returns whether the connection stays open.
    fn serve(&mut self, execute: &mut impl FnMut(Command) -> Result<String, String>) -> bool {
        let mut bytes = [0; LINE_MAX];
        let read = match &mut self.stream {
            Stream::Socket(stream) => match stream.read(&mut bytes) {
                Ok(read) => read,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            },
            Stream::Standard => match read_standard(&mut bytes) {
                Some(read) => read,
                None => return true,
            },
        };
        if read == 0 {
            if matches!(self.stream, Stream::Standard) {
                drop(execute(Command::Quit));
            }
            return false;
        }
        self.line.extend_from_slice(&bytes[..read]);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let reply = if line.trim() == "help" {
                format!("ok commands:\n{}", help())
            } else {
                match parse(&line).and_then(&mut *execute) {
                    Ok(done) => format!("ok {done}\n"),
                    Err(reason) => format!("error {reason}\n"),
                }
            };
            if self.reply(&reply).is_err() {
                return false;
            }
        }
        self.line.len() < LINE_MAX
    }

    fn reply(&mut self, reply: &str) -> io::Result<()> {
        match &mut self.stream {
            Stream::Socket(stream) => stream.write_all(reply.as_bytes()),
            Stream::Standard => {
                let mut out = io::stdout().lock();
                out.write_all(reply.as_bytes())?;
                out.flush()
            }
        }
    }
}

/// Reads from standard input without blocking: None if nothing is pending.
fn read_standard(bytes: &mut [u8]) -> Option<usize> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdin = rustix::stdio::stdin();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::from_borrowed_fd(stdin, PollFlags::IN)], Some(&at_once));
    match ready {
        Ok(0) | Err(_) => None,
        Ok(_) => rustix::io::read(stdin, bytes).ok(),
    }
}

#[cfg(test)]
mod tests {
    use thermowell_device::Config;

    use super::*;
    use crate::boiler::{Boiler, BoilerSetup};
    use crate::line::Line;
    use crate::port::{Port, PortKind};
    use crate::scenario::Scenario;
    use crate::source::Source;

    #[test]
    fn commands_are_parsed_or_refused() {
        let boiler = |action| Ok(Command::Boiler { id: "b1".parse().unwrap(), action });
        assert_eq!(parse("quit\n"), Ok(Command::Quit));
        assert_eq!(parse(" unplug  b1 "), boiler(Action::Unplug));
        assert_eq!(parse("reboot b1 5s"), boiler(Action::Reboot(Duration::from_secs(5))));
        assert_eq!(parse("stall b1 200ms"), boiler(Action::Stall(Duration::from_millis(200))));
        assert_eq!(parse("garbage b1 12"), boiler(Action::Garbage(12)));
        assert_eq!(parse("fail b1 flame 10m"), boiler(Action::Fail(Failing::Flame, Duration::from_secs(600))));
        assert_eq!(parse("panel b1 45"), boiler(Action::Panel(Panel::Flow(CentiCelsius(4_500)))));
        assert_eq!(parse("panel b1 auto"), boiler(Action::Panel(Panel::Automatic)));
        assert_eq!(parse("press b1"), boiler(Action::Press));
        for wrong in [
            "panel b1 500",
            "panel b1 warm",
            "fail b1 roof 5s",
            "",
            "unplug",
            "unplug B1",
            "reboot b1 soon",
            "reboot b1 -5s",
            "garbage b1 1000000",
            "fly b1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn wrong_arguments_get_the_usage() {
        for (line, expected) in [
            ("unplug b1 5s", "expected `unplug BOILER`, not `unplug b1 5s`"),
            ("reboot b1", "expected `reboot BOILER TIME`, not `reboot b1`"),
            ("fail b1 flame", "expected `fail BOILER flame|pump TIME`, not `fail b1 flame`"),
            ("quit now", "expected `quit`, not `quit now`"),
            ("fly b1", "unknown command `fly b1`: `help` lists them"),
            ("", "unknown command ``: `help` lists them"),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
        for command in COMMANDS {
            assert!(help().lines().any(|line| line.contains(command.usage) && line.ends_with(command.effect)));
            let arguments = command.usage.replace("BOILER", "b1").replace("TIME", "5s").replace("COUNT", "7");
            let line = arguments.replace("flame|pump", "pump").replace("auto|off|5..95", "off");
            assert!(line == "help" || parse(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn status_has_the_reason_for_no_heat() {
        let folder = tempfile::tempdir().unwrap();
        for (mean_c, expected) in [(25, "own=heating_limit outdoor_day=2"), (-20, "own=75.00 outdoor_day=-2")] {
            let id: BoilerId = "b1".parse().unwrap();
            let text = format!("[weather]\nmean_c = {mean_c}\nwander_k = 0");
            let scenario = Scenario::parse("test", &text).unwrap().boiler(&id);
            let source = Source::plant(&scenario);
            let setup = BoilerSetup { id, device: Config::default(), scenario, source, ring: 100, boots: 0 };
            let port = Port::open(PortKind::Socket, folder.path().join("b1")).unwrap();
            let mut station = Station::new(Boiler::new(setup, 0), Line::new(Vec::new(), 1), port, None);
            station.boiler_mut().advance(1_000_000_000, |_| 0);
            let reply = Action::Status.execute(&mut station, 1_000_000_000).unwrap();
            assert!(reply.contains(expected), "{reply}");
        }
    }

    #[test]
    fn socket_replies_to_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut console = Console::socket(&folder.path().join("control")).unwrap();
        let mut stream = UnixStream::connect(folder.path().join("control")).unwrap();
        stream.write_all(b"status b1\nnonsense\n help \nqu").unwrap();
        let mut execute = |command| match command {
            Command::Quit => Ok(String::from("bye")),
            Command::Boiler { id, .. } => Err(format!("there is no boiler {id}")),
        };
        console.serve(&mut execute);
        stream.write_all(b"it\n").unwrap();
        console.serve(&mut execute);
        drop(console);
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        let expected = "error there is no boiler b1\nerror unknown command `nonsense`: `help` lists them\n";
        assert_eq!(replies, format!("{expected}ok commands:\n{}ok bye\n", help()));
    }
}
