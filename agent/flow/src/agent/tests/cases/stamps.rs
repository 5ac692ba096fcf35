//! When a slot was taken.

use core::mem::replace;

use super::*;
use crate::aggregator::{self, Aggregator};
use crate::published::Snapshot;

#[test]
fn nothing_is_stamped_before_three_pongs() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(0)));
    bench.samples(0, 100);
    for _ in 0..3 {
        assert!(bench.published().is_empty());
        bench.pong();
    }
    assert_eq!(bench.published(), [(0, 0, 100)]);
}

fn stamps(bench: &Bench) -> Vec<i64> {
    let mut all = Vec::new();
    for effect in &bench.effects {
        if let Effect::Publish { payload, .. } = effect
            && let Packed::Batch(batch) = decode(payload).unwrap()
        {
            all.push(batch.header.first_utc_ns);
        }
    }
    all
}

#[test]
fn a_batch_that_overlaps_a_little_is_moved_up_and_the_next_ones_follow() {
    let mut plain = Bench::running(settings(), 100, Some((1, &stored(0, BOOT, "TW-1"))));
    plain.samples(100, 200);
    let first = stamps(&plain)[0];
    for (overlap_ms, moved_ms) in [(0, 0), (4, 0), (15, 15), (19, 19), (25, 0)] {
        let mut tail = decode_header(&stored(0, BOOT, "TW-1"));
        tail.first_utc_ns = first - 1_000_000_000 + overlap_ms * 1_000_000;
        let mut out = vec![0; batch::encoded_max(100)];
        let tail = encode_batch(&tail, &[Reading::default(); 100], &mut out).unwrap();
        let mut bench = Bench::running(settings(), 100, Some((1, tail)));
        bench.samples(100, 100);
        bench.samples(200, 100);
        bench.tell(Input::Acknowledged { sequence: 2 });
        bench.samples(300, 100);
        bench.tell(Input::Acknowledged { sequence: 3 });
        let moved: Vec<i64> = stamps(&bench).iter().map(|stamp| (stamp - first) / 1_000_000).collect();
        assert_eq!(moved, [moved_ms, 1_000 + moved_ms, 2_000 + moved_ms], "overlap of {overlap_ms} ms");
    }
}

fn decode_header(message: &[u8]) -> BatchHeader {
    let Packed::Batch(batch) = decode(message).unwrap() else { panic!("no batch") };
    batch.header
}

#[test]
fn a_clock_that_is_not_trusted_delays_stamps_for_a_minute_at_most() {
    let mut bench = Bench::new(settings());
    bench.now.clock = ClockQuality::Unsynced;
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(0)));
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(0, 100);
    bench.pass(50_000);
    assert!(bench.published().is_empty());
    assert_eq!(bench.agent.backlog(), 100, "waiting delays stamping, not reading");
    bench.pass(10_000);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    assert_eq!(decode_header(&bench.payload()).clock, ClockQuality::Unsynced);
}

const MINUTE: u64 = 60_000;
const HOUR_NS: i64 = 3_600_000_000_000;

impl Bench {
    /// A second of slots from `from` on, after a second of time, published and stored at once.
    fn live(&mut self, from: u64) -> BatchHeader {
        self.pass(1_000);
        self.samples(from, 100);
        self.tell(Input::Acknowledged { sequence: from + 2 });
        let header = decode_header(&self.payload());
        assert_eq!(header.seq, from);
        header
    }

    /// The machine's clock is set.
    fn step(&mut self, by_ns: i64) {
        self.now.utc.0 += by_ns;
    }

    fn jumps(&self) -> Vec<i64> {
        let jump = |(_, body)| if let EventBody::ClockJumped { by_ns } = body { Some(by_ns) } else { None };
        self.events().into_iter().filter_map(jump).collect()
    }

