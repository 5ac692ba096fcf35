//! The firmware's core: sampling, the control step, and the answers to requests.

use thermowell_wire::line::{
    Answer, Fault, GapNotice, GapReason, Hello, Outcome, PROTOCOL, Pong, Refusal, Setpoint, Status, ToDevice,
    ToGateway, encode,
};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use crate::control::{Control, Heating, STEP_US, Situation};
use crate::lease::{Lease, Leases};
use crate::link::{Link, Next, ROOM};
use crate::memory::Memory;
use crate::safety::Seen;
use crate::season::Season;
use crate::{Board, Config, Counters, Event, Inputs, Measured, NoHeat, NonVolatile, Panel, Ring};

/// Device time between two `Status` messages.
const STATUS_US: u64 = 1_000_000;
/// Readings older than this are stale, and the gas is closed. A firmware that itself stalled for so long finds its
/// readings stale too; on a board the hardware watchdog has closed the gas by then.
const STALE_US: u64 = 1_000_000;
/// Range of a flow or return sensor: below it the wire is broken, above it is shorted.
const SENSOR: core::ops::RangeInclusive<CentiCelsius> = CentiCelsius(-2_500)..=CentiCelsius(12_500);
/// Range of the outdoor sensor.
const OUTDOOR_SENSOR: core::ops::RangeInclusive<CentiCelsius> = CentiCelsius(-5_000)..=CentiCelsius(6_000);
/// Events that may wait for the caller. A chunk of 256 received bytes holds at most 14 requests.
const EVENTS_MAX: usize = 32;

/// Everything but the frame reader, so that a frame can act while the next ones are read.
#[derive(Clone, Debug)]
pub(crate) struct Core<S> {
    pub(crate) config: Config,
    pub(crate) boot: Boot,
    pub(crate) ring: Ring<S>,
    pub(crate) link: Link,
    pub(crate) leases: Leases,
    pub(crate) control: Control,
    pub(crate) memory: Memory,
    pub(crate) season: Season,
    /// A person turned the knob or pressed the reset button since the last control step.
    attended: bool,
    /// Why own control gave no heat at the last control step.
    withheld: Option<NoHeat>,
    control_due_us: u64,
    status_due_us: u64,
    measured: Measured,
    /// Device time of `measured`; None before the first reading.
    measured_us: Option<u64>,
    pub(crate) newest: Option<Reading>,
    inputs: Inputs,
    /// The active fault that clears by itself.
    passing: Option<Fault>,
    pub(crate) events: heapless::Deque<Event, EVENTS_MAX>,
    pub(crate) counters: Counters,
}

