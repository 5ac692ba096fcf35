//! `thermowell export`: the samples or snapshots of a time as a file, and whether its books close.
//!
//! It reads stored messages as `verify` does. Every slot of the range is in the file: as a reading, or in a row of
//! slots that are missing for one reason. The rule is the ledger's (`flow::snapshot`): a reading counts if it is valid
//! and has a trusted time of its own.
//!
//! The books of a range close if every slot in it is counted or missing for a known reason, from its beginning to its
//! end. They do not if `unexplained` slots are missing, or if SAMPLES does not reach as far as was asked for.

mod account;
mod bucket;
mod hours;

use std::io;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thermowell_flow::command;
use thermowell_flow::published::Missing;
use thermowell_wire::BoilerId;
use thermowell_wire::batch::{self, Packed};
use thermowell_wire::subject::{self, stream};

use crate::config::Config;
use crate::nats::{self, Connection, InOrder, NatsError, RequestError, User};
use crate::quantity::grouped;
use crate::samples::{CSV_HEADER, Form, Row, Time, Unpack};

use account::Account;
use bucket::Buckets;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Each reading and each gap, or their means with --per
    Samples,
    /// The hourly snapshots
    Snapshots,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Wish {
    pub boiler: BoilerId,
    pub what: What,
    /// From when on, UTC nanoseconds; none is the beginning of what is stored.
    pub from_ns: Option<i64>,
    /// Until when; none is its end.
    pub to_ns: Option<i64>,
    pub form: Form,
    /// Means over so many seconds instead of readings.
    pub per_s: Option<u32>,
    /// Add the local time.
    pub local: bool,
}

