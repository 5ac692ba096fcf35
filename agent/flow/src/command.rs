//! The rules for an operator's command, checked against the newest state.
//!
//! ```text
//! who and where      a configured boiler, a configured operator
//! what               temperature and duration within the limits of the action
//! whether now        control is on; state and status are fresh, agree, and are of one kind (simulated or not);
//!                    no lockout; an average with enough coverage of the last hour
//! state              no other command is active; a boost exceeds the hour's mean and the current flow; there is
//!                    something to hold
//! ```
//!
//! A release is never refused by the last three. Check-then-act is a race, and this room only checks: the caller
//! publishes the command on the condition that nothing was published since [`Known::last`] was read, and decides again
//! if that fails. The data of the check are stored in the command, for the controller.

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

/// The shortest command: a shorter one has no effect on the rooms.
const SHORTEST: Duration = Duration::from_secs(60);

/// A requested command.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The command's id, never reused.
    pub id: CommandId,
    pub boiler: BoilerId,
    pub by: OperatorName,
    pub action: Action,
    /// Duration; ignored for a release.
    pub length: Duration,
    /// Its end, where that was asked for: the duration is what is left.
    pub until: Option<Utc>,
}

/// The configured limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Control is enabled: otherwise commands have no effect.
    pub control: bool,
    /// Flow temperatures, °C.
    pub flow: RangeInclusive<f64>,
    /// Room temperatures of a set-back, °C: at most the highest target.
    pub room: RangeInclusive<f64>,
    /// The required coverage of the last hour, 0 to 1.
    pub coverage: f64,
    /// The age limits of state and status.
    pub freshness: FreshnessLimits,
}

