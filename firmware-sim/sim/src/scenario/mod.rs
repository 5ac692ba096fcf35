//! A scenario: plant, weather and faults in TOML, with a seed.
//!
//! Every value has a default, so the empty file is a scenario. Units are in the names (`mean_c`, `pump_l_per_h`) or in
//! the text (`"45 s"`, `"1h30m"`); times are simulated and count from the start of the simulation. An unknown key or a
//! value out of its range is refused with its line and column.
//!
//! Top-level tables apply to every boiler. `[boiler.b2]` and tables below it override single keys for that boiler; its
//! lists (of faults, of draws) are appended to the common ones. Each boiler has its own seed, derived from the
//! scenario's and its id.
//!
//! This module parses and checks the schedule of events. [`crate::sensor`] applies the sensor faults; faults of line
//! and device are applied by [`crate::line`] and [`crate::boiler`].

mod hardware;
mod must;

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf, time::Duration};

use serde::Deserialize;
use thermowell_wire::BoilerId;

use self::hardware::PanelTable;
pub use self::hardware::{FaultyReading, InstallerSettings, ManualSetting, RoomSensorConfig, Senses};
pub use self::must::{FaultName, Must, When};
pub use crate::sensor::Outage;
use crate::{
    plant::{HeatingConfig, HotWaterConfig, HouseConfig, PlantConfig, TroubleConfig},
    quantity::{self, window_us},
    random::mix,
    sensor::SensorConfig,
    weather::WeatherConfig,
};

/// Why a scenario is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The text is not a scenario.
    #[error("{name}:{line}:{column}: {message}")]
    Parse {
        /// The file's name, or a label in its place.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        message: String,
    },
    /// A table below `[boiler]` is not named by a boiler id.
    #[error("{name}: [boiler.{boiler}] is not a boiler id")]
    BoilerId { name: String, boiler: String, source: thermowell_wire::InvalidBoilerId },
    /// A key of the whole scenario is set for one boiler.
    #[error("{name}: [boiler.{boiler}] must not hold `{key}`, which is the whole scenario's")]
    NotHere { name: String, boiler: String, key: &'static str },
    /// Two device faults at the same time: a device that is off cannot miss slots.
    #[error("{name}: {boiler}: the device faults at {first:?} and at {second:?} overlap")]
    Overlap {
        name: String,
        /// `every boiler` or the boiler's id.
        boiler: String,
        /// Begin of the earlier one.
        first: Duration,
        /// Begin of the later one, before the earlier one has ended.
        second: Duration,
    },
}

/// A scenario for any number of boilers.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    seed: u64,
    common: Tables,
    boilers: BTreeMap<BoilerId, Tables>,
}

/// A scenario for one boiler.
#[derive(Clone, Debug, PartialEq)]
pub struct BoilerScenario {
    /// The seed of everything random around this boiler; split it by [`BoilerScenario::seed_of`].
    pub seed: u64,
    pub plant: PlantConfig,
    /// The flow sensor, with its faults.
    pub sensor: SensorConfig,
    /// Faults of the room and outdoor sensor.
    pub senses: Senses,
    pub room_sensor: RoomSensorConfig,
    pub device: DeviceScenario,
    pub line: LineScenario,
}

/// The device's hardware, and its faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceScenario {
    /// Oscillator drift in parts per million, positive for fast: ±100 for a crystal, ±20,000 for an RC oscillator.
    pub drift_ppm: f64,
    /// Faults by time, without overlaps.
    pub faults: Vec<DeviceFault>,
    /// The installer's settings.
    pub installer: InstallerSettings,
    /// Target of a simulated room thermostat in °C, whose contact is wired to the boiler; None without one.
    pub room_contact_c: Option<f64>,
    /// Manual settings at the panel, the earlier first.
    pub manual: Vec<ManualSetting>,
    /// Length of the ring in simulated time. Without it, 120 s of real time: at higher speeds that is so many times
    /// longer, because the gateway's transport does not run faster.
    pub remembers: Option<Duration>,
}

/// One device fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// Begin, in µs of simulated time since the start.
    pub from_us: u64,
    pub until_us: u64,
    pub kind: DeviceFaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceFaultKind {
    /// The device is off, and boots at the end.
    Reboot,
    /// The device does not sample; it reports the slots as missed at the end.
    Missed,
}

/// The serial line, and its faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineScenario {
    /// Faults by time; they may overlap.
    pub faults: Vec<LineFault>,
}

/// One line fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineFault {
    /// Begin, in µs of simulated time since the start.
    pub from_us: u64,
    pub until_us: u64,
    pub kind: LineFaultKind,
}

