//! How long it takes to publish a backlog of ten minutes, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::StreamExt as _;
use thermowell_wire::subject::{self, wildcard};
use thermowell_wire::{BoilerId, Slot, batch};

use super::shape::{Budget, Figure};
use super::stand::{Bench, PATIENCE, RATE, listen_again, settle};
use crate::clock::Stopwatch;

/// Ten minutes of samples in ten seconds.
const SPEED: u32 = 60;
/// The outage of the server, in simulated time.
const OUTAGE: Duration = Duration::from_secs(600);
/// L1: after N minutes the backlog is gone within N/10.
const GONE_S: f64 = 60.0;

/// One boiler, and sixteen.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    [1, 16].map(|boilers| outage(bench, boilers)).into_iter().collect()
}

/// nats-server is killed for ten simulated minutes; then each boiler's samples must reach what it had sampled when the
/// server was up again, message by message in order.
fn outage(bench: &Bench, boilers: u16) -> Result<Figure> {
    let mut house = bench.start(boilers, SPEED, 100)?;
    settle(&mut house, Duration::ZERO)?;
    let ids = house.boilers();
    let before = house.try_until("every boiler is stored", PATIENCE, |house| {
        let ends = ids.iter().map(|id| Some((id.clone(), house.stored(id)?.1)));
        ends.collect::<Option<BTreeMap<BoilerId, u64>>>()
    })?;
    house.processes.broker.kill()?;
    house.try_go_on(OUTAGE / SPEED)?;
    let watch = Stopwatch::start();
    let sampled = u64::try_from(house.plan.elapsed().as_millis()).unwrap_or(0) * RATE / 1_000;
    let mut messages = listen_again(&mut house, wildcard::SAMPLES)?;
    // What was stored between the look and the kill is not received: a boiler's first message only begins its order.
    let mut ends: BTreeMap<&BoilerId, Slot> = BTreeMap::new();
    let search = async {
        let mut disorder = 0_u64;
        while ids.iter().any(|id| ends.get(id).is_none_or(|end| end.seq < sampled)) {
            let message = messages.next().await?;
            let id = subject::boiler_of(&message.subject).and_then(|id| ids.iter().find(|own| **own == id));
            let (Some(id), Ok(packed)) = (id, batch::decode(&message.payload)) else { continue };
            let end = ends.insert(id, packed.end());
            disorder += u64::from(end.is_some_and(|end| end != packed.first()));
        }
        Some(disorder)
    };
    let found = house.wait_for(async { tokio::time::timeout(2 * PATIENCE, search).await });
    let took = watch.elapsed().as_secs_f64();
    let Ok(Some(disorder)) = found else {
        bail!("not within {} s: the backlog is gone", 2 * PATIENCE.as_secs());
    };
    let samples: u64 = ends.iter().map(|(id, end)| end.seq - before[*id]).sum();
    let order = if disorder == 0 { "in order".to_owned() } else { format!("{disorder} OUT OF ORDER") };
    let how = format!(
        "nats-server killed for 10 min at 100 Hz (10 s at speed {SPEED}); {samples} samples, {order}, until every \
         boiler's last one from before the server's return is stored"
    );
    let what = if boilers == 1 { "1 boiler".to_owned() } else { format!("{boilers} boilers") };
    let figure = Figure::new(format!("backlog of 10 min gone, {what}"), took, "s", Budget::AtMost(GONE_S), how);
    Ok(Figure { ok: figure.ok.map(|ok| ok && disorder == 0), ..figure })
}
