//! The examples of every `--help`, each on a running system, in the order of the commands.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rig::house::{House, SOON};
use thermowell::cli::examples::{Example, examples};

/// Examples that are only parsed: they never end, change what the others need, or need a broker.
const PARSED: [&str; 9] = [
    "run",
    "conformance",
    "keys",
    "boiler accept",
    "boiler retire",
    "status --boiler b1 --watch",
    "log configured",
    "check --repair",
    "mqtt remove",
];
/// Examples that may end with 1, and why.
const MAY_REFUSE: [(&str, &str); 8] = [
    ("check", "the machine of a test need not be a good gateway"),
    ("top", "there is no terminal"),
    ("log", "no role has a runtime folder"),
    ("verify --", "the hours of the example need not be those of the run"),
    ("export samples --boiler b1 --from", "that day is not over"),
    ("export snapshots", "no hour has closed yet"),
    ("command", "one command is active at a time"),
    ("reset approve", "there is no lockout"),
];

#[test]
fn examples_of_every_help_text_run() {
    let mut house = House::start(super::DEMO, &["--speed", "60", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("seven minutes of samples", SOON * 2, |house| (house.stored(&boiler)?.1 > 42_000).then_some(()));
    let folder = tempfile::tempdir().unwrap();
    let runtime = folder.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    symlink(super::DEMO, folder.path().join("thermowell")).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut problems = Vec::new();
    for Example { command, line } in examples() {
        let is = |begin: &str| line.starts_with(&format!("thermowell {begin}"));
        if !line.starts_with("thermowell ") || PARSED.iter().any(|begin| is(begin)) || command == "thermowell" {
            continue;
        }
        // jq need not be there, and nothing is written outside of the test's folder.
        let typed = line.split(" | jq").next().unwrap_or(&line);
        let typed = typed.split(" > /").next().unwrap_or(typed).split(" > ~").next().unwrap_or(typed);
        let output = Command::new("sh")
            .args(["-c", typed])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("THERMOWELL_CONFIG", house.config())
            .env("RUNTIME_DIRECTORY", &runtime)
            .output()
            .unwrap();
        let may_refuse = MAY_REFUSE.iter().any(|(begin, _)| is(begin));
        match output.status.code() {
            Some(0) => {}
            Some(1) if may_refuse => {}
            code => {
                let words = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
                problems.push(format!("{typed}: {code:?}\n{}", words.concat()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(folder.path().join("b1.csv").exists() && folder.path().join("my.toml").exists());
    assert!(house.close().ok);
}
