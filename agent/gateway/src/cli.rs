//! The command line.

mod ask;
mod boilers;
mod check;
mod completions;
mod config;
pub mod examples;
mod exit;
mod export;
mod keys;
mod log;
mod mqtt;
mod progress;
mod reset;
mod schema;
mod screen;
mod status;
mod tap;
mod top;
mod topics;
mod verify;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use thermowell_wire::BoilerId;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::Targets;

use crate::config::{Config, ConfigError, FILTER_EXPECTED};
use crate::controller::ControllerError;
use crate::nats::NatsError;
use crate::output::Report;
use crate::run::{self, Role};
use crate::service::{self, Watchdog};
use crate::shutdown::{Shutdown, is_ignored};
use crate::{conformance, logs};

use exit::Exit;

/// The path of the configuration, unless `--config` is given.
pub const CONFIG_VARIABLE: &str = "THERMOWELL_CONFIG";
/// Overrides `[log] filter`.
const LOG_VARIABLE: &str = "THERMOWELL_LOG";
/// How long blocking calls, such as a search for the process that has a port open, may delay the end of the roles.
const GRACE: Duration = Duration::from_secs(1);

/// How a command ended; an early end is the error.
type Outcome = Result<Exit, Exit>;

/// Boiler telemetry and control: reads the temperature every 10 ms from the serial line, publishes samples and hourly
/// averages to NATS, and controls the boiler's set-point
#[derive(Debug, Parser)]
#[command(name = "thermowell", version, after_help = EXAMPLES, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  thermowell check                 check the installation, and what to do
  thermowell run                   all roles in one process
  thermowell run agent             one role, as the service units do
  thermowell run --config my.toml  with another configuration
  thermowell status                the state of each boiler
  thermowell tap b1                samples as they arrive; also state, events
  thermowell export samples --boiler b1 --per 1s --out b1.csv
  thermowell verify                compare published hours with the samples
  thermowell keys                  make keys, and the server's permissions
  thermowell command boost --boiler b1 --flow 65 --for 30m --by anna

Environment:
  THERMOWELL_CONFIG=my.toml        the configuration, unless --config is given
  THERMOWELL_LOG=debug             overrides `filter` in [log]

