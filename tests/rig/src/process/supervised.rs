//! Roles that come back when they die, as systemd brings them back with the units in `deploy/`.
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

/// First delay before a role that died is started again.
pub const RESTART_FIRST: Duration = Duration::from_millis(100);
/// The delay doubles from death to death up to this.
pub const RESTART_MAX: Duration = Duration::from_secs(5);
/// A role that lived this long has recovered: its next delay is the first one again. Twice the longest delay.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(10);
/// Exit codes that another start would only repeat: usage, configuration. `RestartPreventExitStatus=` in `deploy/`.
pub const NEVER_RESTART: [i32; 2] = [2, 78];

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
    pub fn start(launch: Launch) -> Result<Self> {
        let child = Child::spawn(&launch)?;
        Ok(Self { launch, state: State::Running { child, since: None }, delay: RESTART_FIRST, deaths: 0 })
    }

    /// Looks at the role and does what is due at `now` (any clock that only moves on). At most one change a call.
    ///
    /// # Errors
    /// As [`Child::spawn`]; the next call tries again.
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

    /// Every end that was not asked for counts, a clean exit too: a role has no reason to end by itself.
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

    /// How the running process has ended, without acting on it: for those who wait for a start.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.state {
            State::Running { child, .. } => child.ended(),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(None),
        }
    }

    /// Sends a signal to the running process; SIGKILL is a crash, SIGSTOP a hang. [`Supervised::tend`] sees the end.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        match &mut self.state {
            State::Running { child, .. } => child.signal(signal),
            State::Waiting { .. } | State::Down | State::GivenUp { .. } => Ok(()),
        }
    }

    /// SIGKILL, and no restart until [`Supervised::bring_up`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn keep_down(&mut self) -> Result<()> {
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
    pub fn bring_up(&mut self) -> Result<()> {
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
    pub fn stop(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
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
) -> Result<Vec<Option<ExitStatus>>> {
    let stopped: Vec<_> = roles.into_iter().map(|role| role.stop(limit)).collect();
    stopped.into_iter().collect()
}
