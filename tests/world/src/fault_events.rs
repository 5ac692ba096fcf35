//! Faults on EVENT: a minimal reporter that publishes them, and the consistency rules of their history.
//!
//! An event waits in the agent's process until the server has stored it, and is lost if the process dies: the next
//! agent reads EVENT and publishes what is missing. So each fault begins once on EVENT and ends after that, whatever
//! crashes.

use thermowell_flow::published::{EventBody, FaultReport};
use thermowell_wire::line::Fault;

use crate::plan::SECOND;
use crate::world::{Outcome, World};

/// The sensor fails twice: for two minutes with restarts of agent and server, and for a moment.
const SCENARIO: &str = r#"
seed = 73
[[sensor.open]]
at = "1 min"
for = "2 min"
[[sensor.open]]
at = "5 min"
for = "10 s"
"#;

/// Whether this is an event about a fault.
#[must_use]
pub fn is_fault_event(event: &EventBody) -> bool {
    matches!(event, EventBody::FaultBegan(_) | EventBody::FaultLockedOut(_) | EventBody::FaultEnded(_))
}

/// The fault that is active after these events, and all faults that began.
///
/// # Errors
/// If the history is inconsistent: a fault begins twice, ends before it began, or two are active at once.
pub fn history<'a>(events: impl IntoIterator<Item = &'a EventBody>) -> Result<(Option<Fault>, Vec<Fault>), String> {
    let (mut active, mut begun): (Option<Fault>, Vec<Fault>) = (None, Vec::new());
    let is = |fault: Option<Fault>, report: &FaultReport| {
        fault.is_some_and(|it| (it.boot, it.counter) == (report.fault.boot, report.fault.counter))
    };
    for event in events {
        if let EventBody::FaultBegan(report) = event
            && active.is_none()
            && !begun.iter().any(|old| is(Some(*old), report))
        {
            active = Some(report.as_fault());
            begun.extend(active);
        } else if let EventBody::FaultLockedOut(report) = event
            && is(active, report)
            && active.is_some_and(|it| !it.lockout)
        {
            active = Some(report.as_fault());
        } else if let EventBody::FaultEnded(report) = event
            && is(active, report)
        {
            active = None;
        } else {
            return Err(format!("{event:?} while {active:?} is active, after {begun:?}"));
        }
    }
    Ok((active, begun))
}

/// Plays two sensor faults through outages; returns EVENT's history of faults and the world's result.
///
/// ```text
///  sensor    ━━━━━━━┓        faulty         ┏━━━━━━━━━━━━━━━━━┓ faulty ┏━━━━
///  agent     ━━━━━━━━━━━━┓ ┏━━━━━━━━━━━━━━━━━━━━━━┓ ┏━━━━━━━━━━━━━━━━━━━━━━━
///  server    ━━━━━━━━━━━━━━━━━━━━━━━━┓             ┏━━━━━━━━┓          ┏━━━━
///                        1           └─ the end is lost ─┘ 2   └─ both ───┘ 3
/// ```
/// At 1 an agent finds in EVENT that the fault was reported; at 2 another one reports the end, which its predecessor
/// had not published when it died; at 3 a running agent publishes the events that it had queued.
///
/// # Panics
/// If the scenario cannot be parsed.
#[must_use]
pub fn report_through_outages() -> (Vec<EventBody>, Outcome) {
    let mut world = World::quiet(SCENARIO);
    world.play_for(90 * SECOND);
    world.crash_agent(world.now + SECOND);
    world.play_for(80 * SECOND);
    world.disconnect(world.now + 30 * SECOND);
    world.play_for(15 * SECOND);
    world.crash_agent(world.now + SECOND);
    world.play_for(105 * SECOND);
    world.disconnect(world.now + 60 * SECOND);
    world.play_for(60 * SECOND);
    world.end();
    (std::mem::take(&mut world.broker.faults), world.outcome(73))
}

impl World {
    /// Queues an event about a fault in the agent's reporter.
    pub(crate) fn report_fault(&mut self, event: EventBody) {
        self.agent.unreported.push(event);
        self.flush_faults();
    }

    /// Publishes the queued events if the server accepts them.
    pub(crate) fn flush_faults(&mut self) {
        if self.broker.up && !self.broker.frozen {
            self.broker.faults.append(&mut self.agent.unreported);
        }
    }
}
