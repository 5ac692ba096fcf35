//! `thermowell check`: checks the installation and says what to do.
//!
//! [`catalogue`] has every check, one file here has those of each subject. Checks only read. What several of them read,
//! such as the server's monitor or the streams of a boiler, is read once. A check that could not be made is *unknown*,
//! one that does not apply here is *skipped* with its reason; neither is ever ok.
//!
//! Everything that is read from the server may take [`SERVER`] in all, each program of the machine 2 s.

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
use streams::Store;

/// What all requests to the server may take together.
const SERVER: Duration = Duration::from_secs(5);
/// The beginnings of the ids for which the streams of each boiler are read.
const OF_BOILERS: [&str; 4] = ["device", "data", "aggregate", "control"];
/// The ids of these checks.
const OF_EVIDENCE: [&str; 12] = [
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
        Err(error) => {
            report.add(boottime_ns(), refused(&error));
            return Checks::refused(report.findings);
        }
    };
    let plant = report.server(&config).await;
    report.local(&config, path, &plant);
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
        if let Ok(connection) = &server.connection {
            let streams = streams::check(config, connection, &plant.store);
            self.within(&budget, &["nats.streams", "nats.room"], streams).await;
            self.boilers(config, evidence::read(config, connection), &budget, &mut plant).await;
        }
        // Last, because users that the server does not answer take the longest.
        self.within(&budget, &["nats.permissions"], async {
            vec![match server.answers() {
                true => authority::check(config).await,
                false => Finding::new("nats.permissions", Status::Unknown, server::NO_SERVER),
            }]
        })
        .await;
        if let Some(why) = server.unread() {
            self.unread(&why);
        }
        plant
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
        let took_ms = boottime_ns().saturating_sub(began_ns) / 1_000_000;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Report as _;

    async fn check_only(text: &str, words: &[&str]) -> Checks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        check(&path, &Selection::of(&words).unwrap(), &Root::of(folder.path())).await
    }

    async fn check_text(text: &str) -> Checks {
        check_only(text, &[]).await
    }

    fn statuses(report: &Checks, id: &str) -> Vec<Status> {
        report.checks.iter().filter(|check| check.id == id).map(|check| check.status).collect()
    }

    #[tokio::test]
    async fn invalid_value_leaves_relations_unknown() {
        let report = check_text("batch.samples = 0").await;
        assert_eq!(statuses(&report, "config.parse"), [Status::Error; 2], "the value, and the missing boiler");
        assert_eq!(statuses(&report, "config.relations"), [Status::Unknown]);
        assert_eq!(report.verdict(), Verdict::Configuration);
    }

    #[tokio::test]
    async fn broken_relation_fails_its_own_check() {
        let boiler = "[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"";
        let report = check_text(&format!("control.renew = \"40 s\"\n{boiler}")).await;
        assert_eq!(statuses(&report, "config.parse"), [Status::Ok]);
        assert_eq!(statuses(&report, "config.relations"), [Status::Error]);
        assert_eq!(report.verdict(), Verdict::Configuration);
    }

    // Port 9 of this machine (discard) is closed.
    const ABSENT: &str = "nats.url = \"nats://127.0.0.1:9\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/absent\"";

    #[tokio::test]
    async fn missing_things_are_errors_and_unchecked_ones_unknown() {
        let report = check_text(ABSENT).await;
        assert_eq!(statuses(&report, "port.present"), [Status::Error]);
        assert_eq!(statuses(&report, "port.free"), [Status::Unknown]);
        assert_eq!(statuses(&report, "nats.reachable"), [Status::Error]);
        for id in [
            "nats.version",
            "nats.jetstream",
            "nats.login",
            "nats.max-payload",
            "nats.storage",
            "nats.permissions",
            "nats.sync-interval",
        ] {
            assert_eq!(statuses(&report, id), [Status::Unknown], "{id}");
        }
        assert_eq!(report.verdict(), Verdict::Failed);
        let keyless = check_text(&format!("nats.keys = \"/absent\"\n{ABSENT}")).await;
        assert_eq!(statuses(&keyless, "nats.login"), [Status::Error]);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["ok"], false);
        let port = json["checks"].as_array().unwrap().iter().find(|check| check["id"] == "port.present").unwrap();
        assert_eq!(
            (&port["subject"], &port["status"], &port["section"]),
            (&"b1".into(), &"error".into(), &"ports".into())
        );
        assert!(port["took_ms"].is_u64(), "{port}");
    }

    /// Without a server, too: what was not checked is named.
    #[tokio::test]
    async fn report_has_every_check_in_the_order_of_the_catalogue() {
        let report = check_text(ABSENT).await;
        let mut ids: Vec<&str> = report.checks.iter().map(|check| check.id).collect();
        ids.dedup();
        assert_eq!(ids, catalogue::CATALOGUE.iter().map(|check| check.id).collect::<Vec<_>>());
        let missed = report.checks.iter().find(|check| check.message.contains("no answer within 5 s"));
        assert_eq!(missed, None, "it has no reason of its own");
    }

    #[tokio::test]
    async fn only_what_is_selected_is_checked() {
        let report = check_only(ABSENT, &["port.present", "config"]).await;
        assert!(report.checks.iter().all(|check| check.id == "port.present" || check.id.starts_with("config.")));
        assert_eq!(statuses(&report, "port.present"), [Status::Error]);
    }

    /// A server that takes the connection and says nothing.
    #[tokio::test]
    async fn hanging_server_costs_no_more_than_its_limit() {
        let listeners =
            [std::net::TcpListener::bind("127.0.0.1:0").unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap()];
        let [server, monitor] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        let began_ns = boottime_ns();
        let text = format!(
            "[nats]\nurl = \"nats://{server}\"\nmonitor = \"http://{monitor}\"\n\
             [[boiler]]\nid = \"b1\"\nport = \"/dev/absent\""
        );
        let report = check_text(&text).await;
        let took = Duration::from_nanos(boottime_ns() - began_ns);
        assert!(took < SERVER + Duration::from_secs(5), "{took:?}");
        assert_eq!(statuses(&report, "nats.reachable"), [Status::Error]);
        assert_eq!(statuses(&report, "nats.health"), [Status::Unknown]);
    }
}
