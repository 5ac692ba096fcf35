//! The serial line, seen from the gateway.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::line::{GapReason, Samples, ToDevice, ToGateway};
use thermowell_wire::{Boot, Reading};

use super::{BOOT, Bench, SECOND_US, Script, pongs, samples};
use crate::{Config, Event, LineConfig};

#[test]
fn only_the_greeting_is_sent_before_resume() {
    let mut bench = Bench::new(100);
    assert_eq!(bench.run(2 * SECOND_US), []);
    bench.send(&ToDevice::Ping { nonce: 1 });
    bench.send(&ToDevice::Release { boot: BOOT, n: 1 });
    assert_eq!(bench.run(SECOND_US), [], "only Identify and Resume are handled");
    assert_eq!(bench.device.counters().premature, 2);

    let hello = bench.hello();
    assert_eq!((hello.boot, hello.ring, hello.oldest, hello.next), (BOOT, 100, 201, 301));
    for (boot, from) in [(Boot(5), 0), (BOOT, 1_000_000)] {
        bench.send(&ToDevice::Resume { boot, from });
        assert!(matches!(bench.run(100_000).as_slice(), [ToGateway::Hello(_)]), "another boot, or a future slot");
    }
}

#[test]
fn live_samples_are_sent_at_once_one_per_frame() {
    let mut bench = Bench::resumed(12_000);
    let received = bench.run(3 * SECOND_US + 9_000);
    let frames = samples(&received);
    assert_eq!(frames.iter().map(|it| it.seq).collect::<Vec<_>>(), (0..=300).collect::<Vec<_>>());
    assert!(frames.iter().all(|it| it.readings.len() == 1 && it.tag == BOOT.tag()));
    let statuses = received.iter().filter(|it| matches!(it, ToGateway::Status(_))).count();
    assert!((3..=6).contains(&statuses), "once a second and on change: {statuses}");
}

#[test]
fn slots_sampled_together_share_a_frame() {
    let mut bench = Bench::resumed(12_000);
    bench.run(1_500_000);
    bench.advance(200_000);
    let received = bench.receive();
    assert_eq!(samples(&received).iter().map(|it| it.readings.len()).collect::<Vec<_>>(), [20]);
}

#[test]
fn catching_up_takes_80_percent_and_pongs_go_first() {
    let mut bench = Bench::new(12_000);
    bench.run(120 * SECOND_US);
    bench.send(&ToDevice::Resume { boot: BOOT, from: 1 });
    let (mut bytes, mut slots, mut worst_us) = (0, 0, 0);
    let mut reader = thermowell_wire::line::FrameReader::new();
    let mut asked_us = None;
    for tick in 0..2_000_u32 {
        bench.advance(1_000);
        if tick % 100 == 0 {
            bench.send(&ToDevice::Ping { nonce: tick });
            asked_us = Some(bench.now_us);
        }
        let mut out = [0; 4_096];
        let written = bench.device.transmit(bench.now_us, &mut out);
        bytes += written;
        reader.feed::<ToGateway>(&out[..written], |message| match message.unwrap() {
            ToGateway::Samples(it) => slots += it.readings.len(),
            ToGateway::Pong(pong) => {
                assert_eq!(pong.device_us, bench.now_us, "the clock at the moment of sending");
                worst_us = worst_us.max(bench.now_us - asked_us.take().unwrap());
            }
            ToGateway::Hello(_) | ToGateway::Gap(_) | ToGateway::Status(_) | ToGateway::Answer(_) => {}
        });
    }
    let line = 2 * 11_520;
    assert!(bytes * 10 > line * 7 && bytes * 20 < line * 17, "{bytes} of {line}");
    assert!(slots > 4_000, "{slots} slots in 2 s, twenty times the live rate");
    assert!(worst_us < 20_000, "a pong waits for one frame at most: {worst_us}");
}

