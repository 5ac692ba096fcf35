//! Full disks and failing disks.
//!
//! A full disk is a small tmpfs in the row's own mount namespace. A failing disk is `strace`, which makes the
//! agent's `fdatasync` return EIO, as the kernel does after a lost write.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::Row;
use crate::faults::stage::{Setting, Skipped, Stage};
use crate::house::SOON;
use crate::process::{Child, Launch, Programs, Role};

/// How long the disk is full, in real time.
const FULL: Duration = Duration::from_secs(8);
/// Memory is spilled after so many seconds of an outage.
const SPILL_AFTER: [&str; 2] = ["--spill-after", "2"];
/// Long enough for a spill and a sync of the file.
const OUTAGE: Duration = Duration::from_secs(14);
/// The agent's log line when the server's disk is full.
const FROZEN: &str = "server frozen";
/// The agent's log line when a sync fails.
const NOT_SYNCED: &str = "the spill file could not be synced";

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("full-server", "disk full under nats-server for 8 s", full_server).taking(40).mounting(),
        Row::new("full-spool", "disk full under the spool, in an outage of 14 s", full_spool).taking(30).mounting(),
        Row::new("io-errors", "fdatasync of the spill file fails with EIO (strace)", io_errors),
    ]
}

/// A tmpfs for this row.
fn small_disk(folder: &Path, megabytes: u32) -> Result<PathBuf, Skipped> {
    let disk = folder.join("small-disk");
    fs::create_dir(&disk).expect("the folder is writable");
    let size = format!("size={megabytes}m");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&disk).output();
    match mount {
        Ok(output) if output.status.success() => Ok(disk),
        Ok(output) => Err(Skipped(format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim()))),
        Err(error) => Err(Skipped(format!("mount does not start: {error}"))),
    }
}

/// Writes until the disk is full.
fn fill(ballast: &Path) {
    let mut file = fs::File::create(ballast).expect("an entry still fits");
    for size in [1 << 20, 1 << 12] {
        let block = vec![0; size];
        while file.write_all(&block).is_ok() {}
    }
}

fn full_server(setting: &Setting) -> Result<Stage, Skipped> {
    let disk = small_disk(&setting.folder, 32)?;
    let furnish = |folder: &Path| symlink(&disk, folder.join("nats").join("store")).expect("the folder is writable");
    let mut stage = Stage::furnished(setting, &["--speed", "1"], furnish);
    for _ in 0..setting.times(2) {
        stage.go_on_for_some(500..=1_500);
        let ballast = disk.join("ballast");
        fill(&ballast);
        stage.injected(1);
        stage.house.go_on(FULL);
        fs::remove_file(&ballast).expect("it is ours");
        // After a full disk a server stays frozen until it is restarted.
        stage.kill("nats-server");
        stage.recover();
    }
    if !stage.logged("agent", FROZEN) {
        stage.finding("the agent does not log that the server is frozen");
    }
    Ok(stage)
}

fn full_spool(setting: &Setting) -> Result<Stage, Skipped> {
    let disk = small_disk(&setting.folder, 1)?;
    let furnish = |folder: &Path| symlink(&disk, folder.join("spool")).expect("the folder is writable");
    let mut stage = Stage::furnished(setting, &["--speed", "2", SPILL_AFTER[0], SPILL_AFTER[1]], furnish);
    fill(&disk.join("ballast"));
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.go_on(OUTAGE);
    stage.injected(1);
    if !stage.logged("agent", NOT_SYNCED) {
        stage.finding("the agent does not log that it cannot spill");
    }
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    Ok(stage)
}

fn io_errors(setting: &Setting) -> Result<Stage, Skipped> {
    if let Err(error) = Command::new("strace").arg("--version").output() {
        return Err(Skipped(format!("strace does not start: {error}")));
    }
    let mut stage = Stage::start(setting, &["--speed", "2", SPILL_AFTER[0], SPILL_AFTER[1]]);
    let agent = stage.house.role("agent").pid().expect("it runs").to_string();
    let trace = setting.folder.join("trace");
    let launch = Launch {
        name: "strace".to_owned(),
        programs: Programs::at(&setting.program),
        role: Role::Program("strace".into()),
        args: ["-f", "-p", &agent, "-e", "inject=fdatasync:error=EIO:when=1+", "-e", "trace=fdatasync", "-o"]
            .map(Into::into)
            .into_iter()
            .chain([trace.clone().into()])
            .collect(),
        log: setting.folder.join("strace.log"),
    };
    let mut strace = Child::spawn(&launch).expect("the guard starts it");
    let attached = stage.house.until("strace is attached or has ended", SOON, |_| {
        let output = crate::house::log(&launch.log);
        let ended = strace.ended().expect("waitpid succeeds").is_some();
        (ended || output.contains("attached")).then_some((!ended, output))
    });
    if let (false, output) = attached {
        return Err(Skipped(format!("strace may not attach: {}", output.trim().replace('\n', ", "))));
    }
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.go_on(OUTAGE);
    strace.signal(Signal::INT).expect("the signal is delivered");
    strace.wait(SOON).expect("waitpid succeeds");
    stage.house.processes.broker.restart().expect("its store is there");
    let failed = crate::house::log(&trace).matches("(INJECTED)").count();
    stage.injected(u64::try_from(failed).expect("few"));
    if !stage.logged("agent", NOT_SYNCED) {
        stage.finding("the agent does not log that a sync failed");
    }
    stage.recover();
    Ok(stage)
}
