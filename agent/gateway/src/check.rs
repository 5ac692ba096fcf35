//! `thermowell check`: checks the installation and says what to do.
//!
//! `catalogue` has every check, one file here has those of each subject. Checks only read. What several of them read,
//! such as the server's monitor or the streams of a boiler, is read once. A check that could not be made is *unknown*,
//! one that does not apply here is *skipped* with its reason; neither is ever ok.
//!
//! Everything that is read from the server may take `SERVER` in all, the MQTT broker the same at the same time, and
//! each program of the machine 2 s.

mod adapter;
mod authority;
mod blank;
mod books;
mod bundle;
mod catalogue;
mod certificate;
mod clock;
mod control;
mod data;
mod device;
mod disk;
mod evidence;
mod finding;
mod host;
mod http;
mod limits;
mod mqtt;
mod port;
mod repair;
mod report;
mod root;
mod secrets;
mod select;
mod server;
mod spool;
mod streams;
mod tar;
mod unit;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use thermowell_flow::published::{Freshness, Link};
use thermowell_wire::BoilerId;

use crate::clock::{Clock, boottime_ns, realtime_ns};
use crate::config::{Config, ConfigError, Kind};
use crate::logs;
use crate::status::judge;

pub use bundle::{BundleError, admit, bundle};
pub use catalogue::{Check, List, Section};
pub use finding::{Finding, Status};
pub use repair::{Done, Repairs, repair};
pub use report::{Checks, Verdict};
pub use root::Root;
pub use select::Selection;

use catalogue::place;
use evidence::{Evidence, Moment};
use server::Server;
use streams::Store;

/// What all requests to the server may take together.
const SERVER: Duration = Duration::from_secs(5);
/// The beginnings of the ids for which the streams of each boiler are read.
const OF_BOILERS: [&str; 4] = ["device", "data", "aggregate", "control"];
/// The ids of these checks.
const OF_EVIDENCE: [&str; 14] = [
    "device.answers",
    "device.identity",
    "device.protocol",
    "device.clock",
    "device.fault",
    "data.fresh",
    "data.coverage",
    "data.books",
    "data.sensor",
    "aggregate.lag",
    "control.lease",
    "control.cycles",
    "control.delivery",
    "control.sources",
];
/// The ids beside these for which the server is asked.
const OF_SERVER: [&str; 5] = ["nats", "port.free", "clock.leap", "disk.space", "disk.wear"];

/// The time that is left for requests to the server.
struct Budget {
    began_ns: u64,
}

impl Budget {
    fn left(&self) -> Duration {
        SERVER.saturating_sub(Duration::from_nanos(boottime_ns().saturating_sub(self.began_ns)))
    }
}

/// Checks the configuration at `path` and everything that it refers to.
pub async fn check(path: &Path, selection: &Selection, root: &Root) -> Checks {
    let mut report = Collector { selection, root, findings: Vec::new() };
    let config = match Config::load(path) {
        Ok(config) => config,
        // Whatever was selected: nothing can be checked without it.
        Err(error) => return Checks::refused(refused(&error)),
    };
    let broker = async {
        let began_ns = boottime_ns();
        let found = if selection.wants_any(&["mqtt"]) { mqtt::check(&config).await } else { Vec::new() };
        (since_ms(began_ns), found)
    };
    let (plant, (took_ms, broker)) = tokio::join!(report.server(&config), broker);
    report.local(&config, path, &plant);
    report.keep(took_ms, broker);
    report.finish()
}

/// What the server shows that checks of the machine need.
#[derive(Debug, Default)]
struct Plant {
    store: Store,
    /// For these an agent reports now that it has the port.
    answering: BTreeSet<BoilerId>,
    /// Steps of the calendar within a day, in words.
    steps: Vec<String>,
}

impl Plant {
    fn take(&mut self, it: &Evidence, now: &Moment) {
        let is_current = it.last.status_age_s.is_some_and(|age_s| judge(age_s) == Freshness::Fresh);
        if is_current && it.last.status.as_ref().is_some_and(|status| status.link != Link::Down) {
            self.answering.insert(it.last.boiler.clone());
        }
        self.steps.extend(clock::step(it, now));
    }
}

