//! What files hold, how long they are and what they are called.

use crate::source::{Finding, Source, Tree};

/// The visible top level. Files that begin with a dot may join it.
const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "agent", "config", "deploy", "firmware-sim", "tests"];

const FILE_LINES: usize = 500;
const LINE_CHARS: usize = 120;
const VAGUE_NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "manager"];

/// Modules of the gateway that talk to NATS.
const NATS_MODULES: [&str; 18] = [
    "boilers",
    "conformance",
    "verify",
    "nats",
    "session",
    "streams",
    "report",
    "publish",
    "consume",
    "snapshot",
    "feed",
    "control",
    "actuate",
    "command",
    "reset",
    "agent",
    "aggregator",
    "controller",
];

/// What reads a clock. Elsewhere time comes in as an argument.
const CLOCKS: [&str; 6] =
    ["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now", "Utc::now", "clock_gettime"];

/// Words that would tie the tree to one machine, in two halves so that this file may name them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/", "t-"), concat!("/ro", "ot/")];
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted"),
    concat!("registry", ".npmjs"),
    concat!("deb.debian", ".org"),
    concat!("static.rust", "-lang.org"),
];

const LAYOUT: &str = "the top level is fixed";
const CLOCK: &str = "only clock.rs reads clocks";
const EXIT: &str = "only main.rs exits";
const NATS: &str = "async_nats stays in the modules that talk to NATS";
const SERIAL: &str = "tokio_serial stays in serial.rs";
const ALLOW: &str = "expect with a reason instead of allow";
const LONG_FILE: &str = "files have up to 500 lines before their tests";
const LONG_LINE: &str = "lines have up to 120 characters";
const VAGUE: &str = "a module's name says what it is for";
const PLACE: &str = "no machine's paths and no registry's hosts";

pub(crate) fn top_level(names: &[String]) -> Vec<Finding> {
    let known = |name: &str| name.starts_with('.') || name == "target" || TOP_LEVEL.contains(&name);
    let unknown = names.iter().filter(|name| !known(name));
    unknown.map(|name| Source::new(name, "").finding(0, LAYOUT, "belongs into one of its folders")).collect()
}

pub(crate) fn confinement(tree: &Tree) -> Vec<Finding> {
    tree.rust().flat_map(confinement_in).collect()
}

fn confinement_in(source: &Source) -> Vec<Finding> {
    let path = source.path.as_str();
    let in_gateway = path.strip_prefix("agent/gateway/src/");
    let module = in_gateway.map(|inner| inner.split(['/', '.']).next().unwrap_or(""));
    let may_exit = path.ends_with("/main.rs") || path.contains("/src/bin/");
    let may_nats = path.starts_with("tests/rig/") || module.is_some_and(|name| NATS_MODULES.contains(&name));
    let may_serial = module == Some("serial");
    let mut findings = Vec::new();
    for (at, line) in source.code().lines().enumerate() {
        let mut find = |rule, what: &str| findings.push(source.finding(at + 1, rule, what));
        if let Some(clock) = CLOCKS.iter().find(|clock| line.contains(*clock))
            && !path.ends_with("/clock.rs")
        {
            find(CLOCK, clock);
        }
        if line.contains("process::exit") && !may_exit {
            find(EXIT, "return an ExitCode");
        }
        if line.contains("async_nats") && !may_nats {
            find(NATS, "name a type of ours, or list the module in tidy");
        }
        if line.contains("tokio_serial") && !may_serial {
            find(SERIAL, "name a type of ours");
        }
        if line.contains("#[allow(") || line.contains("#![allow(") {
            find(ALLOW, line.trim());
        }
    }
    findings
}

pub(crate) fn shape(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(shape_of).collect()
}

fn shape_of(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.is_rust() {
        let lines = source.lines_before_tests();
        if lines > FILE_LINES && !source.is_test_module() {
            findings.push(source.finding(0, LONG_FILE, format!("{lines} lines")));
        }
        let stem = source.path.trim_end_matches(".rs");
        if let Some(name) = stem.split('/').find(|part| VAGUE_NAMES.contains(part)) {
            findings.push(source.finding(0, VAGUE, name));
        }
    }
    let is_written_by_hand = source.is_rust()
        || source.path == ".ci/run"
        || [".conf", ".service", ".rules", ".sysusers", ".tmpfiles"].iter().any(|end| source.path.ends_with(end));
    if is_written_by_hand {
        for (at, line) in source.text.lines().enumerate() {
            let chars = line.chars().count();
            if chars > LINE_CHARS {
                findings.push(source.finding(at + 1, LONG_LINE, format!("{chars} characters")));
            }
        }
    }
    findings
}

