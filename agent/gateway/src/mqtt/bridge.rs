//! Keeps a connection to the broker: a new client for each, with pauses between them. Its trouble ends here.
//!
//! Each second, and whenever the streams have been read, it looks at the boilers and sends what is due.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::buttons::{self, Outcome, Press};
use super::link::{Arrival, Link, LinkError};
use super::readings::Readings;
use super::session::{Received, Session};
use super::values::Seen;
use crate::ambient::Publisher;
use crate::clock::{Clock, boottime_ns};
use crate::config::{Config, Mqtt};
use crate::logs::{self, Throttle};
use crate::metrics::Board;
use crate::shutdown::Shutdown;

/// The pause after the first failed attempt; it doubles with each.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a good one: the next attempt has the shortest pause.
const GOOD: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_secs(1);
/// The most presses of buttons that wait: a person waits for each answer.
const PRESSES: usize = 4;
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long to wait after Home Assistant's birth, so that not all devices answer at that moment.
const BIRTH_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// What is counted. Exported as metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The broker is connected.
    pub is_connected: bool,
    /// Connections that were established.
    pub connects: u64,
    /// Attempts that failed, and connections that ended.
    pub failures: u64,
    /// Messages handed to the client.
    pub sent: u64,
    /// Messages and subscriptions that the broker did not allow.
    pub denied: u64,
    /// Events without room while the broker was away.
    pub dropped: u64,
    /// Commands that were accepted.
    pub accepted: u64,
    /// Commands and numbers that were refused.
    pub refused: u64,
    /// Room and outdoor temperatures that were stored.
    pub readings: u64,
    /// Messages of their topics that were refused.
    pub readings_refused: u64,
    /// Temperatures that the NATS server did not store.
    pub readings_dropped: u64,
}

/// The exchange with the broker of this configuration.
#[derive(Debug)]
pub struct Bridge {
    config: Config,
    mqtt: Mqtt,
    session: Session,
    readings: Readings,
    /// Where the readings go; starts with the bridge.
    publisher: Option<Publisher>,
    clock: Clock,
    counters: Counters,
    board: Arc<Board>,
    journal: Journal,
    refusals: Throttle<String>,
    births: Throttle<()>,
}

/// Where boilers are seen.
pub trait View {
    /// Each boiler now.
    fn seen(&self) -> Vec<Seen>;
}

/// What is logged of connections. A broker that accepts and then closes them makes two lines each time, so only a
/// connection that lasted [`GOOD`] begins a new one.
#[derive(Debug, Default)]
struct Journal {
    failed: u32,
    connects: Throttle<()>,
    failures: Throttle<String>,
}

impl Journal {
    /// The attempts up to this one, if it is to be logged.
    fn connected(&mut self) -> Option<u32> {
        self.connects.admits(()).map(|_| self.failed.saturating_add(1))
    }

    /// The attempts that failed, if this cause is to be logged.
    fn failed(&mut self, cause: String) -> Option<u32> {
        self.failed = self.failed.saturating_add(1);
        self.failures.admits(cause).map(|_| self.failed)
    }
}

/// Why a connection is no longer served.
enum End {
    Shutdown,
    Lost(LinkError),
}

impl Bridge {
    /// The bridge of a configuration with `[mqtt]`; none without.
    #[must_use]
    pub fn new(config: &Config, board: &Arc<Board>) -> Option<Self> {
        let mqtt = config.mqtt.clone()?;
        Some(Self {
            session: Session::new(config, &mqtt),
            readings: Readings::new(config),
            publisher: None,
            clock: Clock::new(&config.clock),
            config: config.clone(),
            mqtt,
            counters: Counters::default(),
            board: board.clone(),
            journal: Journal::default(),
            refusals: Throttle::default(),
            births: Throttle::default(),
        })
    }

