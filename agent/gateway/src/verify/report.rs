//! What a comparison says: a line for each hour, and the sum.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use thermowell_flow::published::Missing;
use thermowell_wire::BoilerId;

use super::compare::Difference;

/// Differences that a line for people names; the rest are counted.
const NAMED_MAX: usize = 6;

/// What became of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Stored as it is recomputed, byte for byte.
    Equal,
    /// The same numbers from messages that were stored anew after the stream had lost its end.
    Moved,
    /// Stored otherwise.
    Different,
    /// SAMPLES no longer holds it.
    NoSamples,
    /// Closed and not stored.
    NoSnapshot,
    /// Not closed.
    Open,
}

/// One hour, or one message of SNAPSHOT that is none.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The boiler.
    pub boiler: BoilerId,
    /// The hour's beginning, RFC 3339; none for a message that is no snapshot.
    pub hour: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Its sequence in SNAPSHOT.
    pub sequence: Option<u64>,
    /// Slots in the hour, as recomputed, where that was done.
    pub slots: Option<u64>,
    /// Those in the mean.
    pub counted: Option<u64>,
    /// Those that are not, by reason.
    pub missing: Option<Missing>,
    /// Where stored and recomputed differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Something is wrong.
    #[serde(skip)]
    pub(super) fails: bool,
    /// The hour has had a line.
    #[serde(skip)]
    pub(super) repeats: bool,
}

impl Line {
    pub(super) fn new(boiler: BoilerId, hour: Option<String>, verdict: Verdict) -> Self {
        Self {
            boiler,
            hour,
            verdict,
            sequence: None,
            slots: None,
            counted: None,
            missing: None,
            differences: Vec::new(),
            note: None,
            fails: false,
            repeats: false,
        }
    }

    /// For people, with a line feed.
    fn text(&self) -> String {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let hour = self.hour.as_deref().unwrap_or("-");
        let (slots, counted) = (number(self.slots), number(self.counted));
        let missing = match &self.missing {
            None => "-".to_owned(),
            Some(missing) if missing.total() == 0 => "0".to_owned(),
            Some(missing) => format!("{} ({})", missing.total(), reasons(missing)),
        };
        let mut text = format!(
            "{:<6} {hour:<20} {slots:>9} {counted:>9}  {missing:<12} {}",
            self.boiler.as_str(),
            self.verdict.words()
        );
        let mut details: Vec<String> = self.differences.iter().take(NAMED_MAX).map(Difference::text).collect();
        if self.differences.len() > NAMED_MAX {
            details.push(format!("and {} more", self.differences.len() - NAMED_MAX));
        }
        details.extend(self.note.clone());
        if let (Verdict::Different, Some(sequence)) = (self.verdict, self.sequence) {
            details.push(format!("sequence {sequence} of SNAPSHOT"));
        }
        if !details.is_empty() {
            write!(text, " ({})", details.join("; ")).expect(STRING);
        }
        text.push('\n');
        text
    }
}

impl Difference {
    fn text(&self) -> String {
        let show = |value: &Option<serde_json::Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        format!("{}: stored {}, recomputed {}", self.field, show(&self.stored), show(&self.recomputed))
    }
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Moved => "equal in number, stored anew in SAMPLES since",
            Self::Different => "DIFFERENT",
            Self::NoSamples => "no samples any more",
            Self::NoSnapshot => "no snapshot",
            Self::Open => "open",
        }
    }
}

/// What all lines come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Lines that say so.
    pub equal: u64,
    /// Lines that say so.
    pub moved: u64,
    /// Lines that say so.
    pub different: u64,
    /// Lines that say so.
    pub no_samples: u64,
    /// Lines that say so.
    pub no_snapshot: u64,
    /// Of these, those before a stored hour.
    pub lost_snapshots: u64,
    /// Lines that say so.
    pub open: u64,
    /// Slots in all hours that were recomputed.
    pub slots: u64,
    /// Those in the means.
    pub counted: u64,
    /// Those that are not, by reason.
    pub missing: Missing,
}

