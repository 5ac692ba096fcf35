//! The publishing patterns of COMMAND against a real server: only one, the impatient clicker, the business rule.
//!
//! No boiler runs here: a state and a status that say that all is well are published over and over.

use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use futures_util::future::join_all;
use rig::house::{SOON, runtime, server};
use rig::nats::{Broker, BrokerOptions};
use rig::process::Programs;
use serde_json::json;
use tempfile::TempDir;
use thermowell::clock::Clock;
use thermowell::command::{self, Accepted, Answer};
use thermowell::config::Config;
use thermowell::nats::{self, User};
use thermowell::streams;
use thermowell_flow::command::{Ask, Refusal};
use thermowell_flow::published::{Action, Event, EventBody};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const BOOST: Action = Action::Boost { flow: 65.0 };

/// A server with our streams, and a boiler of which only good is heard.
struct Desk {
    context: Context,
    config: Config,
    path: PathBuf,
    broker: Broker,
    runtime: Runtime,
    well: JoinHandle<()>,
    _folder: TempDir,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let options = BrokerOptions::in_folder(folder.path().join("nats"));
    let broker = Broker::start(&server(), &Programs::at(super::DEMO), options).unwrap();
    let text = settings(&broker.url());
    let path = folder.path().join("thermowell.toml");
    fs::write(&path, &text).unwrap();
    let config = Config::parse(&text, "the test's").unwrap();
    let runtime = runtime();
    let (context, well) = runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(broker.url()).await.unwrap());
        streams::ensure(&context, &streams::table(&config), &User::Installer).await.unwrap();
        // Clicks of a test count as quick, however long this machine takes for them.
        let mut commands = context.get_stream(stream::COMMAND).await.unwrap().cached_info().config.clone();
        commands.duplicate_window = Duration::from_secs(600);
        context.update_stream(commands).await.unwrap();
        say_all_is_well(&context, &config).await;
        let (again, config) = (context.clone(), config.clone());
        let well = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                say_all_is_well(&again, &config).await;
            }
        });
        (context, well)
    });
    Desk { context, config, path, broker, runtime, well, _folder: folder }
}

fn settings(url: &str) -> String {
    let mut text = format!(
        "gateway = \"g1\"\nnats.url = \"{url}\"\ncontrol.enabled = true\nclock.assume_synced = true\n\
         [[boiler]]\nid = \"b1\"\nport = \"/dev/null\"\n"
    );
    for name in ["anna", "ben", "carla"] {
        text += &format!("[[operator]]\nname = \"{name}\"\n");
    }
    text
}

async fn say_all_is_well(context: &Context, config: &Config) {
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
            "outdoor": 0.0, "pressure_mbar": 1500, "own_flow": 45.0, "setpoint": null, "fault": null,
            "burner_starts": 1,
        },
    });
    for (what, subject) in [(state, subject::state(&b1())), (status, subject::status(&b1()))] {
        // A server that is stopped at the end of a test takes nothing any more.
        let _sent = context.publish(subject.to_string(), nats::json(&what).into()).await;
    }
}

fn b1() -> BoilerId {
    "b1".parse().unwrap()
}

fn wish(id: &str, by: &str, action: Action) -> Ask {
    let length = if action == Action::Release { Duration::ZERO } else { Duration::from_secs(1_800) };
    Ask { id: id.parse().unwrap(), boiler: b1(), by: by.parse().unwrap(), action, length }
}

impl Desk {
    /// Asks for all of these at the same time.
    fn ask_all(&self, clicked: bool, asks: &[Ask]) -> Vec<Answer> {
        let answers = asks.iter().map(|ask| command::ask(&self.config, ask, clicked));
        self.runtime.block_on(join_all(answers)).into_iter().map(Result::unwrap).collect()
    }

    fn ask(&self, clicked: bool, ask: &Ask) -> Answer {
        self.ask_all(clicked, std::slice::from_ref(ask)).remove(0)
    }

    /// How many messages a stream holds below these subjects.
    fn count(&self, stream: &str, subjects: &str) -> usize {
        self.runtime.block_on(async {
            let stream = self.context.get_stream(stream).await.unwrap();
            let found: Vec<_> =
                futures_util::StreamExt::collect(stream.info_with_subjects(subjects).await.unwrap()).await;
            found.into_iter().map(|subject: Result<(String, usize), _>| subject.unwrap().1).sum()
        })
    }

    fn commands(&self) -> usize {
        self.count(stream::COMMAND, &subject::commands(&b1()))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.well.abort();
    }
}

