//! A device introduces itself: which board is read, and what begins with a new boot.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};

use thermowell_wire::line::Hello;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Slot, device_id};

use super::delivery::Turn;
use super::{Agent, Log};
use crate::plausible::Sensors;
use crate::published::EventBody;
use crate::serial::{Greeting, Session};

impl Agent {
    pub(super) fn greet(&mut self, hello: &Hello) {
        let greeting = match self.foreign_board(hello) {
            Some(reason) => self.reader.link.refuse(reason),
            None => {
                let held = self.delivery.last_end(hello.boot).max(self.reader.open_end(hello.boot));
                let held = held.map(|end| Slot::new(hello.boot, end));
                self.reader.link.greet(self.out.now.monotonic, hello.clone(), held)
            }
        };
        match greeting {
            Greeting::Refused { reason, news } => {
                self.out.counters.refused_devices += 1;
                self.out.log(Log::DeviceRefused { reason: reason.clone() });
                if news {
                    let serial_number = hello.serial_number.to_string();
                    self.out.event(EventKind::Boot, EventBody::DeviceRefused { serial_number, reason });
                }
            }
            Greeting::Accepted { new } => {
                if new {
                    self.begin_boot(hello);
                } else {
                    self.reader.read_on(self.out.now.monotonic);
                }
                let jump = self.timekeeper.observe(self.out.now, hello.device_us);
                self.jumped(jump);
                self.reader.turn(self.out.now.monotonic, Turn::Resync);
            }
        }
    }

    fn begin_boot(&mut self, hello: &Hello) {
        self.reader.begin_boot(self.out.now.monotonic);
        self.hold();
        self.out.counters.boots += 1;
        let period_ns = self.reader.link.session().map_or(1, Session::period_ns);
        self.delivery.begin_boot(&self.out, &mut self.timekeeper, hello.boot, period_ns);
        self.out.log(Log::Device { serial_number: hello.serial_number.to_string(), boot: hello.boot });
    }

    /// Why a board is not read because the history is that of another one. `None` if it is the board of the history, or
    /// if an operator has accepted it and no record of its predecessor waits. Records of two boards are never held at
    /// once: their boots have no common order.
    fn foreign_board(&mut self, hello: &Hello) -> Option<String> {
        let serial = &hello.serial_number;
        if self.settings.serial_number.as_ref().is_some_and(|bound| bound.as_str() != serial.as_str()) {
            return None;
        }
        let device = device_id(serial);
        let (before, is_held) = self.delivery.history(device)?;
        let now = self.out.now.monotonic;
        if self.accepted_board != Some((before, device)) {
            self.delivery.look_again(now);
            let boiler = &self.settings.boiler;
            return Some(format!(
                "its serial number is {serial}, the history of {boiler} is of another board: check the port; if the \
                 board was replaced, `thermowell boiler accept {boiler} {serial} --yes`"
            ));
        }
        if is_held {
            self.reader.cut();
            self.hold();
            if !self.delivery.clear() {
                return Some("samples of the previous board are delivered first".to_owned());
            }
        }
        if self.reader.link.bound().is_some_and(|bound| bound != serial.as_str()) {
            self.reader.release();
            self.timekeeper.forget();
            self.sensors = Sensors::default();
        }
        self.delivery.reread(now);
        None
    }

    /// Publishes once per boot that it is new to the stream.
    pub(super) fn announce(&mut self) {
        let Some(session) = self.reader.link.live() else { return };
        let boot = session.boot();
        let Some(is_new) = self.delivery.is_new(boot).filter(|_| self.announced != Some(boot)) else { return };
        self.announced = Some(boot);
        if is_new {
            let serial_number = session.hello.serial_number.to_string();
            let firmware = session.hello.firmware.to_string();
            self.out.event(EventKind::Boot, EventBody::BootSeen { boot, serial_number, firmware });
        }
    }
}
