//! A boiler, its messages and a law, for tests. A test changes what it is about.

use core::time::Duration;

use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{self, BoilerState, Hello, PROTOCOL};
use thermowell_wire::{Boot, CentiCelsius, Reading, Slot};

use crate::control::{Curve, CurvePoint, Emitter, Law, Plan};
use crate::published::{DeviceStatus, Link, Provisional, SlotQuality, State, Status};

/// A simulated device with a 120 s ring that samples slot `next` now, at 100 Hz.
///
/// # Panics
/// Never: the names fit.
#[must_use]
pub fn hello(boot: Boot, next: u64) -> Hello {
    Hello {
        protocol: PROTOCOL,
        boot,
        serial_number: "TW-1".try_into().expect("it fits"),
        firmware: "test 1".try_into().expect("it fits"),
        period_us: 10_000,
        ring: 12_000,
        oldest: next.saturating_sub(12_000),
        next,
        device_us: next * 10_000,
        simulated: true,
        own_flow: CentiCelsius(5_500),
    }
}

/// The status of that device while it heats on its own control; it has no outdoor sensor.
#[must_use]
pub fn line_status(boot: Boot, next: u64) -> line::Status {
    line::Status {
        tag: boot.tag(),
        next,
        device_us: next * 10_000,
        marks: Reading::PUMP,
        modulation: 40,
        return_temperature: Some(CentiCelsius(4_000)),
        room: Some(CentiCelsius(2_050)),
        outdoor: None,
        pressure_mbar: 1_500,
        setpoint: None,
        state: BoilerState::Firing,
        fault: None,
        burner_starts: 1,
    }
}

/// The published status of `b1`, which heats on its own control.
///
/// # Panics
/// Never: the id is valid.
#[must_use]
pub fn status(boot: Boot, created_at: f64) -> Status {
    let device = DeviceStatus {
        boot,
        serial_number: "TW-1".into(),
        firmware: "test 1".into(),
        state: BoilerState::Firing,
        flame: true,
        pump: true,
        hot_water: false,
        modulation: 50,
        return_temperature: None,
        room: Some(20.0),
        outdoor: Some(3.0),
        pressure_mbar: Some(1_500),
        own_flow: 55.0,
        setpoint: None,
        fault: None,
        burner_starts: 1,
    };
    Status {
        boiler: "b1".parse().expect("a boiler id"),
        created_at,
        link: Link::Up,
        device: Some(device),
        newest: None,
        backlog: 0,
        simulated: true,
        version: 1,
    }
}

/// The published state of `b1` after its first second.
///
/// # Panics
/// Never: the id is valid.
#[must_use]
pub fn state(slot: Slot, stamp: f64) -> State {
    State {
        boiler: "b1".parse().expect("a boiler id"),
        instance: "a1".into(),
        stamp,
        slot,
        current: Some(40.0),
        quality: SlotQuality::Ok,
        heating: true,
        average: Some(40.0),
        average_points: 100,
        average_heating: Some(40.0),
        heating_share: 0.0,
        coverage: 0.1,
        minimum: Some(39.0),
        maximum: Some(41.0),
        provisional: Provisional { hour: "2026-01-07T03:00:00Z".into(), temperature: None, points: 0 },
        last_hour: None,
        clock: ClockQuality::Synced,
        simulated: true,
        version: 1,
    }
}

/// A law with a target of 20 °C: 42.5 °C of flow at 3 °C outdoors.
#[must_use]
pub fn law() -> Law {
    Law {
        emitter: Emitter::Radiators,
        curve: Curve {
            cold: CurvePoint { outdoor: -12.0, flow: 60.0 },
            warm: CurvePoint { outdoor: 18.0, flow: 25.0 },
        },
        plan: Plan::constant(20.0),
        kp: 8.0,
        ki: 1.0,
        k: 0.5,
        heating_limit: 15.0,
        flow_min: 25.0,
        flow_max: 65.0,
        lease_s: 60,
        renew: Duration::from_secs(15),
    }
}
