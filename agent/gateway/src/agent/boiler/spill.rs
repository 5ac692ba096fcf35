//! The spill file in the boiler's task: read once, written while the server takes nothing, left at the end.

use thermowell_flow::agent::Input;
use thermowell_flow::published::EventBody;
use thermowell_flow::spool::Unrestored;
use thermowell_flow::spool::spill::Spill;
use thermowell_wire::subject::EventKind;

use super::Boiler;
use crate::agent::AgentError;
use crate::logs::Throttle;
use crate::nats::RETRY;
use crate::serial::holder;
use crate::shutdown::Shutdown;
use crate::spool::{Found, SpoolError};

impl Boiler {
    /// Takes up what an earlier run left in the spill file, and with it the boiler: another agent that has the file
    /// works for this boiler, reports its status and holds its samples. Until that one ends, this one stands by, and
    /// does nothing for this boiler. False where it was asked to stop meanwhile.
    pub(super) async fn take_up(&mut self, shutdown: &mut Shutdown) -> bool {
        let mut failures = Throttle::default();
        let found = loop {
            match self.spill_file.load() {
                Err(SpoolError::Held { .. }) => {
                    if let Some(tries) = failures.admits(()) {
                        self.warn_of_rival(tries);
                    }
                }
                found => break found,
            }
            tokio::select! {
                () = shutdown.requested() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        };
        if let tries @ 1.. = failures.end() {
            tracing::info!(boiler = %self.config.id, tries, "the other agent has ended, this one takes over");
            // Leases and resets of that time were for the other one.
            while self.inbox.leases.try_recv().is_ok() || self.inbox.resets.try_recv().is_ok() {}
        }
        self.load(found);
        true
    }

    fn warn_of_rival(&self, tries: u32) {
        let (boiler, port) = (self.config.id.clone(), self.config.port.clone());
        let lock = self.spill_file.lock_path().to_owned();
        tokio::task::spawn_blocking(move || {
            let (agent, holder) = (holder(&lock), holder(&port));
            let error = format!("serial port {} is in use by {holder}; one agent per port", port.display());
            tracing::warn!(%boiler, tries, agent, error, "another agent works for this boiler, standing by");
        });
    }

    /// Without a usable folder the agent works all the same: it holds less through an outage, and logs that.
    fn load(&mut self, found: Result<Found, SpoolError>) {
        let boiler = self.config.id.clone();
        let file = self.spill_file.path().display().to_string();
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let error = crate::logs::chain(&error);
                return tracing::error!(%boiler, file, error, "the spill file cannot be used");
            }
        };
        if let Some((aside, reason)) = found.aside {
            let aside = aside.display().to_string();
            tracing::warn!(%boiler, file, aside, reason, "spill file put aside");
            let body = EventBody::SpillFilePutAside { file: aside, reason };
            self.reporter.event(&boiler, EventKind::Delivery, self.clock.now().utc, body);
        }
        if found.torn > 0 {
            tracing::warn!(%boiler, file, bytes = found.torn, "torn end of the spill file cut off");
        }
        for message in &found.messages {
            self.step(Input::Spilled(message));
        }
        if !found.messages.is_empty() {
            let (records, slots) = (found.messages.len(), self.agent.backlog());
            tracing::info!(%boiler, file, records, slots, "spill file read");
        }
        if let Some(Unrestored { records, slots, .. }) = self.agent.unrestored() {
            tracing::warn!(%boiler, file, records, slots, "spool.memory has no room for the oldest of the spill file");
        }
    }

    /// What does not fit into memory was acknowledged before the file was written, unless memory was larger then. Where
    /// the stream does not reach beyond it, the file is all that holds it, and stays.
    fn keep_unrestored(&mut self) -> Result<(), SpoolError> {
        let Some(Unrestored { records, slots, .. }) = self.agent.unrestored() else { return Ok(()) };
        if self.kept_aside {
            return Ok(());
        }
        let aside = self.spill_file.keep_aside()?;
        let reason = format!(
            "spool.memory has no room for its {records} oldest record(s) with {slots} slots, and SAMPLES is not known \
             to have them"
        );
        let (boiler, file) = (&self.config.id, aside.display().to_string());
        tracing::warn!(%boiler, file, reason, "spill file put aside");
        let body = EventBody::SpillFilePutAside { file, reason };
        self.reporter.event(boiler, EventKind::Delivery, self.clock.now().utc, body);
        self.kept_aside = true;
        Ok(())
    }

    pub(super) fn spill(&mut self, spill: Spill) {
        let is_end = spill == Spill::Remove;
        if (is_end || spill == Spill::Begin)
            && let Err(error) = self.keep_unrestored()
        {
            let error = crate::logs::chain(&error);
            tracing::error!(boiler = %self.config.id, error, "what memory had no room for is not kept aside");
            if is_end {
                return;
            }
        }
        match self.spill_file.carry_out(spill) {
            Ok(None) => {}
            Ok(Some(sync)) => {
                let running = tokio::task::spawn_blocking(move || sync.run());
                self.syncing = Some(Box::pin(async { running.await.expect("a sync neither panics nor is aborted") }));
            }
            Err(error) => {
                let error = crate::logs::chain(&error);
                tracing::warn!(boiler = %self.config.id, error, "the spill file stays");
            }
        }
    }

    pub(super) fn synced(&mut self, synced: Result<(), SpoolError>) {
        match synced {
            Ok(()) => self.step(Input::SpillSynced),
            Err(error) => {
                let error = crate::logs::chain(&error);
                tracing::error!(boiler = %self.config.id, error, "the spill file could not be synced");
                self.spill_file.give_up();
                self.step(Input::SpillFailed);
            }
        }
    }

    /// The end: what the server did not take goes to the spill file.
    pub(super) async fn leave(mut self) -> Result<(), AgentError> {
        if self.agent.backlog() == 0 {
            return Ok(());
        }
        if let Some(syncing) = self.syncing.take() {
            let synced = syncing.await;
            self.synced(synced);
        }
        self.step(Input::Leave);
        let synced = match self.syncing.take() {
            Some(syncing) => syncing.await,
            None => Ok(()),
        };
        let (boiler, slots) = (&self.config.id, self.agent.backlog());
        match synced {
            Ok(()) if self.agent.spill_bytes() > 0 => tracing::info!(%boiler, slots, "left in the spill file"),
            Ok(()) => tracing::warn!(%boiler, slots, "left to the device's ring"),
            Err(error) => {
                let error = crate::logs::chain(&error);
                tracing::error!(%boiler, slots, error, "left to the device's ring: the spill file cannot be written");
            }
        }
        Ok(())
    }
}
