//! The installer's settings.

use thermowell_wire::CentiCelsius;
use thermowell_wire::units::{DAY_US, MINUTE_US};

/// Everything about one device that stays fixed while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Serial number of the board, unique per maker.
    pub serial_number: heapless::String<24>,
    /// Name and version of the firmware.
    pub firmware: heapless::String<24>,
    /// Not a real boiler.
    pub simulated: bool,
    /// Microseconds of the device clock between two slots; at least 1.
    pub period_us: u32,
    /// Late slots that sampling makes up for; a longer stall is one gap. No limit in a simulator: its time is virtual.
    pub catch_up_slots: u64,
    pub line: LineConfig,
    /// Installer's lower limit of the flow temperature.
    pub flow_min: CentiCelsius,
    /// Installer's upper limit of the flow temperature.
    pub flow_max: CentiCelsius,
    /// Heating curve of the boiler's own control.
    pub curve: HeatingCurve,
    /// The boiler's own control does not heat while the day's outdoor temperature is at or above this.
    pub heating_limit: CentiCelsius,
    /// Longest heating by the boiler's own control without an outdoor temperature, a lease, a person or a room contact.
    pub unguided_us: u64,
    /// Flow temperature while hot water is drawn.
    pub hot_water_flow: CentiCelsius,
    /// After a draw of this length heating has a turn of the same length if it wants heat, and so on.
    pub hot_water_priority_us: u64,
    /// Longest lease in seconds.
    pub lease_s_max: u16,
    /// Minimum off time between two heating cycles; it also passes in full after each boot.
    pub minimum_off_us: u64,
    /// Pump overrun.
    pub overrun_us: u64,
    /// Minimum burner power in thousandths of the maximum.
    pub burner_permille_min: u16,
    /// Burner power at ignition, and for a few seconds after it; at least the minimum.
    pub start_permille: u16,
    /// The burner starts this many hundredths of a degree below the target.
    pub start_below: i16,
    /// A second flow sensor is fitted; its absence is a fault then.
    pub second_sensor: bool,
    /// A pressure sensor is fitted; without one the low-pressure limit is off.
    pub pressure_sensor: bool,
}

impl Default for Config {
    /// A condensing boiler with radiators, at 115,200 baud. Numbers from makers' manuals.
    fn default() -> Self {
        Self {
            serial_number: heapless::String::new(),
            firmware: heapless::String::new(),
            simulated: false,
            period_us: 10_000,
            catch_up_slots: 3,
            line: LineConfig::default(),
            flow_min: CentiCelsius(2_500),
            flow_max: CentiCelsius(7_500),
            curve: HeatingCurve::default(),
            heating_limit: CentiCelsius(1_500),
            unguided_us: 3 * DAY_US,
            hot_water_flow: CentiCelsius(6_800),
            hot_water_priority_us: 30 * MINUTE_US,
            lease_s_max: 120,
            minimum_off_us: 180_000_000,
            overrun_us: 180_000_000,
            burner_permille_min: 200,
            start_permille: 500,
            start_below: 300,
            second_sensor: false,
            pressure_sensor: true,
        }
    }
}

/// The serial line as the firmware paces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Line rate; at least 1. 115,200 baud with start and stop bit are 11,520.
    pub bytes_per_second: u32,
    /// Line time that a late `transmit` may make up for: the depth of the transmit buffer as time.
    pub burst_us: u64,
}

impl Default for LineConfig {
    fn default() -> Self {
        Self { bytes_per_second: 11_520, burst_us: 20_000 }
    }
}

/// One point of the heating curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurvePoint {
    pub outdoor: CentiCelsius,
    /// Flow temperature at this outdoor temperature.
    pub flow: CentiCelsius,
}

/// The heating curve: a line through two points, and a fixed value without an outdoor sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatingCurve {
    /// Point of a cold day.
    pub cold: CurvePoint,
    /// Point of a mild day, at another outdoor temperature.
    pub mild: CurvePoint,
    /// Flow temperature without an outdoor temperature.
    pub fallback: CentiCelsius,
}

impl Default for HeatingCurve {
    fn default() -> Self {
        Self {
            cold: CurvePoint { outdoor: CentiCelsius(-1_000), flow: CentiCelsius(6_200) },
            mild: CurvePoint { outdoor: CentiCelsius(1_500), flow: CentiCelsius(3_200) },
            fallback: CentiCelsius(5_000),
        }
    }
}

impl HeatingCurve {
    /// The flow temperature for `outdoor`, not yet clamped to the installer's limits.
    #[must_use]
    pub fn flow(&self, outdoor: Option<CentiCelsius>) -> CentiCelsius {
        let (Some(outdoor), Self { cold, mild, .. }) = (outdoor, self) else { return self.fallback };
        let run = i64::from(mild.outdoor.0) - i64::from(cold.outdoor.0);
        if run == 0 {
            return self.fallback;
        }
        let rise = i64::from(mild.flow.0) - i64::from(cold.flow.0);
        let flow = i64::from(cold.flow.0) + rise * (i64::from(outdoor.0) - i64::from(cold.outdoor.0)) / run;
        let bounded = flow.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
        CentiCelsius(i16::try_from(bounded).unwrap_or(self.fallback.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curve_is_linear_with_a_fallback() {
        let curve = HeatingCurve::default();
        assert_eq!(curve.flow(Some(CentiCelsius(-1_000))), CentiCelsius(6_200));
        assert_eq!(curve.flow(Some(CentiCelsius(250))), CentiCelsius(4_700));
        assert_eq!(curve.flow(Some(CentiCelsius(i16::MIN))), CentiCelsius(i16::MAX));
        assert_eq!(curve.flow(None), CentiCelsius(5_000));
        let flat = HeatingCurve { mild: CurvePoint { flow: CentiCelsius(1), ..curve.cold }, ..curve };
        assert_eq!(flat.flow(Some(CentiCelsius(0))), flat.fallback, "two points at the same outdoor temperature");
    }
}
