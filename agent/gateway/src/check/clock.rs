//! Can the calendar be trusted?

use super::{Finding, Status};
use crate::clock::kernel_says_synchronised;
use crate::config::Clock;

const ID: &str = "clock.synced";

pub(super) fn check(clock: &Clock) -> Finding {
    if clock.epoch.is_some() {
        return Finding::new(ID, Status::Ok, format!("simulated, {} times as fast as real", clock.speed));
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
