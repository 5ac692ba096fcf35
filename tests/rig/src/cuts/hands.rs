//! Waiting with open ears: whoever waits hears Ctrl-C, and what needs NATS runs here.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use thermowell_wire::BoilerId;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CutsError;

/// The simulator answers between two steps of its world.
const ANSWER: Duration = Duration::from_secs(10);

/// The runtime of the run's own connections, and its ears.
#[derive(Debug)]
pub(super) struct Hands {
    interrupt: Signal,
    terminate: Signal,
    runtime: Runtime,
}

impl Hands {
    /// From now on Ctrl-C and SIGTERM are heard here.
    ///
    /// # Errors
    /// The system has no more files.
    pub(super) fn new() -> Result<Self, CutsError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(CutsError::Runtime)?;
        let within = runtime.enter();
        let listen = |kind| signal(kind).map_err(CutsError::Runtime);
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        drop(within);
        Ok(Self { interrupt, terminate, runtime })
    }

    /// Lets time pass: the length of something, or the pause between two looks.
    ///
    /// # Errors
    /// Somebody wants it to end.
    pub(super) fn pass(&mut self, length: Duration) -> Result<(), CutsError> {
        let Self { interrupt, terminate, runtime } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => Err(CutsError::Interrupted),
                _ = terminate.recv() => Err(CutsError::Interrupted),
                () = tokio::time::sleep(length) => Ok(()),
            }
        })
    }

    /// Runs what needs NATS.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
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
