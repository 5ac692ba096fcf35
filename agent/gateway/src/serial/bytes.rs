//! The bytes of an open port, read when they come or when they are asked for.
//!
//! epoll wakes the process for every byte of a registered descriptor, whether a task waits for it or not: 100 times a
//! second for a boiler. So a port at rest is not registered. The kernel holds its bytes (4,096 in the line discipline,
//! more below it) until they are read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor in non-blocking mode.
#[derive(Debug)]
enum Descriptor {
    AtRest(File),
    Watched(AsyncFd<File>),
    /// Registering failed, and the descriptor is gone with it.
    Lost,
}

/// Reads and writes a port.
#[derive(Debug)]
pub(super) struct Bytes(Descriptor);

impl Bytes {
    /// `file` is in non-blocking mode.
    pub(super) fn new(file: File) -> Self {
        Self(Descriptor::AtRest(file))
    }

    /// Ignores readiness until the next exchange.
    pub(super) fn rest(&mut self) {
        self.0 = match std::mem::replace(&mut self.0, Descriptor::Lost) {
            Descriptor::Watched(watched) => Descriptor::AtRest(watched.into_inner()),
            same @ (Descriptor::AtRest(_) | Descriptor::Lost) => same,
        };
    }

    /// Reads what has arrived, or waits for it, and writes `outgoing` meanwhile. 0 bytes: unplugged.
    ///
    /// # Errors
    /// What the system reports; the port is of no use afterwards.
    pub(super) async fn exchange(&mut self, buffer: &mut [u8], outgoing: &mut Vec<u8>) -> io::Result<usize> {
        if let Descriptor::AtRest(file) = &self.0 {
            write(file, outgoing)?;
            if let Some(count) = read(file, buffer)? {
                return Ok(count);
            }
        }
        let watched = self.watched()?;
        loop {
            let interest =
                if outgoing.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let mut guard = watched.ready(interest).await?;
            if guard.ready().is_writable() && !write(guard.get_inner(), outgoing)? {
                guard.clear_ready_matching(tokio::io::Ready::WRITABLE);
            }
            if guard.ready().is_readable() {
                match read(guard.get_inner(), buffer)? {
                    Some(count) => return Ok(count),
                    None => guard.clear_ready_matching(tokio::io::Ready::READABLE),
                }
            }
        }
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that may be closed meanwhile; a File is not"
    )]
    fn watched(&mut self) -> io::Result<&AsyncFd<File>> {
        self.0 = match std::mem::replace(&mut self.0, Descriptor::Lost) {
            Descriptor::AtRest(file) => Descriptor::Watched(AsyncFd::new(file)?),
            same @ (Descriptor::Watched(_) | Descriptor::Lost) => same,
        };
        match &self.0 {
            Descriptor::Watched(watched) => Ok(watched),
            Descriptor::AtRest(_) | Descriptor::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// `None` if nothing has arrived.
fn read(mut file: &File, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match file.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes from `outgoing` what the port accepts. Returns whether that was all.
fn write(mut file: &File, outgoing: &mut Vec<u8>) -> io::Result<bool> {
    while !outgoing.is_empty() {
        match file.write(outgoing) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => drop(outgoing.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use tokio::time::timeout;

    use super::super::device;
    use super::super::pty::pty;
    use super::*;

    /// A port, and the file of its far end.
    fn bytes() -> (Bytes, File) {
        let (master, port) = pty();
        let mut settings = tcgetattr(&master).unwrap();
        settings.make_raw();
        tcsetattr(&master, OptionalActions::Now, &settings).unwrap();
        (Bytes::new(device::open(&port).unwrap()), File::from(master))
    }

    #[tokio::test]
    async fn bytes_that_came_at_rest_are_read_and_later_ones_waited_for() {
        let (mut bytes, mut far) = bytes();
        let (mut buffer, mut outgoing) = ([0; 16], b"ping".to_vec());
        for _ in 0..3 {
            far.write_all(b"one").unwrap();
            let read = timeout(Duration::from_secs(10), bytes.exchange(&mut buffer, &mut outgoing)).await;
            assert_eq!((read.unwrap().unwrap(), &buffer[..3]), (3, b"one".as_slice()));
            let (waited, ()) = tokio::join!(bytes.exchange(&mut buffer, &mut outgoing), async {
                tokio::task::yield_now().await;
                far.write_all(b"later").unwrap();
            });
            assert_eq!((waited.unwrap(), &buffer[..5]), (5, b"later".as_slice()));
            bytes.rest();
        }
        let mut sent = [0; 16];
        assert_eq!((far.read(&mut sent).unwrap(), &sent[..4]), (4, b"ping".as_slice()));
        assert!(outgoing.is_empty());
    }

    #[tokio::test]
    async fn a_far_end_that_is_gone_is_seen_at_rest_and_while_waiting() {
        for rests in [true, false] {
            let (mut bytes, far) = bytes();
            let (mut buffer, mut outgoing) = ([0; 16], Vec::new());
            if !rests {
                let waiting = timeout(Duration::from_millis(1), bytes.exchange(&mut buffer, &mut outgoing));
                assert!(waiting.await.is_err());
            }
            drop(far);
            let read = timeout(Duration::from_secs(10), bytes.exchange(&mut buffer, &mut outgoing)).await.unwrap();
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        }
    }
}
