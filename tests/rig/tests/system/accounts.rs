//! The borders of the accounts: people and their programs are not in PLANT, and no answer to them reaches a stream.

use std::fs;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_STREAM;
use async_nats::jetstream::{self, consumer::pull};
use rig::demo::setup::make_keys;
use rig::house::{self, SOON};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use rustix::process::Signal;
use serde_json::{Value, json};
use thermowell::config::Config;
use thermowell::nats::{self, Connection, User, rights};
use thermowell::{keys, streams};
use thermowell_wire::subject::stream;

use super::permissions::{Probe, Server, users};

/// One subject for each kind of message in a stream.
const FIRSTS: [&str; 11] = [
    "boiler.b1.samples.v1",
    "boiler.b1.status",
    "boiler.b1.state",
    "boiler.b1.hourly-snapshot",
    "boiler.b1.setpoint",
    "boiler.b1.command.first.anna",
    "boiler.b1.approval.00000003deadbeef-7.anna",
    "boiler.b1.reset.00000003deadbeef-7",
    "boiler.b1.event.boot",
    "boiler.b1.room.hall",
    "boiler.b1",
];

/// Requests that the server executes by their subject alone, without a payload or with any.
const ORDERS: [&str; 9] = [
    "STREAM.DELETE.{}",
    "STREAM.PURGE.{}",
    "STREAM.MSG.DELETE.{}",
    "STREAM.UPDATE.{}",
    "STREAM.CREATE.{}",
    "STREAM.RESTORE.{}",
    "STREAM.LEADER.STEPDOWN.{}",
    "CONSUMER.DELETE.{}.x",
    "CONSUMER.LEADER.STEPDOWN.{}.x",
];

/// One stream for each kind of owner, on disk and in memory.
const ORDERED: [&str; 3] = [stream::SAMPLES, stream::COMMAND, stream::STATE];

/// For each kind of request to a stream one that has an answer: a message, no message, or an error.
const QUESTIONS: [&str; 5] =
    ["", "{\"seq\":1}", "{\"seq\":999999}", "{\"last_by_subj\":\"boiler.none\"}", "{\"batch\":2,\"no_wait\":true}"];

/// The requests to a service: the last message of each subject, or the payloads for a stream.
fn questions(service: &str) -> Vec<(String, &'static str)> {
    if let Some(service) = service.strip_suffix('>') {
        return FIRSTS.map(|subject| (format!("{service}{subject}"), "")).to_vec();
    }
    if service.contains(".STREAM.") {
        return QUESTIONS.map(|words| (service.to_owned(), words)).to_vec();
    }
    vec![(service.replace('*', "x"), "{}")]
}

/// The state of all streams: settings, first message and number of messages of each, and the consumer.
async fn standing(admin: &jetstream::Context) -> Vec<Value> {
    let mut found = Vec::new();
    for name in rights::STREAMS {
        let words = async {
            let mut stream = admin.get_stream(name).await?;
            let info = stream.info().await?.clone();
            let first = stream.direct_get(1).await?;
            stream.consumer_info("x").await?;
            let words = json!([info.config, info.state.messages, first.payload]);
            Ok::<_, async_nats::Error>(words)
        };
        found.push(words.await.unwrap_or_else(|error| json!([name, error.to_string()])));
    }
    found
}

