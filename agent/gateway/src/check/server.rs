//! Checks the server: reachable, version, JetStream, login, health and sync interval.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::finding::of;
use super::limits::{self, Bounds, Reserved};
use super::streams::Store;
use super::{Budget, Finding, Status, authority};
use crate::config::{Address, Config, Nats, show_duration};
use crate::logs;
use crate::nats::probe;
use crate::nats::{Connection, Phase, SERVER_MIN, User, monitor};
use crate::quantity::second;

/// Time-out for each of greeting and login.
const PATIENCE: Duration = Duration::from_secs(3);
/// Why a check of the server was not made.
pub(super) const NO_SERVER: &str = "not checked: no server";
/// A greeting has about 500 bytes.
const GREETING_MAX: u64 = 64 * 1024;

/// The server's INFO message, sent before the login.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Greeting {
    version: String,
    #[serde(default)]
    jetstream: bool,
    max_payload: Option<u64>,
}

/// What was read from the server, once for all checks.
pub(super) struct Server {
    /// None if the TLS handshake comes first, and it failed.
    greeting: Result<Option<Greeting>, String>,
    /// Logged in; else why not.
    pub(super) connection: Result<Connection, Box<Finding>>,
    pub(super) varz: Result<Varz, Unread>,
    health: Finding,
}

/// Why the monitor's answer is unknown, and what to do.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    message: String,
    advice: &'static str,
}

impl Unread {
    pub(super) fn finding(&self, id: &'static str) -> Finding {
        Finding::new(id, Status::Unknown, &self.message).advise(self.advice)
    }
}

/// Connects to the server, logs in, and reads its monitor.
pub(super) async fn reach(config: &Config, budget: &Budget) -> Server {
    let nats = &config.nats;
    let (greeting, varz, health) = tokio::join!(greeting(nats), varz(nats), health(nats));
    let greeting = greeting.map_err(|error| format!("{}: {error}", nats.url));
    let connection = match &greeting {
        Ok(_) => timeout(budget.left(), login(nats)).await.unwrap_or_else(|_| Err(Box::new(late(nats)))),
        // The files of the login are read without a server.
        Err(_) => Err(Box::new(match Connection::open(nats, User::Inspector).await {
            Ok(_) => of("nats.login")(Status::Unknown, NO_SERVER.to_owned()),
            Err(error) => of("nats.login")(Status::Error, logs::chain(&error)),
        })),
    };
    let greeting = greeting.map(|greeting| greeting.or_else(|| connection.as_ref().ok().map(of_connection)));
    Server { greeting, connection, varz, health }
}

impl Server {
    /// What the greeting, the login and the monitor show.
    pub(super) async fn check(&self, config: &Config) -> Vec<Finding> {
        let nats = &config.nats;
        let mut findings = vec![match &self.greeting {
            Ok(_) => of("nats.reachable")(Status::Ok, format!("{} answers", nats.url)),
            Err(error) => of("nats.reachable")(Status::Error, error.clone())
                .advise("start it, or set url in [nats] to another server")
                .fix(&["systemctl", "start", "thermowell-nats"]),
        }];
        let (shown, payload) = match &self.greeting {
            Ok(Some(greeting)) => {
                (vec![version(&greeting.version), jetstream(greeting.jetstream)], greeting.max_payload)
            }
            Ok(None) => (unseen("the server reports it only after the login"), None),
            Err(_) => (unseen(NO_SERVER), None),
        };
        findings.extend(shown);
        findings.push(match &self.connection {
            Ok(_) => of("nats.login")(Status::Ok, "the server accepts the login".to_owned()),
            Err(login) => Finding::clone(login),
        });
        findings.push(match &self.greeting {
            Ok(_) => limits::max_payload(config, payload),
            Err(_) => of("nats.max-payload")(Status::Unknown, NO_SERVER.to_owned()),
        });
        let bounds = self.varz.as_ref().map(|varz| (&varz.config.bounds, &varz.stats));
        findings.push(limits::storage(config, self.connection.as_ref().ok(), bounds).await);
        findings.push(match &self.varz {
            Ok(varz) => judge_sync(&varz.config, nats.sync_interval),
            Err(unread) => unread.finding("nats.sync-interval"),
        });
        findings.push(authority::current(config));
        findings.push(self.health.clone());
        findings
    }

