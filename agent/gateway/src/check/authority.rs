//! Who may ask a boiler for heat? Only the controller: the permissions of the server decide that, and nothing else.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, Status};
use crate::config::{Config, Nats};
use crate::keys::{self, KeysError};
use crate::logs;
use crate::nats::probe::{self, Answer};
use crate::nats::{NatsError, User};

const ID: &str = "nats.permissions";
/// Among the subjects of set-points, and of no boiler: an underscore alone is no boiler's id.
pub(super) const SUBJECT: &str = "boiler._.setpoint";
const ADVICE_KEYS: &str = "thermowell keys, then systemctl reload thermowell-nats";
const ADVICE: &str = "make keys with `thermowell keys`, include its permissions.conf in nats.conf, and name the folder \
                      as keys in [nats]";

/// Asks the server, as nobody and as everybody but the controller whose key can be read here.
pub(super) async fn check(config: &Config) -> Finding {
    let nats = &config.nats;
    let operators = config.operators.iter().map(|name| User::Operator(name.as_str().to_owned()));
    let users = User::ROLES.into_iter().filter(|role| *role != User::Controller).chain(operators);
    let users: Vec<User> = users.filter(|_| nats.keys.is_some()).collect();
    if let Some(folder) = &nats.keys
        && let Some(path) = seen_by_all(folder, &users)
    {
        let message = format!("everybody on this machine can read {path}");
        return Finding::new(ID, Status::Error, message).advise(format!("chmod 600 {path}"));
    }
    let found = ask(nats, &users).await;
    let shared = nats.credentials.is_some() || nats.nkey_file.is_some() || nats.user.is_some();
    judge(&found, config.control.enabled, shared)
}

/// Whether permissions.conf is what this version of the program, for this configuration, would write.
pub(super) fn current(config: &Config) -> Option<Finding> {
    let folder = config.nats.keys.as_deref()?;
    let make = |status, message: String| Finding::new("nats.keys", status, message);
    let file = folder.join(keys::PERMISSIONS);
    // A role without its key does not start.
    let mut roles = vec![User::Agent, User::Aggregator];
    roles.extend(config.control.enabled.then_some(User::Controller));
    let is_absent = |path: &PathBuf| fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if let Some(path) = roles.iter().map(|role| folder.join(role.seed_file_name())).find(is_absent) {
        return Some(make(Status::Error, format!("{} is not there", path.display())).advise(ADVICE_KEYS));
    }
    Some(match keys::are_current(folder, &config.operators) {
        Ok(true) => make(Status::Ok, format!("{} is up to date", file.display())),
        Ok(false) => make(Status::Warning, format!("{} is not what `thermowell keys` writes now", file.display()))
            .advise(ADVICE_KEYS),
        Err(KeysError::Read { path, .. }) => make(Status::Unknown, format!("{} cannot be read here", path.display())),
        Err(error) => make(Status::Error, logs::chain(&error)),
    })
}

/// Whom the server answered what.
#[derive(Debug, Default)]
struct Found {
    allowed: Vec<String>,
    forbidden: Vec<String>,
    strangers: Vec<String>,
    unknown: Vec<String>,
    unread: usize,
}

async fn ask(nats: &Nats, users: &[User]) -> Found {
    let mut found = Found::default();
    for user in [None].into_iter().chain(users.iter().map(Some)) {
        let name = user.map_or_else(|| "whoever has no key".to_owned(), User::to_string);
        match probe::may_publish(nats, user, SUBJECT).await {
            Ok(Answer::Allowed) => found.allowed.push(name),
            Ok(Answer::Forbidden) => found.forbidden.push(name),
            Ok(Answer::Shut) if user.is_none() => found.forbidden.push(name),
            Ok(Answer::Shut) => found.strangers.push(name),
            Err(NatsError::File(file)) if file.is_out_of_reach() => found.unread += 1,
            Ok(Answer::Unknown) | Err(_) => found.unknown.push(name),
        }
    }
    found
}

