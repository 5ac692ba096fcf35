//! The messages of the line.
//!
//! The order of variants and fields *is* the layout. Variants are only ever added at the end; a struct never gains a
//! field, because an older reader refuses bytes that it does not expect: new data becomes a message of its own.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{Boot, CentiCelsius, Reading};

/// The most readings in one `Samples`: 32 × 4 bytes and the header fit into a frame.
pub const READINGS_MAX: usize = 32;

/// Messages of the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGateway {
    /// Identity and extent of the ring: the answer to `Identify`.
    Hello(Hello),
    /// Consecutive readings.
    Samples(Samples),
    /// Slots that the ring no longer holds or never held.
    Gap(GapNotice),
    /// The plant's other signals and the clock: once a second and on change.
    Status(Status),
    /// The answer to a `Setpoint`, `Release` or `Reset`.
    Answer(Answer),
    /// The answer to `Ping`.
    Pong(Pong),
}

/// Messages of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDevice {
    /// Requests `Hello`.
    Identify,
    /// Requests samples from a slot on.
    Resume {
        /// The boot that is addressed; the device answers another boot with `Hello`.
        boot: Boot,
        from: u64,
    },
    /// Requests `Pong`.
    Ping {
        /// Returned in the answer.
        nonce: u32,
    },
    /// Requests a flow temperature for the duration of a lease.
    Setpoint(Setpoint),
    /// Ends the lease at once.
    Release {
        /// The boot that is addressed.
        boot: Boot,
        /// Rises strictly within the boot.
        n: u32,
    },
    /// Requests the reset of a lockout.
    Reset {
        /// The boot that is addressed.
        boot: Boot,
        /// Rises strictly within the boot.
        n: u32,
        /// The occurrence to reset: `Fault::counter`.
        fault: u32,
    },
}

/// Identity of the firmware and extent of its ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the line protocol.
    pub protocol: u8,
    /// This start of the firmware.
    pub boot: Boot,
    /// Serial number of the board, unique per maker.
    pub serial_number: heapless::String<24>,
    /// Name and version of the firmware.
    pub firmware: heapless::String<24>,
    /// Microseconds of the device clock between two slots.
    pub period_us: u32,
    /// Capacity of the ring in slots.
    pub ring: u32,
    /// The oldest slot in the ring; equal to `next` while it is empty.
    pub oldest: u64,
    /// The slot that is sampled next.
    pub next: u64,
    /// The device clock now, in microseconds since its start.
    pub device_us: u64,
    /// Not a real boiler.
    pub simulated: bool,
    /// The flow temperature of the device's own control now; its lower limit if it gives no heat.
    pub own_flow: CentiCelsius,
}

/// Consecutive readings of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The low byte of the boot.
    pub tag: u8,
    /// The slot of the first reading.
    pub seq: u64,
    /// 1 to 32 readings; an empty list is malformed.
    pub readings: heapless::Vec<Reading, READINGS_MAX>,
}

/// Why slots will never arrive. `Ring` and `Missed` occur on the line, all of them in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The device's ring no longer held them.
    Ring,
    /// The firmware missed the time of sampling.
    Missed,
    /// A batch was discarded. Never written: a batch that is too large for the server is split.
    Discarded,
    /// The clock stepped; the slots have no time of their own.
    Clock,
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Slots `from..to` of one boot will never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapNotice {
    /// The low byte of the boot.
    pub tag: u8,
    /// The first missing slot.
    pub from: u64,
    /// The slot after the last missing one.
    pub to: u64,
    pub reason: GapReason,
}

/// What the boiler is doing. Append only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BoilerState {
    #[default]
    Standby,
    /// Heat is requested; the minimum off time or the start sequence runs.
    Waiting,
    Firing,
    /// The burner is off; the pump removes the residual heat.
    Overrun,
    /// A limit holds the burner off until the cause is gone.
    Blocked,
    /// Off until it is reset.
    Lockout,
}

