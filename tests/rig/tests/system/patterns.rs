//! The publishing patterns of COMMAND against a real server: only one, the impatient clicker, the business rule. The
//! fourth, order, is in `resets`; the fifth, the snapshot, in `verify`.

use std::time::Duration;

use futures_util::future::join_all;
use rig::house::SOON;
use thermowell::command::{self, Accepted, Answer};
use thermowell::nats::{self, json};
use thermowell_flow::command::{Ask, Refusal};
use thermowell_flow::published::{Action, Command, Event, EventBody};
use thermowell_wire::subject::{self, EventKind, stream};

use super::bench::{Bench, Trouble, b1, bench, patiently};

const BOOST: Action = Action::Boost { flow: 65.0 };

fn request(id: &str, by: &str, action: Action) -> Ask {
    let length = if action == Action::Release { Duration::ZERO } else { Duration::from_secs(1_800) };
    Ask { id: id.parse().unwrap(), boiler: b1(), by: by.parse().unwrap(), action, length, until: None }
}

impl Bench {
    /// Sends all of these at the same time.
    fn ask_all(&self, clicked: bool, asks: &[Ask]) -> Vec<Answer> {
        let answers = asks.iter().map(|ask| patiently(async || command::ask(&self.config, ask, clicked).await));
        self.runtime.block_on(join_all(answers))
    }

    fn ask(&self, clicked: bool, ask: &Ask) -> Answer {
        self.ask_all(clicked, std::slice::from_ref(ask)).remove(0)
    }
}

fn accepted(answer: Answer) -> Accepted {
    match answer {
        Answer::Accepted(accepted) => accepted,
        Answer::Refused(refusal) => panic!("refused: {refusal}"),
    }
}

/// Of accepted answers: the sequence and id, which must be the same, and how many report a new command.
fn one_command(answers: Vec<Answer>) -> (u64, String, usize) {
    let answers: Vec<Accepted> = answers.into_iter().map(accepted).collect();
    let name = |it: &Accepted| (it.sequence, it.command.id.to_string());
    assert!(answers.iter().all(|it| name(it) == name(&answers[0])), "{answers:#?}");
    let (sequence, id) = name(&answers[0]);
    (sequence, id, answers.iter().filter(|it| !it.again).count())
}

#[test]
fn a_command_id_is_used_once_however_often_it_is_repeated() {
    let bench = bench();
    let boost = request("party", "anna", BOOST);
    let first = accepted(bench.ask(false, &boost));
    assert!(!first.again);
    let again = accepted(bench.ask(false, &boost));
    assert_eq!((again.sequence, again.again, &again.command), (first.sequence, true, &first.command));

    // A release is subject to no rule and no repeated click: only its id can refuse it.
    let (_, id, new) = one_command(bench.ask_all(false, &vec![request("stop", "ben", Action::Release); 8]));
    assert_eq!((id.as_str(), new, bench.commands()), ("stop", 1, 2));

    // It ended long ago, and no command is active: the id is used all the same.
    assert_eq!(accepted(bench.ask(false, &boost)).sequence, first.sequence);
    let other = bench.ask(false, &request("party", "ben", Action::Release));
    let taken =
        "id party is that of another command, anna's boost of 65 °C (party); every command has an id of its own";
    assert!(matches!(&other, Answer::Refused(refusal) if refusal.to_string() == taken), "{other:?}");
    assert_eq!(bench.commands(), 2);
}

#[test]
fn a_lost_acknowledgement_is_read_back() {
    let bench = bench();
    let (trouble, lost) = (Trouble::default(), request("party", "anna", BOOST));
    let (answer, loss) = bench.runtime.block_on(async {
        let config = bench.through(&trouble).await;
        let loss = tokio::time::timeout(SOON, trouble.lost.notified());
        tokio::join!(command::ask(&config, &lost, false), loss)
    });
    loss.expect("an acknowledgement was lost");
    let answer = accepted(answer.unwrap());
    assert!(!answer.again, "it is the caller's own");
    assert_eq!(bench.commands(), 1);
    assert_eq!(bench.count(stream::EVENT, &subject::event(&b1(), EventKind::Command)), 1);
}

/// Another client stores the same id between the two reads.
#[test]
fn an_id_that_is_stored_between_two_reads_is_seen() {
    let bench = bench();
    let (trouble, stop) =
        (Trouble { hold: Some(("MSG.GET.COMMAND", 2)), ..Trouble::default() }, request("stop", "ben", Action::Release));
    let (slow, quick) = bench.runtime.block_on(async {
        let config = bench.through(&trouble).await;
        let quick = async {
            tokio::time::timeout(SOON, trouble.held.notified()).await.expect("a second read");
            let answer = command::ask(&bench.config, &stop, false).await;
            trouble.go_on.notify_one();
            answer
        };
        tokio::join!(command::ask(&config, &stop, false), quick)
    });
    let (_, _, new) = one_command(vec![slow.unwrap(), quick.unwrap()]);
    assert_eq!((new, bench.commands()), (1, 1));
}

