//! The JSON that others read: one type per message, in the order in which the fields are printed.
//!
//! Temperatures are °C with two decimals made from integers by one rule ([`centi_mean`], half away from zero), times
//! are Unix seconds, boots are strings of 16 hexadecimal digits (JSON numbers lose their low bits). A value that is
//! not known is `null`, never 0 and never the last one.

mod command;
mod event;

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{ActiveSetpoint, BoilerState, Demand, Fault};
use thermowell_wire::{BoilerId, Boot, CentiCelsius, Quality, Slot};

pub use command::{Action, Approval, Approved, BasedOn, Command, Reset};
pub use event::{Decision, Event, EventBody, FaultReport, Outcome};

/// The mean of `count` centi-degrees that add up to `sum`, in centi-degrees, half away from zero; none of nothing.
#[must_use]
pub fn centi_mean(sum: i64, count: u64) -> Option<i64> {
    let count = i64::try_from(count).ok().filter(|&count| count > 0)?;
    let half = if sum < 0 { -(count / 2) } else { count / 2 };
    Some((sum + half) / count)
}

/// Centi-degrees as the decimal °C that is printed: the nearest double prints with at most two decimals.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "centi-degrees of means and extremes stay far below 2^53")]
pub fn celsius(centi: i64) -> f64 {
    centi as f64 / 100.0
}

/// `boiler.{id}.status`: the device's last status and the state of the link, by the agent, once a second and on
/// change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The boiler.
    pub boiler: BoilerId,
    /// When the agent made this, Unix seconds.
    pub created_at: f64,
    /// The state of the serial link.
    pub link: Link,
    /// What the device said last; none before its first status, or when the link is down.
    pub device: Option<DeviceStatus>,
    /// The newest slot that the agent has read from the device.
    pub newest: Option<Slot>,
    /// Slots read from the device and not yet acknowledged by the server.
    pub backlog: u64,
    /// Not a real boiler.
    pub simulated: bool,
    /// Of this layout.
    pub version: u8,
}

/// The state of the serial link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The port is not there or not open.
    #[default]
    Down,
    /// The port is open; no valid frame yet, or none for a second.
    Silent,
    /// The device is not the one that this boiler is bound to, or speaks a newer protocol.
    Refused,
    /// Samples flow.
    Up,
}

/// What the device reports beside the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its start.
    pub boot: Boot,
    /// Serial number of its board.
    pub serial_number: String,
    /// Name and version of its firmware.
    pub firmware: String,
    /// What it is doing.
    pub state: BoilerState,
    /// The burner burns.
    pub flame: bool,
    /// The heating pump runs.
    pub pump: bool,
    /// Hot water is drawn.
    pub hot_water: bool,
    /// Burner power, percent of the maximum.
    pub modulation: u8,
    /// Return temperature, °C; like the next three, null where there is no plausible reading
    /// ([`crate::plausible`]).
    pub return_temperature: Option<f64>,
    /// Room temperature, °C.
    pub room: Option<f64>,
    /// Outdoor temperature, °C.
    pub outdoor: Option<f64>,
    /// Water pressure, mbar.
    pub pressure_mbar: Option<u16>,
    /// The flow temperature that it holds on its own control, °C.
    pub own_flow: f64,
    /// The lease that it obeys; none means that it is on its own control.
    pub setpoint: Option<AcceptedSetpoint>,
    /// The newest fault that still stands.
    pub fault: Option<Fault>,
    /// Burner starts since this boot.
    pub burner_starts: u32,
}

/// The set-point that the device obeys: what was accepted, not what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptedSetpoint {
    /// The number of the request.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// After the device's own limits, °C.
    pub flow: f64,
    /// Seconds until the device forgets it.
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
pub struct State {
    /// The boiler.
    pub boiler: BoilerId,
    /// The aggregator's instance; another one that is younger than 5 s makes a second aggregator stand by.
    pub instance: String,
    /// When the newest slot was taken, Unix seconds: what age and freshness are computed from.
    pub stamp: f64,
    /// The newest slot that is accounted for.
    pub slot: Slot,
    /// The newest slot's reading, °C; null where the next field is not `ok`.
    pub current: Option<f64>,
    /// Verdict on the newest slot.
    pub quality: SlotQuality,
    /// The newest second is a heating second.
    pub heating: bool,
    /// Mean over the valid readings of the last hour, °C.
    pub average: Option<f64>,
    /// How many readings that are.
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
    /// Hours closed and published by this instance or found published.
    pub last_hour: Option<String>,
    /// Whether the stamp can be trusted.
    pub clock: ClockQuality,
    /// Not a real boiler.
    pub simulated: bool,
    /// Of this layout.
    pub version: u8,
}

/// What the newest slot is worth: the verdict on its reading, or that it has none. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotQuality {
    /// A plausible temperature.
    Ok,
    /// The sensor's circuit is open.
    Open,
    /// The sensor's circuit is shorted.
    Short,
    /// No water has this temperature.
    OutOfRange,
    /// The slot was never read: it lies in a gap, whose reason stands in the hour's `missing`.
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

/// How far what a [`State`] says can be trusted now: what people see, and what gates control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// There is no average yet.
    Warming,
    /// The newest slot is young.
    Fresh,
    /// Nothing came for a while: good enough to wait, not to ask for heat.
    Coasting,
    /// Nothing came for so long that nothing may rest on it.
    Fault,
}

