//! How fast a long stream is read again, and what packing costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream;
use async_nats::{Client, Subscriber};
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use tempfile::TempDir;
use thermowell_flow::published::State;
use thermowell_wire::batch::{self, BatchHeader, ClockQuality, Packed};
use thermowell_wire::subject::{self, stream, wildcard};
use thermowell_wire::{BoilerId, Boot, CentiCelsius, Quality, Reading};

use super::shape::{Budget, Figure, real};
use super::stand::{Bench, PATIENCE, late};
use super::usage::Usage;
use crate::clock::Stopwatch;
use crate::demo::boiler;
use crate::nats::{Broker, BrokerOptions, subscribed};
use crate::process::{HTTP_OFF, Launch, Supervised};
use crate::wait::Wait;

/// Samples in a batch: a second.
const COUNT: u16 = 100;
/// Number of concurrent publishes.
const IN_FLIGHT: u64 = 500;
/// Interval between two polls.
const LOOK: Duration = Duration::from_millis(2);
/// Maximum size of a packed batch.
const SPACE: usize = 4_096;

/// One aggregator without snapshots reads `seconds` batches of each boiler from an existing stream.
pub(super) fn aggregator(bench: &Bench, boilers: u16, seconds: u64) -> Result<Figure> {
    let (folder, broker, config) = gateway(bench, boilers)?;
    let log = folder.path().join("aggregator.log");
    let launch = Launch::run(&bench.programs, "aggregator", &config, log);
    let runtime = Wait::plain()?;
    // The product creates the streams.
    let mut role = Supervised::start(launch)?;
    let client = runtime.block_on(async_nats::connect(broker.url())).context("connect")?;
    runtime.block_on(streams_are_there(&client))?;
    role.stop(PATIENCE)?;
    runtime.block_on(publish(&client, boilers, seconds))?;
    let mut states = runtime.block_on(subscribed(&client, wildcard::STATE))?;
    let used = |pid: Option<u32>| pid.map_or(Ok(Usage::default()), Usage::of);
    let server_before = used(broker.pid())?;
    let watch = Stopwatch::start();
    role.bring_up()?;
    let end = seconds * u64::from(COUNT) - 1;
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE, all_at(&mut states, boilers, end)).await });
    let took = watch.elapsed();
    done.with_context(|| late("the aggregator reaches the end"))?;
    let server = used(broker.pid())?.since(server_before);
    let own = used(role.pid())?;
    let samples = u64::from(boilers) * seconds * u64::from(COUNT);
    let (what, bound) = match boilers {
        1 => ("catching up, aggregator, one boiler".to_owned(), 500_000.0),
        n => (format!("catching up, aggregator, {n} boilers"), 20_000_000.0),
    };
    let how = format!(
        "{samples} synthetic samples in SAMPLES, no snapshot; from exec to the last boiler's last state, {:.2} s, \
         of which the aggregator computed {:.2} s and nats-server {:.2} s",
        took.as_secs_f64(),
        own.cpu.as_secs_f64(),
        server.cpu.as_secs_f64()
    );
    Ok(Figure::new(what, real(samples) / took.as_secs_f64(), "samples/s", Budget::AtLeast(bound), how))
}

/// A folder with a server of its own, and a configuration of so many boilers in it.
pub(super) fn gateway(bench: &Bench, boilers: u16) -> Result<(TempDir, Broker, PathBuf)> {
    let folder = tempfile::Builder::new().prefix("thermowell-figures-").tempdir().context("make a folder")?;
    let options = BrokerOptions::in_folder(folder.path().join("nats"));
    let broker = Broker::start(&bench.server, &bench.programs, options)?;
    let config = folder.path().join("thermowell.toml");
    let text = configuration(&broker, boilers, folder.path());
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    Ok((folder, broker, config))
}

fn configuration(broker: &Broker, boilers: u16, folder: &Path) -> String {
    let mut text = format!(
        "gateway = \"figures\"\n\n[nats]\nurl = \"{}\"\nmonitor = \"{}\"\n\n[clock]\nassume_synced = true\n",
        broker.url(),
        broker.monitor_url()
    );
    text += HTTP_OFF;
    let _always_fits = write!(text, "\n[spool]\ndirectory = \"{}\"\n", folder.join("spool").display());
    for id in (1..=boilers).map(boiler) {
        let port = folder.join(id.as_str());
        let _always_fits = write!(text, "\n[[boiler]]\nid = \"{id}\"\nport = \"{}\"\n", port.display());
    }
    text
}

