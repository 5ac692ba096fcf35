//! `thermowell keys`: one key for each user, and the server's permissions for them.
//!
//! ```text
//! FOLDER/agent.nk, aggregator.nk, …    seeds, readable only by their owner; replaced only with --replace
//! FOLDER/permissions.conf              public keys and rights: nats-server's configuration includes it
//! FOLDER/others.conf                   optional users of your own: they are copied into the same list
//! ```
//!
//! It is idempotent: it makes missing keys and rewrites the permissions. Files are synced and replaced atomically, so
//! that a power cut leaves the old one or the new one.

mod permissions;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nkeys::KeyPair;
use serde::Serialize;

use crate::nats::{User, user_pair};
use crate::output::{Report, word};
use crate::regular;

/// The folder of the keys, unless the configuration names one.
pub const DEFAULT_FOLDER: &str = "/etc/thermowell/keys";
/// The file that nats-server includes.
pub const PERMISSIONS: &str = "permissions.conf";
/// Additional users, in nats-server's syntax.
pub const OTHERS: &str = "others.conf";

/// A seed is readable only by its owner.
const SEED_MODE: u32 = 0o600;
/// File names are no secret.
const FOLDER_MODE: u32 = 0o755;
/// Public keys and rights are no secret, and nats-server runs as another user.
const PERMISSIONS_MODE: u32 = 0o644;

/// Why the keys could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder cannot be made or read.
    #[error("make the folder of the keys, {path}; name another one with --out, or run this as its owner")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write {path}; run this as the owner of the folder")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file is no seed. Its content is not shown.
    #[error("{path} holds no seed of a user's nkey; move it away, or make a new key with --replace {user}")]
    NoSeed { path: PathBuf, user: String },
    /// Two users with one key would be one user.
    #[error("{first} and {second} have the same key; make a new one with --replace {second}")]
    Same { first: String, second: String },
    #[error("--replace {name}: there is no such user; there are {known}")]
    Unknown { name: String, known: String },
}

/// The keys in a folder, and what a run has changed.
#[derive(Debug, Serialize)]
pub struct KeySet {
    /// The folder of the keys.
    pub folder: PathBuf,
    /// The file for nats-server.
    pub permissions: PathBuf,
    /// The file has changed: the server must reload it.
    pub changed: bool,
    /// All users, in the order of the file.
    pub users: Vec<Key>,
    /// Seeds of operators and sources that left the configuration: the server does not accept them any more.
    pub left: Vec<PathBuf>,
    /// The folder in `[nats] keys`, for the text.
    #[serde(skip)]
    pub configured: Option<PathBuf>,
}

/// A user's key.
#[derive(Debug, Serialize)]
pub struct Key {
    pub user: String,
    /// The public key.
    pub public: String,
    /// The file with the seed.
    pub seed: PathBuf,
    pub done: Done,
}

/// What was done about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    Kept,
    Made,
    /// The server does not accept the old key any more.
    Replaced,
}

/// Makes the missing keys in `folder`, new ones for the users in `replace`, and the permissions.
///
/// # Errors
/// See [`KeysError`]; keys made until then are kept, and the next run continues from there.
pub fn make(folder: &Path, users: &[User], replace: &[String]) -> Result<KeySet, KeysError> {
    if let Some(name) = replace.iter().find(|name| users.iter().all(|user| user.to_string() != **name)) {
        let known = users.iter().map(User::to_string).collect::<Vec<_>>().join(", ");
        return Err(KeysError::Unknown { name: name.clone(), known });
    }
    make_folder(folder).map_err(|source| KeysError::Folder { path: folder.to_owned(), source })?;
    let mut keys = Vec::new();
    for user in users {
        keys.push(key(folder, user, replace.contains(&user.to_string()))?);
    }
    distinct(keys.iter().map(|key| (key.user.clone(), key.public.clone())))?;
    let text = text(folder, users.iter().zip(&keys).map(|(user, key)| (user, key.public.clone())))?;
    let permissions = folder.join(PERMISSIONS);
    let changed = read_if_there(&permissions)?.as_deref() != Some(text.as_str());
    if changed {
        write(&permissions, &text, PERMISSIONS_MODE, fs::rename)?;
    }
    let left = left_over(folder, users)?;
    Ok(KeySet { folder: folder.to_owned(), permissions, changed, users: keys, left, configured: None })
}

