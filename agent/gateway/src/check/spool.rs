//! Checks that the agent may write its spill files. A `run` as root leaves files that the service's user cannot write.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;
use thermowell_wire::BoilerId;

use super::{Finding, Status};
use crate::config::Config;
use crate::spool::SpillFile;

const ID: &str = "spool.folder";

pub(super) fn check(config: &Config) -> Finding {
    look(&config.spool.directory, &config.boiler_ids(), geteuid().as_raw())
}

fn look(folder: &Path, boilers: &[BoilerId], me: u32) -> Finding {
    let (name, my_name) = (folder.display(), user(me));
    let error = |message: String, advice: String| Finding::new(ID, Status::Error, message).advise(advice);
    let owner = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found.uid(),
        Ok(_) => return error(format!("{name} is not a folder"), "set directory in [spool] to a folder".to_owned()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return absent(folder, &my_name),
        Err(cause) => return error(format!("{name}: {cause}"), "let this user read the folders above it".to_owned()),
    };
    if let Err(cause) = access(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let (owner, cause) = (user(owner), io::Error::from(cause));
        let message = format!("{name} belongs to {owner}, and {my_name} may not write there: {cause}");
        return error(message, format!("run this as {owner}, or as root: chown -R {my_name}: {name}"));
    }
    let of_boiler = |boiler| SpillFile::paths(folder, boiler);
    let files: Vec<PathBuf> = boilers.iter().flat_map(of_boiler).filter(|file| file.exists()).collect();
    let closed = |file: &&PathBuf| access(*file, Access::READ_OK | Access::WRITE_OK).is_err();
    if let Some(closed) = all(&files, closed) {
        let message = format!("{my_name} may not write {closed}: an agent that ran as another user left it");
        return error(message, format!("as root: chown {my_name}: {closed}"));
    }
    // Root can write everything, but the agent's unit runs as the folder's owner.
    let foreign = |file: &&PathBuf| fs::metadata(file).is_ok_and(|found| found.uid() != owner);
    if let Some(foreign) = all(&files, foreign).filter(|_| me == 0 && owner != 0) {
        let owner = user(owner);
        let message = format!("the folder belongs to {owner}, but not {foreign}: an agent that ran as root left it");
        return error(message, format!("chown {owner}: {foreign}"));
    }
    Finding::new(ID, Status::Ok, format!("{my_name} may write in {name}"))
}

/// The agent creates the folder itself, if it may.
fn absent(folder: &Path, my_name: &str) -> Finding {
    let name = folder.display();
    let above = folder.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    if access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        return Finding::new(ID, Status::Ok, format!("{name} does not exist yet; the agent creates it"));
    }
    let message = format!("{name} does not exist, and {my_name} may not create it in {}", above.display());
    Finding::new(ID, Status::Error, message).advise(format!("as root: install -d -o {my_name} -m 0750 {name}"))
}

/// The files for which `is` holds, separated by spaces.
fn all(files: &[PathBuf], is: impl Fn(&&PathBuf) -> bool) -> Option<String> {
    let found: Vec<String> = files.iter().filter(is).map(|file| file.display().to_string()).collect();
    (!found.is_empty()).then(|| found.join(" "))
}

/// The user's name, or its number without an entry in /etc/passwd.
fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    fn boilers() -> Vec<BoilerId> {
        vec!["b1".parse().unwrap()]
    }

    fn me() -> u32 {
        geteuid().as_raw()
    }

    #[test]
    fn own_folder_and_one_to_create_are_ok() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b1.spill"), "").unwrap();
        assert_eq!(look(folder.path(), &boilers(), me()).status, Status::Ok);
        assert_eq!(look(&folder.path().join("a/b"), &boilers(), me()).status, Status::Ok);
        let file = look(&folder.path().join("b1.spill"), &boilers(), me());
        assert!(file.status == Status::Error && file.message.ends_with("is not a folder"), "{file:?}");
    }

    /// Root can write anywhere, so each user tests only one half of this.
    #[test]
    fn files_of_another_user_are_an_error_with_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let (spill, lock) = (folder.path().join("b1.spill"), folder.path().join("b1.spill.lock"));
        fs::write(&spill, "").unwrap();
        fs::write(&lock, "").unwrap();
        if me() == 0 {
            chown(folder.path(), Some(54_321), None).unwrap();
            chown(&spill, Some(54_321), None).unwrap();
        } else {
            fs::set_permissions(&lock, fs::Permissions::from_mode(0o400)).unwrap();
        }
        let found = look(folder.path(), &boilers(), me());
        assert_eq!(found.status, Status::Error, "{found:?}");
        let advice = found.advice.unwrap();
        assert!(advice.contains("chown ") && advice.ends_with(&format!(": {}", lock.display())), "{advice}");
        let other = look(folder.path(), &["b2".parse().unwrap()], me());
        assert_eq!(other.status, Status::Ok, "another boiler's files are not this gateway's");
    }

    #[test]
    fn folder_of_another_user_is_an_error_with_its_owner() {
        if me() == 0 {
            return;
        }
        let found = look(Path::new("/usr"), &boilers(), me());
        assert!(found.message.starts_with("/usr belongs to root, and "), "{found:?}");
        assert!(found.advice.unwrap().ends_with(": /usr"));
        let found = look(Path::new("/usr/spool"), &boilers(), me());
        assert!(found.message.contains("may not create it in /usr"), "{found:?}");
    }

    #[test]
    fn user_is_shown_by_name_or_number() {
        assert_eq!(user(0), "root");
        assert_eq!(user(4_000_000_000), "4000000000");
    }
}
