//! Checks each boiler's port: it exists, is accessible, and is not used by another process or boiler.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use rustix::fs::{Access, access};

use super::{Finding, Status};
use crate::config::Boiler;
use crate::logs;
use crate::serial::{self, Obstacle, Ports, holder};

pub(super) fn check(boilers: &[Boiler]) -> Vec<Finding> {
    let ports = Ports::of(boilers);
    let look = |boiler: &Boiler| {
        let [present, reachable, free] = look(boiler);
        [present, distinct(boiler, &ports), reachable, free].map(|finding| finding.about(boiler.id.as_str()))
    };
    boilers.iter().flat_map(look).collect()
}

fn look(boiler: &Boiler) -> [Finding; 3] {
    let port = boiler.port.as_path();
    let name = port.display();
    let unseen = |id| Finding::new(id, Status::Unknown, "not checked");
    match fs::metadata(port) {
        Ok(file) if file.file_type().is_char_device() => {}
        Ok(_) => {
            let advice = "name the adapter's device, such as /dev/serial/by-id/…";
            let present = Finding::new("port.present", Status::Error, format!("{name} is not a serial port"));
            return [present.advise(advice), unseen("port.access"), unseen("port.free")];
        }
        Err(error) => {
            let advice = "plug in the adapter, and find its name with `ls -l /dev/serial/by-id`";
            let present = Finding::new("port.present", Status::Error, format!("{name}: {error}"));
            return [present.advise(advice), unseen("port.access"), unseen("port.free")];
        }
    }
    let present = Finding::new("port.present", Status::Ok, format!("{name} exists"));
    if let Err(error) = access(port, Access::READ_OK | Access::WRITE_OK) {
        let reason = io::Error::from(error);
        let reachable = Finding::new("port.access", Status::Error, format!("{name}: {reason}")).advise(
            "run this as the agent's user, and add that user to the port's group: usermod -aG dialout thermowell",
        );
        return [present, reachable, unseen("port.free")];
    }
    let reachable = Finding::new("port.access", Status::Ok, "this user may read and write it");
    [present, reachable, free(boiler)]
}

fn distinct(boiler: &Boiler, ports: &Ports) -> Finding {
    let name = boiler.port.display();
    match ports.twin(&boiler.id) {
        Some(twin) => {
            let (other, port) = (&twin.boiler, twin.port.display());
            let message = format!("{name} is also the port of boiler {other}, as {port}");
            Finding::new("port.distinct", Status::Error, message)
                .advise(format!("correct `port` of {} or of {other}: one boiler per port", boiler.id))
        }
        None if boiler.port.exists() => Finding::new("port.distinct", Status::Ok, "no other boiler has this device"),
        None => Finding::new("port.distinct", Status::Unknown, "not checked"),
    }
}

fn free(boiler: &Boiler) -> Finding {
    let unknown = |error| Finding::new("port.free", Status::Unknown, format!("cannot be opened: {error}"));
    match serial::check(boiler) {
        Ok(()) => Finding::new("port.free", Status::Ok, "no other process uses it"),
        Err(Obstacle::InUse) => {
            Finding::new("port.free", Status::Warning, format!("in use by {}", holder(&boiler.port))).advise(
                "fine if that is this gateway's agent; stop any other process. The agent waits for the port. For \
                 ModemManager, see deploy/70-thermowell.rules",
            )
        }
        Err(Obstacle::NoTerminal) => {
            let advice = "name the adapter's device, such as /dev/serial/by-id/…";
            Finding::new("port.free", Status::Error, "a device, but not a serial port").advise(advice)
        }
        Err(Obstacle::System(error)) => unknown(logs::chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{FlockOperation, flock};

    use super::*;
    use crate::config::Dtr;
    use crate::serial::pty::pty;

    fn boiler(id: &str, port: &Path) -> Boiler {
        let (id, port) = (id.parse().unwrap(), port.to_owned());
        Boiler { id, port, baud: 115_200, serial_number: None, dtr: Dtr::Keep }
    }

    fn open(port: &Path) -> File {
        OpenOptions::new().read(true).write(true).open(port).unwrap()
    }

    #[test]
    fn file_is_not_a_port() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [present, reachable, free] = look(&boiler("b1", file.path()));
        assert_eq!([present.status, reachable.status, free.status], [Status::Error, Status::Unknown, Status::Unknown]);
    }

    #[test]
    fn other_device_is_not_a_port() {
        let statuses = look(&boiler("b1", Path::new("/dev/null"))).map(|finding| finding.status);
        assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Error]);
    }

    #[test]
    fn locked_port_is_in_use() {
        let (_master, port) = pty();
        let boiler = boiler("b1", &port);
        assert_eq!(look(&boiler).map(|finding| finding.status), [Status::Ok; 3]);
        let agent = open(&port);
        flock(&agent, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(free(&boiler).status, Status::Warning);
        drop(agent);
        assert_eq!(free(&boiler).status, Status::Ok);
    }

    #[test]
    fn two_paths_of_one_device_are_an_error_for_both_boilers() {
        let (_master, port) = pty();
        let (_other_master, other) = pty();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("by-id");
        symlink(&port, &link).unwrap();
        let boilers =
            [boiler("b1", &port), boiler("b2", &other), boiler("b3", &link), boiler("b4", Path::new("/dev/absent"))];
        let found = check(&boilers);
        let distinct: Vec<&Finding> = found.iter().filter(|finding| finding.id == "port.distinct").collect();
        assert_eq!(
            distinct.iter().map(|finding| finding.status).collect::<Vec<_>>(),
            [Status::Error, Status::Ok, Status::Error, Status::Unknown]
        );
        let message = format!("{} is also the port of boiler b3, as {}", port.display(), link.display());
        assert_eq!((distinct[0].subject.as_deref(), &distinct[0].message), (Some("b1"), &message));
        let advice = "correct `port` of b3 or of b1: one boiler per port";
        assert_eq!((distinct[2].subject.as_deref(), distinct[2].advice.as_deref()), (Some("b3"), Some(advice)));
    }
}
