//! The spill file on disk: `{boiler}.spill` in the spool's folder, and the handling of unusable ones.
//!
//! The layout is `wire::spill`. A file grows by whole syncs: appended records are buffered in memory until then, so
//! between two syncs nothing is written. A new file is written under a temporary name, synced and renamed. A file of
//! another gateway or stream, of a newer version, or with damaged places is put aside (`{boiler}.spill.aside-1`), never
//! replayed and never deleted; the intact records of a damaged one are used.
//!
//! One agent at a time: it locks `{boiler}.spill.lock` from reading the file until it ends. A second agent would take a
//! half-written record of the first for a torn end, and truncate it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thermowell_flow::spool::spill::Spill;
use thermowell_wire::spill::{
    HEADER_MAX, Header, Place, RECORD_OVERHEAD, Unreadable, decode, encode_header, encode_record,
};
use thermowell_wire::subject::stream;
use thermowell_wire::{BoilerId, batch};

use crate::regular;

/// The most files of one boiler that are put aside. More mean a permanent problem that needs an operator.
const ASIDE_MAX: u32 = 16;
/// The largest size of a valid spill file: twice the largest `spool.memory`.
const FILE_MAX: u64 = 2 << 30;

/// Why a spill file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("{operation} {path}")]
    File {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another agent holds the lock.
    #[error("use {path}: another agent has locked it")]
    Held { path: PathBuf },
    /// Too many files were put aside before.
    #[error("put {path} aside: there are {ASIDE_MAX} such files already; inspect them, then move them away")]
    Crowded { path: PathBuf },
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::File { operation, path, source }
}

/// The content of the file at the start.
#[derive(Debug, Default)]
pub struct Found {
    /// Messages of SAMPLES, in the order of writing.
    pub messages: Vec<Vec<u8>>,
    /// Bytes of a torn end: usual after a power cut, and never synced.
    pub torn: usize,
    /// The file that was put aside, and why.
    pub aside: Option<(PathBuf, String)>,
}

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    Absent,
    /// It is put aside; why.
    Unusable(String),
    Records(Records),
}

/// The records of a file.
#[derive(Debug, Default)]
pub struct Records {
    pub messages: Vec<Vec<u8>>,
    /// Bytes of a torn end.
    pub torn: usize,
    pub damaged: Option<Damaged>,
}

/// Damaged places before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    pub bytes: usize,
    pub places: usize,
}

impl Records {
    fn of<'a>(length: usize, places: impl Iterator<Item = Place<'a>>) -> Self {
        let mut records = Self::default();
        let mut damage = |bytes: usize| {
            let before = records.damaged.unwrap_or_default();
            records.damaged = Some(Damaged { bytes: before.bytes + bytes, places: before.places + 1 });
        };
        for place in places {
            match place {
                Place::Message(message) if batch::decode(message).is_ok() => records.messages.push(message.to_vec()),
                Place::Message(message) => damage(message.len()),
                Place::Damaged { at, len } if at + len == length => records.torn = len,
                Place::Damaged { len, .. } => damage(len),
            }
        }
        records
    }
}

/// One boiler's spill file.
#[derive(Debug)]
pub struct SpillFile {
    path: PathBuf,
    lock_path: PathBuf,
    header: Vec<u8>,
    appended: Vec<u8>,
    begun: bool,
    /// Held from [`SpillFile::load`] on. Without it the file must not be touched.
    lock: Option<File>,
}

impl SpillFile {
    /// The file of `boiler` in `directory`; [`SpillFile::load`] creates the folder.
    #[must_use]
    pub fn new(directory: &Path, gateway: &str, boiler: &BoilerId) -> Self {
        let mut header = vec![0; HEADER_MAX];
        let names = Header { gateway, boiler: boiler.as_str(), stream: stream::SAMPLES };
        let len = encode_header(&names, &mut header);
        header.truncate(len);
        let [path, lock_path] = Self::paths(directory, boiler);
        Self { path, lock_path, header, appended: Vec::new(), begun: false, lock: None }
    }

