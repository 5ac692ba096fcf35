//! State and status of the fictitious boiler.

use alloc::string::String;

use thermowell_wire::Slot;
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::BoilerState;

use super::{BOOT, Kit, Phase};
use crate::published::{AcceptedSetpoint, DeviceStatus, Link, Provisional, SlotQuality, State, Status, celsius};
use crate::time::Now;

impl Kit {
    pub(super) fn state(&self, phase: Phase) -> State {
        let broken = phase == Phase::BrokenSensor;
        State {
            boiler: self.settings.boiler.clone(),
            instance: String::from("conformance"),
            stamp: self.stamp,
            slot: Slot::new(BOOT, self.seq),
            current: (!broken).then_some(41.5),
            quality: if broken { SlotQuality::Open } else { SlotQuality::Ok },
            heating: !broken,
            average: Some(40.0),
            average_points: 180_000,
            average_heating: Some(40.0),
            heating_share: 0.5,
            coverage: 0.5,
            minimum: Some(30.0),
            maximum: Some(45.0),
            provisional: Provisional { hour: String::from("2026-01-07T02:00:00Z"), temperature: None, points: 0 },
            last_hour: None,
            clock: ClockQuality::Synced,
            simulated: true,
            version: 1,
        }
    }

    pub(super) fn status(&self, phase: Phase, now: &Now) -> Status {
        let locked = phase == Phase::LockedOut;
        let obeyed = self.active.as_ref().filter(|_| !locked && self.is_active(now.monotonic));
        let setpoint = obeyed.map(|(lease, received)| AcceptedSetpoint {
            n: 1,
            demand: lease.demand,
            flow: celsius(i64::from(lease.flow_centi().0)),
            lease_left_s: f64::from(lease.lease_s) - now.monotonic.since(*received).as_secs_f64(),
        });
        Status {
            boiler: self.settings.boiler.clone(),
            created_at: now.utc.unix_seconds(),
            link: Link::Up,
            device: Some(DeviceStatus {
                boot: BOOT,
                serial_number: String::from("CONFORMANCE"),
                firmware: String::from("conformance 1"),
                state: if locked { BoilerState::Lockout } else { BoilerState::Firing },
                flame: !locked,
                pump: true,
                hot_water: false,
                modulation: if locked { 0 } else { 40 },
                return_temperature: Some(35.0),
                room: Some(19.5),
                outdoor: Some(2.0),
                pressure_mbar: Some(1_500),
                own_flow: 40.0,
                setpoint,
                fault: None,
                burner_starts: 1,
            }),
            newest: Some(Slot::new(BOOT, self.seq)),
            backlog: 0,
            simulated: phase != Phase::Mixed,
            version: 1,
        }
    }
}
