//! `thermowell check --repair`: what it would do, then, with `--yes`, what it has done. It deletes nothing.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde::Serialize;
use thermowell_wire::BoilerId;

use super::finding::Repair;
use super::report::Checks;
use super::secrets::OTHERS;
use crate::config::Config;
use crate::logs;
use crate::nats::{Connection, User};
use crate::output::Report;
use crate::spool::SpillFile;
use crate::streams;

/// The repairs of some findings.
#[derive(Debug, Serialize)]
pub struct Repairs {
    /// All were done, or there was none to do.
    pub ok: bool,
    pub repairs: Vec<Done>,
}

/// One repair.
#[derive(Debug, Serialize)]
pub struct Done {
    /// What it does.
    pub action: String,
    /// Not without `--yes`.
    pub done: bool,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close(file) => write!(f, "take the rights of all other users from {}", file.display()),
            Self::Latency(timer) => write!(f, "write 1 into {}", timer.display()),
            Self::Streams => f.write_str("create missing streams, and add subjects and limits to others"),
            Self::Spill(boiler) => write!(f, "put the spill file of {boiler} aside, after taking what is intact"),
        }
    }
}

/// The repairs of `checks`, done only if `is_confirmed`.
pub async fn repair(config: &Config, checks: &Checks, is_confirmed: bool) -> Repairs {
    let mut wanted: Vec<&Repair> = Vec::new();
    for repair in checks.checks.iter().filter_map(|check| check.repair.as_ref()) {
        if !wanted.contains(&repair) {
            wanted.push(repair);
        }
    }
    let mut repairs = Vec::new();
    for repair in wanted {
        let action = repair.to_string();
        let error = match is_confirmed {
            true => carry_out(repair, config).await.err(),
            false => None,
        };
        repairs.push(Done { action, done: is_confirmed && error.is_none(), error });
    }
    Repairs { ok: repairs.iter().all(|repair| repair.done), repairs }
}

async fn carry_out(repair: &Repair, config: &Config) -> Result<(), String> {
    match repair {
        Repair::Close(file) => close(file).map_err(|error| format!("{}: {error}", file.display())),
        Repair::Latency(timer) => fs::write(timer, "1\n").map_err(|error| format!("{}: {error}", timer.display())),
        Repair::Streams => add_streams(config).await,
        Repair::Spill(boiler) => set_aside(config, boiler),
    }
}

fn close(file: &PathBuf) -> io::Result<()> {
    let mode = fs::metadata(file)?.permissions().mode();
    fs::set_permissions(file, fs::Permissions::from_mode(mode & !OTHERS & 0o7777))
}

/// As the installer, who may create and update every stream; without keys, every user may.
async fn add_streams(config: &Config) -> Result<(), String> {
    let connection = Connection::reach(&config.nats, User::Installer).await.map_err(|error| logs::chain(&error))?;
    let table = streams::table(config);
    let left = streams::ensure(connection.context(), &table, &User::Installer).await.map_err(|e| logs::chain(&e))?;
    match left.first() {
        Some(error) => Err(logs::chain(error)),
        None => Ok(()),
    }
}

/// What the agent does when it starts. A file that an agent uses is locked, and left alone.
fn set_aside(config: &Config, boiler: &BoilerId) -> Result<(), String> {
    let mut file = SpillFile::new(&config.spool.directory, &config.gateway, boiler);
    file.load().map(drop).map_err(|error| logs::chain(&error))
}

impl Report for Repairs {
    fn text(&self) -> String {
        if self.repairs.is_empty() {
            return "nothing that can be repaired from here was found\n".to_owned();
        }
        let is_planned = self.repairs.iter().all(|repair| !repair.done && repair.error.is_none());
        let line = |repair: &Done| match (&repair.error, repair.done) {
            (Some(error), _) => format!("failed  {}: {error}\n", repair.action),
            (None, true) => format!("done    {}\n", repair.action),
            (None, false) => format!("would   {}\n", repair.action),
        };
        let lines: String = self.repairs.iter().map(line).collect();
        let end = if is_planned { "nothing was done: add --yes to do it\n" } else { "" };
        lines + end
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status::{Error, Warning};
    use super::super::finding::Finding;
    use super::*;

    fn config(spool: &std::path::Path) -> Config {
        let text = format!("spool.directory = \"{}\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"", spool.display());
        Config::parse(&text, "t.toml").unwrap()
    }

    #[tokio::test]
    async fn repairs_are_named_first_and_done_with_yes() {
        let folder = tempfile::tempdir().unwrap();
        let [seed, timer, spill] = ["agent.nk", "latency_timer", "b1.spill"].map(|name| folder.path().join(name));
        fs::write(&seed, "").unwrap();
        fs::set_permissions(&seed, fs::Permissions::from_mode(0o646)).unwrap();
        fs::write(&timer, "16").unwrap();
        fs::write(&spill, "not a spill file").unwrap();
        let found = |id, repair| Finding::new(id, Warning, "odd").repair(repair);
        let checks = Checks::new(vec![
            found("config.secrets", Repair::Close(seed.clone())),
            found("port.latency", Repair::Latency(timer.clone())),
            found("port.latency", Repair::Latency(timer.clone())),
            found("disk.spill", Repair::Spill("b1".parse().unwrap())),
            Finding::new("port.free", Error, "nothing to repair"),
        ]);
        let config = config(folder.path());
        let planned = repair(&config, &checks, false).await;
        assert_eq!((planned.repairs.len(), planned.ok), (3, false));
        assert!(planned.text().ends_with("nothing was done: add --yes to do it\n"), "{}", planned.text());
        assert_eq!(fs::read_to_string(&timer).unwrap(), "16");
        assert!(spill.exists());

        let done = repair(&config, &checks, true).await;
        assert!(done.ok && done.text().lines().all(|line| line.starts_with("done ")), "{}", done.text());
        assert_eq!(fs::metadata(&seed).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&timer).unwrap(), "1\n");
        assert!(!spill.exists());
        assert_eq!(fs::read_to_string(folder.path().join("b1.spill.aside-1")).unwrap(), "not a spill file");
    }

    #[tokio::test]
    async fn repair_that_fails_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let timer = folder.path().join("absent/latency_timer");
        let checks = Checks::new(vec![Finding::new("port.latency", Warning, "16").repair(Repair::Latency(timer))]);
        let failed = repair(&config(folder.path()), &checks, true).await;
        assert!(!failed.ok && failed.text().starts_with("failed  write 1 into "), "{}", failed.text());
        let nothing = repair(&config(folder.path()), &Checks::new(Vec::new()), true).await;
        assert!(nothing.ok && nothing.text().starts_with("nothing that can be repaired"));
    }
}
