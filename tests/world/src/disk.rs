//! A model of the spill file's disk: a crash loses what was not synced, apart from a torn beginning of it.

use std::mem::take;

use thermowell_flow::spool::spill::Spill;
use thermowell_wire::spill::RECORD_OVERHEAD;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Synced records; None without a file.
    file: Option<Vec<Vec<u8>>>,
    appended: Vec<Vec<u8>>,
    begun: bool,
    failing: bool,
    pub(crate) largest: usize,
}

impl Disk {
    /// Executes a spill effect. Returns whether it was a sync.
    ///
    /// # Errors
    /// If the file is not used as the agent promises.
    pub(crate) fn execute(&mut self, spill: Spill, fails: bool) -> Result<bool, &'static str> {
        match spill {
            Spill::Begin => {
                self.appended.clear();
                (self.begun, self.failing) = (true, false);
            }
            Spill::Append(_) if !self.begun && !self.failing && self.file.is_none() => {
                return Err("a record is appended without a file");
            }
            Spill::Append(message) => self.appended.push(message),
            Spill::Sync => {
                let (appended, begun) = (take(&mut self.appended), take(&mut self.begun));
                self.failing = fails;
                if !fails {
                    if begun {
                        self.file = Some(Vec::new());
                    }
                    self.file.get_or_insert_default().extend(appended);
                    self.largest = self.largest.max(self.bytes());
                }
                return Ok(true);
            }
            Spill::Remove if !self.appended.is_empty() || self.file.is_none() => {
                return Err("it is removed before it is synced");
            }
            Spill::Remove => self.file = None,
        }
        Ok(false)
    }

    fn bytes(&self) -> usize {
        self.file.iter().flatten().map(|message| message.len() + RECORD_OVERHEAD).sum()
    }

    /// The process crashes; the first `survive` unsynced records are on the disk anyway.
    pub(crate) fn crash(&mut self, survive: usize) {
        let mut appended = take(&mut self.appended);
        appended.truncate(survive);
        if !take(&mut self.begun)
            && !take(&mut self.failing)
            && let Some(file) = &mut self.file
        {
            file.extend(appended);
        }
    }

    /// Records found at the next start.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        self.file.clone().unwrap_or_default()
    }
}
