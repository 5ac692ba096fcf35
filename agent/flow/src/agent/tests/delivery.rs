//! From the line into the stream.

use super::*;

#[test]
fn samples_are_published_after_the_tail_one_in_flight() {
    let tail = stored(100);
    let mut bench = Bench::running(settings(), 200, Some((41, &tail)));
    assert_eq!(bench.resumes(), [200], "after the stream's end");
    assert_eq!(bench.agent.link(), Link::Up);
    bench.samples(200, 200);
    assert_eq!(bench.published(), [(41, 200, 300)], "one in flight");
    assert_eq!(bench.agent.backlog(), 200);
    bench.acknowledge(45);
    assert_eq!(bench.published(), [(41, 200, 300), (45, 300, 400)]);
    bench.acknowledge(46);
    assert_eq!(bench.agent.backlog(), 0);
    assert!(bench.agent.is_drained());
    assert!(bench.events().is_empty(), "the boot is in the stream already: {:?}", bench.events());
}

#[test]
fn lost_acknowledgement_reads_the_tail_and_continues() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.feed(Input::Refused(Refused::Unknown));
    assert_eq!(bench.effects.last(), Some(&Effect::ReadTail));
    bench.feed(Input::Tail(Some((9, &stored(0)))));
    assert_eq!(bench.published(), [(0, 0, 100), (9, 100, 200)]);
}

#[test]
fn tail_in_the_middle_of_a_batch_trims_it() {
    let mut bench = Bench::new(settings());
    bench.plug_in(hello(300));
    bench.pongs();
    bench.samples(0, 300);
    bench.connect(Some((9, &stored(60))));
    assert_eq!(bench.published(), [(9, 160, 200)]);
    bench.acknowledge(10);
    assert_eq!(bench.published(), [(9, 160, 200), (10, 200, 300)]);
}

#[test]
fn acknowledgement_with_an_old_sequence_reads_the_tail() {
    let mut bench = Bench::running(settings(), 200, Some((41, &stored(100))));
    bench.samples(200, 100);
    bench.acknowledge(41);
    assert_eq!(bench.effects.last(), Some(&Effect::ReadTail));
    assert_eq!(bench.agent.backlog(), 100);
}

#[test]
fn wiped_stream_begins_with_the_oldest_in_memory_or_ring() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    bench.acknowledge(1);
    bench.advance(30_000);
    bench.feed(Input::Disconnected);
    bench.feed(Input::Connected);
    bench.effects.clear();
    bench.feed(Input::Tail(None));
    assert_eq!(bench.resumes(), [0], "memory begins at 100, the ring at 0");
    assert!(bench.published().is_empty());
    bench.samples(0, 100);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.acknowledge(1);
    assert_eq!(bench.published(), [(0, 0, 100), (1, 100, 200)]);
}

#[test]
fn lost_slots_of_an_ended_boot_are_a_gap() {
    let mut bench = Bench::new(settings());
    bench.plug_in(Hello { oldest: 500, ..hello(700) });
    assert_eq!(bench.resumes(), [500]);
    bench.pongs();
    bench.samples(500, 200);
    bench.hello(Hello { boot: NEXT_BOOT, ..hello(0) });
    bench.connect(Some((1, &stored(0))));
    bench.acknowledge_all(2..=4);
    assert_eq!(bench.published(), [(1, 100, 500), (2, 500, 600), (3, 600, 700)]);
    let named = EventBody::GapNamed { boot: BOOT, from: 100, to: 500, reason: "ring".into() };
    assert!(bench.events().contains(&(EventKind::Gap, named)));
    assert_eq!(bench.resumes().last(), Some(&0), "the next boot from its beginning");
}

#[test]
fn silence_and_shutdown_cut_the_open_batch() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 30);
    bench.advance(999);
    assert!(bench.published().is_empty());
    bench.advance(1);
    assert_eq!(bench.published(), [(0, 0, 30)]);
    bench.acknowledge(1);
    bench.samples(30, 12);
    assert!(!bench.agent.is_drained());
    bench.feed(Input::Flush);
    assert_eq!(bench.published().last(), Some(&(1, 30, 42)));
    assert!(!bench.agent.is_drained(), "it is in flight");
    bench.acknowledge(2);
    assert!(bench.agent.is_drained());
}

