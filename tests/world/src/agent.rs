//! The agent's shell: executes what `flow::Agent` decides, on the model server, line and disk.

use std::time::Duration;

use thermowell_flow::agent::{Agent, Effect, Input, Refused, Settings, Timing};
use thermowell_flow::published::EventBody;
use thermowell_wire::Boot;
use thermowell_wire::batch::{Packed, decode};
use thermowell_wire::line::{GapReason, ToDevice};

use crate::fault_events::is_fault_event;
use crate::plan::{Bug, Kind, MS, SECOND};
use crate::world::World;

/// Default spool limit in bytes.
pub(crate) const SPOOL: usize = 1 << 20;
/// Time between two set-points.
const RENEWAL: u64 = 15 * SECOND;
/// Timeout of a publish in the agent, as in [`Timing`].
const ANSWER: u64 = 10 * SECOND;
/// Timeout of a publish in the shell.
const TIMEOUT: u64 = 2 * SECOND;

/// A message in transit to the server.
#[derive(Debug)]
struct Arrival {
    at: u64,
    expected: u64,
    payload: Vec<u8>,
    /// The request to answer; None if the answer is lost.
    answered: Option<u64>,
}

#[derive(Debug)]
enum Answer {
    Tail(Option<(u64, Vec<u8>)>),
    TailUnknown,
    Acknowledged(u64),
    Refused(Refused),
}

#[derive(Debug, Default)]
pub(crate) struct AgentShell {
    agent: Option<Agent>,
    /// Counter of requests to the server.
    requests: u64,
    arrivals: Vec<Arrival>,
    answers: Vec<(u64, u64, Answer)>,
    /// End of the spill file's sync, and whether it succeeds.
    syncing: Option<(u64, bool)>,
    lease_at: u64,
    /// Set-points written to the line: boot and number.
    pub(crate) written: Vec<(Boot, u32)>,
    /// The stream's end as the agent last received it, for [`Bug::OwnMemory`].
    remembered: Option<(u64, Vec<u8>)>,
    /// The publish in flight; a later one replaces it, as in the gateway.
    publishing: Option<Publishing>,
    /// The read of the tail in flight.
    reading_tail: Option<u64>,
    /// Events about faults queued for the server.
    pub(crate) unreported: Vec<EventBody>,
}

#[derive(Debug)]
struct Publishing {
    request: u64,
    sent_at: u64,
    payload: Vec<u8>,
}

impl AgentShell {
    pub(crate) fn lives(&self) -> bool {
        self.agent.is_some()
    }

    pub(crate) fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    pub(crate) fn next(&self) -> Option<u64> {
        let arrivals = self.arrivals.iter().map(|arrival| arrival.at).min();
        let answers = self.answers.iter().map(|(at, ..)| *at).min();
        let syncing = self.syncing.map(|(at, _)| at);
        [arrivals, answers, syncing].into_iter().flatten().min()
    }

    /// Drops all requests in flight.
    fn drop_requests(&mut self) {
        self.publishing = None;
        self.reading_tail = None;
        self.answers.clear();
    }

    fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Whether `request` is still in flight.
    fn awaits(&self, request: u64) -> bool {
        self.reading_tail == Some(request) || self.publishing.as_ref().is_some_and(|it| it.request == request)
    }
}

/// Number of slots of a batch; a gap counts as one.
fn slots(payload: &[u8]) -> u64 {
    let Ok(Packed::Batch(batch)) = decode(payload) else { return 1 };
    u64::from(batch.header.count)
}

fn settings(id: &thermowell_wire::BoilerId, batch: u16, spool_bytes: usize) -> Settings {
    Settings {
        boiler: id.clone(),
        serial_number: None,
        batch,
        control: true,
        simulated_only: false,
        catch_up: 1_000,
        spool_bytes,
        timing: Timing::at_speed(1, Duration::from_secs(10), Duration::from_secs(5)),
    }
}

impl World {
    pub(crate) fn agent_wakes(&self) -> Option<u64> {
        let at = self.agent.agent.as_ref()?.wake_at()?.0;
        // With a leaking clock the agent's time axis differs: wake every second.
        Some(if self.bug == Some(Bug::StepLeaks) { self.now + SECOND } else { at })
    }

    /// Until then the agent lets bytes wait at the port.
    pub(crate) fn agent_reads_at(&self) -> u64 {
        let at = self.agent.agent.as_ref().and_then(Agent::read_at);
        at.filter(|_| self.bug != Some(Bug::StepLeaks)).map_or(0, |at| at.0)
    }

    pub(crate) fn wake_agent(&mut self) {
        if self.agent_wakes().is_some_and(|at| at <= self.now) || self.bug == Some(Bug::StepLeaks) {
            self.feed_agent(Input::Wake);
            let again = self.agent_wakes().is_some_and(|at| at <= self.now);
            self.check(!again, || "the agent asks to be woken again at once".to_owned());
        }
        if self.stage.asks && self.agent.lives() && self.agent.lease_at <= self.now {
            self.agent.lease_at = self.now + RENEWAL;
            self.ask_for_heat();
        }
    }

