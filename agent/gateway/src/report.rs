//! Statuses and events of a role, published apart from the samples so that they never delay them.
//!
//! Reporting never waits for the server. Reports wait in one queue:
//!
//! | what | held | when there is no room |
//! |---|---|---|
//! | a status | the newest of each boiler | replaced by the next one |
//! | an event | until the server has stored it, in order, up to `EVENTS_MAX` | the oldest is dropped, counted, logged |
//!
//! A report whose subject the server forbids is dropped: kept, it would block all later ones.
//!
//! The oldest is dropped and not the newest, so that the last event of a boiler in EVENT is true: an agent continues
//! from it after a restart. What is dropped can be found elsewhere: boots and gaps are in SAMPLES, a present fault is
//! in STATUS.
//!
//! An event is retried under one message id. It is stored twice only if the server stored it, the acknowledgement was
//! lost, and the next retry comes after the server's deduplication window of two minutes.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use thermowell_flow::published::{Event, EventBody, Status};
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind};
use tokio::sync::{Notify, watch};

use crate::logs::{self, Flowing, Throttle, chain};
use crate::nats::{self, Phase, RETRY, json};

/// The most events in the queue, of a few hundred bytes each: 2 MiB. A boiler at a threshold reports a change of its
/// fault every five seconds at most, so this is five hours of one, or half an hour of ten; others make a handful in an
/// outage.
const EVENTS_MAX: usize = 4_096;

#[derive(Clone, Debug)]
struct Report {
    subject: String,
    /// The message id of an event; none for a status.
    event: Option<String>,
    json: Vec<u8>,
}

/// What waits and what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that wait for the server.
    pub waiting: u64,
    /// Events dropped since the start: no room, or forbidden.
    pub dropped: u64,
    /// Events and statuses that the server forbade.
    pub forbidden: u64,
}

/// The outcome of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Stored,
    /// Not permitted; retrying does not help.
    Forbidden,
    /// Not acknowledged, with the cause.
    Unknown(String),
}

/// Queues reports without waiting.
#[derive(Clone, Debug)]
pub struct Reporter {
    outbox: Arc<Outbox>,
    run: u64,
}

impl Reporter {
    /// Starts the task that publishes the queued reports. It ends with the session.
    #[must_use]
    pub fn start(context: jetstream::Context, ready: watch::Receiver<Phase>) -> Self {
        Self::start_with(ready, move |report| publish(context.clone(), report))
    }

    fn start_with<F>(ready: watch::Receiver<Phase>, send: impl Fn(Report) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Sent> + Send + 'static,
    {
        let outbox = Arc::new(Outbox::default());
        tokio::spawn(work(outbox.clone(), ready, send));
        Self { outbox, run: crate::clock::boottime_ns() }
    }

    /// What waits and what was dropped.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let held = self.outbox.held();
        let waiting = u64::try_from(held.events).unwrap_or(u64::MAX);
        Counts { waiting, dropped: held.dropped, forbidden: held.forbidden }
    }

    pub fn status(&self, status: &Status) {
        let begins = self.outbox.held().flowing.entry(status.boiler.clone()).or_default().begins(status);
        if let Some(newest) = begins {
            logs::samples_flow(&status.boiler, newest);
        }
        let subject = subject::status(&status.boiler).to_string();
        self.outbox.push(Report { subject, event: None, json: json(status) });
    }

    pub fn event(&self, boiler: &BoilerId, kind: EventKind, at: Utc, body: EventBody) {
        let event = Event { boiler: boiler.clone(), created_at: at.unix_seconds(), body };
        let subject = subject::event(boiler, kind).to_string();
        logs::event(boiler, kind, &event.body);
        let id = format!("{:x}-{:x}-{subject}", self.run, crate::clock::boottime_ns());
        self.outbox.push(Report { subject, event: Some(id), json: json(&event) });
    }
}

