//! The calendar of the rooms' targets: weekdays, holidays and absences in a time zone, as steps in time.
//!
//! A time that summer time skips is taken an hour later, one that occurs twice is taken the first time.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use thermowell_flow::control::{Plan, Step};
use thermowell_flow::time::Utc;
use thermowell_wire::CentiCelsius;

use crate::config::Law;

/// Days before today whose steps may still hold: every target holds until the next, of up to a week later.
const DAYS_BEFORE: i32 = 8;
/// Days after today: more than the controller looks ahead before the plan is made again.
const DAYS_AFTER: i32 = 3;
const DAY_NAMES: [&str; 8] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", HOLIDAY];
const DAILY: &str = "daily";
const HOLIDAY: &str = "holiday";
const SUNDAY: usize = 6;
const HOLIDAYS: usize = 7;

/// Days of the week, and holidays, as `mon-fri, holiday`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(u8);

/// A text that names no days.
#[derive(Debug, thiserror::Error)]
#[error(
    "not days, allowed are \"daily\", or some of mon, tue, wed, thu, fri, sat, sun and holiday: \"mon-fri, holiday\""
)]
pub struct NotDays;

impl Days {
    /// Every day, holidays too.
    pub const DAILY: Self = Self(0xff);

    fn has(self, day: usize) -> bool {
        self.0 & (1 << day) != 0
    }
}

impl FromStr for Days {
    type Err = NotDays;

    fn from_str(text: &str) -> Result<Self, NotDays> {
        if text == DAILY {
            return Ok(Self::DAILY);
        }
        let place = |name: &str| DAY_NAMES.iter().position(|day| *day == name).ok_or(NotDays);
        let mut days = 0;
        for part in text.split(',').map(str::trim) {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (place(first)?, place(last)?),
                None => (place(part)?, place(part)?),
            };
            if first > last || (first < HOLIDAYS && last == HOLIDAYS) {
                return Err(NotDays);
            }
            (first..=last).for_each(|day| days |= 1 << day);
        }
        Ok(Self(days))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::DAILY {
            return f.write_str(DAILY);
        }
        let names = DAY_NAMES.iter().enumerate().filter(|(day, _)| self.has(*day)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

/// The rooms are set back from one local time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    pub from: DateTime,
    pub until: DateTime,
    /// The highest target in this time.
    pub room: CentiCelsius,
}

/// The day of the week whose targets apply in a law that has one day with two steps at a time, or with steps that are
/// not in the order of time.
#[must_use]
pub fn unordered(law: &Law) -> Option<&'static str> {
    (0..DAY_NAMES.len()).find_map(|day| {
        let minutes: Vec<u16> =
            law.target.iter().filter(|target| target.on.has(day)).map(|target| target.from_minute).collect();
        (!minutes.is_sorted_by(|a, b| a < b)).then_some(DAY_NAMES[day])
    })
}

/// The plan around `utc`, if its day is not the one for which `planned` was made.
#[must_use]
pub fn renew(law: &Law, planned: &mut Option<Date>, utc: Utc) -> Option<Plan> {
    let today = law.timezone.to_datetime(Timestamp::from_nanosecond(utc.0.into()).ok()?).date();
    (planned.replace(today) != Some(today)).then(|| plan(law, today))
}

/// A date and a time of day, as `2027-01-03T16:00`.
#[must_use]
pub fn local_time(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y-%m-%dT%H:%M", text).ok()
}

