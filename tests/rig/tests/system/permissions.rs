//! Permissions on a real server: every user tries everything.
//!
//! The tables are complete and independent of the product's own tables.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerError, jetstream};
use futures_util::StreamExt as _;
use rig::demo::setup::make_keys;
use rig::house::{self, SOON};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use serde_json::Value;
use thermowell::config::Config;
use thermowell::keys::make;
use thermowell::nats::{Connection, User};
use thermowell::{logs, nats, streams};
use thermowell_wire::subject::{self, stream};

const AGENT: &[&str] = &["agent"];
const AGGREGATOR: &[&str] = &["aggregator"];
const CONTROLLER: &[&str] = &["controller"];
const OPERATORS: &[&str] = &["operator-anna", "operator-ben", "operator-carla"];
const INSTALLER: &[&str] = &["installer"];
const READER: &[&str] = &["reader"];
const NO_USER: &[&str] = &[];
const STAFF: &[&str] = &["agent", "aggregator", "controller"];

/// Each subject, and all users who may publish to it.
const MAY_PUBLISH: &[(&str, &[&str])] = &[
    ("boiler.b1.samples.v1", AGENT),
    ("boiler.b1.status", AGENT),
    ("boiler.b1.reset.00000003deadbeef-7", AGENT),
    ("boiler.b1.state", AGGREGATOR),
    ("boiler.b1.hourly-snapshot", AGGREGATOR),
    ("boiler.b1", AGGREGATOR),
    ("boiler.b1.setpoint", CONTROLLER),
    ("boiler.b1.command.x1.anna", &["operator-anna"]),
    ("boiler.b1.command.x1.ben", &["operator-ben"]),
    ("boiler.b1.command.x1.dora", NO_USER),
    ("boiler.b1.command.x1", NO_USER),
    ("boiler.b1.approval.00000003deadbeef-7.anna", &["operator-anna"]),
    ("boiler.b1.approval.00000003deadbeef-7.ben", &["operator-ben"]),
    ("boiler.b1.approval.00000003deadbeef-7.dora", NO_USER),
    ("boiler.b1.room.hall", &["source-hall"]),
    ("boiler.b1.outdoor.hall", NO_USER),
    ("boiler.b2.room.hall", NO_USER),
    ("boiler.b1.room.attic", NO_USER),
    ("boiler.b1.room", NO_USER),
    ("boiler.b1.event.boot", AGENT),
    ("boiler.b1.event.gap", AGENT),
    ("boiler.b1.event.fault", AGENT),
    ("boiler.b1.event.answer", AGENT),
    ("boiler.b1.event.delivery", AGENT),
    ("boiler.b1.event.clock", AGENT),
    ("boiler.b1.event.sensor", &["agent", "controller"]),
    ("boiler.b1.event.reset", AGENT),
    ("boiler.b1.event.approval", &["agent", "operator-anna", "operator-ben", "operator-carla"]),
    ("boiler.b1.event.command", OPERATORS),
    ("boiler.b1.event.decision", CONTROLLER),
    ("boiler.b1.event.snapshot", AGGREGATOR),
    ("boiler.b1.event.boiler", INSTALLER),
    // Not needed by any user.
    ("boiler.b1.event.other", NO_USER),
    ("boiler.b1.setpoint.x", NO_USER),
    ("boiler.b1.samples.v2", NO_USER),
    ("boiler", NO_USER),
    ("other", NO_USER),
    ("_INBOX_agent.x", NO_USER),
    ("_INBOX_operator-anna.x", NO_USER),
    ("$JS.ACK.SAMPLES.x", NO_USER),
    ("$SYS.REQ.SERVER.PING", NO_USER),
    // The server's interface to its streams.
    ("$JS.API.STREAM.CREATE.LEASE", STAFF),
    ("$JS.API.STREAM.CREATE.OTHER", NO_USER),
    ("$JS.API.STREAM.UPDATE.SAMPLES", AGENT),
    ("$JS.API.STREAM.UPDATE.STATUS", AGENT),
    ("$JS.API.STREAM.UPDATE.COMMAND", AGENT),
    ("$JS.API.STREAM.UPDATE.EVENT", AGENT),
    ("$JS.API.STREAM.UPDATE.FEED", AGGREGATOR),
    ("$JS.API.STREAM.UPDATE.STATE", AGGREGATOR),
    ("$JS.API.STREAM.UPDATE.SNAPSHOT", AGGREGATOR),
    ("$JS.API.STREAM.UPDATE.LEASE", CONTROLLER),
    ("$JS.API.STREAM.UPDATE.AMBIENT", CONTROLLER),
    ("$JS.API.STREAM.DELETE.SAMPLES", NO_USER),
    ("$JS.API.STREAM.PURGE.SAMPLES", NO_USER),
    ("$JS.API.STREAM.MSG.DELETE.COMMAND", NO_USER),
    ("$JS.API.STREAM.SNAPSHOT.SAMPLES", NO_USER),
    ("$JS.API.STREAM.RESTORE.SAMPLES", NO_USER),
    ("$JS.API.CONSUMER.CREATE.LEASE", AGENT),
    ("$JS.API.CONSUMER.MSG.NEXT.LEASE.x", AGENT),
    ("$JS.API.CONSUMER.CREATE.COMMAND", &["agent", "controller"]),
    ("$JS.API.CONSUMER.CREATE.SAMPLES", AGGREGATOR),
    ("$JS.API.CONSUMER.MSG.NEXT.SAMPLES.x", AGGREGATOR),
    ("$JS.API.CONSUMER.CREATE.EVENT.x.boiler.b1.event.decision", CONTROLLER),
    ("$JS.API.CONSUMER.CREATE.STATE", NO_USER),
    ("$JS.API.CONSUMER.DURABLE.CREATE.SAMPLES.x", NO_USER),
    ("$JS.API.CONSUMER.DELETE.SAMPLES.x", NO_USER),
    ("$JS.API.STREAM.MSG.GET.SAMPLES", &["agent", "aggregator"]),
    ("$JS.API.STREAM.MSG.GET.COMMAND", &["agent", "controller"]),
    ("$JS.API.STREAM.MSG.GET.LEASE", CONTROLLER),
    ("$JS.API.DIRECT.GET.SAMPLES", AGENT),
    ("$JS.API.DIRECT.GET.SAMPLES.boiler.b1.samples.v1", AGENT),
    ("$JS.API.DIRECT.GET.STATE", AGGREGATOR),
    ("$JS.API.DIRECT.GET.SNAPSHOT", AGGREGATOR),
    ("$JS.API.DIRECT.GET.FEED", AGGREGATOR),
    ("$JS.API.STREAM.MSG.GET.FEED", NO_USER),
    ("$JS.API.DIRECT.GET.COMMAND", NO_USER),
    ("$JS.API.DIRECT.GET.COMMAND.boiler.b1.command.x.anna", NO_USER),
    ("$JS.API.DIRECT.GET.EVENT", NO_USER),
    // From the other account: the last message of a subject, and requests to the streams.
    ("$JS.API.DIRECT.GET.LEASE.boiler.b1.setpoint", READER),
    ("$JS.API.DIRECT.GET.STATE.boiler.b1.state", READER),
    ("$JS.API.DIRECT.GET.STATUS.boiler.b1.status", READER),
    ("$JS.API.DIRECT.GET.SNAPSHOT.boiler.b1.hourly-snapshot", READER),
    ("$JS.API.DIRECT.GET.EVENT.boiler.b1.event.boot", READER),
    ("$JS.API.DIRECT.GET.FEED.boiler.b1", NO_USER),
    ("plant.api.STREAM.MSG.GET.SAMPLES", &["front", "inspector", "installer"]),
    (
        "plant.api.STREAM.MSG.GET.STATE",
        &["front", "inspector", "installer", "operator-anna", "operator-ben", "operator-carla"],
    ),
    ("plant.api.STREAM.MSG.GET.SNAPSHOT", &["front", "inspector", "installer"]),
    ("plant.api.STREAM.MSG.GET.EVENT", &["front", "inspector", "installer"]),
    ("plant.api.STREAM.MSG.GET.FEED", &["inspector", "installer"]),
    (
        "plant.api.STREAM.INFO.SAMPLES",
        &["front", "inspector", "installer", "operator-anna", "operator-ben", "operator-carla"],
    ),
    (
        "plant.api.STREAM.MSG.GET.COMMAND",
        &["front", "inspector", "installer", "operator-anna", "operator-ben", "operator-carla"],
    ),
    ("plant.api.STREAM.MSG.GET.LEASE", &["front", "inspector", "installer"]),
    ("plant.api.STREAM.CREATE.LEASE", INSTALLER),
    ("plant.api.STREAM.CREATE.OTHER", NO_USER),
    ("plant.api.STREAM.UPDATE.SAMPLES", INSTALLER),
    ("plant.api.STREAM.DELETE.SAMPLES", INSTALLER),
    ("plant.api.STREAM.PURGE.SAMPLES", NO_USER),
    ("plant.api.DIRECT.GET.COMMAND", NO_USER),
    ("plant.api.CONSUMER.CREATE.LEASE", NO_USER),
    ("plant.api.CONSUMER.CREATE.SAMPLES", NO_USER),
    ("plant.api.CONSUMER.CREATE.SAMPLES.x.boiler.b1.samples.v1", NO_USER),
    ("plant.api.CONSUMER.DURABLE.CREATE.SAMPLES.x", NO_USER),
];

