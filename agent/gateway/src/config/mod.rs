//! The configuration: raw files (`document`) and checked values ([`Config`]). A `Config` is proof that all values are
//! valid and consistent; code that has one does not check again.
//!
//! ```text
//! thermowell.toml ─┐
//! conf.d/10-x.toml ├▶ document ▶ merge ▶ tables (types, units, ranges) ▶ relations ▶ Config
//! conf.d/20-y.toml ┘
//! ```
//!
//! Every problem has file, line, column, key, value and allowed values, and all problems are reported at once;
//! relations are checked once each value is valid. `config/thermowell.toml` is the documented sample: a test compares
//! it with the keys and the defaults here.

mod ambient;
mod document;
mod error;
mod law;
mod mqtt;
mod relations;
mod sample;
mod section;
mod show;
mod syntax;
mod tables;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use thermowell_flow::control::Emitter;
use thermowell_wire::subject::{self, Ambient};
use thermowell_wire::{BoilerId, CentiCelsius, OperatorName, SourceName};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub use ambient::{AmbientSource, AmbientTopic};
pub use error::{ConfigError, Kind, Place, Problem};

use crate::calendar::{Absence, Days};
use crate::nats::User;
pub use crate::quantity::{show_bytes, show_duration};
use crate::regular;
pub use sample::{SAMPLE, schema};
pub use show::show;
pub use tables::SERIAL_NUMBER_MAX;

use section::{Findings, Section};

/// The default path of the configuration.
pub const DEFAULT_PATH: &str = "/etc/thermowell/thermowell.toml";

/// Readings of a device per second: its period is 10 ms.
pub const SAMPLES_PER_SECOND: u32 = 100;
/// Bytes of a framed single reading on the serial line.
pub const SAMPLE_LINE_BYTES: u32 = 20;
/// The least that a device's ring holds.
pub const RING: Duration = Duration::from_secs(120);

/// The checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of this gateway, by which its roles recognise their own messages.
    pub gateway: String,
    pub nats: Nats,
    pub clock: Clock,
    /// In the order of the files: at least one, ids and ports unique.
    pub boilers: Vec<Boiler>,
    pub batch: Batch,
    pub spool: Spool,
    pub streams: Streams,
    pub feed: Feed,
    pub control: Control,
    /// In the order of the files, unique.
    pub operators: Vec<OperatorName>,
    pub command: Command,
    pub reset: Reset,
    pub http: Http,
    pub disk: Disk,
    /// None without a broker.
    pub mqtt: Option<Mqtt>,
    pub log: Log,
}

/// `[nats]`: the server and the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// `nats://host:port` or `tls://host:port`, without user or password.
    pub url: String,
    /// The folder of `thermowell keys`, with a key for each role.
    pub keys: Option<PathBuf>,
    /// A `.creds` file.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an NKey for all roles.
    pub nkey_file: Option<PathBuf>,
    /// A user name; set together with `password_file`.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// Set with `[nats.tls]` or a `tls://` address.
    pub tls: Option<Tls>,
    /// How often the server syncs its files, as configured there (`jetstream { sync_interval }`).
    pub sync_interval: Duration,
    /// The server's HTTP monitor, for `thermowell check`.
    pub monitor: Option<Address>,
}

/// `[nats.tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// CA certificates for the server's certificate; by default the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate; set together with `key`.
    pub cert: Option<PathBuf>,
    /// The private key of the client certificate.
    pub key: Option<PathBuf>,
    /// The TLS handshake comes before the server's greeting (`handshake_first`).
    pub first: bool,
}

impl Nats {
    /// The server's host and port.
    #[must_use]
    pub fn address(&self) -> Address {
        tables::server_address(&self.url).expect("the url was checked when it was read")
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// `[clock]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How many times faster than real time the axis runs: 1, except on the rig.
    pub speed: u32,
    /// The simulated calendar: set if and only if `speed` is not 1.
    pub epoch: Option<Epoch>,
    /// The machine's calendar counts as synchronised even if the kernel reports otherwise.
    pub assume_synced: bool,
    /// A file with an offset of UTC in nanoseconds, to inject a fault on the rig. Not for gateways.
    pub step_file: Option<PathBuf>,
}

/// The moment from which simulated UTC is counted: utc = `utc_ns` + (CLOCK_BOOTTIME − `monotonic_ns`) × speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// CLOCK_BOOTTIME in real nanoseconds.
    pub monotonic_ns: u64,
    /// UTC in nanoseconds since 1970: a full hour.
    pub utc_ns: i64,
}

