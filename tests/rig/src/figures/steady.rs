//! The steady state of one boiler at 100 Hz: processor, memory, bytes, latency.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream;
use firmware_sim::account::Account;
use futures_util::StreamExt as _;
use thermowell_flow::published::State;
use thermowell_wire::Slot;
use thermowell_wire::subject::{stream, wildcard};

use super::shape::{Budget, Figure, percentile, real};
use super::stand::{Bench, PATIENCE, late, settle};
use super::usage::Usage;
use crate::clock::Stopwatch;
use crate::demo;
use crate::house::House;
use crate::process::Supervised;

/// After this time the effects of a start are over, above all catching up.
pub(super) const CALM: Duration = Duration::from_secs(3);
/// Seconds in a day.
const DAY_S: f64 = 86_400.0;
/// How long the latency of a batch of 1 is measured.
const LATENCY_WINDOW: Duration = Duration::from_secs(20);

/// The usage of some processes over some time.
pub(super) struct Watched {
    pub(super) took: Duration,
    used: Vec<(String, Usage)>,
    arrivals: Vec<(Slot, i64)>,
    samples: u64,
    stored_bytes: u64,
}

impl Watched {
    pub(super) fn of(&self, name: &str) -> Usage {
        self.used.iter().find(|(n, _)| n == name).map(|(_, usage)| *usage).unwrap_or_default()
    }

    /// CPU usage in per cent of one core.
    pub(super) fn cpu(&self, name: &str) -> f64 {
        self.of(name).cpu.as_secs_f64() / self.took.as_secs_f64() * 100.0
    }

    fn written(&self) -> u64 {
        self.used.iter().map(|(_, usage)| usage.written).sum()
    }
}

/// One boiler, a batch per second: first each role as its own process, then all in one.
pub(super) fn batch_of_100(bench: &Bench) -> Result<Vec<Figure>> {
    let mut house = bench.start(1, 1, 100)?;
    settle(&mut house, CALM)?;
    let apart = watch(
        &house,
        bench.window,
        &[&house.processes.agent, &house.processes.aggregator, &house.processes.controller],
    )?;
    let thermowell = bench.unite(&mut house)?;
    settle(&mut house, CALM)?;
    let together = watch(&house, bench.window, &[&thermowell])?;
    let mut figures = usage(&apart, &together);
    figures.extend(latency(&mut house, together, 100)?);
    Ok(figures)
}

/// One boiler, a batch per sample, all roles in one process.
pub(super) fn batch_of_1(bench: &Bench) -> Result<Vec<Figure>> {
    let mut house = bench.start(1, 1, 1)?;
    let thermowell = bench.unite(&mut house)?;
    settle(&mut house, CALM)?;
    let watched = watch(&house, bench.window.min(LATENCY_WINDOW), &[&thermowell])?;
    let cpu = watched.cpu("thermowell");
    let mut figures = latency(&mut house, watched, 1)?;
    figures.push(Figure::new("processor, batch of 1, all roles", cpu, "% of a core", Budget::None, "as above"));
    Ok(figures)
}

pub(super) fn watch(house: &House, length: Duration, roles: &[&Supervised]) -> Result<Watched> {
    let mut pids: Vec<(String, u32)> = Vec::new();
    for role in roles {
        pids.extend(role.pid().map(|pid| (role.name().to_owned(), pid)));
    }
    pids.extend(house.processes.broker.pid().map(|pid| ("nats-server".to_owned(), pid)));
    let usages = || pids.iter().map(|(_, pid)| Usage::of(*pid)).collect::<Result<Vec<_>, _>>();
    let mut states = house.listen(wildcard::STATE)?;
    let (bytes, end) = (stored_bytes(house)?, house.stored(&demo::boiler(1)));
    let before = usages()?;
    let watch = Stopwatch::start();
    let mut arrivals = Vec::new();
    house.wait_for(async {
        while let Some(left) = watch.left_of(length) {
            let Ok(Some(message)) = tokio::time::timeout(left, states.next()).await else { break };
            let now = house.plan.utc_ns();
            if let Ok(state) = serde_json::from_slice::<State>(&message.payload) {
                arrivals.push((state.slot, now));
            }
        }
    });
    let took = watch.elapsed();
    let after = usages()?;
    let used = pids
        .into_iter()
        .zip(after.into_iter().zip(before))
        .map(|((name, _), (after, before))| (name, after.since(before)));
    let stored = (end, house.stored(&demo::boiler(1)));
    let (Some((_, first)), Some((_, last))) = stored else { bail!(late("samples are stored")) };
    let (samples, stored_bytes) = (last.saturating_sub(first), stored_bytes(house)?.saturating_sub(bytes));
    ensure!(samples > 0, late("samples are stored"));
    Ok(Watched { took, used: used.collect(), arrivals, samples, stored_bytes })
}

/// The size of SAMPLES in the server's store.
fn stored_bytes(house: &House) -> Result<u64> {
    house.wait_for(async {
        let context = jetstream::new(house.connect().await.context("connect")?);
        let samples = context.get_stream(stream::SAMPLES).await.context("look at SAMPLES")?;
        Ok(samples.cached_info().state.bytes)
    })
}

