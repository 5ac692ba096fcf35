//! The device's other signals on their way to STATUS: what its sensors cannot have read is null there, and named.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use thermowell_wire::line::Status;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{CentiCelsius, Reading};

use super::{Agent, Effect, Log};
use crate::plausible::{News, Reported};
use crate::published::{DeviceStatus, EventBody};
use crate::serial::Session;
use crate::time::Now;

impl Agent {
    /// Judges what the device's slow sensors read. Both lines go around the throttle of the log: one sensor is named
    /// once a minute at most.
    pub(super) fn take_senses(&mut self, now: Now, status: &Status, effects: &mut Vec<Effect>) {
        let reported = Reported {
            room: status.room,
            outdoor: status.outdoor,
            return_temperature: status.return_temperature,
            pressure_mbar: Some(status.pressure_mbar),
        };
        for news in self.senses.take(&reported, now.monotonic) {
            let (body, log) = match news {
                News::Began(it) => {
                    let (quantity, value, reason) = (it.quantity, it.reads(), it.to_string());
                    (EventBody::SensorImplausible { quantity, value, reason }, Log::SensorImplausible(it))
                }
                News::Ended(quantity) => (EventBody::SensorSound { quantity }, Log::SensorSound { quantity }),
            };
            effects.push(Effect::Log(log));
            effects.push(Effect::Event(EventKind::Sensor, Box::new(body)));
        }
    }

    /// The device's last status as published; none before its first.
    pub(super) fn device_status(&self, now: Now, session: &Session) -> Option<DeviceStatus> {
        let status = session.status.as_ref()?;
        let marks = Reading { marks: status.marks, ..Reading::default() };
        let sound = self.senses.says(now.monotonic, self.settings.timing.reading_age);
        Some(DeviceStatus {
            boot: session.boot(),
            serial_number: session.hello.serial_number.to_string(),
            firmware: session.hello.firmware.to_string(),
            state: status.state,
            flame: marks.flame(),
            pump: marks.pump(),
            hot_water: marks.hot_water(),
            modulation: status.modulation,
            return_temperature: sound.return_temperature.map(CentiCelsius::celsius),
            room: sound.room.map(CentiCelsius::celsius),
            outdoor: sound.outdoor.map(CentiCelsius::celsius),
            pressure_mbar: sound.pressure_mbar,
            own_flow: session.hello.own_flow.celsius(),
            setpoint: status.setpoint.map(Into::into),
            fault: status.fault,
            burner_starts: status.burner_starts,
        })
    }
}
