//! What a run of cuts waits with, and asks the simulator with.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thermowell_wire::BoilerId;

use super::CutsError;
use crate::ears::Ears;

/// The simulator answers between two steps of its world.
const ANSWER: Duration = Duration::from_secs(10);

/// What a run of cuts waits with.
#[derive(Debug)]
pub(super) struct Hands(Ears);

impl Hands {
    /// From now on Ctrl-C and SIGTERM are heard here.
    ///
    /// # Errors
    /// The system has no more files.
    pub(super) fn new() -> Result<Self, CutsError> {
        Ears::open().map(Self).map_err(CutsError::Runtime)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// Somebody wants it to end.
    pub(super) fn pass(&mut self, length: Duration) -> Result<(), CutsError> {
        self.0.pass(length).map_err(|_| CutsError::Interrupted)
    }

    /// Runs what needs NATS.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.wait_for(future)
    }
}

/// The next slot of the device of `boiler`, from the simulator itself. None before it listens.
///
/// # Errors
/// It says something else.
pub(super) fn next_slot(console: &Path, boiler: &BoilerId) -> Result<Option<u64>, CutsError> {
    if !console.exists() {
        return Ok(None);
    }
    let ask = || {
        let mut stream = UnixStream::connect(console)?;
        stream.set_read_timeout(Some(ANSWER))?;
        writeln!(stream, "status {boiler}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(CutsError::Console)?;
    if answer.trim() == "ok off" {
        return Ok(None);
    }
    let next = answer.split_whitespace().find_map(|word| word.strip_prefix("next=")?.parse().ok());
    next.map(Some).ok_or_else(|| CutsError::Console(std::io::Error::other(answer)))
}
