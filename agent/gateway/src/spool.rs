//! The spill file on disk: `{boiler}.spill` in the spool's folder, and what becomes of one that cannot be used.
//!
//! The layout is `wire::spill`. A file grows by whole syncs: what is appended waits in memory until then, so between
//! two syncs nothing is written. A new file is written beside the old one and takes its name when it is synced. A file
//! of another gateway or stream, of a newer version, or with damaged places is put aside under a name of its own
//! (`{boiler}.spill.aside-1`), never replayed and never deleted; what is good in a damaged one is used.
//!
//! One agent at a time: who reads the file holds `{boiler}.spill.lock` until it ends. Another one would take the first
//! one's half written record for a torn end, and cut it off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thermowell_flow::spool::spill::Spill;
use thermowell_wire::spill::{
    HEADER_MAX, Header, Place, RECORD_OVERHEAD, Unreadable, decode, encode_header, encode_record,
};
use thermowell_wire::subject::stream;
use thermowell_wire::{BoilerId, batch};

/// The most files of one boiler that lie aside. More means that something is wrong for good: they are for a person.
const ASIDE_MAX: u32 = 16;
/// A spill file above this is not one of ours: the largest memory that can be configured, twice.
const FILE_MAX: u64 = 2 << 30;

/// Why a spill file cannot be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The system refused.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another agent has it.
    #[error("use {path}: another agent has it")]
    Held {
        /// The file.
        path: PathBuf,
    },
    /// Nobody looked at those that were put aside before.
    #[error("put {path} aside: {ASIDE_MAX} files lie there already; look at them, then move them away")]
    Crowded {
        /// The file.
        path: PathBuf,
    },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::File { operation, path, source }
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages of SAMPLES, in the order in which they were written.
    pub messages: Vec<Vec<u8>>,
    /// Bytes of a torn end: usual after a power cut, and within the last sync's reach.
    pub torn: usize,
    /// A file that was put aside, and why.
    pub aside: Option<(PathBuf, String)>,
}

/// One boiler's spill file.
#[derive(Debug)]
pub struct SpillFile {
    path: PathBuf,
    lock_path: PathBuf,
    header: Vec<u8>,
    appended: Vec<u8>,
    begun: bool,
    /// Held from [`SpillFile::load`] on: without it the file is somebody else's.
    lock: Option<File>,
}

impl SpillFile {
    /// The file of `boiler` in `directory`, which is made where it is not there.
    #[must_use]
    pub fn new(directory: &Path, gateway: &str, boiler: &BoilerId) -> Self {
        let mut header = vec![0; HEADER_MAX];
        let names = Header { gateway, boiler: boiler.as_str(), stream: stream::SAMPLES };
        let len = encode_header(&names, &mut header);
        header.truncate(len);
        let [path, lock_path] = Self::paths(directory, boiler);
        Self { path, lock_path, header, appended: Vec::new(), begun: false, lock: None }
    }