pub(crate) fn places(tree: &Tree) -> Vec<Finding> {
    // cargo writes the registry into the lock file.
    tree.sources.iter().filter(|source| source.path != "Cargo.lock").flat_map(places_in).collect()
}

fn places_in(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for place in MACHINE_PATHS {
            // `tests/work/` is a folder of the tree, not of a machine.
            let absolute = |found: usize| !line[..found].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
            if line.match_indices(place).any(|(found, _)| absolute(found)) {
                findings.push(source.finding(at + 1, PLACE, place));
            }
        }
        for host in REGISTRY_HOSTS {
            if line.contains(host) {
                findings.push(source.finding(at + 1, PLACE, host));
            }
        }
    }
    findings
}

#[cfg(test)]
mod samples {
    use super::*;

    fn rules(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_stray_entry_at_the_top_is_found() {
        let names = ["agent", ".ci", "target", "notes.txt"].map(str::to_owned);
        assert_eq!(rules(&top_level(&names)), [LAYOUT]);
    }

    #[test]
    fn what_touches_the_world_is_found_where_it_must_not_stand() {
        for (path, line, expected) in [
            ("agent/gateway/src/agent.rs", "let t = Instant::now();", Some(CLOCK)),
            ("agent/gateway/src/clock.rs", "let t = Instant::now();", None),
            ("agent/gateway/src/agent.rs", "// Instant::now()", None),
            ("agent/gateway/src/agent.rs", "std::process::exit(1);", Some(EXIT)),
            ("agent/gateway/src/main.rs", "std::process::exit(1);", None),
            ("agent/gateway/src/config/mod.rs", "use async_nats::Client;", Some(NATS)),
            ("agent/gateway/src/publish.rs", "use async_nats::Client;", None),
            ("tests/world/src/lib.rs", "use async_nats::Client;", Some(NATS)),
            ("agent/gateway/src/agent.rs", "use tokio_serial::SerialStream;", Some(SERIAL)),
            ("agent/gateway/src/serial.rs", "use tokio_serial::SerialStream;", None),
            ("agent/wire/src/lib.rs", "#![allow(dead_code)]", Some(ALLOW)),
            ("agent/wire/src/lib.rs", "#[allow(dead_code)]", Some(ALLOW)),
        ] {
            let findings = confinement_in(&Source::new(path, line));
            assert_eq!(rules(&findings), Vec::from_iter(expected), "{path}: {line}");
        }
    }

    #[test]
    fn long_files_long_lines_and_vague_names_are_found() {
        let long = "a\n".repeat(501);
        assert_eq!(rules(&shape_of(&Source::new("a/src/b.rs", &long))), [LONG_FILE]);
        let tests = format!("{}#[cfg(test)]\nmod tests {{\n{long}}}\n", "a\n".repeat(500));
        assert_eq!(shape_of(&Source::new("a/src/b.rs", &tests)), []);
        let wide = "ä".repeat(121);
        assert_eq!(rules(&shape_of(&Source::new("a/src/b.rs", &wide))), [LONG_LINE]);
        assert_eq!(shape_of(&Source::new("a/src/b.rs", &wide[2..])), []);
        for path in ["a/src/utils.rs", "a/src/common/x.rs", "a/src/x/manager.rs"] {
            assert_eq!(rules(&shape_of(&Source::new(path, ""))), [VAGUE], "{path}");
        }
    }

    #[test]
    fn places_of_one_machine_are_found() {
        for place in MACHINE_PATHS.iter().chain(&REGISTRY_HOSTS) {
            let line = format!("from {place}x");
            assert_eq!(rules(&places_in(&Source::new("a.md", &line))), [PLACE], "{line}");
        }
        let inner = format!("in tests{}x", MACHINE_PATHS[0]);
        assert_eq!(places_in(&Source::new("a.md", &inner)), []);
    }
}
