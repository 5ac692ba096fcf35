//! The houses, the weather, the room sensor, the curve and the law of a simulation.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use firmware_sim::scenario::{BoilerScenario, Scenario};
use serde::{Deserialize, Serialize};
use thermowell::config::Config;
use thermowell_device::HeatingCurve;
use thermowell_flow::control::{Curve, CurvePoint, Emitter, Law, Plan};
use thermowell_wire::CentiCelsius;
use toml::{Table, Value};

/// The committed parameters.
const COMMITTED: &str = include_str!("../../../../config/winter.toml");
/// The line of a curve is drawn between these outdoor temperatures, °C, beyond all simulated weather: the law's curve
/// is constant outside of its points, the firmware's is not.
const CURVE_ENDS: (f64, f64) = (-25.0, 30.0);

/// The parameters, as `config/winter.toml` has them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Target of the room temperature, °C.
    pub target: f64,
    /// The houses by name.
    pub house: BTreeMap<String, House>,
    /// The curves by the name of their house.
    pub curve: BTreeMap<String, Curves>,
}

/// A house with its boiler.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct House {
    /// Its description in the report.
    pub about: String,
    /// What heats its rooms.
    pub emitter: Emitter,
    /// Lowest flow temperature, °C.
    pub flow_min: f64,
    /// Highest flow temperature, °C.
    pub flow_max: f64,
    /// What differs from the simulator's own house, as tables of a scenario.
    pub scenario: Table,
}

/// The curves of a house, tuned in each weather.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// Tuned in [`Weather::Now`].
    pub now: Line,
    /// Tuned in [`Weather::First`].
    pub first: Line,
}

/// A line through two points.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The point at the cold end.
    pub cold: Point,
    /// The point at the warm end.
    pub warm: Point,
}

/// A point of the heating curve, °C.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Outdoor temperature.
    pub outdoor: f64,
    /// Flow temperature.
    pub flow: f64,
}

impl Line {
    /// The flow temperature at an outdoor temperature, °C; on beyond both points.
    #[must_use]
    pub fn flow(&self, outdoor: f64) -> f64 {
        self.cold.flow - self.slope() * (outdoor - self.cold.outdoor)
    }

    /// K of flow per K of colder weather.
    #[must_use]
    pub fn slope(&self) -> f64 {
        (self.cold.flow - self.warm.flow) / (self.warm.outdoor - self.cold.outdoor)
    }

    /// The ends of the drawn line.
    fn ends(&self) -> [Point; 2] {
        [CURVE_ENDS.0, CURVE_ENDS.1].map(|outdoor| Point { outdoor, flow: self.flow(outdoor) })
    }
}

/// A climate: its name and the mean outdoor temperature in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Climate {
    /// Its name in the table.
    pub name: &'static str,
    /// Mean outdoor temperature, °C.
    pub mean_c: f64,
}

/// The cold climate: also that of the steps and of the cold end of the curves.
pub const COLD: Climate = Climate { name: "cold", mean_c: -5.0 };
/// The mild climate.
pub const MILD: Climate = Climate { name: "mild", mean_c: 5.0 };
/// The warm climate.
pub const WARM: Climate = Climate { name: "warm", mean_c: 12.0 };
/// The simulated climates.
pub const CLIMATES: [Climate; 3] = [COLD, MILD, WARM];

/// Sun and wander of the weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weather {
    /// The simulator's own: 1.5 kW of sun at a clear noon, a wander of 1 K.
    Now,
    /// As first asked for: 3 kW, 2.5 K.
    First,
}

impl Weather {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Now, Self::First];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::First => "first",
        }
    }
}

/// The kind of boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The house's own, which starts 3 K below the set-point.
    Sound,
    /// 9.6 kW in one stage, starts 10 K below the set-point.
    Lazy,
}

/// A sensor on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RoomSensor {
    /// Time constant, minutes.
    pub lag_min: u32,
    /// Step of its readings, K.
    pub step_k: f64,
}

/// A good sensor: that of all tables.
pub const GOOD: RoomSensor = RoomSensor { lag_min: 15, step_k: 0.1 };
/// A poor sensor, for the steps.
pub const POOR: RoomSensor = RoomSensor { lag_min: 30, step_k: 0.5 };

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case<'a> {
    /// The name of the house.
    pub house: &'a str,
    /// The weather around it.
    pub weather: Weather,
    /// The mean of that weather.
    pub climate: Climate,
    /// Its boiler.
    pub kind: Kind,
    /// Its room sensor.
    pub sensor: RoomSensor,
    /// The seed of weather, draws and sensors.
    pub seed: u64,
}

impl Parameters {
    /// The committed parameters.
    ///
    /// # Errors
    /// The file is malformed.
    pub fn committed() -> Result<Self, toml::de::Error> {
        Self::parse(COMMITTED)
    }