    /// The files of `boiler` in `directory`: its spill file, and the one that its agent holds locked.
    #[must_use]
    pub fn paths(directory: &Path, boiler: &BoilerId) -> [PathBuf; 2] {
        ["spill", "spill.lock"].map(|end| directory.join(format!("{boiler}.{end}")))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what an earlier run left. What cannot be used is put aside, what is good is used.
    ///
    /// # Errors
    /// When the folder cannot be made, another agent has the file, or it can neither be read nor put aside.
    pub fn load(&mut self) -> Result<Found, SpoolError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        if self.lock.is_none() {
            self.lock = Some(self.hold()?);
        }
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) => return Err(failed("read", &self.path)(error)),
            Ok(metadata) if metadata.len() > FILE_MAX => return self.set_aside("it is larger than any of ours"),
            Ok(_) => {}
        }
        let bytes = fs::read(&self.path).map_err(failed("read", &self.path))?;
        match decode(&bytes) {
            Ok((header, places)) => match self.foreign(&header) {
                Some(reason) => self.set_aside(&reason),
                None => self.take(&bytes, places),
            },
            // The name is given when the first sync is done: an empty file was never one of ours.
            Err(reason @ (Unreadable::Foreign | Unreadable::Version { .. } | Unreadable::Header)) => {
                self.set_aside(&reason.to_string())
            }
        }
    }

    /// The file that the boiler's agent holds locked.
    #[must_use]
    pub fn lock_path(&self) -> &Path {
        &self.lock_path
    }

    fn hold(&self) -> Result<File, SpoolError> {
        let path = self.lock_path.as_path();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed("make", path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Held { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", path)(source)),
        }
    }

    /// Why a file is not for this agent.
    fn foreign(&self, found: &Header<'_>) -> Option<String> {
        let (ours, _) = decode(&self.header).expect("encoded in `new`");
        [
            ("gateway", found.gateway, ours.gateway),
            ("boiler", found.boiler, ours.boiler),
            ("stream", found.stream, ours.stream),
        ]
        .into_iter()
        .find(|(_, found, ours)| found != ours)
        .map(|(what, found, ours)| format!("it is of {what} \"{found}\", this is \"{ours}\""))
    }

    fn set_aside(&self, reason: &str) -> Result<Found, SpoolError> {
        let aside = self.free_name()?;
        fs::rename(&self.path, &aside).map_err(failed("put aside", &self.path))?;
        Ok(Found { aside: Some((aside, reason.to_owned())), ..Found::default() })
    }

    fn free_name(&self) -> Result<PathBuf, SpoolError> {
        let name = |n| PathBuf::from(format!("{}.aside-{n}", self.path.display()));
        let free = (1..=ASIDE_MAX).map(name).find(|path| !path.exists());
        free.ok_or_else(|| SpoolError::Crowded { path: self.path.clone() })
    }

    fn take<'a>(&self, bytes: &[u8], places: impl Iterator<Item = Place<'a>>) -> Result<Found, SpoolError> {
        let mut found = Found::default();
        let (mut places_damaged, mut bytes_damaged) = (0, 0);
        for place in places {
            match place {
                Place::Message(message) if batch::decode(message).is_ok() => found.messages.push(message.to_vec()),
                Place::Message(message) => {
                    places_damaged += 1;
                    bytes_damaged += message.len();
                }
                Place::Damaged { at, len } if at + len == bytes.len() => found.torn = len,
                Place::Damaged { len, .. } => {
                    places_damaged += 1;
                    bytes_damaged += len;
                }
            }
        }
        if places_damaged == 0 && found.torn == 0 {
            return Ok(found);
        }
        if places_damaged > 0 {
            let aside = self.keep_aside()?;
            let reason = format!(
                "{bytes_damaged} bytes are damaged, at {places_damaged} place(s); the {} good record(s) are used",
                found.messages.len()
            );
            found.aside = Some((aside, reason));
        }
        let mut good = self.header.clone();
        found.messages.iter().for_each(|message| append(&mut good, message));
        replace(&self.path, &good)?;
        Ok(found)
    }

    /// Keeps the file as it is under a name of its own, whatever becomes of it under this one.
    ///
    /// # Errors
    /// When the system refuses, or too many lie aside already.
    pub fn keep_aside(&self) -> Result<PathBuf, SpoolError> {
        let aside = self.free_name()?;
        fs::hard_link(&self.path, &aside).map_err(failed("put aside", &self.path))?;
        Ok(aside)
    }

    /// Takes what the agent wants. A sync is returned, to be run where waiting does no harm.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn carry_out(&mut self, spill: Spill) -> Result<Option<Sync>, SpoolError> {
        match spill {
            Spill::Begin => {
                self.appended.clear();
                self.appended.extend_from_slice(&self.header);
                self.begun = true;
            }
            Spill::Append(message) => append(&mut self.appended, &message),
            Spill::Sync => {
                let (bytes, new) = (std::mem::take(&mut self.appended), std::mem::take(&mut self.begun));
                return Ok(Some(Sync { path: self.path.clone(), bytes, new, held: self.lock.is_some() }));
            }
            Spill::Remove if self.lock.is_none() => self.appended.clear(),
            Spill::Remove => {
                self.appended.clear();
                fs::remove_file(&self.path).map_err(failed("remove", &self.path))?;
            }
        }
        Ok(None)
    }

    /// A sync failed: what was appended since belongs to a file that is given up.
    pub fn give_up(&mut self) {
        self.appended.clear();
    }
}

