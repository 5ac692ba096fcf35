//! What the roles of this process report to `/metrics` and `/readyz`.
//!
//! The [`Board`] is the only thing that roles of one process share, and nothing in them ever reads it. A report is a
//! copy of counters where a role publishes anyway: with STATUS once a second, with STATE, with a lease. Nothing happens
//! for a sample, no task wakes for it, and without a scraper nothing is computed. A scrape writes text from the last
//! reports, at most twice a second.
//!
//! The rules of the text: what is unknown or no longer current is absent, never 0 and never the last value; times are
//! time stamps, not ages; labels are `boiler` or `role` and at most one small set of words.

pub mod agent;
pub mod aggregator;
mod catalogue;
mod certificates;
pub mod controller;
mod front;
mod process;
mod ready;
mod sheet;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use thermowell_flow::published::Freshness;
use thermowell_wire::BoilerId;
use tokio::sync::watch;

use crate::clock::{self, Clock, boottime_ns};
use crate::config::Config;
use crate::mqtt;
use crate::nats::{Connection, Phase};
use crate::report::Reporter;
use crate::run::Role;
use crate::session::Session;
use crate::status::judge;

use certificates::Certificates;
use sheet::Sheet;

/// A boiler's task reports each second; after this time its values are no longer current.
const CURRENT: Duration = Duration::from_secs(5);
/// A text is given again for this long: a scraper that does not pause costs no more than two scrapes a second.
const AGAIN: Duration = Duration::from_millis(500);

/// The last reports of this process's roles.
#[derive(Debug)]
pub struct Board {
    clock: Clock,
    began_s: f64,
    /// The roles that run in this process, and the boilers of each.
    roles: Vec<&'static str>,
    boilers: Vec<BoilerId>,
    certificates: Certificates,
    held: Mutex<Held>,
    /// The last text, and when it was made.
    text: Mutex<Option<(u64, String)>>,
}

#[derive(Debug, Default)]
struct Held {
    members: BTreeMap<&'static str, Member>,
    agent: BTreeMap<BoilerId, agent::Report>,
    aggregator: BTreeMap<BoilerId, aggregator::Report>,
    controller: BTreeMap<BoilerId, controller::Report>,
    /// Messages of SAMPLES that are not read yet; none without a session.
    lag: Option<u64>,
    /// Why the front cannot read the streams.
    unread: Option<String>,
    /// None without `[mqtt]`.
    mqtt: Option<mqtt::Counters>,
}

/// A role that runs: what a scrape reads from it.
#[derive(Debug)]
struct Member {
    connection: Connection,
    ready: watch::Receiver<Phase>,
    /// None of a role that publishes nothing.
    reporter: Option<Reporter>,
    ignored: u64,
}

impl Board {
    /// The board of a process with these roles.
    #[must_use]
    pub fn new(config: &Config, roles: &[&'static str]) -> Arc<Self> {
        let clock = Clock::new(&config.clock);
        Arc::new(Self {
            began_s: clock::realtime_s(),
            clock,
            roles: roles.to_vec(),
            boilers: config.boiler_ids(),
            certificates: Certificates::new(config, roles),
            held: Mutex::default(),
            text: Mutex::default(),
        })
    }

    /// A role has begun.
    pub fn join(&self, role: &'static str, session: &Session, reporter: &Reporter) {
        let (connection, ready) = (session.connection().clone(), session.ready());
        let member = Member { connection, ready, reporter: Some(reporter.clone()), ignored: 0 };
        self.held().members.insert(role, member);
    }

    /// A role has begun that publishes nothing: it needs no streams of its own, so a connection is a session.
    pub fn join_to_read(&self, role: &'static str, connection: &Connection) {
        let member = Member { ready: connection.phase(), connection: connection.clone(), reporter: None, ignored: 0 };
        self.held().members.insert(role, member);
    }

    /// A role has ignored a message of others.
    pub fn ignored(&self, role: &'static str) {
        if let Some(member) = self.held().members.get_mut(role) {
            member.ignored += 1;
        }
    }

    /// The agent's report of a boiler.
    pub fn agent(&self, boiler: &BoilerId, report: agent::Report) {
        self.held().agent.insert(boiler.clone(), report);
    }

    /// The aggregator's report of a boiler.
    pub fn aggregator(&self, boiler: &BoilerId, report: aggregator::Report) {
        self.held().aggregator.insert(boiler.clone(), report);
    }

    /// How many messages of SAMPLES the aggregator has not read yet; none when it has no session.
    pub fn lag(&self, messages: Option<u64>) {
        self.held().lag = messages;
    }

    /// Whether the front reads the streams, or why not.
    pub fn read(&self, outcome: Result<(), String>) {
        self.held().unread = outcome.err();
    }

    /// The front's report of the MQTT broker.
    pub fn mqtt(&self, counters: mqtt::Counters) {
        self.held().mqtt = Some(counters);
    }

    /// Changes the controller's report of a boiler.
    pub fn controller(&self, boiler: &BoilerId, change: impl FnOnce(&mut controller::Report)) {
        change(self.held().controller.entry(boiler.clone()).or_default());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is scraped.
    #[must_use]
    pub fn text(&self) -> String {
        let now_ns = boottime_ns();
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at_ns, text)) = text.as_ref()
            && is_within(*at_ns, now_ns, AGAIN)
        {
            return text.clone();
        }
        let made = self.sheet(now_ns).text();
        *text = Some((now_ns, made.clone()));
        made
    }

