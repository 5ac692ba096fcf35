//! From memory to the spill file, and back at the next start.

use super::*;
use crate::spool::spill::Spill;

impl Bench {
    /// What was done to the spill file so far: `B`, `A` with the slots, `S`, `R`.
    fn spills(&self) -> Vec<String> {
        let spills = self.effects.iter().filter_map(|e| if let Effect::Spill(spill) = e { Some(spill) } else { None });
        let text = |spill: &Spill| match spill {
            Spill::Begin => "B".to_string(),
            Spill::Append(message) => {
                let packed = decode(message).unwrap();
                alloc::format!("A{}-{}", packed.first().seq, packed.end().seq)
            }
            Spill::Sync => "S".to_string(),
            Spill::Remove => "R".to_string(),
        };
        spills.map(text).collect()
    }

    fn appended(&self) -> Vec<Vec<u8>> {
        let message =
            |e: &Effect| if let Effect::Spill(Spill::Append(message)) = e { Some(message.clone()) } else { None };
        self.effects.iter().filter_map(message).collect()
    }

    /// A second of the device, a second of this machine.
    fn second(&mut self, from: u64) {
        self.samples(from, 100);
        self.pass(1_000);
    }
}

/// A server that has taken 0 … 100 and then nothing, for 30 s.
fn away() -> Bench {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 100);
    bench.tell(Input::Acknowledged { sequence: 1 });
    bench.tell(Input::Disconnected);
    for n in 1..=30 {
        bench.second(n * 100);
    }
    bench
}

#[test]
fn fair_weather_writes_nothing() {
    let mut bench = Bench::running(settings(), 0, None);
    for n in 0..200 {
        bench.second(n * 100);
        bench.tell(Input::Acknowledged { sequence: n + 1 });
    }
    assert!(bench.spills().is_empty());
}

#[test]
fn after_half_a_minute_all_that_memory_holds_is_written_and_then_what_comes() {
    let mut bench = away();
    let written = bench.spills();
    assert_eq!(written[..2], ["B", "A0-100"], "acknowledged batches included");
    assert_eq!(written[31..], ["A3000-3100", "S"]);
    bench.effects.clear();
    for n in 31..=50 {
        if n == 32 {
            bench.tell(Input::SpillSynced);
        }
        bench.second(n * 100);
    }
    let written = bench.spills();
    assert_eq!(written.iter().filter(|what| *what == "S").count(), 1, "every 10 s, one at a time: {written:?}");
    assert_eq!(written.len(), 21);
    assert_eq!(bench.agent.counters().spilled, 51);
}

#[test]
fn it_is_removed_when_its_last_batch_leaves_memory() {
    let mut bench = away();
    bench.tell(Input::SpillSynced);
    bench.effects.clear();
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    for sequence in 2..=31 {
        bench.tell(Input::Acknowledged { sequence });
    }
    assert_eq!(bench.agent.backlog(), 0);
    bench.pass(29_000);
    assert!(bench.spills().is_empty(), "a server that crashes now would lose it: {:?}", bench.spills());
    bench.pass(1_000);
    assert_eq!(bench.spills(), ["R"]);
    bench.pass(60_000);
    assert_eq!(bench.spills(), ["R"]);
}

#[test]
fn a_failed_sync_is_never_repeated_on_the_same_file() {
    let mut bench = away();
    bench.effects.clear();
    bench.tell(Input::SpillFailed);
    assert!(bench.spills().is_empty(), "not at once");
    bench.pass(10_000);
    let written = bench.spills();
    assert_eq!(written[..2], ["B", "A0-100"], "a new file with all that memory holds");
    assert_eq!(written.last().unwrap(), "S");
    assert_eq!(bench.agent.counters().spill_failures, 1);
}

#[test]
fn the_next_start_goes_on_from_the_file() {
    let before = away();
    let mut bench = Bench::new(settings());
    for message in before.appended() {
        bench.tell(Input::Spilled(&message));
    }
    assert_eq!(bench.agent.backlog(), 3_100);
    bench.tell(Input::PortOpened);
    bench.say(&ToGateway::Hello(hello(20_000)));
    bench.pass(1_100);
    assert_eq!(bench.resumes()[0], 3_100, "the server is away: read behind what is held");
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    assert_eq!(bench.published(), [(1, 100, 200)]);
    let Some(Effect::Publish { payload, .. }) = bench.effects.iter().find(|e| matches!(e, Effect::Publish { .. }))
    else {
        unreachable!("it was published");
    };
    assert_eq!(*payload, before.appended()[1], "as it was stamped before");
}

