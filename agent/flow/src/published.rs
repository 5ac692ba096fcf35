//! The published JSON: one type per message, with its fields in the order of the text.
//!
//! Temperatures are °C with two decimals, computed from integers by one rule ([`centi_mean`], half away from zero),
//! times are Unix seconds, boots are strings of 16 hexadecimal digits (JSON numbers lose their low bits). An unknown
//! value is `null`, never 0 and never the last value.

mod ambient;
mod command;
mod event;

use alloc::string::String;
use core::fmt;
use core::ops::AddAssign;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{ActiveSetpoint, BoilerState, Demand, Fault};
use thermowell_wire::{BoilerId, Boot, CentiCelsius, Quality, Slot};

pub(crate) use ambient::AHEAD_MAX;
pub use ambient::{AmbientReading, Unusable, age_max};
pub use command::{Action, Approval, Approved, BasedOn, Command, Reset};
pub use event::{Decision, Deficit, Event, EventBody, FaultReport, Forecast, Outcome};

/// The mean of `count` centi-degrees that add up to `sum`, in centi-degrees, half away from zero; `None` if `count` is
/// 0.
#[must_use]
pub fn centi_mean(sum: i64, count: u64) -> Option<i64> {
    let count = i64::try_from(count).ok().filter(|&count| count > 0)?;
    let half = if sum < 0 { -(count / 2) } else { count / 2 };
    Some((sum + half) / count)
}

/// Centi-degrees in °C. The nearest double prints with at most two decimals.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "centi-degrees of means and extremes stay far below 2^53")]
pub fn celsius(centi: i64) -> f64 {
    centi as f64 / 100.0
}

/// `boiler.{id}.status`: the device's last status and the state of the link, by the agent, once a second and on
/// change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    pub boiler: BoilerId,
    /// When the agent created this, Unix seconds.
    pub created_at: f64,
    /// The state of the serial link.
    pub link: Link,
    /// The device's last report; `None` before its first status, or when the link is down.
    pub device: Option<DeviceStatus>,
    /// The newest slot that the agent has read from the device.
    pub newest: Option<Slot>,
    /// Slots read from the device and not yet acknowledged by the server.
    pub backlog: u64,
    /// Not a real boiler.
    pub simulated: bool,
    pub version: u8,
}

/// The state of the serial link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The port does not exist or is not open.
    #[default]
    Down,
    /// The port is open; no valid frame yet, or none for a second.
    Silent,
    /// The device is not the one to which this boiler is bound, or has a newer protocol.
    Refused,
    /// Samples flow.
    Up,
}

/// The device's reports other than samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceStatus {
    pub boot: Boot,
    /// Serial number of the board.
    pub serial_number: String,
    /// Name and version of the firmware.
    pub firmware: String,
    pub state: BoilerState,
    /// The burner burns.
    pub flame: bool,
    /// The heating pump runs.
    pub pump: bool,
    /// Hot water is drawn.
    pub hot_water: bool,
    /// Burner power, percent of the maximum.
    pub modulation: u8,
    /// Return temperature, °C; like the next three, null without a plausible reading ([`crate::plausible`]).
    pub return_temperature: Option<f64>,
    /// Room temperature, °C.
    pub room: Option<f64>,
    /// Outdoor temperature, °C.
    pub outdoor: Option<f64>,
    /// Water pressure, mbar.
    pub pressure_mbar: Option<u16>,
    /// The flow temperature of the device's own control when it connected, °C; its lower limit if it gave no heat.
    pub own_flow: f64,
    /// The active lease; `None` if the device is on its own control.
    pub setpoint: Option<AcceptedSetpoint>,
    /// The newest fault that has not ended.
    pub fault: Option<Fault>,
    /// Burner starts since this boot.
    pub burner_starts: u32,
}

/// The active set-point: as accepted, not as requested.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AcceptedSetpoint {
    /// The number of the request.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// Flow temperature after the device's own limits, °C.
    pub flow: f64,
    /// Seconds until it expires.
    pub lease_left_s: f64,
}

impl From<ActiveSetpoint> for AcceptedSetpoint {
    fn from(active: ActiveSetpoint) -> Self {
        Self {
            n: active.n,
            demand: active.demand,
            flow: active.flow.celsius(),
            lease_left_s: f64::from(active.lease_left_ms) / 1_000.0,
        }
    }
}

