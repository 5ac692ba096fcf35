//! Operators' commands: inputs with an end.
//!
//! What stands in COMMAND was accepted by the rules when it was published; here it is checked again before it acts,
//! because between the two lies whatever time the command needed: also what it was based on, where it is heard as it is
//! given (one that is read at the begin of a session may have acted for long). The newest in the stream's order wins,
//! also over one that would last longer, and one that may not act leaves nothing standing. An order ends by the
//! calendar that it names, and after the longest that its kind may last of our own clock, whatever the calendar does.

use core::time::Duration;

use thermowell_wire::{Boot, CommandId, Slot};

use crate::control::Law;
use crate::published::{Action, Command, FreshnessLimits as Freshness};
use crate::time::{Monotonic, Now};

/// What the calendar of whoever accepted a command may be ahead of ours: he and we went by a state of at most 5 s.
const CLOCKS_APART: Duration = Duration::from_secs(10);
/// Rooms are not set back below it: what freezes is damaged. The configured targets begin there too.
const ROOM_MIN: f64 = 5.0;
const ROOM_MAX: f64 = 30.0;
/// Of the layout that is understood here.
const VERSION: u8 = 1;

/// Why a command does not act.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It came too late.
    #[error("it ended before it could act")]
    Expired,
    /// It would act for too long, or says nothing about its end.
    #[error("it has no end within {} h", longest.as_secs() / 3_600)]
    TooLong {
        /// The longest that its kind may act.
        longest: Duration,
    },
    /// It does not say what it was checked with.
    #[error("it does not say which state it was checked with")]
    Unchecked,
    /// The boiler has started since, or had not when it was checked.
    #[error("it was checked with boot {checked} of the boiler, which is in boot {boot} now")]
    Boot {
        /// Of the state that it was checked with.
        checked: Boot,
        /// Of the newest state.
        boot: Boot,
    },
    /// The state that it was checked with has long been replaced, or is none that the boiler has reached.
    #[error("it was checked with slot {checked}, and the boiler is at slot {slot} now")]
    Slot {
        /// Of the state that it was checked with.
        checked: u64,
        /// Of the newest state.
        slot: u64,
    },
    /// Outside what may be asked.
    #[error("{asked} °C is outside {min} to {max} °C")]
    Limits {
        /// What it wants, °C.
        asked: f64,
        /// The least that may be wanted, °C.
        min: f64,
        /// The most, °C.
        max: f64,
    },
    /// Another layout.
    #[error("its version is {version}, this controller understands {VERSION}")]
    Version {
        /// What it says.
        version: u8,
    },
}

/// What an operator wants until its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) id: CommandId,
    pub(super) action: Action,
    /// By the calendar, Unix seconds.
    valid_until: f64,
    /// By our own clock, at the latest.
    ends_at: Monotonic,
}

impl Order {
    /// What `command` orders from now on; a release orders nothing.
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
        Ok(Some(Self { id, action, valid_until, ends_at: now.monotonic.after(left.min(longest)) }))
    }

    fn is_over(&self, now: &Now) -> bool {
        now.utc.unix_seconds() >= self.valid_until || now.monotonic >= self.ends_at
    }
}

/// What is known of the boiler when a command is heard, against what it was checked with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Premise {
    /// The newest slot.
    pub(super) newest: Slot,
    /// How long the last of its boot's slots took, and how many those are: the pace of the boiler.
    pub(super) pace: (Duration, u64),
    /// When a state is too old.
    pub(super) freshness: Freshness,
}

impl Premise {
    /// Whether a command that was checked with slot `checked` may act. A command overtakes its state by little; one
    /// that hung on its way for as long as makes a state a fault was accepted for another boiler than the one now.
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
        // While nothing is known of the pace, nothing is too far.
        if u128::from(checked.seq.abs_diff(slot)) * passed.as_nanos() > limit.as_nanos() * u128::from(slots) {
            return Err(Unfit::Slot { checked: checked.seq, slot });
        }
        Ok(())
    }
}

/// What operators want.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// Sequence in COMMAND of the newest command.
    newest: Option<u64>,
    standing: Option<Order>,
}

impl Orders {
    /// Takes the command at `sequence`. One that is not newer changes nothing: returns whether it was.
    ///
    /// # Errors
    /// See [`Unfit`]: nothing stands then.
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

    /// COMMAND ends with the command at `sequence`, or is empty: where that is not what is known, what is known is no
    /// more in the stream (a power cut takes its last seconds), and nothing may rest on it.
    pub(super) fn end_at(&mut self, sequence: Option<u64>) {
        if self.newest.is_some_and(|newest| sequence.is_none_or(|sequence| sequence < newest)) {
            *self = Self::default();
        }
    }

    /// Ends the order whose time has come, and returns it.
    pub(super) fn expire(&mut self, now: &Now) -> Option<Order> {
        self.standing.take_if(|order| order.is_over(now))
    }

    pub(super) fn standing(&self) -> Option<&Order> {
        self.standing.as_ref()
    }

    /// When the order ends at the latest.
    pub(super) fn wake_at(&self, now: &Now) -> Option<Monotonic> {
        let order = self.standing.as_ref()?;
        let left = Duration::try_from_secs_f64(order.valid_until - now.utc.unix_seconds()).unwrap_or_default();
        Some(order.ends_at.min(now.monotonic.after(left.max(Duration::from_millis(1)))))
    }
}
