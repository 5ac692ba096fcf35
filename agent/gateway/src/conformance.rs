//! `thermowell conformance`: simulates a boiler on the server and reports what the controller under test does.
//!
//! The scenario and its checks are in `flow`; here are the clock, the subjects and the report. It subscribes to the
//! set-point subject itself, not to LEASE: attempts that the server refuses count too.
//!
//! Only the agent may publish a status, only the aggregator a state, and only a reader hears set-points. So it logs in
//! as all three, and needs no right that a gateway does not have.

use std::fmt::Write as _;
use std::time::Duration;

use async_nats::Message;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use futures_util::StreamExt as _;
use serde::Serialize;
use thermowell_flow::conformance::{Effect, Finding, Kit, Received, Settings, Verdict};
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{self, Connection, NatsError, RequestError, User};
use crate::output::{Report, word};
use crate::streams::{self, StreamError};

/// Between two states, in the boiler's time.
const STEP: Duration = Duration::from_secs(1);

/// Why there was no test.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream cannot be used.
    #[error("prepare the streams")]
    Streams(#[source] StreamError),
    /// The server does not answer.
    #[error("query the server")]
    Request(#[source] RequestError),
    /// A boiler with a history is real.
    #[error("SAMPLES has samples of boiler {boiler}: choose an unused id, such as {boiler}-conformance")]
    Real { boiler: BoilerId },
}

#[derive(Debug, Serialize)]
pub struct Conformance {
    pub boiler: BoilerId,
    /// No check failed.
    pub conforms: bool,
    pub checks: Vec<Finding>,
}

impl Report for Conformance {
    /// A line for each check.
    fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, verdict, breaches, examples } in &self.checks {
            let result = match verdict {
                Verdict::Passed => "ok".to_owned(),
                Verdict::Failed => format!("FAILED {breaches} times: {}", examples.join("; ")),
                Verdict::NotSeen => "not seen".to_owned(),
            };
            writeln!(text, "{:<12} {result}", word(check)).expect("writing to a string does not fail");
        }
        text += if self.conforms { "conforms\n" } else { "does not conform\n" };
        text
    }
}

/// Simulates `boiler` for the controller under test.
///
/// # Errors
/// See [`ConformanceError`].
pub async fn conformance(config: &Config, boiler: &BoilerId, frozen: bool) -> Result<Conformance, ConformanceError> {
    let reach = async |user| Connection::reach(&config.nats, user).await.map_err(ConformanceError::Server);
    let stage = Stage {
        agent: reach(User::Agent).await?,
        aggregator: reach(User::Aggregator).await?,
        reader: reach(User::Reader).await?,
    };
    let context = stage.agent.context();
    streams::ensure(context, &streams::table(config), stage.agent.user()).await.map_err(ConformanceError::Streams)?;
    let past = nats::last(context, stream::SAMPLES, &subject::samples(boiler)).await;
    if past.map_err(ConformanceError::Request)?.is_some() {
        return Err(ConformanceError::Real { boiler: boiler.clone() });
    }
    let law = &config.control.law;
    let clock = Clock::new(&config.clock);
    let flow = (law.flow_min.celsius(), law.flow_max.celsius());
    let settings = Settings { boiler: boiler.clone(), flow, speed: clock.speed(), frozen };
    let mut kit = Kit::new(settings);
    play(&mut kit, &stage, &clock, boiler).await.map_err(ConformanceError::Request)?;
    Ok(Conformance { boiler: boiler.clone(), conforms: kit.conforms(), checks: kit.findings() })
}

/// The users that it needs.
struct Stage {
    agent: Connection,
    aggregator: Connection,
    reader: Connection,
}

async fn play(kit: &mut Kit, stage: &Stage, clock: &Clock, id: &BoilerId) -> Result<(), RequestError> {
    let failed = |what: &str, error: async_nats::Error| RequestError::new(format!("{what} boiler {id}"), error);
    let subscribed = stage.reader.client().subscribe(subject::setpoint(id).to_string()).await;
    let mut setpoints = subscribed.map_err(|error| failed("subscribe to the set-points of", error.into()))?;
    let mut due = clock.now().monotonic;
    loop {
        tokio::select! {
            biased;
            message = setpoints.next() => {
                let Some(message) = message else { return Err(failed("read from", "subscription ended".into())) };
                receive(kit, clock, &message);
            }
            () = clock.sleep_until(Some(due)) => {
                due = due.after(STEP);
                let mut effects = Vec::new();
                if !kit.step(clock.now(), &mut effects) {
                    return Ok(());
                }
                for effect in effects {
                    let (user, subject, json) = match effect {
                        Effect::State(state) => (&stage.aggregator, subject::state(id), nats::json(&state)),
                        Effect::Status(status) => (&stage.agent, subject::status(id), nats::json(&status)),
                    };
                    let sent = user.client().publish(subject.to_string(), json.into()).await;
                    sent.map_err(|error| failed("simulate", error.into()))?;
                }
            }
        }
    }
}

fn receive(kit: &mut Kit, clock: &Clock, message: &Message) {
    let lease = nats::parse::<Lease>(&message.payload).map_err(|error| error.to_string());
    let has_expectation =
        message.headers.as_ref().is_some_and(|headers| headers.get(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE).is_some());
    let lease = lease.as_ref().map_err(String::as_str);
    kit.receive(clock.now().monotonic, Received { lease, has_expectation });
}
