//! A whole system for one test: everything that the demo starts, in a folder of its own, with faults at hand.
//!
//! A test waits for levels with [`House::until`], never for time to pass, and ends with the books: [`House::close`]. A
//! process may die only because the test killed it. What goes wrong panics, with the end of every log.

use std::fmt::Write as _;
use std::fs;
use std::future::Future;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{Client, jetstream};
use clap::Parser as _;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use thermowell_wire::batch;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Boot};
use tokio::runtime::Runtime;

use crate::clock::Stopwatch;
use crate::demo::ledger::Ledger;
use crate::demo::live::{self, Boilers, View};
use crate::demo::setup::{self, Plan, Processes};
use crate::demo::{Options, audit};
use crate::nats::{NatsServer, locate};
use crate::process::{Change, Programs, describe, stop_in_order};

/// Between two looks at a level.
const LOOK: Duration = Duration::from_millis(50);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// For what must have happened long before, on a machine that does other things as well.
pub const SOON: Duration = Duration::from_secs(30);

/// Everything that the demo starts, and a test's hands on it. Dropping it kills it all.
///
/// Use it on the thread that started it: [`crate::process`] says why.
pub struct House {
    options: Options,
    /// Where and when.
    pub plan: Plan,
    /// What runs.
    pub processes: Processes,
    stopwatch: Stopwatch,
    runtime: Runtime,
    // Last, so that it goes when nobody writes there any more.
    folder: TempDir,
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
/// There is none.
#[must_use]
pub fn server() -> NatsServer {
    let mut said = String::new();
    let found = locate(&mut |line| said = format!("{said}{line}\n"));
    found.unwrap_or_else(|error| panic!("{said}{}", thermowell::logs::chain(error.as_ref())))
}

/// The runtime of whoever talks to NATS in a test.
///
/// # Panics
/// The system has no more files.
#[must_use]
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs a few files only")
}

