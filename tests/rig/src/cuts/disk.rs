//! The gateway's disk, whose power can be cut: an image with ext4, in an XFS that can share blocks between files.
//!
//! ```text
//! outer.xfs   a sparse file on this machine's disk, on a loop device, mounted; its name is removed at once
//!   3.img     the gateway's disk: ext4 on a loop device with direct I/O, mounted: the stores lie here
//!   4.img     after a cut: what 3.img held at one moment (FICLONE, which `cp --reflink=always` does), mounted next
//! ```
//!
//! The copy takes milliseconds, and XFS lets no write pass while it is made. With direct I/O the loop device keeps
//! nothing: what is in the copy is what the kernel had handed to the disk, and all that was only in its page cache is
//! gone. One difference to a real disk: what the kernel has handed to it survives, flushed or not.
//!
//! Mounts are made in a mount namespace of the run's own: they go with its last process, however it ends. The loop
//! devices go with the mounts, and the nameless file with its device.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{ioctl_ficlone, syncfs};

use crate::clock::Stopwatch;

/// Of the file with all images: sparse, so it takes what is written.
const OUTER_BYTES: u64 = 16 << 30;
/// Of the gateway's disk, sparse too.
const IMAGE_BYTES: u64 = 4 << 30;
/// A process that was killed lets go of its files soon; what stays longer is a failure.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries.
const UNMOUNT_LOOK: Duration = Duration::from_millis(20);
/// The required programs.
const TOOLS: [(&str, &str); 6] = [
    ("unshare", "--version"),
    ("mount", "--version"),
    ("umount", "--version"),
    ("losetup", "--version"),
    ("mkfs.xfs", "-V"),
    ("mkfs.ext4", "-V"),
];

/// Runs a program and returns what it prints.
fn tool<S: AsRef<OsStr>>(program: &'static str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', "; ");
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    bail!("{program}: {}", text(&output.stderr))
}

/// Why this machine cannot run it; `None` if it can.
#[must_use]
pub(super) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it mounts file systems, which only root may".to_owned());
    }
    let absent = TOOLS.iter().find(|(program, version)| {
        let started = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
        started.is_err()
    });
    if let Some((program, _)) = absent {
        return Some(format!("there is no {program}"));
    }
    let allowed = tool("unshare", ["--mount", "--propagation", "private", "true"]);
    allowed.err().map(|error| format!("no mount namespace of its own: {}", thermowell::logs::chain(error.as_ref())))
}

/// The XFS that holds the images. Dropping it unmounts it.
#[derive(Debug)]
pub(super) struct Outer {
    mount: PathBuf,
}

impl Outer {
    /// Makes it in `folder`.
    ///
    /// # Errors
    /// A program or a file of this machine refuses.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let (file, mount) = (folder.join("outer.xfs"), folder.join("outer"));
        File::create(&file)
            .and_then(|file| file.set_len(OUTER_BYTES))
            .with_context(|| format!("make {}", file.display()))?;
        fs::create_dir(&mount).with_context(|| format!("make {}", mount.display()))?;
        tool("mkfs.xfs", ["-q".as_ref(), "-m".as_ref(), "reflink=1".as_ref(), file.as_os_str()])?;
        tool(
            "mount",
            ["-t".as_ref(), "xfs".as_ref(), "-o".as_ref(), "loop".as_ref(), file.as_os_str(), mount.as_os_str()],
        )?;
        let outer = Self { mount };
        // The loop device keeps the file alive from now on, and frees it at its end.
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        Ok(outer)
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        // What stays mounted is unmounted with the namespace of this process.
        unmount(&self.mount).ok();
    }
}

/// The gateway's disk. Dropping it unmounts it; nothing may have a file open there.
#[derive(Debug)]
pub(super) struct Disk {
    images: PathBuf,
    mount: PathBuf,
    label: String,
    number: u32,
    copied: bool,
}

