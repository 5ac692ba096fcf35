//! The streams: created or verified at each connect, from one table.
//!
//! Thermowell's streams have a mark in their metadata. A stream of the same name without it is foreign and never
//! touched: that is an error which names the stream. Subjects are only added.
//!
//! Any role creates missing streams; existing ones are updated only by the role that owns them (`nats::rights`), so
//! that two roles never update the same stream from stale reads.

mod look;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::future::join_all;
use thermowell_flow::published::age_max;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, Ambient, stream, wildcard};

use crate::config;
use crate::nats::{User, rights};

pub use look::{Found, Look, Ours, look};

/// The key in a stream's metadata that marks it as Thermowell's.
const MARK: &str = "thermowell";
/// Its value, to be raised when a stream's meaning changes.
const MARK_VERSION: &str = "1";
/// Readings of each source in AMBIENT.
pub(crate) const AMBIENT_KEPT: usize = 5;
/// The longest reading; 120 bytes are usual.
const AMBIENT_BYTES_MAX: i32 = 1_024;
/// Clicks of one operator on the same thing within this time are one click.
pub(crate) const CLICKS: Duration = Duration::from_secs(5);

/// Why a stream is not usable.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A foreign stream has this name.
    #[error(
        "stream {name} exists and is not Thermowell's (no `{MARK}` in its metadata); \
         rename it, or give Thermowell a NATS account of its own"
    )]
    Foreign { name: String },
    /// A setting of our stream was changed that no update can restore.
    #[error("stream {name} has {what} {found}, expected {expected}; it was changed by hand")]
    Changed { name: String, what: &'static str, found: String, expected: String },
    /// A foreign stream has one of our subjects.
    #[error("a subject of stream {name} ({subjects}) is taken by another stream")]
    Overlap { name: String, subjects: String },
    /// The server's configured storage limit is too low. Worth a retry, since the limit can be raised.
    #[error(
        "stream {name} does not fit into the server's storage; it reserves {size}: raise {limit}, or the limit of the \
         account, in the server's configuration{or}; `thermowell check` shows the sum"
    )]
    NoRoom {
        name: String,
        /// The size that it reserves.
        size: String,
        /// The server's setting.
        limit: &'static str,
        /// An alternative remedy.
        or: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server did not answer, or refused. Worth a retry.
    #[error("{operation} stream {name}")]
    Request {
        operation: &'static str,
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StreamError {
    /// Whether retrying does not help.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::Changed { .. } | Self::Overlap { .. } => true,
            Self::NoRoom { .. } | Self::Request { .. } => false,
        }
    }
}

/// The streams without which `user` cannot work: all but AMBIENT, which only its owner needs. The temperature of a
/// source may not hold up the samples.
#[must_use]
pub fn needed(config: &config::Config, user: &User) -> Vec<Config> {
    let is_needed = |stream: &Config| stream.name != stream::AMBIENT || rights::changes(user, stream::AMBIENT);
    table(config).into_iter().filter(is_needed).collect()
}

/// Every stream that this configuration needs.
#[must_use]
pub fn table(config: &config::Config) -> Vec<Config> {
    let sizes = &config.streams;
    let boilers: Vec<&BoilerId> = config.boilers.iter().map(|boiler| &boiler.id).collect();
    let own = |subject: fn(&BoilerId) -> subject::Subject| boilers.iter().map(|b| subject(b).to_string()).collect();
    let hours = |n: u64| Duration::from_secs(n * 3_600);
    let days = |n: u64| hours(24 * n);
    let mut table = vec![
        Config { max_age: hours(72), ..file(stream::SAMPLES, own(subject::samples), sizes.samples) },
        Config { max_messages_per_subject: 1, ..memory(stream::STATUS, wildcard::STATUS) },
        Config { max_messages_per_subject: 1, ..memory(stream::STATE, wildcard::STATE) },
        file(stream::SNAPSHOT, vec![wildcard::SNAPSHOT.to_owned()], sizes.snapshot),
        Config {
            max_messages_per_subject: 1,
            max_age: Duration::from_secs(60),
            ..memory(stream::LEASE, wildcard::LEASE)
        },
        command(sizes.command),
        Config { max_age: days(400), ..file(stream::EVENT, vec![wildcard::EVENT.to_owned()], sizes.event) },
    ];
    // It is the controller's.
    if config.control.enabled && config.ambient().next().is_some() {
        table.push(ambient());
    }
    if config.feed.enabled {
        table.push(Config {
            max_age: hours(24),
            allow_atomic_publish: true,
            ..file(stream::FEED, own(subject::feed), sizes.feed)
        });
    }
    table
}

/// AMBIENT: as many readings of each source as a controller needs to begin with, while they may be used. The server
/// refuses what is longer than a reading can be.
fn ambient() -> Config {
    Config {
        subjects: wildcard::AMBIENT.map(str::to_owned).to_vec(),
        max_messages_per_subject: i64::try_from(AMBIENT_KEPT).unwrap_or(i64::MAX),
        max_age: age_max(Ambient::Outdoor),
        max_message_size: AMBIENT_BYTES_MAX,
        ..base(stream::AMBIENT, Vec::new(), 4 << 20, StorageType::Memory)
    }
}

