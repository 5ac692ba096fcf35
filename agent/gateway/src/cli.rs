//! The command line.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped as asked |
//! | 1 | failed; another start may help |
//! | 2 | the command line is wrong |
//! | 3 | nothing is known now (`status`, `reset status`) |
//! | 78 | the configuration is wrong; another start would only repeat it |

mod ask;
mod boilers;
mod keys;
mod reset;
mod status;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use thermowell_wire::BoilerId;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::agent::AgentError;
use crate::aggregator::AggregatorError;
use crate::config::{self, Config, ConfigError};
use crate::controller::ControllerError;
use crate::run::{self, Role, RunError};
use crate::service::{self, Watchdog};
use crate::shutdown::Shutdown;
use crate::verify::{self, Format, Wish};
use crate::{check, conformance, logs};

/// Names the configuration where `--config` does not.
pub const CONFIG_VARIABLE: &str = "THERMOWELL_CONFIG";
/// Overrides `[log] filter`.
const LOG_VARIABLE: &str = "THERMOWELL_LOG";

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success,
    Failure,
    Usage,
    Unknown,
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failure => Self::FAILURE,
            Exit::Usage => Self::from(2),
            Exit::Unknown => Self::from(3),
            Exit::Configuration => Self::from(78),
        }
    }
}

/// Boiler temperatures, from the serial line into NATS: measured every 10 ms, averaged over the hour, and used to ask
/// the boiler for a better set-point.
#[derive(Debug, Parser)]
#[command(name = "thermowell", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  thermowell check                   is everything in place?
  thermowell run                     all roles in one process, with /etc/thermowell/thermowell.toml
  thermowell run agent               one role, as the service units do
  thermowell run --config my.toml    with another configuration
  thermowell status                  each boiler on one screen
  thermowell verify                  do the published hours agree with the samples?
  thermowell keys                    a key for each role, and the server's permissions for them
  thermowell command boost --boiler b1 --flow 65 --for 30m --by anna

Environment:
  THERMOWELL_CONFIG=my.toml          names the configuration where --config does not
  THERMOWELL_LOG=debug               overrides `filter` in [log]

Exit codes: 0 fine, 1 failure, 2 wrong command line, 78 wrong configuration";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run roles until SIGTERM, SIGINT or SIGHUP
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// The role to run; without it all three, the controller only where [control] is enabled
        role: Option<Role>,
        #[command(flatten)]
        source: Source,
    },
    /// Check configuration, ports, server and clock, and say what to do
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        source: Source,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show each boiler: temperature, hour, set-point, burner, and how old they are
    #[command(after_help = status::EXAMPLES)]
    Status(status::Asked),
    /// Recompute hours from SAMPLES and compare them with the published snapshots, byte for byte
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verification),
    /// Play a made-up boiler to a controller under test, and report what it did
    #[command(after_help = CONFORMANCE_EXAMPLES)]
    Conformance(Conformance),
    /// Which boilers there are; another board or another name for one; the end of one
    #[command(subcommand, after_help = boilers::EXAMPLES)]
    Boiler(boilers::Asked),
    /// Make a key for each role and operator, and the server's permissions for them
    #[command(after_help = keys::EXAMPLES)]
    Keys(keys::Keys),
    /// Ask a boiler for something, within the rules, and hear the answer
    #[command(subcommand, name = "command", after_help = ask::EXAMPLES)]
    Ask(ask::Asked),
    /// How the reset of a lockout stands, and who approves of it
    #[command(subcommand, after_help = reset::EXAMPLES)]
    Reset(reset::Asked),
}

const RUN_EXAMPLES: &str = "\
Examples:
  thermowell run                                  agent, aggregator and, where enabled, controller
  thermowell run aggregator --config my.toml      one role with another configuration
  THERMOWELL_LOG=warn,thermowell=debug thermowell run agent";

