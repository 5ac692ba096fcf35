//! The messages of the line.
//!
//! The order of variants and fields *is* the layout. Variants are only ever added at the end; a struct never gains a
//! field, because an older reader refuses bytes that it cannot name: what is new becomes a message of its own.

use serde::{Deserialize, Serialize};

use crate::{Boot, CentiCelsius, Reading};

/// The most readings in one `Samples`: 32 × 4 bytes and the head stay below a frame.
pub const READINGS_MAX: usize = 32;

/// What the firmware says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToGateway {
    /// Who it is and what it holds: the answer to `Identify`.
    Hello(Hello),
    /// Consecutive readings.
    Samples(Samples),
    /// Slots that it no longer has or never had.
    Gap(GapNotice),
    /// The plant's other signals and the clock: once a second, and on change.
    Status(Status),
    /// What became of a `Setpoint`, `Release` or `Reset`.
    Answer(Answer),
    /// The answer to `Ping`.
    Pong(Pong),
}

/// What the gateway says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDevice {
    /// Asks for `Hello`.
    Identify,
    /// Send from here on.
    Resume {
        /// The boot that is meant; another is answered by `Hello`.
        boot: Boot,
        /// The first slot wanted.
        from: u64,
    },
    /// Asks for `Pong`.
    Ping {
        /// Comes back in the answer.
        nonce: u32,
    },
    /// Asks for a flow temperature, for a while.
    Setpoint(Setpoint),
    /// Ends the lease at once.
    Release {
        /// The boot that is meant.
        boot: Boot,
        /// Rises strictly within the boot.
        n: u32,
    },
    /// Asks to leave a lockout.
    Reset {
        /// The boot that is meant.
        boot: Boot,
        /// Rises strictly within the boot.
        n: u32,
        /// The occurrence that is meant: `Fault::counter`.
        fault: u32,
    },
}

/// Who the firmware is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the line protocol.
    pub protocol: u8,
    /// This start of the firmware.
    pub boot: Boot,
    /// Of the board, unique per maker.
    pub serial_number: heapless::String<24>,
    /// Name and version of the firmware.
    pub firmware: heapless::String<24>,
    /// Microseconds of the device clock between two slots.
    pub period_us: u32,
    /// Slots that the ring holds at most.
    pub ring: u32,
    /// The oldest slot in the ring; equal to `next` while it is empty.
    pub oldest: u64,
    /// The slot that is sampled next.
    pub next: u64,
    /// The device clock now, in microseconds since its start.
    pub device_us: u64,
    /// Not a real boiler.
    pub simulated: bool,
    /// The flow temperature that it holds on its own control.
    pub own_flow: CentiCelsius,
}

/// Consecutive readings of one boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The low byte of the boot.
    pub tag: u8,
    /// The slot of the first reading.
    pub seq: u64,
    /// 1 to 32 readings; none is malformed.
    pub readings: heapless::Vec<Reading, READINGS_MAX>,
}

/// Why slots will never arrive. The line carries `Ring` and `Missed`; the stream all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The device's ring no longer reached back so far.
    Ring,
    /// The firmware did not get round to sampling.
    Missed,
    /// A batch was given up. Nothing writes this: a batch that is too large for the server is cut smaller.
    Discarded,
    /// Time stepped; the slots have no place in it.
    Clock,
}

/// Slots `from..to` of one boot will never arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapNotice {
    /// The low byte of the boot.
    pub tag: u8,
    /// The first missing slot.
    pub from: u64,
    /// The first slot behind them.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}

/// What the boiler is doing. Append only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoilerState {
    /// Nothing is wanted.
    #[default]
    Standby,
    /// Heat is wanted, the minimum off time or the start sequence runs.
    Waiting,
    /// The burner burns.
    Firing,
    /// The pump carries the rest of the heat away.
    Overrun,
    /// A limit holds the burner off; it comes back by itself.
    Blocked,
    /// Off until somebody resets it.
    Lockout,
}