/// Storage that the server reserves for streams, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub disk: u64,
    pub memory: u64,
}

/// Storage limits in bytes; none is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub disk: Option<u64>,
    pub memory: Option<u64>,
}

impl Room {
    /// The sum over the streams of `table`.
    #[must_use]
    pub fn of(table: &[Config]) -> Self {
        let sum = |storage: StorageType| {
            let streams = table.iter().filter(move |stream| stream.storage == storage);
            streams.map(|stream| u64::try_from(stream.max_bytes).unwrap_or(0)).sum()
        };
        Self { disk: sum(StorageType::File), memory: sum(StorageType::Memory) }
    }

    /// The limits of our account and what its streams reserve; none if the server does not answer.
    pub async fn account(context: &Context) -> Option<(Limits, Self)> {
        let account = context.query_account().await.ok()?;
        let limit = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok());
        let limits = Limits { disk: limit(account.limits.max_storage), memory: limit(account.limits.max_memory) };
        Some((limits, Self { disk: account.reserved_storage, memory: account.reserved_memory }))
    }

    /// The sum over the streams of `table` that exist already; none if the server does not answer.
    pub async fn taken(context: &Context, table: &[Config]) -> Option<Self> {
        let mut found = Vec::new();
        for wanted in table {
            match context.get_stream(&wanted.name).await {
                Ok(stream) => found.push(stream.cached_info().config.clone()),
                Err(error) if is_absent(&error) => {}
                Err(_) => return None,
            }
        }
        Some(Self::of(&found))
    }
}

/// COMMAND: each command counts once, so no message may leave the stream early. When full, it refuses new messages;
/// purge and delete are denied; within [`CLICKS`] repeated clicks count once.
fn command(max_bytes: u64) -> Config {
    let subjects = [wildcard::COMMAND, wildcard::APPROVAL, wildcard::RESET].map(str::to_owned).to_vec();
    Config {
        max_age: Duration::from_secs(400 * 24 * 3_600),
        discard: DiscardPolicy::New,
        duplicate_window: CLICKS,
        deny_delete: true,
        deny_purge: true,
        ..file(stream::COMMAND, subjects, max_bytes)
    }
}

/// Creates missing streams, verifies existing ones, and updates those that `user` owns. Returns why usable streams
/// could not be updated.
///
/// # Errors
/// The first unusable stream.
pub async fn ensure(context: &Context, table: &[Config], user: &User) -> Result<Vec<StreamError>, StreamError> {
    let mut outdated = Vec::new();
    // In one round trip: at a start there is rarely anything else to do.
    let found = join_all(table.iter().map(|wanted| context.get_stream(&wanted.name))).await;
    for (wanted, found) in table.iter().zip(found) {
        match found {
            Ok(found) => outdated.extend(update(context, &found.cached_info().config, wanted, user).await?),
            Err(error) if is_absent(&error) => create(context, wanted).await?,
            Err(error) => return Err(request("read", &wanted.name, error)),
        }
    }
    Ok(outdated)
}

/// Verifies the stream `found` and updates it. Returns why it could not be updated, if it is usable as it is.
async fn update(
    context: &Context,
    found: &Config,
    wanted: &Config,
    user: &User,
) -> Result<Option<StreamError>, StreamError> {
    let name = wanted.name.clone();
    let merged = merge(found, wanted)?;
    if merged == *found {
        return Ok(None);
    }
    if !rights::changes(user, &name) {
        // The owner updates the limits; other roles only need their subjects.
        let missing = wanted.subjects.iter().find(|subject| !found.subjects.contains(subject));
        return missing.map_or(Ok(None), |subject| {
            Err(request("use", &name, format!("it does not take {subject} yet; the role that writes it adds that")))
        });
    }
    if let Err(error) = context.update_stream(&merged).await {
        if !is_full(&error) {
            return Err(request("update", &name, error));
        }
        let error = no_room(&merged, error);
        if wanted.subjects.iter().any(|subject| !found.subjects.contains(subject)) {
            return Err(error);
        }
        // The present limits suffice for operation: do not stop the samples for this.
        return Ok(Some(error));
    }
    // Concurrent updates from stale reads overwrite each other: read back the result.
    let now = context.get_stream(&name).await.map_err(|error| request("read", &name, error))?;
    let complete = wanted.subjects.iter().all(|subject| now.cached_info().config.subjects.contains(subject));
    if !complete {
        return Err(request("update", &name, "another gateway changed it at the same time"));
    }
    tracing::info!(stream = name, subjects = now.cached_info().config.subjects.len(), "stream updated");
    Ok(None)
}

