//! The result of a run, as JSON and as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use thermowell_wire::BoilerId;

use super::close::Closed;
use super::control::Verdict;
use super::moment::{Kind, LifePlan, Moment};
use crate::demo::audit::FILED;
use crate::demo::samples::SamplesBook;
use crate::numbers::percentile;
use crate::page::Origin;

/// With so many unsynced records a cut is expected to lose some: the first seconds may be synced by chance.
const ENOUGH: usize = 100;

/// The `sync_interval` of nats-server.
const SYNC_S: f64 = 10.0;
/// Limits of the histogram of losses.
const STEPS_S: [f64; 11] = [0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, f64::INFINITY];

/// One cut.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Cut {
    /// The number of the life, from 1.
    pub(super) life: u32,
    /// The number of the cut in its life, from 1.
    pub(super) number: u32,
    /// What it interrupted.
    pub(super) kind: Kind,
    /// Time from the beginning of what it interrupted.
    pub(super) after_ms: u64,
    /// How long nats-server had run when its streams were last read.
    pub(super) server_ran_s: f64,
    /// Duration of the copy.
    pub(super) copied_ms: f64,
    /// Until nats-server accepted clients again; `None` if it was not waited for.
    pub(super) ready_ms: Option<f64>,
    /// From the first start until SAMPLES had all that was sampled before the cut.
    pub(super) caught_up_ms: Option<f64>,
    /// The records of `control`.
    pub(super) control: Verdict,
    /// Loss of SAMPLES for each boiler, in seconds.
    pub(super) lost_s: Vec<f64>,
    /// Loss of each stream, in messages.
    pub(super) messages_lost: BTreeMap<&'static str, u64>,
    /// Streams that did not exist after the cut: lost, or not yet created.
    pub(super) vanished: Vec<&'static str>,
    /// Bytes of spill files on the disk.
    pub(super) spilled: u64,
    /// SAMPLES of each boiler after catching up.
    pub(super) samples: Vec<SamplesBook>,
    /// Violated invariants.
    pub(super) findings: Vec<String>,
    /// The next slot of each device at the cut.
    #[serde(skip)]
    pub(super) places: BTreeMap<BoilerId, u64>,
}

