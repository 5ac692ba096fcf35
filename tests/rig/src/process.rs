//! Child processes of the rig, each behind the [`guard`], and their supervision.
//!
//! **Start children only from a thread that lives as long as the rig.** The kernel sends the death signal when the
//! *thread* that started the child ends, not the process: a child that a worker of a thread pool started is killed
//! whenever the pool lets that worker go. In the demo this is the main thread; in a test it is the test's own thread,
//! so that nothing outlives its test.

mod supervised;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::clock::Stopwatch;
use crate::guard;

pub use supervised::{Change, NEVER_RESTART, RECOVERED_AFTER, RESTART_FIRST, RESTART_MAX, Supervised, stop_in_order};

/// What poll takes for a limit that does not fit.
const LONGEST: Timespec = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };

/// Environment variable with another `thermowell` to test, for example the one that is shipped.
pub const THERMOWELL_BIN: &str = "THERMOWELL_BIN";

/// What a child process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The product.
    Thermowell,
    /// The simulated boilers.
    FirmwareSim,
    /// Another program, for example nats-server.
    Program(PathBuf),
}

/// Where the programs of the roles are: the rig's own multi-call binary for all of them, unless another `thermowell`
/// is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    multi_call: PathBuf,
    thermowell: Option<PathBuf>,
}

impl Programs {
    /// The running program is the multi-call binary; [`THERMOWELL_BIN`] overrides the product.
    ///
    /// # Errors
    /// When the path of the running program cannot be read.
    pub fn of_this_process() -> Result<Self> {
        own_program().map(Self::at)
    }

    /// `multi_call` is the multi-call binary (`env!("CARGO_BIN_EXE_demo")` in tests); [`THERMOWELL_BIN`] overrides the
    /// product.
    #[must_use]
    pub fn at(multi_call: impl Into<PathBuf>) -> Self {
        Self { multi_call: multi_call.into(), thermowell: std::env::var_os(THERMOWELL_BIN).map(PathBuf::from) }
    }

    /// The same with this program as the product, unless [`THERMOWELL_BIN`] overrides it.
    #[must_use]
    pub fn with_product(mut self, path: &Path) -> Self {
        self.thermowell.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The product, where it is a program of its own.
    #[must_use]
    pub fn product(&self) -> Option<&Path> {
        self.thermowell.as_deref()
    }

    /// Program and leading arguments of a role.
    fn command_of(&self, role: &Role) -> Vec<OsString> {
        match role {
            Role::Thermowell => match &self.thermowell {
                Some(path) => vec![path.into()],
                None => vec![self.multi_call.clone().into(), "thermowell".into()],
            },
            Role::FirmwareSim => vec![self.multi_call.clone().into(), "firmware-sim".into()],
            Role::Program(path) => vec![path.into()],
        }
    }
}

/// The path of the running program.
///
/// # Errors
/// It is unknown.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find the path of the running program")
}

/// Everything that it takes to start a role, as often as necessary.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What people call it: the table's and the report's word.
    pub name: String,
    /// Where the programs are.
    pub programs: Programs,
    /// Which of them.
    pub role: Role,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Standard output and standard error are appended here.
    pub log: PathBuf,
}

impl Launch {
    /// `thermowell run ROLE --config CONFIG`.
    #[must_use]
    pub fn run(programs: &Programs, role: &str, config: &Path, log: PathBuf) -> Self {
        let args = vec!["run".into(), role.into(), "--config".into(), config.into()];
        Self { name: role.to_owned(), programs: programs.clone(), role: Role::Thermowell, args, log }
    }
}

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: std::process::Child,
    /// Known as soon as the child has been reaped: from then on its pid may be another process's.
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts a role behind the guard. Only from a thread that lives as long as the rig: see the module.
    ///
    /// # Errors
    /// When the log cannot be opened or the guard cannot be started. A role that the guard cannot start ends with exit
    /// code 127 and says so in its log.
    pub fn spawn(launch: &Launch) -> Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(&launch.log);
        let log_error = || format!("cannot open the log {}", launch.log.display());
        let output = open().with_context(log_error)?;
        let errors = output.try_clone().with_context(log_error)?;
        let inner = Command::new(&launch.programs.multi_call)
            .arg(guard::WORD)
            .arg(std::process::id().to_string())
            .args(launch.programs.command_of(&launch.role))
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // A group of its own: Ctrl-C in a terminal reaches the rig alone, which then stops its children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.name))?;
        Ok(Self::of(&launch.name, inner))
    }

    /// Takes over a process that was started without the guard.
    pub(crate) fn of(name: &str, inner: std::process::Child) -> Self {
        Self { name: name.to_owned(), inner, ended: None }
    }

    /// The process id. The guard becomes the role, so it is the role's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.inner.try_wait().with_context(|| self.wait_error())?;
        }
        Ok(self.ended)
    }

    /// Waits until it ends, at most `limit`. `None`: it still runs.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if self.ended()?.is_some() {
            return Ok(self.ended);
        }
        let fd = pidfd_open(self.raw_pid(), PidfdFlags::empty()).with_context(|| self.wait_error())?;
        let watch = Stopwatch::start();
        // A signal for the rig itself interrupts the poll: go on for what is left.
        while let Some(left) = watch.left_of(limit) {
            let timeout = Timespec::try_from(left).unwrap_or(LONGEST);
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).with_context(|| self.wait_error()),
            }
        }
        self.ended()
    }

    /// Sends a signal. A process that has ended is left alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // Not yet reaped, so the pid is still its own.
        kill_process(self.raw_pid(), signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// SIGKILL, and waits for the end, which the kernel brings at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        let status = self.inner.wait().with_context(|| self.wait_error())?;
        self.ended = Some(status);
        Ok(status)
    }

    /// SIGTERM, waits at most `limit`, then SIGKILL.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match self.wait(limit)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.inner)
    }

    fn wait_error(&self) -> String {
        format!("cannot wait for {}", self.name)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The guard's death signal is the second net.
        self.kill().ok();
    }
}

/// `exit code 78`, `killed by signal 9`: how a process ended, in words.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// The end of a log; nothing when it cannot be read: the error that it belongs to matters more.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
