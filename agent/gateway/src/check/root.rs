//! The machine below a root folder: /proc, /sys, /run, /dev, and the programs that report about it. A test has a folder
//! of its own with the faults that it plants.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The longest file that is read: the files of /proc and /sys have a few KiB.
const FILE_MAX: u64 = 1 << 20;
/// The most output of a program that is kept.
const OUTPUT_MAX: u64 = 4 << 20;

/// The root folder of the machine.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// This machine.
    #[must_use]
    pub fn machine() -> Self {
        Self { folder: PathBuf::from("/") }
    }

    #[cfg(test)]
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// A path of the machine; a leading slash is ignored.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// The text of a file, trimmed; none if it cannot be read.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.path(path)).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The names in a folder, sorted; none if it cannot be read.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// What a program of /usr/bin prints to its standard output, whatever its exit code. It is killed after
    /// `patience`.
    ///
    /// # Errors
    /// It cannot be started, or does not end in time.
    pub(super) fn run(&self, program: &str, arguments: &[&str], patience: Duration) -> Result<String, String> {
        let path = self.path(Path::new("usr/bin").join(program));
        let mut command = Command::new(&path);
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let output = child.stdout.take().expect("its output is a pipe");
        let (sender, receiver) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What it printed before an error is kept.
            let _printed = output.take(OUTPUT_MAX).read_to_end(&mut bytes);
            // The receiver may have given up.
            let _kept = sender.send(bytes);
        });
        let printed = receiver.recv_timeout(patience);
        // A program that has ended cannot be killed.
        let _killed = child.kill();
        let _reaped = child.wait();
        match printed {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(_) => Err(format!("{program}: no answer within {} s", patience.as_secs())),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A machine with these files.
    pub(in crate::check) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::of(folder.path());
        for (path, text) in files {
            let path = root.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (folder, root)
    }

    /// A program of /usr/bin that runs these lines of shell. Another process writes it: while this one has it open for
    /// writing, a fork of another test would keep it so, and it could not be run.
    pub(in crate::check) fn program(root: &Root, name: &str, lines: &str) {
        let path = root.path(Path::new("usr/bin").join(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let write = "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let mut shell = Command::new("/bin/sh");
        let status = shell.args(["-c", write, "sh", lines]).arg(&path).status().unwrap();
        assert!(status.success());
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{machine, program};
    use super::*;

    #[test]
    fn programs_are_run_and_bounded_in_time() {
        let (_folder, root) = machine(&[("proc/uptime", "12.5 3.0\n")]);
        assert_eq!(root.read("/proc/uptime").as_deref(), Some("12.5 3.0"));
        assert_eq!(root.read("/proc/absent"), None);
        program(&root, "systemctl", "echo \"$@\"; exit 3");
        assert_eq!(root.run("systemctl", &["show", "a b"], Duration::from_secs(10)).unwrap(), "show a b\n");
        program(&root, "systemctl", "exec sleep 60");
        let slow = root.run("systemctl", &[], Duration::from_millis(50)).unwrap_err();
        assert_eq!(slow, "systemctl: no answer within 0 s");
        assert!(root.run("absent", &[], Duration::from_secs(1)).unwrap_err().starts_with("absent: "));
    }
}
