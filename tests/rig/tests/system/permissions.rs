//! Who may do what, on a real server: every user tries everything.
//!
//! The tables say what must be, subject by subject and in full; they know nothing of how the product writes it down.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::{Client, ConnectOptions, Event, ServerError, jetstream};
use rig::demo::setup::make_keys;
use rig::house::{self, House, SOON};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use serde_json::{Value, json};
use thermowell::config::Config;
use thermowell::keys::make;
use thermowell::nats::{Connection, User, rights};
use thermowell::{logs, nats, streams};
use thermowell_flow::published::{Event as Published, Lease, Status};
use thermowell_wire::Slot;
use thermowell_wire::line::Demand;
use thermowell_wire::subject::{self, EventKind, stream};

const AGENT: &[&str] = &["agent"];
const AGGREGATOR: &[&str] = &["aggregator"];
const CONTROLLER: &[&str] = &["controller"];
const OPERATORS: &[&str] = &["operator-anna", "operator-ben", "operator-carla"];
const INSTALLER: &[&str] = &["installer"];
const READER: &[&str] = &["reader"];
const NOBODY: &[&str] = &[];
const STAFF: &[&str] = &["agent", "aggregator", "controller"];

/// Each subject, and everybody who may publish to it.
const MAY_WRITE: &[(&str, &[&str])] = &[
    ("boiler.b1.samples.v1", AGENT),
    ("boiler.b1.status", AGENT),
    ("boiler.b1.reset.00000003deadbeef-7", AGENT),
    ("boiler.b1.state", AGGREGATOR),
    ("boiler.b1.hourly-snapshot", AGGREGATOR),
    ("boiler.b1", AGGREGATOR),
    ("boiler.b1.setpoint", CONTROLLER),
    ("boiler.b1.command.x1", OPERATORS),
    ("boiler.b1.approval.00000003deadbeef-7.anna", &["operator-anna"]),
    ("boiler.b1.approval.00000003deadbeef-7.ben", &["operator-ben"]),
    ("boiler.b1.approval.00000003deadbeef-7.dora", NOBODY),
    ("boiler.b1.event.boot", AGENT),
    ("boiler.b1.event.gap", AGENT),
    ("boiler.b1.event.fault", AGENT),
    ("boiler.b1.event.answer", AGENT),
    ("boiler.b1.event.delivery", AGENT),
    ("boiler.b1.event.clock", AGENT),
    ("boiler.b1.event.sensor", AGENT),
    ("boiler.b1.event.reset", AGENT),
    ("boiler.b1.event.approval", &["agent", "operator-anna", "operator-ben", "operator-carla"]),
    ("boiler.b1.event.command", OPERATORS),
    ("boiler.b1.event.decision", CONTROLLER),
    ("boiler.b1.event.snapshot", AGGREGATOR),
    ("boiler.b1.event.boiler", INSTALLER),
    // What nobody needs.
    ("boiler.b1.event.other", NOBODY),
    ("boiler.b1.setpoint.x", NOBODY),
    ("boiler.b1.samples.v2", NOBODY),
    ("boiler", NOBODY),
    ("other", NOBODY),
    ("_INBOX_agent.x", NOBODY),
    ("_INBOX_operator-anna.x", NOBODY),
    ("$JS.ACK.SAMPLES.x", NOBODY),
    ("$SYS.REQ.SERVER.PING", NOBODY),
    // The server's interface to its streams.
    ("$JS.API.STREAM.CREATE.LEASE", &["agent", "aggregator", "controller", "installer"]),
    ("$JS.API.STREAM.CREATE.OTHER", NOBODY),
    ("$JS.API.STREAM.UPDATE.SAMPLES", &["agent", "installer"]),
    ("$JS.API.STREAM.UPDATE.STATUS", &["agent", "installer"]),
    ("$JS.API.STREAM.UPDATE.COMMAND", &["agent", "installer"]),
    ("$JS.API.STREAM.UPDATE.EVENT", &["agent", "installer"]),
    ("$JS.API.STREAM.UPDATE.FEED", &["aggregator", "installer"]),
    ("$JS.API.STREAM.UPDATE.STATE", &["aggregator", "installer"]),
    ("$JS.API.STREAM.UPDATE.SNAPSHOT", &["aggregator", "installer"]),
    ("$JS.API.STREAM.UPDATE.LEASE", &["controller", "installer"]),
    ("$JS.API.STREAM.DELETE.SAMPLES", INSTALLER),
    ("$JS.API.STREAM.PURGE.SAMPLES", NOBODY),
    ("$JS.API.STREAM.MSG.DELETE.COMMAND", NOBODY),
    ("$JS.API.STREAM.SNAPSHOT.SAMPLES", NOBODY),
    ("$JS.API.STREAM.RESTORE.SAMPLES", NOBODY),
    ("$JS.API.CONSUMER.CREATE.LEASE", AGENT),
    ("$JS.API.CONSUMER.MSG.NEXT.LEASE.x", AGENT),
    ("$JS.API.CONSUMER.CREATE.COMMAND", &["agent", "controller"]),
    ("$JS.API.CONSUMER.CREATE.SAMPLES", AGGREGATOR),
    ("$JS.API.CONSUMER.MSG.NEXT.SAMPLES.x", AGGREGATOR),
    ("$JS.API.CONSUMER.CREATE.EVENT.x.boiler.b1.event.decision", CONTROLLER),
    ("$JS.API.CONSUMER.CREATE.STATE", NOBODY),
    ("$JS.API.CONSUMER.DURABLE.CREATE.SAMPLES.x", NOBODY),
    ("$JS.API.CONSUMER.DELETE.SAMPLES.x", NOBODY),
    ("$JS.API.DIRECT.GET.SAMPLES", AGENT),
    ("$JS.API.DIRECT.GET.SAMPLES.boiler.b1.samples.v1", AGENT),
    ("$JS.API.DIRECT.GET.STATE", NOBODY),
    ("$JS.API.DIRECT.GET.COMMAND", NOBODY),
    ("$JS.API.DIRECT.GET.COMMAND.boiler.b1.command.x", NOBODY),
    ("$JS.API.DIRECT.GET.EVENT", NOBODY),
    // The last of a subject alone, and the answer stays in the reader's account.
    ("$JS.API.DIRECT.GET.LEASE.boiler.b1.setpoint", READER),
    ("$JS.API.DIRECT.GET.STATE.boiler.b1.state", READER),
    ("$JS.API.DIRECT.GET.STATUS.boiler.b1.status", READER),
    ("$JS.API.DIRECT.GET.SNAPSHOT.boiler.b1.hourly-snapshot", READER),
    ("$JS.API.DIRECT.GET.EVENT.boiler.b1.event.boot", READER),
    ("$JS.API.DIRECT.GET.FEED.boiler.b1", NOBODY),
    ("$JS.API.STREAM.MSG.GET.SAMPLES", &["agent", "aggregator", "inspector", "installer"]),
    (
        "$JS.API.STREAM.MSG.GET.COMMAND",
        &["agent", "controller", "inspector", "installer", "operator-anna", "operator-ben", "operator-carla"],
    ),
    ("$JS.API.STREAM.MSG.GET.LEASE", &["controller", "inspector", "installer"]),
];

