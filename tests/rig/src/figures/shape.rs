//! A figure, its budget, and the table of them.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::build;
pub(super) use crate::numbers::percentile;
use crate::numbers::thousands;

/// Maximum size of the binary, MB.
const SIZE_MAX: f64 = 7.5;

/// The budget of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Budget {
    /// No budget: the figure is shown for comparison.
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// A description.
    pub(super) what: String,
    /// The value.
    pub(super) measured: f64,
    /// Its unit.
    pub(super) unit: &'static str,
    pub(super) budget: Budget,
    /// Whether the budget is kept; `None` without a budget.
    pub(super) ok: Option<bool>,
    /// How it was measured.
    pub(super) how: String,
}

impl Figure {
    pub(super) fn new(
        what: impl Into<String>,
        measured: f64,
        unit: &'static str,
        budget: Budget,
        how: impl Into<String>,
    ) -> Self {
        let ok = match budget {
            Budget::None => None,
            Budget::AtMost(bound) => Some(measured <= bound),
            Budget::AtLeast(bound) => Some(measured >= bound),
        };
        Self { what: what.into(), measured, unit, budget, ok, how: how.into() }
    }
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "what is counted here stays far below 2^53")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The size of the shipped program.
pub(super) fn size(binary: &Path) -> Result<Figure> {
    let bytes = std::fs::read(binary).with_context(|| binary.display().to_string())?;
    let size = real(u64::try_from(bytes.len()).unwrap_or(0)) / 1e6;
    let dynamic = bytes.windows(10).any(|name| name == b"/ld-linux-" || name == b"/ld-musl-x");
    let how = if dynamic { "NOT static: it names a dynamic loader".to_owned() } else { format!("`{}`", build()) };
    Ok(Figure::new("the program", size, "MB", Budget::AtMost(SIZE_MAX), how))
}

/// The figures as a Markdown table.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | measured | budget | | how |\n|---|---|---|---|---|\n");
    for figure in figures {
        let unit = figure.unit;
        let measured = format!("{} {unit}", number(figure.measured));
        let budget = match figure.budget {
            Budget::None => "–".to_owned(),
            Budget::AtMost(bound) => format!("≤ {} {unit}", number(bound)),
            Budget::AtLeast(bound) => format!("≥ {} {unit}", number(bound)),
        };
        let ok = match figure.ok {
            Some(true) => "ok",
            Some(false) => "**MISSED**",
            None => "",
        };
        let _always_fits = writeln!(text, "| {} | {measured} | {budget} | {ok} | {} |", figure.what, figure.how);
    }
    text
}

/// Three significant digits, with thousands separators.
fn number(value: f64) -> String {
    if value >= 1_000.0 {
        return thousands(&format!("{value:.0}"));
    }
    let text = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (0.7, "0.7"), (11.234, "11.23"), (450.4, "450"), (5_000_000.0, "5,000,000")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_budget_is_kept_or_missed() {
        let figure = |measured, budget| Figure::new("x", measured, "ms", budget, "");
        assert_eq!(figure(1.0, Budget::None).ok, None);
        assert_eq!(figure(1.0, Budget::AtMost(1.0)).ok, Some(true));
        assert_eq!(figure(1.1, Budget::AtMost(1.0)).ok, Some(false));
        assert_eq!(figure(0.9, Budget::AtLeast(1.0)).ok, Some(false));
        assert!(table(&[figure(1.1, Budget::AtMost(1.0))]).contains("| x | 1.1 ms | ≤ 1 ms | **MISSED** |"));
    }
}
