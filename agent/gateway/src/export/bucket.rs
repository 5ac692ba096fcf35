//! Means over equal times: one row for each that has a reading or a missing slot.

use std::fmt::{self, Write as _};

use thermowell_flow::aggregate::Pane;
use thermowell_flow::published::{Missing, celsius, centi_mean};
use thermowell_flow::snapshot::add_missing;
use thermowell_flow::time::{SECOND_NS, Utc};

use crate::samples::{Form, Hole, Row, Time};

/// The columns of CSV. A mean of no reading is empty.
pub(super) const CSV_HEADER: &str = "time,celsius,minimum,maximum,points,missing,reasons\n";
/// The most rows of one hole: more than a row for each second that SAMPLES holds. The rest of it is one row.
const ROWS_MAX: u32 = 300_000;

/// Collects rows in buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    length_ns: i64,
    open: Option<Bucket>,
}

/// The readings and the missing slots of one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// UTC nanoseconds: a multiple of its length.
    pub(super) begin_ns: i64,
    pane: Pane,
    missing: Missing,
}

impl Buckets {
    pub(super) fn new(length_s: u32) -> Self {
        Self { length_ns: i64::from(length_s.max(1)) * SECOND_NS, open: None }
    }

    /// Adds a row, which is not earlier than the one before; hands each bucket that it ends to `out`.
    pub(super) fn add(&mut self, row: &Row, out: &mut dyn FnMut(Bucket)) {
        match row {
            Row::Reading { utc_ns, reading, .. } => {
                let bucket = self.at(*utc_ns, out);
                bucket.pane.add(*reading);
                bucket.missing.invalid += u64::from(!reading.is_valid());
            }
            Row::Hole(hole) => self.hole(*hole, out),
        }
    }

    /// The bucket that has not ended yet.
    pub(super) fn last(self) -> Option<Bucket> {
        self.open
    }

    fn hole(&mut self, mut hole: Hole, out: &mut dyn FnMut(Bucket)) {
        for _ in 0..ROWS_MAX {
            let bucket_end = self.begin_of(hole.from_ns).saturating_add(self.length_ns);
            let (part, rest) = hole.split(bucket_end);
            if let Some(part) = part {
                add_missing(&mut self.at(part.from_ns, out).missing, part.reason, part.slots);
            }
            match rest {
                Some(rest) => hole = rest,
                None => return,
            }
        }
        add_missing(&mut self.at(hole.from_ns, out).missing, hole.reason, hole.slots);
    }

    fn at(&mut self, utc_ns: i64, out: &mut dyn FnMut(Bucket)) -> &mut Bucket {
        let begin_ns = self.begin_of(utc_ns);
        if let Some(ended) = self.open.take_if(|open| open.begin_ns < begin_ns) {
            out(ended);
        }
        self.open.get_or_insert(Bucket { begin_ns, pane: Pane::EMPTY, missing: Missing::default() })
    }

    fn begin_of(&self, utc_ns: i64) -> i64 {
        utc_ns.div_euclid(self.length_ns).saturating_mul(self.length_ns)
    }
}

impl Bucket {
    pub(super) fn write(&self, form: Form, out: &mut String) {
        let written = match form {
            Form::Csv | Form::Text => self.csv(out),
            Form::Json => write!(out, "{}", self.json()),
            Form::Senml => self.senml(out),
        };
        written.expect("writing to a string does not fail");
    }

    fn values(&self) -> [Option<f64>; 3] {
        let mean = centi_mean(self.pane.sum, u64::from(self.pane.points)).map(celsius);
        let extreme = |centi: i16| mean.map(|_| celsius(i64::from(centi)));
        [mean, extreme(self.pane.minimum), extreme(self.pane.maximum)]
    }

