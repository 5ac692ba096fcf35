//! Is a boiler's port there, may we use it, does nobody else?

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Access, FlockOperation, OFlags, access, flock};
use rustix::io::Errno;
use rustix::termios::isatty;

use super::{Finding, Status};
use crate::config::Boiler;
use crate::serial::holder;

pub(super) fn check(boiler: &Boiler) -> [Finding; 3] {
    let [present, reachable, free] = look(&boiler.port);
    [present, reachable, free].map(|finding| finding.about(boiler.id.as_str()))
}

fn look(port: &Path) -> [Finding; 3] {
    let name = port.display();
    let unseen = |id| Finding::new(id, Status::Unknown, "not looked at");
    match fs::metadata(port) {
        Ok(file) if file.file_type().is_char_device() => {}
        Ok(_) => {
            let advice = "name the adapter's device, such as /dev/serial/by-id/…";
            let present = Finding::new("port.present", Status::Error, format!("{name} is no serial port"));
            return [present.advise(advice), unseen("port.access"), unseen("port.free")];
        }
        Err(error) => {
            let advice = "plug the adapter in, and look for its name with `ls -l /dev/serial/by-id`";
            let present = Finding::new("port.present", Status::Error, format!("{name}: {error}"));
            return [present.advise(advice), unseen("port.access"), unseen("port.free")];
        }
    }
    let present = Finding::new("port.present", Status::Ok, format!("{name} is there"));
    if let Err(error) = access(port, Access::READ_OK | Access::WRITE_OK) {
        let reason = io::Error::from(error);
        let reachable = Finding::new("port.access", Status::Error, format!("{name}: {reason}")).advise(
            "run this as the agent's user, and put that user into the port's group: usermod -aG dialout thermowell",
        );
        return [present, reachable, unseen("port.free")];
    }
    let reachable = Finding::new("port.access", Status::Ok, "this user may read and write it");
    [present, reachable, free(port)]
}

/// The same two locks that the agent takes. They are let go at once; not one byte is read or written.
fn free(port: &Path) -> Finding {
    let flags = i32::try_from((OFlags::NOCTTY | OFlags::NONBLOCK).bits()).expect("open's flags are an int");
    let in_use = || {
        Finding::new("port.free", Status::Warning, format!("in use by {}", holder(port)))
            .advise("fine where that is this gateway's agent; one agent per port, so stop whatever else it is")
    };
    let opened = OpenOptions::new().read(true).write(true).custom_flags(flags).open(port);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return in_use(),
        Err(error) => return Finding::new("port.free", Status::Unknown, format!("cannot be opened: {error}")),
    };
    if !isatty(&file) {
        let advice = "name the adapter's device, such as /dev/serial/by-id/…";
        return Finding::new("port.free", Status::Error, "a device, but no serial port").advise(advice);
    }
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Finding::new("port.free", Status::Ok, "nobody else uses it"),
        Err(Errno::WOULDBLOCK) => in_use(),
        Err(error) => {
            Finding::new("port.free", Status::Unknown, format!("cannot be locked: {}", io::Error::from(error)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_port() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [present, reachable, free] = look(file.path());
        assert_eq!([present.status, reachable.status, free.status], [Status::Error, Status::Unknown, Status::Unknown]);
    }

    #[test]
    fn a_device_that_is_no_terminal_is_no_port() {
        let statuses = look(Path::new("/dev/null")).map(|finding| finding.status);
        assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Error]);
    }

    #[test]
    fn a_locked_port_is_in_use() {
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let port = Path::new(&name);
        assert_eq!(look(port).map(|finding| finding.status), [Status::Ok; 3]);
        let agent = OpenOptions::new().read(true).write(true).open(port).unwrap();
        flock(&agent, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(free(port).status, Status::Warning);
        drop(agent);
        assert_eq!(free(port).status, Status::Ok);
    }
}
