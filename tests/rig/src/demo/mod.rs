//! `cargo demo`: the whole system on this machine, a live table, and a ledger at the end.
//!
//! The demo is a bystander: it starts processes, listens on NATS like any other client, and at the end holds what was
//! published against what the simulator wrote down.

pub mod audit;
pub mod ledger;
pub(crate) mod live;
mod options;
pub mod samples;
pub mod setup;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt as _;
use thermowell::config::Config;
use thermowell::logs::chain;
use thermowell::verify::{self, Format, Sum, Wish, Writer};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::wildcard;

use self::audit::AuditError;
use self::ledger::Ledger;
use self::live::Boilers;
pub use self::options::Options;
use self::setup::{Plan, Processes, SetupError};
use crate::cli::{self, say};
use crate::clock::Stopwatch;
use crate::nats::{NatsError, locate};
use crate::process::{Change, ProcessError, Programs, describe, stop_in_order};

/// How often processes are looked after and the table is drawn again, in real time.
const TICK: Duration = Duration::from_millis(250);
/// How often a line is printed where nobody sees a table redrawn.
const REPORT: Duration = Duration::from_secs(10);
/// The longest wait, in real time, for a snapshot behind the end of its hour and for the last samples to arrive.
const SETTLE: Duration = Duration::from_secs(30);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// Nanoseconds in an hour.
const HOUR_NS: i64 = 3_600_000_000_000;

/// Why a demo did not come to its ledger.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no usable nats-server.
    #[error("find nats-server")]
    Server(#[source] NatsError),
    /// The run could not begin.
    #[error("set up")]
    Setup(#[source] SetupError),
    /// A temporary folder cannot be made.
    #[error("make a temporary folder")]
    Folder(#[source] io::Error),
    /// The demo's own connection.
    #[error("{operation}")]
    Nats {
        /// What was tried.
        operation: &'static str,
        /// What the client said.
        #[source]
        source: async_nats::Error,
    },
    /// A process cannot be handled.
    #[error("look after the processes")]
    Process(#[source] ProcessError),
    /// A process ended for good.
    #[error("{name} ended with {end} and is not started again; the end of {log}:\n{tail}")]
    GaveUp {
        /// Its role.
        name: String,
        /// How.
        end: String,
        /// Where to look.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The books cannot be read.
    #[error("read the books")]
    Audit(#[source] AuditError),
}

/// Runs the demo with the arguments of the command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main("demo", args, |options: &Options| {
        let ledger = run(options)?;
        let printed = if options.json { audit::print_json(&ledger) } else { audit::print(&ledger) };
        Ok(printed.is_ok() && ledger.ok)
    })
}

fn run(options: &Options) -> Result<Ledger, DemoError> {
    let server = locate(&mut |progress| say(progress)).map_err(DemoError::Server)?;
    say(&format!("nats-server {} ({})", server.version(), server.path().display()));
    let programs = Programs::of_this_process().map_err(DemoError::Process)?;
    let temporary = match &options.keep {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("thermowell-demo-").tempdir().map_err(DemoError::Folder)?),
    };
    let folder = match (&options.keep, &temporary) {
        (Some(folder), _) => absolute(folder).map_err(DemoError::Folder)?,
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => PathBuf::from("."),
    };
    setup::prepare(&folder).map_err(DemoError::Setup)?;
    let (processes, plan) = Processes::start(options, &folder, &server, &programs).map_err(DemoError::Setup)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Folder)?;
    let mut demo = Demo { options, plan, processes, boilers: Boilers::new(), stopwatch: Stopwatch::start() };
    for n in 1..=options.boilers {
        demo.boilers.entry(boiler(n)).or_default();
    }
    runtime.block_on(demo.run())
}

fn absolute(folder: &Path) -> io::Result<PathBuf> {
    std::path::absolute(folder)
}

pub(crate) fn boiler(n: u16) -> BoilerId {
    format!("b{n}").parse().expect("b and a number is a boiler id")
}

struct Demo<'a> {
    options: &'a Options,
    plan: Plan,
    processes: Processes,
    boilers: Boilers,
    stopwatch: Stopwatch,
}

