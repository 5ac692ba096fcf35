//! One boiler's task: port, server and clock on one side, `flow::Agent` on the other.

mod port;
mod spill;

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use thermowell_flow::agent::{self as flow, Effect, Input};
use thermowell_flow::batch::stamp::byte_at;
use thermowell_flow::published::{EventBody, Lease, Reset, Status};
use thermowell_wire::batch::COUNT_MAX;
use thermowell_wire::subject;
use tokio::sync::{mpsc, watch};

use super::AgentError;
use crate::actuate::Leases;
use crate::clock::{Clock, boottime_ns};
use crate::config::{self, Config};
use crate::logs::{Throttle, elapsed};
use crate::metrics::Board;
use crate::metrics::agent::{Report, TaskCounters};
use crate::nats::{Phase, monitor};
use crate::publish::{self, LastFault, Published, Tail};
use crate::report::Reporter;
use crate::reset::Seen;
use crate::serial::{Port, Ports};
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::spool::{SpillFile, SpoolError};

use port::Waiting;

/// How long a shutdown waits for the last batches: a few round trips, and well below systemd's stop timeout.
const GRACE: Duration = Duration::from_secs(3);
/// Unacknowledged publishes in a row before the server's health is probed for the first time.
const SILENCE: u32 = 3;
/// The smallest backlog, in slots, whose delivery is logged: 5 s of samples.
const BACKLOG: u64 = 500;
/// A shorter rest of the port, in real time, is not worth its timers. So a world that runs 50 times as fast or more is
/// read as its bytes come.
const REST_MIN: Duration = Duration::from_millis(5);
/// One read from a port: at most 16 long frames, a third of a second of a busy 115,200 baud line.
const READ: usize = 4_096;

/// A response of the server. At most one publish, one read of the tail and one of the last fault are in flight.
enum Answer {
    Published(Published),
    /// The end of the subject, and the board that an operator accepted.
    Tail(Tail, Option<(u32, String)>),
    Fault(LastFault),
}

/// A sync of the spill file in progress.
type Syncing = Pin<Box<dyn Future<Output = Result<(), SpoolError>> + Send>>;
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// An event of the task's select loop.
enum LoopEvent {
    Read(io::Result<usize>),
    Answer(Answer),
    Synced(Result<(), SpoolError>),
    Phase(Phase),
    Lease(Lease),
    Reset(Reset),
    Reopen,
    Wake,
    Shutdown,
    GraceIsOver,
}

/// The channels between a boiler's task and the other tasks of the agent, and the board of the process.
pub(super) struct Inbox {
    pub(super) leases: Leases,
    pub(super) resets: mpsc::Receiver<Reset>,
    pub(super) seen: watch::Sender<Seen>,
    pub(super) board: Arc<Board>,
}

