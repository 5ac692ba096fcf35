//! Child processes of the rig, each started through the [`guard`], and their supervision.
//!
//! **Start children only from a thread that lives as long as the rig.** The kernel sends the death signal when the
//! *thread* that started the child ends, not the process: a child that was started by a worker of a thread pool is
//! killed when the pool ends that worker. In the demo this is the main thread; in a test it is the test's own thread,
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

/// The longest timeout of poll.
const LONGEST: Timespec = Timespec { tv_sec: i64::MAX, tv_nsec: 0 };

/// Environment variable with the path of another `thermowell` to test, for example the shipped one.
pub const THERMOWELL_BIN: &str = "THERMOWELL_BIN";

/// The lines of a configuration whose roles serve no HTTP: several runs on one machine would take each other's ports.
pub const HTTP_OFF: &str = "\n[http]\nfront = \"off\"\nagent = \"off\"\naggregator = \"off\"\ncontroller = \"off\"\n";

/// The program of a child process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The product.
    Thermowell,
    /// The simulated boilers.
    FirmwareSim,
    /// Another program, for example nats-server.
    Program(PathBuf),
}

/// The programs of the roles: the rig's own multi-call binary for all of them, unless another `thermowell`
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
    /// The path of the running program is unknown.
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

    /// The product, if it is a separate program.
    #[must_use]
    pub fn product(&self) -> Option<&Path> {
        self.thermowell.as_deref()
    }

    /// The program of a role and its leading arguments.
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

/// How a role is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Its name in the table and in reports.
    pub name: String,
    pub programs: Programs,
    pub role: Role,
    pub args: Vec<OsString>,
    /// Standard output and standard error are appended to this file.
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
    /// Set when the child has been reaped: from then on its pid may be another process's.
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts a role through the guard. Call it only from a thread that lives as long as the rig: see the module.
    ///
    /// # Errors
    /// The log cannot be opened or the guard cannot be started. If the guard cannot start the role, the child ends with
    /// exit code 127 and a line in its log.
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
            // Its own process group: Ctrl-C in a terminal reaches only the rig, which then stops its children in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", launch.name))?;
        Ok(Self::of(&launch.name, inner))
    }

    /// A process that was started without the guard.
    pub(crate) fn of(name: &str, inner: std::process::Child) -> Self {
        Self { name: name.to_owned(), inner, ended: None }
    }

    /// The process id, which is the guard's and then the role's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Its exit status; `None` while it runs.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.inner.try_wait().with_context(|| self.wait_error())?;
        }
        Ok(self.ended)
    }

    /// Waits for its end, at most `limit`. `None`: it still runs.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if self.ended()?.is_some() {
            return Ok(self.ended);
        }
        let fd = pidfd_open(self.raw_pid(), PidfdFlags::empty()).with_context(|| self.wait_error())?;
        let watch = Stopwatch::start();
        // A signal to the rig interrupts the poll: continue with the remaining time.
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

    /// Sends a signal. Does nothing if the process has ended.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // It is not reaped yet, so the pid is still its own.
        kill_process(self.raw_pid(), signal).with_context(|| format!("cannot send {signal:?} to {}", self.name))
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        let status = self.inner.wait().with_context(|| self.wait_error())?;
        self.ended = Some(status);
        Ok(status)
    }

    /// SIGTERM, waits at most `limit`, then SIGKILL.
    ///
    /// # Errors
    /// The kernel refuses.
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
        // The guard's death signal is a second safeguard.
        self.kill().ok();
    }
}

/// An exit status as text: `exit code 78`, `killed by signal 9`.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// The end of a log; empty if it cannot be read, because it is only appended to another error.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
