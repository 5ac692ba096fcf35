//! One world: its seed, its parts and its event loop.

use std::collections::{BTreeSet, VecDeque};

use firmware_sim::boiler::{Boiler, BoilerSetup};
use firmware_sim::scenario::{BoilerScenario, Scenario};
use firmware_sim::source::Source;
use thermowell_device::Config;
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::batch::{ClockQuality, decode};
use thermowell_wire::{BoilerId, Boot, Slot};

use crate::agent::{AgentShell, SPOOL};
use crate::aggregator::AggregatorShell;
use crate::broker::Broker;
use crate::disk::Disk;
use crate::leases::Author;
use crate::line::Line;
use crate::plan::{Bug, Kind, MS, Plan, SECOND};
use crate::random::Random;
use crate::truth::Truth;

/// Uptime of the machine when the world begins.
pub(crate) const START: u64 = 1_000 * SECOND;
/// 2026-01-07T02:00:00Z: the full hour near which a world takes place.
const HOUR_UTC_NS: i64 = 1_767_751_200_000_000_000;
/// Time between two slots, and between two steps of the device.
pub(crate) const TICK: u64 = 10 * MS;
/// In the calm phase everything must be delivered within this.
const CALM_MAX: u64 = 90 * SECOND;
/// A world with more steps than this is an endless loop.
const STEPS_PER_SECOND_MAX: u64 = 20_000;
/// Lines of history kept for a failure's report.
const HISTORY: usize = 50;

/// Result of a world.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub seed: u64,
    pub simulated_ns: u64,
    /// Slots that the firmware sampled or missed.
    pub samples: u64,
    /// Number of faults per kind, in the order of [`Kind::ALL`].
    pub faults: [u64; Kind::ALL.len()],
    /// The violated invariant, and what was observed.
    pub failure: Option<String>,
    /// The last log lines.
    pub history: Vec<String>,
}

/// When each part that is down comes back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recoveries {
    pub(crate) agent: Option<u64>,
    pub(crate) aggregator: Option<u64>,
    pub(crate) cable: Option<u64>,
    pub(crate) server: Option<u64>,
    pub(crate) gateway: Option<u64>,
    /// When a port replays its old bytes to a rebooted firmware.
    pub(crate) port: Option<u64>,
}

/// The set-up of a world, apart from its faults.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) scenario: BoilerScenario,
    /// Time between two slots.
    pub(crate) period: u64,
    /// Time between two steps of the device.
    pub(crate) tick: u64,
    /// Slots per batch; None draws it at each start of the agent.
    pub(crate) batch: Option<u16>,
    /// Spool limit in bytes.
    pub(crate) spool: usize,
    /// A controller requests set-points.
    pub(crate) asks: bool,
    /// STATUS, STATE and EVENT are kept for a subscriber.
    pub(crate) watched: bool,
}

impl Stage {
    /// Whether it is played fast, for its published data only: without what only faults need.
    pub(crate) fn is_fast(&self) -> bool {
        self.tick > self.period
    }

    /// A boiler at 100 Hz in batches of a second, without a controller.
    pub(crate) fn new(scenario: BoilerScenario) -> Self {
        Self { scenario, period: TICK, tick: TICK, batch: Some(100), spool: SPOOL, asks: false, watched: false }
    }

    /// A default boiler, and a controller.
    fn of(seed: u64, plan: &Plan, id: &BoilerId) -> Self {
        let text = format!("seed = {seed}\n[device]\ndrift_ppm = {}\n", plan.drift_ppm);
        let scenario = Scenario::parse("world", &text).expect("a scenario").boiler(id);
        Self { batch: None, asks: true, ..Self::new(scenario) }
    }
}

pub(crate) struct World {
    pub(crate) bug: Option<Bug>,
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) stage: Stage,
    pub(crate) calm: bool,
    pub(crate) now: u64,
    pub(crate) id: BoilerId,
    pub(crate) boiler: Boiler,
    pub(crate) boiler_at: u64,
    pub(crate) truth: Truth,
    pub(crate) line: Line,
    pub(crate) agent: AgentShell,
    pub(crate) author: Author,
    pub(crate) aggregator: AggregatorShell,
    pub(crate) broker: Broker,
    pub(crate) disk: Disk,
    /// Content of the spill file when an agent died: boot, first slot, end.
    pub(crate) spilled: BTreeSet<(Boot, u64, u64)>,
    pub(crate) recoveries: Recoveries,
    pub(crate) fault_at: u64,
    steps: u64,
    utc_begin_ns: i64,
    /// Wall clock minus true time, with the time of each change, the newest last.
    pub(crate) offsets: Vec<(u64, i64)>,
    pub(crate) counts: [u64; Kind::ALL.len()],
    history: VecDeque<String>,
    pub(crate) failure: Option<String>,
}