impl Demo<'_> {
    async fn run(&mut self) -> Result<Ledger, DemoError> {
        let failed = |operation| move |source: async_nats::Error| DemoError::Nats { operation, source };
        let broker = &self.processes.broker;
        let client = broker
            .options()
            .retry_on_initial_connect()
            .connect(broker.url())
            .await
            .map_err(|error| failed("connect")(error.into()))?;
        let mut messages = Vec::new();
        for subject in [wildcard::STATE, wildcard::STATUS, wildcard::SNAPSHOT, wildcard::LEASE] {
            let subscription = client.subscribe(subject).await;
            messages.push(subscription.map_err(|error| failed("subscribe")(error.into()))?);
        }
        let mut messages = futures_util::stream::select_all(messages);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut drawn = Duration::ZERO;
        loop {
            tokio::select! {
                Some(message) = messages.next() => live::take(&mut self.boilers, &message.subject, &message.payload),
                _ = tick.tick() => {
                    self.tend()?;
                    drawn = self.draw(drawn);
                    if self.is_over() {
                        break;
                    }
                }
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        self.draw(Duration::ZERO);
        let ledger = self.close_the_books(&client).await;
        for role in self.processes.all() {
            role.stop(STOP).map_err(DemoError::Process)?;
        }
        ledger
    }

    /// Restarts what died, as systemd would, and says so.
    fn tend(&mut self) -> Result<(), DemoError> {
        let now = self.stopwatch.elapsed();
        for role in self.processes.all() {
            match role.tend(now).map_err(DemoError::Process)? {
                Some(Change::Died { status, .. }) => say(&format!("{} died: {}", role.name(), describe(status))),
                Some(Change::Restarted { .. }) => say(&format!("{} started again", role.name())),
                Some(Change::GaveUp { status }) => {
                    let tail = audit::last_lines(role.log());
                    let (name, end, log) = (role.name().to_owned(), describe(status), role.log().to_owned());
                    return Err(DemoError::GaveUp { name, end, log, tail });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The time is over, and so is every hour that began within it.
    fn is_over(&self) -> bool {
        let Some(duration) = self.options.duration else { return false };
        let elapsed = self.plan.elapsed();
        if elapsed < duration {
            return false;
        }
        let patience = elapsed - duration > Duration::from_secs(3_600) + SETTLE * self.plan.speed;
        let complete = self
            .boilers
            .values()
            .all(|live| self.hours(duration).iter().all(|hour| live.snapshots.iter().any(|s| s.hour == *hour)));
        complete || patience
    }

    /// The hours that begin within the run. In real time an hour is too long to wait for.
    fn hours(&self, duration: Duration) -> Vec<String> {
        if self.plan.speed == 1 {
            return Vec::new();
        }
        let start = self.plan.epoch_utc_ns;
        let end = start + i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 2);
        let first = start.div_euclid(HOUR_NS) + i64::from(start.rem_euclid(HOUR_NS) != 0);
        (first..).map(|hour| hour * HOUR_NS).take_while(|hour| *hour < end).map(rfc3339).collect()
    }

    /// Draws the table where somebody sees it redrawn, else prints it now and then. Returns when it was printed last.
    fn draw(&self, last: Duration) -> Duration {
        let now = self.stopwatch.elapsed();
        let terminal = if self.options.json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        if !terminal && (self.options.json || (last != Duration::ZERO && now - last < REPORT)) {
            return last;
        }
        let deaths: Vec<(String, u32)> = {
            let Processes { broker: _, simulator, agent, aggregator, controller } = &self.processes;
            [simulator, agent, aggregator, controller].map(|role| (role.name().to_owned(), role.deaths())).into()
        };
        let table = live::table(&self.boilers, &self.plan, &deaths);
        // Home, clear below; a table that is printed again and again scrolls away the log.
        let text = if terminal { format!("\x1b[H\x1b[J{table}") } else { format!("{table}\n") };
        if self.options.json {
            say(&text)
        } else {
            tell(&text)
        }
        now
    }

    /// Says how the published hours stand against their recomputation. Returns what is wrong with them.
    async fn verify(&self) -> Option<String> {
        match verify(&self.plan.folder.join("thermowell.toml")).await {
            Ok(agreed) => {
                say(&format!("verify: {agreed}"));
                None
            }
            Err(problem) => Some(format!("verify: {problem}")),
        }
    }

    /// Stops the flow in flow order, waits until the last sample is aggregated, and reads the books.
    async fn close_the_books(&mut self, client: &async_nats::Client) -> Result<Ledger, DemoError> {
        let Processes { agent, aggregator, controller, simulator, .. } = &mut self.processes;
        stop_in_order([controller, agent], STOP).map_err(DemoError::Process)?;
        let ids: Vec<BoilerId> = self.boilers.keys().cloned().collect();
        let settled = audit::settle(client, &ids, self.options.feed, SETTLE).await;
        let mut problems: Vec<String> = settled.map_err(DemoError::Audit)?;
        stop_in_order([aggregator, simulator], STOP).map_err(DemoError::Process)?;
        if let Some(duration) = self.options.duration {
            for (id, live) in &self.boilers {
                for hour in self.hours(duration).iter().filter(|h| live.snapshots.iter().all(|s| s.hour != **h)) {
                    problems.push(format!("boiler {id}: no snapshot of the hour {hour}"));
                }
            }
        }
        problems.extend(self.verify().await);
        audit::audit(client, &ids, &self.plan, self.options.feed, problems).await.map_err(DemoError::Audit)
    }
}

/// What `thermowell verify` says: every published hour against its recomputation from SAMPLES, byte for byte.
async fn verify(config: &Path) -> Result<String, String> {
    let config = Config::load(config).map_err(|error| chain(&error))?;
    let mut lines = Vec::new();
    let mut report = Writer::new(&mut lines, Format::Text);
    let sum = verify::verify(&config, &Wish::default(), &mut report).await.map_err(|error| chain(&error))?;
    if sum.agrees() { Ok(agreed(&sum)) } else { Err(String::from_utf8_lossy(&lines).into_owned()) }
}

fn agreed(sum: &Sum) -> String {
    let others = sum.moved + sum.no_samples + sum.open + sum.no_snapshot;
    format!("{} published hours agree byte for byte, {others} are open or cannot be compared", sum.equal)
}

/// UTC in nanoseconds as RFC 3339, to the second.
#[must_use]
pub fn rfc3339(utc_ns: i64) -> String {
    jiff::Timestamp::from_second(utc_ns.div_euclid(1_000_000_000))
        .map_or_else(|_| utc_ns.to_string(), |t| t.to_string())
}

/// The table, on standard output.
fn tell(text: &str) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}
