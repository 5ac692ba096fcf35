//! Faults that have a moment, and what comes back after them.

use thermowell_flow::agent::Input;

use crate::plan::{Kind, SECOND};
use crate::world::{START, World};

/// What a server that crashes loses at most.
const SYNC: u64 = 10 * SECOND;
const HOUR: i64 = 3_600_000_000_000;

impl World {
    pub(crate) fn break_something(&mut self) {
        let every = self.plan.every;
        self.fault_at = self.now + SECOND / 2 + self.random.below(2 * every);
        let kind = self.plan.moments[self.random.index(self.plan.moments.len())];
        let back = self.now + self.plan.away(kind, &mut self.random);
        if !self.plan.has(kind) {
            return;
        }
        match kind {
            Kind::AgentCrash => self.crash_agent(back),
            Kind::AggregatorCrash => self.crash_aggregator(back),
            Kind::Unplug => self.unplug(back),
            Kind::Outage => {
                self.count(kind);
                self.disconnect(back);
            }
            Kind::Rollback => self.roll_back(back),
            Kind::Wipe if self.counts[kind.index()] == 0 => {
                self.count(kind);
                self.note("SAMPLES is wiped");
                self.disconnect(back);
                self.broker.samples.wipe();
            }
            Kind::Freeze if !self.broker.frozen && self.broker.up => {
                self.count(kind);
                self.note("the server freezes");
                self.broker.frozen = true;
                self.backs.server = Some(back);
            }
            Kind::Reboot => {
                self.count(kind);
                self.note("the device reboots");
                let at = self.now - START;
                let off = self.random.below(5 * SECOND);
                self.boiler.switch_off(at, at + off);
                // What waited in the port was meant for the boot before.
                if self.plan.has(Kind::Replayed) {
                    self.backs.port = Some(self.now + off + self.random.below(10 * SECOND));
                }
            }
            Kind::ClockStep => self.step_clock(),
            Kind::Suspend if self.backs.gateway.is_none() => {
                self.count(kind);
                self.note("the gateway sleeps");
                self.line.clear();
                self.backs.gateway = Some(back);
            }
            Kind::Replayed => {
                self.count(kind);
                self.replay();
            }
            Kind::Wipe
            | Kind::Freeze
            | Kind::Suspend
            | Kind::Noise
            | Kind::Stall
            | Kind::LostAck
            | Kind::Zombie
            | Kind::DiskError => {}
        }
    }

    /// Each stream loses its own amount, always its end.
    fn roll_back(&mut self, back: u64) {
        self.count(Kind::Rollback);
        self.disconnect(back);
        let since = self.now - self.random.below(SYNC);
        self.broker.samples.roll_back(since);
        let since = self.now - self.random.below(SYNC);
        self.broker.snapshots.roll_back(since);
        let end = self.stream_end();
        self.note(&format!("the server went back to {end:?}"));
    }

    fn step_clock(&mut self) {
        self.count(Kind::ClockStep);
        let steps = [SECOND_NS, -SECOND_NS, 300_000_000, -HOUR / 60, HOUR / 30];
        let by = steps[self.random.index(steps.len())];
        let offset = self.offsets.last().map_or(0, |(_, offset)| *offset) + by;
        self.note(&format!("the wall clock steps by {} ms", by / 1_000_000));
        self.offsets.push((self.now, offset));
    }

    fn unplug(&mut self, back: u64) {
        if !std::mem::replace(&mut self.line.plugged, false) {
            return;
        }
        self.count(Kind::Unplug);
        self.note("unplugged");
        self.line.clear();
        self.backs.cable = Some(back);
        self.tell_agent(Input::PortClosed);
    }

    /// The server is away until `back`; a frozen one is restarted by that.
    pub(crate) fn disconnect(&mut self, back: u64) {
        if !std::mem::replace(&mut self.broker.up, false) {
            return;
        }
        self.note("disconnected");
        self.broker.frozen = false;
        self.backs.server = Some(back);
        self.cut_off_agent();
    }

    pub(crate) fn come_back(&mut self) {
        let now = self.now;
        if self.backs.gateway.take_if(|at| *at <= now).is_some() {
            self.note("the gateway wakes up");
        }
        if self.backs.server.take_if(|at| *at <= now).is_some() {
            // A frozen server is restarted.
            self.disconnect(now);
            self.backs.server = None;
            self.note("connected");
            self.broker.up = true;
            self.tell_faults();
            self.tell_agent(Input::Connected);
            if self.aggregator.aggregator().is_some() {
                self.start_aggregator();
            }
        }
        if self.backs.port.take_if(|at| *at <= now).is_some() {
            self.count(Kind::Replayed);
            self.replay();
        }
        if self.backs.cable.take_if(|at| *at <= now).is_some() {
            self.note("plugged in");
            self.line.plugged = true;
            self.tell_agent(Input::PortOpened);
        }
        if self.backs.agent.take_if(|at| *at <= now).is_some() {
            self.start_agent();
        }
        if self.backs.aggregator.take_if(|at| *at <= now).is_some() {
            self.start_aggregator();
        }
    }
}

const SECOND_NS: i64 = 1_000_000_000;
