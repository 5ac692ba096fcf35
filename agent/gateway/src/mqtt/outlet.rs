//! When a state is sent: throttled, and the last value is always sent.
//!
//! | what | sent |
//! |---|---|
//! | first, or to be repeated | at once |
//! | another word, or a number that becomes known or unknown | at once, but at most each second |
//! | a temperature by `change` or more, any other number | `every` after the last message |
//! | a temperature by less | [`REPEAT`] after the last message |
//! | nothing changed | [`REPEAT`] after the last message, so that it does not expire |
//!
//! The present value is compared with the last one sent, so a delayed value is the newest one, and none is dropped.

use std::time::Duration;

use serde_json::Value;

/// An unchanged state is repeated at least this often.
pub(super) const REPEAT: Duration = Duration::from_secs(30);
/// The least interval between two messages of a topic.
const LEAST: Duration = Duration::from_secs(1);
/// Keys of temperatures, °C. Other numbers count as changed whenever they differ.
const TEMPERATURES: [&str; 7] = ["flow", "mean", "return", "room", "outdoor", "asked", "accepted"];

/// The configured throttle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) every: Duration,
    /// K.
    pub(super) change: f64,
}

impl Pace {
    /// The longest time without a message.
    pub(super) fn repeat(&self) -> Duration {
        REPEAT.max(self.every)
    }

    /// After this time without a message a value counts as unknown.
    pub(super) fn expires(&self) -> Duration {
        3 * self.repeat()
    }
}

/// One topic of states.
#[derive(Clone, Debug, Default)]
pub(super) struct Outlet {
    /// When it was last sent, and what.
    last: Option<(Duration, Value)>,
}

impl Outlet {
    /// Sends it again at once.
    pub(super) fn repeat(&mut self) {
        self.last = None;
    }

    /// Whether `value` is to be sent now. If so, it counts as sent.
    pub(super) fn is_due(&mut self, value: &Value, now: Duration, pace: &Pace) -> bool {
        let is_due = match &self.last {
            None => true,
            Some((at, sent)) => now.saturating_sub(*at) >= wait(sent, value, pace),
        };
        if is_due {
            self.last = Some((now, value.clone()));
        }
        is_due
    }
}

/// The least time between two messages with these values.
fn wait(sent: &Value, value: &Value, pace: &Pace) -> Duration {
    let (Value::Object(sent), Value::Object(value)) = (sent, value) else { return LEAST };
    let waits = value.iter().map(|(key, now)| match (sent.get(key), now) {
        (Some(before), now) if before == now => pace.repeat(),
        (Some(Value::Number(before)), Value::Number(now)) => {
            let moved = before.as_f64().zip(now.as_f64()).map_or(f64::INFINITY, |(before, now)| (now - before).abs());
            // Both are rounded to tenths: half of a hundredth covers what binary fractions add.
            let is_small = TEMPERATURES.contains(&key.as_str()) && moved < pace.change - 0.005;
            if is_small { pace.repeat() } else { pace.every }
        }
        (_, _) => LEAST,
    });
    waits.min().unwrap_or(LEAST)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PACE: Pace = Pace { every: Duration::from_secs(10), change: 0.2 };

    /// The seconds at which a value is sent that is `at(second)`, within two minutes.
    fn sent(at: impl Fn(u64) -> Value) -> Vec<u64> {
        let mut outlet = Outlet::default();
        (0..120).filter(|&second| outlet.is_due(&at(second), Duration::from_secs(second), &PACE)).collect()
    }

    #[test]
    fn unchanged_values_are_repeated_before_they_expire() {
        assert_eq!(sent(|_| json!({"flow": 50.0, "freshness": "fresh"})), [0, 30, 60, 90]);
        assert!(PACE.repeat() < PACE.expires());
        let slow = Pace { every: Duration::from_secs(60), ..PACE };
        assert!(2 * slow.repeat() < slow.expires());
    }

    #[test]
    fn change_is_delayed_and_the_last_value_is_never_dropped() {
        let step = |to: f64| move |second| json!({"flow": if second < 3 { 50.0 } else { to }});
        assert_eq!(sent(step(50.2))[..2], [0, 10], "after `every`");
        assert_eq!(sent(step(50.1))[..2], [0, 30], "a smaller change waits for the repetition");
        let mut outlet = Outlet::default();
        let values = [(0, 50.0), (1, 55.0), (2, 60.0), (3, 57.5)];
        let sent: Vec<f64> = (0..60)
            .filter_map(|second| {
                let value = values.iter().rev().find(|(from, _)| *from <= second).map(|(_, value)| *value).unwrap();
                let is_due = outlet.is_due(&json!({"flow": value}), Duration::from_secs(second), &PACE);
                is_due.then_some(value)
            })
            .collect();
        assert_eq!(sent, [50.0, 57.5, 57.5], "what is between is left out, the last is sent and repeated");
    }

    #[test]
    fn words_and_unknown_values_are_sent_at_once() {
        for (before, after) in [
            (json!({"link": "up"}), json!({"link": "down"})),
            (json!({"flow": 50.0}), json!({"flow": null})),
            (json!({"flow": null}), json!({"flow": 50.0})),
        ] {
            let times = sent(|second| if second < 4 { before.clone() } else { after.clone() });
            assert_eq!(times[..2], [0, 4], "{before} {after}");
        }
        let flicker = sent(|second| json!({"link": if second % 2 == 0 { "up" } else { "down" }}));
        assert_eq!(flicker.len(), 120, "at most each second");
        let mut outlet = Outlet::default();
        let fast = (0..100_u64).filter(|tenth| {
            outlet.is_due(&json!({"link": tenth.to_string()}), Duration::from_millis(100 * tenth), &PACE)
        });
        assert_eq!(fast.count(), 10);
    }

    #[test]
    fn repeat_sends_at_once() {
        let mut outlet = Outlet::default();
        let value = json!({"flow": 50.0});
        assert!(outlet.is_due(&value, Duration::from_secs(1), &PACE));
        assert!(!outlet.is_due(&value, Duration::from_secs(2), &PACE));
        outlet.repeat();
        assert!(outlet.is_due(&value, Duration::from_secs(2), &PACE));
    }
}