    /// What the aggregator makes of all that was published.
    fn account(&self) -> (Aggregator, Vec<Snapshot>) {
        let settings = aggregator::Settings { boiler: "b1".parse().unwrap(), instance: "here".into() };
        let (mut aggregator, mut snapshots, mut effects) = (Aggregator::new(settings, None), Vec::new(), Vec::new());
        let published = self
            .effects
            .iter()
            .filter_map(|e| if let Effect::Publish { payload, .. } = e { Some(payload) } else { None });
        for (sequence, payload) in (1..).zip(published) {
            aggregator.observe(sequence, payload, &mut effects);
            while let Some((expected, snapshot)) = aggregator.next_snapshot() {
                snapshots.push(snapshot.clone());
                aggregator.snapshot_stored(expected + 1);
            }
        }
        (aggregator, snapshots)
    }
}

/// Running for a minute, in which nothing came: only what happens now is judged.
fn settled() -> Bench {
    let mut bench = Bench::running(settings(), 0, None);
    bench.pass(MINUTE);
    bench.say(&ToGateway::Hello(hello(0)));
    for _ in 0..3 {
        bench.pong();
    }
    bench.effects.clear();
    bench
}

#[test]
fn what_waited_for_the_clock_is_stamped_by_it_when_it_is_synchronised_within_the_minute() {
    let mut bench = Bench::new(settings());
    bench.now.clock = ClockQuality::Unsynced;
    // 90 s slow, and right from the 50th second on.
    let truth = bench.now.utc.0;
    bench.step(-90_000_000_000);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(0)));
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(0, 100);
    bench.pass(50_000);
    assert!(bench.published().is_empty());
    bench.step(90_000_000_000);
    bench.now.clock = ClockQuality::Synced;
    bench.tell(Input::Wake);
    let header = decode_header(&bench.payload());
    // The device's clock shows 1 s when this begins.
    let off = header.first_utc_ns - (truth - 1_000_000_000);
    assert!((0..20_000_000).contains(&off) && header.clock == ClockQuality::Synced, "{off}");
    assert_eq!(bench.jumps(), [90_000_000_000]);
}

/// The step that sets the clock leads out of a time that nobody trusted: there is nothing to distrust in it.
#[test]
fn a_gateway_that_wakes_up_in_1970_is_trusted_as_soon_as_its_clock_is_set() {
    // With somebody who vouches for anything, as in containers, and without.
    for clock in [ClockQuality::Synced, ClockQuality::Unsynced] {
        let mut bench = Bench::new(settings());
        let truth = replace(&mut bench.now.utc, Utc(7_000_000_000));
        bench.now.clock = clock;
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(None));
        bench.tell(Input::PortOpened);
        bench.say(&ToGateway::Hello(hello(0)));
        for _ in 0..3 {
            bench.pong();
        }
        bench.samples(0, 100);
        bench.pass(MINUTE - 60);
        let unsynced = decode_header(&bench.payload());
        assert_eq!((unsynced.clock, unsynced.first_utc_ns / 1_000_000_000), (ClockQuality::Unsynced, 6));
        bench.tell(Input::Acknowledged { sequence: 1 });
        bench.now.clock = ClockQuality::Synced;
        bench.step(truth.0 - 7_000_000_000);
        let synced = bench.live(100);
        assert_eq!(synced.clock, ClockQuality::Synced);
        assert!((synced.first_utc_ns - truth.0).abs() < 20_000_000);
        let (aggregator, _) = bench.account();
        let state = aggregator.state().unwrap();
        assert_eq!((state.average_points, state.clock), (100, ClockQuality::Synced), "the window begins anew");
        assert_eq!((aggregator.counters().unsynced, aggregator.counters().stepped_back), (100, 0));
    }
}

#[test]
fn a_forward_step_of_more_than_an_hour_counts_as_unsynced_for_ten_minutes() {
    for (by_ns, distrusted) in [(HOUR_NS, false), (HOUR_NS + 1, true), (2 * HOUR_NS, true), (-2 * HOUR_NS, false)] {
        let mut bench = settled();
        bench.live(0);
        bench.step(by_ns);
        let clock = if distrusted { ClockQuality::Unsynced } else { ClockQuality::Synced };
        assert_eq!(bench.live(100).clock, clock, "{by_ns}");
        bench.pass(9 * MINUTE);
        assert_eq!(bench.live(200).clock, clock, "{by_ns}");
        bench.pass(MINUTE);
        assert_eq!(bench.live(300).clock, ClockQuality::Synced, "{by_ns}");
        assert_eq!(bench.jumps(), [by_ns]);
    }
}