/// Kinds of line faults. Rates apply to both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LineFaultKind {
    /// Bits flip.
    BitErrors {
        /// Flipped bits in a million.
        ppm: f64,
    },
    /// Bytes vanish.
    LostBytes {
        /// Lost bytes in a million.
        ppm: f64,
    },
    /// All bytes are held back.
    Stall,
    /// The cable is pulled: written bytes are lost, and the port is gone.
    Unplug,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { seed: DEFAULT_SEED, common: Tables::default(), boilers: BTreeMap::new() }
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// If it cannot be read or is not a valid scenario.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses the text of a scenario; `name` identifies it in errors.
    ///
    /// # Errors
    /// If it is not a valid scenario.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        // Parsed twice: as written, which finds wrong keys and values with their position, and then merged per boiler
        // as plain tables, because a default that was not written must not override the common value.
        let written: Tables = toml::from_str(text).map_err(|error| located(name, text, &error))?;
        let mut common: toml::Table = toml::from_str(text).map_err(|error| located(name, text, &error))?;
        let mut boilers = BTreeMap::new();
        let overrides = match common.remove("boiler") {
            Some(toml::Value::Table(overrides)) => overrides,
            // `boiler` was parsed as a map above, so anything but a table is absent.
            Some(_) | None => toml::Table::new(),
        };
        for (boiler, own) in &overrides {
            let own = own.as_table().expect("every entry was parsed as a table above");
            if let Some(key) = ["seed", "boiler"].into_iter().find(|key| own.contains_key(*key)) {
                return Err(ScenarioError::NotHere { name: name.to_owned(), boiler: boiler.clone(), key });
            }
            let id = boiler.parse().map_err(|source| ScenarioError::BoilerId {
                name: name.to_owned(),
                boiler: boiler.clone(),
                source,
            })?;
            let mut merged = common.clone();
            merge(&mut merged, own);
            let tables: Tables = merged.try_into().expect("both parts were checked above, key by key");
            refuse_overlap(name, boiler, &tables.device)?;
            boilers.insert(id, tables);
        }
        let common = Tables { boiler: BTreeMap::new(), ..written };
        refuse_overlap(name, "every boiler", &common.device)?;
        Ok(Self { seed: common.seed, common, boilers })
    }

    /// The seed of the whole scenario.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The same scenario with another seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The assertions about a run of it.
    #[must_use]
    pub fn musts(&self) -> &[Must] {
        &self.common.must
    }

    /// The boilers that the scenario names, to refuse one that does not exist.
    pub fn named(&self) -> impl Iterator<Item = &BoilerId> {
        self.boilers.keys()
    }

    /// The scenario of one boiler.
    #[must_use]
    pub fn boiler(&self, id: &BoilerId) -> BoilerScenario {
        let tables = self.boilers.get(id).unwrap_or(&self.common);
        BoilerScenario {
            seed: split(self.seed, id.as_str()),
            plant: PlantConfig {
                starts_at: tables.starts_at,
                heating: tables.plant.clone(),
                house: tables.house.clone(),
                weather: tables.weather.clone(),
                hot_water: tables.hot_water.clone(),
                trouble: tables.trouble.clone(),
            },
            sensor: tables.sensor.clone(),
            senses: tables.senses.clone(),
            room_sensor: tables.room_sensor.clone(),
            device: tables.device.scenario(),
            line: LineScenario { faults: tables.line.faults() },
        }
    }
}

impl BoilerScenario {
    /// The seed of one part (`"plant"`, `"sensor"`, `"line"`), independent of the other parts.
    #[must_use]
    pub fn seed_of(&self, part: &str) -> u64 {
        split(self.seed, part)
    }
}

/// Seed of a scenario without one.
const DEFAULT_SEED: u64 = 1;

/// A scenario as written in TOML.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tables {
    seed: u64,
    #[serde(deserialize_with = "quantity::offset")]
    starts_at: Duration,
    plant: HeatingConfig,
    house: HouseConfig,
    weather: WeatherConfig,
    hot_water: HotWaterConfig,
    sensor: SensorConfig,
    senses: Senses,
    room_sensor: RoomSensorConfig,
    device: DeviceTable,
    line: LineTable,
    trouble: TroubleConfig,
    must: Vec<Must>,
    boiler: BTreeMap<String, Tables>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            seed: DEFAULT_SEED,
            starts_at: Duration::from_secs(6 * 3_600),
            plant: HeatingConfig::default(),
            house: HouseConfig::default(),
            weather: WeatherConfig::default(),
            hot_water: HotWaterConfig::default(),
            sensor: SensorConfig::default(),
            senses: Senses::default(),
            room_sensor: RoomSensorConfig::default(),
            device: DeviceTable::default(),
            line: LineTable::default(),
            trouble: TroubleConfig::default(),
            must: Vec::new(),
            boiler: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeviceTable {
    #[serde(deserialize_with = "quantity::within::<_, -100_000, 100_000>")]
    drift_ppm: f64,
    #[serde(deserialize_with = "quantity::perhaps::<_, 1, 30>")]
    start_below_k: Option<f64>,
    #[serde(deserialize_with = "quantity::perhaps::<_, 5, 30>")]
    heating_limit_c: Option<f64>,
    #[serde(deserialize_with = "quantity::perhaps::<_, 10, 30>")]
    flow_min_c: Option<f64>,
    #[serde(deserialize_with = "quantity::perhaps::<_, 30, 85>")]
    flow_max_c: Option<f64>,
    #[serde(deserialize_with = "quantity::perhaps::<_, 5, 30>")]
    room_contact_c: Option<f64>,
    #[serde(deserialize_with = "quantity::perhaps_memory")]
    remembers: Option<Duration>,
    panel: Vec<PanelTable>,
    reboot: Vec<Outage>,
    missed: Vec<Outage>,
}

