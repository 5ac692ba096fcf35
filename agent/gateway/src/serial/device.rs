//! The device of a port's path: whether it is a serial port, which process and which other boiler use it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, OFlags, flock, major, minor};
use rustix::io::Errno;
use rustix::termios::{ControlModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use thermowell_wire::BoilerId;

use crate::config::Boiler;
use crate::logs::Throttle;

/// Why a device cannot be opened now.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// Another process has opened it exclusively, or locked it.
    #[error("in use by another process")]
    InUse,
    #[error("not a serial port")]
    NoTerminal,
    /// open(2) or flock(2) failed.
    #[error("cannot be opened")]
    System(#[source] io::Error),
}

/// Opens and locks a port as an agent does. This raises DTR and RTS. No byte is read or written.
///
/// # Errors
/// See [`Obstacle`].
///
/// # Panics
/// Never: the flags of open(2) are an int.
pub(super) fn open(path: &Path) -> Result<File, Obstacle> {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).expect("open's flags are an int");
    let file = match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(Obstacle::InUse),
        Err(error) => return Err(Obstacle::System(error)),
    };
    if !isatty(&file) {
        return Err(Obstacle::NoTerminal);
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(Obstacle::InUse),
        Err(error) => return Err(Obstacle::System(error.into())),
    }
    Ok(file)
}

/// Whether sysfs lists the device, and not as a terminal. Does not open it.
pub(super) fn is_of_another_kind(path: &Path) -> bool {
    let Some(device) = device(path) else { return false };
    let subsystem = fs::read_link(format!("/sys/dev/char/{}:{}/subsystem", major(device), minor(device)));
    subsystem.is_ok_and(|subsystem| subsystem.file_name().is_some_and(|name| name != "tty"))
}

/// Clears HUPCL: from then on closing the port leaves DTR and RTS as they are.
pub(super) fn keep_lines_when_closed(file: &File) -> Result<(), Errno> {
    let mut settings = tcgetattr(file)?;
    if settings.control_modes.contains(ControlModes::HUPCL) {
        settings.control_modes.remove(ControlModes::HUPCL);
        tcsetattr(file, OptionalActions::Now, &settings)?;
    }
    Ok(())
}

/// A process that has a file open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

/// The process that has `path` open, as text. The search reads a link for each open file of the machine: milliseconds,
/// more on a busy one. Do not call it on a thread that must not block.
#[must_use]
pub fn holder(path: &Path) -> String {
    find_holder(path).map_or_else(|| "a process that this user may not see".to_owned(), |holder| holder.to_string())
}

/// Another process that has `path` open, from /proc; those of other users are visible only to root.
pub(crate) fn find_holder(path: &Path) -> Option<Holder> {
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
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim().to_owned();
            return Some(Holder { pid, name });
        }
    }
    None
}

/// The ports of a configuration. Two paths may lead to one device (`/dev/ttyUSB0` and a link in /dev/serial/by-id), and
/// this can change whenever an adapter is plugged in: so devices are compared at each start and before each attempt to
/// open one.
///
/// The boiler that comes first in the configuration gets the port: the same one after each start.
#[derive(Clone, Debug)]
pub struct Ports {
    ports: Arc<[(BoilerId, PathBuf)]>,
    /// What could not be set at a port, each time that it opened.
    unset: Arc<Mutex<Throttle<(BoilerId, &'static str)>>>,
}

/// Another boiler with the same device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    pub boiler: BoilerId,
    /// The port's path in the other boiler's configuration.
    pub port: PathBuf,
    /// It comes first in the configuration.
    pub is_earlier: bool,
}

impl Ports {
    /// The ports of all boilers of a configuration, in its order.
    #[must_use]
    pub fn of(boilers: &[Boiler]) -> Self {
        let ports = boilers.iter().map(|boiler| (boiler.id.clone(), boiler.port.clone())).collect();
        Self { ports, unset: Arc::default() }
    }

    /// The first other boiler whose port is the same device as that of `boiler` now.
    #[must_use]
    pub fn twin(&self, boiler: &BoilerId) -> Option<Twin> {
        let own = self.ports.iter().position(|(id, _)| id == boiler)?;
        let device = device(&self.ports[own].1)?;
        let twin = |(index, (id, port)): (usize, &(BoilerId, PathBuf))| {
            let is_same = index != own && self::device(port) == Some(device);
            is_same.then(|| Twin { boiler: id.clone(), port: port.clone(), is_earlier: index < own })
        };
        self.ports.iter().enumerate().find_map(twin)
    }

    /// Counts that `what` could not be set at the port of `boiler`. Returns the count if this is to be logged.
    pub(super) fn unset(&self, boiler: &BoilerId, what: &'static str) -> Option<u32> {
        self.unset.lock().unwrap_or_else(PoisonError::into_inner).admits_each((boiler.clone(), what))
    }
}

/// The number of a character device; none if there is no such device.
fn device(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(|file| file.file_type().is_char_device()).map(|file| file.rdev())
}
