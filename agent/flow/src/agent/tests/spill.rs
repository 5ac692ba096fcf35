//! From memory to the spill file, and back at the next start.

use super::*;
use crate::spool::spill::Spill;

impl Bench {
    /// Effects on the spill file: `B`egin, `A`ppend with its slots, `S`ync, `R`emove.
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

    /// A second, and its samples.
    fn second(&mut self, from: u64) {
        self.samples(from, 100);
        self.advance(1_000);
    }
}

/// The server has stored slots 0 to 100, and has been away for 30 s.
fn away() -> Bench {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 100);
    bench.acknowledge(1);
    bench.feed(Input::Disconnected);
    for n in 1..=30 {
        bench.second(n * 100);
    }
    bench
}

#[test]
fn nothing_is_spilled_while_the_server_is_connected() {
    let mut bench = Bench::running(settings(), 0, None);
    for n in 0..200 {
        bench.second(n * 100);
        bench.acknowledge(n + 1);
    }
    assert!(bench.spills().is_empty());
}

#[test]
fn long_outage_spills_all_of_memory_and_then_each_batch() {
    let mut bench = away();
    let written = bench.spills();
    assert_eq!(written[..2], ["B", "A0-100"], "acknowledged batches included");
    assert_eq!(written[31..], ["A3000-3100", "S"]);
    bench.effects.clear();
    for n in 31..=50 {
        if n == 32 {
            bench.feed(Input::SpillSynced);
        }
        bench.second(n * 100);
    }
    let written = bench.spills();
    assert_eq!(written.iter().filter(|what| *what == "S").count(), 1, "every 10 s, one at a time: {written:?}");
    assert_eq!(written.len(), 21);
    assert_eq!(bench.agent.counters().spilled, 51);
}

#[test]
fn file_is_removed_when_its_last_batch_leaves_memory() {
    let mut bench = away();
    bench.feed(Input::SpillSynced);
    bench.effects.clear();
    bench.connect(Some((1, &stored(0))));
    bench.acknowledge_all(2..=31);
    assert_eq!(bench.agent.backlog(), 0);
    bench.advance(29_000);
    assert!(bench.spills().is_empty(), "a server that crashes now would lose it: {:?}", bench.spills());
    bench.advance(1_000);
    assert_eq!(bench.spills(), ["R"]);
    bench.advance(60_000);
    assert_eq!(bench.spills(), ["R"]);
}

#[test]
fn file_is_written_again_after_a_failed_sync() {
    let mut bench = away();
    bench.effects.clear();
    bench.feed(Input::SpillFailed);
    assert!(bench.spills().is_empty(), "not at once");
    bench.advance(10_000);
    let written = bench.spills();
    assert_eq!(written[..2], ["B", "A0-100"], "a new file with all that memory holds");
    assert_eq!(written.last().unwrap(), "S");
    assert_eq!(bench.agent.counters().spill_failures, 1);
}

/// A full disk fails every ten seconds, for days.
#[test]
fn outage_is_logged_as_spilling_once_while_the_file_fails() {
    let mut bench = away();
    let mut spilling = 0;
    for _ in 0..5 {
        let is_spilling = |effect: &&Effect| matches!(effect, Effect::Log(Log::Spilling { .. }));
        spilling += bench.effects.iter().filter(is_spilling).count();
        bench.effects.clear();
        bench.feed(Input::SpillFailed);
        bench.advance(10_000);
    }
    assert_eq!(spilling, 1);
}

#[test]
fn restart_continues_from_the_file() {
    let before = away();
    let mut bench = Bench::new(settings());
    for message in before.appended() {
        bench.feed(Input::Spilled(&message));
    }
    assert_eq!(bench.agent.backlog(), 3_100);
    bench.plug_in(hello(20_000));
    bench.advance(1_100);
    assert_eq!(bench.resumes()[0], 3_100, "the server is away: the slot after the held ones");
    bench.connect(Some((1, &stored(0))));
    assert_eq!(bench.published(), [(1, 100, 200)]);
    assert_eq!(bench.payload(), before.appended()[1], "stamps are not changed");
}