Exit codes: 0 fine, 1 failure, 2 wrong command line, 3 no current data, 78
wrong configuration; all of them: thermowell help exit-codes
Subjects of what is published: thermowell help subjects";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one or all roles until SIGTERM, SIGINT or SIGHUP
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// The role to run; by default all, the controller only if [control] is enabled
        role: Option<Role>,
        #[command(flatten)]
        source: Source,
    },
    /// Check the installation, from the ports to the data, and suggest corrections
    #[command(after_help = check::EXAMPLES)]
    Check(check::CheckArgs),
    /// Show temperature, hourly average, set-point and burner of each boiler, and their age
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Show all boilers, and the last hour of one, in the terminal
    #[command(after_help = top::EXAMPLES)]
    Top(top::TopArgs),
    /// Print samples, states or events of a boiler as they arrive
    #[command(after_help = tap::EXAMPLES)]
    Tap(tap::TapArgs),
    /// Write samples or snapshots to a file, and check its books
    #[command(after_help = export::EXAMPLES)]
    Export(export::ExportArgs),
    /// Recompute hours from SAMPLES and compare them with the published snapshots, byte for byte
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verification),
    /// Test a controller against a simulated boiler
    #[command(after_help = CONFORMANCE_EXAMPLES)]
    Conformance(Conformance),
    /// List or retire boilers, or accept a replaced board
    #[command(subcommand, after_help = boilers::EXAMPLES)]
    Boiler(boilers::BoilerCommand),
    /// Print the default configuration, its schema or what is in effect, or check a file
    #[command(after_help = config::EXAMPLES)]
    Config(config::ConfigArgs),
    /// Print what a shell needs to complete the commands
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
    /// Change the log level of running roles for a while
    #[command(after_help = log::EXAMPLES)]
    Log(log::LogArgs),
    /// Make a key for each role, operator and source, and the server's permissions
    #[command(after_help = keys::EXAMPLES)]
    Keys(keys::Keys),
    /// Give a boiler a command, such as a boost
    #[command(subcommand, name = "command", after_help = ask::EXAMPLES)]
    Ask(ask::AskCommand),
    /// Delete boilers from Home Assistant
    #[command(subcommand, after_help = mqtt::EXAMPLES)]
    Mqtt(mqtt::MqttCommand),
    /// Show or approve a lockout reset
    #[command(subcommand, after_help = reset::EXAMPLES)]
    Reset(reset::ResetCommand),
    /// Print the JSON schemas of what is published
    #[command(after_help = schema::EXAMPLES)]
    Schema(schema::SchemaArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  thermowell run                              all roles that are enabled
  thermowell run aggregator --config my.toml  one role
  THERMOWELL_LOG=warn,thermowell=debug thermowell run agent";

const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  thermowell conformance --boiler toy-1                  three minutes
  thermowell conformance --boiler toy-1 --frozen --json  four, frozen states too

The boiler must not exist: this command plays it, and only the controller under
test may control it. It publishes STATUS and STATE, so it logs in with the keys
of agent and aggregator, and hears set-points with the reader's. The limits of
the flow temperature are those of [control]. Any controller that reads
boiler.ID.state and publishes boiler.ID.setpoint can be tested: what it must do
is in deploy/PROGRAMS.md.

Exit codes: 0 it conforms, 1 it does not or cannot be tested, 78 the
configuration is wrong";

#[derive(Debug, Args)]
struct Conformance {
    #[command(flatten)]
    source: Source,
    /// The id of a boiler that does not exist, which the controller under test controls
    #[arg(long, value_name = "ID")]
    boiler: BoilerId,
    /// Test with repeated, frozen states too
    #[arg(long)]
    frozen: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Source {
    /// The configuration [default: THERMOWELL_CONFIG, else /etc/thermowell/thermowell.toml]; *.toml files in conf.d of
    /// the same folder are read too
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    /// An empty variable counts as unset.
    fn path(&self) -> PathBuf {
        let named = || env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named).unwrap_or_else(|| crate::config::DEFAULT_PATH.into())
    }
}

/// The command line: for completions and man pages.
#[must_use]
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Runs the command in `args`, whose first is the program's name. Does not exit the process.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    dispatch(args).into()
}

fn dispatch(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(text) = topics::asked(&args) {
        return print(&text, Exit::Success);
    }
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => return print_clap(&error),
    };
    let outcome = match arguments.command {
        Command::Run { role, source } => run(&source, role),
        Command::Check(args) => check::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Tap(args) => tap::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Conformance(args) => conformance(&args),
        Command::Boiler(command) => boilers::run(&command),
        Command::Keys(args) => keys::run(&args),
        Command::Ask(command) => ask::run(&command),
        Command::Mqtt(command) => mqtt::run(&command),
        Command::Reset(command) => reset::run(&command),
        Command::Schema(args) => schema::run(&args),
    };
    outcome.unwrap_or_else(|exit| exit)
}

/// Prints a usage error to stderr; help and version, which clap reports as errors too, to stdout.
#[expect(clippy::print_stdout, reason = "a test captures what this macro prints, and nothing else")]
fn print_clap(error: &clap::Error) -> Exit {
    let printed = if cfg!(test) {
        print!("{}", error.render());
        Ok(())
    } else {
        error.print()
    };
    match (error.use_stderr(), printed) {
        (true, _) => Exit::Usage,
        (false, Ok(())) => Exit::Success,
        (false, Err(_)) => Exit::Failure,
    }
}

fn run(source: &Source, role: Option<Role>) -> Outcome {
    let config = load(source)?;
    let Some(filter) = log_filter(&config) else {
        print_error(&format!("{LOG_VARIABLE}: {FILTER_EXPECTED}"));
        return Err(Exit::Configuration);
    };
    let level = logs::start(filter);
    let runtime = runtime()?;
    let exit = runtime.block_on(async {
        let name = role.map_or("all", Role::name);
        tokio::select! {
            exit = run_roles(&config, role) => exit,
            never = level.listen(name) => match never {},
        }
    });
    runtime.shutdown_timeout(GRACE);
    Ok(exit)
}

