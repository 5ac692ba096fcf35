//! `thermowell completions`.

use clap::Args;
use clap_complete::{Shell, generate};

use super::{Exit, Outcome, command_line, print};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell completions bash > /etc/bash_completion.d/thermowell
  thermowell completions zsh > ~/.zfunc/_thermowell
  thermowell completions fish > ~/.config/fish/completions/thermowell.fish";

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Outcome {
    let mut text = Vec::new();
    generate(args.shell, &mut command_line(), "thermowell", &mut text);
    Ok(print(&String::from_utf8_lossy(&text), Exit::Success))
}
