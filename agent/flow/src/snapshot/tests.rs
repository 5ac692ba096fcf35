use alloc::vec::Vec;

use thermowell_wire::batch::ClockQuality;
use thermowell_wire::{CentiCelsius, Reading};

use super::*;

const PERIOD_NS: u32 = 10_000_000;
const HOUR: i64 = 490_000;

/// A ledger and a generator of its messages: 100 slots a second.
struct Bench {
    ledger: Ledger,
    next: Slot,
    utc_ns: i64,
    sequence: u64,
}

impl Bench {
    fn new(before_hour: u64) -> Self {
        Self {
            ledger: Ledger::new("b1".parse().unwrap()),
            next: Slot::new(Boot::new(1, 0), 0),
            utc_ns: start_ns(HOUR) - slots_ns(before_hour, PERIOD_NS),
            sequence: 1,
        }
    }

    fn head(&self, synced: bool, is_batch: bool) -> Head {
        Head {
            sequence: self.sequence,
            first: self.next,
            utc_ns: self.utc_ns,
            period_ns: PERIOD_NS,
            synced,
            simulated: false,
            is_batch,
        }
    }

    fn pass(&mut self, head: &Head, slots: u64) {
        self.utc_ns += slots_ns(slots, PERIOD_NS);
        self.ledger.leave(head, self.utc_ns);
        self.next.seq += slots;
        self.sequence += 1;
    }

    /// One message of readings, counted slot by slot.
    fn read(&mut self, slots: u64) {
        let head = self.head(true, true);
        self.ledger.enter(&head);
        for at in 0..slots {
            let mut pane = Pane::EMPTY;
            pane.add(Reading { temperature: CentiCelsius(5_000), marks: Reading::PUMP });
            let first = Slot::new(self.next.boot, self.next.seq + at);
            let span = Span { first, count: 1, utc_ns: self.utc_ns + slots_ns(at, PERIOD_NS) };
            self.ledger.count(&span, &pane, &head);
        }
        self.pass(&head, slots);
    }

    fn miss(&mut self, slots: u64, reason: Reason, synced: bool) {
        let head = self.head(synced, false);
        self.ledger.enter(&head);
        self.ledger.record_missing(Span { first: self.next, count: slots, utc_ns: self.utc_ns }, reason, &head);
        self.pass(&head, slots);
    }

    fn reboot(&mut self, off_slots: u64) {
        self.utc_ns += slots_ns(off_slots, PERIOD_NS);
        self.next = Slot::new(Boot::new(self.next.boot.counter() + 1, 0), 0);
    }

    fn closed(&mut self) -> Vec<Snapshot> {
        core::iter::from_fn(|| self.ledger.take_closed()).collect()
    }
}

#[test]
fn hour_closes_with_a_slot_of_the_next_hour() {
    let mut bench = Bench::new(150);
    bench.read(150);
    assert!(bench.closed().is_empty(), "the clock does not close an hour");
    bench.read(1);
    let [hour] = bench.closed().try_into().unwrap();
    assert_eq!((hour.slots, hour.last.seq, hour.created_at), (150, 149, HOUR * 3_600));
    assert!(hour.partial && hour.hour == "2025-11-24T15:00:00Z");
}

#[test]
fn gap_is_split_at_hours() {
    let mut bench = Bench::new(150);
    bench.read(100);
    bench.miss(360_170, Reason::Ring, true);
    bench.read(1);
    let hours = bench.closed();
    let ring: Vec<u64> = hours.iter().map(|hour| hour.missing.ring).collect();
    assert_eq!(ring, [50, 360_000]);
    assert_eq!((hours[0].last.seq, hours[1].first.unwrap().seq, hours[1].last.seq), (149, 150, 360_149));
    assert_eq!(hours[1].temperature, None);
    assert_eq!(bench.ledger.open().unwrap().missing.ring, 120);
}

#[test]
fn time_between_two_boots_is_split_at_hours() {
    let mut bench = Bench::new(150);
    bench.read(100);
    // The new boot's slots 0 to 39 are missing for their own reason: they do not count as reboot.
    bench.reboot(80);
    bench.miss(40, Reason::Ring, true);
    bench.read(60);
    let [hour] = bench.closed().try_into().unwrap();
    assert_eq!((hour.missing.reboot, hour.slots, hour.last.seq), (50, 150, 99));
    let open = bench.ledger.open().unwrap();
    assert_eq!((open.missing.reboot, open.missing.ring, open.valid.points), (30, 40, 60));
}

#[test]
fn waiting_slots_count_in_the_hour_of_the_next_trusted_slot() {
    let mut bench = Bench::new(150);
    bench.read(100);
    bench.miss(70, Reason::Clock, false);
    bench.read(10);
    let [hour] = bench.closed().try_into().unwrap();
    assert_eq!((hour.slots, hour.missing.clock, hour.clock), (100, 0, ClockQuality::Synced));
    let open = bench.ledger.open().unwrap();
    assert_eq!((open.missing.clock, open.valid.points, open.untrusted), (70, 10, true));
}

#[test]
fn untrusted_boot_does_not_count_as_reboot_time() {
    let mut bench = Bench::new(360_000);
    bench.read(10);
    bench.reboot(100);
    bench.miss(200, Reason::Clock, false);
    bench.reboot(300);
    bench.read(10);
    let open = bench.ledger.open().unwrap();
    assert_eq!((open.missing.reboot, open.missing.clock), (400, 200));
}

