use alloc::vec;

use thermowell_wire::batch::{BatchHeader, ClockQuality, encode_batch, encoded_max};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use super::*;

fn message(boot: u32, seq: u64, count: u16) -> Vec<u8> {
    let header = BatchHeader {
        device: 1,
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

/// The feed is ahead of SAMPLES, which is then filled again in other batches.
#[test]
fn feed_that_outlived_samples_has_no_hole() {
    let mut events = vec![];
    Feed::new(None).events(3, &message(1, 5, 2), &mut events);
    let begins_at = |found: Option<Vec<u8>>| {
        let mut feed = Feed::new(events.last().map(|event| (2, event.clone())));
        feed.found_at_replay(found.as_deref());
        feed.replay_from()
    };
    assert_eq!(begins_at(None), None);
    assert_eq!(begins_at(Some(message(1, 9, 2))), None, "slots 7 and 8 are in another message");
    assert_eq!(begins_at(Some(message(2, 0, 2))), None);
    assert_eq!(begins_at(Some(message(1, 4, 9))), Some(3));
    let mut feed = Feed::new(None);
    feed.found_at_replay(None);
    assert_eq!(feed.replay_from(), None);
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
