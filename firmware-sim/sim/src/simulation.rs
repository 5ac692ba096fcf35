//! All boilers of the process, in one thread that waits on a timer, the ports and the console.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::clock::Clock;
use crate::console::{Command, Console};
use crate::station::{Station, StationError};

/// Real time between two steps: a tenth of a slot at speed 1.
const TICK_NS: i64 = 1_000_000;
/// With more boilers the tick is twice as long, to limit the load of ticking.
const TICK_BOILERS: usize = 8;
/// Real time between two writes of the account.
const FLUSH_NS: u64 = 100_000_000;

/// Why the simulation cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The system refuses the timer, or the wait for it.
    #[error("cannot wait for the timer")]
    Timer(#[source] Errno),
    /// The system refuses the signal handlers.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// One of the boilers cannot continue.
    #[error(transparent)]
    Station(#[from] StationError),
}

/// All boilers of the process, with their clock and console.
#[derive(Debug)]
pub struct Simulation {
    clock: Clock,
    stations: Vec<Station>,
    console: Option<Console>,
}

impl Simulation {
    #[must_use]
    pub fn new(clock: Clock, stations: Vec<Station>, console: Option<Console>) -> Self {
        Self { clock, stations, console }
    }

    /// Runs until SIGTERM, SIGINT or the command `quit`, and completes the account.
    ///
    /// # Errors
    /// If it cannot start or continue.
    pub fn run(&mut self) -> Result<(), SimulationError> {
        let timer = ticking(self.stations.len()).map_err(SimulationError::Timer)?;
        let signals = signals().map_err(SimulationError::Signals)?;
        let mut flush_due_ns = 0;
        loop {
            if self.wait(&timer, &signals)? {
                return self.close();
            }
            let now_ns = self.clock.now_ns();
            if let Some(now_ns) = now_ns {
                for station in &mut self.stations {
                    station.serve(now_ns, &self.clock)?;
                }
            }
            // Commands ahead of the epoch take effect at it.
            if self.take_commands(now_ns.unwrap_or(0)) {
                return self.close();
            }
            let real_ns = self.clock.real_ns();
            if real_ns >= flush_due_ns {
                flush_due_ns = real_ns + FLUSH_NS;
                for station in &mut self.stations {
                    station.flush()?;
                }
            }
        }
    }

    /// Waits for the timer, a port, a command or a signal; returns whether it was a signal.
    fn wait(&self, timer: &OwnedFd, signals: &UnixStream) -> Result<bool, SimulationError> {
        let mut waits = Vec::with_capacity(self.stations.len() + 4);
        waits.push(PollFd::new(signals, PollFlags::IN));
        waits.push(PollFd::new(timer, PollFlags::IN));
        if let Some(now_ns) = self.clock.now_ns() {
            let ports = self.stations.iter().filter_map(|station| station.readable(now_ns));
            waits.extend(ports.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        if let Some(console) = &self.console {
            waits.extend(console.readable().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        }
        match poll(&mut waits, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SimulationError::Timer(error)),
        }
        let stop = !waits[0].revents().is_empty();
        if !waits[1].revents().is_empty() {
            // The number of ticks does not matter: the time comes from the clock.
            match rustix::io::read(timer, &mut [0_u8; 8]) {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(SimulationError::Timer(error)),
            }
        }
        Ok(stop)
    }

    /// Executes pending commands; returns whether one was `quit`.
    fn take_commands(&mut self, now_ns: u64) -> bool {
        let Self { console: Some(console), stations, .. } = self else { return false };
        let mut quit = false;
        console.serve(|command| match command {
            Command::Quit => {
                quit = true;
                Ok(String::from("bye"))
            }
            Command::Boiler { id, action } => {
                let station = stations.iter_mut().find(|station| *station.boiler().id() == id);
                let station = station.ok_or_else(|| format!("there is no boiler {id}"))?;
                action.execute(station, now_ns)
            }
        });
        quit
    }

    fn close(&mut self) -> Result<(), SimulationError> {
        let now_ns = self.clock.now_ns().unwrap_or(0);
        for station in &mut self.stations {
            station.close(now_ns, &self.clock)?;
        }
        Ok(())
    }
}

fn ticking(boilers: usize) -> Result<OwnedFd, Errno> {
    let tick_ns = if boilers > TICK_BOILERS { 2 * TICK_NS } else { TICK_NS };
    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
    let tick = Timespec { tv_sec: 0, tv_nsec: tick_ns };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: tick, it_value: tick })?;
    Ok(timer)
}

/// A socket that becomes readable on SIGTERM or SIGINT.
fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, writer.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGINT, writer)?;
    Ok(reader)
}

/// Logs one line to standard error.
///
/// # Errors
/// If standard error cannot be written.
pub(crate) fn log(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stderr().lock(), "firmware-sim: {line}")
}
