//! `/readyz`: whether this process does its work now, and if not fully, why.
//!
//! | status | code | when |
//! |---|---|---|
//! | `unready` | 503 | a role has not begun, or has no session with the server; or the front cannot read the streams |
//! | `degraded` | 200 | a boiler is not read, not averaged or not controlled; or only the front does not work |
//! | `ready` | 200 | none of these |

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thermowell_flow::published::{Freshness, Link};

use super::{Board, CURRENT, Held, agent, aggregator, is_within};
use crate::clock::boottime_ns;
use crate::nats::Phase;
use crate::output::word;
use crate::run::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ready,
    Degraded,
    Unready,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub status: Status,
    /// One sentence for each cause.
    pub why: Vec<String>,
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let code = if self.status == Status::Unready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let json = serde_json::to_string(&self).expect("text and a list of texts are JSON");
        (code, [(CONTENT_TYPE, "application/json")], json + "\n").into_response()
    }
}

impl Board {
    /// Whether this process does its work now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let held = self.held();
        // The others do not need the front.
        let is_needed = |role: &str| role != Role::Front.name() || self.roles.len() == 1;
        let (needed, front): (Vec<_>, Vec<_>) = self.roles.iter().partition(|role| is_needed(role));
        let unready_of =
            |roles: &[&&str]| -> Vec<String> { roles.iter().filter_map(|role| unready(&held, role)).collect() };
        let why = unready_of(&needed);
        if !why.is_empty() {
            return Readiness { status: Status::Unready, why };
        }
        let mut why = unready_of(&front);
        why.extend(self.roles.iter().flat_map(|role| self.degraded(&held, role)));
        Readiness { status: if why.is_empty() { Status::Ready } else { Status::Degraded }, why }
    }

    fn degraded(&self, held: &Held, role: &str) -> Vec<String> {
        let of = |boiler| match role {
            "agent" => agent_of(held.agent.get(boiler)),
            "aggregator" => {
                let values = held.aggregator.get(boiler).and_then(|report| report.values);
                self.aggregator_of(values)
            }
            "controller" => {
                let stands_by = held.controller.get(boiler).is_some_and(|report| report.stands_by);
                stands_by.then(|| "another controller asks for set-points".to_owned())
            }
            _ => None,
        };
        self.boilers.iter().filter_map(|boiler| Some(format!("{boiler}: {}", of(boiler)?))).collect()
    }

    fn aggregator_of(&self, values: Option<aggregator::Values>) -> Option<String> {
        let Some(aggregator::Values { stamp, average, .. }) = values else {
            return Some("no slot is averaged yet".to_owned());
        };
        match self.freshness(stamp) {
            Freshness::Fresh | Freshness::Warming | Freshness::NoValidReading => {
                average.is_none().then(|| "no valid reading within the hour".to_owned())
            }
            Freshness::Coasting | Freshness::Fault => {
                let age_s = self.clock.age_s(stamp);
                let place = if age_s < 0.0 { "ahead of this clock" } else { "old" };
                Some(format!("the newest slot is {:.0} s {place}", age_s.abs()))
            }
        }
    }
}

fn unready(held: &Held, role: &str) -> Option<String> {
    match held.members.get(role) {
        None => Some(format!("{role}: has not begun")),
        Some(member) if *member.ready.borrow() == Phase::Down => {
            Some(format!("{role}: no session with the NATS server"))
        }
        Some(_) if role == Role::Front.name() => {
            held.unread.as_ref().map(|why| format!("{role}: the streams cannot be read: {why}"))
        }
        Some(_) => None,
    }
}

fn agent_of(report: Option<&agent::Report>) -> Option<String> {
    let current = report.filter(|report| is_within(report.at_ns, boottime_ns(), CURRENT));
    let Some(report) = current else { return Some("its task does not report".to_owned()) };
    (report.status.link != Link::Up).then(|| format!("the link is {}", word(&report.status.link)))
}
