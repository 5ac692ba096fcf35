//! The command line.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use thermowell_device::{Config, LineConfig};
use thermowell_wire::BoilerId;

use crate::account::{Writer, WriterError};
use crate::boiler::{Boiler, BoilerSetup};
use crate::clock::Clock;
use crate::console::{self, Console};
use crate::line::Line;
use crate::port::{Port, PortError, PortKind};
use crate::proof::prove;
use crate::quantity::whole;
use crate::replay::{Replay, ReplayArgs, ReplayError};
use crate::scenario::{BoilerScenario, Scenario, ScenarioError};
use crate::simulation::{Simulation, log};
use crate::source::Source;
use crate::station::Station;

/// Slots of the ring at speed 1: 120 s.
const RING_SLOTS: u32 = 12_000;
/// Milliseconds per slot.
const SLOT_MS: u128 = 10;
/// Bounds the ring to 16 MB per boiler, and keeps simulated nanoseconds in a `u64` for months.
const SPEED_MAX: u32 = 4_000;

const EXAMPLES: &str = "\
Examples:
  One boiler at /tmp/ports/b1, in real time:
    firmware-sim --port-dir /tmp/ports
  Two boilers, an hour in a minute, with an account of everything sampled:
    firmware-sim --boilers 2 --speed 60 --port-dir /tmp/ports --account /tmp/account
  Four hours of a recorded day, ten times as fast:
    firmware-sim --speed 10 --replay 20170101.csv --column 12 --from 10:00 --until 14:00
  One sensor of several, with American dates and local times, in °F:
    firmware-sim --replay log.csv --column value --where sensor=flow --unit F \
      --time-format mdy --time-zone America/New_York
  Numbers without times, one a second:
    firmware-sim --replay numbers.txt --column 1 --row 1s
  A cable that comes loose, and commands from a second terminal:
    firmware-sim --scenario config/scenarios/unplug.toml --control /tmp/control
    echo 'reboot b1 5s' | nc -U -q 1 /tmp/control
  How the firmware reacts to a failed pump, checked in a second:
    firmware-sim --scenario firmware-sim/scenarios/pump-failure.toml --prove

Exit codes: 0 ended as asked, 1 failure, 2 wrong command line, 78 a file that
cannot be used";

/// The console's commands, ahead of the examples.
fn after_help() -> String {
    format!("Commands at --control, one per line:\n{}\n{EXAMPLES}", console::help())
}

/// Simulate a heating plant around the real firmware, on a pseudo-terminal.
#[derive(Debug, Parser)]
#[command(name = "firmware-sim", version, after_help = after_help())]
pub struct Args {
    /// Name of a boiler; may be repeated
    #[arg(long = "boiler", value_name = "ID", conflicts_with = "boilers")]
    boiler: Vec<BoilerId>,
    /// Number of boilers, named b1, b2, …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = |text: &str| whole::<u16>(text, 1..=1_000))]
    boilers: u16,
    /// Simulated seconds per real second
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = |text: &str| whole(text, 1..=SPEED_MAX))]
    speed: u32,
    /// Start of simulated time, in nanoseconds of CLOCK_BOOTTIME; if it is in the future, the boilers start then
    #[arg(long, value_name = "NS")]
    epoch_monotonic_ns: Option<u64>,
    /// UTC at that moment, as 2026-01-07T00:00:00Z or in nanoseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = parse_utc)]
    epoch_utc: Option<i64>,
    /// Directory of the ports, each under its boiler's name
    #[arg(long, value_name = "DIR", default_value = "ports")]
    port_dir: PathBuf,
    /// Create unix sockets instead of pseudo-terminals
    #[arg(long)]
    socket: bool,
    /// Plant, weather and faults to simulate
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    replay: ReplayArgs,
    /// Seed of all random numbers; overrides the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write an account of everything sampled or lost
    #[arg(long, value_name = "DIR")]
    account: Option<PathBuf>,
    /// Accept commands on a unix socket, or on standard input if PATH is `-`
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Play the scenario at full speed, without a port, and check its assertions
    #[arg(long, requires = "scenario", conflicts_with_all = ["replay", "account", "control"])]
    prove: bool,
    /// Claim to be real boilers, to see a scaled clock refused
    #[arg(long)]
    real: bool,
    /// Ring size in slots at speed 1; it is multiplied by the speed
    #[arg(long, hide = true, value_name = "SLOTS", default_value_t = RING_SLOTS, value_parser = ring)]
    ring: u32,
    /// Serial number of a boiler, as b1=ABC-123, instead of SIM-b1; may be repeated
    #[arg(long = "serial-number", value_name = "ID=TEXT", value_parser = parse_serial_number)]
    serial_numbers: Vec<(BoilerId, heapless::String<24>)>,
}

