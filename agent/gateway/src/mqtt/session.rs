//! What is sent to the broker next, and what a received message means. No clock, no I/O.
//!
//! ```text
//!             connected            birth, after 1 to 5 s            lost
//!   away ───────────────▶ up ─────────────────────────▶ up ───────────────▶ away
//!           announce all,          announce all,               nothing is queued; the newest
//!           send all states        repeat all states           values are sent at the next connection
//! ```
//!
//! Nothing waits in a queue: the next message is derived from what is known now and what was sent last. Only events
//! wait, at most [`EVENTS_MAX`] for each boiler, and only the newest hour; they are not repeated at a birth.
//!
//! Home Assistant subscribes to the topics of a new device after it has read its description, and states are not
//! retained: so they are sent once more, [`SETTLE`] after an announcement.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use thermowell_flow::published::{Action, Snapshot};
use thermowell_flow::snapshot::hour_of;
use thermowell_wire::BoilerId;

use super::Message;
use super::discovery::{BOOST_MINUTES, OFFLINE, ONLINE, PRESS, Plan};
use super::outlet::{Outlet, Pace};
use super::topics::{Set, Topics};
use super::values::{self, Active, Hardware, Seen, Values};
use crate::config::{Config, Mqtt};

/// The most answers of a boiler that wait for the broker; then the oldest is dropped.
const EVENTS_MAX: usize = 8;
/// How long Home Assistant may take to subscribe to the topics of a device that it has just read about.
const SETTLE: Duration = Duration::from_secs(3);
/// The least interval of announcements that births ask for. Home Assistant itself takes longer for a restart.
const BIRTH_REST: Duration = Duration::from_secs(30);
/// What a boost asks for until it is set, if the limits allow it.
const BOOST_FLOW: f64 = 60.0;
const BOOST_FOR_MIN: u16 = 30;
/// The longest payload that sets something; a number has fewer letters.
const PAYLOAD_MAX: usize = 32;
/// The birth of Home Assistant.
const BORN: &[u8] = ONLINE.as_bytes();

/// The state of the exchange with one broker.
#[derive(Debug)]
pub(super) struct Session {
    topics: Topics,
    plan: Plan,
    pace: Pace,
    /// Flow temperatures that may be set, °C; none without an operator.
    limits: Option<(f64, f64)>,
    desks: Vec<Desk>,
    is_up: bool,
    is_announced: bool,
    /// When everything is announced again.
    announce_at: Option<Duration>,
    /// When a birth was answered last.
    answered_at: Option<Duration>,
    /// When all states are repeated.
    repeat_at: Option<Duration>,
    dropped: u64,
}

/// One boiler.
#[derive(Debug)]
struct Desk {
    id: BoilerId,
    values: Option<Values>,
    hardware: Hardware,
    /// As last described.
    described: Option<Hardware>,
    availability: Option<bool>,
    data: Outlet,
    device: Outlet,
    command: Outlet,
    /// As last sent.
    last_hour: Option<Value>,
    /// The newest hour that was there at the beginning, or has been an event.
    hour: Option<i64>,
    /// The event of a newer one.
    closed: Option<Value>,
    answers: VecDeque<Value>,
    active: Option<Active>,
    boost_flow: f64,
    boost_minutes: u16,
}

/// What a received message means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Received {
    /// Home Assistant has started.
    Birth,
    /// A button was pressed.
    Press { boiler: BoilerId, action: Action, length: Duration },
    /// A number was set.
    Taken,
    /// It is refused, and why.
    Refused { topic: String, why: String },
    /// It is not for us.
    Ignored,
}

impl Session {
    pub(super) fn new(config: &Config, mqtt: &Mqtt) -> Self {
        let pace = Pace { every: mqtt.every, change: mqtt.change.celsius() };
        let law = &config.control.law;
        let (least, most) = (law.flow_min.celsius(), law.flow_max.celsius());
        let desk = |id| Desk::new(id, BOOST_FLOW.clamp(least, most));
        Self {
            topics: Topics::new(config, mqtt),
            plan: Plan::new(config, mqtt, &pace),
            pace,
            limits: mqtt.operator.is_some().then_some((least, most)),
            desks: config.boiler_ids().into_iter().map(desk).collect(),
            is_up: false,
            is_announced: false,
            announce_at: None,
            answered_at: None,
            repeat_at: None,
            dropped: 0,
        }
    }

    /// The last will, and what an orderly end sends.
    pub(super) fn farewell(&self) -> Message {
        Message::retained(self.topics.gateway(), OFFLINE)
    }

    /// The topics of Home Assistant's birth.
    pub(super) fn births(&self) -> Vec<String> {
        self.topics.births()
    }

    /// The topics that set something; none without an operator.
    pub(super) fn sets(&self) -> Vec<String> {
        let ids = self.limits.iter().flat_map(|_| &self.desks);
        ids.map(|desk| self.topics.sets(&desk.id)).collect()
    }