/// The books of what was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub slots: u64,
    /// Readings that count.
    pub counted: u64,
    /// Those that do not, by reason.
    pub missing: Missing,
    /// The time that is accounted for, UTC nanoseconds.
    pub known: Option<Range<i64>>,
    /// Why they do not close.
    pub open: Vec<String>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream cannot be read.
    #[error("read the streams")]
    Request(#[from] RequestError),
    /// The boiler is not configured.
    #[error(transparent)]
    Unknown(command::Refusal),
    #[error("{stream} has nothing of {boiler} in this time")]
    Nothing { stream: &'static str, boiler: BoilerId },
    #[error("write the file")]
    Write(#[source] io::Error),
}

/// Where the rows go, and words about them.
pub trait Desk {
    /// Writes a piece of the file.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, text: &str) -> io::Result<()>;
    /// Says how much there is.
    fn begins(&mut self, text: &str);
    /// Says how far it is, 0 to 1.
    fn reached(&mut self, part: f64);
}

/// Writes the rows, and returns their books.
///
/// # Errors
/// See [`ExportError`].
pub async fn export(config: &Config, wish: &Wish, desk: &mut impl Desk) -> Result<Books, ExportError> {
    command::admit_boiler(&wish.boiler, &config.boiler_ids()).map_err(ExportError::Unknown)?;
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(ExportError::Server)?;
    match wish.what {
        What::Samples => samples(&connection, wish, desk).await,
        What::Snapshots => hours::export(&connection, wish, desk).await,
    }
}

async fn samples(connection: &Connection, wish: &Wish, desk: &mut impl Desk) -> Result<Books, ExportError> {
    let context = connection.context();
    let subject = subject::samples(&wish.boiler).to_string();
    let nothing = || ExportError::Nothing { stream: stream::SAMPLES, boiler: wish.boiler.clone() };
    let last = nats::last(context, stream::SAMPLES, &subject).await?.ok_or_else(nothing)?;
    let first_sequence = nats::stream_state(context, stream::SAMPLES).await?.first_sequence;
    let from = match wish.from_ns {
        None => first_sequence,
        Some(from_ns) => {
            let later = nats::first_since(context, stream::SAMPLES, &subject, from_ns, |message| {
                times(&message.payload).map(|times| times.start)
            });
            // The message before it may reach into the range, or tell how long a pause was.
            nats::one_before(context, stream::SAMPLES, &subject, later.await?).await?
        }
    };
    let first = nats::first_from(context, stream::SAMPLES, &subject, from).await?.ok_or_else(nothing)?;
    let stored = times(&first.payload).map_or(0, |it| it.start)..times(&last.payload).map_or(0, |it| it.end);
    let range = wish.from_ns.unwrap_or(i64::MIN)..wish.to_ns.unwrap_or(i64::MAX);
    let expected = range.start.max(stored.start)..range.end.min(stored.end);
    let slots = (expected.end - expected.start).max(0) / 10_000_000;
    let [begin, end] = [expected.start, expected.end].map(Time);
    desk.begins(&format!("about {} slots of {}, {begin} to {end}", grouped(&slots.to_string(), ','), wish.boiler));

    let mut messages = InOrder::new(context, stream::SAMPLES, subject, from, last.sequence);
    let (mut unpack, mut account) = (Unpack::default(), Account::new(range.clone()));
    unpack.stream_begins_at(first_sequence);
    let mut rows = Rows { wish, buckets: wish.per_s.map(Buckets::new), text: header(wish) };
    while let Some(message) = messages.next().await? {
        let Some(unpacked) = unpack.observe(message.sequence, &message.payload) else { continue };
        let is_past = account.take(&unpacked, &mut |row| rows.add(row));
        rows.hand_over(desk)?;
        desk.reached(part(unpacked.end_ns, &expected));
        if is_past {
            break;
        }
    }
    rows.end();
    rows.hand_over(desk)?;
    let books = account.books(wish.from_ns, wish.to_ns);
    if books.slots == 0 { Err(nothing()) } else { Ok(books) }
}

/// The beginning and end of a message; none unless its clock was trusted.
fn times(payload: &[u8]) -> Option<Range<i64>> {
    let packed = batch::decode(payload).ok()?;
    let (start, clock) = match packed {
        Packed::Batch(batch) => (batch.header.first_utc_ns, batch.header.clock),
        Packed::Gap(gap) => (gap.from_utc_ns, gap.clock),
    };
    (clock == batch::ClockQuality::Synced).then(|| start..packed.end_utc_ns())
}

#[expect(clippy::cast_precision_loss, reason = "a part of a range")]
fn part(at_ns: i64, range: &Range<i64>) -> f64 {
    let length = (range.end - range.start).max(1) as f64;
    (at_ns.saturating_sub(range.start) as f64 / length).clamp(0.0, 1.0)
}

/// The beginning of the file.
fn header(wish: &Wish) -> String {
    let columns = match (wish.what, wish.per_s) {
        (What::Snapshots, _) => hours::CSV_HEADER,
        (What::Samples, Some(_)) => bucket::CSV_HEADER,
        (What::Samples, None) => CSV_HEADER,
    };
    match wish.form {
        Form::Csv if wish.local => columns.trim_end().to_owned() + ",local\n",
        Form::Csv => columns.to_owned(),
        Form::Senml => format!("[{{\"bn\":\"thermowell:{}:\"}}", wish.boiler),
        Form::Json | Form::Text => String::new(),
    }
}

/// Rows as text.
struct Rows<'a> {
    wish: &'a Wish,
    buckets: Option<Buckets>,
    text: String,
}

impl Rows<'_> {
    fn add(&mut self, row: Row) {
        let Some(mut buckets) = self.buckets.take() else {
            let Wish { form, boiler, .. } = self.wish;
            self.line(row.utc_ns(), |out| row.write(*form, boiler, out));
            return;
        };
        buckets.add(&row, &mut |bucket| self.line(bucket.begin_ns, |out| bucket.write(self.wish.form, out)));
        self.buckets = Some(buckets);
    }

    fn end(&mut self) {
        if let Some(bucket) = self.buckets.take().and_then(Buckets::last) {
            self.line(bucket.begin_ns, |out| bucket.write(self.wish.form, out));
        }
        if self.wish.form == Form::Senml {
            self.text.push_str("\n]\n");
        }
    }

    fn line(&mut self, at_ns: i64, write: impl FnOnce(&mut String)) {
        line(self.wish, &mut self.text, at_ns, write);
    }

    /// Hands what has been written to the desk.
    fn hand_over(&mut self, desk: &mut impl Desk) -> Result<(), ExportError> {
        desk.write(&self.text).map_err(ExportError::Write)?;
        self.text.clear();
        Ok(())
    }
}

/// Adds what `write` writes as a line of the wish's form.
fn line(wish: &Wish, text: &mut String, at_ns: i64, write: impl FnOnce(&mut String)) {
    if wish.form == Form::Senml {
        text.push_str(",\n");
        write(text);
        return;
    }
    write(text);
    if wish.local {
        let local = local(at_ns);
        if wish.form == Form::Csv {
            text.push_str(&format!(",{local}"));
        } else if text.pop() == Some('}') {
            text.push_str(&format!(",\"local\":\"{local}\"}}"));
        }
    }
    text.push('\n');
}

/// A time in this machine's time zone, with its offset; empty if it is out of range.
fn local(utc_ns: i64) -> String {
    let Ok(time) = Timestamp::from_nanosecond(i128::from(utc_ns)) else { return String::new() };
    let offset = TimeZone::system().to_offset(time);
    format!("{:.3}", time.display_with_offset(offset))
}