impl Sum {
    /// Everything that can be compared agrees, and no hour is left out.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.different == 0 && self.lost_snapshots == 0
    }

    pub(super) fn lines(&self) -> u64 {
        self.equal + self.moved + self.different + self.no_samples + self.no_snapshot + self.open
    }

    pub(super) fn add(&mut self, line: &Line) {
        *match line.verdict {
            Verdict::Equal => &mut self.equal,
            Verdict::Moved => &mut self.moved,
            Verdict::Different => &mut self.different,
            Verdict::NoSamples => &mut self.no_samples,
            Verdict::NoSnapshot => &mut self.no_snapshot,
            Verdict::Open => &mut self.open,
        } += 1;
        self.lost_snapshots += u64::from(line.fails);
        let recomputed = matches!(line.verdict, Verdict::Equal | Verdict::Moved | Verdict::Different);
        if let (true, false, Some(slots), Some(counted), Some(missing)) =
            (recomputed, line.repeats, line.slots, line.counted, &line.missing)
        {
            self.slots += slots;
            self.counted += counted;
            self.missing = added(&self.missing, missing);
        }
    }

    fn text(&self, boilers: usize) -> String {
        let Self { equal, moved, different, no_samples, no_snapshot, open, slots, counted, .. } = self;
        let boilers = if boilers == 1 { "1 boiler".to_owned() } else { format!("{boilers} boilers") };
        let mut text = format!("\n{boilers}: {equal} equal, {different} DIFFERENT");
        for (count, word) in [
            (moved, "stored anew since"),
            (no_samples, "without samples any more"),
            (no_snapshot, "without a snapshot"),
            (open, "open"),
        ] {
            if *count > 0 {
                write!(text, ", {count} {word}").expect(STRING);
            }
        }
        let total = self.missing.total();
        let by = if total == 0 { String::new() } else { format!(" ({})", reasons(&self.missing)) };
        let verdict = match (self.agrees(), equal + moved) {
            (false, _) => "NOT everything agrees",
            (true, 0) => "nothing could be compared",
            (true, _) => "all that can be compared agrees",
        };
        writeln!(text, "\n{slots} slots = {counted} counted + {total} missing{by}\n{verdict}").expect(STRING);
        text
    }
}

fn added(a: &Missing, b: &Missing) -> Missing {
    Missing {
        ring: a.ring + b.ring,
        reboot: a.reboot + b.reboot,
        missed: a.missed + b.missed,
        invalid: a.invalid + b.invalid,
        clock: a.clock + b.clock,
        discarded: a.discarded + b.discarded,
        unexplained: a.unexplained + b.unexplained,
    }
}

/// The reasons that occur, with their numbers.
fn reasons(missing: &Missing) -> String {
    let all = [
        ("ring", missing.ring),
        ("reboot", missing.reboot),
        ("missed", missing.missed),
        ("invalid", missing.invalid),
        ("clock", missing.clock),
        ("discarded", missing.discarded),
        ("unexplained", missing.unexplained),
    ];
    let named: Vec<String> =
        all.iter().filter(|(_, slots)| *slots > 0).map(|(reason, slots)| format!("{reason} {slots}")).collect();
    named.join(", ")
}

/// For whom the report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns.
    Text,
    /// One JSON object per line, the last one being the sum.
    Json,
}

/// Writes lines as they come.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    format: Format,
    begun: bool,
}

impl<W: io::Write> Writer<W> {
    /// Nothing is written before the first line.
    #[must_use]
    pub fn new(out: W, format: Format) -> Self {
        Self { out, format, begun: false }
    }

    pub(super) fn line(&mut self, line: &Line) -> io::Result<()> {
        match self.format {
            Format::Json => self.json(line),
            Format::Text => {
                if !std::mem::replace(&mut self.begun, true) {
                    let (slots, counted) = ("slots", "counted");
                    writeln!(self.out, "{:<6} {:<20} {slots:>9} {counted:>9}  missing", "boiler", "hour")?;
                }
                self.out.write_all(line.text().as_bytes())?;
                self.out.flush()
            }
        }
    }

