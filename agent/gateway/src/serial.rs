//! The serial port: opened, read, written, closed. What the bytes mean is `flow`'s business.
//!
//! | what | how |
//! |---|---|
//! | one agent per port | TIOCEXCL and an exclusive flock; a port that another process has is waited for |
//! | one boiler per port | before each try the devices of all boilers are compared, see [`Ports`] |
//! | unplugged | `Ok(0)` from a pty or an adapter, or an error; the port is waited for |
//! | DTR | closing the port leaves it as it is, because a board that is wired for auto-reset restarts at each edge |

mod device;
#[cfg(test)]
pub(crate) mod pty;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thermowell_wire::BoilerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt as _, SerialStream};

use crate::config::{Boiler, Dtr};

pub use device::{Obstacle, Ports, Twin, holder};

/// Bytes that may wait for the port. The gateway's messages have at most 40 bytes and a device answers each within
/// milliseconds: more than this means that nobody reads.
const OUTGOING_MAX: usize = 4_096;

/// Why a port did not open. Each may pass, and is worth another try.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there (yet), not accessible, or no serial port.
    #[error("open serial port {path}")]
    Open {
        /// The port.
        path: PathBuf,
        /// What the system reports.
        #[source]
        source: io::Error,
    },
    /// Another process has it. [`holder`] finds out which one.
    #[error("serial port {path} is in use")]
    InUse {
        /// The port.
        path: PathBuf,
    },
    /// It is the port of another boiler of this configuration, under another name.
    #[error(
        "boilers {boiler} and {} have the same serial port, as {path} and as {}; correct `port` of one of them",
        twin.boiler, twin.port.display()
    )]
    Shared {
        /// The boiler that waits.
        boiler: BoilerId,
        /// Its port.
        path: PathBuf,
        /// The other boiler.
        twin: Box<Twin>,
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
    /// Opens the port of `boiler` exclusively, discards what waited in it, and asks the adapter for low latency where
    /// it can. `ports` are those of the whole configuration.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(boiler: &Boiler, ports: &Ports) -> Result<Self, OpenError> {
        let path = boiler.port.as_path();
        let shared = |twin| {
            let (boiler, path, twin) = (boiler.id.clone(), path.to_owned(), Box::new(twin));
            OpenError::Shared { boiler, path, twin }
        };
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let twin = ports.twin(&boiler.id);
        if let Some(twin) = twin.clone().filter(|twin| twin.is_earlier) {
            return Err(shared(twin));
        }
        let in_use = || twin.clone().map_or_else(|| OpenError::InUse { path: path.to_owned() }, shared);
        // Open until the port itself is: a first opening raises DTR, and a last closing could drop it.
        let probe = device::open(path).map_err(|obstacle| match obstacle {
            Obstacle::InUse => in_use(),
            Obstacle::System(source) => failed(source),
            Obstacle::NoTerminal => failed(io::Error::other(obstacle)),
        })?;
        if let Err(error) = device::keep_lines_when_closed(&probe) {
            tracing::debug!(port = %path.display(), %error, "DTR may drop when the port is closed");
        }
        flock(&probe, FlockOperation::Unlock).map_err(|error| failed(error.into()))?;
        let name = path.to_string_lossy();
        let mut stream = tokio_serial::new(name.as_ref(), boiler.baud).open_native_async().map_err(|source| {
            // Another process was faster.
            if is_busy(&source) { in_use() } else { failed(source.into()) }
        })?;
        drop(probe);
        if let Err(error) = stream.clear(ClearBuffer::Input) {
            tracing::debug!(port = %name, %error, "old input was not flushed");
        }
        set_dtr(&mut stream, boiler);
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

/// Looks whether an agent could have the port of `boiler` now. An opening raises DTR: a port that another process is
/// known to have is not opened, and with `dtr = "off"` the line is lowered again, so that the board does not stand
/// still until the agent opens the port.
///
/// # Errors
/// See [`Obstacle`].
pub fn look(boiler: &Boiler) -> Result<(), Obstacle> {
    if device::is_of_another_kind(&boiler.port) {
        return Err(Obstacle::NoTerminal);
    }
    // TIOCEXCL keeps others out, but not root.
    if device::find_holder(&boiler.port).is_some() {
        return Err(Obstacle::InUse);
    }
    let held = device::open(&boiler.port)?;
    if boiler.dtr == Dtr::Off {
        flock(&held, FlockOperation::Unlock).map_err(|error| Obstacle::System(error.into()))?;
        match tokio_serial::new(boiler.port.to_string_lossy(), boiler.baud).open() {
            Ok(mut port) => set_dtr(port.as_mut(), boiler),
            Err(error) if is_busy(&error) => return Err(Obstacle::InUse),
            Err(error) => return Err(Obstacle::System(error.into())),
        }
    }
    Ok(())
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

/// Best effort: a pty has no such line.
fn set_dtr(port: &mut dyn SerialPort, boiler: &Boiler) {
    let level = match boiler.dtr {
        Dtr::Keep => return,
        Dtr::On => true,
        Dtr::Off => false,
    };
    if let Err(error) = port.write_data_terminal_ready(level) {
        tracing::info!(boiler = %boiler.id, port = %boiler.port.display(), %error, "DTR is not set: the port has none");
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

    use super::pty::pty;
    use super::*;

    fn boiler(id: &str, port: &Path) -> Boiler {
        let (id, port) = (id.parse().unwrap(), port.to_owned());
        Boiler { id, port, baud: 115_200, serial_number: None, dtr: Dtr::Off }
    }

    #[tokio::test]
    async fn an_opened_port_keeps_dtr_when_it_is_closed() {
        let (master, port) = pty();
        let mut settings = tcgetattr(&master).unwrap();
        settings.control_modes.insert(ControlModes::HUPCL);
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        let boiler = boiler("b1", &port);
        // A pty has no DTR: that it cannot be lowered is no reason not to open it.
        let opened = Port::open(&boiler, &Ports::of(std::slice::from_ref(&boiler))).unwrap();
        let settings = tcgetattr(&master).unwrap();
        assert!(!settings.control_modes.contains(ControlModes::HUPCL));
        drop(opened);
    }

    #[test]
    fn a_look_at_a_port_leaves_its_settings() {
        let (master, port) = pty();
        let mut settings = tcgetattr(&master).unwrap();
        settings.control_modes.insert(ControlModes::HUPCL);
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        for dtr in [Dtr::Keep, Dtr::On, Dtr::Off] {
            look(&Boiler { dtr, ..boiler("b1", &port) }).unwrap();
            assert!(tcgetattr(&master).unwrap().control_modes.contains(ControlModes::HUPCL), "{dtr:?}");
        }
    }

    /// It has no lock, as a terminal program; an agent's TIOCEXCL does not stop root.
    #[test]
    fn a_port_that_another_process_has_open_is_not_opened() {
        let (_master, port) = pty();
        let open = fs::OpenOptions::new().read(true).write(true).open(&port).unwrap();
        let mut other = Command::new("cat").stdin(open).stdout(Stdio::null()).spawn().unwrap();
        let found = look(&boiler("b1", &port));
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(matches!(found, Err(Obstacle::InUse)), "{found:?}");
        look(&boiler("b1", &port)).unwrap();
    }

    #[tokio::test]
    async fn a_locked_port_is_in_use_until_it_is_free() {
        let (_master, port) = pty();
        let boiler = boiler("b1", &port);
        let ports = Ports::of(std::slice::from_ref(&boiler));
        let other = fs::File::open(&port).unwrap();
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
        let error = Port::open(&boiler, &ports).unwrap_err();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        drop(other);
        Port::open(&boiler, &ports).unwrap();
    }

    #[tokio::test]
    async fn of_two_boilers_with_one_device_the_first_has_it() {
        let (_master, port) = pty();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("by-id");
        symlink(&port, &link).unwrap();
        let (first, second) = (boiler("b1", &port), boiler("b2", &link));
        let ports = Ports::of(&[first.clone(), second.clone()]);
        for _ in 0..2 {
            let error = Port::open(&second, &ports).unwrap_err().to_string();
            let names = format!("boilers b2 and b1 have the same serial port, as {} and as", link.display());
            assert!(error.starts_with(&names), "{error}");
        }
        let _open = Port::open(&first, &ports).unwrap();
        assert!(matches!(Port::open(&second, &ports), Err(OpenError::Shared { .. })));
        // A name that leads to the device only now: the port is in use, and not by another process.
        assert!(matches!(Port::open(&first, &ports), Err(OpenError::Shared { .. })));
    }

    #[test]
    fn what_is_no_serial_port_is_named() {
        let boiler = boiler("b1", Path::new("/dev/null"));
        let error = Port::open(&boiler, &Ports::of(std::slice::from_ref(&boiler))).unwrap_err();
        assert_eq!(crate::logs::chain(&error), "open serial port /dev/null: it is no serial port");
    }
}