#[test]
fn a_file_that_grew_twice_over_the_same_slots_is_taken_once() {
    let before = away();
    let mut bench = Bench::new(settings());
    bench.tell(Input::Spilled(&stored(150, BOOT, "TW-1")));
    for message in before.appended() {
        bench.tell(Input::Spilled(&message));
    }
    assert_eq!(bench.agent.backlog(), 3_100);
}

#[test]
fn the_end_with_a_backlog_writes_it_down() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 250);
    bench.tell(Input::Leave);
    assert_eq!(bench.spills(), ["B", "A0-100", "A100-200", "A200-250", "S"]);
    let mut drained = Bench::running(settings(), 0, None);
    drained.samples(0, 100);
    drained.tell(Input::Acknowledged { sequence: 1 });
    drained.tell(Input::Leave);
    assert!(drained.spills().is_empty());
}

#[test]
fn memory_and_file_stay_below_their_bounds_for_six_hours_with_a_flapping_server() {
    let bound = 256 << 10;
    let mut bench = Bench::running(Settings { spool_bytes: bound, ..settings() }, 0, None);
    let (mut file, mut largest) = (0, 0);
    for n in 0..6 * 3_600 {
        bench.second(n * 100);
        bench.tell(Input::Refused(crate::agent::Refused::Unknown));
        for effect in core::mem::take(&mut bench.effects) {
            let Effect::Spill(spill) = effect else { continue };
            match spill {
                Spill::Begin => file = 0,
                Spill::Append(message) => file += message.len() + thermowell_wire::spill::RECORD_OVERHEAD,
                Spill::Sync => bench.tell(Input::SpillSynced),
                Spill::Remove => unreachable!("nothing was ever acknowledged"),
            }
            largest = file.max(largest);
        }
        assert!(bench.agent.spool_bytes() <= bound && file <= 2 * bound + 6_000, "{n}: {file}");
    }
    assert!(bench.agent.counters().full > 0 && largest > 0, "the bound was reached");
}

/// A file of twice the bound, in batches that take more room in memory than on the disk: what came last is kept.
#[test]
fn memory_stays_below_its_bound_when_the_file_is_larger() {
    let bound = 64 << 10;
    let mut bench = Bench::new(Settings { spool_bytes: bound, ..settings() });
    for n in 0..2_000 {
        bench.tell(Input::Spilled(&stored(n * 100, BOOT, "TW-1")));
        assert!(bench.agent.spool_bytes() <= bound, "{n}: {}", bench.agent.spool_bytes());
    }
    let counters = *bench.agent.counters();
    assert!(counters.restored == 2_000 && counters.unrestored > 0, "{counters:?}");
    assert_eq!(bench.agent.backlog(), (2_000 - counters.unrestored) * 100);
    let unrestored = bench.agent.unrestored().map(|it| (it.records, it.slots));
    assert_eq!(unrestored, Some((counters.unrestored, counters.unrestored * 100)));
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((9, &stored((counters.unrestored - 1) * 100, BOOT, "TW-1")))));
    assert_eq!(bench.agent.unrestored(), None, "the stream has it");
    assert_eq!(bench.published(), [(9, counters.unrestored * 100, counters.unrestored * 100 + 100)]);
}

/// What lies between the stream's end and such a record would be a gap of centuries, for which UTC has no numbers.
#[test]
fn a_record_from_beyond_the_life_of_any_boot_is_left_out() {
    let mut bench = Bench::new(settings());
    bench.tell(Input::Spilled(&stored(1 << 61, BOOT, "TW-1")));
    bench.tell(Input::Spilled(&stored(300, BOOT, "TW-1")));
    assert_eq!((bench.agent.counters().implausible, bench.agent.counters().restored), (1, 1));
    bench.tell(Input::Connected);
    bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
    bench.pass(120_000);
    bench.tell(Input::Acknowledged { sequence: 2 });
    assert_eq!(bench.published(), [(1, 100, 300), (2, 300, 400)]);
}

/// An agent that starts reads the stream's end before anybody answers at the port.
#[test]
fn a_hole_before_what_was_restored_waits_for_a_device_that_may_have_it() {
    for heard in [true, false] {
        let mut bench = Bench::new(settings());
        bench.tell(Input::Spilled(&stored(300, BOOT, "TW-1")));
        bench.tell(Input::Connected);
        bench.tell(Input::Tail(Some((1, &stored(0, BOOT, "TW-1")))));
        bench.tell(Input::PortOpened);
        bench.pass(119_999);
        assert!(bench.published().is_empty());
        if heard {
            bench.say(&ToGateway::Hello(hello(400)));
            assert_eq!(bench.resumes(), [100]);
        }
        bench.pass(1);
        let named = if heard { vec![] } else { vec![(1, 100, 300)] };
        assert_eq!(bench.published(), named, "what no device remembers any more is named");
    }
}