#[test]
fn a_hole_in_utc_has_no_slots_and_is_an_event() {
    let mut bench = settled();
    bench.live(0);
    bench.step(HOUR_NS / 2);
    bench.live(100);
    bench.step(HOUR_NS - 1);
    bench.live(200);
    let (aggregator, snapshots) = bench.account();
    assert_eq!(bench.jumps(), [HOUR_NS / 2, HOUR_NS - 1]);
    let slots: Vec<_> = snapshots.iter().map(|hour| (hour.slots, hour.temperature_points)).collect();
    // The first second lies before 02:00, the others at 02:30 and 03:30.
    assert_eq!(slots, [(100, 100), (100, 100)]);
    assert_eq!(aggregator.state().unwrap().provisional.points, 100);
}

#[test]
fn after_a_step_back_stamps_up_to_the_high_water_mark_are_kept_and_named_clock() {
    let mut bench = settled();
    for second in 0..3 {
        bench.live(second * 100);
    }
    bench.step(-2_000_000_000);
    for second in 3..8 {
        let header = bench.live(second * 100);
        assert_eq!((header.count, header.clock), (100, ClockQuality::Synced), "all are kept in SAMPLES");
    }
    let (aggregator, _) = bench.account();
    assert_eq!(bench.jumps(), [-2_000_000_000]);
    // Two seconds lie at or below the mark.
    assert_eq!((aggregator.counters().samples, aggregator.counters().stepped_back), (800, 200));
    assert_eq!(aggregator.state().unwrap().average_points, 600);
}

