//! One simulated boiler: the real firmware on a simulated board, with a power switch.
//!
//! Time is simulated nanoseconds since the epoch, passed in. Slots, reboots and faults happen at their exact times and
//! in order, whatever the stride of the calls: the same seed gives the same readings at every speed and tick.

use thermowell_device::{Actuators, Board, Config, Device, Event as DeviceEvent, Inputs, Measured, NonVolatile};
use thermowell_wire::{BoilerId, Boot, Reading};

use crate::account::{Entry, Event, true_ns};
use crate::random::{GAMMA, stir};
use crate::scenario::{BoilerScenario, DeviceFault, DeviceFaultKind};
use crate::source::{PlantSource, Source};

/// The parts of a simulated boiler.
#[derive(Debug)]
pub struct BoilerSetup {
    pub id: BoilerId,
    pub device: Config,
    /// Plant, faults and seed of this boiler.
    pub scenario: BoilerScenario,
    /// Source of its inputs.
    pub source: Source,
    /// Size of the ring in slots.
    pub ring: usize,
    /// Starts so far.
    pub boots: u32,
}

/// One simulated boiler.
#[derive(Debug)]
pub struct Boiler {
    id: BoilerId,
    config: Config,
    seed: u64,
    drift_ppb: i64,
    ring: usize,
    nonvolatile: NonVolatile,
    source: Source,
    power: Power,
    /// Pending device faults, the next one last.
    faults: Vec<DeviceFault>,
    journal: Vec<Entry>,
}

#[derive(Debug)]
enum Power {
    Off { until_ns: u64 },
    On(Box<Running>),
}

#[derive(Debug)]
struct Running {
    device: Device<Vec<Reading>>,
    since_ns: u64,
    /// Missed slots not yet in the journal.
    missed: Option<(u64, u64)>,
    /// Start and end of the current sampling outage.
    silent: (u64, u64),
}

impl Boiler {
    /// A boiler that is switched on at `on_ns`.
    #[must_use]
    pub fn new(setup: BoilerSetup, on_ns: u64) -> Self {
        let BoilerSetup { id, device, scenario, source, ring, boots } = setup;
        let mut faults = scenario.device.faults.clone();
        faults.retain(|fault| fault.from_us.saturating_mul(1_000) >= on_ns);
        faults.reverse();
        Self {
            id,
            config: match source {
                Source::Plant(_) => scenario.firmware(device),
                // A recording has one temperature, so there is no second sensor. It has no outdoor temperature either,
                // and may last for months: its boiler heats by itself all the time.
                Source::Replay(_) => Config { unguided_us: u64::MAX, ..device },
            },
            seed: scenario.seed_of("boot"),
            drift_ppb: parts_per_billion(scenario.device.drift_ppm),
            ring,
            nonvolatile: NonVolatile { boot_counter: boots, ..NonVolatile::default() },
            source,
            power: Power::Off { until_ns: on_ns },
            faults,
            journal: Vec::new(),
        }
    }

    #[must_use]
    pub fn id(&self) -> &BoilerId {
        &self.id
    }

    /// The device, while it is on.
    #[must_use]
    pub fn device(&self) -> Option<&Device<Vec<Reading>>> {
        match &self.power {
            Power::On(running) => Some(&running.device),
            Power::Off { .. } => None,
        }
    }

    /// Advances to `now_ns`. `utc` gives the UTC of a simulated time.
    pub fn advance(&mut self, now_ns: u64, utc: impl Fn(u64) -> i64) {
        while let Some(fault) = self.faults.pop_if(|fault| fault.from_us.saturating_mul(1_000) <= now_ns) {
            let (from_ns, until_ns) = (fault.from_us.saturating_mul(1_000), fault.until_us.saturating_mul(1_000));
            self.run_to(from_ns, &utc);
            match fault.kind {
                DeviceFaultKind::Reboot => self.switch_off(from_ns, until_ns),
                DeviceFaultKind::Missed => self.silence(from_ns, until_ns),
            }
        }
        self.run_to(now_ns, &utc);
    }

