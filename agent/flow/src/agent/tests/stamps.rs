//! Stamps: when a slot was sampled.

use core::mem::replace;

use super::*;
use crate::aggregator::{self, Aggregator};
use crate::published::Snapshot;
use crate::time::{HOUR_NS, SECOND_NS};

const MINUTE: u64 = 60_000;

#[test]
fn nothing_is_stamped_before_three_pongs() {
    let mut bench = Bench::new(settings());
    bench.connect(None);
    bench.plug_in(hello(0));
    bench.samples(0, 100);
    for _ in 0..3 {
        assert!(bench.published().is_empty());
        bench.pong();
    }
    assert_eq!(bench.published(), [(0, 0, 100)]);
}

/// Stamps of the published batches.
fn stamps(bench: &Bench) -> Vec<i64> {
    bench.messages().map(|(_, payload)| header(payload).first_utc_ns).collect()
}

#[test]
fn small_overlap_with_the_tail_moves_the_stamps_up() {
    let mut plain = Bench::running(settings(), 100, Some((1, &stored(0))));
    plain.samples(100, 200);
    let first = stamps(&plain)[0];
    for (overlap_ms, moved_ms) in [(0, 0), (4, 0), (15, 15), (19, 19), (25, 0)] {
        let first_utc_ns = first - SECOND_NS + overlap_ms * 1_000_000;
        let tail = stored_with(BatchHeader { first_utc_ns, ..header(&stored(0)) });
        let mut bench = Bench::running(settings(), 100, Some((1, &tail)));
        bench.samples(100, 100);
        bench.samples(200, 100);
        bench.acknowledge(2);
        bench.samples(300, 100);
        bench.acknowledge(3);
        let moved: Vec<i64> = stamps(&bench).iter().map(|stamp| (stamp - first) / 1_000_000).collect();
        assert_eq!(moved, [moved_ms, 1_000 + moved_ms, 2_000 + moved_ms], "overlap of {overlap_ms} ms");
    }
}

#[test]
fn unsynced_clock_delays_stamps_by_at_most_a_minute() {
    let mut bench = Bench::new(settings());
    bench.now.clock = ClockQuality::Unsynced;
    bench.connect(None);
    bench.plug_in(hello(0));
    bench.pongs();
    bench.samples(0, 100);
    bench.advance(50_000);
    assert!(bench.published().is_empty());
    assert_eq!(bench.agent.backlog(), 100, "waiting delays stamping, not reading");
    bench.advance(10_000);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    assert_eq!(header(&bench.payload()).clock, ClockQuality::Unsynced);
}

impl Bench {
    /// A second of time, and its slots from `from` on, published and stored at once. Returns the header.
    fn live(&mut self, from: u64) -> BatchHeader {
        self.advance(1_000);
        self.samples(from, 100);
        self.acknowledge(from + 2);
        let header = header(&self.payload());
        assert_eq!(header.seq, from);
        header
    }

    /// A step of the wall clock.
    fn step(&mut self, by_ns: i64) {
        self.now.utc.0 += by_ns;
    }

    fn jumps(&self) -> Vec<i64> {
        let jump = |body| if let EventBody::ClockJumped { by_ns } = body { Some(by_ns) } else { None };
        self.events_of(EventKind::Clock).into_iter().filter_map(jump).collect()
    }

    /// An aggregator that has read all that was published, and its snapshots.
    fn aggregated(&self) -> (Aggregator, Vec<Snapshot>) {
        let settings = aggregator::Settings { boiler: "b1".parse().unwrap(), instance: "here".into() };
        let (mut aggregator, mut snapshots, mut effects) = (Aggregator::new(settings, None), Vec::new(), Vec::new());
        for (sequence, (_, payload)) in (1..).zip(self.messages()) {
            aggregator.observe(sequence, payload, &mut effects);
            while let Some((expected, snapshot)) = aggregator.next_snapshot() {
                snapshots.push(snapshot.clone());
                aggregator.snapshot_stored(expected + 1);
            }
        }
        (aggregator, snapshots)
    }
}

/// Running for a minute without samples, effects cleared.
fn settled() -> Bench {
    let mut bench = Bench::running(settings(), 0, None);
    bench.advance(MINUTE);
    bench.hello(hello(0));
    bench.pongs();
    bench.effects.clear();
    bench
}

