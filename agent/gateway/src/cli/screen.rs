//! The terminal while a command draws into it: the second screen, without cursor and line wrap. It is restored when the
//! command ends, also by a signal, and while it is stopped (Ctrl-Z).
//!
//! ```text
//!              SIGTSTP: restore, stop                 q, SIGINT, SIGTERM, SIGHUP, SIGQUIT, an error: restore
//!   drawing ────────────────────────────▶ stopped            │
//!      ▲                                      │              ▼
//!      └── SIGCONT: set up, draw again ◀──────┘            ended
//! ```

use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use rustix::process::{Signal, getpgid, getpgrp, getpid, getppid, getsid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::task::JoinHandle;

const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// The last row, where there is no room for everything.
const LARGER: &str = "make the terminal larger";

/// The second screen of the terminal.
#[derive(Debug)]
pub(super) struct Screen {
    /// What is shown.
    shown: Arc<Mutex<String>>,
    jobs: JoinHandle<()>,
}

impl Screen {
    /// None if standard output is not a terminal. In a runtime only: from now on, Ctrl-Z restores the terminal first.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        if !io::stdout().is_terminal() {
            return Ok(None);
        }
        restore_in_a_panic();
        let shown = Arc::new(Mutex::new(String::new()));
        // Before anything is drawn: the first frame may be stopped, too. Without handlers the system stops it.
        let kinds = [Signal::TSTP, Signal::CONT].map(|it| signal(SignalKind::from_raw(it.as_raw())));
        let shows = shown.clone();
        let jobs = tokio::spawn(async move {
            if let [Ok(stops), Ok(continues)] = kinds {
                stop_and_continue(stops, continues, shows).await;
            }
        });
        write(ENTER)?;
        Ok(Some(Self { shown, jobs }))
    }

    /// Replaces what is on the screen, in place: nothing is cleared first, so nothing flickers. What has no room is
    /// cut, and the last row says so.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        text.clone_into(&mut lock(&self.shown));
        draw(text)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.jobs.abort();
        drop(write(LEAVE));
    }
}

fn draw(text: &str) -> io::Result<()> {
    let (rows, columns) = size();
    write(&format!("\x1b[H{}\x1b[K\x1b[J", fitted(text, rows, columns).join("\x1b[K\n")))
}

/// Gives the terminal back while the process is stopped, and takes it again.
async fn stop_and_continue(mut stops: Signals, mut continues: Signals, shown: Arc<Mutex<String>>) {
    let mut has_keys = false;
    loop {
        tokio::select! {
            biased;
            _ = stops.recv() => {
                // Nothing could continue it: the system, too, ignores the key then.
                if is_orphaned() {
                    continue;
                }
                has_keys |= restore_keys();
                drop(write(LEAVE));
                kill_process(getpid(), Signal::STOP).unwrap_or_default();
            }
            _ = continues.recv() => {
                // After SIGSTOP nothing was restored, but the shell has changed the terminal.
                has_keys |= restore_keys();
                if std::mem::take(&mut has_keys) {
                    set_keys();
                }
                drop(write(ENTER));
                // An error of the terminal is seen at the next frame.
                drop(draw(&lock(&shown)));
            }
        }
    }
}

/// Whether no shell of this session waits for this process.
fn is_orphaned() -> bool {
    let Some(parent) = getppid() else { return true };
    let is_shell = getsid(Some(parent)) == getsid(None) && getpgid(Some(parent)).is_ok_and(|group| group != getpgrp());
    !is_shell
}

/// The lines that a terminal of this size shows of `text`.
fn fitted(text: &str, rows: usize, columns: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut fits = lines.len() <= rows;
    let mut fitted = Vec::new();
    for line in lines.into_iter().take(rows) {
        let (line, is_whole) = cut(line, columns);
        fits &= is_whole;
        fitted.push(line);
    }
    if !fits {
        fitted.truncate(rows.saturating_sub(1));
        fitted.push(cut(LARGER, columns).0);
    }
    fitted
}

/// The first `columns` characters of a line, and whether these are all. Styles (`ESC [ … m`) take no column, and are
/// kept: the last one ends the others.
fn cut(line: &str, columns: usize) -> (String, bool) {
    let (mut text, mut column, mut is_style) = (String::new(), 0, false);
    for letter in line.chars() {
        is_style |= letter == '\x1b';
        if is_style {
            text.push(letter);
            is_style = letter != 'm';
        } else {
            if column < columns {
                text.push(letter);
            }
            column += 1;
        }
    }
    (text, column <= columns)
}

/// The rows of the terminal.
pub(super) fn rows() -> usize {
    size().0
}

/// Rows and columns; 24 and 80 if the terminal does not know.
fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    if size.0 == 0 || size.1 == 0 { (24, 80) } else { size }
}

/// How the keyboard was set before [`Keys::without_line_edit`].
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The keyboard: each key at once and without echo. Ctrl-C and Ctrl-Z still are signals.
#[derive(Debug)]
pub(super) struct Keys(());

impl Keys {
    pub(super) fn without_line_edit() -> Self {
        set_keys();
        Self(())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore_keys();
    }
}

fn set_keys() {
    if let Ok(before) = tcgetattr(io::stdin()) {
        let mut single = before.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        *lock(&BEFORE) = Some(before);
        tcsetattr(io::stdin(), OptionalActions::Now, &single).unwrap_or_default();
    }
}

/// Returns whether it was set.
fn restore_keys() -> bool {
    let before = lock(&BEFORE).take();
    if let Some(before) = &before {
        tcsetattr(io::stdin(), OptionalActions::Now, before).unwrap_or_default();
    }
    before.is_some()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program is built to abort in a panic, which drops nothing.
fn restore_in_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore_keys();
            drop(write(LEAVE));
            report(info);
        }));
    });
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_cut_in_rows_and_columns() {
        let text = "\x1b[1mThermowell\x1b[0m\n – °C\nthird";
        assert_eq!(fitted(text, 3, 10), ["\x1b[1mThermowell\x1b[0m", " – °C", "third"]);
        assert_eq!(fitted(text, 3, 9), ["\x1b[1mThermowel\x1b[0m", " – °C", "make the "]);
        assert_eq!(fitted(text, 2, 80), ["\x1b[1mThermowell\x1b[0m", "make the terminal larger"]);
        assert_eq!(fitted(text, 1, 4), ["make"]);
        assert_eq!(fitted("", 1, 4), [""; 0]);
    }
}
