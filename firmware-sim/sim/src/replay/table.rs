//! A table of text: its separator, header, columns and records.

use std::borrow::Cow;
use std::io::Cursor;
use std::str::FromStr;

use csv::{ByteRecord, Position, Reader, ReaderBuilder};

use super::decimal::Decimal;
use super::stamp::{self, Stamp};
use super::{Column, ReplayError, is_missing, text};

/// Characters of a line quoted in a message.
const QUOTED_CHARS: usize = 60;

/// Chooses the rows whose `column` holds `value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub column: Column,
    /// The whole cell.
    pub value: String,
}

impl FromStr for Filter {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let (column, value) = text.split_once('=').ok_or_else(|| ReplayError::Filter(text.to_owned()))?;
        let Ok(column) = column.trim().parse();
        Ok(Self { column, value: value.trim().to_owned() })
    }
}

/// A text whose separator and header are known.
#[derive(Debug)]
pub(super) struct Table<'a> {
    name: &'a str,
    text: &'a [u8],
    /// Line of the file at which `text` begins.
    first_line: u64,
    separator: u8,
    first: Vec<String>,
    /// The first record holds the names of the columns.
    pub(super) headed: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) line: u64,
    fields: ByteRecord,
    /// Its number of fields fits the header.
    pub(super) fits: bool,
    /// A quote is not closed in its line.
    pub(super) open: bool,
    /// It is the last one, and has no line end.
    pub(super) cut: bool,
}

impl Record {
    /// The cell at `place`, from 0.
    pub(super) fn cell(&self, place: usize) -> Cow<'_, str> {
        text::cell(self.fields.get(place).unwrap_or_default())
    }

    /// The number of fields.
    pub(super) fn width(&self) -> usize {
        self.fields.len()
    }

    /// The number of fields up to the last one that is not empty.
    pub(super) fn filled(&self) -> usize {
        filled(&self.fields)
    }
}

impl<'a> Table<'a> {
    /// Detects the format of `text`. `column` is the one to be played.
    pub(super) fn new(name: &'a str, text: &'a [u8], skip: u32, column: &Column) -> Result<Self, ReplayError> {
        let (mut text, mut first_line) = (text, 1);
        let mut skip_line = |text: &mut &'a [u8]| {
            let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |place| place + 1);
            *text = &text[end..];
            first_line += 1;
        };
        for _ in 0..skip {
            skip_line(&mut text);
        }
        let first = text.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !text::cell(line).is_empty());
        let mut separator = separator(first.unwrap_or_default());
        // A spreadsheet's `sep=` line.
        if let [b's', b'e', b'p', b'=', named] = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii() {
            separator = *named;
            skip_line(&mut text);
        }
        let mut table = Self { name, text, first_line, separator, first: Vec::new(), headed: false };
        let mut records = table.records();
        let Some(first) = records.next() else { return Err(ReplayError::Empty { name: name.to_owned() }) };
        let headed = is_header(&first, records.next().as_ref(), column);
        drop(records);
        table.first = (0..first.width()).map(|place| first.cell(place).into_owned()).collect();
        table.headed = headed;
        Ok(table)
    }

    /// Heading of the column at `place`; empty without a header.
    pub(super) fn heading(&self, place: usize) -> &str {
        if self.headed { &self.first[place] } else { "" }
    }

    /// `7 "flow"`, or `7` without a header.
    pub(super) fn label(&self, place: usize) -> String {
        match self.heading(place) {
            "" => (place + 1).to_string(),
            heading => format!("{} \"{heading}\"", place + 1),
        }
    }

    pub(super) fn headings(&self) -> impl Iterator<Item = &str> {
        self.first.iter().filter(|_| self.headed).map(String::as_str)
    }

    pub(super) fn width(&self) -> usize {
        self.first.len()
    }

    /// Number of columns with a name, or of all without a header.
    pub(super) fn named(&self) -> usize {
        let last = self.first.iter().rposition(|heading| !self.headed || !heading.is_empty());
        last.map_or(0, |place| place + 1)
    }

    /// Index of a column, from 0.
    pub(super) fn find(&self, column: &Column) -> Result<usize, ReplayError> {
        let fits: Vec<usize> = match column {
            Column::Number(number) => (1..=self.width()).filter(|n| n == number).map(|n| n - 1).collect(),
            Column::Name(wanted) => {
                let wanted = wanted.trim();
                let places = |fits: &dyn Fn(&str) -> bool| {
                    self.first.iter().enumerate().filter(|(_, heading)| fits(heading)).map(|(place, _)| place).collect()
                };
                let whole: Vec<usize> = places(&|heading| heading == wanted);
                let part = |heading: &str| heading.to_lowercase().contains(&wanted.to_lowercase());
                if whole.is_empty() { places(&part) } else { whole }
            }
        };
        match fits[..] {
            [place] => Ok(place),
            _ => Err(ReplayError::Column {
                name: self.name.to_owned(),
                column: column.to_string(),
                found: fits.len(),
                header: self.columns(),
            }),
        }
    }

    /// The columns with their numbers, up to 40 of them.
    fn columns(&self) -> String {
        const LISTED: usize = 40;
        let listed =
            self.first.iter().zip(1..).take(LISTED).map(|(text, number)| format!("{number} `{}`", quoted(text)));
        let more = self.width().checked_sub(LISTED + 1).map(|more| format!("and {} more", more + 1));
        listed.chain(more).collect::<Vec<_>>().join(", ")
    }

    /// All records that are not empty, including the header.
    pub(super) fn records(&self) -> Records<'_> {
        let reader = ReaderBuilder::new()
            .delimiter(self.separator)
            .has_headers(false)
            .flexible(true)
            .from_reader(Cursor::new(self.text));
        Records {
            table: self,
            reader,
            may_be_cut: self.may_be_cut(),
            width: None,
            named: 0,
            first: ByteRecord::new(),
            line: self.first_line,
            counted: 0,
        }
    }

    /// Whether the last line may be cut: it has no line end, though others have, and no quote that ends its last cell.
    pub(super) fn may_be_cut(&self) -> bool {
        !self.text.ends_with(b"\"")
            && !matches!(self.text.last(), None | Some(b'\n' | b'\r' | 0x1a))
            && self.text.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    }

    /// The beginning of a line of the file.
    pub(super) fn quote(&self, line: u64) -> String {
        let place = usize::try_from(line.saturating_sub(self.first_line)).unwrap_or(usize::MAX);
        let line = self.text.split(|byte| *byte == b'\n').nth(place).unwrap_or_default();
        quoted(text::text(line).trim())
    }
}

