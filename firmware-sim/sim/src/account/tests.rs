//! An account reads back as it was written.

use std::fs;
use std::io::Write;

use thermowell_wire::Quality;

use super::*;

fn boot_event(boot: Boot) -> Event {
    let serial_number = String::from("SIM-b1");
    Event::Boot { t_ns: 5, boot, serial_number, utc_ns: 1_000, period_us: 10_000, drift_ppb: 0, ring: 12_000 }
}

fn reading(centi: i16, quality: Quality) -> Option<Reading> {
    Some(Reading::new(CentiCelsius(centi), quality, true, false, true))
}

#[test]
fn account_reads_back_while_growing_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let id = "b1".parse().unwrap();
    let boot = Boot::new(1, 77);
    let slots = [
        reading(6_137, Quality::Ok),
        None,
        reading(-20, Quality::Ok),
        reading(9, Quality::Open),
        reading(1, Quality::Ok),
    ];

    let mut writer = Writer::open(folder.path(), &id).unwrap();
    writer.append([Entry::Event(boot_event(boot))]).unwrap();
    writer.append(slots[..3].iter().map(|slot| Entry::Slot(*slot))).unwrap();
    assert!(Account::open(folder.path()).unwrap().boilers[0].boots.is_empty(), "empty before the first flush");
    writer.flush().unwrap();
    let account = Account::open(folder.path()).unwrap();
    assert_eq!((account.boilers[0].boots[0].slots, account.boilers[0].boots[0].ended_ns), (3, None));

    writer.append(slots[3..].iter().map(|slot| Entry::Slot(*slot))).unwrap();
    let missed = Event::Missed { t_ns: 9, boot, from: 1, to: 2 };
    let ring = |from, to| Event::Ring { t_ns: 9, boot, from, to };
    let end = Event::End { t_ns: 60, boot, slots: 5 };
    writer.append([missed, ring(0, 2), ring(1, 3), end].map(Entry::Event)).unwrap();
    writer.flush().unwrap();
    // A simulator killed in the middle of a line, and its successor.
    let mut events = fs::OpenOptions::new().append(true).open(folder.path().join("b1.jsonl")).unwrap();
    events.write_all(b"{\"event\":\"bo").unwrap();
    let before = Account::open(folder.path()).unwrap();
    let mut writer = Writer::open(folder.path(), &id).unwrap();
    assert_eq!(writer.boots(), 1);
    writer.append([Entry::Event(boot_event(Boot::new(2, 5))), Entry::Slot(slots[0])]).unwrap();
    writer.flush().unwrap();

    let account = Account::open(folder.path()).unwrap();
    let boiler = account.boiler(&id).unwrap();
    assert_eq!(boiler.boots.len(), 2);
    let record = boiler.boot(boot).unwrap();
    assert_eq!(record, &before.boilers[0].boots[0]);
    assert_eq!((record.slots, record.ended_ns), (5, Some(60)));
    assert_eq!((record.ring_gaps.len(), record.ring_gaps[0].clone()), (1, 0..3));
    assert_eq!((record.missed.len(), record.missed[0].clone()), (1, 1..2));
    let read: Vec<_> = record.readings(0..5).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, slots);
    let summary = record.summary(1..5).unwrap();
    let expected =
        Summary { sum_centi: -19, count: 2, minimum_centi: Some(-20), maximum_centi: Some(1), invalid: 1, missed: 1 };
    assert_eq!(summary, expected);
    assert!(matches!(record.readings(2..6), Err(AccountError::Short { held: 5, wanted: 6, .. })));
}

#[test]
fn slot_utc_follows_the_oscillator_drift() {
    let folder = tempfile::tempdir().unwrap();
    let id = "b1".parse().unwrap();
    let mut writer = Writer::open(folder.path(), &id).unwrap();
    let Event::Boot { t_ns, boot, serial_number, utc_ns, period_us, ring, .. } = boot_event(Boot::new(1, 1)) else {
        panic!("it is a boot")
    };
    let fast = Event::Boot { t_ns, boot, serial_number, utc_ns, period_us, drift_ppb: 50_000, ring };
    writer.append([Entry::Event(fast)]).unwrap();
    writer.flush().unwrap();
    let record = &Account::open(folder.path()).unwrap().boilers[0].boots[0];
    // 50 ppm fast: the slots of an hour are finished 180 ms early.
    let hour_ns = record.utc_ns(360_000) - record.utc_ns(0);
    assert_eq!(3_600_000_000_000 - hour_ns, 179_991_001);
}
