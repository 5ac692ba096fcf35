//! The serial port: open, read, write, close. The protocol is in `flow`.
//!
//! | what | how |
//! |---|---|
//! | one agent per port | TIOCEXCL and an exclusive flock; retried while another process has the port open |
//! | one boiler per port | before each attempt the devices of all boilers are compared, see [`Ports`] |
//! | unplugged | `Ok(0)` from a pty or an adapter, or an error; then the port is reopened |
//! | DTR | unchanged when the port is closed, because a board that is wired for auto-reset restarts at each edge |

mod bytes;
mod device;
#[cfg(test)]
pub(crate) mod pty;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use thermowell_wire::BoilerId;
use tokio_serial::{ClearBuffer, SerialPort};

use crate::config::{Boiler, Dtr};

use bytes::Bytes;

pub(crate) use device::{Holder, find_holder};
pub use device::{Obstacle, Ports, Twin, holder};

/// The most bytes in the output buffer. The gateway's messages have at most 40 bytes and a device answers each within
/// milliseconds: more than this means that the device does not read.
const OUTGOING_MAX: usize = 4_096;

/// Why a port did not open. All of these are worth a retry.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not exist (yet), is not accessible, or is no serial port.
    #[error("open serial port {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another process has it open. [`holder`] finds out which one.
    #[error("serial port {path} is in use")]
    InUse { path: PathBuf },
    /// Another boiler of this configuration has the same port, under another name.
    #[error(
        "boilers {boiler} and {} have the same serial port, as {path} and as {}; correct `port` of one of them",
        twin.boiler, twin.port.display()
    )]
    Shared { boiler: BoilerId, path: PathBuf, twin: Box<Twin> },
}

#[derive(Debug)]
pub struct Port {
    boiler: Boiler,
    bytes: Bytes,
    /// Keeps the port exclusive.
    _port: Box<dyn SerialPort>,
    outgoing: Vec<u8>,
    dropped: u64,
}

impl Port {
    /// Opens the port of `boiler` exclusively, discards old input, and sets the adapter's latency to the minimum if
    /// possible. `ports` are those of the whole configuration.
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
        // Kept open, for reading and writing: a first open raises DTR, and a last close could drop it.
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
        let mut port = tokio_serial::new(name.as_ref(), boiler.baud).open().map_err(|source| {
            // Another process has opened it meanwhile.
            if is_busy(&source) { in_use() } else { failed(source.into()) }
        })?;
        if let Err(error) = port.clear(ClearBuffer::Input) {
            tracing::debug!(port = %name, %error, "could not flush old input");
        }
        if let Err(error) = set_dtr(port.as_mut(), boiler)
            && let Some(times) = ports.unset(&boiler.id, "DTR")
        {
            tracing::info!(boiler = %boiler.id, port = %path.display(), times, %error, "could not set DTR");
        }
        if let Err((knob, error)) = lower_latency(path)
            && let Some(times) = ports.unset(&boiler.id, "latency")
        {
            let (boiler, knob) = (&boiler.id, knob.display());
            tracing::info!(%boiler, %knob, times, %error, "adapter latency not lowered; stamps may be off by 16 ms");
        }
        let (boiler, outgoing) = (boiler.clone(), Vec::with_capacity(512));
        Ok(Self { boiler, bytes: Bytes::new(probe), _port: port, outgoing, dropped: 0 })
    }

    /// Queues a frame for the device. Without room it is dropped and counted: every request of the protocol is repeated
    /// by its sender. Returns whether it was queued.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        if self.outgoing.len() + frame.len() > OUTGOING_MAX {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                let (boiler, port, dropped) = (&self.boiler.id, self.boiler.port.display(), self.dropped);
                tracing::warn!(%boiler, %port, dropped, "frames dropped: the serial port accepts no output");
            }
            return false;
        }
        self.outgoing.extend_from_slice(frame);
        true
    }

    /// Reads bytes from the device while writing queued frames. 0 bytes mean unplugged.
    ///
    /// # Errors
    /// The read or write failed; the port is unusable afterwards.
    pub async fn exchange(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.exchange(buffer, &mut self.outgoing).await
    }

    /// Lets the bytes wait in the kernel until the next exchange, unless something has to be written. Whether it does.
    pub fn rest(&mut self) -> bool {
        let rests = self.outgoing.is_empty();
        if rests {
            self.bytes.rest();
        }
        rests
    }
}

