//! Checks each boiler's port: it exists, is accessible, and is not used by another process or boiler.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use rustix::fs::{Access, access};
use thermowell_wire::BoilerId;

use super::finding::of;
use super::{Finding, Root, Status};
use crate::config::Boiler;
use crate::logs;
use crate::run::Role;
use crate::serial::{self, Holder, Obstacle, Ports, find_holder};

/// `answering` are the boilers for which an agent reports now.
pub(super) fn check(boilers: &[Boiler], answering: &BTreeSet<BoilerId>, root: &Root) -> Vec<Finding> {
    let ports = Ports::of(boilers);
    let look = |boiler: &Boiler| {
        let [present, reachable, free] = look(boiler, answering.contains(&boiler.id), root);
        [present, distinct(boiler, &ports), reachable, free].map(|finding| finding.about(boiler.id.as_str()))
    };
    boilers.iter().flat_map(look).collect()
}

fn look(boiler: &Boiler, is_answering: bool, root: &Root) -> [Finding; 3] {
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
            let present = Finding::new("port.present", Status::Error, format!("{name}: {error}"))
                .advise("plug in the adapter, and find its name")
                .fix(&["ls", "-l", "/dev/serial/by-id"]);
            return [present, unseen("port.access"), unseen("port.free")];
        }
    }
    let present = Finding::new("port.present", Status::Ok, format!("{name} exists"));
    if let Err(error) = access(port, Access::READ_OK | Access::WRITE_OK) {
        let reason = io::Error::from(error);
        let reachable = Finding::new("port.access", Status::Error, format!("{name}: {reason}"))
            .advise("run this as the agent's user, or as root; that user must be in the port's group, and log in again")
            .fix(&["usermod", "-aG", "dialout", "thermowell"]);
        return [present, reachable, unseen("port.free")];
    }
    let reachable = Finding::new("port.access", Status::Ok, "this user may read and write it");
    [present, reachable, free(boiler, is_answering, root)]
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

fn free(boiler: &Boiler, is_answering: bool, root: &Root) -> Finding {
    let find = of("port.free");
    match serial::check(boiler) {
        Ok(()) => find(Status::Ok, "no other process uses it".to_owned()),
        Err(Obstacle::InUse) => in_use(boiler, find_holder(&boiler.port).as_ref(), is_answering, root),
        Err(Obstacle::NoTerminal) => find(Status::Error, "a device, but not a serial port".to_owned())
            .advise("name the adapter's device, such as /dev/serial/by-id/…"),
        Err(Obstacle::System(error)) => find(Status::Unknown, format!("cannot be opened: {}", logs::chain(&error))),
    }
}

/// Processes of other users are hidden from this one: then STATUS shows whether it is our agent.
fn in_use(boiler: &Boiler, holder: Option<&Holder>, is_answering: bool, root: &Root) -> Finding {
    let find = of("port.free");
    let fuser = ["fuser", "-v", &boiler.port.display().to_string()];
    match holder {
        None if is_answering => find(Status::Ok, "our own agent has it, by its STATUS".to_owned()),
        None => find(Status::Unknown, "in use by a process that this user may not see".to_owned())
            .advise("run this as the agent's user, or as root")
            .fix(&fuser),
        Some(holder) if is_agent(holder.pid, root) => find(Status::Ok, format!("our own agent has it, {holder}")),
        Some(holder) => find(Status::Error, format!("in use by {holder}, which is not our agent"))
            .advise("stop it; the agent waits for the port. For ModemManager, see deploy/70-thermowell.rules")
            .fix(&fuser),
    }
}

/// Whether a process is this program with the agent's role: by itself, or with all others.
fn is_agent(pid: u32, root: &Root) -> bool {
    let line = root.read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split('\0').skip_while(|word| *word != "run").skip(1);
    let has_role = match words.next() {
        Some(word) => word == Role::Agent.name() || word.is_empty() || word.starts_with('-'),
        None => line.ends_with("\0run"),
    };
    has_role && program(root, pid).is_some() && program(root, pid) == program(root, std::process::id())
}