const CHECK_EXAMPLES: &str = "\
Examples:
  thermowell check
  thermowell check --config my.toml --json | jq '.checks[] | select(.status == \"error\")'

Exit codes: 0 no error (look at warnings and unknowns), 1 an error, 78 the configuration is wrong";

const VERIFY_EXAMPLES: &str = "\
Examples:
  thermowell verify                                             every hour that SAMPLES still holds
  thermowell verify --boiler b1 --hour 2026-01-07T02:00:00Z
  thermowell verify --from 2026-01-07T00:00:00Z --to 2026-01-08T00:00:00Z --json | jq 'select(.differences)'

It publishes nothing. SAMPLES holds three days: of older hours it says that there are no samples any more.

Exit codes: 0 all that can be compared agrees, 1 something differs or cannot be read, 78 the configuration is wrong";

#[derive(Debug, Args)]
struct Verification {
    #[command(flatten)]
    source: Source,
    /// The boiler; without it every boiler of the configuration
    #[arg(long, value_name = "ID")]
    boiler: Option<BoilerId>,
    /// The beginning of one hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour, conflicts_with_all = ["from", "to"])]
    hour: Option<i64>,
    /// The beginning of the first hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour)]
    from: Option<i64>,
    /// The end of the last hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour)]
    to: Option<i64>,
    /// Print one JSON object per hour, and the sum as the last one
    #[arg(long)]
    json: bool,
}

/// A full hour in hours since 1970.
fn full_hour(text: &str) -> Result<i64, String> {
    let expected = || "expected a full hour in UTC, as 2026-01-07T02:00:00Z".to_owned();
    let time: jiff::Timestamp = text.parse().map_err(|_| expected())?;
    let is_full = time.as_second() % 3_600 == 0 && time.subsec_nanosecond() == 0;
    if is_full { Ok(time.as_second() / 3_600) } else { Err(expected()) }
}

const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  thermowell conformance --boiler toy-1                    three minutes
  thermowell conformance --boiler toy-1 --frozen --json    four minutes, with the same state again and again

Run it against a server of its own, with nothing but the controller under test. That server must run without users (no
permissions.conf): this writes STATE and STATUS, which no key of a person may. The limits of the flow temperature are
those of [control]. Any controller that reads boiler.ID.state and publishes boiler.ID.setpoint can be tested.

Exit codes: 0 it conforms, 1 it does not or cannot be tested, 78 the configuration is wrong";

#[derive(Debug, Args)]
struct Conformance {
    #[command(flatten)]
    source: Source,
    /// The id of a boiler that does not exist, which the controller under test controls
    #[arg(long, value_name = "ID")]
    boiler: BoilerId,
    /// Play frozen states too
    #[arg(long)]
    frozen: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Source {
    /// The configuration [default: THERMOWELL_CONFIG, else /etc/thermowell/thermowell.toml]; files in the folder
    /// conf.d beside it are read too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    /// An empty variable names nothing.
    fn path(&self) -> PathBuf {
        let named = || env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named).unwrap_or_else(|| config::DEFAULT_PATH.into())
    }
}

/// Runs the command that `args` ask for; the first is the program's name. Never exits by itself.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    dispatch(args).into()
}

fn dispatch(args: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error),
    };
    match arguments.command {
        Command::Run { role, source } => run(&source, role),
        Command::Check { source, json } => check(&source, json),
        Command::Status(asked) => status::run(&asked),
        Command::Verify(verification) => verify(&verification),
        Command::Conformance(asked) => conformance(&asked),
        Command::Boiler(asked) => boilers::run(&asked),
        Command::Keys(asked) => keys::run(&asked),
        Command::Ask(asked) => ask::run(&asked),
        Command::Reset(asked) => reset::run(&asked),
    }
}

/// Help and version are answers too, and go to stdout.
fn answer(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Success,
        (false, Err(_)) => Exit::Failure,
    }
}

