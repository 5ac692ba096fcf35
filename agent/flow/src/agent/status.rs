//! STATUS: the link, the device's last report, and its other signals. Implausible readings are null there and reported.

use alloc::boxed::Box;
use alloc::string::ToString as _;

use thermowell_wire::line::Status;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{CentiCelsius, Reading};

use super::faults;
use super::{Agent, Effect, Log};
use crate::plausible::{Change, Reported};
use crate::published::{self, DeviceStatus, EventBody};
use crate::serial::Session;
use crate::time::Monotonic;

/// When the status was last published, and whether it has changed since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    at: Option<Monotonic>,
    changed: bool,
    link: published::Link,
}

impl Agent {
    /// Takes a status of the device.
    pub(super) fn take_status(&mut self, status: &Status) {
        let Some((before, slot)) = self.reader.status(&mut self.out, status) else { return };
        self.take_sensors(status);
        let key = |status: &Status| {
            let setpoint = status.setpoint.map(|active| (active.n, active.demand, active.flow));
            (status.marks, status.state, status.fault, setpoint)
        };
        self.report.changed |= before.as_ref().map(key) != Some(key(status));
        self.observe_fault(faults::Report { fault: status.fault, state: status.state, slot });
        if self.reader.link.live().is_some() {
            let jump = self.timekeeper.observe(self.out.now, status.device_us);
            self.jumped(jump);
        }
    }

    /// Checks the readings of the device's slow sensors. Both log lines bypass the throttle: a sensor is reported at
    /// most once a minute.
    fn take_sensors(&mut self, status: &Status) {
        let reported = Reported {
            room: status.room,
            outdoor: status.outdoor,
            return_temperature: status.return_temperature,
            pressure_mbar: Some(status.pressure_mbar),
        };
        for change in self.sensors.take(&reported, self.out.now.monotonic) {
            self.out.effects.push(Effect::Log(match change {
                Change::Began(it) => Log::SensorImplausible(it),
                Change::Ended(quantity) => Log::SensorSound { quantity },
            }));
            self.out.event(EventKind::Sensor, EventBody::sensor(change, None));
        }
    }

    /// The latest time at which the status is due.
    pub(super) fn report_at(&self) -> Option<Monotonic> {
        let timing = &self.settings.timing;
        let pause = if self.report.changed { timing.status_change } else { timing.status };
        self.report.at.map(|at| at.after(pause))
    }

    /// Publishes the status when due.
    pub(super) fn report(&mut self) {
        let now = self.out.now;
        let link = self.reader.link.state();
        self.report.changed |= core::mem::replace(&mut self.report.link, link) != link;
        if self.report_at().is_some_and(|at| now.monotonic < at) {
            return;
        }
        self.report.at = Some(now.monotonic);
        self.report.changed = false;
        let session = self.reader.link.session();
        let device = session.filter(|_| link != published::Link::Down);
        let device = device.and_then(|session| self.device_status(session));
        self.out.effects.push(Effect::Status(Box::new(published::Status {
            boiler: self.settings.boiler.clone(),
            created_at: now.utc.unix_seconds(),
            link,
            device,
            newest: self.reader.newest,
            backlog: self.backlog(),
            simulated: session.is_some_and(|session| session.hello.simulated),
            version: 1,
        })));
    }

    /// The device's last status as published; `None` before its first.
    fn device_status(&self, session: &Session) -> Option<DeviceStatus> {
        let status = session.status.as_ref()?;
        let marks = Reading { marks: status.marks, ..Reading::default() };
        let plausible = self.sensors.readings(self.out.now.monotonic, self.settings.timing.reading_age);
        Some(DeviceStatus {
            boot: session.boot(),
            serial_number: session.hello.serial_number.to_string(),
            firmware: session.hello.firmware.to_string(),
            state: status.state,
            flame: marks.flame(),
            pump: marks.pump(),
            hot_water: marks.hot_water(),
            modulation: status.modulation,
            return_temperature: plausible.return_temperature.map(CentiCelsius::celsius),
            room: plausible.room.map(CentiCelsius::celsius),
            outdoor: plausible.outdoor.map(CentiCelsius::celsius),
            pressure_mbar: plausible.pressure_mbar,
            own_flow: session.hello.own_flow.celsius(),
            setpoint: status.setpoint.map(Into::into),
            fault: status.fault,
            burner_starts: status.burner_starts,
        })
    }
}
