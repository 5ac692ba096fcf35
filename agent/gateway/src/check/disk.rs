//! The partitions of the server's store and of the spool: their free space, and how long the flash lasts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor, statvfs};

use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::finding::of;
use super::{Finding, Root};
use crate::config::{Config, show_bytes};

/// Free space of a partition, in percent: below the first it is a warning, below the second an error.
const FREE_PERCENT: [u64; 2] = [10, 2];
/// Years that the flash lasts: the same.
const YEARS: [f64; 2] = [5.0, 1.0];
/// The unit of the kernel's statistics, whatever the device's own.
const SECTOR: u64 = 512;
/// A rate is not known before this uptime, in seconds.
const UPTIME_MIN: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25;

/// A partition's size and what this user may still write, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) total: u64,
    pub(super) free: u64,
}

/// The partition of a folder, or of the first folder above it that this user may see.
pub(super) fn space(folder: &Path) -> Option<Space> {
    // A file system of the kernel's own has no size.
    let found = folder.ancestors().find_map(|folder| statvfs(folder).ok()).filter(|found| found.f_blocks > 0)?;
    Some(Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

/// `store` is the folder of the server's store, if it is on this machine.
pub(super) fn check(config: &Config, store: Option<&Path>, root: &Root) -> Vec<Finding> {
    let spool = config.spool.directory.as_path();
    let mut found = match store {
        // One partition is reported once.
        Some(store) if device(store) == device(spool) => vec![free("spool and store", spool, space(spool))],
        Some(store) => vec![free("the spool", spool, space(spool)), free("the store", store, space(store))],
        None => vec![free("the spool", spool, space(spool))],
    };
    found.push(wear(store.unwrap_or(&config.spool.directory), config.disk.endurance, root));
    found
}

fn free(what: &str, folder: &Path, space: Option<Space>) -> Finding {
    let find = of("disk.space");
    let name = folder.display();
    let Some(Space { total, free }) = space else { return find(Unknown, format!("{name} is not visible here")) };
    let percent = free.saturating_mul(100).checked_div(total).unwrap_or(0);
    let message = format!("{} of {} are free for {what}, {percent} %", bytes(free), bytes(total));
    let status = match percent {
        percent if percent < FREE_PERCENT[1] => Error,
        percent if percent < FREE_PERCENT[0] => Warning,
        _ => return find(Fine, message),
    };
    find(status, message).advise("free space: a full disk freezes every stream until the server is restarted").fix(&[
        "du",
        "-xh",
        "--max-depth=2",
        "/var",
    ])
}

fn wear(folder: &Path, endurance: Option<u64>, root: &Root) -> Finding {
    let find = of("disk.wear");
    let Some(endurance) = endurance else {
        let message = "the disk's endurance is not known: set endurance in [disk], from its data sheet".to_owned();
        return find(Skipped, message);
    };
    let written = device(folder).and_then(|device| written(major(device), minor(device), root));
    let uptime = root.read("/proc/uptime").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let (Some(written), Some(uptime)) = (written, uptime) else {
        return find(Unknown, format!("the kernel counts no writes for the disk of {}", folder.display()));
    };
    if uptime < UPTIME_MIN {
        return find(Unknown, "the machine has run for less than an hour".to_owned());
    }
    judge_wear(exact(written) / uptime * DAY, endurance)
}

/// The block device of a folder, or of the first folder above it that this user may see.
fn device(folder: &Path) -> Option<u64> {
    folder.ancestors().find_map(|folder| fs::metadata(folder).ok()).map(|found| found.dev())
}

fn judge_wear(bytes_a_day: f64, endurance: u64) -> Finding {
    let years = exact(endurance) / bytes_a_day.max(1.0) / YEAR;
    let rate = format!("{:.2} GiB a day since the start", bytes_a_day / exact(1 << 30));
    if years >= YEARS[0] {
        return of("disk.wear")(Fine, format!("{rate}: {} last {years:.0} years", show_bytes(endurance)));
    }
    let status = if years < YEARS[1] { Error } else { Warning };
    let message = format!("{rate}: {} last {years:.1} years", show_bytes(endurance));
    of("disk.wear")(status, message).advise(
        "sync_interval: 10s in nats.conf, `filter = \"info\"` in [log], the feed off; `iotop -ao` shows who writes",
    )
}

/// Bytes that were written to the disk of this block device since the start; to the whole disk, if it is a partition.
fn written(major: u32, minor: u32, root: &Root) -> Option<u64> {
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let disk = if root.exists(device.join("partition")) { device.join("..") } else { device };
    let text = root.read(disk.join("stat"))?;
    text.split_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(SECTOR)
}

#[expect(clippy::cast_precision_loss, reason = "for a rate and its display")]
fn exact(bytes: u64) -> f64 {
    bytes as f64
}

/// A measured size: `3.0 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB")];
    let (shift, unit) = units.into_iter().find(|(shift, _)| bytes >> shift > 0).unwrap_or((10, "KiB"));
    format!("{:.1} {unit}", exact(bytes) / exact(1 << shift))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::testing::machine;
    use super::*;

    #[test]
    fn full_partition_is_a_warning_then_an_error() {
        let status = |free| free_of(free).status;
        assert_eq!([10, 9, 2, 1].map(status), [Fine, Warning, Warning, Error]);
        assert_eq!(free_of(9).message, "9.0 GiB of 100.0 GiB are free for the spool, 9 %");
        assert_eq!(free_of(9).fix.unwrap()[0], "du");
        let this = space(Path::new("/absent/below/absent")).unwrap();
        assert!(this.total >= this.free && this.total > 0, "{this:?}");
    }

    fn free_of(gib: u64) -> Finding {
        free("the spool", Path::new("/var/lib/thermowell"), Some(Space { total: 100 << 30, free: gib << 30 }))
    }

    /// 100 GiB in ten days are 10 GiB a day.
    #[test]
    fn worn_flash_is_found_by_its_rate_of_writes() {
        let sectors = (100_u64 << 30) / SECTOR;
        let folder = tempfile::tempdir().unwrap();
        let device = fs::metadata(folder.path()).unwrap().dev();
        let name = format!("sys/dev/block/{}:{}", major(device), minor(device));
        let (_machine, root) = machine(&[
            ("sys/devices/sda/stat", &format!(" 1 2 3 4 5 6 {sectors} 8 9")),
            ("sys/devices/sda/sda1/stat", " 1 2 3 4 5 6 7 8 9"),
            ("sys/devices/sda/sda1/partition", "1"),
            ("sys/dev/block/x", ""),
            ("proc/uptime", "864000.00 12.5"),
        ]);
        symlink(root.path("sys/devices/sda/sda1"), root.path(&name)).unwrap();
        let wear = |tib: u64| wear(folder.path(), Some(tib << 40), &root);
        assert_eq!(wear(150).message, "10.00 GiB a day since the start: 150 TiB last 42 years");
        assert_eq!([150, 15, 3].map(|tib| wear(tib).status), [Fine, Warning, Error]);
        assert!(wear(3).advice.unwrap().contains("sync_interval"));
        fs::write(root.path("proc/uptime"), "600.0 1.0").unwrap();
        assert_eq!(wear(3).status, Unknown);
        assert_eq!(super::wear(folder.path(), None, &root).status, Skipped);
    }
}