async fn streams_are_there(client: &Client) -> Result<()> {
    let context = jetstream::new(client.clone());
    let watch = Stopwatch::start();
    // SNAPSHOT is created after SAMPLES.
    while context.get_stream(stream::SNAPSHOT).await.is_err() {
        if watch.left_of(PATIENCE).is_none() {
            bail!(late("the streams are made"));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// The boilers in turn, second by second, as a fleet does.
async fn publish(client: &Client, boilers: u16, seconds: u64) -> Result<()> {
    let context = jetstream::new(client.clone());
    let ids: Vec<BoilerId> = (1..=boilers).map(boiler).collect();
    let length_ns = i64::try_from(seconds).unwrap_or(0) * 1_000_000_000;
    let start_ns = crate::clock::realtime_ns() - length_ns;
    let readings = readings();
    let mut acks = Vec::new();
    let mut under_way = 0;
    for second in 0..seconds {
        for id in &ids {
            let payload = pack(&header(second, start_ns), &readings);
            let ack = context.publish(subject::samples(id).to_string(), payload.into()).await;
            acks.push(ack.context("publish")?.into_future());
            under_way += 1;
            if under_way == IN_FLIGHT {
                try_join_all(acks.drain(..)).await.context("publish")?;
                under_way = 0;
            }
        }
    }
    try_join_all(acks).await.context("publish")?;
    Ok(())
}

pub(super) async fn all_at(states: &mut Subscriber, boilers: u16, end: u64) {
    let mut there: BTreeMap<BoilerId, u64> = BTreeMap::new();
    while let Some(message) = states.next().await {
        if let Ok(state) = serde_json::from_slice::<State>(&message.payload) {
            there.insert(state.boiler, state.slot.seq);
        }
        if there.len() == usize::from(boilers) && there.values().all(|seq| *seq >= end) {
            return;
        }
    }
    std::future::pending().await
}

fn header(second: u64, start_ns: i64) -> BatchHeader {
    BatchHeader {
        device: 1,
        boot: Boot::new(1, 1),
        seq: second * u64::from(COUNT),
        count: COUNT,
        first_utc_ns: start_ns + i64::try_from(second).unwrap_or(0) * 1_000_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    }
}

/// A second of a warm pipe: only the last two digits change.
fn readings() -> Vec<Reading> {
    let noise = |n: u16| 5_500 + i16::try_from((n * 37) % 23).unwrap_or(0);
    (0..COUNT).map(|n| Reading::new(CentiCelsius(noise(n)), Quality::Ok, true, false, true)).collect()
}

fn pack(header: &BatchHeader, readings: &[Reading]) -> Vec<u8> {
    let mut space = [0; SPACE];
    batch::encode_batch(header, readings, &mut space).expect("a hundred readings fit").to_vec()
}

/// CPU time of this thread per sample, for packing and unpacking.
pub(super) fn codec() -> Vec<Figure> {
    const ROUNDS: u32 = 20_000;
    let (header, readings) = (header(0, 0), readings());
    let per_sample = |took: Duration| took.as_secs_f64() * 1e9 / f64::from(ROUNDS) / f64::from(COUNT);
    let mut space = [0; SPACE];
    let watch = Stopwatch::start();
    for _ in 0..ROUNDS {
        black_box(batch::encode_batch(black_box(&header), black_box(&readings), &mut space).ok());
    }
    let packing = watch.elapsed();
    let packed = pack(&header, &readings);
    let watch = Stopwatch::start();
    for _ in 0..ROUNDS {
        if let Ok(Packed::Batch(batch)) = batch::decode(black_box(&packed)) {
            black_box(batch.readings().map(|reading| i64::from(reading.temperature.0)).sum::<i64>());
        }
    }
    let unpacking = watch.elapsed();
    let how = format!("{ROUNDS} batches of {COUNT}, {} B each", packed.len());
    vec![
        Figure::new("packing", per_sample(packing), "ns a sample", Budget::None, how.clone()),
        Figure::new("unpacking and adding up", per_sample(unpacking), "ns a sample", Budget::None, how),
    ]
}
