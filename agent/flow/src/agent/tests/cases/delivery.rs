//! From the line into the stream.

use super::*;
use crate::agent::Refused;

#[test]
fn the_straight_path_goes_from_hello_to_the_next_batch() {
    let tail = stored(100, BOOT, "TW-1");
    let mut bench = Bench::running(settings(), 200, Some((41, &tail)));
    assert_eq!(bench.resumes(), [200], "behind the stream's end");
    assert_eq!(bench.agent.link(), Link::Up);
    bench.samples(200, 200);
    assert_eq!(bench.published(), [(41, 200, 300)], "one in flight");
    assert_eq!(bench.agent.backlog(), 200);
    bench.tell(Input::Acknowledged { sequence: 45 });
    assert_eq!(bench.published(), [(41, 200, 300), (45, 300, 400)]);
    bench.tell(Input::Acknowledged { sequence: 46 });
    assert_eq!(bench.agent.backlog(), 0);
    assert!(bench.agent.is_drained());
    assert!(bench.events().is_empty(), "the boot is in the stream already: {:?}", bench.events());
}

#[test]
fn a_lost_acknowledgement_reads_the_stream_and_goes_on() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.tell(Input::Refused(Refused::Unknown));
    assert_eq!(bench.effects.last(), Some(&Effect::ReadTail));
    bench.tell(Input::Tail(Some((9, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.published(), [(0, 0, 100), (9, 100, 200)]);
}

#[test]
fn a_tail_in_the_middle_of_a_batch_trims_it() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(300)));
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(0, 300);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((9, &stored(60, BOOT, "TW-1")))));
    assert_eq!(bench.published(), [(9, 160, 200)]);
    bench.tell(Input::Acknowledged { sequence: 10 });
    assert_eq!(bench.published(), [(9, 160, 200), (10, 200, 300)]);
}

#[test]
fn an_answer_that_cannot_be_meant_is_not_believed() {
    let mut bench = Bench::running(settings(), 200, Some((41, &stored(100, BOOT, "TW-1"))));
    bench.samples(200, 100);
    bench.tell(Input::Acknowledged { sequence: 41 });
    assert_eq!(bench.effects.last(), Some(&Effect::ReadTail));
    assert_eq!(bench.agent.backlog(), 100);
}

/// UTC of the first slot of each published message.

#[test]
fn an_emptied_stream_begins_with_the_oldest_of_memory_and_ring() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    bench.tell(Input::Acknowledged { sequence: 1 });
    bench.pass(30_000);
    bench.tell(Input::Disconnected);
    bench.tell(Input::Connected);
    bench.effects.clear();
    bench.tell(Input::Tail(None));
    assert_eq!(bench.resumes(), [0], "memory begins at 100, the ring at 0");
    assert!(bench.published().is_empty());
    bench.samples(0, 100);
    assert_eq!(bench.published(), [(0, 0, 100)]);
    bench.tell(Input::Acknowledged { sequence: 1 });
    assert_eq!(bench.published(), [(0, 0, 100), (1, 100, 200)]);
}

#[test]
fn slots_of_a_boot_that_ended_are_a_gap_when_nobody_has_them() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(Hello { oldest: 500, ..hello(700) }));
    assert_eq!(bench.resumes(), [500]);
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(500, 200);
    let next = Boot(BOOT.0 + (1 << 32));
    bench.say(&ToGateway::Hello(Hello { boot: next, ..hello(0) }));
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    for sequence in 2..5 {
        bench.tell(Input::Acknowledged { sequence });
    }
    assert_eq!(bench.published(), [(1, 100, 500), (2, 500, 600), (3, 600, 700)]);
    let named = EventBody::GapNamed { boot: BOOT, from: 100, to: 500, reason: "ring".into() };
    assert!(bench.events().contains(&(EventKind::Gap, named)));
    assert_eq!(bench.resumes().last(), Some(&0), "the next boot from its beginning");
}

#[test]
fn silence_and_shutdown_cut_the_open_batch() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 30);
    bench.pass(999);
    assert!(bench.published().is_empty());
    bench.pass(1);
    assert_eq!(bench.published(), [(0, 0, 30)]);
    bench.tell(Input::Acknowledged { sequence: 1 });
    bench.samples(30, 12);
    assert!(!bench.agent.is_drained());
    bench.tell(Input::Flush);
    assert_eq!(bench.published().last(), Some(&(1, 30, 42)));
    assert!(!bench.agent.is_drained(), "it is in flight");
    bench.tell(Input::Acknowledged { sequence: 2 });
    assert!(bench.agent.is_drained());
}