    /// Switches the device off at `now_ns`, to which it must have advanced, and on again at `until_ns`.
    pub fn switch_off(&mut self, now_ns: u64, until_ns: u64) {
        if let Power::On(running) = &mut self.power {
            note_missed(running, now_ns, &mut self.journal);
            self.nonvolatile = *running.device.memory();
            let (boot, slots) = (running.device.boot(), running.device.next());
            self.journal.push(Entry::Event(Event::End { t_ns: now_ns, boot, slots }));
        }
        self.power = Power::Off { until_ns: until_ns.max(now_ns) };
    }

    /// Makes it miss the slots from `from_ns` until `until_ns`.
    pub fn silence(&mut self, from_ns: u64, until_ns: u64) {
        if let Power::On(running) = &mut self.power {
            running.silent = (from_ns, until_ns);
        }
    }

    /// The plant with its panel; None when a recorded series is played.
    pub fn plant_mut(&mut self) -> Option<&mut PlantSource> {
        match &mut self.source {
            Source::Plant(plant) => Some(plant),
            Source::Replay(_) => None,
        }
    }

    /// Passes bytes from the line to the device, if it is on.
    pub fn receive(&mut self, bytes: &[u8], now_ns: u64) {
        let Power::On(running) = &mut self.power else { return };
        let device_us = device_us(now_ns.saturating_sub(running.since_ns), self.drift_ppb);
        for chunk in bytes.chunks(256) {
            running.device.receive(chunk, device_us);
            note_events(running, self.drift_ppb, &mut self.journal);
        }
    }

    /// Writes the bytes to be sent now into `out` and returns how many.
    pub fn transmit(&mut self, now_ns: u64, out: &mut [u8]) -> usize {
        let Power::On(running) = &mut self.power else { return 0 };
        let device_us = device_us(now_ns.saturating_sub(running.since_ns), self.drift_ppb);
        let written = running.device.transmit(device_us, out);
        note_events(running, self.drift_ppb, &mut self.journal);
        written
    }

    /// Adds an event from the boiler's surroundings to the journal.
    pub fn enter(&mut self, event: Event) {
        self.journal.push(Entry::Event(event));
    }

    /// Takes the entries since the last call, in order.
    pub fn take_journal(&mut self) -> impl Iterator<Item = Entry> {
        self.journal.drain(..)
    }

    fn run_to(&mut self, now_ns: u64, utc: &impl Fn(u64) -> i64) {
        if let Power::Off { until_ns } = self.power {
            if now_ns < until_ns {
                self.source.idle(now_ns / 1_000);
                return;
            }
            self.source.idle(until_ns / 1_000);
            self.power = Power::On(Box::new(self.boot(until_ns, utc(until_ns))));
        }
        let Power::On(running) = &mut self.power else { return };
        let device_us = device_us(now_ns.saturating_sub(running.since_ns), self.drift_ppb);
        let mut board = SimulatedBoard {
            source: &mut self.source,
            since_ns: running.since_ns,
            drift_ppb: self.drift_ppb,
            silent: running.silent,
            missed: &mut running.missed,
            boot: running.device.boot(),
            journal: &mut self.journal,
        };
        running.device.poll(device_us, &mut board);
        note_events(running, self.drift_ppb, &mut self.journal);
    }

    fn boot(&mut self, t_ns: u64, utc_ns: i64) -> Running {
        let random = random_half(self.seed, self.nonvolatile.boot_counter);
        let boot = self.nonvolatile.start(random);
        let config = self.config.clone();
        self.journal.push(Entry::Event(Event::Boot {
            t_ns,
            boot,
            serial_number: config.serial_number.as_str().to_owned(),
            utc_ns,
            period_us: config.period_us,
            drift_ppb: self.drift_ppb,
            ring: self.ring as u64,
        }));
        let device = Device::remembering(self.nonvolatile, config, boot, vec![Reading::default(); self.ring]);
        Running { device, since_ns: t_ns, missed: None, silent: (0, 0) }
    }
}

