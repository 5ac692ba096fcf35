//! How many slots one message may have. Found by trial, because a stream's `max_msg_size` cannot be read.
//!
//! A message that is refused for its size is halved. The limit may be raised during a connection (a stream is updated,
//! the server's configuration is reloaded), so a size that passes is doubled again after a while. If the limit is
//! unchanged, each attempt costs one refused message and one read of the stream's end: at first one in [`PASSES`]
//! messages, and half as often after each failed attempt, down to one in [`PASSES_MAX`]. Counted in messages and not in
//! seconds, because the smaller they are, the more too small a size costs.

/// A size must pass this often before it is doubled, and before a doubled one is accepted. From one slot to a batch of
/// 100 is seven steps: 112 messages, a second of samples.
const PASSES: u32 = 16;
/// The same after many failed attempts: 0.1 % of the messages. For single slots that is 10 s of samples.
const PASSES_MAX: u32 = 1_024;

/// The most slots of samples in one message, as far as the server's answers have shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    max: u64,
    /// Messages with `max` slots that were stored in a row.
    passed: u32,
    /// `passed` after which `max` is doubled.
    wanted: u32,
    /// `max` was just doubled and is not confirmed.
    is_attempt: bool,
}

impl Size {
    /// No limit is known.
    pub(super) fn new() -> Self {
        Self { max: u64::MAX, passed: 0, wanted: PASSES, is_attempt: false }
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// A message with this many slots, more than one, was too large.
    pub(super) fn refuse(&mut self, slots: u64) {
        if self.is_attempt {
            self.wanted = self.wanted.saturating_mul(2).min(PASSES_MAX);
        }
        (self.max, self.passed, self.is_attempt) = ((slots / 2).max(1), 0, false);
    }

    /// A message with this many slots was stored.
    pub(super) fn acknowledge(&mut self, slots: u64) {
        if slots != self.max {
            return;
        }
        self.passed += 1;
        if self.is_attempt && self.passed == PASSES {
            self.wanted = PASSES;
        }
        if self.passed >= self.wanted {
            (self.max, self.passed, self.is_attempt) = (self.max.saturating_mul(2), 0, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `messages` messages to a server that accepts `limit` slots; returns how many it refused.
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
    fn raised_limit_is_found_within_a_second_of_samples() {
        let mut size = Size::new();
        assert_eq!(send(&mut size, 1, 7), 6);
        assert_eq!(size.max(), 1);
        assert_eq!(send(&mut size, u64::MAX, 7 * PASSES), 0);
        assert!(size.max() >= 100, "{size:?}");
    }

    #[test]
    fn constant_limit_is_tried_less_and_less_often() {
        let mut size = Size::new();
        send(&mut size, 30, 10);
        let refused = send(&mut size, 30, 100_000);
        assert!((50..120).contains(&refused), "{refused} of 100,000");
        assert!(send(&mut size, u64::MAX, PASSES_MAX + 2 * PASSES) == 0 && size.max() >= 100, "{size:?}");
    }

    /// The bytes of a message depend on its readings: a size may pass sometimes.
    #[test]
    fn varying_size_is_tried_less_and_less_often() {
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