fn append(bytes: &mut Vec<u8>, message: &[u8]) {
    let at = bytes.len();
    bytes.resize(at + RECORD_OVERHEAD + message.len(), 0);
    encode_record(message, &mut bytes[at..]);
}

/// Bytes on their way to the disk.
#[derive(Debug)]
pub struct Sync {
    path: PathBuf,
    bytes: Vec<u8>,
    new: bool,
    held: bool,
}

impl Sync {
    /// Writes and syncs; blocks as long as the disk does.
    ///
    /// # Errors
    /// When one of the steps fails: then nobody knows what the disk holds. When the file is another agent's.
    pub fn run(self) -> Result<(), SpoolError> {
        if !self.held {
            return Err(SpoolError::Held { path: self.path });
        }
        if self.new {
            return replace(&self.path, &self.bytes);
        }
        let mut file = OpenOptions::new().append(true).open(&self.path).map_err(failed("open", &self.path))?;
        file.write_all(&self.bytes).map_err(failed("write", &self.path))?;
        file.sync_data().map_err(failed("sync", &self.path))
    }
}

/// Writes a new file beside `path`, which then takes its name.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), SpoolError> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let mut file = File::create(&new).map_err(failed("make", &new))?;
    file.write_all(bytes).map_err(failed("write", &new))?;
    file.sync_data().map_err(failed("sync", &new))?;
    fs::rename(&new, path).map_err(failed("rename", &new))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}

#[cfg(test)]
mod tests {
    use thermowell_flow::batch::{Origin, Record};
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::{Boot, Reading, Slot};

    use super::*;

    fn message(first: u64) -> Vec<u8> {
        let origin = Origin { device: 7, period_ns: 10_000_000, simulated: true };
        let slot = Slot::new(Boot(1), first);
        let record = Record::samples(slot, &[Reading::default(); 100], origin, &mut Vec::new());
        record.message(first..record.end, 1_000, ClockQuality::Synced)
    }

    fn spill_file(folder: &tempfile::TempDir, gateway: &str) -> SpillFile {
        SpillFile::new(folder.path(), gateway, &"b1".parse().unwrap())
    }

