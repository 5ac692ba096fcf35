//! `thermowell keys`: one key for each user, and the permissions that the server gives them.
//!
//! ```text
//! FOLDER/agent.nk, aggregator.nk, …    seeds, for their owner alone; never overwritten unless asked for by name
//! FOLDER/permissions.conf              public keys and rights: nats-server's configuration includes it
//! FOLDER/others.conf                   yours, where you have users of your own: they are taken into the same list
//! ```
//!
//! Running it again is harmless: it makes what is missing, and writes the permissions anew. Files are synced and come
//! into their place whole, so that a power cut leaves the old one or the new one.

mod permissions;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nkeys::{KeyPair, KeyPairType};
use serde::Serialize;
use thermowell_wire::OperatorName;

use crate::nats::User;

/// Where keys go when the configuration names no folder.
pub const DEFAULT_FOLDER: &str = "/etc/thermowell/keys";
/// What nats-server includes.
pub const PERMISSIONS: &str = "permissions.conf";
/// Users of somebody else, as nats-server writes them.
pub const OTHERS: &str = "others.conf";

/// A seed is its owner's alone.
const SEED_MODE: u32 = 0o600;
/// Names are no secret.
const FOLDER_MODE: u32 = 0o755;
/// Public keys and rights are no secret, and nats-server runs as another user.
const PERMISSIONS_MODE: u32 = 0o644;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder cannot be made or read.
    #[error("make the folder of the keys, {path}; name another one with --out, or run this as its owner")]
    Folder {
        /// It.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// It.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("write {path}; run this as the owner of the folder")]
    Write {
        /// It.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What should be a seed is none. It is not shown.
    #[error("{path} holds no seed of a user's nkey; move it away, or make a new key with --replace {user}")]
    NoSeed {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        user: String,
    },
    /// Two users with one key would be one user.
    #[error("{first} and {second} have the same key; make a new one with --replace {second}")]
    Same {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Nobody of that name.
    #[error("--replace {name}: there is no such user; there are {known}")]
    Unknown {
        /// As asked for.
        name: String,
        /// Those whom there are.
        known: String,
    },
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The folder of the keys.
    pub folder: PathBuf,
    /// The file for nats-server.
    pub permissions: PathBuf,
    /// It is not as it was: the server must read it again.
    pub changed: bool,
    /// Everybody, in the order of the file.
    pub users: Vec<Key>,
    /// Seeds of operators who are no longer in the configuration: they open nothing any more.
    pub left: Vec<PathBuf>,
}

/// A user's key.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Whose.
    pub user: String,
    /// What the server knows it by.
    pub public: String,
    /// Where its seed is.
    pub seed: PathBuf,
    /// What was done about it.
    pub done: Done,
}

/// What was done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// It was there.
    Kept,
    /// It was made.
    Made,
    /// It was made anew; the old one opens nothing any more.
    Replaced,
}

/// Makes what keys are missing in `folder`, new ones for those in `replace`, and the permissions.
///
/// # Errors
/// See [`KeysError`]; what was made until then stays, and the next run goes on from there.
pub fn make(folder: &Path, operators: &[OperatorName], replace: &[String]) -> Result<Report, KeysError> {
    let users = users(operators);
    if let Some(name) = replace.iter().find(|name| users.iter().all(|user| user.to_string() != **name)) {
        let known = users.iter().map(User::to_string).collect::<Vec<_>>().join(", ");
        return Err(KeysError::Unknown { name: name.clone(), known });
    }
    make_folder(folder).map_err(|source| KeysError::Folder { path: folder.to_owned(), source })?;
    let mut keys = Vec::new();
    for user in &users {
        keys.push(key(folder, user, replace.contains(&user.to_string()))?);
    }
    distinct(keys.iter().map(|key| (key.user.clone(), key.public.clone())))?;
    let text = text(folder, users.iter().zip(&keys).map(|(user, key)| (user, key.public.clone())))?;
    let permissions = folder.join(PERMISSIONS);
    let changed = read_if_there(&permissions)?.as_deref() != Some(text.as_str());
    if changed {
        write(&permissions, &text, PERMISSIONS_MODE, fs::rename)?;
    }
    let left = left_over(folder, &users)?;
    Ok(Report { folder: folder.to_owned(), permissions, changed, users: keys, left })
}

/// Whether the permissions in `folder` are those that [`make`] would write now: for these operators, as this version of
/// the program understands them.
///
/// # Errors
/// A key cannot be read.
pub fn are_current(folder: &Path, operators: &[OperatorName]) -> Result<bool, KeysError> {
    let mut publics = Vec::new();
    let users = users(operators);
    for user in &users {
        let path = folder.join(user.seed_file_name());
        let Some(seed) = read_if_there(&path)? else { return Ok(false) };
        publics.push((user, pair_of(&seed, &path, user)?.public_key()));
    }
    distinct(publics.iter().map(|(user, public)| (user.to_string(), public.clone())))?;
    Ok(read_if_there(&folder.join(PERMISSIONS))?.as_deref() == Some(text(folder, publics.into_iter())?.as_str()))
}

