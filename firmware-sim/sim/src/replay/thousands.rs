//! Decides whether a comma separates decimals or thousands.
//!
//! `1,041` is 1.041 in Berlin and 1041 in Boston. Another cell of the column decides: `42,5` has a decimal comma, and
//! so has `21,375`, because there are no 21,375 degrees; `998.5` and `1,041.5` have a decimal point. If no cell
//! decides, the column is refused. A point is a decimal one unless [`DecimalSign::Comma`] is given.

use std::str::FromStr;

use super::ReplayError;
use super::table::quoted;

/// The sign before the decimals; the other sign separates thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalSign {
    /// `1.041,5`.
    Comma,
    /// `1,041.5`.
    Point,
}

impl FromStr for DecimalSign {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        match text {
            "comma" => Ok(Self::Comma),
            "point" => Ok(Self::Point),
            _ => Err(ReplayError::DecimalText(text.to_owned())),
        }
    }
}

impl DecimalSign {
    /// Removes separators of thousands and sets a decimal point; None if `number` has another form.
    pub(super) fn plain(self, number: &str) -> Option<String> {
        let (decimal, thousand) = match self {
            Self::Comma => (',', '.'),
            Self::Point => ('.', ','),
        };
        let (whole, part) = number.split_once(decimal).map_or((number, None), |(whole, part)| (whole, Some(part)));
        if part.is_some_and(|part| part.contains([decimal, thousand])) {
            return None;
        }
        let mut groups = whole.split(thousand);
        let first = groups.next().unwrap_or_default();
        let digits = first.trim_start_matches(['-', '+', '\u{2212}']).len();
        let grouped = whole.contains(thousand);
        if grouped && !((1..=3).contains(&digits) && groups.all(is_three_digits)) {
            return None;
        }
        let whole = whole.replace(thousand, "");
        Some(match part {
            Some(part) => format!("{whole}.{part}"),
            None => whole,
        })
    }
}

/// The decimal sign of a column; None if each cell is unambiguous by itself. `cells` are the numbers with their lines.
pub(super) fn decide(
    name: &str,
    cells: impl Iterator<Item = (u64, String)>,
) -> Result<Option<DecimalSign>, ReplayError> {
    let (mut open, mut both, mut comma, mut point) = (None, false, false, false);
    for (line, cell) in cells {
        if !cell.chars().any(|c| c.is_ascii_digit()) {
            continue;
        }
        match (cell.rfind(','), cell.rfind('.')) {
            (Some(at), Some(dot)) => {
                both = true;
                comma |= at > dot;
                point |= dot > at;
            }
            (Some(_), None) if is_open(&cell) => {
                open.get_or_insert_with(|| (line, quoted(&cell)));
            }
            (Some(_), None) => comma = true,
            (None, Some(_)) => point = true,
            (None, None) => {}
        }
    }
    match (open, comma, point) {
        (None, ..) if !both => Ok(None),
        (_, true, false) if both => Ok(Some(DecimalSign::Comma)),
        // A point in such a column is unambiguous.
        (_, true, false) => Ok(None),
        (_, false, true) => Ok(Some(DecimalSign::Point)),
        (Some((line, text)), ..) => Err(ReplayError::Decimal { name: name.to_owned(), line, text }),
        (None, ..) => Ok(None),
    }
}

/// Whether the comma is ambiguous: one digit that is not 0, a comma, and three digits.
fn is_open(cell: &str) -> bool {
    let number = cell.trim_start_matches(['-', '+', '\u{2212}']);
    let Some((whole, part)) = number.split_once(',') else { return false };
    matches!(whole.as_bytes(), [b'1'..=b'9']) && is_three_digits(part)
}

fn is_three_digits(part: &str) -> bool {
    part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit())
}
