//! A boiler on its cable: moves bytes between firmware and port, and writes the account.

use std::os::fd::BorrowedFd;

use crate::account::{Event, Writer, WriterError};
use crate::boiler::Boiler;
use crate::clock::Clock;
use crate::line::{Direction, Line};
use crate::port::{Port, PortError};

/// Bytes that may wait for a slow reader or the end of a stall. Beyond that the firmware cannot send; its ring keeps
/// filling.
const WAITING_MAX: usize = 16 * 1024;
/// Bytes that may wait with those of a command: its longest garbage fits on top of what the firmware has sent.
const INJECTED_MAX: usize = 2 * WAITING_MAX;
/// Bytes read from a port at once; far more than a gateway sends in a millisecond.
const READ_MAX: usize = 4 * 1024;
/// Without a read for this long the waiting bytes are dropped, as a real UART would drop them.
const READ_TIMEOUT_NS: u64 = 1_000_000_000;

#[derive(Debug)]
pub struct Station {
    boiler: Boiler,
    line: Line,
    port: Port,
    account: Option<Writer>,
    waiting: Vec<u8>,
    /// Bytes to the gateway that were dropped because it did not read.
    dropped: usize,
    /// Real time since when bytes wait and none are taken.
    stuck_since_ns: Option<u64>,
    buffer: Vec<u8>,
}

/// Why a station cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The cable was restored, but the port cannot be created.
    #[error("cannot plug in {boiler}")]
    Plug { boiler: String, source: PortError },
    /// The account would be incomplete.
    #[error("cannot keep the account of {boiler}")]
    Account { boiler: String, source: WriterError },
}

impl Station {
    #[must_use]
    pub fn new(boiler: Boiler, line: Line, port: Port, account: Option<Writer>) -> Self {
        let buffer = vec![0; WAITING_MAX];
        Self { boiler, line, port, account, waiting: Vec::new(), dropped: 0, stuck_since_ns: None, buffer }
    }

    #[must_use]
    pub fn boiler(&self) -> &Boiler {
        &self.boiler
    }

    pub fn boiler_mut(&mut self) -> &mut Boiler {
        &mut self.boiler
    }

    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    pub fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    /// Descriptor to wait on. None while the line stalls: its port is not read then, so it would stay readable.
    #[must_use]
    pub fn readable(&self, now_ns: u64) -> Option<BorrowedFd<'_>> {
        if self.line.is_stalled(now_ns / 1_000) { None } else { self.port.readable() }
    }

    /// Bytes to the gateway that were dropped because it did not read.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Puts `bytes` on the line to the gateway, as if the firmware had sent them.
    ///
    /// # Errors
    /// If there are more than fit: how many do.
    pub fn inject(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let room = INJECTED_MAX.saturating_sub(self.waiting.len());
        if bytes.len() > room {
            return Err(room);
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Advances the boiler to `now_ns` and moves the bytes of both directions.
    ///
    /// # Errors
    /// If a port cannot be created again, or the account not be written.
    pub fn serve(&mut self, now_ns: u64, clock: &Clock) -> Result<(), StationError> {
        self.boiler.advance(now_ns, |t_ns| clock.utc_ns(t_ns));
        self.move_cable(now_ns)?;
        if !self.line.is_stalled(now_ns / 1_000) {
            self.receive(now_ns);
        }
        self.transmit(now_ns, clock);
        let entries = self.boiler.take_journal();
        match &mut self.account {
            Some(account) => account.append(entries).map_err(|source| self.account_error(source)),
            None => {
                drop(entries);
                Ok(())
            }
        }
    }

    /// Writes the account to its files.
    ///
    /// # Errors
    /// If the account cannot be written.
    pub fn flush(&mut self) -> Result<(), StationError> {
        let Some(account) = &mut self.account else { return Ok(()) };
        account.flush().map_err(|source| self.account_error(source))
    }

    /// Switches off for good at `now_ns`, and completes the account.
    ///
    /// # Errors
    /// If the account cannot be completed.
    pub fn close(&mut self, now_ns: u64, clock: &Clock) -> Result<(), StationError> {
        self.serve(now_ns, clock)?;
        self.boiler.switch_off(now_ns, u64::MAX);
        if let Some(account) = &mut self.account {
            let entries = self.boiler.take_journal();
            account.append(entries).map_err(|source| self.account_error(source))?;
        }
        self.flush()
    }

    fn account_error(&self, source: WriterError) -> StationError {
        StationError::Account { boiler: self.boiler.id().to_string(), source }
    }

    fn move_cable(&mut self, now_ns: u64) -> Result<(), StationError> {
        let plugged = self.line.is_plugged(now_ns / 1_000);
        if plugged && !self.port.is_plugged() {
            let plug = self.port.plug();
            plug.map_err(|source| StationError::Plug { boiler: self.boiler.id().to_string(), source })?;
            self.boiler.enter(Event::Plug { t_ns: now_ns });
        } else if !plugged && self.port.is_plugged() {
            self.port.unplug();
            self.waiting.clear();
            self.boiler.enter(Event::Unplug { t_ns: now_ns });
        }
        Ok(())
    }

    fn receive(&mut self, now_ns: u64) {
        let mut bytes = std::mem::take(&mut self.buffer);
        let read = self.port.read(&mut bytes[..READ_MAX]);
        if read > 0 {
            let mut received = bytes[..read].to_vec();
            self.line.disturb(now_ns / 1_000, Direction::ToDevice, &mut received);
            self.boiler.receive(&received, now_ns);
        }
        self.buffer = bytes;
    }

    fn transmit(&mut self, now_ns: u64, clock: &Clock) {
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        let length = self.boiler.transmit(now_ns, &mut self.buffer[..room]);
        if length > 0 {
            let mut bytes = self.buffer[..length].to_vec();
            self.line.disturb(now_ns / 1_000, Direction::ToGateway, &mut bytes);
            self.waiting.append(&mut bytes);
        }
        if self.waiting.is_empty() || self.line.is_stalled(now_ns / 1_000) {
            self.stuck_since_ns = None;
            return;
        }
        let written = self.port.write(&self.waiting);
        self.waiting.drain(..written);
        if written > 0 || self.waiting.is_empty() {
            self.stuck_since_ns = None;
        } else {
            let real_ns = clock.real_ns();
            let since_ns = *self.stuck_since_ns.get_or_insert(real_ns);
            if real_ns.saturating_sub(since_ns) > READ_TIMEOUT_NS {
                self.dropped += self.waiting.len();
                self.waiting.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use thermowell_device::Config;

    use super::*;
    use crate::boiler::BoilerSetup;
    use crate::port::PortKind;
    use crate::scenario::Scenario;
    use crate::source::Source;

    #[test]
    fn stalled_port_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let id: thermowell_wire::BoilerId = "b1".parse().unwrap();
        let scenario = Scenario::default().boiler(&id);
        let source = Source::plant(&scenario);
        let setup = BoilerSetup { id, device: Config::default(), scenario, source, ring: 100, boots: 0 };
        let port = Port::open(PortKind::Socket, folder.path().join("b1")).unwrap();
        let mut station = Station::new(Boiler::new(setup, 0), Line::new(Vec::new(), 1), port, None);
        station.line_mut().stall(5_000);
        let waits = [0, 4_999_999, 5_000_000].map(|now_ns| station.readable(now_ns).is_some());
        assert_eq!(waits, [false, false, true]);
    }
}