impl Cut {
    /// A cut without results.
    #[must_use]
    pub(super) fn new(life: u32, number: u32, moment: Moment) -> Self {
        Self {
            life,
            number,
            kind: moment.kind,
            after_ms: u64::try_from(moment.after.as_millis()).unwrap_or(u64::MAX),
            server_ran_s: 0.0,
            copied_ms: 0.0,
            ready_ms: None,
            caught_up_ms: None,
            control: Verdict::default(),
            lost_s: Vec::new(),
            messages_lost: BTreeMap::new(),
            vanished: Vec::new(),
            spilled: 0,
            samples: Vec::new(),
            findings: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// As one line.
    #[must_use]
    pub(super) fn line(&self) -> String {
        let lost = self.lost_s.iter().copied().fold(f64::NAN, f64::max);
        let lost = if lost.is_nan() { "      ".to_owned() } else { format!("{lost:5.2}s") };
        let caught_up =
            self.caught_up_ms.map_or("at once cut again".to_owned(), |ms| format!("caught up in {ms:.0} ms"));
        let problems: String = self.findings.iter().map(|finding| format!("\n  FOUND: {finding}")).collect();
        format!(
            "life {:>2} cut {:>3}  {:>6} ms {:<38} SAMPLES lost {lost}  {caught_up}{problems}",
            self.life,
            self.number,
            self.after_ms,
            self.kind.words()
        )
    }
}

/// One life.
#[derive(Debug, Serialize)]
pub(super) struct Life {
    pub(super) plan: LifePlan,
    /// Its duration on the boilers' clocks.
    pub(super) simulated_s: u64,
    pub(super) cuts: Vec<Cut>,
    /// Readings in SAMPLES at its end, as counted by the ledger.
    pub(super) samples: u64,
    /// Slots that are missing and not named.
    pub(super) lost: u64,
    /// Slots that were stored more than once.
    pub(super) twice: u64,
    /// Readings that differ from what was sampled.
    pub(super) wrong: u64,
    /// Slots named as missing.
    pub(super) named: u64,
    /// Hours closed and checked.
    pub(super) hours: usize,
    /// Problems in the ledger.
    pub(super) problems: Vec<String>,
    /// The sum of `thermowell verify`.
    pub(super) verified: Value,
}

impl Life {
    /// Adds up the results.
    #[must_use]
    pub(super) fn new(plan: LifePlan, simulated: Duration, cuts: Vec<Cut>, closed: Closed) -> Self {
        let Closed { ledger, verified } = closed;
        let sum = |field: fn(&SamplesBook) -> u64| ledger.boilers.iter().map(|boiler| field(&boiler.samples)).sum();
        let boilers = ledger.boilers.iter();
        let problems = boilers.flat_map(|one| one.problems.iter().map(|problem| format!("{}: {problem}", one.boiler)));
        Self {
            plan,
            simulated_s: simulated.as_secs(),
            cuts,
            samples: sum(|book| book.slots),
            lost: sum(|book| book.lost),
            twice: sum(|book| book.twice),
            wrong: sum(|book| book.wrong),
            named: sum(|book| book.named),
            hours: ledger.boilers.iter().map(|boiler| boiler.hours.len()).sum(),
            problems: problems.collect(),
            verified,
        }
    }

    fn is_whole(&self) -> bool {
        let Self { samples, lost, twice, wrong, named, .. } = *self;
        samples > 0
            && [lost, twice, wrong, named] == [0; 4]
            && self.problems.is_empty()
            && self.verified["agrees"] == true
            && self.cuts.iter().all(|cut| cut.findings.is_empty())
    }
}

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) origin: Origin,
    pub(super) nats_server: String,
    /// Boilers of each life.
    pub(super) boilers: u16,
    /// Seed of all random choices.
    pub(super) seed: u64,
    pub(super) lives: Vec<Life>,
    /// Everything is as predicted.
    pub(super) ok: bool,
}

/// Sorted numbers and their percentiles.
struct Spread(Vec<f64>);

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        Self(numbers)
    }

    fn percent(&self, percent: u32) -> f64 {
        percentile(&self.0, f64::from(percent) / 100.0)
    }

    /// Median, 90 % and maximum.
    fn cells(&self, digits: usize) -> String {
        if self.0.is_empty() {
            return "– | – | –".to_owned();
        }
        [50, 90, 100].map(|percent| format!("{:.digits$}", self.percent(percent))).join(" | ")
    }
}

impl Report {
    fn cuts(&self) -> impl Iterator<Item = &Cut> {
        self.lives.iter().flat_map(|life| &life.cuts)
    }

    /// The sum of all records of `control`.
    fn control(&self) -> Verdict {
        let mut sum = Verdict::default();
        self.cuts().for_each(|cut| sum.add(&cut.control));
        sum
    }

    /// Whether each synced record survived, and enough cuts lost unsynced ones.
    fn dropped_unsynced_data(&self) -> bool {
        let enough = || self.cuts().filter(|cut| cut.control.written.unsynced >= ENOUGH);
        let cutting = enough().filter(|cut| cut.control.unsynced_lost() > 0).count();
        self.cuts().all(|cut| cut.control.synced_lost() == 0) && 2 * cutting >= enough().count() && cutting > 0
    }

    /// Whether all is as predicted, which becomes `ok`.
    #[must_use]
    pub(super) fn judge(&self) -> bool {
        self.dropped_unsynced_data() && self.lives.iter().all(Life::is_whole)
    }

    /// What `verify` found, if it does not agree with the hours.
    fn disagreement(&self) -> String {
        let unequal = self.lives.iter().filter(|life| life.verified["agrees"] != true);
        unequal.map(|life| format!(", of which verify says {}", life.verified)).collect()
    }

