//! The terminal while a command draws into it: the second screen, without cursor and line wrap. It is restored when the
//! command ends, also by a signal.

use std::io::{self, IsTerminal as _, Write as _};
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The second screen of the terminal.
#[derive(Debug)]
pub(super) struct Screen(());

impl Screen {
    /// None if standard output is not a terminal.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        if !io::stdout().is_terminal() {
            return Ok(None);
        }
        restore_in_a_panic();
        write(ENTER)?;
        Ok(Some(Self(())))
    }

    /// Replaces what is on the screen, in place: nothing is cleared first, so nothing flickers. Lines below the last
    /// row are cut.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        let lines: Vec<&str> = text.lines().take(rows()).collect();
        write(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(write(LEAVE));
    }
}

/// The rows of the terminal; 24 if it does not know.
pub(super) fn rows() -> usize {
    let rows = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
    if rows == 0 { 24 } else { rows }
}

/// How the keyboard was set before [`Keys::without_line_edit`].
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The keyboard: each key at once and without echo. Ctrl-C still is a signal.
#[derive(Debug)]
pub(super) struct Keys(());

impl Keys {
    pub(super) fn without_line_edit() -> Self {
        if let Ok(before) = tcgetattr(io::stdin()) {
            let mut single = before.clone();
            single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
            tcsetattr(io::stdin(), OptionalActions::Now, &single).unwrap_or_default();
        }
        Self(())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore_keys();
    }
}

fn restore_keys() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        tcsetattr(io::stdin(), OptionalActions::Now, &before).unwrap_or_default();
    }
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