/// Shortens `text` for a message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The separator, by the first line: the first of tab, semicolon, comma and bar found outside of quotes. Without any, a
/// line is one field, and a comma further down is a decimal one.
fn separator(first_line: &[u8]) -> u8 {
    let mut quoted = false;
    let outside: Vec<u8> = first_line
        .iter()
        .copied()
        .filter(|byte| {
            quoted ^= *byte == b'"';
            !quoted
        })
        .collect();
    [b'\t', b';', b',', b'|'].into_iter().find(|separator| outside.contains(separator)).unwrap_or(b'\t')
}

/// Whether the first record is a header. A column chosen by name requires one; by number, a file may do without. Then a
/// header is a record with a word above something else, or one whose cell in the column is a word.
fn is_header(first: &Record, second: Option<&Record>, column: &Column) -> bool {
    let Column::Number(number) = column else { return true };
    let above = |second: &Record| {
        let width = first.width().min(second.width());
        (0..width)
            .any(|place| is_word(&first.cell(place)) && !is_word(&second.cell(place)) && !second.cell(place).is_empty())
    };
    second.is_some_and(above) || is_word(&first.cell(number.saturating_sub(1)))
}

fn is_word(cell: &str) -> bool {
    let known = Decimal::parse(cell).is_some() || Stamp::parse(cell).is_some() || is_missing(cell);
    !known && stamp::date(cell).is_none() && stamp::clock(cell).is_none()
}

fn filled(fields: &ByteRecord) -> usize {
    fields.iter().rposition(|field| !field.trim_ascii().is_empty()).map_or(0, |place| place + 1)
}

/// The records of a table, in the order of the file.
#[derive(Debug)]
pub(super) struct Records<'a> {
    table: &'a Table<'a>,
    reader: Reader<Cursor<&'a [u8]>>,
    may_be_cut: bool,
    /// Number of fields of the first record, and the same without empty ones at its end.
    width: Option<usize>,
    named: usize,
    first: ByteRecord,
    /// Line number at byte `counted`.
    line: u64,
    counted: usize,
}