#[test]
fn reading_continues_while_the_server_is_away() {
    let mut bench = Bench::new(settings());
    bench.plug_in(hello(300));
    assert_eq!(bench.resumes(), [0], "from the oldest");
    bench.pongs();
    bench.samples(0, 300);
    assert_eq!(bench.agent.backlog(), 300);
    bench.connect(Some((7, &stored(0))));
    assert_eq!(bench.published(), [(7, 100, 200)], "only what the stream does not have");
    assert_eq!(bench.agent.backlog(), 200);
}

/// A restarted agent reads the device before the server answers, and so reads again what the stream has.
#[test]
fn open_batch_that_is_stored_already_is_no_backlog() {
    let mut bench = Bench::new(settings());
    bench.plug_in(hello(100));
    bench.samples(0, 52);
    assert_eq!(bench.agent.backlog(), 52);
    bench.connect(Some((4, &stored(0))));
    assert_eq!(bench.agent.backlog(), 0);
}

#[test]
fn reading_waits_a_second_for_the_tail() {
    let mut bench = Bench::new(settings());
    bench.feed(Input::Connected);
    bench.plug_in(hello(300));
    assert!(bench.resumes().is_empty());
    bench.advance(999);
    assert!(bench.resumes().is_empty());
    bench.advance(1);
    assert_eq!(bench.resumes(), [0]);
}

#[test]
fn three_conflicts_in_a_minute_stop_the_boiler() {
    for (tail, found) in [
        (stored_by("TW-2", BOOT, 0), "device"),
        (stored_by("TW-1", NEXT_BOOT, 0), "boot"),
        (stored(5_000), "the device is at 100"),
        (vec![0x7f, 1, 2], "unknown layout"),
    ] {
        let mut bench = Bench::new(settings());
        bench.plug_in(hello(100));
        bench.connect(Some((3, &tail)));
        assert!(!bench.stops());
        for _ in 0..2 {
            bench.advance(5_000);
            bench.hello(hello(100));
            bench.feed(Input::Tail(Some((3, &tail))));
        }
        assert!(bench.stops(), "{found}");
        let events = bench.events_of(EventKind::Delivery);
        let named = |body: &EventBody| matches!(body, EventBody::Conflict { found: why } if why.contains(found));
        assert!(events.iter().any(named), "{found}: {events:?}");
        assert!(bench.published().is_empty());
    }
}

#[test]
fn conflicts_half_a_minute_apart_stop_nothing() {
    let foreign = stored_by("TW-2", BOOT, 0);
    let mut bench = Bench::running(settings(), 100, Some((3, &foreign)));
    bench.effects.clear();
    for _ in 0..6 {
        bench.advance(31_000);
        bench.reconnect(Some((3, &foreign)));
    }
    assert!(!bench.stops());
}

#[test]
fn rollback_is_published_again_and_an_event() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 300);
    bench.acknowledge_all(1..=3);
    assert_eq!(bench.agent.backlog(), 0);
    bench.feed(Input::Disconnected);
    bench.advance(60_000);
    bench.feed(Input::Connected);
    bench.effects.clear();
    bench.feed(Input::Tail(Some((1, &stored(0)))));
    assert_eq!(bench.published(), [(1, 100, 200)], "from memory: time without a server does not count");
    assert!(bench.resumes().is_empty());
    let back = EventBody::StreamWentBack { expected: 3, found: 1 };
    assert!(bench.events().contains(&(EventKind::Delivery, back)));
}

#[test]
fn acknowledged_records_leave_after_three_sync_intervals() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 100);
    bench.acknowledge(1);
    bench.advance(29_000);
    assert!(bench.agent.spool_bytes() > 0);
    bench.advance(1_000);
    assert_eq!(bench.agent.spool_bytes(), 0);
}