    /// Its store, as far as it is on this machine.
    pub(super) fn store(&self, nats: &Nats) -> Store {
        let is_local = ["localhost", "127.0.0.1", "::1"].contains(&nats.address().host.as_str());
        let Some(varz) = self.varz.as_ref().ok().filter(|_| is_local) else { return Store::default() };
        Store { folder: varz.config.store_dir.clone(), to_come: limits::to_come(&varz.config.bounds, &varz.stats) }
    }

    /// There is one, whether or not it accepts the login.
    pub(super) fn answers(&self) -> bool {
        self.greeting.is_ok()
    }

    /// Why there is no answer to a request, for the checks that need one.
    pub(super) fn unread(&self) -> Option<String> {
        match (&self.greeting, &self.connection) {
            (_, Ok(_)) => None,
            (Err(_), Err(_)) => Some(NO_SERVER.to_owned()),
            (Ok(_), Err(_)) => Some("not checked: no login".to_owned()),
        }
    }
}

fn unseen(message: &str) -> Vec<Finding> {
    ["nats.version", "nats.jetstream"].map(|id| Finding::new(id, Status::Unknown, message)).into()
}

/// The server's greeting; none if the TLS handshake comes first.
async fn greeting(nats: &Nats) -> io::Result<Option<Greeting>> {
    let Address { host, port } = nats.address();
    let exchange = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        if nats.tls.as_ref().is_some_and(|tls| tls.first) {
            return Ok(None);
        }
        let mut line = String::new();
        BufReader::new(stream.take(GREETING_MAX)).read_line(&mut line).await?;
        let greeting = line.strip_prefix("INFO ").and_then(|json| serde_json::from_str(json).ok());
        greeting.map(Some).ok_or_else(|| io::Error::other("the answer is not from a NATS server"))
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn of_connection(connection: &Connection) -> Greeting {
    let server = connection.client().server_info();
    let max_payload = u64::try_from(server.max_payload).ok();
    Greeting { version: server.version, jetstream: server.jetstream, max_payload }
}

/// The server greets, and does not answer the login: nothing behind it can be checked.
fn late(nats: &Nats) -> Finding {
    let advice = match nats.tls {
        Some(_) => "it hangs, or its nats.conf has no `tls`: then write nats:// in url and remove [nats.tls]",
        None => "it hangs or is overloaded: its log, and the load of the machine",
    };
    of("nats.login")(Status::Error, "the server greets, but does not answer the login".to_owned())
        .advise(advice)
        .fix(&["journalctl", "-u", "thermowell-nats", "-n", "20"])
}

async fn login(nats: &Nats) -> Result<Connection, Box<Finding>> {
    let refused = |message: String| Box::new(Finding::new("nats.login", Status::Error, message));
    // The error of an unusable file includes advice.
    let connection = Connection::open(nats, User::Inspector).await.map_err(|error| refused(logs::chain(&error)))?;
    let mut phase = connection.phase();
    let up = timeout(PATIENCE, phase.wait_for(|phase| matches!(phase, Phase::Up(_)))).await.is_ok_and(|up| up.is_ok());
    if up {
        return Ok(connection);
    }
    let has_secret = nats.credentials.is_some() || nats.nkey_file.is_some() || nats.user.is_some();
    let user = nats.keys.is_some().then_some(&User::Inspector);
    let message = match user {
        None if has_secret => format!("no login within {}", show_duration(PATIENCE)),
        user => match (probe::may_publish(nats, user, authority::SUBJECT).await, user) {
            (Ok(probe::Answer::Rejected), Some(_)) => "the server rejects the inspector's key".to_owned(),
            (Ok(probe::Answer::Rejected), None) => "the server requires a key or a password".to_owned(),
            (Ok(probe::Answer::Forbidden | probe::Answer::Allowed | probe::Answer::Unknown) | Err(_), _) => {
                format!("no login within {}", show_duration(PATIENCE))
            }
        },
    };
    let advice = "check keys, credentials, nkey_file, user and [nats.tls], and the server's log";
    Err(Box::new(refused(message).advise(advice)))
}

fn version(found: &str) -> Finding {
    let (major, minor, patch) = SERVER_MIN;
    match parse_version(found) {
        Some(version) if version >= SERVER_MIN => Finding::new("nats.version", Status::Ok, found),
        Some(_) => Finding::new("nats.version", Status::Error, format!("{found} is too old"))
            .advise(format!("install nats-server {major}.{minor}.{patch} or later")),
        None => Finding::new("nats.version", Status::Unknown, format!("{found} is not a version")),
    }
}

/// The three numbers of a version. A suffix after a hyphen (`2.15.1-rc.2`) is ignored.
fn parse_version(text: &str) -> Option<(i64, i64, i64)> {
    let release = text.split(['-', '+']).next()?;
    let mut numbers = release.split('.').map(|number| number.parse::<i64>().ok());
    let version = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(version)
}

fn jetstream(enabled: bool) -> Finding {
    if enabled {
        return Finding::new("nats.jetstream", Status::Ok, "on");
    }
    Finding::new("nats.jetstream", Status::Error, "the server runs without JetStream")
        .advise("add a `jetstream` block to its configuration, as in nats.conf")
}

/// The response of the monitor's `/varz`.
#[derive(Debug, Deserialize)]
struct Answer {
    jetstream: Option<Varz>,
    /// RFC 3339.
    tls_cert_not_after: Option<String>,
}

/// What the monitor reports about JetStream.
#[derive(Debug, Deserialize)]
pub(super) struct Varz {
    config: VarzConfig,
    #[serde(default)]
    stats: Reserved,
    /// When the server's certificate ends, Unix seconds.
    #[serde(skip)]
    pub(super) certificate_end: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct VarzConfig {
    store_dir: Option<PathBuf>,
    #[serde(flatten)]
    bounds: Bounds,
    /// Nanoseconds.
    sync_interval: Option<u64>,
    /// Absent when off.
    #[serde(default)]
    sync_always: bool,
}

async fn varz(nats: &Nats) -> Result<Varz, Unread> {
    let Some(address) = &nats.monitor else { return Err(no_monitor()) };
    let unread = |message| Unread { message, advice: "compare `http` in nats.conf with monitor in [nats]" };
    let body = monitor::get(address, "/varz").await;
    let body = body.map_err(|error| unread(format!("the monitor at {address}: {}", logs::chain(&error))))?;
    let varz = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| {
        let certificate_end = answer.tls_cert_not_after.as_deref().and_then(second);
        answer.jetstream.map(|varz| Varz { certificate_end, ..varz })
    });
    varz.ok_or_else(|| unread(format!("the monitor at {address} does not report it")))
}

fn no_monitor() -> Unread {
    let advice = "set monitor in [nats] to the server's monitor, such as \"http://127.0.0.1:8222\"";
    Unread { message: "this needs the server's monitor".to_owned(), advice }
}

/// The server's health probe: the only check that detects a full disk.
async fn health(nats: &Nats) -> Finding {
    let found = of("nats.health");
    let Some(address) = &nats.monitor else { return no_monitor().finding("nats.health") };
    match monitor::health_error(address).await {
        Ok(None) => found(Status::Ok, "the server reports healthy".to_owned()),
        Ok(Some(error)) => found(Status::Error, error).advise(monitor::ADVICE),
        Err(error) => found(Status::Unknown, error),
    }
}

/// A server that syncs less often than configured here can lose more than the boilers' rings still hold.
fn judge_sync(server: &VarzConfig, assumed: Duration) -> Finding {
    let found = |status, message: String| Finding::new("nats.sync-interval", status, message);
    let configured = show_duration(assumed);
    if server.sync_always {
        return found(Status::Warning, "the server syncs each message: four times the wear without benefit".to_owned())
            .advise(format!("set sync_interval: \"{}\" in nats.conf", configured.replace(' ', "")));
    }
    let Some(interval) = server.sync_interval.map(Duration::from_nanos) else {
        return found(Status::Unknown, "the monitor does not report it".to_owned());
    };
    let actual = show_duration(interval);
    if interval == assumed {
        return found(Status::Ok, format!("the server syncs every {actual}"));
    }
    let message = format!("the server syncs every {actual}, but sync_interval in [nats] is {configured}");
    let advice = format!("set sync_interval: \"{}\" in nats.conf, on a line of its own", configured.replace(' ', ""));
    let status = if interval > assumed { Status::Error } else { Status::Warning };
    found(status, message).advise(advice)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn sync(json: &str) -> Status {
        judge_sync(&serde_json::from_str(json).unwrap(), Duration::from_secs(10)).status
    }

    #[test]
    fn sync_interval_is_compared_with_the_configuration() {
        assert_eq!(sync(r#"{"sync_interval":10000000000}"#), Status::Ok);
        assert_eq!(sync(r#"{"sync_interval":120000000000}"#), Status::Error);
        assert_eq!(sync(r#"{"sync_interval":1000000000}"#), Status::Warning);
        assert_eq!(sync(r#"{"sync_interval":10000000000,"sync_always":true}"#), Status::Warning);
        assert_eq!(sync("{}"), Status::Unknown);
    }

    #[test]
    fn versions_compare_numerically() {
        for (found, status) in [
            ("2.15.1", Status::Ok),
            ("2.15.1-rc.2", Status::Ok),
            ("3.0.0", Status::Ok),
            ("2.100.0", Status::Ok),
            ("2.15.0", Status::Error),
            ("2.9.24", Status::Error),
            ("2.15", Status::Unknown),
            ("devel", Status::Unknown),
        ] {
            assert_eq!(version(found).status, status, "{found}");
        }
    }

    async fn greeted_by(line: &'static str) -> io::Result<Option<Greeting>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!("nats.url = \"nats://127.0.0.1:{port}\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"");
        let nats = Config::parse(&text, "t.toml").unwrap().nats;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(line.as_bytes()).await.unwrap();
        };
        tokio::join!(greeting(&nats), server).0
    }

    #[tokio::test]
    async fn greeting_has_the_version() {
        let greeting = greeted_by("INFO {\"version\":\"2.15.1\",\"jetstream\":true,\"max_payload\":1024}\r\n").await;
        let expected = Greeting { version: "2.15.1".to_owned(), jetstream: true, max_payload: Some(1_024) };
        assert_eq!(greeting.unwrap(), Some(expected));
    }

    /// A server that hangs after its greeting, as one without TLS does that gets a TLS handshake.
    #[tokio::test]
    async fn server_without_an_answer_to_the_login_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let mut streams = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(b"INFO {\"version\":\"2.15.1\",\"max_payload\":1024}\r\n").await.unwrap();
                streams.push(stream);
            }
        });
        for (scheme, words) in [("nats", "it hangs or is overloaded"), ("tls", "its nats.conf has no `tls`")] {
            let text =
                format!("nats.url = \"{scheme}://127.0.0.1:{port}\"\nboiler = [{{ id = \"b1\", port = \"/dev/x\" }}]");
            let config = Config::parse(&text, "t.toml").unwrap();
            let began_ns = crate::clock::boottime_ns() - 4_500_000_000;
            let server = reach(&config, &Budget { began_ns }).await;
            let login = server.connection.err().unwrap();
            assert_eq!((login.id, login.status), ("nats.login", Status::Error));
            assert!(login.advice.unwrap().contains(words), "{scheme}");
        }
        served.abort();
    }

    #[tokio::test]
    async fn other_program_is_not_a_server() {
        for line in ["HTTP/1.0 400 Bad Request\r\n", "INFO nonsense\r\n", "INFO {}", ""] {
            let error = greeted_by(line).await.unwrap_err();
            assert_eq!(error.to_string(), "the answer is not from a NATS server", "{line:?}");
        }
    }
}
