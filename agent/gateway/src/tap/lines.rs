//! Messages as lines: which of them are written, and how they read.
//!
//! As JSON, a message of STATE, STATUS and EVENT is written as it was published.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use thermowell_flow::published::{DeviceStatus, Event, State, Status};

use super::{CSV_HEADER, Form, Sum, What, Wish};
use crate::logs;
use crate::nats;
use crate::output::word;
use crate::quantity::{moment, nanos};
use crate::samples::{Row, Unpack};
use crate::status::doing;

const STATE_HEADER: &str = "time,celsius,quality,mean,coverage,minimum,maximum,heating\n";
const STATUS_HEADER: &str = "time,link,state,flame,modulation,hot_water,return,room,outdoor,pressure_mbar,\
                             accepted,lease_left_s,fault,backlog\n";
const EVENT_HEADER: &str = "time,kind,text\n";

/// Turns messages into lines.
pub(super) struct Lines<'a> {
    wish: &'a Wish,
    unpack: Unpack,
    /// The time from which the next line is shown, with [`Wish::every`].
    due_ns: Option<i64>,
    text: String,
}

impl<'a> Lines<'a> {
    pub(super) fn new(wish: &'a Wish) -> Self {
        Self { wish, unpack: Unpack::default(), due_ns: None, text: String::new() }
    }

    pub(super) fn header(&self) -> &'static str {
        match (self.wish.form, self.wish.what) {
            (Form::Csv, What::Samples) => CSV_HEADER,
            (Form::Csv, What::State) => STATE_HEADER,
            (Form::Csv, What::Status) => STATUS_HEADER,
            (Form::Csv, What::Events) => EVENT_HEADER,
            (Form::Text | Form::Json | Form::Senml, _) => "",
        }
    }

    /// The lines of the last message.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Takes the next message. Returns whether its lines are the last.
    ///
    /// An error is why this version cannot read it.
    pub(super) fn take(&mut self, sequence: u64, subject: &str, payload: &[u8], sum: &mut Sum) -> Result<bool, String> {
        self.text.clear();
        if self.wish.what == What::Samples {
            return Ok(self.samples(sequence, payload, sum));
        }
        let read = match self.wish.what {
            What::State => self.message(payload, state),
            What::Status => self.message(payload, status),
            What::Samples | What::Events => {
                let kind = subject.rsplit('.').next().unwrap_or_default();
                self.message(payload, |form, event| self::event(form, kind, event))
            }
        };
        let (at_s, line) = read.map_err(|why| format!("message {sequence} of {subject}: {why}"))?;
        Ok(self.show(nanos(at_s), sum, |out| out.push_str(&line)) || self.wish.once)
    }

    fn message<T: DeserializeOwned>(
        &self,
        payload: &[u8],
        line: impl Fn(Form, &T) -> (f64, String),
    ) -> Result<(f64, String), String> {
        let value: T = nats::parse(payload).map_err(|why| why.to_string())?;
        let (at_s, line) = line(self.wish.form, &value);
        match self.wish.form {
            Form::Json | Form::Senml => {
                let published: serde_json::Value = nats::parse(payload).map_err(|why| why.to_string())?;
                Ok((at_s, published.to_string()))
            }
            Form::Text | Form::Csv => Ok((at_s, line)),
        }
    }

    fn samples(&mut self, sequence: u64, payload: &[u8], sum: &mut Sum) -> bool {
        let Some(unpacked) = self.unpack.observe(sequence, payload) else { return false };
        let holes = unpacked.holes.iter().map(|hole| Row::Hole(*hole));
        let mut rows: Vec<Row> = holes.chain(unpacked.readings()).collect();
        if self.wish.once {
            rows = rows.pop().into_iter().collect();
        }
        let Wish { form, boiler, .. } = self.wish;
        for row in rows {
            let ends = match row {
                Row::Reading { utc_ns, .. } => self.show(utc_ns, sum, |out| row.write(*form, boiler, out)),
                Row::Hole(_) => {
                    row.write(*form, boiler, &mut self.text);
                    self.text.push('\n');
                    false
                }
            };
            if ends {
                return true;
            }
        }
        self.wish.once
    }

    /// Adds a line, unless it comes too early. Returns whether it is the last.
    fn show(&mut self, at_ns: i64, sum: &mut Sum, write: impl FnOnce(&mut String)) -> bool {
        if let Some(every) = self.wish.every {
            let every_ns = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX);
            // A time that went back begins again.
            if self.due_ns.is_some_and(|due| at_ns < due && at_ns > due.saturating_sub(every_ns)) {
                sum.left_out += 1;
                return false;
            }
            self.due_ns = Some(at_ns.saturating_add(every_ns));
        }
        write(&mut self.text);
        self.text.push('\n');
        sum.shown += 1;
        self.wish.count.is_some_and(|count| sum.shown >= count)
    }
}

