//! A nats-server of the rig: its folder, its ports, crashes and restarts.
//!
//! It runs with the documented configuration for a gateway, [`SAMPLE_CONFIG`], with other ports and another store. So
//! the tests of power cuts and restarts are valid for the documented settings.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::{Client, ConnectError, ConnectOptions};
use rustix::process::Signal;

use thermowell::keys as permissions;

use super::NatsServer;
use crate::clock::Stopwatch;
use crate::process::{Launch, Programs, Role, Supervised, describe, last_lines};

/// The documented configuration of nats-server on a gateway.
pub const SAMPLE_CONFIG: &str = include_str!("../../../../config/nats.conf");

/// The context of an error of its process.
const PROCESS: &str = "cannot handle the server's process";
/// The name of its configuration, in its folder.
const CONFIG: &str = "nats.conf";

/// A start takes 0.3 s, longer with a large store; ten seconds are a failure.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// Interval between two polls of a server that is not ready.
const READY_LOOK: Duration = Duration::from_millis(10);
/// Limit for the answer of a monitor on this machine.
const MONITOR_LIMIT: Duration = Duration::from_secs(2);
/// After SIGTERM the server syncs and closes its stores.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The kernel has 28,000 ports to choose from.
const GIVEN_TRIES: u32 = 100;
/// Another process can take a free port before the server has it. Three times in a row is no coincidence.
const PORT_TRIES: u32 = 3;

/// The rig's own user, which no gateway has: it has all rights, for tests that act as a foreign client, an
/// administrator or a foreign writer. The server listens on the loopback interface only, for the duration of the run.
pub const RIG_LOGIN: (&str, &str) = ("rig", "rig");

/// How to run a server.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Its folder for configuration, log and store. Created if absent; an existing store is used.
    pub folder: PathBuf,
    /// Port for clients; `None` for a free one.
    pub port: Option<u16>,
    /// Port of the monitor; `None` for a free one.
    pub monitor_port: Option<u16>,
    /// Appended to the sample configuration: users, limits, listeners.
    pub extra_config: String,
    /// User and password of the rig, if the server requires a login.
    pub login: Option<(&'static str, &'static str)>,
}

impl BrokerOptions {
    /// Everything in `folder`, free ports, nothing else.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), port: None, monitor_port: None, extra_config: String::new(), login: None }
    }

    /// The same with the users of the folder `keys`, which must include the rig's.
    #[must_use]
    pub fn with_keys(folder: impl Into<PathBuf>, keys: &Path) -> Self {
        let folder = folder.into();
        // nats-server resolves the name relative to the folder of the including file.
        let up = "../".repeat(folder.components().count());
        let file = keys.join(permissions::PERMISSIONS);
        let extra_config = format!("\ninclude \"{up}{}\"\n", file.display());
        Self { extra_config, login: Some(RIG_LOGIN), ..Self::in_folder(folder) }
    }
}

/// A running nats-server. Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    process: Supervised,
    folder: PathBuf,
    port: u16,
    monitor_port: u16,
    login: Option<(&'static str, &'static str)>,
}

impl Broker {
    /// Starts the server and waits until it accepts clients and its JetStream is ready.
    ///
    /// Call it only from a thread that lives as long as the rig: see [`crate::process`].
    ///
    /// # Errors
    /// The folder cannot be written, the server ends by itself, or is not ready within ten seconds; with the end
    /// of its log.
    pub fn start(server: &NatsServer, programs: &Programs, options: BrokerOptions) -> Result<Self> {
        let chosen = options.port.is_some() && options.monitor_port.is_some();
        let mut tries = 0;
        loop {
            tries += 1;
            let port = options.port.map_or_else(free_port, Ok)?;
            let monitor_port = options.monitor_port.map_or_else(free_port, Ok)?;
            let config = write_config(&options, port, monitor_port)?;
            let launch = launch(server, programs, &options.folder, config);
            let mut broker = Self {
                process: Supervised::start(launch).context(PROCESS)?,
                folder: options.folder.clone(),
                port,
                monitor_port,
                login: options.login,
            };
            match broker.wait_ready() {
                Ok(()) => return Ok(broker),
                Err(error) if !chosen && tries < PORT_TRIES && error.to_string().contains("address already in use") => {
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until it accepts clients and its JetStream is ready, after a start by [`Broker::process`].
    ///
    /// # Errors
    /// It ends by itself or is not ready within ten seconds.
    pub fn wait_ready(&mut self) -> Result<()> {
        let watch = Stopwatch::start();
        let mut last = "no answer".to_owned();
        while watch.left_of(READY_LIMIT).is_some() {
            if let Some(end) = self.ended_early()? {
                bail!("nats-server ended by itself ({end}); its log says:\n{}", last_lines(self.log()));
            }
            match self.monitor("/healthz?js-enabled-only=true") {
                Ok(_) if TcpStream::connect(loopback(self.port)).is_ok() => return Ok(()),
                Ok(_) => last = format!("nothing listens on port {}", self.port),
                Err(error) => last = error.to_string(),
            }
            std::thread::sleep(READY_LOOK);
        }
        bail!("nats-server is not ready after {} s: {last}", READY_LIMIT.as_secs())
    }

    fn ended_early(&mut self) -> Result<Option<String>> {
        Ok(self.process.ended().context(PROCESS)?.map(describe))
    }

    /// The port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The options of the rig's connections: its login, if the server requires one.
    #[must_use]
    pub fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new();
        match self.login {
            Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
            None => options,
        }
    }

    /// A new connection of the rig.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        self.options().connect(self.url()).await
    }

    /// The URL of the monitor.
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor_port)
    }

