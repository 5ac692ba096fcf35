//! The examples of every help text: tests run them.

use clap::Command;

use super::command_line;

/// An example: the command whose help it is in, and the line for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub command: String,
    pub line: String,
}

/// Every example, in the order of the commands.
#[must_use]
pub fn examples() -> Vec<Example> {
    let mut found = Vec::new();
    collect(&command_line(), &mut found);
    found
}

fn collect(command: &Command, found: &mut Vec<Example>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let block = help.split_once("Examples:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or(rest));
    found.extend(block.lines().map(|line| {
        // What a line does is written after two spaces.
        let line = line.trim_start().split("  ").next().unwrap_or_default();
        Example { command: command.get_name().to_owned(), line: line.to_owned() }
    }));
    command.get_subcommands().for_each(|inner| collect(inner, found));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use super::super::{Exit, dispatch};
    use super::*;

    /// The arguments of a line up to a pipe or a redirection; none if it begins with a variable.
    fn arguments(line: &str) -> Option<Vec<&str>> {
        let words = line.strip_prefix("thermowell")?.split_whitespace();
        Some(words.take_while(|word| !["|", ">"].contains(word)).collect())
    }

    fn exit(arguments: &[&str]) -> Exit {
        dispatch(["thermowell"].iter().chain(arguments).map(OsString::from))
    }

    #[test]
    fn each_command_has_an_example_and_each_example_parses() {
        let root = command_line();
        let with_help: BTreeSet<&str> = root.get_subcommands().map(Command::get_name).collect();
        let found = examples();
        for name in with_help {
            let own = format!("thermowell {name}");
            assert!(found.iter().any(|it| it.command == name && it.line.starts_with(&own)), "{name} has no example");
        }
        for Example { line, .. } in &found {
            let Some(arguments) = arguments(line) else { continue };
            assert_eq!(exit(&[arguments.as_slice(), &["--help"]].concat()), Exit::Success, "{line}");
        }
    }

    /// The table of exit codes, over all commands: 0 for help, 2 for a wrong command line, 78 without a configuration.
    #[test]
    fn every_command_has_the_exit_codes_of_the_table() {
        // They need no configuration, or look at something else first.
        let without = [
            "config --default",
            "config --schema",
            "completions",
            "log ",
            "top",
            "status --schema",
            "run",
            "schema",
            "check --list",
            "check --bundle",
        ];
        let mut checked = 0;
        for Example { line, .. } in examples() {
            let Some(arguments) = arguments(&line) else { continue };
            assert_eq!(exit(&[arguments.as_slice(), &["--no-such-flag"]].concat()), Exit::Usage, "{line}");
            let is_quoted = line.contains('\'');
            if is_quoted || without.iter().any(|it| line.starts_with(&format!("thermowell {it}"))) {
                continue;
            }
            // `config --check` has a file of its own.
            let absent: &[&str] = if line.contains("--check") { &[] } else { &["--config", "/absent/t.toml"] };
            assert_eq!(exit(&[arguments.as_slice(), absent].concat()), Exit::Configuration, "{line}");
            checked += 1;
        }
        assert!(checked > 25, "{checked}");
    }
}
