//! `cargo demo`: the whole system on this machine, a live table, and a ledger at the end.
//!
//! The demo is a bystander: it starts processes, listens on NATS like any other client, and at the end holds what was
//! published against what the simulator wrote down.

mod access;
pub mod audit;
mod interrupt;
pub mod ledger;
pub(crate) mod live;
mod options;
pub mod samples;
mod screen;
pub mod setup;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt as _;
use thermowell::config::Config;
use thermowell::logs::chain;
use thermowell::verify::{self, Format, Sum, Wish, Writer};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::wildcard;
use thermowell_wire::units::HOUR_NS;

pub use self::access::PRODUCT;
use self::audit::AuditError;
use self::interrupt::Interrupts;
use self::ledger::Ledger;
use self::live::{Boilers, View};

pub use self::options::{InputError, Options};
use self::screen::Screen;
use self::setup::{Plan, Processes, SetupError};
use crate::cli::{self, Failure, say};
use crate::clock::Stopwatch;
use crate::nats::{NatsError, locate};
use crate::process::{Change, ProcessError, Programs, describe, stop_in_order};

/// How often processes are looked after and the table is drawn again, in real time.
const TICK: Duration = Duration::from_millis(250);
/// The longest wait, in real time, for a snapshot behind the end of its hour and for the last samples to arrive.
const SETTLE: Duration = Duration::from_secs(30);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// Exit code of a run that was interrupted before it had a ledger, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Exit code for a file that cannot be used, as of the programs that the demo starts.
const CONFIGURATION: u8 = 78;
/// The signal that ends the run without a ledger: the first asks for it, the second is answered with a line.
const PATIENCE: u32 = 3;

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
    /// A file cannot be used.
    #[error(transparent)]
    Input(InputError),
    /// A process ended with a usage or configuration error: another start would only repeat it.
    #[error("{name} ended with {end}:\n{tail}")]
    GaveUp {
        /// Its role.
        name: String,
        /// How, in words.
        end: String,
        /// Its exit code.
        code: u8,
        /// The last lines of its log.
        tail: String,
    },
    /// Nothing can be shown.
    #[error("write to standard output")]
    Output(#[source] io::Error),
    /// Signals asked for an end without a ledger.
    #[error("interrupted, without a ledger")]
    Interrupted,
    /// The books cannot be read.
    #[error("read the books")]
    Audit(#[source] AuditError),
}

/// Runs the demo with the arguments of the command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main("demo", args, |options: &Options| {
        let ledger = run(options).map_err(failure)?;
        let printed = if options.json { audit::print_json(&ledger) } else { audit::print(&ledger) };
        printed.map_err(|source| failure(DemoError::Output(source)))?;
        Ok(ledger.ok)
    })
}

fn failure(error: DemoError) -> Failure {
    match &error {
        DemoError::GaveUp { code, .. } => Failure::with_code(&error, *code),
        DemoError::Interrupted => Failure::with_code(&error, INTERRUPTED),
        DemoError::Input(_) => Failure::with_code(&error, CONFIGURATION),
        DemoError::Server(_)
        | DemoError::Setup(_)
        | DemoError::Folder(_)
        | DemoError::Nats { .. }
        | DemoError::Process(_)
        | DemoError::Output(_)
        | DemoError::Audit(_) => error.into(),
    }
}

fn run(options: &Options) -> Result<Ledger, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Folder)?;
    let mut interrupts = {
        let _inside = runtime.enter();
        Interrupts::install().map_err(DemoError::Folder)?
    };
    for line in options.check_inputs().map_err(DemoError::Input)? {
        say(&line);
    }
    // The installation of nats-server is no child in a group of its own: Ctrl-C ends it too.
    let server = locate(&mut |progress| say(progress)).map_err(|error| {
        if runtime.block_on(interrupts.pending()) { DemoError::Interrupted } else { DemoError::Server(error) }
    })?;
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
    let access = access::lines(&plan, &processes.broker);
    let mut demo = Demo {
        options,
        plan,
        processes,
        access,
        boilers: Boilers::new(),
        stopwatch: Stopwatch::start(),
        screen: Screen::new(options.json),
    };
    for n in 1..=options.boilers {
        demo.boilers.entry(boiler(n)).or_default();
    }
    runtime.block_on(demo.run(&mut interrupts))
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
    access: Vec<String>,
    boilers: Boilers,
    stopwatch: Stopwatch,
    screen: Screen,
}

