//! All findings as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::finding::{Finding, Status};
use crate::output::{Report, word};

/// The overall result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No error. There may be warnings and unknowns.
    Fine,
    /// At least one error; with `--strict` at least one warning.
    Failed,
    /// The configuration itself is wrong.
    Configuration,
}

/// All findings, in the order of the catalogue.
#[derive(Clone, Debug, Serialize)]
pub struct Checks {
    /// No finding is an error; with `--strict` none is a warning either.
    pub ok: bool,
    pub checks: Vec<Finding>,
    /// The text has everything, not only what is not fine.
    #[serde(skip)]
    verbose: bool,
    /// Nothing else was checked, because the configuration is wrong.
    #[serde(skip)]
    is_refused: bool,
}

impl Checks {
    pub(super) fn new(checks: Vec<Finding>) -> Self {
        let ok = checks.iter().all(|check| check.status != Status::Error);
        Self { ok, checks, verbose: false, is_refused: false }
    }

    /// The configuration is wrong, so nothing else was checked.
    pub(super) fn refused(checks: Vec<Finding>) -> Self {
        Self { is_refused: true, ..Self::new(checks) }
    }

    /// A warning counts as a failure.
    #[must_use]
    pub fn strict(self) -> Self {
        let has_warning = self.checks.iter().any(|check| check.status == Status::Warning);
        Self { ok: self.ok && !has_warning, ..self }
    }

    /// The text has everything, if `verbose`.
    #[must_use]
    pub fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// The overall result.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is_configuration =
            |check: &Finding| check.status == Status::Error && ["config.parse", "config.relations"].contains(&check.id);
        match self.ok {
            true => Verdict::Fine,
            false if self.checks.iter().any(is_configuration) => Verdict::Configuration,
            false => Verdict::Failed,
        }
    }

    /// The findings that the text shows: those with the same unknown in one entry.
    fn shown(&self) -> Vec<(Vec<&'static str>, &Finding)> {
        let mut shown: Vec<(Vec<&'static str>, &Finding)> = Vec::new();
        let is_quiet = |check: &&Finding| !self.verbose && matches!(check.status, Status::Ok | Status::Skipped);
        for check in self.checks.iter().filter(|check| !is_quiet(check)) {
            let is_twin = |other: &Finding| {
                let key = |it: &Finding| (it.status, it.section, it.subject.clone(), it.message.clone());
                check.status == Status::Unknown && key(other) == key(check) && other.advice == check.advice
            };
            match shown.iter_mut().find(|(_, other)| is_twin(other)) {
                Some((ids, _)) if !self.verbose => ids.push(check.id),
                Some(_) | None => shown.push((vec![check.id], check)),
            }
        }
        shown
    }

    /// `41 checks fine, 1 warning`: a check of several boilers counts once, by its worst finding.
    fn sum(&self) -> String {
        let mut worst: BTreeMap<&str, Status> = BTreeMap::new();
        for check in &self.checks {
            let known = worst.entry(check.id).or_insert(check.status);
            *known = (*known).max(check.status);
        }
        let count = |status| worst.values().filter(|found| **found == status).count();
        let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut sums = vec![plural(count(Status::Ok), "check") + " fine"];
        for (status, what) in [(Status::Warning, "warning"), (Status::Error, "error")] {
            sums.extend(Some(count(status)).filter(|count| *count > 0).map(|count| plural(count, what)));
        }
        sums.extend(Some(count(Status::Unknown)).filter(|count| *count > 0).map(|count| format!("{count} unknown")));
        let left_out = count(Status::Skipped);
        let how = if self.verbose { "" } else { " (-v shows why)" };
        sums.extend((left_out > 0).then(|| format!("{left_out} left out{how}")));
        let rest = if self.is_refused { "; the rest needs a correct configuration" } else { "" };
        sums.join(", ") + rest
    }
}