fn run(source: &Source, role: Option<Role>) -> Exit {
    let config = match Config::load(&source.path()) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let Some(filter) = log_filter(&config) else {
        complain(&format!("{LOG_VARIABLE}: {}", config::FILTER_EXPECTED));
        return Exit::Configuration;
    };
    start_log(filter);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return Exit::Failure;
        }
    };
    runtime.block_on(run_roles(&config, role))
}

async fn run_roles(config: &Config, role: Option<Role>) -> Exit {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(error = logs::chain(&error), "no signals");
            return Exit::Failure;
        }
    };
    let (version, boilers) = (env!("CARGO_PKG_VERSION"), config.boilers.len());
    tracing::info!(version, gateway = config.gateway, boilers, server = config.nats.url, "thermowell");
    let _watchdog = Watchdog::feed();
    service::ready();
    let mut stopping = shutdown.clone();
    let announce = tokio::spawn(async move {
        stopping.requested().await;
        service::stopping();
    });
    let outcome = run::run(config, role, shutdown).await;
    announce.abort();
    match outcome {
        Ok(()) => Exit::Success,
        Err(error) => {
            tracing::error!(error = logs::chain(&error), "stopped");
            exit_of(&error)
        }
    }
}

/// A role that the configuration does not want and a key that is not there are a matter of configuration: another start
/// would only repeat them.
fn exit_of(error: &RunError) -> Exit {
    let is_configuration = match error {
        RunError::Controller(ControllerError::Off) => true,
        RunError::Agent(AgentError::Connect(error))
        | RunError::Aggregator(AggregatorError::Connect(error))
        | RunError::Controller(ControllerError::Connect(error)) => error.is_configuration(),
        RunError::Agent(_) | RunError::Aggregator(_) | RunError::Controller(_) | RunError::Ended { .. } => false,
    };
    if is_configuration { Exit::Configuration } else { Exit::Failure }
}

/// The log's filter; none where the environment names one that is none.
fn log_filter(config: &Config) -> Option<Targets> {
    match env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty()) {
        Some(text) => text.to_str().and_then(config::filter),
        None => Some(config.log.filter.clone()),
    }
}

/// Fields on stderr. The journal stamps each line itself; without it, the line carries its time.
fn start_log(filter: Targets) {
    // A line that cannot be written is lost: a terminal that has closed must not end the drain with a panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if env::var_os("JOURNAL_STREAM").is_some() {
        registry.with(lines.without_time()).try_init()
    } else {
        registry.with(lines).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log was started before");
    }
}

fn check(source: &Source, json: bool) -> Exit {
    let report = match runtime() {
        Ok(runtime) => runtime.block_on(check::check(&source.path())),
        Err(exit) => return exit,
    };
    let text = if json { report.json() } else { report.text() };
    if io::stdout().lock().write_all(text.as_bytes()).is_err() {
        return Exit::Failure;
    }
    match report.verdict() {
        check::Verdict::Fine => Exit::Success,
        check::Verdict::Failed => Exit::Failure,
        check::Verdict::Configuration => Exit::Configuration,
    }
}

fn verify(asked: &Verification) -> Exit {
    let hours = match (asked.hour, asked.from, asked.to) {
        (Some(hour), ..) => Some(hour..hour + 1),
        (None, None, None) => None,
        (None, from, to) => Some(from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX)),
    };
    if hours.as_ref().is_some_and(std::ops::Range::is_empty) {
        complain("--to: expected a later hour than --from");
        return Exit::Usage;
    }
    let wish = Wish { boiler: asked.boiler.clone(), hours };
    let format = if asked.json { Format::Json } else { Format::Text };
    let mut report = verify::Writer::new(io::stdout().lock(), format);
    let outcome = command(&asked.source, async |config| verify::verify(config, &wish, &mut report).await);
    outcome.map_or_else(|exit| exit, |sum| if sum.agrees() { Exit::Success } else { Exit::Failure })
}

