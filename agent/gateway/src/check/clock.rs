//! Can the calendar be trusted?

use thermowell_flow::time::{Utc, hour_text};

use super::{Finding, Status};
use crate::clock::{kernel_says_synchronised, realtime_ns};
use crate::config::Clock;

const ID: &str = "clock.synced";

pub(super) fn check(clock: &Clock) -> Finding {
    if clock.epoch.is_some() {
        return Finding::new(ID, Status::Ok, format!("simulated, {} times as fast as real", clock.speed));
    }
    if let Some(path) = &clock.step_file {
        let message = format!("{} moves the calendar: real boilers are refused", path.display());
        return Finding::new(ID, Status::Warning, message).advise("remove clock.step_file: it is a fault for tests");
    }
    let utc = Utc(realtime_ns());
    if !utc.is_plausible() {
        let message =
            format!("the clock shows {}: no hour is opened there, whoever vouches for it", hour_text(utc.hour()));
        return Finding::new(ID, Status::Error, message).advise("set the clock: run chrony or systemd-timesyncd");
    }
    if kernel_says_synchronised() {
        return Finding::new(ID, Status::Ok, "the kernel says that a time source disciplines the clock");
    }
    if clock.assume_synced {
        let message = "not synchronised, as far as the kernel knows; clock.assume_synced takes it as synchronised";
        return Finding::new(ID, Status::Warning, message).advise("run chrony or systemd-timesyncd where you can");
    }
    let message = "no time source disciplines the clock: samples would feed the rolling average, but no hour";
    let advice = "run chrony or systemd-timesyncd, or set assume_synced in [clock] where somebody else sets this clock";
    Finding::new(ID, Status::Error, message).advise(advice)
}
