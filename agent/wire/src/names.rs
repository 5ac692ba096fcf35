//! Names in subjects, which are strings in JSON: the boiler, the operator, the source of a temperature, the command,
//! the occurrence of a fault.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::line::Fault;
use crate::{Boot, InvalidBoot};

/// A text of one to `N` bytes that follows the rule of `K`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<K, const N: usize>(heapless::String<N>, PhantomData<K>);

/// What a [`Name`] is the name of, and the rule of its text.
pub trait Kind {
    /// The error of a text that does not follow the rule.
    type Invalid: 'static;
    const INVALID: Self::Invalid;
    /// The expected text, for errors of what is not a text at all.
    const EXPECTED: &'static dyn fmt::Display = &"a name";

    /// The rule but for the length.
    fn is_valid(text: &str) -> bool;
}

/// The name of a boiler: `[a-z0-9][a-z0-9_-]{0,31}`, so that it is valid as NATS token, MQTT level, metric label and
/// file name.
pub type BoilerId = Name<Boiler, 32>;
/// The name of an operator: `[a-z0-9][a-z0-9_-]{0,31}`, a NATS token and the name of a NATS user.
pub type OperatorName = Name<Operator, 32>;
/// The name of a source of room or outdoor temperatures outside of the boiler: `[a-z0-9][a-z0-9_-]{0,31}`, a NATS token
/// and the name of a NATS user.
pub type SourceName = Name<Source, 32>;
/// The id of one command, which is never reused: a later message with the same id, from any sender, is the same
/// command.
pub type CommandId = Name<Command, 32>;

/// The kind of a [`BoilerId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Boiler {}

/// The kind of an [`OperatorName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {}

/// The kind of a [`SourceName`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {}

/// The kind of a [`CommandId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {}

/// A text that is not a boiler id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a boiler id has 1 to 32 characters of a-z, 0-9, '_' and '-', and begins with a letter or a digit")]
pub struct InvalidBoilerId;

/// A text that is not an operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operator's name has 1 to 32 characters of a-z, 0-9, '_' and '-', and begins with a letter or a digit")]
pub struct InvalidOperatorName;

/// A text that is not a source's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a source's name has 1 to 32 characters of a-z, 0-9, '_' and '-', and begins with a letter or a digit")]
pub struct InvalidSourceName;

/// A text that is not a command's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command's id has 1 to 32 characters of a-z, A-Z, 0-9, '_' and '-'")]
pub struct InvalidCommandId;

impl Kind for Boiler {
    type Invalid = InvalidBoilerId;
    const INVALID: InvalidBoilerId = InvalidBoilerId;
    const EXPECTED: &'static dyn fmt::Display = &InvalidBoilerId;

    fn is_valid(text: &str) -> bool {
        Operator::is_valid(text)
    }
}

impl Kind for Operator {
    type Invalid = InvalidOperatorName;
    const INVALID: InvalidOperatorName = InvalidOperatorName;

    fn is_valid(text: &str) -> bool {
        Command::is_valid(text) && !text.starts_with(['_', '-']) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
    }
}

impl Kind for Source {
    type Invalid = InvalidSourceName;
    const INVALID: InvalidSourceName = InvalidSourceName;
    const EXPECTED: &'static dyn fmt::Display = &InvalidSourceName;

    fn is_valid(text: &str) -> bool {
        Operator::is_valid(text)
    }
}

impl Kind for Command {
    type Invalid = InvalidCommandId;
    const INVALID: InvalidCommandId = InvalidCommandId;

    fn is_valid(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    }
}

impl<K: Kind, const N: usize> Name<K, N> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<K: Kind, const N: usize> FromStr for Name<K, N> {
    type Err = K::Invalid;

    fn from_str(text: &str) -> Result<Self, K::Invalid> {
        let valid = Some(text).filter(|text| K::is_valid(text)).and_then(|text| heapless::String::try_from(text).ok());
        valid.map(|text| Self(text, PhantomData)).ok_or(K::INVALID)
    }
}

impl<K: Kind, const N: usize> fmt::Display for Name<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<K: Kind, const N: usize> fmt::Debug for Name<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<K: Kind, const N: usize> Serialize for Name<K, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, K: Kind<Invalid: fmt::Display>, const N: usize> Deserialize<'de> for Name<K, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(K::EXPECTED, PhantomData))
    }
}

/// One occurrence of a fault, not a kind of fault: a reset of one never resets the next. As text `{boot}-{counter}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Occurrence {
    /// The boot in which it occurred.
    pub boot: Boot,
    /// The device's non-volatile count of faults.
    pub counter: u32,
}

/// A text that is not an occurrence of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fault is named by its boot and its number, as 00000003deadbeef-7; `thermowell reset status` shows it")]
pub struct InvalidOccurrence;