    pub(super) fn sum(&mut self, sum: &Sum, boilers: usize) -> io::Result<()> {
        #[derive(Serialize)]
        struct Last<'a> {
            agrees: bool,
            #[serde(flatten)]
            sum: &'a Sum,
        }
        match self.format {
            Format::Json => self.json(&Last { agrees: sum.agrees(), sum }),
            Format::Text => self.out.write_all(sum.text(boilers).as_bytes()),
        }
    }

    fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut text = serde_json::to_vec(value).expect("text and numbers encode");
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

const STRING: &str = "writing to a string does not fail";

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: Verdict) -> Line {
        Line {
            sequence: Some(7),
            slots: Some(360_000),
            counted: Some(359_940),
            missing: Some(Missing { ring: 40, invalid: 20, ..Missing::default() }),
            ..Line::new("b1".parse().unwrap(), Some("2026-01-07T02:00:00Z".to_owned()), verdict)
        }
    }

    fn written(lines: &[Line], format: Format) -> (String, Sum) {
        let (mut sum, mut out) = (Sum::default(), Vec::new());
        let mut writer = Writer::new(&mut out, format);
        for line in lines {
            sum.add(line);
            writer.line(line).unwrap();
        }
        writer.sum(&sum, 1).unwrap();
        (String::from_utf8(out).unwrap(), sum)
    }

    fn tampered() -> Line {
        let celsius = |celsius: f64| Some(serde_json::Value::from(celsius));
        let field = "temperature".to_owned();
        let differences = vec![Difference { field, stored: celsius(12.0), recomputed: celsius(52.13) }];
        Line { differences, ..line(Verdict::Different) }
    }

    #[test]
    fn people_get_columns_and_a_sum() {
        let open = Line::new("b1".parse().unwrap(), Some("2026-01-07T04:00:00Z".to_owned()), Verdict::Open);
        let (text, sum) = written(&[line(Verdict::Equal), tampered(), open], Format::Text);
        let expected = "\
boiler hour                     slots   counted  missing
b1     2026-01-07T02:00:00Z    360000    359940  60 (ring 40, invalid 20) equal
b1     2026-01-07T02:00:00Z    360000    359940  60 (ring 40, invalid 20) DIFFERENT (temperature: stored 12.0, \
recomputed 52.13; sequence 7 of SNAPSHOT)
b1     2026-01-07T04:00:00Z         -         -  -            open

1 boiler: 1 equal, 1 DIFFERENT, 1 open
720000 slots = 719880 counted + 120 missing (ring 80, invalid 40)
NOT everything agrees
";
        assert_eq!(text, expected);
        assert!(!sum.agrees());
    }

    #[test]
    fn programs_get_a_line_each_and_the_sum_last() {
        let (text, _) = written(&[line(Verdict::Equal), tampered()], Format::Json);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["verdict"], &lines[0]["missing"]["ring"]), (3, &"equal".into(), &40.into()));
        assert_eq!(lines[0].get("differences"), None);
        assert_eq!(lines[1]["differences"][0]["field"], "temperature");
        assert_eq!((&lines[2]["agrees"], &lines[2]["different"]), (&false.into(), &1.into()));
    }

    #[test]
    fn a_missing_snapshot_fails_only_before_a_stored_one() {
        let last = line(Verdict::NoSnapshot);
        assert!(written(&[line(Verdict::Equal), last.clone()], Format::Text).1.agrees());
        assert!(!written(&[Line { fails: true, ..last }, line(Verdict::Equal)], Format::Text).1.agrees());
        let (text, sum) = written(&[line(Verdict::NoSamples)], Format::Text);
        assert!(sum.agrees() && text.ends_with("nothing could be compared\n"), "{text}");
        assert_eq!(sum.slots, 0, "what was not recomputed is not added up");
    }
}
