//! A server with our streams and a virtual boiler, for requests to COMMAND from the people's account.
//!
//! No boiler runs here: a state and a status are published repeatedly, with the fault that a test sets.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use rig::clock::Stopwatch;
use rig::demo::setup::make_keys;
use rig::house::{SOON, runtime, server};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use serde_json::json;
use tempfile::TempDir;
use thermowell::clock::Clock;
use thermowell::config::Config;
use thermowell::nats::{self, User};
use thermowell::streams;
use thermowell_wire::BoilerId;
use thermowell_wire::line::Fault;
use thermowell_wire::subject::{self, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// A server with our streams, and a boiler that is well unless a test sets a fault.
pub(crate) struct Bench {
    pub(crate) context: Context,
    pub(crate) config: Config,
    pub(crate) runtime: Runtime,
    fault: watch::Sender<Option<Fault>>,
    path: PathBuf,
    broker: Broker,
    publisher: JoinHandle<()>,
    _folder: TempDir,
}

pub(crate) fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    make_keys(&keys).unwrap();
    let options = BrokerOptions::with_keys(folder.path().join("nats"), &keys);
    let broker = Broker::start(&server(), &Programs::at(super::DEMO), options).unwrap();
    let text = settings(&broker.url(), &keys);
    let path = folder.path().join("thermowell.toml");
    fs::write(&path, &text).unwrap();
    let config = Config::parse(&text, "the test's").unwrap();
    let runtime = runtime();
    let (fault, reported) = watch::channel(None);
    let (context, publisher) = runtime.block_on(async {
        let context = jetstream::new(broker.connect().await.unwrap());
        streams::ensure(&context, &streams::table(&config), &User::Installer).await.unwrap();
        // Commands of a test count as repeated clicks, however slow this machine is.
        let mut commands = context.get_stream(stream::COMMAND).await.unwrap().cached_info().config.clone();
        commands.duplicate_window = Duration::from_secs(600);
        context.update_stream(commands).await.unwrap();
        publish_status(&context, &config, None).await;
        let (again, config) = (context.clone(), config.clone());
        let publisher = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let fault = *reported.borrow();
                publish_status(&again, &config, fault).await;
            }
        });
        (context, publisher)
    });
    Bench { context, config, runtime, fault, path, broker, publisher, _folder: folder }
}

fn settings(url: &str, keys: &Path) -> String {
    let mut text = format!(
        "gateway = \"g1\"\nnats.url = \"{url}\"\nnats.keys = \"{}\"\n\
         control.enabled = true\ncontrol.emitter = \"radiators\"\n\
         clock.assume_synced = true\n[[boiler]]\nid = \"b1\"\nport = \"/dev/null\"\n",
        keys.display()
    );
    for name in ["anna", "ben", "carla"] {
        text += &format!("[[operator]]\nname = \"{name}\"\n");
    }
    text
}

/// Publishes a state and a status of a boiler that is well, except for `fault`.
async fn publish_status(context: &Context, config: &Config, fault: Option<Fault>) {
    let now = Clock::new(&config.clock).now().utc.unix_seconds();
    let slot = json!({"boot": "0000000300000007", "seq": 360_000});
    let state = json!({
        "boiler": "b1", "instance": "g1", "stamp": now, "slot": slot, "current": 50.0, "quality": "ok",
        "heating": true, "average": 47.5, "average_points": 360_000, "average_heating": 47.5, "heating_share": 1.0,
        "coverage": 1.0, "minimum": 40.0, "maximum": 55.0, "last_hour": null, "clock": "synced", "simulated": true,
        "provisional": {"hour": "2026-01-07T00:00:00Z", "temperature": null, "points": 0}, "version": 1,
    });
    let status = json!({
        "boiler": "b1", "created_at": now, "link": "up", "newest": slot, "backlog": 0, "simulated": true, "version": 1,
        "device": {
            "boot": "0000000300000007", "serial_number": "TW-1", "firmware": "sim", "state": "firing", "flame": true,
            "pump": true, "hot_water": false, "modulation": 50, "return_temperature": 40.0, "room": 20.0,
            "outdoor": 0.0, "pressure_mbar": 1500, "own_flow": 45.0, "setpoint": null, "fault": fault,
            "burner_starts": 1,
        },
    });
    for (what, subject) in [(state, subject::state(&b1())), (status, subject::status(&b1()))] {
        // The server may have been stopped at the end of a test.
        if let Ok(sent) = context.publish(subject.to_string(), nats::json(&what).into()).await {
            drop(sent.await);
        }
    }
}

