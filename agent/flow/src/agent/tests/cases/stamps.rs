//! When a slot was taken.

use super::*;

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

#[test]
fn a_step_of_the_calendar_is_an_event_and_a_long_one_is_distrusted() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.now.utc.0 += 2 * 3_600 * 1_000_000_000;
    bench.samples(0, 100);
    let jumped = EventBody::ClockJumped { by_ns: 2 * 3_600 * 1_000_000_000 };
    assert!(bench.events().contains(&(EventKind::Clock, jumped)));
    let Some(Effect::Publish { payload, .. }) =
        bench.effects.iter().find(|effect| matches!(effect, Effect::Publish { .. }))
    else {
        // Within the first minute stamping waits.
        assert_eq!(bench.agent.backlog(), 100);
        return;
    };
    let Packed::Batch(batch) = decode(payload).unwrap() else { panic!("no batch") };
    assert_eq!(batch.header.clock, ClockQuality::Unsynced);
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
