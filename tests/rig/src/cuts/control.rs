//! Proof that a cut loses what was not synced: two files next to the stores, one synced after each record, one never.
//!
//! A thread appends to both under load. After the cut each record must be there whose sync succeeded, and some of the
//! other records must be missing; otherwise the copies are not what a power cut leaves.
//!
//! A sync makes the file system commit its journal, including the data of others. So only half of the cuts have synced
//! records; in the other half only the stores and the journal's own interval decide what is on the disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::disk::beginning;

/// Between two records.
const PACE: Duration = Duration::from_millis(20);
/// One record in so many is synced: rarely enough that most commits of the journal are the file system's own.
const SYNCED_EVERY: usize = 25;
/// A record's length.
const RECORD: usize = 64;

/// Records that a thread writes. Dropping it stops the thread and closes the files.
#[derive(Debug)]
pub(super) struct Control {
    files: [PathBuf; 2],
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    syncs: bool,
    stop: AtomicBool,
    synced: AtomicUsize,
    unsynced: AtomicUsize,
}

/// Numbers of records, as counted by the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Written {
    /// Records that were synced.
    pub(super) synced: usize,
    /// Records that were written and not synced.
    pub(super) unsynced: usize,
}

/// What was written, and what remained after a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// Before the cut.
    pub(super) written: Written,
    /// After it.
    pub(super) survived: Written,
}

impl Verdict {
    /// Synced records that are gone: must be 0.
    #[must_use]
    pub(super) fn synced_lost(&self) -> usize {
        self.written.synced - self.survived.synced.min(self.written.synced)
    }

    /// Records that were not synced and that are gone.
    #[must_use]
    pub(super) fn unsynced_lost(&self) -> usize {
        self.written.unsynced - self.survived.unsynced.min(self.written.unsynced)
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (sum, more) in [(&mut self.written, more.written), (&mut self.survived, more.survived)] {
            sum.synced += more.synced;
            sum.unsynced += more.unsynced;
        }
    }
}

impl Control {
    /// Starts to write in `folder` and replaces earlier files. Writes the synced file only if `syncs`.
    ///
    /// # Errors
    /// The files cannot be made.
    pub(super) fn start(folder: &Path, syncs: bool) -> Result<Self> {
        let files = ["control.synced", "control.unsynced"].map(|name| folder.join(name));
        let make = |path: &Path| File::create(path).with_context(|| format!("make {}", path.display()));
        let (synced, unsynced) = (make(&files[0])?, make(&files[1])?);
        if syncs {
            let folder_synced = File::open(folder).and_then(|folder| folder.sync_all());
            synced.sync_all().and(folder_synced).with_context(|| format!("sync {}", folder.display()))?;
        }
        let shared = Arc::new(Shared { syncs, ..Shared::default() });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || write(&shared, synced, unsynced)
        });
        Ok(Self { files, shared, thread: Some(thread) })
    }

    /// What has been written by now.
    #[must_use]
    pub(super) fn written(&self) -> Written {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Acquire);
        Written { synced: count(&self.shared.synced), unsynced: count(&self.shared.unsynced) }
    }

    /// Stops to write and closes the files.
    ///
    /// # Errors
    /// A write or a sync failed.
    pub(super) fn stop(mut self) -> Result<[PathBuf; 2]> {
        self.end().with_context(|| format!("write {}", self.files[0].display()))?;
        Ok(self.files.clone())
    }

    fn end(&mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("it returns its errors"))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // `stop` returns what failed.
        self.end().ok();
    }
}

fn write(shared: &Shared, mut synced: File, mut unsynced: File) -> io::Result<()> {
    while !shared.stop.load(Ordering::Acquire) {
        let number = shared.unsynced.load(Ordering::Relaxed);
        unsynced.write_all(&record(number))?;
        shared.unsynced.store(number + 1, Ordering::Release);
        if shared.syncs && number.is_multiple_of(SYNCED_EVERY) {
            let number = shared.synced.load(Ordering::Relaxed);
            synced.write_all(&record(number))?;
            synced.sync_data()?;
            shared.synced.store(number + 1, Ordering::Release);
        }
        thread::sleep(PACE);
    }
    Ok(())
}

fn record(number: usize) -> [u8; RECORD] {
    let mut record = [0xA5; RECORD];
    record[..size_of::<usize>()].copy_from_slice(&number.to_le_bytes());
    record
}

/// Counts which of the `written` records remained after a cut.
///
/// # Errors
/// A file exists and cannot be read.
pub(super) fn check(files: &[PathBuf; 2], written: Written) -> Result<Verdict> {
    let survived = |path: &Path, written: usize| {
        let bytes = beginning(path, written * RECORD)?;
        let good = bytes.chunks_exact(RECORD).enumerate().take_while(|(number, found)| **found == record(*number));
        anyhow::Ok(good.count())
    };
    let survived =
        Written { synced: survived(&files[0], written.synced)?, unsynced: survived(&files[1], written.unsynced)? };
    Ok(Verdict { written, survived })
}

/// Removes the files, so that old records are not counted again.
///
/// # Errors
/// A file exists and cannot be removed.
pub(super) fn remove(files: &[PathBuf; 2]) -> Result<()> {
    for path in files {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(source).with_context(|| format!("remove {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(control: &Control, synced: usize) -> Written {
        let watch = crate::clock::Stopwatch::start();
        while control.written().synced < synced {
            assert!(watch.left_of(Duration::from_secs(30)).is_some(), "{:?}", control.written());
            thread::sleep(PACE);
        }
        control.written()
    }

    #[test]
    fn without_a_cut_all_is_there_and_a_lost_record_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let control = Control::start(folder.path(), true).unwrap();
        let written = written(&control, 2);
        let files = control.stop().unwrap();
        let whole = check(&files, written).unwrap();
        assert_eq!((whole.survived, whole.synced_lost(), whole.unsynced_lost()), (written, 0, 0));

        // A record that was never written, as ext4 shows it: zeros in the middle. All records after it count as lost.
        let mut bytes = fs::read(&files[0]).unwrap();
        bytes[RECORD..2 * RECORD].fill(0);
        fs::write(&files[0], bytes).unwrap();
        File::options().write(true).open(&files[1]).unwrap().set_len(5 * 64 + 7).unwrap();
        let torn = check(&files, written).unwrap();
        assert_eq!((torn.survived.synced, torn.survived.unsynced), (1, 5));
        assert_eq!((torn.synced_lost(), torn.unsynced_lost()), (written.synced - 1, written.unsynced - 5));

        remove(&files).unwrap();
        remove(&files).unwrap();
        assert_eq!(check(&files, written).unwrap().survived, Written::default());
    }
}