/// The board: maps device time to the source's time, and records every slot.
struct SimulatedBoard<'a> {
    source: &'a mut Source,
    since_ns: u64,
    drift_ppb: i64,
    silent: (u64, u64),
    missed: &'a mut Option<(u64, u64)>,
    boot: Boot,
    journal: &'a mut Vec<Entry>,
}

impl Board for SimulatedBoard<'_> {
    fn sample(&mut self, seq: u64, slot_us: u64, actuators: &Actuators) -> Option<Measured> {
        let t_ns = when_ns(self.since_ns, slot_us, self.drift_ppb);
        let measured = self.source.measure(t_ns / 1_000, actuators);
        let measured = measured.filter(|_| !(self.silent.0..self.silent.1).contains(&t_ns));
        let reading = measured.map(|it| Reading::new(it.flow, it.quality, actuators.pump, it.hot_water, it.flame));
        self.journal.push(Entry::Slot(reading));
        if reading.is_none() {
            let from = self.missed.map_or(seq, |(from, _)| from);
            *self.missed = Some((from, seq + 1));
        } else if let Some((from, to)) = self.missed.take() {
            self.journal.push(Entry::Event(Event::Missed { t_ns, boot: self.boot, from, to }));
        }
        measured
    }

    fn inputs(&mut self, device_us: u64, actuators: &Actuators) -> Inputs {
        self.source.inputs(when_ns(self.since_ns, device_us, self.drift_ppb) / 1_000, actuators)
    }
}

fn note_missed(running: &mut Running, t_ns: u64, journal: &mut Vec<Entry>) {
    if let Some((from, to)) = running.missed.take() {
        journal.push(Entry::Event(Event::Missed { t_ns, boot: running.device.boot(), from, to }));
    }
}

/// Records the device's events.
fn note_events(running: &mut Running, drift_ppb: i64, journal: &mut Vec<Entry>) {
    let boot = running.device.boot();
    while let Some(event) = running.device.take_event() {
        let when = |device_us| when_ns(running.since_ns, device_us, drift_ppb);
        journal.push(Entry::Event(match event {
            DeviceEvent::Overwritten { from, to, device_us } => Event::Ring { t_ns: when(device_us), boot, from, to },
            DeviceEvent::LeaseAccepted { n, flow, lease_s, device_us } => {
                Event::Lease { t_ns: when(device_us), boot, n, flow, lease_s }
            }
            DeviceEvent::OwnControl { n, device_us } => Event::OwnControl { t_ns: when(device_us), boot, n },
            DeviceEvent::OwnHeat { withheld, device_us } => {
                let withheld = withheld.map(|reason| reason.name().to_owned());
                Event::OwnHeat { t_ns: when(device_us), boot, withheld }
            }
        }));
    }
}

/// Simulated time at which a device clock that started at `since_ns` shows `device_us`.
fn when_ns(since_ns: u64, device_us: u64, drift_ppb: i64) -> u64 {
    let passed_ns = true_ns(u128::from(device_us) * 1_000, drift_ppb);
    since_ns.saturating_add(u64::try_from(passed_ns).unwrap_or(u64::MAX))
}

/// The device clock's reading `passed_ns` after its start.
fn device_us(passed_ns: u64, drift_ppb: i64) -> u64 {
    let rate = u128::try_from(1_000_000_000 + drift_ppb).unwrap_or(1);
    u64::try_from(u128::from(passed_ns) * rate / 1_000_000_000_000).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "float to integer `as` saturates; a scenario has at most 100,000 ppm"
)]
fn parts_per_billion(ppm: f64) -> i64 {
    (ppm * 1_000.0).round() as i64
}

