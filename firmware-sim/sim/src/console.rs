//! Orders while the simulation runs: a line each, over a unix socket or standard input, answered by a line.
//!
//! ```text
//! unplug b1  ─▶  ok unplugged        fly b1  ─▶  error `fly b1` is no order: `help` lists them
//! ```
//! `ORDERS` lists them; `help` is answered by as many lines. What cannot be done is answered by `error …`.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use thermowell_device::Panel;
use thermowell_wire::{BoilerId, CentiCelsius};

use crate::plant::Failing;
use crate::source::PlantSource;
use crate::station::Station;

/// Whoever gives orders at once; more are closed. One is usual.
const LISTENERS_MAX: usize = 8;
/// The longest order. A longer line ends the connection.
const LINE_MAX: usize = 256;
/// The most garbage in one order.
const GARBAGE_MAX: usize = 16_384;

/// An order, its arguments, and what it does.
struct Usage {
    usage: &'static str,
    effect: &'static str,
}

const fn usage(usage: &'static str, effect: &'static str) -> Usage {
    Usage { usage, effect }
}

const ORDERS: [Usage; 12] = [
    usage("unplug BOILER", "pull the cable"),
    usage("plug BOILER", "put it back"),
    usage("reboot BOILER TIME", "off for so long in simulated time, such as 5s"),
    usage("miss BOILER TIME", "do not sample for so long"),
    usage("stall BOILER TIME", "nothing moves on the line for so long"),
    usage("garbage BOILER COUNT", "so many wrong bytes on the line"),
    usage("fail BOILER flame|pump TIME", "no flame, or no water, for so long"),
    usage("panel BOILER auto|off|5..95", "the knob at the panel: automatic, off, or a flow temperature"),
    usage("press BOILER", "the reset button at the boiler"),
    usage("status BOILER", "where the device is"),
    usage("help", "these orders"),
    usage("quit", "end, with a complete account"),
];

/// The orders with their arguments, a line each.
#[must_use]
pub fn help() -> String {
    ORDERS.iter().map(|order| format!("  {:<29}{}\n", order.usage, order.effect)).collect()
}

/// What is wrong with an order that fits none.
fn misunderstood(line: &str) -> String {
    let line = line.trim();
    let word = line.split_whitespace().next();
    match ORDERS.iter().find(|order| order.usage.split(' ').next() == word) {
        Some(order) => format!("expected `{}`, not `{line}`", order.usage),
        None => format!("`{line}` is no order: `help` lists them"),
    }
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End the process.
    Quit,
    /// Do something to one boiler.
    Boiler {
        /// To which.
        id: BoilerId,
        /// What.
        deed: Deed,
    },
}

/// What can be done to a boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Pull the cable.
    Unplug,
    /// Put it back.
    Plug,
    /// Switch off for so long.
    Reboot(Duration),
    /// Do not sample for so long.
    Miss(Duration),
    /// Let nothing move on the line for so long.
    Stall(Duration),
    /// Put wrong bytes on the line.
    Garbage(usize),
    /// Let a part of the plant fail for so long.
    Fail(Failing, Duration),
    /// Turn the knob at the panel.
    Panel(Panel),
    /// Press the reset button.
    Press,
    /// Say where the device is.
    Status,
}