#[test]
fn a_server_that_is_away_does_not_stop_the_reading() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(300)));
    assert_eq!(bench.resumes(), [0], "from the oldest");
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(0, 300);
    assert_eq!(bench.agent.backlog(), 300);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((7, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.published(), [(7, 100, 200)], "what the stream has is not sent again");
    assert_eq!(bench.agent.backlog(), 200);
}

/// An agent that was killed meets its device before the server, and reads again what the stream has.
#[test]
fn what_is_open_and_stored_already_is_no_backlog() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(100)));
    bench.samples(0, 52);
    assert_eq!(bench.agent.backlog(), 52);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((4, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.agent.backlog(), 0);
}

#[test]
fn a_server_that_does_not_tell_its_end_is_waited_for_a_second() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::Connected);
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(300)));
    assert!(bench.resumes().is_empty());
    bench.pass(999);
    assert!(bench.resumes().is_empty());
    bench.pass(1);
    assert_eq!(bench.resumes(), [0]);
}

#[test]
fn three_foreign_tails_in_a_minute_stop_the_boiler() {
    for (tail, found) in [
        (stored(0, BOOT, "TW-2"), "device"),
        (stored(0, Boot(BOOT.0 + (1 << 32)), "TW-1"), "boot"),
        (stored(5_000, BOOT, "TW-1"), "the device is at 100"),
        (vec![0x7f, 1, 2], "unknown layout"),
    ] {
        let mut bench = Bench::new(settings());
        bench.tell(Input::PortOpened);
        bench.say(&ToGateway::Hello(hello(100)));
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(Some((3, &tail))));
        assert!(!bench.stops());
        for _ in 0..2 {
            bench.pass(5_000);
            bench.say(&ToGateway::Hello(hello(100)));
            bench.tell(Input::Tail(Some((3, &tail))));
        }
        assert!(bench.stops(), "{found}");
        let told = bench.events().into_iter().any(|(kind, body)| {
            kind == EventKind::Delivery && matches!(&body, EventBody::Conflict { found: why } if why.contains(found))
        });
        assert!(told, "{found}: {:?}", bench.events());
        assert!(bench.published().is_empty());
    }
}

#[test]
fn a_conflict_that_passes_does_not_stop_anything() {
    let foreign = stored(0, BOOT, "TW-2");
    let mut bench = Bench::running(settings(), 100, Some((3, &foreign)));
    bench.effects.clear();
    for _ in 0..6 {
        bench.pass(31_000);
        bench.tell(Input::Disconnected);
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(Some((3, &foreign))));
    }
    assert!(!bench.stops());
}

#[test]
fn a_server_that_went_back_gets_it_again_and_it_is_said() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 300);
    for sequence in 1..=3 {
        bench.tell(Input::Acknowledged { sequence });
    }
    assert_eq!(bench.agent.backlog(), 0);
    bench.tell(Input::Disconnected);
    bench.pass(60_000);
    bench.tell(Input::Connected);
    bench.effects.clear();
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.published(), [(1, 100, 200)], "from memory: time without a server does not count");
    assert!(bench.resumes().is_empty());
    let back = EventBody::StreamWentBack { expected: 3, found: 1 };
    assert!(bench.events().contains(&(EventKind::Delivery, back)));
}

#[test]
fn acknowledged_records_leave_after_three_sync_intervals() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 100);
    bench.tell(Input::Acknowledged { sequence: 1 });
    bench.pass(29_000);
    assert!(bench.agent.spool_bytes() > 0);
    bench.pass(1_000);
    assert_eq!(bench.agent.spool_bytes(), 0);
}