#[test]
fn clicks_are_one_command_a_release_is_never_deduplicated() {
    let bench = bench();
    let clicks: Vec<Ask> = (1..=5).map(|n| request(&format!("click-{n}"), "anna", BOOST)).collect();
    let (sequence, id, new) = one_command(bench.ask_all(true, &clicks));
    assert_eq!((new, bench.commands()), (1, 1));

    for n in 1..=2 {
        let stop = accepted(bench.ask(true, &request(&format!("stop-{n}"), "anna", Action::Release)));
        assert!(!stop.again && stop.sequence > sequence, "{stop:?}");
    }
    assert_eq!(bench.commands(), 3);

    // The sixth click arrives late, after anna has released the boiler.
    let late = bench.ask(true, &request("click-6", "anna", BOOST));
    assert_eq!((one_command(vec![late]), bench.commands()), ((sequence, id, 0), 3));
    let other = accepted(bench.ask(true, &request("other", "anna", Action::Boost { flow: 66.0 })));
    assert!(!other.again, "another request is another command");
}

/// Junk, a command of a newer version, and a command in another's name: none of them blocks a valid command.
#[test]
fn a_malformed_last_command_does_not_block_the_next() {
    let bench = bench();
    let place = |by: &str| subject::command(&b1(), &"z".parse().unwrap(), &by.parse().unwrap()).to_string();
    let newer = r#"{"id":"z","boiler":"b1","by":"anna","action":"defrost","created_at":1e9,"version":9}"#;
    let long = accepted(bench.ask(false, &request("long", "anna", BOOST)));
    accepted(bench.ask(false, &request("over", "anna", Action::Release)));
    let annas = json(&Command { id: "z".parse().unwrap(), ..long.command });
    for (number, (payload, by)) in
        [(r#"{"id":"z"}"#.into(), "anna"), ("".into(), "anna"), (newer.into(), "anna"), (annas, "ben")]
            .into_iter()
            .enumerate()
    {
        let put = async || {
            let stored = bench.context.publish(place(by), payload.clone().into()).await.unwrap();
            stored.await.unwrap().sequence
        };
        let junk = bench.runtime.block_on(put());
        let stop = accepted(bench.ask(false, &request(&format!("stop-{number}"), "ben", Action::Release)));
        assert_eq!((stop.again, stop.sequence), (false, junk + 1), "{number}");
        bench.runtime.block_on(put());
        let boost = accepted(bench.ask(false, &request(&format!("boost-{number}"), "anna", BOOST)));
        assert!(!boost.again, "nothing stands: {number}");
        accepted(bench.ask(false, &request(&format!("over-{number}"), "anna", Action::Release)));
    }
    // The id is still free.
    assert!(!accepted(bench.ask(false, &request("z", "ben", Action::Release))).again);
}

#[test]
fn of_32_conflicting_requests_exactly_one_is_accepted() {
    let bench = bench();
    let ask = |n: u32| {
        let by = ["anna", "ben", "carla"][usize::try_from(n % 3).unwrap()];
        request(&format!("c{n}"), by, Action::Boost { flow: 55.0 + 0.5 * f64::from(n) })
    };
    let answers = bench.ask_all(true, &(0..32).map(ask).collect::<Vec<_>>());
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| matches!(it, Answer::Accepted(_)));
    assert_eq!((won.len(), bench.commands()), (1, 1), "{won:#?}");
    let stands = |answer: &Answer| matches!(answer, Answer::Refused(Refusal::Standing { .. }));
    assert!(lost.len() == 31 && lost.iter().all(stands), "{lost:#?}");

    // Each answer is an event, and the last one names the accepted command.
    let events = subject::event(&b1(), EventKind::Command);
    assert_eq!(bench.count(stream::EVENT, &events), 32);
    let last = bench.runtime.block_on(nats::last(&bench.context, stream::EVENT, &events)).unwrap().unwrap();
    let event: Event = serde_json::from_slice(&last.payload).unwrap();
    let won = accepted(won.into_iter().next().unwrap()).command;
    let accepts = matches!(&event.body, EventBody::CommandAccepted { id, .. } if *id == won.id);
    let refuses = matches!(&event.body, EventBody::CommandRefused { reason, .. } if reason.contains(won.id.as_str()));
    assert!(accepts || refuses, "{event:?}");
}

#[test]
fn a_refusal_of_a_command_names_what_is_allowed() {
    let bench = bench();
    for (code, line, expected) in [
        (1, "boost --boiler b9 --flow 65 --for 30m --by anna", "refused: there is no boiler b9 here; boilers are b1"),
        (
            1,
            "boost --boiler b1 --flow 65 --for 30m --by eve",
            "refused: eve is not an operator; operators are anna, ben, carla",
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
        let (exit, out, error) = bench.thermowell(&format!("command {line}"));
        assert!(exit == Some(code) && out.is_empty() && error.contains(expected), "{line}: {exit:?} {out} {error}");
    }
    assert_eq!(bench.commands(), 0);

    let (exit, out, _) = bench.thermowell("command boost --boiler b1 --flow 90 --for 5m --by anna --id n1 --json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let reason = "a boost of 90 °C is not allowed; allowed are 25 °C to 75 °C";
    assert_eq!((exit, &answer["accepted"], &answer["reason"]), (Some(1), &false.into(), &reason.into()), "{answer}");
    let (exit, out, _) = bench.thermowell("command release --boiler b1 --by anna --id n2 --json");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let found = (exit, &answer["accepted"], &answer["again"], &answer["command"]["action"], &answer["command"]["id"]);
    assert_eq!(found, (Some(0), &true.into(), &false.into(), &"release".into(), &"n2".into()), "{answer}");
}
