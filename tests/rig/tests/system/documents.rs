//! The commands in the documents: each is valid for its program, and those that need only a running system are run.
//!
//! A command of ours is run with `--help` appended: the arguments ahead of it are parsed, and nothing is done.
//! A named test must exist. Commands of the system (journalctl) are only checked by name. The
//! blocks that install, upgrade and remove a gateway are run by `deployment`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rig::house::{House, SOON};

/// The folders with pages.
const FOLDERS: [&str; 8] =
    ["", ".github", "agent", "agent/decisions", "agent/wire", "deploy", "tests", "tests/rig/reports"];
/// Sections whose blocks `deployment` runs.
const RUN: [&str; 3] = ["Install", "Upgrade", "Remove"];
/// Programs of the system that the other blocks use.
const SYSTEM: [&str; 1] = ["journalctl"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every page, by its path from the root.
fn pages() -> Vec<PathBuf> {
    let pages = FOLDERS.iter().flat_map(|folder| {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        files.filter(|name| name.to_str().unwrap().ends_with(".md")).map(move |name| Path::new(folder).join(name))
    });
    pages.collect()
}

/// A command and its place.
#[derive(Debug)]
struct Found {
    place: String,
    line: String,
}

/// The lines of `sh` blocks, and what is between single backticks and begins with a program of ours.
fn commands() -> Vec<Found> {
    let mut found = Vec::new();
    for document in pages().into_iter().chain(["config/thermowell.toml".into()]) {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        let (mut section, mut block) = ("", None);
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", document.display(), number + 1);
            if let Some(language) = line.trim().strip_prefix("```") {
                block = if block.is_some() { None } else { Some(language == "sh" && !RUN.contains(&section)) };
                continue;
            }
            section = line.strip_prefix("## ").unwrap_or(section);
            match block {
                Some(true) => {
                    found.push(Found { place, line: line.trim().to_owned() });
                }
                Some(_) => {}
                None => {
                    let quoted = line.split('`').skip(1).step_by(2);
                    let ours = quoted.filter(|words| {
                        ["cargo ", "thermowell ", "firmware-sim "].iter().any(|p| words.starts_with(p))
                    });
                    found.extend(ours.map(|words| Found { place: place.clone(), line: words.to_owned() }));
                }
            }
        }
    }
    found
}

/// The words of a line, with quotes, up to a comment, a pipe or a redirection. Names in capitals stand for values.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (Some(_) | None, c) => words.last_mut().unwrap().push(c),
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.take_while(|word| !["#", "|", ">", "<", "&&"].contains(&word.as_str())).collect()
}

fn run(program: &[&str], arguments: &[String]) -> Output {
    Command::new(super::DEMO).args(program).args(arguments).current_dir(root()).output().unwrap()
}

