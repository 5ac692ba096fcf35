//! The system of a row: its start, the faults, and the audit at its end.
//!
//! What was sent and what must be lost is taken from the simulator's account before SAMPLES is read. During a
//! row only the ends of SAMPLES and STATE are read, to measure the recovery.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use firmware_sim::account::{Account, Event};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustix::process::Signal;
use serde_json::Value;
use thermowell_flow::published::State;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{Boot, batch};

use super::report::{Lost, Measured, Predicted};
use crate::clock::Stopwatch;
use crate::demo::ledger::BoilerReport;
use crate::demo::setup::prepare;
use crate::house::{Builder, House, SOON};
use crate::process::{Programs, describe};

/// The longest recovery that is waited for, whatever the row predicts.
const PATIENCE: Duration = Duration::from_secs(120);

/// Interval between two polls of a process that ends.
const LOOK: Duration = Duration::from_millis(20);

/// The parameters of a row.
pub(super) struct Setting {
    pub(super) folder: PathBuf,
    /// The multi-call binary.
    pub(super) program: PathBuf,
    /// Seed of the row's random choices.
    pub(super) seed: u64,
    /// It is the short run.
    pub(super) quick: bool,
}

impl Setting {
    /// How often something is done, if it is done `full` times in a full run.
    pub(super) fn times(&self, full: u32) -> u32 {
        if self.quick { full.min(2) } else { full }
    }
}

/// Why a row cannot run here.
#[derive(Debug)]
pub(super) struct Skipped(pub(super) String);

/// A system under fault.
pub(super) struct Stage {
    pub(super) house: House,
    /// Whether [`Stage::recover`] also waits for STATE, or only for SAMPLES.
    pub(super) averaged: bool,
    program: PathBuf,
    chance: ChaCha8Rng,
    injected: u64,
    /// The oldest slots of the rings before an agent asked, see [`Stage::about_to_ask`].
    begun: Vec<(Boot, u64)>,
    recovery: Option<Duration>,
    findings: Vec<String>,
}

impl Stage {
    /// Starts everything with the demo's arguments, and waits for the first samples.
    pub(super) fn start(setting: &Setting, arguments: &[&str]) -> Self {
        Self::furnished(setting, arguments, |_| ())
    }

    /// The same, in a folder that `furnish` prepares.
    pub(super) fn furnished(setting: &Setting, arguments: &[&str], furnish: impl FnOnce(&Path)) -> Self {
        // Small batches: more publishes that a fault can interrupt, and less to wait for.
        let small = if arguments.contains(&"--batch") { &[][..] } else { &["--batch", "10"] };
        let words: Vec<&str> = small.iter().chain(arguments).copied().collect();
        let folder = setting.folder.join("house");
        prepare(&folder).expect("the folder is writable");
        furnish(&folder);
        let built = Builder::new(Programs::at(&setting.program), &words).folder(&folder).start();
        let mut house = built.unwrap_or_else(|error| panic!("{}", thermowell::logs::chain(error.as_ref())));
        house.catch_up(SOON);
        let chance = ChaCha8Rng::seed_from_u64(setting.seed);
        let program = setting.program.clone();
        Self {
            house,
            averaged: true,
            program,
            chance,
            injected: 0,
            begun: Vec::new(),
            recovery: None,
            findings: Vec::new(),
        }
    }

    /// Counts injected faults.
    pub(super) fn injected(&mut self, times: u64) {
        self.injected += times;
    }

    /// An agent is about to start and ask the devices: what their rings have overwritten by now is certainly lost.
    pub(super) fn about_to_ask(&mut self) {
        for boiler in self.house.boilers() {
            let place = self.house.place(&boiler).expect("the boiler runs");
            self.begun.push((place.boot, place.oldest));
        }
    }

    /// Records a deviation.
    pub(super) fn finding(&mut self, what: impl Into<String>) {
        self.findings.push(what.into());
    }

    /// Lets the run continue for a random time, in milliseconds.
    pub(super) fn go_on_for_some(&mut self, range_ms: RangeInclusive<u64>) {
        let length = self.chance.random_range(range_ms);
        self.house.go_on(Duration::from_millis(length));
    }

