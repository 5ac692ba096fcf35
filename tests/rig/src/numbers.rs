//! Numbers as the reports show them.

use std::time::Duration;

use thermowell::quantity::grouped;

/// The value at rank `p` of `sorted`; 0 if it is empty.
pub(crate) fn percentile(sorted: &[f64], p: f64) -> f64 {
    let share = Duration::from_secs(u64::try_from(sorted.len()).unwrap_or(0)).mul_f64(p);
    let rank = usize::try_from(share.as_secs()).unwrap_or(0);
    sorted.get(rank).or(sorted.last()).copied().unwrap_or(0.0)
}

/// Digits with thousands separators: 1,440,000.
pub(crate) fn thousands(digits: &str) -> String {
    grouped(digits, ',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let values: Vec<f64> = (0..100u32).map(f64::from).collect();
        assert!((percentile(&values, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 1.0) - 99.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn thousands_are_separated() {
        for (digits, text) in [("0", "0"), ("999", "999"), ("1000", "1,000"), ("1440000", "1,440,000")] {
            assert_eq!(thousands(digits), text);
        }
    }
}