#[test]
fn transmit_respects_the_line_rate() {
    let line = LineConfig { bytes_per_second: 1_000, burst_us: 20_000 };
    let mut bench = Bench::with(12_000, Config { line, ..Config::default() });
    bench.send(&ToDevice::Resume { boot: BOOT, from: 0 });
    let (mut bytes, mut out) = (0, [0; 4_096]);
    for nonce in 0..5_000 {
        bench.advance(1_000);
        bench.send(&ToDevice::Ping { nonce });
        bytes += bench.device.transmit(bench.now_us, &mut out);
    }
    assert!((4_800..=5_100).contains(&bytes), "{bytes} bytes in 5 s");
}

#[test]
fn overwritten_slots_are_reported_on_each_resume() {
    let mut bench = Bench::new(100);
    bench.run(5 * SECOND_US);
    for from in [0, 0, 17] {
        bench.send(&ToDevice::Resume { boot: BOOT, from });
        let received = bench.run(100_000);
        let gap = received.iter().find_map(|it| if let ToGateway::Gap(gap) = it { Some(gap) } else { None }).unwrap();
        let oldest = bench.device.oldest();
        assert_eq!((gap.from, gap.reason), (from, GapReason::Ring));
        assert!((oldest - 10..=oldest).contains(&gap.to), "{gap:?}");
        let events: Vec<_> = core::iter::from_fn(|| bench.device.take_event()).collect();
        assert!(events.iter().any(|it| matches!(it, Event::Overwritten { from: first, .. } if first == &from)));
    }
}

#[test]
fn stall_catches_up_three_slots_and_reports_a_longer_gap() {
    let mut bench = Bench::with(100, Config::default());
    bench.advance(40_000);
    assert_eq!(bench.device.next(), 5, "slots 1 to 4, three of them late");
    bench.advance(50_000);
    assert_eq!(bench.device.next(), 10);
    bench.send(&ToDevice::Resume { boot: BOOT, from: 4 });
    for from in [4, 6] {
        bench.send(&ToDevice::Resume { boot: BOOT, from });
        let received = bench.run(9_000);
        let gap = received.iter().find_map(|it| if let ToGateway::Gap(gap) = it { Some(*gap) } else { None }).unwrap();
        assert_eq!((gap.from, gap.to, gap.reason), (from.max(5), 9, GapReason::Missed));
        bench.now_us -= 9_000;
    }
    // Longer than the ring: only the end fits.
    bench.advance(60 * SECOND_US);
    assert_eq!((bench.device.next(), bench.device.oldest()), (6_010, 5_910));
}

#[test]
fn long_gap_is_reported_every_second_and_at_its_end() {
    let mut bench = Bench::resumed(12_000);
    bench.run(SECOND_US);
    bench.board.miss_all = true;
    let mut received = bench.run(2_505_000);
    bench.board.miss_all = false;
    received.extend(bench.run(20_000));
    let gaps: Vec<_> = received
        .iter()
        .filter_map(|it| if let ToGateway::Gap(gap) = it { Some((gap.from, gap.to)) } else { None })
        .collect();
    assert_eq!(gaps, [(101, 201), (201, 301), (301, 351)]);
}

#[derive(Clone, Debug)]
enum Step {
    Run { ms: u64 },
    Stall { ms: u64 },
    Miss { slots: u64 },
    Resume { back: u64 },
    Identify,
    Noise(Vec<u8>),
    Ping(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..400_u64).prop_map(|ms| Step::Run { ms }),
        2 => (1..4_000_u64).prop_map(|ms| Step::Stall { ms }),
        2 => (1..300_u64).prop_map(|slots| Step::Miss { slots }),
        2 => (0..500_u64).prop_map(|back| Step::Resume { back }),
        1 => Just(Step::Identify),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Noise),
        1 => any::<u32>().prop_map(Step::Ping),
    ]
}

/// Checks that after each `Resume` every slot is reported once, in order, with its reading.
struct Books {
    expected: u64,
}

