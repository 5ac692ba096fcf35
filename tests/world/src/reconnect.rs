//! A lease stored before a server outage is not forwarded after the reconnect.
//!
//! The gateway reads only new messages of LEASE. Here its shell has a fault: at the reconnect it passes on the stored
//! lease. That one is based on old slots, so the agent declines it, and the boiler waits for the next renewal.
//!
//! ```text
//!  renewals  ×       ×       ×   (refused: no server)          ×       ×
//!  server    ━━━━━━━━━━━━━━━━━━━┓                     ┏━━━━━━━━━━━━━━━━━━
//!                               └─ away               └─ the stored lease is passed on again: declined
//! ```

use thermowell_flow::agent::Input;
use thermowell_flow::published::Lease;

use crate::plan::SECOND;
use crate::world::{Outcome, START, World};

/// Time between two renewals.
const RENEWAL: u64 = 15 * SECOND;
/// Renewals before the outage: by the third, the device's clock is known.
const BEFORE: u64 = 4;
/// Time from the last renewal to the outage.
const PAUSE: u64 = 2 * SECOND;
/// Time from the reconnect to the next renewal, in which an old lease would be accepted.
const WAIT: u64 = 10 * SECOND;

/// Leases accepted by the device.
#[derive(Clone, Debug)]
pub struct Reconnected {
    /// Before the outage.
    pub before: usize,
    /// Between the begin of the outage and the renewal after it.
    pub meanwhile: usize,
    /// Whether a lease was in force just before that renewal.
    pub leased: bool,
    /// At that renewal.
    pub after: usize,
    pub outcome: Outcome,
}

/// The server is down for `away_s` seconds; with `agent_dies` the agent crashes too, and restarts before the server.
#[must_use]
pub fn reconnect(away_s: u64, agent_dies: bool) -> Reconnected {
    let mut world = World::quiet("seed = 71");
    let mut stored = None;
    for _ in 0..BEFORE {
        world.play_for(RENEWAL);
        stored = world.renew();
    }
    world.play_for(PAUSE);
    let before = world.truth.accepted.len();
    world.disconnect(world.now + away_s * SECOND);
    if agent_dies {
        world.crash_agent(world.now + SECOND);
    }
    world.play_for((away_s + 1) * SECOND);
    if let Some(lease) = &stored {
        world.feed_agent(Input::Setpoint(lease));
    }
    world.play_for(WAIT);
    let meanwhile = world.truth.accepted.len() - before;
    let leased = world.boiler.device().is_some_and(|device| device.is_leased());
    world.renew();
    world.play_for(SECOND);
    let after = world.truth.accepted.len() - before - meanwhile;
    world.end();
    Reconnected { before, meanwhile, leased, after, outcome: world.outcome(71) }
}

impl World {
    pub(crate) fn play_for(&mut self, length: u64) {
        self.plan.length = self.now - START + length;
        self.play(|_| {});
    }

    /// The controller renews its lease; the server stores and delivers it.
    fn renew(&mut self) -> Option<Lease> {
        let lease = self.valid_lease()?;
        self.feed_agent(Input::Setpoint(&lease));
        Some(lease)
    }
}
