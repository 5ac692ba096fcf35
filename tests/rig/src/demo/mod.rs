//! `cargo demo`: the whole system on this machine, a live table, and a ledger at the end.
//!
//! The demo starts the processes, subscribes to NATS like any other client, and compares at the end what was published
//! with the simulator's account.

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
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use thermowell::config::Config;
use thermowell::logs::chain;
use thermowell::output::Report as _;
use thermowell::verify::{self, HEADER, Line, Sum};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::wildcard;
use thermowell_wire::units::HOUR_NS;

pub use self::access::PRODUCT;
use self::interrupt::Interrupts;
use self::ledger::Ledger;
use self::live::{Boilers, Live, View};

pub use self::options::Options;
use self::screen::Screen;
use crate::cli::{self, say};
use crate::house::{Builder, House};
use crate::nats::locate;
use crate::process::{Change, Programs, describe, last_lines};
use crate::wait::Wait;

/// Interval in real time at which processes are supervised and the table is redrawn.
const TICK: Duration = Duration::from_millis(250);
/// The longest wait, in real time, for the snapshot after the end of an hour and for the last samples.
const SETTLE: Duration = Duration::from_secs(30);
/// How long each process may take to stop.
const STOP: Duration = Duration::from_secs(10);
/// Exit code of a run that was interrupted without a ledger, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// Exit code for a file that cannot be used, the same as that of the started programs.
const CONFIGURATION: u8 = 78;
/// The context of an error when the output cannot be written.
const OUTPUT: &str = "write to standard output";
/// The signal that ends the run without a ledger. The first one stops it in order, the second is answered with a line.
const PATIENCE: u32 = 3;

/// Runs the demo with the arguments of the command line.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main("demo", args, |options: &Options| {
        let ledger = run(options)?;
        let printed = if options.json { audit::print_json(&ledger) } else { audit::print(&ledger) };
        printed.context(OUTPUT)?;
        Ok(ledger.ok)
    })
}

fn run(options: &Options) -> Result<Ledger> {
    let wait = Wait::plain()?;
    let mut interrupts = wait.block_on(async { Interrupts::install() })?;
    for line in options.check_inputs().map_err(|error| cli::with_code(CONFIGURATION, error))? {
        say(&line);
    }
    setup::check_ports(options).map_err(|error| cli::with_code(cli::WRONG_ARGUMENTS, error))?;
    // The installer of nats-server is in this process group: Ctrl-C ends it too.
    let server = locate(&mut |progress| say(progress)).map_err(|error| {
        if wait.block_on(interrupts.pending()) { interrupted() } else { error.context("find nats-server") }
    })?;
    let programs = Programs::of_this_process()?;
    let temporary = match &options.keep {
        Some(_) => None,
        None => Some(temporary().context("make a temporary folder")?),
    };
    let folder = match (&options.keep, &temporary) {
        (Some(folder), _) => std::path::absolute(folder).context("--keep")?,
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => PathBuf::from("."),
    };
    setup::prepare(&folder).context("set up")?;
    let house = Builder::demo(programs, options.clone()).server(&server).folder(&folder).wait(&wait).start()?;
    let access = access::lines(&house.plan, &house.processes.broker, house.dashboard());
    let boilers = house.boilers().into_iter().map(|id| (id, Live::default())).collect();
    let (screen, is_to_open) = (Screen::new(options.json), options.open);
    let mut demo = Demo { options, house, access, boilers, screen, is_to_open };
    wait.block_on(demo.run(&mut interrupts))
}

fn temporary() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("thermowell-demo-").tempdir()
}

fn interrupted() -> anyhow::Error {
    cli::with_code(INTERRUPTED, anyhow!("interrupted, without a ledger"))
}

pub(crate) fn boiler(n: u16) -> BoilerId {
    format!("b{n}").parse().expect("b and a number is a boiler id")
}

struct Demo<'a> {
    options: &'a Options,
    house: House,
    access: Vec<String>,
    boilers: Boilers,
    screen: Screen,
    /// The dashboard is opened once it answers.
    is_to_open: bool,
}