/// What a log says; nothing where it cannot be read.
#[must_use]
pub fn log(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl House {
    /// Starts everything with the demo's arguments. `multi_call` is `env!("CARGO_BIN_EXE_demo")`.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(multi_call: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("thermowell-test-").tempdir().expect("a temporary folder");
        Self::start_at(folder, multi_call, arguments, |_| ())
    }

    /// The same in a folder of its own below `parent`, which `furnish` sees before anything starts in it, and which
    /// stays when all is over.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start_in(
        parent: &Path,
        multi_call: impl Into<PathBuf>,
        arguments: &[&str],
        furnish: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("house-").disable_cleanup(true).tempdir_in(parent);
        Self::start_at(folder.expect("a folder"), multi_call, arguments, furnish)
    }

    fn start_at(
        folder: TempDir,
        multi_call: impl Into<PathBuf>,
        arguments: &[&str],
        furnish: impl FnOnce(&Path),
    ) -> Self {
        let mut options = Options::try_parse_from(["demo"].iter().chain(arguments)).unwrap_or_else(|e| panic!("{e}"));
        setup::prepare(folder.path()).expect("an empty folder");
        furnish(folder.path());
        if options.scenario.is_none() {
            // Nothing goes wrong but what the test does.
            let quiet = folder.path().join("quiet.toml");
            fs::write(&quiet, "").expect("a folder of our own");
            options.scenario = Some(quiet);
        }
        let programs = Programs::at(multi_call);
        let started = Processes::start(&options, folder.path(), &server(), &programs);
        let (processes, plan) = started.unwrap_or_else(|error| panic!("{}", thermowell::logs::chain(error.as_ref())));
        Self { options, plan, processes, stopwatch: Stopwatch::start(), runtime: runtime(), folder }
    }

    /// The folder of the run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every boiler.
    #[must_use]
    pub fn boilers(&self) -> Vec<BoilerId> {
        (1..=self.options.boilers).map(crate::demo::boiler).collect()
    }

    /// Restarts what was killed. What died by itself is a failure.
    ///
    /// # Panics
    /// A process died by itself.
    pub fn tend(&mut self) {
        tend(&mut self.processes, &self.stopwatch);
    }

    /// Looks after the processes until `look` finds what it looks for.
    ///
    /// # Panics
    /// It does not within `limit`.
    pub fn until<T>(&mut self, what: &str, limit: Duration, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let watch = Stopwatch::start();
        loop {
            self.tend();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(watch.left_of(limit).is_some(), "not within {limit:?}: {what}\n{}", self.logs());
            std::thread::sleep(LOOK);
        }
    }

    /// Lets the run go on for so long, in real time. Not a wait for anything: the length of what a test does.
    pub fn go_on(&mut self, length: Duration) {
        let watch = Stopwatch::start();
        while let Some(left) = watch.left_of(length) {
            self.tend();
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Gives the simulator an order, and returns the answer behind `ok`.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    pub fn order(&self, order: &str) -> String {
        let console = UnixStream::connect(self.plan.console());
        Self::give(order, console.expect("the simulator's console"))
    }

    fn give(order: &str, mut stream: UnixStream) -> String {
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        stream.write_all(format!("{order}\n").as_bytes()).expect("an open console");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("an answer");
        let done = answer.trim().strip_prefix("ok ").map(str::to_owned);
        done.unwrap_or_else(|| panic!("{order}: {answer}"))
    }

    /// Where the device of `boiler` is. None while it is off, or the simulator has not begun to listen.
    ///
    /// # Panics
    /// The simulator says something else.
    #[must_use]
    pub fn place(&self, boiler: &BoilerId) -> Option<Place> {
        let console = match UnixStream::connect(self.plan.console()) {
            Ok(console) => console,
            // It is not there, or there and not yet listened to.
            Err(error) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) => return None,
            Err(error) => panic!("the simulator's console: {error}"),
        };
        let status = Self::give(&format!("status {boiler}"), console);
        let word = |name: &str| {
            let word = status.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.unwrap_or_else(|| panic!("no {name} in {status}"))
        };
        if status == "off" {
            return None;
        }
        Some(Place {
            boot: word("boot").parse().expect("a boot"),
            next: word("next").parse().expect("a slot"),
            oldest: word("oldest").parse().expect("a slot"),
            leased: word("leased") == "true",
        })
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
        self.runtime.block_on(future)
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
    #[must_use]
    pub fn stored(&self, boiler: &BoilerId) -> Option<(Boot, u64)> {
        let tail = self.last(stream::SAMPLES, &subject::samples(boiler))?;
        let end = batch::decode(&tail).expect("SAMPLES holds our layout").end();
        Some((end.boot, end.seq))
    }

    /// Waits until every slot that has been sampled by now is in SAMPLES, for each boiler.
    ///
    /// # Panics
    /// It is not within `limit`.
    pub fn catch_up(&mut self, limit: Duration) {
        for boiler in self.boilers() {
            let place = self.until(&format!("{boiler} runs"), limit, |house| house.place(&boiler));
            self.until(&format!("SAMPLES has {boiler} up to slot {}", place.next), limit, |house| {
                house.stored(&boiler).filter(|(boot, next)| *boot == place.boot && *next >= place.next)
            });
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
    /// Something does not stop or cannot be read.
    #[must_use]
    pub fn close(&mut self) -> Ledger {
        self.catch_up(SOON);
        self.close_as_it_is()
    }

    /// Stops everything in flow order without a look at what is still to come, and reads the books.
    ///
    /// # Panics
    /// Something does not stop or cannot be read.
    #[must_use]
    pub fn close_as_it_is(&mut self) -> Ledger {
        let ledger = self.books();
        if !ledger.ok {
            let json = serde_json::to_string_pretty(&ledger).expect("a ledger is JSON");
            panic!("the ledger does not close: {json}\n{}", self.logs());
        }
        ledger
    }

    /// Stops everything in flow order and reads the books, whatever they say.
    ///
    /// # Panics
    /// Something does not stop or cannot be read.
    #[must_use]
    pub fn books(&mut self) -> Ledger {
        let ids = self.boilers();
        let feed = self.options.feed;
        let stop = |roles: [&mut crate::process::Supervised; 2]| {
            for status in stop_in_order(roles, STOP).expect("the kernel knows our children").into_iter().flatten() {
                assert!(status.success(), "a process stopped with {}", describe(status));
            }
        };
        stop([&mut self.processes.controller, &mut self.processes.agent]);
        let client = self.until("the server runs", SOON, |house| house.wait_for(house.connect()).ok());
        let Self { processes, stopwatch, runtime, .. } = self;
        let problems = runtime.block_on(audit::settle(&client, &ids, feed, SOON, || {
            tend(processes, stopwatch);
            Ok(())
        }));
        let problems = problems.expect("tending panics");
        stop([&mut self.processes.aggregator, &mut self.processes.simulator]);
        for role in self.processes.all() {
            let said = log(role.log());
            let forbidden = said.lines().find(|line| line.contains("the server forbids us"));
            assert!(forbidden.is_none(), "{}: {}", role.name(), forbidden.unwrap_or_default());
        }
        let ledger = self.wait_for(audit::audit(&client, &ids, &self.plan, feed, problems));
        ledger.expect("the books can be read")
    }

    /// The end of every log.
    #[must_use]
    pub fn logs(&mut self) -> String {
        let mut text = String::new();
        for role in self.processes.all() {
            let lines = audit::last_lines(role.log());
            let _always_fits = writeln!(text, "--- {}\n{lines}", role.name());
        }
        text
    }
}

fn tend(processes: &mut Processes, stopwatch: &Stopwatch) {
    let now = stopwatch.elapsed();
    for role in processes.all() {
        let change = role.tend(now).expect("the kernel knows our children");
        let status = match change {
            Some(Change::Died { status, .. }) if status.signal() == Some(Signal::KILL.as_raw()) => continue,
            Some(Change::Died { status, .. } | Change::GaveUp { status }) => status,
            Some(Change::Restarted { .. }) | None => continue,
        };
        panic!("{} ended by itself with {}:\n{}", role.name(), describe(status), audit::last_lines(role.log()));
    }
}

/// Checks the promise of a run in which nothing may be missing: not lost, not twice, not wrong, not even named.
///
/// # Panics
/// Something is.
pub fn assert_whole(ledger: &Ledger) {
    for boiler in &ledger.boilers {
        let book = &boiler.samples;
        assert_eq!((book.lost, book.twice, book.wrong, book.named), (0, 0, 0, 0), "{}: {book:?}", boiler.boiler);
        assert!(book.slots > 0, "{}: nothing was sampled", boiler.boiler);
    }
}
