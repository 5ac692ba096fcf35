//! Writes the account of one boiler.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use thermowell_wire::{BoilerId, Boot};

use super::{Entry, Event, events_file, slot_bytes, slots_file};

/// Why the account cannot be written. It would be incomplete then, so the simulator must stop.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A file or the folder cannot be created or opened.
    #[error("cannot open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Appends to the account of one boiler.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    boiler: BoilerId,
    boots: u32,
    events: Appending,
    slots: Option<Appending>,
}

impl Writer {
    /// Opens the account of `boiler` in `folder` for appending.
    ///
    /// # Errors
    /// If the folder or the file of events cannot be created or read.
    pub fn open(folder: &Path, boiler: &BoilerId) -> Result<Self, WriterError> {
        let open = |path: &Path, source| WriterError::Open { path: path.to_owned(), source };
        fs::create_dir_all(folder).map_err(|source| open(folder, source))?;
        let path = folder.join(events_file(boiler.as_str()));
        let (file, boots) = resume(&path).map_err(|source| open(&path, source))?;
        let events = Appending { path, file, bytes: Vec::new() };
        Ok(Self { folder: folder.to_owned(), boiler: boiler.clone(), boots, events, slots: None })
    }

    /// Starts of the boiler recorded so far.
    #[must_use]
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// Buffers entries until the next [`Writer::flush`].
    ///
    /// # Errors
    /// If the file of a new boot cannot be opened, or that of the previous one not be written.
    pub fn append(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), WriterError> {
        for entry in entries {
            match entry {
                Entry::Slot(reading) => {
                    let slots = self.slots.as_mut().expect("a boot is entered before its slots");
                    slots.bytes.extend_from_slice(&slot_bytes(reading));
                }
                Entry::Event(event) => {
                    if let Event::Boot { boot, .. } = &event {
                        self.start(*boot)?;
                    }
                    serde_json::to_writer(&mut self.events.bytes, &event).expect("an event has only plain fields");
                    self.events.bytes.push(b'\n');
                }
            }
        }
        Ok(())
    }

    /// Writes the buffers: slots first, so that no event names a slot that is not in the file.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn flush(&mut self) -> Result<(), WriterError> {
        if let Some(slots) = &mut self.slots {
            slots.flush()?;
        }
        self.events.flush()
    }

    fn start(&mut self, boot: Boot) -> Result<(), WriterError> {
        self.flush()?;
        self.boots = self.boots.max(boot.counter());
        let path = self.folder.join(slots_file(self.boiler.as_str(), boot));
        let opened = OpenOptions::new().create(true).write(true).truncate(true).open(&path);
        let file = opened.map_err(|source| WriterError::Open { path: path.clone(), source })?;
        self.slots = Some(Appending { path, file, bytes: Vec::new() });
        Ok(())
    }
}

/// A file and the bytes to append.
#[derive(Debug)]
struct Appending {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
}

impl Appending {
    fn flush(&mut self) -> Result<(), WriterError> {
        let written = self.file.write_all(&self.bytes);
        written.map_err(|source| WriterError::Write { path: self.path.clone(), source })?;
        self.bytes.clear();
        Ok(())
    }
}

/// Opens the file of events at the end of its last whole line, and finds the number of the last boot. A killed
/// simulator may have left half a line.
fn resume(path: &Path) -> io::Result<(File, u32)> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64)?;
    file.seek(SeekFrom::End(0))?;
    let events = text[..whole].split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let boots = events.filter_map(|event| match event {
        Event::Boot { boot, .. } => Some(boot.counter()),
        Event::End { .. }
        | Event::Ring { .. }
        | Event::Missed { .. }
        | Event::Unplug { .. }
        | Event::Plug { .. }
        | Event::Lease { .. }
        | Event::OwnControl { .. }
        | Event::OwnHeat { .. } => None,
    });
    Ok((file, boots.max().unwrap_or(0)))
}