    /// Connects, again and again, until `shutdown` is requested. `read` changes when `view` has something new.
    pub async fn run(mut self, view: impl View, mut read: watch::Receiver<u64>, mut shutdown: Shutdown) {
        let (presses, for_buttons) = mpsc::channel(PRESSES);
        let (from_buttons, mut outcomes) = mpsc::channel(PRESSES);
        // Ends with the bridge.
        let mut tasks = JoinSet::new();
        if let Some(by) = self.mqtt.operator.clone() {
            tasks.spawn(buttons::work(self.config.clone(), by, for_buttons, from_buttons));
        }
        self.publisher = Some(Publisher::start(&self.config));
        let identity = format!("thermowell-{}", self.config.gateway);
        let mut pause = PAUSE;
        loop {
            self.report();
            let opened = tokio::select! {
                opened = Link::open(&self.mqtt, &identity, Some(self.session.farewell())) => opened,
                () = shutdown.requested() => return,
            };
            let began = opened.is_ok().then(now);
            let end = match opened {
                Ok(mut link) => {
                    self.began();
                    let end = self.serve(&mut link, &view, &mut read, &presses, &mut outcomes, &mut shutdown).await;
                    self.session.lost();
                    self.counters.is_connected = false;
                    if matches!(end, End::Shutdown) {
                        leave(link, &self.session).await;
                    }
                    end
                }
                Err(error) => End::Lost(error),
            };
            if began.is_some_and(|began| now().saturating_sub(began) >= GOOD) {
                pause = PAUSE;
                self.journal = Journal::default();
            }
            match end {
                End::Shutdown => return self.report(),
                End::Lost(error) => self.failed(&error),
            }
            self.report();
            tokio::select! {
                () = sleep(pause) => {}
                () = shutdown.requested() => return,
            }
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }

    fn began(&mut self) {
        self.counters.connects += 1;
        self.counters.is_connected = true;
        if let Some(tries) = self.journal.connected() {
            tracing::info!(broker = %self.mqtt.broker, tries, "connected to the MQTT broker");
        }
        self.session.connected(now());
    }

    fn failed(&mut self, error: &LinkError) {
        self.counters.failures += 1;
        let cause = logs::chain(error);
        if let Some(tries) = self.journal.failed(cause.clone()) {
            let broker = self.mqtt.broker.to_string();
            tracing::warn!(
                broker,
                tries,
                cause,
                "no connection to the MQTT broker, retrying; the boilers do not need it"
            );
        }
    }

    /// Serves one connection until it ends.
    async fn serve(
        &mut self,
        link: &mut Link,
        view: &impl View,
        read: &mut watch::Receiver<u64>,
        presses: &mpsc::Sender<Press>,
        outcomes: &mut mpsc::Receiver<Outcome>,
        shutdown: &mut Shutdown,
    ) -> End {
        // Retained readings are of any age. Later ones count, also those that the broker will retain.
        let births = [self.session.births(), self.readings.topics()].concat();
        for (filters, keeps_retain) in [(births, false), (self.session.sets(), true)] {
            if let Err(error) = link.subscribe(filters, keeps_retain).await {
                return End::Lost(error);
            }
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.session.see(&view.seen());
        let mut sending = None;
        loop {
            if sending.is_none() {
                sending = self.session.next(now()).map(|message| Box::pin(link.send(message)));
            }
            let sent = async {
                match &mut sending {
                    Some(sending) => sending.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sent = sent => {
                    sending = None;
                    match sent {
                        Ok(()) => self.counters.sent += 1,
                        Err(error) => return End::Lost(error),
                    }
                }
                arrived = link.next() => match arrived {
                    Ok(arrival) => self.take(arrival, presses),
                    Err(error) => return End::Lost(error),
                },
                Some(outcome) = outcomes.recv() => self.answer(outcome),
                _ = tick.tick() => {
                    self.session.see(&view.seen());
                    self.report();
                }
                changed = read.changed() => {
                    self.session.see(&view.seen());
                    if changed.is_err() {
                        return End::Shutdown;
                    }
                }
                () = shutdown.requested() => return End::Shutdown,
            }
        }
    }

    fn take(&mut self, arrival: Arrival, presses: &mpsc::Sender<Press>) {
        match arrival {
            Arrival::Publish { topic, payload, is_retained } => {
                if self.read(&topic, &payload, is_retained) {
                    return;
                }
                let received = self.session.receive(&topic, &payload, is_retained);
                self.received(received, presses);
            }
            Arrival::Acknowledged { is_allowed: false, .. } => self.denied(1, "a message"),
            Arrival::Subscribed { refused } if refused > 0 => self.denied(refused, "a subscription"),
            Arrival::Acknowledged { .. } | Arrival::Subscribed { .. } | Arrival::Other => {}
        }
    }

    /// Takes a room or outdoor temperature; returns whether the topic is one of these.
    fn read(&mut self, topic: &str, payload: &[u8], is_retained: bool) -> bool {
        let stamp = self.clock.now().utc.unix_seconds();
        match self.readings.receive(topic, payload, is_retained, now(), stamp) {
            None => return false,
            Some(Ok(readings)) => {
                if let Some(publisher) = &self.publisher {
                    readings.into_iter().for_each(|outgoing| publisher.send(outgoing));
                }
            }
            Some(Err(why)) => {
                self.counters.readings_refused += 1;
                self.warn(topic.to_owned(), &why);
            }
        }
        true
    }

    fn warn(&mut self, topic: String, why: &str) {
        if let Some(times) = self.refusals.admits_each(topic.clone()) {
            tracing::warn!(topic, times, why, "message of MQTT refused");
        }
    }

    fn denied(&mut self, count: usize, what: &str) {
        self.counters.denied += u64::try_from(count).unwrap_or(u64::MAX);
        if let Some(times) = self.refusals.admits_each(what.to_owned()) {
            tracing::warn!(what, times, "the MQTT broker does not allow it; correct its list of rights (ACL)");
        }
    }

    fn received(&mut self, received: Received, presses: &mpsc::Sender<Press>) {
        match received {
            Received::Birth => {
                if let Some(times) = self.births.admits(()) {
                    tracing::info!(times, "Home Assistant has started, announcing the boilers again");
                }
                self.session.born(now(), birth_wait());
            }
            Received::Press { boiler, action, length } => {
                let press = Press { boiler: boiler.clone(), action, length };
                if presses.try_send(press).is_err() {
                    self.counters.refused += 1;
                    let why = format!("{PRESSES} commands wait for their answers; press again after them");
                    self.session.answered(&boiler, super::session::refusal(action.word(), &why));
                }
            }
            Received::Refused { topic, why } => {
                self.counters.refused += 1;
                self.warn(topic, &why);
            }
            Received::Taken | Received::Ignored => {}
        }
    }

    fn answer(&mut self, outcome: Outcome) {
        let Outcome { boiler, is_accepted, answer } = outcome;
        if is_accepted {
            self.counters.accepted += 1;
        } else {
            self.counters.refused += 1;
        }
        self.session.answered(&boiler, answer);
    }

    fn report(&mut self) {
        self.counters.dropped = self.session.dropped();
        if let Some(publisher) = &self.publisher {
            (self.counters.readings, self.counters.readings_dropped) = publisher.counts();
        }
        self.board.mqtt(self.counters);
    }
}

/// Says that the gateway is off, and ends the connection in order.
async fn leave(mut link: Link, session: &Session) {
    let in_order = async {
        let sent = link.send(session.farewell());
        tokio::pin!(sent);
        loop {
            tokio::select! {
                sent = &mut sent => break if sent.is_ok() { link.close().await },
                arrived = link.next() => if arrived.is_err() { break },
            }
        }
    };
    // Otherwise the broker publishes the last will.
    drop(timeout(FAREWELL, in_order).await);
}

/// Real time since an arbitrary beginning.
fn now() -> Duration {
    Duration::from_nanos(boottime_ns())
}

/// A random time within [`BIRTH_WAIT`].
fn birth_wait() -> Duration {
    let (least, most) = BIRTH_WAIT;
    // Each `RandomState` has keys of its own.
    let random = RandomState::new().hash_one(0_u8) % 1_000;
    least + (most - least) * u32::try_from(random).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_that_accepts_and_closes_fills_no_log() {
        let mut journal = Journal::default();
        let lines: usize = (0..1_000)
            .map(|_| {
                let connected = journal.connected().is_some();
                usize::from(connected) + usize::from(journal.failed("closed".to_owned()).is_some())
            })
            .sum();
        assert_eq!(lines, 20, "the 1st, 2nd, 4th … 512th of both");
        assert_eq!(journal.failed("another".to_owned()), Some(1_001));
    }

    #[test]
    fn wait_after_a_birth_is_random_within_its_limits() {
        let waits: Vec<_> = (0..100).map(|_| birth_wait()).collect();
        let (least, most) = BIRTH_WAIT;
        assert!(waits.iter().all(|wait| (least..most).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}