#[test]
fn samples_wait_for_a_clock_that_synchronises_in_a_minute() {
    let mut bench = Bench::new(settings());
    bench.now.clock = ClockQuality::Unsynced;
    // 90 s slow, and correct after 50 s.
    let truth = bench.now.utc.0;
    bench.step(-90_000_000_000);
    bench.connect(None);
    bench.plug_in(hello(0));
    bench.pongs();
    bench.samples(0, 100);
    bench.advance(50_000);
    assert!(bench.published().is_empty());
    bench.step(90_000_000_000);
    bench.now.clock = ClockQuality::Synced;
    bench.feed(Input::Wake);
    let header = header(&bench.payload());
    // The device's clock shows 1 s when this begins.
    let off = header.first_utc_ns - (truth - 1_000_000_000);
    assert!((0..20_000_000).contains(&off) && header.clock == ClockQuality::Synced, "{off}");
    assert_eq!(bench.jumps(), [90_000_000_000]);
}

/// A step from an untrusted time is expected, so the time after it is trusted.
#[test]
fn clock_that_starts_in_1970_is_trusted_once_it_is_set() {
    // Containers may report a clock as synchronised at any time.
    for clock in [ClockQuality::Synced, ClockQuality::Unsynced] {
        let mut bench = Bench::new(settings());
        let truth = replace(&mut bench.now.utc, Utc(7_000_000_000));
        bench.now.clock = clock;
        bench.connect(None);
        bench.plug_in(hello(0));
        bench.pongs();
        bench.samples(0, 100);
        bench.advance(MINUTE - 60);
        let unsynced = header(&bench.payload());
        assert_eq!((unsynced.clock, unsynced.first_utc_ns / 1_000_000_000), (ClockQuality::Unsynced, 6));
        bench.acknowledge(1);
        bench.now.clock = ClockQuality::Synced;
        bench.step(truth.0 - 7_000_000_000);
        let synced = bench.live(100);
        assert_eq!(synced.clock, ClockQuality::Synced);
        assert!((synced.first_utc_ns - truth.0).abs() < 20_000_000);
        let (aggregator, _) = bench.aggregated();
        let state = aggregator.state().unwrap();
        assert_eq!((state.average_points, state.clock), (100, ClockQuality::Synced), "the window starts again");
        assert_eq!((aggregator.counters().unsynced, aggregator.counters().stepped_back), (100, 0));
    }
}

#[test]
fn step_of_more_than_an_hour_is_unsynced_for_ten_minutes() {
    for (by_ns, distrusted) in [(HOUR_NS, false), (HOUR_NS + 1, true), (2 * HOUR_NS, true), (-2 * HOUR_NS, false)] {
        let mut bench = settled();
        bench.live(0);
        bench.step(by_ns);
        let clock = if distrusted { ClockQuality::Unsynced } else { ClockQuality::Synced };
        assert_eq!(bench.live(100).clock, clock, "{by_ns}");
        bench.advance(9 * MINUTE);
        assert_eq!(bench.live(200).clock, clock, "{by_ns}");
        bench.advance(MINUTE);
        assert_eq!(bench.live(300).clock, ClockQuality::Synced, "{by_ns}");
        assert_eq!(bench.jumps(), [by_ns]);
    }
}

#[test]
fn hole_in_utc_has_no_slots_and_is_an_event() {
    let mut bench = settled();
    bench.live(0);
    bench.step(HOUR_NS / 2);
    bench.live(100);
    bench.step(HOUR_NS - 1);
    bench.live(200);
    let (aggregator, snapshots) = bench.aggregated();
    assert_eq!(bench.jumps(), [HOUR_NS / 2, HOUR_NS - 1]);
    let slots: Vec<_> = snapshots.iter().map(|hour| (hour.slots, hour.temperature_points)).collect();
    // The first second lies before 02:00, the others at 02:30 and 03:30.
    assert_eq!(slots, [(100, 100), (100, 100)]);
    assert_eq!(aggregator.state().unwrap().provisional.points, 100);
}

#[test]
fn stamps_below_the_high_water_mark_are_missing_as_clock() {
    let mut bench = settled();
    for second in 0..3 {
        bench.live(second * 100);
    }
    bench.step(-2_000_000_000);
    for second in 3..8 {
        let header = bench.live(second * 100);
        assert_eq!((header.count, header.clock), (100, ClockQuality::Synced), "all are kept in SAMPLES");
    }
    let (aggregator, _) = bench.aggregated();
    assert_eq!(bench.jumps(), [-2_000_000_000]);
    // Two seconds lie at or below the mark.
    assert_eq!((aggregator.counters().samples, aggregator.counters().stepped_back), (800, 200));
    assert_eq!(aggregator.state().unwrap().average_points, 600);
}

