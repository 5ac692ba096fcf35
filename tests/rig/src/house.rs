//! One whole system: everything that the demo starts, in a folder of its own, with faults at hand.
//!
//! The demo, the faults, the figures, the power cuts and the system tests run on it. One waits for levels with
//! [`House::until`], never for time to pass, and ends with the books: [`House::close`].
//!
//! What returns a `Result` is for commands. What panics, with the end of every log, is for tests and rows of faults.

mod builder;

use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, Subscriber, jetstream};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use thermowell_wire::batch;
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

/// Between two looks at a level.
const LOOK: Duration = Duration::from_millis(50);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// For the aggregator to reach the end of SAMPLES when no more comes.
const SETTLE: Duration = Duration::from_secs(60);
/// For what must have happened long before, on a machine that does other things as well.
pub const SOON: Duration = Duration::from_secs(30);

/// Everything that the demo starts. Dropping it kills it all.
///
/// Use it on the thread that started it: [`crate::process`] says why.
pub struct House {
    options: Options,
    /// Where and when.
    pub plan: Plan,
    /// What runs.
    pub processes: Processes,
    wait: Wait,
    stopwatch: Stopwatch,
    noted: Option<Vec<String>>,
    programs: Programs,
    // Last, so that it goes when no process writes there any more.
    _temporary: Option<TempDir>,
}

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The start.
    pub boot: Boot,
    /// The slot that comes next.
    pub next: u64,
    /// The oldest slot that its ring holds.
    pub oldest: u64,
    /// Whether it obeys a lease.
    pub leased: bool,
}

/// The nats-server that tests use.
///
/// # Panics
/// There is no such server.
#[must_use]
pub fn server() -> NatsServer {
    let mut said = String::new();
    let found = locate(&mut |line| said = format!("{said}{line}\n"));
    found.unwrap_or_else(|error| panic!("{said}{}", thermowell::logs::chain(error.as_ref())))
}