fn state(form: Form, state: &State) -> (f64, String) {
    let State { stamp, current, quality, average, coverage, minimum, maximum, heating, .. } = state;
    let (at, quality) = (moment(*stamp), word(quality));
    let line = if form == Form::Csv {
        let [current, average, minimum, maximum] = [current, average, minimum, maximum].map(|value| field(*value));
        format!("{at},{current},{quality},{average},{coverage},{minimum},{maximum},{}", u8::from(*heating))
    } else {
        let celsius = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.2} °C"));
        format!(
            "{at}  {} {quality}  hour {}, {:.1} % known{}",
            celsius(*current),
            celsius(*average),
            coverage * 100.0,
            if *heating { ", heating" } else { "" }
        )
    };
    (*stamp, line)
}

fn status(form: Form, status: &Status) -> (f64, String) {
    let at = moment(status.created_at);
    let (link, device) = (word(&status.link), status.device.as_ref());
    let line = if form == Form::Csv {
        let device = device.map_or(",,,,,,,,,,".to_owned(), device_fields);
        format!("{at},{link},{device},{}", status.backlog)
    } else {
        let device = device.map_or("device unknown".to_owned(), device_words);
        format!("{at}  link {link}, {device}, backlog {}", status.backlog)
    };
    (status.created_at, line)
}

fn device_fields(device: &DeviceStatus) -> String {
    let accepted = device.setpoint.map(|setpoint| format!("{},{:.1}", setpoint.flow, setpoint.lease_left_s));
    let mut text = String::new();
    let _always_fits = write!(
        text,
        "{},{},{},{},{},{},{},{},{},{}",
        word(&device.state),
        u8::from(device.flame),
        device.modulation,
        u8::from(device.hot_water),
        field(device.return_temperature),
        field(device.room),
        field(device.outdoor),
        device.pressure_mbar.map(|mbar| mbar.to_string()).unwrap_or_default(),
        accepted.unwrap_or_else(|| ",".to_owned()),
        device.fault.map(|fault| fault.kind.to_string()).unwrap_or_default(),
    );
    text
}

fn device_words(device: &DeviceStatus) -> String {
    let setpoint = device.setpoint.map_or("own control".to_owned(), |setpoint| {
        format!("obeys {:.1} °C for {:.0} s", setpoint.flow, setpoint.lease_left_s)
    });
    let fault = device.fault.map(|fault| format!(", fault {}", fault.kind)).unwrap_or_default();
    let sensor = |name: &str, value: Option<f64>| value.map(|value| format!(", {name} {value:.1}")).unwrap_or_default();
    let (room, outdoor) = (sensor("room", device.room), sensor("outdoor", device.outdoor));
    format!("{} {} %, {setpoint}{room}{outdoor}{fault}", doing(device.state), device.modulation)
}

fn event(form: Form, kind: &str, event: &Event) -> (f64, String) {
    let (at, sentence) = (moment(event.created_at), logs::sentence(&event.body));
    let line = match form {
        Form::Csv => format!("{at},{kind},\"{}\"", sentence.replace('"', "\"\"")),
        Form::Text | Form::Json | Form::Senml => format!("{at}  {kind:<8}  {sentence}"),
    };
    (event.created_at, line)
}

