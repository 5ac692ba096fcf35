//! The demo's output: redrawn in place on a terminal, printed now and then elsewhere.
//!
//! On a terminal a frame overwrites the previous one line by line without clearing the screen: no flicker, and what
//! was printed earlier stays in the scroll-back. Messages go above the frame. A frame never has more lines or columns
//! than the terminal, since a wrapped line would shift the next frame.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::termios::tcgetwinsize;

/// Interval of frames if they are not redrawn.
const REPORT: Duration = Duration::from_secs(10);
/// A write to a terminal that reads ends within this time.
const PATIENCE: Duration = Duration::from_millis(50);
/// The assumed size of a terminal that does not report one.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The demo's output other than its report.
///
/// A thread writes: a terminal that was stopped (Ctrl-S) makes a write wait, and signals must not wait with it. While a
/// write is under way, frames are left out and messages wait.
#[derive(Debug)]
pub(super) struct Screen {
    /// Standard output has only the JSON report.
    json: bool,
    terminal: bool,
    /// Lines of the frame above the cursor.
    drawn: usize,
    size: Size,
    printed: Option<Duration>,
    /// Messages that wait. Each stands for a signal or for the death of a process, which has a back-off.
    waiting: Vec<String>,
    /// The end of the write that is under way.
    writing: Option<Receiver<io::Result<()>>>,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Self { json, terminal, drawn: 0, size: USUAL, printed: None, waiting: Vec::new(), writing: None }
    }

    /// The terminal's size; `None` without a terminal.
    pub(super) fn size(&self) -> Option<Size> {
        if !self.terminal {
            return None;
        }
        let size = if self.json { tcgetwinsize(io::stderr()) } else { tcgetwinsize(io::stdout()) };
        let size = size.ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
        Some(size.map_or(USUAL, |s| Size { columns: s.ws_col.into(), rows: s.ws_row.into() }))
    }

    /// Prints a message above the frame, at once or as soon as the terminal reads again.
    pub(super) fn say(&mut self, message: &str) {
        self.waiting.push(message.to_owned());
        if self.is_free().unwrap_or(true) {
            self.write(String::new());
        }
    }

    /// Draws the frame that `lines` makes for the terminal's size. `Err`: the output is closed.
    pub(super) fn draw(&mut self, now: Duration, lines: impl FnOnce(Option<Size>) -> Vec<String>) -> io::Result<()> {
        if !self.is_free()? {
            return Ok(());
        }
        let Some(size) = self.size() else {
            if self.json || self.printed.is_some_and(|last| now.saturating_sub(last) < REPORT) {
                return Ok(());
            }
            self.printed = Some(now);
            self.write(lines(None).join("\n") + "\n\n");
            return Ok(());
        };
        let mut text = String::new();
        if size != self.size && self.drawn > 0 && self.waiting.is_empty() {
            // The terminal has wrapped the old frame at another width: its height is unknown.
            (text, self.drawn) = ("\x1b[2J\x1b[H".to_owned(), 0);
        } else if self.waiting.is_empty() {
            text = self.to_top();
        }
        let lines = lines(Some(size));
        let shown = &lines[..lines.len().min(size.rows.saturating_sub(1))];
        for line in shown {
            let line: String = line.chars().take(size.columns).collect();
            let _always_fits = writeln!(text, "{line}\x1b[K");
        }
        self.write(text + "\x1b[J");
        (self.drawn, self.size) = (shown.len(), size);
        Ok(())
    }

    /// Leaves the frame: later output goes below it.
    pub(super) fn leave(&mut self) {
        self.drawn = 0;
    }

    /// Removes the frame and prints what waits, however long the terminal takes.
    pub(super) fn erase(&mut self) -> io::Result<()> {
        self.catch_up()?;
        let text = if self.waiting.is_empty() { self.erased() } else { String::new() };
        self.write(text);
        self.catch_up()
    }

    /// Whether the last write has ended, or ends soon. `Err`: it failed.
    fn is_free(&mut self) -> io::Result<bool> {
        let Some(writing) = &self.writing else { return Ok(true) };
        match writing.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => Ok(false),
            ended => {
                self.writing = None;
                ended.unwrap_or(Ok(())).map(|()| true)
            }
        }
    }

    fn catch_up(&mut self) -> io::Result<()> {
        self.writing.take().map_or(Ok(()), |writing| writing.recv().unwrap_or(Ok(())))
    }

    /// Writes the messages that wait, in place of the frame, then `text`.
    fn write(&mut self, text: String) {
        let (json, messages) = (self.json, std::mem::take(&mut self.waiting));
        let erased = if messages.is_empty() { String::new() } else { self.erased() };
        let (sender, ended) = sync_channel(1);
        thread::spawn(move || {
            let written = put(json, &erased).and_then(|()| {
                messages.iter().for_each(|message| crate::cli::say(message));
                put(json, &text)
            });
            sender.send(written).unwrap_or_default();
        });
        self.writing = Some(ended);
    }

    /// The sequence that removes the frame.
    fn erased(&mut self) -> String {
        let text = if self.drawn == 0 { String::new() } else { self.to_top() + "\x1b[J" };
        self.drawn = 0;
        text
    }

    fn to_top(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\r\x1b[{}A", self.drawn) }
    }
}

fn put(json: bool, text: &str) -> io::Result<()> {
    if json {
        let mut out = io::stderr().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    } else {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    }
}