fn accepted(answer: Answer) -> Accepted {
    match answer {
        Answer::Accepted(accepted) => accepted,
        Answer::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

/// Among accepted answers: the one sequence and id that all of them name, and how many say that it was new.
fn one_command(answers: Vec<Answer>) -> (u64, String, usize) {
    let answers: Vec<Accepted> = answers.into_iter().map(accepted).collect();
    let name = |it: &Accepted| (it.sequence, it.command.id.to_string());
    assert!(answers.iter().all(|it| name(it) == name(&answers[0])), "{answers:#?}");
    let (sequence, id) = name(&answers[0]);
    (sequence, id, answers.iter().filter(|it| !it.again).count())
}

#[test]
fn a_command_id_is_used_once_whoever_repeats_it_and_when() {
    let desk = desk();
    let boost = wish("party", "anna", BOOST);
    let first = accepted(desk.ask(false, &boost));
    assert!(!first.again);
    let again = accepted(desk.ask(false, &boost));
    assert_eq!((again.sequence, again.again, &again.command), (first.sequence, true, &first.command));

    // A release has no rule and no click that could hold it back: only its id does.
    let (_, id, new) = one_command(desk.ask_all(false, &vec![wish("stop", "ben", Action::Release); 8]));
    assert_eq!((id.as_str(), new, desk.commands()), ("stop", 1, 2));

    // It ended long ago, and nothing of it stands: the id is used all the same.
    assert_eq!(accepted(desk.ask(false, &boost)).sequence, first.sequence);
    let other = desk.ask(false, &wish("party", "ben", Action::Release));
    let taken =
        "id party is that of another command, anna's boost of 65 °C (party); every command has an id of its own";
    assert!(matches!(&other, Answer::Refused(refusal) if refusal.to_string() == taken), "{other:?}");
    assert_eq!(desk.commands(), 2);
}

#[test]
fn a_lost_acknowledgement_is_read_back() {
    let desk = desk();
    let (trouble, lost) = (Trouble::default(), wish("party", "anna", BOOST));
    let (answer, loss) = desk.runtime.block_on(async {
        let config = desk.through(&trouble).await;
        let loss = tokio::time::timeout(SOON, trouble.lost.notified());
        tokio::join!(command::ask(&config, &lost, false), loss)
    });
    loss.expect("an acknowledgement was lost");
    let answer = accepted(answer.unwrap());
    assert!(!answer.again, "it is the caller's own");
    assert_eq!(desk.commands(), 1);
    assert_eq!(desk.count(stream::EVENT, &subject::event(&b1(), EventKind::Command)), 1);
}

/// Between the two reads that the promise rests on, somebody else stores the same id.
#[test]
fn an_id_that_is_stored_between_two_reads_is_seen() {
    let desk = desk();
    let (trouble, stop) = (Trouble { hold: true, ..Trouble::default() }, wish("stop", "ben", Action::Release));
    let (slow, quick) = desk.runtime.block_on(async {
        let config = desk.through(&trouble).await;
        let quick = async {
            tokio::time::timeout(SOON, trouble.held.notified()).await.expect("a second read");
            let answer = command::ask(&desk.config, &stop, false).await;
            trouble.go_on.notify_one();
            answer
        };
        tokio::join!(command::ask(&config, &stop, false), quick)
    });
    let (_, _, new) = one_command(vec![slow.unwrap(), quick.unwrap()]);
    assert_eq!((new, desk.commands()), (1, 1));
}

/// What happens on the way to the server, on its first connection: the second read of COMMAND is held, or an
/// acknowledgement is lost, and the connection with it.
#[derive(Clone, Default)]
struct Trouble {
    hold: bool,
    held: Arc<Notify>,
    go_on: Arc<Notify>,
    lost: Arc<Notify>,
}

impl Desk {
    /// The configuration of somebody whose way to the server has `trouble`.
    async fn through(&self, trouble: &Trouble) -> Config {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = self.config.clone();
        config.nats.url = format!("nats://{}", listener.local_addr().unwrap());
        let (trouble, server) = (trouble.clone(), self.broker.port());
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            trouble.between(client, TcpStream::connect(("127.0.0.1", server)).await.unwrap()).await;
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
        let asking = tokio::spawn(self.clone().asking(from_client, to_server));
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count) = from_server.read(&mut buffer).await {
            let is_acknowledgement = String::from_utf8_lossy(&buffer[..count]).contains(r#""stream":"COMMAND""#);
            if is_acknowledgement && !self.hold {
                self.lost.notify_one();
                break;
            }
            if count == 0 || to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        asking.abort();
    }

    async fn asking(self, mut from_client: OwnedReadHalf, mut to_server: OwnedWriteHalf) {
        let (mut buffer, mut reads) = (vec![0; 1 << 16], 0);
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            reads += usize::from(String::from_utf8_lossy(&buffer[..count]).contains("GET.COMMAND"));
            if self.hold && reads == 2 {
                self.held.notify_one();
                self.go_on.notified().await;
                reads += 1;
            }
            to_server.write_all(&buffer[..count]).await.unwrap();
        }
    }
}

#[test]
fn five_clicks_are_one_command_and_a_stop_is_never_swallowed() {
    let desk = desk();
    let clicks: Vec<Ask> = (1..=5).map(|n| wish(&format!("click-{n}"), "anna", BOOST)).collect();
    let (sequence, id, new) = one_command(desk.ask_all(true, &clicks));
    assert_eq!((new, desk.commands()), (1, 1));

    for n in 1..=2 {
        let stop = accepted(desk.ask(true, &wish(&format!("stop-{n}"), "anna", Action::Release)));
        assert!(!stop.again && stop.sequence > sequence, "{stop:?}");
    }
    assert_eq!(desk.commands(), 3);

    // The sixth click was slow, and arrives when anna has thought better of it.
    let late = desk.ask(true, &wish("click-6", "anna", BOOST));
    assert_eq!((one_command(vec![late]), desk.commands()), ((sequence, id, 0), 3));
    let other = accepted(desk.ask(true, &wish("other", "anna", Action::Boost { flow: 66.0 })));
    assert!(!other.again, "another wish is another command");
}

#[test]
fn of_32_conflicting_requests_exactly_one_is_accepted() {
    let desk = desk();
    let ask = |n: u32| {
        let by = ["anna", "ben", "carla"][usize::try_from(n % 3).unwrap()];
        wish(&format!("c{n}"), by, Action::Boost { flow: 55.0 + 0.5 * f64::from(n) })
    };
    let answers = desk.ask_all(true, &(0..32).map(ask).collect::<Vec<_>>());
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| matches!(it, Answer::Accepted(_)));
    assert_eq!((won.len(), desk.commands()), (1, 1), "{won:#?}");
    let stands = |answer: &Answer| matches!(answer, Answer::Refused(Refusal::Standing { .. }));
    assert!(lost.len() == 31 && lost.iter().all(stands), "{lost:#?}");

    // Everybody's answer is an event, and the last one of them names the winner's command.
    let events = subject::event(&b1(), EventKind::Command);
    assert_eq!(desk.count(stream::EVENT, &events), 32);
    let last = desk.runtime.block_on(nats::last(&desk.context, stream::EVENT, &events)).unwrap().unwrap();
    let event: Event = serde_json::from_slice(&last.payload).unwrap();
    let won = accepted(won.into_iter().next().unwrap()).command;
    match event.body {
        EventBody::CommandRefused { reason, .. } => assert!(reason.contains(won.id.as_str()), "{reason}"),
        EventBody::CommandAccepted { id, .. } => assert_eq!(id, won.id),
        other => panic!("{other:?}"),
    }
}

/// Exit code, stdout and stderr of `thermowell` with the desk's configuration.
fn thermowell(desk: &Desk, line: &str) -> (Option<i32>, String, String) {
    let mut process = Process::new(super::DEMO);
    let output = process.arg("thermowell").args(line.split(' ')).arg("--config").arg(&desk.path).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_wrong_command_is_told_what_is_allowed() {
    let desk = desk();
    for (code, line, said) in [
        (1, "boost --boiler b9 --flow 65 --for 30m --by anna", "refused: there is no boiler b9 here; boilers are b1"),
        (
            1,
            "boost --boiler b1 --flow 65 --for 30m --by eve",
            "refused: eve is no operator here; operators are anna, ben, carla",
        ),
        (
            1,
            "boost --boiler b1 --flow 200 --for 30m --by anna",
            "refused: a boost of 200 °C is not allowed; allowed are 25 °C to 75 °C",
        ),
        (
            1,
            "boost --boiler b1 --flow 65 --for 1d --by anna",
            "refused: a boost of 24 h is not allowed; allowed are 60 s to 60 min",
        ),
        (2, "boost --boiler b1 --flow 65 --for -5m --by anna", "expected a duration above 0, such as 30m, 1h30m or 3d"),
        (2, "boost --boiler b1 --flow hot --for 5m --by anna", "expected °C as a number, such as 65 or 62.5"),
        (2, "boost --boiler B1 --flow 65 --for 5m --by anna", "a boiler id has 1 to 32 characters"),
        (2, "release --boiler b1 --by Anna", "an operator's name has 1 to 32 characters"),
        (2, "release --boiler b1 --by anna --id a.b", "a command's id has 1 to 32 characters"),
    ] {
        let (exit, out, error) = thermowell(&desk, &format!("command {line}"));
        assert!(exit == Some(code) && out.is_empty() && error.contains(said), "{line}: {exit:?} {out} {error}");
    }
    assert_eq!(desk.commands(), 0);

    let (exit, out, _) = thermowell(&desk, "command boost --boiler b1 --flow 90 --for 5m --by anna --id n1 --json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let reason = "a boost of 90 °C is not allowed; allowed are 25 °C to 75 °C";
    assert_eq!((exit, &answer["accepted"], &answer["reason"]), (Some(1), &false.into(), &reason.into()), "{answer}");
    let (exit, out, _) = thermowell(&desk, "command release --boiler b1 --by anna --id n2 --json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let said = (exit, &answer["accepted"], &answer["again"], &answer["command"]["action"], &answer["command"]["id"]);
    assert_eq!(said, (Some(0), &true.into(), &false.into(), &"release".into(), &"n2".into()), "{answer}");
}