    /// The files of `boiler` in `directory`: its spill file and its lock file.
    #[must_use]
    pub fn paths(directory: &Path, boiler: &BoilerId) -> [PathBuf; 2] {
        ["spill", "spill.lock"].map(|end| directory.join(format!("{boiler}.{end}")))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks and reads the file of an earlier run. Intact records are used; an unusable or damaged file is put aside.
    ///
    /// # Errors
    /// The folder cannot be created, another agent has the lock, or the file can neither be read nor put aside.
    pub fn load(&mut self) -> Result<Found, SpoolError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed("make", folder))?;
        if self.lock.is_none() {
            self.lock = Some(self.hold()?);
        }
        match self.examine()? {
            Content::Absent => Ok(Found::default()),
            Content::Unusable(reason) => self.set_aside(&reason),
            Content::Records(records) => self.take(records),
        }
    }

    /// What is in the file now. Nothing is changed, and no lock is needed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn examine(&self) -> Result<Content, SpoolError> {
        match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Absent),
            Err(error) => return Err(failed("read", &self.path)(error)),
            Ok(metadata) if metadata.len() > FILE_MAX => {
                return Ok(Content::Unusable("it is larger than a spill file can be".to_owned()));
            }
            Ok(metadata) if !metadata.is_file() => return Ok(Content::Unusable("it is not a regular file".to_owned())),
            Ok(_) => {}
        }
        let bytes = regular::read(&self.path, FILE_MAX).map_err(failed("read", &self.path))?;
        Ok(match decode(&bytes) {
            Ok((header, places)) => match self.foreign(&header) {
                Some(reason) => Content::Unusable(reason),
                None => Content::Records(Records::of(bytes.len(), places)),
            },
            // A new file gets its name after its first sync, so an empty file is not a spill file.
            Err(reason @ (Unreadable::Foreign | Unreadable::Version { .. } | Unreadable::Header)) => {
                Content::Unusable(reason.to_string())
            }
        })
    }

    /// Another agent uses the file now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let is_file = fs::metadata(&self.lock_path).is_ok_and(|metadata| metadata.is_file());
        let lock = is_file.then(|| File::open(&self.lock_path).map(|file| file.try_lock_shared()));
        matches!(lock, Some(Ok(Err(TryLockError::WouldBlock))))
    }

    /// The files of this boiler that were put aside.
    pub fn put_aside(&self) -> impl Iterator<Item = PathBuf> {
        self.aside_names().filter(|path| path.exists())
    }

    fn aside_names(&self) -> impl Iterator<Item = PathBuf> {
        (1..=ASIDE_MAX).map(|n| PathBuf::from(format!("{}.aside-{n}", self.path.display())))
    }

    /// The lock file.
    #[must_use]
    pub fn lock_path(&self) -> &Path {
        &self.lock_path
    }

    fn hold(&self) -> Result<File, SpoolError> {
        let path = self.lock_path.as_path();
        if let Ok(metadata) = fs::metadata(path) {
            regular::check(&metadata).map_err(failed("open", path))?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(failed("make", path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Held { path: self.path.clone() }),
            Err(TryLockError::Error(source)) => Err(failed("lock", path)(source)),
        }
    }

    /// Why a file belongs to another gateway, boiler or stream.
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
        let free = self.aside_names().find(|path| !path.exists());
        free.ok_or_else(|| SpoolError::Crowded { path: self.path.clone() })
    }

    fn take(&self, records: Records) -> Result<Found, SpoolError> {
        let Records { messages, torn, damaged } = records;
        let mut found = Found { messages, torn, aside: None };
        if damaged.is_none() && torn == 0 {
            return Ok(found);
        }
        if let Some(Damaged { bytes, places }) = damaged {
            let aside = self.keep_aside()?;
            let reason = format!(
                "{bytes} bytes are damaged, at {places} place(s); the {} good record(s) are used",
                found.messages.len()
            );
            found.aside = Some((aside, reason));
        }
        let mut good = self.header.clone();
        found.messages.iter().for_each(|message| append(&mut good, message));
        replace(&self.path, &good)?;
        Ok(found)
    }

    /// Keeps the present content under a second name, independent of later changes.
    ///
    /// # Errors
    /// The hard link fails, or too many files were put aside already.
    pub fn keep_aside(&self) -> Result<PathBuf, SpoolError> {
        let aside = self.free_name()?;
        fs::hard_link(&self.path, &aside).map_err(failed("put aside", &self.path))?;
        Ok(aside)
    }

    /// Carries out an effect of the agent. A sync is returned, to be run on a thread that may block.
    ///
    /// # Errors
    /// The file cannot be removed.
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

    /// After a failed sync, drops the records appended since: that file is given up.
    pub fn give_up(&mut self) {
        self.appended.clear();
    }
}

