//! Predictions, measurements, and the table of both.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The prediction of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Predicted {
    /// What is missing in SAMPLES afterwards.
    pub(super) lost: Lost,
    /// Time from the end of the fault until everything is there, in seconds. The machine may be busy
    /// with other rows.
    pub(super) within_s: u64,
    /// Whether the hours, the average and the reason of each gap also agree with the account. Not if the calendar
    /// steps: the account has only the true time.
    pub(super) hours: bool,
}

impl Predicted {
    /// Nothing is lost, and everything is there within so many seconds.
    pub(super) fn nothing(within_s: u64) -> Self {
        Self { lost: Lost::Nothing, within_s, hours: true }
    }
}

/// What is missing afterwards. Nothing may be stored twice, out of order or with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Nothing,
    /// What the rings had overwritten when the gateway asked for it, by the simulator's account; more than nothing.
    /// Exact if the agent keeps running and asks once; an agent that starts may read slots that are overwritten then.
    Overwritten,
    /// At most so many slots for each fault: what a device had sampled and not yet sent when it was switched off.
    Unsent {
        each: u64,
    },
}

impl Lost {
    /// As text.
    pub(super) fn words(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Overwritten => "what the rings had overwritten".to_owned(),
            Self::Unsent { each } => format!("at most {each} slots each time"),
        }
    }
}

/// The measurements of a row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Number of injected faults.
    pub(super) injected: u64,
    /// Slots that the simulator sampled, up to the last one in SAMPLES.
    pub(super) sent: u64,
    /// Of those, not in SAMPLES.
    pub(super) lost: u64,
    /// Of those, not named as missing either.
    pub(super) unnamed: u64,
    /// The predicted range of `lost`.
    pub(super) expected: (u64, u64),
    /// Slots that are stored more than once.
    pub(super) twice: u64,
    /// Messages that begin before the end of the previous one.
    pub(super) back: u64,
    /// The longest recovery.
    pub(super) recovery_ms: Option<u64>,
    /// Other deviations.
    pub(super) findings: Vec<String>,
}

/// The result of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "because")]
pub(super) enum Verdict {
    AsPredicted,
    /// The deviations.
    Otherwise(Vec<String>),
    /// The reason why it cannot run here.
    Skipped(String),
}

/// A line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) row: String,
    /// A description of the fault.
    pub(super) fault: String,
    pub(super) verdict: Verdict,
    /// The measurements; `None` if the row did not run to its end.
    pub(super) measured: Option<Measured>,
}

/// Compares what was measured with what was predicted.
pub(super) fn judge(predicted: &Predicted, measured: &Measured) -> Verdict {
    let mut otherwise = measured.findings.clone();
    let mut must = |holds: bool, what: String| {
        if !holds {
            otherwise.push(what);
        }
    };
    let Measured { injected, sent, lost, unnamed, expected: (from, to), twice, back, recovery_ms, findings: _ } =
        *measured;
    must(injected > 0, "no fault was injected".to_owned());
    must(sent > 0, "nothing was sampled".to_owned());
    must((from..=to).contains(&lost), format!("{lost} slots are lost, predicted were {}", span(from, to)));
    must(unnamed == 0, format!("{unnamed} lost slots are not named"));
    must(twice == 0, format!("{twice} slots are there twice"));
    must(back == 0, format!("{back} messages are out of order"));
    must(predicted.lost != Lost::Overwritten || from > 0, "the rings had overwritten nothing".to_owned());
    let limit_ms = predicted.within_s * 1_000;
    let recovered = recovery_ms.is_some_and(|ms| ms <= limit_ms);
    must(recovered, format!("recovery took {}, predicted was at most {} s", seconds(recovery_ms), predicted.within_s));
    if otherwise.is_empty() { Verdict::AsPredicted } else { Verdict::Otherwise(otherwise) }
}

/// Whether no row deviates from its prediction.
pub(super) fn ok(lines: &[Line]) -> bool {
    lines.iter().all(|line| !matches!(line.verdict, Verdict::Otherwise(_)))
}

