//! The system under measurement, and waiting for its states.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Subscriber;
use futures_util::StreamExt as _;
use thermowell_flow::published::State;
use thermowell_wire::subject::wildcard;

use crate::demo::setup::Processes;
use crate::house::{Builder, House};
use crate::nats::NatsServer;
use crate::process::{Launch, Programs, Supervised};

/// The longest wait for any state.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Samples per second of the device's time.
pub(super) const RATE: u64 = 100;

/// Parameters of all measurements.
pub(super) struct Bench {
    /// The program of the server.
    pub(super) server: NatsServer,
    /// The programs of the roles.
    pub(super) programs: Programs,
    /// How long a steady state is measured.
    pub(super) window: Duration,
}

/// The message of a timeout.
pub(super) fn late(what: &str) -> String {
    format!("not within {} s: {what}", PATIENCE.as_secs())
}

impl Bench {
    /// Starts the demo with these parameters, each role as its own process.
    pub(super) fn start(&self, boilers: u16, speed: u32, batch: u32) -> Result<House> {
        self.start_with(boilers, speed, batch, &[])
    }

    /// The same, with more of the demo's arguments.
    pub(super) fn start_with(&self, boilers: u16, speed: u32, batch: u32, more: &[&str]) -> Result<House> {
        let words = [("--boilers", boilers.into()), ("--speed", speed), ("--batch", batch)];
        let words = words.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]);
        let arguments: Vec<String> = words.chain(more.iter().map(|&word| word.to_owned())).collect();
        Builder::new(self.programs.clone(), &arguments).server(&self.server).start()
    }

    /// Stops the roles and starts them again in one process.
    pub(super) fn unite(&self, house: &mut House) -> Result<Supervised> {
        let Processes { agent, aggregator, controller, front, .. } = &mut house.processes;
        for role in [controller, agent, aggregator, front] {
            role.stop(PATIENCE)?;
        }
        let all = house.another("", &house.config(), "thermowell");
        let args = vec!["run".into(), "--config".into(), house.config().into()];
        Supervised::start(Launch { args, ..all })
    }
}

/// Restarts the server and subscribes before the agent connects.
pub(super) fn listen_again(house: &mut House, subject: &str) -> Result<Subscriber> {
    house.processes.broker.restart()?;
    house.listen(subject)
}

/// The first state from now on for which `wanted` is true.
pub(super) fn state(
    house: &House,
    states: &mut Subscriber,
    what: &str,
    wanted: impl Fn(&State) -> bool,
) -> Result<State> {
    let search = async {
        while let Some(message) = states.next().await {
            match serde_json::from_slice::<State>(&message.payload) {
                Ok(state) if wanted(&state) => return Some(state),
                Ok(_) | Err(_) => {}
            }
        }
        None
    };
    let found = house.wait_for(async { tokio::time::timeout(PATIENCE, search).await });
    found.ok().flatten().with_context(|| late(what))
}

/// Waits for the first state and then for `length`, until the effects of the start are over.
pub(super) fn settle(house: &mut House, length: Duration) -> Result<()> {
    let mut states = house.listen(wildcard::STATE)?;
    state(house, &mut states, "the first state", |_| true)?;
    house.try_go_on(length)
}
