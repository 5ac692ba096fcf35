//! How many boilers at 100 Hz one agent and one aggregator carry, and what that takes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::{self, Context};
use thermowell::nats;
use thermowell_flow::published::State;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream, wildcard};

use super::fleet::Fleet;
use super::replay::{all_at, gateway};
use super::shape::{Budget, Figure, percentile, real};
use super::stand::{Bench, PATIENCE, late};
use super::usage::Usage;
use crate::clock::Stopwatch;
use crate::demo::boiler;
use crate::nats::{Broker, subscribed};
use crate::process::{Launch, Supervised};
use crate::wait::Wait;

/// How many are tried, one size after another, until one is carried.
const SIZES: [u16; 4] = [1_000, 500, 200, 100];
/// A state that is further behind its device is not live: three batches.
const BEHIND_MAX: Duration = Duration::from_secs(3);
/// Boilers that are themselves later than this are the bench's limit, and not the gateway's.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Between two looks at all states.
const LOOK: Duration = Duration::from_millis(500);
/// How often the start of the aggregator is measured.
const STARTS: usize = 5;
/// Of one core.
const CORE: f64 = 100.0;

/// The largest number of boilers that stays live, with what each process takes for it.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut failed = Vec::new();
    for boilers in SIZES {
        let mut site = Site::start(bench, boilers)?;
        match site.watch(bench.window)? {
            Ok(load) => {
                let mut figures = rows(boilers, &load, &failed);
                figures.push(site.restart()?);
                return Ok(figures);
            }
            Err(cause) => failed.push(format!("{boilers} are not carried: {cause}")),
        }
    }
    bail!(failed.join("; "))
}

/// A gateway with its boilers. Dropping it ends them all.
struct Site {
    // The roles first, so that no port vanishes below the agent.
    aggregator: Supervised,
    agent: Supervised,
    broker: Broker,
    fleet: Fleet,
    boilers: Vec<BoilerId>,
    runtime: Wait,
    context: Context,
    age: Stopwatch,
    _folder: tempfile::TempDir,
}

/// What was used in a window.
struct Load {
    took: Duration,
    agent: Usage,
    aggregator: Usage,
    server: Usage,
    /// Of the boilers themselves.
    fleet: Duration,
}

impl Site {
    fn start(bench: &Bench, boilers: u16) -> Result<Self> {
        let (folder, broker, config) = gateway(bench, boilers)?;
        let boilers: Vec<BoilerId> = (1..=boilers).map(boiler).collect();
        let fleet = Fleet::start(&boilers, folder.path())?;
        let age = Stopwatch::start();
        let [agent, aggregator] = ["agent", "aggregator"].map(|role| {
            let log = folder.path().join(format!("{role}.log"));
            Supervised::start(Launch::run(&bench.programs, role, &config, log))
        });
        let runtime = Wait::plain()?;
        let context = runtime.block_on(async { broker.connect().await.map(jetstream::new) }).context("connect")?;
        let (agent, aggregator) = (agent?, aggregator?);
        Ok(Self { aggregator, agent, broker, fleet, boilers, runtime, context, age, _folder: folder })
    }

    /// Waits until all boilers are live, and sees whether they stay so; otherwise says why not.
    fn watch(&mut self, window: Duration) -> Result<Result<Load, String>> {
        let start = Stopwatch::start();
        while let Err(cause) = self.live() {
            if start.left_of(PATIENCE).is_none() {
                return Ok(Err(format!("{cause} {} s after the start", PATIENCE.as_secs())));
            }
            self.runtime.sleep(LOOK)?;
        }
        // The start's own lateness is not the window's.
        self.fleet.late();
        let (before, fleet, watch) = (self.used()?, self.fleet.used(), Stopwatch::start());
        self.runtime.sleep(window)?;
        let (after, took) = (self.used()?, watch.elapsed());
        if let Err(cause) = self.live() {
            return Ok(Err(format!("{cause} after {:.0} s", took.as_secs_f64())));
        }
        let late = self.fleet.late();
        if late > LATE_MAX {
            return Ok(Err(format!("this machine could not play them, they were up to {late:.1?} late")));
        }
        let [agent, aggregator, server] = std::array::from_fn(|index| after[index].since(before[index]));
        Ok(Ok(Load { took, agent, aggregator, server, fleet: self.fleet.used() - fleet }))
    }

