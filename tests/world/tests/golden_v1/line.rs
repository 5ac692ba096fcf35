//! Messages of the serial line, in the order of their numbers.

use std::fmt::Debug;

use thermowell_wire::line::{
    ActiveSetpoint, Answer, BoilerState, Demand, FRAME_MAX, Fault, FaultKind, FrameReader, GapNotice, GapReason, Hello,
    Message, Outcome, Pong, Refusal, Samples, Setpoint, Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::{CentiCelsius, Reading};

use super::{BOOT, Fields, TAG, assert_fields, bytes, hex, reading};

/// The body of a frame of one COBS block: zeros restored, checksum removed.
fn body_of(frame: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut rest = &frame[..frame.len() - 1];
    while let Some((&code, behind)) = rest.split_first() {
        let (piece, next) = behind.split_at(usize::from(code) - 1);
        body.extend_from_slice(piece);
        if !next.is_empty() {
            body.push(0);
        }
        rest = next;
    }
    body.truncate(body.len() - 4);
    body
}

/// A message, the fields of its body, and its whole frame, in both directions.
fn assert_golden<M: Message + Debug + PartialEq>(message: &M, fields: Fields<'_>, frame: &str) {
    let mut buffer = [0; FRAME_MAX];
    let encoded = encode(message, &mut buffer).expect("every message fits").to_vec();
    assert_fields(&body_of(&encoded), fields);
    assert_eq!(hex(&encoded), frame);
    let mut outcomes = Vec::new();
    FrameReader::new().feed(&bytes(frame), |outcome: Result<M, _>| outcomes.push(outcome));
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].as_ref(), Ok(message));
}

/// A message's body, to check the numbers of enum values.
fn body<M: Message>(message: &M) -> Vec<u8> {
    let mut buffer = [0; FRAME_MAX];
    body_of(encode(message, &mut buffer).expect("every message fits"))
}

#[test]
fn hello() {
    let message = ToGateway::Hello(Hello {
        protocol: 1,
        boot: BOOT,
        serial_number: "TW-0001".try_into().expect("7 bytes"),
        firmware: "well 1.0.0".try_into().expect("10 bytes"),
        period_us: 10_000,
        ring: 12_000,
        oldest: 0,
        next: 0,
        device_us: 1_500,
        simulated: true,
        own_flow: CentiCelsius(5_500),
    });
    let fields = [
        ("message", "00"),
        ("protocol", "01"),
        ("boot", "ef fd b6 f5 3d"),
        ("serial_number: length", "07"),
        ("serial_number", "54 57 2d 30 30 30 31"),
        ("firmware: length", "0a"),
        ("firmware", "77 65 6c 6c 20 31 2e 30 2e 30"),
        ("period_us", "90 4e"),
        ("ring", "e0 5d"),
        ("oldest", "00"),
        ("next", "00"),
        ("device_us", "dc 0b"),
        ("simulated", "01"),
        ("own_flow", "f8 55"),
    ];
    let frame = "01 1e 01 ef fd b6 f5 3d 07 54 57 2d 30 30 30 31 0a 77 65 6c 6c 20 31 2e 30 2e 30 90 4e e0 5d 01 \
                 0a dc 0b 01 f8 55 98 28 ce 94 00";
    assert_golden(&message, &fields, frame);
}

#[test]
fn samples() {
    let readings = [reading(0, 0), reading(-1, 1), reading(12_500, 0x1e)];
    let readings = heapless_vec(&readings);
    let message = ToGateway::Samples(Samples { tag: TAG, seq: 0, readings });
    let fields = [
        ("message", "01"),
        ("tag", "ef"),
        ("seq", "00"),
        ("readings: length", "03"),
        ("reading 0: temperature", "00"),
        ("reading 0: marks", "00"),
        ("reading 1: temperature", "01"),
        ("reading 1: marks", "01"),
        ("reading 2: temperature", "a8 c3 01"),
        ("reading 2: marks", "1e"),
    ];
    assert_golden(&message, &fields, "03 01 ef 02 03 01 0b 01 01 a8 c3 01 1e c0 c6 3b c7 00");

    let live = ToGateway::Samples(Samples { tag: TAG, seq: 360_000, readings: heapless_vec(&[reading(6_137, 0x14)]) });
    let fields = [
        ("message", "01"),
        ("tag", "ef"),
        ("seq", "c0 fc 15"),
        ("readings: length", "01"),
        ("reading 0: temperature", "f2 5f"),
        ("reading 0: marks", "14"),
    ];
    assert_golden(&live, &fields, "0e 01 ef c0 fc 15 01 f2 5f 14 e4 3f f1 36 00");
}