/// The newest messages of the boiler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The last state and its sequence in STATE.
    pub state: Option<(u64, &'a State)>,
    /// The last status and its sequence in STATUS.
    pub status: Option<(u64, &'a Status)>,
    /// The boiler's last command and its sequence in COMMAND.
    pub last: Option<(u64, &'a Command)>,
}

/// Why a command is refused, and what is allowed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("there is no boiler {boiler} here; boilers are {known}")]
    UnknownBoiler {
        boiler: BoilerId,
        /// The configured boilers.
        known: String,
    },
    #[error("{by} is not an operator; {known}")]
    UnknownOperator {
        by: OperatorName,
        /// The configured operators.
        known: String,
    },
    /// The id is that of another command.
    #[error("id {id} is that of another command, {other}; every command has an id of its own")]
    IdTaken {
        id: CommandId,
        /// A description of that command.
        other: String,
    },
    #[error("a {word} of {found} °C is not allowed; allowed are {} °C to {} °C", allowed.start(), allowed.end())]
    Temperature { word: &'static str, found: f64, allowed: RangeInclusive<f64> },
    #[error(
        "a {word} of {} is not allowed; allowed are {} to {}",
        show(*found), show(*allowed.start()), show(*allowed.end())
    )]
    Length { word: &'static str, found: Duration, allowed: RangeInclusive<Duration> },
    /// Control is disabled.
    #[error("control is off, a {word} would have no effect; set enabled = true in [control]")]
    ControlOff { word: &'static str },
    /// There is no state or status of the boiler.
    #[error("nothing is known about boiler {boiler}: there is no {what}; {by} must run")]
    Nothing {
        boiler: BoilerId,
        /// The missing message: `status` or `state`.
        what: &'static str,
        /// The role that publishes it.
        by: &'static str,
    },
    /// The state or the status is too old.
    #[error("the {what} is {} old; at most {} are allowed", show(*age), show(*limit))]
    Stale {
        /// What.
        what: &'static str,
        age: Duration,
        /// The highest allowed age.
        limit: Duration,
    },
    /// The link to the device is not up.
    #[error("the link to the boiler is {link}; it must be up")]
    Unreachable {
        /// As in STATUS.
        link: &'static str,
    },
    /// The newest slot has no valid reading.
    #[error("the flow sensor is {quality}; a valid reading is needed")]
    NoReading { quality: &'static str },
    #[error("there is no average of the last hour yet; it takes its first valid reading")]
    NoAverage,
    /// The average covers too little of the hour.
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
    Lockout { by: String },
    /// A boost below the average of the last hour.
    #[error(
        "a boost to {flow} °C has no effect: the last hour's mean is {average} °C; allowed is more, up to {max} °C"
    )]
    NoBoost {
        flow: f64,
        average: f64,
        /// The highest allowed.
        max: f64,
    },
    /// A boost below the current flow temperature.
    #[error("the flow is at {current} °C already, a boost to {flow} °C has no effect; allowed is more, up to {max} °C")]
    Hot {
        flow: f64,
        current: f64,
        /// The highest allowed.
        max: f64,
    },
    /// There is no set-point to hold.
    #[error("the boiler is on its own control, there is no set-point to hold; a boost or a set-back sets one")]
    NothingToHold,
    /// Another command is active.
    #[error("{other} is active for another {}; a release ends it", show(*left))]
    Standing {
        other: String,
        /// The remaining time.
        left: Duration,
    },
}

impl Ask {
    /// Whether `command` is the same request: boiler, operator, action and duration or end agree. The id is ignored.
    #[must_use]
    pub fn is(&self, command: &Command) -> bool {
        let difference = match (self.until, command.valid_until) {
            (Some(until), Some(ends)) => ends - until.unix_seconds(),
            (None, Some(ends)) => ends - command.created_at - self.length.as_secs_f64(),
            (_, None) => self.length.as_secs_f64(),
        };
        let same = (&command.boiler, &command.by, &command.action) == (&self.boiler, &self.by, &self.action);
        same && difference.abs() < 0.01
    }
}

/// Checks that the boiler is configured.
///
/// # Errors
/// If it is not.
pub fn admit_boiler(boiler: &BoilerId, boilers: &[BoilerId]) -> Result<(), Refusal> {
    if boilers.contains(boiler) {
        return Ok(());
    }
    Err(Refusal::UnknownBoiler { boiler: boiler.clone(), known: names(boilers.iter().map(BoilerId::as_str)) })
}

/// Checks that boiler and operator are configured.
///
/// # Errors
/// If one of them is not.
pub fn admit(
    boiler: &BoilerId,
    by: &OperatorName,
    boilers: &[BoilerId],
    operators: &[OperatorName],
) -> Result<(), Refusal> {
    admit_boiler(boiler, boilers)?;
    if !operators.contains(by) {
        let known = match operators {
            [] => "no operator is configured: add an [[operator]]".into(),
            [..] => format!("operators are {}", names(operators.iter().map(OperatorName::as_str))),
        };
        return Err(Refusal::UnknownOperator { by: by.clone(), known });
    }
    Ok(())
}

/// The command for `ask`. A release is never refused.
///
/// # Errors
/// [`Refusal`]: an operating condition.
pub fn decide(now: Utc, ask: &Ask, known: &Known<'_>, limits: &Limits) -> Result<Command, Refusal> {
    let based_on = match ask.action {
        Action::Release => None,
        Action::Boost { .. } | Action::SetBack { .. } | Action::HotWater { .. } | Action::Hold => {
            check_limits(ask, limits)?;
            let based_on = check_quality(now, ask, known, limits)?;
            check_state(now, ask, known, &based_on, limits)?;
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
        valid_until: based_on.map(|_| ask.until.map_or(created_at + ask.length.as_secs_f64(), Utc::unix_seconds)),
        based_on,
        version: 1,
    })
}

/// Checks that temperature and duration are within the limits of the action.
fn check_limits(ask: &Ask, limits: &Limits) -> Result<(), Refusal> {
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

/// Checks that state and status are fresh, consistent and of sufficient quality.
fn check_quality(now: Utc, ask: &Ask, known: &Known<'_>, limits: &Limits) -> Result<BasedOn, Refusal> {
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

/// Refuses a message that was published too long ago.
pub(crate) fn fresh(now: Utc, what: &'static str, at: f64, limits: &FreshnessLimits) -> Result<(), Refusal> {
    // After a step back of the calendar the newest message is in the future: its age is the distance.
    let age = Duration::try_from_secs_f64((now.unix_seconds() - at).abs()).unwrap_or(Duration::MAX);
    match freshness(age, limits) {
        Freshness::Fresh => Ok(()),
        Freshness::Warming | Freshness::NoValidReading | Freshness::Coasting | Freshness::Fault => {
            Err(Refusal::Stale { what, age, limit: limits.fresh })
        }
    }
}

/// The device's status, if the link is up.
pub(crate) fn reachable(status: &Status) -> Result<&DeviceStatus, Refusal> {
    let link = match status.link {
        Link::Down => "down",
        Link::Silent => "silent",
        Link::Refused => "refused",
        Link::Up => "up, but the boiler has not reported its state yet",
    };
    let device = status.device.as_ref().filter(|_| status.link == Link::Up);
    device.ok_or(Refusal::Unreachable { link })
}

/// Checks that the command makes sense in the current state.
fn check_state(now: Utc, ask: &Ask, known: &Known<'_>, on: &BasedOn, limits: &Limits) -> Result<(), Refusal> {
    if let Some((last, left)) = known.last.and_then(|(_, last)| Some((last, left(now, last)?))) {
        return Err(Refusal::Standing { other: describe(last), left });
    }
    let device = known.status.and_then(|(_, status)| status.device.as_ref());
    let max = *limits.flow.end();
    match ask.action {
        Action::Boost { flow } if flow <= on.average => Err(Refusal::NoBoost { flow, average: on.average, max }),
        // During a draw the sensor measures the hot-water circuit, not the heating circuit.
        Action::Boost { flow } if flow <= on.current && !device.is_some_and(|device| device.hot_water) => {
            Err(Refusal::Hot { flow, current: on.current, max })
        }
        Action::Hold if device.is_some_and(|device| device.setpoint.is_none()) => Err(Refusal::NothingToHold),
        Action::Boost { .. } | Action::SetBack { .. } | Action::HotWater { .. } | Action::Hold | Action::Release => {
            Ok(())
        }
    }
}

/// The remaining time of `last`; `None` if it has ended or has no end.
fn left(now: Utc, last: &Command) -> Option<Duration> {
    let left = last.valid_until? - now.unix_seconds();
    Duration::try_from_secs_f64(left).ok().filter(|left| !left.is_zero())
}

/// A command as text.
#[must_use]
pub fn describe(command: &Command) -> String {
    let degrees = command.action.temperature().map(|celsius| format!(" of {celsius} °C"));
    format!("{}'s {}{} ({})", command.by, command.action.word(), degrees.unwrap_or_default(), command.id)
}

/// A duration in a readable unit, rounded up, so that it is not shorter than the real one.
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
    // Tenths of a percent, rounded down: 9.99 % must not read as the required 10 %.
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