/// The ages at which freshness is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreshnessLimits {
    /// The oldest that is fresh.
    pub fresh: Duration,
    /// The oldest that is not a fault.
    pub coasting: Duration,
}

impl FreshnessLimits {
    /// 5 s and 60 s of real time, on an axis that runs `speed` times as fast.
    #[must_use]
    pub fn at_speed(speed: u32) -> Self {
        Self { fresh: Duration::from_secs(5) * speed, coasting: Duration::from_secs(60) * speed }
    }
}

/// The one rule for freshness: `age` is that of the newest slot, none where no average is there.
#[must_use]
pub fn freshness(age: Option<Duration>, limits: &FreshnessLimits) -> Freshness {
    match age {
        None => Freshness::Warming,
        Some(age) if age <= limits.fresh => Freshness::Fresh,
        Some(age) if age <= limits.coasting => Freshness::Coasting,
        Some(_) => Freshness::Fault,
    }
}

/// The hour that has no snapshot yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provisional {
    /// Its beginning, RFC 3339.
    pub hour: String,
    /// Mean so far, °C.
    pub temperature: Option<f64>,
    /// How many readings that are.
    pub points: u64,
}

/// `boiler.{id}.hourly-snapshot`: the event for one closed UTC hour; also the aggregator's checkpoint.
///
/// The first three names are fixed: existing readers use them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Mean of the hour's valid readings, °C.
    pub temperature: Option<f64>,
    /// End of the hour, Unix seconds: from the data, so that a replay gives the same bytes.
    pub created_at: i64,
    /// How many readings the mean is made of.
    pub temperature_points: u64,
    /// The boiler.
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
    /// The part of it that heated rooms.
    pub heating: HeatingPart,
    /// Device slots whose stamped UTC lies in the hour: `temperature_points + Σ missing`.
    pub slots: u64,
    /// The slots that are not in the mean, by reason.
    pub missing: Missing,
    /// Hours without a snapshot between the predecessor and this one.
    pub skipped_hours: u64,
    /// Sum of the counted readings, centi-degrees.
    pub sum_centi: i64,
    /// The first slot accounted for; none in an hour without slots of a boot.
    pub first: Option<Slot>,
    /// The last slot accounted for, in an hour without slots of a boot the last one before it: the next hour begins
    /// behind it.
    pub last: Slot,
    /// Where the hour lies in SAMPLES.
    pub samples: SamplesRange,
    /// Not a real boiler.
    pub simulated: bool,
    /// Whether every stamp in it can be trusted.
    pub clock: ClockQuality,
    /// Of this layout.
    pub version: u8,
}

/// The part of an hour in which heat went to the rooms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeatingPart {
    /// Mean of its valid readings, °C.
    pub temperature: Option<f64>,
    /// How many readings that are.
    pub points: u64,
}

/// Slots that are not in an average, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The device's ring no longer reached back so far.
    pub ring: u64,
    /// Between two starts of the firmware.
    pub reboot: u64,
    /// The firmware did not get round to sampling.
    pub missed: u64,
    /// Read, but the quality is not `ok`.
    pub invalid: u64,
    /// Without a trustworthy place in time.
    pub clock: u64,
    /// The server would never take them, or they left the stream before they were read.
    pub discarded: u64,
    /// Nobody knows: an error in this software.
    pub unexplained: u64,
}

impl Missing {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ring + self.reboot + self.missed + self.invalid + self.clock + self.discarded + self.unexplained
    }
}

/// Where an hour lies in SAMPLES.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SamplesRange {
    /// The message 120 s before the hour, from which a replay warms up.
    pub replay: u64,
    /// The first message with slots of the hour; in an hour without, the last message before it.
    pub first: u64,
    /// The last message with slots of the hour; in an hour without, the last message before it.
    pub last: u64,
}

/// `boiler.{id}`: one sample, for programs that expect one message each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedEvent {
    /// Always `TemperatureSampled`.
    pub name: String,
    /// The start of the firmware.
    pub boot: Boot,
    /// The slot in it.
    pub seq: u64,
    /// The reading.
    pub data: FeedData,
    /// The SAMPLES message that it comes from: the resume point.
    pub samples: u64,
}

/// The reading of a [`FeedEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedData {
    /// °C; null where the reading is not valid.
    pub temperature: Option<f64>,
    /// When it was taken, Unix seconds.
    pub created_at: f64,
    /// Present where the reading is not valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
}

/// `boiler.{id}.setpoint`: what the controller asks for now; forgotten when the lease ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Heat or no heat.
    pub demand: Demand,
    /// Flow temperature, °C; ignored without demand.
    pub flow: f64,
    /// Seconds until it ends, from when the device accepts it.
    pub lease_s: u16,
    /// The newest slot that the decision knew.
    pub based_on: Slot,
    /// The process that asks; while it renews, another controller stands by.
    pub instance: String,
    /// When it was decided, Unix seconds; for people, never for order.
    pub created_at: f64,
    /// Of this layout.
    pub version: u8,
}

impl Lease {
    /// The flow temperature as the line carries it.
    #[must_use]
    pub fn flow_centi(&self) -> CentiCelsius {
        CentiCelsius::from_celsius(self.flow)
    }
}