impl Records<'_> {
    fn line_at(&mut self, byte: usize) -> u64 {
        // After a damaged quote the reader goes back.
        let (from, until) = (self.counted.min(byte), self.counted.max(byte));
        let lines = self.table.text[from..until].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line = if byte < self.counted { self.line - lines } else { self.line + lines };
        self.counted = byte;
        self.line
    }

    /// Whether it has a field for each column, and nothing after the last one.
    fn fits(&self, fields: &ByteRecord) -> bool {
        let Some(width) = self.width else { return true };
        let columns = if self.table.headed { self.named } else { width };
        let beyond_is_empty = || fields.iter().skip(columns).all(|field| field.trim_ascii().is_empty());
        fields.len() >= self.named && beyond_is_empty()
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let text = self.table.text;
        loop {
            let mut fields = ByteRecord::new();
            let start = usize::try_from(self.reader.position().byte()).ok()?;
            // Reading from memory cannot fail, and records may have any length.
            if !self.reader.read_byte_record(&mut fields).ok()? {
                return None;
            }
            let cut = self.may_be_cut && self.reader.position().byte() == text.len() as u64;
            // The reader skips empty lines.
            let start = start + text[start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let line = self.line_at(start);
            let (mut fits, mut open) = (self.fits(&fields), false);
            if fields.iter().any(|field| field.contains(&b'\n')) {
                // A quote not closed in its line: the lines after it are read again.
                (fits, open) = (false, true);
                let end =
                    text[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| start + end + 1);
                let mut position = Position::new();
                position.set_byte(end as u64);
                self.reader.seek(position).ok()?;
            } else if fields.iter().all(|field| text::cell(field).is_empty()) {
                continue;
            }
            if self.width.is_none() {
                (self.width, self.named) = (Some(fields.len()), filled(&fields));
                self.first = fields.clone();
            } else if fields == self.first && self.table.headed {
                // Joined files repeat their header.
                continue;
            }
            return Some(Record { line, fields, fits, open, cut });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<(u64, Vec<String>, bool)> {
        let table = Table::new("t.csv", text.as_bytes(), 0, &Column::Name("a".to_owned())).unwrap();
        let cells = |record: &Record| (0..record.width()).map(|place| record.cell(place).into_owned()).collect();
        table.records().map(|record| (record.line, cells(&record), record.fits)).collect()
    }

    fn row(line: u64, cells: &[&str], fits: bool) -> (u64, Vec<String>, bool) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect(), fits)
    }

    #[test]
    fn first_line_determines_the_separator() {
        for (line, expected) in [("a\tb,c;d", b'\t'), ("a;b,c", b';'), ("a,b", b','), ("a|b", b'|'), ("a", b'\t')] {
            assert_eq!(separator(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(separator(b"\"a;b\",\"c\""), b',');
        assert_eq!(records("sep=;\r\na,x;b\r\n1;2\r\n"), [row(2, &["a,x", "b"], true), row(3, &["1", "2"], true)]);
    }

    #[test]
    fn records_are_checked_against_the_header() {
        let text = "\n\na,b,\n1,\"2, \"\"x\"\"\"\n ,\r\n1,2,,\n3\n4,5,6,\na,b,\n8,9\n";
        let expected = [
            row(3, &["a", "b", ""], true),
            row(4, &["1", "2, \"x\""], true),
            row(6, &["1", "2", "", ""], true),
            row(7, &["3"], false),
            row(8, &["4", "5", "6", ""], false),
            row(10, &["8", "9"], true),
        ];
        assert_eq!(records(text), expected);
    }

    #[test]
    fn open_quote_spoils_only_its_own_line() {
        let found = records("a,b\n1,\"2\n3,4\n5,6\n\"7,8\n9,10\n");
        let lines: Vec<(u64, bool)> = found.iter().map(|(line, _, fits)| (*line, *fits)).collect();
        assert_eq!(lines, [(1, true), (2, false), (3, true), (4, true), (5, false), (6, true)]);
    }

    #[test]
    fn header_is_a_word_above_something_else() {
        let headed = |text: &str| {
            let table = Table::new("t.csv", text.as_bytes(), 0, &Column::Number(2)).unwrap();
            table.headed
        };
        for text in ["time,flow\n1,2\n", "time,10\n2024-01-01 10:00,2\n", "a,b\nx,NaN\n", "time,flow\n"] {
            assert!(headed(text), "{text}");
        }
        for text in ["1,2\n3,4\n", "2024-01-01 10:00,NaN\n", "cellar,20\ncellar,21\n", "2024-01-01,1\n"] {
            assert!(!headed(text), "{text}");
        }
    }
}