/// What a fault is. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Flow temperature above the blocking limit.
    Overheat,
    /// The flow sensor is open, shorted or implausible.
    Sensor,
    /// No flame after all tries.
    Ignition,
    /// The flame went out.
    FlameLoss,
    /// Water pressure below the limit.
    LowPressure,
    /// The pump does not move water.
    Pump,
    /// The two flow sensors disagree.
    SensorMismatch,
    /// Started too often in a short time.
    BootLoop,
}

impl FaultKind {
    /// Whether the makers leave its reset to somebody who looks at the boiler first: too hot, two sensors that
    /// disagree, and a rise that only a boiler without water has.
    #[must_use]
    pub fn is_local_only(self) -> bool {
        match self {
            Self::Overheat | Self::SensorMismatch | Self::Pump => true,
            Self::Sensor | Self::Ignition | Self::FlameLoss | Self::LowPressure | Self::BootLoop => false,
        }
    }

    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Overheat => "overheat",
            Self::Sensor => "sensor",
            Self::Ignition => "ignition",
            Self::FlameLoss => "flame_loss",
            Self::LowPressure => "low_pressure",
            Self::Pump => "pump",
            Self::SensorMismatch => "sensor_mismatch",
            Self::BootLoop => "boot_loop",
        }
    }
}

/// One occurrence of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// The boot in which it occurred.
    pub boot: Boot,
    /// Counts occurrences, non-volatile: with `boot` it names this one.
    pub counter: u32,
    /// What it is.
    pub kind: FaultKind,
    /// Needs a reset; the others pass by themselves.
    pub lockout: bool,
}

/// The set-point that the device obeys now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveSetpoint {
    /// The request's number.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// The flow temperature after the device's own limits.
    pub flow: CentiCelsius,
    /// Milliseconds of device time until it is forgotten.
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
    /// Return temperature; none where there is no sensor or it is faulty.
    pub return_temperature: Option<CentiCelsius>,
    /// Room temperature; none where there is no sensor or it is faulty.
    pub room: Option<CentiCelsius>,
    /// Outdoor temperature; none where there is no sensor or it is faulty.
    pub outdoor: Option<CentiCelsius>,
    /// Water pressure in mbar.
    pub pressure_mbar: u16,
    /// The lease; none means the boiler is on its own control.
    pub setpoint: Option<ActiveSetpoint>,
    /// What the boiler is doing.
    pub state: BoilerState,
    /// The newest fault that still stands.
    pub fault: Option<Fault>,
    /// Burner starts since this boot.
    pub burner_starts: u32,
}

/// Heat or no heat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Hold the flow temperature.
    Heat,
    /// Burner off; frost protection and hot water override it.
    None,
}

/// Asks for a flow temperature, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setpoint {
    /// The boot that is meant.
    pub boot: Boot,
    /// Rises strictly within the boot, over `Setpoint`, `Release` and `Reset` together.
    pub n: u32,
    /// Heat or no heat.
    pub demand: Demand,
    /// The flow temperature asked for; ignored without demand.
    pub flow: CentiCelsius,
    /// Seconds of device time; the device caps it at 120.
    pub lease_s: u16,
}

/// Why the device did not do it. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Meant for another boot.
    Boot,
    /// Its number did not rise.
    Order,
    /// Locked out.
    Lockout,
    /// Somebody set the boiler by hand at its panel.
    Panel,
    /// There is no such fault.
    NoSuchFault,
    /// This fault is never reset remotely.
    LocalOnly,
    /// Too many resets.
    TooMany,
    /// A lease of 0 s.
    Lease,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done, within the device's limits.
    Accepted {
        /// The flow temperature that is held now.
        flow: CentiCelsius,
        /// The lease that was given, in seconds.
        lease_s: u16,
    },
    /// Not done.
    Refused(Refusal),
}

/// What became of a `Setpoint`, `Release` or `Reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The device's boot.
    pub boot: Boot,
    /// The request's number.
    pub n: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// The answer to `Ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// From the question.
    pub nonce: u32,
    /// The device clock when it was answered, in microseconds.
    pub device_us: u64,
}