impl Books {
    fn receive(&mut self, received: Vec<ToGateway>, board: &Script) {
        for message in received {
            match message {
                ToGateway::Samples(Samples { seq, readings, .. }) => {
                    assert_eq!(seq, self.expected);
                    for (seq, Reading { temperature, .. }) in (seq..).zip(&readings) {
                        assert!(!board.missed.contains(&seq), "{seq} was never sampled");
                        assert_eq!(*temperature, Script::reading(seq));
                    }
                    self.expected += readings.len() as u64;
                }
                ToGateway::Gap(gap) => {
                    assert_eq!(gap.from, self.expected);
                    let sampled = (gap.from..gap.to).any(|seq| !board.missed.contains(&seq));
                    assert!(gap.reason == GapReason::Ring || !sampled, "{gap:?} was sampled");
                    self.expected = gap.to;
                }
                ToGateway::Hello(_) | ToGateway::Status(_) | ToGateway::Answer(_) | ToGateway::Pong(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_slot_is_reported_once_after_each_resume(steps in prop::collection::vec(step(), 1..40)) {
        let mut bench = Bench::resumed(211);
        let mut books = Books { expected: 0 };
        for step in steps {
            match step {
                Step::Run { ms } => books.receive(bench.run(ms * 1_000), &bench.board),
                Step::Stall { ms } => bench.advance(ms * 1_000),
                Step::Miss { slots } => {
                    let next = bench.device.next();
                    bench.board.missed.extend(next..next + slots);
                }
                Step::Resume { back } => {
                    let from = bench.device.next().saturating_sub(back);
                    bench.send(&ToDevice::Resume { boot: BOOT, from });
                    books.expected = from;
                }
                Step::Identify => bench.send(&ToDevice::Identify),
                Step::Noise(bytes) => {
                    bench.device.receive(&bytes, bench.now_us);
                    // Terminate the noise, so that it does not swallow the next request.
                    bench.device.receive(&[0], bench.now_us);
                }
                Step::Ping(nonce) => bench.send(&ToDevice::Ping { nonce }),
            }
        }
        // The line is faster than the sampling: in the end only the missed slots that are held back remain. The end
        // lies between two slots, at a time when no status can still be on the line.
        let end_us = 7 * SECOND_US - bench.now_us % SECOND_US + 549_000;
        books.receive(bench.run(end_us), &bench.board);
        let next = bench.device.next();
        prop_assert!(books.expected <= next);
        let left = (books.expected..next).filter(|seq| !bench.board.missed.contains(seq)).count();
        prop_assert_eq!(left, 0, "{} to {}", books.expected, next);
        prop_assert!(next - books.expected < 100);
    }

    #[test]
    fn random_bytes_do_not_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20)) {
        let mut bench = Bench::resumed(50);
        for chunk in chunks {
            bench.device.receive(&chunk, bench.now_us);
            bench.run(5_000);
        }
    }
}

#[test]
fn ping_flood_is_bounded_and_counted() {
    let mut bench = Bench::resumed(50);
    bench.run(SECOND_US);
    for nonce in 0..10 {
        bench.send(&ToDevice::Ping { nonce });
    }
    let received = bench.run(50_000);
    assert_eq!(pongs(&received).iter().map(|it| it.nonce).collect::<Vec<_>>(), vec![6, 7, 8, 9]);
    assert_eq!(bench.device.counters().dropped_replies, 6);
}

#[test]
fn status_returns_to_its_second_after_a_stall() {
    let mut bench = Bench::resumed(12_000);
    bench.run(500_000);
    bench.advance(SECOND_US * 21 / 10);
    let statuses = |received: Vec<ToGateway>| received.iter().filter(|it| matches!(it, ToGateway::Status(_))).count();
    assert_eq!(statuses(bench.run(100_000)), 1, "at 2.6 s, late");
    assert_eq!(statuses(bench.run(250_000)), 0, "until 2.95 s");
    assert_eq!(statuses(bench.run(100_000)), 1, "at 3 s");
}
