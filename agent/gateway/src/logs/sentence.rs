//! Log sentences for decisions and events: lower case, in the terms of the README and of the published JSON.

use thermowell_flow::plausible::Quantity;
use thermowell_flow::published::{Action, Decision, Deficit, EventBody, FaultReport, Outcome};
use thermowell_flow::time::hour_text;
use thermowell_flow::{aggregator, controller};
use thermowell_wire::line::{Demand, Fault, Refusal};
use thermowell_wire::{Occurrence, SourceName};

use crate::output::word;

pub(super) fn aggregator(log: &aggregator::Log) -> String {
    use aggregator::Log;
    match log {
        Log::Malformed { sequence, cause } => format!("ignoring message {sequence} of SAMPLES: {cause}"),
        Log::Seen { sequence, slots } => {
            format!("message {sequence} of SAMPLES has {slots} duplicate slots")
        }
        Log::Discarded { first, slots } => format!("{slots} slots from {first} on left SAMPLES before they were read"),
        Log::Unexplained { first, slots } => {
            format!("{slots} slots from {first} on are missing without a reason: a bug in this program")
        }
        Log::SteppedBack { first, slots } => {
            format!("stamps went back at {first}: {slots} slots are not in the average")
        }
        Log::SnapshotDiffers { hour } => {
            format!("the stored snapshot of {} differs from its recomputation and is kept", hour_text(*hour))
        }
        Log::AnotherIsAhead { hour } => {
            format!("another aggregator has stored a later snapshot than that of {}", hour_text(*hour))
        }
        Log::BacklogFull { hour } => {
            format!("too many closed hours wait for the server: no snapshot of {}", hour_text(*hour))
        }
    }
}

pub(super) fn controller(log: &controller::Log) -> String {
    use controller::Log;
    match log {
        Log::Rule { rule } => format!("rule in force: {rule}"),
        Log::RoomMissing => "the room temperature is missing or old: control continues without it".to_owned(),
        Log::RoomFrozen => {
            "the room temperature has not changed in 12 h of heating: control continues without it".to_owned()
        }
        Log::RoomBack => "the room temperature is available again".to_owned(),
        Log::OutdoorMissing { mean } => {
            format!("the outdoor temperature is old: using the mean of the last 24 h, {mean:.1} °C")
        }
        Log::AmbientUnusable { what, source, why } => {
            format!("the {} temperature of source {source} is not used: {why}", what.token())
        }
        Log::AmbientImplausible { source, it } => format!("{} dropped: {it}", sensor(it.quantity, Some(source))),
        Log::AmbientSound { source, quantity } => format!("{} is plausible again", sensor(*quantity, Some(source))),
        Log::Lockout { fault: Some(Fault { boot, counter, kind, .. }) } => {
            let occurrence = Occurrence { boot: *boot, counter: *counter };
            format!("the boiler is locked out: {kind}, fault {occurrence}")
        }
        Log::Lockout { fault: None } => "the boiler is locked out".to_owned(),
        Log::Refused => "the boiler refuses or ignores the set-points".to_owned(),
        Log::Cycling => "the burner starts more than three times an hour".to_owned(),
        Log::DeliversLess(deficit) => format!("the boiler {}", delivers_less(deficit)),
        Log::DeliversAgain(deficit) => delivers_again(deficit),
        Log::Ordered { id } => format!("command {id} takes effect"),
        Log::Unfit { id, why } => format!("command {id} has no effect: {why}"),
        Log::OrderEnded { id } => format!("command {id} has ended"),
    }
}

/// Also for the dashboard and the doctor.
pub(crate) fn delivers_less(deficit: &Deficit) -> String {
    let Deficit { kelvin, share, hours } = deficit;
    let share = share * 100.0;
    format!("delivers {kelvin:.1} K less than asked for {hours:.1} h, heating for {share:.0} % of the last hour")
}

fn delivers_again(deficit: &Deficit) -> String {
    format!("the boiler no longer delivers less than asked, after {:.1} h", deficit.hours)
}