impl<S: AsRef<[Reading]> + AsMut<[Reading]>> Core<S> {
    pub(crate) fn new(memory: NonVolatile, config: Config, boot: Boot, storage: S) -> Self {
        Self {
            link: Link::new(boot, config.line),
            config,
            boot,
            ring: Ring::new(storage),
            leases: Leases::new(boot),
            control: Control::new(),
            memory: Memory::new(memory),
            season: Season::new(),
            attended: false,
            withheld: None,
            control_due_us: 0,
            status_due_us: 0,
            measured: Measured::default(),
            measured_us: None,
            newest: None,
            inputs: Inputs::default(),
            passing: None,
            events: heapless::Deque::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn poll(&mut self, now_us: u64, board: &mut impl Board) {
        let newest = now_us / u64::from(self.config.period_us);
        let due = (newest + 1).saturating_sub(self.ring.next());
        // The newest slot is on time; earlier ones are late.
        let late = due.saturating_sub(1);
        if late > self.config.catch_up_slots {
            self.ring.skip(late);
        }
        while self.ring.next() <= newest {
            self.sample(board);
        }
        if now_us >= self.status_due_us {
            self.status_due_us = now_us - now_us % STATUS_US + STATUS_US;
            self.link.status_due = true;
        }
    }

    /// Samples the next slot, after a control step if one is due.
    fn sample(&mut self, board: &mut impl Board) {
        let seq = self.ring.next();
        let slot_us = seq.saturating_mul(u64::from(self.config.period_us));
        if slot_us >= self.control_due_us {
            self.control_due_us = slot_us - slot_us % STEP_US + STEP_US;
            let before = self.inputs;
            self.inputs = plausible(board.inputs(slot_us, self.control.actuators()));
            let pressed = self.inputs.reset_pressed && !before.reset_pressed;
            if pressed {
                self.reset_here();
            }
            self.attended |= pressed || self.inputs.panel != before.panel;
            // No control step before the first reading.
            if seq > 0 {
                self.control(slot_us);
            }
        }
        let actuators = self.control.actuators();
        let measured = board.sample(seq, slot_us, actuators).map(judged);
        let pump = actuators.pump;
        let reading = measured.map(|it| Reading::new(it.flow, it.quality, pump, it.hot_water, it.flame));
        self.ring.push(reading);
        if let Some(measured) = measured {
            (self.measured, self.measured_us) = (measured, Some(slot_us));
        }
        self.newest = reading;
    }

    fn control(&mut self, now_us: u64) {
        let before = self.visible();
        self.memory.step(now_us);
        if let Some(lease) = self.leases.expire(now_us) {
            self.report(Event::OwnControl { n: lease.n, device_us: now_us });
        }
        if self.objection().is_some() {
            self.end_lease(now_us);
        }
        self.watch_season(now_us);
        let own = Heating::Own(self.own_heat().ok());
        let heating = self.leases.current().map_or(own, Heating::Leased);
        let locked = self.memory.kept.lockout.is_some();
        let situation = Situation { heating, locked, ..self.look(now_us) };
        if let Some(kind) = self.control.step(now_us, &situation, &self.config) {
            self.memory.kept.lock(kind, self.boot);
            self.end_lease(now_us);
        }
        self.note_fault();
        // Report a change at once; at most ten times a second, because control steps are 100 ms apart.
        self.link.status_due |= before != self.visible();
    }

    fn watch_season(&mut self, now_us: u64) {
        let Inputs { outdoor, room_contact, .. } = self.inputs;
        let attended = core::mem::take(&mut self.attended) || self.leases.current().is_some() || room_contact.is_some();
        self.season.step(now_us, outdoor, attended, &self.config);
        let withheld = self.own_heat().err();
        if withheld != self.withheld {
            self.withheld = withheld;
            self.report(Event::OwnHeat { withheld, device_us: now_us });
        }
    }

    /// The inputs of a control step, without stale readings.
    fn look(&self, now_us: u64) -> Situation<'static> {
        let stale_us = STALE_US.max(2 * u64::from(self.config.period_us));
        let measured = self.measured_us.filter(|&at| now_us.saturating_sub(at) <= stale_us).map(|_| &self.measured);
        let second = if self.config.second_sensor { self.inputs.second_flow } else { None };
        let seen = Seen {
            flow: measured.filter(|it| it.quality == Quality::Ok).map(|it| it.flow),
            second_flow: second,
            return_temperature: self.inputs.return_temperature,
            pressure_mbar: self.inputs.pressure_mbar,
            water_moves: self.inputs.water_moves,
            ..Seen::default()
        };
        let draw = measured.is_some_and(|it| it.hot_water);
        let (flame, air) = (measured.map(|it| it.flame), self.inputs.air_proof);
        Situation { seen, flame, air, draw, heating: Heating::Own(None), locked: false }
    }

    fn note_fault(&mut self) {
        let kind = self.control.passing_fault();
        if kind != self.passing.map(|fault| fault.kind) {
            self.passing = kind.map(|kind| self.memory.kept.occurrence(kind, self.boot));
        }
    }

    /// The fault to report: a lockout rather than one that clears by itself.
    fn fault(&self) -> Option<Fault> {
        self.memory.kept.lockout.or(self.passing)
    }

    /// The boiler's own reason to refuse any set-point now.
    fn objection(&self) -> Option<Refusal> {
        if self.memory.kept.lockout.is_some() {
            Some(Refusal::Lockout)
        } else if self.inputs.panel != Panel::Automatic {
            Some(Refusal::Panel)
        } else {
            None
        }
    }

    fn end_lease(&mut self, now_us: u64) {
        if let Some(lease) = self.leases.end() {
            self.report(Event::OwnControl { n: lease.n, device_us: now_us });
        }
    }

    /// Reset button. Whether there was a lockout, and whether this was one reset too many, shows at the boiler itself.
    fn reset_here(&mut self) {
        if self.memory.kept.reset().is_ok() {
            self.control.clear_counts();
        }
    }

    /// The part of the status that is reported on change.
    fn visible(&self) -> impl PartialEq + use<S> {
        let lease = self.leases.current().map(|lease| (lease.n, lease.demand, lease.flow));
        (self.marks(), self.control.state(), lease, self.fault())
    }

    fn marks(&self) -> u8 {
        let Measured { quality, hot_water, flame, .. } = self.measured;
        Reading::new(CentiCelsius(0), quality, self.control.actuators().pump, hot_water, flame).marks
    }

    /// As `Hello` and answers report it. The line has no word for *no heat*: that is the lower limit.
    pub(crate) fn own_flow(&self) -> CentiCelsius {
        self.own_heat().unwrap_or(self.config.flow_min)
    }

    /// Flow temperature of own control within the installer's limits, or why it gives no heat. A person who sets a flow
    /// temperature at the panel gets it in summer too.
    pub(crate) fn own_heat(&self) -> Result<CentiCelsius, NoHeat> {
        let Config { curve, flow_min, flow_max, .. } = &self.config;
        let flow = match self.inputs.panel {
            Panel::Off => return Err(NoHeat::Panel),
            Panel::Flow(flow) => flow,
            Panel::Automatic if self.season.is_warm() => return Err(NoHeat::HeatingLimit),
            Panel::Automatic if self.inputs.room_contact == Some(false) => return Err(NoHeat::RoomContact),
            Panel::Automatic if self.season.is_unguided() => return Err(NoHeat::Unguided),
            Panel::Automatic => curve.flow(self.inputs.outdoor),
        };
        Ok(flow.min(*flow_max).max(*flow_min))
    }

    pub(crate) fn handle(&mut self, message: &ToDevice, now_us: u64) {
        match message {
            ToDevice::Identify => self.link.hello_due = true,
            ToDevice::Resume { boot, from } if *boot == self.boot && *from <= self.ring.next() => {
                self.link.resume(*from);
            }
            // Another boot, or a slot that does not exist yet: the greeting reports the current ones.
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
            ToDevice::Reset { boot, n, fault } => {
                let outcome = self.reset(*boot, *n, *fault);
                self.answer(*n, outcome);
            }
        }
    }

    fn lease(&mut self, setpoint: &Setpoint, now_us: u64) -> Outcome {
        match self.leases.ask(setpoint, self.objection(), &self.config, now_us) {
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

    fn reset(&mut self, boot: Boot, n: u32, fault: u32) -> Outcome {
        let done = self.leases.check(boot, n).and_then(|()| self.memory.kept.reset_remotely(fault));
        match done {
            Ok(()) => {
                self.control.clear_counts();
                self.link.status_due = true;
                Outcome::Accepted { flow: self.own_flow(), lease_s: 0 }
            }
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn answer(&mut self, n: u32, outcome: Outcome) {
        self.link.answer(Answer { boot: self.boot, n, outcome });
    }

    pub(crate) fn transmit(&mut self, now_us: u64, out: &mut [u8]) -> usize {
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

    /// Fills in the values of the moment of sending.
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

    pub(crate) fn status(&self, now_us: u64) -> Status {
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
            fault: self.fault(),
            burner_starts: self.control.starts(),
        }
    }

    fn report(&mut self, event: Event) {
        if self.events.is_full() {
            self.events.pop_front();
            self.counters.dropped_events += 1;
        }
        self.events.push_back(event).unwrap_or_else(|_| unreachable!("the oldest was removed if full"));
    }
}

/// The flow reading with its quality checked against the firmware's own range, in case the board reports every reading
/// as sound.
fn judged(measured: Measured) -> Measured {
    let quality = match measured.quality {
        Quality::Ok if measured.flow < *SENSOR.start() => Quality::Open,
        Quality::Ok if measured.flow > *SENSOR.end() => Quality::Short,
        quality @ (Quality::Ok | Quality::Open | Quality::Short | Quality::OutOfRange) => quality,
    };
    Measured { quality, ..measured }
}

/// The slow inputs, without values outside their sensor's range.
fn plausible(inputs: Inputs) -> Inputs {
    Inputs {
        return_temperature: inputs.return_temperature.filter(|it| SENSOR.contains(it)),
        second_flow: inputs.second_flow.filter(|it| SENSOR.contains(it)),
        outdoor: inputs.outdoor.filter(|it| OUTDOOR_SENSOR.contains(it)),
        ..inputs
    }
}