pub(super) struct Boiler {
    agent: flow::Agent,
    config: config::Boiler,
    nats: config::Nats,
    /// Publishes in a row without an acknowledgement.
    unanswered: u32,
    session: Arc<Session>,
    context: Context,
    subject: String,
    reporter: Reporter,
    clock: Clock,
    inbox: Inbox,
    ports: Ports,
    port: Option<Port>,
    waiting: Waiting,
    publishing: Option<Pending>,
    reading_tail: Option<Pending>,
    reading_fault: Option<Pending>,
    spill_file: SpillFile,
    /// The spill file found at the start is kept aside, because memory had no room for all of it.
    kept_aside: bool,
    syncing: Option<Syncing>,
    /// Failed syncs of the spill file, by line and cause.
    spill_failures: Throttle<(&'static str, String)>,
    effects: Vec<Effect>,
    counters: TaskCounters,
    /// Batches that the server answered with an error, since it last stored one.
    declined: Throttle<String>,
    /// The backlog in slots when the connection came back, and the time of that.
    draining: Option<(u64, u64)>,
    stopped: Option<String>,
    grace: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Boiler {
    pub(super) fn new(
        config: &Config,
        boiler: &config::Boiler,
        session: &Arc<Session>,
        reporter: &Reporter,
        clock: &Clock,
        ports: &Ports,
        inbox: Inbox,
    ) -> Self {
        let mut timing = flow::Timing::at_speed(clock.speed(), config.nats.sync_interval, config.spool.spill_after);
        timing.stamp.byte = byte_at(boiler.baud);
        let agent = flow::Agent::new(flow::Settings {
            boiler: boiler.id.clone(),
            serial_number: boiler.serial_number.clone(),
            batch: config.batch.samples,
            control: config.control.enabled,
            simulated_only: !clock.is_real(),
            catch_up: u16::try_from(COUNT_MAX).unwrap_or(u16::MAX),
            spool_bytes: usize::try_from(config.spool.memory).unwrap_or(usize::MAX),
            timing,
        });
        Self {
            agent,
            config: boiler.clone(),
            nats: config.nats.clone(),
            unanswered: 0,
            session: session.clone(),
            context: session.connection().context().clone(),
            subject: subject::samples(&boiler.id).to_string(),
            reporter: reporter.clone(),
            clock: clock.clone(),
            inbox,
            ports: ports.clone(),
            port: None,
            waiting: Waiting::new(),
            publishing: None,
            reading_tail: None,
            reading_fault: None,
            spill_file: SpillFile::new(&config.spool.directory, &config.gateway, &boiler.id),
            kept_aside: false,
            syncing: None,
            spill_failures: Throttle::default(),
            effects: Vec::with_capacity(16),
            counters: TaskCounters::default(),
            declined: Throttle::default(),
            draining: None,
            stopped: None,
            grace: None,
        }
    }

    /// Runs until shutdown, and then until the backlog is published or the grace period ends. The rest of the
    /// backlog goes to the spill file, also when delivery stops for an operator.
    pub(super) async fn run(mut self, mut shutdown: Shutdown) -> Result<(), AgentError> {
        let mut ready = self.session.ready();
        let mut buffer = vec![0; READ];
        if !self.acquire(&mut shutdown).await {
            return Ok(());
        }
        let phase = *ready.borrow_and_update();
        self.phase(phase);
        let ended = loop {
            if let Some(reason) = self.stopped.take() {
                let boiler = self.config.id.clone();
                tracing::error!(%boiler, reason, "this boiler stops");
                break Err(AgentError::Stopped { boiler, reason });
            }
            if self.grace.is_some() && self.agent.is_drained() {
                break Ok(());
            }
            match self.next(&mut shutdown, &mut ready, &mut buffer).await {
                LoopEvent::Read(read) => self.read(read, &buffer),
                LoopEvent::Answer(answer) => self.answered(&answer),
                LoopEvent::Synced(synced) => self.synced(synced),
                LoopEvent::Phase(phase) => self.phase(phase),
                LoopEvent::Lease(lease) => self.step(Input::Setpoint(&lease)),
                LoopEvent::Reset(reset) => self.step(Input::Reset(&reset)),
                LoopEvent::Reopen => self.open(),
                LoopEvent::Wake => self.step(Input::Wake),
                LoopEvent::Shutdown => {
                    self.grace = Some(Box::pin(tokio::time::sleep(GRACE)));
                    self.step(Input::Flush);
                }
                LoopEvent::GraceIsOver => break Ok(()),
            }
        };
        self.finish().await;
        ended
    }

    async fn next(
        &mut self,
        shutdown: &mut Shutdown,
        ready: &mut watch::Receiver<Phase>,
        buffer: &mut [u8],
    ) -> LoopEvent {
        let Self {
            agent, clock, inbox, port, waiting, publishing, reading_tail, reading_fault, syncing, grace, ..
        } = self;
        let ending = grace.is_some();
        let rest_min = REST_MIN.saturating_mul(clock.speed());
        let rests_until = agent.read_at().filter(|at| *at > clock.now().monotonic.after(rest_min));
        let rests_until = rests_until.filter(|_| port.as_mut().is_some_and(Port::rest));
        let wake_at = [agent.wake_at(), rests_until].into_iter().flatten().min();
        tokio::select! {
            () = shutdown.requested(), if !ending => LoopEvent::Shutdown,
            () = or_never(grace) => LoopEvent::GraceIsOver,
            answer = or_never(publishing) => {
                *publishing = None;
                LoopEvent::Answer(answer)
            }
            answer = or_never(reading_tail) => {
                *reading_tail = None;
                LoopEvent::Answer(answer)
            }
            answer = or_never(reading_fault) => {
                *reading_fault = None;
                LoopEvent::Answer(answer)
            }
            synced = or_never(syncing) => {
                *syncing = None;
                LoopEvent::Synced(synced)
            }
            Ok(()) = ready.changed() => LoopEvent::Phase(*ready.borrow_and_update()),
            lease = inbox.leases.next() => LoopEvent::Lease(lease),
            Some(reset) = inbox.resets.recv() => LoopEvent::Reset(reset),
            read = read_or_never(port, buffer), if !ending && rests_until.is_none() => LoopEvent::Read(read),
            () = or_never(&mut waiting.due), if !ending => {
                waiting.due = None;
                LoopEvent::Reopen
            }
            () = clock.sleep_until(wake_at) => LoopEvent::Wake,
        }
    }

    /// Passes an event to the agent and carries out its effects.
    fn step(&mut self, input: Input<'_>) {
        let now = self.clock.now();
        self.agent.step(now, input, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Write(frame) => {
                if let Some(port) = &mut self.port {
                    self.counters.unsent += u64::from(!port.send(&frame));
                }
            }
            Effect::ReadTail => {
                let accepted = publish::accepted_board(self.context.clone(), self.config.id.clone());
                let tail = publish::tail(self.context.clone(), self.subject.clone());
                self.reading_tail = Some(Box::pin(async {
                    let (tail, accepted) = tokio::join!(tail, accepted);
                    Answer::Tail(tail, accepted)
                }));
            }
            Effect::ReadFault => {
                let last = publish::last_fault(self.context.clone(), self.config.id.clone());
                self.reading_fault = Some(Box::pin(async { Answer::Fault(last.await) }));
            }
            Effect::Publish { expected, payload } => {
                let publish = publish::publish(self.context.clone(), self.subject.clone(), expected, payload);
                self.publishing = Some(Box::pin(async { Answer::Published(publish.await) }));
            }
            Effect::Spill(spill) => self.spill(spill),
            Effect::Status(status) => {
                self.report_fault(&status);
                self.reporter.status(&status);
                self.inbox.board.agent(&self.config.id, self.metrics(*status));
            }
            Effect::Event(kind, body) => {
                if let EventBody::ResetAnswered { fault, outcome, .. } = *body {
                    self.inbox.seen.send_modify(|seen| seen.answered = Some((fault, outcome)));
                }
                self.reporter.event(&self.config.id, kind, self.clock.now().utc, *body);
            }
            Effect::Stop { reason } => self.stopped = Some(reason),
            Effect::Log(log) => crate::logs::agent(&self.config.id, &log),
        }
    }

    fn metrics(&self, status: Status) -> Report {
        Report {
            at_ns: boottime_ns(),
            status,
            counters: *self.agent.counters(),
            task: TaskCounters { replaced: self.inbox.leases.replaced(), ..self.counters },
            spool_bytes: self.agent.spool_bytes(),
            spill_bytes: self.agent.spill_bytes(),
        }
    }

    /// Passes the device's current fault to the reset task. A silent device reports nothing new.
    fn report_fault(&self, status: &Status) {
        let Some(device) = &status.device else { return };
        self.inbox.seen.send_if_modified(|seen| {
            let before = core::mem::replace(&mut seen.fault, device.fault);
            before != device.fault
        });
    }

    fn phase(&mut self, phase: Phase) {
        // Requests in flight belong to the session that has ended: their outcome is unknown, and the agent reads it
        // back from the stream when the next session begins.
        self.publishing = None;
        self.reading_tail = None;
        self.reading_fault = None;
        self.step(Input::Disconnected);
        if phase != Phase::Down {
            let slots = self.agent.backlog();
            self.draining = (slots >= BACKLOG).then(|| (slots, boottime_ns()));
            self.step(Input::Connected);
        }
    }

    /// Logs the end of an outage: its backlog is in the stream.
    fn log_drained(&mut self) {
        if self.agent.backlog() < BACKLOG / 2
            && let Some((slots, since_ns)) = self.draining.take()
        {
            let took = elapsed(since_ns);
            tracing::info!(boiler = %self.config.id, slots, took, "backlog published");
        }
    }

    /// When publishes time out without an error, asks the server's monitor for the cause.
    fn probe_health(&mut self, answer: &Answer) {
        match answer {
            Answer::Published(Published::Refused(flow::Refused::Unknown)) => self.unanswered += 1,
            Answer::Published(_) => self.unanswered = 0,
            Answer::Tail(..) | Answer::Fault(_) => {}
        }
        // After the first probe only every 30th time-out: at 2 s each this is a line a minute.
        if self.unanswered != SILENCE && (self.unanswered == 0 || !self.unanswered.is_multiple_of(10 * SILENCE)) {
            return;
        }
        let (boiler, slots, monitor) = (self.config.id.clone(), self.agent.backlog(), self.nats.monitor.clone());
        tokio::spawn(async move {
            let cause = match monitor {
                Some(monitor) => monitor::health_error(&monitor).await,
                None => Err("the cause needs the server's monitor: set monitor in [nats]".to_owned()),
            };
            match cause {
                Ok(Some(cause)) => tracing::error!(%boiler, slots, cause, advice = monitor::ADVICE, "server frozen"),
                Ok(None) => tracing::warn!(%boiler, slots, "publishes time out, but the server reports healthy"),
                Err(unknown) => tracing::warn!(%boiler, slots, unknown, "publishes time out"),
            }
        });
    }

    fn answered(&mut self, answer: &Answer) {
        self.probe_health(answer);
        if let Answer::Published(Published::Stored(_)) = answer
            && let times @ 1.. = self.declined.end()
        {
            tracing::info!(boiler = %self.config.id, times, "the server stores batches again");
        }
        match answer {
            Answer::Published(Published::Stored(sequence)) => self.step(Input::Acknowledged { sequence: *sequence }),
            Answer::Published(Published::Refused(refused)) => self.step(Input::Refused(*refused)),
            Answer::Published(Published::NoStream) => {
                self.stream_is_missing();
                self.step(Input::Refused(flow::Refused::Unknown));
            }
            Answer::Published(Published::Declined(cause)) => {
                self.counters.declined += 1;
                if let Some(times) = self.declined.admits(cause.clone()) {
                    let (boiler, slots) = (&self.config.id, self.agent.backlog());
                    tracing::warn!(%boiler, times, slots, cause, "the server refused a batch, retrying");
                }
                self.step(Input::Refused(flow::Refused::Unknown));
            }
            Answer::Tail(tail, accepted) => {
                if let Some((instead_of, serial_number)) = accepted {
                    self.step(Input::Accepted { instead_of: *instead_of, serial_number });
                }
                self.tail_read(tail);
            }
            Answer::Fault(LastFault::Found(body)) => self.step(Input::LastFault(Some(body))),
            Answer::Fault(LastFault::Nothing) => self.step(Input::LastFault(None)),
            Answer::Fault(LastFault::Unknown) => self.step(Input::LastFaultUnknown),
        }
        self.log_drained();
    }

    /// Ends the session, for all boilers.
    fn stream_is_missing(&mut self) {
        if let Some(times) = self.declined.admits("no stream".to_owned()) {
            let (boiler, subject) = (&self.config.id, &self.subject);
            tracing::warn!(%boiler, subject, times, "no stream has this subject, checking the streams");
        }
        self.session.stream_is_missing();
    }

    fn tail_read(&mut self, tail: &Tail) {
        match tail {
            Tail::Found { sequence, payload } => self.step(Input::Tail(Some((*sequence, payload)))),
            Tail::Empty => self.step(Input::Tail(None)),
            Tail::Unknown => self.step(Input::TailUnknown),
            Tail::NoStream => {
                self.stream_is_missing();
                self.step(Input::TailUnknown);
            }
        }
    }
}

/// Waits for the future, or forever without one.
async fn or_never<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn read_or_never(port: &mut Option<Port>, buffer: &mut [u8]) -> io::Result<usize> {
    match port {
        Some(port) => port.exchange(buffer).await,
        None => pending().await,
    }
}