    fn write(file: &mut SpillFile, new: bool, firsts: &[u64]) {
        if file.lock.is_none() {
            file.lock = Some(file.hold().unwrap());
        }
        if new {
            file.carry_out(Spill::Begin).unwrap();
        }
        for &first in firsts {
            file.carry_out(Spill::Append(message(first))).unwrap();
        }
        file.carry_out(Spill::Sync).unwrap().expect("a sync").run().unwrap();
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "b1.spill.lock")
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_synced_is_found_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = spill_file(&folder, "cellar");
        assert!(file.load().unwrap().messages.is_empty());
        write(&mut file, true, &[0, 100]);
        write(&mut file, false, &[200]);
        file.carry_out(Spill::Append(message(300))).unwrap();
        let found = file.load().unwrap();
        assert_eq!(found.messages, [message(0), message(100), message(200)], "300 was not synced");
        assert!(found.aside.is_none() && found.torn == 0);
        write(&mut file, true, &[200]);
        assert_eq!(file.load().unwrap().messages, [message(200)], "written anew");
        file.carry_out(Spill::Remove).unwrap();
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_rest_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = spill_file(&folder, "cellar");
        write(&mut file, true, &[0, 100]);
        let bytes = fs::read(file.path()).unwrap();
        fs::write(file.path(), &bytes[..bytes.len() - 5]).unwrap();
        let found = file.load().unwrap();
        assert_eq!(found.messages, [message(0)]);
        assert!(found.torn > 0 && found.aside.is_none());
        write(&mut file, false, &[100]);
        assert_eq!(file.load().unwrap().messages, [message(0), message(100)], "it goes on behind the good part");
    }

    #[test]
    fn a_damaged_file_is_used_where_it_is_good_and_kept_whole_aside() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = spill_file(&folder, "cellar");
        write(&mut file, true, &[0, 100, 200]);
        let mut bytes = fs::read(file.path()).unwrap();
        let second = message(100);
        let at = bytes.windows(second.len()).position(|window| window == second).unwrap();
        bytes[at + 4] ^= 0x10;
        fs::write(file.path(), &bytes).unwrap();
        let found = file.load().unwrap();
        assert_eq!(found.messages, [message(0), message(200)]);
        let (aside, reason) = found.aside.expect("it is kept");
        assert_eq!(fs::read(&aside).unwrap(), bytes);
        assert!(reason.contains("at 1 place(s); the 2 good record(s) are used"), "{reason}");
        assert!(file.load().unwrap().aside.is_none(), "once");
    }

    #[test]
    fn what_is_not_ours_is_put_aside_whole() {
        let folder = tempfile::tempdir().unwrap();
        write(&mut spill_file(&folder, "attic"), true, &[0]);
        let mut file = spill_file(&folder, "cellar");
        let found = file.load().unwrap();
        assert!(found.messages.is_empty());
        assert_eq!(found.aside.unwrap().1, "it is of gateway \"attic\", this is \"cellar\"");
        fs::write(file.path(), b"# notes").unwrap();
        assert_eq!(file.load().unwrap().aside.unwrap().1, "it is not a spill file");
        fs::write(file.path(), b"TWSPILL\x02 of the future").unwrap();
        let reason = file.load().unwrap().aside.unwrap().1;
        assert_eq!(reason, "it has version 2, this program reads version 1");
        assert_eq!(names(&folder), ["b1.spill.aside-1", "b1.spill.aside-2", "b1.spill.aside-3"]);
    }

    #[test]
    fn what_is_kept_aside_outlives_the_file() {
        for removed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut file = spill_file(&folder, "cellar");
            write(&mut file, true, &[0, 100]);
            let bytes = fs::read(file.path()).unwrap();
            let aside = file.keep_aside().unwrap();
            match removed {
                true => assert!(file.carry_out(Spill::Remove).unwrap().is_none()),
                false => write(&mut file, true, &[100]),
            }
            assert_eq!(file.path().exists(), !removed);
            assert_eq!(fs::read(aside).unwrap(), bytes, "removed {removed}");
        }
    }

    #[test]
    fn a_second_agent_neither_reads_nor_writes_nor_removes_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = spill_file(&folder, "cellar");
        first.load().unwrap();
        write(&mut first, true, &[0]);
        // A record is half written when the second one looks.
        let bytes = fs::read(first.path()).unwrap();
        fs::write(first.path(), &bytes[..bytes.len() - 5]).unwrap();
        let mut second = spill_file(&folder, "cellar");
        assert!(matches!(second.load(), Err(SpoolError::Held { .. })));
        second.carry_out(Spill::Begin).unwrap();
        let sync = second.carry_out(Spill::Sync).unwrap().expect("a sync");
        assert!(matches!(sync.run(), Err(SpoolError::Held { .. })));
        second.carry_out(Spill::Remove).unwrap();
        assert_eq!(fs::read(first.path()).unwrap(), bytes[..bytes.len() - 5]);
        drop(first);
        second.load().unwrap();
        write(&mut second, true, &[100]);
        assert_eq!(second.load().unwrap().messages, [message(100)], "once the first one has ended");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let mut file = SpillFile::new(&folder.path().join("file/spool"), "cellar", &"b1".parse().unwrap());
        let error = crate::logs::chain(&file.load().unwrap_err());
        assert!(error.starts_with("make ") && error.contains("file/spool"), "{error}");
    }
}