/// Checks whether an agent could open the port of `boiler` now. Opening raises DTR, so a port that another process has
/// open is not touched, and with `dtr = "off"` the line is lowered again: else the board would not run until the agent
/// opens the port.
///
/// # Errors
/// See [`Obstacle`].
pub fn check(boiler: &Boiler) -> Result<(), Obstacle> {
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
            // A pty has no DTR.
            Ok(mut port) => set_dtr(port.as_mut(), boiler).unwrap_or_default(),
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

fn set_dtr(port: &mut dyn SerialPort, boiler: &Boiler) -> Result<(), tokio_serial::Error> {
    match boiler.dtr {
        Dtr::Keep => Ok(()),
        Dtr::On => port.write_data_terminal_ready(true),
        Dtr::Off => port.write_data_terminal_ready(false),
    }
}

/// FTDI adapters collect bytes for 16 ms by default; sets 1 ms if the driver has that setting.
///
/// # Errors
/// The setting, and why it is not set.
fn lower_latency(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    let target = fs::canonicalize(path).unwrap_or_default();
    let Some(name) = target.file_name() else { return Ok(()) };
    let knob = Path::new("/sys/class/tty").join(name).join("device/latency_timer");
    if !knob.exists() {
        return Ok(());
    }
    fs::write(&knob, "1").map_err(|error| (knob, error))
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
        Boiler { id, port, baud: 115_200, serial_number: None, dtr: Dtr::Off, room: None, outdoor: None }
    }

    #[tokio::test]
    async fn open_port_keeps_dtr_when_closed() {
        let (master, port) = pty();
        let mut settings = tcgetattr(&master).unwrap();
        settings.control_modes.insert(ControlModes::HUPCL);
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        let boiler = boiler("b1", &port);
        // A pty has no DTR: it opens although the line cannot be lowered.
        let opened = Port::open(&boiler, &Ports::of(std::slice::from_ref(&boiler))).unwrap();
        let settings = tcgetattr(&master).unwrap();
        assert!(!settings.control_modes.contains(ControlModes::HUPCL));
        drop(opened);
    }

    #[test]
    fn check_leaves_the_settings_of_the_port() {
        let (master, port) = pty();
        let mut settings = tcgetattr(&master).unwrap();
        settings.control_modes.insert(ControlModes::HUPCL);
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        for dtr in [Dtr::Keep, Dtr::On, Dtr::Off] {
            check(&Boiler { dtr, ..boiler("b1", &port) }).unwrap();
            assert!(tcgetattr(&master).unwrap().control_modes.contains(ControlModes::HUPCL), "{dtr:?}");
        }
    }

    /// The other process has no lock, like a terminal program; an agent's TIOCEXCL does not stop root.
    #[test]
    fn port_that_another_process_has_open_is_in_use() {
        let (_master, port) = pty();
        let open = fs::OpenOptions::new().read(true).write(true).open(&port).unwrap();
        let mut other = Command::new("cat").stdin(open).stdout(Stdio::null()).spawn().unwrap();
        let found = check(&boiler("b1", &port));
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(matches!(found, Err(Obstacle::InUse)), "{found:?}");
        check(&boiler("b1", &port)).unwrap();
    }

    #[tokio::test]
    async fn locked_port_is_in_use_until_unlocked() {
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
    async fn shared_device_goes_to_the_first_boiler() {
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
        // With the port open, the conflict is reported as shared, not as in use by another process.
        assert!(matches!(Port::open(&first, &ports), Err(OpenError::Shared { .. })));
    }

    #[test]
    fn other_device_is_no_serial_port() {
        let boiler = boiler("b1", Path::new("/dev/null"));
        let error = Port::open(&boiler, &Ports::of(std::slice::from_ref(&boiler))).unwrap_err();
        assert_eq!(crate::logs::chain(&error), "open serial port /dev/null: not a serial port");
    }
}