/// Each subject, and everybody who may subscribe to it.
const MAY_HEAR: &[(&str, &[&str])] = &[
    ("boiler.>", READER),
    ("boiler.b1", READER),
    ("boiler.*.samples.v1", READER),
    ("boiler.*.setpoint", READER),
    ("boiler.*.state", &["controller", "reader"]),
    ("boiler.*.status", &["controller", "reader"]),
    ("boiler.*.command.*", &["controller", "reader"]),
    ("boiler.*.approval.*.*", &["agent", "reader"]),
    ("boiler.*.reset.*", &["agent", "reader"]),
    ("_INBOX_agent.x.*", AGENT),
    ("_INBOX_controller.>", CONTROLLER),
    ("_INBOX_operator-anna.>", &["operator-anna"]),
    ("_INBOX.>", READER),
    ("$JS.API.>", NOBODY),
    ("$JS.EVENT.>", NOBODY),
    ("$SYS.>", NOBODY),
    (">", NOBODY),
    ("*.>", NOBODY),
];

/// Fewer than the 128 events that the client holds for us.
const AT_ONCE: usize = 40;

/// A server with keys, in a folder of its own.
pub(super) struct Server {
    pub(super) broker: Broker,
    keys: PathBuf,
    pub(super) config: Config,
    folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        make_keys(&keys).unwrap();
        let broker = Broker::start(
            &house::server(),
            &Programs::at(super::DEMO),
            BrokerOptions::with_keys(folder.path().join("nats"), &keys),
        );
        let broker = broker.unwrap();
        let text = format!(
            "[nats]\nurl = \"{}\"\nkeys = \"{}\"\n[feed]\nenabled = true\n[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n",
            broker.url(),
            keys.display()
        );
        let config = Config::parse(&text, "test.toml").unwrap();
        Self { broker, keys, config, folder }
    }
}