impl Disk {
    /// An empty disk at `mount`; `label` is unique within a run.
    ///
    /// # Errors
    /// A program or a file of this machine refuses.
    pub(super) fn make(outer: &Outer, label: &str, mount: &Path) -> Result<Self> {
        fs::create_dir(mount).with_context(|| format!("make {}", mount.display()))?;
        let images = outer.mount.clone();
        let disk = Self { images, mount: mount.to_owned(), label: label.to_owned(), number: 0, copied: false };
        let image = disk.image(0);
        File::create(&image)
            .and_then(|file| file.set_len(IMAGE_BYTES))
            .with_context(|| format!("make {}", image.display()))?;
        // Few inodes, and nothing left to initialise in the background: what is written later is the gateway's.
        let options = ["-q", "-F", "-N", "8192", "-J", "size=64", "-E", "lazy_itable_init=0,nodiscard"];
        tool("mkfs.ext4", options.iter().map(OsStr::new).chain([image.as_os_str()]))?;
        disk.attach()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub(super) fn mount(&self) -> &Path {
        &self.mount
    }

    /// Hands everything to the disk, as an installer does before it reports success.
    ///
    /// # Errors
    /// A program or a file of this machine refuses.
    pub(super) fn sync(&self) -> Result<()> {
        let folder = File::open(&self.mount).with_context(|| format!("open {}", self.mount.display()))?;
        syncfs(&folder).with_context(|| format!("sync {}", self.mount.display()))
    }

    /// The cut: copies what the disk holds at this moment. The processes go on with a disk that is not read again.
    ///
    /// # Errors
    /// A program or a file of this machine refuses.
    pub(super) fn cut(&mut self) -> Result<()> {
        let (from, to) = (self.image(self.number), self.image(self.number + 1));
        let source = File::open(&from).with_context(|| format!("open {}", from.display()))?;
        let copy = File::create(&to).with_context(|| format!("make {}", to.display()))?;
        ioctl_ficlone(&copy, &source).with_context(|| format!("copy {}", from.display()))?;
        self.copied = true;
        Ok(())
    }

    /// Mounts the copy of the last cut with its journal, and removes the previous image. No process may still have a
    /// file open there.
    ///
    /// # Errors
    /// A program or a file of this machine refuses.
    ///
    /// # Panics
    /// Without a cut.
    pub(super) fn power_up(&mut self) -> Result<()> {
        assert!(self.copied, "the power was cut");
        unmount(&self.mount)?;
        let old = self.image(self.number);
        self.number += 1;
        self.copied = false;
        self.attach()?;
        fs::remove_file(&old).with_context(|| format!("remove {}", old.display()))
    }

    fn image(&self, number: u32) -> PathBuf {
        self.images.join(format!("{}-{number}.img", self.label))
    }

    fn attach(&self) -> Result<()> {
        let image = self.image(self.number);
        let options = ["--direct-io=on", "--show", "--find"].map(OsStr::new);
        let device = tool("losetup", options.into_iter().chain([image.as_os_str()]))?;
        let mounted = check_direct(&device).and_then(|()| {
            let words = ["-t", "ext4", "-o", "noatime", &device].map(OsStr::new);
            tool("mount", words.into_iter().chain([self.mount.as_os_str()]))
        });
        // While it is mounted this only marks the device to go with the mount.
        tool("losetup", ["--detach", &device])?;
        mounted.map(drop)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.mount).ok();
        for number in [self.number, self.number + 1] {
            // The copy exists only if a cut was not followed by a start.
            fs::remove_file(self.image(number)).ok();
        }
    }
}

fn check_direct(device: &str) -> Result<()> {
    let name = device.rsplit('/').next().unwrap_or(device);
    let path = PathBuf::from(format!("/sys/block/{name}/loop/dio"));
    let direct = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    // Otherwise the loop device keeps writes in memory, and a copy proves nothing.
    ensure!(direct.trim() == "1", "{device} does not do direct I/O");
    Ok(())
}

fn unmount(mount: &Path) -> Result<()> {
    let watch = Stopwatch::start();
    loop {
        match tool("umount", [mount]) {
            Ok(_) => return Ok(()),
            Err(error) if watch.left_of(UNMOUNT_LIMIT).is_none() => return Err(error),
            Err(_) => std::thread::sleep(UNMOUNT_LOOK),
        }
    }
}

/// The first `len` bytes of a file, or fewer.
///
/// # Errors
/// It exists and cannot be read.
pub(super) fn beginning(path: &Path, len: usize) -> Result<Vec<u8>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    let mut bytes = vec![0; len];
    let mut held = 0;
    while held < len {
        let at = u64::try_from(held).unwrap_or(u64::MAX);
        match file.read_at(&mut bytes[held..], at).with_context(|| format!("read {}", path.display()))? {
            0 => break,
            more => held += more,
        }
    }
    bytes.truncate(held);
    Ok(bytes)
}