/// Collects into the list type of the message, without naming its capacity.
fn heapless_vec<V: FromIterator<Reading>>(readings: &[Reading]) -> V {
    readings.iter().copied().collect()
}

#[test]
fn gap_notice() {
    let gap = |reason| ToGateway::Gap(GapNotice { tag: TAG, from: 1_000, to: 1_003, reason });
    let fields = [("message", "02"), ("tag", "ef"), ("from", "e8 07"), ("to", "eb 07"), ("reason", "01")];
    assert_golden(&gap(GapReason::Missed), &fields, "0c 02 ef e8 07 eb 07 01 7f 2c cc 73 00");
    let reasons = [GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock];
    for (reason, number) in reasons.into_iter().zip(0u8..) {
        assert_eq!(body(&gap(reason)).last(), Some(&number), "{reason:?}");
    }
}

fn idle() -> Status {
    Status {
        tag: TAG,
        next: 100,
        device_us: 1_000_000,
        marks: 0,
        modulation: 0,
        return_temperature: None,
        room: None,
        outdoor: None,
        pressure_mbar: 1_500,
        setpoint: None,
        state: BoilerState::Standby,
        fault: None,
        burner_starts: 0,
    }
}

#[test]
fn status_of_an_idle_boiler() {
    let fields = [
        ("message", "03"),
        ("tag", "ef"),
        ("next", "64"),
        ("device_us", "c0 84 3d"),
        ("marks", "00"),
        ("modulation", "00"),
        ("return_temperature: none", "00"),
        ("room: none", "00"),
        ("outdoor: none", "00"),
        ("pressure_mbar", "dc 0b"),
        ("setpoint: none", "00"),
        ("state", "00"),
        ("fault: none", "00"),
        ("burner_starts", "00"),
    ];
    let frame = "07 03 ef 64 c0 84 3d 01 01 01 01 03 dc 0b 01 01 01 05 24 fe 38 b6 00";
    assert_golden(&ToGateway::Status(idle()), &fields, frame);
}

#[test]
fn status_with_everything_in_it() {
    let setpoint = ActiveSetpoint { n: 4, demand: Demand::Heat, flow: CentiCelsius(5_500), lease_left_ms: 59_990 };
    let fault = Fault { boot: BOOT, counter: 12, kind: FaultKind::FlameLoss, lockout: true };
    let message = ToGateway::Status(Status {
        next: 360_000,
        device_us: 3_600_000_250,
        marks: 0x14,
        modulation: 42,
        return_temperature: Some(CentiCelsius(4_805)),
        room: Some(CentiCelsius(2_031)),
        outdoor: Some(CentiCelsius(-512)),
        setpoint: Some(setpoint),
        state: BoilerState::Lockout,
        fault: Some(fault),
        burner_starts: 3,
        ..idle()
    });
    let fields = [
        ("message", "03"),
        ("tag", "ef"),
        ("next", "c0 fc 15"),
        ("device_us", "fa c9 ce b4 0d"),
        ("marks", "14"),
        ("modulation", "2a"),
        ("return_temperature: some", "01"),
        ("return_temperature", "8a 4b"),
        ("room: some", "01"),
        ("room", "de 1f"),
        ("outdoor: some", "01"),
        ("outdoor", "ff 07"),
        ("pressure_mbar", "dc 0b"),
        ("setpoint: some", "01"),
        ("setpoint: n", "04"),
        ("setpoint: demand", "00"),
        ("setpoint: flow", "f8 55"),
        ("setpoint: lease_left_ms", "d6 d4 03"),
        ("state", "05"),
        ("fault: some", "01"),
        ("fault: boot", "ef fd b6 f5 3d"),
        ("fault: counter", "0c"),
        ("fault: kind", "03"),
        ("fault: lockout", "01"),
        ("burner_starts", "03"),
    ];
    let frame = "1a 03 ef c0 fc 15 fa c9 ce b4 0d 14 2a 01 8a 4b 01 de 1f 01 ff 07 dc 0b 01 04 15 f8 55 d6 d4 03 \
                 05 01 ef fd b6 f5 3d 0c 03 01 03 f9 09 74 d3 00";
    assert_golden(&message, &fields, frame);
}

