//! The parent of the workers: starts them, waits, and makes findings of what they died of.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use thermowell_wire::CRC32C;

use super::judge::Target;
use super::record::{Moment, case_line};
use super::worker::{Limits, Tally};
use super::{HammerError, WORD, file};
use crate::clock::Stopwatch;

/// More findings in one decoder tell nothing new before the first is mended.
const FINDINGS_MAX: usize = 8;
/// How long a finding is made smaller.
const SHRINK: Duration = Duration::from_secs(10);
/// What is said of a worker that was ended.
const ENDLESS: &str = "no answer: it does not come back";
/// Between two looks at a worker.
const LOOK: Duration = Duration::from_millis(10);

/// An input that a decoder does not survive.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// What happened, in the worker's words.
    pub(super) reason: String,
    /// The input, as small as it could be made.
    pub(super) input: Vec<u8>,
    /// Where it lies.
    pub(super) path: PathBuf,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.reason)?;
        writeln!(f, "  {} bytes in {}; as a line of fuzz-corpus:", self.input.len(), self.path.display())?;
        writeln!(f, "  {}", case_line(&self.input))
    }
}

/// Where workers come from.
#[derive(Debug)]
pub(super) struct Parent {
    program: PathBuf,
    folder: TempDir,
    out: PathBuf,
    patience: Duration,
}

/// How a worker ended.
enum End {
    Well(Tally),
    /// With the input of the moment and its number, where there was one.
    Badly {
        reason: String,
        moment: Option<(u64, Vec<u8>)>,
    },
}

impl Parent {
    pub(super) fn new(out: PathBuf, patience: Duration) -> Result<Self, HammerError> {
        let started = |source| HammerError::Worker { operation: "prepare", source };
        let program = std::env::current_exe().map_err(started)?;
        Ok(Self { program, folder: TempDir::new().map_err(started)?, out, patience })
    }