#[test]
fn overlapping_records_of_a_file_are_restored_once() {
    let before = away();
    let mut bench = Bench::new(settings());
    bench.feed(Input::Spilled(&stored(150)));
    for message in before.appended() {
        bench.feed(Input::Spilled(&message));
    }
    assert_eq!(bench.agent.backlog(), 3_100);
}

#[test]
fn shutdown_spills_the_backlog() {
    let mut bench = Bench::running(settings(), 0, None);
    bench.samples(0, 250);
    bench.feed(Input::Leave);
    assert_eq!(bench.spills(), ["B", "A0-100", "A100-200", "A200-250", "S"]);
    let mut drained = Bench::running(settings(), 0, None);
    drained.samples(0, 100);
    drained.acknowledge(1);
    drained.feed(Input::Leave);
    assert!(drained.spills().is_empty());
}

#[test]
fn memory_and_file_stay_within_bounds_for_six_hours() {
    let bound = 256 << 10;
    let mut bench = Bench::running(Settings { spool_bytes: bound, ..settings() }, 0, None);
    let (mut file, mut largest) = (0, 0);
    for n in 0..6 * 3_600 {
        bench.second(n * 100);
        bench.feed(Input::Refused(Refused::Unknown));
        for effect in core::mem::take(&mut bench.effects) {
            let Effect::Spill(spill) = effect else { continue };
            match spill {
                Spill::Begin => file = 0,
                Spill::Append(message) => file += message.len() + thermowell_wire::spill::RECORD_OVERHEAD,
                Spill::Sync => bench.feed(Input::SpillSynced),
                Spill::Remove => unreachable!("nothing was acknowledged"),
            }
            largest = file.max(largest);
        }
        assert!(bench.agent.spool_bytes() <= bound && file <= 2 * bound + 6_000, "{n}: {file}");
    }
    assert!(bench.agent.counters().full > 0 && largest > 0, "the bound was reached");
}

/// Records need more room in memory than on the disk. The newest ones are kept.
#[test]
fn larger_file_is_restored_within_the_bound() {
    let bound = 64 << 10;
    let mut bench = Bench::new(Settings { spool_bytes: bound, ..settings() });
    for n in 0..2_000 {
        bench.feed(Input::Spilled(&stored(n * 100)));
        assert!(bench.agent.spool_bytes() <= bound, "{n}: {}", bench.agent.spool_bytes());
    }
    let counters = *bench.agent.counters();
    assert!(counters.restored == 2_000 && counters.unrestored > 0, "{counters:?}");
    assert_eq!(bench.agent.backlog(), (2_000 - counters.unrestored) * 100);
    let unrestored = bench.agent.unrestored().map(|it| (it.records, it.slots));
    assert_eq!(unrestored, Some((counters.unrestored, counters.unrestored * 100)));
    bench.connect(Some((9, &stored((counters.unrestored - 1) * 100))));
    assert_eq!(bench.agent.unrestored(), None, "the stream has them");
    assert_eq!(bench.published(), [(9, counters.unrestored * 100, counters.unrestored * 100 + 100)]);
}

/// The gap before such a record would last for centuries, beyond the range of UTC.
#[test]
fn record_with_an_impossible_slot_is_not_restored() {
    let mut bench = Bench::new(settings());
    bench.feed(Input::Spilled(&stored(1 << 61)));
    bench.feed(Input::Spilled(&stored(300)));
    assert_eq!((bench.agent.counters().implausible, bench.agent.counters().restored), (1, 1));
    bench.connect(Some((1, &stored(0))));
    bench.advance(120_000);
    bench.acknowledge(2);
    assert_eq!(bench.published(), [(1, 100, 300), (2, 300, 400)]);
}

/// A restarted agent reads the stream's end before the device answers.
#[test]
fn hole_before_restored_records_waits_for_the_device() {
    for answers in [true, false] {
        let mut bench = Bench::new(settings());
        bench.feed(Input::Spilled(&stored(300)));
        bench.connect(Some((1, &stored(0))));
        bench.feed(Input::PortOpened);
        bench.advance(119_999);
        assert!(bench.published().is_empty());
        if answers {
            bench.hello(hello(400));
            assert_eq!(bench.resumes(), [100]);
        }
        bench.advance(1);
        let named = if answers { vec![] } else { vec![(1, 100, 300)] };
        assert_eq!(bench.published(), named, "no ring holds these slots any more");
    }
}