/// Each subject, and all users who may subscribe to it.
const MAY_SUBSCRIBE: &[(&str, &[&str])] = &[
    ("boiler.>", READER),
    ("boiler.b1", READER),
    ("boiler.*.samples.v1", READER),
    ("boiler.*.setpoint", READER),
    ("boiler.*.state", &["controller", "reader"]),
    ("boiler.*.status", &["controller", "reader"]),
    ("boiler.*.command.*.*", READER),
    ("boiler.*.approval.*.*", READER),
    ("boiler.*.reset.*", READER),
    ("_INBOX_agent.x.*", AGENT),
    ("_INBOX_controller.>", CONTROLLER),
    ("_INBOX_operator-anna.>", &["operator-anna"]),
    ("_INBOX_front.>", &["front"]),
    ("_INBOX.>", READER),
    ("$JS.API.>", NO_USER),
    ("plant.api.>", NO_USER),
    ("$JS.EVENT.>", NO_USER),
    ("$SYS.>", NO_USER),
    (">", NO_USER),
    ("*.>", NO_USER),
];

/// Fewer than the 128 events that the client buffers.
const AT_ONCE: usize = 40;

/// A server with keys, in its own folder.
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
            "[nats]\nurl = \"{}\"\nkeys = \"{}\"\n[feed]\nenabled = true\n\
             [control]\nenabled = true\nemitter = \"radiators\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n\
             [boiler.room]\nsource = \"hall\"\n",
            broker.url(),
            keys.display()
        );
        let config = Config::parse(&text, "test.toml").unwrap();
        Self { broker, keys, config, folder }
    }
}