/// The kind of a fault. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Flow temperature above the blocking limit.
    Overheat,
    /// The flow sensor is open, shorted or implausible.
    Sensor,
    /// No flame after all attempts.
    Ignition,
    /// The flame went out.
    FlameLoss,
    /// Water pressure below the limit.
    LowPressure,
    /// The pump does not move water.
    Pump,
    /// The two flow sensors disagree.
    SensorMismatch,
    /// Too many starts in a short time.
    BootLoop,
}

impl FaultKind {
    /// Whether the fault may only be reset at the boiler, after an inspection, as the makers require: overheat, two
    /// sensors that disagree, and a temperature rise that occurs only without water.
    #[must_use]
    pub fn is_local_only(self) -> bool {
        match self {
            Self::Overheat | Self::SensorMismatch | Self::Pump => true,
            Self::Sensor | Self::Ignition | Self::FlameLoss | Self::LowPressure | Self::BootLoop => false,
        }
    }
}

/// The name in JSON.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One occurrence of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fault {
    /// The boot in which it occurred.
    pub boot: Boot,
    /// Non-volatile count of occurrences; identifies this one together with `boot`.
    pub counter: u32,
    pub kind: FaultKind,
    /// Needs a reset; other faults end with their cause.
    pub lockout: bool,
}

/// The set-point that the device obeys now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSetpoint {
    /// The number of the request.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// The flow temperature after the device's own limits.
    pub flow: CentiCelsius,
    /// Milliseconds of device time until the lease expires.
    pub lease_left_ms: u32,
}

/// The plant's other signals and the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The low byte of the boot.
    pub tag: u8,
    /// The slot that is sampled next.
    pub next: u64,
    /// The device clock now, in microseconds.
    pub device_us: u64,
    /// Flame, pump and hot-water bits as in [`Reading`]; the quality bits are the flow sensor's.
    pub marks: u8,
    /// Burner power in percent of the maximum; 0 without a flame.
    pub modulation: u8,
    /// Return temperature; `None` without a sensor or if it is faulty.
    pub return_temperature: Option<CentiCelsius>,
    /// Room temperature; `None` without a sensor or if it is faulty.
    pub room: Option<CentiCelsius>,
    /// Outdoor temperature; `None` without a sensor or if it is faulty.
    pub outdoor: Option<CentiCelsius>,
    /// Water pressure in mbar.
    pub pressure_mbar: u16,
    /// The active lease; `None` if the boiler is on its own control.
    pub setpoint: Option<ActiveSetpoint>,
    /// What the boiler is doing.
    pub state: BoilerState,
    /// The newest fault that has not ended.
    pub fault: Option<Fault>,
    /// Burner starts since this boot.
    pub burner_starts: u32,
}

/// Heat or no heat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Hold the flow temperature.
    Heat,
    /// Burner off; frost protection and hot water override it.
    None,
}

/// Requests a flow temperature for the duration of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setpoint {
    /// The boot that is addressed.
    pub boot: Boot,
    /// Rises strictly within the boot, over `Setpoint`, `Release` and `Reset` together.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// The requested flow temperature; ignored without demand.
    pub flow: CentiCelsius,
    /// Seconds of device time; the device caps it at 120.
    pub lease_s: u16,
}

/// Why the device refused a request. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Addressed to another boot.
    Boot,
    /// The request's number did not rise.
    Order,
    /// Locked out.
    Lockout,
    /// The boiler was set by hand at its panel.
    Panel,
    NoSuchFault,
    /// This fault is never reset remotely.
    LocalOnly,
    /// Too many resets.
    TooMany,
    /// A lease of 0 s.
    Lease,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Accepted, within the device's limits.
    Accepted {
        /// The flow temperature that is held now.
        flow: CentiCelsius,
        /// The granted lease, in seconds.
        lease_s: u16,
    },
    Refused(Refusal),
}

/// The answer to a `Setpoint`, `Release` or `Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The device's boot.
    pub boot: Boot,
    /// The number of the request.
    pub n: u32,
    pub outcome: Outcome,
}

/// The answer to `Ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The nonce of the `Ping`.
    pub nonce: u32,
    /// The device clock when it was answered, in microseconds.
    pub device_us: u64,
}