fn users(operators: &[OperatorName]) -> Vec<User> {
    let operators = operators.iter().map(|name| User::Operator(name.as_str().to_owned()));
    User::ROLES.into_iter().chain(operators).collect()
}

/// The permissions of these users, and of those in others.conf.
fn text<'a>(folder: &Path, publics: impl Iterator<Item = (&'a User, String)>) -> Result<String, KeysError> {
    let others = read_if_there(&folder.join(OTHERS))?.unwrap_or_default();
    Ok(permissions::text(publics, &others))
}

/// Each file has a mode of its own; the folder is open, because nats-server runs as another user, whatever the umask.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))
}

fn key(folder: &Path, user: &User, replace: bool) -> Result<Key, KeysError> {
    let path = folder.join(user.seed_file_name());
    let found = read_if_there(&path)?;
    let (pair, done) = match found {
        Some(seed) if !replace => (pair_of(&seed, &path, user)?, Done::Kept),
        found => {
            let pair = KeyPair::new_user();
            let seed = pair.seed().expect("a pair that was just made has its seed");
            // A link does not take the place of a seed that another run has made meanwhile.
            let place = if replace { fs::rename } else { place_new };
            write(&path, &format!("{seed}\n"), SEED_MODE, place)?;
            (pair, if found.is_some() { Done::Replaced } else { Done::Made })
        }
    };
    Ok(Key { user: user.to_string(), public: pair.public_key(), seed: path, done })
}

fn pair_of(seed: &str, path: &Path, user: &User) -> Result<KeyPair, KeysError> {
    let pair = KeyPair::from_seed(seed.trim()).ok().filter(|pair| matches!(pair.key_pair_type(), KeyPairType::User));
    pair.ok_or_else(|| KeysError::NoSeed { path: path.to_owned(), user: user.to_string() })
}

fn distinct(keys: impl Iterator<Item = (String, String)>) -> Result<(), KeysError> {
    let mut seen = BTreeMap::new();
    for (second, public) in keys {
        if let Some(first) = seen.insert(public, second.clone()) {
            return Err(KeysError::Same { first, second });
        }
    }
    Ok(())
}

/// Seeds in the folder that are nobody's.
fn left_over(folder: &Path, users: &[User]) -> Result<Vec<PathBuf>, KeysError> {
    let unread = |source| KeysError::Folder { path: folder.to_owned(), source };
    let mut left = Vec::new();
    for entry in fs::read_dir(folder).map_err(unread)? {
        let name = entry.map_err(unread)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".nk") && users.iter().all(|user| user.seed_file_name() != name) {
            left.push(folder.join(name));
        }
    }
    left.sort();
    Ok(left)
}

fn read_if_there(path: &Path) -> Result<Option<String>, KeysError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeysError::Read { path: path.to_owned(), source }),
    }
}

/// Writes beside `path`, syncs, and lets `place` bring it there whole.
fn write(path: &Path, text: &str, mode: u32, place: fn(PathBuf, PathBuf) -> io::Result<()>) -> Result<(), KeysError> {
    let failed = |source| KeysError::Write { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // What a run before this one left half done. Opening it would keep its mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).and_then(|mut file| {
        // A umask may have taken from it what nats-server needs.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| place(beside, path.to_owned())).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn place_new(from: PathBuf, to: PathBuf) -> io::Result<()> {
    fs::hard_link(&from, to)?;
    fs::remove_file(from)
}

impl Report {
    /// The report for a program.
    ///
    /// # Panics
    /// Never: names and paths of ours encode.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("names and paths encode");
        text.push('\n');
        text
    }

    /// The report for people, and what is left for them to do. `configured` is the folder that `[nats] keys` names.
    #[must_use]
    pub fn text(&self, configured: Option<&Path>) -> String {
        let width = self.users.iter().map(|key| key.user.len()).max().unwrap_or(0);
        let mut text = String::new();
        for key in &self.users {
            let done = match key.done {
                Done::Kept => "kept",
                Done::Made => "made",
                Done::Replaced => "replaced",
            };
            text += &format!("{:width$}  {done:<8}  {}\n", key.user, key.public);
        }
        for path in &self.left {
            text += &format!("left: {} is nobody's any more and opens nothing; delete it\n", path.display());
        }
        let (permissions, folder) = (self.permissions.display(), self.folder.display());
        if !self.changed {
            return text + &format!("\n{permissions} is as it was.\n");
        }
        let here = self.folder.file_name().unwrap_or_default().display();
        text += &format!("\n{permissions} is new. What is left to do:\n");
        text += &format!("  nats.conf        include \"{here}/{PERMISSIONS}\", from the folder of nats.conf\n");
        if configured != Some(&self.folder) {
            text += &format!("  thermowell.toml  keys = \"{folder}\" in [nats]\n");
        }
        text += "  the server       systemctl reload thermowell-nats\n";
        if self.users.iter().any(|key| key.done != Done::Kept && !key.user.starts_with("operator-")) {
            text += "  the roles        systemctl try-restart thermowell-{agent,aggregator,controller}\n";
        }
        text + "  then             thermowell check\n"
    }
}

#[cfg(test)]
mod tests;
