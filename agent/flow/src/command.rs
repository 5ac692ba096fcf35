//! What people may ask for now: the rules for a command, on the freshest state.
//!
//! ```text
//! who and where      a configured boiler, a configured operator
//! what               temperature and length within the limits of its kind
//! whether now        control is on; state and status are fresh, agree, and are of one kind (simulated or not);
//!                    no lockout; an average that enough of the last hour is behind
//! whether it fits    nothing else stands; a boost is hotter than the hour was and than the water is; there is
//!                    something to hold
//! ```
//!
//! A release begins nothing, so none of the last three can refuse it. To check and then to act is a race, and this room
//! only checks: who publishes the command does so under the condition that nothing was published since [`Known::last`]
//! was read, and decides anew where that fails. What was read goes into the command, for whoever acts on it.

use alloc::format;
use alloc::string::String;
use core::ops::RangeInclusive;
use core::time::Duration;

use thermowell_wire::line::BoilerState;
use thermowell_wire::{BoilerId, CommandId, Occurrence, OperatorName};

use crate::published::{
    Action, BasedOn, Command, DeviceStatus, Freshness, FreshnessLimits, Link, SlotQuality, State, Status, freshness,
};
use crate::time::Utc;

#[cfg(test)]
mod tests;

/// Nothing shorter reaches the rooms.
const SHORTEST: Duration = Duration::from_secs(60);

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The command's name for ever.
    pub id: CommandId,
    /// The boiler.
    pub boiler: BoilerId,
    /// Who asks.
    pub by: OperatorName,
    /// For what.
    pub action: Action,
    /// For how long; a release has no length.
    pub length: Duration,
}

/// What is allowed, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// The controller asks boilers for set-points: without it, nobody acts on a command.
    pub control: bool,
    /// Flow temperatures, °C.
    pub flow: RangeInclusive<f64>,
    /// Room temperatures of a set-back, °C: never above what the schedule wants at its warmest.
    pub room: RangeInclusive<f64>,
    /// The part of the last hour that must be known, 0 to 1.
    pub coverage: f64,
    /// When state and status are too old.
    pub freshness: FreshnessLimits,
}

/// What stands in the streams now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The last state and its sequence in STATE.
    pub state: Option<(u64, &'a State)>,
    /// The last status and its sequence in STATUS.
    pub status: Option<(u64, &'a Status)>,
    /// The boiler's last command and its sequence in COMMAND.
    pub last: Option<(u64, &'a Command)>,
}

/// Why not, and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such boiler.
    #[error("there is no boiler {boiler} here; boilers are {known}")]
    UnknownBoiler {
        /// What was asked for.
        boiler: BoilerId,
        /// Those that there are.
        known: String,
    },
    /// No such operator.
    #[error("{by} is no operator here; {known}")]
    UnknownOperator {
        /// Who asked.
        by: OperatorName,
        /// Those who are.
        known: String,
    },
    /// The id is that of another command.
    #[error("id {id} is that of another command, {other}; every command has an id of its own")]
    IdTaken {
        /// The id.
        id: CommandId,
        /// What it stands for.
        other: String,
    },
    /// Too hot or too cold.
    #[error("a {word} of {found} °C is not allowed; allowed are {} °C to {} °C", allowed.start(), allowed.end())]
    Temperature {
        /// The kind of command.
        word: &'static str,
        /// What was asked for.
        found: f64,
        /// What is allowed.
        allowed: RangeInclusive<f64>,
    },
    /// Too short or too long.
    #[error(
        "a {word} of {} is not allowed; allowed are {} to {}",
        show(*found), show(*allowed.start()), show(*allowed.end())
    )]
    Length {
        /// The kind of command.
        word: &'static str,
        /// What was asked for.
        found: Duration,
        /// What is allowed.
        allowed: RangeInclusive<Duration>,
    },
    /// Nobody would act on it.
    #[error("control is off, nobody would act on a {word}; set enabled = true in [control]")]
    ControlOff {
        /// The kind of command.
        word: &'static str,
    },
    /// Nothing is known about the boiler.
    #[error("nothing is known about boiler {boiler}: there is no {what}; {by} must run")]
    Nothing {
        /// The boiler.
        boiler: BoilerId,
        /// What is not there.
        what: &'static str,
        /// Who would publish it.
        by: &'static str,
    },
    /// What is known is old.
    #[error("the {what} is {} old; at most {} are allowed", show(*age), show(*limit))]
    Stale {
        /// What.
        what: &'static str,
        /// How old.
        age: Duration,
        /// The oldest that is fresh.
        limit: Duration,
    },
    /// The device does not speak.
    #[error("the link to the boiler is {link}; it must be up")]
    Unreachable {
        /// As in STATUS.
        link: &'static str,
    },
    /// The newest reading is none.
    #[error("the flow sensor is {quality}; a valid reading is needed")]
    NoReading {
        /// What is wrong with it.
        quality: &'static str,
    },
    /// There is no average.
    #[error("there is no average of the last hour yet; it takes its first valid reading")]
    NoAverage,
    /// The average stands for too little of the hour.
    #[error("only {found} % of the last hour is known; at least {least} % is needed ([command] coverage)")]
    Coverage {
        /// Percent.
        found: f64,
        /// Percent.
        least: f64,
    },
    /// A simulated boiler's samples and a real one's status, or the other way round.
    #[error("state and status are of two kinds of boiler, a simulated one and a real one; both must be of one kind")]
    Mixed,
    /// The boiler is locked out.
    #[error("the boiler is locked out{by}; the lockout must be reset first")]
    Lockout {
        /// By which fault.
        by: String,
    },
    /// It would ask for less than there was.
    #[error("a boost to {flow} °C is none: the last hour's mean is {average} °C; allowed is more, up to {max} °C")]
    NoBoost {
        /// What was asked for.
        flow: f64,
        /// Mean of the last hour.
        average: f64,
        /// The most that is allowed.
        max: f64,
    },
    /// The water is as hot already.
    #[error("the flow is at {current} °C already, a boost to {flow} °C is none; allowed is more, up to {max} °C")]
    Hot {
        /// What was asked for.
        flow: f64,
        /// The newest reading.
        current: f64,
        /// The most that is allowed.
        max: f64,
    },
    /// Nothing is asked for that could be kept.
    #[error("the boiler is on its own control, there is no set-point to hold; a boost or a set-back asks for one")]
    NothingToHold,
    /// Something stands.
    #[error("{other} stands for another {}; a release ends it", show(*left))]
    Standing {
        /// What.
        other: String,
        /// For how long.
        left: Duration,
    },
}

