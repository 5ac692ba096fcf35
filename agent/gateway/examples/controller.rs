//! A controller of one's own: asks for 45 °C while the boiler's data are fresh and good, and lets the lease expire
//! otherwise: `cargo run -p thermowell --example controller -- thermowell.toml b1`.
//! `thermowell conformance --boiler b1` tests it, as `cargo test -p rig --test system example` does.

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use futures_util::StreamExt as _;
use thermowell::clock::Clock;
use thermowell::config::Config;
use thermowell::logs::chain;
use thermowell::nats::{self, Connection, Stored, User};
use thermowell_flow::published::{Lease, Link, State, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::line::{BoilerState, Demand};
use thermowell_wire::subject;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "an error is its only output")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [config, boiler] => match boiler.parse() {
            Ok(boiler) => control(Path::new(config), &boiler).await,
            Err(error) => Err(format!("boiler {boiler}: {error}").into()),
        },
        _ => Err("expected a configuration and a boiler".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

pub(crate) async fn control(config: &Path, boiler: &BoilerId) -> Result<(), Box<dyn Error>> {
    let config = Config::load(config)?;
    let (clock, connection) = (Clock::new(&config.clock), Connection::reach(&config.nats, User::Controller).await?);
    let (context, setpoint) = (connection.context(), subject::setpoint(boiler));
    let mut states = connection.client().subscribe(subject::state(boiler).to_string()).await?;
    let mut statuses = connection.client().subscribe(subject::status(boiler).to_string()).await?;
    let (mut status, mut asked_at, mut last) = (None, f64::NEG_INFINITY, 0);
    loop {
        // Every status that has arrived comes before the next state: a lockout must not be read late.
        let state: State = tokio::select! {
            biased;
            Some(message) = statuses.next() => {
                status = serde_json::from_slice::<Status>(&message.payload).ok();
                continue;
            }
            Some(message) = states.next() => match serde_json::from_slice(&message.payload) {
                Ok(state) => state,
                Err(_) => continue,
            },
            else => return Ok(()),
        };
        // By the stamp and not by a timer: where no new sample arrives, no lease is renewed.
        let is_due = state.stamp >= asked_at + 15.0;
        if !is_due || !may_ask(&state, status.as_ref(), &clock) {
            continue;
        }
        let lease = Lease {
            demand: Demand::Heat,
            flow: 45.0,
            lease_s: 60,
            based_on: state.slot,
            instance: format!("example-{}", std::process::id()),
            created_at: clock.now().utc.unix_seconds(),
            version: 1,
        };
        // Published only if the stored lease is still the one with this sequence. Another controller's makes this one
        // stand by until it expires: 0 is an empty subject.
        match nats::compare_and_set(context, &setpoint, last, &lease).await {
            Stored::Yes(sequence) => (last, asked_at) = (sequence, state.stamp),
            Stored::Conflict | Stored::Unknown => last = 0,
        }
    }
}

/// Data are at most 5 s old, from a sound sensor, both real or both simulated, and the boiler is not locked out.
fn may_ask(state: &State, status: Option<&Status>, clock: &Clock) -> bool {
    let Some(status) = status.filter(|status| status.link == Link::Up) else { return false };
    let is_locked_out = status.device.as_ref().is_none_or(|device| device.state == BoilerState::Lockout);
    let oldest_s = clock.age_s(state.stamp).max(clock.age_s(status.created_at));
    oldest_s <= 5.0 && state.current.is_some() && state.simulated == status.simulated && !is_locked_out
}
