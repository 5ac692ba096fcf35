//! Which device answers at the port, and which of its messages are accepted.

use super::*;

/// The last two slots of a batch, a pong and a backlog are read as they come; all else may wait.
#[test]
fn bytes_wait_until_their_batch_is_almost_full() {
    let mut bench = Bench::running(settings(), 0, None);
    // The first pings follow each other quickly.
    for _ in 0..10 {
        bench.pong();
    }
    let wait_ms = |bench: &Bench| bench.agent.read_at().map(|at| (at.0 - bench.now.monotonic.0) / MS);
    bench.samples(0, 10);
    assert_eq!(wait_ms(&bench), Some(250));
    bench.samples(10, 80);
    assert_eq!(wait_ms(&bench), Some(80));
    bench.samples(90, 8);
    assert_eq!(wait_ms(&bench), None, "two slots are left");
    bench.samples(98, 2);
    assert_eq!(wait_ms(&bench), Some(250), "the next batch");

    bench.advance(600);
    assert_eq!(wait_ms(&bench), None, "a ping is on its way");
    bench.samples(100, 10);
    assert_eq!(wait_ms(&bench), None, "and unanswered");
    bench.pong();
    assert_eq!(wait_ms(&bench), Some(250));

    bench.status(status(10_000));
    assert_eq!(wait_ms(&bench), None, "a backlog");
    bench.feed(Input::PortClosed);
    assert_eq!(wait_ms(&bench), None);
}

#[test]
fn reboot_with_the_same_tag_is_detected() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 300);
    bench.advance(900);
    bench.status(status(300));
    bench.advance(900);
    bench.effects.clear();
    bench.status(status(20));
    assert_eq!(bench.written(), [ToDevice::Identify]);
}

#[test]
fn samples_of_another_boot_are_rejected() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.advance(1_000);
    bench.effects.clear();
    let readings = core::iter::repeat_n(Reading::default(), 5).collect();
    let tag = BOOT.tag().wrapping_add(1);
    bench.advance(1_000);
    bench.effects.clear();
    bench.now.monotonic.0 += 500 * MS;
    bench.receive(&ToGateway::Samples(Samples { tag, seq: 0, readings }));
    assert_eq!(bench.agent.counters().samples, 0);
    assert_eq!(bench.agent.counters().foreign, 1);
}

#[test]
fn refused_device_is_reported_once() {
    let real = Hello { simulated: false, ..hello(100) };
    let newer = Hello { protocol: 2, ..hello(100) };
    let other = Hello { serial_number: "TW-2".try_into().unwrap(), ..hello(100) };
    let ahead = Hello { next: u64::MAX - 1, oldest: 0, ..hello(100) };
    let slow = Hello { period_us: 5_000_000, ..hello(100) };
    let astray = Hello { device_us: u64::MAX, ..hello(100) };
    for (refused, why) in [
        (real, "not simulated"),
        (newer, "protocol 2"),
        (other, "TW-1"),
        (slow, "period"),
        (ahead, "decades"),
        (astray, "its clock shows 18446744073709551615 µs, but slot 100 of 10000 µs is its next one"),
    ] {
        let bound = Settings { serial_number: Some("TW-1".into()), simulated_only: true, ..settings() };
        let mut bench = Bench::new(bound);
        bench.feed(Input::PortOpened);
        for _ in 0..3 {
            bench.hello(refused.clone());
            bench.advance(1_000);
        }
        assert_eq!(bench.agent.link(), Link::Refused, "{why}: {:?}", bench.agent.counters());
        assert!(bench.resumes().is_empty());
        let events = bench.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(matches!(&events[0].1, EventBody::DeviceRefused { reason, .. } if reason.contains(why)), "{events:?}");
        bench.hello(hello(100));
        assert_eq!(bench.agent.link(), Link::Up, "the right one is read at once");
    }
}

/// Slot n is at n × period of the device's clock. Messages that contradict it are counted and ignored.
#[test]
fn clock_or_gap_that_contradicts_the_slots_is_ignored() {
    let mut plain = Bench::running(settings(), 0, None);
    let mut bench = Bench::running(settings(), 0, None);
    for device_us in [200_000_000, 1 << 62, u64::MAX] {
        bench.advance(20);
        plain.advance(20);
        bench.pong_with(device_us);
        bench.status(Status { device_us, ..status(0) });
    }
    for to in [20_000, 1 << 60, u64::MAX] {
        bench.gap(0, to);
    }
    assert_eq!(bench.agent.counters().implausible, 9);
    for bench in [&mut bench, &mut plain] {
        bench.samples(0, 100);
    }
    assert_eq!(bench.published(), [(0, 0, 100)]);
    assert_eq!(bench.payload(), plain.payload(), "stamped as without these messages");
}

