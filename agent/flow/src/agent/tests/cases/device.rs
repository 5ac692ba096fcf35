//! Who is on the line.

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

    bench.pass(600);
    assert_eq!(wait_ms(&bench), None, "a ping is on its way");
    bench.samples(100, 10);
    assert_eq!(wait_ms(&bench), None, "and unanswered");
    bench.pong();
    assert_eq!(wait_ms(&bench), Some(250));

    bench.say(&ToGateway::Status(status(10_000)));
    assert_eq!(wait_ms(&bench), None, "a backlog");
    bench.tell(Input::PortClosed);
    assert_eq!(wait_ms(&bench), None);
}

#[test]
fn a_reboot_under_the_same_tag_is_noticed() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 300);
    bench.pass(900);
    bench.say(&ToGateway::Status(status(300)));
    bench.pass(900);
    bench.effects.clear();
    bench.say(&ToGateway::Status(status(20)));
    assert_eq!(bench.written(), [ToDevice::Identify]);
}

#[test]
fn samples_of_another_boot_are_not_taken() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.pass(1_000);
    bench.effects.clear();
    let readings = core::iter::repeat_n(Reading::default(), 5).collect();
    let tag = BOOT.tag().wrapping_add(1);
    bench.pass(1_000);
    bench.effects.clear();
    bench.now.monotonic.0 += 500 * MS;
    bench.say(&ToGateway::Samples(Samples { tag, seq: 0, readings }));
    assert_eq!(bench.agent.counters().samples, 0);
    assert_eq!(bench.agent.counters().foreign, 1);
}

#[test]
fn a_device_that_must_not_be_read_is_refused_and_said_once() {
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
        bench.tell(Input::PortOpened);
        for _ in 0..3 {
            bench.say(&ToGateway::Hello(refused.clone()));
            bench.pass(1_000);
        }
        assert_eq!(bench.agent.link(), Link::Refused, "{why}: {:?}", bench.agent.counters());
        assert!(bench.resumes().is_empty());
        let events = bench.events();
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(matches!(&events[0].1, EventBody::DeviceRefused { reason, .. } if reason.contains(why)), "{events:?}");
        bench.say(&ToGateway::Hello(hello(100)));
        assert_eq!(bench.agent.link(), Link::Up, "the right one is welcome at once");
    }
}

/// Slot n is at n × period of the device's clock: what says otherwise is counted, and nothing follows from it.
#[test]
fn a_clock_or_a_gap_that_does_not_go_with_the_slots_is_not_believed() {
    let mut plain = Bench::running(settings(), 0, None);
    let mut bench = Bench::running(settings(), 0, None);
    for device_us in [200_000_000, 1 << 62, u64::MAX] {
        bench.pass(20);
        plain.pass(20);
        let nonce = *bench.heard_pings().last().unwrap();
        bench.say(&ToGateway::Pong(Pong { nonce, device_us }));
        bench.say(&ToGateway::Status(Status { device_us, ..status(0) }));
    }
    for to in [20_000, 1 << 60, u64::MAX] {
        let reason = GapReason::Ring;
        bench.say(&ToGateway::Gap(GapNotice { tag: BOOT.tag(), from: 0, to, reason }));
    }
    assert_eq!(bench.agent.counters().implausible, 9);
    for bench in [&mut bench, &mut plain] {
        bench.samples(0, 100);
    }
    assert_eq!(bench.published(), [(0, 0, 100)]);
    assert_eq!(bench.payload(), plain.payload(), "stamped as if it had not been said");
}

#[test]
fn the_same_boot_that_went_back_is_refused() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 150);
    bench.say(&ToGateway::Hello(hello(149)));
    assert_eq!(bench.agent.link(), Link::Refused);
    bench.say(&ToGateway::Hello(hello(150)));
    assert_eq!(bench.agent.link(), Link::Up);
    bench.say(&ToGateway::Hello(Hello { boot: Boot(BOOT.0 - (1 << 32)), ..hello(900) }));
    assert_eq!(bench.agent.link(), Link::Refused, "an older boot");
}