/// Where nothing is asked of the boilers, a set-point that somebody else publishes is refused by nobody but the boiler;
/// where the controller is on, its limits are only worth something if nobody can go round it.
fn judge(found: &Found, controls: bool, shared: bool) -> Finding {
    let make = |status, message: String| Finding::new(ID, status, message);
    if !found.allowed.is_empty() {
        let status = if controls { Status::Error } else { Status::Warning };
        let message = format!("set-points may be published by {}", found.allowed.join(", "));
        return make(status, message).advise(ADVICE);
    }
    if !found.strangers.is_empty() {
        let message = format!("the server does not know the keys of {}", found.strangers.join(", "));
        return make(Status::Error, message).advise(ADVICE_KEYS);
    }
    if shared {
        let message = "all roles are one user, so each of them may publish set-points".to_owned();
        return make(Status::Warning, message).advise(ADVICE);
    }
    // Nobody without a key, and at least one who has one.
    if !found.unknown.is_empty() || found.forbidden.len() < 2 {
        let message = "nobody can be asked whether only the controller may publish set-points".to_owned();
        return make(Status::Unknown, message)
            .advise("name the folder of the keys as keys in [nats], and run this as a user who may read inspector.nk");
    }
    let mut message = format!("set-points are forbidden to {}", found.forbidden.join(", "));
    if found.unread > 0 {
        message += &format!("; {} keys cannot be read here", found.unread);
    }
    make(Status::Ok, message)
}

/// The first seed that is not its owner's alone. A group may share one: that is somebody's decision.
fn seen_by_all(folder: &Path, users: &[User]) -> Option<String> {
    let users = users.iter().chain([&User::Controller]);
    let mut seeds = users.map(|user| folder.join(user.seed_file_name()));
    let open = seeds.find(|seed| fs::metadata(seed).is_ok_and(|found| found.permissions().mode() & 0o007 != 0));
    open.map(|seed| seed.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(allowed: &[&str], forbidden: &[&str]) -> Found {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Found { allowed: names(allowed), forbidden: names(forbidden), ..Found::default() }
    }

    #[test]
    fn what_may_ask_for_heat_is_an_error_where_heat_is_asked_for() {
        let open = found(&["whoever has no key"], &[]);
        assert_eq!(judge(&open, true, false).status, Status::Error);
        assert_eq!(judge(&open, false, false).status, Status::Warning);
        let closed = found(&[], &["whoever has no key", "inspector"]);
        assert_eq!(judge(&closed, true, false).status, Status::Ok);
        assert_eq!(judge(&found(&["agent"], &["inspector"]), true, false).status, Status::Error);
    }

    #[test]
    fn what_was_not_asked_is_not_known() {
        assert_eq!(judge(&Found::default(), true, false).status, Status::Unknown);
        assert_eq!(judge(&found(&[], &["whoever has no key"]), true, false).status, Status::Unknown);
        let silent = Found { unknown: vec!["agent".to_owned()], ..found(&[], &["whoever has no key", "inspector"]) };
        assert_eq!(judge(&silent, true, false).status, Status::Unknown);
        let stranger = Found { strangers: vec!["agent".to_owned()], ..found(&[], &["whoever has no key"]) };
        assert_eq!(judge(&stranger, false, false).status, Status::Error);
    }

    #[test]
    fn one_user_for_all_is_a_warning() {
        assert_eq!(judge(&found(&[], &["whoever has no key"]), true, true).status, Status::Warning);
    }

    #[test]
    fn a_seed_for_everybody_to_read_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("agent.nk");
        fs::write(&seed, "").unwrap();
        fs::set_permissions(&seed, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(seen_by_all(folder.path(), &[User::Agent]), None);
        fs::set_permissions(&seed, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(seen_by_all(folder.path(), &[User::Agent]), Some(seed.display().to_string()));
    }
}
