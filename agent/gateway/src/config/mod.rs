//! The configuration: what the files say (raw, `document`) and what was checked ([`Config`]). A `Config` is proof:
//! whoever holds one need not ask again.
//!
//! ```text
//! thermowell.toml ─┐
//! conf.d/10-x.toml ├▶ document ▶ merge ▶ tables (types, units, ranges) ▶ relations ▶ Config
//! conf.d/20-y.toml ┘
//! ```
//!
//! Every problem names file, line, column, key, value and what is allowed, and one look shows all of them; relations
//! are looked at once each value is fine. `config/thermowell.toml` is the documented sample: a test compares it with
//! the keys and the defaults here.

mod document;
mod error;
mod quantity;
mod relations;
mod section;
mod syntax;
mod tables;

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thermowell_wire::{BoilerId, CentiCelsius, OperatorName};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub use error::{ConfigError, Kind, Place, Problem};
pub use quantity::{show_bytes, show_duration};

use section::{Findings, Section};

/// Where the configuration is when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/thermowell/thermowell.toml";

/// Readings that a device takes in a second: its period is 10 ms.
pub const SAMPLES_PER_SECOND: u32 = 100;
/// Bytes that one reading takes on the serial line, framed and alone.
pub const SAMPLE_LINE_BYTES: u32 = 20;
/// What the device remembers whatever happens.
pub const RING: Duration = Duration::from_secs(120);

/// Everything that was configured and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of this gateway, by which its roles know their own messages again.
    pub gateway: String,
    /// The server.
    pub nats: Nats,
    /// The clock.
    pub clock: Clock,
    /// The boilers, in the order of the files: at least one, ids and ports unique.
    pub boilers: Vec<Boiler>,
    /// How samples are cut into batches.
    pub batch: Batch,
    /// What is held while the server is away.
    pub spool: Spool,
    /// How large the streams may grow.
    pub streams: Streams,
    /// One JSON event per sample.
    pub feed: Feed,
    /// The control loop.
    pub control: Control,
    /// Who may command and approve, in the order of the files: each once.
    pub operators: Vec<OperatorName>,
    /// When commands are accepted.
    pub command: Command,
    /// When a lockout is reset.
    pub reset: Reset,
    /// The log.
    pub log: Log,
}

/// `[nats]`: the server and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// `nats://host:port` or `tls://host:port`, without user or password.
    pub url: String,
    /// The folder with a key for each role, as `thermowell keys` makes it: each reads its own.
    pub keys: Option<PathBuf>,
    /// A `.creds` file.
    pub credentials: Option<PathBuf>,
    /// A file with the seed of an NKey, for every role.
    pub nkey_file: Option<PathBuf>,
    /// A user name; comes with `password_file`.
    pub user: Option<String>,
    /// A file with the user's password.
    pub password_file: Option<PathBuf>,
    /// Encryption; present where `[nats.tls]` or a `tls://` address asks for it.
    pub tls: Option<Tls>,
    /// How often the server syncs its files, as configured there (`jetstream { sync_interval }`).
    pub sync_interval: Duration,
    /// The server's HTTP monitor, for `thermowell check`.
    pub monitor: Option<Address>,
}

/// `[nats.tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates that the server's is checked against; the system's where none.
    pub ca: Option<PathBuf>,
    /// Our own certificate; comes with `key`.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The handshake comes before the server's greeting (`handshake_first`).
    pub first: bool,
}

impl Nats {
    /// Where the server listens.
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
    /// Port.
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
    /// How many times faster than real the world runs: 1, except on the rig.
    pub speed: u32,
    /// The simulated calendar: present exactly when `speed` is not 1.
    pub epoch: Option<Epoch>,
    /// The machine's calendar counts as synchronised even where the kernel does not say so.
    pub assume_synced: bool,
    /// What the rig adds to UTC, in nanoseconds: a fault. Never present on a gateway.
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
    /// Its name.
    pub id: BoilerId,
    /// Its serial port.
    pub port: PathBuf,
    /// The port's rate, in bits per second: samples fit.
    pub baud: u32,
    /// The only device that may speak for it; the first one seen where none.
    pub serial_number: Option<String>,
    /// What the port's DTR line is set to.
    pub dtr: Dtr,
}

/// What a port's DTR line is set to when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtr {
    /// Not set: the system raises it when the port is opened first, and it stays.
    #[default]
    Keep,
    /// Raised.
    On,
    /// Lowered.
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
    /// The most memory that one boiler's batches may take, in bytes.
    pub memory: u64,
    /// How long the server is away before memory is spilled to a file.
    pub spill_after: Duration,
    /// The folder of that file.
    pub directory: PathBuf,
}