/// Unknown is empty.
fn field(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::line::GapReason;

    use super::*;
    use crate::samples::testing::{BOOT, NOON_NS, batch, gap, reading};

    fn wish(what: What, form: Form) -> Wish {
        let boiler = "b1".parse().unwrap();
        Wish { boiler, what, form, count: None, length: None, once: false, every: None }
    }

    fn take(lines: &mut Lines<'_>, payload: &[u8], sequence: u64, sum: &mut Sum) -> (String, bool) {
        let ends = lines.take(sequence, "boiler.b1.samples.v1", payload, sum).unwrap();
        (lines.text().to_owned(), ends)
    }

    fn second(seq: u64) -> Vec<u8> {
        let at_ns = NOON_NS + i64::try_from(seq).unwrap() * 10_000_000;
        batch(BOOT, seq, at_ns, ClockQuality::Synced, &[reading(50_00); 100])
    }

    #[test]
    fn every_leaves_out_and_counts_what_comes_too_early() {
        let wish = Wish { every: Some(Duration::from_millis(500)), ..wish(What::Samples, Form::Text) };
        let (mut lines, mut sum) = (Lines::new(&wish), Sum::default());
        assert_eq!(take(&mut lines, &second(0), 1, &mut sum).0.lines().count(), 2);
        assert_eq!(sum, Sum { shown: 2, left_out: 98 });
        let gap = gap(BOOT, 100..4_000, GapReason::Ring, NOON_NS + 1_000_000_000);
        assert_eq!(take(&mut lines, &gap, 2, &mut sum).0, "# gap 3900 ring\n", "gaps are always shown");
        assert_eq!(take(&mut lines, &second(4_000), 3, &mut sum).0.lines().count(), 2);
    }

    #[test]
    fn count_ends_within_a_message_and_once_with_the_newest() {
        let three = Wish { count: Some(3), ..wish(What::Samples, Form::Csv) };
        let (mut lines, mut sum) = (Lines::new(&three), Sum::default());
        let (text, ends) = take(&mut lines, &second(0), 1, &mut sum);
        assert_eq!((text.lines().count(), ends, sum.shown), (3, true, 3));
        let once = Wish { once: true, ..wish(What::Samples, Form::Text) };
        let (text, ends) = take(&mut Lines::new(&once), &second(0), 1, &mut Sum::default());
        assert!(ends && text.starts_with("2026-01-07T12:00:00.990Z") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn messages_are_lines_with_as_many_columns_as_their_header() {
        use crate::front::testing::{cable_out, decided, noon_s, state, status};
        for (what, published) in [
            (What::State, nats::json(&state(noon_s()))),
            (What::Status, nats::json(&status(noon_s()))),
            (What::Status, nats::json(&cable_out(noon_s()))),
            (What::Events, nats::json(&decided(noon_s(), "law", Some(52.5)))),
        ] {
            let line = |form| {
                let wish = wish(what, form);
                let mut lines = Lines::new(&wish);
                lines.take(7, "boiler.b1.event.decision", &published, &mut Sum::default()).unwrap();
                (lines.header(), lines.text().to_owned())
            };
            let (header, row) = line(Form::Csv);
            assert_eq!(header.matches(',').count(), row.matches(',').count(), "{header}{row}");
            assert!(row.starts_with("2026-01-07T12:00:00Z,"), "{row}");
            let again: serde_json::Value = serde_json::from_str(&line(Form::Json).1).unwrap();
            assert_eq!(again, serde_json::from_slice::<serde_json::Value>(&published).unwrap());
            assert!(line(Form::Text).1.starts_with("2026-01-07T12:00:00Z  "));
        }
    }

    #[test]
    fn message_that_cannot_be_read_is_named() {
        let wish = wish(What::State, Form::Text);
        let error = Lines::new(&wish).take(9, "boiler.b1.state", b"warm", &mut Sum::default()).unwrap_err();
        assert!(error.starts_with("message 9 of boiler.b1.state: "), "{error}");
    }
}
