//! The serial port: opened, read, written, closed. What the bytes mean is `flow`'s business.
//!
//! One agent per port: the port is opened with TIOCEXCL and an exclusive flock, and a second agent is told who holds
//! it. A port that is not there is waited for; `Ok(0)` from a pty or an unplugged adapter means *unplugged*.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};

/// Bytes that may wait for the port. The gateway's messages have at most 40 bytes and a device answers each within
/// milliseconds: more than this means that nobody reads.
const OUTGOING_MAX: usize = 4_096;

/// Why a port did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there (yet), or not accessible: worth another try.
    #[error("open serial port {path}")]
    Open {
        /// The port.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: tokio_serial::Error,
    },
    /// Somebody else has it: fatal.
    #[error("serial port {path} is in use by {holder}; one agent per port")]
    InUse {
        /// The port.
        path: PathBuf,
        /// Who has it, as far as this user may see.
        holder: String,
    },
}

/// An open serial port.
#[derive(Debug)]
pub struct Port {
    stream: SerialStream,
    outgoing: Vec<u8>,
    dropped: u64,
}

impl Port {
    /// Opens `path` exclusively, forgets what waited in it, and asks the adapter for low latency where it can.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, baud: u32) -> Result<Self, OpenError> {
        let name = path.to_string_lossy();
        let stream = tokio_serial::new(name.as_ref(), baud).open_native_async().map_err(|source| {
            if is_busy(&source) {
                OpenError::InUse { path: path.to_owned(), holder: holder(path) }
            } else {
                OpenError::Open { path: path.to_owned(), source }
            }
        })?;
        if let Err(error) = stream.clear(ClearBuffer::Input) {
            tracing::debug!(port = %name, %error, "old input was not flushed");
        }
        lower_latency(path);
        Ok(Self { stream, outgoing: Vec::with_capacity(512), dropped: 0 })
    }

    /// Takes a frame for the device. One that finds no room is dropped and counted: every request of the protocol is
    /// repeated by its sender.
    pub fn send(&mut self, frame: &[u8]) {
        if self.outgoing.len() + frame.len() > OUTGOING_MAX {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, "the serial port does not take what is written");
            }
        } else {
            self.outgoing.extend_from_slice(frame);
        }
    }

    /// Waits for bytes from the device while it writes what waits for it. 0 bytes mean unplugged.
    ///
    /// # Errors
    /// What the system says; the port is of no use afterwards.
    pub async fn exchange(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.outgoing.is_empty() {
                return self.stream.read(buffer).await;
            }
            let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
            tokio::select! {
                read = reader.read(buffer) => return read,
                written = writer.write(&self.outgoing) => {
                    let written = written?;
                    self.outgoing.drain(..written);
                }
            }
        }
    }
}

fn is_busy(error: &tokio_serial::Error) -> bool {
    // serialport says "no device" for EBUSY, and passes a lost flock on as `WouldBlock`.
    match error.kind() {
        tokio_serial::ErrorKind::NoDevice => {
            let text = error.to_string().to_lowercase();
            text.contains("busy") || text.contains("lock")
        }
        tokio_serial::ErrorKind::Io(kind) => {
            matches!(kind, io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock)
        }
        tokio_serial::ErrorKind::InvalidInput | tokio_serial::ErrorKind::Unknown => false,
    }
}

/// Who has `path` open, by looking through /proc; other users' processes show only to root.
#[must_use]
pub fn holder(path: &Path) -> String {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let holds = fs::read_dir(entry.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link == target));
        if holds && pid != own {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return format!("process {pid} ({})", name.trim());
        }
    }
    "a process that this user may not see".to_owned()
}

/// FTDI adapters collect bytes for 16 ms by default; where the driver has the knob, 1 ms. Best effort.
fn lower_latency(path: &Path) {
    let Ok(target) = fs::canonicalize(path) else { return };
    let Some(name) = target.file_name() else { return };
    let knob = Path::new("/sys/class/tty").join(name).join("device/latency_timer");
    if knob.exists()
        && let Err(error) = fs::write(&knob, "1")
    {
        tracing::info!(knob = %knob.display(), %error, "the adapter keeps its latency; stamps may be off by 16 ms");
    }
}
