//! A scenario: the plant, the weather and everything that goes wrong, in TOML, with a seed.
//!
//! Every value has a default, so that the empty file is a scenario. Units are in the names (`mean_c`, `pump_l_per_h`)
//! or in the text (`"45 s"`, `"1h30m"`); times are simulated and count from the start of the simulation. An unknown key
//! or a value out of its range is refused with its line and column.
//!
//! Top-level tables hold for every boiler. `[boiler.b2]` and tables below it change single keys for that boiler; its
//! lists (of faults, of draws) come on top of the common ones. Each boiler has a seed of its own, made of the
//! scenario's and its id.
//!
//! This module says what happens when. The sensor faults are carried out by [`crate::sensor`], the faults of line and
//! device by whoever moves their bytes.

mod hardware;
mod must;
pub(crate) mod quantity;

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf, time::Duration};

use serde::Deserialize;
use thermowell_wire::BoilerId;

use self::hardware::HandTable;
pub use self::hardware::{FaultyReading, Hand, Senses};
pub use self::must::{FaultName, Must, When};
pub use crate::sensor::Outage;
use crate::{
    plant::{HeatingConfig, HotWaterConfig, HouseConfig, PlantConfig, TroubleConfig},
    sensor::SensorConfig,
    weather::WeatherConfig,
};

/// Why a scenario is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not a scenario.
    #[error("{name}:{line}:{column}: {message}")]
    Parse {
        /// The file's name, or what stands for it.
        name: String,
        /// Where, from 1.
        line: usize,
        /// Where in the line, in characters from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// A table below `[boiler]` is not named like a boiler.
    #[error("{name}: [boiler.{boiler}] is not a boiler id")]
    BoilerId {
        /// The file's name.
        name: String,
        /// What stands there.
        boiler: String,
        /// What an id is.
        source: thermowell_wire::InvalidBoilerId,
    },
    /// A key that holds for the whole scenario stands below one boiler.
    #[error("{name}: [boiler.{boiler}] must not hold `{key}`, which is the whole scenario's")]
    NotHere {
        /// The file's name.
        name: String,
        /// The boiler.
        boiler: String,
        /// The key.
        key: &'static str,
    },
    /// Two device faults at the same time: a device that is off cannot miss slots.
    #[error("{name}: {boiler}: the device faults at {first:?} and at {second:?} overlap")]
    Overlap {
        /// The file's name.
        name: String,
        /// `every boiler` or the boiler's id.
        boiler: String,
        /// When the earlier one begins.
        first: Duration,
        /// When the later one begins, before the earlier one has ended.
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
    /// The plant.
    pub plant: PlantConfig,
    /// The flow sensor, with its faults.
    pub sensor: SensorConfig,
    /// The slow sensors, with theirs.
    pub senses: Senses,
    /// The device.
    pub device: DeviceScenario,
    /// The serial line.
    pub line: LineScenario,
}

/// What the device's hardware does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceScenario {
    /// How much faster than true the oscillator runs, in parts per million: ±100 for a crystal, ±20,000 for an RC
    /// oscillator.
    pub drift_ppm: f64,
    /// What goes wrong, by time, none overlapping.
    pub faults: Vec<DeviceFault>,
    /// How many kelvin below the target the burner starts, instead of the firmware's own.
    pub start_below_k: Option<f64>,
    /// What is set by hand, the earlier first.
    pub hands: Vec<Hand>,
    /// How far the ring reaches back, in simulated time. Without it, 120 s of real time: at higher speeds as many
    /// times further, because the gateway's transport does not run faster.
    pub remembers: Option<Duration>,
}

/// One thing that goes wrong with the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// When it begins, in µs of simulated time since the start.
    pub from_us: u64,
    /// When it is over.
    pub until_us: u64,
    /// What it is.
    pub kind: DeviceFaultKind,
}

/// What can go wrong with the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceFaultKind {
    /// It is off, and starts anew at the end.
    Reboot,
    /// It does not sample, and names the slots as missed at the end.
    Missed,
}

/// What the serial line does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineScenario {
    /// What goes wrong, by time; they may overlap.
    pub faults: Vec<LineFault>,
}

/// One thing that goes wrong with the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineFault {
    /// When it begins, in µs of simulated time since the start.
    pub from_us: u64,
    /// When it is over.
    pub until_us: u64,
    /// What it is.
    pub kind: LineFaultKind,
}