/// Why the simulator cannot start.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("the scenario is refused")]
    Scenario(#[source] ScenarioError),
    #[error("the scenario has settings for {0}, which is not one of the boilers")]
    UnknownBoiler(BoilerId),
    #[error("{0} is given twice")]
    Duplicate(BoilerId),
    #[error("the series is refused")]
    Replay(#[source] ReplayError),
    #[error("cannot create the port of {boiler}")]
    Port { boiler: BoilerId, source: PortError },
    #[error("cannot open the account of {boiler}")]
    Account { boiler: BoilerId, source: WriterError },
    #[error("cannot accept commands at {}", path.display())]
    Console { path: PathBuf, source: std::io::Error },
}

impl SetupError {
    /// Mistakes on the command line or in a file have their own codes, because a restart would not help.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Duplicate(_) => 2,
            Self::Scenario(_) | Self::UnknownBoiler(_) | Self::Replay(_) => 78,
            Self::Port { .. } | Self::Account { .. } | Self::Console { .. } => 1,
        }
    }
}

/// Runs the simulator with these arguments, the first being the program name, until it is asked to stop.
///
/// Exit codes: 0, 1 for a failure, 2 for wrong arguments, 78 for a file that cannot be used.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            return if error.print().is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    if args.prove {
        return prove_all(&args);
    }
    match build(&args) {
        Ok(mut simulation) => match simulation.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, ExitCode::FAILURE),
        },
        Err(error) => refuse(&error),
    }
}

/// Plays the scenario for each boiler and prints the assertions that fail.
fn prove_all(args: &Args) -> ExitCode {
    let (ids, scenario) = match boiler_ids(args).and_then(|ids| Ok((scenario(args, &ids)?, ids))) {
        Ok((scenario, ids)) => (ids, scenario),
        Err(error) => return refuse(&error),
    };
    let mut out = std::io::stdout().lock();
    let (mut failed, mut written) = (0, Ok(()));
    for id in &ids {
        let failures = prove(&scenario, id);
        failed += failures.len();
        let lines = failures.iter().map(|failure| format!("{id}: {failure}\n")).collect::<String>();
        written = written.and_then(|()| out.write_all(lines.as_bytes()));
    }
    let checked = scenario.musts().len() * ids.len();
    written = written.and_then(|()| writeln!(out, "{} of {checked} assertions hold", checked - failed));
    if failed == 0 && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn refuse(error: &SetupError) -> ExitCode {
    fail(error, ExitCode::from(error.exit_code()))
}

/// Logs the error and its causes, and returns `code`. If standard error is closed, the code remains.
fn fail(error: &dyn Error, code: ExitCode) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    log(format_args!("{text}")).map_or(code, |()| code)
}

fn build(args: &Args) -> Result<Simulation, SetupError> {
    let ids = boiler_ids(args)?;
    let scenario = scenario(args, &ids)?;
    let replay = args.replay.open().map_err(SetupError::Replay)?;
    if let Some(replay) = &replay {
        for line in replay.notes().iter().map(String::as_str).chain([replay.summary()]) {
            // The series is played even if its notes cannot be written.
            if log(format_args!("{line}")).is_err() {
                break;
            }
        }
    }
    let clock = Clock::new(args.speed, args.epoch_monotonic_ns, args.epoch_utc);
    let console = match args.control.as_deref() {
        None => None,
        Some(path) if path.as_os_str() == "-" => Some(Console::standard()),
        Some(path) => {
            let console = Console::socket(path);
            Some(console.map_err(|source| SetupError::Console { path: path.to_owned(), source })?)
        }
    };
    let stations = ids.iter().map(|id| station(args, &scenario, replay.as_ref(), id, &clock));
    let stations = stations.collect::<Result<Vec<_>, _>>()?;
    Ok(Simulation::new(clock, stations, console))
}

fn scenario(args: &Args, ids: &[BoilerId]) -> Result<Scenario, SetupError> {
    let scenario = match &args.scenario {
        Some(path) => Scenario::read(path).map_err(SetupError::Scenario)?,
        None => Scenario::default(),
    };
    let scenario = match args.seed {
        Some(seed) => scenario.with_seed(seed),
        None => scenario,
    };
    if let Some(unknown) = scenario.named().find(|named| !ids.contains(named)) {
        return Err(SetupError::UnknownBoiler(unknown.clone()));
    }
    Ok(scenario)
}

fn boiler_ids(args: &Args) -> Result<Vec<BoilerId>, SetupError> {
    let numbered = || (1..=args.boilers).map(|n| format!("b{n}").parse().expect("a letter and digits are an id"));
    let ids: Vec<BoilerId> = if args.boiler.is_empty() { numbered().collect() } else { args.boiler.clone() };
    match ids.iter().enumerate().find(|(index, id)| ids[..*index].contains(id)) {
        Some((_, duplicate)) => Err(SetupError::Duplicate(duplicate.clone())),
        None => Ok(ids),
    }
}

