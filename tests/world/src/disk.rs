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
    pub(crate) fn execute(&mut self, spill: Spill, fails: bool) -> bool {
        match spill {
            Spill::Begin => {
                self.appended.clear();
                (self.begun, self.failing) = (true, false);
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
                return true;
            }
            Spill::Remove => {
                self.appended.clear();
                self.file = None;
            }
        }
        false
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