    /// Shuffles things.
    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        things.shuffle(&mut self.chance);
    }

    /// Ends the agent with this signal, to which it must react in order. It stays down.
    pub(super) fn end_agent(&mut self, signal: Signal) {
        let (agent, watch) = (self.house.role("agent"), Stopwatch::start());
        agent.signal(signal).expect("the signal is delivered");
        let status = loop {
            match agent.ended().expect("waitpid succeeds") {
                Some(status) => break status,
                None => assert!(watch.left_of(SOON).is_some(), "the agent does not end"),
            }
            std::thread::sleep(LOOK);
        };
        agent.keep_down().expect("the signal is delivered");
        if !status.success() {
            self.finding(format!("the agent ended with {}", describe(status)));
        }
    }

    /// Runs `thermowell check`. Records a finding unless check `id` has this status and these words.
    pub(super) fn check(&mut self, id: &str, status: &str, words: &str) {
        let mut command = Command::new(&self.program);
        let output = command.args(["thermowell", "check", "--json", "--config"]).arg(self.house.config()).output();
        let output = output.expect("the multi-call binary starts");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        let found = report["checks"].as_array().and_then(|all| all.iter().find(|check| check["id"] == id));
        if !found.is_some_and(|it| it["status"] == status && it["message"].as_str().is_some_and(|m| m.contains(words)))
        {
            self.finding(format!("check {id}: {found:?}, expected {status} with {words}"));
        }
    }

    /// The slots of each message in SAMPLES, and the bytes of its payload.
    pub(super) fn sizes(house: &House) -> Vec<(u64, usize)> {
        house.wait_for(async {
            let context = jetstream::new(house.connect().await.expect("the server runs"));
            let state = thermowell::nats::stream_state(&context, stream::SAMPLES).await.expect("SAMPLES is there");
            let mut sizes = Vec::new();
            for sequence in 1..=state.last_sequence {
                let message = thermowell::nats::at(&context, stream::SAMPLES, sequence).await;
                let payload = message.expect("SAMPLES is there").expect("nothing goes from it").payload;
                let packed = batch::decode(&payload).expect("SAMPLES holds our layout");
                sizes.push((packed.end().seq - packed.first().seq, payload.len()));
            }
            sizes
        })
    }

    /// Sends a signal to a process of the gateway.
    pub(super) fn signal(&mut self, name: &str, signal: Signal) {
        self.house.role(name).signal(signal).expect("the signal is delivered");
    }

    /// SIGKILL, and waits until the supervisor has started it again.
    pub(super) fn kill(&mut self, name: &str) {
        let killed = self.house.until("the process runs", SOON, |house| house.role(name).pid());
        self.signal(name, Signal::KILL);
        self.house
            .until("the process is started again", SOON, |house| house.role(name).pid().filter(|pid| *pid != killed));
    }

    /// The fault is over: measures the time until SAMPLES holds all that has been sampled by now, and STATE
    /// shows it.
    pub(super) fn recover(&mut self) {
        let watch = Stopwatch::start();
        for boiler in self.house.boilers() {
            let place = self.house.until_stored(&boiler, PATIENCE);
            if !self.averaged {
                continue;
            }
            let what = format!("STATE shows {boiler} up to slot {}", place.next);
            self.house.until(&what, PATIENCE, |house| {
                let state: State = house.last_json(stream::STATE, &subject::state(&boiler))?;
                (state.slot.boot == place.boot && state.slot.seq + 1 >= place.next).then_some(())
            });
        }
        self.recovery = self.recovery.max(Some(watch.elapsed()));
    }

    pub(super) fn store(&self) -> PathBuf {
        self.house.processes.broker.folder().join("store")
    }

    /// The lines with `words` in the log of a process.
    pub(super) fn lines(&mut self, name: &str, words: &str) -> Vec<String> {
        let log = crate::house::log(self.house.role(name).log());
        log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Whether the log of a process contains `words`.
    pub(super) fn logged(&mut self, name: &str, words: &str) -> bool {
        !self.lines(name, words).is_empty()
    }

    /// Waits until the log of a process has more than `before` lines with `words`.
    pub(super) fn until_logged(&mut self, name: &str, words: &str, before: usize) {
        let what = format!("{name} logs: {words}");
        self.house.until(&what, SOON, |house| {
            let log = crate::house::log(house.role(name).log());
            (log.lines().filter(|line| line.contains(words)).count() > before).then_some(())
        });
    }

    /// Ends the run and audits it: what must be lost by the account, and what SAMPLES lacks.
    pub(super) fn close(mut self, predicted: &Predicted) -> Measured {
        self.house.catch_up(PATIENCE);
        let expected = self.expected(predicted.lost);
        let ledger = self.house.books();
        let account = Account::open(&self.house.plan.account()).expect("the simulator has written it");
        let mut measured = Measured {
            injected: self.injected,
            expected: (*expected.start(), *expected.end()),
            recovery_ms: self.recovery.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            findings: self.findings,
            ..Measured::default()
        };
        for report in &ledger.boilers {
            measured.add(report, &account, predicted.hours);
        }
        measured
    }

    /// What the account says must be lost.
    fn expected(&self, lost: Lost) -> RangeInclusive<u64> {
        match lost {
            Lost::Nothing => 0..=0,
            Lost::Unsent { each } => 0..=each * self.injected,
            Lost::Overwritten => {
                let account = Account::open(&self.house.plan.account()).expect("the simulator writes it");
                account.boilers.iter().fold(0..=0, |sum, boiler| {
                    let sure = surely_lost(&boiler.events, &self.begun);
                    let most: u64 =
                        boiler.boots.iter().flat_map(|boot| &boot.ring_gaps).map(|gap| gap.end - gap.start).sum();
                    sum.start() + sure..=sum.end() + most
                })
            }
        }
    }
}

