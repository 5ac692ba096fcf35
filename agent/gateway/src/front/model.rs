//! What the dashboard knows: the last messages of each boiler, as they are stored. No clock and no I/O.
//!
//! | of each boiler | at most | memory |
//! |---|---|---|
//! | the last hour of SAMPLES | 3,600 panes, 512 holes | 100 KB |
//! | snapshots | 48, and the open hour | 20 KB |
//! | decisions | 512 | 80 KB |
//! | other events | 12, as sentences | 2 KB |

use std::collections::VecDeque;

use thermowell_flow::published::{AmbientReading, Command, Decision, Event, EventBody, Lease, Snapshot, State, Status};
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;

use super::hour::LastHour;
use crate::config::Config;
use crate::logs;
use crate::mqtt::Seen;
use crate::status::{self, Sourced};

/// Two days.
pub(super) const SNAPSHOTS_MAX: usize = 48;
/// One every 7 s of the hour that is drawn; a controller publishes one every 15 s at most.
const DECISIONS_MAX: usize = 512;
const HAPPENED_MAX: usize = 12;

/// All boilers, and whether the server answers.
#[derive(Debug)]
pub(super) struct Model {
    /// In the configuration's order.
    pub(super) boilers: Vec<Boiler>,
    pub(super) server: Server,
}

/// Whether the server answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Server {
    Answers,
    /// Not connected since this time, or from the beginning.
    Away {
        since: Option<Utc>,
    },
    /// Connected, but it does not answer requests.
    Fails {
        why: String,
    },
}

/// One boiler: the messages as stored.
#[derive(Debug)]
pub(super) struct Boiler {
    pub(super) id: BoilerId,
    pub(super) state: Option<State>,
    pub(super) status: Option<Status>,
    pub(super) lease: Option<Stored>,
    /// The sources outside of the boiler, and the last reading of each.
    pub(super) sources: Vec<(Sourced, Option<AmbientReading>)>,
    /// The last command; none if COMMAND is not read.
    pub(super) command: Option<Option<Command>>,
    pub(super) hour: LastHour,
    /// Whether `hour` has been read up to the end of SAMPLES.
    pub(super) is_read: bool,
    /// In the order of hours.
    pub(super) snapshots: VecDeque<Snapshot>,
    /// Unix seconds and decisions, in order.
    pub(super) decisions: VecDeque<(f64, Decision)>,
    /// Unix seconds and sentences, in order.
    pub(super) happened: VecDeque<(f64, String)>,
    /// The end of the lease that the device last reported, Unix seconds.
    pub(super) obeyed_until: Option<f64>,
}

/// A lease, and when the server stored it, in real Unix nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) lease: Lease,
    pub(super) at_real_ns: i64,
}

/// One reading of the clocks, for a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// UTC; on the rig, simulated.
    pub(super) now: Utc,
    /// Real Unix nanoseconds.
    pub(super) real_ns: i64,
    /// Seconds of `now` in a real second.
    pub(super) speed: u32,
}

impl Moment {
    /// The age of a published time in real seconds.
    pub(super) fn age_s(&self, unix_seconds: f64) -> f64 {
        (self.now.unix_seconds() - unix_seconds) / f64::from(self.speed)
    }
}

impl Model {
    pub(super) fn new(boilers: impl IntoIterator<Item = BoilerId>) -> Self {
        Self { boilers: boilers.into_iter().map(Boiler::new).collect(), server: Server::Away { since: None } }
    }

    /// Of `boiler`, or of each boiler of the configuration.
    pub(super) fn of(config: &Config, boiler: Option<&BoilerId>) -> Self {
        let mut model = Self::new(boiler.map_or_else(|| config.boiler_ids(), |boiler| vec![boiler.clone()]));
        for boiler in &mut model.boilers {
            boiler.sources =
                status::sources(config, Some(&boiler.id)).into_iter().map(|sourced| (sourced, None)).collect();
        }
        model
    }
}

impl Boiler {
    pub(super) fn new(id: BoilerId) -> Self {
        Self {
            id,
            state: None,
            status: None,
            lease: None,
            sources: Vec::new(),
            command: None,
            hour: LastHour::default(),
            is_read: false,
            snapshots: VecDeque::new(),
            decisions: VecDeque::new(),
            happened: VecDeque::new(),
            obeyed_until: None,
        }
    }

    /// Forgets what came from streams that are read in order: they are read again.
    pub(super) fn begin_again(&mut self) {
        let before = std::mem::replace(self, Self::new(self.id.clone()));
        let Self { id, state, status, lease, sources, command, obeyed_until, .. } = before;
        *self = Self { state, status, lease, sources, command, obeyed_until, ..Self::new(id) };
    }

    /// Takes the last STATUS.
    pub(super) fn take_status(&mut self, status: Option<Status>) {
        let device = status.as_ref().and_then(|status| Some((status.created_at, status.device.as_ref()?)));
        if let Some((created_at, device)) = device {
            self.obeyed_until = device.setpoint.map(|setpoint| created_at + setpoint.lease_left_s);
        }
        self.status = status;
    }