    /// Hammers one decoder. After a finding it goes on with another seed, for the time that is left.
    pub(super) fn hammer(
        &self,
        target: &'static Target,
        seed: u64,
        limits: Limits,
    ) -> Result<(Tally, Vec<Finding>), HammerError> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut reasons: Vec<String> = Vec::new();
        let mut whole = Tally::default();
        let started = Stopwatch::start();
        for round in 0.. {
            let Some(time) = started.left_of(limits.time) else { break };
            let limits = Limits { time, ..limits };
            match self.worker(target, seed.wrapping_add(round << 16), limits)? {
                End::Well(tally) => {
                    whole.add(&tally);
                    break;
                }
                End::Badly { reason, moment } => {
                    let (number, input) = moment.unwrap_or_default();
                    whole.inputs += number;
                    let known = reasons.contains(&key(&reason));
                    reasons.push(key(&reason));
                    if !known {
                        findings.push(self.finding(target, reason, input)?);
                    }
                    // A seed or a case that breaks it does so at once, every time.
                    if reasons.len() >= FINDINGS_MAX {
                        break;
                    }
                }
            }
        }
        Ok((whole, findings))
    }

    fn worker(&self, target: &Target, seed: u64, limits: Limits) -> Result<End, HammerError> {
        let path = self.folder.path().join(format!("{}.moment", target.name));
        let mut command = self.command(target);
        command.arg("--moment").arg(&path).arg("--seed").arg(seed.to_string());
        command.arg("--for").arg(format!("{}ms", limits.time.as_millis()));
        command.arg("--inputs").arg(limits.inputs.to_string());
        self.wait(command, target, Some(&path))
    }

    fn command(&self, target: &Target) -> Command {
        let mut command = Command::new(&self.program);
        command.args([WORD, "--target", target.name]).env("TMPDIR", self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Judges one input in a process of its own; none when it survives.
    fn trial(&self, target: &Target, input: &[u8]) -> Result<Option<String>, HammerError> {
        let path = self.folder.path().join(format!("{}.trial", target.name));
        fs::write(&path, input).map_err(file("write", &path))?;
        let mut command = self.command(target);
        command.arg("--judge").arg(&path);
        match self.wait(command, target, None)? {
            End::Well(_) => Ok(None),
            End::Badly { reason, .. } => Ok(Some(reason)),
        }
    }

    fn wait(&self, mut command: Command, target: &Target, moment: Option<&Path>) -> Result<End, HammerError> {
        let worker = |operation| move |source| HammerError::Worker { operation, source };
        let said = |what: &str| self.folder.path().join(format!("{}.{what}", target.name));
        let (out, err) = (said("out"), said("err"));
        command.stdout(File::create(&out).map_err(file("make", &out))?);
        command.stderr(File::create(&err).map_err(file("make", &err))?);
        let mut child = command.spawn().map_err(worker("start"))?;
        let number = || {
            let moment = moment.and_then(|path| File::open(path).ok()).map(Moment::new);
            moment.and_then(|moment| moment.number().ok()).unwrap_or(0)
        };
        let (mut last, mut since) = (number(), Stopwatch::start());
        let status = loop {
            if let Some(status) = child.try_wait().map_err(worker("wait for"))? {
                break Some(status);
            }
            thread::sleep(LOOK);
            if number() != last {
                (last, since) = (number(), Stopwatch::start());
            } else if since.elapsed() > self.patience {
                child.kill().map_err(worker("end"))?;
                child.wait().map_err(worker("wait for"))?;
                break None;
            }
        };
        if status.is_some_and(|status| status.success()) {
            let line = fs::read_to_string(&out).map_err(file("read", &out))?;
            return Ok(End::Well(serde_json::from_str(&line).unwrap_or_default()));
        }
        let error = fs::read(&err).map_err(file("read", &err))?;
        let moment = moment.map(|path| File::open(path).and_then(|file| Moment::new(file).input()));
        let moment = moment.transpose().map_err(worker("read the input of"))?.flatten();
        Ok(End::Badly { reason: reason(status, &String::from_utf8_lossy(&error)), moment })
    }

    /// Makes the input smaller as long as it does the same, and writes it down.
    fn finding(&self, target: &Target, reason: String, input: Vec<u8>) -> Result<Finding, HammerError> {
        let (mut input, wanted, started) = (input, key(&reason), Stopwatch::start());
        // Each try of one that does not come back costs all our patience.
        let mut piece = if reason == ENDLESS { 0 } else { input.len() / 2 };
        while piece > 0 {
            let mut at = 0;
            while at < input.len() {
                if started.elapsed() > SHRINK {
                    return self.keep(target, reason, input);
                }
                let mut smaller = input.clone();
                smaller.drain(at..(at + piece).min(input.len()));
                match self.trial(target, &smaller)? {
                    Some(same) if key(&same) == wanted => input = smaller,
                    Some(_) | None => at += piece,
                }
            }
            piece /= 2;
        }
        self.keep(target, reason, input)
    }

    fn keep(&self, target: &Target, reason: String, input: Vec<u8>) -> Result<Finding, HammerError> {
        let folder = self.out.join(target.name);
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        let path = folder.join(format!("{:08x}", CRC32C.checksum(&input)));
        fs::write(&path, &input).map_err(file("write", &path))?;
        Ok(Finding { reason, input, path })
    }
}

/// What a worker died of.
fn reason(status: Option<ExitStatus>, said: &str) -> String {
    let Some(status) = status else { return ENDLESS.to_owned() };
    let said = said.trim();
    if said.is_empty() { status.to_string() } else { said.to_owned() }
}

/// What is alike in two reasons: the place of a panic, or the promise that was broken.
fn key(reason: &str) -> String {
    if let Some((_, place)) = reason.split_once("panicked at ") {
        return place.lines().next().unwrap_or("").to_owned();
    }
    let first = reason.lines().next().unwrap_or("");
    first.chars().filter(|c| !c.is_ascii_digit()).collect()
}