#[test]
fn a_batch_too_large_for_the_server_is_cut_smaller() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 200);
    for _ in 0..2 {
        bench.tell(Input::Refused(Refused::TooLarge));
        bench.tell(Input::Tail(None));
    }
    assert_eq!(bench.published(), [(0, 0, 100), (0, 0, 50), (0, 0, 25)], "without a pause");
    for sequence in 1..8 {
        bench.tell(Input::Acknowledged { sequence });
    }
    let cut = [(0, 25, 50), (1, 50, 75), (2, 75, 100), (3, 100, 125), (4, 125, 150), (5, 150, 175), (6, 175, 200)];
    let cut = cut.map(|(expected, from, to)| (expected + 1, from, to));
    assert_eq!(bench.published()[3..], cut, "the size that passed is kept");
    assert_eq!(bench.agent.backlog(), 100, "a record is done with its last slot");
    bench.tell(Input::Acknowledged { sequence: 8 });
    assert_eq!((bench.agent.backlog(), bench.agent.counters().too_large), (0, 2));
    assert!(bench.agent.is_drained() && !bench.events().iter().any(|(kind, _)| *kind == EventKind::Gap));
    bench.tell(Input::Disconnected);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((8, &stored(100, BOOT, "TW-1")))));
    bench.samples(200, 100);
    assert_eq!(bench.published().last(), Some(&(8, 200, 300)), "another connection may have another limit");
}

#[test]
fn a_sample_too_large_for_the_server_waits() {
    let mut bench = Bench::running(Settings { batch: 1, ..settings() }, 0, None);
    bench.samples(0, 2);
    for _ in 0..20 {
        assert_eq!(bench.published().last(), Some(&(0, 0, 1)));
        bench.effects.clear();
        bench.tell(Input::Refused(Refused::TooLarge));
        assert!(!bench.effects.contains(&Effect::ReadTail), "with a pause");
        bench.pass(1_000);
        bench.tell(Input::Tail(None));
    }
    bench.tell(Input::Acknowledged { sequence: 1 });
    assert_eq!(bench.published().last(), Some(&(1, 1, 2)), "nothing is dropped");
}

/// What the stream has of a record that was cut is not published again, whatever became of the agent meanwhile.
#[test]
fn a_lost_answer_to_a_part_goes_on_behind_it() {
    let mut bench = Bench::running(settings(), 100, Some((7, &stored(0, BOOT, "TW-1"))));
    bench.samples(100, 200);
    bench.tell(Input::Refused(Refused::TooLarge));
    bench.tell(Input::Tail(Some((7, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.published().last(), Some(&(7, 100, 150)));
    bench.tell(Input::Refused(Refused::Unknown));
    bench.tell(Input::Tail(Some((9, &stored(50, BOOT, "TW-1")))));
    assert_eq!(bench.published().last(), Some(&(9, 150, 200)));
    bench.tell(Input::Acknowledged { sequence: 10 });
    assert_eq!((bench.published().last(), bench.agent.backlog()), (Some(&(10, 200, 250)), 100));
}

#[test]
fn a_full_spool_stops_reading_and_begins_again_with_room() {
    let mut bench = Bench::running(Settings { spool_bytes: 7_000, ..settings() }, 0, None);
    bench.samples(0, 3_000);
    assert!(bench.agent.spool_bytes() <= 7_000);
    assert!(bench.agent.counters().full > 0);
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::Log(Log::SpoolFull { .. }))));
    let held = bench.agent.backlog();
    bench.effects.clear();
    bench.pass(1_000);
    assert!(bench.resumes().is_empty(), "not while it is full");
    let mut sequence = 0;
    while bench.agent.backlog() > 0 {
        sequence += 1;
        bench.tell(Input::Acknowledged { sequence });
    }
    bench.effects.clear();
    bench.pass(30_000);
    assert_eq!(bench.resumes().first(), Some(&held), "where it stopped");
}

#[test]
fn a_hole_that_is_filled_ends_where_the_next_slots_are_held() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(Hello { oldest: 150, ..hello(200) }));
    for _ in 0..3 {
        bench.pong();
    }
    bench.samples(150, 50);
    bench.pass(1_000);
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.resumes().last(), Some(&100));
    bench.samples(100, 50);
    bench.samples(200, 100);
    for sequence in 2..4 {
        bench.tell(Input::Acknowledged { sequence });
    }
    assert_eq!(bench.published(), [(1, 100, 150), (2, 150, 200), (3, 200, 300)]);
}

#[test]
fn what_is_open_of_a_boot_goes_out_when_the_next_one_begins() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 30);
    bench.say(&ToGateway::Hello(Hello { boot: Boot(BOOT.0 + (1 << 32)), ..hello(0) }));
    assert_eq!(bench.published(), [(0, 0, 30)]);
}
