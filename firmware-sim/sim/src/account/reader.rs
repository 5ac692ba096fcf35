//! Reads an account, complete or still growing.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use thermowell_wire::{BoilerId, Boot, Reading};

use super::{Event, SLOT_BYTES, slot_reading, slots_file};

/// Why an account cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A file or the folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}:{line} is not an event", path.display())]
    Event {
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        source: serde_json::Error,
    },
    /// Slots were requested that are not in the file (yet).
    #[error("{} holds {held} slots, not those up to {wanted}", path.display())]
    Short {
        path: PathBuf,
        /// Slots in the file.
        held: u64,
        /// End of the requested range.
        wanted: u64,
    },
}

/// The account of one simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Ordered by id.
    pub boilers: Vec<Boiler>,
}

/// The account of one boiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boiler {
    pub id: BoilerId,
    /// In order.
    pub boots: Vec<BootRecord>,
    /// In order.
    pub events: Vec<Event>,
}

/// The account of one start of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootRecord {
    pub boot: Boot,
    pub serial_number: String,
    /// Simulated nanoseconds of slot 0.
    pub t0_ns: u64,
    /// UTC of slot 0 in nanoseconds since 1970.
    pub utc0_ns: i64,
    /// Microseconds of the device clock between two slots.
    pub period_us: u32,
    /// How fast the device clock runs, in parts per billion above true.
    pub drift_ppb: i64,
    /// Size of the ring in slots.
    pub ring: u64,
    /// Slots in the account, sampled or missed. Grows during the boot.
    pub slots: u64,
    /// Simulated nanoseconds of the end; None while it runs, and after the simulator was killed.
    pub ended_ns: Option<u64>,
    /// Slots reported to the gateway as overwritten: disjoint, ascending.
    pub ring_gaps: Vec<Range<u64>>,
    /// Slots not sampled: disjoint, ascending.
    pub missed: Vec<Range<u64>>,
    path: PathBuf,
}

/// Sum, number and extremes of the valid readings in a range of slots, and the number of other slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sum of the valid readings, in hundredths of a degree.
    pub sum_centi: i64,
    /// Number of valid readings.
    pub count: u64,
    /// The lowest valid reading in hundredths of a degree.
    pub minimum_centi: Option<i16>,
    /// The highest valid reading in hundredths of a degree.
    pub maximum_centi: Option<i16>,
    /// Readings whose quality is not ok.
    pub invalid: u64,
    /// Slots that were not sampled.
    pub missed: u64,
}

impl Summary {
    /// Adds one slot.
    pub fn feed(&mut self, slot: Option<Reading>) {
        match slot {
            None => self.missed += 1,
            Some(reading) if !reading.is_valid() => self.invalid += 1,
            Some(Reading { temperature, .. }) => {
                self.sum_centi += i64::from(temperature.0);
                self.count += 1;
                self.minimum_centi = Some(self.minimum_centi.map_or(temperature.0, |least| least.min(temperature.0)));
                self.maximum_centi = Some(self.maximum_centi.map_or(temperature.0, |most| most.max(temperature.0)));
            }
        }
    }
}

impl Account {
    /// Reads the events of every boiler in `folder`; slots are read on demand.
    ///
    /// # Errors
    /// If a file cannot be read or parsed.
    pub fn open(folder: &Path) -> Result<Self, AccountError> {
        let read = |source| AccountError::Read { path: folder.to_owned(), source };
        let mut boilers = Vec::new();
        for entry in fs::read_dir(folder).map_err(read)? {
            let path = entry.map_err(read)?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let (Some(id), Some("jsonl")) = (id, path.extension().and_then(|extension| extension.to_str())) {
                boilers.push(Boiler::open(folder, id, &path)?);
            }
        }
        boilers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self { boilers })
    }

    #[must_use]
    pub fn boiler(&self, id: &BoilerId) -> Option<&Boiler> {
        self.boilers.iter().find(|boiler| boiler.id == *id)
    }
}

impl Boiler {
    fn open(folder: &Path, id: BoilerId, path: &Path) -> Result<Self, AccountError> {
        let events = read_events(path)?;
        let mut boots: Vec<BootRecord> = Vec::new();
        for event in &events {
            if let Some(started) = BootRecord::started(folder, &id, event)? {
                boots.push(started);
            } else if let Some(record) = boots.last_mut() {
                record.note(event);
            }
        }
        Ok(Self { id, boots, events })
    }

    #[must_use]
    pub fn boot(&self, boot: Boot) -> Option<&BootRecord> {
        self.boots.iter().find(|record| record.boot == boot)
    }
}