async fn create(context: &Context, wanted: &Config) -> Result<(), StreamError> {
    let name = &wanted.name;
    match context.create_stream(wanted.clone()).await {
        Ok(_) => {
            tracing::info!(stream = name, "stream created");
            Ok(())
        }
        Err(error) if is_overlap(&error) => {
            Err(StreamError::Overlap { name: name.clone(), subjects: wanted.subjects.join(", ") })
        }
        Err(error) if is_full(&error) => Err(no_room(wanted, error)),
        // Another role may have created it meanwhile: the retry verifies that stream.
        Err(error) => Err(request("create", name, error)),
    }
}

fn is_overlap(error: &CreateStreamError) -> bool {
    matches!(
        error.kind(),
        CreateStreamErrorKind::JetStream(ref cause) if cause.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP
    )
}

/// Whether the storage limit of the server or of our account is reached (10047, 10028 in memory, 10002).
fn is_full(error: &CreateStreamError) -> bool {
    let full = [
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::MEMORY_RESOURCES_EXCEEDED,
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ];
    matches!(error.kind(), CreateStreamErrorKind::JetStream(ref cause) if full.contains(&cause.error_code()))
}

fn no_room(wanted: &Config, source: CreateStreamError) -> StreamError {
    let name = wanted.name.clone();
    let size = config::show_bytes(u64::try_from(wanted.max_bytes).unwrap_or(0));
    let (limit, or) = match wanted.storage {
        StorageType::File => ("max_file_store", format!(", or lower {} in [streams]", name.to_lowercase())),
        StorageType::Memory => ("max_memory_store", String::new()),
    };
    StreamError::NoRoom { name, size, limit, or, source: Box::new(source) }
}

pub(crate) fn is_absent(error: &GetStreamError) -> bool {
    matches!(
        error.kind(),
        GetStreamErrorKind::JetStream(ref cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}

/// The updated configuration: our limits, the union of the subjects.
fn merge(found: &Config, wanted: &Config) -> Result<Config, StreamError> {
    let name = wanted.name.clone();
    if found.metadata.get(MARK).map(String::as_str) != Some(MARK_VERSION) {
        return Err(StreamError::Foreign { name });
    }
    if found.storage != wanted.storage {
        let (found, expected) = (storage_word(found.storage), storage_word(wanted.storage));
        return Err(StreamError::Changed { name, what: "storage", found, expected });
    }
    if found.retention != wanted.retention {
        let (found, expected) = (retention_word(found.retention), retention_word(wanted.retention));
        return Err(StreamError::Changed { name, what: "retention", found, expected });
    }
    let mut merged = found.clone();
    merged.max_bytes = wanted.max_bytes;
    merged.max_age = wanted.max_age;
    merged.max_messages_per_subject = wanted.max_messages_per_subject;
    merged.discard = wanted.discard;
    merged.deny_delete = wanted.deny_delete;
    merged.deny_purge = wanted.deny_purge;
    // 0 keeps the server's default.
    if !wanted.duplicate_window.is_zero() {
        merged.duplicate_window = wanted.duplicate_window;
    }
    merged.allow_direct = true;
    merged.allow_atomic_publish = wanted.allow_atomic_publish;
    for subject in &wanted.subjects {
        if !merged.subjects.contains(subject) {
            merged.subjects.push(subject.clone());
        }
    }
    Ok(merged)
}

fn storage_word(storage: StorageType) -> String {
    match storage {
        StorageType::File => "file",
        StorageType::Memory => "memory",
    }
    .to_owned()
}

fn retention_word(retention: RetentionPolicy) -> String {
    match retention {
        RetentionPolicy::Limits => "limits",
        RetentionPolicy::Interest => "interest",
        RetentionPolicy::WorkQueue => "workqueue",
    }
    .to_owned()
}

fn request(
    operation: &'static str,
    name: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StreamError {
    StreamError::Request { operation, name: name.to_owned(), source: source.into() }
}

fn file(name: &str, subjects: Vec<String>, max_bytes: u64) -> Config {
    base(name, subjects, max_bytes, StorageType::File)
}

/// Memory streams hold one message per subject: 16 MiB are enough for 10,000 boilers.
fn memory(name: &str, subject: &str) -> Config {
    base(name, vec![subject.to_owned()], 16 << 20, StorageType::Memory)
}

fn base(name: &str, subjects: Vec<String>, max_bytes: u64, storage: StorageType) -> Config {
    Config {
        name: name.to_owned(),
        subjects,
        storage,
        max_bytes: i64::try_from(max_bytes).unwrap_or(i64::MAX),
        discard: DiscardPolicy::Old,
        // No limit. The server would change 0 to this, and the configurations would differ at each connect.
        max_messages_per_subject: -1,
        allow_direct: true,
        metadata: HashMap::from([(MARK.to_owned(), MARK_VERSION.to_owned())]),
        description: Some("Thermowell; see the map in agent/README.md".to_owned()),
        ..Config::default()
    }
}
