//! The device's other signals for STATUS: implausible readings are null there and reported.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use thermowell_wire::line::Status;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{CentiCelsius, Reading};

use super::{Agent, Effect, Log};
use crate::plausible::{Change, Reported};
use crate::published::{DeviceStatus, EventBody};
use crate::serial::Session;
use crate::time::Now;

impl Agent {
    /// Checks the readings of the device's slow sensors. Both log lines bypass the throttle: a sensor is reported at
    /// most once a minute.
    pub(super) fn take_readings_of_sensors(&mut self, now: Now, status: &Status, effects: &mut Vec<Effect>) {
        let reported = Reported {
            room: status.room,
            outdoor: status.outdoor,
            return_temperature: status.return_temperature,
            pressure_mbar: Some(status.pressure_mbar),
        };
        for change in self.sensors.take(&reported, now.monotonic) {
            let (body, log) = match change {
                Change::Began(it) => {
                    let (quantity, value, reason) = (it.quantity, it.reads(), it.to_string());
                    (EventBody::SensorImplausible { quantity, value, reason }, Log::SensorImplausible(it))
                }
                Change::Ended(quantity) => (EventBody::SensorSound { quantity }, Log::SensorSound { quantity }),
            };
            effects.push(Effect::Log(log));
            effects.push(Effect::Event(EventKind::Sensor, Box::new(body)));
        }
    }

    /// The device's last status as published; `None` before its first.
    pub(super) fn device_status(&self, now: Now, session: &Session) -> Option<DeviceStatus> {
        let status = session.status.as_ref()?;
        let marks = Reading { marks: status.marks, ..Reading::default() };
        let plausible = self.sensors.readings(now.monotonic, self.settings.timing.reading_age);
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
