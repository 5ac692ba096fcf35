//! One system to measure at: everything that the demo starts, and a connection of our own.

use std::ffi::OsString;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, Subscriber, jetstream};
use clap::Parser as _;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use thermowell_flow::published::State;
use thermowell_wire::subject::{self, stream, wildcard};
use thermowell_wire::{BoilerId, Slot, batch};
use tokio::runtime::Runtime;

use crate::clock::Stopwatch;
use crate::demo;
use crate::demo::setup::{self, Plan, Processes};
use crate::nats::NatsServer;
use crate::process::{Launch, Programs, Role, Supervised};

/// How long anything may take that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Samples a device takes in one of its seconds.
pub(super) const RATE: u64 = 100;
/// Between two looks at a level.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// What all measurements share.
pub(super) struct Bench {
    /// The server's program.
    pub(super) server: NatsServer,
    /// The roles' programs.
    pub(super) programs: Programs,
    /// How long a steady state is watched.
    pub(super) window: Duration,
}

/// A running system.
pub(super) struct Stand {
    /// Where and when.
    pub(super) plan: Plan,
    /// What runs.
    pub(super) processes: Processes,
    /// A client beside it.
    pub(super) client: Client,
    runtime: Runtime,
    programs: Programs,
    // A simulator that is started again reads it again.
    #[expect(dead_code, reason = "the file is there as long as this is")]
    quiet: tempfile::NamedTempFile,
    // Last, so that it goes when nobody writes there any more.
    folder: TempDir,
}

/// What must happen does not.
pub(super) fn late(what: &str) -> String {
    format!("not within {} s: {what}", PATIENCE.as_secs())
}

/// A folder, gone with its owner.
pub(super) fn folder() -> Result<TempDir> {
    tempfile::Builder::new().prefix("thermowell-figures-").tempdir().context("make a folder")
}

/// The runtime of our own connection.
pub(super) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")
}

impl Stand {
    /// One boiler, all roles apart.
    pub(super) fn start(bench: &Bench, speed: u32, batch: u32) -> Result<Self> {
        Self::of(bench, 1, speed, batch)
    }

    /// So many boilers, all roles apart.
    pub(super) fn of(bench: &Bench, boilers: u16, speed: u32, batch: u32) -> Result<Self> {
        let (boilers, speed, batch) = (boilers.to_string(), speed.to_string(), batch.to_string());
        let folder = folder()?;
        // An empty scenario: the plant as it is, nothing goes wrong.
        let quiet = tempfile::NamedTempFile::new().context("make a file")?;
        let words =
            ["demo", "--boilers", &boilers, "--speed", &speed, "--batch", &batch, "--scenario"].map(OsString::from);
        let options = demo::Options::try_parse_from(words.into_iter().chain([quiet.path().into()]));
        let options = options.expect("these arguments are right");
        setup::prepare(folder.path()).context("set up")?;
        let started = Processes::start(&options, folder.path(), &bench.server, &bench.programs);
        let (processes, plan) = started.context("set up")?;
        let runtime = runtime()?;
        let client = runtime.block_on(processes.broker.connect()).context("connect")?;
        Ok(Self { plan, processes, client, runtime, programs: bench.programs.clone(), quiet, folder })
    }

    /// Ends the three roles and starts them again in one process.
    pub(super) fn unite(&mut self) -> Result<Supervised> {
        let Processes { agent, aggregator, controller, .. } = &mut self.processes;
        for role in [controller, agent, aggregator] {
            role.stop(PATIENCE)?;
        }
        let path = self.folder.path();
        let args = ["run".into(), "--config".into(), path.join("thermowell.toml").into()];
        let log = path.join("logs").join("thermowell.log");
        let name = "thermowell".to_owned();
        let launch = Launch { name, programs: self.programs.clone(), role: Role::Thermowell, args: args.into(), log };
        Supervised::start(launch)
    }

    /// Runs what needs our connection.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Listens to a subject from now on.
    pub(super) fn listen(&self, subject: &str) -> Result<Subscriber> {
        self.wait_for(async {
            let subscriber = self.client.subscribe(subject.to_owned()).await.context("subscribe")?;
            self.client.flush().await.context("subscribe")?;
            Ok(subscriber)
        })
    }

    /// Brings the server back and listens to the boiler's samples before the agent is there again.
    pub(super) fn listen_anew(&mut self) -> Result<Subscriber> {
        self.listen_anew_to(&subject::samples(&demo::boiler(1)))
    }

    /// The same with another subject.
    pub(super) fn listen_anew_to(&mut self, subject: &str) -> Result<Subscriber> {
        // Our own client would come back in its own time: a new one is there as soon as the server is.
        self.processes.broker.restart()?;
        self.client = self.wait_for(self.processes.broker.connect()).context("connect")?;
        self.listen(subject)
    }

    /// The first state from now on that `wanted` likes, and when it came.
    pub(super) fn state(&self, states: &mut Subscriber, what: &str, wanted: impl Fn(&State) -> bool) -> Result<State> {
        self.wait_for(async {
            let search = async {
                while let Some(message) = states.next().await {
                    match serde_json::from_slice::<State>(&message.payload) {
                        Ok(state) if wanted(&state) => return Some(state),
                        Ok(_) | Err(_) => {}
                    }
                }
                None
            };
            let found = tokio::time::timeout(PATIENCE, search).await;
            found.ok().flatten().with_context(|| late(what))
        })
    }

    /// Waits for the first state, and a while until nothing of the start is left.
    pub(super) fn settle(&self, length: Duration) -> Result<()> {
        let mut states = self.listen(wildcard::STATE)?;
        self.state(&mut states, "the first state", |_| true)?;
        self.pass(length);
        Ok(())
    }

    /// Lets time pass: the length of a measurement, not a wait for anything.
    pub(super) fn pass(&self, length: Duration) {
        self.wait_for(async { tokio::time::sleep(length).await });
    }

    /// Where what SAMPLES holds of the boiler ends; none where it is empty or the server away.
    pub(super) fn stored(&self) -> Option<Slot> {
        self.stored_of(&demo::boiler(1))
    }

    /// The same of any boiler.
    pub(super) fn stored_of(&self, boiler: &BoilerId) -> Option<Slot> {
        let subject = subject::samples(boiler);
        let last = self.wait_for(async {
            let context = jetstream::new(self.client.clone());
            thermowell::nats::last(&context, stream::SAMPLES, &subject).await
        });
        let end = batch::decode(&last.ok()??.payload).ok()?.end();
        Some(end)
    }

    /// Waits until `look` finds something.
    pub(super) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let watch = Stopwatch::start();
        while watch.left_of(PATIENCE).is_some() {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            self.pass(LOOK);
        }
        bail!(late(what))
    }
}