#[test]
fn batch_too_large_for_the_server_is_halved() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    for _ in 0..2 {
        bench.feed(Input::Refused(Refused::TooLarge));
        bench.feed(Input::Tail(None));
    }
    assert_eq!(bench.published(), [(0, 0, 100), (0, 0, 50), (0, 0, 25)], "without a pause");
    bench.acknowledge_all(1..=7);
    let cut = [(0, 25, 50), (1, 50, 75), (2, 75, 100), (3, 100, 125), (4, 125, 150), (5, 150, 175), (6, 175, 200)];
    let cut = cut.map(|(expected, from, to)| (expected + 1, from, to));
    assert_eq!(bench.published()[3..], cut, "the size that passed is kept");
    assert_eq!(bench.agent.backlog(), 100, "a record is done with its last slot");
    bench.acknowledge(8);
    assert_eq!((bench.agent.backlog(), bench.agent.counters().too_large), (0, 2));
    assert!(bench.agent.is_drained() && !bench.events().iter().any(|(kind, _)| *kind == EventKind::Gap));
    bench.reconnect(Some((8, &stored(100))));
    bench.samples(200, 100);
    assert_eq!(bench.published().last(), Some(&(8, 200, 300)), "another connection may have another limit");
}

#[test]
fn sample_too_large_for_the_server_waits() {
    let mut bench = Bench::running(Settings { batch: 1, ..settings() }, 0, None);
    bench.samples(0, 2);
    for _ in 0..20 {
        assert_eq!(bench.published().last(), Some(&(0, 0, 1)));
        bench.effects.clear();
        bench.feed(Input::Refused(Refused::TooLarge));
        assert!(!bench.effects.contains(&Effect::ReadTail), "with a pause");
        bench.advance(1_000);
        bench.feed(Input::Tail(None));
    }
    bench.acknowledge(1);
    assert_eq!(bench.published().last(), Some(&(1, 1, 2)), "nothing is dropped");
}

#[test]
fn lost_answer_to_a_part_continues_after_it() {
    let mut bench = Bench::running(settings(), 100, Some((7, &stored(0))));
    bench.samples(100, 200);
    bench.feed(Input::Refused(Refused::TooLarge));
    bench.feed(Input::Tail(Some((7, &stored(0)))));
    assert_eq!(bench.published().last(), Some(&(7, 100, 150)));
    bench.feed(Input::Refused(Refused::Unknown));
    bench.feed(Input::Tail(Some((9, &stored(50)))));
    assert_eq!(bench.published().last(), Some(&(9, 150, 200)));
    bench.acknowledge(10);
    assert_eq!((bench.published().last(), bench.agent.backlog()), (Some(&(10, 200, 250)), 100));
}

#[test]
fn full_spool_pauses_reading_until_there_is_room() {
    let mut bench = Bench::running(Settings { spool_bytes: 7_000, ..settings() }, 0, None);
    bench.samples(0, 3_000);
    assert!(bench.agent.spool_bytes() <= 7_000);
    assert!(bench.agent.counters().full > 0);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Log(Log::SpoolFull { .. }))));
    let held = bench.agent.backlog();
    bench.effects.clear();
    bench.advance(1_000);
    assert!(bench.resumes().is_empty(), "not while it is full");
    let mut sequence = 0;
    while bench.agent.backlog() > 0 {
        sequence += 1;
        bench.acknowledge(sequence);
    }
    bench.effects.clear();
    bench.advance(30_000);
    assert_eq!(bench.resumes().first(), Some(&held), "where it stopped");
}

#[test]
fn filled_hole_ends_where_the_next_slots_are_held() {
    let mut bench = Bench::new(settings());
    bench.plug_in(Hello { oldest: 150, ..hello(200) });
    bench.pongs();
    bench.samples(150, 50);
    bench.advance(1_000);
    bench.connect(Some((1, &stored(0))));
    assert_eq!(bench.resumes().last(), Some(&100));
    bench.samples(100, 50);
    bench.samples(200, 100);
    bench.acknowledge_all(2..=3);
    assert_eq!(bench.published(), [(1, 100, 150), (2, 150, 200), (3, 200, 300)]);
}

#[test]
fn open_batch_is_published_when_the_next_boot_begins() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 30);
    bench.hello(Hello { boot: NEXT_BOOT, ..hello(0) });
    assert_eq!(bench.published(), [(0, 0, 30)]);
}
