//! What a run of cuts waits with, and asks the simulator with.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use thermowell_wire::BoilerId;

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
    pub(super) fn new() -> Result<Self> {
        Ears::open().map(Self)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A signal interrupts the run.
    pub(super) fn pass(&mut self, length: Duration) -> Result<()> {
        self.0.pass(length)
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
pub(super) fn next_slot(console: &Path, boiler: &BoilerId) -> Result<Option<u64>> {
    if !console.exists() {
        return Ok(None);
    }
    let ask = || {
        let mut stream = UnixStream::connect(console)?;
        stream.set_read_timeout(Some(ANSWER))?;
        writeln!(stream, "status {boiler}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask().context("ask the simulator")?;
    if answer.trim() == "ok off" {
        return Ok(None);
    }
    let next = answer.split_whitespace().find_map(|word| word.strip_prefix("next=")?.parse().ok());
    next.map(Some).with_context(|| format!("ask the simulator: {answer}"))
}