/// What can go wrong with the line. The rates hold for both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LineFaultKind {
    /// Bits flip, so many in a million.
    BitErrors {
        /// Flipped bits in a million.
        ppm: f64,
    },
    /// Bytes vanish, so many in a million.
    LostBytes {
        /// Lost bytes in a million.
        ppm: f64,
    },
    /// Nothing moves; what is written waits.
    Stall,
    /// The cable is out: what is written is lost, and the port is gone.
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
    /// When it cannot be read or is not a scenario.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Parses the text of a scenario; `name` stands for it in errors.
    ///
    /// # Errors
    /// When it is not a scenario.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        // Everything is read twice: as written, which finds wrong keys and values with their place, and then merged per
        // boiler as plain tables, because a default that was not written must not change the common value.
        let written: Tables = toml::from_str(text).map_err(|error| located(name, text, &error))?;
        let mut common: toml::Table = toml::from_str(text).map_err(|error| located(name, text, &error))?;
        let mut boilers = BTreeMap::new();
        let overrides = match common.remove("boiler") {
            Some(toml::Value::Table(overrides)) => overrides,
            // As written, `boiler` was read as a map, so what is no table is absent.
            Some(_) | None => toml::Table::new(),
        };
        for (boiler, own) in &overrides {
            let own = own.as_table().expect("as written, every entry was read as a table");
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
            let tables: Tables = merged.try_into().expect("both halves were checked as written, key by key");
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

    /// What must be seen when it is played.
    #[must_use]
    pub fn musts(&self) -> &[Must] {
        &self.common.must
    }

    /// The boilers that the scenario names, so that a name that no boiler has can be refused.
    pub fn named(&self) -> impl Iterator<Item = &BoilerId> {
        self.boilers.keys()
    }

    /// What is in store for one boiler.
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
            device: tables.device.scenario(),
            line: LineScenario { faults: tables.line.faults() },
        }
    }
}

impl BoilerScenario {
    /// The seed of one part (`"plant"`, `"sensor"`, `"line"`): parts draw independently of each other.
    #[must_use]
    pub fn seed_of(&self, part: &str) -> u64 {
        split(self.seed, part)
    }
}

/// The seed where a scenario names none.
const DEFAULT_SEED: u64 = 1;

/// A scenario as it is written.
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
    #[serde(deserialize_with = "quantity::perhaps_memory")]
    remembers: Option<Duration>,
    panel: Vec<HandTable>,
    reboot: Vec<Outage>,
    missed: Vec<Outage>,
}

impl DeviceTable {
    fn scenario(&self) -> DeviceScenario {
        let mut hands: Vec<Hand> = self.panel.iter().map(HandTable::hand).collect();
        hands.sort_by_key(|hand| hand.from_us);
        let Self { drift_ppm, start_below_k, remembers, .. } = *self;
        DeviceScenario { drift_ppm, faults: self.faults(), start_below_k, hands, remembers }
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

/// Noise on the line; without `at` and `for` it is always there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoiseTable {
    #[serde(default, deserialize_with = "quantity::offset")]
    at: Duration,
    #[serde(rename = "for", default = "for_ever", deserialize_with = "quantity::span")]
    length: Duration,
    #[serde(deserialize_with = "quantity::within::<_, 0, 1_000_000>")]
    ppm: f64,
}

fn for_ever() -> Duration {
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
        // Stable, so that faults of the same moment keep the order of their kinds.
        faults.sort_by_key(|fault| fault.from_us);
        faults
    }
}

impl Outage {
    /// From when until when, in µs since the start, the end excluded.
    #[must_use]
    pub fn window_us(&self) -> (u64, u64) {
        window_us(self.at, self.length)
    }
}

/// The two ends of a time in µs, the end excluded.
pub(crate) fn window_us(at: Duration, length: Duration) -> (u64, u64) {
    let from_us = quantity::micros(at);
    (from_us, from_us.saturating_add(quantity::micros(length)))
}

fn refuse_overlap(name: &str, boiler: &str, device: &DeviceTable) -> Result<(), ScenarioError> {
    for pair in device.faults().windows(2) {
        // Touching is too close as well: between two faults the device must be there for at least a moment.
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

/// Puts `own` over `common`: tables key by key, lists one behind the other, everything else replaced.
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

/// A seed for `part`, unrelated to `seed` and to other parts': FNV-1a over the name, then the finaliser of SplitMix64.
fn split(seed: u64, part: &str) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for byte in part.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