    fn sheet(&self, now_ns: u64) -> Sheet {
        let (mut sheet, held, now) = (Sheet::default(), self.held(), self.clock.now());
        for (boiler, report) in &held.agent {
            let is_current = is_within(report.at_ns, now_ns, CURRENT);
            report.write(&mut sheet.of("boiler", boiler.as_str()), self.clock.speed(), is_current);
        }
        for (boiler, report) in &held.aggregator {
            report.write(&mut sheet.of("boiler", boiler.as_str()), |stamp| self.freshness(stamp));
        }
        for (boiler, report) in &held.controller {
            report.write(&mut sheet.of("boiler", boiler.as_str()), now.monotonic);
        }
        for (role, member) in &held.members {
            member.write(&mut sheet.of("role", role));
        }
        if let Some(counters) = &held.mqtt {
            front::write(counters, &mut sheet.of("role", Role::Front.name()));
        }
        if let Some(lag) = held.lag {
            sheet.add("aggregator_lag_messages", Vec::new(), lag);
        }
        let version = ("version", env!("CARGO_PKG_VERSION").to_owned());
        sheet.add("build_info", vec![version, ("roles", self.roles.join(","))], true);
        self.certificates.write(&mut sheet);
        process::write(&mut sheet, self.began_s);
        sheet
    }

    /// Of a slot with this stamp.
    fn freshness(&self, stamp: f64) -> Freshness {
        judge(self.clock.age_s(stamp))
    }
}

impl Member {
    fn write(&self, rows: &mut sheet::Rows<'_>) {
        let statistics = self.connection.client().statistics();
        let connects = statistics.connects.load(Ordering::Relaxed);
        rows.add("nats_connected", *self.connection.phase().borrow() != Phase::Down);
        rows.add("nats_reconnects_total", connects.saturating_sub(1));
        rows.add("nats_received_bytes_total", statistics.in_bytes.load(Ordering::Relaxed));
        rows.add("nats_sent_bytes_total", statistics.out_bytes.load(Ordering::Relaxed));
        rows.add("session_ready", *self.ready.borrow() != Phase::Down);
        let Some(reporter) = &self.reporter else { return };
        let counts = reporter.counts();
        rows.add("events_waiting", counts.waiting);
        rows.add("events_dropped_total", counts.dropped);
        rows.add("reports_forbidden_total", counts.forbidden);
        rows.add("messages_ignored_total", self.ignored);
    }
}

/// `/metrics` and `/readyz`.
pub fn routes(board: &Arc<Board>) -> Router {
    let (scraped, probed) = (board.clone(), board.clone());
    Router::new()
        .route("/metrics", get(async move || ([(CONTENT_TYPE, sheet::CONTENT_TYPE)], scraped.text())))
        .route("/readyz", get(async move || probed.readiness()))
}

fn is_within(at_ns: u64, now_ns: u64, limit: Duration) -> bool {
    u128::from(now_ns.saturating_sub(at_ns)) < limit.as_nanos()
}
