//! One whole system: everything that the demo starts, in its own folder, with fault injection.
//!
//! The demo, the faults, the figures, the power cuts and the system tests use it. They wait for levels with
//! [`House::until`], never for time to pass, and end with an audit: [`House::close`].
//!
//! Methods that return a `Result` are for commands. Methods that panic, with the end of every log, are for tests and
//! for rows of `cargo faults`.

mod builder;
mod streams;

use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::Client;
use rustix::process::Signal;
use tempfile::TempDir;
use thermowell::nats::DENIED;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Boot};
use tokio::runtime::Runtime;

use crate::clock::Stopwatch;
use crate::demo::Options;
use crate::demo::audit::Books;
use crate::demo::ledger::Ledger;
use crate::demo::live::{self, Boilers, View};
use crate::demo::setup::{Plan, Processes};
use crate::nats::{NatsServer, locate};
use crate::process::{Change, Launch, Programs, Supervised, describe, last_lines, stop_in_order};
use crate::wait::Wait;

pub use builder::Builder;

/// Interval between two polls of a level.
const LOOK: Duration = Duration::from_millis(50);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// Time for the aggregator to reach the end of SAMPLES when no more samples come.
const SETTLE: Duration = Duration::from_secs(60);
/// For what takes at most seconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Everything that the demo starts. Dropping it kills all processes.
///
/// Use it on the thread that started it, see [`crate::process`].
pub struct House {
    options: Options,
    /// Folder, time axis and speed.
    pub plan: Plan,
    pub processes: Processes,
    wait: Wait,
    stopwatch: Stopwatch,
    noted: Option<Vec<String>>,
    programs: Programs,
    // Last, so that the folder is removed after the processes have ended.
    _temporary: Option<TempDir>,
}

/// The state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub boot: Boot,
    /// The next slot.
    pub next: u64,
    /// The oldest slot in its ring.
    pub oldest: u64,
    /// Whether it follows a lease.
    pub leased: bool,
}

/// The nats-server that tests use.
///
/// # Panics
/// There is no such server.
#[must_use]
pub fn server() -> NatsServer {
    let mut progress = String::new();
    let found = locate(&mut |line| progress = format!("{progress}{line}\n"));
    found.unwrap_or_else(|error| panic!("{progress}{}", thermowell::logs::chain(error.as_ref())))
}

/// A runtime for a test with NATS connections.
///
/// # Panics
/// Too many files are open.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs a few files only")
}

/// The text of a log; empty where it cannot be read.
#[must_use]
pub fn log(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{}", thermowell::logs::chain(error.as_ref())))
}