/// Whether the permissions in `folder` are those that [`make`] would write now, for these users and with this version
/// of the program.
///
/// # Errors
/// A key cannot be read.
pub fn are_current(folder: &Path, users: &[User]) -> Result<bool, KeysError> {
    let mut publics = Vec::new();
    for user in users {
        let path = folder.join(user.seed_file_name());
        let Some(seed) = read_if_there(&path)? else { return Ok(false) };
        publics.push((user, pair_of(&seed, &path, user)?.public_key()));
    }
    distinct(publics.iter().map(|(user, public)| (user.to_string(), public.clone())))?;
    Ok(read_if_there(&folder.join(PERMISSIONS))?.as_deref() == Some(text(folder, publics.into_iter())?.as_str()))
}

/// The permissions of these users, and of those in others.conf.
fn text<'a>(folder: &Path, publics: impl Iterator<Item = (&'a User, String)>) -> Result<String, KeysError> {
    let others = read_if_there(&folder.join(OTHERS))?.unwrap_or_default();
    Ok(permissions::text(publics, &others))
}

/// The folder is readable for all users whatever the umask, because nats-server runs as another user. Each file has a
/// mode of its own.
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
            // Unlike a rename, a hard link does not replace a seed that another run has made meanwhile.
            let place = if replace { fs::rename } else { place_new };
            write(&path, &format!("{seed}\n"), SEED_MODE, place)?;
            (pair, if found.is_some() { Done::Replaced } else { Done::Made })
        }
    };
    Ok(Key { user: user.to_string(), public: pair.public_key(), seed: path, done })
}

fn pair_of(seed: &str, path: &Path, user: &User) -> Result<KeyPair, KeysError> {
    let no_seed = || KeysError::NoSeed { path: path.to_owned(), user: user.to_string() };
    user_pair(seed.trim()).ok_or_else(no_seed)
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

/// Seeds in the folder without a configured user.
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
    let text = |bytes| String::from_utf8(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
    match regular::read(path, regular::MAX).and_then(text) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeysError::Read { path: path.to_owned(), source }),
    }
}

/// Writes `path`.new, syncs it, and moves it to `path` with `place`.
fn write(path: &Path, text: &str, mode: u32, place: fn(PathBuf, PathBuf) -> io::Result<()>) -> Result<(), KeysError> {
    let failed = |source| KeysError::Write { path: path.to_owned(), source };
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    // Left by an interrupted run. Opening it would keep its mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut file| {
        // The umask may have removed bits that nats-server needs.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| place(new, path.to_owned())).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn place_new(from: PathBuf, to: PathBuf) -> io::Result<()> {
    fs::hard_link(&from, to)?;
    fs::remove_file(from)
}

impl Report for KeySet {
    /// A line per key, and the remaining manual steps.
    fn text(&self) -> String {
        let width = self.users.iter().map(|key| key.user.len()).max().unwrap_or(0);
        let mut text = String::new();
        for key in &self.users {
            text += &format!("{:width$}  {:<8}  {}\n", key.user, word(&key.done), key.public);
        }
        for path in &self.left {
            text += &format!("unused: {} belongs to no configured user; delete it\n", path.display());
        }
        let (permissions, folder) = (self.permissions.display(), self.folder.display());
        if !self.changed {
            return text + &format!("\n{permissions} is unchanged.\n");
        }
        let here = self.folder.file_name().unwrap_or_default().display();
        text += &format!("\n{permissions} has changed. Remaining steps:\n");
        text += &format!("  nats.conf        include \"{here}/{PERMISSIONS}\", from the folder of nats.conf\n");
        if self.configured.as_ref() != Some(&self.folder) {
            text += &format!("  thermowell.toml  keys = \"{folder}\" in [nats]\n");
        }
        text += "  the server       systemctl reload thermowell-nats\n";
        let is_source = |key: &Key| key.user.starts_with("source-");
        let mut new = self.users.iter().filter(|key| key.done != Done::Kept);
        if new.clone().any(is_source) {
            text +=
                "  source of MQTT   its LoadCredential= in the drop-in of thermowell-front, systemctl daemon-reload,\n";
            text += "                   systemctl try-restart thermowell-front: the unit copies keys when it starts\n";
        }
        if new.any(|key| !key.user.starts_with("operator-") && !is_source(key)) {
            text += "  the roles        systemctl try-restart thermowell-{agent,aggregator,controller,front}\n";
        }
        text + "  then             thermowell check\n"
    }
}

#[cfg(test)]
mod tests;