impl Deed {
    /// Does it, at simulated `now_ns`, and says what was done.
    pub fn carry_out(self, station: &mut Station, now_ns: u64) -> String {
        let behind_ns = |length: Duration| now_ns.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        match self {
            Self::Unplug => {
                station.line_mut().pull(true);
                String::from("unplugged")
            }
            Self::Plug => {
                station.line_mut().pull(false);
                String::from("plugged")
            }
            Self::Reboot(length) => {
                station.boiler_mut().switch_off(now_ns, behind_ns(length));
                String::from("off")
            }
            Self::Miss(length) => {
                station.boiler_mut().silence(now_ns, behind_ns(length));
                String::from("silent")
            }
            Self::Stall(length) => {
                station.line_mut().stall(behind_ns(length) / 1_000);
                String::from("stalled")
            }
            Self::Garbage(count) => {
                // Every value comes up, zeros that end frames included.
                let bytes = (0..count).map(|n| (n * 151 + n / 251).to_le_bytes()[0]);
                station.inject(&bytes.collect::<Vec<u8>>());
                format!("{count} bytes")
            }
            Self::Fail(what, length) => {
                let until_us = behind_ns(length) / 1_000;
                by_hand(station, "failing", |plant| plant.fail(what, now_ns / 1_000, until_us))
            }
            Self::Panel(panel) => by_hand(station, "set", |plant| plant.set_panel(panel)),
            Self::Press => by_hand(station, "pressed", PlantSource::press_reset),
            Self::Status => status(station),
        }
    }
}

/// Does something to the plant; a recorded series has none.
fn by_hand(station: &mut Station, done: &str, deed: impl FnOnce(&mut PlantSource)) -> String {
    match station.boiler_mut().plant_mut() {
        Some(plant) => {
            deed(plant);
            String::from(done)
        }
        None => String::from("nothing: a recorded series has no plant"),
    }
}

fn status(station: &Station) -> String {
    let Some(device) = station.boiler().device() else { return String::from("off") };
    let (boot, next, oldest, leased) = (device.boot(), device.next(), device.oldest(), device.is_leased());
    let broken = station.line().broken();
    format!("boot={boot} next={next} oldest={oldest} leased={leased} broken={broken}")
}

/// Parses one order.
fn parse(line: &str) -> Result<Order, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let length = |text: &str| {
        let length: Result<SignedDuration, _> = text.parse();
        let length = length.ok().and_then(|length| Duration::try_from(length).ok());
        length.ok_or_else(|| format!("`{text}` is not a time such as 5s or 200ms"))
    };
    let (id, deed) = match words.as_slice() {
        ["quit"] => return Ok(Order::Quit),
        ["unplug", id] => (id, Deed::Unplug),
        ["plug", id] => (id, Deed::Plug),
        ["reboot", id, text] => (id, Deed::Reboot(length(text)?)),
        ["miss", id, text] => (id, Deed::Miss(length(text)?)),
        ["stall", id, text] => (id, Deed::Stall(length(text)?)),
        ["garbage", id, text] => {
            let count = text.parse().ok().filter(|count| *count <= GARBAGE_MAX);
            (id, Deed::Garbage(count.ok_or_else(|| format!("`{text}` is not from 0 to {GARBAGE_MAX}"))?))
        }
        ["fail", id, part, text] => {
            let part = match *part {
                "flame" => Failing::Flame,
                "pump" => Failing::Pump,
                _ => return Err(format!("`{part}` is neither flame nor pump")),
            };
            (id, Deed::Fail(part, length(text)?))
        }
        ["panel", id, text] => (id, Deed::Panel(panel(text)?)),
        ["press", id] => (id, Deed::Press),
        ["status", id] => (id, Deed::Status),
        _ => return Err(misunderstood(line)),
    };
    let id = id.parse().map_err(|error| format!("{id}: {error}"))?;
    Ok(Order::Boiler { id, deed })
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

/// Where orders come from.
#[derive(Debug)]
pub struct Console {
    listener: Option<UnixListener>,
    listening: Vec<Listening>,
}

#[derive(Debug)]
struct Listening {
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
    /// Orders over a unix socket at `path`. A socket that a killed simulator left there is replaced.
    ///
    /// # Errors
    /// Where the socket cannot be made.
    pub fn socket(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: Some(listener), listening: Vec::new() })
    }

    /// Orders over standard input. Its end is the order to quit.
    #[must_use]
    pub fn standard() -> Self {
        Self { listener: None, listening: vec![Listening { stream: Stream::Standard, line: Vec::new() }] }
    }

    /// What to wait on.
    pub fn readable(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let streams = self.listening.iter().map(|it| match &it.stream {
            Stream::Socket(stream) => stream.as_fd(),
            Stream::Standard => rustix::stdio::stdin(),
        });
        self.listener.iter().map(AsFd::as_fd).chain(streams)
    }

    /// Takes every order that has come and answers it with what `obey` says.
    pub fn serve(&mut self, mut obey: impl FnMut(Order) -> Result<String, String>) {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) {
            if self.listening.len() < LISTENERS_MAX && stream.set_nonblocking(true).is_ok() {
                self.listening.push(Listening { stream: Stream::Socket(stream), line: Vec::new() });
            }
        }
        self.listening.retain_mut(|it| it.serve(&mut obey));
    }
}