    pub(crate) fn start_agent(&mut self) {
        let batch = self.stage.batch.unwrap_or_else(|| [100, 100, 100, 1_000, 30, 7][self.random.index(6)]);
        self.note(&format!("the agent starts, batches of {batch}"));
        self.agent.agent = Some(Agent::new(settings(&self.id, batch, self.stage.spool)));
        if self.bug != Some(Bug::SpillUnread) {
            for message in self.disk.records() {
                self.feed_agent(Input::Spilled(&message));
            }
        }
        if self.broker.up {
            self.feed_agent(Input::Connected);
        }
        if self.line.plugged {
            self.feed_agent(Input::PortOpened);
        }
    }

    pub(crate) fn crash_agent(&mut self, back: u64) {
        if self.agent.agent.take().is_none() {
            return;
        }
        self.note("the agent crashes");
        self.count(Kind::AgentCrash);
        self.agent.drop_requests();
        self.agent.syncing = None;
        self.agent.remembered = None;
        self.agent.unreported.clear();
        self.line.clear();
        let survive = self.random.index(20);
        self.disk.crash(survive);
        for message in self.disk.records() {
            if let Ok(Packed::Batch(batch)) = decode(&message) {
                self.spilled.insert((batch.header.boot, batch.header.seq, Packed::Batch(batch).end().seq));
            }
        }
        self.recoveries.agent = Some(back);
    }

    pub(crate) fn disconnect_agent(&mut self) {
        self.agent.drop_requests();
        self.feed_agent(Input::Disconnected);
    }

    pub(crate) fn feed_agent(&mut self, input: Input<'_>) {
        let now = self.clocks();
        let Some(agent) = &mut self.agent.agent else { return };
        let mut effects = Vec::new();
        agent.step(now, input, &mut effects);
        let (held, spilled) = (agent.spool_bytes(), agent.spill_bytes());
        let most = self.stage.spool;
        self.check(held <= most && spilled <= 2 * most + 8_192, || format!("S5 {held} B held, {spilled} B spilled"));
        for effect in effects {
            self.execute(effect);
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Write(frame) => self.write(&frame),
            Effect::Status(status) if self.broker.up && self.stage.watched => self.broker.status.publish(*status),
            Effect::Status(_) => {}
            Effect::ReadTail => self.read_tail(),
            Effect::ReadFault => {
                let last = self.broker.faults.last().cloned();
                self.feed_agent(Input::LastFault(last.as_ref()));
            }
            Effect::Publish { expected, payload } => self.publish(expected, payload),
            Effect::Spill(spill) => {
                let fails = self.strikes(Kind::DiskError, 200);
                match self.disk.execute(spill, fails) {
                    Ok(false) => {}
                    Ok(true) => {
                        self.check(self.agent.syncing.is_none(), || "a second sync in progress".to_owned());
                        let at = self.now + self.random.below(500 * MS);
                        self.agent.syncing = Some((at, !fails));
                    }
                    Err(misuse) => self.fail(format!("S1 spill file: {misuse}")),
                }
            }
            Effect::Event(kind, body) => {
                self.note(&format!("event {kind:?} {body:?}"));
                if self.stage.watched {
                    self.broker.events.push((*body).clone());
                }
                if is_fault_event(&body) {
                    self.report_fault(*body);
                }
            }
            Effect::Stop { reason } => self.fail(format!("L1 the agent stopped: {reason}")),
            Effect::Log(log) => self.note(&format!("agent: {log}")),
        }
    }

    fn write(&mut self, frame: &[u8]) {
        if self.stage.is_fast() {
            return self.send_to_device(frame.to_vec());
        }
        let too_far = self.bug == Some(Bug::ResumeTooFar);
        let mut written = Vec::new();
        let frame = self.rewrite(frame, |mut message| {
            if let ToDevice::Setpoint(setpoint) = &message {
                written.push((setpoint.boot, setpoint.n));
            }
            if let ToDevice::Resume { from, .. } = &mut message {
                *from += u64::from(too_far);
            }
            message
        });
        self.agent.written.extend(written);
        self.send_to_device(frame);
    }

    fn read_tail(&mut self) {
        self.check(self.broker.up, || "a read while the server is down".to_owned());
        self.check(self.agent.reading_tail.is_none(), || "a second read in flight".to_owned());
        let at = self.now + MS / 5 + self.random.below(2 * MS);
        let own = self.agent.remembered.clone().filter(|_| self.bug == Some(Bug::OwnMemory));
        let tail = own.or_else(|| self.broker.samples.tail().map(|stored| (stored.sequence, stored.payload.clone())));
        let answer = if self.strikes(Kind::LostAck, 20) { Answer::TailUnknown } else { Answer::Tail(tail) };
        let request = self.agent.next_request();
        self.agent.reading_tail = Some(request);
        self.agent.answers.push((at, request, answer));
    }