/// 50 ms of overlap: the mark is the last slot before the jump, and five slots lie at or below it.
#[test]
fn the_overlap_of_a_jump_is_named_clock() {
    let mut bench = settled();
    let (mut second, mut seq) = (1, 0);
    while bench.jumps().is_empty() {
        assert!(second < 30, "no jump");
        bench.live(seq);
        second += 1;
        seq += 100;
        // The device's counter has run ahead by 50 ms since the first second.
        let device_us = (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000 + 50_000;
        bench.say(&ToGateway::Status(Status { device_us, ..status(device_us / 10_000 + 1) }));
    }
    for _ in 0..3 {
        bench.live(seq);
        seq += 100;
    }
    let by_ms: Vec<i64> = bench.jumps().iter().map(|by| by / 1_000_000).collect();
    assert!(matches!(by_ms[..], [-49..=-40]), "{by_ms:?}");
    let (aggregator, _) = bench.account();
    let (counted, named) = (aggregator.state().unwrap().average_points, aggregator.counters().stepped_back);
    assert!((4..=5).contains(&named) && counted + named == seq, "{counted} and {named} of {seq}");
}

/// CLOCK_BOOTTIME goes on in sleep, and the calendar with it: nothing has stepped. What lay in the port is an hour old.
#[test]
fn a_suspend_is_no_step_and_its_end_is_stamped_anew() {
    let mut bench = settled();
    let before = bench.live(0);
    bench.now.monotonic.0 += 3_600_000 * MS;
    bench.now.utc.0 += HOUR_NS;
    let old = (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 - 3_600_000_000;
    bench.say(&ToGateway::Status(Status { device_us: old, ..status(old / 10_000) }));
    bench.samples(100, 100);
    // 60 ppm: the device's hour is 216 ms longer than ours.
    let device_us = |bench: &Bench| (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000 + 216_000;
    bench.say(&ToGateway::Hello(Hello { device_us: device_us(&bench), ..hello(device_us(&bench) / 10_000 + 1) }));
    for _ in 0..3 {
        assert_eq!(bench.published().len(), 1, "nothing is stamped before three pongs");
        bench.pass(1_000);
        let nonce = *bench.heard_pings().last().unwrap();
        let device_us = device_us(&bench);
        bench.say(&ToGateway::Pong(Pong { nonce, device_us }));
    }
    let after = decode_header(&bench.payload());
    assert_eq!((after.seq, after.clock), (100, ClockQuality::Synced));
    let off = after.first_utc_ns - before.first_utc_ns - 1_000_000_000 + 216_000_000;
    assert!((-20_000_000..20_000_000).contains(&off), "{off}");
    assert!(bench.jumps().is_empty());
}

/// A process that does not run for 300 ms reads late, and knows it.
#[test]
fn stalls_of_the_host_move_no_stamp() {
    let mut bench = settled();
    let first = bench.live(0).first_utc_ns;
    for second in 1..60 {
        bench.pass(if second % 4 == 0 { 300 } else { 1 });
        let device_us = (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000;
        let late_us = if second % 4 == 0 { 300_000 } else { 0 };
        bench.say(&ToGateway::Status(Status { device_us: device_us - late_us, ..status(device_us / 10_000 + 1) }));
        let stamp = bench.live(second * 100).first_utc_ns;
        let off = stamp - first - i64::try_from(second).unwrap() * 1_000_000_000;
        // No ping is answered here: the bound from below leaks by 100 ppm, and half of that is followed.
        let leaked = i64::try_from(second).unwrap() * -70_000;
        assert!((leaked..=500_000).contains(&off), "{off} ns in second {second}");
    }
    assert!(bench.jumps().is_empty());
}

/// A device that is 60 ppm fast gives 60 s back after a restart: 3.6 ms between what was stamped then and the offset of
/// now. The slots in between lie on a line, and none is moved up.
#[test]
fn what_a_restart_finds_in_the_ring_goes_on_from_the_stored_end() {
    let mut first = Bench::running(settings(), 100, None);
    first.samples(0, 100);
    let mut bench = Bench::new(settings());
    let (tail, gained_us) = (first.payload(), 3_600);
    bench.now.monotonic.0 = first.now.monotonic.0 + MINUTE * MS;
    bench.now.utc.0 = first.now.utc.0 + 60_000_000_000;
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &tail))));
    bench.tell(Input::PortOpened);
    let device_us = |bench: &Bench| (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000 + gained_us;
    let shown = device_us(&bench);
    bench.say(&ToGateway::Hello(Hello { device_us: shown, ..hello(shown / 10_000 + 1) }));
    bench.samples(100, 6_000);
    for _ in 0..3 {
        bench.pass(20);
        let (nonce, device_us) = (*bench.heard_pings().last().unwrap(), device_us(&bench));
        bench.say(&ToGateway::Pong(Pong { nonce, device_us }));
    }
    for sequence in 2..62 {
        bench.tell(Input::Acknowledged { sequence });
    }
    let mut end = decode_header(&tail).first_utc_ns + 1_000_000_000;
    let stamps = stamps(&bench);
    assert_eq!(stamps.len(), 60);
    for stamp in stamps {
        let off = stamp - end;
        assert!((-70_000..=0).contains(&off), "{off} ns from one batch to the next");
        end = stamp + 1_000_000_000;
    }
}

/// A device that is 50 ppm fast pulls its stamps towards the stored end that the first batch was moved up to.
#[test]
fn a_batch_that_was_moved_up_is_no_step_back_later() {
    let mut plain = Bench::running(settings(), 100, Some((1, &stored(0, BOOT, "TW-1"))));
    plain.samples(100, 100);
    let mut tail = decode_header(&stored(0, BOOT, "TW-1"));
    tail.first_utc_ns = stamps(&plain)[0] - 1_000_000_000 + 19_000_000;
    let mut out = vec![0; batch::encoded_max(100)];
    let tail = encode_batch(&tail, &[Reading::default(); 100], &mut out).unwrap();
    let mut bench = Bench::running(settings(), 100, Some((1, tail)));
    for second in 0..120 {
        bench.samples(100 + second * 100, 100);
        bench.tell(Input::Acknowledged { sequence: 2 + second });
        bench.pass(1_000);
        let device_us = (bench.now.monotonic.0 - 1_000_000 * MS) / 1_000 + 1_000_000 + (second + 1) * 50;
        bench.say(&ToGateway::Status(Status { device_us, ..status(200 + second * 100) }));
    }
    let stamps = stamps(&bench);
    assert_eq!(stamps.len(), 120);
    for pair in stamps.windows(2) {
        let step = pair[1] - pair[0];
        assert!((999_000_000..=1_001_000_000).contains(&step), "{step} ns from one batch to the next");
    }
}

#[test]
fn pongs_that_nobody_asked_for_are_old_bytes() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(None));
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(0)));
    bench.samples(0, 100);
    for nonce in 70..80 {
        bench.say(&ToGateway::Pong(Pong { nonce, device_us: 5 }));
    }
    assert!(bench.published().is_empty());
}

