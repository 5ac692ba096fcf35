//! Child processes of the rig, each behind the [`guard`](crate::guard), and their supervision.
//!
//! **Start children only from a thread that lives as long as the rig.** The kernel sends the death signal when the
//! *thread* that started the child ends, not the process: a child that a worker of a thread pool started is killed
//! whenever the pool lets that worker go. In the demo this is the main thread; in a test it is the test's own thread, so
//! that nothing outlives its test.
//!
//! ```text
//!            start            exit, restart later          exit 2 or 78: it would fail again
//! Supervised ─────▶ Running ───────────────────▶ Waiting  ─────────────┐
//!                     ▲ ▲      ◀───────────────── time is up           ▼
//!                     │ └─ bring_up ── Down ◀─ keep_down, stop      GivenUp
//!                     └──────────────────────── bring_up ──────────────┘
//! ```

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::clock::Stopwatch;
use crate::guard;

/// First delay before a role that died is started again.
pub const RESTART_FIRST: Duration = Duration::from_millis(100);
/// The delay doubles from death to death up to this.
pub const RESTART_MAX: Duration = Duration::from_secs(5);
/// A role that lived this long has recovered: its next delay is the first one again. Twice the longest delay.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// Exit codes that another start would only repeat: usage, configuration. `RestartPreventExitStatus=` in `deploy/`.
pub const NEVER_RESTART: [i32; 2] = [2, 78];

/// What poll takes for a limit that does not fit.
const LONGEST: Timespec = Timespec {
    tv_sec: i64::MAX,
    tv_nsec: 0,
};

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
    pub fn of_this_process() -> Result<Self, ProcessError> {
        let path = std::env::current_exe().map_err(|source| ProcessError::OwnProgram { source })?;
        Ok(Self::at(path))
    }

    /// `multi_call` is the multi-call binary (`env!("CARGO_BIN_EXE_demo")` in tests); [`THERMOWELL_BIN`] overrides the
    /// product.
    #[must_use]
    pub fn at(multi_call: impl Into<PathBuf>) -> Self {
        Self {
            multi_call: multi_call.into(),
            thermowell: std::env::var_os(THERMOWELL_BIN).map(PathBuf::from),
        }
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

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    inner: std::process::Child,
    /// Known as soon as the child has been reaped: from then on its pid may be somebody else's.
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts a role behind the guard. Only from a thread that lives as long as the rig: see the module.
    ///
    /// # Errors
    /// When the log cannot be opened or the guard cannot be started. A role that the guard cannot start ends with exit
    /// code 127 and says so in its log.
    pub fn spawn(launch: &Launch) -> Result<Self, ProcessError> {
        let open = || {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&launch.log)
        };
        let log_error = |source| ProcessError::Log {
            path: launch.log.clone(),
            source,
        };
        let output = open().map_err(log_error)?;
        let errors = output.try_clone().map_err(log_error)?;
        let inner = Command::new(&launch.programs.multi_call)
            .arg(guard::WORD)
            .arg(std::process::id().to_string())
            .args(launch.programs.command_of(&launch.role))
            .args(&launch.args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| ProcessError::Spawn {
                name: launch.name.clone(),
                source,
            })?;
        Ok(Self::of(&launch.name, inner))
    }

    /// Takes over a process that was started without the guard.
    pub(crate) fn of(name: &str, inner: std::process::Child) -> Self {
        Self {
            name: name.to_owned(),
            inner,
            ended: None,
        }
    }

    /// The process id. The guard becomes the role, so it is the role's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        if self.ended.is_none() {
            let wait = self.inner.try_wait();
            self.ended = wait.map_err(|source| self.wait_error(source))?;
        }
        Ok(self.ended)
    }

    /// Waits until it ends, at most `limit`. `None`: it still runs.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, ProcessError> {
        if self.ended()?.is_some() {
            return Ok(self.ended);
        }
        let fd = pidfd_open(self.raw_pid(), PidfdFlags::empty())
            .map_err(|error| self.wait_error(error.into()))?;
        let watch = Stopwatch::start();
        // A signal for the rig itself interrupts the poll: go on for what is left.
        while let Some(left) = watch.left_of(limit) {
            let timeout = Timespec::try_from(left).unwrap_or(LONGEST);
            let mut fds = [PollFd::new(&fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.wait_error(error.into())),
            }
        }
        self.ended()
    }

    /// Sends a signal. A process that has ended is left alone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // Not yet reaped, so the pid is still its own.
        kill_process(self.raw_pid(), signal).map_err(|error| ProcessError::Signal {
            name: self.name.clone(),
            signal,
            source: error.into(),
        })
    }

    /// SIGKILL, and waits for the end, which the kernel brings at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::KILL)?;
        let wait = self.inner.wait();
        let status = wait.map_err(|source| self.wait_error(source))?;
        self.ended = Some(status);
        Ok(status)
    }

    /// SIGTERM, waits at most `limit`, then SIGKILL.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::TERM)?;
        match self.wait(limit)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.inner)
    }

    fn wait_error(&self, source: std::io::Error) -> ProcessError {
        ProcessError::Wait {
            name: self.name.clone(),
            source,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Nobody is left to be told; the guard's death signal is the second net.
        self.kill().ok();
    }
}

/// What [`Supervised::tend`] saw or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The role has ended and will be started again after the delay.
    Died {
        /// How it ended.
        status: ExitStatus,
        /// When it will be started again, from now.
        restart_in: Duration,
    },
    /// The role has been started again.
    Restarted {
        /// The new process.
        pid: u32,
    },
    /// The role has ended in a way that another start would only repeat.
    GaveUp {
        /// How it ended.
        status: ExitStatus,
    },
}