    /// Takes the next snapshot. One of an earlier hour than the last replaces nothing.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot) {
        if self.snapshots.back().is_some_and(|last| hour_of(last) >= hour_of(&snapshot)) {
            return;
        }
        self.snapshots.push_back(snapshot);
        if self.snapshots.len() > SNAPSHOTS_MAX {
            self.snapshots.pop_front();
        }
    }

    /// Takes the next event.
    pub(super) fn take_event(&mut self, event: Event) {
        if let EventBody::Decided(decision) = event.body {
            self.decisions.push_back((event.created_at, *decision));
            if self.decisions.len() > DECISIONS_MAX {
                self.decisions.pop_front();
            }
        // A changed set-point has an answer, and its decision is shown.
        } else if !matches!(event.body, EventBody::Answered { .. }) {
            self.happened.push_back((event.created_at, logs::sentence(&event.body)));
            if self.happened.len() > HAPPENED_MAX {
                self.happened.pop_front();
            }
        }
    }

    /// What `thermowell status` makes of the last messages: which of them may be shown, by the same rules.
    pub(super) fn judged(&self, at: &Moment) -> status::Boiler {
        let lease = self.asked(at).cloned();
        let (state, status) = (self.state.clone(), self.status.clone());
        let judged = status::Boiler::of(self.id.clone(), |stamp| at.age_s(stamp), state, status, lease, None);
        let now_s = at.now.unix_seconds();
        let outside = self
            .sources
            .iter()
            .map(|(sourced, reading)| sourced.judge(reading.as_ref(), now_s, |stamp| at.age_s(stamp)));
        status::Boiler { outside: outside.collect(), ..judged }
    }

    /// The same with the last hour and the last command, for MQTT.
    pub(super) fn seen(&self, at: &Moment) -> Seen {
        let boiler = status::Boiler { snapshot: self.snapshots.back().cloned(), ..self.judged(at) };
        Seen { boiler, command: self.command.clone(), is_read: self.is_read, now_s: at.now.unix_seconds() }
    }

    /// The lease, until it ends: while the server is away, its deletion is not seen.
    pub(super) fn asked(&self, at: &Moment) -> Option<&Lease> {
        let stored = self.lease.as_ref()?;
        let age_s = seconds(at.real_ns.saturating_sub(stored.at_real_ns));
        status::still_asks(&stored.lease, age_s, at.speed).then_some(&stored.lease)
    }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds of an age are exact enough")]
fn seconds(ns: i64) -> f64 {
    (ns / 1_000) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON_NS, decided, lease, noon_s, snapshot, status};
    use super::*;

    fn boiler() -> Boiler {
        Boiler::new("b1".parse().unwrap())
    }

    fn after(seconds: i64, speed: u32) -> Moment {
        let real_ns = 1_000_000_000 * seconds;
        Moment { now: Utc(NOON_NS + real_ns * i64::from(speed)), real_ns, speed }
    }

    /// Rule 4.
    #[test]
    fn asked_ends_with_its_lease_without_a_message() {
        let mut boiler = boiler();
        boiler.lease = Some(Stored { lease: lease(noon_s()), at_real_ns: 0 });
        assert!(boiler.asked(&after(60, 1)).is_some());
        assert!(boiler.asked(&after(61, 1)).is_none());
        assert!(boiler.asked(&after(4, 60)).is_some() && boiler.asked(&after(6, 60)).is_none(), "a demo's");
        let release = Lease { lease_s: 0, ..lease(noon_s()) };
        boiler.lease = Some(Stored { lease: release, at_real_ns: 0 });
        assert!(boiler.asked(&after(0, 1)).is_none(), "a release asks nothing");
    }

    #[test]
    fn end_of_the_obeyed_lease_outlives_the_link() {
        let mut boiler = boiler();
        boiler.take_status(Some(status(noon_s())));
        assert_eq!(boiler.obeyed_until, Some(noon_s() + 43.0));
        boiler.take_status(Some(super::super::testing::cable_out(noon_s() + 9.0)));
        assert_eq!(boiler.obeyed_until, Some(noon_s() + 43.0));
    }

    #[test]
    fn everything_that_is_kept_is_bounded() {
        let mut boiler = boiler();
        for n in 0..2_000_u32 {
            boiler.take_snapshot(snapshot(i64::from(n), 360_000, 0));
            boiler.take_event(decided(f64::from(n), "law", Some(50.0)));
            let body = EventBody::BurnerCycles { starts: n };
            boiler.take_event(Event { boiler: boiler.id.clone(), created_at: f64::from(n), body });
        }
        let kept = (boiler.snapshots.len(), boiler.decisions.len(), boiler.happened.len());
        assert_eq!(kept, (SNAPSHOTS_MAX, DECISIONS_MAX, HAPPENED_MAX));
        assert_eq!(
            boiler.happened.back().map(|(_, text)| text.as_str()),
            Some("the burner started 1999 times within an hour")
        );
        boiler.take_snapshot(snapshot(7, 360_000, 0));
        assert_eq!(boiler.snapshots.back().map(hour_of), Some(1_999), "an earlier hour is not taken");
        boiler.begin_again();
        assert!(boiler.snapshots.is_empty() && boiler.decisions.is_empty() && boiler.happened.is_empty());
    }
}
