use super::super::testing::{self, NOW_S};
use super::*;

fn session(config: &Config) -> Session {
    Session::new(config, config.mqtt.as_ref().unwrap())
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Everything that is due.
fn due(session: &mut Session, now: Duration) -> Vec<Message> {
    let messages: Vec<_> = std::iter::from_fn(|| session.next(now)).take(1_000).collect();
    assert!(messages.len() < 100, "it does not end: {messages:?}");
    messages
}

/// The topics of what is due, without the common beginning.
fn topics(session: &mut Session, now: Duration) -> Vec<String> {
    let topics = due(session, now).into_iter().map(|message| message.topic);
    topics.map(|topic| topic.replace("thermowell/", "").replace("homeassistant/device/", "")).collect()
}

/// A session with one fresh boiler, connected at second 0, whose first messages have been sent.
fn settled() -> Session {
    let mut session = session(&testing::with_buttons());
    session.see(&[testing::seen()]);
    session.connected(s(0));
    due(&mut session, s(0));
    due(&mut session, s(3));
    assert_eq!(due(&mut session, s(4)), []);
    session
}

const STATES: [&str; 4] = ["b1/data", "b1/device", "b1/command", "b1/last-hour"];

#[test]
fn connection_announces_all_boilers_and_sends_their_states() {
    let mut session = session(&testing::with_buttons());
    assert_eq!(due(&mut session, s(0)), [], "without a connection");
    session.see(&[testing::seen()]);
    session.connected(s(0));
    let messages = due(&mut session, s(0));
    let found: Vec<(&str, bool, bool)> =
        messages.iter().map(|it| (it.topic.as_str(), it.retain, it.is_acknowledged)).collect();
    let expected = [
        ("thermowell/gateway/cellar", true, true),
        ("homeassistant/device/thermowell_b1/config", true, true),
        ("thermowell/b1/availability", true, true),
        ("thermowell/b1/data", false, false),
        ("thermowell/b1/device", false, false),
        ("thermowell/b1/command", false, false),
        ("thermowell/b1/last-hour", false, true),
        ("homeassistant/device/thermowell_b2/config", true, true),
    ];
    assert_eq!(found, expected, "of a boiler that has not been seen, only the description");
    let payload =
        |topic: &str| messages.iter().find(|message| message.topic.ends_with(topic)).unwrap().payload.as_str();
    assert_eq!((payload("gateway/cellar"), payload("b1/availability")), ("online", "online"));
    let command: Value = serde_json::from_str(payload("b1/command")).unwrap();
    assert_eq!(command, json!({"action": "automatic", "until": null, "boost_flow": 60.0, "boost_minutes": 30}));
    assert_eq!(session.farewell(), Message::retained("thermowell/gateway/cellar".to_owned(), "offline"));
}

/// Home Assistant subscribes a moment after it has read the description.
#[test]
fn states_are_sent_once_more_after_an_announcement() {
    let mut session = session(&testing::with_buttons());
    session.see(&[testing::seen()]);
    session.connected(s(0));
    due(&mut session, s(0));
    assert_eq!(topics(&mut session, s(2)), [""; 0]);
    assert_eq!(topics(&mut session, s(3)), STATES);
    assert_eq!(topics(&mut session, s(4)), [""; 0]);
}

#[test]
fn birth_repeats_states_after_its_wait_but_not_the_hour() {
    let mut session = settled();
    let mut seen = testing::seen();
    seen.boiler.snapshot = Some(testing::snapshot(491_052));
    session.see(&[seen]);
    assert_eq!(topics(&mut session, s(5)), ["b1/last-hour", "b1/hour"]);
    assert_eq!(session.receive("homeassistant/status", b"online", true), Received::Ignored, "retained");
    assert_eq!(session.receive("homeassistant/status", b"offline", false), Received::Ignored);
    assert_eq!(session.receive("homeassistant/status", b"online", false), Received::Birth);
    session.born(s(6), s(4));
    assert_eq!(topics(&mut session, s(9)), [""; 0], "it waits");
    let repeated = topics(&mut session, s(10));
    assert_eq!(repeated[..2], ["gateway/cellar", "thermowell_b1/config"]);
    assert!(STATES.iter().all(|state| repeated.iter().any(|topic| topic == state)), "{repeated:?}");
    assert!(!repeated.contains(&"b1/hour".to_owned()), "an automation would run twice: {repeated:?}");
}

/// Anyone who may publish at the topic can send births.
#[test]
fn births_neither_put_off_nor_multiply_an_announcement() {
    let mut session = settled();
    let announced: Vec<u64> = (10..70)
        .filter(|second| {
            session.born(s(*second), s(4));
            topics(&mut session, s(*second)).iter().any(|topic| topic == "thermowell_b1/config")
        })
        .collect();
    assert_eq!(announced, [14, 44]);
    session.lost();
    session.connected(s(70));
    assert!(topics(&mut session, s(70)).contains(&"thermowell_b1/config".to_owned()));
}

#[test]
fn reconnect_announces_again_with_the_newest_values() {
    let mut session = settled();
    session.lost();
    let mut seen = testing::seen();
    seen.boiler.state.as_mut().unwrap().current = Some(70.0);
    session.see(&[testing::seen()]);
    session.see(&[seen]);
    assert_eq!(due(&mut session, s(20)), []);
    session.connected(s(21));
    let messages = due(&mut session, s(21));
    let data: Vec<_> = messages.iter().filter(|message| message.topic.ends_with("b1/data")).collect();
    assert!(data.len() == 1 && data[0].payload.contains("70.0"), "{data:?}");
    assert!(messages.iter().any(|message| message.topic.ends_with("thermowell_b1/config")));
}

#[test]
fn hour_is_one_event_and_none_for_those_at_the_beginning() {
    let mut session = session(&testing::with_buttons());
    let at = |hour, is_read| {
        let mut seen = testing::seen();
        (seen.boiler.snapshot, seen.is_read) = (Some(testing::snapshot(hour)), is_read);
        [seen]
    };
    session.connected(s(0));
    // While the streams are read, old hours pass by.
    (491_000..491_010).for_each(|hour| session.see(&at(hour, false)));
    session.see(&at(491_051, true));
    let hours = |session: &mut Session, now| topics(session, now).iter().filter(|topic| *topic == "b1/hour").count();
    assert_eq!(hours(&mut session, s(0)), 0);
    session.see(&at(491_052, true));
    assert_eq!(hours(&mut session, s(1)), 1);
    session.see(&at(491_052, true));
    assert_eq!(hours(&mut session, s(2)), 0);
    // The streams are read again from the beginning.
    (491_040..=491_052).for_each(|hour| session.see(&at(hour, true)));
    assert_eq!(hours(&mut session, s(3)), 0);
    // Of those that close while the broker is away, the newest is an event.
    session.lost();
    (491_053..=491_055).for_each(|hour| session.see(&at(hour, true)));
    assert_eq!(session.dropped(), 2);
    session.connected(s(4));
    let messages = due(&mut session, s(4));
    let event = messages.iter().find(|message| message.topic.ends_with("b1/hour")).unwrap();
    assert!(event.payload.contains("2026-01-07T15:00:00Z") && !event.retain, "{event:?}");
}

#[test]
fn old_values_make_the_boiler_unavailable() {
    let mut session = settled();
    let mut seen = testing::seen();
    seen.boiler.freshness = Some(thermowell_flow::published::Freshness::Fault);
    session.see(&[seen]);
    let messages = due(&mut session, s(5));
    assert_eq!(messages[0], Message::retained("thermowell/b1/availability".to_owned(), "offline"));
    session.see(&[testing::seen()]);
    assert_eq!(due(&mut session, s(6))[0], Message::retained("thermowell/b1/availability".to_owned(), "online"));
}

#[test]
fn another_board_is_described_and_a_cable_keeps_the_description() {
    let mut session = settled();
    let mut seen = testing::seen();
    seen.boiler.status.as_mut().unwrap().device = None;
    session.see(&[seen]);
    assert!(!topics(&mut session, s(5)).contains(&"thermowell_b1/config".to_owned()));
    let mut seen = testing::seen();
    seen.boiler.status.as_mut().unwrap().device.as_mut().unwrap().serial_number = "TW-0043".to_owned();
    session.see(&[seen]);
    let messages = due(&mut session, s(6));
    assert!(messages[0].topic.ends_with("thermowell_b1/config") && messages[0].payload.contains("TW-0043"));
}

#[test]
fn buttons_ask_with_the_numbers_that_were_set() {
    let mut session = settled();
    let boiler: BoilerId = "b1".parse().unwrap();
    let press = |action, minutes: u64| Received::Press { boiler: boiler.clone(), action, length: s(60 * minutes) };
    let boost = "thermowell/b1/set/boost";
    assert_eq!(session.receive(boost, b"press", false), press(Action::Boost { flow: 60.0 }, 30));
    assert_eq!(session.receive("thermowell/b1/set/boost-flow", b"65.5", false), Received::Taken);
    assert_eq!(session.receive("thermowell/b1/set/boost-minutes", b"15.0", false), Received::Taken);
    assert_eq!(session.receive(boost, b"press", false), press(Action::Boost { flow: 65.5 }, 15));
    assert_eq!(session.receive("thermowell/b1/set/release", b"press", false), press(Action::Release, 0));
    let messages = due(&mut session, s(20));
    let command = messages.iter().find(|message| message.topic.ends_with("b1/command")).unwrap();
    assert!(command.payload.contains("\"boost_flow\":65.5"), "what is set is shown: {command:?}");
}

#[test]
fn what_is_wrong_is_refused_with_an_answer() {
    for (level, payload, why) in [
        ("boost", &b"pres"[..], "\"pres\" is not \"press\""),
        ("boost-flow", b"90", "allowed are 25 to 75 (°C)"),
        ("boost-flow", b"NaN", "allowed are 25 to 75 (°C)"),
        ("boost-minutes", b"0", "allowed are 1 to 60 (min)"),
        ("boost-minutes", b"61", "allowed are 1 to 60 (min)"),
        ("boost-minutes", b"1.5", "allowed are 1 to 60 (min)"),
        ("release", b"\xff", "not a text of at most 32 bytes"),
        ("release", &[b'a'; 33], "not a text of at most 32 bytes"),
    ] {
        let mut session = settled();
        let topic = format!("thermowell/b1/set/{level}");
        let received = session.receive(&topic, payload, false);
        let Received::Refused { why: found, .. } = &received else { panic!("{level}: {received:?}") };
        assert!(found.contains(why), "{found}");
        let messages = due(&mut session, s(5));
        let [Message { topic, payload, .. }] = &messages[..] else { panic!("{messages:?}") };
        assert!(topic.ends_with("b1/answer") && payload.contains("\"event_type\":\"refused\""), "{payload}");
    }
}

/// It would be given again at each connection, and by each restart.
#[test]
fn retained_command_is_refused_and_changes_nothing() {
    let mut session = settled();
    for level in ["boost", "release", "boost-flow", "boost-minutes"] {
        let topic = format!("thermowell/b1/set/{level}");
        let received = session.receive(&topic, b"55", true);
        assert!(matches!(&received, Received::Refused { why, .. } if why.contains("retained")), "{received:?}");
    }
    assert_eq!(due(&mut session, s(5)), [], "no answer: it is not the press of a button");
}

#[test]
fn without_an_operator_nothing_is_subscribed_or_obeyed() {
    let mut session = session(&testing::config(""));
    assert!(session.sets().is_empty());
    assert_eq!(session.receive("thermowell/b1/set/boost", b"press", false), Received::Ignored);
    let sets = settled().sets();
    assert_eq!(sets, ["thermowell/b1/set/+", "thermowell/b2/set/+"]);
}

#[test]
fn end_of_any_operators_command_is_an_answer() {
    let mut session = settled();
    let mut seen = testing::seen();
    seen.command = Some(Some(testing::boost("x1", NOW_S + 60.0)));
    session.see(&[seen]);
    assert_eq!(topics(&mut session, s(5)), ["b1/command"]);
    session.see(&[testing::unseen()]);
    assert!(!topics(&mut session, s(6)).contains(&"b1/answer".to_owned()), "unknown is not ended");
    let mut seen = testing::seen();
    seen.command = Some(Some(testing::release("x2")));
    session.see(&[seen]);
    let messages = due(&mut session, s(7));
    let answer = messages.iter().find(|message| message.topic.ends_with("b1/answer")).unwrap();
    let answer: Value = serde_json::from_str(&answer.payload).unwrap();
    let expected = json!({"event_type": "ended", "action": "boost", "by": "anna", "reason": "released by ben"});
    assert_eq!(answer, expected);
}

#[test]
fn answers_are_bounded_while_the_broker_is_away() {
    let mut session = settled();
    session.lost();
    let boiler: BoilerId = "b1".parse().unwrap();
    (0..20).for_each(|n| session.answered(&boiler, json!({"event_type": "accepted", "n": n})));
    assert_eq!(session.dropped(), 12);
    session.connected(s(9));
    let messages = due(&mut session, s(9));
    let answers: Vec<_> = messages.iter().filter(|message| message.topic.ends_with("b1/answer")).collect();
    assert!(answers.len() == EVENTS_MAX && answers[0].payload.contains("\"n\":12"), "{answers:?}");
}
