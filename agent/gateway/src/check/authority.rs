//! Only the controller may publish set-points: checks that the server's permissions, the only protection, forbid it to
//! all others.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use futures_util::future::join_all;

use super::finding::of;
use super::{Finding, Status};
use crate::config::{Config, Nats};
use crate::keys::{self, KeysError};
use crate::logs;
use crate::nats::probe::{self, Answer};
use crate::nats::{NatsError, User};

const ID: &str = "nats.permissions";
/// A set-point subject that belongs to no boiler: a single underscore is not a valid id.
pub(super) const SUBJECT: &str = "boiler._.setpoint";
const ANONYMOUS: &str = "clients without a key";
const ADVICE_KEYS: &str = "thermowell keys, then systemctl reload thermowell-nats";
const ADVICE: &str = "make keys with `thermowell keys`, include its permissions.conf in nats.conf, and name the folder \
                      as keys in [nats]";

/// Probes the server without a key, and as every user except the controller whose key is readable here.
pub(super) async fn check(config: &Config) -> Finding {
    let nats = &config.nats;
    let users = config.users().into_iter().filter(|role| *role != User::Controller);
    let users: Vec<User> = users.filter(|_| nats.keys.is_some()).collect();
    let found = probe(nats, &users).await;
    let shared = nats.credentials.is_some() || nats.nkey_file.is_some() || nats.user.is_some();
    judge(&found, config.control.enabled, shared)
}

/// Whether permissions.conf is what this version of the program would write for this configuration.
pub(super) fn current(config: &Config) -> Finding {
    let make = of("nats.keys");
    let Some(folder) = config.nats.keys.as_deref() else {
        return make(Status::Skipped, "no folder of keys is configured".to_owned());
    };
    let file = folder.join(keys::PERMISSIONS);
    // A role without its key does not start.
    let mut roles = vec![User::Agent, User::Aggregator];
    roles.extend(config.control.enabled.then_some(User::Controller));
    let is_absent = |path: &PathBuf| fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if let Some(path) = roles.iter().map(|role| folder.join(role.seed_file_name())).find(is_absent) {
        return make(Status::Error, format!("{} does not exist", path.display())).advise(ADVICE_KEYS);
    }
    match keys::are_current(folder, &config.users()) {
        Ok(true) => make(Status::Ok, format!("{} is up to date", file.display())),
        Ok(false) => make(Status::Warning, format!("{} is not what `thermowell keys` writes now", file.display()))
            .advise(ADVICE_KEYS),
        Err(KeysError::Read { path, .. }) => make(Status::Unknown, format!("{} cannot be read here", path.display())),
        Err(error) => make(Status::Error, logs::chain(&error)),
    }
}

/// The users by the server's answer.
#[derive(Debug, Default)]
struct Found {
    allowed: Vec<String>,
    forbidden: Vec<String>,
    /// The server rejects their keys.
    rejected: Vec<String>,
    unknown: Vec<String>,
    /// Keys that cannot be read here.
    unread: usize,
}

async fn probe(nats: &Nats, users: &[User]) -> Found {
    let mut found = Found::default();
    let everyone = [None].into_iter().chain(users.iter().map(Some));
    let answers = everyone.map(|user| async move { (user, probe::may_publish(nats, user, SUBJECT).await) });
    for (user, answer) in join_all(answers).await {
        let name = user.map_or_else(|| ANONYMOUS.to_owned(), User::to_string);
        match answer {
            Ok(Answer::Allowed) => found.allowed.push(name),
            Ok(Answer::Forbidden) => found.forbidden.push(name),
            Ok(Answer::Rejected) if user.is_none() => found.forbidden.push(name),
            Ok(Answer::Rejected) => found.rejected.push(name),
            Err(NatsError::File(file)) if file.is_out_of_reach() => found.unread += 1,
            Ok(Answer::Unknown) | Err(_) => found.unknown.push(name),
        }
    }
    found
}

/// With the controller on, open permissions are an error: any client could bypass the controller's limits. With it off
/// they are a warning: the boiler still applies its own limits.
fn judge(found: &Found, controls: bool, shared: bool) -> Finding {
    let make = |status, message: String| Finding::new(ID, status, message);
    if !found.allowed.is_empty() {
        let status = if controls { Status::Error } else { Status::Warning };
        let message = format!("set-points may be published by {}", found.allowed.join(", "));
        return make(status, message).advise(ADVICE);
    }
    if !found.rejected.is_empty() {
        let message = format!("the server rejects the keys of {}", found.rejected.join(", "));
        return make(Status::Error, message).advise(ADVICE_KEYS);
    }
    if shared {
        let message = "all roles are one user, so each role may publish set-points".to_owned();
        return make(Status::Warning, message).advise(ADVICE);
    }
    // Needed: clients without a key, and at least one user with a key.
    if !found.unknown.is_empty() || found.forbidden.len() < 2 {
        let message = "cannot check whether only the controller may publish set-points".to_owned();
        return make(Status::Unknown, message)
            .advise("set keys in [nats] to the folder of the keys, and run this as a user who may read inspector.nk");
    }
    let mut message = format!("set-points are forbidden to {}", found.forbidden.join(", "));
    if found.unread > 0 {
        message += &format!("; {} keys cannot be read here", found.unread);
    }
    make(Status::Ok, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(allowed: &[&str], forbidden: &[&str]) -> Found {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Found { allowed: names(allowed), forbidden: names(forbidden), ..Found::default() }
    }

    #[test]
    fn open_set_points_are_an_error_with_control_else_a_warning() {
        let open = found(&[ANONYMOUS], &[]);
        assert_eq!(judge(&open, true, false).status, Status::Error);
        assert_eq!(judge(&open, false, false).status, Status::Warning);
        let closed = found(&[], &[ANONYMOUS, "inspector"]);
        assert_eq!(judge(&closed, true, false).status, Status::Ok);
        assert_eq!(judge(&found(&["agent"], &["inspector"]), true, false).status, Status::Error);
    }

    #[test]
    fn incomplete_answers_are_unknown() {
        assert_eq!(judge(&Found::default(), true, false).status, Status::Unknown);
        assert_eq!(judge(&found(&[], &[ANONYMOUS]), true, false).status, Status::Unknown);
        let silent = Found { unknown: vec!["agent".to_owned()], ..found(&[], &[ANONYMOUS, "inspector"]) };
        assert_eq!(judge(&silent, true, false).status, Status::Unknown);
        let rejecting = Found { rejected: vec!["agent".to_owned()], ..found(&[], &[ANONYMOUS]) };
        assert_eq!(judge(&rejecting, false, false).status, Status::Error);
    }

    #[test]
    fn shared_user_is_a_warning() {
        assert_eq!(judge(&found(&[], &[ANONYMOUS]), true, true).status, Status::Warning);
    }
}