/// The random half of a boot id, from the seed and the number of the start.
fn random_half(seed: u64, counter: u32) -> u32 {
    let z = stir(seed.wrapping_add(GAMMA.wrapping_mul(u64::from(counter) + 1)));
    u32::try_from(z >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::{FaultKind, FrameReader, GapReason, ToDevice, ToGateway, encode};

    use super::*;
    use crate::scenario::Scenario;

    const SECOND_NS: u64 = 1_000_000_000;

    fn boiler(text: &str, ring: usize) -> Boiler {
        let scenario = Scenario::parse("test", text).unwrap().boiler(&"b1".parse().unwrap());
        let device = Config { catch_up_slots: u64::MAX, simulated: true, ..Config::default() };
        let source = Source::plant(&scenario);
        Boiler::new(BoilerSetup { id: "b1".parse().unwrap(), device, scenario, source, ring, boots: 3 }, 0)
    }

    fn journal(boiler: &mut Boiler) -> Vec<Entry> {
        boiler.take_journal().collect()
    }

    fn send(boiler: &mut Boiler, message: &ToDevice, now_ns: u64) {
        let mut buffer = [0; 256];
        boiler.receive(encode(message, &mut buffer).unwrap(), now_ns);
    }

    const FAULTS: &str = "[device]\ndrift_ppm = -47.5\nreboot = [{ at = \"20 s\", for = \"3 s\" }]\n\
        missed = [{ at = \"5 s\", for = \"250 ms\" }, { at = \"19 s\", for = \"900 ms\" }]\n";

    #[test]
    fn same_seed_gives_same_account_at_any_stride() {
        let run = |stride_ns: usize, seed: u64| {
            let mut boiler = boiler(&format!("seed = {seed}\n{FAULTS}"), 500);
            let (mut entries, mut bytes, mut out) = (Vec::new(), Vec::new(), vec![0; 4_096]);
            for now_ns in (0..=60 * SECOND_NS).step_by(stride_ns) {
                boiler.advance(now_ns, |t_ns| i64::try_from(t_ns).unwrap());
                if let (0, Some(device)) = (now_ns % (5 * SECOND_NS), boiler.device()) {
                    let boot = device.boot();
                    send(&mut boiler, &ToDevice::Resume { boot, from: 0 }, now_ns);
                }
                let written = boiler.transmit(now_ns, &mut out);
                bytes.extend_from_slice(&out[..written]);
                entries.extend(boiler.take_journal());
            }
            (entries, bytes)
        };
        let fine = run(1_000_000, 1);
        assert!(fine.1.len() > 30_000, "{}", fine.1.len());
        assert_eq!(fine, run(1_000_000, 1));
        assert_ne!(fine.0, run(1_000_000, 2).0);
        let sampled = |entries: Vec<Entry>| -> Vec<Entry> {
            // The reported ring gaps depend on when a gateway asked; the samples do not.
            entries.into_iter().filter(|it| !matches!(it, Entry::Event(Event::Ring { .. }))).collect()
        };
        assert_eq!(sampled(fine.0), sampled(run(500_000_000, 1).0));
    }

    #[test]
    fn faults_happen_at_their_exact_times() {
        let mut boiler = boiler(FAULTS, 12_000);
        boiler.advance(60 * SECOND_NS, |t_ns| 7 + i64::try_from(t_ns).unwrap());
        let entries = journal(&mut boiler);
        let events: Vec<&Event> =
            entries.iter().filter_map(|it| if let Entry::Event(event) = it { Some(event) } else { None }).collect();
        let [first, early, late, end, second] = events.as_slice() else { panic!("{events:?}") };
        let Event::Boot { t_ns: 0, boot: one, utc_ns: 7, drift_ppb: -47_500, .. } = first else { panic!("{first:?}") };
        // The clock is slow: slot 500 is due 237 µs after the fifth second.
        assert!(matches!(early, Event::Missed { from: 500, to: 525, .. }), "{early:?}");
        assert!(matches!(late, Event::Missed { from: 1_900, to: 1_990, .. }), "{late:?}");
        assert!(matches!(end, Event::End { t_ns: 20_000_000_000, slots: 2_000, .. }), "{end:?}");
        let Event::Boot { t_ns: 23_000_000_000, boot: two, .. } = second else { panic!("{second:?}") };
        assert_eq!((one.counter(), two.counter()), (4, 5));
        let slots = entries.iter().filter(|it| matches!(it, Entry::Slot(_))).count();
        assert_eq!(slots, 2_000 + 3_700);
    }

    #[test]
    fn boot_loop_lockout_survives_the_next_start() {
        let mut boiler =
            boiler("[device]\nreboot = [{ at = \"2 min\", for = \"5 s\" }, { at = \"4 min\", for = \"5 s\" }]", 100);
        let lockout = |boiler: &Boiler| boiler.device().and_then(|device| device.memory().lockout);
        boiler.advance(200 * SECOND_NS, |_| 0);
        assert_eq!(lockout(&boiler), None);
        boiler.advance(300 * SECOND_NS, |_| 0);
        let fault = lockout(&boiler).unwrap();
        assert_eq!((fault.kind, fault.boot.counter()), (FaultKind::BootLoop, 6));
        boiler.switch_off(300 * SECOND_NS, 3_000 * SECOND_NS);
        boiler.advance(3_600 * SECOND_NS, |_| 0);
        assert_eq!(lockout(&boiler), Some(fault));
        assert!(boiler.device().is_some_and(|device| device.boot().counter() == 7 && !device.is_leased()));
    }

    #[test]
    fn withheld_heat_is_in_the_journal_with_its_reason() {
        let mut boiler =
            boiler("[weather]\nmean_c = 25\n[[device.panel]]\nat = \"10 s\"\nfor = \"10 s\"\nflow_c = 40", 100);
        boiler.advance(30 * SECOND_NS, |_| 0);
        let heat = journal(&mut boiler).into_iter().filter_map(|it| match it {
            Entry::Event(Event::OwnHeat { t_ns, withheld, .. }) => Some((t_ns / SECOND_NS, withheld)),
            Entry::Event(_) | Entry::Slot(_) => None,
        });
        let limit = Some(String::from("heating_limit"));
        assert_eq!(heat.collect::<Vec<_>>(), [(0, limit.clone()), (10, None), (20, limit)]);
    }

    #[test]
    fn account_has_the_gaps_reported_to_the_gateway() {
        let mut boiler = boiler("", 300);
        boiler.advance(10 * SECOND_NS, |_| 0);
        let boot = boiler.device().unwrap().boot();
        send(&mut boiler, &ToDevice::Resume { boot, from: 12 }, 10 * SECOND_NS);
        let (mut received, mut out, mut reader) = (Vec::new(), vec![0; 4_096], FrameReader::new());
        for tick in 0..100 {
            let written = boiler.transmit(10 * SECOND_NS + tick * 1_000_000, &mut out);
            reader.feed::<ToGateway>(&out[..written], |message| match message.unwrap() {
                ToGateway::Gap(gap) if gap.reason == GapReason::Ring => received.push((gap.from, gap.to)),
                ToGateway::Gap(_)
                | ToGateway::Samples(_)
                | ToGateway::Hello(_)
                | ToGateway::Status(_)
                | ToGateway::Answer(_)
                | ToGateway::Pong(_) => {}
            });
        }
        assert_eq!(received, [(12, 701)]);
        let entered: Vec<_> = journal(&mut boiler)
            .into_iter()
            .filter_map(|it| if let Entry::Event(Event::Ring { from, to, .. }) = it { Some((from, to)) } else { None })
            .collect();
        assert_eq!(entered, received);
    }
}