impl Demo<'_> {
    async fn run(&mut self, interrupts: &mut Interrupts) -> Result<Ledger> {
        let broker = &self.house.processes.broker;
        let client = broker.options().retry_on_initial_connect().connect(broker.url()).await.context("connect")?;
        let mut messages = Vec::new();
        for subject in [wildcard::STATE, wildcard::STATUS, wildcard::SNAPSHOT, wildcard::LEASE] {
            messages.push(client.subscribe(subject).await.context("subscribe")?);
        }
        let mut messages = futures_util::stream::select_all(messages);
        if self.screen.size().is_none() {
            say(&self.access.join("\n"));
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut continued = interrupt::continuations()?;
        let mut signals = 0;
        loop {
            tokio::select! {
                Some(message) = messages.next() => live::take(&mut self.boilers, &message.subject, &message.payload),
                _ = tick.tick() => {
                    tend(&mut self.house, &mut self.screen)?;
                    self.open();
                    self.draw(true).context(OUTPUT)?;
                    if self.is_over() || (signals > 0 && self.has_begun()) {
                        break;
                    }
                }
                name = interrupts.next() => {
                    signals += 1;
                    self.answer(name, signals)?;
                }
                // Meanwhile the shell has written below the frame.
                _ = continued.recv() => self.screen.leave(),
            }
        }
        // The last frame stays, without the commands for a second terminal.
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
                        // The terminal may not read now.
                        let aside = |line: &str| {
                            let line = line.to_owned();
                            thread::spawn(move || say(&line));
                        };
                        answer(name, signals, aside)?;
                    }
                }
            }
        };
        for role in self.house.processes.all() {
            role.stop(STOP)?;
        }
        self.screen.erase().unwrap_or_default();
        ledger
    }

    /// Whether there is something to audit: a state of each boiler, or the time for it has passed.
    fn has_begun(&self) -> bool {
        self.boilers.values().all(|live| live.state.is_some()) || self.house.age() > SETTLE
    }

    /// Opens the dashboard in a browser, once it answers.
    fn open(&mut self) {
        let address = self.house.dashboard();
        if !self.is_to_open || TcpStream::connect_timeout(&address, TICK).is_err() {
            return;
        }
        self.is_to_open = false;
        if let Err(error) = access::open(&format!("http://{address}/")) {
            self.screen.say(&format!("xdg-open: {error}"));
        }
    }

    fn answer(&mut self, signal: &str, signals: u32) -> Result<()> {
        answer(signal, signals, |line| self.screen.say(line))
    }

    /// The duration has passed, and every hour that began within it is closed.
    fn is_over(&self) -> bool {
        let Some(duration) = self.options.duration else { return false };
        let elapsed = self.house.plan.elapsed();
        if elapsed < duration {
            return false;
        }
        let patience = elapsed - duration > Duration::from_secs(3_600) + SETTLE * self.house.plan.speed;
        let complete = self
            .boilers
            .values()
            .all(|live| self.hours(duration).iter().all(|hour| live.snapshots.iter().any(|s| s.hour == *hour)));
        complete || patience
    }

    /// The hours that begin within the run. None in real time, where an hour takes too long.
    fn hours(&self, duration: Duration) -> Vec<String> {
        if self.house.plan.speed == 1 {
            return Vec::new();
        }
        let start = self.house.plan.epoch_utc_ns;
        let end = start + i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 2);
        let first = start.div_euclid(HOUR_NS) + i64::from(start.rem_euclid(HOUR_NS) != 0);
        (first..).map(|hour| hour * HOUR_NS).take_while(|hour| *hour < end).map(rfc3339).collect()
    }

    /// Draws a frame, with the commands for a second terminal while they work.
    fn draw(&mut self, with_access: bool) -> io::Result<()> {
        let now = self.house.age();
        let restarts = self.house.processes.all().map(|role| (role.name().to_owned(), role.deaths()));
        let Self { screen, boilers, house, access, .. } = self;
        screen.draw(now, |size| {
            let access = if with_access && size.is_some() { access.as_slice() } else { &[] };
            View { boilers, plan: &house.plan, duration: self.options.duration, restarts: &restarts, access }
                .lines(size)
        })
    }

    /// Compares the published hours with their recomputation and prints the result. Returns what is wrong.
    async fn verify(&mut self) -> Option<String> {
        match verify(&self.house.config()).await {
            Ok(agreed) => {
                self.screen.say(&format!("verify: {agreed}"));
                None
            }
            Err(problem) => Some(format!("verify: {problem}")),
        }
    }

    /// Stops everything in flow order, waits until the last sample is aggregated, and audits the streams.
    /// A run that was not interrupted has a snapshot of each hour that began within it.
    async fn close_the_books(&mut self, client: &async_nats::Client, is_complete: bool) -> Result<Ledger> {
        let Self { house, screen, .. } = self;
        let (mut problems, _) = house.drain(client, |house| tend(house, screen)).await?;
        if let Some(duration) = self.options.duration.filter(|_| is_complete) {
            for (id, live) in &self.boilers {
                for hour in self.hours(duration).iter().filter(|h| live.snapshots.iter().all(|s| s.hour != **h)) {
                    problems.push(format!("boiler {id}: no snapshot of the hour {hour}"));
                }
            }
        }
        problems.extend(self.verify().await);
        self.house.audit(client, problems).await
    }
}

/// Restarts and reports processes that died, as systemd would.
fn tend(house: &mut House, screen: &mut Screen) -> Result<()> {
    let now = house.age();
    house.processes.tend(now, |role, change| {
        match change {
            Change::Died { status, .. } => screen.say(&format!("{} died: {}", role.name(), describe(status))),
            Change::Restarted { .. } => screen.say(&format!("{} started again", role.name())),
            Change::GaveUp { status } => {
                screen.erase().unwrap_or_default();
                let (end, tail) = (describe(status), last_lines(role.log()));
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                return Err(cli::with_code(code, anyhow!("{} ended with {end}:\n{tail}", role.name())));
            }
        }
        Ok(())
    })
}

/// `thermowell verify`: compares every published hour with its recomputation from SAMPLES, byte for byte.
async fn verify(config: &Path) -> Result<String, String> {
    let config = Config::load(config).map_err(|error| chain(&error))?;
    let mut lines = HEADER.to_owned();
    let write = |line: &Line| {
        lines += &line.text();
        Ok(())
    };
    let sum = verify::verify(&config, None, None, write).await.map_err(|error| chain(&error))?;
    if sum.agrees { Ok(agreed(&sum)) } else { Err(lines + &sum.text()) }
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

/// Answers a signal. `Err`: the run ends without a ledger.
fn answer(signal: &str, signals: u32, say: impl FnOnce(&str)) -> Result<()> {
    match signals {
        0 | 1 => say(&format!("{signal}: stopping all roles in order, then auditing the streams")),
        n if n < PATIENCE => say(&format!("{signal}: still auditing; one more signal exits without a ledger")),
        _ => return Err(interrupted()),
    }
    Ok(())
}