impl Ask {
    /// Whether `command` is what is asked for here: by the same person, the same thing, for as long. The id is not
    /// looked at.
    #[must_use]
    pub fn is(&self, command: &Command) -> bool {
        let length = command.valid_until.map_or(0.0, |until| until - command.created_at);
        let same = (&command.boiler, &command.by, &command.action) == (&self.boiler, &self.by, &self.action);
        same && (length - self.length.as_secs_f64()).abs() < 0.01
    }
}

/// Whether there is such a boiler.
///
/// # Errors
/// It is not configured.
pub fn admit_boiler(boiler: &BoilerId, boilers: &[BoilerId]) -> Result<(), Refusal> {
    if boilers.contains(boiler) {
        return Ok(());
    }
    Err(Refusal::UnknownBoiler { boiler: boiler.clone(), known: names(boilers.iter().map(BoilerId::as_str)) })
}

/// Whether somebody of this name may ask something of this boiler at all.
///
/// # Errors
/// Boiler or operator are not configured.
pub fn admit(
    boiler: &BoilerId,
    by: &OperatorName,
    boilers: &[BoilerId],
    operators: &[OperatorName],
) -> Result<(), Refusal> {
    admit_boiler(boiler, boilers)?;
    if !operators.contains(by) {
        let known = match operators {
            [] => "nobody is: name somebody as [[operator]]".into(),
            [..] => format!("operators are {}", names(operators.iter().map(OperatorName::as_str))),
        };
        return Err(Refusal::UnknownOperator { by: by.clone(), known });
    }
    Ok(())
}

/// The command that stands for `ask`, or why there is none. A release is never refused.
///
/// # Errors
/// See [`Refusal`]: operating conditions.
pub fn decide(now: Utc, ask: &Ask, known: &Known<'_>, limits: &Limits) -> Result<Command, Refusal> {
    let based_on = match ask.action {
        Action::Release => None,
        Action::Boost { .. } | Action::SetBack { .. } | Action::HotWater { .. } | Action::Hold => {
            within(ask, limits)?;
            let based_on = sound(now, ask, known, limits)?;
            fits(now, ask, known, &based_on, limits)?;
            Some(based_on)
        }
    };
    let created_at = now.unix_seconds();
    Ok(Command {
        id: ask.id.clone(),
        boiler: ask.boiler.clone(),
        by: ask.by.clone(),
        action: ask.action,
        created_at,
        valid_until: based_on.map(|_| created_at + ask.length.as_secs_f64()),
        based_on,
        version: 1,
    })
}

/// Temperature and length are within the limits of their kind.
fn within(ask: &Ask, limits: &Limits) -> Result<(), Refusal> {
    let word = ask.action.word();
    let allowed = match ask.action {
        Action::SetBack { .. } => &limits.room,
        Action::Boost { .. } | Action::HotWater { .. } | Action::Hold | Action::Release => &limits.flow,
    };
    if let Some(found) = ask.action.temperature()
        && !allowed.contains(&found)
    {
        return Err(Refusal::Temperature { word, found, allowed: allowed.clone() });
    }
    let allowed = SHORTEST..=ask.action.longest();
    if !allowed.contains(&ask.length) {
        return Err(Refusal::Length { word, found: ask.length, allowed });
    }
    Ok(())
}