pub(super) fn event(body: &EventBody) -> String {
    match body {
        EventBody::BootSeen { boot, serial_number, firmware } => {
            format!("new boot {boot} of board {serial_number}, firmware {firmware}")
        }
        EventBody::GapNamed { boot, from, to, reason } => {
            format!("gap of {} slots, {boot}/{from} to {to}: {reason}", to.saturating_sub(*from))
        }
        EventBody::DeviceRefused { serial_number, reason } => format!("board {serial_number} refused: {reason}"),
        EventBody::StreamWentBack { expected, found } => {
            format!("SAMPLES lost messages (sequence {expected} → {found})")
        }
        EventBody::Conflict { found } => format!("the last message in SAMPLES is not from this agent: {found}"),
        EventBody::SpillFilePutAside { file, reason } => format!("spill file put aside as {file}: {reason}"),
        EventBody::ClockJumped { by_ns } => format!("stamps jumped by {} ms", by_ns / 1_000_000),
        EventBody::ClockRate { ppm, followed: true } => format!("the device's clock is {ppm} ppm fast: followed"),
        EventBody::ClockRate { ppm, followed: false } => format!("the device's clock is {ppm} ppm fast: not followed"),
        EventBody::Answered { n, outcome } => format!("set-point request {n} {}", answer(outcome)),
        EventBody::SnapshotDiffers { recomputed } => {
            format!("the stored snapshot of {} differs from its recomputation", recomputed.hour)
        }
        EventBody::Decided(decision) => decided(decision),
        EventBody::Retired { last, gateway } => format!("retired on {gateway}, last message {last}"),
        EventBody::BoardAccepted { serial_number, instead_of, last, gateway } => {
            format!("board {serial_number} accepted on {gateway} instead of {instead_of:08x}, last message {last}")
        }
        EventBody::CommandAccepted { id, by, action, sequence, .. } => {
            format!("command {id} of {by} accepted as message {sequence}: {}", asked(action))
        }
        EventBody::CommandRefused { id, by, action, reason } => {
            format!("command {id} of {by} refused, {}: {reason}", asked(action))
        }
        EventBody::ResetApproved { fault, by, .. } => format!("reset of fault {fault} approved by {by}"),
        EventBody::ResetRefused { fault, by, reason } => {
            format!("approval by {by} of the reset of fault {fault} refused: {reason}")
        }
        EventBody::ResetOrdered { fault, approvals, .. } => {
            format!("reset of fault {fault} ordered, approvals: {}", approvals.len())
        }
        // The device answers a reset without a set-point.
        EventBody::ResetAnswered { fault, outcome: Outcome::Accepted { .. }, .. } => {
            format!("reset of fault {fault} accepted")
        }
        EventBody::ResetAnswered { fault, outcome, .. } => format!("reset of fault {fault} {}", answer(outcome)),
        EventBody::ResetDropped { fault, reason } => format!("reset of fault {fault} dropped: {reason}"),
        EventBody::BurnerCycles { starts } => format!("the burner started {starts} times within an hour"),
        EventBody::DeliversLess(deficit) => delivers_less(deficit),
        EventBody::DeliversAgain(deficit) => delivers_again(deficit),
        EventBody::FaultBegan(report) => fault("began", report),
        EventBody::FaultLockedOut(report) => fault("became a lockout", report),
        EventBody::FaultEnded(report) => fault("ended", report),
        EventBody::SensorImplausible { quantity, reason, source, .. } => {
            format!("{} dropped: {reason}", sensor(*quantity, source.as_ref()))
        }
        EventBody::SensorSound { quantity, source } => {
            format!("{} is plausible again", sensor(*quantity, source.as_ref()))
        }
    }
}

/// A device's sensor, or a source outside of it.
fn sensor(quantity: Quantity, source: Option<&SourceName>) -> String {
    match source {
        Some(source) => format!("{quantity} temperature of source {source}"),
        None => format!("{quantity} sensor"),
    }
}

fn decided(decision: &Decision) -> String {
    let rule = &decision.rule;
    match (decision.demand, decision.flow) {
        (Some(Demand::Heat), Some(flow)) => format!("decided by rule {rule}: heat with {flow:.1} °C"),
        (Some(Demand::Heat), None) => format!("decided by rule {rule}: heat"),
        (Some(Demand::None), _) => format!("decided by rule {rule}: no heat"),
        (None, _) => format!("decided by rule {rule}: no set-point"),
    }
}

fn fault(what: &str, report: &FaultReport) -> String {
    format!("fault {} {what} at slot {}: {}", report.fault, report.slot, report.kind)
}

fn asked(action: &Action) -> String {
    match action.temperature() {
        Some(celsius) => format!("{} at {celsius:.1} °C", action.word()),
        None => action.word().to_owned(),
    }
}

fn answer(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { flow, lease_s } => format!("accepted: {flow:.1} °C for {lease_s} s"),
        Outcome::Refused(Refusal::Boot) => "refused: issued for another boot".to_owned(),
        Outcome::Refused(refusal) => format!("refused: {}", word(refusal)),
    }
}
