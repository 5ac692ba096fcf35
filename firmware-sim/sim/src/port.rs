//! The simulator's end of a serial line: a pseudo-terminal behind a stable link, or a unix socket.
//!
//! If no gateway has the port open, written bytes are lost as on a real line, and not kept for a later one: a
//! pseudo-terminal whose other side is closed answers a read with EIO, so call [`Port::read`] before [`Port::write`].
//! If the other side is open but not reading, writes have to wait: the kernel's buffer stands in for a UART driver's.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Why a port cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// The system has no pseudo-terminal for it.
    #[error("cannot make a pseudo-terminal for {}", path.display())]
    Pty {
        /// The link to it.
        path: PathBuf,
        source: Errno,
    },
    /// The link, the socket or their folder cannot be created.
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    /// The path exists, and is not a simulator's port.
    #[error("{} exists and is not a port of a simulator", path.display())]
    Taken { path: PathBuf },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A pseudo-terminal behind a symbolic link.
    Pty,
    /// A unix socket that serves one client at a time.
    Socket,
}

/// One end of a line.
#[derive(Debug)]
pub struct Port {
    kind: PortKind,
    path: PathBuf,
    side: Side,
}

#[derive(Debug)]
enum Side {
    /// Cable pulled: there is no device file.
    Unplugged,
    Pty {
        master: OwnedFd,
        /// The other side is closed, as of the last read.
        closed: bool,
    },
    Socket {
        listener: UnixListener,
        peer: Option<UnixStream>,
    },
}

impl Port {
    /// Creates the port at `path`, plugged in.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn open(kind: PortKind, path: PathBuf) -> Result<Self, PortError> {
        if let Some(folder) = path.parent() {
            let made = fs::create_dir_all(folder);
            made.map_err(|source| PortError::Make { path: folder.to_owned(), source })?;
        }
        let mut port = Self { kind, path, side: Side::Unplugged };
        port.plug()?;
        Ok(port)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the cable is plugged in.
    #[must_use]
    pub fn is_plugged(&self) -> bool {
        !matches!(self.side, Side::Unplugged)
    }

    /// Plugs the cable in, with a new device file. No effect if it is plugged in.
    ///
    /// # Errors
    /// If the port cannot be created.
    pub fn plug(&mut self) -> Result<(), PortError> {
        if !self.is_plugged() {
            self.side = match self.kind {
                PortKind::Pty => open_pty(&self.path)?,
                PortKind::Socket => open_socket(&self.path)?,
            };
        }
        Ok(())
    }

    /// Pulls the cable: the reader of the device file gets its end.
    pub fn unplug(&mut self) {
        if self.is_plugged() {
            self.side = Side::Unplugged;
            // The path is ours; if it was removed already, the result is the same.
            drop(fs::remove_file(&self.path));
        }
    }

    /// Descriptor to wait on. None while the other side is closed, because such a pseudo-terminal is always "ready".
    #[must_use]
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        match &self.side {
            Side::Pty { master, closed: false } => Some(master.as_fd()),
            Side::Socket { peer: Some(peer), .. } => Some(peer.as_fd()),
            Side::Socket { listener, peer: None } => Some(listener.as_fd()),
            Side::Unplugged | Side::Pty { closed: true, .. } => None,
        }
    }

    /// Reads the pending bytes, 0 if there are none. Also detects whether the other side is open.
    pub fn read(&mut self, bytes: &mut [u8]) -> usize {
        match &mut self.side {
            Side::Unplugged => 0,
            Side::Pty { master, closed } => {
                let outcome = rustix::io::read(&*master, bytes);
                *closed = outcome == Err(Errno::IO);
                outcome.unwrap_or(0)
            }
            Side::Socket { listener, peer } => read_socket(listener, peer, bytes),
        }
    }

    /// Writes what fits and returns how many bytes are done: all of them while the other side is closed.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match &mut self.side {
            Side::Unplugged | Side::Pty { closed: true, .. } | Side::Socket { peer: None, .. } => bytes.len(),
            Side::Pty { master, .. } => match rustix::io::write(&*master, bytes) {
                Ok(written) => written,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => bytes.len(),
            },
            Side::Socket { peer, .. } => {
                let outcome = peer.as_mut().map(|peer| peer.write(bytes));
                match outcome {
                    Some(Ok(written)) => written,
                    Some(Err(error)) if is_temporary(&error) => 0,
                    Some(Err(_)) | None => {
                        *peer = None;
                        bytes.len()
                    }
                }
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn read_socket(listener: &UnixListener, peer: &mut Option<UnixStream>, bytes: &mut [u8]) -> usize {
    if peer.is_none() {
        // A failed accept is retried with the next read.
        let accepted = listener.accept().and_then(|(stream, _)| stream.set_nonblocking(true).map(|()| stream));
        *peer = accepted.ok();
    }
    let Some(stream) = peer else { return 0 };
    match stream.read(bytes) {
        Ok(read) if read > 0 => read,
        Err(error) if is_temporary(&error) => 0,
        Ok(_) | Err(_) => {
            *peer = None;
            0
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted].contains(&error.kind())
}

fn open_pty(path: &Path) -> Result<Side, PortError> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_symlink()) {
        return Err(PortError::Taken { path: path.to_owned() });
    }
    let (master, name) = raw_pty().map_err(|source| PortError::Pty { path: path.to_owned(), source })?;
    // Create and rename: an open of the link finds the old device or the new one.
    let aside = path.with_extension("new");
    drop(fs::remove_file(&aside));
    let linked = symlink(&name, &aside).and_then(|()| fs::rename(&aside, path));
    linked.map_err(|source| PortError::Make { path: path.to_owned(), source })?;
    Ok(Side::Pty { master, closed: true })
}

