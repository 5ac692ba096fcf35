//! A model of the spill file's disk: what was not synced is gone with the process, but for a torn beginning of it.

use std::mem::take;

use thermowell_flow::spool::spill::Spill;
use thermowell_wire::spill::RECORD_OVERHEAD;

/// One spill file.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Synced; none where there is no file.
    file: Option<Vec<Vec<u8>>>,
    appended: Vec<Vec<u8>>,
    begun: bool,
    failing: bool,
    pub(crate) largest: usize,
}

impl Disk {
    /// Carries out what the agent wants. True: a sync was asked for.
    pub(crate) fn carry_out(&mut self, spill: Spill, fails: bool) -> bool {
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

    /// The process is gone; the first `survive` appended records are on the disk all the same.
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

    /// What the next start finds.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        self.file.clone().unwrap_or_default()
    }
}
