//! A model of the spill file's disk: what was not synced is gone with the agent.

use alloc::vec::Vec;
use core::mem::take;

use crate::spool::spill::Spill;

/// One spill file.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What outlives a power cut; none where there is no file.
    pub(super) file: Option<Vec<Vec<u8>>>,
    /// Appended since the last sync; whether to a new file.
    appended: Vec<Vec<u8>>,
    begun: bool,
    /// A sync that failed was not answered yet: what is appended meanwhile goes nowhere.
    failing: bool,
}

impl Disk {
    /// Carries out what the agent wants. True: a sync was asked for, and `fails` or not.
    pub(super) fn carry_out(&mut self, spill: Spill, fails: bool) -> bool {
        match spill {
            Spill::Begin => {
                self.appended.clear();
                self.begun = true;
                self.failing = false;
            }
            Spill::Append(message) => {
                assert!(self.begun || self.failing || self.file.is_some(), "a file is begun before it grows");
                self.appended.push(message);
            }
            Spill::Sync => {
                let (appended, begun) = (take(&mut self.appended), take(&mut self.begun));
                self.failing = fails;
                if fails {
                    return true;
                }
                if begun {
                    self.file = Some(Vec::new());
                }
                self.file.as_mut().expect("asserted at the append").extend(appended);
                return true;
            }
            Spill::Remove => {
                assert!(self.appended.is_empty() && self.file.is_some(), "only a whole file is removed");
                self.file = None;
            }
        }
        false
    }

    /// The agent is gone: the first `survive` of what was appended reached the disk all the same.
    pub(super) fn crash(&mut self, survive: usize) {
        let mut appended = take(&mut self.appended);
        appended.truncate(survive);
        if !take(&mut self.begun)
            && !take(&mut self.failing)
            && let Some(file) = &mut self.file
        {
            file.extend(appended);
        }
    }
}