    /// Whether every state is near its device's newest slot, with no slot missing; otherwise what is wrong.
    fn live(&self) -> Result<(), String> {
        let found = nats::last_of_each(&self.context, stream::STATE, &self.boilers, subject::state);
        let found = self.runtime.block_on(found).map_err(|error| thermowell::logs::chain(&error))?;
        let next = self.fleet.next();
        let states = found.values().filter_map(|message| serde_json::from_slice::<State>(&message.payload).ok());
        let (mut live, mut lost) = (0, 0);
        for state in states {
            let behind_ms = next.saturating_sub(state.slot.seq + 1) * 10;
            live += usize::from(Duration::from_millis(behind_ms) <= BEHIND_MAX);
            lost += (state.slot.seq + 1).saturating_sub(state.average_points);
        }
        match self.boilers.len() - live {
            0 if lost == 0 => Ok(()),
            0 => Err(format!("{lost} slots were lost")),
            behind => Err(format!("{behind} boilers were more than {} s behind", BEHIND_MAX.as_secs())),
        }
    }

    fn used(&self) -> Result<[Usage; 3]> {
        let of = |pid: Option<u32>, name: &str| Usage::of(pid.with_context(|| format!("{name} has ended"))?);
        Ok([
            of(self.agent.pid(), "the agent")?,
            of(self.aggregator.pid(), "the aggregator")?,
            of(self.broker.pid(), "nats-server")?,
        ])
    }

    /// SIGKILL of the aggregator, under the full load.
    fn restart(&mut self) -> Result<Figure> {
        let boilers = u16::try_from(self.boilers.len())?;
        let client = self.context.client();
        let history = self.age.elapsed();
        let (mut took, mut computed) = (Vec::new(), Duration::ZERO);
        for _ in 0..STARTS {
            self.aggregator.keep_down()?;
            let mut states = self.runtime.block_on(subscribed(&client, wildcard::STATE))?;
            let watch = Stopwatch::start();
            self.aggregator.bring_up()?;
            let all = async { tokio::time::timeout(PATIENCE, all_at(&mut states, boilers, 0)).await };
            self.runtime.block_on(all).with_context(|| late("a state of every boiler after a start"))?;
            took.push(watch.elapsed().as_secs_f64());
            let [_, aggregator, _] = self.used()?;
            computed += aggregator.cpu;
        }
        took.sort_by(f64::total_cmp);
        let how = format!(
            "SIGKILL under that load; from exec to the first state of the last boiler, median of {STARTS}, \
             worst {:.2} s, of which the aggregator computed {:.2} s; with {:.0} s of history",
            percentile(&took, 1.0),
            computed.as_secs_f64() / real(STARTS as u64),
            history.as_secs_f64()
        );
        let what = format!("restart of the aggregator, {boilers} boilers");
        Ok(Figure::new(what, percentile(&took, 0.5), "s", Budget::None, how))
    }
}

fn rows(boilers: u16, load: &Load, failed: &[String]) -> Vec<Figure> {
    let share = |used: Duration| used.as_secs_f64() / load.took.as_secs_f64() * CORE;
    let mib = |usage: Usage| real(usage.resident_kib) * 1_024.0 / 1e6;
    let seconds = load.took.as_secs_f64();
    let mut how = format!(
        "of {SIZES:?}, the most whose states stay within {} s of the devices for {seconds:.0} s without a lost slot; \
         the real firmware at pseudo-terminals, which takes another {:.0} % of a core",
        BEHIND_MAX.as_secs(),
        share(load.fleet)
    );
    for cause in failed {
        how = format!("{how}; {cause}");
    }
    let most = f64::from(SIZES[0]);
    let mut figures = vec![Figure::new(
        "boilers at 100 Hz, one agent, one aggregator",
        boilers.into(),
        "boilers",
        Budget::AtLeast(most),
        how,
    )];
    // The budget is for the most.
    let core = if boilers == SIZES[0] { Budget::AtMost(CORE) } else { Budget::None };
    for (name, usage, budget) in [
        ("agent", load.agent, Budget::None),
        ("aggregator", load.aggregator, core),
        ("nats-server", load.server, Budget::None),
    ] {
        let how = format!(
            "{:.1} MB resident, {:.1} MB at the most, {seconds:.0} s",
            mib(usage),
            real(usage.peak_kib) * 1_024.0 / 1e6
        );
        figures.push(Figure::new(
            format!("processor, {name}, {boilers} boilers"),
            share(usage.cpu),
            "% of a core",
            budget,
            how,
        ));
    }
    figures
}
