//! `thermowell check`: checks the installation and suggests corrections.
//!
//! | id | checks |
//! |---|---|
//! | `config.parse` | the configuration can be read, and each value is valid |
//! | `config.relations` | the values are consistent |
//! | `port.present`, `port.distinct` | each boiler's port exists, and is not another boiler's under another name |
//! | `port.access`, `port.free` | this user may open it, and no other process uses it |
//! | `spool.folder` | the agent may write its spill files |
//! | `streams.samples` | how long the size of SAMPLES lasts, for these boilers |
//! | `nats.reachable`, `nats.version`, `nats.jetstream` | the server's greeting |
//! | `nats.login` | the server accepts the login |
//! | `nats.max-payload` | the server accepts our largest messages |
//! | `nats.storage` | the streams fit into the server's storage limits |
//! | `nats.permissions` | only the controller may publish set-points |
//! | `nats.keys` | permissions.conf is what `thermowell keys` would write now (only with keys) |
//! | `nats.health` | the server's health probe |
//! | `nats.sync-interval` | the server syncs as often as configured here |
//! | `clock.synced` | the calendar is synchronised |
//!
//! Ids are stable. A check that could not be made is *unknown*, never ok.

mod authority;
mod clock;
mod limits;
mod port;
mod server;
mod spool;

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::config::{Config, ConfigError, Kind};
use crate::logs;
use crate::output::{Report, word};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// Works, but needs attention.
    Warning,
    /// Does not work.
    Error,
    /// Could not be checked.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's stable id.
    pub id: &'static str,
    /// The boiler, for checks that are made per boiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub status: Status,
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn new(id: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self { id, subject: None, status, message: message.into(), advice: None }
    }

    fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// The overall result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No error. There may be warnings and unknowns.
    Fine,
    /// At least one error.
    Failed,
    /// The configuration itself is wrong.
    Configuration,
}

/// All findings, in the order of the table above.
#[derive(Clone, Debug, Serialize)]
pub struct Checks {
    /// No finding is an error.
    ok: bool,
    checks: Vec<Finding>,
}

/// Checks the configuration at `path` and everything that it refers to.
pub async fn check(path: &Path) -> Checks {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return Checks::new(refused(&error)),
    };
    let boilers = match config.boilers.len() {
        1 => "1 boiler".to_owned(),
        many => format!("{many} boilers"),
    };
    let mut checks = vec![
        Finding::new("config.parse", Status::Ok, format!("{}: {boilers}", path.display())),
        Finding::new("config.relations", Status::Ok, "the values are consistent"),
    ];
    checks.extend(port::check(&config.boilers));
    checks.push(spool::check(&config));
    checks.push(limits::samples(&config));
    checks.extend(server::check(&config).await);
    checks.push(clock::check(&config.clock));
    Checks::new(checks)
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

impl Checks {
    fn new(checks: Vec<Finding>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Error), checks }
    }

    /// The overall result.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is_configuration = |check: &Finding| check.status == Status::Error && check.id.starts_with("config.");
        match self.ok {
            true => Verdict::Fine,
            false if self.checks.iter().any(is_configuration) => Verdict::Configuration,
            false => Verdict::Failed,
        }
    }
}

impl Report for Checks {
    /// A line per check, the advice below it, and the totals.
    fn text(&self) -> String {
        let mut text = String::new();
        let about = |check: &Finding| check.subject.clone().unwrap_or_default();
        let ids = self.checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
        let subjects = self.checks.iter().map(|check| about(check).len()).max().unwrap_or(0);
        let indent = 9 + ids + 1 + subjects + usize::from(subjects > 0);
        for check in &self.checks {
            let subject = if subjects > 0 { format!("{:subjects$} ", about(check)) } else { String::new() };
            let message = check.message.replace('\n', &format!("\n{:indent$}", ""));
            writeln!(text, "{:<8} {:<ids$} {subject}{message}", word(&check.status), check.id).expect(STRING);
            if let Some(advice) = &check.advice {
                writeln!(text, "{:indent$}-> {advice}", "").expect(STRING);
            }
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let sums = [Status::Ok, Status::Warning, Status::Error, Status::Unknown]
            .map(|status| format!("{} {}", count(status), word(&status)));
        writeln!(text, "\n{}", sums.join(", ")).expect(STRING);
        text
    }
}

const STRING: &str = "writing to a string does not fail";

#[cfg(test)]
mod tests {
    use super::*;

    async fn check_text(text: &str) -> Checks {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        check(&path).await
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

    #[tokio::test]
    async fn missing_things_are_errors_and_unchecked_ones_unknown() {
        // Port 9 of this machine (discard) is closed.
        let text = "nats.url = \"nats://127.0.0.1:9\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/absent\"";
        let report = check_text(text).await;
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
        let keyless = check_text(&format!("nats.keys = \"/absent\"\n{text}")).await;
        assert_eq!(statuses(&keyless, "nats.login"), [Status::Error]);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"][2]["id"], "port.present");
        assert_eq!(json["checks"][2]["subject"], "b1");
        assert_eq!(json["checks"][2]["status"], "error");
    }

    #[test]
    fn text_is_aligned() {
        let report = Checks::new(vec![
            Finding::new("config.parse", Status::Ok, "fine"),
            Finding::new("port.present", Status::Error, "gone").about("b1").advise("plug it in"),
        ]);
        assert_eq!(
            report.text(),
            "ok       config.parse    fine\n\
             error    port.present b1 gone\n\
             \x20                        -> plug it in\n\n\
             1 ok, 0 warning, 1 error, 0 unknown\n"
        );
        assert_eq!(report.verdict(), Verdict::Failed);
    }
}