/// A runtime for a test that talks to NATS.
///
/// # Panics
/// The system has no more files.
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

    /// Every boiler.
    #[must_use]
    pub fn boilers(&self) -> Vec<BoilerId> {
        (1..=self.options.boilers).map(crate::demo::boiler).collect()
    }

    /// One of the processes, by its name.
    ///
    /// # Panics
    /// There is no such process.
    pub fn role(&mut self, name: &str) -> &mut Supervised {
        let role = self.processes.all().into_iter().find(|role| role.name() == name);
        role.unwrap_or_else(|| panic!("no process is called {name}"))
    }

    /// One more role of the product, with this configuration: its log is called `name`.
    #[must_use]
    pub fn another(&self, role: &str, config: &Path, name: &str) -> Launch {
        let log = self.folder().join("logs").join(format!("{name}.log"));
        Launch { name: name.to_owned(), ..Launch::run(&self.programs, role, config, log) }
    }

    /// How long it has run.
    pub(crate) fn age(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// What was noted since the last call: processes that ended by themselves.
    pub(crate) fn noted(&mut self) -> Vec<String> {
        self.noted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Restarts what was killed. What died by itself is a failure, or noted.
    ///
    /// # Errors
    /// A process died by itself, or cannot be started.
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

    /// Looks after the processes until `look` finds what it looks for.
    ///
    /// # Errors
    /// It does not within `limit`, a process died by itself, or a signal came.
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

    /// The same.
    ///
    /// # Panics
    /// It does not within `limit`, or a process died by itself.
    pub fn until<T>(&mut self, what: &str, limit: Duration, look: impl FnMut(&mut Self) -> Option<T>) -> T {
        must(self.try_until(what, limit, look))
    }

    /// Lets the run go on for so long, in real time. Not a wait for anything: the length of what is done to it.
    ///
    /// # Errors
    /// A process died by itself, or a signal came.
    pub fn try_go_on(&mut self, length: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        while let Some(left) = watch.left_of(length) {
            self.tend()?;
            self.wait.sleep(left.min(LOOK))?;
        }
        Ok(())
    }

    /// The same.
    ///
    /// # Panics
    /// A process died by itself.
    pub fn go_on(&mut self, length: Duration) {
        must(self.try_go_on(length));
    }

    /// Gives the simulator an order, and returns the answer after `ok`.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    pub fn order(&self, order: &str) -> String {
        must(self.give(order)).expect("the simulator's console")
    }

    /// The answer after `ok`; none where the simulator is not there, or does not listen yet.
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

    /// Where the device of `boiler` is. None while it is off, or the simulator does not listen yet.
    ///
    /// # Errors
    /// The simulator answers with something else.
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

    /// The same.
    ///
    /// # Panics
    /// The simulator answers with something else.
    #[must_use]
    pub fn place(&self, boiler: &BoilerId) -> Option<Place> {
        must(self.try_place(boiler))
    }

    /// A connection of its own to the server of the run.
    ///
    /// # Errors
    /// The server is not there.
    pub async fn connect(&self) -> Result<Client, async_nats::ConnectError> {
        self.processes.broker.connect().await
    }

    /// Runs what needs NATS.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.wait.block_on(future)
    }

    /// Listens to a subject from now on.
    ///
    /// # Errors
    /// The server is not there.
    pub(crate) fn listen(&self, subject: &str) -> Result<Subscriber> {
        self.wait_for(async {
            let client = self.connect().await.context("connect")?;
            let subscriber = client.subscribe(subject.to_owned()).await.context("subscribe")?;
            client.flush().await.context("subscribe")?;
            Ok(subscriber)
        })
    }

    /// The last message of a subject, if server, stream and message are there.
    #[must_use]
    pub fn last(&self, stream: &str, subject: &str) -> Option<Vec<u8>> {
        self.wait_for(async {
            let context = jetstream::new(self.connect().await.ok()?);
            let message = thermowell::nats::last(&context, stream, subject).await.ok()??;
            Some(message.payload.to_vec())
        })
    }

    /// The last message of a subject that carries JSON.
    #[must_use]
    pub fn last_json<T: DeserializeOwned>(&self, stream: &str, subject: &str) -> Option<T> {
        serde_json::from_slice(&self.last(stream, subject)?).ok()
    }

    /// What `boiler` has in SAMPLES ends before this slot; none where it has nothing.
    ///
    /// # Panics
    /// SAMPLES holds another layout.
    #[must_use]
    pub fn stored(&self, boiler: &BoilerId) -> Option<(Boot, u64)> {
        let tail = self.last(stream::SAMPLES, &subject::samples(boiler))?;
        let end = batch::decode(&tail).expect("SAMPLES holds our layout").end();
        Some((end.boot, end.seq))
    }

    /// Waits until every slot that `boiler` has sampled by now is in SAMPLES, and returns where it was.
    ///
    /// # Panics
    /// It is not within `limit`.
    pub fn until_stored(&mut self, boiler: &BoilerId, limit: Duration) -> Place {
        let place = self.until(&format!("{boiler} runs"), limit, |house| house.place(boiler));
        self.until(&format!("SAMPLES has {boiler} up to slot {}", place.next), limit, |house| {
            house.stored(boiler).filter(|(boot, next)| *boot == place.boot && *next >= place.next)
        });
        place
    }

    /// Waits until every slot that has been sampled by now is in SAMPLES, for each boiler.
    ///
    /// # Panics
    /// It is not within `limit`.
    pub fn catch_up(&mut self, limit: Duration) {
        for boiler in self.boilers() {
            self.until_stored(&boiler, limit);
        }
    }

    /// The demo's table of what stands in the streams now.
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

    /// Waits for what was sampled, stops everything in flow order, and reads the books.
    ///
    /// # Panics
    /// They do not close, or something does not stop or cannot be read.
    #[must_use]
    pub fn close(&mut self) -> Ledger {
        self.catch_up(SOON);
        self.close_as_it_is()
    }

    /// Stops everything in flow order without a look at what is still to come, and reads the books.
    ///
    /// # Panics
    /// They do not close, or something does not stop or cannot be read.
    #[must_use]
    pub fn close_as_it_is(&mut self) -> Ledger {
        let ledger = self.books();
        if !ledger.ok {
            let json = serde_json::to_string_pretty(&ledger).expect("a ledger is JSON");
            panic!("the ledger does not close: {json}\n{}", self.logs());
        }
        ledger
    }

    /// Stops everything in flow order and reads the books, whether they close or not.
    ///
    /// # Panics
    /// Something does not stop in order, or cannot be read.
    #[must_use]
    pub fn books(&mut self) -> Ledger {
        let (ledger, ends) = must(self.try_books());
        if let Some(end) = ends.into_iter().find(|end| !end.success()) {
            panic!("a process stopped with {}\n{}", describe(end), self.logs());
        }
        for role in self.processes.all() {
            let log = log(role.log());
            let forbidden = log.lines().find(|line| line.contains("the server forbids us"));
            assert!(forbidden.is_none(), "{}: {}", role.name(), forbidden.unwrap_or_default());
        }
        ledger
    }

    /// The same, and how the processes ended.
    ///
    /// # Errors
    /// A process cannot be stopped, or the books not be read.
    pub(crate) fn try_books(&mut self) -> Result<(Ledger, Vec<ExitStatus>)> {
        let client = self.try_until("the server runs", SOON, |house| house.wait_for(house.connect()).ok())?;
        let wait = self.wait.clone();
        wait.block_on(async {
            let (problems, ends) = self.drain(&client, Self::tend).await?;
            Ok((self.audit(&client, problems).await?, ends))
        })
    }

    /// Stops everything but the server in flow order. Returns what of the samples did not arrive, and how the
    /// processes ended. `tend` is called meanwhile: a role that died just before has to be started again.
    ///
    /// # Errors
    /// A process cannot be stopped; those of `tend`.
    pub(crate) async fn drain(
        &mut self,
        client: &Client,
        mut tend: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<(Vec<String>, Vec<ExitStatus>)> {
        let Processes { agent, controller, .. } = &mut self.processes;
        let mut ends = stop_in_order([controller, agent], STOP)?;
        let problems = self.books_of(client).settle(SETTLE, || tend(self)).await?;
        let Processes { aggregator, simulator, .. } = &mut self.processes;
        ends.extend(stop_in_order([aggregator, simulator], STOP)?);
        Ok((problems, ends.into_iter().flatten().collect()))
    }

    /// What reads the streams.
    pub(crate) fn books_of(&self, client: &Client) -> Books {
        Books::new(client.clone(), self.boilers(), self.options.feed)
    }

    /// Reads the books of what was drained.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn audit(&self, client: &Client, problems: Vec<String>) -> Result<Ledger> {
        self.books_of(client).audit(&self.plan, problems).await.context("read the books")
    }

    /// The end of every log.
    #[must_use]
    pub fn logs(&mut self) -> String {
        let mut text = String::new();
        for role in self.processes.all() {
            let _always_fits = writeln!(text, "--- {}\n{}", role.name(), last_lines(role.log()));
        }
        text
    }
}

/// Checks the promise of a run in which nothing may be missing: not lost, not twice, not wrong, not even named.
///
/// # Panics
/// Something is.
pub fn assert_whole(ledger: &Ledger) {
    for boiler in &ledger.boilers {
        assert!(boiler.samples.is_whole(), "{}: {}", boiler.boiler, boiler.samples.sentence());
    }
}
