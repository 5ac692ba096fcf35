//! How many slots one message may have: found by trying, because a stream's `max_msg_size` is nowhere to be read.
//!
//! A message that is refused for its size is halved. The limit may be raised while the connection stands (a stream is
//! updated, the server's configuration is reloaded), so a size that passes is doubled again after a while. Where the
//! limit stays as it is, that costs one refused message and one read of the stream's end each time: at first one in
//! [`PASSES`], and half as often after each try that failed, down to one in [`PASSES_MAX`]. Counted in messages and not
//! in seconds, because the smaller they are, the more a size that is too small costs.

/// A size passed so often before it is doubled, and before a doubled one counts as found. From one slot to a batch of
/// 100 is seven steps: 112 messages, a second of samples.
const PASSES: u32 = 16;
/// … after many tries that failed: 0.1 % of the messages. For single slots that is 10 s of samples.
const PASSES_MAX: u32 = 1_024;

/// The most slots of samples in one message, as far as the server's answers have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    max: u64,
    /// Messages with `max` slots that were stored in a row.
    passed: u32,
    /// It is doubled after so many.
    wanted: u32,
    /// `max` comes from doubling.
    is_try: bool,
}

impl Size {
    /// No limit is known.
    pub(super) fn new() -> Self {
        Self { max: u64::MAX, passed: 0, wanted: PASSES, is_try: false }
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// A message with so many slots, more than one, was too large.
    pub(super) fn refuse(&mut self, slots: u64) {
        if self.is_try {
            self.wanted = self.wanted.saturating_mul(2).min(PASSES_MAX);
        }
        (self.max, self.passed, self.is_try) = ((slots / 2).max(1), 0, false);
    }

    /// A message with so many slots was stored.
    pub(super) fn acknowledge(&mut self, slots: u64) {
        if slots != self.max {
            return;
        }
        self.passed += 1;
        if self.is_try && self.passed == PASSES {
            self.wanted = PASSES;
        }
        if self.passed >= self.wanted {
            (self.max, self.passed, self.is_try) = (self.max.saturating_mul(2), 0, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `messages` messages to a server that takes `limit` slots; how many it refused.
    fn send(size: &mut Size, limit: u64, messages: u32) -> u32 {
        let mut refused = 0;
        for _ in 0..messages {
            let slots = size.max().min(100);
            if slots > limit {
                refused += 1;
                size.refuse(slots);
            } else {
                size.acknowledge(slots);
            }
        }
        refused
    }

    #[test]
    fn a_raised_limit_is_found_within_a_second_of_samples() {
        let mut size = Size::new();
        assert_eq!(send(&mut size, 1, 7), 6);
        assert_eq!(size.max(), 1);
        assert_eq!(send(&mut size, u64::MAX, 7 * PASSES), 0);
        assert!(size.max() >= 100, "{size:?}");
    }

    #[test]
    fn a_limit_that_stays_is_tried_less_and_less_often() {
        let mut size = Size::new();
        send(&mut size, 30, 10);
        let refused = send(&mut size, 30, 100_000);
        assert!((50..120).contains(&refused), "{refused} of 100,000");
        assert!(send(&mut size, u64::MAX, PASSES_MAX + 2 * PASSES) == 0 && size.max() >= 100, "{size:?}");
    }

    /// How large a message is depends on its readings: a size may pass a few times.
    #[test]
    fn a_size_that_passes_sometimes_is_tried_less_and_less_often() {
        let mut size = Size::new();
        size.refuse(100);
        let mut refused = 0;
        for n in 0..100_000 {
            if size.max() > 50 && n % 8 == 0 {
                refused += 1;
                size.refuse(100);
            } else {
                size.acknowledge(size.max());
            }
        }
        assert!(refused < 200, "{refused} of 100,000");
    }
}
