//! Who somebody is to the server: one user per role and per person, each with a key of its own.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where systemd puts what a unit loads with `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A user of the NATS server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    /// The agent.
    Agent,
    /// The aggregator.
    Aggregator,
    /// The controller.
    Controller,
    /// A person who asks for something, by name.
    Operator(String),
    /// A program that hears what is published from now on, and says nothing.
    Reader,
    /// Looks at what is stored: `check`, `verify`, `boiler list`. It writes nothing of its own, but may have answers of
    /// the server put on any subject, as everybody may who asks it (see [`super::rights`]).
    Inspector,
    /// Makes, changes and ends streams. Needs a human.
    Installer,
}

impl User {
    /// The users that do not depend on who works here, in the order in which they are written.
    pub const ROLES: [Self; 6] =
        [Self::Agent, Self::Aggregator, Self::Controller, Self::Reader, Self::Inspector, Self::Installer];

    /// The file with the seed, among the keys in `folder`; where systemd handed this process a copy of its own, that.
    #[must_use]
    pub fn seed_file(&self, folder: &Path) -> PathBuf {
        let name = self.seed_file_name();
        let handed = env::var_os(CREDENTIALS).map(|handed| Path::new(&handed).join(&name));
        handed.filter(|handed| handed.exists()).unwrap_or_else(|| folder.join(name))
    }

    /// The name of the file with the seed.
    #[must_use]
    pub fn seed_file_name(&self) -> String {
        format!("{self}.nk")
    }

    /// What the subjects of answers begin with. Nobody hears another's answers.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("_INBOX_{self}")
    }
}

/// As in file names and subjects of answers: an operator's name cannot be taken for a role's.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Aggregator => f.write_str("aggregator"),
            Self::Controller => f.write_str("controller"),
            Self::Operator(name) => write!(f, "operator-{name}"),
            Self::Reader => f.write_str("reader"),
            Self::Inspector => f.write_str("inspector"),
            Self::Installer => f.write_str("installer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_taken_for_another() {
        let anna = User::Operator("anna".to_owned());
        assert_eq!(anna.seed_file_name(), "operator-anna.nk");
        assert_eq!(anna.inbox(), "_INBOX_operator-anna");
        let impostor = User::Operator("agent".to_owned());
        assert!(User::ROLES.iter().all(|role| role.to_string() != impostor.to_string()));
    }
}
