//! Behind a long outage nothing is lost from the books, whatever is lost from the stream.

use thermowell_flow::published::Missing;
use world::outage::{Books, keep_books};

/// Slots in an hour.
const HOUR: u64 = 36_000;

fn agree(books: &Books) {
    let Books { hours, closed, account, named, taken, full, outcome } = books;
    assert_eq!(outcome.failure, None, "{:#?}", outcome.history);
    assert!(*full > 0, "the spool never overflowed: {books:?}");
    assert_eq!(hours.slots(), closed.1, "the hours do not close: {books:?}");
    assert_eq!(hours, account, "the simulator's account is another one: {books:?}");
    assert_eq!((hours.missing.ring, hours.missing.missed), (named.ring, named.missed), "the agent's is: {books:?}");
    assert_eq!(hours.counted + hours.missing.invalid, taken.0 - taken.1, "the agent took others: {books:?}");
    // Half an hour before the first full one, the outage, and what is closed behind it.
    assert!(closed.0 == 9 && closed.1.abs_diff(17 * HOUR / 2) <= 5, "{books:?}");
    let Missing { clock, discarded, unexplained, .. } = hours.missing;
    assert_eq!((clock, discarded, unexplained), (0, 0, 0), "{books:?}");
}

#[test]
fn six_hours_with_a_spool_and_a_ring_that_overflow_are_accounted_for() {
    let books = keep_books("seed = 61", 6);
    agree(&books);
    // At most half an hour in memory, two minutes in the ring.
    assert!(books.hours.missing.ring > 5 * HOUR + HOUR / 2 - 1_500, "{books:?}");
    assert_eq!(books.hours.missing, Missing { ring: books.hours.missing.ring, ..Missing::default() });
}

/// Everything that can be missing: in what is read, in what is held, in what nobody reads, and a boot that ends unread.
const TROUBLE: &str = r#"
    seed = 62
    [device]
    missed = [
        { at = "30m50ms", for = "3 s" }, { at = "1h3m50ms", for = "2 s" }, { at = "3h", for = "10 s" },
        { at = "7h30m50ms", for = "1 s" },
    ]
    reboot = [{ at = "5h", for = "7 s" }]
    [sensor]
    open = [
        { at = "40 min", for = "20 s" }, { at = "1h5m", for = "10 s" }, { at = "4h", for = "5 min" },
        { at = "7h40m", for = "30 s" },
    ]
"#;

#[test]
fn six_hours_of_every_kind_of_trouble_are_accounted_for_reason_by_reason() {
    let books = keep_books(TROUBLE, 6);
    agree(&books);
    let Missing { ring, reboot, missed, invalid, .. } = books.hours.missing;
    // What was missed or invalid where nobody read is missing once, with what was lost there.
    assert_eq!((missed, invalid), (60, 600), "{books:?}");
    assert!(ring > HOUR && reboot > 3 * HOUR, "{books:?}");
}
