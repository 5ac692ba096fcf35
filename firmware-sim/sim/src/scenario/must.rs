//! A scenario's assertions about what must be observed when it is played.
//!
//! ```toml
//! [[must]]
//! what = "the burner is locked out, and stays so although the gas is back"
//! from = "1h2m"
//! until = "3h"
//! when = "always"                 # or once, or never; default: always
//! state = "lockout"               # the boiler's status: state, fault ("none"), lockout, burner, pump
//! fault = "ignition"
//! flow_c = [10, 40]               # true values: flow_c, return_c, room_c, outdoor_c; sensor readings: reading_c,
//!                                 # quality
//! starts = [0, 0]                 # burner starts between from and until; counted at the end, regardless of `when`
//! ```
//! All keys of one table must hold together. [`crate::proof`] checks them on the bench; the deterministic world checks
//! the same ones against the gateway's published data, as far as it is published: those about faults on STATUS and on
//! EVENT.

use std::time::Duration;

use serde::Deserialize;
use thermowell_wire::Quality;
use thermowell_wire::line::{BoilerState, FaultKind};

use crate::quantity;

/// One assertion.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Must {
    /// Description.
    pub what: String,
    /// Begin, since the start.
    #[serde(default, deserialize_with = "quantity::offset")]
    pub from: Duration,
    /// End, since the start.
    #[serde(deserialize_with = "quantity::span")]
    pub until: Duration,
    #[serde(default)]
    pub when: When,
    pub state: Option<BoilerState>,
    /// The reported fault.
    pub fault: Option<FaultName>,
    /// The fault is a lockout.
    pub lockout: Option<bool>,
    /// The gas is open.
    pub burner: Option<bool>,
    /// The pump is commanded.
    pub pump: Option<bool>,
    /// Range of the true flow temperature in °C.
    pub flow_c: Option<[f64; 2]>,
    /// Range of the return temperature in °C.
    pub return_c: Option<[f64; 2]>,
    /// Range of the room temperature in °C.
    pub room_c: Option<[f64; 2]>,
    /// Range of the outdoor temperature in °C.
    pub outdoor_c: Option<[f64; 2]>,
    /// Range of the flow sensor's reading in °C; a faulty sensor has no reading, which is in no range.
    pub reading_c: Option<[f64; 2]>,
    pub quality: Option<Quality>,
    /// Range of the number of burner starts.
    pub starts: Option<[u32; 2]>,
}

impl Must {
    /// Whether it uses the boiler's status, or a temperature other than the flow.
    #[must_use]
    pub fn needs_report(&self) -> bool {
        let Self { state, fault, lockout, burner, pump, return_c, room_c, outdoor_c, starts, .. } = self;
        let status = state.is_some() || fault.is_some() || lockout.is_some() || starts.is_some();
        status || burner.is_some() || pump.is_some() || return_c.is_some() || room_c.is_some() || outdoor_c.is_some()
    }

    /// The part about faults, which are published on EVENT as well as on STATUS. None if there is no such part, or if
    /// the assertion excludes a combination of faults with other values.
    #[must_use]
    pub fn about_faults(&self) -> Option<Self> {
        let Self { what, from, until, when, fault, lockout, .. } = self;
        let rest = Self {
            what: format!("{what}, by EVENT"),
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

    /// Whether it uses the flow sensor's reading.
    #[must_use]
    pub fn needs_reading(&self) -> bool {
        self.reading_c.is_some() || self.quality.is_some()
    }
}

/// When an assertion must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At every observation.
    #[default]
    Always,
    /// At one observation or more.
    Once,
    /// At no observation.
    Never,
}

/// A fault; None for no fault.
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