pub(super) fn users() -> Vec<User> {
    let operators = ["anna", "ben", "carla"].map(|name| User::Operator(name.to_owned()));
    let hall = User::Source { name: "hall".to_owned(), subjects: vec!["boiler.b1.room.hall".to_owned()] };
    User::ROLES.into_iter().chain(operators).chain([hall]).collect()
}

/// A connection that records the server's errors.
pub(super) struct Probe {
    pub(super) client: Client,
    errors: Arc<Mutex<BTreeSet<String>>>,
}

impl Probe {
    pub(super) async fn connect(server: &Server, user: &User) -> Self {
        let errors = Arc::new(Mutex::new(BTreeSet::new()));
        let recorded = errors.clone();
        let seed = fs::read_to_string(user.seed_file(&server.keys)).unwrap();
        let options = ConnectOptions::with_nkey(seed.trim().to_owned())
            .custom_inbox_prefix(user.inbox())
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    recorded.lock().unwrap().insert(text);
                }
                std::future::ready(())
            });
        let client = options.connect(server.broker.url()).await.unwrap();
        Self { client, errors }
    }

    fn is_denied(&self, what: &str, subject: &str) -> bool {
        self.errors.lock().unwrap().contains(&format!("Permissions Violation for {what} to \"{subject}\""))
    }

    /// Waits until all denials are recorded: the last publish is denied for every user.
    pub(super) async fn settle(&self, number: usize) {
        let end = format!("end.{number}");
        self.client.publish(end.clone(), "".into()).await.unwrap();
        self.client.flush().await.unwrap();
        let denied = async {
            while !self.is_denied("Publish", &end) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, denied).await.expect("the last publish is denied");
    }
}