pub(crate) fn b1() -> BoilerId {
    "b1".parse().unwrap()
}

impl Bench {
    /// From now on the boiler reports this fault.
    pub(crate) fn report(&self, fault: Fault) {
        self.fault.send_replace(Some(fault));
        self.runtime.block_on(publish_status(&self.context, &self.config, Some(fault)));
    }

    /// How many messages a stream holds below these subjects.
    pub(crate) fn count(&self, stream: &str, subjects: &str) -> usize {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.unwrap();
            let found: Vec<Result<(String, usize), _>> =
                stream.info_with_subjects(subjects).await.unwrap().collect().await;
            found.into_iter().map(|subject| subject.unwrap().1).sum()
        })
    }

    pub(crate) fn commands(&self) -> usize {
        self.count(stream::COMMAND, &subject::commands(&b1()))
    }

    /// Exit code, stdout and stderr of `thermowell` with this configuration.
    pub(crate) fn thermowell(&self, line: &str) -> (Option<i32>, String, String) {
        let (path, line) = (self.path.clone(), line.to_owned());
        let run = move || super::thermowell(&path, &line.split(' ').collect::<Vec<_>>());
        // Meanwhile the boiler's messages go on.
        self.runtime.block_on(async { tokio::task::spawn_blocking(run).await.unwrap() })
    }
}

/// Retries until there is an answer: on a busy machine a server may be unavailable for a moment.
pub(crate) async fn patiently<T, E: std::error::Error + 'static>(ask: impl AsyncFn() -> Result<T, E>) -> T {
    let watch = Stopwatch::start();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if watch.left_of(SOON).is_none() => panic!("{}", thermowell::logs::chain(&error)),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.publisher.abort();
    }
}

/// A fault on the first connection to the server: a request is held, or an acknowledgement of COMMAND
/// is lost together with the connection.
#[derive(Clone, Default)]
pub(crate) struct Trouble {
    /// The request is held when these words have passed so many times.
    pub(crate) hold: Option<(&'static str, usize)>,
    pub(crate) held: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
    pub(crate) lost: Arc<Notify>,
}

impl Bench {
    /// A configuration whose connection to the server has `trouble`.
    pub(crate) async fn through(&self, trouble: &Trouble) -> Config {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = self.config.clone();
        config.nats.url = format!("nats://{}", listener.local_addr().unwrap());
        let (trouble, server) = (trouble.clone(), self.broker.port());
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server_side = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            // Before its login, the client tries its key on another connection.
            tokio::spawn(async move { trouble.between(client, server_side).await });
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
            }
        });
        config
    }
}

impl Trouble {
    async fn between(&self, client: TcpStream, server: TcpStream) {
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        let requests = tokio::spawn(self.clone().forward_requests(from_client, to_server));
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = from_server.read(&mut buffer).await {
            let is_acknowledgement = String::from_utf8_lossy(&buffer[..count]).contains(r#""stream":"COMMAND""#);
            if is_acknowledgement && self.hold.is_none() {
                self.lost.notify_one();
                break;
            }
            if count == 0 || to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        requests.abort();
    }

    async fn forward_requests(self, mut from_client: OwnedReadHalf, mut to_server: OwnedWriteHalf) {
        let (mut buffer, mut left) = (vec![0; 1 << 16], self.hold);
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            if let Some((words, times)) = &mut left
                && String::from_utf8_lossy(&buffer[..count]).contains(*words)
            {
                *times -= 1;
                if *times == 0 {
                    left = None;
                    self.held.notify_one();
                    self.go_on.notified().await;
                }
            }
            to_server.write_all(&buffer[..count]).await.unwrap();
        }
    }
}