impl House {
    /// Starts everything with the demo's arguments. `multi_call` is `env!("CARGO_BIN_EXE_demo")`.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(multi_call: &str, arguments: &[&str]) -> Self {
        must(Builder::new(Programs::at(multi_call), arguments).start())
    }

    /// The folder of the run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.plan.folder
    }

    /// The configuration of the gateway.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.plan.folder.join("thermowell.toml")
    }

    #[must_use]
    pub fn boilers(&self) -> Vec<BoilerId> {
        (1..=self.options.boilers).map(crate::demo::boiler).collect()
    }

    /// The address of the dashboard.
    #[must_use]
    pub fn dashboard(&self) -> SocketAddr {
        self.processes.dashboard
    }

    /// The process of this name.
    ///
    /// # Panics
    /// There is no such process.
    pub fn role(&mut self, name: &str) -> &mut Supervised {
        let role = self.processes.all().into_iter().find(|role| role.name() == name);
        role.unwrap_or_else(|| panic!("no process is called {name}"))
    }

    /// The start of one more role of the product with this configuration; `name` is the name of its log.
    #[must_use]
    pub fn another(&self, role: &str, config: &Path, name: &str) -> Launch {
        let log = self.folder().join("logs").join(format!("{name}.log"));
        Launch { name: name.to_owned(), ..Launch::run(&self.programs, role, config, log) }
    }

    /// The time since its start.
    pub(crate) fn age(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// The processes that ended by themselves since the last call.
    pub(crate) fn noted(&mut self) -> Vec<String> {
        self.noted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Restarts what was killed. A process that ended by itself is an error, or noted.
    ///
    /// # Errors
    /// A process ended by itself, or cannot be started.
    pub fn tend(&mut self) -> Result<()> {
        let Self { processes, stopwatch, noted, .. } = self;
        processes.tend(stopwatch.elapsed(), |role, change| {
            let status = match change {
                Change::Died { status, .. } if noted.is_none() && status.signal() == Some(Signal::KILL.as_raw()) => {
                    return Ok(());
                }
                Change::Died { status, .. } | Change::GaveUp { status } => status,
                Change::Restarted { .. } => return Ok(()),
            };
            let end = format!("{} ended by itself with {}", role.name(), describe(status));
            let what = format!("{end}:\n{}", last_lines(role.log()));
            let Some(noted) = noted else { bail!(what) };
            noted.push(what);
            Ok(())
        })
    }

    /// Polls `look` until it returns a value, and supervises the processes meanwhile.
    ///
    /// # Errors
    /// There is no value within `limit`, a process ended by itself, or a signal was received.
    pub fn try_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T> {
        let watch = Stopwatch::start();
        loop {
            self.tend()?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if watch.left_of(limit).is_none() {
                bail!("not within {} s: {what}\n{}", limit.as_secs(), self.logs());
            }
            self.wait.sleep(LOOK)?;
        }
    }

    /// As [`House::try_until`].
    ///
    /// # Panics
    /// There is no value within `limit`, or a process ended by itself.
    pub fn until<T>(&mut self, what: &str, limit: Duration, look: impl FnMut(&mut Self) -> Option<T>) -> T {
        must(self.try_until(what, limit, look))
    }

    /// Lets the run continue for so long, in real time. Not for waiting: for the length of a phase.
    ///
    /// # Errors
    /// A process ended by itself, or a signal was received.
    pub fn try_go_on(&mut self, length: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        while let Some(left) = watch.left_of(length) {
            self.tend()?;
            self.wait.sleep(left.min(LOOK))?;
        }
        Ok(())
    }

    /// As [`House::try_go_on`].
    ///
    /// # Panics
    /// A process ended by itself.
    pub fn go_on(&mut self, length: Duration) {
        must(self.try_go_on(length));
    }

    /// Sends an order to the simulator, and returns the answer after `ok`.
    ///
    /// # Panics
    /// The order is refused.
    #[must_use]
    pub fn order(&self, order: &str) -> String {
        must(self.give(order)).expect("the simulator's console")
    }

    /// The answer after `ok`; `None` if the simulator does not run or does not listen yet.
    fn give(&self, order: &str) -> Result<Option<String>> {
        let mut stream = match UnixStream::connect(self.plan.console()) {
            Ok(stream) => stream,
            Err(error) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("the simulator's console"),
        };
        let mut answer = String::new();
        stream
            .set_read_timeout(Some(SOON))
            .and_then(|()| writeln!(stream, "{order}"))
            .and_then(|()| BufReader::new(stream).read_line(&mut answer))
            .context("the simulator's console")?;
        let done = answer.trim().strip_prefix("ok ").map(str::to_owned);
        done.map(Some).with_context(|| format!("the simulator answers {order} with {answer}"))
    }

    /// The state of `boiler`'s device; `None` while it is off, or the simulator does not listen yet.
    ///
    /// # Errors
    /// The simulator's answer is malformed.
    pub fn try_place(&self, boiler: &BoilerId) -> Result<Option<Place>> {
        let Some(status) = self.give(&format!("status {boiler}"))?.filter(|status| status != "off") else {
            return Ok(None);
        };
        let word = |name: &str| status.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let place = || {
            Some(Place {
                boot: word("boot")?.parse().ok()?,
                next: word("next")?.parse().ok()?,
                oldest: word("oldest")?.parse().ok()?,
                leased: word("leased")? == "true",
            })
        };
        place().map(Some).with_context(|| format!("the simulator reports {boiler} as {status}"))
    }

    /// As [`House::try_place`].
    ///
    /// # Panics
    /// The simulator's answer is malformed.
    #[must_use]
    pub fn place(&self, boiler: &BoilerId) -> Option<Place> {
        must(self.try_place(boiler))
    }

    /// Runs a future, for example one that needs NATS.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.wait.block_on(future)
    }

    /// The demo's table of the last published states.
    #[must_use]
    pub fn table(&self) -> String {
        let mut boilers = Boilers::new();
        for id in self.boilers() {
            boilers.entry(id.clone()).or_default();
            let sources = [
                (stream::STATE, subject::state(&id)),
                (stream::STATUS, subject::status(&id)),
                (stream::LEASE, subject::setpoint(&id)),
            ];
            for (stream, subject) in sources {
                if let Some(payload) = self.last(stream, &subject) {
                    live::take(&mut boilers, &subject, &payload);
                }
            }
        }
        let view = View { boilers: &boilers, plan: &self.plan, duration: None, restarts: &[], access: &[] };
        view.lines(None).join("\n")
    }

    /// Waits for what was sampled, stops everything in flow order, and audits the streams.
    ///
    /// # Panics
    /// The ledger does not close, or something does not stop or cannot be read.
    #[must_use]
    pub fn close(&mut self) -> Ledger {
        self.catch_up(SOON);
        self.close_as_it_is()
    }

    /// Stops everything in flow order without waiting for later samples, and audits the streams.
    ///
    /// # Panics
    /// The ledger does not close, or something does not stop or cannot be read.
    #[must_use]
    pub fn close_as_it_is(&mut self) -> Ledger {
        let ledger = self.books();
        if !ledger.ok {
            let json = serde_json::to_string_pretty(&ledger).expect("a ledger is JSON");
            panic!("the ledger does not close: {json}\n{}", self.logs());
        }
        ledger
    }

    /// Stops everything in flow order and audits the streams. The ledger need not close.
    ///
    /// # Panics
    /// A process does not stop in order, or a stream cannot be read.
    #[must_use]
    pub fn books(&mut self) -> Ledger {
        let (ledger, ends) = must(self.try_books());
        if let Some(end) = ends.into_iter().find(|end| !end.success()) {
            panic!("a process stopped with {}\n{}", describe(end), self.logs());
        }
        for role in self.processes.all() {
            let log = log(role.log());
            let forbidden = log.lines().find(|line| line.contains(DENIED));
            assert!(forbidden.is_none(), "{}: {}", role.name(), forbidden.unwrap_or_default());
        }
        ledger
    }

    /// The same, with the exit statuses of the processes.
    ///
    /// # Errors
    /// A process cannot be stopped, or a stream cannot be read.
    pub(crate) fn try_books(&mut self) -> Result<(Ledger, Vec<ExitStatus>)> {
        let client = self.try_until("the server runs", SOON, |house| house.wait_for(house.connect()).ok())?;
        let wait = self.wait.clone();
        wait.block_on(async {
            let (problems, ends) = self.drain(&client, Self::tend).await?;
            Ok((self.audit(&client, problems).await?, ends))
        })
    }

    /// Stops everything but the server in flow order. Returns which samples did not arrive, and the exit statuses of
    /// the processes. `tend` is called meanwhile, to restart a role that died just before.
    ///
    /// # Errors
    /// A process cannot be stopped; errors of `tend`.
    pub(crate) async fn drain(
        &mut self,
        client: &Client,
        mut tend: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<(Vec<String>, Vec<ExitStatus>)> {
        let Processes { agent, controller, .. } = &mut self.processes;
        let mut ends = stop_in_order([controller, agent], STOP)?;
        let problems = self.books_of(client).settle(SETTLE, || tend(self)).await?;
        let Processes { aggregator, front, simulator, .. } = &mut self.processes;
        ends.extend(stop_in_order([aggregator, front, simulator], STOP)?);
        Ok((problems, ends.into_iter().flatten().collect()))
    }

    pub(crate) fn books_of(&self, client: &Client) -> Books {
        Books::new(client.clone(), self.boilers(), self.options.feed)
    }

    /// Audits the streams after [`House::drain`].
    ///
    /// # Errors
    /// A stream cannot be read.
    pub(crate) async fn audit(&self, client: &Client, problems: Vec<String>) -> Result<Ledger> {
        self.books_of(client).audit(&self.plan, problems).await.context("audit the streams")
    }

    /// The ends of all logs.
    #[must_use]
    pub fn logs(&mut self) -> String {
        let mut text = String::new();
        for role in self.processes.all() {
            let _always_fits = writeln!(text, "--- {}\n{}", role.name(), last_lines(role.log()));
        }
        text
    }
}

/// Checks a run in which nothing may be missing: no slot lost, stored twice, wrong, or named as missing.
///
/// # Panics
/// One is.
pub fn assert_whole(ledger: &Ledger) {
    for boiler in &ledger.boilers {
        assert!(boiler.samples.is_whole(), "{}: {}", boiler.boiler, boiler.samples.sentence());
    }
}