fn users() -> Vec<User> {
    let operators = ["anna", "ben", "carla"].map(|name| User::Operator(name.to_owned()));
    User::ROLES.into_iter().chain(operators).collect()
}

/// A connection that keeps what the server says against it.
pub(super) struct Probe {
    pub(super) client: Client,
    said: Arc<Mutex<BTreeSet<String>>>,
}

impl Probe {
    pub(super) async fn connect(server: &Server, user: &User) -> Self {
        let said = Arc::new(Mutex::new(BTreeSet::new()));
        let heard = said.clone();
        let seed = fs::read_to_string(user.seed_file(&server.keys)).unwrap();
        let options = ConnectOptions::with_nkey(seed.trim().to_owned())
            .custom_inbox_prefix(user.inbox())
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    heard.lock().unwrap().insert(text);
                }
                std::future::ready(())
            });
        let client = options.connect(server.broker.url()).await.unwrap();
        Self { client, said }
    }

    fn has_heard(&self, what: &str, subject: &str) -> bool {
        self.said.lock().unwrap().contains(&format!("Permissions Violation for {what} to \"{subject}\""))
    }

    /// Everything that was forbidden before is known when the end, which everybody is forbidden, is.
    async fn settle(&self, number: usize) {
        let end = format!("end.{number}");
        self.client.publish(end.clone(), "".into()).await.unwrap();
        self.client.flush().await.unwrap();
        let heard = async {
            while !self.has_heard("Publish", &end) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, heard).await.expect("the server forbids the end");
    }
}

