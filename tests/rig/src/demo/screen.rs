//! The demo's output: redrawn in place on a terminal, printed now and then elsewhere.
//!
//! On a terminal a frame overwrites the previous one line by line without clearing the screen: no flicker, and what
//! was printed earlier stays in the scroll-back. Messages go above the frame. A frame never has more lines or columns
//! than the terminal, since a wrapped line would shift the next frame.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{isatty, tcgetwinsize};

/// Interval of frames if they are not redrawn.
const REPORT: Duration = Duration::from_secs(10);
/// The assumed size of a terminal that does not report one.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The demo's output other than its report.
#[derive(Debug)]
pub(super) struct Screen {
    /// Standard output has only the JSON report.
    json: bool,
    terminal: bool,
    /// Lines of the frame above the cursor.
    drawn: usize,
    size: Size,
    printed: Option<Duration>,
    /// Messages of a stopped terminal. Each stands for a signal or for the death of a process, which has a back-off.
    waiting: Vec<String>,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Self { json, terminal, drawn: 0, size: USUAL, printed: None, waiting: Vec::new() }
    }

    /// The terminal's size; `None` without a terminal.
    pub(super) fn size(&mut self) -> Option<Size> {
        if !self.terminal {
            return None;
        }
        let size = if self.json { tcgetwinsize(io::stderr()) } else { tcgetwinsize(io::stdout()) };
        let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        let size = size.map_or(USUAL, |s| Size { columns: s.ws_col.into(), rows: s.ws_row.into() });
        if size != self.size && self.drawn > 0 {
            // The terminal has wrapped the old frame at another width: its height is unknown.
            self.put("\x1b[2J\x1b[H").unwrap_or_default();
            self.drawn = 0;
        }
        self.size = size;
        Some(size)
    }

    /// Prints a message above the frame, at once or as soon as the terminal reads again.
    pub(super) fn say(&mut self, message: &str) {
        if is_stopped(self.json) {
            self.waiting.push(message.to_owned());
            return;
        }
        self.erase().unwrap_or_default();
        self.catch_up();
        crate::cli::say(message);
    }

    /// Prints what waits, however long the terminal takes.
    pub(super) fn catch_up(&mut self) {
        self.waiting.drain(..).for_each(|message| crate::cli::say(&message));
    }

    /// Draws the frame that `lines` makes for the terminal's size. `Err`: the output is closed.
    pub(super) fn draw(&mut self, now: Duration, lines: impl FnOnce(Option<Size>) -> Vec<String>) -> io::Result<()> {
        let size = self.size();
        let Some(size) = size else {
            if self.json || self.printed.is_some_and(|last| now.saturating_sub(last) < REPORT) {
                return Ok(());
            }
            self.printed = Some(now);
            return self.put(&(lines(None).join("\n") + "\n\n"));
        };
        if is_stopped(self.json) {
            return Ok(());
        }
        if !self.waiting.is_empty() {
            self.erase()?;
            self.catch_up();
        }
        let lines = lines(Some(size));
        let mut text = self.to_top();
        let shown = &lines[..lines.len().min(size.rows.saturating_sub(1))];
        for line in shown {
            let line: String = line.chars().take(size.columns).collect();
            let _always_fits = writeln!(text, "{line}\x1b[K");
        }
        self.drawn = shown.len();
        self.put(&(text + "\x1b[J"))
    }

    /// Leaves the frame: later output goes below it.
    pub(super) fn leave(&mut self) {
        self.drawn = 0;
    }

    /// Removes the frame.
    pub(super) fn erase(&mut self) -> io::Result<()> {
        if self.drawn == 0 {
            return Ok(());
        }
        let text = self.to_top() + "\x1b[J";
        self.drawn = 0;
        self.put(&text)
    }

    fn to_top(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\r\x1b[{}A", self.drawn) }
    }

    fn put(&self, text: &str) -> io::Result<()> {
        if self.json {
            let mut out = io::stderr().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        }
    }
}

/// Whether this is a terminal that does not read (Ctrl-S). A write would wait, and signals with it.
pub(super) fn is_stopped(json: bool) -> bool {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let file = if json { stderr.as_fd() } else { stdout.as_fd() };
    let mut terminal = [PollFd::from_borrowed_fd(file, PollFlags::OUT)];
    isatty(file) && poll(&mut terminal, Some(&Timespec::default())).is_ok_and(|ready| ready == 0)
}
