//! Checks that the agent may write its spill files. A `run` as root leaves files that the service's user cannot write.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;
use thermowell_wire::BoilerId;

use super::finding::{Repair, of};
use super::{Finding, Status};
use crate::config::Config;
use crate::logs;
use crate::spool::{Content, Damaged, Records, SpillFile};

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

/// Each boiler's spill file, and what was put aside of it.
pub(super) fn spill(config: &Config) -> Vec<Finding> {
    let file = |boiler: &BoilerId| SpillFile::new(&config.spool.directory, &config.gateway, boiler);
    let ids = config.boiler_ids();
    ids.iter().map(|boiler| spill_of(&file(boiler), boiler).about(boiler.as_str())).collect()
}

fn spill_of(file: &SpillFile, boiler: &BoilerId) -> Finding {
    let find = of("disk.spill");
    let name = file.path().display().to_string();
    let repair = ["thermowell", "check", "--only", "disk.spill", "--repair", "--yes"];
    let broken = |status, message: String| find(status, message).fix(&repair).repair(Repair::Spill(boiler.clone()));
    let aside: Vec<String> = file.put_aside().map(|path| path.display().to_string()).collect();
    if file.is_held() {
        return find(Status::Ok, "its agent runs, and looks after the file itself".to_owned());
    }
    match file.examine() {
        Err(error) => find(Status::Unknown, logs::chain(&error)),
        Ok(Content::Unusable(reason)) => broken(Status::Error, format!("{name} cannot be used: {reason}"))
            .advise("it is put aside and never deleted; the agent does the same when it starts"),
        Ok(Content::Records(Records { damaged: Some(Damaged { bytes, places }), messages, .. })) => {
            let good = messages.len();
            let message = format!("{bytes} bytes of {name} are damaged, at {places} places; {good} records are intact");
            broken(Status::Error, message).advise("a copy is put aside, and the intact records stay in the file")
        }
        Ok(Content::Records(Records { torn, messages, .. })) if torn > 0 => {
            let message = format!("{name} has {} records and a torn end of {torn} bytes", messages.len());
            broken(Status::Warning, message).advise("usual after a power cut; the agent cuts it off when it starts")
        }
        Ok(_) if !aside.is_empty() => {
            let message = format!("{} files were put aside: {}", aside.len(), aside.join(" "));
            find(Status::Warning, message)
                .advise("the event `delivery` has why; keep or move them, after 16 the agent stops")
        }
        Ok(Content::Records(Records { messages, .. })) => {
            let message = format!("{} records wait for the agent's next start", messages.len());
            find(Status::Ok, message)
        }
        Ok(Content::Absent) => find(Status::Ok, "there is no spill file, as in good order".to_owned()),
    }
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

    #[test]
    fn unusable_damaged_and_put_aside_files_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let id: BoilerId = "b1".parse().unwrap();
        let file = |gateway: &str| SpillFile::new(folder.path(), gateway, &id);
        let found = || spill_of(&file("cellar"), &id);
        assert_eq!(found().status, Status::Ok);
        fs::write(file("cellar").path(), "something else").unwrap();
        let foreign = found();
        assert_eq!((foreign.status, foreign.repair), (Status::Error, Some(Repair::Spill(id.clone()))));

        let mut agent = file("cellar");
        agent.load().unwrap();
        assert_eq!(found().message, "its agent runs, and looks after the file itself");
        drop(agent);
        let aside = found();
        assert!(aside.status == Status::Warning && aside.message.ends_with("b1.spill.aside-1"), "{aside:?}");

        let other = spill_with("attic", 3);
        fs::write(file("cellar").path(), &other).unwrap();
        assert!(found().message.contains("it is of gateway \"attic\", this is \"cellar\""), "{:?}", found());
        let ours = spill_with("cellar", 3);
        fs::write(file("cellar").path(), &ours[..ours.len() - 1]).unwrap();
        assert!(found().status == Status::Warning && found().message.contains("2 records and a torn end"));
        let mut damaged = ours.clone();
        damaged[ours.len() / 2] ^= 0xff;
        fs::write(file("cellar").path(), &damaged).unwrap();
        assert!(found().status == Status::Error && found().message.contains("2 records are intact"), "{:?}", found());
    }

    /// The bytes of a file with so many records.
    fn spill_with(gateway: &str, records: u16) -> Vec<u8> {
        use thermowell_flow::batch::{Origin, Record};
        use thermowell_flow::spool::spill::Spill;
        use thermowell_wire::batch::ClockQuality;
        use thermowell_wire::{Boot, Reading, Slot};

        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::new(folder.path(), gateway, &"b1".parse().unwrap());
        file.load().unwrap();
        assert!(file.carry_out(Spill::Begin).unwrap().is_none());
        let origin = Origin { device: 7, period_ns: 10_000_000, simulated: true };
        for record in 0..records {
            let first = u64::from(record) * 100;
            let slot = Slot::new(Boot(1), first);
            let record = Record::samples(slot, &[Reading::default(); 100], origin, &mut Vec::new());
            let message = record.message(first..record.end, 1_000, ClockQuality::Synced);
            assert!(file.carry_out(Spill::Append(message)).unwrap().is_none());
        }
        file.carry_out(Spill::Sync).unwrap().unwrap().run().unwrap();
        fs::read(file.path()).unwrap()
    }

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
