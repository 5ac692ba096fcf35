//! Names in the subjects of commands and resets: the operator, the command, the occurrence of a fault.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::line::Fault;
use crate::{Boot, InvalidBoot};

/// The name of an operator: `[a-z0-9][a-z0-9_-]{0,31}`, a NATS token and the name of a NATS user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorName(heapless::String<32>);

/// A text that is not an operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operator's name has 1 to 32 characters of a-z, 0-9, '_' and '-', and begins with a letter or a digit")]
pub struct InvalidOperatorName;

impl OperatorName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = InvalidOperatorName;

    fn from_str(text: &str) -> Result<Self, InvalidOperatorName> {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !begins || !text.bytes().all(is_inner) {
            return Err(InvalidOperatorName);
        }
        heapless::String::try_from(text).map(Self).map_err(|_| InvalidOperatorName)
    }
}

/// The id of one command, which is never reused: a later message with the same id, from any sender, is the same
/// command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(heapless::String<32>);

/// A text that is not a command's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a command's id has 1 to 32 characters of a-z, A-Z, 0-9, '_' and '-'")]
pub struct InvalidCommandId;

impl CommandId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommandId {
    type Err = InvalidCommandId;

    fn from_str(text: &str) -> Result<Self, InvalidCommandId> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.is_empty() || !text.bytes().all(is_fine) {
            return Err(InvalidCommandId);
        }
        heapless::String::try_from(text).map(Self).map_err(|_| InvalidCommandId)
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

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.boot, self.counter)
    }
}

impl Serialize for OperatorName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Occurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OperatorName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<'de> Deserialize<'de> for CommandId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Occurrence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// Deserializes a name from a string. A visitor, because only some sources can lend a `&str`.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> serde::de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
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
}
