//! Timed faults, and the recovery from them.

use thermowell_flow::agent::Input;
use thermowell_wire::units::{HOUR_NS, SECOND_NS};

use crate::plan::{Kind, SECOND};
use crate::world::{START, World};

/// The most that a crashed server loses.
const SYNC: u64 = 10 * SECOND;

impl World {
    pub(crate) fn break_something(&mut self) {
        let every = self.plan.every;
        self.fault_at = self.now + SECOND / 2 + self.random.below(2 * every);
        let kind = self.plan.timed[self.random.index(self.plan.timed.len())];
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
                self.recoveries.server = Some(back);
            }
            Kind::Reboot => {
                self.count(kind);
                self.note("the device reboots");
                let at = self.now - START;
                let off = self.random.below(self.plan.outage.min(5 * SECOND));
                self.boiler.switch_off(at, at + off);
                // Bytes waiting in the port were meant for the previous boot.
                if self.plan.has(Kind::Replayed) {
                    self.recoveries.port = Some(self.now + off + self.random.below(10 * SECOND));
                }
            }
            Kind::ClockStep => self.step_clock(),
            Kind::Suspend if self.recoveries.gateway.is_none() => {
                self.count(kind);
                self.note("the gateway is suspended");
                self.line.clear();
                self.recoveries.gateway = Some(back);
            }
            Kind::Replayed => {
                self.count(kind);
                self.replay();
            }
            Kind::Wipe
            | Kind::Freeze
            | Kind::Suspend
            | Kind::Missed
            | Kind::Noise
            | Kind::Stall
            | Kind::LostAck
            | Kind::Zombie
            | Kind::SizeLimit
            | Kind::DiskError => {}
        }
    }

    /// Each stream loses a different amount from its end.
    fn roll_back(&mut self, back: u64) {
        self.count(Kind::Rollback);
        self.disconnect(back);
        let since = self.now - self.random.below(SYNC);
        self.broker.samples.roll_back(since);
        let since = self.now - self.random.below(SYNC);
        self.broker.snapshots.roll_back(since);
        let end = self.stream_end();
        self.note(&format!("the server lost its end and is at {end:?}"));
    }

    fn step_clock(&mut self) {
        self.count(Kind::ClockStep);
        let steps = [SECOND_NS, -SECOND_NS, 300_000_000, -HOUR_NS / 60, HOUR_NS / 30];
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
        self.recoveries.cable = Some(back);
        self.feed_agent(Input::PortClosed);
    }

    /// The server is down until `back`; a frozen server is restarted by this.
    pub(crate) fn disconnect(&mut self, back: u64) {
        if !std::mem::replace(&mut self.broker.up, false) {
            return;
        }
        self.note("disconnected");
        self.broker.frozen = false;
        self.recoveries.server = Some(back);
        self.disconnect_agent();
    }

    pub(crate) fn come_back(&mut self) {
        let now = self.now;
        if self.recoveries.gateway.take_if(|at| *at <= now).is_some() {
            self.note("the gateway resumes");
        }
        if self.recoveries.server.take_if(|at| *at <= now).is_some() {
            // A frozen server is restarted.
            self.disconnect(now);
            self.recoveries.server = None;
            self.note("connected");
            self.broker.up = true;
            self.flush_faults();
            self.feed_agent(Input::Connected);
            if self.aggregator.aggregator().is_some() {
                self.start_aggregator();
            }
        }
        if self.recoveries.port.take_if(|at| *at <= now).is_some() {
            self.count(Kind::Replayed);
            self.replay();
        }
        if self.recoveries.cable.take_if(|at| *at <= now).is_some() {
            self.note("plugged in");
            self.line.plugged = true;
            self.feed_agent(Input::PortOpened);
        }
        if self.recoveries.agent.take_if(|at| *at <= now).is_some() {
            self.start_agent();
        }
        if self.recoveries.aggregator.take_if(|at| *at <= now).is_some() {
            self.start_aggregator();
        }
    }
}