fn plan(law: &Law, today: Date) -> Plan {
    let days = (-DAYS_BEFORE..=DAYS_AFTER).filter_map(|day| today.checked_add(Span::new().days(day)).ok());
    let steps = days.flat_map(|date| {
        let day = kind(law, date);
        let targets = law.target.iter().filter(move |target| target.on.has(day));
        // Summer time may take a step behind the next one of its day: then it is over at once.
        targets.scan(Utc(i64::MIN), move |last, target| {
            let [hour, minute] = [target.from_minute / 60, target.from_minute % 60].map(i8::try_from).map(Result::ok);
            *last = utc(&law.timezone, date.at(hour?, minute?, 0, 0))?.max(*last);
            Some(Step { from: *last, target: target.room.celsius() })
        })
    });
    let targets = Plan::new(steps.collect());
    // Within an absence, steps and both its ends count, each with the lower target.
    let absences: Vec<(Utc, Utc, CentiCelsius)> = law
        .absence
        .iter()
        .filter_map(|absence| {
            Some((utc(&law.timezone, absence.from)?, utc(&law.timezone, absence.until)?, absence.room))
        })
        .collect();
    let ends = absences.iter().flat_map(|(from, until, _)| [*from, *until]);
    let times: Vec<Utc> = targets.steps().iter().map(|step| step.from).chain(ends).collect();
    let lowered = times.into_iter().map(|from| {
        let away = absences.iter().filter(|(begin, end, _)| (*begin..*end).contains(&from));
        let target = away.fold(targets.target(from), |target, (.., room)| target.min(room.celsius()));
        Step { from, target }
    });
    Plan::new(lowered.collect())
}

/// The day of [`DAY_NAMES`] whose targets apply. A holiday is a Sunday where no target names holidays.
fn kind(law: &Law, date: Date) -> usize {
    let weekday = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
    let has_own = law.target.iter().any(|target| target.on != Days::DAILY && target.on.has(HOLIDAYS));
    match law.holidays.contains(&date) {
        true if has_own => HOLIDAYS,
        true => SUNDAY,
        false => weekday,
    }
}