/// `[streams]`: `max_bytes` of the streams that live in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// SAMPLES.
    pub samples: u64,
    /// FEED, where the feed is on.
    pub feed: u64,
    /// SNAPSHOT.
    pub snapshot: u64,
    /// EVENT.
    pub event: u64,
    /// COMMAND.
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
    /// The controller asks boilers for set-points. Off: telemetry only, the agent never sends one.
    pub enabled: bool,
    /// By which law.
    pub law: Law,
}

/// The control law's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Law {
    /// The heating curve's two points, the colder outdoor temperature first.
    pub curve: [CurvePoint; 2],
    /// The room temperature that is wanted from each time of day on, by time; before the first, the last holds.
    pub target: Vec<Target>,
    /// The schedule's offset from UTC, in minutes, east positive.
    pub utc_offset_minutes: i16,
    /// Flow kelvins for each kelvin that the room is too cold: 0 to 12.
    pub kp: f64,
    /// The share of the hour's shortfall that is asked for on top: 0 to 1.
    pub k: f64,
    /// The lowest flow temperature that is asked for.
    pub flow_min: CentiCelsius,
    /// The highest flow temperature that is asked for.
    pub flow_max: CentiCelsius,
    /// How long a set-point holds: at most 120 s, more than twice `renew`.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

/// A point of the heating curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurvePoint {
    /// At this outdoor temperature …
    pub outdoor: CentiCelsius,
    /// … the flow has this one.
    pub flow: CentiCelsius,
}

/// A step of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// From this minute of the day on …
    pub from_minute: u16,
    /// … the room is wanted this warm.
    pub room: CentiCelsius,
}

/// `[command]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The coverage of the last hour, 0 to 1, below which its average says too little to accept a command.
    pub coverage: f64,
}

/// `[reset]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// How many different operators must approve: 1 to 4, at most as many as there are.
    pub approvals: u8,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// What is logged, by module and level.
    pub filter: Targets,
}

impl Config {
    /// Reads `path` and, by name, every `*.toml` in the folder `conf.d` beside it. Names that begin with a dot are left
    /// out: editors and other systems put their own files there (`.#x.toml`, `._x.toml`).
    ///
    /// # Errors
    /// A file cannot be read, or something is wrong with what it says.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let texts = files(path)?.into_iter().map(|path| match fs::read(&path) {
            Ok(bytes) => document::text(bytes, &path.display().to_string()).map(|text| (text, path)),
            Err(source) => Err(ConfigError::Unreadable { path, source }),
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let texts: Vec<_> = texts.into_iter().map(|(text, path)| (text, path.display().to_string())).collect();
        Self::checked(texts.iter().map(|(text, file)| (text.as_str(), file.as_str())))
    }

    /// Reads one text, which messages call `file`.
    ///
    /// # Errors
    /// Something is wrong with what it says.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        Self::checked([(text, file)])
    }

    /// Every configured boiler.
    #[must_use]
    pub fn boiler_ids(&self) -> Vec<BoilerId> {
        self.boilers.iter().map(|boiler| boiler.id.clone()).collect()
    }

    fn checked<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        Self::read(texts, &findings).ok_or_else(|| ConfigError::Refused(findings.into_problems()))
    }

    /// The configuration, or problems among the findings.
    fn read<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>, findings: &Findings) -> Option<Self> {
        let mut problems = Vec::new();
        let mut tables = texts.into_iter().map(|(text, file)| document::parse(text, file, &mut problems));
        let mut root = tables.next().expect("a configuration has at least one text");
        let more: Vec<_> = tables.collect();
        for table in more {
            document::merge(&mut root, table, &mut problems);
        }
        // A text that is no TOML was read in part: what seems missing or unknown then may be noise.
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

/// What a filter of the log may be.
pub const FILTER_EXPECTED: &str = "not a filter, such as \"info\", \"warn,thermowell=debug\" or \"off\"; \
                                   levels are off, error, warn, info, debug, trace";

/// A filter of the log: levels and `module=level`, separated by commas. A word alone must be a level: as the name of a
/// module, which it could be too, it would silence everything else.
#[must_use]
pub fn filter(text: &str) -> Option<Targets> {
    let is_level = |text: &str| text.parse::<LevelFilter>().is_ok();
    let is_fine = |part: &str| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level));
    if text.split(',').all(is_fine) { text.parse().ok() } else { None }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
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