    /// The verdict in a sentence.
    #[must_use]
    pub(super) fn verdict(&self) -> String {
        let sum = |field: fn(&Life) -> u64| self.lives.iter().map(field).sum::<u64>();
        let findings: usize = self.cuts().map(|cut| cut.findings.len()).sum();
        let problems: usize = self.lives.iter().map(|life| life.problems.len()).sum();
        format!(
            "{}: {} cuts, {} samples of {} lives: {} lost, {} twice, {} wrong, {} named missing; {} hours{}; \
             {findings} findings, {problems} problems in the ledgers; {}",
            if self.ok { "as predicted" } else { "NOT as predicted" },
            self.cuts().count(),
            sum(|life| life.samples),
            self.lives.len(),
            sum(|life| life.lost),
            sum(|life| life.twice),
            sum(|life| life.wrong),
            sum(|life| life.named),
            self.lives.iter().map(|life| life.hours).sum::<usize>(),
            self.disagreement(),
            if self.dropped_unsynced_data() { "the cuts dropped unsynced data" } else { "cuts that dropped NOTHING" },
        )
    }

    /// The results as Markdown.
    #[must_use]
    pub(super) fn markdown(&self) -> String {
        let Self { nats_server, boilers, seed, .. } = self;
        let mut page = format!(
            "nats-server {nats_server} with the documented configuration (`sync_interval` 10 s), {boilers} boilers at \
             100 Hz, seed {seed}.\n\n**{}.**\n",
            self.verdict()
        );
        self.control_section(&mut page);
        self.kinds_section(&mut page);
        self.losses_section(&mut page);
        self.lives_section(&mut page);
        self.findings_section(&mut page);
        page
    }

    fn control_section(&self, page: &mut String) {
        let sum = self.control();
        let enough = || self.cuts().filter(|cut| cut.control.written.unsynced >= ENOUGH);
        let hit = enough().filter(|cut| cut.control.unsynced_lost() > 0).count();
        let (of, copy) = (enough().count(), Spread::of(self.cuts().map(|cut| cut.copied_ms)));
        line(page, "\n## Did each cut drop unsynced data?\n");
        line(page, "| records next to the stores | written | survived | lost | predicted |\n|---|---|---|---|---|");
        let (synced, unsynced) = (sum.synced_lost(), sum.unsynced_lost());
        let (written, survived) = (sum.written, sum.survived);
        line(page, &format!("| synced, one by one | {} | {} | {synced} | 0 |", written.synced, survived.synced));
        line(page, &format!("| not synced | {} | {} | {unsynced} | most |", written.unsynced, survived.unsynced));
        line(page, &format!("\nOf {of} cuts with {ENOUGH} unsynced records or more, {hit} lost some of them."));
        line(page, &format!("A copy took {:.1} ms at most.", copy.percent(100)));
    }

    fn kinds_section(&self, page: &mut String) {
        line(page, "\n## What was interrupted, and what it cost\n");
        line(
            page,
            "SAMPLES' loss is the end that was on the disk against the end that clients saw, per boiler, in seconds;",
        );
        line(
            page,
            "it is known if the server was up before the cut. All of it came again, from device or spill file.\n",
        );
        line(
            page,
            "| cut | times | loss: median s | 90 % | most | caught up: median ms | 90 % | most |\n\
             |---|---|---|---|---|---|---|---|",
        );
        for kind in Kind::ALL {
            let cuts = || self.cuts().filter(|cut| cut.kind == kind);
            let lost = Spread::of(cuts().flat_map(|cut| cut.lost_s.iter().copied())).cells(2);
            let caught_up = Spread::of(cuts().filter_map(|cut| cut.caught_up_ms)).cells(0);
            line(page, &format!("| {} | {} | {lost} | {caught_up} |", kind.words(), cuts().count()));
        }
        let ready = Spread::of(self.cuts().filter_map(|cut| cut.ready_ms));
        let spilled = self.cuts().filter(|cut| cut.spilled > 0).count();
        line(
            page,
            &format!(
                "\nnats-server accepted clients after {:.0} ms (median), {:.0} ms at most.",
                ready.percent(50),
                ready.percent(100)
            ),
        );
        line(page, &format!("A spill file was on the disk after {spilled} of the cuts."));
    }