fn conformance(asked: &Conformance) -> Exit {
    let play = async |config: &Config| conformance::conformance(config, &asked.boiler, asked.frozen).await;
    let report = match command(&asked.source, play) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    let text = if asked.json { report.json() } else { report.text() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) if report.conforms => Exit::Success,
        Ok(()) | Err(_) => Exit::Failure,
    }
}

/// What a command has to say, on stdout.
fn said(done: Result<String, Exit>) -> Exit {
    done.map_or_else(|exit| exit, |text| print(&text))
}

/// An answer, on stdout.
fn print(text: &str) -> Exit {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Failure,
    }
}

/// Loads the configuration and does one thing; complains where either fails.
fn command<T, E: std::error::Error + 'static>(
    source: &Source,
    run: impl AsyncFnOnce(&Config) -> Result<T, E>,
) -> Result<T, Exit> {
    let config = Config::load(&source.path()).map_err(|error| refuse(&error))?;
    runtime()?.block_on(run(&config)).map_err(|error| {
        complain(&logs::chain(&error));
        Exit::Failure
    })
}

fn runtime() -> Result<Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        complain(&format!("no runtime: {error}"));
        Exit::Failure
    })
}

fn refuse(error: &ConfigError) -> Exit {
    complain(&logs::chain(error));
    if let Some(advice) = error.advice() {
        complain(&format!("-> {advice}"));
    }
    complain("thermowell: nothing was started, the configuration is wrong");
    Exit::Configuration
}

/// For the time before there is a log. A stderr that is gone cannot be complained about.
fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(args: &[&str]) -> Exit {
        dispatch(["thermowell"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_2_and_help_is_0() {
        assert_eq!(exit(&[]), Exit::Usage);
        assert_eq!(exit(&["run", "boiler"]), Exit::Usage);
        assert_eq!(exit(&["run", "agent", "--confg", "x"]), Exit::Usage);
        assert_eq!(exit(&["--help"]), Exit::Success);
        assert_eq!(exit(&["--version"]), Exit::Success);
    }

    #[test]
    fn a_wrong_configuration_is_78() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        let path = file.to_str().unwrap();
        assert_eq!(exit(&["run", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["check", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["verify", "--config", path]), Exit::Configuration);
        std::fs::write(&file, "boiler = 3").unwrap();
        assert_eq!(exit(&["run", "agent", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["check", "--json", "--config", path]), Exit::Configuration);
        let off = exit_of(&RunError::Controller(ControllerError::Off));
        assert_eq!(off, Exit::Configuration);
    }

    #[test]
    fn hours_are_full_and_in_order() {
        assert_eq!(full_hour("1970-01-02T01:00:00Z"), Ok(25));
        for wrong in ["2026-01-07T02:30:00Z", "2026-01-07", "2026-01-07T02:00:00.5Z", "yesterday"] {
            assert!(full_hour(wrong).unwrap_err().contains("2026-01-07T02:00:00Z"), "{wrong}");
            assert_eq!(exit(&["verify", "--hour", wrong]), Exit::Usage);
        }
        let (early, late) = ("2026-01-07T02:00:00Z", "2026-01-07T03:00:00Z");
        assert_eq!(exit(&["verify", "--from", late, "--to", early]), Exit::Usage);
        assert_eq!(exit(&["verify", "--hour", early, "--to", late]), Exit::Usage);
        assert_eq!(exit(&["verify", "--boiler", "B 1"]), Exit::Usage);
    }

    #[test]
    fn boilers_are_named() {
        for wrong in [&["boiler"][..], &["boiler", "retire"], &["boiler", "rename", "b1"], &["boiler", "retire", "B1"]]
        {
            assert_eq!(exit(wrong), Exit::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn the_arguments_of_the_service_units_are_understood() {
        for role in ["agent", "aggregator", "controller"] {
            let line = ["thermowell", "run", role, "--config", "/etc/thermowell/thermowell.toml"];
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert!(matches!(arguments.command, Command::Run { role: Some(_), .. }));
        }
    }
}