/// `[[boiler]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boiler {
    pub id: BoilerId,
    /// The path of its serial port.
    pub port: PathBuf,
    /// The port's rate in bits per second, enough for the samples.
    pub baud: u32,
    /// The serial number of the only board that is accepted; by default the first one seen.
    pub serial_number: Option<String>,
    pub dtr: Dtr,
    /// Where the room temperature comes from, if not from the device.
    pub room: Option<AmbientSource>,
    /// Where the outdoor temperature comes from, if not from the device.
    pub outdoor: Option<AmbientSource>,
}

/// The level of a port's DTR line after opening it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtr {
    /// Not changed: the system raises it when the port is first opened, and it stays raised.
    #[default]
    Keep,
    On,
    Off,
}

/// `[batch]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Samples in a full batch, 1 to 1,000.
    pub samples: u16,
}

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// The most memory for one boiler's batches, in bytes.
    pub memory: u64,
    /// How long an outage lasts before memory is spilled to a file.
    pub spill_after: Duration,
    /// The folder of the spill files.
    pub directory: PathBuf,
}

/// `[streams]`: `max_bytes` of the streams in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    pub samples: u64,
    /// Used only if the feed is on.
    pub feed: u64,
    pub snapshot: u64,
    pub event: u64,
    pub command: u64,
}

/// `[feed]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// The aggregator publishes one JSON event per sample.
    pub enabled: bool,
}

/// `[control]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// The controller publishes set-points. Off: telemetry only, the agent never sends one.
    pub enabled: bool,
    pub law: Law,
}

/// The parameters of the control law.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// What heats the rooms; control needs it. It gives the defaults of the other keys.
    pub emitter: Option<Emitter>,
    /// The heating curve's two points, the colder outdoor temperature first.
    pub curve: [CurvePoint; 2],
    /// The target room temperature from each time of some days on, until the next one.
    pub target: Vec<Target>,
    /// The time zone of targets, holidays and absences.
    pub timezone: TimeZone,
    /// Days with the targets of `holiday`, or of Sunday where there are none.
    pub holidays: Vec<Date>,
    /// When the rooms are set back.
    pub absence: Vec<Absence>,
    /// Flow kelvins for each kelvin that the room is too cold: 0 to 30.
    pub kp: f64,
    /// Flow kelvins for each kelvin that the room is too cold, in each hour: 0 to 2.
    pub ki: f64,
    /// The share of the last hour's shortfall that is added to the set-point: 0 to 1.
    pub k: f64,
    /// No heat is requested at or above this outdoor temperature of the day.
    pub heating_limit: CentiCelsius,
    /// The lowest flow set-point.
    pub flow_min: CentiCelsius,
    /// The highest flow set-point.
    pub flow_max: CentiCelsius,
    /// The expiry of a set-point: at most 120 s, more than twice `renew`.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

/// A point of the heating curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurvePoint {
    pub outdoor: CentiCelsius,
    pub flow: CentiCelsius,
}

/// A target of the room temperature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The days on which it applies.
    pub on: Days,
    /// The minute of the day from which it applies.
    pub from_minute: u16,
    /// The target room temperature.
    pub room: CentiCelsius,
}

/// `[command]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The least coverage of the last hour, 0 to 1, at which commands are accepted.
    pub coverage: f64,
}

/// `[reset]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// How many different operators must approve: 1 to 4, at most the number of operators.
    pub approvals: u8,
}

/// `[http]`: where each process serves its metrics and pages; none where it is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Also the one listener of all roles in one process.
    pub front: Option<SocketAddr>,
    pub agent: Option<SocketAddr>,
    pub aggregator: Option<SocketAddr>,
    pub controller: Option<SocketAddr>,
    /// Names, besides `localhost` and plain addresses, that the `Host` header of a request may have.
    pub hosts: Vec<String>,
}

/// `[disk]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What may be written to the flash in its life, in bytes; none if unknown.
    pub endurance: Option<u64>,
}

/// `[mqtt]`: the broker of Home Assistant.
#[derive(Clone, Debug, PartialEq)]
pub struct Mqtt {
    pub broker: Address,
    /// Set with an `mqtts://` address.
    pub tls: Option<MqttTls>,
    /// A user name; set together with `password_file`.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// The first levels of our own topics.
    pub prefix: String,
    /// The first levels of Home Assistant's topics for discovery.
    pub discovery: String,
    /// The least interval between two messages of changed temperatures.
    pub every: Duration,
    /// The least change of a temperature that is published after `every`.
    pub change: CentiCelsius,
    /// In whose name buttons give commands; without one there are no buttons.
    pub operator: Option<OperatorName>,
}

/// Encryption of the connection to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MqttTls {
    /// CA certificates for the broker's certificate; by default the system's.
    pub ca: Option<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Levels by module.
    pub filter: Targets,
}

