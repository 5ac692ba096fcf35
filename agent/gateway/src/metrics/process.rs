//! The process, from /proc/self. What the system does not show is absent.

use std::fs;

use super::sheet::Sheet;
use crate::clock;

pub(super) fn write(sheet: &mut Sheet, began_s: f64) {
    let mut known = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            sheet.add(name, Vec::new(), value);
        }
    };
    known("process_cpu_seconds_total", Some(clock::process_cpu().as_secs_f64()));
    known("process_start_time_seconds", Some(began_s));
    known("process_resident_memory_bytes", resident_bytes());
    known("process_open_fds", fs::read_dir("/proc/self/fd").ok().and_then(|files| exact(files.count())));
    known("process_max_fds", field("limits", "Max open files"));
    known("disk_written_bytes_total", field("io", "write_bytes:"));
}

/// The first number after `key` in a file of /proc/self.
fn field(file: &str, key: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/self/{file}")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The second number of `statm` is in pages.
fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    exact(pages.checked_mul(rustix::param::page_size())?)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory and open files stay far below 2^53")]
fn exact(value: usize) -> Option<f64> {
    Some(value as f64)
}
