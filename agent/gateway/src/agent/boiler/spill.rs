//! The spill file in the boiler's task: read once at the start, written during an outage and at the end.

use thermowell_flow::agent::{Counters, Input};
use thermowell_flow::published::EventBody;
use thermowell_flow::spool::Unrestored;
use thermowell_flow::spool::spill::Spill;
use thermowell_wire::subject::EventKind;

use super::Boiler;
use crate::logs::Throttle;
use crate::nats::RETRY;
use crate::serial::{Holder, find_holder, holder};
use crate::shutdown::Shutdown;
use crate::spool::{Found, SpoolError};

impl Boiler {
    /// Locks and reads the spill file. The lock is also the lock on the boiler: another agent that holds it serves this
    /// boiler, reports its status and holds its samples. Until that one ends, this agent stands by for this boiler.
    /// False if a shutdown was requested meanwhile.
    pub(super) async fn acquire(&mut self, shutdown: &mut Shutdown) -> bool {
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
            tracing::info!(boiler = %self.config.id, tries, "the other agent has ended, taking over");
            // Leases and resets received meanwhile were for the other agent.
            self.inbox.leases.clear();
            while self.inbox.resets.try_recv().is_ok() {}
        }
        self.load(found);
        true
    }

    fn warn_of_rival(&self, tries: u32) {
        let (boiler, port) = (self.config.id.clone(), self.config.port.clone());
        let lock = self.spill_file.lock_path().to_owned();
        tokio::task::spawn_blocking(move || {
            let agent = holder(&lock);
            let in_use =
                |holder: Holder| format!("serial port {} is in use by {holder}; one agent per port", port.display());
            let error = find_holder(&port).map(in_use);
            tracing::warn!(%boiler, tries, agent, error, "another agent serves this boiler, standing by");
        });
    }

    /// Without a usable folder the agent still runs: it can hold less through an outage, and logs that.
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
            tracing::warn!(%boiler, file, bytes = found.torn, "torn end of the spill file truncated");
        }
        for message in &found.messages {
            self.step(Input::Spilled(message));
        }
        if !found.messages.is_empty() {
            let (records, slots) = (found.messages.len(), self.agent.backlog());
            tracing::info!(%boiler, file, records, slots, "spill file read");
        }
        if let Some(Unrestored { records, slots, .. }) = self.agent.unrestored() {
            tracing::warn!(%boiler, file, records, slots, "spool.memory has no room for the file's oldest records");
        }
    }

    /// Records that do not fit into memory were acknowledged before the file was written, unless `spool.memory` was
    /// larger then. If the stream does not reach beyond them, the file is their only copy and is kept.
    fn keep_unrestored(&mut self) -> Result<(), SpoolError> {
        let Some(Unrestored { records, slots, .. }) = self.agent.unrestored() else { return Ok(()) };
        if self.kept_aside {
            return Ok(());
        }
        let aside = self.spill_file.keep_aside()?;
        let reason = format!(
            "spool.memory has no room for its {records} oldest record(s) with {slots} slots, and they may not be in \
             SAMPLES"
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
            self.log_failure("records without room in memory could not be kept", &error);
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
                tracing::warn!(boiler = %self.config.id, error, "the spill file could not be removed");
            }
        }
    }

    pub(super) fn synced(&mut self, synced: Result<(), SpoolError>) {
        match synced {
            Ok(()) => {
                self.spill_failures.end();
                self.step(Input::SpillSynced);
            }
            Err(error) => {
                self.log_failure("the spill file could not be synced, rewriting it", &error);
                self.spill_file.give_up();
                self.step(Input::SpillFailed);
            }
        }
    }

    /// Logs what was dropped since the start, if anything was.
    fn log_dropped(&self) {
        let Counters { full, declined, faults_unreported, .. } = *self.agent.counters();
        if full + declined + faults_unreported > 0 {
            tracing::info!(boiler = %self.config.id, full, declined, faults_unreported, "dropped since the start");
        }
    }

    /// A full disk fails every few seconds.
    fn log_failure(&mut self, line: &'static str, error: &SpoolError) {
        let error = crate::logs::chain(error);
        if let Some(times) = self.spill_failures.admits_each((line, error.clone())) {
            tracing::error!(boiler = %self.config.id, times, error, "{line}");
        }
    }

    /// At the end of the task, writes the backlog to the spill file.
    pub(super) async fn finish(mut self) {
        self.log_dropped();
        if self.agent.backlog() == 0 {
            return;
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
            Ok(()) if self.agent.spill_bytes() > 0 => tracing::info!(%boiler, slots, "backlog saved to the spill file"),
            Ok(()) => tracing::warn!(%boiler, slots, "backlog left in the device's ring"),
            Err(error) => {
                let error = crate::logs::chain(&error);
                let line = "backlog left in the device's ring: the spill file cannot be written";
                tracing::error!(%boiler, slots, error, "{line}");
            }
        }
    }
}