/// Runs the world of `seed`, with `bug` planted in its shells.
///
/// # Panics
/// If the code under test panics. The message has the seed, as the name of the thread.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>) -> Outcome {
    let play = || {
        let mut world = World::new(seed, bug);
        world.play(|_| {});
        world.end();
        world.outcome(seed)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("seed {seed}"));
        let played = thread.spawn_scoped(scope, play).expect("a thread can be started").join();
        played.expect("the message of the panic is above")
    })
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::of(&mut random);
        let id: BoilerId = "b1".parse().expect("an id");
        let stage = Stage::of(seed, &plan, &id);
        Self::on(stage, plan, random, id, Author::new(seed), bug)
    }

    /// A world without random faults, whose boiler `b1` plays a scenario.
    pub(crate) fn quiet(scenario: &str) -> Self {
        let id: BoilerId = "b1".parse().expect("an id");
        let scenario = Scenario::parse("quiet", scenario).expect("a scenario");
        let seed = scenario.seed();
        let stage = Stage::new(scenario.boiler(&id));
        Self::on(stage, Plan::quiet(SECOND), Random::new(seed), id, Author::new(seed), None)
    }

    pub(crate) fn on(
        stage: Stage,
        plan: Plan,
        mut random: Random,
        id: BoilerId,
        author: Author,
        bug: Option<Bug>,
    ) -> Self {
        let period_us = u32::try_from(stage.period / 1_000).expect("a period below an hour");
        let device = Config { period_us, catch_up_slots: u64::MAX, simulated: true, ..Config::default() };
        let (scenario, source) = (stage.scenario.clone(), Source::plant(&stage.scenario));
        let setup = BoilerSetup { id: id.clone(), device, scenario, source, ring: plan.ring, boots: 3 };
        let to_hour = i64::try_from(plan.to_hour).expect("less than an hour");
        Self {
            bug,
            boiler: Boiler::new(setup, 0),
            boiler_at: START,
            truth: Truth::default(),
            line: Line::default(),
            agent: AgentShell::default(),
            author,
            aggregator: AggregatorShell::default(),
            broker: Broker::default(),
            disk: Disk::default(),
            spilled: BTreeSet::new(),
            // The parts start one after the other, as on a booting machine.
            recoveries: Recoveries {
                agent: Some(START + random.below(3 * SECOND)),
                aggregator: Some(START + random.below(3 * SECOND)),
                cable: Some(START + random.below(SECOND)),
                server: Some(START + random.below(3 * SECOND)),
                gateway: None,
                port: None,
            },
            fault_at: START + 5 * SECOND + random.below(plan.every),
            steps: 0,
            utc_begin_ns: HOUR_UTC_NS - to_hour,
            offsets: vec![(0, 0)],
            counts: [0; Kind::ALL.len()],
            history: VecDeque::new(),
            failure: None,
            calm: false,
            now: START,
            id,
            random,
            plan,
            stage,
        }
    }

    /// Runs for the length of the plan; `watch` is called after every step.
    pub(crate) fn play(&mut self, mut watch: impl FnMut(&Self)) {
        let calm_at = START + self.plan.length;
        while self.now < calm_at && self.failure.is_none() {
            self.step(calm_at);
            watch(self);
        }
    }

    /// Runs the calm phase until everything is delivered, then checks the invariants.
    pub(crate) fn end(&mut self) {
        self.calm_down();
        let end = self.now + CALM_MAX;
        while self.failure.is_none() && !self.is_delivered() {
            if self.now >= end {
                let (tail, device) = (self.stream_end(), self.boiler.device().map(|device| device.next()));
                self.fail(format!("L1 not delivered within {} s: {tail:?} of {device:?}", CALM_MAX / SECOND));
            }
            self.step(end);
        }
        if self.failure.is_none() {
            self.judge();
        }
    }

    pub(crate) fn outcome(self, seed: u64) -> Outcome {
        Outcome {
            seed,
            simulated_ns: self.now - START,
            samples: self.truth.samples(),
            faults: self.counts,
            failure: self.failure,
            history: self.history.into(),
        }
    }

    fn calm_down(&mut self) {
        self.note("calm");
        self.calm = true;
        self.fault_at = u64::MAX;
        let soon = self.now + SECOND;
        let Recoveries { agent, aggregator, cable, server, gateway, port } = &mut self.recoveries;
        for back in [agent, aggregator, cable, server, gateway, port] {
            *back = back.map(|at| at.min(soon));
        }
        if self.broker.frozen {
            self.disconnect(soon);
        }
    }

    fn is_delivered(&self) -> bool {
        let (Some(end), Some(device)) = (self.stream_end(), self.boiler.device()) else { return false };
        let last = self.broker.samples.tail().map_or(0, |stored| stored.sequence);
        end.boot == device.boot() && end.seq + 300 > device.next() && self.aggregator.is_done(last)
    }

    pub(crate) fn stream_end(&self) -> Option<Slot> {
        self.broker.samples.tail().and_then(|stored| decode(&stored.payload).ok()).map(|packed| packed.end())
    }

    // Time.

    /// True UTC at `at`.
    pub(crate) fn utc_at(&self, at: u64) -> i64 {
        self.utc_begin_ns + i64::try_from(at - START).unwrap_or(i64::MAX)
    }

    /// Readings of the gateway's clocks.
    pub(crate) fn clocks(&self) -> Now {
        let offset = self.offsets.last().map_or(0, |(_, offset)| *offset);
        let leak = if self.bug == Some(Bug::StepLeaks) { offset } else { 0 };
        let monotonic = i64::try_from(self.now).unwrap_or(i64::MAX).saturating_add(leak).max(0);
        Now {
            monotonic: Monotonic(u64::try_from(monotonic).unwrap_or(0)),
            utc: Utc(self.utc_at(self.now) + offset),
            clock: ClockQuality::Synced,
        }
    }

    /// Jumps to the next event and executes it.
    fn step(&mut self, limit: u64) {
        self.steps += 1;
        let allowed = (self.now - START + 10 * SECOND) / SECOND * STEPS_PER_SECOND_MAX;
        self.check(self.steps < allowed, || "L1 endless loop: an event stays due and time does not advance".to_owned());
        let Recoveries { agent, aggregator, cable, server, gateway, port } = self.recoveries;
        let awake = gateway.is_none();
        let events = [
            Some(limit),
            Some(self.boiler_at),
            Some(self.fault_at),
            self.agent_wakes().filter(|_| awake),
            self.line.next(self.agent_reads_at()).filter(|_| awake),
            self.agent.next().filter(|_| awake),
            self.aggregator.next().filter(|_| awake && self.broker.up),
            agent,
            aggregator,
            cable,
            server,
            gateway,
            port,
        ];
        self.now = events.into_iter().flatten().min().unwrap_or(limit).max(self.now);
        self.run_boiler();
        if self.fault_at <= self.now {
            self.break_something();
        }
        self.come_back();
        if self.recoveries.gateway.is_none() {
            self.deliver_line();
            self.serve_agent();
            self.serve_aggregator();
            self.wake_agent();
        }
    }

    fn run_boiler(&mut self) {
        if self.boiler_at > self.now {
            return;
        }
        self.boiler_at = self.now + self.stage.tick;
        let (begin, at) = (self.utc_begin_ns, self.now - START);
        if self.strikes(Kind::Missed, 1) {
            self.boiler.silence(at, at + self.random.below(300 * MS));
        }
        self.boiler.advance(at, |t_ns| begin + i64::try_from(t_ns).unwrap_or(i64::MAX));
        let mut out = [0; 512];
        loop {
            let len = self.boiler.transmit(at, &mut out);
            if len == 0 {
                break;
            }
            self.send_to_gateway(out[..len].to_vec());
        }
        for entry in self.boiler.take_journal() {
            self.truth.enter(entry);
        }
        self.watch_lease();
    }

    // The report.

    pub(crate) fn note(&mut self, what: &str) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let at = self.now - START;
        self.history.push_back(format!("{:>4}.{:03} {what}", at / SECOND, at % SECOND / MS));
    }

    pub(crate) fn fail(&mut self, what: String) {
        if self.failure.is_none() {
            self.note(&what);
            self.failure = Some(what);
        }
    }

    /// Fails the world unless `holds`.
    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(what());
        }
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        self.counts[kind.index()] += 1;
    }

    /// Draws whether a random fault happens now.
    pub(crate) fn strikes(&mut self, kind: Kind, per_thousand: u64) -> bool {
        let strikes = !self.calm && self.plan.has(kind) && self.random.chance(per_thousand);
        if strikes {
            self.count(kind);
        }
        strikes
    }
}