/// A local time in UTC.
#[must_use]
pub fn utc(timezone: &TimeZone, local: DateTime) -> Option<Utc> {
    let at = timezone.to_timestamp(local).ok()?;
    i64::try_from(at.as_nanosecond()).ok().map(Utc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn law(control: &str) -> Law {
        let text = format!("[control]\n{control}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n");
        Config::parse(&text, "t.toml").unwrap().control.law
    }

    fn at(text: &str) -> Utc {
        Utc(text.parse::<Timestamp>().unwrap().as_nanosecond().try_into().unwrap())
    }

    /// The targets at some times, from the plan of their day.
    fn targets<const N: usize>(law: &Law, times: [&str; N]) -> [f64; N] {
        times.map(|time| renew(law, &mut None, at(time)).unwrap().target(at(time)))
    }

    const WEEK: &str = r#"
        timezone = "Europe/Berlin"
        target = [
            { on = "mon-fri", from = "06:00", room = "21 °C" },
            { on = "sat, sun", from = "08:00", room = "20 °C" },
            { from = "22:00", room = "17 °C" },
        ]
    "#;

    #[test]
    fn targets_follow_weekdays_in_local_time() {
        let times = ["2026-01-09T04:59:59Z", "2026-01-09T05:00:00Z", "2026-01-10T05:00:00Z", "2026-01-10T07:00:00Z"];
        assert_eq!(targets(&law(WEEK), times), [17.0, 21.0, 17.0, 20.0]);
    }

    #[test]
    fn step_of_a_week_ago_still_holds() {
        let law = law("target = [{ on = \"mon\", from = \"23:59\", room = \"19 °C\" }]");
        assert_eq!(targets(&law, ["2026-01-05T23:58:00Z", "2026-01-12T23:58:00Z"]), [19.0, 19.0]);
    }

    #[test]
    fn summer_time_begins_and_ends() {
        let law = law(WEEK);
        // 29 March 2026 has 23 hours, 25 October has 25; both are Sundays.
        let spring = ["2026-03-28T06:59:00Z", "2026-03-28T07:00:00Z", "2026-03-29T05:59:00Z", "2026-03-29T06:00:00Z"];
        assert_eq!(targets(&law, spring), [17.0, 20.0, 17.0, 20.0]);
        let autumn = ["2026-10-24T05:59:00Z", "2026-10-24T06:00:00Z", "2026-10-25T06:59:00Z", "2026-10-25T07:00:00Z"];
        assert_eq!(targets(&law, autumn), [17.0, 20.0, 17.0, 20.0]);
    }

    #[test]
    fn skipped_time_is_an_hour_later_and_a_double_one_is_the_first() {
        let target = "target = [{ from = \"02:30\", room = \"20 °C\" }, { from = \"12:00\", room = \"18 °C\" }]";
        let law = law(&format!("timezone = \"Europe/Berlin\"\n{target}"));
        let spring = ["2026-03-29T01:29:00Z", "2026-03-29T01:30:00Z"];
        assert_eq!(targets(&law, spring), [18.0, 20.0]);
        assert_eq!(targets(&law, ["2026-10-25T00:29:00Z", "2026-10-25T00:30:00Z"]), [18.0, 20.0]);
    }

    #[test]
    fn steps_of_a_day_keep_their_order() {
        let target = "target = [{ from = \"02:30\", room = \"20 °C\" }, { from = \"03:00\", room = \"18 °C\" }]";
        let law = law(&format!("timezone = \"Europe/Berlin\"\n{target}"));
        assert_eq!(targets(&law, ["2026-03-29T01:29:00Z", "2026-03-29T01:31:00Z", "2026-03-29T12:00:00Z"]), [18.0; 3]);
    }

    #[test]
    fn holiday_is_a_sunday_or_has_targets_of_its_own() {
        // A Friday.
        let christmas = ["2026-12-25T06:00:00Z", "2026-12-25T07:00:00Z"];
        assert_eq!(targets(&law(WEEK), christmas), [21.0, 21.0]);
        let sunday = format!("holidays = [\"2026-12-25\"]\n{WEEK}");
        assert_eq!(targets(&law(&sunday), christmas), [17.0, 20.0]);
        let own =
            sunday.replace("{ on = \"sat", "{ on = \"holiday\", from = \"07:00\", room = \"22 °C\" },\n{ on = \"sat");
        assert_eq!(targets(&law(&own), christmas), [22.0, 22.0]);
        assert_eq!(targets(&law(&own), ["2026-12-27T06:30:00Z"]), [17.0], "a Sunday is no holiday");
    }

    #[test]
    fn absence_lowers_targets_between_its_ends() {
        let law = law(&format!(
            "absence = [{{ from = \"2026-01-09T10:00\", until = \"2026-01-10T12:00\", room = \"18 °C\" }}]\n{WEEK}"
        ));
        let times = ["2026-01-09T08:59:00Z", "2026-01-09T09:00:00Z", "2026-01-09T22:00:00Z", "2026-01-10T08:00:00Z"];
        assert_eq!(targets(&law, times), [21.0, 18.0, 17.0, 18.0], "the night is colder still");
        assert_eq!(targets(&law, ["2026-01-10T10:59:00Z", "2026-01-10T11:00:00Z"]), [18.0, 20.0]);
        let plan = renew(&law, &mut None, at("2026-01-10T00:00:00Z")).unwrap();
        let mut rises = plan.rises(at("2026-01-10T10:00:00Z"), at("2026-01-11T00:00:00Z"), 18.0);
        let rise = rises.next().unwrap();
        assert_eq!((rise.from, rise.target), (at("2026-01-10T11:00:00Z"), 20.0), "to be warm in time for");
    }

    #[test]
    fn plan_is_made_once_for_each_local_day() {
        let (law, mut planned) = (law(WEEK), None);
        assert!(renew(&law, &mut planned, at("2026-01-09T22:59:00Z")).is_some());
        assert!(renew(&law, &mut planned, at("2026-01-09T00:00:00Z")).is_none());
        assert!(renew(&law, &mut planned, at("2026-01-09T23:00:00Z")).is_some(), "midnight in Berlin");
        assert!(renew(&law, &mut planned, Utc(0)).is_some(), "a clock that is set back");
        for utc in [i64::MIN, i64::MAX] {
            assert!(renew(&law, &mut None, Utc(utc)).is_some(), "no clock is too wrong");
        }
    }

    #[test]
    fn days_have_one_meaning() {
        for (text, shown) in [
            ("daily", "daily"),
            ("mon-sun, holiday", "daily"),
            ("fri-sun", "fri, sat, sun"),
            ("holiday,mon", "mon, holiday"),
        ] {
            assert_eq!(text.parse::<Days>().unwrap().to_string(), shown);
        }
        for wrong in ["", "monday", "Mon", "fri-mon", "sun-holiday", "mon-", "mon;tue", "holiday-mon"] {
            assert!(wrong.parse::<Days>().is_err(), "{wrong}");
        }
    }
}
