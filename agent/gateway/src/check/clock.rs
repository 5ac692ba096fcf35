//! Checks that the calendar is synchronised.

use std::time::Duration;

use thermowell_flow::published::EventBody;
use thermowell_flow::time::{Utc, hour_text};

use super::evidence::{Evidence, Moment};
use super::finding::of;
use super::{Finding, Root, Status};
use crate::clock::{kernel_reports_synchronised, realtime_ns};
use crate::config::Clock;
use crate::quantity::{moment, show_measured};

const ID: &str = "clock.synced";
const DAY_S: f64 = 86_400.0;
/// A smaller jump is a stall of the line, or the device's.
const STEP_MIN: Duration = Duration::from_secs(1);

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

/// A step that the stamps of a boiler show, within a day.
pub(super) fn step(it: &Evidence, now: &Moment) -> Option<String> {
    let event = it.clock.as_ref().filter(|event| now.since(event.created_at) < DAY_S)?;
    let EventBody::ClockJumped { by_ns } = event.body else { return None };
    let by = Duration::from_nanos(by_ns.unsigned_abs());
    (by >= STEP_MIN)
        .then(|| format!("{} at {}, by the stamps of {}", show_measured(by), moment(event.created_at), it.last.boiler))
}

/// What keeps the time while the machine is off, and the steps of the calendar. Without a clock on a battery, the time
/// is wrong after each start until a server of time answers.
pub(super) fn leap(clock: &Clock, steps: &[String], root: &Root) -> Finding {
    let find = of("clock.leap");
    let advice = "chrony, with `makestep 1 3`, steps only at the start, then it slews; an RTC keeps the time without a \
                  network";
    if let Some(step) = steps.first() {
        return find(Status::Warning, format!("the calendar stepped by {step}")).advise(advice);
    }
    if clock.epoch.is_some() {
        return find(Status::Skipped, "the calendar is simulated".to_owned());
    }
    if clock.assume_synced {
        return find(Status::Skipped, "clock.assume_synced: the clock is set by other means".to_owned());
    }
    match root.names("/sys/class/rtc").first() {
        Some(rtc) => find(Status::Ok, format!("{rtc} keeps the time while the machine is off")),
        None => find(Status::Warning, "no clock runs while the machine is off".to_owned()).advise(advice),
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
        assert_eq!(leap(&clock(""), &[], &root).status, Status::Ok);
        let (_folder, root) = machine(&[]);
        assert_eq!(leap(&clock(""), &[], &root).status, Status::Warning);
        assert_eq!(leap(&clock("clock.assume_synced = true"), &[], &root).status, Status::Skipped);
        let stepped = leap(&clock(""), &["2.0 s at noon".to_owned()], &root);
        assert_eq!(stepped.message, "the calendar stepped by 2.0 s at noon");
    }
}
