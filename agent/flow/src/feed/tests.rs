use alloc::vec;

use thermowell_wire::batch::{BatchHeader, ClockQuality, encode_batch, encoded_max};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use super::*;

fn message(boot: u32, seq: u64, count: u16) -> Vec<u8> {
    of_device(1, boot, seq, count)
}

fn of_device(device: u32, boot: u32, seq: u64, count: u16) -> Vec<u8> {
    let header = BatchHeader {
        device,
        boot: Boot::new(boot, 0),
        seq,
        count,
        first_utc_ns: 1_767_754_800_000_000_000 + i64::try_from(seq).unwrap() * 10_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    };
    let readings: Vec<Reading> = (0..count)
        .map(|at| {
            let quality = if at == 1 { Quality::Short } else { Quality::Ok };
            Reading::new(CentiCelsius(6_137), quality, true, false, true)
        })
        .collect();
    let mut out = vec![0; encoded_max(readings.len())];
    encode_batch(&header, &readings, &mut out).unwrap().to_vec()
}

fn places(events: &[FeedEvent]) -> Vec<(u32, u64)> {
    events.iter().map(|event| (event.boot.counter(), event.seq)).collect()
}

#[test]
fn event_serializes_as_published() {
    let mut events = vec![];
    Feed::new(None).events(7, &message(1, 1, 2), &mut events);
    assert_eq!(
        serde_json::to_string(&events[0]).unwrap(),
        concat!(
            r#"{"name":"TemperatureSampled","boot":"0000000100000000","seq":1,"#,
            r#""data":{"temperature":61.37,"created_at":1767754800.01},"samples":7}"#
        )
    );
    assert_eq!(
        serde_json::to_string(&events[1].data).unwrap(),
        r#"{"temperature":null,"created_at":1767754800.02,"quality":"short"}"#
    );
}

/// The events after `last`, made from message `samples` of what `stream` was then.
fn after(last: (u32, u64), samples: u64, stream: &[Vec<u8>]) -> Vec<(u32, u64)> {
    resumed(last, samples, stream, stream.len())
}

/// The same, with only the first `stored` messages there at the start.
fn resumed(last: (u32, u64), samples: u64, stream: &[Vec<u8>], stored: usize) -> Vec<(u32, u64)> {
    let mut made = vec![];
    Feed::new(None).events(samples, &message(last.0, last.1, 1), &mut made);
    let mut feed = Feed::new(made.pop().map(|event| (1, event)));
    let numbered = || (1..).zip(stream);
    let mut at_start = numbered().take(stored);
    let found = at_start.clone().find(|(sequence, _)| *sequence == samples).map(|(_, bytes)| bytes.as_slice());
    if !feed.found_at_replay(found) {
        let _holder = at_start.find(|(sequence, bytes)| feed.look_back(*sequence, bytes));
    }
    let mut events = vec![];
    // Another boiler of the same reader may begin earlier.
    numbered().for_each(|(sequence, bytes)| feed.events(sequence, bytes, &mut events));
    assert!(events.iter().all(|event| event.samples >= feed.replay_from().unwrap_or(0)));
    places(&events)
}

/// The feed kept more of its end than SAMPLES, which is then filled again in other batches.
#[test]
fn feed_that_outlived_samples_has_no_hole_and_no_duplicate() {
    let again = [message(1, 0, 3), message(1, 3, 5), message(1, 8, 1), message(1, 9, 1)];
    let rest = [(1, 7), (1, 8), (1, 9)];
    for samples in 1..=9 {
        assert_eq!(after((1, 6), samples, &again), rest, "{samples}");
    }
    for stored in 0..=again.len() {
        assert_eq!(resumed((1, 6), 3, &again, stored), rest, "{stored}");
    }
    assert_eq!(after((1, 6), 3, &[message(1, 0, 3), vec![1], message(1, 6, 2)]), [(1, 7)]);
    // Everything is new.
    assert_eq!(after((1, 6), 3, &[message(2, 0, 1), message(2, 1, 1)]), [(2, 0), (2, 1)]);
}

#[test]
fn boots_of_another_board_are_not_compared() {
    // Replaced after the last event, by a board that has started less often.
    let replaced = [of_device(1, 5, 0, 2), of_device(2, 1, 0, 2)];
    assert_eq!(after((5, 1), 1, &replaced), [(1, 0), (1, 1)]);
    let twice = [of_device(2, 1, 0, 2), of_device(1, 5, 0, 3)];
    assert_eq!(resumed((5, 1), 1, &twice, 1), [(5, 2)]);
    // Replaced before it: what the old board sampled was published.
    for samples in 1..=3 {
        assert_eq!(after((1, 0), samples, &replaced), [(1, 1)], "{samples}");
    }
}

#[test]
fn each_sample_is_emitted_once_and_in_order_after_any_event() {
    let stream =
        [message(1, 0, 3), message(1, 3, 3), message(1, 3, 3), message(1, 4, 4), message(2, 0, 2), message(1, 8, 1)];
    let run = |last: Option<(u64, FeedEvent)>| {
        let mut feed = Feed::new(last);
        let from = feed.replay_from().unwrap_or(1);
        let mut events = vec![];
        for (sequence, bytes) in (1..).zip(&stream).filter(|(sequence, _)| *sequence >= from) {
            feed.events(sequence, bytes, &mut events);
        }
        events
    };
    let all = run(None);
    assert_eq!(places(&all), [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (2, 0), (2, 1)]);
    for at in 0..all.len() {
        assert_eq!(run(Some((1, all[at].clone()))), all[at + 1..]);
    }
}