impl DeviceTable {
    fn scenario(&self) -> DeviceScenario {
        let mut manual: Vec<ManualSetting> = self.panel.iter().map(PanelTable::setting).collect();
        manual.sort_by_key(|setting| setting.from_us);
        let Self { drift_ppm, start_below_k, heating_limit_c, flow_min_c, flow_max_c, .. } = *self;
        let installer = InstallerSettings { start_below_k, heating_limit_c, flow_min_c, flow_max_c };
        let Self { room_contact_c, remembers, .. } = *self;
        DeviceScenario { drift_ppm, faults: self.faults(), installer, room_contact_c, manual, remembers }
    }

    fn faults(&self) -> Vec<DeviceFault> {
        let fault = |outage: &Outage, kind| {
            let (from_us, until_us) = outage.window_us();
            DeviceFault { from_us, until_us, kind }
        };
        let reboots = self.reboot.iter().map(|outage| fault(outage, DeviceFaultKind::Reboot));
        let missed = self.missed.iter().map(|outage| fault(outage, DeviceFaultKind::Missed));
        let mut faults: Vec<DeviceFault> = reboots.chain(missed).collect();
        faults.sort_by_key(|fault| (fault.from_us, fault.until_us, fault.kind));
        faults
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LineTable {
    bit_errors: Vec<NoiseTable>,
    lost_bytes: Vec<NoiseTable>,
    stall: Vec<Outage>,
    unplug: Vec<Outage>,
}

/// Noise on the line; without `at` and `for` it is permanent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoiseTable {
    #[serde(default, deserialize_with = "quantity::offset")]
    at: Duration,
    #[serde(rename = "for", default = "unlimited", deserialize_with = "quantity::span")]
    length: Duration,
    #[serde(deserialize_with = "quantity::within::<_, 0, 1_000_000>")]
    ppm: f64,
}

fn unlimited() -> Duration {
    Duration::MAX
}

impl LineTable {
    fn faults(&self) -> Vec<LineFault> {
        let noise = |table: &NoiseTable, kind| {
            let (from_us, until_us) = window_us(table.at, table.length);
            LineFault { from_us, until_us, kind }
        };
        let outage = |outage: &Outage, kind| {
            let (from_us, until_us) = outage.window_us();
            LineFault { from_us, until_us, kind }
        };
        let mut faults: Vec<LineFault> = Vec::new();
        faults.extend(self.bit_errors.iter().map(|t| noise(t, LineFaultKind::BitErrors { ppm: t.ppm })));
        faults.extend(self.lost_bytes.iter().map(|t| noise(t, LineFaultKind::LostBytes { ppm: t.ppm })));
        faults.extend(self.stall.iter().map(|t| outage(t, LineFaultKind::Stall)));
        faults.extend(self.unplug.iter().map(|t| outage(t, LineFaultKind::Unplug)));
        // Stable sort: faults of the same moment keep the order of their kinds.
        faults.sort_by_key(|fault| fault.from_us);
        faults
    }
}

fn refuse_overlap(name: &str, boiler: &str, device: &DeviceTable) -> Result<(), ScenarioError> {
    for pair in device.faults().windows(2) {
        // Adjacent faults are refused too: between two faults the device must run for at least a moment.
        if pair[1].from_us <= pair[0].until_us {
            return Err(ScenarioError::Overlap {
                name: name.to_owned(),
                boiler: boiler.to_owned(),
                first: Duration::from_micros(pair[0].from_us),
                second: Duration::from_micros(pair[1].from_us),
            });
        }
    }
    Ok(())
}

/// Merges `own` into `common`: tables key by key, lists appended, everything else replaced.
fn merge(common: &mut toml::Table, own: &toml::Table) {
    for (key, value) in own {
        match (common.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (Some(toml::Value::Array(below)), toml::Value::Array(above)) => below.extend(above.iter().cloned()),
            (Some(_) | None, value) => {
                common.insert(key.clone(), value.clone());
            }
        }
    }
}

fn located(name: &str, text: &str, error: &toml::de::Error) -> ScenarioError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ScenarioError::Parse {
        name: name.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().trim().replace('\n', ", "),
    }
}

/// A seed for `part`, independent of `seed` and of other parts: FNV-1a over the name, then mixed.
fn split(seed: u64, part: &str) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in part.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

#[cfg(test)]
mod tests;
