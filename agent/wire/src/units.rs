//! Units that cross a process boundary.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::Text;

/// Nanoseconds, the unit of stamps.
pub const SECOND_NS: i64 = 1_000_000_000;
pub const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// Microseconds, the unit of device clocks.
pub const SECOND_US: u64 = 1_000_000;
pub const MINUTE_US: u64 = 60 * SECOND_US;
pub const HOUR_US: u64 = 60 * MINUTE_US;
pub const DAY_US: u64 = 24 * HOUR_US;

/// A temperature in hundredths of a degree Celsius: −327.68 … 327.67 °C.
///
/// The resolution of a good boiler NTC is about 0.05 K, so a hundredth loses nothing, and sums stay exact integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CentiCelsius(pub i16);

impl CentiCelsius {
    /// The temperature in °C.
    #[must_use]
    pub fn celsius(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The nearest hundredth to `celsius`, half away from zero, saturating at the ends of the range; NaN is 0.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "float to integer `as` saturates, which is the contract here")]
    pub fn from_celsius(celsius: f64) -> Self {
        let half = if celsius < 0.0 { -0.5 } else { 0.5 };
        Self((celsius * 100.0 + half) as i16)
    }
}

impl fmt::Display for CentiCelsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

/// The sensor chain's verdict on one reading. Only `Ok` readings are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Quality {
    /// A plausible temperature.
    #[default]
    Ok = 0,
    /// The sensor's circuit is open (below −25 °C for a flow NTC).
    Open = 1,
    /// The sensor's circuit is shorted (above 125 °C for a flow NTC).
    Short = 2,
    /// Electrically intact, physically impossible.
    OutOfRange = 3,
}

impl Quality {
    /// The quality in the two lowest bits: the inverse of `as u8`.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Ok,
            1 => Self::Open,
            2 => Self::Short,
            _ => Self::OutOfRange,
        }
    }
}

/// One sample of the flow temperature: 4 bytes in the firmware's ring, at most 4 on the line.
///
/// `marks` holds the quality in bits 0–1, pump in bit 2, hot-water draw in bit 3, flame in bit 4; bits 5–7 are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reading {
    /// The flow temperature. Meaningless where the quality is not `Ok`.
    pub temperature: CentiCelsius,
    /// Quality and flags, as laid out above.
    pub marks: u8,
}

impl Reading {
    /// Bit of `marks`: the heating pump runs.
    pub const PUMP: u8 = 1 << 2;
    /// Bit of `marks`: hot water is drawn, the heat goes to the tap.
    pub const HOT_WATER: u8 = 1 << 3;
    /// Bit of `marks`: the burner burns.
    pub const FLAME: u8 = 1 << 4;

    #[must_use]
    pub fn new(temperature: CentiCelsius, quality: Quality, pump: bool, hot_water: bool, flame: bool) -> Self {
        let mut marks = quality as u8;
        if pump {
            marks |= Self::PUMP;
        }
        if hot_water {
            marks |= Self::HOT_WATER;
        }
        if flame {
            marks |= Self::FLAME;
        }
        Self { temperature, marks }
    }

    /// The lowest plausible water temperature: below it is ice, even with some antifreeze. A sensor that does not
    /// answer reads −127 °C or −327.68 °C.
    pub const LOWEST: CentiCelsius = CentiCelsius(-1_000);
    /// The highest plausible water temperature: above the 125 °C at which a flow sensor counts as shorted, and above
    /// the limiter's 110 °C (EN 14597).
    pub const HIGHEST: CentiCelsius = CentiCelsius(15_000);

    /// The sensor chain's verdict. A temperature outside the plausible range of water is `OutOfRange`, even if the
    /// chain reports `Ok`.
    #[must_use]
    pub fn quality(self) -> Quality {
        let quality = Quality::from_bits(self.marks);
        if quality == Quality::Ok && !self.is_water() { Quality::OutOfRange } else { quality }
    }

    /// Whether the reading may be averaged: the chain reports `Ok`, and the temperature is plausible for water. This
    /// depends on the stored bytes alone, so a replay decides as the live run did.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.marks & 0b11 == 0 && self.is_water()
    }

    fn is_water(self) -> bool {
        (Self::LOWEST.0..=Self::HIGHEST.0).contains(&self.temperature.0)
    }

    /// The heating pump runs.
    #[must_use]
    pub fn pump(self) -> bool {
        self.marks & Self::PUMP != 0
    }

    /// Hot water is drawn.
    #[must_use]
    pub fn hot_water(self) -> bool {
        self.marks & Self::HOT_WATER != 0
    }

    /// The burner burns.
    #[must_use]
    pub fn flame(self) -> bool {
        self.marks & Self::FLAME != 0
    }
}

/// One start of the firmware: a persistent counter (high half) and 32 random bits.
///
/// Boots of one device sort by age. In JSON a boot is a string of 16 hexadecimal digits, because JSON numbers lose the
/// low bits; in packed layouts it is the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u64);

impl Boot {
    #[must_use]
    pub fn new(counter: u32, random: u32) -> Self {
        Self((u64::from(counter) << 32) | u64::from(random))
    }

    /// How often the device has started.
    #[must_use]
    pub fn counter(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(u32::MAX)
    }