impl Demo<'_> {
    async fn run(&mut self, interrupts: &mut Interrupts) -> Result<Ledger, DemoError> {
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
        if self.screen.size().is_none() {
            say(&self.access.join("\n"));
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut continued = interrupt::continuations().map_err(DemoError::Folder)?;
        let mut signals = 0;
        loop {
            tokio::select! {
                Some(message) = messages.next() => live::take(&mut self.boilers, &message.subject, &message.payload),
                _ = tick.tick() => {
                    self.tend()?;
                    self.draw(true).map_err(DemoError::Output)?;
                    if self.is_over() || (signals > 0 && self.has_begun()) {
                        break;
                    }
                }
                name = interrupts.next() => {
                    signals += 1;
                    self.answer(name, signals)?;
                }
                // The shell has written below the frame meanwhile.
                _ = continued.recv() => self.screen.leave(),
            }
        }
        // The last frame stays, without the lines for a second terminal.
        self.draw(false).unwrap_or_default();
        self.screen.leave();
        let ledger = {
            let books = self.close_the_books(&client, signals == 0);
            tokio::pin!(books);
            loop {
                tokio::select! {
                    ledger = &mut books => break ledger,
                    name = interrupts.next() => {
                        signals += 1;
                        answer(name, signals, &mut |line| say(line))?;
                    }
                }
            }
        };
        for role in self.processes.all() {
            role.stop(STOP).map_err(DemoError::Process)?;
        }
        ledger
    }

    /// Whether there is something to balance: a state of each boiler, or none within the time that it may take.
    fn has_begun(&self) -> bool {
        self.boilers.values().all(|live| live.state.is_some()) || self.stopwatch.elapsed() > SETTLE
    }

    fn answer(&mut self, signal: &str, signals: u32) -> Result<(), DemoError> {
        answer(signal, signals, &mut |line| self.screen.say(line))
    }

    /// Restarts what died, as systemd would, and says so.
    fn tend(&mut self) -> Result<(), DemoError> {
        let now = self.stopwatch.elapsed();
        let Self { processes, screen, .. } = self;
        for role in processes.all() {
            match role.tend(now).map_err(DemoError::Process)? {
                Some(Change::Died { status, .. }) => screen.say(&format!("{} died: {}", role.name(), describe(status))),
                Some(Change::Restarted { .. }) => screen.say(&format!("{} started again", role.name())),
                Some(Change::GaveUp { status }) => {
                    screen.erase().unwrap_or_default();
                    let (name, end) = (role.name().to_owned(), describe(status));
                    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                    return Err(DemoError::GaveUp { name, end, code, tail: audit::last_lines(role.log()) });
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

    /// Draws a frame, with the lines for a second terminal where they still work.
    fn draw(&mut self, with_access: bool) -> io::Result<()> {
        let now = self.stopwatch.elapsed();
        let restarts = self.processes.all().map(|role| (role.name().to_owned(), role.deaths()));
        let Self { screen, boilers, plan, access, .. } = self;
        screen.draw(now, |size| {
            let access = if with_access && size.is_some() { access.as_slice() } else { &[] };
            View { boilers, plan, duration: self.options.duration, restarts: &restarts, access }.lines(size)
        })
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
    /// A run that was not cut short has a snapshot of each hour that began within it.
    async fn close_the_books(&mut self, client: &async_nats::Client, is_complete: bool) -> Result<Ledger, DemoError> {
        let Processes { agent, controller, .. } = &mut self.processes;
        stop_in_order([controller, agent], STOP).map_err(DemoError::Process)?;
        let ids: Vec<BoilerId> = live::in_order(&self.boilers).map(|(id, _)| id.clone()).collect();
        let mut problems = audit::settle(client, &ids, self.options.feed, SETTLE, || self.tend()).await?;
        let Processes { aggregator, simulator, .. } = &mut self.processes;
        stop_in_order([aggregator, simulator], STOP).map_err(DemoError::Process)?;
        if let Some(duration) = self.options.duration.filter(|_| is_complete) {
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

/// What a signal brings. `Err`: an end without a ledger.
fn answer(signal: &str, signals: u32, say: &mut dyn FnMut(&str)) -> Result<(), DemoError> {
    match signals {
        0 | 1 => say(&format!("{signal}: the flow stops in order, and the books are read")),
        n if n < PATIENCE => say(&format!("{signal}: still reading the books; once more ends without a ledger")),
        _ => return Err(DemoError::Interrupted),
    }
    Ok(())
}