    fn publish(&mut self, expected: u64, payload: Vec<u8>) {
        self.check(self.broker.up, || "a publish while the server is down".to_owned());
        let given_up = |it: &Publishing| self.now >= it.sent_at + ANSWER;
        let twice = !self.agent.publishing.as_ref().is_none_or(given_up);
        self.check(!twice, || "a second publish in flight".to_owned());
        let request = self.agent.next_request();
        self.agent.publishing = Some(Publishing { request, sent_at: self.now, payload: payload.clone() });
        if !self.broker.frozen && slots(&payload) > self.plan.slots_max {
            self.count(Kind::SizeLimit);
            return self.agent.answers.push((self.now + MS / 5, request, Answer::Refused(Refused::TooLarge)));
        }
        let mut at = self.now + MS / 5 + self.random.below(2 * MS);
        let (lost, zombie) = (self.strikes(Kind::LostAck, 20), self.strikes(Kind::Zombie, 20));
        let mut answered = Some(request);
        if self.broker.frozen || lost || zombie {
            answered = None;
            self.agent.answers.push((self.now + TIMEOUT, request, Answer::Refused(Refused::Unknown)));
            // The message may be lost too: then nothing arrives.
            if self.broker.frozen || lost && self.random.chance(300) {
                return;
            }
        }
        if zombie {
            at = self.now + TIMEOUT + self.random.below(2 * SECOND);
        }
        self.agent.arrivals.push(Arrival { at, expected, payload, answered });
    }

    pub(crate) fn serve_agent(&mut self) {
        let now = self.now;
        while let Some(index) = self.agent.arrivals.iter().position(|arrival| arrival.at <= now) {
            let arrival = self.agent.arrivals.swap_remove(index);
            self.arrive(arrival);
        }
        while let Some(index) = self.agent.answers.iter().position(|(at, ..)| *at <= now) {
            let (_, request, answer) = self.agent.answers.swap_remove(index);
            if self.agent.awaits(request) {
                self.answer(answer);
            }
        }
        if let Some((_, synced)) = self.agent.syncing.take_if(|(at, _)| *at <= now) {
            self.feed_agent(if synced { Input::SpillSynced } else { Input::SpillFailed });
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let Arrival { expected, payload, answered, .. } = arrival;
        if !self.broker.up || self.broker.frozen {
            if let Some(request) = answered {
                self.agent.answers.push((self.now + TIMEOUT, request, Answer::Refused(Refused::Unknown)));
            }
            return;
        }
        let expectation = (self.bug != Some(Bug::NoExpectation)).then_some(expected);
        let others = self.random.below(3);
        let packed = decode(&payload).map(|packed| (packed.first(), packed.end()));
        let justified = self.is_justified(&payload);
        let stored = self.broker.samples.publish(self.now, expectation, payload.clone(), others);
        if let (Some(sequence), Ok((first, end))) = (stored, packed) {
            self.note(&format!("stored {first} to {end} as {sequence}"));
            self.check(justified, || format!("S4 {first} to {end} is reported as `ring`, but the ring still holds it"));
            self.aggregator.look_at(self.now + MS);
        }
        match (answered, stored) {
            (Some(request), Some(sequence)) => {
                self.agent.answers.push((self.now, request, Answer::Acknowledged(sequence)));
            }
            (Some(request), None) => {
                self.agent.answers.push((self.now, request, Answer::Refused(Refused::WrongSequence)));
            }
            (None, _) => {}
        }
    }

    /// A gap of the ring may only name slots that the ring no longer holds.
    fn is_justified(&self, payload: &[u8]) -> bool {
        let Ok(Packed::Gap(gap)) = decode(payload) else { return true };
        let Some(device) = self.boiler.device() else { return true };
        gap.reason != GapReason::Ring || gap.boot != device.boot() || gap.to <= device.oldest()
    }

    fn answer(&mut self, answer: Answer) {
        let sent = match answer {
            Answer::Tail(_) | Answer::TailUnknown => {
                self.agent.reading_tail = None;
                None
            }
            Answer::Acknowledged(_) | Answer::Refused(_) => self.agent.publishing.take().map(|it| it.payload),
        };
        match answer {
            Answer::Tail(tail) => {
                self.agent.remembered = self.agent.remembered.take().or_else(|| tail.clone());
                self.feed_agent(Input::Tail(tail.as_ref().map(|(sequence, bytes)| (*sequence, bytes.as_slice()))));
            }
            Answer::TailUnknown => self.feed_agent(Input::TailUnknown),
            Answer::Acknowledged(sequence) => {
                self.agent.remembered = sent.map(|payload| (sequence, payload));
                self.feed_agent(Input::Acknowledged { sequence });
            }
            Answer::Refused(Refused::Unknown) if self.bug == Some(Bug::BlindRetry) && !self.broker.frozen => {
                let others = self.random.below(3);
                let stored = sent.and_then(|payload| self.broker.samples.publish(self.now, None, payload, others));
                self.feed_agent(match stored {
                    Some(sequence) => Input::Acknowledged { sequence },
                    None => Input::Refused(Refused::Unknown),
                });
            }
            Answer::Refused(refused) => self.feed_agent(Input::Refused(refused)),
        }
    }
}