    /// Events that were dropped because the broker was away.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// A connection is established.
    pub(super) fn connected(&mut self, now: Duration) {
        self.is_up = true;
        self.announce(now);
    }

    /// The connection has ended.
    pub(super) fn lost(&mut self) {
        self.is_up = false;
        (self.announce_at, self.repeat_at) = (None, None);
    }

    /// Home Assistant has started: it knows nothing. All clients answer at that moment, so ours waits.
    /// The first of several births counts, so that they cannot put the announcement off; and it does not come within
    /// [`BIRTH_REST`] of the last one, so that they cannot keep us at work.
    pub(super) fn born(&mut self, now: Duration, wait: Duration) {
        let rest = self.answered_at.map_or(Duration::ZERO, |at| at + BIRTH_REST);
        self.announce_at.get_or_insert((now + wait).max(rest));
    }

    fn announce(&mut self, now: Duration) {
        self.is_announced = false;
        self.announce_at = None;
        for desk in &mut self.desks {
            (desk.described, desk.availability, desk.last_hour) = (None, None, None);
        }
        self.repeat();
        self.repeat_at = Some(now + SETTLE);
    }

    fn repeat(&mut self) {
        self.repeat_at = None;
        for desk in &mut self.desks {
            [&mut desk.data, &mut desk.device, &mut desk.command].into_iter().for_each(Outlet::repeat);
            desk.last_hour = None;
        }
    }

    /// Takes what is known now.
    pub(super) fn see(&mut self, seen: &[Seen]) {
        let Self { desks, dropped, .. } = self;
        for seen in seen {
            if let Some(desk) = desks.iter_mut().find(|desk| desk.id == *seen.id()) {
                *dropped += desk.see(seen);
            }
        }
    }

    /// Takes the answer to a command from here.
    pub(super) fn answered(&mut self, boiler: &BoilerId, answer: Value) {
        if let Some(desk) = self.desks.iter_mut().find(|desk| desk.id == *boiler) {
            self.dropped += desk.answer(answer);
        }
    }

    /// The next message that is due; it counts as sent. None if none is due, or without a connection.
    pub(super) fn next(&mut self, now: Duration) -> Option<Message> {
        if !self.is_up {
            return None;
        }
        if self.announce_at.is_some_and(|at| now >= at) {
            self.answered_at = Some(now);
            self.announce(now);
        }
        if self.repeat_at.is_some_and(|at| now >= at) {
            self.repeat();
        }
        if !std::mem::replace(&mut self.is_announced, true) {
            return Some(Message::retained(self.topics.gateway(), ONLINE));
        }
        let Self { topics, plan, pace, limits, desks, .. } = self;
        desks.iter_mut().find_map(|desk| desk.next(topics, plan, pace, limits.is_some(), now))
    }

    /// What a message means that the broker passed on.
    pub(super) fn receive(&mut self, topic: &str, payload: &[u8], is_retained: bool) -> Received {
        if self.topics.births().iter().any(|birth| birth == topic) {
            // A retained one is from before this connection, with which everything was announced.
            let is_birth = payload == BORN && !is_retained;
            return if is_birth { Received::Birth } else { Received::Ignored };
        }
        let Some(limits) = self.limits else { return Received::Ignored };
        let found = self.topics.parse(topic, self.desks.iter().map(|desk| &desk.id));
        let Some((at, set)) = found else { return Received::Ignored };
        if payload.is_empty() {
            // The deletion of a retained one.
            return Received::Ignored;
        }
        if is_retained {
            let why = "it is retained, and would be given again at each connection; publish it without retain, and \
                       delete the retained one with an empty message";
            return Received::Refused { topic: topic.to_owned(), why: why.to_owned() };
        }
        match self.desks[at].set(set, payload, limits) {
            Ok(received) => received,
            Err(why) => {
                self.dropped += self.desks[at].answer(refusal(set.level(), &why));
                Received::Refused { topic: topic.to_owned(), why }
            }
        }
    }
}

/// The answer to what is refused.
pub(super) fn refusal(action: &str, why: &str) -> Value {
    json!({"event_type": "refused", "action": action, "reason": why})
}

impl Desk {
    fn new(id: BoilerId, boost_flow: f64) -> Self {
        Self {
            id,
            values: None,
            hardware: Hardware::default(),
            described: None,
            availability: None,
            data: Outlet::default(),
            device: Outlet::default(),
            command: Outlet::default(),
            last_hour: None,
            hour: None,
            closed: None,
            answers: VecDeque::new(),
            active: None,
            boost_flow,
            boost_minutes: BOOST_FOR_MIN,
        }
    }