/// 50 ms of overlap: five slots lie at or below the high-water mark, the last slot before the jump.
#[test]
fn overlap_of_a_jump_is_missing_as_clock() {
    let mut bench = settled();
    let (mut second, mut seq) = (1, 0);
    while bench.jumps().is_empty() {
        assert!(second < 30, "no jump");
        bench.live(seq);
        second += 1;
        seq += 100;
        // The device's counter has run ahead by 50 ms since the first second.
        let device_us = bench.device_us() + 50_000;
        bench.status(Status { device_us, ..status(device_us / 10_000 + 1) });
    }
    for _ in 0..3 {
        bench.live(seq);
        seq += 100;
    }
    let by_ms: Vec<i64> = bench.jumps().iter().map(|by| by / 1_000_000).collect();
    assert!(matches!(by_ms[..], [-49..=-40]), "{by_ms:?}");
    let (aggregator, _) = bench.aggregated();
    let (counted, named) = (aggregator.state().unwrap().average_points, aggregator.counters().stepped_back);
    assert!((4..=5).contains(&named) && counted + named == seq, "{counted} and {named} of {seq}");
}

/// CLOCK_BOOTTIME and UTC advance during a suspend, so nothing steps. The bytes in the port are an hour old.
#[test]
fn stamps_after_a_suspend_wait_for_three_pongs() {
    let mut bench = settled();
    let before = bench.live(0);
    bench.now.monotonic.0 += 3_600_000 * MS;
    bench.now.utc.0 += HOUR_NS;
    let old = bench.device_us() - 3_601_000_000;
    bench.status(Status { device_us: old, ..status(old / 10_000) });
    bench.samples(100, 100);
    // 60 ppm: the device's clock advances 216 ms more in an hour.
    let device_us = |bench: &Bench| bench.device_us() + 216_000;
    bench.hello(Hello { device_us: device_us(&bench), ..hello(device_us(&bench) / 10_000 + 1) });
    for _ in 0..3 {
        assert_eq!(bench.published().len(), 1, "nothing is stamped before three pongs");
        bench.advance(1_000);
        bench.pong_with(device_us(&bench));
    }
    let after = header(&bench.payload());
    assert_eq!((after.seq, after.clock), (100, ClockQuality::Synced));
    let off = after.first_utc_ns - before.first_utc_ns - 1_000_000_000 + 216_000_000;
    assert!((-20_000_000..20_000_000).contains(&off), "{off}");
    assert!(bench.jumps().is_empty());
}

#[test]
fn late_reads_move_no_stamp() {
    let mut bench = settled();
    let first = bench.live(0).first_utc_ns;
    for second in 1..60 {
        bench.advance(if second % 4 == 0 { 300 } else { 1 });
        let device_us = bench.device_us();
        let late_us = if second % 4 == 0 { 300_000 } else { 0 };
        bench.status(Status { device_us: device_us - late_us, ..status(device_us / 10_000 + 1) });
        let stamp = bench.live(second * 100).first_utc_ns;
        let off = stamp - first - i64::try_from(second).unwrap() * 1_000_000_000;
        // No ping is answered here: the bound from below leaks by 100 ppm, and half of that is followed.
        let leaked = i64::try_from(second).unwrap() * -70_000;
        assert!((leaked..=500_000).contains(&off), "{off} ns in second {second}");
    }
    assert!(bench.jumps().is_empty());
}

/// After a minute, a device that is 60 ppm fast is 3.6 ms ahead of the stored stamps. The slots between lie on a line
/// to the stored end, and none is moved up.
#[test]
fn stamps_after_a_restart_continue_at_the_stored_end() {
    let mut first = Bench::running(settings(), 100, None);
    first.samples(0, 100);
    let mut bench = Bench::new(settings());
    let (tail, gained_us) = (first.payload(), 3_600);
    bench.now.monotonic.0 = first.now.monotonic.0 + MINUTE * MS;
    bench.now.utc.0 = first.now.utc.0 + 60_000_000_000;
    bench.connect(Some((1, &tail)));
    bench.feed(Input::PortOpened);
    let device_us = |bench: &Bench| bench.device_us() + gained_us;
    let shown = device_us(&bench);
    bench.hello(Hello { device_us: shown, ..hello(shown / 10_000 + 1) });
    bench.samples(100, 6_000);
    for _ in 0..3 {
        bench.advance(20);
        bench.pong_with(device_us(&bench));
    }
    bench.acknowledge_all(2..=61);
    let mut end = header(&tail).first_utc_ns + 1_000_000_000;
    let stamps = stamps(&bench);
    assert_eq!(stamps.len(), 60);
    for stamp in stamps {
        let off = stamp - end;
        assert!((-70_000..=0).contains(&off), "{off} ns from one batch to the next");
        end = stamp + 1_000_000_000;
    }
}

