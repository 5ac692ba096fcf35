//! The border between the accounts: readers are in PEOPLE, and nothing of theirs reaches a stream.

use std::fs;
use std::time::Duration;

use async_nats::jetstream;
use rig::demo::setup::make_keys;
use rig::house::{self, SOON};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use thermowell::config::Config;
use thermowell::nats::{User, rights};
use thermowell::streams;
use thermowell_wire::subject::stream;

use super::permissions::{Probe, Server};

/// Of every stream: how many messages it has.
async fn counts(admin: &jetstream::Context) -> Vec<u64> {
    let mut counts = Vec::new();
    for name in rights::STREAMS {
        counts.push(admin.get_stream(name).await.unwrap().cached_info().state.messages);
    }
    counts
}

/// A reply goes where the question wants it, but never out of the account of the asker.
#[test]
fn an_answer_that_a_reader_directs_onto_a_stream_stays_outside() {
    let server = Server::start();
    house::runtime().block_on(async {
        let admin = jetstream::new(server.broker.connect().await.unwrap());
        for wanted in streams::table(&server.config) {
            admin.create_stream(jetstream::stream::Config { max_age: Duration::ZERO, ..wanted }).await.unwrap();
        }
        let own =
            ["state", "status", "hourly-snapshot", "setpoint", "event.boot"].map(|own| format!("boiler.b1.{own}"));
        for subject in &own {
            admin.publish(subject.clone(), "{}".into()).await.unwrap().await.unwrap();
        }
        let before = counts(&admin).await;
        let targets = own.iter().cloned().chain(["samples.v1", "command.x"].map(|other| format!("boiler.b1.{other}")));
        let targets: Vec<String> = targets.collect();
        let reader = Probe::connect(&server, &User::Reader).await;
        for service in rights::exported_services() {
            for (subject, target) in own.iter().flat_map(|own| targets.iter().map(move |target| (own, target))) {
                let question = service.replace('>', subject);
                reader.client.publish_with_reply(question, target.clone(), "".into()).await.unwrap();
            }
        }
        // An answer to a question of its own comes after all others.
        let last = reader.client.request("$JS.API.DIRECT.GET.STATE.boiler.b1.state", "".into()).await.unwrap();
        assert_eq!(&last.payload[..], b"{}");
        assert_eq!(counts(&admin).await, before);
        // The same from the account of the roles is stored: the proof that the question has an answer.
        let inspector = Probe::connect(&server, &User::Inspector).await;
        let (question, target) = ("$JS.API.STREAM.MSG.GET.STATE", "boiler.b1.samples.v1");
        inspector.client.publish_with_reply(question, target, "{\"seq\":1}".into()).await.unwrap();
        let stored = async {
            while counts(&admin).await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, stored).await.expect("an answer from within the account is stored");
    });
}

/// The upgrade that deploy/README.md describes: before there were accounts, the streams were in the server's own.
#[test]
fn streams_from_before_the_accounts_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, nats) = (folder.path().join("keys"), folder.path().join("nats"));
    make_keys(&keys).unwrap();
    let programs = Programs::at(super::DEMO);
    house::runtime().block_on(async {
        let config = Config::parse("[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n", "test.toml").unwrap();
        let mut open = Broker::start(&house::server(), &programs, BrokerOptions::in_folder(&nats)).unwrap();
        let context = jetstream::new(open.connect().await.unwrap());
        for wanted in streams::table(&config) {
            context.create_stream(wanted).await.unwrap();
        }
        context.publish("boiler.b1.samples.v1", "a sample".into()).await.unwrap().await.unwrap();
        open.stop().unwrap();
        let store = nats.join("store/jetstream");
        fs::rename(store.join("$G"), store.join(rights::Account::Plant.name())).unwrap();
        let closed = Broker::start(&house::server(), &programs, BrokerOptions::with_keys(&nats, &keys)).unwrap();
        let context = jetstream::new(closed.connect().await.unwrap());
        let samples = context.get_stream(stream::SAMPLES).await.unwrap();
        assert_eq!(samples.cached_info().state.messages, 1);
    });
}