    /// The low byte, which identifies the boot in frequent line messages.
    #[must_use]
    pub fn tag(self) -> u8 {
        self.0.to_le_bytes()[0]
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is not a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a boot is 16 hexadecimal digits")]
pub struct InvalidBoot;

impl FromStr for Boot {
    type Err = InvalidBoot;

    fn from_str(text: &str) -> Result<Self, InvalidBoot> {
        // Checked first, because `from_str_radix` also takes a sign and any length.
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidBoot);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidBoot)
    }
}

impl Serialize for Boot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Boot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text(&InvalidBoot, PhantomData))
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// A place in one boiler's history: slot `seq` of `boot`. Slots of one device sort by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slot {
    /// The start of the firmware from which `seq` counts.
    pub boot: Boot,
    /// The slot's number since then; it is scheduled at `seq` × period of the device clock.
    pub seq: u64,
}

impl Slot {
    #[must_use]
    pub fn new(boot: Boot, seq: u64) -> Self {
        Self { boot, seq }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.boot, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn celsius_rounds_half_away_from_zero_and_saturates() {
        assert_eq!(CentiCelsius::from_celsius(61.375), CentiCelsius(6138));
        assert_eq!(CentiCelsius::from_celsius(-0.125), CentiCelsius(-13));
        assert_eq!(CentiCelsius::from_celsius(1e9), CentiCelsius(i16::MAX));
        assert_eq!(CentiCelsius::from_celsius(f64::NAN), CentiCelsius(0));
    }

    #[test]
    fn units_of_time_multiply() {
        assert_eq!([MINUTE_US, HOUR_US, DAY_US], [60_000_000, 3_600_000_000, 86_400_000_000]);
        assert_eq!((SECOND_NS, HOUR_NS), (1_000_000_000, 3_600_000_000_000));
    }

    #[test]
    fn slots_compare_by_boot_first() {
        let old = Slot::new(Boot::new(1, u32::MAX), 900);
        let new = Slot::new(Boot::new(2, 0), 0);
        assert!(old < new);
        assert_eq!(new.boot.counter(), 2);
    }

    #[test]
    fn boot_deserializes_from_every_json_source() {
        let boot = Boot::new(3, 0xdead_beef);
        let text = serde_json::to_string(&boot).unwrap();
        assert_eq!(text, "\"00000003deadbeef\"");
        let tree = serde_json::to_value(boot).unwrap();
        let escaped = text.replace('0', "\\u0030");
        assert_eq!(serde_json::from_str::<Boot>(&text).unwrap(), boot);
        assert_eq!(serde_json::from_reader::<_, Boot>(text.as_bytes()).unwrap(), boot);
        assert_eq!(serde_json::from_value::<Boot>(tree).unwrap(), boot);
        assert_eq!(serde_json::from_str::<Boot>(&escaped).unwrap(), boot);
    }

    #[test]
    fn boot_text_is_exactly_sixteen_hex_digits() {
        assert_eq!("00000003DEADBEEF".parse(), Ok(Boot::new(3, 0xdead_beef)));
        for bad in [
            "",
            "3",
            "+0000003deadbeef",
            "00000003deadbee",
            "00000003deadbeef0",
            "0000000gdeadbeef",
            "0x000003deadbeef",
        ] {
            assert_eq!(bad.parse::<Boot>(), Err(InvalidBoot), "{bad}");
        }
        assert!(serde_json::from_str::<Boot>("3").is_err());
    }

    #[test]
    fn temperature_displays_with_two_decimals() {
        let texts = [(6137, "61.37"), (-5, "-0.05"), (0, "0.00"), (-12345, "-123.45"), (i16::MIN, "-327.68")];
        for (centi, text) in texts {
            assert_eq!(std::format!("{}", CentiCelsius(centi)), text);
        }
    }

    #[test]
    fn every_centi_celsius_round_trips_through_celsius() {
        for centi in i16::MIN..=i16::MAX {
            assert_eq!(CentiCelsius::from_celsius(CentiCelsius(centi).celsius()), CentiCelsius(centi));
        }
    }

    #[test]
    fn a_reading_takes_four_bytes() {
        assert_eq!(size_of::<Reading>(), 4);
    }

    #[test]
    fn implausible_water_temperature_is_out_of_range() {
        for (centi, quality) in [
            (i16::MIN, Quality::OutOfRange),
            (-12_700, Quality::OutOfRange),
            (-1_001, Quality::OutOfRange),
            (-1_000, Quality::Ok),
            (8_500, Quality::Ok),
            (15_000, Quality::Ok),
            (15_001, Quality::OutOfRange),
        ] {
            let reading = Reading::new(CentiCelsius(centi), Quality::Ok, true, false, false);
            assert_eq!((reading.quality(), reading.is_valid()), (quality, quality == Quality::Ok), "{centi}");
            let open = Reading::new(CentiCelsius(centi), Quality::Open, true, false, false);
            assert_eq!(
                (open.quality(), open.is_valid()),
                (Quality::Open, false),
                "the chain's verdict takes precedence"
            );
        }
    }

    #[test]
    fn marks_keep_quality_and_flags_separate() {
        let reading = Reading::new(CentiCelsius(5), Quality::Short, true, false, true);
        assert_eq!(reading.marks, 0b1_0110);
        assert_eq!(reading.quality(), Quality::Short);
        assert!(reading.pump() && !reading.hot_water() && reading.flame() && !reading.is_valid());
    }
}
