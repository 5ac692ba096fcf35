//! The hourly snapshots of a range: a row for each hour, empty where there is no snapshot.

use std::fmt::Write as _;

use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::{HOUR_NS, SECOND_NS, Utc, hour_text};
use thermowell_wire::subject::{self, stream};

use super::{Books, Desk, ExportError, Form, Rows, Wish, header, part};
use crate::nats::{self, Connection, InOrder};
use crate::quantity::grouped;

/// The columns of CSV.
pub(super) const CSV_HEADER: &str = "hour,celsius,minimum,maximum,coverage,partial,slots,counted,missing,\
                                     ring,reboot,missed,invalid,clock,discarded,unexplained\n";
/// The most hours without a snapshot that have rows of their own: a year. Further ones are only counted.
const EMPTY_MAX: i64 = 366 * 24;

pub(super) async fn export(connection: &Connection, wish: &Wish, desk: &mut impl Desk) -> Result<Books, ExportError> {
    let context = connection.context();
    let subject = subject::snapshot(&wish.boiler).to_string();
    let nothing = || ExportError::Nothing { stream: stream::SNAPSHOT, boiler: wish.boiler.clone() };
    let end = nats::end(context, stream::SNAPSHOT, &subject).await?;
    let begin = match wish.from_ns {
        None => 1,
        Some(from_ns) => {
            // A snapshot is stamped with the end of its hour.
            let ends = |payload: &[u8]| Some(nats::parse::<Snapshot>(payload).ok()?.created_at * SECOND_NS);
            let first = nats::first_since(context, stream::SNAPSHOT, &subject, from_ns + 1, |it| ends(&it.payload));
            first.await?
        }
    };
    let range = wish.from_ns.unwrap_or(i64::MIN)..wish.to_ns.unwrap_or(i64::MAX);
    let mut messages = InOrder::new(context, stream::SNAPSHOT, subject, begin, end);
    let rows = Rows { wish, buckets: None, text: header(wish) };
    let mut hours = Hours { rows, books: Books::default(), last: None };
    let mut is_first = true;
    while let Some(message) = messages.next().await? {
        let Ok(snapshot) = nats::parse::<Snapshot>(&message.payload) else {
            hours.books.open.push(format!("message {} of SNAPSHOT is no snapshot", message.sequence));
            continue;
        };
        let (from_ns, to_ns) = (hour_of(&snapshot) * HOUR_NS, (hour_of(&snapshot) + 1) * HOUR_NS);
        if to_ns <= range.start {
            continue;
        }
        if from_ns >= range.end {
            break;
        }
        if std::mem::take(&mut is_first) {
            let from = hour_text(hour_of(&snapshot));
            desk.begins(&format!("the snapshots of {} from {from} on", wish.boiler));
        }
        hours.add(&snapshot);
        hours.rows.hand_over(desk)?;
        desk.reached(part(to_ns, &(range.start.max(from_ns)..range.end.min(to_ns))));
    }
    if hours.books.known.is_none() {
        return Err(nothing());
    }
    hours.rows.end();
    hours.rows.hand_over(desk)?;
    Ok(hours.books(&range, wish))
}

struct Hours<'a> {
    rows: Rows<'a>,
    books: Books,
    last: Option<i64>,
}

impl Hours<'_> {
    fn add(&mut self, snapshot: &Snapshot) {
        let hour = hour_of(snapshot);
        let absent = self.last.map_or(0, |last| hour - last - 1);
        if absent < 0 {
            self.books.open.push(format!("{} is stored twice or late", snapshot.hour));
            return;
        }
        let form = self.rows.wish.form;
        for empty in hour - absent.min(EMPTY_MAX)..hour {
            self.rows.line(empty * HOUR_NS, |out| write_empty(form, empty, out));
        }
        if u64::try_from(absent).is_ok_and(|absent| absent > snapshot.skipped_hours) {
            self.books.open.push(format!("there is no snapshot of {absent} hours before {}", snapshot.hour));
        }
        self.last = Some(hour);
        self.rows.line(hour * HOUR_NS, |out| write(form, snapshot, out));
        let total = snapshot.missing.total();
        if snapshot.slots != snapshot.temperature_points + total {
            self.books.open.push(format!("the sum of {} does not close", snapshot.hour));
        }
        self.books.slots += snapshot.slots;
        self.books.counted += snapshot.temperature_points;
        self.books.missing += snapshot.missing;
        let known = self.books.known.get_or_insert(hour * HOUR_NS..0);
        known.end = (hour + 1) * HOUR_NS;
    }

    fn books(mut self, range: &std::ops::Range<i64>, wish: &Wish) -> Books {
        let books = &mut self.books;
        if books.missing.unexplained > 0 {
            let slots = grouped(&books.missing.unexplained.to_string(), ',');
            books.open.push(format!("{slots} slots are missing without a reason"));
        }
        if let Some(known) = &books.known {
            if wish.from_ns.is_some() && known.start > range.start {
                books.open.push(format!("there is no snapshot before {}", hour_text(Utc(known.start).hour())));
            }
            if wish.to_ns.is_some() && known.end < range.end {
                books.open.push(format!("there is no snapshot from {} on", hour_text(Utc(known.end).hour())));
            }
        }
        self.books
    }
}

fn write(form: Form, snapshot: &Snapshot, out: &mut String) {
    let Snapshot { hour, temperature, minimum, maximum, coverage, partial, slots, temperature_points, missing, .. } =
        snapshot;
    let field = |value: &Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let written = match form {
        Form::Csv | Form::Text => {
            let [celsius, minimum, maximum] = [temperature, minimum, maximum].map(field);
            let partial = u8::from(*partial);
            let total = missing.total();
            let written = write!(
                out,
                "{hour},{celsius},{minimum},{maximum},{coverage},{partial},{slots},{temperature_points},{total}"
            );
            let reasons = missing.by_reason();
            reasons.iter().fold(written, |written, (_, slots)| written.and_then(|()| write!(out, ",{slots}")))
        }
        Form::Json => {
            out.push_str(&String::from_utf8_lossy(&nats::json(snapshot)));
            Ok(())
        }
        Form::Senml => {
            let t = hour_of(snapshot) * 3_600;
            match temperature {
                Some(mean) => write!(out, r#"{{"n":"flow-hour-mean","t":{t},"u":"Cel","v":{mean}}},"#),
                None => Ok(()),
            }
            .and_then(|()| write!(out, r#"{{"n":"coverage","t":{t},"u":"/","v":{coverage}}}"#))
        }
    };
    written.expect("writing to a string does not fail");
}

/// An hour without a snapshot: nothing is known of it.
fn write_empty(form: Form, hour: i64, out: &mut String) {
    let text = hour_text(hour);
    let written = match form {
        Form::Csv | Form::Text => write!(out, "{text}{}", ",".repeat(CSV_HEADER.matches(',').count())),
        Form::Json => write!(out, r#"{{"hour":"{text}","temperature":null}}"#),
        Form::Senml => write!(out, r#"{{"n":"absent","t":{},"vb":true}}"#, hour * 3_600),
    };
    written.expect("writing to a string does not fail");
}
