//! The exit codes, of every command. The handbook's table has the same, and a test compares them.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Success,
    Failure,
    Usage,
    Unknown,
    Configuration,
    /// `run` then ends with 0.
    Interrupted,
}

impl Exit {
    pub(super) const ALL: [Self; 6] =
        [Self::Success, Self::Failure, Self::Usage, Self::Unknown, Self::Configuration, Self::Interrupted];

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unknown => 3,
            Self::Configuration => 78,
            Self::Interrupted => 130,
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failure => "failed, refused, or found an error",
            Self::Usage => "the command line is wrong",
            Self::Unknown => "nothing is known",
            Self::Configuration => "the configuration or a key is wrong: a restart does not help",
            Self::Interrupted => "Ctrl-C, SIGTERM, SIGHUP or SIGQUIT ended a command",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handbook_has_every_exit_code() {
        let handbook = include_str!("../../../../deploy/OPERATING.md");
        for exit in Exit::ALL {
            let row = format!("\n| {} | {} |", exit.code(), exit.meaning());
            assert!(handbook.contains(&row), "deploy/OPERATING.md needs the row {row}");
        }
    }
}
