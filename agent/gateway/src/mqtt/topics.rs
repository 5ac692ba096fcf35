//! The topics. They are built only here.

use thermowell_wire::BoilerId;

use crate::config::{Config, Mqtt};

/// The topic of Home Assistant's birth, unless the user changed it: its default does not follow the prefix of
/// discovery.
const BIRTH: &str = "homeassistant/status";

/// What gateway and boilers have in common.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    prefix: String,
    discovery: String,
    gateway: String,
}

/// The last level of a topic below `{prefix}/{id}/set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Boost,
    Release,
    BoostFlow,
    BoostMinutes,
}

impl Set {
    pub(super) const ALL: [Self; 4] = [Self::Boost, Self::Release, Self::BoostFlow, Self::BoostMinutes];

    pub(super) fn level(self) -> &'static str {
        match self {
            Self::Boost => "boost",
            Self::Release => "release",
            Self::BoostFlow => "boost-flow",
            Self::BoostMinutes => "boost-minutes",
        }
    }
}

impl Topics {
    pub(super) fn new(config: &Config, mqtt: &Mqtt) -> Self {
        Self { prefix: mqtt.prefix.clone(), discovery: mqtt.discovery.clone(), gateway: config.gateway.clone() }
    }

    /// Whether the gateway is connected.
    pub(super) fn gateway(&self) -> String {
        format!("{}/gateway/{}", self.prefix, self.gateway)
    }

    /// `{prefix}/{id}/{level}`.
    pub(super) fn of(&self, boiler: &BoilerId, level: &str) -> String {
        format!("{}/{boiler}/{level}", self.prefix)
    }

    /// Whether a boiler's values are known.
    pub(super) fn availability(&self, boiler: &BoilerId) -> String {
        self.of(boiler, "availability")
    }

    /// What sets something at a boiler.
    pub(super) fn set(&self, boiler: &BoilerId, set: Set) -> String {
        self.of(boiler, &format!("set/{}", set.level()))
    }

    /// Everything that sets something at a boiler.
    pub(super) fn sets(&self, boiler: &BoilerId) -> String {
        self.of(boiler, "set/+")
    }

    /// Where Home Assistant looks for a device.
    pub(super) fn config(&self, boiler: &BoilerId) -> String {
        format!("{}/device/thermowell_{boiler}/config", self.discovery)
    }

    /// Where the search for listeners publishes: a device that does not exist.
    pub(super) fn probe(&self) -> String {
        format!("{}/device/thermowell-check/config", self.discovery)
    }

    /// Where Home Assistant announces its birth.
    pub(super) fn births(&self) -> Vec<String> {
        let own = format!("{}/status", self.discovery);
        if own == BIRTH { vec![own] } else { vec![own, BIRTH.to_owned()] }
    }

    /// What a topic sets, and at which of these boilers.
    pub(super) fn parse<'a>(&self, topic: &str, boilers: impl Iterator<Item = &'a BoilerId>) -> Option<(usize, Set)> {
        let (id, rest) = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.split_once('/')?;
        let level = rest.strip_prefix("set/")?;
        let at = boilers.into_iter().position(|boiler| boiler.as_str() == id)?;
        Set::ALL.into_iter().find(|set| set.level() == level).map(|set| (at, set))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn set_topics_are_parsed_as_they_are_built() {
        let topics = testing::topics();
        let boilers = ["b1", "b2"].map(|id| id.parse::<BoilerId>().unwrap());
        for (at, boiler) in boilers.iter().enumerate() {
            for set in Set::ALL {
                assert_eq!(topics.parse(&topics.set(boiler, set), boilers.iter()), Some((at, set)));
            }
        }
        for other in ["thermowell/b3/set/boost", "thermowell/b1/set/valve", "thermowell/b1/boost", "other/b1/set/boost"]
        {
            assert_eq!(topics.parse(other, boilers.iter()), None, "{other}");
        }
    }

    #[test]
    fn birth_is_where_home_assistant_has_it_by_default() {
        assert_eq!(testing::topics().births(), ["homeassistant/status"]);
        let other = Topics { discovery: "ha".to_owned(), ..testing::topics() };
        assert_eq!(other.births(), ["ha/status", "homeassistant/status"]);
    }
}