#[test]
fn each_user_has_exactly_its_permissions() {
    let server = Server::start();
    let mut wrong = Vec::new();
    house::runtime().block_on(async {
        for user in users() {
            let name = user.to_string();
            let probe = Probe::connect(&server, &user).await;
            for (number, some) in MAY_PUBLISH.chunks(AT_ONCE).enumerate() {
                for (subject, _) in some {
                    probe.client.publish(*subject, "{}".into()).await.unwrap();
                }
                probe.settle(number).await;
            }
            for (subject, _) in MAY_SUBSCRIBE {
                drop(probe.client.subscribe(*subject).await.unwrap());
            }
            probe.settle(MAY_PUBLISH.len()).await;
            for (what, table) in [("Publish", MAY_PUBLISH), ("Subscription", MAY_SUBSCRIBE)] {
                for (subject, allowed) in table {
                    let (may, must) = (!probe.is_denied(what, subject), allowed.contains(&name.as_str()));
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

/// Each role can create the streams in any order, publish to its own, and receive the answers.
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

/// If the configuration gets another boiler and another limit, the owner changes its stream and the others wait.
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

/// A message that crosses the border is not sent back over it: a reader receives an operator's command once, directly.
#[test]
fn a_command_crosses_the_border_and_is_read_once() {
    let server = Server::start();
    house::runtime().block_on(async {
        let agent = Connection::reach(&server.config.nats, User::Agent).await.unwrap();
        streams::ensure(agent.context(), &streams::table(&server.config), agent.user()).await.unwrap();
        let mut reader = Probe::connect(&server, &User::Reader).await.client.subscribe("boiler.>").await.unwrap();
        let [anna, ben] = ["anna", "ben"].map(|name| User::Operator(name.to_owned()));
        let anna = Connection::reach(&server.config.nats, anna).await.unwrap();
        let ben = Connection::reach(&server.config.nats, ben).await.unwrap();
        let commands = subject::commands(&"b1".parse().unwrap());
        assert!(nats::last(ben.context(), stream::COMMAND, &commands).await.unwrap().is_none());
        let words = ["boiler.b1.command.x.anna", "boiler.b1.command.y.ben"];
        let stored = nats::compare_and_set(anna.context(), words[0], 0, &"warm").await;
        assert!(matches!(stored, nats::Stored::Yes(1)), "{stored:?}");
        let last = nats::last(ben.context(), stream::COMMAND, &commands).await.unwrap().expect("a command");
        assert_eq!((last.subject.as_str(), last.payload.as_ref()), (words[0], &b"\"warm\""[..]));
        let stored = nats::compare_and_set(ben.context(), words[1], 0, &"cold").await;
        assert!(matches!(stored, nats::Stored::Yes(2)), "{stored:?}");
        // Two connections: the server promises no order between them.
        let mut read = Vec::new();
        for _ in words {
            let message = tokio::time::timeout(SOON, reader.next()).await.expect("in time").expect("a message");
            read.push(message.subject.to_string());
        }
        read.sort();
        assert_eq!(read, words);
    });
}

/// The status and the message of `nats.permissions` in `thermowell check`.
fn checked(folder: &Path, nats: &str, control: bool) -> (String, String) {
    let config = folder.join("check.toml");
    let text = format!(
        "[nats]\n{nats}\n[control]\nenabled = {control}\nemitter = \"radiators\"\n[[operator]]\nname = \"anna\"\n\
         [[operator]]\nname = \"ben\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/x\"\n"
    );
    fs::write(&config, text).unwrap();
    let (_, report, _) = super::thermowell(&config, &["check", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let finding = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "nats.permissions");
    let word = |key: &str| finding.unwrap()[key].as_str().unwrap().to_owned();
    (word("status"), word("message"))
}

#[test]
fn check_sees_who_may_ask_for_heat() {
    let server = Server::start();
    let folder = server.folder.path();
    let (url, keys) = (format!("url = \"{}\"", server.broker.url()), server.keys.display());
    let (status, message) = checked(folder, &format!("{url}\nkeys = \"{keys}\""), true);
    assert_eq!(
        (status.as_str(), message.as_str()),
        (
            "ok",
            "set-points are forbidden to clients without a key, agent, aggregator, front, reader, inspector, \
             installer, operator-anna, operator-ben"
        )
    );
    let (status, message) = checked(folder, &format!("{url}\nnkey_file = \"{keys}/controller.nk\""), true);
    assert!(status == "warning" && message.contains("all roles are one user"), "{message}");
    make(&server.keys, &User::ROLES, &["agent".to_owned()]).unwrap();
    let (status, message) = checked(folder, &format!("{url}\nkeys = \"{keys}\""), true);
    assert!(status == "error" && message == "the server rejects the keys of agent", "{message}");

    let options = BrokerOptions::in_folder(folder.join("open"));
    let open = Broker::start(&house::server(), &Programs::at(super::DEMO), options).unwrap();
    let url = format!("url = \"{}\"", open.url());
    for (nats, control, expected) in [
        (url.clone(), true, "error"),
        (url.clone(), false, "warning"),
        (format!("{url}\nkeys = \"{keys}\""), true, "error"),
    ] {
        let (status, text) = checked(folder, &nats, control);
        assert!(status == expected && text.contains("may be published by clients without a key"), "{status}: {text}");
    }
}