/// `boiler.{id}.state`: by the aggregator after each batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct State {
    pub boiler: BoilerId,
    /// The aggregator's instance; a state of another instance younger than 5 s makes an aggregator stand by.
    pub instance: String,
    /// When the newest slot was sampled, Unix seconds. Age and freshness are computed from it.
    pub stamp: f64,
    /// The newest slot that is accounted for.
    pub slot: Slot,
    /// The newest slot's reading, °C; null if the next field is not `ok`.
    pub current: Option<f64>,
    /// Verdict on the newest slot.
    pub quality: SlotQuality,
    /// Whether the newest second is a heating second.
    pub heating: bool,
    /// Mean over the valid readings of the last hour, °C.
    pub average: Option<f64>,
    /// The number of those readings.
    pub average_points: u64,
    /// Mean over the valid readings of the last hour's heating seconds, °C.
    pub average_heating: Option<f64>,
    /// Heating seconds in the last hour ÷ 3,600.
    pub heating_share: f64,
    /// Valid time in the last hour ÷ the hour.
    pub coverage: f64,
    /// Smallest valid reading of the last hour, °C.
    pub minimum: Option<f64>,
    /// Largest valid reading of the last hour, °C.
    pub maximum: Option<f64>,
    /// The hour that is open, or that has ended without a sample of the next one.
    pub provisional: Provisional,
    /// The last hour that this instance published or found published, RFC 3339.
    pub last_hour: Option<String>,
    /// Whether the clock of the stamp was synchronised.
    pub clock: ClockQuality,
    /// Not a real boiler.
    pub simulated: bool,
    pub version: u8,
}

impl State {
    /// How far it can be trusted when that is the verdict on the age of its newest slot. Old stays old: without an
    /// average, a state that is not too old has its reason from the newest slot.
    #[must_use]
    pub fn freshness(&self, by_age: Freshness) -> Freshness {
        if self.average.is_some() || by_age == Freshness::Fault {
            return by_age;
        }
        match self.quality {
            SlotQuality::Open | SlotQuality::Short | SlotQuality::OutOfRange => Freshness::NoValidReading,
            SlotQuality::Ok | SlotQuality::Missing => Freshness::Warming,
        }
    }
}

/// The verdict on the newest slot's reading, or `missing`. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SlotQuality {
    /// A plausible temperature.
    Ok,
    /// The sensor's circuit is open.
    Open,
    /// The sensor's circuit is shorted.
    Short,
    /// Implausible for water.
    OutOfRange,
    /// The slot is in a gap, whose reason is counted in the hour's `missing`.
    Missing,
}

impl From<Quality> for SlotQuality {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Ok => Self::Ok,
            Quality::Open => Self::Open,
            Quality::Short => Self::Short,
            Quality::OutOfRange => Self::OutOfRange,
        }
    }
}

/// How far a [`State`] can be trusted now. Shown to users, and a condition of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// There is no average yet: within the hour there are only gaps.
    Warming,
    /// Samples arrive, but no reading of the last hour is valid: the sensor is broken.
    NoValidReading,
    /// The newest slot is recent.
    Fresh,
    /// No new slot for a while: keep the current lease, but do not request heat.
    Coasting,
    /// No new slot for so long that the state must not be used.
    Fault,
}

/// The age limits of freshness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessLimits {
    /// Maximum age of `Fresh`.
    pub fresh: Duration,
    /// Maximum age of `Coasting`.
    pub coasting: Duration,
}

impl FreshnessLimits {
    /// 5 s and 60 s of real time, on an axis that runs `speed` times as fast.
    #[must_use]
    pub fn at_speed(speed: u32) -> Self {
        Self { fresh: Duration::from_secs(5) * speed, coasting: Duration::from_secs(60) * speed }
    }
}

/// The rule for the age of the newest slot: `Fresh`, `Coasting` or `Fault`. With an average or without: see
/// [`State::freshness`].
#[must_use]
pub fn freshness(age: Duration, limits: &FreshnessLimits) -> Freshness {
    match age {
        age if age <= limits.fresh => Freshness::Fresh,
        age if age <= limits.coasting => Freshness::Coasting,
        _ => Freshness::Fault,
    }
}

/// The hour that has no snapshot yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Provisional {
    /// Beginning of the hour, RFC 3339.
    pub hour: String,
    /// Mean so far, °C.
    pub temperature: Option<f64>,
    /// The number of those readings.
    pub points: u64,
}

/// `boiler.{id}.hourly-snapshot`: the event for one closed UTC hour; also the aggregator's checkpoint.
///
/// The first three names are fixed: existing readers use them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// Mean of the hour's valid readings, °C.
    pub temperature: Option<f64>,
    /// End of the hour, Unix seconds: from the data, so that a replay gives the same bytes.
    pub created_at: i64,
    /// Number of readings in the mean.
    pub temperature_points: u64,
    pub boiler: BoilerId,
    /// Beginning of the hour, RFC 3339.
    pub hour: String,
    /// Smallest valid reading, °C.
    pub minimum: Option<f64>,
    /// Largest valid reading, °C.
    pub maximum: Option<f64>,
    /// Counted time ÷ 3,600 s, at most 1.
    pub coverage: f64,
    /// The boiler's history begins within this hour, or was lost before it.
    pub partial: bool,
    /// The part of the hour in which rooms were heated.
    pub heating: HeatingPart,
    /// Device slots whose stamped UTC lies in the hour: `temperature_points + Σ missing`.
    pub slots: u64,
    /// The slots that are not in the mean, by reason.
    pub missing: Missing,
    /// Hours without a snapshot between the predecessor and this one.
    pub skipped_hours: u64,
    /// Sum of the counted readings, centi-degrees.
    pub sum_centi: i64,
    /// The first slot accounted for; null in an hour without numbered slots.
    pub first: Option<Slot>,
    /// The last slot accounted for; in an hour without numbered slots the last one before it. The next hour begins
    /// after it.
    pub last: Slot,
    /// The hour's messages in SAMPLES.
    pub samples: SamplesRange,
    /// Not a real boiler.
    pub simulated: bool,
    /// Whether the clock was synchronised for every stamp in it.
    pub clock: ClockQuality,
    pub version: u8,
}

