//! Checks that the calendar is synchronised.

use thermowell_flow::time::{Utc, hour_text};

use super::{Finding, Status};
use crate::clock::{kernel_reports_synchronised, realtime_ns};
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
        let message = format!(
            "the clock shows {}, which is implausible: no hour is averaged with it, even with assume_synced",
            hour_text(utc.hour())
        );
        return Finding::new(ID, Status::Error, message).advise("set the clock: run chrony or systemd-timesyncd");
    }
    if kernel_reports_synchronised() {
        return Finding::new(ID, Status::Ok, "the kernel reports a synchronised clock");
    }
    if clock.assume_synced {
        let message = "the kernel reports no synchronisation; clock.assume_synced overrides it";
        return Finding::new(ID, Status::Warning, message).advise("run chrony or systemd-timesyncd if possible");
    }
    let message = "the clock is not synchronised: samples count in the rolling average, but in no hour";
    let advice = "run chrony or systemd-timesyncd, or set assume_synced in [clock] if the clock is set by other means";
    Finding::new(ID, Status::Error, message).advise(advice)
}