fn usage(apart: &Watched, together: &Watched) -> Vec<Figure> {
    let over = |watched: &Watched| format!("{:.0} s, one boiler at 100 Hz", watched.took.as_secs_f64());
    let mib = |kib: u64| real(kib) * 1_024.0 / 1e6;
    let mut figures = Vec::new();
    let all = together.of("thermowell");
    let how = format!("`thermowell run`, /proc/PID/stat over {}", over(together));
    figures.push(Figure::new(
        "processor, all roles in one process",
        together.cpu("thermowell"),
        "% of a core",
        Budget::AtMost(0.15),
        how,
    ));
    let how = format!("voluntary_ctxt_switches of its threads over {}", over(together));
    let wake_ups = real(all.waits) / together.took.as_secs_f64();
    figures.push(Figure::new("wake-ups, all roles in one process", wake_ups, "/s", Budget::AtMost(20.0), how));
    let how = format!("VmRSS at the end of it; the most was {:.1} MB (VmHWM)", mib(all.peak_kib));
    figures.push(Figure::new(
        "memory, all roles in one process",
        mib(all.resident_kib),
        "MB",
        Budget::AtMost(8.0),
        how,
    ));
    for (watched, name, extra) in [
        (apart, "agent", "a process of its own"),
        (apart, "aggregator", "a process of its own"),
        (apart, "controller", "a process of its own"),
        (together, "nats-server", "beside `thermowell run`"),
    ] {
        let memory = mib(watched.of(name).resident_kib);
        let how = format!("{extra}, {memory:.1} MB resident, {}", over(watched));
        figures.push(Figure::new(format!("processor, {name}"), watched.cpu(name), "% of a core", Budget::None, how));
    }
    let line = real(apart.of("agent").read) / real(apart.samples);
    let how = "what the agent read(2) while it stored so many samples; status and answers included";
    figures.push(Figure::new("on the line", line, "B a sample", Budget::None, how));
    let stored = real(together.stored_bytes) / real(together.samples);
    let how = "growth of SAMPLES ÷ samples, nats-server's own record around each batch included";
    figures.push(Figure::new("in JetStream", stored, "B a sample", Budget::None, how));
    let day = real(together.written()) / together.took.as_secs_f64() * DAY_S / 1e9;
    let how = format!(
        "write_bytes of thermowell and nats-server over {}, times {:.0}; \
         a lower bound, for the budget counts the file system's journal too",
        over(together),
        DAY_S / together.took.as_secs_f64()
    );
    let mut written = Figure::new("file data to the block device", day, "GB a day", Budget::AtMost(0.4), how);
    // The budget includes the journal, write_bytes does not: a figure above the budget fails, one below proves nothing.
    written.ok = written.ok.filter(|kept| !kept);
    figures.push(written);
    figures
}

/// From the true time of a sample, as recorded by the simulator, to the arrival of the first state that contains it.
fn latency(house: &mut House, watched: Watched, batch: u32) -> Result<Vec<Figure>> {
    house.processes.simulator.stop(PATIENCE)?;
    let (every, newest) = delays(&account(house)?, &watched);
    let budget = if batch == 1 { Budget::AtMost(4.0) } else { Budget::None };
    let how = format!(
        "from the sample's true time to the state that contains it, at a plain subscriber; {} samples",
        every.len()
    );
    let mut figures = vec![
        Figure::new(
            format!("sample → state, batch of {batch}, p50"),
            percentile(&every, 0.5),
            "ms",
            Budget::None,
            how.clone(),
        ),
        Figure::new(format!("sample → state, batch of {batch}, p99"), percentile(&every, 0.99), "ms", budget, how),
    ];
    if batch > 1 {
        let how = format!("p50 of the batch's last sample; p99 is {:.1} ms", percentile(&newest, 0.99));
        let what = format!("the same without waiting for the batch of {batch}");
        figures.push(Figure::new(what, percentile(&newest, 0.5), "ms", Budget::None, how));
    }
    Ok(figures)
}

/// The simulator's record; it must have stopped.
pub(super) fn account(house: &House) -> Result<Account> {
    Account::open(&house.plan.account()).context("the simulator's account")
}

/// The delays in ms, sorted: of every sample, and of the newest in each state.
pub(super) fn delays(account: &Account, watched: &Watched) -> (Vec<f64>, Vec<f64>) {
    let boiler = account.boiler(&demo::boiler(1));
    let (mut every, mut newest) = (Vec::new(), Vec::new());
    for pair in watched.arrivals.windows(2) {
        let [(before, _), (slot, arrived)] = pair else { continue };
        let Some(boot) = boiler.and_then(|boiler| boiler.boot(slot.boot)) else { continue };
        let took = |seq: u64| {
            let ns = u64::try_from(arrived - boot.utc_ns(seq)).unwrap_or(0);
            Duration::from_nanos(ns).as_secs_f64() * 1_000.0
        };
        every.extend((before.seq + 1..=slot.seq).map(took));
        newest.push(took(slot.seq));
    }
    every.sort_by(f64::total_cmp);
    newest.sort_by(f64::total_cmp);
    (every, newest)
}
