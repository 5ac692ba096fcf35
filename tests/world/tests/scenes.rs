//! Every scenario of the firmware, judged downstream: by what the gateway publishes, and by nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use firmware_sim::scenario::Scenario;
use thermowell_flow::published::EventBody;
use world::scenes::{Played, play};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-sim/scenarios");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files
}

/// What is wrong with a file, and how many of its assertions were judged.
fn judge(file: &Path) -> (Vec<String>, String) {
    let name = file.file_name().expect("it was listed").display().to_string();
    let scenario = Scenario::read(file).expect("it is a scenario");
    let Played { judged, hidden, failures, steady, events, outcome } = play(&scenario, &"b1".parse().expect("an id"));
    let mut wrong: Vec<String> = failures.iter().map(|failure| format!("{name}: {failure}")).collect();
    if judged == 0 {
        wrong.push(format!("{name}: nothing of what it says is published"));
    }
    if steady && !matches!(events.as_slice(), [EventBody::BootSeen { .. }]) {
        wrong.push(format!("{name}: EVENT says {events:?}"));
    }
    wrong.extend(outcome.failure.map(|failure| format!("{name}: {failure}: {:#?}", outcome.history)));
    (wrong, format!("{name}: {judged} judged, not published: {hidden:?}"))
}

#[test]
#[expect(clippy::print_stdout, reason = "with --nocapture it says what was judged of each file")]
fn what_a_scenario_says_is_seen_downstream() {
    let files = files();
    assert!(files.len() >= 17, "{files:?}");
    let verdicts = std::thread::scope(|scope| {
        let players: Vec<_> = files.iter().map(|file| scope.spawn(|| judge(file))).collect();
        players.into_iter().map(|player| player.join().expect("a world does not panic")).collect::<Vec<_>>()
    });
    let (wrong, said): (Vec<_>, Vec<_>) = verdicts.into_iter().unzip();
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    println!("{}", said.join("\n"));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), said.join("\n"));
}