/// A reply goes to the subject that the request names, but never out of the requester's account: not into a stream, not
/// as an order to the server, and not as a request of another person.
#[test]
fn no_answer_to_people_reaches_the_streams() {
    let server = Server::start();
    house::runtime().block_on(async {
        let admin = jetstream::new(server.broker.connect().await.unwrap());
        for wanted in streams::table(&server.config) {
            // However long the test takes, no message expires.
            admin.create_stream(jetstream::stream::Config { max_age: Duration::ZERO, ..wanted.clone() }).await.unwrap();
            let consumer = pull::Config { durable_name: Some("x".into()), ..pull::Config::default() };
            admin.create_consumer_on_stream(consumer, wanted.name).await.unwrap();
        }
        for subject in FIRSTS {
            admin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
        }
        let orders = [rights::PLANT_API, rights::PEOPLE_API].into_iter().flat_map(|api| {
            let orders = ORDERS.iter().flat_map(|order| ORDERED.map(|stream| order.replace("{}", stream)));
            orders.map(move |order| format!("{api}.{order}"))
        });
        let places: Vec<String> = FIRSTS.map(str::to_owned).into_iter().chain(orders).collect();
        let before = standing(&admin).await;
        assert!(before.iter().all(|stream| stream[0].is_object()), "{before:?}");
        // A publish to their stream is refused: an answer that changes nothing.
        let mut refused = HeaderMap::new();
        refused.insert(NATS_EXPECTED_STREAM, "none");
        for user in users().into_iter().filter(|user| rights::account(user) != rights::PLANT) {
            let probe = Probe::connect(&server, &user).await;
            // Only the installer may delete.
            for service in rights::publishes(&user).into_iter().filter(|subject| !subject.contains("STREAM.DELETE")) {
                let questions = questions(&service);
                for place in &places {
                    for (subject, words) in questions.clone() {
                        let (place, headers) = (place.clone(), refused.clone());
                        let asked = probe.client.publish_with_reply_and_headers(subject, place, headers, words.into());
                        asked.await.unwrap();
                    }
                    // The answer to an own request comes after the others: the service works, and has processed them.
                    let (subject, words) = questions[0].clone();
                    let answer = probe.client.request_with_headers(subject, refused.clone(), words.into()).await;
                    answer.unwrap_or_else(|error| panic!("{user}: {service}, after {place}: {error}"));
                }
            }
            probe.settle(0).await;
            assert_eq!(standing(&admin).await, before, "{user}");
        }
        // The same request from the account of the roles is stored, which proves that it has an answer.
        let rig = server.broker.connect().await.unwrap();
        rig.publish_with_reply("$JS.API.STREAM.MSG.GET.STATE", FIRSTS[0], "{\"seq\":1}".into()).await.unwrap();
        let stored = async {
            while standing(&admin).await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, stored).await.expect("an answer from within the account is stored");
    });
}

/// As the server's unit reloads it: a new account works only after the second reload.
#[test]
fn an_operator_is_added_by_two_reloads() {
    let mut server = Server::start();
    let wanted = [users(), vec![User::Operator("dora".to_owned())]].concat();
    house::runtime().block_on(async {
        let config = &server.config.nats;
        let agent = Connection::reach(config, User::Agent).await.unwrap();
        streams::ensure(agent.context(), &streams::table(&server.config), agent.user()).await.unwrap();
        let before = *agent.phase().borrow();
        keys::make(config.keys.as_ref().unwrap(), &wanted, &[]).unwrap();
        let log = server.broker.log().to_owned();
        for reload in 1..=2 {
            server.broker.process().signal(Signal::HUP).unwrap();
            let reloaded = async {
                while fs::read_to_string(&log).unwrap().matches("Reloaded server configuration").count() < reload {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(SOON, reloaded).await.expect("the server reloads");
        }
        let dora = Connection::reach(config, User::Operator("dora".to_owned())).await.unwrap();
        let stored = nats::compare_and_set(dora.context(), "boiler.b1.command.x.dora", 0, &"hers").await;
        assert!(matches!(stored, nats::Stored::Yes(1)), "{stored:?}");
        let last = nats::last(dora.context(), stream::COMMAND, "boiler.b1.command.>").await.unwrap();
        assert_eq!(last.expect("a command").payload.as_ref(), b"\"hers\"");
        assert_eq!(*agent.phase().borrow(), before, "the roles stay connected");
    });
}

/// The upgrade in deploy/README.md: formerly the streams were in the server's default account.
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
        fs::rename(store.join("$G"), store.join(rights::PLANT)).unwrap();
        let closed = Broker::start(&house::server(), &programs, BrokerOptions::with_keys(&nats, &keys)).unwrap();
        let context = jetstream::new(closed.connect().await.unwrap());
        let samples = context.get_stream(stream::SAMPLES).await.unwrap();
        assert_eq!(samples.cached_info().state.messages, 1);
    });
}