/// Why this command is invalid.
fn wrong(words: &[String], tests: &BTreeSet<String>) -> Option<String> {
    let words: &[String] = if words[0] == "sudo" || words[0] == "runuser" { after_user(words) } else { words };
    let help = |program: &[&str], arguments: &[String]| {
        let mut arguments: Vec<String> = arguments.iter().map(|word| stand_in(word)).collect();
        arguments.push("--help".to_owned());
        let output = run(program, &arguments);
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match (word(0), word(1)) {
        // It has no --help: it is help.
        ("thermowell", "help") => {
            let output = run(&["thermowell"], &words[1..]);
            (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
        }
        ("thermowell", _) => help(&["thermowell"], &words[1..]),
        ("firmware-sim", _) => help(&["firmware-sim"], &words[1..]),
        ("cargo", "demo") => help(&[], &words[2..]),
        ("cargo", name @ ("cuts" | "faults" | "figures" | "winter")) => {
            help(&[name], &words[2..]).or_else(|| if name == "faults" { no_such_row(&words[2..]) } else { None })
        }
        ("cargo", "hammer") => no_such_test(&["-p", "rig", "--test", "hammer"].map(str::to_owned), tests),
        // The simulator of worlds is another package's program.
        ("cargo", "sim") => ["--seed", "--seeds", "--bugs", "--times", ""]
            .iter()
            .all(|known| *known != word(2))
            .then(|| "no such flag".to_owned()),
        ("cargo", "test") => no_such_test(&words[2..], tests),
        ("cargo", "build" | "clippy" | "fmt" | "run") => None,
        ("cargo", other) => Some(format!("no alias {other}")),
        (program, _) => (!SYSTEM.contains(&program)).then(|| "no program that we know".to_owned()),
    }
}

/// `cargo faults --only wipe`: there is a row of that name.
fn no_such_row(words: &[String]) -> Option<String> {
    let output = Command::new(super::DEMO).args(["faults", "--list"]).output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let named = words.windows(2).filter(|pair| pair[0] == "--only").map(|pair| &pair[1]);
    let missing = named.into_iter().find(|name| list.lines().all(|line| line.split(' ').next() != Some(name.as_str())));
    missing.map(|name| format!("no row {name}"))
}

/// What sudo or runuser starts.
fn after_user(words: &[String]) -> &[String] {
    let after = words.iter().position(|word| word == "--").map_or(1, |at| at + 1);
    &words[after..]
}

/// A value for what a document leaves open.
fn stand_in(word: &str) -> String {
    match word {
        "FILE" => "file".to_owned(),
        "SERIAL" => "TW-0042".to_owned(),
        "…" => "--help".to_owned(),
        other => other.to_owned(),
    }
}

/// `cargo test -p rig --test system exits`: the package, the file and at least one test of that name are there.
fn no_such_test(words: &[String], tests: &BTreeSet<String>) -> Option<String> {
    let after = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let filter = words
        .iter()
        .enumerate()
        .find(|(at, word)| !word.starts_with('-') && (*at == 0 || !["-p", "--test"].contains(&words[at - 1].as_str())));
    let Some(package) = after("-p") else {
        let narrows = filter.is_some() || after("--test").is_some();
        return narrows.then(|| "a name of a test without its package".to_owned());
    };
    let folder = match package.as_str() {
        "rig" | "world" => format!("tests/{package}"),
        "thermowell-flow" => "agent/flow".to_owned(),
        "thermowell-wire" => "agent/wire".to_owned(),
        "thermowell" => "agent/gateway".to_owned(),
        "thermowell-device" => "firmware-sim/device".to_owned(),
        "firmware-sim" => "firmware-sim/sim".to_owned(),
        other => return Some(format!("no package {other}")),
    };
    let folder = root().join(folder);
    if let Some(test) = after("--test") {
        let places = [folder.join(format!("tests/{test}.rs")), folder.join(format!("tests/{test}/main.rs"))];
        if places.iter().all(|place| !place.exists()) {
            return Some(format!("no test {test} in {package}"));
        }
    }
    let (_, filter) = filter?;
    if after("--test").is_some_and(|test| test == "system") {
        return tests.iter().all(|path| !is_meant(path, filter)).then(|| format!("no system test {filter}"));
    }
    let mut paths = Vec::new();
    test_paths(&folder, &[], &mut paths);
    paths.iter().all(|path| !is_meant(path, filter)).then(|| format!("no test or module {filter} in {package}"))
}

/// Whether a page means the test of this path by `filter`: some of its whole words.
fn is_meant(path: &str, filter: &str) -> bool {
    let words = |text: &str| format!("_{}_", text.replace("::", "_"));
    words(path).contains(&words(filter))
}

/// The tests below a folder, each with the names of its folders and its file.
fn test_paths(folder: &Path, modules: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let inside = [modules, &[path.file_stem().unwrap().to_str().unwrap().to_owned()]].concat();
        if path.is_dir() {
            test_paths(&path, &inside, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("#[test]\n").skip(1).filter_map(|rest| rest.split_once("fn ")?.1.split('(').next());
            found.extend(names.map(|name| format!("{}::{name}", inside.join("::"))));
        }
    }
}

#[test]
fn every_command_in_the_documents_is_one_that_its_program_takes() {
    let list = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let tests: BTreeSet<String> =
        list.lines().filter_map(|line| Some(line.strip_suffix(": test")?.to_owned())).collect();
    let found = commands();
    assert!(found.len() > 100, "only {} commands were found", found.len());
    let mut problems = Vec::new();
    for Found { place, line } in &found {
        let words = words(line);
        if words.is_empty() || words[0].starts_with('#') {
            continue;
        }
        problems.extend(wrong(&words, &tests).map(|why| format!("{place}: {line}\n    {why}")));
        let paths = words.iter().filter(|word| {
            ["config/", "deploy/", "firmware-sim/scenarios/"].iter().any(|folder| word.starts_with(folder))
                && !word.contains('*')
        });
        let missing = paths.filter(|path| !root().join(path).exists());
        problems.extend(missing.map(|path| format!("{place}: {line}\n    there is no {path}")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Relative links, and the headings that they name.
#[test]
fn every_link_in_the_documents_leads_to_a_file() {
    let mut links = 0;
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let page_itself = root().join(&page);
            let linked = if path.is_empty() { page_itself } else { page_itself.with_file_name(path) };
            assert!(linked.exists(), "{}: there is no {target}", page.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&linked).unwrap().to_lowercase().replace('\'', "");
                let title = format!("# {}\n", heading.replace('-', " "));
                assert!(text.contains(&title), "{}: no heading {target}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 30, "only {links} links were found");
}

/// The lines of the blocks of commands in these sections of the operator's book.
fn blocks(sections: &[&str]) -> Vec<String> {
    let document = fs::read_to_string(root().join("deploy/OPERATING.md")).unwrap();
    let lines = sections.iter().flat_map(|section| {
        let (_, block) = document.split_once(&format!("## {section}\n")).expect("the section");
        block.split("```").nth(1).expect("a block").trim_start_matches("sh\n").lines()
    });
    lines.map(str::to_owned).collect()
}

/// The blocks of commands for operators, line by line, on a running system.
#[test]
fn the_operators_commands_run() {
    let mut house = House::start(super::DEMO, &["--speed", "60", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    // A command needs a tenth of an hour that is known.
    house.until("seven minutes of samples", SOON * 2, |house| (house.stored(&boiler)?.1 > 42_000).then_some(()));
    let config = house.config();
    for line in &blocks(&["Commands", "Looking at the data", "The configuration in effect"]) {
        let words = words(line);
        let output = Command::new(super::DEMO).args(&words).env("THERMOWELL_CONFIG", &config).output().unwrap();
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // No lockout is active, so the approval of a reset is refused.
        let expected = if line.contains("reset approve") { 1 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{line}\n{printed}");
    }

    // Without an agent nothing is reported, and nothing old is shown as current.
    house.processes.agent.keep_down().unwrap();
    house.until("the last STATUS is old", SOON, |_| {
        let (code, text, _) = super::thermowell(&config, &["reset", "status", "--boiler", "b1"]);
        (code == Some(3) && text.starts_with("unknown: the last STATUS is")).then_some(())
    });
    // The last STATE may be younger than the last STATUS.
    let text = house.until("no boiler is fresh", SOON, |_| {
        let (code, text, _) = super::thermowell(&config, &["status"]);
        (code == Some(1)).then_some(text)
    });
    assert!(!text.contains(", lease ") && !text.contains("own control"), "{text}");
    house.processes.agent.bring_up().unwrap();
    assert!(house.close().ok);
}
