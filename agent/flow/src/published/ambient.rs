//! Room and outdoor temperatures from outside of the boiler: the JSON of AMBIENT.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thermowell_wire::subject::{self, Ambient};
use thermowell_wire::{BoilerId, SourceName};

use crate::plausible::Quantity;

/// How far a source's clock may be ahead of ours.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

/// `boiler.{id}.room.{source}` and `boiler.{id}.outdoor.{source}`: one reading of a source outside of the boiler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AmbientReading {
    /// °C.
    pub value: f64,
    /// When it was measured, Unix seconds; later than that of the source's last reading.
    pub stamp: f64,
    /// The source, as in the subject.
    pub source: SourceName,
    #[serde(default = "first_version")]
    pub version: u8,
}

/// Why a reading is not used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unusable {
    /// It is older than its quantity allows.
    Old(Duration),
    /// Its stamp is ahead of our clock.
    Ahead(Duration),
    /// It is outside of the quantity's window.
    Window(Quantity),
}

/// The longest time for which a reading is used.
#[must_use]
pub const fn age_max(what: Ambient) -> Duration {
    match what {
        Ambient::Room => Duration::from_secs(30 * 60),
        Ambient::Outdoor => Duration::from_secs(3 * 3_600),
    }
}

fn first_version() -> u8 {
    1
}

impl AmbientReading {
    /// Whether `subject` is this reading's own, to which only its source may publish.
    #[must_use]
    pub fn is_at(&self, boiler: &BoilerId, what: Ambient, subject: &str) -> bool {
        subject::ambient(boiler, what, &self.source) == subject
    }

    /// Its age at `now_s`, Unix seconds.
    ///
    /// # Errors
    /// It is too old, or its stamp is ahead.
    pub fn age(&self, what: Ambient, now_s: f64) -> Result<Duration, Unusable> {
        let span = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        if self.stamp > now_s {
            let ahead = span(self.stamp - now_s);
            return if ahead <= AHEAD_MAX { Ok(Duration::ZERO) } else { Err(Unusable::Ahead(ahead)) };
        }
        let age = span(now_s - self.stamp);
        if age <= age_max(what) { Ok(age) } else { Err(Unusable::Old(age)) }
    }

    /// The reading, °C, as far as it can be judged without those before it.
    ///
    /// # Errors
    /// It is too old, its stamp is ahead, or it is outside of what is plausible.
    pub fn celsius(&self, what: Ambient, now_s: f64) -> Result<f64, Unusable> {
        self.age(what, now_s)?;
        let quantity = Quantity::from(what);
        if quantity.can_be(self.value) { Ok(self.value) } else { Err(Unusable::Window(quantity)) }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |span: &Duration| span.as_secs() / 60;
        match self {
            Self::Old(age) => write!(f, "it is {} min old", minutes(age)),
            Self::Ahead(ahead) => write!(f, "its stamp is {} s ahead of our clock", ahead.as_secs()),
            Self::Window(quantity) => write!(f, "it is not within {}", quantity.limits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    const NOW_S: f64 = 1_767_744_000.0;

    fn reading(value: f64, age_s: f64) -> AmbientReading {
        AmbientReading { value, stamp: NOW_S - age_s, source: "hall".parse().unwrap(), version: 1 }
    }

    #[test]
    fn reading_is_used_within_its_age_and_window() {
        for (what, age_s, used) in [
            (Ambient::Room, -60.0, true),
            (Ambient::Room, -61.0, false),
            (Ambient::Room, 1_800.0, true),
            (Ambient::Room, 1_801.0, false),
            (Ambient::Outdoor, 10_800.0, true),
            (Ambient::Outdoor, 10_801.0, false),
        ] {
            assert_eq!(reading(20.0, age_s).celsius(what, NOW_S).is_ok(), used, "{what:?} of {age_s} s");
        }
        assert_eq!(reading(20.0, f64::NEG_INFINITY).age(Ambient::Room, NOW_S), Err(Unusable::Ahead(Duration::MAX)));
        assert_eq!(reading(20.0, f64::INFINITY).age(Ambient::Room, NOW_S), Err(Unusable::Old(Duration::MAX)));
        for value in [85.0, -127.0, f64::NAN, f64::INFINITY] {
            let error = reading(value, 0.0).celsius(Ambient::Room, NOW_S).unwrap_err().to_string();
            assert_eq!(error, "it is not within -10.00 °C to 50.00 °C", "{value}");
        }
    }

    #[test]
    fn reading_is_of_the_source_in_its_subject() {
        let text = r#"{"value": 20.5, "stamp": 1767744000.0, "source": "hall"}"#;
        let parsed: AmbientReading = serde_json::from_str(text).unwrap();
        assert_eq!(parsed, reading(20.5, 0.0));
        let b1 = "b1".parse().unwrap();
        assert!(parsed.is_at(&b1, Ambient::Room, "boiler.b1.room.hall"));
        for other in ["boiler.b1.room.attic", "boiler.b2.room.hall", "boiler.b1.outdoor.hall"] {
            assert!(!parsed.is_at(&b1, Ambient::Room, other), "{other}");
        }
        for text in [r#"{"temperature": 20.5, "stamp": 1.0, "source": "hall"}"#, r#"{"value": null}"#] {
            assert!(serde_json::from_str::<AmbientReading>(text).is_err(), "{text}");
        }
    }
}