/// A raw pseudo-terminal: its master side, and the path of the other side.
fn raw_pty() -> Result<(OwnedFd, PathBuf), Errno> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let name = PathBuf::from(String::from_utf8(name.into_bytes()).map_err(|_| Errno::ILSEQ)?);
    // The settings belong to the pair and stay after this side is closed again; then the other side counts as closed.
    let other = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(&other)?;
    settings.make_raw();
    tcsetattr(&other, OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok((master, name))
}

fn open_socket(path: &Path) -> Result<Side, PortError> {
    use std::os::unix::fs::FileTypeExt;

    match path.symlink_metadata() {
        Ok(metadata) if metadata.file_type().is_socket() => drop(fs::remove_file(path)),
        Ok(_) => return Err(PortError::Taken { path: path.to_owned() }),
        Err(_) => {}
    }
    let bound = UnixListener::bind(path).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    let listener = bound.map_err(|source| PortError::Make { path: path.to_owned(), source })?;
    Ok(Side::Socket { listener, peer: None })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn open_other(port: &Port) -> fs::File {
        let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).unwrap();
        fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(port.path()).unwrap()
    }

    fn read_all(file: &mut fs::File) -> Vec<u8> {
        let mut bytes = [0; 64];
        let read = file.read(&mut bytes).unwrap_or(0);
        bytes[..read].to_vec()
    }

    #[test]
    fn pty_passes_all_bytes_and_keeps_none_while_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mut port = Port::open(PortKind::Pty, folder.path().join("ports/b1")).unwrap();
        let mut bytes = [0; 64];
        assert_eq!(
            (port.read(&mut bytes), port.write(b"closed")),
            (0, 6),
            "bytes are lost while the other side is closed"
        );
        assert!(port.readable().is_none());

        let every: Vec<u8> = vec![0, 3, 4, 10, 13, 17, 19, 26, 127, 255];
        let mut other = open_other(&port);
        assert_eq!(port.read(&mut bytes), 0);
        assert!(port.readable().is_some());
        assert_eq!(port.write(&every), every.len());
        assert_eq!(read_all(&mut other), every);
        other.write_all(&every).unwrap();
        let read = port.read(&mut bytes);
        assert_eq!(bytes[..read], every);

        drop(other);
        port.read(&mut bytes);
        assert_eq!(port.write(b"closed again"), 12);
        let mut other = open_other(&port);
        port.read(&mut bytes);
        port.write(b"fresh");
        assert_eq!(read_all(&mut other), b"fresh");
    }

    #[test]
    fn unplug_ends_the_device_file_and_plug_creates_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b1");
        let mut port = Port::open(PortKind::Pty, path.clone()).unwrap();
        let mut other = open_other(&port);
        port.unplug();
        assert!(path.symlink_metadata().is_err(), "the link is gone");
        assert_eq!(other.read(&mut [0; 8]).unwrap_or(0), 0, "the reader gets end of file");
        assert_eq!(port.write(b"lost"), 4);
        port.plug().unwrap();
        let mut fresh = open_other(&port);
        port.read(&mut [0; 8]);
        port.write(b"x");
        assert_eq!(read_all(&mut fresh), b"x");
        drop(port);
        assert!(path.symlink_metadata().is_err());
    }

    #[test]
    fn socket_serves_one_client_after_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut port = Port::open(PortKind::Socket, folder.path().join("b1")).unwrap();
        let mut bytes = [0; 8];
        for round in 0..2 {
            let mut other = UnixStream::connect(port.path()).unwrap();
            other.write_all(b"in").unwrap();
            while port.read(&mut bytes) != 2 {
                assert!(port.readable().is_some(), "round {round}");
            }
            assert_eq!(port.write(b"out"), 3);
            let mut three = [0; 3];
            other.read_exact(&mut three).unwrap();
            assert_eq!(&three, b"out");
            drop(other);
            assert_eq!(port.read(&mut bytes), 0);
        }
        fs::write(folder.path().join("file"), "precious").unwrap();
        for kind in [PortKind::Pty, PortKind::Socket] {
            let refused = Port::open(kind, folder.path().join("file"));
            assert!(matches!(refused, Err(PortError::Taken { .. })), "{refused:?}");
        }
    }
}
