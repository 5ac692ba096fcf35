//! After a long outage every slot is accounted for, including those lost from the stream.

use thermowell_flow::published::Missing;
use world::outage::{Books, keep_books};

/// Slots in an hour.
const HOUR: u64 = 36_000;

fn agree(books: &Books) {
    let Books { hours, closed, account, named, read, full, outcome } = books;
    assert_eq!(outcome.failure, None, "{:#?}", outcome.history);
    assert!(*full > 0, "the spool never overflowed: {books:?}");
    assert_eq!(hours.slots(), closed.1, "the hours do not add up: {books:?}");
    assert_eq!(hours, account, "the simulator's account differs: {books:?}");
    assert_eq!(
        (hours.missing.ring, hours.missing.missed),
        (named.ring, named.missed),
        "the agent's account differs: {books:?}"
    );
    assert_eq!(hours.counted + hours.missing.invalid, read.0 - read.1, "the agent read other samples: {books:?}");
    // Half an hour before the first full one, the outage, and what is closed after it.
    assert!(closed.0 == 9 && closed.1.abs_diff(17 * HOUR / 2) <= 5, "{books:?}");
    let Missing { clock, discarded, unexplained, .. } = hours.missing;
    assert_eq!((clock, discarded, unexplained), (0, 0, 0), "{books:?}");
}

#[test]
fn six_hours_with_spool_and_ring_overflow_add_up() {
    let books = keep_books("seed = 61", 6);
    agree(&books);
    // At most half an hour in memory, two minutes in the ring.
    assert!(books.hours.missing.ring > 5 * HOUR + HOUR / 2 - 1_500, "{books:?}");
    assert_eq!(books.hours.missing, Missing { ring: books.hours.missing.ring, ..Missing::default() });
}

/// All kinds of losses: in what is read, in what is spooled, in what is never read, and a boot that ends unread.
const LOSSES: &str = r#"
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
fn six_hours_with_all_kinds_of_loss_add_up_by_reason() {
    let books = keep_books(LOSSES, 6);
    agree(&books);
    let Missing { ring, reboot, missed, invalid, .. } = books.hours.missing;
    // Slots missed or invalid during the unread time count once, as lost there.
    assert_eq!((missed, invalid), (60, 600), "{books:?}");
    assert!(ring > HOUR && reboot > 3 * HOUR, "{books:?}");
}
