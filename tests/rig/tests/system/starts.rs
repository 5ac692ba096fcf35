//! What the aggregator reads at a start, on a real server and with its own key: the last message of each boiler.

use async_nats::jetstream::{self, Context};
use rig::house;
use thermowell::nats::{self, Connection, User};
use thermowell::streams;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, Subject, stream};

use super::permissions::Server;

fn ids(count: usize) -> Vec<BoilerId> {
    (0..count).map(|n| format!("b{n}").parse().unwrap()).collect()
}

/// The streams, the rig's own way in, and the aggregator's.
async fn contexts(server: &Server) -> (Context, Context) {
    let aggregator = Connection::reach(&server.config.nats, User::Aggregator).await.unwrap();
    let context = aggregator.context().clone();
    streams::ensure(&context, &streams::table(&server.config), aggregator.user()).await.unwrap();
    (jetstream::new(server.broker.connect().await.unwrap()), context)
}

async fn publish(context: &Context, subject: &str, payload: Vec<u8>) -> u64 {
    context.publish(subject.to_owned(), payload.into()).await.unwrap().await.unwrap().sequence
}

/// Publishes two messages for each of `boilers`, and reads the last of each.
async fn check(server: &Server, stream: &str, boilers: &[BoilerId], subject: fn(&BoilerId) -> Subject, size: usize) {
    let (rig, aggregator) = contexts(server).await;
    let absent: BoilerId = "absent".parse().unwrap();
    let asked: Vec<BoilerId> = [absent.clone()].into_iter().chain(boilers.iter().cloned()).collect();
    let found = nats::last_of_each(&aggregator, stream, &asked, subject).await.unwrap();
    assert!(found.is_empty(), "{} messages in an empty stream", found.len());
    let mut last = Vec::new();
    for boiler in boilers {
        publish(&rig, &subject(boiler), b"older".to_vec()).await;
        last.push(publish(&rig, &subject(boiler), vec![b'x'; size]).await);
    }
    let found = nats::last_of_each(&aggregator, stream, &asked, subject).await.unwrap();
    assert!(!found.contains_key(&absent));
    for (boiler, sequence) in boilers.iter().zip(last) {
        let message = found.get(boiler).unwrap_or_else(|| panic!("{boiler} is missing of {}", found.len()));
        assert_eq!((message.sequence, message.payload.len()), (sequence, size), "{boiler}");
    }
}

/// One request may ask for 1,024 subjects.
#[test]
fn last_messages_of_more_boilers_than_a_request_may_name() {
    let server = Server::start();
    house::runtime().block_on(check(&server, stream::STATE, &ids(1_500), subject::state, 10));
}

/// One answer has at most 4 MiB.
#[test]
fn last_messages_of_more_bytes_than_an_answer_holds() {
    let server = Server::start();
    house::runtime().block_on(check(&server, stream::SNAPSHOT, &ids(11), subject::snapshot, 900_000));
}

#[test]
fn last_messages_of_a_stream_that_is_not_there_are_an_error() {
    let server = Server::start();
    house::runtime().block_on(async {
        let (rig, aggregator) = contexts(&server).await;
        rig.delete_stream(stream::FEED).await.unwrap();
        let error = nats::last_of_each(&aggregator, stream::FEED, &ids(1), subject::feed).await.unwrap_err();
        let error = thermowell::logs::chain(&error);
        assert!(error.starts_with("read the last messages of FEED: the server answers 503"), "{error}");
    });
}