/// Makes checks and keeps their findings.
struct Collector<'c> {
    selection: &'c Selection,
    root: &'c Root,
    findings: Vec<Finding>,
}

impl Collector<'_> {
    /// What needs no server.
    fn local(&mut self, config: &Config, path: &Path, plant: &Plant) {
        let root = self.root;
        self.make(&["config.parse", "config.relations"], || {
            let boilers = match config.boilers.len() {
                1 => "1 boiler".to_owned(),
                many => format!("{many} boilers"),
            };
            vec![
                Finding::new("config.parse", Status::Ok, format!("{}: {boilers}", path.display())),
                Finding::new("config.relations", Status::Ok, "the values are consistent"),
            ]
        });
        self.make(&["config.secrets"], || secrets::check(config));
        self.make(&["port"], || port::check(&config.boilers, &plant.answering, root));
        self.make(&["port"], || adapter::check(&config.boilers, root));
        self.make(&["line"], || adapter::budget(&config.boilers));
        self.make(&["spool"], || vec![spool::check(config)]);
        self.make(&["disk.spill"], || spool::spill(config));
        self.make(&["disk.space", "disk.wear"], || disk::check(config, plant.store.folder.as_deref(), root));
        self.make(&["streams"], || vec![limits::samples(config)]);
        self.make(&["clock"], || vec![clock::check(&config.clock), clock::leap(&config.clock, &plant.steps, root)]);
        self.make(&["unit"], || unit::check(root));
        self.make(&["host"], || host::check(root));
        self.make(&["http"], || http::check(&config.http));
    }

    /// What needs the server.
    async fn server(&mut self, config: &Config) -> Plant {
        if !self.selection.wants_any(&OF_SERVER) && !self.selection.wants_any(&OF_BOILERS) {
            return Plant::default();
        }
        let budget = Budget { began_ns: boottime_ns() };
        let server = server::reach(config, &budget).await;
        let store = server.store(&config.nats);
        self.within(&budget, &["nats"], server.check(config)).await;
        let end = server.varz.as_ref().ok().and_then(|varz| varz.certificate_end);
        let now_s = realtime_ns() / 1_000_000_000;
        self.make(&["nats.certificate"], || certificate::check(&config.nats, end, now_s));
        let mut plant = Plant { store, ..Plant::default() };
        let began_ns = boottime_ns();
        let wants_permissions = self.selection.wants("nats.permissions");
        let permissions = async {
            match server.answers() {
                _ if !wants_permissions => Vec::new(),
                true => vec![authority::check(config).await],
                false => vec![Finding::new("nats.permissions", Status::Unknown, server::NO_SERVER)],
            }
        };
        // At the same time: a user without rights waits for each answer.
        let permissions = tokio::time::timeout(budget.left(), permissions);
        let (permissions, ()) = tokio::join!(permissions, self.streams(config, &server, &budget, &mut plant));
        self.add(began_ns, permissions.unwrap_or_default());
        if let Some(why) = server.unread() {
            self.unread(&why);
        }
        plant
    }

    /// The streams, and what is in them.
    async fn streams(&mut self, config: &Config, server: &Server, budget: &Budget, plant: &mut Plant) {
        let Ok(connection) = &server.connection else { return };
        let streams = streams::check(config, connection, &plant.store);
        self.within(budget, &["nats.streams", "nats.room"], streams).await;
        self.boilers(config, evidence::read(config, connection), budget, plant).await;
    }

    /// What needs the streams of each boiler.
    async fn boilers(
        &mut self,
        config: &Config,
        read: impl Future<Output = Vec<(BoilerId, Result<Evidence, String>)>>,
        budget: &Budget,
        plant: &mut Plant,
    ) {
        let began_ns = boottime_ns();
        let read = tokio::time::timeout(budget.left(), read).await.unwrap_or_default();
        let now = Moment::of(&Clock::new(&config.clock));
        for (id, found) in read {
            let findings = match &found {
                Ok(it) => {
                    plant.take(it, &now);
                    let mut findings = device::check(it, &now);
                    findings.extend(data::check(it, &now, &config.gateway));
                    findings.extend(books::check(it, &now));
                    findings.extend(control::check(it, &now, &config.gateway, config.control.enabled));
                    findings
                }
                Err(why) => OF_EVIDENCE.map(|id| Finding::new(id, Status::Unknown, why)).into(),
            };
            self.add(began_ns, findings.into_iter().map(|finding| finding.about(id.as_str())).collect());
        }
        let ids: Vec<String> = config.boilers.iter().map(|boiler| boiler.id.to_string()).collect();
        self.within(budget, &["device.line"], device::line(&config.http, &ids)).await;
    }

    /// The checks of the streams that were not made.
    fn unread(&mut self, why: &str) {
        let ids = OF_EVIDENCE.into_iter().chain(["device.line", "nats.streams", "nats.room"]);
        let findings = ids.filter(|id| self.findings.iter().all(|finding| finding.id != *id));
        let findings = findings.map(|id| Finding::new(id, Status::Unknown, why)).collect();
        self.add(boottime_ns(), findings);
    }

    /// Makes checks whose ids begin with these words, if one of them is wanted.
    fn make(&mut self, words: &[&str], check: impl FnOnce() -> Vec<Finding>) {
        if self.selection.wants_any(words) {
            let began_ns = boottime_ns();
            self.add(began_ns, check());
        }
    }

    /// The same with requests to the server. What has not been found when the time is up is unknown at the end.
    async fn within(&mut self, budget: &Budget, words: &[&str], checks: impl Future<Output = Vec<Finding>>) {
        if self.selection.wants_any(words) {
            let began_ns = boottime_ns();
            let found = tokio::time::timeout(budget.left(), checks).await.unwrap_or_default();
            self.add(began_ns, found);
        }
    }

    fn add(&mut self, began_ns: u64, findings: Vec<Finding>) {
        self.keep(since_ms(began_ns), findings);
    }

    fn keep(&mut self, took_ms: u64, findings: Vec<Finding>) {
        let wanted = findings.into_iter().filter(|finding| self.selection.wants(finding.id));
        self.findings.extend(wanted.map(|finding| Finding { took_ms, ..finding }));
    }

    /// All findings, in the order of the catalogue. What was not found is unknown.
    fn finish(mut self) -> Checks {
        for check in self.selection.checks() {
            if self.findings.iter().all(|finding| finding.id != check.id) {
                let message = format!("not checked: no answer within {} s", SERVER.as_secs());
                self.findings.push(Finding::new(check.id, Status::Unknown, message));
            }
        }
        self.findings.sort_by_key(|finding| place(finding.id));
        Checks::new(self.findings)
    }
}

fn since_ms(began_ns: u64) -> u64 {
    boottime_ns().saturating_sub(began_ns) / 1_000_000
}

fn refused(error: &ConfigError) -> Vec<Finding> {
    let mut checks = Vec::new();
    match error {
        ConfigError::Unreadable { .. } => {
            let finding = Finding::new("config.parse", Status::Error, logs::chain(error));
            checks.push(Finding { advice: error.advice(), ..finding });
        }
        ConfigError::Refused(problems) => checks.extend(problems.iter().map(|problem| {
            let id = match problem.kind {
                Kind::Syntax | Kind::Key | Kind::Value => "config.parse",
                Kind::Relation => "config.relations",
            };
            Finding::new(id, Status::Error, problem.to_string())
        })),
    }
    if checks.iter().all(|check| check.id == "config.relations") {
        checks.insert(0, Finding::new("config.parse", Status::Ok, "each value is valid"));
    } else if checks.iter().all(|check| check.id == "config.parse") {
        let message = "not checked: correct the values first";
        checks.push(Finding::new("config.relations", Status::Unknown, message));
    }
    checks
}
