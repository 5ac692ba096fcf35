//! Operators' commands: inputs that expire.
//!
//! A command in COMMAND passed the rules when it was published. It is checked again before it takes effect, because it
//! may have been delayed. A live command's data are checked too, but not those of a command read at the begin of a
//! session, which may have been in effect for long. The newest in the stream's order wins, even over one that lasts
//! longer, and an invalid one ends the active one. A command ends at its calendar time, and by our own clock at the
//! latest after the longest duration of its action.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::Demand;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, CommandId, Slot};

use super::{Controller, Effect, Known, Log};
use crate::control::Law;
use crate::published::{Action, Command, EventBody, FreshnessLimits as Freshness};
use crate::time::{Monotonic, Now, Utc};

/// How far the calendar of the accepting host may be ahead of ours: both require a state of at most 5 s age.
const CLOCKS_APART: Duration = Duration::from_secs(10);
/// Rooms are not set back below this, to protect them from frost. Configured targets have the same minimum.
const ROOM_MIN: f64 = 5.0;
const ROOM_MAX: f64 = 30.0;
/// The supported version of a command.
const VERSION: u8 = 1;

/// Why a command is not executed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It has expired.
    #[error("it expired before it could take effect")]
    Expired,
    /// It would last too long, or has no end.
    #[error("it does not expire within {} h", longest.as_secs() / 3_600)]
    TooLong {
        /// The longest duration of its action.
        longest: Duration,
    },
    /// It does not contain the data of its check.
    #[error("it does not contain the state with which it was checked")]
    Unchecked,
    /// It was checked with another boot of the boiler.
    #[error("it was checked with boot {checked} of the boiler, which is in boot {boot} now")]
    Boot {
        /// In the state of its check.
        checked: Boot,
        /// In the newest state.
        boot: Boot,
    },
    /// The state of its check is too old, or later than the boiler has reached.
    #[error("it was checked with slot {checked}, and the boiler is at slot {slot} now")]
    Slot {
        /// In the state of its check.
        checked: u64,
        /// In the newest state.
        slot: u64,
    },
    /// Its temperature is outside the limits.
    #[error("{asked} °C is outside {min} to {max} °C")]
    Limits {
        /// Its temperature, °C.
        asked: f64,
        /// The lowest allowed, °C.
        min: f64,
        /// The highest allowed, °C.
        max: f64,
    },
    /// It has another version.
    #[error("its version is {version}, this controller supports {VERSION}")]
    Version { version: u8 },
}

/// An active command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) id: CommandId,
    pub(super) action: Action,
    /// For how long it was given.
    pub(super) length: Duration,
    /// End by the calendar, Unix seconds.
    valid_until: f64,
    /// Latest end, by our own clock.
    ends_at: Monotonic,
}

impl Order {
    /// The order of `command`; `None` for a release.
    ///
    /// # Errors
    /// See [`Unfit`].
    fn of(command: &Command, premise: Option<&Premise>, now: &Now, law: &Law) -> Result<Option<Self>, Unfit> {
        if command.version != VERSION {
            return Err(Unfit::Version { version: command.version });
        }
        let (min, max) = match command.action {
            Action::Release => return Ok(None),
            Action::Boost { .. } | Action::HotWater { .. } | Action::Hold => (law.flow_min, law.flow_max),
            Action::SetBack { .. } => (ROOM_MIN, ROOM_MAX),
        };
        let longest = command.action.longest();
        let valid_until = command.valid_until.ok_or(Unfit::TooLong { longest })?;
        let left_s = valid_until - now.utc.unix_seconds();
        if left_s <= 0.0 {
            return Err(Unfit::Expired);
        }
        let left = Duration::try_from_secs_f64(left_s).map_err(|_| Unfit::TooLong { longest })?;
        if left > longest + CLOCKS_APART {
            return Err(Unfit::TooLong { longest });
        }
        if let Some(asked) = command.action.temperature()
            && !(min..=max).contains(&asked)
        {
            return Err(Unfit::Limits { asked, min, max });
        }
        let based_on = command.based_on.ok_or(Unfit::Unchecked)?;
        if let Some(premise) = premise {
            premise.holds(based_on.slot)?;
        }
        let (id, action) = (command.id.clone(), command.action);
        let length = Duration::try_from_secs_f64(valid_until - command.created_at).unwrap_or_default();
        Ok(Some(Self { id, action, length, valid_until, ends_at: now.monotonic.after(left.min(longest)) }))
    }

    /// End by the calendar.
    pub(super) fn ends(&self) -> Utc {
        Utc::from_unix_seconds(self.valid_until)
    }

    fn is_over(&self, now: &Now) -> bool {
        now.utc.unix_seconds() >= self.valid_until || now.monotonic >= self.ends_at
    }
}

