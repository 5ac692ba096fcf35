//! `thermowell help TOPIC`: what belongs to no command, made of the tables of the program.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::exit::Exit;
use crate::schema::PUBLISHED;

const WIDTH: usize = 80;
const INDENT: &str = "      ";

/// The topic that the arguments after the program's name ask for; none if they are for clap.
pub(super) fn asked(arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = arguments.iter().skip(1).map(|word| word.to_str()).collect::<Option<_>>()?;
    match words[..] {
        ["help", "exit-codes"] => Some(exit_codes()),
        ["help", "subjects"] => Some(subjects()),
        _ => None,
    }
}

fn exit_codes() -> String {
    let row = |exit: Exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning());
    let rows: String = Exit::ALL.into_iter().map(row).collect();
    format!("Exit codes of every command:\n\n{rows}\nWhen a command ends with which: thermowell COMMAND --help\n")
}

fn subjects() -> String {
    let mut text = String::from("What is published as JSON, and its subject in NATS:\n");
    for message in PUBLISHED {
        let _always_fits = writeln!(text, "  {}", message.subject);
        text += &wrapped(&message.about());
    }
    text + "Samples are packed: thermowell tap ID. A schema: thermowell schema NAME\n"
}

/// Words in lines of at most [`WIDTH`] columns.
fn wrapped(words: &str) -> String {
    let (mut text, mut line) = (String::new(), INDENT.to_owned());
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text += &(std::mem::replace(&mut line, INDENT.to_owned()) + "\n");
        }
        if line != INDENT {
            line.push(' ');
        }
        line += word;
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(words: &[&str]) -> Option<String> {
        asked(&["thermowell"].iter().chain(words).map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn topics_fit_80_by_24_and_have_every_row() {
        let topics = ["exit-codes", "subjects"].map(|topic| asked_for(&["help", topic]).unwrap());
        for text in &topics {
            assert!(text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
        assert!(topics[0].contains("\n   78  the configuration or a key is wrong: a restart does not help\n"));
        assert!(topics[1].contains("  boiler.{id}.state\n      by the aggregator after each batch\n"), "{}", topics[1]);
        assert!(PUBLISHED.iter().all(|message| topics[1].contains(message.subject)));
        for about in ["one reading of a source outside of the boiler", "The last token of the subject is the kind"] {
            assert!(topics[1].contains(&format!("      {about}\n")), "{}", topics[1]);
        }
    }

    #[test]
    fn help_of_commands_is_left_to_clap() {
        for words in [&["help"][..], &["help", "config"], &["help", "exit-codes", "x"], &["exit-codes"], &[]] {
            assert_eq!(asked_for(words), None, "{words:?}");
        }
    }
}