impl Report for Checks {
    /// By section what is not fine, or all; what to do about it below; and the totals.
    fn text(&self) -> String {
        let mut text = String::new();
        let shown = self.shown();
        let name = |(ids, check): &(Vec<&str>, &Finding)| match (&check.subject, &ids[..]) {
            (Some(subject), [id]) => format!("{id} {subject}"),
            (None, [id]) => (*id).to_owned(),
            (Some(subject), ids) => format!("{} checks of {subject}", ids.len()),
            (None, ids) => format!("{} checks", ids.len()),
        };
        let width = shown.iter().map(|entry| name(entry).chars().count()).max().unwrap_or(0);
        let indent = 2 + 8 + width + 1;
        let mut section = None;
        for entry in &shown {
            let (ids, check) = entry;
            if section.replace(check.section) != Some(check.section) {
                writeln!(text, "{}", check.section).expect(STRING);
            }
            let message = check.message.replace('\n', &format!("\n{:indent$}", ""));
            writeln!(text, "  {:<7} {:<width$} {message}", word(&check.status), name(entry)).expect(STRING);
            if ids.len() > 1 {
                writeln!(text, "{:indent$}{}", "", ids.join(" ")).expect(STRING);
            }
            if let Some(advice) = &check.advice {
                let advice = advice.replace('\n', &format!("\n{:indent$}   ", ""));
                writeln!(text, "{:indent$}-> {advice}", "").expect(STRING);
            }
            if let Some(fix) = &check.fix {
                writeln!(text, "{:indent$}$ {}", "", shell(fix)).expect(STRING);
            }
        }
        let line = if shown.is_empty() { "" } else { "\n" };
        writeln!(text, "{line}{}", self.sum()).expect(STRING);
        text
    }
}

/// A command as a shell takes it.
pub(super) fn shell(command: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

const STRING: &str = "writing to a string does not fail";

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Checks {
        Checks::new(vec![
            Finding::new("config.parse", Status::Ok, "fine"),
            Finding::new("port.present", Status::Error, "gone").about("b1").advise("plug it in"),
            Finding::new("port.present", Status::Ok, "there").about("b2"),
            Finding::new("port.free", Status::Unknown, "not checked").about("b1"),
            Finding::new("port.access", Status::Unknown, "not checked").about("b1"),
            Finding::new("nats.login", Status::Warning, "odd").fix(&["echo", "two words"]),
            Finding::new("unit.state", Status::Skipped, "no systemd"),
        ])
    }

    #[test]
    fn text_has_what_is_not_fine_by_section() {
        assert_eq!(
            report().text(),
            "ports\n\
             \x20 error   port.present b1 gone\n\
             \x20                         -> plug it in\n\
             \x20 unknown 2 checks of b1  not checked\n\
             \x20                         port.free port.access\n\
             server\n\
             \x20 warning nats.login      odd\n\
             \x20                         $ echo 'two words'\n\n\
             1 check fine, 1 warning, 1 error, 2 unknown, 1 left out (-v shows why)\n"
        );
    }

    #[test]
    fn verbose_text_has_everything() {
        let text = report().verbose(true).text();
        for line in ["ok      config.parse", "skipped unit.state", "unknown port.access b1", "ok      port.present b2"]
        {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let fine = Checks::new(vec![Finding::new("config.parse", Status::Ok, "fine")]);
        assert_eq!(fine.text(), "1 check fine\n");
    }

    #[test]
    fn warning_fails_only_if_strict() {
        let checks = || Checks::new(vec![Finding::new("nats.login", Status::Warning, "odd")]);
        assert_eq!(checks().verdict(), Verdict::Fine);
        assert_eq!(checks().strict().verdict(), Verdict::Failed);
        assert_eq!(report().verdict(), Verdict::Failed);
        let open = Checks::new(vec![Finding::new("config.secrets", Status::Error, "open")]);
        assert_eq!(open.verdict(), Verdict::Failed, "the configuration can be read all the same");
        let wrong = Checks::refused(vec![Finding::new("config.parse", Status::Error, "wrong")]);
        assert_eq!(wrong.verdict(), Verdict::Configuration);
        assert!(wrong.text().ends_with("0 checks fine, 1 error; the rest needs a correct configuration\n"));
    }
}
