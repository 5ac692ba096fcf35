//! `thermowell top`: the screen, and the keys.

use std::io::{self, IsTerminal as _, Read as _};
use std::time::Duration;

use clap::Args;
use thermowell_wire::BoilerId;
use tokio::sync::mpsc;
use tokio::time::interval;

use super::screen::{Keys, Screen, rows};
use super::{Exit, Outcome, Source, command, print_error};
use crate::front::top::{Choice, Top};
use crate::nats::NatsError;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell top
  thermowell top --boiler b1

All boilers, the last hour of the chosen one, its sums and events, once a
second, on a terminal of 80 x 24 or more. Keys: arrows choose the boiler, Enter
shows its details, t sums or rates, p pauses, ? helps, q ends. It reads what is
stored with inspector.nk and writes nothing.

Exit codes: 0 ended with q, 1 no terminal or no server, 2 wrong command line,
78 the configuration is wrong, 130 Ctrl-C";

const TICK: Duration = Duration::from_secs(1);
/// Keys that wait: more than a person presses in a tick.
const KEYS_MAX: usize = 32;

#[derive(Debug, Args)]
pub(super) struct TopArgs {
    /// The boiler; by default every boiler of the configuration
    #[arg(long, value_name = "ID")]
    boiler: Option<BoilerId>,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Up,
    Down,
    Enter,
    Rate,
    Pause,
    Help,
    Quit,
    /// It leaves the help.
    Other,
}

pub(super) fn run(args: &TopArgs) -> Outcome {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        print_error("top needs a terminal; `thermowell status` prints the same values, and --watch repeats it");
        return Err(Exit::Failure);
    }
    command(&args.source, async |config| {
        let top = Top::open(config, args.boiler.as_ref()).await?;
        let Ok(Some(screen)) = Screen::enter() else { return Ok(Exit::Failure) };
        let keys = Keys::without_line_edit();
        tokio::select! {
            () = top.read() => {}
            () = show(&top, &screen) => {}
        }
        drop(keys);
        Ok::<_, NatsError>(Exit::Success)
    })
}

/// Draws each second and after each key, until `q` or the terminal closes.
async fn show(top: &Top, screen: &Screen) {
    let (sender, mut keys) = mpsc::channel(KEYS_MAX);
    // A thread, because a terminal that does not block would not block for the shell either.
    std::thread::spawn(move || {
        let mut bytes = [0; 16];
        loop {
            let count = match io::stdin().lock().read(&mut bytes) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => return,
            };
            if pressed(&bytes[..count]).into_iter().any(|key| sender.blocking_send(key).is_err()) {
                return;
            }
        }
    });
    let mut choice = Choice::default();
    let mut tick = interval(TICK);
    let mut frozen = String::new();
    loop {
        if !choice.is_paused || choice.is_help || frozen.is_empty() {
            frozen = top.screen(&choice, rows());
        }
        if screen.draw(&frozen).is_err() {
            return;
        }
        tokio::select! {
            _ = tick.tick() => {}
            key = keys.recv() => match key {
                Some(Key::Quit) | None => return,
                Some(key) => {
                    turn(&mut choice, key, top.boilers());
                    // What was paused is drawn once more with the choice.
                    frozen.clear();
                }
            },
        }
    }
}

fn turn(choice: &mut Choice, key: Key, boilers: usize) {
    if choice.is_help {
        choice.is_help = false;
        return;
    }
    match key {
        Key::Up => choice.boiler = choice.boiler.saturating_sub(1),
        Key::Down => choice.boiler = (choice.boiler + 1).min(boilers.saturating_sub(1)),
        Key::Enter => choice.is_detailed = !choice.is_detailed,
        Key::Rate => choice.is_rate = !choice.is_rate,
        Key::Pause => choice.is_paused = !choice.is_paused,
        Key::Help => choice.is_help = true,
        Key::Quit | Key::Other => {}
    }
}

/// The keys in what a terminal sends.
fn pressed(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (key, after) = match (first, rest) {
            (0x1b, [b'[' | b'O', b'A', rest @ ..]) => (Key::Up, rest),
            (0x1b, [b'[' | b'O', b'B', rest @ ..]) => (Key::Down, rest),
            (0x1b, [b'[' | b'O', _, rest @ ..]) => (Key::Other, rest),
            (b'k', rest) => (Key::Up, rest),
            (b'j', rest) => (Key::Down, rest),
            (b'\r' | b'\n', rest) => (Key::Enter, rest),
            (b't', rest) => (Key::Rate, rest),
            (b'p' | b' ', rest) => (Key::Pause, rest),
            (b'?' | b'h', rest) => (Key::Help, rest),
            // Ctrl-D too.
            (b'q' | b'Q' | 0x04, rest) => (Key::Quit, rest),
            (_, rest) => (Key::Other, rest),
        };
        keys.push(key);
        bytes = after;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_any_chunk_of_bytes() {
        assert_eq!(pressed(b"\x1b[A\x1bOBjk"), [Key::Up, Key::Down, Key::Down, Key::Up]);
        assert_eq!(pressed(b"\rt?p q"), [Key::Enter, Key::Rate, Key::Help, Key::Pause, Key::Pause, Key::Quit]);
        assert_eq!(pressed(b"\x1b[Cx\xff\x1b"), [Key::Other; 4]);
    }

    #[test]
    fn choice_stays_among_the_boilers() {
        let mut choice = Choice::default();
        for key in [Key::Up, Key::Down, Key::Down, Key::Down] {
            turn(&mut choice, key, 2);
        }
        assert_eq!(choice.boiler, 1);
        turn(&mut choice, Key::Help, 2);
        turn(&mut choice, Key::Up, 2);
        assert!(!choice.is_help && choice.boiler == 1, "any key leaves the help");
    }
}