#[test]
fn nobody_does_what_is_not_theirs_and_everybody_does_what_is() {
    let server = Server::start();
    let mut wrong = Vec::new();
    house::runtime().block_on(async {
        for user in users() {
            let name = user.to_string();
            let probe = Probe::connect(&server, &user).await;
            for (number, some) in MAY_WRITE.chunks(AT_ONCE).enumerate() {
                for (subject, _) in some {
                    probe.client.publish(*subject, "{}".into()).await.unwrap();
                }
                probe.settle(number).await;
            }
            for (subject, _) in MAY_HEAR {
                drop(probe.client.subscribe(*subject).await.unwrap());
            }
            probe.settle(MAY_WRITE.len()).await;
            for (what, table) in [("Publish", MAY_WRITE), ("Subscription", MAY_HEAR)] {
                for (subject, allowed) in table {
                    let (may, must) = (!probe.has_heard(what, subject), allowed.contains(&name.as_str()));
                    if may != must {
                        wrong.push(format!(
                            "{name}: {what} to {subject} is {}",
                            if may { "allowed" } else { "forbidden" }
                        ));
                    }
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the roles do with their streams works, whoever of them comes first, and each hears the answer.
#[test]
fn each_role_can_make_the_streams_and_write_its_own() {
    let server = Server::start();
    let table = streams::table(&server.config);
    house::runtime().block_on(async {
        let admin = jetstream::new(server.broker.connect().await.unwrap());
        let b1 = "b1".parse().unwrap();
        let own = [
            (User::Controller, stream::LEASE, subject::setpoint(&b1)),
            (User::Aggregator, stream::STATE, subject::state(&b1)),
            (User::Agent, stream::STATUS, subject::status(&b1)),
        ];
        for (user, stream, subject) in own {
            let connection = Connection::reach(&server.config.nats, user).await.unwrap();
            let context = connection.context();
            streams::ensure(context, &table, connection.user()).await.unwrap();
            let stored = nats::compare_and_set(context, &subject, 0, &"a word").await;
            assert!(matches!(stored, nats::Stored::Yes(1)), "{subject}: {stored:?}");
            let inspector = Connection::reach(&server.config.nats, User::Inspector).await.unwrap();
            assert!(nats::last(inspector.context(), stream, &subject).await.unwrap().is_some(), "{subject}");
            for wanted in &table {
                admin.delete_stream(&wanted.name).await.unwrap();
            }
        }
    });
}

/// Another boiler and another limit in the configuration: the owner changes its stream, the others wait for that.
#[test]
fn a_stream_is_changed_by_its_owner_alone() {
    let server = Server::start();
    house::runtime().block_on(async {
        let nats = &server.config.nats;
        let agent = Connection::reach(nats, User::Agent).await.unwrap();
        let controller = Connection::reach(nats, User::Controller).await.unwrap();
        streams::ensure(agent.context(), &streams::table(&server.config), agent.user()).await.unwrap();
        let text = "[streams]\nevent = \"300 MiB\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n\
                    [[boiler]]\nid = \"b2\"\nport = \"/dev/y\"\n";
        let table = streams::table(&Config::parse(text, "test.toml").unwrap());
        let early = streams::ensure(controller.context(), &table, controller.user()).await.unwrap_err();
        assert!(logs::chain(&early).contains("it does not take boiler.b2.samples.v1 yet"), "{early:?}");
        streams::ensure(agent.context(), &table, agent.user()).await.unwrap();
        streams::ensure(controller.context(), &table, controller.user()).await.unwrap();
        let event = agent.context().get_stream(stream::EVENT).await.unwrap();
        assert_eq!(event.cached_info().config.max_bytes, 300 << 20);
        for connection in [&agent, &controller] {
            assert_eq!(*connection.forbidden().borrow(), None);
        }
    });
}

/// Operators read what was asked for, in the form in which it cannot be put anywhere else.
#[test]
fn operators_hear_of_each_others_commands() {
    let server = Server::start();
    house::runtime().block_on(async {
        let agent = Connection::reach(&server.config.nats, User::Agent).await.unwrap();
        streams::ensure(agent.context(), &streams::table(&server.config), agent.user()).await.unwrap();
        let [anna, ben] = ["anna", "ben"].map(|name| User::Operator(name.to_owned()));
        let anna = Connection::reach(&server.config.nats, anna).await.unwrap();
        let ben = Connection::reach(&server.config.nats, ben).await.unwrap();
        let commands = subject::commands(&"b1".parse().unwrap());
        assert!(nats::last(ben.context(), stream::COMMAND, &commands).await.unwrap().is_none());
        anna.context().publish("boiler.b1.command.x", "warm".into()).await.unwrap().await.unwrap();
        let heard = nats::last(ben.context(), stream::COMMAND, &commands).await.unwrap().expect("a command");
        assert_eq!((heard.subject.as_str(), heard.payload.as_ref()), ("boiler.b1.command.x", &b"warm"[..]));
        assert!(!nats::is_stored_copy(&heard));
        let question = ("$JS.API.STREAM.MSG.GET.COMMAND", "boiler.b1.approval.00000003deadbeef-7.anna", "{\"seq\":1}");
        ben.client().publish_with_reply(question.0, question.1, question.2.into()).await.unwrap();
        let approvals = subject::approvals_of(&"anna".parse().unwrap());
        let forged = async {
            loop {
                if let Some(found) = nats::last(agent.context(), stream::COMMAND, &approvals).await.unwrap() {
                    return found;
                }
            }
        };
        let forged = tokio::time::timeout(SOON, forged).await.expect("the server sends its answer there");
        assert!(forged.payload.starts_with(b"{\"type\":\"io.nats.jetstream.api.v1.stream_msg_get_response\""));
    });
}

/// What the server is told to do by a subject alone, and needs no words for or takes the wrong ones.
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

/// Each makes some question have an answer: a message, none, or that it is no question.
const QUESTIONS: [&str; 5] =
    ["", "{\"seq\":1}", "{\"seq\":999999}", "{\"last_by_subj\":\"boiler.none\"}", "{\"batch\":2,\"no_wait\":true}"];

/// What stands: of each stream its settings, its first message, how many there are, and the consumer.
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

/// The server obeys its own answers: it sends them where a question wants them, whoever asks.
#[test]
fn nothing_that_people_ask_has_an_answer_that_the_server_obeys() {
    let server = Server::start();
    house::runtime().block_on(async {
        let admin = jetstream::new(server.broker.connect().await.unwrap());
        let firsts = ["samples.v1", "status", "state", "hourly-snapshot", "setpoint", "command.first", "event.boot"];
        for wanted in streams::table(&server.config) {
            // However long it takes, no message goes by itself.
            admin.create_stream(jetstream::stream::Config { max_age: Duration::ZERO, ..wanted.clone() }).await.unwrap();
            let consumer = pull::Config { durable_name: Some("x".into()), ..pull::Config::default() };
            admin.create_consumer_on_stream(consumer, wanted.name).await.unwrap();
        }
        for subject in firsts.map(|first| format!("boiler.b1.{first}")).into_iter().chain(["boiler.b1".to_owned()]) {
            admin.publish(subject, "{}".into()).await.unwrap().await.unwrap();
        }
        let before = standing(&admin).await;
        assert!(before.iter().all(|stream| stream[0].is_object()), "{before:?}");
        for user in users().into_iter().filter(|user| !STAFF.contains(&user.to_string().as_str())) {
            let probe = Probe::connect(&server, &user).await;
            // To delete is the installer's own.
            let asks = |subject: &String| subject.starts_with("$JS.") && !subject.contains("STREAM.DELETE");
            for subject in rights::publishes(&user).into_iter().filter(asks) {
                let subject = subject.replace('*', "x").replace('>', "boiler.b1.none");
                for (order, stream) in ORDERS.iter().flat_map(|order| rights::STREAMS.map(|stream| (order, stream))) {
                    let order = format!("$JS.API.{}", order.replace("{}", stream));
                    for question in QUESTIONS {
                        let asked = probe.client.publish_with_reply(subject.clone(), order.clone(), question.into());
                        asked.await.unwrap();
                    }
                }
                // The server drops questions of which too many wait.
                probe.client.flush().await.unwrap();
                admin.get_stream(stream::SAMPLES).await.unwrap();
            }
            probe.settle(0).await;
            assert_eq!(standing(&admin).await, before, "{user}");
        }
        assert_eq!(standing(&admin).await, before);
    });
}

/// What `thermowell check` says of a server's permissions: its word, and its sentence.
fn checked(folder: &Path, nats: &str, control: bool) -> (String, String) {
    let config = folder.join("check.toml");
    let text = format!(
        "[nats]\n{nats}\n[control]\nenabled = {control}\n[[operator]]\nname = \"anna\"\n\
         [[operator]]\nname = \"ben\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n"
    );
    fs::write(&config, text).unwrap();
    let output = Command::new(super::DEMO).args(["thermowell", "check", "--json", "--config"]).arg(config).output();
    let report: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let finding = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "nats.permissions");
    let word = |key: &str| finding.unwrap()[key].as_str().unwrap().to_owned();
    (word("status"), word("message"))
}

#[test]
fn check_sees_who_may_ask_for_heat() {
    let server = Server::start();
    let folder = server.folder.path();
    let (url, keys) = (format!("url = \"{}\"", server.broker.url()), server.keys.display());
    let (status, said) = checked(folder, &format!("{url}\nkeys = \"{keys}\""), true);
    assert_eq!(
        (status.as_str(), said.as_str()),
        (
            "ok",
            "set-points are forbidden to clients without a key, agent, aggregator, reader, inspector, installer, \
             operator-anna, operator-ben"
        )
    );
    let (status, said) = checked(folder, &format!("{url}\nnkey_file = \"{keys}/controller.nk\""), true);
    assert!(status == "warning" && said.contains("all roles are one user"), "{said}");
    make(&server.keys, &[], &["agent".to_owned()]).unwrap();
    let (status, said) = checked(folder, &format!("{url}\nkeys = \"{keys}\""), true);
    assert!(status == "error" && said == "the server rejects the keys of agent", "{said}");

    let options = BrokerOptions::in_folder(folder.join("open"));
    let open = Broker::start(&house::server(), &Programs::at(super::DEMO), options).unwrap();
    let url = format!("url = \"{}\"", open.url());
    for (nats, control, expected) in [
        (url.clone(), true, "error"),
        (url.clone(), false, "warning"),
        (format!("{url}\nkeys = \"{keys}\""), true, "error"),
    ] {
        let (status, said) = checked(folder, &nats, control);
        assert!(status == expected && said.contains("may be published by clients without a key"), "{status}: {said}");
    }
}

/// The server answers wherever a question wants it, so whoever may ask for messages as they are can have it put a lease
/// into LEASE, from another stream. With our permissions nobody could; nobody obeys it either.
#[test]
fn a_lease_that_the_server_was_made_to_send_is_not_obeyed() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("the agent works", SOON, |house| house.stored(&boiler));
    let config = Config::load(&house.folder().join("thermowell.toml")).unwrap();
    let aggregator = house.wait_for(Connection::reach(&config.nats, User::Aggregator)).unwrap();
    let anybody = house.wait_for(house.connect()).unwrap();
    let setpoint = subject::setpoint(&boiler).to_string();
    house.until("the agent hears of it", SOON, |house| {
        let (boot, seq) = house.stored(&boiler)?;
        let forged = Lease {
            demand: Demand::Heat,
            flow: 33.33,
            lease_s: 60,
            based_on: Slot { boot, seq },
            instance: "demo".to_owned(),
            created_at: 0.0,
            version: 1,
        };
        house.wait_for(async {
            let payload = serde_json::to_vec(&forged).unwrap();
            let stored = aggregator.context().publish("boiler.forged.state", payload.into()).await.unwrap();
            let sequence = stored.await.unwrap().sequence;
            let question = format!("{{\"seq\":{sequence}}}");
            let asked = anybody.publish_with_reply("$JS.API.DIRECT.GET.STATE", setpoint.clone(), question.into());
            asked.await.unwrap();
            anybody.flush().await.unwrap();
        });
        let said = house::log(house.processes.agent.log());
        said.contains("ignoring lease copied by the server").then_some(())
    });
    let answers = house.last_json::<Published>(stream::EVENT, &subject::event(&boiler, EventKind::Answer));
    let asked = answers.map(|event| format!("{:?}", event.body)).unwrap_or_default();
    assert!(!asked.contains("33.33"), "{asked}");
    let status: Option<Status> = house.last_json(stream::STATUS, &subject::status(&boiler));
    assert!(!format!("{status:?}").contains("33.33"), "{status:?}");
    assert!(house.close().ok);
}
