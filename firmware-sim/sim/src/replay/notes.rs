//! Notes about a file for its user, in a bounded number of lines.

/// Most rows that are reported one by one.
const NAMED_MAX: usize = 20;

/// Rows that cannot be parsed, and remarks.
#[derive(Debug)]
pub(super) struct Notes {
    name: String,
    lines: Vec<String>,
    rows: u64,
    unread: u64,
    first: String,
    remarks: Vec<String>,
}

impl Notes {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), lines: Vec::new(), rows: 0, unread: 0, first: String::new(), remarks: Vec::new() }
    }

    /// Counts a row.
    pub(super) fn row(&mut self) {
        self.rows += 1;
    }

    /// Reports that the row at `line` is not played.
    pub(super) fn unread(&mut self, line: u64, what: impl FnOnce() -> String) {
        self.unread += 1;
        if self.lines.len() < NAMED_MAX {
            let what = what();
            self.lines.push(format!("{}:{line}: {what}; not played", self.name));
            if self.first.is_empty() {
                self.first = format!("line {line}, {what}");
            }
        }
    }

    /// Reports something unexpected at `line`.
    pub(super) fn remark(&mut self, line: u64, what: &str) {
        self.remarks.push(format!("{}:{line}: {what}", self.name));
    }

    /// Number of rows, number of those not played, and the first of these in words.
    pub(super) fn unread_of(&self) -> (u64, u64, &str) {
        (self.rows, self.unread, &self.first)
    }

    /// All notes, one per line.
    pub(super) fn into_lines(self) -> Vec<String> {
        let more = self.unread - self.lines.len() as u64;
        let more = (more > 0).then(|| format!("{}: {more} more rows cannot be parsed; not played", self.name));
        self.lines.into_iter().chain(more).chain(self.remarks).collect()
    }
}