    fn csv(&self, out: &mut String) -> fmt::Result {
        write!(out, "{},", Time(self.begin_ns))?;
        for value in self.values() {
            match value {
                Some(value) => write!(out, "{value},")?,
                None => out.write_char(',')?,
            }
        }
        let reasons = self.missing.to_string().replace(", ", " ");
        write!(out, "{},{},{reasons}", self.pane.points, self.missing.total())
    }

    fn json(&self) -> serde_json::Value {
        let [mean, minimum, maximum] = self.values();
        serde_json::json!({
            "time": Time(self.begin_ns).to_string(), "celsius": mean, "minimum": minimum, "maximum": maximum,
            "points": self.pane.points, "missing": self.missing,
        })
    }

    fn senml(&self, out: &mut String) -> fmt::Result {
        let t = Utc(self.begin_ns).unix_seconds();
        let [mean, ..] = self.values();
        if let Some(mean) = mean {
            write!(out, r#"{{"n":"flow","t":{t},"u":"Cel","v":{mean}}}"#)?;
        }
        if self.missing.total() > 0 || mean.is_none() {
            out.write_str(if mean.is_some() { ",\n" } else { "" })?;
            write!(out, r#"{{"n":"missing","t":{t},"u":"count","v":{}}}"#, self.missing.total())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use thermowell_flow::snapshot::Reason;
    use thermowell_wire::Slot;

    use super::*;
    use crate::samples::testing::{BOOT, NOON_NS, invalid, reading};

    fn rows(buckets: &[Bucket], form: Form) -> Vec<String> {
        let row = |bucket: &Bucket| {
            let mut out = String::new();
            bucket.write(form, &mut out);
            out
        };
        buckets.iter().map(row).collect()
    }

    #[test]
    fn buckets_have_means_and_what_is_missing_in_each() {
        let mut buckets = Buckets::new(1);
        let mut ended = Vec::new();
        let at = |slot: u64| NOON_NS + i64::try_from(slot).unwrap() * 10_000_000;
        let row = |slot, reading| Row::Reading { slot: Slot::new(BOOT, slot), utc_ns: at(slot), reading };
        let hole = |from, to: u64| Hole {
            first: Some(Slot::new(BOOT, from)),
            slots: to - from,
            from_ns: at(from),
            to_ns: at(to),
            reason: Reason::Ring,
        };
        let all = [row(0, reading(50_00)), row(1, reading(51_01)), row(2, invalid()), Row::Hole(hole(3, 250))];
        all.iter().for_each(|row| buckets.add(row, &mut |bucket| ended.push(bucket)));
        ended.extend(buckets.last());
        assert_eq!(
            rows(&ended, Form::Csv),
            [
                "2026-01-07T12:00:00.000Z,50.51,50,51.01,2,98,ring 97 invalid 1",
                "2026-01-07T12:00:01.000Z,,,,0,100,ring 100",
                "2026-01-07T12:00:02.000Z,,,,0,50,ring 50",
            ]
        );
        assert_eq!(ended.iter().map(|bucket| bucket.missing.total()).sum::<u64>(), 248);
        assert!(rows(&ended, Form::Json)[1].contains(r#""celsius":null"#));
        assert_eq!(rows(&ended, Form::Senml)[1], r#"{"n":"missing","t":1767787201,"u":"count","v":100}"#);
    }

    #[test]
    fn absurdly_long_hole_has_a_bounded_number_of_rows() {
        let mut buckets = Buckets::new(1);
        let years = i64::from(ROWS_MAX) * 3 * SECOND_NS;
        let slots = u64::try_from(years / 10_000_000).unwrap();
        let hole = Hole { first: None, slots, from_ns: NOON_NS, to_ns: NOON_NS + years, reason: Reason::Reboot };
        let mut sum = 0;
        let mut count = 0_u32;
        buckets.add(&Row::Hole(hole), &mut |bucket| {
            sum += bucket.missing.total();
            count += 1;
        });
        assert_eq!((sum + buckets.last().unwrap().missing.total(), count), (slots, ROWS_MAX));
    }
}
