//! The users of the NATS server: one per role, per operator and per source of temperatures, each with a key of its own.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

/// Set by systemd to the folder of the credentials of `LoadCredential=`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A user of the NATS server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    Agent,
    Aggregator,
    Controller,
    /// A person, by name, who gives commands and approves resets.
    Operator(String),
    /// A source of room or outdoor temperatures outside of the boilers, with the subjects for which the configuration
    /// names it.
    Source {
        name: String,
        subjects: Vec<String>,
    },
    /// A program that receives published messages and publishes nothing.
    Reader,
    /// The dashboard: reads stored messages. A role, but its process faces the network, so it is not trusted as one.
    Front,
    /// Reads stored messages: `check`, `verify`, `boiler list`.
    Inspector,
    /// Creates, changes and deletes streams. Used by a person.
    Installer,
}

impl User {
    /// The users that do not depend on the configuration, in the order of permissions.conf.
    pub const ROLES: [Self; 7] =
        [Self::Agent, Self::Aggregator, Self::Controller, Self::Front, Self::Reader, Self::Inspector, Self::Installer];

    /// The file with the seed: systemd's copy for this process if there is one, else that in `folder`.
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

    /// The prefix of reply subjects. A user may subscribe only to its own.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("_INBOX_{self}")
    }
}

/// As in file names and reply subjects. The prefix of a name prevents confusion with a role, and of an operator with a
/// source.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("agent"),
            Self::Aggregator => f.write_str("aggregator"),
            Self::Controller => f.write_str("controller"),
            Self::Operator(name) => write!(f, "operator-{name}"),
            Self::Source { name, .. } => write!(f, "source-{name}"),
            Self::Front => f.write_str("front"),
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
    fn operator_named_like_a_role_is_distinct() {
        let anna = User::Operator("anna".to_owned());
        assert_eq!(anna.seed_file_name(), "operator-anna.nk");
        assert_eq!(anna.inbox(), "_INBOX_operator-anna");
        let source = User::Source { name: "agent".to_owned(), subjects: Vec::new() };
        let impostors = [User::Operator("agent".to_owned()), source].map(|user| user.to_string());
        assert!(User::ROLES.iter().all(|role| !impostors.contains(&role.to_string())) && impostors[0] != impostors[1]);
    }
}