async fn run_roles(config: &Config, role: Option<Role>) -> Exit {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            tracing::error!(error = logs::chain(&error), "cannot handle signals");
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

/// A role that the configuration does not enable and a missing key are configuration errors: a restart does not help.
fn exit_of(error: &(dyn std::error::Error + 'static)) -> Exit {
    let is_configuration = iter::successors(Some(error), |error| error.source()).any(|error| {
        matches!(error.downcast_ref(), Some(ControllerError::Off))
            || error.downcast_ref().is_some_and(NatsError::is_configuration)
    });
    if is_configuration { Exit::Configuration } else { Exit::Failure }
}

/// The log filter; none if the one in the environment is invalid.
fn log_filter(config: &Config) -> Option<Targets> {
    match env::var_os(LOG_VARIABLE).filter(|text| !text.is_empty()) {
        Some(text) => text.to_str().and_then(crate::config::filter),
        None => Some(config.log.filter.clone()),
    }
}

fn conformance(args: &Conformance) -> Outcome {
    let play = async |config: &Config| conformance::conformance(config, &args.boiler, args.frozen).await;
    let report = command(&args.source, play)?;
    Ok(show(&report, args.json, if report.conforms { Exit::Success } else { Exit::Failure }))
}

/// Prints a report to stdout.
fn show(report: &impl Report, json: bool, exit: Exit) -> Exit {
    print(&if json { report.json() } else { report.text() }, exit)
}

/// Prints to stdout; a failure if that is not possible, else `exit`.
fn print(text: &str, exit: Exit) -> Exit {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => exit,
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Failure,
        Err(error) => {
            print_error(&format!("standard output: {error}"));
            Exit::Failure
        }
    }
}

/// A refused request: as JSON to stdout, else to stderr.
fn print_refusal(refusal: &impl fmt::Display, as_json: bool, json: &serde_json::Value) -> Exit {
    if as_json {
        return print(&format!("{json}\n"), Exit::Failure);
    }
    print_error(&format!("refused: {refusal}"));
    Exit::Failure
}

/// Loads the configuration and runs one command; prints the error if either fails.
fn command<T, E: std::error::Error + 'static>(
    source: &Source,
    run: impl AsyncFnOnce(&Config) -> Result<T, E>,
) -> Result<T, Exit> {
    let config = load(source)?;
    runtime()?.block_on(async {
        tokio::select! {
            done = run(&config) => done.map_err(|error| {
                print_error(&logs::chain(&error));
                exit_of(&error)
            }),
            () = interrupted() => Err(Exit::Interrupted),
        }
    })
}

/// Waits for a signal that ends a command: what it has begun is then cleaned up. Without a handler the signal ends the
/// process.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| async move {
        // As by nohup.
        if is_ignored(kind) {
            return std::future::pending().await;
        }
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listen(SignalKind::interrupt()) => {}
        () = listen(SignalKind::terminate()) => {}
        () = listen(SignalKind::hangup()) => {}
        () = listen(SignalKind::quit()) => {}
    }
}

fn runtime() -> Result<Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        print_error(&format!("cannot start the async runtime: {error}"));
        Exit::Failure
    })
}

/// The configuration; prints what is wrong with it.
fn load(source: &Source) -> Result<Config, Exit> {
    read(source, Config::load)
}

/// Reads the configuration in one way or another; prints what is wrong with it.
fn read<T>(source: &Source, read: impl FnOnce(&Path) -> Result<T, ConfigError>) -> Result<T, Exit> {
    read(&source.path()).map_err(|error| {
        print_error(&logs::chain(&error));
        if let Some(advice) = error.advice() {
            print_error(&format!("-> {advice}"));
        }
        print_error(match error {
            ConfigError::Unreadable { .. } => "thermowell: nothing was done, there is no readable configuration",
            ConfigError::Refused(_) => "thermowell: nothing was done, the configuration is wrong",
        });
        Exit::Configuration
    })
}