fn station(
    args: &Args,
    scenario: &Scenario,
    replay: Option<&Replay>,
    id: &BoilerId,
    clock: &Clock,
) -> Result<Station, SetupError> {
    let account = match &args.account {
        Some(folder) => {
            let writer = Writer::open(folder, id);
            Some(writer.map_err(|source| SetupError::Account { boiler: id.clone(), source })?)
        }
        None => None,
    };
    // Without a given epoch simulated time begins at 0, however long the set-up took; with one it is already running.
    let on_ns = args.epoch_monotonic_ns.and_then(|_| clock.now_ns()).unwrap_or(0);
    let boots = account.as_ref().map_or_else(|| boots_by_time(clock, on_ns), Writer::boots);
    let scenario = scenario.boiler(id);
    let setup = BoilerSetup {
        id: id.clone(),
        device: device_config(args, id),
        source: replay.map_or_else(|| Source::plant(&scenario), |replay| Source::Replay(replay.clone())),
        ring: ring_slots(args, &scenario),
        boots,
        scenario,
    };
    let line = Line::new(setup.scenario.line.faults.clone(), setup.scenario.seed_of("line"));
    let boiler = Boiler::new(setup, on_ns);
    let kind = if args.socket { PortKind::Socket } else { PortKind::Pty };
    let port = Port::open(kind, args.port_dir.join(id.as_str()));
    let port = port.map_err(|source| SetupError::Port { boiler: id.clone(), source })?;
    Ok(Station::new(boiler, line, port, account))
}

/// The scenario's ring in simulated time, else the argument in real time.
fn ring_slots(args: &Args, scenario: &BoilerScenario) -> usize {
    let slots = scenario.device.remembers.map(|span| span.as_millis() / SLOT_MS);
    usize::try_from(slots.unwrap_or(u128::from(args.ring * args.speed))).expect("span and speed are bounded")
}

/// Without an account the boot counter must still rise from one run to the next: seconds since 1970 do.
fn boots_by_time(clock: &Clock, on_ns: u64) -> u32 {
    u32::try_from(clock.utc_ns(on_ns).div_euclid(1_000_000_000)).unwrap_or(0)
}

fn device_config(args: &Args, id: &BoilerId) -> Config {
    let line = LineConfig::default();
    let given = args.serial_numbers.iter().find(|(boiler, _)| boiler == id).map(|(_, text)| text.clone());
    Config {
        serial_number: given.unwrap_or_else(|| serial_number(id)),
        firmware: heapless::String::try_from(concat!("device ", env!("CARGO_PKG_VERSION"))).unwrap_or_default(),
        simulated: !args.real,
        // Time is virtual: a busy machine must not lose slots.
        catch_up_slots: u64::MAX,
        line: LineConfig {
            bytes_per_second: line.bytes_per_second * args.speed,
            burst_us: line.burst_us * u64::from(args.speed),
        },
        ..Config::default()
    }
}

/// `SIM-b1`. An id that is too long for that is replaced by its checksum.
fn serial_number(id: &BoilerId) -> heapless::String<24> {
    let plain = format!("SIM-{id}");
    heapless::String::try_from(plain.as_str()).unwrap_or_else(|_| {
        let short = format!("SIM-{:08x}", thermowell_wire::device_id(id.as_str()));
        heapless::String::try_from(short.as_str()).expect("twelve characters fit")
    })
}

fn ring(text: &str) -> Result<u32, String> {
    whole(text, 100..=RING_SLOTS)
}

fn parse_utc(text: &str) -> Result<i64, String> {
    if let Ok(nanoseconds) = text.parse() {
        return Ok(nanoseconds);
    }
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    i64::try_from(time.as_nanosecond()).map_err(|error| error.to_string())
}

fn parse_serial_number(text: &str) -> Result<(BoilerId, heapless::String<24>), String> {
    let (id, number) = text.split_once('=').ok_or("expected ID=TEXT")?;
    let id = id.parse().map_err(|error| format!("{error}"))?;
    let number = heapless::String::try_from(number).map_err(|_| "a serial number has at most 24 bytes")?;
    Ok((id, number))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_and_help_are_consistent() {
        Args::command().debug_assert();
        let help = Args::command().render_help().to_string();
        assert!(help.contains("fail BOILER flame|pump TIME") && help.contains("Exit codes"), "{help}");
        assert_eq!(parse_utc("2026-01-07T00:00:00Z"), Ok(1_767_744_000_000_000_000));
        assert_eq!(parse_utc("17"), Ok(17));
        assert!(parse_utc("noon").is_err() && parse_serial_number("b1").is_err());
        assert_eq!(serial_number(&"b1".parse().unwrap()).as_str(), "SIM-b1");
        assert_eq!(serial_number(&"a234567890123456789012345678901z".parse().unwrap()).len(), 12);
    }

    #[test]
    fn boilers_are_numbered_or_named_and_unique() {
        let ids = |args: &[&str]| boiler_ids(&Args::try_parse_from(args).unwrap());
        assert_eq!(ids(&["x", "--boilers", "3"]).unwrap().len(), 3);
        assert_eq!(ids(&["x", "--boiler", "cellar"]).unwrap()[0].as_str(), "cellar");
        assert!(matches!(ids(&["x", "--boiler", "a", "--boiler", "a"]), Err(SetupError::Duplicate(_))));
        assert!(Args::try_parse_from(["x", "--boiler", "a", "--boilers", "2"]).is_err());
        assert!(Args::try_parse_from(["x", "--speed", "0"]).is_err());
    }
}
