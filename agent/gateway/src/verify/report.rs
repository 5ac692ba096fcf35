//! The report: a line for each hour, and the totals.

use serde::Serialize;
use thermowell_flow::published::Missing;
use thermowell_wire::BoilerId;

use super::compare::Difference;
use crate::output::Report;

/// The header of the lines of text.
pub const HEADER: &str = "boiler hour                     slots   counted  missing\n";
/// The most differences in a line of text; the rest are counted.
const NAMED_MAX: usize = 6;

/// The result for one hour; see the table in `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Equal,
    Moved,
    Different,
    NoSamples,
    NoSnapshot,
    Open,
}

/// One hour, or one malformed message of SNAPSHOT.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub boiler: BoilerId,
    /// The beginning of the hour, RFC 3339; none for a malformed message.
    pub hour: Option<String>,
    pub verdict: Verdict,
    /// The sequence in SNAPSHOT.
    pub sequence: Option<u64>,
    /// Slots in the recomputed hour.
    pub slots: Option<u64>,
    /// Slots in the mean.
    pub counted: Option<u64>,
    /// Slots that are not in the mean, by reason.
    pub missing: Option<Missing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The hour has an earlier line.
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
            repeats: false,
        }
    }
}

impl Report for Line {
    fn text(&self) -> String {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let hour = self.hour.as_deref().unwrap_or("-");
        let (slots, counted) = (number(self.slots), number(self.counted));
        let missing = match &self.missing {
            None => "-".to_owned(),
            Some(missing) if missing.total() == 0 => "0".to_owned(),
            Some(missing) => format!("{} ({missing})", missing.total()),
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
            text += &format!(" ({})", details.join("; "));
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
            Self::Moved => "equal numbers, SAMPLES refilled since",
            Self::Different => "DIFFERENT",
            Self::NoSamples => "samples gone",
            Self::NoSnapshot => "no snapshot",
            Self::Open => "open",
        }
    }
}

/// The totals of all lines: the number of lines by verdict, and the slots of the recomputed hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// All compared hours agree, and no snapshot is missing before a stored one.
    pub agrees: bool,
    pub equal: u64,
    pub moved: u64,
    pub different: u64,
    pub no_samples: u64,
    pub no_snapshot: u64,
    /// Of `no_snapshot`, the hours before a stored one.
    pub lost_snapshots: u64,
    pub open: u64,
    pub slots: u64,
    pub counted: u64,
    pub missing: Missing,
    #[serde(skip)]
    boilers: usize,
}

impl Sum {
    pub(super) fn of(boilers: usize) -> Self {
        Self { agrees: true, boilers, ..Self::default() }
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
        // With a note that a later hour is stored.
        self.lost_snapshots += u64::from(line.verdict == Verdict::NoSnapshot && line.note.is_some());
        self.agrees = self.different == 0 && self.lost_snapshots == 0;
        let is_recomputed = matches!(line.verdict, Verdict::Equal | Verdict::Moved | Verdict::Different);
        if let (true, false, Some(slots), Some(counted), Some(missing)) =
            (is_recomputed, line.repeats, line.slots, line.counted, line.missing)
        {
            self.slots += slots;
            self.counted += counted;
            self.missing += missing;
        }
    }
}

impl Report for Sum {
    fn text(&self) -> String {
        let Self { equal, moved, different, no_samples, no_snapshot, open, slots, counted, missing, .. } = self;
        let boilers = if self.boilers == 1 { "1 boiler".to_owned() } else { format!("{} boilers", self.boilers) };
        let mut text = format!("\n{boilers}: {equal} equal, {different} DIFFERENT");
        for (count, word) in [
            (moved, "with refilled samples"),
            (no_samples, "whose samples are gone"),
            (no_snapshot, "without a snapshot"),
            (open, "open"),
        ] {
            if *count > 0 {
                text += &format!(", {count} {word}");
            }
        }
        let total = missing.total();
        let by = if total == 0 { String::new() } else { format!(" ({missing})") };
        let verdict = match (self.agrees, equal + moved) {
            (false, _) => "NOT everything agrees",
            (true, 0) => "nothing could be compared",
            (true, _) => "everything that can be compared agrees",
        };
        text + &format!("\n{slots} slots = {counted} counted + {total} missing{by}\n{verdict}\n")
    }
}

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

    fn sum(lines: &[Line]) -> Sum {
        let mut sum = Sum::of(1);
        lines.iter().for_each(|line| sum.add(line));
        sum
    }

    fn tampered() -> Line {
        let celsius = |celsius: f64| Some(serde_json::Value::from(celsius));
        let field = "temperature".to_owned();
        let differences = vec![Difference { field, stored: celsius(12.0), recomputed: celsius(52.13) }];
        Line { differences, ..line(Verdict::Different) }
    }

    #[test]
    fn text_has_columns_and_totals() {
        let open = Line::new("b1".parse().unwrap(), Some("2026-01-07T04:00:00Z".to_owned()), Verdict::Open);
        let lines = [line(Verdict::Equal), tampered(), open];
        let sum = sum(&lines);
        let text = HEADER.to_owned() + &lines.each_ref().map(Line::text).concat() + &sum.text();
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
        assert!(!sum.agrees);
    }

    #[test]
    fn json_has_a_line_per_hour_and_totals_last() {
        let lines = [line(Verdict::Equal), tampered()];
        let json = lines.each_ref().map(Line::json).concat() + &sum(&lines).json();
        let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["verdict"], &lines[0]["missing"]["ring"]), (3, &"equal".into(), &40.into()));
        assert_eq!(lines[0].get("differences"), None);
        assert_eq!(lines[1]["differences"][0]["field"], "temperature");
        assert_eq!((&lines[2]["agrees"], &lines[2]["different"]), (&false.into(), &1.into()));
    }

    #[test]
    fn missing_snapshot_fails_only_before_a_stored_one() {
        let last = line(Verdict::NoSnapshot);
        assert!(sum(&[line(Verdict::Equal), last.clone()]).agrees);
        assert!(!sum(&[Line { note: Some("a later hour has one".to_owned()), ..last }, line(Verdict::Equal)]).agrees);
        let sum = sum(&[line(Verdict::NoSamples)]);
        assert!(sum.agrees && sum.text().ends_with("nothing could be compared\n"), "{}", sum.text());
        assert_eq!(sum.slots, 0, "hours that were not recomputed are not summed");
    }
}
