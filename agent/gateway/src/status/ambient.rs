//! Room and outdoor temperature of a boiler: of the configured source, else of the device.

use schemars::JsonSchema;
use serde::Serialize;
use thermowell_flow::published::{AmbientReading, DeviceStatus};
use thermowell_wire::subject::{self, Ambient, stream};
use thermowell_wire::{BoilerId, SourceName};

use super::Boiler;
use crate::config::Config;
use crate::logs;
use crate::nats::{self, Connection, RequestError};

/// A temperature whose source is outside of the boiler.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Outside {
    /// `room` or `outdoor`.
    pub what: &'static str,
    pub source: SourceName,
    /// °C; `null` while it is unknown.
    pub value: Option<f64>,
    /// Age of the source's last reading in seconds of real time; `null` without one.
    pub age_s: Option<f64>,
    /// Why the value is unknown.
    pub why: Option<String>,
}

/// A configured source.
#[derive(Clone, Debug)]
pub(crate) struct Sourced {
    pub(crate) boiler: BoilerId,
    pub(crate) what: Ambient,
    pub(crate) source: SourceName,
}

/// The configured sources of `boiler`, or of all boilers.
pub(crate) fn sources(config: &Config, boiler: Option<&BoilerId>) -> Vec<Sourced> {
    let all = config.ambient().map(|(boiler, what, ambient)| {
        let (boiler, source) = (boiler.clone(), ambient.source.clone());
        Sourced { boiler, what, source }
    });
    all.filter(|sourced| boiler.is_none_or(|boiler| *boiler == sourced.boiler)).collect()
}

impl Sourced {
    /// The source's last reading.
    ///
    /// # Errors
    /// AMBIENT cannot be read; keys from before the source was configured have no right to it.
    pub(crate) async fn read(&self, connection: &Connection) -> Result<Option<AmbientReading>, RequestError> {
        let subject = subject::ambient(&self.boiler, self.what, &self.source);
        let message = nats::last(connection.context(), stream::AMBIENT, &subject).await?;
        let reading = message.and_then(|message| nats::parse::<AmbientReading>(&message.payload).ok());
        Ok(reading.filter(|reading| reading.source == self.source))
    }

    /// What is known at `now_s`, Unix seconds. `age_s` is the age of a stamp in real seconds.
    pub(crate) fn judge(&self, reading: Option<&AmbientReading>, now_s: f64, age_s: impl Fn(f64) -> f64) -> Outside {
        let value = match reading.map(|reading| reading.celsius(self.what, now_s)) {
            None => Err(format!("no reading of {}", self.source)),
            Some(Err(why)) => Err(format!("{}: {why}", self.source)),
            Some(Ok(value)) => Ok(value),
        };
        Outside {
            what: self.what.token(),
            source: self.source.clone(),
            value: value.as_ref().ok().copied(),
            age_s: reading.map(|reading| age_s(reading.stamp)),
            why: value.err(),
        }
    }

    /// What is known if AMBIENT cannot be read.
    pub(crate) fn unread(&self, error: &RequestError) -> Outside {
        let why = match error.is_forbidden() {
            true => "no right to read it: thermowell keys, then reload the server".to_owned(),
            false => logs::chain(error),
        };
        let Self { what, source, .. } = self;
        Outside { what: what.token(), source: source.clone(), value: None, age_s: None, why: Some(why) }
    }
}

impl Boiler {
    /// The room temperature, °C, and its source if that is not the device.
    pub(crate) fn room(&self) -> (Option<f64>, Option<&SourceName>) {
        self.ambient(Ambient::Room, |device| device.room)
    }

    /// The outdoor temperature, °C, and its source if that is not the device.
    pub(crate) fn outdoor(&self) -> (Option<f64>, Option<&SourceName>) {
        self.ambient(Ambient::Outdoor, |device| device.outdoor)
    }

    /// What comes from a source, and not from the device.
    pub(super) fn sourced(&self, what: Ambient) -> Option<&Outside> {
        self.outside.iter().find(|outside| outside.what == what.token())
    }

    fn ambient(&self, what: Ambient, own: fn(&DeviceStatus) -> Option<f64>) -> (Option<f64>, Option<&SourceName>) {
        match self.sourced(what) {
            Some(outside) => (outside.value, Some(&outside.source)),
            None => (self.device().ok().and_then(own), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: f64 = 1_767_744_000.0;

    /// A boiler whose room temperature comes from `hall`; its device reports 20.5 °C and −3 °C outdoors.
    fn boiler(reading: Option<AmbientReading>) -> Boiler {
        let sourced = Sourced { boiler: "b1".parse().unwrap(), what: Ambient::Room, source: "hall".parse().unwrap() };
        let outside = vec![sourced.judge(reading.as_ref(), NOW_S, |stamp| NOW_S - stamp)];
        let status = crate::front::testing::status(NOW_S);
        let boiler = Boiler::of("b1".parse().unwrap(), |stamp| NOW_S - stamp, None, Some(status), None, None);
        Boiler { outside, ..boiler }
    }

    fn reading(value: f64, age_s: f64) -> Option<AmbientReading> {
        Some(AmbientReading { value, stamp: NOW_S - age_s, source: "hall".parse().unwrap(), version: 1 })
    }

    #[test]
    fn failed_read_is_the_reason() {
        let sourced = Sourced { boiler: "b1".parse().unwrap(), what: Ambient::Room, source: "hall".parse().unwrap() };
        let outside = sourced.unread(&RequestError::new("read the last message", "timed out"));
        assert_eq!((outside.value, outside.why.as_deref()), (None, Some("read the last message: timed out")));
    }

    #[test]
    fn age_is_in_real_seconds() {
        let sourced = Sourced { boiler: "b1".parse().unwrap(), what: Ambient::Room, source: "hall".parse().unwrap() };
        let outside = sourced.judge(reading(18.25, 90.0).as_ref(), NOW_S, |stamp| (NOW_S - stamp) / 60.0);
        assert_eq!(outside.age_s, Some(1.5));
    }

    #[test]
    fn source_replaces_the_devices_own_also_while_it_is_silent() {
        let known = boiler(reading(18.25, 90.0));
        let hall = known.outside[0].source.clone();
        assert_eq!((known.room(), known.outdoor()), ((Some(18.25), Some(&hall)), (Some(-3.0), None)));
        assert!(known.text().contains("  room       18.2 °C of hall, 1 min 30 s old\n"), "{}", known.text());
        for (reading, why) in [
            (None, "unknown: no reading of hall\n"),
            (reading(18.25, 2_700.0), "unknown: hall: it is 45 min old\n"),
            (reading(18.25, -90.0), "unknown: hall: its stamp is 90 s ahead of our clock\n"),
            (reading(85.0, 0.0), "unknown: hall: it is not within -10.00 °C to 50.00 °C\n"),
        ] {
            let unknown = boiler(reading);
            assert_eq!(unknown.room(), (None, Some(&hall)), "{why}");
            assert!(unknown.text().contains(why), "{}", unknown.text());
            assert!(unknown.text().lines().all(|line| line.chars().count() <= 80), "{}", unknown.text());
        }
    }
}