fn append(bytes: &mut Vec<u8>, message: &[u8]) {
    let at = bytes.len();
    bytes.resize(at + RECORD_OVERHEAD + message.len(), 0);
    encode_record(message, &mut bytes[at..]);
}

/// Bytes to be written and synced.
#[derive(Debug)]
pub struct Sync {
    path: PathBuf,
    bytes: Vec<u8>,
    new: bool,
    held: bool,
}

impl Sync {
    /// Writes and syncs; blocks.
    ///
    /// # Errors
    /// One of the steps failed: then the content on the disk is unknown. Or another agent has the lock.
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

/// Writes `path`.new, syncs it and renames it to `path`.
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
    fn synced_records_are_read_at_the_next_start() {
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
        assert_eq!(file.load().unwrap().messages, [message(200)], "replaced by a new file");
        file.carry_out(Spill::Remove).unwrap();
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn torn_end_is_truncated_and_the_rest_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = spill_file(&folder, "cellar");
        write(&mut file, true, &[0, 100]);
        let bytes = fs::read(file.path()).unwrap();
        fs::write(file.path(), &bytes[..bytes.len() - 5]).unwrap();
        let found = file.load().unwrap();
        assert_eq!(found.messages, [message(0)]);
        assert!(found.torn > 0 && found.aside.is_none());
        write(&mut file, false, &[100]);
        assert_eq!(file.load().unwrap().messages, [message(0), message(100)], "it appends after the intact part");
    }

    #[test]
    fn intact_records_of_damaged_file_are_used_and_it_is_kept() {
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
    fn foreign_file_is_put_aside_whole() {
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

    /// Opening a FIFO waits for another process.
    #[test]
    fn fifo_is_put_aside_and_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = spill_file(&folder, "cellar");
        regular::fifo(file.path());
        assert_eq!(file.load().unwrap().aside.unwrap().1, "it is not a regular file");
        let mut file = spill_file(&folder, "attic");
        fs::remove_file(file.lock_path()).unwrap();
        regular::fifo(file.lock_path());
        assert!(!file.is_held());
        assert!(matches!(file.load(), Err(SpoolError::File { operation: "open", .. })));
    }

    #[test]
    fn kept_copy_survives_changes_of_the_file() {
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
    fn second_agent_cannot_read_write_or_remove_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = spill_file(&folder, "cellar");
        first.load().unwrap();
        write(&mut first, true, &[0]);
        // A record is half-written when the second agent reads.
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
        assert_eq!(second.load().unwrap().messages, [message(100)], "after the first agent has ended");
    }

    #[test]
    fn unusable_folder_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let mut file = SpillFile::new(&folder.path().join("file/spool"), "cellar", &"b1".parse().unwrap());
        let error = crate::logs::chain(&file.load().unwrap_err());
        assert!(error.starts_with("make ") && error.contains("file/spool"), "{error}");
    }
}
