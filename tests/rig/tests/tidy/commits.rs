//! The subjects of the last commits: `room: what changes`, in the imperative, at most 72 characters.

use std::io::Write as _;
use std::process::Command;

/// Older subjects stay as they are.
const LAST: &str = "-50";
const SUBJECT_CHARS: usize = 72;
/// First words of a description, which is not an order.
const NOT_IMPERATIVE: &str = "a an the this that what where when which who how its it one two three every each several \
                              no some any all of in on at by for with without";

fn breach(subject: &str) -> Option<&'static str> {
    let Some((rooms, change)) = subject.split_once(": ") else { return Some("no `room: `") };
    let is_room = |room: &str| !room.is_empty() && room.chars().all(|c| c.is_ascii_lowercase() || "-_.".contains(c));
    let first = change.split_whitespace().next().unwrap_or("");
    let is_order = first.chars().all(|c| c.is_ascii_lowercase() || "-,".contains(c))
        && !NOT_IMPERATIVE.split_whitespace().any(|word| word == first)
        && !["ed", "ing"].iter().any(|end| first.len() > 5 && first.ends_with(end));
    let breaches = [
        (subject.chars().count() > SUBJECT_CHARS, "more than 72 characters"),
        (!rooms.split(", ").all(is_room), "no room in front"),
        (!is_order || subject.ends_with('.'), "not an order"),
    ];
    breaches.into_iter().find(|(is_broken, _)| *is_broken).map(|(_, what)| what)
}

#[test]
fn subjects_of_commits_are_short_orders() {
    let log = ["-C", env!("CARGO_MANIFEST_DIR"), "log", LAST, "--no-merges", "--format=%h %s"];
    let Some(output) = Command::new("git").args(log).output().ok().filter(|output| output.status.success()) else {
        writeln!(std::io::stderr().lock(), "SKIPPED: subjects of commits: there is no git, or no history").unwrap();
        return;
    };
    let log = String::from_utf8_lossy(&output.stdout);
    let subjects = log.lines().filter_map(|line| line.split_once(' '));
    let breaches: Vec<_> = subjects
        .filter_map(|(hash, subject)| breach(subject).map(|what| format!("{hash} {subject}: {what}")))
        .collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn subjects_that_are_no_short_orders_are_found() {
    for bad in [
        "mend it",
        "Flow: mend it",
        "flow: Mend it",
        "flow: mend it.",
        "flow: mended it",
        "flow: the sum of it",
        "flow: keep the sum of the slots that arrived and of those that were named missing",
    ] {
        assert!(breach(bad).is_some(), "{bad}");
    }
    assert_eq!(breach("agent, rig: read the clocks only for a rest, and say things once"), None);
}
