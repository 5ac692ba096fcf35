//! Checks that the calendar is synchronised.

use thermowell_flow::time::{Utc, hour_text};

use super::finding::of;
use super::{Finding, Root, Status};
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

/// What keeps the time while the machine is off. Without it, the clock is wrong after each start until a server of time
/// answers.
pub(super) fn leap(clock: &Clock, root: &Root) -> Finding {
    let find = of("clock.leap");
    if clock.epoch.is_some() {
        return find(Status::Skipped, "the calendar is simulated".to_owned());
    }
    if clock.assume_synced {
        return find(Status::Skipped, "clock.assume_synced: the clock is set by other means".to_owned());
    }
    match root.names("/sys/class/rtc").first() {
        Some(rtc) => find(Status::Ok, format!("{rtc} keeps the time while the machine is off")),
        None => find(Status::Warning, "no clock runs while the machine is off".to_owned()).advise(
            "after a start without a network, samples are in no hour: add an RTC, or a server of time in the house;              chrony, with `makestep 1 3`, steps only at the start",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::root::testing::machine;
    use super::*;
    use crate::config::Config;

    #[test]
    fn machine_without_a_battery_clock_is_a_warning() {
        let clock = |text: &str| {
            Config::parse(&format!("{text}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\""), "t").unwrap().clock
        };
        let (_folder, root) = machine(&[("sys/class/rtc/rtc0/name", "rtc_cmos")]);
        assert_eq!(leap(&clock(""), &root).status, Status::Ok);
        let (_folder, root) = machine(&[]);
        assert_eq!(leap(&clock(""), &root).status, Status::Warning);
        assert_eq!(leap(&clock("clock.assume_synced = true"), &root).status, Status::Skipped);
    }
}