impl Config {
    /// Reads `path` and, in the order of their names, every `*.toml` in the folder `conf.d` next to it. Hidden files
    /// are skipped: editors and other systems put their own files there (`.#x.toml`, `._x.toml`).
    ///
    /// # Errors
    /// A file cannot be read, or its content is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let texts = Self::texts(path)?;
        Self::checked(texts.iter().map(|(text, file)| (text.as_str(), file.as_str())))
    }

    /// The texts of the files, with their names.
    fn texts(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
        let texts = files(path)?.into_iter().map(|path| match regular::read(&path, regular::MAX) {
            Ok(bytes) => {
                let file = path.display().to_string();
                document::text(bytes, &file).map(|text| (text, file))
            }
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        });
        texts.collect()
    }

    /// Parses one text, which messages call `file`.
    ///
    /// # Errors
    /// The text is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        Self::checked([(text, file)])
    }

    /// The ids of the boilers, in the order of the files.
    #[must_use]
    pub fn boiler_ids(&self) -> Vec<BoilerId> {
        self.boilers.iter().map(|boiler| boiler.id.clone()).collect()
    }

    /// Every user of the NATS server: the roles, the operators, the sources of temperatures.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let operators = self.operators.iter().map(|name| User::Operator(name.as_str().to_owned()));
        let sources: BTreeSet<&SourceName> = self.ambient().map(|(_, _, ambient)| &ambient.source).collect();
        User::ROLES.into_iter().chain(operators).chain(sources.into_iter().map(|name| self.source(name))).collect()
    }

    /// The user of a source, with the subjects for which this configuration names it.
    #[must_use]
    pub fn source(&self, name: &SourceName) -> User {
        let own = self.ambient().filter(|(_, _, ambient)| ambient.source == *name);
        let subjects = own.map(|(boiler, what, _)| subject::ambient(boiler, what, name).to_string());
        User::Source { name: name.as_str().to_owned(), subjects: subjects.collect() }
    }

    /// The temperatures that come from sources outside of the boilers.
    pub fn ambient(&self) -> impl Iterator<Item = (&BoilerId, Ambient, &AmbientSource)> {
        let each = self.boilers.iter().flat_map(|boiler| Ambient::ALL.map(|what| (boiler, what)));
        each.filter_map(|(boiler, what)| Some((&boiler.id, what, boiler.ambient(what)?)))
    }

    fn checked<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        Self::read(texts, &findings).ok_or_else(|| ConfigError::Refused(findings.into_problems()))
    }

    /// The raw values of all texts.
    fn merged<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>, problems: &mut Vec<Problem>) -> document::Table {
        let mut tables = texts.into_iter().map(|(text, file)| document::parse(text, file, problems));
        let mut root = tables.next().expect("a configuration has at least one text");
        let more: Vec<_> = tables.collect();
        for table in more {
            document::merge(&mut root, table, problems);
        }
        root
    }

    /// The configuration, or none with problems in `findings`.
    fn read<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>, findings: &Findings) -> Option<Self> {
        let mut problems = Vec::new();
        let root = Self::merged(texts, &mut problems);
        // A text that is not TOML was parsed in part, so keys may falsely appear missing or unknown.
        if !problems.is_empty() {
            problems.into_iter().for_each(|problem| findings.push(&problem.place, problem.kind, problem.message));
            return None;
        }
        let config = Section::root(&root, findings, tables::config);
        if findings.is_clean() {
            relations::check(config.as_ref()?, findings);
        }
        config.filter(|_| findings.is_clean())
    }
}

/// The error message for an invalid log filter.
pub const FILTER_EXPECTED: &str = "not a filter, such as \"info\", \"warn,thermowell=debug\" or \"off\"; \
                                   levels are off, error, warn, info, debug, trace";

/// Parses a log filter: levels and `module=level`, separated by commas. A single word must be a level: taken as the
/// name of a module, it would silence everything else.
#[must_use]
pub fn filter(text: &str) -> Option<Targets> {
    let is_level = |text: &str| text.parse::<LevelFilter>().is_ok();
    let is_fine = |part: &str| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level));
    if text.split(',').all(is_fine) { text.parse().ok() } else { None }
}

/// The files that [`Config::load`] reads, in their order.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new(".")).join("conf.d");
    let unreadable = |source| ConfigError::Unreadable { path: folder.clone(), source };
    let mut parts = Vec::new();
    match fs::read_dir(&folder) {
        Ok(entries) => {
            for entry in entries {
                parts.push(entry.map_err(unreadable)?.path());
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(error)),
    }
    let is_hidden = |part: &Path| part.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    parts.retain(|part| part.extension().is_some_and(|extension| extension == "toml") && !is_hidden(part));
    parts.sort();
    parts.insert(0, path.to_owned());
    Ok(parts)
}
