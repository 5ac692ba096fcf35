//! What a role says about itself: statuses and events, beside the flow of samples and never in its way.
//!
//! A status is overtaken by the next one; an event is kept until the server has it, within a bound.

use std::collections::VecDeque;

use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use thermowell_flow::published::{Event, EventBody, Status};
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind};
use tokio::sync::{mpsc, watch};

use crate::nats::{Phase, RETRY, json, last_forbidden};

/// Reports between a role and its reporter. A role with 100 boilers makes 100 a second, the reporter takes 5,000.
const QUEUE: usize = 512;
/// Events that wait for the server. An outage makes a handful per boiler.
const HELD_MAX: usize = 1_024;

enum Report {
    Status { subject: String, json: Vec<u8> },
    Event { subject: String, id: String, json: Vec<u8> },
}

/// Takes reports without waiting.
#[derive(Clone, Debug)]
pub struct Reporter {
    sender: mpsc::Sender<Report>,
    run: u64,
}

impl Reporter {
    /// Starts the task that publishes what the reporter is given.
    #[must_use]
    pub fn start(context: jetstream::Context, ready: watch::Receiver<Phase>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(work(context, ready, receiver));
        Self { sender, run: crate::clock::boottime_ns() }
    }

    /// Publishes a boiler's status.
    pub fn status(&self, status: &Status) {
        let subject = subject::status(&status.boiler).to_string();
        self.give(Report::Status { subject, json: json(status) });
    }

    /// Publishes an event.
    pub fn event(&self, boiler: &BoilerId, kind: EventKind, at: Utc, body: EventBody) {
        let event = Event { boiler: boiler.clone(), created_at: at.unix_seconds(), body };
        let subject = subject::event(boiler, kind).to_string();
        tracing::info!(boiler = %boiler, event = ?event.body, "event");
        let id = format!("{:x}-{:x}-{subject}", self.run, crate::clock::boottime_ns());
        self.give(Report::Event { subject, id, json: json(&event) });
    }

    fn give(&self, report: Report) {
        if self.sender.try_send(report).is_err() {
            tracing::debug!("a report was dropped: the queue of {QUEUE} is full");
        }
    }
}

async fn work(context: jetstream::Context, mut ready: watch::Receiver<Phase>, mut reports: mpsc::Receiver<Report>) {
    let mut held: VecDeque<Report> = VecDeque::new();
    loop {
        if held.is_empty() {
            match reports.recv().await {
                Some(report) => held.push_back(report),
                None => return,
            }
        }
        while let Ok(report) = reports.try_recv() {
            hold(&mut held, report);
        }
        if ready.wait_for(|phase| *phase != Phase::Down).await.is_err() {
            return;
        }
        let Some(report) = held.pop_front() else { continue };
        if publish(&context, &report).await {
            continue;
        }
        if let Report::Event { subject, .. } = &report {
            // What the server forbids is forbidden for ever: held, it would hold up all that comes after it.
            if last_forbidden().is_some_and(|forbidden| forbidden.subject == *subject) {
                tracing::error!(subject, "an event was dropped, because the server forbids it");
                continue;
            }
            held.push_front(report);
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn hold(held: &mut VecDeque<Report>, report: Report) {
    if let Report::Status { subject, .. } = &report {
        held.retain(|other| !matches!(other, Report::Status { subject: older, .. } if older == subject));
    }
    if held.len() >= HELD_MAX {
        held.pop_front();
        tracing::warn!(held = HELD_MAX, "the oldest report was dropped");
    }
    held.push_back(report);
}

async fn publish(context: &jetstream::Context, report: &Report) -> bool {
    let (subject, message) = match report {
        Report::Status { subject, json } => (subject, PublishMessage::build().payload(json.clone().into())),
        // The id makes a retry after a lost acknowledgement harmless.
        Report::Event { subject, id, json } => {
            (subject, PublishMessage::build().message_id(id).payload(json.clone().into()))
        }
    };
    match context.send_publish(subject.clone(), message).await {
        Ok(acknowledgement) => acknowledgement.await.is_ok(),
        Err(_) => false,
    }
}
