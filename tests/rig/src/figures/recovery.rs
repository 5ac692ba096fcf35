//! How long a restart after a SIGKILL takes, and how fast a backlog is caught up.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use thermowell_wire::subject::wildcard;
use thermowell_wire::{batch, subject};

use super::shape::{Budget, Figure, millis, percentile, real};
use super::stand::{Bench, PATIENCE, RATE, late, listen_again, settle, state};
use crate::clock::Stopwatch;
use crate::demo;
use crate::house::House;

/// An hour of history in a quarter of a minute.
const SPEED: u32 = 240;
/// Simulated time ahead of the first kill: the hour, and what the agent and the aggregator need to begin.
const HISTORY: Duration = Duration::from_secs(65 * 60);
/// The share of the hour that its average must cover.
const WHOLE: f64 = 0.95;
/// Number of measured restarts.
const STARTS: usize = 5;
/// The outage of the server.
const AWAY: Duration = Duration::from_secs(8);
/// Lag of an agent that has caught up, in simulated time: two batches.
const LIVE: Duration = Duration::from_millis(2_000);

/// All restarts.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let mut house = bench.start(1, SPEED, 100)?;
    settle(&mut house, Duration::ZERO)?;
    while let Some(left) = HISTORY.checked_sub(house.plan.elapsed()).filter(|left| !left.is_zero()) {
        house.try_go_on(left / SPEED)?;
    }
    let mut states = house.listen(wildcard::STATE)?;
    state(&house, &mut states, "an average of a whole hour", |state| state.coverage > WHOLE)?;
    let aggregator = aggregator(&mut house)?;
    let agent = agent(&mut house)?;
    let caught_up = outage(&mut house)?;
    Ok(vec![aggregator, agent, caught_up])
}

fn aggregator(house: &mut House) -> Result<Figure> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        house.processes.aggregator.keep_down()?;
        // From here on only the new process publishes.
        let mut states = house.listen(wildcard::STATE)?;
        let watch = Stopwatch::start();
        house.processes.aggregator.bring_up()?;
        let whole = |state: &thermowell_flow::published::State| state.average.is_some() && state.coverage > WHOLE;
        state(house, &mut states, "an average after a start", whole)?;
        took.push(millis(watch.elapsed()));
    }
    took.sort_by(f64::total_cmp);
    let worst = percentile(&took, 1.0);
    let how = format!(
        "SIGKILL; from exec to the first state with a whole hour's average, median of {STARTS}, worst {worst:.0} ms"
    );
    Ok(Figure::new("restart of the aggregator", percentile(&took, 0.5), "ms", Budget::AtMost(40.0), how))
}

fn agent(house: &mut House) -> Result<Figure> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        house.processes.agent.keep_down()?;
        let mut samples = house.listen(&subject::samples(&demo::boiler(1)))?;
        let watch = Stopwatch::start();
        house.processes.agent.bring_up()?;
        let first = house.wait_for(async { tokio::time::timeout(PATIENCE, samples.next()).await });
        first.with_context(|| late("a batch after a start"))?;
        took.push(millis(watch.elapsed()));
    }
    took.sort_by(f64::total_cmp);
    let worst = percentile(&took, 1.0);
    let how = format!("SIGKILL; from exec to the first batch, median of {STARTS}, worst {worst:.0} ms");
    Ok(Figure::new("restart of the agent", percentile(&took, 0.5), "ms", Budget::None, how))
}

/// nats-server is killed and restarted; the agent publishes its backlog while more samples arrive.
fn outage(house: &mut House) -> Result<Figure> {
    // The backlog of the agent's last start must not count.
    let live = |house: &House, end: u64| {
        let sampled = u64::try_from(house.plan.elapsed().as_millis()).unwrap_or(0) * RATE / 1_000;
        let lag = u64::try_from((LIVE * SPEED / 20).as_millis()).unwrap_or(0) * RATE / 1_000;
        end + lag >= sampled
    };
    let boiler = demo::boiler(1);
    house
        .try_until("the agent is live", PATIENCE, |house| house.stored(&boiler).filter(|(_, end)| live(house, *end)))?;
    house.processes.broker.kill()?;
    house.try_go_on(AWAY)?;
    let mut samples = listen_again(house, &subject::samples(&boiler))?;
    let first = house.wait_for(async { tokio::time::timeout(PATIENCE, samples.next()).await });
    let first = first.with_context(|| late("a batch after the server's return"))?;
    let first = first.and_then(|message| Some(batch::decode(&message.payload).ok()?.end()));
    let watch = Stopwatch::start();
    let mut messages = 0_u64;
    let search = async {
        while let Some(message) = samples.next().await {
            messages += 1;
            let end = batch::decode(&message.payload).ok().map(|packed| packed.end().seq);
            if let Some(end) = end.filter(|end| live(house, *end)) {
                return Some(end);
            }
        }
        None
    };
    let last = house.wait_for(async { tokio::time::timeout(PATIENCE, search).await });
    let took = watch.elapsed();
    let (Some(first), Ok(Some(last))) = (first, last) else {
        bail!(late("the backlog is gone"));
    };
    let samples = last.saturating_sub(first.seq);
    let how = format!(
        "nats-server killed for {} s at speed {SPEED}: {samples} samples in {:.0} ms and {messages} messages, \
         in order, each acknowledged before the next",
        AWAY.as_secs(),
        millis(took)
    );
    let rate = real(samples) / took.as_secs_f64();
    Ok(Figure::new("catching up, agent, one boiler", rate, "samples/s", Budget::AtLeast(2_000_000.0), how))
}