/// The state of the boiler when a command is received, to compare with the data of its check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Premise {
    /// The newest slot.
    pub(super) newest: Slot,
    /// A time span and the number of slots in it: the boiler's slot rate.
    pub(super) pace: (Duration, u64),
    /// The age limits of a state.
    pub(super) freshness: Freshness,
}

impl Premise {
    /// Checks that a command that was checked with slot `checked` may take effect. A command can overtake its state by
    /// little; one that was delayed for longer than `coasting` was accepted for another state of the boiler.
    ///
    /// # Errors
    /// See [`Unfit`].
    fn holds(&self, checked: Slot) -> Result<(), Unfit> {
        let (boot, slot) = (self.newest.boot, self.newest.seq);
        if checked.boot != boot {
            return Err(Unfit::Boot { checked: checked.boot, boot });
        }
        let limit = if checked.seq > slot { self.freshness.fresh } else { self.freshness.coasting };
        let (passed, slots) = self.pace;
        // While the rate is unknown, any distance is accepted.
        if u128::from(checked.seq.abs_diff(slot)) * passed.as_nanos() > limit.as_nanos() * u128::from(slots) {
            return Err(Unfit::Slot { checked: checked.seq, slot });
        }
        Ok(())
    }
}

/// The active command of operators.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Sequence in COMMAND of the newest command.
    newest: Option<u64>,
    standing: Option<Order>,
}

impl Orders {
    /// Takes the command at `sequence`. Returns false for one that is not newer, which changes nothing.
    ///
    /// # Errors
    /// See [`Unfit`]: then no command is active.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        command: &Command,
        premise: Option<&Premise>,
        now: &Now,
        law: &Law,
    ) -> Result<bool, Unfit> {
        if self.newest.is_some_and(|newest| sequence <= newest) {
            return Ok(false);
        }
        self.newest = Some(sequence);
        self.standing = None;
        self.standing = Order::of(command, premise, now, law)?;
        Ok(true)
    }

    /// COMMAND ends with the command at `sequence`, or is empty. If that is older than the active command, the latter
    /// was lost from the stream (a power cut takes its last seconds) and must not remain in effect.
    pub(super) fn end_at(&mut self, sequence: Option<u64>) {
        if self.newest.is_some_and(|newest| sequence.is_none_or(|sequence| sequence < newest)) {
            *self = Self::default();
        }
    }

    /// Ends the order if it has expired, and returns it.
    pub(super) fn expire(&mut self, now: &Now) -> Option<Order> {
        self.standing.take_if(|order| order.is_over(now))
    }

    pub(super) fn standing(&self) -> Option<&Order> {
        self.standing.as_ref()
    }

    /// When the active order ends at the latest.
    pub(super) fn wake_at(&self, now: &Now) -> Option<Monotonic> {
        let order = self.standing.as_ref()?;
        let left = Duration::try_from_secs_f64(order.valid_until - now.utc.unix_seconds()).unwrap_or_default();
        Some(order.ends_at.min(now.monotonic.after(left.max(Duration::from_millis(1)))))
    }
}

impl Controller {
    /// Takes an operator's command. A refusal is published if the command is `new`; at the begin of a session it was
    /// published long before.
    pub(super) fn take_command(
        &mut self,
        now: &Now,
        sequence: u64,
        command: &Command,
        new: bool,
        effects: &mut Vec<Effect>,
    ) {
        let id = command.id.clone();
        let premise = self.known.filter(|_| new).map(|known| self.premise(&known));
        match self.orders.take(sequence, command, premise.as_ref(), now, &self.settings.law) {
            Ok(false) => return,
            Ok(true) => effects.push(Effect::Log(Log::Ordered { id })),
            Err(Unfit::Expired) if !new => {}
            Err(cause) => {
                let (by, action, reason) = (command.by.clone(), command.action, cause.to_string());
                if new {
                    let refused = EventBody::CommandRefused { id: id.clone(), by, action, reason };
                    effects.push(Effect::Event(EventKind::Decision, Box::new(refused)));
                }
                effects.push(Effect::Log(Log::Unfit { id, why: cause }));
            }
        }
        // A new controller has no request of its own: then it holds the set-point that the boiler obeys.
        let obeyed = self.boiler.obeys(now.monotonic).map(|flow_centi| (Demand::Heat, flow_centi));
        self.held = self.asked.map(|asked| (asked.demand, asked.flow_centi)).or(obeyed);
    }

    fn premise(&self, known: &Known) -> Premise {
        let (first, at) = known.first;
        let pace = (known.moved_at.since(at), known.slot.seq.saturating_sub(first));
        Premise { newest: known.slot, pace, freshness: self.settings.freshness }
    }
}