/// The stamps of a device that is 50 ppm fast approach the stored end to which the first batch was moved up.
#[test]
fn stamps_moved_up_do_not_step_back_later() {
    let mut plain = Bench::running(settings(), 100, Some((1, &stored(0))));
    plain.samples(100, 100);
    let first_utc_ns = stamps(&plain)[0] - SECOND_NS + 19_000_000;
    let tail = stored_with(BatchHeader { first_utc_ns, ..header(&stored(0)) });
    let mut bench = Bench::running(settings(), 100, Some((1, &tail)));
    for second in 0..120 {
        bench.samples(100 + second * 100, 100);
        bench.acknowledge(2 + second);
        bench.advance(1_000);
        let device_us = bench.device_us() + (second + 1) * 50;
        bench.status(Status { device_us, ..status(200 + second * 100) });
    }
    let stamps = stamps(&bench);
    assert_eq!(stamps.len(), 120);
    for pair in stamps.windows(2) {
        let step = pair[1] - pair[0];
        assert!((999_000_000..=1_001_000_000).contains(&step), "{step} ns from one batch to the next");
    }
}

#[test]
fn unrequested_pongs_are_ignored() {
    let mut bench = Bench::new(settings());
    bench.connect(None);
    bench.plug_in(hello(0));
    bench.samples(0, 100);
    for nonce in 70..80 {
        bench.receive(&ToGateway::Pong(Pong { nonce, device_us: 5 }));
    }
    assert!(bench.published().is_empty());
}

/// The longest possible gap with the worst possible clocks.
#[test]
fn gap_of_decades_is_stamped_with_any_clock() {
    let next = 72 * 365 * 86_400 * 100;
    for (utc_ns, clock) in [
        (i64::MIN, ClockQuality::Unsynced),
        (0, ClockQuality::Unsynced),
        (1_767_751_200_000_000_000, ClockQuality::Synced),
        (i64::MAX, ClockQuality::Unsynced),
    ] {
        let mut bench = Bench::new(settings());
        bench.now.utc = Utc(utc_ns);
        bench.connect(Some((1, &stored(0))));
        bench.plug_in(hello(next));
        bench.now.monotonic.0 += 60_000 * MS;
        let (from, to) = (100, next - 12_000);
        bench.gap(from, to);
        assert_eq!(bench.published(), [(1, from, to)]);
        let payload = bench.payload();
        let Packed::Gap(gap) = decode(&payload).unwrap() else { panic!("no gap") };
        assert_eq!(gap.clock, clock, "{utc_ns}");
    }
}

/// Jumps and reported rates of a clock that is `ppm` fast, in two minutes.
fn clock_of(ppm: u64) -> (Vec<i64>, Vec<(i64, bool)>) {
    let mut bench = Bench::running(settings(), 100, None);
    let began = bench.now.monotonic.0;
    bench.effects.clear();
    for half in 1..240_u64 {
        bench.advance(500);
        let passed_us = (bench.now.monotonic.0 - began) / 1_000;
        let device_us = 1_060_000 + passed_us + passed_us * ppm / 1_000_000;
        bench.status(Status { device_us, ..status(device_us / 10_000) });
        bench.pong_with(device_us);
        bench.effects.retain(|effect| matches!(effect, Effect::Event(..)));
        assert!(half < 10 || bench.agent.counters().implausible == 0);
    }
    let rate = |body| if let EventBody::ClockRate { ppm, followed } = body { Some((ppm, followed)) } else { None };
    (bench.jumps(), bench.events_of(EventKind::Clock).into_iter().filter_map(rate).collect())
}

#[test]
fn clock_rate_beyond_crystal_tolerance_is_reported_once() {
    let (jumps, rates) = clock_of(100);
    assert_eq!((jumps.len(), rates.len()), (0, 0), "a crystal");
    let (jumps, rates) = clock_of(20_000);
    let [(ppm, true)] = rates[..] else { panic!("{rates:?}") };
    assert!((19_500..20_500).contains(&ppm) && jumps.len() == 1, "{ppm}, {jumps:?}");
    let (jumps, rates) = clock_of(80_000);
    let [(ppm, false)] = rates[..] else { panic!("{rates:?}") };
    assert!((79_000..81_000).contains(&ppm) && jumps.is_empty(), "{ppm}, {jumps:?}");
}
