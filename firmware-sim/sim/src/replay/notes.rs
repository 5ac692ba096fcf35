//! What a reader of the file has to know, in a bounded number of lines.

/// How many rows that are not understood are named one by one.
const NAMED_MAX: usize = 20;

/// Rows that are not understood, and remarks.
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

    /// One more row was read.
    pub(super) fn row(&mut self) {
        self.rows += 1;
    }

    /// The row at `line` is not played, because of `what`.
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

    /// Something that a reader would not expect at `line`.
    pub(super) fn remark(&mut self, line: u64, what: &str) {
        self.remarks.push(format!("{}:{line}: {what}", self.name));
    }

    /// How many rows were read, how many of them are not played, and the first of these in words.
    pub(super) fn unread_of(&self) -> (u64, u64, &str) {
        (self.rows, self.unread, &self.first)
    }

    /// All of it, one line each.
    pub(super) fn into_lines(self) -> Vec<String> {
        let more = self.unread - self.lines.len() as u64;
        let more = (more > 0).then(|| format!("{}: {more} more rows are not understood and not played", self.name));
        self.lines.into_iter().chain(more).chain(self.remarks).collect()
    }
}
