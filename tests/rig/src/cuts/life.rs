//! One life: an empty disk, boilers that keep running, and a gateway that loses its power again and again.
//!
//! ```text
//! start ─▶ load, outage, … ─▶ copy the disk ─▶ SIGKILL the gateway ─▶ mount the copy ─▶ start ─▶ caught up ─▶ …
//!                                                                                │            all is read
//!                                                                                └▶ cut again, while it starts
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::{Context as _, Result};
use thermowell_wire::subject::stream;
use thermowell_wire::units::HOUR_NS;
use thermowell_wire::{BoilerId, Slot};

use super::Bench;
use super::close::close;
use super::control::{self, Control};
use super::disk::{Disk, Outer};
use super::moment::{Chance, Kind, LifePlan, Moment, RING_S};
use super::report::{Cut, Life as LifeReport};
use crate::clock::Stopwatch;
use crate::demo::audit::{FILED, Look};
use crate::demo::ledger;
use crate::demo::setup::{self, Processes};
use crate::house::{Builder, House};

/// A backlog is read at four times the rate of new samples: a minute's hole takes a quarter of a minute.
const PATIENCE: Duration = Duration::from_secs(90);
/// The server's absence before memory is spilled, in seconds: shorter than the default, so that outages can be short.
const SPILL_AFTER: &str = "2";
/// With so much unsynced, the next load is long enough for a sync: a gateway that loses its power every few seconds
/// for two minutes is beyond what is guaranteed.
const UNSYNCED_MAX: f64 = 40.0;
/// An hour that ends within this time is waited for.
const HOUR_SOON: Duration = Duration::from_secs(8);
/// The same before the last cut of a life: at speed 60 each life closes an hour.
const HOUR_LAST: Duration = Duration::from_secs(60);
/// Slots in a second of the device.
const RATE: f64 = 100.0;

/// A running life. The fields are dropped in this order: processes, writer, disk.
pub(super) struct Life<'a> {
    bench: &'a Bench,
    life: LifePlan,
    house: House,
    control: Option<Control>,
    disk: Disk,
    chance: Chance,
    /// Time since nats-server was started.
    server: Stopwatch,
    /// The end of SAMPLES after the last cut: all slots up to it are on the disk.
    durable: BTreeMap<BoilerId, u64>,
}

/// Runs it from the first start to the ledger.
///
/// # Errors
/// A step fails. A violated invariant is no error, but a finding in the report.
pub(super) fn live(bench: &Bench, outer: &Outer, life: LifePlan, each: &mut dyn FnMut(&Cut)) -> Result<LifeReport> {
    let folder = bench.folder.join(format!("life-{}", life.number));
    setup::prepare(&folder).context("set up")?;
    let disk = Disk::make(outer, &format!("life-{}", life.number), &folder.join("disk"))?;
    for (name, link) in [("store", "nats/store"), ("spool", "spool")] {
        let target = disk.mount().join(name);
        fs::create_dir(&target).with_context(|| format!("make {}", target.display()))?;
        let link = folder.join(link);
        symlink(&target, &link).with_context(|| format!("link {}", link.display()))?;
    }
    disk.sync()?;
    let mut chance = Chance::new(bench.seed, &life);
    let control = Some(Control::start(disk.mount(), chance.coin())?);
    let house = Builder::new(bench.programs.clone(), &arguments(bench, &life));
    let house = house.server(&bench.server).folder(&folder).wait(&bench.wait).noting().start()?;
    let mut alive =
        Life { bench, life, house, control, disk, chance, server: Stopwatch::start(), durable: BTreeMap::new() };
    let cuts = alive.cuts(each)?;
    alive.close(cuts)
}

/// The demo's arguments.
fn arguments(bench: &Bench, life: &LifePlan) -> Vec<String> {
    let (boilers, speed) = (bench.boilers, life.speed);
    let seed = bench.seed + u64::from(life.number);
    let words = format!("--boilers {boilers} --speed {speed} --seed {seed} --spill-after {SPILL_AFTER}");
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    if bench.feed {
        words.push("--feed".to_owned());
    }
    if life.ring_s != RING_S {
        words.extend(["--sim-arg=--ring".to_owned(), format!("--sim-arg={}", life.ring_s * 100)]);
    }
    words
}

