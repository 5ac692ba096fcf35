//! The device: time and bytes in, bytes and actuators out.

use thermowell_wire::line::{
    Answer, Fault, FaultKind, FrameReader, GapNotice, GapReason, Hello, Outcome, PROTOCOL, Pong, Refusal, Rejection,
    Setpoint, Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::{Boot, CentiCelsius, Reading};

use crate::control::{Control, STEP_US};
use crate::lease::{Lease, Leases};
use crate::link::{Link, Next, ROOM};
use crate::{Actuators, Board, Config, Inputs, Measured, Ring};

/// Device time between two `Status`.
const STATUS_US: u64 = 1_000_000;
/// Events that may wait for whoever drives the device. A chunk of 256 received bytes holds at most 14 requests.
const EVENTS_MAX: usize = 32;

/// One start of the firmware.
#[derive(Clone, Debug)]
pub struct Device<S> {
    reader: FrameReader,
    core: Core<S>,
}

/// What the device has done that cannot be seen from its bytes alone. For a debug log; a simulator keeps account by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Slots `from..to` were not sampled.
    Missed {
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
    },
    /// Slots `from..to` were wanted and are overwritten: the gateway is told so.
    Overwritten {
        /// The first of them.
        from: u64,
        /// The first slot behind them.
        to: u64,
        /// Device time.
        device_us: u64,
    },
    /// A lease began.
    LeaseAccepted {
        /// The request's number.
        n: u32,
        /// Within the limits of the device.
        flow: CentiCelsius,
        /// As given.
        lease_s: u16,
        /// Device time of its beginning.
        device_us: u64,
    },
    /// The boiler is on its own control from here on.
    OwnControl {
        /// The request's number, of the lease that ended.
        n: u32,
        /// Device time of the end.
        device_us: u64,
    },
}

/// What the device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames thrown away, by [`Rejection::index`].
    pub rejections: [u64; Rejection::ALL.len()],
    /// Requests before `Resume`, which are not obeyed.
    pub premature: u64,
    /// Pongs and answers that gave way to newer ones.
    pub dropped_replies: u64,
    /// Events that nobody took in time.
    pub dropped_events: u64,
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Device<S> {
    /// A device that starts now, at 0 of its clock. `boot` comes from [`crate::NonVolatile::start`];
    /// `storage` is the ring.
    ///
    /// # Panics
    /// Where `storage` is empty or the period is 0.
    #[must_use]
    pub fn new(config: Config, boot: Boot, storage: S) -> Self {
        assert!(config.period_us > 0, "a slot has a length");
        Self { reader: FrameReader::new(), core: Core::new(config, boot, storage) }
    }

    /// Samples every slot whose time has come, and controls.
    pub fn poll(&mut self, now_us: u64, board: &mut impl Board) {
        self.core.poll(now_us, board);
    }

    /// Takes what came over the line, in any chunks. At most 256 bytes at a time, or events may be dropped.
    pub fn receive(&mut self, bytes: &[u8], now_us: u64) {
        let Self { reader, core } = self;
        reader.feed(bytes, |outcome| match outcome {
            Ok(message) => core.obey(&message, now_us),
            Err(rejection) => core.counters.rejections[rejection.index()] += 1,
        });
    }

    /// Writes what may leave now into `out`, whole frames only, and returns how many bytes. At most what the line can
    /// carry; nothing where `out` is shorter than a frame can be.
    pub fn transmit(&mut self, now_us: u64, out: &mut [u8]) -> usize {
        self.core.transmit(now_us, out)
    }

    /// The oldest event that was not taken yet.
    pub fn take_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// What is commanded now.
    #[must_use]
    pub fn actuators(&self) -> &Actuators {
        self.core.control.actuators()
    }

    /// This start.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.core.boot
    }

    /// The slot that is sampled next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.core.ring.next()
    }

    /// The oldest slot that it still holds.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.core.ring.oldest()
    }

    /// The flow temperature that it holds without a lease.
    #[must_use]
    pub fn own_flow(&self) -> CentiCelsius {
        self.core.own_flow()
    }

    /// Whether a lease runs.
    #[must_use]
    pub fn is_leased(&self) -> bool {
        self.core.leases.current().is_some()
    }

    /// The newest slot's reading; None before the first one, and where it was missed.
    #[must_use]
    pub fn newest(&self) -> Option<Reading> {
        self.core.newest
    }

    /// What it would say about itself at `now_us`, whether the line carries it or not.
    #[must_use]
    pub fn status(&self, now_us: u64) -> Status {
        self.core.status(now_us)
    }

    /// What it counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { dropped_replies: self.core.link.dropped(), ..self.core.counters }
    }
}