impl Measured {
    /// Adds one boiler's ledger.
    fn add(&mut self, report: &BoilerReport, account: &Account, hours: bool) {
        let book = &report.samples;
        let id = report.boiler.parse().expect("an id");
        let boots = account.boiler(&id).map_or(&[][..], |boiler| &boiler.boots);
        let end_of = |boot| book.ends.get(&boot).copied().unwrap_or(0);
        let mut unsent = 0;
        for (index, boot) in boots.iter().enumerate() {
            // The running boot continues during the audit: its slots count up to the last one in SAMPLES.
            let is_last = index + 1 == boots.len();
            let sent = if is_last { end_of(boot.boot) } else { boot.slots };
            self.sent += sent;
            unsent += sent.saturating_sub(end_of(boot.boot));
        }
        self.lost += book.lost + book.named + unsent;
        self.unnamed += book.lost;
        self.twice += book.twice;
        self.back += book.back;
        if book.wrong > 0 {
            self.findings.push(format!("{id}: {} readings differ from what was sampled", book.wrong));
        }
        if hours {
            self.findings.extend(report.problems.iter().map(|problem| format!("{id}: {problem}")));
        }
    }
}

/// Writes a file atomically.
pub(super) fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

/// How many slots of the device's gaps cannot be in SAMPLES. Two kinds may be there: slots between the two ends of a
/// gap that the agent asked for twice, because the first answer brought them; and what an agent that starts has read
/// from the oldest slot on (`begun`) before it knew where the stream ends.
fn surely_lost(events: &[Event], begun: &[(Boot, u64)]) -> u64 {
    let mut reached: BTreeMap<Boot, u64> = BTreeMap::new();
    let mut lost = 0;
    for event in events {
        let &Event::Ring { boot, from, to, .. } = event else { continue };
        let reached = reached.entry(boot).or_default();
        if from >= *reached {
            let begun = begun.iter().find(|(of, begun)| *of == boot && (from..=to).contains(begun));
            lost += begun.map_or(to, |(_, begun)| *begun) - from;
        }
        *reached = to.max(*reached);
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_asked_for_twice_is_lost_up_to_its_first_end() {
        let (boot, other) = (Boot(1), Boot(2));
        let ring = |boot, from, to| Event::Ring { t_ns: 0, boot, from, to };
        assert_eq!(surely_lost(&[ring(boot, 10, 30), ring(boot, 40, 45), ring(other, 0, 7)], &[]), 32);
        assert_eq!(surely_lost(&[ring(boot, 10, 30), ring(boot, 10, 50), ring(boot, 60, 61)], &[]), 21);
        assert_eq!(surely_lost(&[ring(boot, 10, 30), ring(other, 0, 7)], &[(boot, 25)]), 22);
    }
}
