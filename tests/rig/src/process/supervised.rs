//! Roles that are restarted when they die, as systemd does with the units in `deploy/`.
//!
//! ```text
//!            start            exit, restart later          exit 2 or 78: it would fail again
//! Supervised ─────▶ Running ───────────────────▶ Waiting  ─────────────┐
//!                     ▲ ▲      ◀───────────────── time is up           ▼
//!                     │ └─ bring_up ── Down ◀─ keep_down, stop      GivenUp
//!                     └──────────────────────── bring_up ──────────────┘
//! ```

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::{Child, Launch};

/// First delay before a role that died is restarted.
pub const RESTART_FIRST: Duration = Duration::from_millis(100);
/// The delay doubles with each death up to this.
pub const RESTART_MAX: Duration = Duration::from_secs(5);
/// After this time a role counts as recovered, and its next delay is the first one again. Twice the longest delay.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// Exit codes that a restart would repeat: usage, configuration. `RestartPreventExitStatus=` in `deploy/`.
pub const NEVER_RESTART: [i32; 2] = [2, 78];

/// What [`Supervised::tend`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The role has ended and will be restarted after the delay.
    Died {
        status: ExitStatus,
        /// The delay from now.
        restart_in: Duration,
    },
    /// The role was restarted.
    Restarted {
        /// The new process.
        pid: u32,
    },
    /// The role has ended with an exit code that a restart would repeat.
    GaveUp { status: ExitStatus },
}

#[derive(Debug)]
enum State {
    /// `since` is unknown until the next [`Supervised::tend`].
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

/// A role that is restarted when it dies, as systemd does with the units in `deploy/`.
///
/// It reads no clock and has no thread: the rig's main loop calls [`Supervised::tend`] at least a few times a second.
#[derive(Debug)]
pub struct Supervised {
    launch: Launch,
    state: State,
    delay: Duration,
    deaths: u32,
}

impl Supervised {
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn start(launch: Launch) -> Result<Self> {
        let child = Child::spawn(&launch)?;
        Ok(Self { launch, state: State::Running { child, since: None }, delay: RESTART_FIRST, deaths: 0 })
    }

    /// Checks the role and does what is due at `now` (of any monotonic clock). At most one change per call.
    ///
    /// # Errors
    /// As [`Child::spawn`]; the next call retries.
    pub fn tend(&mut self, now: Duration) -> Result<Option<Change>> {
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

    /// An end that was not requested counts as a death, also with exit code 0: a role does not end by itself.
    fn died(&mut self, now: Duration, status: ExitStatus) -> Change {
        self.deaths += 1;
        if status.code().is_some_and(|code| NEVER_RESTART.contains(&code)) {
            self.state = State::GivenUp { status };
            return Change::GaveUp { status };
        }
        let restart_in = self.delay;
        self.delay = (self.delay * 2).min(RESTART_MAX);
        self.state = State::Waiting { until: now + restart_in };
        Change::Died { status, restart_in }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// The pid of the running process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running { child, .. } => Some(child.pid()),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => None,
        }
    }

    /// How often it has died by itself.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Its exit status, if it will not be restarted.
    #[must_use]
    pub fn given_up(&self) -> Option<ExitStatus> {
        match &self.state {
            State::GivenUp { status } => Some(*status),
            State::Running { .. } | State::Waiting { .. } | State::Down => None,
        }
    }

    /// The exit status of the process without any reaction, for callers that wait for a start.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.state {
            State::Running { child, .. } => child.ended(),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(None),
        }
    }

    /// Sends a signal to the running process: SIGKILL for a crash, SIGSTOP for a hang. [`Supervised::tend`] detects the
    /// end.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match &mut self.state {
            State::Running { child, .. } => child.signal(signal),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(()),
        }
    }

    /// SIGKILL, and no restart until [`Supervised::bring_up`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn keep_down(&mut self) -> Result<()> {
        if let State::Running { child, .. } = &mut self.state {
            child.kill()?;
        }
        self.state = State::Down;
        Ok(())
    }

    /// Starts the role now if it does not run.
    ///
    /// # Errors
    /// As [`Child::spawn`].
    pub fn bring_up(&mut self) -> Result<()> {
        if self.pid().is_none() {
            let child = Child::spawn(&self.launch)?;
            self.state = State::Running { child, since: None };
        }
        Ok(())
    }

    /// SIGTERM, waits at most `limit`, then SIGKILL; no restart. `None` if it did not run.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let status = match &mut self.state {
            State::Running { child, .. } => Some(child.stop(limit)?),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => None,
        };
        self.state = State::Down;
        Ok(status)
    }
}

/// Stops roles one after the other, in the given order, each with its own `limit`: in flow order, so that each can pass
/// on what it holds. All are stopped even if one fails; the first error is returned.
///
/// # Errors
/// The kernel refuses.
pub fn stop_in_order<'a>(
    roles: impl IntoIterator<Item = &'a mut Supervised>,
    limit: Duration,
) -> Result<Vec<Option<ExitStatus>>> {
    let stopped: Vec<_> = roles.into_iter().map(|role| role.stop(limit)).collect();
    stopped.into_iter().collect()
}