    /// The pid of the running process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// The supervised process: for a main loop that restarts it when it dies, and for faults.
    pub fn process(&mut self) -> &mut Supervised {
        &mut self.process
    }

    /// Queries the monitor, for example `/varz`.
    ///
    /// # Errors
    /// It does not answer within two seconds, or not with 200.
    pub fn monitor(&self, path: &str) -> Result<String> {
        let answer = http_get(self.monitor_port, path);
        let (status, body) = answer.with_context(|| format!("the monitor does not answer {path}"))?;
        if status == 200 { Ok(body) } else { bail!("the monitor answers {path} with {status}: {body}") }
    }

    /// SIGKILL. It stays down until [`Broker::restart`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.keep_down().context(PROCESS)
    }

    /// SIGTERM, and waits for the end. It stays down until [`Broker::restart`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop(STOP_LIMIT).map(drop).context(PROCESS)
    }

    /// Starts it if it does not run, on the same ports and store, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.bring_up().context(PROCESS)?;
        self.wait_ready()
    }
}

impl Broker {
    /// Changes its configuration and has it read again while it runs, as `systemctl reload` does.
    ///
    /// # Errors
    /// The file cannot be read or written, or the kernel refuses.
    pub fn reload(&mut self, change: impl FnOnce(String) -> String) -> Result<()> {
        self.configure(change)?;
        self.process.signal(Signal::HUP).context(PROCESS)
    }

    /// Changes its configuration, for the next start.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn configure(&mut self, change: impl FnOnce(String) -> String) -> Result<()> {
        let path = self.folder.join(CONFIG);
        let changed = std::fs::read_to_string(&path).and_then(|text| std::fs::write(&path, change(text)));
        changed.with_context(|| cannot_write(&path))
    }
}

/// The sample configuration with the settings of this run, as `nats.conf` in the server's folder: a folder of `--keep`
/// can be run by hand.
fn write_config(options: &BrokerOptions, port: u16, monitor_port: u16) -> Result<PathBuf> {
    let folder = &options.folder;
    std::fs::create_dir_all(folder).with_context(|| cannot_write(folder))?;
    let store = folder.join("store");
    let settings = [
        ("listen", format!("\"127.0.0.1:{port}\"")),
        ("http", format!("\"127.0.0.1:{monitor_port}\"")),
        ("store_dir", format!("\"{}\"", store.display())),
    ];
    let mut config = SAMPLE_CONFIG.to_owned();
    for (key, value) in settings {
        config = with_setting(&config, key, &value);
    }
    config.push_str(&options.extra_config);
    let path = folder.join(CONFIG);
    std::fs::write(&path, config).with_context(|| cannot_write(folder))?;
    Ok(path)
}

/// The configuration with another value for `key`, which must be set once.
fn with_setting(config: &str, key: &str, value: &str) -> String {
    let mut found = 0;
    let mut out = String::with_capacity(config.len());
    for line in config.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_setting = line.trim_start().strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
        if is_setting {
            found += 1;
            out.push_str(&format!("{indent}{key}: {value}\n"));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert_eq!(found, 1, "config/nats.conf sets {key} once");
    out
}

fn launch(server: &NatsServer, programs: &Programs, folder: &Path, config: PathBuf) -> Launch {
    Launch {
        name: "nats-server".to_owned(),
        programs: programs.clone(),
        role: Role::Program(server.path().to_owned()),
        args: vec!["-c".into(), config.into()],
        log: folder.join("nats-server.log"),
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that was free a moment ago, and that this process was not given before: until a program listens there, the
/// kernel may choose it again.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..GIVEN_TRIES {
        let listener = TcpListener::bind(loopback(0)).context("no free port")?;
        let port = listener.local_addr().context("no free port")?.port();
        if given.insert(port) {
            return Ok(port);
        }
    }
    bail!("no port is free that was not given before")
}

/// A minimal HTTP request: status and body.
///
/// # Errors
/// No answer within two seconds, or none of HTTP.
pub fn http_get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&loopback(port), MONITOR_LIMIT)?;
    stream.set_read_timeout(Some(MONITOR_LIMIT))?;
    stream.set_write_timeout(Some(MONITOR_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let no_http = || std::io::Error::new(std::io::ErrorKind::InvalidData, "no HTTP answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(no_http)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(no_http)?, body.to_owned()))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the server's folder {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_changed_where_it_stands() {
        let config = "http: 1\nblock {\n    store_dir: \"a\"\n}\n";
        let changed = with_setting(config, "store_dir", "\"b\"");
        assert_eq!(changed, "http: 1\nblock {\n    store_dir: \"b\"\n}\n");
    }

    #[test]
    #[should_panic(expected = "sets http once")]
    fn a_setting_that_the_sample_lost_is_noticed() {
        with_setting("http_port: 1\n", "http", "2");
    }
}