async fn work<F>(outbox: Arc<Outbox>, mut ready: watch::Receiver<Phase>, send: impl Fn(Report) -> F)
where
    F: Future<Output = Sent>,
{
    let (mut failures, mut forbidden) = (Throttle::default(), Throttle::default());
    while ready.wait_for(|phase| *phase != Phase::Down).await.is_ok() {
        let Some(report) = outbox.held().next() else {
            tokio::select! {
                () = outbox.pushed.notified() => continue,
                changed = ready.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
        };
        match send(report.clone()).await {
            Sent::Stored => drop(failures.end()),
            Sent::Forbidden => {
                outbox.held().forbidden(&report);
                let subject = report.subject;
                if let Some(times) = forbidden.admits_each(subject.clone()) {
                    tracing::error!(subject, times, "event or status dropped: the server forbids its subject");
                }
            }
            Sent::Unknown(cause) => {
                // The end of a session is logged where it is detected.
                if *ready.borrow() != Phase::Down
                    && let Some(tries) = failures.admits(cause.clone())
                {
                    tracing::warn!(
                        subject = report.subject,
                        tries,
                        cause,
                        "an event or status was not stored, retrying"
                    );
                }
                outbox.held().put_back(report);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The queue and its wake-up.
#[derive(Debug, Default)]
struct Outbox {
    held: Mutex<Held>,
    pushed: Notify,
}

impl Outbox {
    fn push(&self, report: Report) {
        self.held().push(report);
        self.pushed.notify_one();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Held {
    /// In the order of publishing; at most one status per boiler.
    reports: VecDeque<Report>,
    events: usize,
    /// Events that were dropped since the process began, and how many of them have been logged.
    dropped: u64,
    logged: u64,
    /// Reports that the server forbade.
    forbidden: u64,
    flowing: BTreeMap<BoilerId, Flowing>,
}

impl Held {
    fn push(&mut self, report: Report) {
        if report.event.is_none() {
            self.reports.retain(|other| !is_same_status(other, &report));
        }
        self.events += usize::from(report.event.is_some());
        self.reports.push_back(report);
        self.keep_within_bound();
    }

    fn next(&mut self) -> Option<Report> {
        let report = self.reports.pop_front();
        if report.as_ref().is_some_and(|report| report.event.is_some()) {
            self.events -= 1;
        } else if self.events == 0 && self.dropped > self.logged {
            tracing::warn!(
                dropped = self.dropped - self.logged,
                "events were dropped while the server was unreachable"
            );
            self.logged = self.dropped;
        }
        report
    }

    /// Counts a report of [`Held::next`] that the server forbids; it has a log line of its own.
    fn forbidden(&mut self, report: &Report) {
        self.forbidden += 1;
        let events = u64::from(report.event.is_some());
        self.dropped += events;
        self.logged += events;
    }

    /// Puts a report of [`Held::next`] back to the front; a status only if no newer one of its boiler has come.
    fn put_back(&mut self, report: Report) {
        if report.event.is_none() && self.reports.iter().any(|newer| is_same_status(newer, &report)) {
            return;
        }
        self.events += usize::from(report.event.is_some());
        self.reports.push_front(report);
        self.keep_within_bound();
    }

    fn keep_within_bound(&mut self) {
        while self.events > EVENTS_MAX
            && let Some(oldest) = self.reports.iter().position(|report| report.event.is_some())
        {
            self.reports.remove(oldest);
            self.events -= 1;
            self.dropped += 1;
            // Powers of two: the first drop is logged at once, and an outage of days makes a dozen lines.
            if self.dropped.is_power_of_two() {
                tracing::warn!(dropped = self.dropped, held = EVENTS_MAX, "dropping the oldest events");
            }
        }
    }
}

fn is_same_status(a: &Report, b: &Report) -> bool {
    a.event.is_none() && b.event.is_none() && a.subject == b.subject
}

async fn publish(context: jetstream::Context, report: Report) -> Sent {
    let Report { subject, event, json } = report;
    let mut message = PublishMessage::build().payload(json.into());
    if let Some(id) = event {
        message = message.message_id(id);
    }
    let mark = nats::mark();
    let sent = async { context.send_publish(subject.clone(), message).await?.await };
    match sent.await {
        Ok(_) => Sent::Stored,
        Err(_) if nats::forbidden_since(mark, &subject).is_some() => Sent::Forbidden,
        Err(error) => Sent::Unknown(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thermowell_flow::published::Link;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    /// The bound for a test that fails; a test that passes does not wait.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn boiler(id: &str) -> BoilerId {
        id.parse().unwrap()
    }

    fn status(id: &str, n: u32) -> Status {
        Status {
            boiler: boiler(id),
            created_at: f64::from(n),
            link: Link::Up,
            device: None,
            newest: None,
            backlog: u64::from(n),
            simulated: true,
            version: 1,
        }
    }

    /// A server that is down at first, and the reports that it stores later.
    struct Bench {
        reporter: Reporter,
        phase: watch::Sender<Phase>,
        stored: mpsc::UnboundedReceiver<Report>,
    }

    impl Bench {
        /// It forbids the subjects of boiler `forbidden`.
        fn new() -> Self {
            let (phase, ready) = watch::channel(Phase::Down);
            let (sender, stored) = mpsc::unbounded_channel();
            let reporter = Reporter::start_with(ready, move |report| {
                std::future::ready(if report.subject.starts_with("boiler.forbidden.") {
                    Sent::Forbidden
                } else {
                    sender.send(report).unwrap();
                    Sent::Stored
                })
            });
            Self { reporter, phase, stored }
        }

        fn event(&self, id: &str, starts: u32) {
            let body = EventBody::BurnerCycles { starts };
            self.reporter.event(&boiler(id), EventKind::Fault, Utc(0), body);
        }

        /// All stored reports up to a final marker event.
        async fn all(&mut self) -> (Vec<u32>, Vec<Status>) {
            self.event("last", 0);
            let (mut events, mut statuses) = (vec![], vec![]);
            while let Some(report) = timeout(PATIENCE, self.stored.recv()).await.expect("the last event arrives") {
                if report.subject.starts_with("boiler.last.") {
                    break;
                }
                if report.event.is_none() {
                    statuses.push(serde_json::from_slice(&report.json).unwrap());
                    continue;
                }
                let body = serde_json::from_slice::<Event>(&report.json).unwrap().body;
                let EventBody::BurnerCycles { starts } = body else { panic!("{body:?}") };
                events.push(starts);
            }
            (events, statuses)
        }
    }

    #[tokio::test]
    async fn outage_keeps_every_event_once_and_the_newest_status() {
        let mut bench = Bench::new();
        for n in 0..2_000 {
            bench.reporter.status(&status("b1", n));
            bench.reporter.status(&status("b2", n));
            if n % 20 == 0 {
                bench.event(if n % 40 == 0 { "b1" } else { "b2" }, n / 20);
                // As in a role, the task runs in between; the server is down.
                tokio::task::yield_now().await;
            }
        }
        bench.phase.send_replace(Phase::Up(1));
        let (events, statuses) = bench.all().await;
        assert_eq!(events, (0..100).collect::<Vec<_>>());
        assert_eq!(statuses, [status("b1", 1_999), status("b2", 1_999)]);
    }

    #[tokio::test]
    async fn full_queue_drops_and_counts_the_oldest_events() {
        let mut bench = Bench::new();
        bench.reporter.status(&status("b1", 7));
        let max = u32::try_from(EVENTS_MAX).unwrap();
        for n in 0..max + 10 {
            bench.event("b1", n);
        }
        assert_eq!(bench.reporter.outbox.held().dropped, 10);
        bench.phase.send_replace(Phase::Up(1));
        let (events, statuses) = bench.all().await;
        // The marker event takes a place too.
        assert_eq!(events, (11..max + 10).collect::<Vec<_>>());
        assert_eq!(statuses, [status("b1", 7)], "statuses and events have separate limits");
        let held = bench.reporter.outbox.held();
        assert_eq!((held.dropped, held.events), (11, 0));
    }

    #[tokio::test]
    async fn forbidden_reports_are_dropped_and_their_events_counted() {
        let mut bench = Bench::new();
        bench.phase.send_replace(Phase::Up(1));
        for n in 0..3 {
            bench.event("forbidden", n);
            bench.reporter.status(&status("forbidden", n));
            bench.event("b1", n);
        }
        let (events, statuses) = bench.all().await;
        assert_eq!((events, statuses), (vec![0, 1, 2], vec![]), "later reports are not blocked");
        assert_eq!(
            bench.reporter.counts(),
            Counts { waiting: 0, dropped: 3, forbidden: 4 },
            "statuses replace each other"
        );
        assert_eq!(bench.reporter.outbox.held().logged, 3, "an outage did not drop them");
    }

    #[test]
    fn put_back_event_goes_first_and_stale_status_is_dropped() {
        let event = |n: usize| Report { subject: "e".to_owned(), event: Some(n.to_string()), json: vec![] };
        let status = |json: &[u8]| Report { subject: "s".to_owned(), event: None, json: json.to_vec() };
        let mut held = Held::default();
        held.push(event(0));
        held.push(status(b"old"));
        let (first, old) = (held.next().unwrap(), held.next().unwrap());
        held.push(event(1));
        held.push(status(b"new"));
        held.put_back(old);
        held.put_back(first);
        let order: Vec<_> = std::iter::from_fn(|| held.next()).map(|report| (report.event, report.json)).collect();
        let id = |n: u8| Some(n.to_string());
        assert_eq!(order, [(id(0), vec![]), (id(1), vec![]), (None, b"new".to_vec())]);

        // The queue has filled while an event was in flight: put back, it is the oldest, and is dropped.
        (0..=EVENTS_MAX).for_each(|n| held.push(event(n)));
        let oldest = held.next().unwrap();
        held.push(event(EVENTS_MAX + 1));
        held.put_back(oldest);
        assert_eq!((held.dropped, held.events), (2, EVENTS_MAX));
    }
}
