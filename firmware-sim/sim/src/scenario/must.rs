//! What must be seen when a scenario is played: assertions that stand in its own file.
//!
//! ```toml
//! [[must]]
//! what = "the burner is locked out, and stays so although the gas is back"
//! from = "1h2m"
//! until = "3h"
//! when = "always"                 # or once, or never; always, where it is not said
//! state = "lockout"               # what the boiler says about itself: state, fault ("none"), lockout, burner, pump
//! fault = "ignition"
//! flow_c = [10, 40]               # what is true: flow_c, return_c, room_c, outdoor_c; what is read: reading_c,
//!                                 # quality
//! starts = [0, 0]                 # burner starts between from and until; counted at the end, whatever `when` is
//! ```
//! All that is named in one table must hold together. [`crate::proof`] judges them, on the bench; the deterministic
//! world judges the same ones on what the gateway publishes, as far as that is published: what they say of faults on
//! STATUS and on EVENT.

use std::time::Duration;

use serde::Deserialize;
use thermowell_wire::Quality;
use thermowell_wire::line::{BoilerState, FaultKind};

use super::quantity;

/// Something that must be seen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Must {
    /// In words.
    pub what: String,
    /// From when on, since the start.
    #[serde(default, deserialize_with = "quantity::offset")]
    pub from: Duration,
    /// Until when.
    #[serde(deserialize_with = "quantity::span")]
    pub until: Duration,
    /// How often.
    #[serde(default)]
    pub when: When,
    /// What the boiler is doing.
    pub state: Option<BoilerState>,
    /// The fault that stands.
    pub fault: Option<FaultName>,
    /// The fault needs a reset.
    pub lockout: Option<bool>,
    /// The gas is open.
    pub burner: Option<bool>,
    /// The pump is commanded.
    pub pump: Option<bool>,
    /// The water in the boiler, in °C, from and to.
    pub flow_c: Option<[f64; 2]>,
    /// The water that comes back.
    pub return_c: Option<[f64; 2]>,
    /// The rooms.
    pub room_c: Option<[f64; 2]>,
    /// The weather.
    pub outdoor_c: Option<[f64; 2]>,
    /// What the flow sensor reads; a broken one reads nothing, which is in no range.
    pub reading_c: Option<[f64; 2]>,
    /// What its reading is worth.
    pub quality: Option<Quality>,
    /// How often the burner starts.
    pub starts: Option<[u32; 2]>,
}

impl Must {
    /// Whether it names something that the boiler says about itself, or a temperature beside that of the flow.
    #[must_use]
    pub fn asks_what_it_tells(&self) -> bool {
        let Self { state, fault, lockout, burner, pump, return_c, room_c, outdoor_c, starts, .. } = self;
        let says = state.is_some() || fault.is_some() || lockout.is_some() || starts.is_some();
        says || burner.is_some() || pump.is_some() || return_c.is_some() || room_c.is_some() || outdoor_c.is_some()
    }

    /// What of it is about faults, which EVENT tells as well as STATUS; none where that is nothing, or where something
    /// else must not be at the same time.
    #[must_use]
    pub fn about_faults(&self) -> Option<Self> {
        let Self { what, from, until, when, fault, lockout, .. } = self;
        let rest = Self {
            what: format!("{what}, as EVENT says"),
            from: *from,
            until: *until,
            when: *when,
            fault: *fault,
            lockout: *lockout,
            state: None,
            burner: None,
            pump: None,
            flow_c: None,
            return_c: None,
            room_c: None,
            outdoor_c: None,
            reading_c: None,
            quality: None,
            starts: None,
        };
        let asks = fault.is_some() || lockout.is_some();
        let alone = Self { what: what.clone(), ..rest.clone() } == *self;
        (asks && (alone || *when != When::Never)).then_some(rest)
    }

    /// Whether it names something that the flow sensor reads.
    #[must_use]
    pub fn asks_what_is_read(&self) -> bool {
        self.reading_c.is_some() || self.quality.is_some()
    }
}

/// How often something must be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// All the time.
    #[default]
    Always,
    /// At some time.
    Once,
    /// At no time.
    Never,
}

/// A fault, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultName(pub Option<FaultKind>);

impl<'de> Deserialize<'de> for FaultName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::IntoDeserializer;
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self(None));
        }
        FaultKind::deserialize(text.into_deserializer()).map(|kind| Self(Some(kind)))
    }
}
