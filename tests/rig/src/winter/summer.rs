//! Days in summer: on the boiler's own control and under the law nothing may be burnt for heating.

use anyhow::Result;
use firmware_sim::scenario::BoilerScenario;
use serde::Serialize;
use thermowell_device::Config;
use thermowell_wire::CentiCelsius;

use super::heating::{Author, Heating};
use super::plan::{Case, Climate, GOOD, Kind, Weather};
use super::trial::{Stage, in_parallel};
use super::week::KWH_J;

const DAY_S: u64 = 86_400;
/// Days that do not count: the mean of a day is not known yet.
const SETTLE_DAYS: u64 = 2;
/// Mean outdoor temperatures, °C.
const MEANS_C: [f64; 4] = [15.0, 18.0, 20.0, 22.0];
const CONTROLS: [Control; 4] = [Control::Free, Control::Own, Control::Ours, Control::Roomless];

/// A house in a summer, under each control.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summer {
    pub(crate) house: String,
    pub(crate) outdoor_c: f64,
    /// The warmest room of a house that nothing heats, °C.
    pub(crate) free_c: f64,
    pub(crate) own: Warm,
    pub(crate) ours: Warm,
    pub(crate) roomless: Warm,
}

/// What a control does in summer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Warm {
    /// Gas without that for hot water, kWh in a day.
    pub(crate) gas_kwh_day: f64,
    /// The warmest room, °C.
    pub(crate) room_c: f64,
}

#[derive(Clone, Copy, Debug)]
enum Control {
    /// No heat at all.
    Free,
    /// The boiler's own.
    Own,
    Ours,
    /// Ours without a room sensor.
    Roomless,
}

impl Stage {
    pub(crate) fn summers(&self) -> Result<Vec<Summer>> {
        let places = self.houses.iter().flat_map(|house| MEANS_C.map(|mean_c| (house, mean_c)));
        let jobs: Vec<_> = places.flat_map(|(house, mean_c)| CONTROLS.map(|it| (house, mean_c, it))).collect();
        let warm = in_parallel(&jobs, |(house, mean_c, control)| self.warm(house, *mean_c, *control));
        let warm = warm.into_iter().collect::<Result<Vec<_>>>()?;
        let summers = jobs.as_chunks::<4>().0.iter().zip(warm.as_chunks().0);
        Ok(summers
            .map(|([(house, outdoor_c, _), ..], [free, own, ours, roomless])| Summer {
                house: (*house).clone(),
                outdoor_c: *outdoor_c,
                free_c: free.room_c,
                own: *own,
                ours: *ours,
                roomless: *roomless,
            })
            .collect())
    }

    /// With the first seed, as long as the other parts.
    fn warm(&self, house: &str, mean_c: f64, control: Control) -> Result<Warm> {
        let climate = Climate { name: "summer", mean_c };
        let seed = self.seeds[0];
        let case = Case { house, weather: Weather::Now, climate, kind: Kind::Sound, sensor: GOOD, seed };
        let mut scenario = self.parameters.scenario(&case)?;
        scenario.plant.hot_water.draws_per_day = 0.0;
        let mut firmware = self.parameters.firmware(&case);
        let law = Box::new(self.parameters.law(&case));
        let author = match control {
            Control::Free => {
                firmware.heating_limit = CentiCelsius(-5_000);
                Author::Curve
            }
            Control::Own => Author::Curve,
            Control::Ours => Author::Ours(law),
            Control::Roomless => Author::Roomless(law),
        };
        Ok(heat(&scenario, firmware, author, self.days))
    }
}

fn heat(scenario: &BoilerScenario, firmware: Config, author: Author, days: u64) -> Warm {
    let mut heating = Heating::new(scenario, firmware, author);
    (0..SETTLE_DAYS * DAY_S).for_each(|_| heating.second());
    let gas_j = heating.bench().account().gas_j;
    let room_c = (0..days * DAY_S).fold(f64::MIN, |warmest, _| {
        heating.second();
        warmest.max(heating.bench().signals().room_c)
    });
    Warm { gas_kwh_day: (heating.bench().account().gas_j - gas_j) / KWH_J / days as f64, room_c }
}