impl From<Fault> for Occurrence {
    fn from(fault: Fault) -> Self {
        Self { boot: fault.boot, counter: fault.counter }
    }
}

impl FromStr for Occurrence {
    type Err = InvalidOccurrence;

    fn from_str(text: &str) -> Result<Self, InvalidOccurrence> {
        let (boot, counter) = text.split_once('-').ok_or(InvalidOccurrence)?;
        let occurrence = Self {
            boot: boot.parse().map_err(|_: InvalidBoot| InvalidOccurrence)?,
            counter: counter.parse().map_err(|_| InvalidOccurrence)?,
        };
        // One text per occurrence: subjects are compared as bytes, and capitals, a sign or a leading zero would make
        // two subjects of one occurrence.
        let mut canonical = heapless::String::<32>::new();
        let fits = fmt::write(&mut canonical, format_args!("{occurrence}")).is_ok();
        if fits && canonical == text { Ok(occurrence) } else { Err(InvalidOccurrence) }
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.counter)
    }
}

impl Serialize for Occurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Occurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(&"a name", PhantomData))
    }
}

/// Parses what is a string in JSON. A visitor, because a reader, a parsed tree or an escaped string cannot lend a
/// `&str`.
pub(crate) struct Text<T>(pub(crate) &'static dyn fmt::Display, pub(crate) PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn names_that_are_not_one_subject_token_are_refused() {
        for bad in ["", "a.b", "a b", "*", ">", "ä", "a23456789012345678901234567890123"] {
            assert_eq!(bad.parse::<OperatorName>(), Err(InvalidOperatorName), "{bad}");
            assert_eq!(bad.parse::<CommandId>(), Err(InvalidCommandId), "{bad}");
            assert_eq!(bad.parse::<Occurrence>(), Err(InvalidOccurrence), "{bad}");
        }
        for bad in ["Anna", "-anna", "_anna"] {
            assert_eq!(bad.parse::<OperatorName>(), Err(InvalidOperatorName), "{bad}");
        }
        for good in ["anna", "0", "b_e-n", "a2345678901234567890123456789012"] {
            assert_eq!(good.parse::<OperatorName>().unwrap().to_string(), good);
            assert_eq!(good.parse::<CommandId>().unwrap().to_string(), good);
        }
        assert_eq!("-X_9".parse::<CommandId>().unwrap().as_str(), "-X_9");
    }

    #[test]
    fn occurrence_accepts_only_its_canonical_text() {
        let fault = Occurrence { boot: Boot::new(3, 0xdead_beef), counter: 7 };
        assert_eq!(fault.to_string(), "00000003deadbeef-7");
        assert_eq!("00000003deadbeef-7".parse(), Ok(fault));
        let last = Occurrence { boot: Boot(u64::MAX), counter: u32::MAX };
        assert_eq!(last.to_string().parse(), Ok(last));
        for bad in ["00000003DEADBEEF-7", "00000003deadbeef-07", "00000003deadbeef-+7", "3-7", "00000003deadbeef-"] {
            assert_eq!(bad.parse::<Occurrence>(), Err(InvalidOccurrence), "{bad}");
        }
    }

    #[test]
    fn names_deserialize_from_every_json_source() {
        let fault = Occurrence { boot: Boot::new(3, 0xdead_beef), counter: 7 };
        assert_eq!(serde_json::to_string(&fault).unwrap(), "\"00000003deadbeef-7\"");
        assert_eq!(serde_json::from_value::<Occurrence>(serde_json::to_value(fault).unwrap()).unwrap(), fault);
        assert_eq!(serde_json::from_str::<OperatorName>("\"\\u0061nna\"").unwrap().as_str(), "anna");
        assert!(serde_json::from_str::<OperatorName>("\"Anna\"").is_err());
        assert!(serde_json::from_reader::<_, CommandId>("\"a.b\"".as_bytes()).is_err());
    }

    #[test]
    fn boiler_id_is_a_valid_token_or_refused() {
        for good in ["b1", "0", "boiler_house-2", "a234567890123456789012345678901z"] {
            assert!(good.parse::<BoilerId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "B1", "a.b", "a b", "ä", "a*", "a>", "a/b", "a2345678901234567890123456789012z"] {
            assert!(bad.parse::<BoilerId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn boiler_id_deserializes_from_every_json_source() {
        let id: BoilerId = "b1".parse().unwrap();
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<BoilerId>(&text).unwrap(), id);
        assert_eq!(serde_json::from_reader::<_, BoilerId>(text.as_bytes()).unwrap(), id);
        assert_eq!(serde_json::from_value::<BoilerId>(serde_json::to_value(&id).unwrap()).unwrap(), id);
        assert!(serde_json::from_str::<BoilerId>("\"B1\"").is_err());
    }
}
