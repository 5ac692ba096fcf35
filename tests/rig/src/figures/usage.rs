//! Resource usage of a process, as counted by the kernel.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel reports CPU time in hundredths of a second on every architecture that is built for.
const TICK: Duration = Duration::from_millis(10);

/// Usage of a process since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// CPU time of all threads, user and system.
    pub(super) cpu: Duration,
    /// Resident memory, KiB.
    pub(super) resident_kib: u64,
    /// Peak of resident memory, KiB.
    pub(super) peak_kib: u64,
    /// Voluntary context switches of all threads: one for each wait.
    pub(super) waits: u64,
    /// Bytes read with read(2): serial ports, but no sockets.
    pub(super) read: u64,
    /// Bytes of dirtied pages that go to a block device.
    pub(super) written: u64,
}

impl Usage {
    /// Reads the counters of a process.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("/proc/{pid}/{name}"));
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let (stat, status, io) = (read("stat")?, read("status")?, read("io")?);
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let tasks = fs::read_dir(folder.join("task")).with_context(|| folder.display().to_string())?;
        let statuses = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        let threads: Vec<String> = statuses.collect();
        let parsed = Self::parse(&stat, &status, &io, &threads);
        parsed.with_context(|| format!("{}: the kernel writes another format", folder.display()))
    }

    fn parse(stat: &str, status: &str, io: &str, threads: &[String]) -> Option<Self> {
        // The name in brackets may contain anything; after it, state is word 1, utime and stime are words 12 and 13.
        let (_, words) = stat.rsplit_once(')')?;
        let ticks =
            words.split_whitespace().skip(11).take(2).map(|word| word.parse::<u32>().ok()).sum::<Option<u32>>()?;
        let field = |text: &str, name: &str| -> Option<u64> {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            cpu: TICK * ticks,
            resident_kib: field(status, "VmRSS")?,
            peak_kib: field(status, "VmHWM")?,
            waits: threads.iter().map(|thread| field(thread, "voluntary_ctxt_switches")).sum::<Option<u64>>()?,
            read: field(io, "rchar")?,
            written: field(io, "write_bytes")?,
        })
    }

    /// The difference to `before`; memory is the present one.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            waits: self.waits.saturating_sub(before.waits),
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        let status = "Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t   10 kB\n";
        let threads = ["voluntary_ctxt_switches:\t3\n".to_owned(), "voluntary_ctxt_switches:\t4\n".to_owned()];
        let io = "rchar: 5\nwchar: 6\nread_bytes: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n";
        let usage = Usage::parse(stat, status, io, &threads).unwrap();
        let cpu = Duration::from_secs(2);
        let expected = Usage { cpu, resident_kib: 10, peak_kib: 12, waits: 7, read: 5, written: 4096 };
        assert_eq!(usage, expected);
        assert_eq!(Usage::parse("7 (a", status, io, &threads), None);
        assert_eq!(Usage::parse(stat, "", io, &threads), None);
    }

    #[test]
    fn our_own_usage_is_known() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_kib > 0 && usage.peak_kib >= usage.resident_kib, "{usage:?}");
    }
}
