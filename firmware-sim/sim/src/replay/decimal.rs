//! Parses decimal text into hundredths of a degree, in integers.
//!
//! A recorded series is compared with its snapshots to the last integer, so no float may be involved: `61.375` is 6138
//! because a half rounds away from zero, not because of the binary representation of 61.375.

use super::Unit;

/// A number as written: `digits` ÷ 10^`scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

/// Most digits of a number, so that 500 × the number still fits an `i128` twice over.
const MOST_DIGITS: u32 = 30;

impl Decimal {
    /// Parses `-12.5`, `-12,5` or `-1.25e1`. None for anything else, such as words or more than 30 digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, text) = match text.strip_prefix(['-', '\u{2212}']) {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (mut digits, mut count, mut scale) = (0_i128, 0, None);
        for character in mantissa.chars() {
            if let Some(digit) = character.to_digit(10) {
                digits = digits * 10 + i128::from(digit);
                count += 1;
                scale = scale.map(|scale: u32| scale + 1);
            } else if matches!(character, '.' | ',') && scale.is_none() {
                scale = Some(0);
            } else {
                return None;
            }
            if count > MOST_DIGITS {
                return None;
            }
        }
        let plain = Self { digits: if negative { -digits } else { digits }, scale: scale.unwrap_or(0) };
        if count == 0 { None } else { plain.raised(exponent) }
    }

    /// The number times 10^`exponent`.
    fn raised(self, exponent: i32) -> Option<Self> {
        let limit = i32::try_from(MOST_DIGITS).expect("a small number");
        let scale = i32::try_from(self.scale).ok()?.checked_sub(exponent)?;
        if self.digits == 0 {
            return Some(Self { digits: 0, scale: 0 });
        }
        if scale < 0 {
            let factor = 10_i128.pow(u32::try_from(-scale).ok().filter(|power| *power <= MOST_DIGITS)?);
            let digits = self.digits.checked_mul(factor)?;
            return (digits.unsigned_abs() < 10_u128.pow(MOST_DIGITS)).then_some(Self { digits, scale: 0 });
        }
        // Digits beyond 30 decimal places affect no hundredth.
        let beyond = u32::try_from((scale - limit).max(0)).ok()?;
        let digits = if beyond > MOST_DIGITS { 0 } else { self.digits / 10_i128.pow(beyond) };
        Some(Self { digits, scale: u32::try_from(scale.min(limit)).ok()? })
    }

    /// Hundredths of a degree Celsius, a half rounded away from zero.
    pub(super) fn centi_celsius(self, unit: Unit) -> i128 {
        let one = 10_i128.pow(self.scale);
        match unit {
            Unit::Celsius => divide(self.digits * 100, one),
            Unit::Fahrenheit => divide((self.digits - 32 * one) * 500, 9 * one),
            Unit::Kelvin => divide(self.digits * 100 - 27_315 * one, one),
        }
    }

    /// Microseconds, if the number counts time in `per_second` units per second.
    pub(super) fn microseconds(self, per_second: i64) -> Option<i64> {
        let one = 10_i128.checked_pow(self.scale)?.checked_mul(i128::from(per_second))?;
        i64::try_from(self.digits.checked_mul(1_000_000)?.div_euclid(one)).ok()
    }

    /// Hundredths of the number itself, a half rounded away from zero.
    pub(super) fn hundredths(self) -> i128 {
        divide(self.digits * 100, 10_i128.pow(self.scale))
    }
}

/// `dividend` ÷ `divisor` (positive) to the nearest integer, a half rounded away from zero.
fn divide(dividend: i128, divisor: i128) -> i128 {
    let magnitude = (dividend.abs() * 2 + divisor) / (divisor * 2);
    if dividend < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn centi(text: &str, unit: Unit) -> Option<i128> {
        Decimal::parse(text).map(|decimal| decimal.centi_celsius(unit))
    }

    #[test]
    fn text_is_parsed_exactly_or_refused() {
        for (text, expected) in [
            ("61.37", 6137),
            ("61,375", 6138),
            ("-61.375", -6138),
            ("-3,0", -300),
            ("+7", 700),
            (" 0.005 ", 1),
            ("0.0049999999999999999999", 0),
            ("\u{2212}5.5", -550),
            (".5", 50),
            ("5.", 500),
            ("4.1e1", 4_100),
            ("-4,15E+01", -4_150),
            ("61375e-3", 6_138),
            ("5e-1", 50),
            ("0e999", 0),
            ("1e-999", 0),
            ("4.9999999999999999999999999e-3", 0),
            ("1e20", 10_i128.pow(22)),
        ] {
            assert_eq!(centi(text, Unit::Celsius), Some(expected), "{text}");
        }
        let too_long = "1".repeat(31);
        for text in [
            "",
            "-",
            ".",
            "1.2.3",
            "1,2.3",
            "1e31",
            "1e",
            "e1",
            "1e1.5",
            "1e9999999999",
            "nan",
            "12 °C",
            "--1",
            too_long.as_str(),
        ] {
            assert_eq!(centi(text, Unit::Celsius), None, "{text}");
        }
    }

    #[test]
    fn fahrenheit_and_kelvin_convert_in_integers() {
        for (text, expected) in [("32", 0), ("212", 10_000), ("-40", -4_000), ("69.88083514", 2_104), ("33", 56)] {
            assert_eq!(centi(text, Unit::Fahrenheit), Some(expected), "{text}");
        }
        // 32.009 °F are 0.005 °C: exactly a half.
        assert_eq!(centi("32.009", Unit::Fahrenheit), Some(1));
        assert_eq!(centi("31.991", Unit::Fahrenheit), Some(-1));
        assert_eq!((centi("273.15", Unit::Kelvin), centi("313.155", Unit::Kelvin)), (Some(0), Some(4_001)));
    }

    proptest! {
        /// The result is the nearest hundredth.
        #[test]
        fn result_is_the_nearest_hundredth(milli in -400_000_i64..400_000) {
            let sign = if milli < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:03}", milli.abs() / 1_000, milli.abs() % 1_000);
            let celsius = centi(&text, Unit::Celsius).unwrap();
            prop_assert!((celsius * 10 - i128::from(milli)).abs() <= 5);
            let fahrenheit = centi(&text, Unit::Fahrenheit).unwrap();
            prop_assert!((fahrenheit * 90 - (i128::from(milli) - 32_000) * 5).abs() <= 45);
        }
    }
}