/// The part of an hour in which heat went to the rooms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeatingPart {
    /// Mean of its valid readings, °C.
    pub temperature: Option<f64>,
    /// The number of those readings.
    pub points: u64,
}

/// Slots that are not in an average, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Missing {
    /// The device's ring no longer held them.
    pub ring: u64,
    /// Between two starts of the firmware.
    pub reboot: u64,
    /// The firmware missed the time of sampling.
    pub missed: u64,
    /// Read, but not with quality `ok`.
    pub invalid: u64,
    /// Without a trusted time.
    pub clock: u64,
    /// Removed from the stream before they were read.
    pub discarded: u64,
    /// Unknown cause: a bug.
    pub unexplained: u64,
}

impl Missing {
    /// The slots of each reason, by its name in JSON.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u64); 7] {
        let Self { ring, reboot, missed, invalid, clock, discarded, unexplained } = *self;
        [
            ("ring", ring),
            ("reboot", reboot),
            ("missed", missed),
            ("invalid", invalid),
            ("clock", clock),
            ("discarded", discarded),
            ("unexplained", unexplained),
        ]
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason().iter().fold(0, |total, (_, slots)| total.saturating_add(*slots))
    }
}

impl AddAssign for Missing {
    fn add_assign(&mut self, other: Self) {
        let Self { ring, reboot, missed, invalid, clock, discarded, unexplained } = other;
        self.ring = self.ring.saturating_add(ring);
        self.reboot = self.reboot.saturating_add(reboot);
        self.missed = self.missed.saturating_add(missed);
        self.invalid = self.invalid.saturating_add(invalid);
        self.clock = self.clock.saturating_add(clock);
        self.discarded = self.discarded.saturating_add(discarded);
        self.unexplained = self.unexplained.saturating_add(unexplained);
    }
}

/// The reasons with slots: `ring 12, reboot 300`.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_slots = self.by_reason().into_iter().filter(|(_, slots)| *slots > 0);
        with_slots.enumerate().try_for_each(|(at, (reason, slots))| {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{reason} {slots}")
        })
    }
}

/// An hour's messages in SAMPLES.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SamplesRange {
    /// The message 120 s before the hour, at which a replay starts to warm up.
    pub replay: u64,
    /// The first message with slots of the hour; without slots, the last message before it.
    pub first: u64,
    /// The last message with slots of the hour; without slots, the last message before it.
    pub last: u64,
}

/// `boiler.{id}`: one sample, for programs that expect one message each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeedEvent {
    /// Always `TemperatureSampled`.
    pub name: String,
    /// The boot.
    pub boot: Boot,
    /// The slot in it.
    pub seq: u64,
    pub data: FeedData,
    /// The sequence of its message in SAMPLES when it was made; after a power cut that may be another message.
    pub samples: u64,
}

/// The reading of a [`FeedEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeedData {
    /// °C; null if the reading is not valid.
    pub temperature: Option<f64>,
    /// When it was sampled, Unix seconds.
    pub created_at: f64,
    /// Present if the reading is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// `boiler.{id}.setpoint`: the controller's request; it expires at the end of the lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lease {
    /// Heat or no heat.
    pub demand: Demand,
    /// Flow temperature, °C; ignored without demand.
    pub flow: f64,
    /// Seconds from its acceptance by the device until it ends.
    pub lease_s: u16,
    /// The newest slot known at the decision.
    pub based_on: Slot,
    /// The requesting process; while it renews, another controller stands by.
    pub instance: String,
    /// When it was decided, Unix seconds; informational, not used for ordering.
    pub created_at: f64,
    pub version: u8,
}

impl Lease {
    /// The flow temperature in the unit of the line.
    #[must_use]
    pub fn flow_centi(&self) -> CentiCelsius {
        CentiCelsius::from_celsius(self.flow)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn missing_adds_and_names_each_reason_as_json_does() {
        let mut missing =
            Missing { ring: 1, reboot: 2, missed: 4, invalid: 8, clock: 16, discarded: 32, unexplained: 64 };
        missing += missing;
        let json = serde_json::to_value(missing).unwrap();
        for ((reason, slots), expected) in missing.by_reason().into_iter().zip([2, 4, 8, 16, 32, 64, 128]) {
            assert_eq!((slots, json[reason].as_u64()), (expected, Some(expected)), "{reason}");
        }
        assert_eq!(missing.total(), 254);
        let some = Missing { ring: 12, reboot: 300, ..Missing::default() };
        assert_eq!((some.to_string().as_str(), Missing::default().to_string().as_str()), ("ring 12, reboot 300", ""));
    }
}