#[test]
fn boot_that_went_back_is_refused() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 150);
    bench.hello(hello(149));
    assert_eq!(bench.agent.link(), Link::Refused);
    bench.hello(hello(150));
    assert_eq!(bench.agent.link(), Link::Up);
    bench.hello(Hello { boot: Boot(BOOT.0 - (1 << 32)), ..hello(900) });
    assert_eq!(bench.agent.link(), Link::Refused, "an older boot");
}

#[test]
fn silent_line_is_identified_once_a_second() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.effects.clear();
    for _ in 0..5 {
        bench.advance(500);
    }
    let asked = bench.written().into_iter().filter(|message| *message == ToDevice::Identify).count();
    assert_eq!(asked, 2);
    assert_eq!(bench.agent.link(), Link::Silent);
    bench.status(status(40));
    assert_eq!(bench.agent.link(), Link::Up);
}

#[test]
fn garbage_is_counted_and_logged_once() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.effects.clear();
    let mut noise = 1u64;
    for _ in 0..2_000 {
        noise = noise.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) + 1;
        bench.feed(Input::Bytes(&noise.to_le_bytes()));
    }
    bench.samples(0, 0);
    let counters = *bench.agent.counters();
    assert!(counters.rejected.iter().sum::<u64>() > 10, "{counters:?}");
    assert_eq!(counters.samples, 0);
    let logged = bench.effects.iter().filter(|effect| matches!(effect, Effect::Log(Log::Rejected { .. }))).count();
    assert_eq!(logged, 1, "the log is throttled");
}

fn board(serial_number: &str, boot: Boot, next: u64) -> Hello {
    Hello { boot, serial_number: serial_number.try_into().unwrap(), ..hello(next) }
}

/// A boot of a new board, which counts from one: it has no order with the boots of the old board.
const NEW: Boot = Boot(0x0000_0001_0000_0007);

#[test]
fn another_board_is_read_once_accepted_and_the_first_delivered() {
    let mut bench = Bench::running(settings(), 100, None);
    bench.samples(0, 150);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.feed(Input::PortClosed);
    bench.plug_in(board("TW-2", NEW, 100));
    assert_eq!(bench.agent.link(), Link::Refused);
    let reasons = |bench: &Bench| {
        let reason = |body| if let EventBody::DeviceRefused { reason, .. } = body { Some(reason) } else { None };
        bench.events_of(EventKind::Boot).into_iter().filter_map(reason).collect::<Vec<_>>()
    };
    assert!(reasons(&bench)[0].contains("thermowell boiler accept b1 TW-2 --yes"), "{:?}", reasons(&bench));
    // Other boards are accepted.
    bench.feed(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-3" });
    bench.feed(Input::Accepted { instead_of: device_id("TW-9"), serial_number: "TW-2" });
    bench.hello(board("TW-2", NEW, 200));
    assert_eq!(bench.agent.link(), Link::Refused);
    bench.feed(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-2" });
    bench.hello(board("TW-2", NEW, 300));
    assert!(reasons(&bench).last().unwrap().contains("delivered first"), "{:?}", reasons(&bench));
    bench.acknowledge(1);
    assert_eq!(bench.published(), [(0, 0, 100), (1, 100, 150)], "the open batch of the first board");
    bench.acknowledge(2);
    bench.hello(board("TW-2", NEW, 300));
    assert_eq!(bench.agent.link(), Link::Up);
    let tail = stored(50);
    bench.feed(Input::Tail(Some((2, &tail))));
    assert_eq!(bench.resumes().last(), Some(&0), "its history begins at its first slot");
    assert!(!bench.stops());
}

#[test]
fn only_an_accepted_board_is_read_after_a_restart() {
    for accepted in [true, false] {
        let mut bench = Bench::new(settings());
        bench.plug_in(board("TW-2", NEW, 20_000));
        bench.feed(Input::Connected);
        if accepted {
            bench.feed(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-2" });
        }
        bench.feed(Input::Tail(Some((7, &stored(0)))));
        let began = bench.resumes().contains(&0);
        assert_eq!(began, accepted);
        assert_eq!(bench.agent.counters().conflicts, u64::from(!accepted));
    }
}
