//! A boiler at its cable: moves bytes between the firmware and the port, and keeps the account.

use crate::account::{Event, Writer, WriterError};
use crate::boiler::Boiler;
use crate::clock::Clock;
use crate::line::{Direction, Line};
use crate::port::{Port, PortError};

/// Bytes that may wait for a listener that does not read, or for the end of a stall. Then the firmware's transmitter
/// stands still; its ring goes on.
const WAITING_MAX: usize = 16 * 1024;
/// What is read at once from a port. Far more than a gateway says in a millisecond.
const READ_MAX: usize = 4 * 1024;
/// A listener that has not read for so long is none: what waits for it is lost, as it would be in a real UART.
const DEAF_NS: u64 = 1_000_000_000;

/// A boiler, its cable, its port and its account.
#[derive(Debug)]
pub struct Station {
    boiler: Boiler,
    line: Line,
    port: Port,
    account: Option<Writer>,
    waiting: Vec<u8>,
    /// Real time since when something waits and nothing moves.
    stuck_since_ns: Option<u64>,
    buffer: Vec<u8>,
}

/// A station cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The cable was put back, and there is no port.
    #[error("cannot plug in {boiler}")]
    Plug {
        /// Whose.
        boiler: String,
        /// Why.
        source: PortError,
    },
    /// The account would not be complete.
    #[error("cannot keep the account of {boiler}")]
    Account {
        /// Whose.
        boiler: String,
        /// Why.
        source: WriterError,
    },
}

impl Station {
    /// Puts the parts together.
    #[must_use]
    pub fn new(boiler: Boiler, line: Line, port: Port, account: Option<Writer>) -> Self {
        let buffer = vec![0; WAITING_MAX];
        Self { boiler, line, port, account, waiting: Vec::new(), stuck_since_ns: None, buffer }
    }

    /// The boiler.
    #[must_use]
    pub fn boiler(&self) -> &Boiler {
        &self.boiler
    }

    /// The boiler, to switch it off.
    pub fn boiler_mut(&mut self) -> &mut Boiler {
        &mut self.boiler
    }

    /// The cable.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The cable, to pull it.
    pub fn line_mut(&mut self) -> &mut Line {
        &mut self.line
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Puts `bytes` on the line to the gateway, as if the firmware had said them.
    pub fn inject(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Lets everything happen that is due.
    ///
    /// # Errors
    /// Where a port cannot be made again, or the account not be kept.
    pub fn serve(&mut self, now_ns: u64, clock: &Clock) -> Result<(), StationError> {
        self.boiler.advance(now_ns, |t_ns| clock.utc_ns(t_ns));
        self.move_cable(now_ns)?;
        if !self.line.is_stalled(now_ns / 1_000) {
            self.hear(now_ns);
        }
        self.speak(now_ns, clock);
        let entries = self.boiler.take_journal();
        match &mut self.account {
            Some(account) => account.append(entries).map_err(|source| self.account_error(source)),
            None => {
                drop(entries);
                Ok(())
            }
        }
    }

    /// Writes the account down.
    ///
    /// # Errors
    /// Where that fails.
    pub fn flush(&mut self) -> Result<(), StationError> {
        let Some(account) = &mut self.account else { return Ok(()) };
        account.flush().map_err(|source| self.account_error(source))
    }

    /// Switches off for good, at `now_ns`.
    ///
    /// # Errors
    /// Where the account cannot be completed.
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

    fn hear(&mut self, now_ns: u64) {
        let mut bytes = std::mem::take(&mut self.buffer);
        let read = self.port.read(&mut bytes[..READ_MAX]);
        if read > 0 {
            let mut heard = bytes[..read].to_vec();
            self.line.disturb(now_ns / 1_000, Direction::ToDevice, &mut heard);
            self.boiler.receive(&heard, now_ns);
        }
        self.buffer = bytes;
    }

    fn speak(&mut self, now_ns: u64, clock: &Clock) {
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        let said = self.boiler.transmit(now_ns, &mut self.buffer[..room]);
        if said > 0 {
            let mut bytes = self.buffer[..said].to_vec();
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
            if real_ns.saturating_sub(since_ns) > DEAF_NS {
                self.waiting.clear();
            }
        }
    }
}