/// Everything but the frame reader, so that frames can act while they are read.
#[derive(Clone, Debug)]
struct Core<S> {
    config: Config,
    boot: Boot,
    ring: Ring<S>,
    link: Link,
    leases: Leases,
    control: Control,
    control_due_us: u64,
    status_due_us: u64,
    measured: Measured,
    newest: Option<Reading>,
    inputs: Inputs,
    fault: Option<Fault>,
    faults: u32,
    events: heapless::Deque<Event, EVENTS_MAX>,
    counters: Counters,
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Core<S> {
    fn new(config: Config, boot: Boot, storage: S) -> Self {
        Self {
            link: Link::new(boot, config.line),
            config,
            boot,
            ring: Ring::new(storage),
            leases: Leases::new(boot),
            control: Control::new(),
            control_due_us: 0,
            status_due_us: 0,
            measured: Measured::default(),
            newest: None,
            inputs: Inputs::default(),
            fault: None,
            faults: 0,
            events: heapless::Deque::new(),
            counters: Counters::default(),
        }
    }

    fn poll(&mut self, now_us: u64, board: &mut impl Board) {
        let newest = now_us / u64::from(self.config.period_us);
        let due = (newest + 1).saturating_sub(self.ring.next());
        // The newest slot is on time; those before it are late.
        let late = due.saturating_sub(1);
        if late > self.config.catch_up_slots {
            let from = self.ring.next();
            self.ring.skip(late);
            self.report(Event::Missed { from, to: from + late });
        }
        while self.ring.next() <= newest {
            self.sample(board);
        }
        if now_us >= self.status_due_us {
            self.status_due_us = now_us - now_us % STATUS_US + STATUS_US;
            self.link.status_due = true;
        }
    }

    /// Samples the next slot, and controls first where that is due.
    fn sample(&mut self, board: &mut impl Board) {
        let seq = self.ring.next();
        let slot_us = seq.saturating_mul(u64::from(self.config.period_us));
        if slot_us >= self.control_due_us {
            self.control_due_us = slot_us - slot_us % STEP_US + STEP_US;
            self.inputs = board.inputs(slot_us, self.control.actuators());
            // Before the first reading there is nothing to control by.
            if seq > 0 {
                self.control(slot_us);
            }
        }
        let actuators = self.control.actuators();
        let measured = board.sample(seq, slot_us, actuators);
        let pump = actuators.pump;
        let reading = measured.map(|it| Reading::new(it.flow, it.quality, pump, it.hot_water, it.flame));
        self.ring.push(reading);
        match measured {
            Some(measured) => self.measured = measured,
            None => self.report(Event::Missed { from: seq, to: seq + 1 }),
        }
        self.newest = reading;
    }

    fn control(&mut self, now_us: u64) {
        let before = self.visible();
        if let Some(lease) = self.leases.expire(now_us) {
            self.report(Event::OwnControl { n: lease.n, device_us: now_us });
        }
        let own_flow = self.own_flow();
        self.control.step(now_us, &self.measured, self.leases.current(), own_flow, &self.config);
        self.note_fault();
        // A change is told at once; ten times a second at most, because that is how often there can be one.
        self.link.status_due |= before != self.visible();
    }

    fn note_fault(&mut self) {
        let kind = self.control.fault();
        if kind != self.fault.map(|fault| fault.kind) {
            self.fault = kind.map(|kind| self.occurrence(kind));
        }
    }

    fn occurrence(&mut self, kind: FaultKind) -> Fault {
        self.faults += 1;
        Fault { boot: self.boot, counter: self.faults, kind, lockout: false }
    }

    /// What of the status is told on change.
    fn visible(&self) -> impl PartialEq + use<S> {
        let lease = self.leases.current().map(|lease| (lease.n, lease.demand, lease.flow));
        (self.marks(), self.control.state(), lease, self.fault)
    }

    fn marks(&self) -> u8 {
        let Measured { quality, hot_water, flame, .. } = self.measured;
        Reading::new(CentiCelsius(0), quality, self.control.actuators().pump, hot_water, flame).marks
    }

    fn own_flow(&self) -> CentiCelsius {
        let Config { curve, flow_min, flow_max, .. } = &self.config;
        curve.flow(self.inputs.outdoor).min(*flow_max).max(*flow_min)
    }

    fn obey(&mut self, message: &ToDevice, now_us: u64) {
        match message {
            ToDevice::Identify => self.link.hello_due = true,
            ToDevice::Resume { boot, from } if *boot == self.boot && *from <= self.ring.next() => {
                self.link.resume(*from);
            }
            // Another boot, or a slot that does not exist yet: the greeting says what is.
            ToDevice::Resume { .. } => self.link.hello_due = true,
            ToDevice::Ping { .. } | ToDevice::Setpoint(_) | ToDevice::Release { .. } | ToDevice::Reset { .. }
                if !self.link.is_resumed() =>
            {
                self.counters.premature += 1;
            }
            ToDevice::Ping { nonce } => self.link.pong(*nonce),
            ToDevice::Setpoint(setpoint) => {
                let outcome = self.lease(setpoint, now_us);
                self.answer(setpoint.n, outcome);
            }
            ToDevice::Release { boot, n } => {
                let outcome = self.release(*boot, *n, now_us);
                self.answer(*n, outcome);
            }
            ToDevice::Reset { boot, n, .. } => {
                // There is no lockout yet, so there is nothing to reset.
                let refusal = self.leases.check(*boot, *n).err().unwrap_or(Refusal::NoSuchFault);
                self.answer(*n, Outcome::Refused(refusal));
            }
        }
    }

    fn lease(&mut self, setpoint: &Setpoint, now_us: u64) -> Outcome {
        match self.leases.ask(setpoint, &self.config, now_us) {
            Ok(Lease { n, flow, lease_s, .. }) => {
                self.report(Event::LeaseAccepted { n, flow, lease_s, device_us: now_us });
                self.link.status_due = true;
                Outcome::Accepted { flow, lease_s }
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn release(&mut self, boot: Boot, n: u32, now_us: u64) -> Outcome {
        match self.leases.release(boot, n) {
            Ok(ended) => {
                if let Some(lease) = ended {
                    self.report(Event::OwnControl { n: lease.n, device_us: now_us });
                }
                self.link.status_due = true;
                Outcome::Accepted { flow: self.own_flow(), lease_s: 0 }
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn answer(&mut self, n: u32, outcome: Outcome) {
        self.link.answer(Answer { boot: self.boot, n, outcome });
    }

    fn transmit(&mut self, now_us: u64, out: &mut [u8]) -> usize {
        let mut written = 0;
        while out.len() - written >= ROOM && self.link.is_idle(now_us) {
            let Some(next) = self.link.take(now_us, &self.ring, self.config.period_us) else { break };
            let message = self.complete(next, now_us);
            if let ToGateway::Gap(gap) = &message {
                self.note_gap(gap, now_us);
            }
            let frame = encode(&message, &mut out[written..]).expect("every message fits into a frame");
            let length = frame.len();
            self.link.sent(now_us, length);
            written += length;
        }
        self.link.rest(now_us);
        written
    }

    fn note_gap(&mut self, gap: &GapNotice, device_us: u64) {
        match gap.reason {
            GapReason::Ring => self.report(Event::Overwritten { from: gap.from, to: gap.to, device_us }),
            GapReason::Missed | GapReason::Discarded | GapReason::Clock => {}
        }
    }

    /// Fills in what is true at the moment of sending.
    fn complete(&self, next: Next, now_us: u64) -> ToGateway {
        match next {
            Next::Message(message) => message,
            Next::Pong(nonce) => ToGateway::Pong(Pong { nonce, device_us: now_us }),
            Next::Hello => ToGateway::Hello(Hello {
                protocol: PROTOCOL,
                boot: self.boot,
                serial_number: self.config.serial_number.clone(),
                firmware: self.config.firmware.clone(),
                period_us: self.config.period_us,
                ring: u32::try_from(self.ring.capacity()).unwrap_or(u32::MAX),
                oldest: self.ring.oldest(),
                next: self.ring.next(),
                device_us: now_us,
                simulated: self.config.simulated,
                own_flow: self.own_flow(),
            }),
            Next::Status => ToGateway::Status(self.status(now_us)),
        }
    }

    fn status(&self, now_us: u64) -> Status {
        let power = if self.measured.flame { self.control.actuators().burner_permille / 10 } else { 0 };
        Status {
            tag: self.boot.tag(),
            next: self.ring.next(),
            device_us: now_us,
            marks: self.marks(),
            modulation: u8::try_from(power).unwrap_or(100),
            return_temperature: self.inputs.return_temperature,
            room: self.inputs.room,
            outdoor: self.inputs.outdoor,
            pressure_mbar: self.inputs.pressure_mbar,
            setpoint: self.leases.current().map(|lease| lease.active(now_us)),
            state: self.control.state(),
            fault: self.fault,
            burner_starts: self.control.starts(),
        }
    }

    fn report(&mut self, event: Event) {
        // Slot by slot missed is one stretch missed.
        if let (Event::Missed { from, to }, Some(Event::Missed { to: end, .. })) = (event, self.events.back_mut())
            && *end == from
        {
            *end = to;
            return;
        }
        if self.events.is_full() {
            self.events.pop_front();
            self.counters.dropped_events += 1;
        }
        self.events.push_back(event).unwrap_or_else(|_| unreachable!("an event has just left"));
    }
}
