//! How far a command is, on standard error, while it takes longer than a second: in a terminal one line that is redrawn
//! each second, else a line every ten seconds.

use std::io::{self, IsTerminal as _, Write as _};

use super::print_error;
use crate::clock::boottime_ns;

const SECOND_NS: u64 = 1_000_000_000;
const LINE_NS: u64 = 10 * SECOND_NS;

/// The progress of one command.
pub(super) struct Progress {
    is_terminal: bool,
    due_ns: u64,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, due_ns: boottime_ns().saturating_add(SECOND_NS), is_drawn: false }
    }

    /// Says `text` if it is time to.
    pub(super) fn reached(&mut self, text: impl FnOnce() -> String) {
        let now_ns = boottime_ns();
        if now_ns < self.due_ns {
            return;
        }
        self.due_ns = now_ns.saturating_add(if self.is_terminal { SECOND_NS } else { LINE_NS });
        let text = text();
        if self.is_terminal {
            self.is_drawn = true;
            drop(write!(io::stderr().lock(), "\r\x1b[K{text}"));
        } else {
            print_error(&text);
        }
    }

    /// Removes the line ahead of other output.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