/// The program's path; an upgrade replaces the file, and the old one runs on.
fn program(root: &Root, pid: u32) -> Option<String> {
    let path = fs::read_link(root.path(format!("/proc/{pid}/exe"))).ok()?.to_str()?.to_owned();
    Some(path.trim_end_matches(" (deleted)").to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use rustix::fs::{FlockOperation, flock};

    use super::super::root::testing::machine;
    use super::*;
    use crate::config::Dtr;
    use crate::serial::pty::pty;

    fn boiler(id: &str, port: &Path) -> Boiler {
        let (id, port) = (id.parse().unwrap(), port.to_owned());
        Boiler { id, port, baud: 115_200, serial_number: None, dtr: Dtr::Keep, room: None, outdoor: None }
    }

    fn open(port: &Path) -> File {
        OpenOptions::new().read(true).write(true).open(port).unwrap()
    }

    #[test]
    fn file_is_not_a_port() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let [present, reachable, free] = look(&boiler("b1", file.path()), false, &Root::machine());
        assert_eq!([present.status, reachable.status, free.status], [Status::Error, Status::Unknown, Status::Unknown]);
    }

    #[test]
    fn other_device_is_not_a_port() {
        let statuses =
            look(&boiler("b1", Path::new("/dev/null")), false, &Root::machine()).map(|finding| finding.status);
        assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Error]);
    }

    #[test]
    fn locked_port_is_in_use() {
        let (_master, port) = pty();
        let boiler = boiler("b1", &port);
        let root = Root::machine();
        // A program that another test starts has all files of this process until it begins.
        let reads = |report: bool, status: Status| {
            (0..5_000).any(|_| {
                let is_found = free(&boiler, report, &root).status == status;
                if !is_found {
                    std::thread::sleep(Duration::from_millis(1));
                }
                is_found
            })
        };
        assert!(reads(false, Status::Ok));
        let agent = open(&port);
        flock(&agent, FlockOperation::NonBlockingLockExclusive).unwrap();
        // This process itself is no other one.
        assert!(reads(false, Status::Unknown));
        assert!(reads(true, Status::Ok), "as when an agent of another user reports");
        drop(agent);
        assert!(reads(false, Status::Ok));
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
        let found = check(&boilers, &BTreeSet::new(), &Root::machine());
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

    /// The same program: our agent only in its role.
    #[test]
    fn port_that_our_agent_has_is_free_and_another_program_is_named() {
        let own = std::process::id();
        let (_folder, root) = machine(&[("proc/7/cmdline", ""), (&format!("proc/{own}/cmdline"), "")]);
        symlink("/usr/bin/thermowell", root.path(format!("proc/{own}/exe"))).unwrap();
        let is = |exe: &str, words: &[&str]| {
            let link = root.path("proc/7/exe");
            drop(fs::remove_file(&link));
            symlink(exe, &link).unwrap();
            let line: String = words.iter().map(|word| format!("{word}\0")).collect();
            fs::write(root.path("proc/7/cmdline"), line).unwrap();
            is_agent(7, &root)
        };
        let ours = "/usr/bin/thermowell";
        assert!(is(ours, &["thermowell", "run", "agent", "--config", "/x"]));
        assert!(is("/usr/bin/thermowell (deleted)", &["thermowell", "run"]));
        assert!(is(ours, &["demo", "thermowell", "run", "--config", "/x"]));
        assert!(!is(ours, &["thermowell", "run", "front"]));
        assert!(!is(ours, &["thermowell", "check"]));
        assert!(!is("/usr/bin/python3", &["python3", "run", "agent"]));

        let (_master, port) = pty();
        let mut other = Command::new("sleep").arg("60").stdin(open(&port)).spawn().unwrap();
        let found = free(&boiler("b1", &port), true, &Root::machine());
        other.kill().unwrap();
        other.wait().unwrap();
        let named = format!("in use by process {} (", other.id());
        assert!(found.status == Status::Error && found.message.starts_with(&named), "{found:?}");
        assert_eq!(found.fix.unwrap()[0], "fuser");
    }
}