impl BootRecord {
    fn started(folder: &Path, id: &BoilerId, event: &Event) -> Result<Option<Self>, AccountError> {
        let Event::Boot { t_ns, boot, serial_number, utc_ns, period_us, drift_ppb, ring } = event else {
            return Ok(None);
        };
        let path = folder.join(slots_file(id.as_str(), *boot));
        let metadata = fs::metadata(&path).map_err(|source| AccountError::Read { path: path.clone(), source })?;
        Ok(Some(Self {
            boot: *boot,
            serial_number: serial_number.clone(),
            t0_ns: *t_ns,
            utc0_ns: *utc_ns,
            period_us: *period_us,
            drift_ppb: *drift_ppb,
            ring: *ring,
            slots: metadata.len() / SLOT_BYTES,
            ended_ns: None,
            ring_gaps: Vec::new(),
            missed: Vec::new(),
            path,
        }))
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::End { t_ns, boot, .. } if *boot == self.boot => self.ended_ns = Some(*t_ns),
            Event::Ring { boot, from, to, .. } if *boot == self.boot => unite(&mut self.ring_gaps, *from..*to),
            Event::Missed { boot, from, to, .. } if *boot == self.boot => unite(&mut self.missed, *from..*to),
            Event::Boot { .. }
            | Event::End { .. }
            | Event::Ring { .. }
            | Event::Missed { .. }
            | Event::Unplug { .. }
            | Event::Plug { .. }
            | Event::Lease { .. }
            | Event::OwnControl { .. }
            | Event::OwnHeat { .. } => {}
        }
    }

    /// The true UTC of slot `seq`, in nanoseconds since 1970.
    #[must_use]
    pub fn utc_ns(&self, seq: u64) -> i64 {
        let since_ns = true_ns(u128::from(seq) * u128::from(self.period_us) * 1_000, self.drift_ppb);
        self.utc0_ns.saturating_add(i64::try_from(since_ns).unwrap_or(i64::MAX))
    }

    /// The slots of `range`, in order.
    ///
    /// # Errors
    /// If the account does not hold all of them, or cannot be read.
    pub fn readings(&self, range: Range<u64>) -> Result<Readings, AccountError> {
        let read = |source| AccountError::Read { path: self.path.clone(), source };
        let mut file = File::open(&self.path).map_err(read)?;
        let held = file.metadata().map_err(read)?.len() / SLOT_BYTES;
        if range.end > held {
            return Err(AccountError::Short { path: self.path.clone(), held, wanted: range.end });
        }
        file.seek(SeekFrom::Start(range.start * SLOT_BYTES)).map_err(read)?;
        let left = range.end.saturating_sub(range.start);
        Ok(Readings { file: BufReader::with_capacity(3 << 14, file), path: self.path.clone(), left })
    }

    /// Sums up the slots of `range`.
    ///
    /// # Errors
    /// As [`BootRecord::readings`].
    pub fn summary(&self, range: Range<u64>) -> Result<Summary, AccountError> {
        let mut summary = Summary::default();
        for slot in self.readings(range)? {
            summary.feed(slot?);
        }
        Ok(summary)
    }
}

/// The slots of a range. A slot that was not sampled is None.
#[derive(Debug)]
pub struct Readings {
    file: BufReader<File>,
    path: PathBuf,
    left: u64,
}

impl Iterator for Readings {
    type Item = Result<Option<Reading>, AccountError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut bytes = [0; 3];
        Some(match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(slot_reading(bytes)),
            Err(source) => {
                self.left = 0;
                Err(AccountError::Read { path: self.path.clone(), source })
            }
        })
    }
}

/// Duration of `device_ns` of a clock that runs `drift_ppb` fast, in true nanoseconds.
#[must_use]
pub fn true_ns(device_ns: u128, drift_ppb: i64) -> u128 {
    // A scenario's drift is 10 % at most, so the divisor stays near a billion.
    let rate = u128::try_from(1_000_000_000 + drift_ppb).unwrap_or(1);
    device_ns * 1_000_000_000 / rate
}

/// Reads whole lines only: a running simulator may be writing the last one.
fn read_events(path: &Path) -> Result<Vec<Event>, AccountError> {
    let text = fs::read(path).map_err(|source| AccountError::Read { path: path.to_owned(), source })?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end);
    if whole == 0 {
        return Ok(Vec::new());
    }
    let lines = text[..whole].split(|&byte| byte == b'\n').enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|source| AccountError::Event {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

/// Adds `range` to disjoint, ascending ranges. It may overlap them: gaps are reported again after each `Resume`.
fn unite(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    let first = ranges.partition_point(|known| known.end < range.start);
    let behind = ranges.partition_point(|known| known.start <= range.end);
    let start = ranges.get(first).map_or(range.start, |known| known.start.min(range.start));
    let end = ranges[first..behind].last().map_or(range.end, |known| known.end.max(range.end));
    ranges.splice(first..behind, std::iter::once(start..end));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged_in_any_order() {
        let mut ranges = Vec::new();
        for range in [10..20, 30..40, 5..7, 40..41, 18..31, 0..1, 50..60] {
            unite(&mut ranges, range);
        }
        assert_eq!(ranges, [0..1, 5..7, 10..41, 50..60]);
        unite(&mut ranges, 2..4);
        assert_eq!(ranges, [0..1, 2..4, 5..7, 10..41, 50..60]);
        unite(&mut ranges, 0..100);
        assert_eq!((ranges.len(), ranges[0].clone()), (1, 0..100));
    }
}