/// Prints to stderr, for the time before logging starts. An error of that write cannot be reported anywhere.
#[expect(clippy::print_stderr, reason = "a test captures what this macro prints, and nothing else")]
fn print_error(line: &str) {
    if cfg!(test) {
        eprintln!("{line}");
    } else {
        drop(writeln!(io::stderr().lock(), "{line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(args: &[&str]) -> Exit {
        dispatch(["thermowell"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn clap_definitions_are_consistent() {
        command_line().debug_assert();
    }

    /// Examples and exit codes are not wrapped by clap.
    #[test]
    fn help_below_the_options_fits_80_columns() {
        let root = command_line();
        let mut commands = vec![&root];
        while let Some(command) = commands.pop() {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let wide = text.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{}", command.get_name());
            commands.extend(command.get_subcommands());
        }
    }

    #[test]
    fn usage_errors_exit_2_and_help_0() {
        assert_eq!(exit(&[]), Exit::Usage);
        assert_eq!(exit(&["run", "boiler"]), Exit::Usage);
        assert_eq!(exit(&["run", "agent", "--confg", "x"]), Exit::Usage);
        assert_eq!(exit(&["--help"]), Exit::Success);
        assert_eq!(exit(&["--version"]), Exit::Success);
    }

    #[test]
    fn wrong_configuration_exits_78() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        let path = file.to_str().unwrap();
        assert_eq!(exit(&["run", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["check", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["check", "--config", "/dev/zero"]), Exit::Configuration);
        assert_eq!(exit(&["verify", "--config", path]), Exit::Configuration);
        std::fs::write(&file, "boiler = 3").unwrap();
        assert_eq!(exit(&["run", "agent", "--config", path]), Exit::Configuration);
        assert_eq!(exit(&["check", "--json", "--config", path]), Exit::Configuration);
        let keyless = "nats.keys = \"/absent\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"";
        std::fs::write(&file, keyless).unwrap();
        assert_eq!(exit(&["status", "--config", path]), Exit::Configuration);
        let off = exit_of(&crate::run::RunError::Controller(ControllerError::Off));
        assert_eq!(off, Exit::Configuration);
        let mqtt = "mqtt.url = \"mqtt://127.0.0.1\"\nmqtt.user = \"a\"\nmqtt.password_file = \"/absent\"\n";
        std::fs::write(&file, format!("{mqtt}[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"")).unwrap();
        assert_eq!(exit(&["mqtt", "remove", "--config", path]), Exit::Configuration);
    }

    #[test]
    fn folder_as_the_target_of_an_export_is_refused_at_once() {
        let export = |out: &str| exit(&["export", "samples", "--boiler", "b1", "--out", out, "--config", "/absent"]);
        assert_eq!(export("/"), Exit::Usage);
        assert_eq!(export("/absent/b1.csv"), Exit::Usage);
        assert_eq!(export("/dev/null"), Exit::Configuration);
    }

    #[test]
    fn boiler_commands_need_valid_ids() {
        for wrong in [&["boiler"][..], &["boiler", "retire"], &["boiler", "retire", "B1"]] {
            assert_eq!(exit(wrong), Exit::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn only_a_serial_number_that_a_board_can_have_is_accepted() {
        let accept = |number: &str| exit(&["boiler", "accept", "b1", number, "--yes", "--config", "/absent"]);
        assert_eq!(accept(&"1".repeat(24)), Exit::Configuration);
        assert_eq!(accept(""), Exit::Usage);
        assert_eq!(accept(&"1".repeat(25)), Exit::Usage);
    }

    #[test]
    fn arguments_of_the_service_units_parse() {
        for role in ["agent", "aggregator", "controller", "front"] {
            let line = ["thermowell", "run", role, "--config", "/etc/thermowell/thermowell.toml"];
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert!(matches!(arguments.command, Command::Run { role: Some(_), .. }));
        }
    }
}
