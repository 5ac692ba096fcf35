//! Recomputes hours from SAMPLES and compares them with the published snapshots, byte for byte.
//!
//! It uses the code that computed them, `flow::Aggregator`. It continues from the stored snapshot of the previous hour,
//! so that each hour is closed in the same way as the first time. If the previous hour's samples have left the stream,
//! the stored hour is reopened within its own boundaries, as an aggregator does at its start.
//!
//! | verdict | meaning | fails |
//! |---|---|---|
//! | `equal` | the same bytes | – |
//! | `moved` | the same numbers; the stream has lost its tail since, and was refilled with other messages | – |
//! | `different` | a field differs, the hour is stored twice, or nothing in SAMPLES closes it | yes |
//! | `no_samples` | SAMPLES no longer has the beginning of the hour | – |
//! | `no_snapshot` | closed by SAMPLES and not stored | if a later hour is stored |
//! | `open` | there is no slot of a later hour | – |
//!
//! It publishes nothing. A few messages of SAMPLES and SNAPSHOT and the last `walk::KEPT_MAX` recomputed hours are in
//! memory at a time.

mod chain;
mod compare;
mod report;
mod stored;
mod walk;

use std::io;
use std::ops::Range;

use thermowell_wire::BoilerId;

use crate::config::Config;
use crate::nats::{Connection, NatsError, RequestError, User};

pub use compare::Difference;
pub use report::{HEADER, Line, Sum, Verdict};

/// Why nothing could be compared, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is missing or the server does not answer.
    #[error("read the streams")]
    Request(#[from] RequestError),
    /// SAMPLES and SNAPSHOT have no data for the selection.
    #[error("neither SAMPLES nor SNAPSHOT holds {what}; configured boilers: {configured}")]
    Nothing { what: String, configured: String },
    #[error("write the report")]
    Write(#[source] io::Error),
}

/// Where the lines go, and their totals.
struct Output<'o> {
    write: &'o mut dyn FnMut(&Line) -> io::Result<()>,
    sum: Sum,
}

impl Output<'_> {
    fn line(&mut self, line: &Line) -> Result<(), VerifyError> {
        self.sum.add(line);
        (self.write)(line).map_err(VerifyError::Write)
    }
}

/// Compares `hours`, counted since 1970, of `boiler`, each by default all, and writes each line as soon as it is known.
///
/// # Errors
/// See [`VerifyError`]. A difference is not an error: see [`Sum::agrees`].
pub async fn verify(
    config: &Config,
    boiler: Option<&BoilerId>,
    hours: Option<Range<i64>>,
    mut write: impl FnMut(&Line) -> io::Result<()>,
) -> Result<Sum, VerifyError> {
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(VerifyError::Server)?;
    let boilers = boiler.map_or_else(|| config.boiler_ids(), |boiler| vec![boiler.clone()]);
    let mut output = Output { write: &mut write, sum: Sum::of(boilers.len()) };
    let hours = hours.unwrap_or(i64::MIN..i64::MAX);
    for boiler in &boilers {
        walk::Walk::new(connection.context(), boiler, hours.clone(), &mut output).await?.run().await?;
    }
    if output.sum.lines() == 0 {
        let ids = |boilers: &[BoilerId]| boilers.iter().map(BoilerId::as_str).collect::<Vec<_>>().join(", ");
        let what = format!("these hours of {}", ids(&boilers));
        return Err(VerifyError::Nothing { what, configured: ids(&config.boiler_ids()) });
    }
    Ok(output.sum)
}
