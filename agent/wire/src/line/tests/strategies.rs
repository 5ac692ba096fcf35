//! Messages with arbitrary values, and the damage that a line does to their bytes.

use std::vec::Vec;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::line::*;
use crate::{Boot, CentiCelsius, Reading};

fn boots() -> impl Strategy<Value = Boot> {
    any::<u64>().prop_map(Boot)
}

fn temperatures() -> impl Strategy<Value = CentiCelsius> {
    any::<i16>().prop_map(CentiCelsius)
}

fn readings() -> impl Strategy<Value = Reading> {
    (temperatures(), any::<u8>()).prop_map(|(temperature, marks)| Reading { temperature, marks })
}

fn texts() -> impl Strategy<Value = heapless::String<24>> {
    vec(any::<char>(), 0..=24).prop_map(|chars| {
        let mut text = heapless::String::new();
        for char in chars {
            if text.push(char).is_err() {
                break;
            }
        }
        text
    })
}

fn hellos() -> impl Strategy<Value = Hello> {
    let who = (any::<u8>(), boots(), texts(), texts(), any::<bool>(), temperatures());
    let holds = (1..=u32::MAX, any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>());
    (who, holds).prop_map(
        |((protocol, boot, serial_number, firmware, simulated, own_flow), (period_us, ring, a, b, us))| Hello {
            protocol,
            boot,
            serial_number,
            firmware,
            period_us,
            ring,
            oldest: a.min(b),
            next: a.max(b),
            device_us: us,
            simulated,
            own_flow,
        },
    )
}

fn samples() -> impl Strategy<Value = Samples> {
    (any::<u8>(), 0..=u64::MAX - 32, vec(readings(), 1..=READINGS_MAX)).prop_map(|(tag, seq, readings)| Samples {
        tag,
        seq,
        readings: readings.into_iter().collect(),
    })
}

fn gaps() -> impl Strategy<Value = GapNotice> {
    let reasons = [GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock];
    (any::<u8>(), 0..u64::MAX, 1..=u64::MAX, prop::sample::select(reasons.to_vec()))
        .prop_map(|(tag, from, count, reason)| GapNotice { tag, from, to: from.saturating_add(count), reason })
}

fn demands() -> impl Strategy<Value = Demand> {
    prop_oneof![Just(Demand::Heat), Just(Demand::None)]
}

fn active_setpoints() -> impl Strategy<Value = ActiveSetpoint> {
    (any::<u32>(), demands(), temperatures(), any::<u32>())
        .prop_map(|(n, demand, flow, lease_left_ms)| ActiveSetpoint { n, demand, flow, lease_left_ms })
}

fn faults() -> impl Strategy<Value = Fault> {
    let kinds = [
        FaultKind::Overheat,
        FaultKind::Sensor,
        FaultKind::Ignition,
        FaultKind::FlameLoss,
        FaultKind::LowPressure,
        FaultKind::Pump,
        FaultKind::SensorMismatch,
        FaultKind::BootLoop,
    ];
    (boots(), any::<u32>(), prop::sample::select(kinds.to_vec()), any::<bool>())
        .prop_map(|(boot, counter, kind, lockout)| Fault { boot, counter, kind, lockout })
}

fn statuses() -> impl Strategy<Value = Status> {
    let states = [
        BoilerState::Standby,
        BoilerState::Waiting,
        BoilerState::Firing,
        BoilerState::Overrun,
        BoilerState::Blocked,
        BoilerState::Lockout,
    ];
    let clock = (any::<u8>(), any::<u64>(), any::<u64>());
    let plant = (any::<u8>(), any::<u8>(), any::<u16>(), prop::sample::select(states.to_vec()), any::<u32>());
    let sensors = (option::of(temperatures()), option::of(temperatures()), option::of(temperatures()));
    (clock, plant, sensors, option::of(active_setpoints()), option::of(faults())).prop_map(
        |(
            (tag, next, device_us),
            (marks, modulation, pressure_mbar, state, burner_starts),
            sensors,
            setpoint,
            fault,
        )| {
            Status {
                tag,
                next,
                device_us,
                marks,
                modulation,
                return_temperature: sensors.0,
                room: sensors.1,
                outdoor: sensors.2,
                pressure_mbar,
                setpoint,
                state,
                fault,
                burner_starts,
            }
        },
    )
}

fn answers() -> impl Strategy<Value = Answer> {
    let refusals = [
        Refusal::Boot,
        Refusal::Order,
        Refusal::Lockout,
        Refusal::Panel,
        Refusal::NoSuchFault,
        Refusal::LocalOnly,
        Refusal::TooMany,
        Refusal::Lease,
    ];
    let outcomes = prop_oneof![
        (temperatures(), any::<u16>()).prop_map(|(flow, lease_s)| Outcome::Accepted { flow, lease_s }),
        prop::sample::select(refusals.to_vec()).prop_map(Outcome::Refused),
    ];
    (boots(), any::<u32>(), outcomes).prop_map(|(boot, n, outcome)| Answer { boot, n, outcome })
}

pub(super) fn to_gateway() -> BoxedStrategy<ToGateway> {
    prop_oneof![
        hellos().prop_map(ToGateway::Hello),
        samples().prop_map(ToGateway::Samples),
        gaps().prop_map(ToGateway::Gap),
        statuses().prop_map(ToGateway::Status),
        answers().prop_map(ToGateway::Answer),
        (any::<u32>(), any::<u64>()).prop_map(|(nonce, device_us)| ToGateway::Pong(Pong { nonce, device_us })),
    ]
    .boxed()
}

pub(super) fn to_device() -> BoxedStrategy<ToDevice> {
    prop_oneof![
        Just(ToDevice::Identify),
        (boots(), any::<u64>()).prop_map(|(boot, from)| ToDevice::Resume { boot, from }),
        any::<u32>().prop_map(|nonce| ToDevice::Ping { nonce }),
        (boots(), any::<u32>(), demands(), temperatures(), any::<u16>()).prop_map(
            |(boot, n, demand, flow, lease_s)| { ToDevice::Setpoint(Setpoint { boot, n, demand, flow, lease_s }) }
        ),
        (boots(), any::<u32>()).prop_map(|(boot, n)| ToDevice::Release { boot, n }),
        (boots(), any::<u32>(), any::<u32>()).prop_map(|(boot, n, fault)| ToDevice::Reset { boot, n, fault }),
    ]
    .boxed()
}

/// Bytes of a broken line: zeros and small COBS codes are far more frequent than by chance.
pub(super) fn noise(len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![2 => Just(0u8), 3 => 1..8u8, 5 => any::<u8>()], 0..len)
}

/// One error of the line.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    Flip(prop::sample::Index, u8),
    Lose(prop::sample::Index),
    Insert(prop::sample::Index, u8),
}

impl Damage {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Lose(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        }
    }
}

pub(super) fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        4 => (any::<prop::sample::Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Lose),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
    ];
    vec(damage, 1..6)
}