/// The table for the report.
pub(super) fn table(lines: &[Line]) -> String {
    const HEAD: &str =
        "| fault | times | samples sent | lost | predicted | twice | out of order | recovery | verdict |";
    let mut text = format!("{HEAD}\n|---|---:|---:|---:|---:|---:|---:|---:|---|\n");
    for line in lines {
        let verdict = match &line.verdict {
            Verdict::AsPredicted => "as predicted".to_owned(),
            Verdict::Otherwise(_) => "**NOT as predicted**".to_owned(),
            Verdict::Skipped(reason) => format!("SKIPPED: {reason}"),
        };
        let numbers = match &line.measured {
            Some(Measured { injected, sent, lost, expected, twice, back, recovery_ms, .. }) => {
                let (expected, recovery) = (span(expected.0, expected.1), seconds(*recovery_ms));
                format!("{injected} | {sent} | {lost} | {expected} | {twice} | {back} | {recovery}")
            }
            None => "– | – | – | – | – | – | –".to_owned(),
        };
        let _always_fits = writeln!(text, "| {} | {numbers} | {verdict} |", line.fault);
    }
    text
}

/// The deviations, one per line.
pub(super) fn complaints(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        if let Verdict::Otherwise(reasons) = &line.verdict {
            for reason in reasons {
                let _always_fits = writeln!(text, "{}: {reason}", line.row);
            }
        }
    }
    text
}

fn span(from: u64, to: u64) -> String {
    if from == to { from.to_string() } else { format!("{from} to {to}") }
}

fn seconds(ms: Option<u64>) -> String {
    ms.map_or("–".to_owned(), |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Predicted = Predicted { lost: Lost::Nothing, within_s: 10, hours: true };

    fn good() -> Measured {
        Measured { injected: 3, sent: 1_000, recovery_ms: Some(900), ..Measured::default() }
    }

    #[test]
    fn matching_measurements_are_as_predicted() {
        assert_eq!(judge(&NOTHING, &good()), Verdict::AsPredicted);
        let ring = Predicted { lost: Lost::Overwritten, ..NOTHING };
        let lost = Measured { lost: 7, expected: (7, 7), ..good() };
        assert_eq!(judge(&ring, &lost), Verdict::AsPredicted);
    }

    #[test]
    fn each_deviation_is_named() {
        let ring = Predicted { lost: Lost::Overwritten, ..NOTHING };
        for (predicted, measured, reason) in [
            (NOTHING, Measured { injected: 0, ..good() }, "no fault was injected"),
            (NOTHING, Measured { sent: 0, ..good() }, "nothing was sampled"),
            (NOTHING, Measured { lost: 1, ..good() }, "1 slots are lost, predicted were 0"),
            (NOTHING, Measured { expected: (2, 5), ..good() }, "0 slots are lost, predicted were 2 to 5"),
            (ring, Measured { lost: 7, unnamed: 2, expected: (7, 7), ..good() }, "2 lost slots are not named"),
            (NOTHING, Measured { twice: 4, ..good() }, "4 slots are there twice"),
            (NOTHING, Measured { back: 1, ..good() }, "1 messages are out of order"),
            (ring, good(), "the rings had overwritten nothing"),
            (NOTHING, Measured { recovery_ms: Some(10_001), ..good() }, "recovery took 10.0 s"),
            (NOTHING, Measured { recovery_ms: None, ..good() }, "recovery took –"),
            (NOTHING, Measured { findings: vec!["a finding".into()], ..good() }, "a finding"),
        ] {
            let Verdict::Otherwise(reasons) = judge(&predicted, &measured) else { panic!("not seen: {reason}") };
            assert!(reasons.len() == 1 && reasons[0].starts_with(reason), "{reasons:?}");
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_row() {
        let line = |verdict, measured| Line { row: "r".into(), fault: "a fault".into(), verdict, measured };
        let skipped = line(Verdict::Skipped("no root".into()), None);
        let lines = [line(Verdict::AsPredicted, Some(good())), skipped];
        let text = table(&lines);
        assert!(text.contains("| a fault | 3 | 1000 | 0 | 0 | 0 | 0 | 0.9 s | as predicted |"), "{text}");
        assert!(text.contains("| a fault | – | – | – | – | – | – | – | SKIPPED: no root |"), "{text}");
        assert!(ok(&lines), "a skipped row is no failure");
        let wrong = line(Verdict::Otherwise(vec!["wet".into()]), None);
        assert!(!ok(std::slice::from_ref(&wrong)) && complaints(&[wrong]) == "r: wet\n");
    }
}