#[test]
fn a_silent_line_is_asked_who_it_is_once_a_second() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.effects.clear();
    for _ in 0..5 {
        bench.pass(500);
    }
    let asked = bench.written().into_iter().filter(|message| *message == ToDevice::Identify).count();
    assert_eq!(asked, 2);
    assert_eq!(bench.agent.link(), Link::Silent);
    bench.say(&ToGateway::Status(status(40)));
    assert_eq!(bench.agent.link(), Link::Up);
}

#[test]
fn garbage_is_counted_and_never_believed() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.effects.clear();
    let mut noise = 1u64;
    for _ in 0..2_000 {
        noise = crate::agent::tests::device::mix(noise, 3);
        bench.tell(Input::Bytes(&noise.to_le_bytes()));
    }
    bench.samples(0, 0);
    let counters = *bench.agent.counters();
    assert!(counters.rejected.iter().sum::<u64>() > 10, "{counters:?}");
    assert_eq!(counters.samples, 0);
    let logged = bench.effects.iter().filter(|effect| matches!(effect, Effect::Log(Log::Rejected { .. }))).count();
    assert_eq!(logged, 1, "repeats are held back");
}

fn board(serial_number: &str, boot: Boot, next: u64) -> Hello {
    Hello { boot, serial_number: serial_number.try_into().unwrap(), ..hello(next) }
}

/// The new board counts its boots from one: they do not compare with the old one's.
const NEW: Boot = Boot(0x0000_0001_0000_0007);

#[test]
fn another_board_is_refused_until_it_is_accepted_and_what_was_read_of_the_first_goes_out() {
    let mut bench = Bench::running(settings(), 100, None);
    bench.samples(0, 150);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.tell(Input::PortClosed);
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(board("TW-2", NEW, 100)));
    assert_eq!(bench.agent.link(), Link::Refused);
    let reasons = |bench: &Bench| {
        let reason = |(_, body)| if let EventBody::DeviceRefused { reason, .. } = body { Some(reason) } else { None };
        bench.events().into_iter().filter_map(reason).collect::<Vec<_>>()
    };
    assert!(reasons(&bench)[0].contains("thermowell boiler accept b1 TW-2 --yes"), "{:?}", reasons(&bench));
    // The wrong one is none.
    bench.tell(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-3" });
    bench.tell(Input::Accepted { instead_of: device_id("TW-9"), serial_number: "TW-2" });
    bench.say(&ToGateway::Hello(board("TW-2", NEW, 200)));
    assert_eq!(bench.agent.link(), Link::Refused);
    bench.tell(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-2" });
    bench.say(&ToGateway::Hello(board("TW-2", NEW, 300)));
    assert!(reasons(&bench).last().unwrap().contains("delivered first"), "{:?}", reasons(&bench));
    bench.tell(Input::Acknowledged { sequence: 1 });
    assert_eq!(bench.published(), [(0, 0, 100), (1, 100, 150)], "what was open of the first board");
    bench.tell(Input::Acknowledged { sequence: 2 });
    bench.say(&ToGateway::Hello(board("TW-2", NEW, 300)));
    assert_eq!(bench.agent.link(), Link::Up);
    let tail = stored(50, BOOT, "TW-1");
    bench.tell(Input::Tail(Some((2, &tail))));
    assert_eq!(bench.resumes().last(), Some(&0), "its history begins at its first slot");
    assert!(!bench.stops());
}

#[test]
fn an_accepted_board_goes_on_after_a_restart_and_a_foreign_one_stops() {
    for accepted in [true, false] {
        let mut bench = Bench::new(settings());
        bench.tell(Input::PortOpened);
        bench.say(&ToGateway::Hello(board("TW-2", NEW, 20_000)));
        bench.tell(Input::Connected);
        if accepted {
            bench.tell(Input::Accepted { instead_of: device_id("TW-1"), serial_number: "TW-2" });
        }
        bench.tell(Input::Tail(Some((7, &stored(0, BOOT, "TW-1")))));
        let began = bench.resumes().contains(&0);
        assert_eq!(began, accepted);
        assert_eq!(bench.agent.counters().conflicts, u64::from(!accepted));
    }
}