    /// Returns how many events were dropped.
    fn see(&mut self, seen: &Seen) -> u64 {
        if let Some(hardware) = seen.hardware() {
            self.hardware = hardware;
        }
        let mut dropped = 0;
        if seen.is_read
            && let Some(snapshot) = &seen.boiler.snapshot
        {
            dropped += self.close(snapshot);
        }
        let active = seen.active();
        if seen.command.is_some()
            && let Some(ended) = self.active.take().filter(|before| Some(before) != active.as_ref())
        {
            let reason = seen.why_ended(&ended);
            let answer = json!({"event_type": "ended", "action": ended.word, "by": ended.by, "reason": reason});
            dropped += self.answer(answer);
        }
        if seen.command.is_some() {
            self.active = active;
        }
        self.values = Some(seen.values());
        dropped
    }

    /// An hour that is newer than those at the beginning is an event.
    fn close(&mut self, snapshot: &Snapshot) -> u64 {
        let hour = hour_of(snapshot);
        match self.hour {
            Some(last) if hour <= last => 0,
            Some(_) => {
                self.hour = Some(hour);
                u64::from(self.closed.replace(values::hour(snapshot)).is_some())
            }
            None => {
                self.hour = Some(hour);
                0
            }
        }
    }

    fn answer(&mut self, answer: Value) -> u64 {
        self.answers.push_back(answer);
        let is_full = self.answers.len() > EVENTS_MAX;
        if is_full {
            self.answers.pop_front();
        }
        u64::from(is_full)
    }

    fn next(&mut self, topics: &Topics, plan: &Plan, pace: &Pace, is_set: bool, now: Duration) -> Option<Message> {
        if self.described.as_ref() != Some(&self.hardware) {
            self.described = Some(self.hardware.clone());
            let described = plan.describe(&self.id, &self.hardware);
            return Some(Message::retained(topics.config(&self.id), described.to_string()));
        }
        let values = self.values.as_ref()?;
        if self.availability != Some(values.is_available) {
            self.availability = Some(values.is_available);
            let word = if values.is_available { ONLINE } else { OFFLINE };
            return Some(Message::retained(topics.availability(&self.id), word));
        }
        if self.data.is_due(&values.data, now, pace) {
            return Some(Message::state(topics.of(&self.id, "data"), &values.data));
        }
        if self.device.is_due(&values.device, now, pace) {
            return Some(Message::state(topics.of(&self.id, "device"), &values.device));
        }
        let mut command = values.command.clone();
        if is_set {
            command["boost_flow"] = self.boost_flow.into();
            command["boost_minutes"] = self.boost_minutes.into();
        }
        if self.command.is_due(&command, now, pace) {
            return Some(Message::state(topics.of(&self.id, "command"), &command));
        }
        if self.last_hour.as_ref() != Some(&values.last_hour) {
            self.last_hour = Some(values.last_hour.clone());
            return Some(Message::event(topics.of(&self.id, "last-hour"), &values.last_hour));
        }
        if let Some(hour) = self.closed.take() {
            return Some(Message::event(topics.of(&self.id, "hour"), &hour));
        }
        let answer = self.answers.pop_front()?;
        Some(Message::event(topics.of(&self.id, "answer"), &answer))
    }

    fn set(&mut self, set: Set, payload: &[u8], limits: (f64, f64)) -> Result<Received, String> {
        let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= PAYLOAD_MAX);
        let text = text.ok_or_else(|| format!("not a text of at most {PAYLOAD_MAX} bytes"))?.trim();
        let (least, most) = limits;
        match set {
            Set::Boost | Set::Release if text != PRESS => Err(format!("\"{text}\" is not \"{PRESS}\"")),
            Set::Boost => {
                let length = Duration::from_secs(60) * u32::from(self.boost_minutes);
                let action = Action::Boost { flow: self.boost_flow };
                Ok(Received::Press { boiler: self.id.clone(), action, length })
            }
            Set::Release => {
                let (boiler, length) = (self.id.clone(), Duration::ZERO);
                Ok(Received::Press { boiler, action: Action::Release, length })
            }
            Set::BoostFlow => {
                let number = text.parse().ok().filter(|number| (least..=most).contains(number));
                let refused = || format!("\"{text}\" is not a temperature; allowed are {least} to {most} (°C)");
                self.boost_flow = number.ok_or_else(refused)?;
                Ok(Received::Taken)
            }
            Set::BoostMinutes => {
                // Home Assistant sends whole numbers with or without a decimal point.
                let number = text.strip_suffix(".0").unwrap_or(text).parse().ok();
                let (least, most) = (BOOST_MINUTES.start(), BOOST_MINUTES.end());
                let refused = || format!("\"{text}\" is not a duration; allowed are {least} to {most} (min)");
                self.boost_minutes = number.filter(|number| BOOST_MINUTES.contains(number)).ok_or_else(refused)?;
                Ok(Received::Taken)
            }
        }
    }
}

#[cfg(test)]
mod tests;
