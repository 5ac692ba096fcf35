//! Delivery under attack: the stream is changed, emptied, deleted or written by others while the agent publishes.

use std::time::Duration;

use async_nats::jetstream;
use rig::house::{House, SOON, assert_whole, log};
use rustix::process::Signal;
use thermowell_flow::published::{Event, EventBody};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

/// Sampling before the attack, in real time.
const BEFORE: Duration = Duration::from_secs(3);

fn house() -> House {
    let mut house = House::start(super::DEMO, &["--speed", "2"]);
    house.catch_up(SOON);
    house.go_on(BEFORE);
    house
}

/// Changes SAMPLES as an administrator would.
fn with_samples<T>(house: &House, what: impl AsyncFnOnce(jetstream::Context, jetstream::stream::Stream) -> T) -> T {
    house.wait_for(async {
        let context = jetstream::new(house.connect().await.expect("the server runs"));
        let samples = context.get_stream(stream::SAMPLES).await.expect("SAMPLES is there");
        what(context, samples).await
    })
}

#[test]
fn a_removed_subject_is_restored_and_nothing_is_lost() {
    let mut house = house();
    with_samples(&house, async |context, samples| {
        let mut config = samples.cached_info().config.clone();
        let subject = subject::samples(&"b1".parse().expect("an id")).to_string();
        config.subjects.retain(|other| *other != subject);
        assert_eq!(config.subjects.len(), 1, "one of two boilers is left");
        context.update_stream(config).await.expect("an administrator may");
    });
    house.catch_up(SOON);
    assert_whole(&house.close());
}

/// The ring holds 240 s at this speed: everything is published again, from memory and from the devices.
#[test]
fn a_stream_that_is_emptied_is_filled_again() {
    let mut house = house();
    with_samples(&house, async |_, samples| {
        let purged = samples.purge().await.expect("an administrator may").purged;
        assert!(purged > 0, "there was something");
    });
    house.catch_up(SOON);
    assert_whole(&house.close());
}

#[test]
fn a_stream_that_is_deleted_is_made_and_filled_again() {
    let mut house = house();
    with_samples(&house, async |context, _| {
        context.delete_stream(stream::SAMPLES).await.expect("an administrator may")
    });
    house.catch_up(SOON);
    assert_whole(&house.close());
}

/// A foreign message ends one boiler's delivery, with an event that quotes it and its backlog in the spill file; the
/// other boiler's delivery continues.
#[test]
fn a_foreign_writer_stops_its_boiler_alone_and_is_named() {
    let mut house = house();
    let [first, second]: [BoilerId; 2] = house.boilers().try_into().expect("two boilers");
    house.wait_for(async {
        let client = house.connect().await.expect("the server runs");
        client.publish(subject::samples(&first).to_string(), "21.5 degrees".into()).await.expect("connected");
        client.flush().await.expect("connected");
    });
    let subject = subject::event(&first, EventKind::Delivery).to_string();
    let event: Event = house.until("the conflict is an event", 2 * SOON, |house| {
        house.last_json::<Event>(stream::EVENT, &subject).filter(|e| matches!(e.body, EventBody::Conflict { .. }))
    });
    let EventBody::Conflict { found } = event.body else { unreachable!("filtered") };
    assert!(found.starts_with("message "), "{found}");
    let before = house.stored(&second).expect("it has published");
    house.until("the other boiler goes on", SOON, |house| house.stored(&second).filter(|stored| *stored > before));
    let tail = house.last(stream::SAMPLES, &subject::samples(&first)).expect("the foreign message");
    assert_eq!(tail, b"21.5 degrees", "nothing was written after it");
    let [spill, _] = thermowell::spool::SpillFile::paths(&house.plan.spool(), &first);
    house.until("what it held is in the spill file", SOON, |_| spill.exists().then_some(()));
}

/// The last snapshot and the last event of the feed are where a boiler's sums and its feed continue. One that cannot be
/// parsed, as another program or a newer version may write it, stops what depends on it, of this boiler alone.
#[test]
fn a_foreign_snapshot_or_feed_event_stops_its_boiler_alone() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--feed"]);
    house.catch_up(SOON);
    let [first, second]: [BoilerId; 2] = house.boilers().try_into().expect("two boilers");
    house.wait_for(async {
        let client = house.connect().await.expect("the server runs");
        for subject in [subject::snapshot(&first), subject::feed(&first)] {
            client.publish(subject.to_string(), "21.5 degrees".into()).await.expect("connected");
        }
        client.flush().await.expect("connected");
    });
    house.role("aggregator").signal(Signal::KILL).expect("it runs");
    for line in ["this boiler is not aggregated", "this boiler has no feed"] {
        house.until(line, SOON, |house| log(house.role("aggregator").log()).contains(line).then_some(()));
    }
    for (stream, subject) in [(stream::STATE, subject::state(&second)), (stream::FEED, subject::feed(&second))] {
        let before = house.until("the other boiler has data", SOON, |house| house.last(stream, &subject));
        house.until("the other boiler goes on", SOON, |house| {
            house.last(stream, &subject).filter(|last| *last != before)
        });
    }
}