#[test]
fn numbers_of_states_and_faults() {
    let states = [
        BoilerState::Standby,
        BoilerState::Waiting,
        BoilerState::Firing,
        BoilerState::Overrun,
        BoilerState::Blocked,
        BoilerState::Lockout,
    ];
    for (state, number) in states.into_iter().zip(0u8..) {
        let body = body(&ToGateway::Status(Status { state, ..idle() }));
        assert_eq!(body[body.len() - 3], number, "{state:?}");
    }
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
    for (kind, number) in kinds.into_iter().zip(0u8..) {
        let fault = Some(Fault { boot: BOOT, counter: 1, kind, lockout: false });
        let body = body(&ToGateway::Status(Status { fault, ..idle() }));
        assert_eq!(body[body.len() - 3], number, "{kind:?}");
    }
}

#[test]
fn answer() {
    let answer = |n, outcome| ToGateway::Answer(Answer { boot: BOOT, n, outcome });
    let fields = [
        ("message", "04"),
        ("boot", "ef fd b6 f5 3d"),
        ("n", "04"),
        ("outcome: accepted", "00"),
        ("flow", "f8 55"),
        ("lease_s", "3c"),
    ];
    let accepted = Outcome::Accepted { flow: CentiCelsius(5_500), lease_s: 60 };
    assert_golden(&answer(4, accepted), &fields, "08 04 ef fd b6 f5 3d 04 08 f8 55 3c 07 4a 35 92 00");
    let fields =
        [("message", "04"), ("boot", "ef fd b6 f5 3d"), ("n", "05"), ("outcome: refused", "01"), ("refusal", "05")];
    let refused = Outcome::Refused(Refusal::LocalOnly);
    assert_golden(&answer(5, refused), &fields, "0e 04 ef fd b6 f5 3d 05 01 05 f1 ac 54 05 00");
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
    for (refusal, number) in refusals.into_iter().zip(0u8..) {
        assert_eq!(body(&answer(1, Outcome::Refused(refusal))).last(), Some(&number), "{refusal:?}");
    }
}

#[test]
fn pong() {
    let fields = [("message", "05"), ("nonce", "ac 02"), ("device_us", "fa c9 ce b4 0d")];
    let message = ToGateway::Pong(Pong { nonce: 300, device_us: 3_600_000_250 });
    assert_golden(&message, &fields, "0d 05 ac 02 fa c9 ce b4 0d cc 42 cb 59 00");
}

#[test]
fn identify() {
    assert_golden(&ToDevice::Identify, &[("message", "00")], "01 05 51 53 7d 52 00");
}

#[test]
fn resume() {
    let fields = [("message", "01"), ("boot", "ef fd b6 f5 3d"), ("from", "c0 fc 15")];
    assert_golden(
        &ToDevice::Resume { boot: BOOT, from: 360_000 },
        &fields,
        "0e 01 ef fd b6 f5 3d c0 fc 15 76 aa 80 cc 00",
    );
}

#[test]
fn ping() {
    let fields = [("message", "02"), ("nonce", "ac 02")];
    assert_golden(&ToDevice::Ping { nonce: 300 }, &fields, "08 02 ac 02 1f 3a e6 99 00");
}

#[test]
fn setpoint() {
    let heat = Setpoint { boot: BOOT, n: 4, demand: Demand::Heat, flow: CentiCelsius(5_500), lease_s: 60 };
    let fields = [
        ("message", "03"),
        ("boot", "ef fd b6 f5 3d"),
        ("n", "04"),
        ("demand", "00"),
        ("flow", "f8 55"),
        ("lease_s", "3c"),
    ];
    assert_golden(&ToDevice::Setpoint(heat), &fields, "08 03 ef fd b6 f5 3d 04 08 f8 55 3c 53 16 54 78 00");
    let none = Setpoint { n: 5, demand: Demand::None, flow: CentiCelsius(0), ..heat };
    let fields = [
        ("message", "03"),
        ("boot", "ef fd b6 f5 3d"),
        ("n", "05"),
        ("demand", "01"),
        ("flow", "00"),
        ("lease_s", "3c"),
    ];
    assert_golden(&ToDevice::Setpoint(none), &fields, "09 03 ef fd b6 f5 3d 05 01 06 3c d8 1b 8e 08 00");
}

#[test]
fn release() {
    let fields = [("message", "04"), ("boot", "ef fd b6 f5 3d"), ("n", "06")];
    assert_golden(&ToDevice::Release { boot: BOOT, n: 6 }, &fields, "0c 04 ef fd b6 f5 3d 06 a6 f6 6f 57 00");
}

#[test]
fn reset() {
    let fields = [("message", "05"), ("boot", "ef fd b6 f5 3d"), ("n", "07"), ("fault", "0c")];
    assert_golden(
        &ToDevice::Reset { boot: BOOT, n: 7, fault: 12 },
        &fields,
        "0d 05 ef fd b6 f5 3d 07 0c 69 44 1d c1 00",
    );
}