    /// Parses the parameters.
    ///
    /// # Errors
    /// The text is malformed, or a house has no curve.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let parameters: Self = toml::from_str(text)?;
        let without = parameters.house.keys().find(|name| !parameters.curve.contains_key(*name));
        without.map_or(Ok(()), |name| {
            Err(serde::de::Error::custom(format_args!("the house {name} has no [curve.{name}]")))
        })?;
        Ok(parameters)
    }

    /// The curve of a house, which must be one of [`Parameters::house`].
    #[must_use]
    pub fn line(&self, house: &str, weather: Weather) -> Line {
        let curves = self.curve.get(house).expect("every house has its curves");
        match weather {
            Weather::Now => curves.now,
            Weather::First => curves.first,
        }
    }

    /// The house of that name, which must be one of [`Parameters::house`].
    #[must_use]
    pub fn house(&self, name: &str) -> &House {
        self.house.get(name).expect("only known houses are simulated")
    }

    /// The law for the product's controller: the defaults of `[control]` for the house's emitter, with its curve and
    /// flow limits.
    #[must_use]
    pub fn law(&self, case: &Case<'_>) -> Law {
        let House { emitter, flow_min, flow_max, .. } = *self.house(case.house);
        let [cold, warm] = self.line(case.house, case.weather).ends();
        let point = |point: Point| CurvePoint { outdoor: point.outdoor, flow: point.flow };
        let curve = Curve { cold: point(cold), warm: point(warm) };
        Law { curve, plan: Plan::constant(self.target), flow_min, flow_max, ..product(emitter) }
    }

    /// The firmware's settings: the same curve and limits for the boiler's own control.
    #[must_use]
    pub fn firmware(&self, case: &Case<'_>) -> thermowell_device::Config {
        self.firmware_with(case, &self.line(case.house, case.weather))
    }

    /// The firmware's settings with another curve.
    #[must_use]
    pub fn firmware_with(&self, case: &Case<'_>, line: &Line) -> thermowell_device::Config {
        let point = |point: Point| thermowell_device::CurvePoint {
            outdoor: CentiCelsius::from_celsius(point.outdoor),
            flow: CentiCelsius::from_celsius(point.flow),
        };
        let [cold, warm] = line.ends();
        thermowell_device::Config {
            curve: HeatingCurve { cold: point(cold), mild: point(warm), ..HeatingCurve::default() },
            flow_min: CentiCelsius::from_celsius(self.house(case.house).flow_min),
            flow_max: CentiCelsius::from_celsius(self.house(case.house).flow_max),
            ..thermowell_device::Config::default()
        }
    }

    /// The simulator's house, weather and sensors, all from one seed.
    ///
    /// # Errors
    /// The simulator does not accept a key of the house.
    pub fn scenario(&self, case: &Case<'_>) -> Result<BoilerScenario> {
        let mut tables = self.house(case.house).scenario.clone();
        let seed = i64::try_from(case.seed).context("a seed is at most 63 bits long")?;
        tables.insert(String::from("seed"), Value::Integer(seed));
        set(&mut tables, "weather", [("mean_c", case.climate.mean_c)]);
        set(&mut tables, "hot_water", [("draws_per_day", 20.0)]);
        set(&mut tables, "room_sensor", [("step_k", case.sensor.step_k)]);
        let lag = Value::String(format!("{} min", case.sensor.lag_min));
        table(&mut tables, "room_sensor").insert(String::from("lag"), lag);
        if case.weather == Weather::First {
            set(&mut tables, "weather", [("solar_peak_w", 3_000.0), ("wander_k", 2.5)]);
        }
        if case.kind == Kind::Lazy {
            set(&mut tables, "plant", [("burner_kw", 9.6), ("minimum_percent", 100.0)]);
            set(&mut tables, "device", [("start_below_k", 10.0)]);
        }
        let text = toml::to_string(&tables).context("write the scenario")?;
        let id = "b1".parse().expect("b1 is a name for a boiler");
        let scenario = Scenario::parse("winter", &text).with_context(|| format!("build the house {}", case.house))?;
        Ok(scenario.boiler(&id))
    }

    /// The same house without disturbances, `below_k` colder than the target, for the step response.
    ///
    /// # Errors
    /// The simulator does not accept a key of the house.
    pub fn calm(&self, case: &Case<'_>, below_k: f64) -> Result<BoilerScenario> {
        let mut scenario = self.scenario(case)?;
        let weather = &mut scenario.plant.weather;
        (weather.swing_k, weather.wander_k, weather.solar_peak_w, weather.wind_m_s) = (0.0, 0.0, 0.0, 0.0);
        scenario.plant.hot_water.draws_per_day = 0.0;
        scenario.plant.house.room_c = self.target - below_k;
        Ok(scenario)
    }
}

fn table<'a>(tables: &'a mut Table, name: &str) -> &'a mut Table {
    let value = tables.entry(name).or_insert_with(|| Value::Table(Table::new()));
    value.as_table_mut().expect("the tables of a scenario are tables")
}

fn set<const N: usize>(tables: &mut Table, name: &str, values: [(&str, f64); N]) {
    for (key, value) in values {
        table(tables, name).insert(String::from(key), Value::Float(value));
    }
}

/// The law with the defaults of `[control]`.
#[must_use]
pub fn product(emitter: Emitter) -> Law {
    let text = format!("control.emitter = \"{emitter}\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n");
    Config::parse(&text, "winter").expect("an emitter is a configuration").control.law.to_flow()
}
