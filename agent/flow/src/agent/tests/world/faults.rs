//! What goes wrong in a world, and how it comes back.

use alloc::format;

use super::{Past, SECOND, SYNC, World, settings};
use crate::agent::{Agent, Input};

/// What goes wrong. Rates are per thousand frames or answers.
#[derive(Clone, Debug)]
pub(in super::super) struct Faults {
    pub(in super::super) noise: u64,
    pub(in super::super) lost_acks: u64,
    pub(in super::super) zombies: u64,
    /// Frames that hold up the line by up to 300 ms.
    pub(in super::super) stalls: u64,
    /// Mean time between crashes, unplugged cables and server outages; 0 is never.
    pub(in super::super) every: u64,
    /// The longest outage.
    pub(in super::super) outage: u64,
    pub(in super::super) reboots: bool,
    pub(in super::super) rollbacks: bool,
    pub(in super::super) wipes: bool,
    /// Only the device fails, and only by starting again.
    pub(in super::super) only_reboots: bool,
    /// Slots of the device's ring, or a tenth of it by chance.
    pub(in super::super) ring: u64,
    /// The most slots in one message that the server takes.
    pub(in super::super) slots_max: u64,
    /// No slot may be lost.
    pub(in super::super) lossless: bool,
}

impl Faults {
    pub(in super::super) fn none() -> Self {
        Self {
            noise: 0,
            lost_acks: 0,
            zombies: 0,
            stalls: 0,
            every: 0,
            outage: 0,
            reboots: false,
            rollbacks: false,
            wipes: false,
            only_reboots: false,
            ring: 1_500,
            slots_max: u64::MAX,
            lossless: true,
        }
    }

    pub(in super::super) fn gentle() -> Self {
        Self {
            noise: 5,
            lost_acks: 30,
            zombies: 20,
            stalls: 5,
            every: 4 * SECOND,
            outage: 2 * SECOND,
            rollbacks: true,
            ..Self::none()
        }
    }

    pub(in super::super) fn harsh() -> Self {
        Self { reboots: true, lossless: false, every: 3 * SECOND, outage: 40 * SECOND, ..Self::gentle() }
    }
}

impl World {
    pub(super) fn break_something(&mut self) {
        let outage =
            if self.chance(100) { self.below(self.faults.outage) } else { self.below(self.faults.outage / 10) };
        let back = self.now + outage;
        let what = if self.faults.only_reboots { 5 } else { self.below(6) };
        match what {
            0 | 1 => self.crash_agent(back),
            2 => self.unplug(back),
            3 => self.disconnect(back),
            4 if self.faults.rollbacks => {
                let since = self.now - self.below(SYNC);
                self.disconnect(back);
                self.arrivals.clear();
                self.stream.roll_back(since);
                self.note(&format!("the server went back to {:?}", self.stream_end()));
            }
            5 if self.faults.wipes && self.stream.wiped == 0 => {
                self.disconnect(back);
                self.arrivals.clear();
                self.stream.wipe();
                self.note("the stream is empty");
            }
            5 if self.faults.reboots && self.now > self.device.booted => {
                let device = &self.device;
                let (boot, slots, sent) = (device.boot, device.next, device.sent);
                self.past.push(Past { boot, slot_zero: device.booted, slots, sent });
                let random = u32::try_from(self.below(1 << 20)).unwrap();
                // Every other boot has the tag of the one before.
                let random = if self.chance(500) { random } else { 0xabcd_0000 };
                self.device.reboot(back, random);
                self.note(&format!("reboot to {}", self.device.boot));
            }
            _ => {}
        }
    }

    fn crash_agent(&mut self, back: u64) {
        if self.agent.take().is_none() {
            return;
        }
        self.note("the agent crashes");
        self.forget_questions();
        self.to_gateway.clear();
        self.syncing = None;
        let survive = usize::try_from(self.below(20)).unwrap();
        self.disk.crash(survive);
        self.agent_back = Some(back);
    }

    fn unplug(&mut self, back: u64) {
        if !core::mem::replace(&mut self.plugged, false) {
            return;
        }
        self.note("unplugged");
        self.to_gateway.clear();
        self.to_device.clear();
        self.cable_back = Some(back);
        self.tell(Input::PortClosed);
    }

    fn disconnect(&mut self, back: u64) {
        if !core::mem::replace(&mut self.connected, false) {
            return;
        }
        self.note("disconnected");
        self.forget_questions();
        self.server_back = Some(back);
        self.tell(Input::Disconnected);
    }

    fn forget_questions(&mut self) {
        self.life += 1;
        self.publishing = false;
        self.reading_tail = false;
    }

    pub(super) fn come_back(&mut self) {
        let now = self.now;
        if self.server_back.take_if(|at| *at <= now).is_some() {
            self.note("connected");
            self.connected = true;
            self.tell(Input::Connected);
        }
        if self.cable_back.take_if(|at| *at <= now).is_some() {
            self.note("plugged in");
            self.plugged = true;
            self.tell(Input::PortOpened);
        }
        if self.agent_back.take_if(|at| *at <= now).is_some() {
            self.note("the agent starts");
            let batch = [50, 50, 50, 1_000, 30, 7][usize::try_from(self.below(6)).unwrap()];
            self.agent = Some(Agent::new(settings(batch)));
            for message in self.disk.file.clone().into_iter().flatten() {
                self.tell(Input::Spilled(&message));
            }
            if self.connected {
                self.tell(Input::Connected);
            }
            if self.plugged {
                self.tell(Input::PortOpened);
            }
        }
    }
}
