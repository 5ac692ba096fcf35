//! What an installer sets.

use thermowell_wire::CentiCelsius;

/// Everything about one device that does not change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of the board, unique per maker.
    pub serial_number: heapless::String<24>,
    /// Name and version of the firmware.
    pub firmware: heapless::String<24>,
    /// Not a real boiler.
    pub simulated: bool,
    /// Microseconds of the device clock between two slots; at least 1.
    pub period_us: u32,
    /// How many late slots sampling makes up for; a longer stall is one gap. A simulator's time is virtual: there, all.
    pub catch_up_slots: u64,
    /// The serial line.
    pub line: LineConfig,
    /// The installer's lower limit of the flow temperature.
    pub flow_min: CentiCelsius,
    /// The installer's upper limit of the flow temperature.
    pub flow_max: CentiCelsius,
    /// The flow temperature of the boiler's own control.
    pub curve: HeatingCurve,
    /// The flow temperature while hot water is drawn.
    pub hot_water_flow: CentiCelsius,
    /// The longest lease in seconds.
    pub lease_s_max: u16,
    /// The shortest time between two burnings for heating; a full one passes after each boot.
    pub minimum_off_us: u64,
    /// How long the pump carries the rest of the heat away.
    pub overrun_us: u64,
    /// The burner's smallest power in thousandths of the maximum. It is ignited at it.
    pub burner_permille_min: u16,
    /// The burner starts this many hundredths of a degree below the target.
    pub start_below: i16,
    /// There is a second flow sensor, whose absence is a fault then.
    pub second_sensor: bool,
    /// There is a pressure sensor; without one nothing guards the pressure.
    pub pressure_sensor: bool,
}

impl Default for Config {
    /// A condensing boiler with radiators, on 115,200 baud. Numbers from makers' manuals.
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
            hot_water_flow: CentiCelsius(6_800),
            lease_s_max: 120,
            minimum_off_us: 180_000_000,
            overrun_us: 180_000_000,
            burner_permille_min: 200,
            start_below: 300,
            second_sensor: false,
            pressure_sensor: true,
        }
    }
}

/// The serial line as the firmware paces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// What the line carries; at least 1. 115,200 baud with start and stop bit are 11,520.
    pub bytes_per_second: u32,
    /// How much line time may be made up for when `transmit` is called late: the depth of the transmit buffer as time.
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
    /// Outdoor temperature.
    pub outdoor: CentiCelsius,
    /// Flow temperature that belongs to it.
    pub flow: CentiCelsius,
}

/// The boiler's own control: a line through two points, and a fixed value where there is no outdoor sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeatingCurve {
    /// A cold day.
    pub cold: CurvePoint,
    /// A mild day, at another outdoor temperature.
    pub mild: CurvePoint,
    /// Without an outdoor temperature.
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
    /// The flow temperature for `outdoor`, before the installer's limits.
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
    fn the_curve_is_a_line_and_falls_back() {
        let curve = HeatingCurve::default();
        assert_eq!(curve.flow(Some(CentiCelsius(-1_000))), CentiCelsius(6_200));
        assert_eq!(curve.flow(Some(CentiCelsius(250))), CentiCelsius(4_700));
        assert_eq!(curve.flow(Some(CentiCelsius(i16::MIN))), CentiCelsius(i16::MAX));
        assert_eq!(curve.flow(None), CentiCelsius(5_000));
        let flat = HeatingCurve { mild: CurvePoint { flow: CentiCelsius(1), ..curve.cold }, ..curve };
        assert_eq!(flat.flow(Some(CentiCelsius(0))), flat.fallback, "two points at one temperature are no line");
    }
}