/// What is known is fresh, of one kind and good enough to act on.
fn sound(now: Utc, ask: &Ask, known: &Known<'_>, limits: &Limits) -> Result<BasedOn, Refusal> {
    if !limits.control {
        return Err(Refusal::ControlOff { word: ask.action.word() });
    }
    let nothing = |what, by| Refusal::Nothing { boiler: ask.boiler.clone(), what, by };
    let (status_sequence, status) = known.status.ok_or_else(|| nothing("status", "the agent"))?;
    fresh(now, "status", status.created_at, &limits.freshness)?;
    let device = reachable(status)?;
    if device.state == BoilerState::Lockout || device.fault.is_some_and(|fault| fault.lockout) {
        let by = device.fault.map(|fault| format!(" by fault {}", Occurrence::from(fault)));
        return Err(Refusal::Lockout { by: by.unwrap_or_default() });
    }
    let (state_sequence, state) = known.state.ok_or_else(|| nothing("state", "the aggregator"))?;
    fresh(now, "state", state.stamp, &limits.freshness)?;
    if state.simulated != status.simulated {
        return Err(Refusal::Mixed);
    }
    let average = state.average.ok_or(Refusal::NoAverage)?;
    if state.coverage < limits.coverage {
        return Err(Refusal::Coverage { found: percent(state.coverage), least: percent(limits.coverage) });
    }
    let current = state.current.ok_or(Refusal::NoReading { quality: quality_word(state.quality) })?;
    Ok(BasedOn {
        state: state_sequence,
        status: status_sequence,
        command: known.last.map_or(0, |(sequence, _)| sequence),
        slot: state.slot,
        current,
        average,
        coverage: state.coverage,
    })
}

/// Refuses what was published too long ago.
pub(crate) fn fresh(now: Utc, what: &'static str, at: f64, limits: &FreshnessLimits) -> Result<(), Refusal> {
    // A calendar that went back makes the newest look as if it came from the future, which is no age.
    let age = Duration::try_from_secs_f64((now.unix_seconds() - at).abs()).unwrap_or(Duration::MAX);
    match freshness(Some(age), limits) {
        Freshness::Fresh => Ok(()),
        Freshness::Warming | Freshness::Coasting | Freshness::Fault => {
            Err(Refusal::Stale { what, age, limit: limits.fresh })
        }
    }
}

/// What the device says, where the link to it is up.
pub(crate) fn reachable(status: &Status) -> Result<&DeviceStatus, Refusal> {
    let link = match status.link {
        Link::Down => "down",
        Link::Silent => "silent",
        Link::Refused => "refused",
        Link::Up => "up, but the boiler has not said yet what it does",
    };
    let device = status.device.as_ref().filter(|_| status.link == Link::Up);
    device.ok_or(Refusal::Unreachable { link })
}

/// It makes sense on top of what is.
fn fits(now: Utc, ask: &Ask, known: &Known<'_>, on: &BasedOn, limits: &Limits) -> Result<(), Refusal> {
    if let Some((last, left)) = known.last.and_then(|(_, last)| Some((last, left(now, last)?))) {
        return Err(Refusal::Standing { other: describe(last), left });
    }
    let device = known.status.and_then(|(_, status)| status.device.as_ref());
    let max = *limits.flow.end();
    match ask.action {
        Action::Boost { flow } if flow <= on.average => Err(Refusal::NoBoost { flow, average: on.average, max }),
        // During a draw the sensor sees the water for the tap, and says nothing about the rooms.
        Action::Boost { flow } if flow <= on.current && !device.is_some_and(|device| device.hot_water) => {
            Err(Refusal::Hot { flow, current: on.current, max })
        }
        Action::Hold if device.is_some_and(|device| device.setpoint.is_none()) => Err(Refusal::NothingToHold),
        Action::Boost { .. } | Action::SetBack { .. } | Action::HotWater { .. } | Action::Hold | Action::Release => {
            Ok(())
        }
    }
}

/// For how long `last` stands; none where it is over, or began nothing.
fn left(now: Utc, last: &Command) -> Option<Duration> {
    let left = last.valid_until? - now.unix_seconds();
    Duration::try_from_secs_f64(left).ok().filter(|left| !left.is_zero())
}

/// A command in words.
#[must_use]
pub fn describe(command: &Command) -> String {
    let degrees = command.action.temperature().map(|celsius| format!(" of {celsius} °C"));
    format!("{}'s {}{} ({})", command.by, command.action.word(), degrees.unwrap_or_default(), command.id)
}

/// A length in the unit that people would say, rounded up: what is named as the rest must not be over before it is.
pub(crate) fn show(length: Duration) -> String {
    let seconds = length.as_millis().div_ceil(1_000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        7_200..172_800 => format!("{} h", seconds.div_ceil(3_600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

fn percent(part: f64) -> f64 {
    // Tenths of a percent, cut: 9.99 % must not read as the 10 % that are wanted.
    let tenths = (0..=1_000_u16).rev().find(|tenths| f64::from(*tenths) <= part * 1_000.0).unwrap_or(0);
    f64::from(tenths) / 10.0
}

fn quality_word(quality: SlotQuality) -> &'static str {
    match quality {
        SlotQuality::Ok => "ok",
        SlotQuality::Open => "open",
        SlotQuality::Short => "short",
        SlotQuality::OutOfRange => "out of range",
        SlotQuality::Missing => "without a reading",
    }
}

pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<alloc::vec::Vec<_>>().join(", ")
}