/// The longest gap that there is, seen with the worst calendars that there are.
#[test]
fn a_gap_of_decades_is_stamped_whatever_the_calendar_shows() {
    let next = 72 * 365 * 86_400 * 100;
    for (utc_ns, clock) in [
        (i64::MIN, ClockQuality::Unsynced),
        (0, ClockQuality::Unsynced),
        (1_767_751_200_000_000_000, ClockQuality::Synced),
        (i64::MAX, ClockQuality::Unsynced),
    ] {
        let mut bench = Bench::new(settings());
        bench.now.utc = Utc(utc_ns);
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
        bench.tell(Input::PortOpened);
        bench.say(&ToGateway::Hello(hello(next)));
        bench.now.monotonic.0 += 60_000 * MS;
        let (from, to, reason) = (100, next - 12_000, GapReason::Ring);
        bench.say(&ToGateway::Gap(GapNotice { tag: BOOT.tag(), from, to, reason }));
        assert_eq!(bench.published(), [(1, from, to)]);
        let payload = bench.payload();
        let Packed::Gap(gap) = decode(&payload).unwrap() else { panic!("no gap") };
        assert_eq!(gap.clock, clock, "{utc_ns}");
    }
}

/// A device whose clock is `ppm` fast, for two minutes: jumps, and rates that were named.
fn clock_of(ppm: u64) -> (Vec<i64>, Vec<(i64, bool)>) {
    let mut bench = Bench::running(settings(), 100, None);
    let began = bench.now.monotonic.0;
    bench.effects.clear();
    for half in 1..240_u64 {
        bench.pass(500);
        let passed_us = (bench.now.monotonic.0 - began) / 1_000;
        let device_us = 1_060_000 + passed_us + passed_us * ppm / 1_000_000;
        let nonce = bench.heard_pings().last().copied();
        bench.say(&ToGateway::Status(Status { device_us, ..status(device_us / 10_000) }));
        if let Some(nonce) = nonce {
            bench.say(&ToGateway::Pong(Pong { nonce, device_us }));
        }
        bench.effects.retain(|effect| matches!(effect, Effect::Event(..)));
        assert!(half < 10 || bench.agent.counters().implausible == 0);
    }
    let rate = |(_, body)| if let EventBody::ClockRate { ppm, followed } = body { Some((ppm, followed)) } else { None };
    (bench.jumps(), bench.events().into_iter().filter_map(rate).collect())
}

#[test]
fn a_clock_beyond_a_crystals_tolerance_is_named_once() {
    let (jumps, rates) = clock_of(100);
    assert_eq!((jumps.len(), rates.len()), (0, 0), "a crystal");
    let (jumps, rates) = clock_of(20_000);
    let [(ppm, true)] = rates[..] else { panic!("{rates:?}") };
    assert!((19_500..20_500).contains(&ppm) && jumps.len() == 1, "{ppm}, {jumps:?}");
    let (jumps, rates) = clock_of(80_000);
    let [(ppm, false)] = rates[..] else { panic!("{rates:?}") };
    assert!((79_000..81_000).contains(&ppm) && jumps.is_empty(), "{ppm}, {jumps:?}");
}