    fn losses_section(&self, page: &mut String) {
        line(page, "\n## What the streams lost\n");
        line(
            page,
            "If nats-server ran for less than its `sync_interval`, it loses again what was refilled after a cut.\n",
        );
        line(page, "| boilers × cuts by loss of SAMPLES | all | nats-server ran > 10 s |\n|---|---|---|");
        let lost = |ran: f64| {
            let cuts = self.cuts().filter(move |cut| cut.server_ran_s > ran);
            Spread::of(cuts.flat_map(|cut| cut.lost_s.iter().copied()))
        };
        let (all, ran) = (lost(-1.0), lost(SYNC_S));
        for (from, to) in STEPS_S.iter().zip(&STEPS_S[1..]) {
            let count = |spread: &Spread| spread.0.iter().filter(|lost| (*from..*to).contains(*lost)).count();
            let words = if to.is_finite() { format!("{from} to {to} s") } else { format!("{from} s and more") };
            line(page, &format!("| {words} | {} | {} |", count(&all), count(&ran)));
        }
        let median = |spread: &Spread| spread.percent(50);
        let most = |spread: &Spread| spread.percent(100);
        line(page, &format!("| median | {:.2} s | {:.2} s |", median(&all), median(&ran)));
        line(page, &format!("| most | {:.2} s | {:.2} s |", most(&all), most(&ran)));
        line(page, "\n| stream | cuts that took messages | most messages | cuts that left no such stream |");
        line(page, "|---|---|---|---|");
        for name in FILED {
            let lost = || self.cuts().filter_map(|cut| cut.messages_lost.get(name).copied());
            let gone = self.cuts().filter(|cut| cut.vanished.contains(&name)).count();
            if lost().next().is_some() {
                let (hit, most) = (lost().filter(|lost| *lost > 0).count(), lost().max().unwrap_or(0));
                line(page, &format!("| {name} | {hit} | {most} | {gone} |"));
            }
        }
    }

    fn lives_section(&self, page: &mut String) {
        line(page, "\n## The lives\n");
        line(
            page,
            "| life | speed | ring s | cuts | simulated min | samples | lost | twice | wrong | named | hours | equal \
             | moved | different |",
        );
        line(page, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        for life in &self.lives {
            let LifePlan { number, speed, cuts, ring_s, .. } = life.plan;
            let Life { samples, lost, twice, wrong, named, hours, verified, .. } = life;
            let verdict = |word: &str| verified[word].as_u64().unwrap_or(0);
            line(
                page,
                &format!(
                    "| {number} | {speed} | {ring_s} | {cuts} | {} | {samples} | {lost} | {twice} | {wrong} | {named} \
                     | {hours} | {} | {} | {} |",
                    life.simulated_s / 60,
                    verdict("equal"),
                    verdict("moved"),
                    verdict("different"),
                ),
            );
        }
    }

    fn findings_section(&self, page: &mut String) {
        line(page, "\n## Findings\n");
        let ledger = self.lives.iter().flat_map(|life| {
            life.problems.iter().map(|problem| format!("life {}, ledger: {problem}", life.plan.number))
        });
        let found = self.cuts().flat_map(|cut| {
            cut.findings
                .iter()
                .map(|finding| format!("life {} cut {} ({}): {finding}", cut.life, cut.number, cut.kind.words()))
        });
        let all: Vec<String> = found.chain(ledger).collect();
        if all.is_empty() {
            line(page, "None.");
        }
        all.iter().for_each(|finding| line(page, &format!("- {}", finding.replace('\n', "\n  "))));
    }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a text takes everything");
}