#[derive(Debug)]
enum State {
    /// `since` is unknown until the first look at the clock.
    Running {
        child: Child,
        since: Option<Duration>,
    },
    Waiting {
        until: Duration,
    },
    Down,
    GivenUp {
        status: ExitStatus,
    },
}

/// A role that is started again when it dies, as systemd does it with the units in `deploy/`.
///
/// It reads no clock and has no thread: the rig's main loop calls [`Supervised::tend`], a few times a second at least.
#[derive(Debug)]
pub struct Supervised {
    launch: Launch,
    state: State,
    delay: Duration,
    deaths: u32,
}

impl Supervised {
    /// Starts the role.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn start(launch: Launch) -> Result<Self, ProcessError> {
        let child = Child::spawn(&launch)?;
        Ok(Self {
            launch,
            state: State::Running { child, since: None },
            delay: RESTART_FIRST,
            deaths: 0,
        })
    }

    /// Looks at the role and does what is due at `now` (any clock that only moves on). At most one change a call.
    ///
    /// # Errors
    /// As [`Child::spawn`]; the next call tries again.
    pub fn tend(&mut self, now: Duration) -> Result<Option<Change>, ProcessError> {
        match &mut self.state {
            State::Running { child, since } => {
                let since = *since.get_or_insert(now);
                let Some(status) = child.ended()? else {
                    if now.saturating_sub(since) >= RECOVERED_AFTER {
                        self.delay = RESTART_FIRST;
                    }
                    return Ok(None);
                };
                Ok(Some(self.died(now, status)))
            }
            State::Waiting { until } if now >= *until => {
                let child = Child::spawn(&self.launch)?;
                let pid = child.pid();
                let since = Some(now);
                self.state = State::Running { child, since };
                Ok(Some(Change::Restarted { pid }))
            }
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(None),
        }
    }

    /// Every end that nobody asked for counts, a clean exit too: a role has no reason to end by itself.
    fn died(&mut self, now: Duration, status: ExitStatus) -> Change {
        self.deaths += 1;
        if status
            .code()
            .is_some_and(|code| NEVER_RESTART.contains(&code))
        {
            self.state = State::GivenUp { status };
            return Change::GaveUp { status };
        }
        let restart_in = self.delay;
        self.delay = (self.delay * 2).min(RESTART_MAX);
        self.state = State::Waiting {
            until: now + restart_in,
        };
        Change::Died { status, restart_in }
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// The running process, if there is one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running { child, .. } => Some(child.pid()),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => None,
        }
    }

    /// How often it has died without being asked to.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.deaths
    }

    /// How it ended, when it will not be started again.
    #[must_use]
    pub fn given_up(&self) -> Option<ExitStatus> {
        match &self.state {
            State::GivenUp { status } => Some(*status),
            State::Running { .. } | State::Waiting { .. } | State::Down => None,
        }
    }

    /// How the running process has ended, without acting on it: for whoever waits for a start.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        match &mut self.state {
            State::Running { child, .. } => child.ended(),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(None),
        }
    }

    /// Sends a signal to the running process; SIGKILL is a crash, SIGSTOP a hang. [`Supervised::tend`] sees the end.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), ProcessError> {
        match &mut self.state {
            State::Running { child, .. } => child.signal(signal),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(()),
        }
    }

    /// SIGKILL, and no restart until [`Supervised::bring_up`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep_down(&mut self) -> Result<(), ProcessError> {
        if let State::Running { child, .. } = &mut self.state {
            child.kill()?;
        }
        self.state = State::Down;
        Ok(())
    }

    /// Starts the role at once when it does not run.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn bring_up(&mut self) -> Result<(), ProcessError> {
        if self.pid().is_none() {
            let child = Child::spawn(&self.launch)?;
            self.state = State::Running { child, since: None };
        }
        Ok(())
    }

    /// SIGTERM, waits at most `limit`, then SIGKILL; no restart. `None` when it did not run.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<ExitStatus>, ProcessError> {
        let status = match &mut self.state {
            State::Running { child, .. } => Some(child.stop(limit)?),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => None,
        };
        self.state = State::Down;
        Ok(status)
    }
}

/// Stops roles one after the other, in the given order, each with its own `limit`: in flow order, so that each can hand
/// on what it holds. All are stopped even when one fails; the first failure is returned.
///
/// # Errors
/// When the kernel refuses.
pub fn stop_in_order<'a>(
    roles: impl IntoIterator<Item = &'a mut Supervised>,
    limit: Duration,
) -> Result<Vec<Option<ExitStatus>>, ProcessError> {
    let stopped: Vec<_> = roles.into_iter().map(|role| role.stop(limit)).collect();
    stopped.into_iter().collect()
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

/// Why a child process could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The path of the running program is unknown.
    #[error("cannot find the path of the running program")]
    OwnProgram {
        /// The cause.
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("cannot open the log {}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The guard cannot be started.
    #[error("cannot start {name}")]
    Spawn {
        /// The role.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The kernel does not tell how a process ended.
    #[error("cannot wait for {name}")]
    Wait {
        /// The role.
        name: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A signal cannot be sent.
    #[error("cannot send {signal:?} to {name}")]
    Signal {
        /// The role.
        name: String,
        /// The signal.
        signal: Signal,
        /// The cause.
        source: std::io::Error,
    },
}
