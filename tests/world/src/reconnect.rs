//! A controller that lives, a server that is away, and the lease that was stored before.
//!
//! The gateway reads what is new in LEASE. Here its shell errs: at the reconnect it hands over what the server kept.
//! That was decided on old slots, so it goes no further, and the boiler waits for the next renewal.
//!
//! ```text
//!  renewals  ×       ×       ×   (refused: no server)          ×       ×
//!  server    ━━━━━━━━━━━━━━━━━━━┓                     ┏━━━━━━━━━━━━━━━━━━
//!                               └─ away               └─ the stored lease is handed over once more: declined
//! ```

use firmware_sim::scenario::Scenario;
use thermowell_flow::agent::Input;
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;

use crate::agent::SPOOL;
use crate::leases::Author;
use crate::plan::{Plan, SECOND};
use crate::random::Random;
use crate::world::{Outcome, START, Stage, TICK, World};

/// Between two renewals.
const RENEWAL: u64 = 15 * SECOND;
/// Renewals before the outage: by the third, the device's clock is known.
const BEFORE: u64 = 4;
/// From the last renewal to the outage.
const PAUSE: u64 = 2 * SECOND;
/// From the reconnect to the next renewal: whoever takes an old lease has time for it.
const WAIT: u64 = 10 * SECOND;

/// What the device took.
#[derive(Clone, Debug)]
pub struct Reconnected {
    /// Leases before the outage.
    pub before: usize,
    /// Between the begin of the outage and the renewal behind it.
    pub meanwhile: usize,
    /// Whether it obeyed a lease just before that renewal.
    pub obeys: bool,
    /// With that renewal.
    pub after: usize,
    /// The world.
    pub outcome: Outcome,
}

/// The server is away for so many seconds; `agent_dies` meanwhile, too, and is back before the server is.
#[must_use]
pub fn reconnect(away_s: u64, agent_dies: bool) -> Reconnected {
    let id: BoilerId = "b1".parse().expect("an id");
    let scenario = Scenario::parse("reconnect", "seed = 71").expect("a scenario").boiler(&id);
    let stage =
        Stage { scenario, period: TICK, tick: TICK, batch: Some(100), spool: SPOOL, asks: false, watched: false };
    let mut world = World::on(stage, Plan::quiet(RENEWAL), Random::new(71), id, Author::new(71), None);
    let mut stored = None;
    for _ in 0..BEFORE {
        world.play_for(RENEWAL);
        stored = world.renew();
    }
    world.play_for(PAUSE);
    let before = world.truth.taken.len();
    world.disconnect(world.now + away_s * SECOND);
    if agent_dies {
        world.crash_agent(world.now + SECOND);
    }
    world.play_for((away_s + 1) * SECOND);
    if let Some(lease) = &stored {
        world.tell_agent(Input::Setpoint(lease));
    }
    world.play_for(WAIT);
    let meanwhile = world.truth.taken.len() - before;
    let obeys = world.boiler.device().is_some_and(|device| device.is_leased());
    world.renew();
    world.play_for(SECOND);
    let after = world.truth.taken.len() - before - meanwhile;
    world.end();
    Reconnected { before, meanwhile, obeys, after, outcome: world.outcome(71) }
}

impl World {
    pub(crate) fn play_for(&mut self, length: u64) {
        self.plan.length = self.now - START + length;
        self.play(|_| {});
    }

    /// The controller renews its lease; the server keeps it and tells it.
    fn renew(&mut self) -> Option<Lease> {
        let lease = self.in_good_faith()?;
        self.tell_agent(Input::Setpoint(&lease));
        Some(lease)
    }
}