impl Listening {
    /// Whether it goes on.
    fn serve(&mut self, obey: &mut impl FnMut(Order) -> Result<String, String>) -> bool {
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
                drop(obey(Order::Quit));
            }
            return false;
        }
        self.line.extend_from_slice(&bytes[..read]);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let reply = if line.trim() == "help" {
                format!("ok orders:\n{}", help())
            } else {
                match parse(&line).and_then(&mut *obey) {
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

/// What waits on standard input, without waiting for more: None where nothing does.
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
    use super::*;

    #[test]
    fn orders_are_read_or_refused_with_the_reason() {
        let boiler = |deed| Ok(Order::Boiler { id: "b1".parse().unwrap(), deed });
        assert_eq!(parse("quit\n"), Ok(Order::Quit));
        assert_eq!(parse(" unplug  b1 "), boiler(Deed::Unplug));
        assert_eq!(parse("reboot b1 5s"), boiler(Deed::Reboot(Duration::from_secs(5))));
        assert_eq!(parse("stall b1 200ms"), boiler(Deed::Stall(Duration::from_millis(200))));
        assert_eq!(parse("garbage b1 12"), boiler(Deed::Garbage(12)));
        assert_eq!(parse("fail b1 flame 10m"), boiler(Deed::Fail(Failing::Flame, Duration::from_secs(600))));
        assert_eq!(parse("panel b1 45"), boiler(Deed::Panel(Panel::Flow(CentiCelsius(4_500)))));
        assert_eq!(parse("panel b1 auto"), boiler(Deed::Panel(Panel::Automatic)));
        assert_eq!(parse("press b1"), boiler(Deed::Press));
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
    fn wrong_arguments_name_what_is_expected() {
        for (line, expected) in [
            ("unplug b1 5s", "expected `unplug BOILER`, not `unplug b1 5s`"),
            ("reboot b1", "expected `reboot BOILER TIME`, not `reboot b1`"),
            ("fail b1 flame", "expected `fail BOILER flame|pump TIME`, not `fail b1 flame`"),
            ("quit now", "expected `quit`, not `quit now`"),
            ("fly b1", "`fly b1` is no order: `help` lists them"),
            ("", "`` is no order: `help` lists them"),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line}");
        }
        for order in ORDERS {
            assert!(help().lines().any(|line| line.contains(order.usage) && line.ends_with(order.effect)));
            let arguments = order.usage.replace("BOILER", "b1").replace("TIME", "5s").replace("COUNT", "7");
            let line = arguments.replace("flame|pump", "pump").replace("auto|off|5..95", "off");
            assert!(line == "help" || parse(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_socket_answers_each_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut console = Console::socket(&folder.path().join("control")).unwrap();
        let mut stream = UnixStream::connect(folder.path().join("control")).unwrap();
        stream.write_all(b"status b1\nnonsense\n help \nqu").unwrap();
        let mut obey = |order| match order {
            Order::Quit => Ok(String::from("bye")),
            Order::Boiler { id, .. } => Err(format!("there is no boiler {id}")),
        };
        console.serve(&mut obey);
        stream.write_all(b"it\n").unwrap();
        console.serve(&mut obey);
        drop(console);
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        let expected = "error there is no boiler b1\nerror `nonsense` is no order: `help` lists them\nok orders:\n";
        assert_eq!(replies, format!("{expected}{}ok bye\n", help()));
    }
}
