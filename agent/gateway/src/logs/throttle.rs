//! The throttling of repeated log lines.

use crate::clock::boottime_ns;

/// Throttles repeated lines: the 1st, 2nd, 4th, 8th … of each cause is logged. The count restarts after
/// [`Throttle::end`], and for a cause that did not occur for a minute: a weekly failure is logged each time.
#[derive(Clone, Debug)]
pub struct Throttle<C> {
    counts: Vec<Count<C>>,
    /// Of all causes.
    total: u32,
    last_ns: u64,
}

#[derive(Clone, Debug)]
struct Count<C> {
    cause: C,
    count: u32,
    last_ns: u64,
}

/// The most causes that are counted separately. Further ones count as the last of them.
const CAUSES_MAX: usize = 8;
/// Without a failure for this long, the next one starts a new count: failures are retried every few seconds at least.
const CALM_NS: u64 = 60_000_000_000;

impl<C> Default for Throttle<C> {
    fn default() -> Self {
        Self { counts: Vec::new(), total: 0, last_ns: 0 }
    }
}

impl<C: PartialEq> Throttle<C> {
    /// Counts a failure. Returns the count over all causes if its line is to be logged.
    pub fn admits(&mut self, cause: C) -> Option<u32> {
        self.count(cause, boottime_ns()).map(|(total, _)| total)
    }

    /// Counts a failure. Returns the count of this cause if its line is to be logged.
    pub fn admits_each(&mut self, cause: C) -> Option<u32> {
        self.count(cause, boottime_ns()).map(|(_, count)| count)
    }

    fn count(&mut self, cause: C, now_ns: u64) -> Option<(u32, u32)> {
        let began = |last_ns: u64| now_ns.saturating_sub(last_ns) > CALM_NS;
        self.total = if began(self.last_ns) { 1 } else { self.total.saturating_add(1) };
        self.last_ns = now_ns;
        let known = self.counts.iter().position(|known| known.cause == cause);
        let index = known.unwrap_or(self.counts.len()).min(CAUSES_MAX - 1);
        if index == self.counts.len() {
            self.counts.push(Count { cause, count: 0, last_ns: now_ns });
        }
        let known = &mut self.counts[index];
        known.count = if began(known.last_ns) { 1 } else { known.count.saturating_add(1) };
        known.last_ns = now_ns;
        known.count.is_power_of_two().then_some((self.total, known.count))
    }

    /// Resets the count. Returns how many failures there were.
    pub fn end(&mut self) -> u32 {
        self.counts.clear();
        std::mem::take(&mut self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_admits_powers_of_two_per_cause() {
        let mut throttle = Throttle::default();
        let admitted =
            |throttle: &mut Throttle<u32>, cause, times| (0..times).filter_map(|_| throttle.admits(cause)).count();
        assert_eq!(admitted(&mut throttle, 1, 100), 7);
        assert_eq!(admitted(&mut throttle, 2, 1), 1, "a new cause is logged");
        assert_eq!(admitted(&mut throttle, 1, 28), 1, "the count of the first cause continues");
        assert_eq!(throttle.end(), 129);
        assert_eq!(admitted(&mut throttle, 1, 1), 1);
        let many: usize = (10..1_000).map(|cause| admitted(&mut throttle, cause, 1)).sum();
        assert!(many < 20, "causes that never repeat are throttled too: {many}");
    }

    #[test]
    fn weekly_failure_is_logged_each_time() {
        let (mut throttle, second) = (Throttle::default(), 1_000_000_000);
        let mut admits_at = |cause, now_ns| throttle.count(cause, now_ns).map(|(total, _)| total);
        let week = 7 * 86_400 * second;
        for n in 1..10 {
            assert_eq!(admits_at("consumer", n * week), Some(1), "{n}");
            assert_eq!(admits_at("consumer", n * week + second), Some(2), "{n}");
            assert_eq!(admits_at("consumer", n * week + 2 * second), None, "{n}");
        }
        let often = (0..100).filter_map(|n| admits_at("often", 20 * week + n * second)).count();
        assert_eq!(often, 7);
        assert_eq!(admits_at("consumer", 20 * week + 100 * second), Some(101), "it did not occur for a minute");
    }
}