#[test]
fn empty_hours_above_48_are_only_counted() {
    let mut bench = Bench::new(100);
    bench.read(100);
    bench.reboot(60 * 360_000 + 5);
    bench.read(1);
    bench.utc_ns += HOUR_NS;
    bench.read(1);
    let hours = bench.closed();
    assert_eq!(hours.len(), 1 + 48 + 1);
    assert!(hours[1..49].iter().all(|hour| hour.temperature.is_none() && hour.missing.reboot == 360_000));
    assert!(hours[1..49].iter().all(|hour| hour.first.is_none() && hour.last.seq == 99 && !hour.partial));
    assert_eq!((hours[49].skipped_hours, hours[49].missing.reboot, hours[49].temperature_points), (12, 5, 1));
    assert!(hours[..49].iter().all(|hour| hour.skipped_hours == 0));
}

#[test]
fn stored_last_slot_is_the_boundary_despite_stamps() {
    let mut bench = Bench::new(150);
    bench.read(150);
    bench.read(1);
    let [stored] = bench.closed().try_into().unwrap();
    for shift in [-3i64, 3] {
        let mut again = Bench { ledger: Ledger::recompute("b1".parse().unwrap(), &stored), ..Bench::new(150) };
        again.utc_ns += shift * i64::from(PERIOD_NS);
        again.read(160);
        let [hour] = again.closed().try_into().unwrap();
        assert_eq!((hour.slots, hour.last.seq), (150, 149), "{shift}");
        let open = again.ledger.open().unwrap();
        assert_eq!((open.hour, open.valid.points), (HOUR, 10), "{shift}");
    }
}

/// The readings before a stored hour give the hour of the last reading, which limits empty hours; a stamp years ahead
/// does not.
#[test]
fn warm_up_stamped_years_ahead_adds_no_empty_hours() {
    let mut bench = Bench::new(200);
    bench.read(200);
    bench.miss(100, Reason::Ring, true);
    bench.utc_ns += HOUR_NS;
    bench.read(1);
    let hours = bench.closed();
    let mut again = Bench { ledger: Ledger::recompute("b1".parse().unwrap(), &hours[1]), ..Bench::new(200) };
    again.utc_ns += 9_000 * HOUR_NS;
    again.read(200);
    again.miss(100, Reason::Ring, true);
    again.utc_ns += HOUR_NS;
    again.read(1);
    let hours = again.closed();
    assert!(hours.len() <= 51, "{} hours", hours.len());
}

#[test]
fn slots_after_a_stored_hour_without_messages_are_discarded() {
    let mut bench = Bench::new(150);
    bench.read(150);
    bench.read(1);
    let [stored] = bench.closed().try_into().unwrap();
    let mut again = Bench { ledger: Ledger::after("b1".parse().unwrap(), &stored), ..Bench::new(0) };
    again.reboot(500);
    again.read(10);
    let open = again.ledger.open().unwrap();
    assert_eq!((open.hour, open.missing.discarded, open.valid.points, open.partial), (HOUR, 500, 10, false));
}

#[test]
fn reboot_time_before_a_stored_hour_is_not_counted_twice() {
    let mut bench = Bench::new(500);
    bench.read(100);
    bench.reboot(300);
    bench.read(100);
    bench.read(1);
    bench.utc_ns += HOUR_NS;
    bench.read(1);
    let hours = bench.closed();
    assert_eq!((hours[0].missing.reboot, hours[1].first.unwrap().seq), (300, 100));
    // The new boot is stamped 4 s later now: part of the time between the boots would be in the stored hour.
    let mut again = Bench { ledger: Ledger::recompute("b1".parse().unwrap(), &hours[1]), ..Bench::new(500) };
    again.read(100);
    again.reboot(700);
    again.read(100);
    again.read(1);
    again.utc_ns += HOUR_NS;
    again.read(1);
    let [hour] = again.closed().try_into().unwrap();
    assert_eq!((hour.missing.reboot, hour.slots), (0, 1));
}

/// S4: each reason has its own number, and together with what is counted they are all slots of the hour.
#[test]
fn every_reason_is_counted_and_sums_to_the_hour() {
    let mut bench = Bench::new(1_000);
    bench.read(100);
    bench.miss(3, Reason::Ring, true);
    bench.miss(5, Reason::Missed, true);
    bench.miss(7, Reason::Clock, true);
    bench.miss(11, Reason::Discarded, true);
    bench.miss(13, Reason::Unexplained, true);
    let head = bench.head(true, true);
    let mut pane = Pane::EMPTY;
    for _ in 0..17 {
        pane.add(Reading { temperature: CentiCelsius(5_000), marks: 1 });
    }
    bench.ledger.enter(&head);
    bench.ledger.count(&Span { first: bench.next, count: 17, utc_ns: bench.utc_ns }, &pane, &head);
    bench.pass(&head, 17);
    bench.reboot(19);
    bench.read(1_000 - 100 - 3 - 5 - 7 - 11 - 13 - 17 - 19 + 1);
    let [hour] = bench.closed().try_into().unwrap();
    let expected = Missing { ring: 3, reboot: 19, missed: 5, invalid: 17, clock: 7, discarded: 11, unexplained: 13 };
    assert_eq!((hour.missing, hour.slots), (expected, 1_000));
    assert_eq!(hour.slots, hour.temperature_points + hour.missing.total());
}