impl Life<'_> {
    fn cuts(&mut self, each: &mut dyn FnMut(&Cut)) -> Result<Vec<Cut>> {
        let mut cuts: Vec<Cut> = Vec::new();
        let mut moment = self.chance.first();
        for number in 1..=self.life.cuts {
            let (mut cut, before) = self.cut(number, moment)?;
            moment = self.chance.next();
            if number + 1 < self.life.cuts && moment.kind == Kind::Start {
                self.start_all()?;
            } else {
                let watch = self.start_and_look(&mut cut, before.as_ref())?;
                self.catch_up(&mut cut, watch)?;
                moment = self.instead(moment, number + 1 == self.life.cuts)?;
            }
            cut.findings.extend(self.house.noted());
            each(&cut);
            cuts.push(cut);
        }
        Ok(cuts)
    }

    /// Replaces the drawn moment if it is beyond what is guaranteed, or if an hour ends soon. The last cut of a life is
    /// never during a start: nothing would be read before the end.
    fn instead(&mut self, drawn: Moment, last: bool) -> Result<Moment> {
        let per_second = RATE * f64::from(self.life.speed);
        let mut unsynced = 0.0_f64;
        for (id, next) in self.places()? {
            let durable = self.durable.get(&id).copied().unwrap_or(0);
            unsynced = unsynced.max(seconds(next.saturating_sub(durable), per_second));
        }
        // In a life of outages the spill file holds what the server did not sync.
        if !self.life.outages && unsynced > UNSYNCED_MAX {
            return Ok(self.chance.long_load());
        }
        let patience = if last { HOUR_LAST } else { HOUR_SOON };
        if !self.life.outages && self.to_the_hour() < patience && (last || drawn.kind == Kind::Load) {
            return Ok(self.chance.hour());
        }
        if last && drawn.kind == Kind::Start {
            return Ok(self.chance.long_load());
        }
        Ok(drawn)
    }

    /// Until the hour ends, in real time.
    fn to_the_hour(&self) -> Duration {
        let left = HOUR_NS - self.house.plan.utc_ns().rem_euclid(HOUR_NS);
        Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX)) / self.life.speed
    }

    /// Runs up to the moment, cuts, and kills the processes of the gateway.
    fn cut(&mut self, number: u32, moment: Moment) -> Result<(Cut, Option<Look>)> {
        let (before, server_ran) = self.lead_up(moment)?;
        let places = self.places()?;
        let written = self.control.as_ref().map(Control::written).unwrap_or_default();
        let watch = Stopwatch::start();
        self.disk.cut()?;
        let copied = watch.elapsed();
        let Processes { broker, simulator: _, agent, aggregator, controller, front, .. } = &mut self.house.processes;
        for role in [agent, aggregator, controller, front, broker.process()] {
            role.keep_down()?;
        }
        let files = match self.control.take() {
            Some(control) => Some(control.stop()?),
            None => None,
        };
        self.disk.power_up()?;
        let mut cut = Cut::new(self.life.number, number, moment);
        cut.copied_ms = copied.as_secs_f64() * 1e3;
        cut.places = places;
        cut.server_ran_s = server_ran.as_secs_f64();
        if let Some(files) = files {
            cut.control = control::check(&files, written)?;
            control::remove(&files)?;
        }
        let syncs = self.chance.coin();
        self.control = Some(Control::start(self.disk.mount(), syncs)?);
        Ok((cut, before))
    }

    /// Returns the streams' ends before the cut, if the server can be asked, and how long the server had run by then.
    fn lead_up(&mut self, moment: Moment) -> Result<(Option<Look>, Duration)> {
        match moment.kind {
            Kind::Creation | Kind::Start => {
                self.house.try_go_on(moment.after)?;
                return Ok((None, self.server.elapsed()));
            }
            Kind::Load => self.house.try_go_on(moment.after)?,
            Kind::Hour => self.house.try_go_on(self.to_the_hour() + moment.after)?,
            Kind::Server => {}
            Kind::Outage => {
                let lead = self.chance.before();
                self.house.try_go_on(lead)?;
            }
        }
        let before = (Some(look(&self.house)?), self.server.elapsed());
        match moment.kind {
            Kind::Creation | Kind::Start | Kind::Load | Kind::Hour => {}
            Kind::Server => {
                self.house.processes.broker.kill()?;
                self.house.processes.broker.process().bring_up()?;
                self.house.try_go_on(moment.after)?;
            }
            Kind::Outage => {
                self.house.processes.broker.kill()?;
                self.house.try_go_on(moment.after)?;
            }
        }
        Ok(before)
    }

    /// Everything at once, without a wait.
    fn start_all(&mut self) -> Result<()> {
        self.house.processes.broker.process().bring_up()?;
        self.server = Stopwatch::start();
        self.start_roles()?;
        Ok(())
    }

    fn start_roles(&mut self) -> Result<()> {
        let Processes { broker: _, simulator: _, agent, aggregator, controller, front, .. } = &mut self.house.processes;
        for role in [agent, aggregator, controller, front] {
            role.bring_up()?;
        }
        Ok(())
    }

    /// Starts the server first and compares its streams; or the agent first, which finds its spill file and no server.
    /// Returns the moment of the first start.
    fn start_and_look(&mut self, cut: &mut Cut, before: Option<&Look>) -> Result<Stopwatch> {
        let watch = Stopwatch::start();
        cut.spilled = self.spilled()?;
        if cut.kind == Kind::Outage && self.chance.coin() {
            self.start_roles()?;
            let early = self.chance.before();
            self.house.try_go_on(early)?;
            self.house.processes.broker.restart()?;
            self.server = Stopwatch::start();
        } else {
            self.house.processes.broker.restart()?;
            self.server = Stopwatch::start();
            cut.ready_ms = Some(watch.elapsed().as_secs_f64() * 1e3);
            let after = look(&self.house)?;
            self.durable = after.ends.iter().map(|(id, end)| (id.clone(), end.seq)).collect();
            cut.vanished = FILED.into_iter().filter(|name| !after.streams.contains_key(name)).collect();
            cut.vanished.retain(|name| self.bench.feed || *name != stream::FEED);
            if let Some(before) = before {
                self.compare(cut, before, &after);
            }
            self.start_roles()?;
        }
        Ok(watch)
    }

    /// Records what the streams lost.
    fn compare(&self, cut: &mut Cut, before: &Look, after: &Look) {
        let per_second = RATE * f64::from(self.life.speed);
        for (id, end) in &before.ends {
            let left = after.ends.get(id).map_or(0, |end| end.seq);
            cut.lost_s.push(seconds(end.seq.saturating_sub(left), per_second));
        }
        for name in FILED {
            if let Some(had) = before.streams.get(name) {
                let has = after.streams.get(name).copied().unwrap_or(0);
                cut.messages_lost.insert(name, had.saturating_sub(has));
            }
        }
    }

    /// Bytes of spill files.
    fn spilled(&self) -> Result<u64> {
        let folder = self.house.plan.spool();
        let mut bytes = 0;
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let entry = entry.with_context(|| format!("read {}", folder.display()))?;
            if entry.path().extension().is_some_and(|extension| extension == "spill") {
                bytes += entry.metadata().with_context(|| format!("read {}", folder.display()))?.len();
            }
        }
        Ok(bytes)
    }

    /// Waits until all that was sampled before the cut is in SAMPLES; then reads and checks all of it.
    fn catch_up(&mut self, cut: &mut Cut, watch: Stopwatch) -> Result<()> {
        let wanted = cut.places.clone();
        self.house.try_until("SAMPLES has what was sampled before the cut", PATIENCE, |house| {
            let look = look(house).ok()?;
            let arrived = |(id, next): (&BoilerId, &u64)| look.ends.get(id).is_some_and(|end: &Slot| end.seq >= *next);
            wanted.iter().all(arrived).then_some(())
        })?;
        cut.caught_up_ms = Some(watch.elapsed().as_secs_f64() * 1e3);
        self.house.wait_for(async {
            let client = self.house.connect().await.context("connect")?;
            let books = self.house.books_of(&client);
            for id in self.house.boilers() {
                let mut problems = Vec::new();
                let samples = books.samples(&id, None, self.life.speed, &mut problems).await?;
                if !samples.is_whole() {
                    problems.push(samples.sentence());
                }
                let hours = books.snapshots(&id, &mut problems).await?;
                ledger::series(&hours, &mut problems);
                let missing = hours.iter().filter(|hour| hour.missing.total() != 0);
                let missing = missing.map(|hour| format!("hour {}: missing {}", hour.hour, hour.missing));
                problems.extend(missing);
                cut.findings.extend(problems.into_iter().map(|problem| format!("{id}: {problem}")));
                cut.samples.push(samples);
            }
            anyhow::Ok(())
        })?;
        Ok(())
    }

    /// Stops in flow order, checks the streams, and runs `thermowell verify`.
    fn close(mut self, cuts: Vec<Cut>) -> Result<LifeReport> {
        let closed = close(&mut self.house)?;
        Ok(LifeReport::new(self.life, self.house.plan.elapsed(), cuts, closed))
    }

    /// The next slot of each device; 0 for a device that has not booted.
    fn places(&self) -> Result<BTreeMap<BoilerId, u64>> {
        let next = |id: BoilerId| Ok((id.clone(), self.house.try_place(&id)?.map_or(0, |place| place.next)));
        self.house.boilers().into_iter().map(next).collect()
    }
}

/// Where the streams end.
fn look(house: &House) -> Result<Look> {
    let look = async { house.books_of(&house.connect().await?).look().await };
    house.wait_for(look).context("look at the streams")
}

#[expect(clippy::cast_precision_loss, reason = "2^53 slots are three million years")]
fn seconds(slots: u64, per_second: f64) -> f64 {
    slots as f64 / per_second
}
