//! What EVENT says of faults: a naive reporter that brings it there, and what must be true of it.
//!
//! An event waits in the agent's process until the server has it, and dies with that process: the next agent reads
//! EVENT and tells what is missing. So each fault begins once there, whatever dies, and ends after that.

use firmware_sim::scenario::Scenario;
use thermowell_flow::published::{EventBody, FaultReport};
use thermowell_wire::BoilerId;
use thermowell_wire::line::Fault;

use crate::agent::SPOOL;
use crate::leases::Author;
use crate::plan::{Plan, SECOND};
use crate::random::Random;
use crate::world::{Outcome, Stage, TICK, World};

/// The sensor breaks twice: for two minutes of agents and servers that go and come back, and for a moment.
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
pub fn is_of_fault(event: &EventBody) -> bool {
    matches!(event, EventBody::FaultBegan(_) | EventBody::FaultLockedOut(_) | EventBody::FaultEnded(_))
}

/// The fault that stands behind these events, and the faults that began.
///
/// # Errors
/// They are no history: something begins twice, ends before it began, or two stand at once.
pub fn history<'a>(events: impl IntoIterator<Item = &'a EventBody>) -> Result<(Option<Fault>, Vec<Fault>), String> {
    let (mut stands, mut begun): (Option<Fault>, Vec<Fault>) = (None, Vec::new());
    let is = |fault: Option<Fault>, report: &FaultReport| {
        fault.is_some_and(|it| (it.boot, it.counter) == (report.fault.boot, report.fault.counter))
    };
    for event in events {
        if let EventBody::FaultBegan(report) = event
            && stands.is_none()
            && !begun.iter().any(|old| is(Some(*old), report))
        {
            stands = Some(report.as_fault());
            begun.extend(stands);
        } else if let EventBody::FaultLockedOut(report) = event
            && is(stands, report)
            && stands.is_some_and(|it| !it.lockout)
        {
            stands = Some(report.as_fault());
        } else if let EventBody::FaultEnded(report) = event
            && is(stands, report)
        {
            stands = None;
        } else {
            return Err(format!("{event:?} while {stands:?} stands, behind {begun:?}"));
        }
    }
    Ok((stands, begun))
}

/// What EVENT says of a sensor that breaks twice, and the world.
///
/// ```text
///  sensor    ━━━━━━━┓        broken         ┏━━━━━━━━━━━━━━━━━┓ broken ┏━━━━
///  agent     ━━━━━━━━━━━━┓ ┏━━━━━━━━━━━━━━━━━━━━━━┓ ┏━━━━━━━━━━━━━━━━━━━━━━━
///  server    ━━━━━━━━━━━━━━━━━━━━━━━━┓             ┏━━━━━━━━┓          ┏━━━━
///                        1           └─ the end dies ─┘ 2   └─ both ───┘ 3
/// ```
/// At 1 an agent finds in EVENT that the fault was told; at 2 another one tells the end that its predecessor took with
/// it; at 3 the one that has been there all the while hands over what it held.
///
/// # Panics
/// It is no scenario.
#[must_use]
pub fn tell_through_outages() -> (Vec<EventBody>, Outcome) {
    let id: BoilerId = "b1".parse().expect("an id");
    let scenario = Scenario::parse("faults", SCENARIO).expect("a scenario").boiler(&id);
    let stage =
        Stage { scenario, period: TICK, tick: TICK, batch: Some(100), spool: SPOOL, asks: false, watched: false };
    let mut world = World::on(stage, Plan::quiet(SECOND), Random::new(73), id, Author::new(73), None);
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
    /// The agent gives an event about a fault to its reporter.
    pub(crate) fn report_fault(&mut self, event: EventBody) {
        self.agent.untold.push(event);
        self.tell_faults();
    }

    /// The reporter publishes what waits, where the server takes it.
    pub(crate) fn tell_faults(&mut self) {
        if self.broker.up && !self.broker.frozen {
            self.broker.faults.append(&mut self.agent.untold);
        }
    }
}
