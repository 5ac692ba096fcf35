//! What files hold, how long they are, what they are called, and in which words.

use crate::source::{Breaches, Rule, Source, breach};

/// The visible top level. Files that begin with a dot may join it.
const TOP_LEVEL: &str = "Cargo.toml Cargo.lock LICENSE README.md agent config deploy firmware-sim tests";
const VAGUE_NAMES: &str = "utils util helpers helper common manager";
const FILE_LINES: usize = 500;
const LINE_CHARS: usize = 120;
/// Files other than Rust that are written by hand and should fit into a terminal.
const SHORT_LINES: [&str; 7] = [".rs", ".ci/run", ".conf", ".service", ".rules", ".sysusers", ".tmpfiles"];

/// Tokens, where they may stand, and what to do elsewhere. A place is a file's end or a folder's beginning.
const CONFINED: [(&[&str], &str, &str); 5] = [
    (&["async_nats"], NATS_MODULES, "name a type of ours, or list the module in tidy"),
    (&["tokio_serial"], "agent/gateway/src/serial", "name a type of ours"),
    (&["clock_gettime"], "/clock.rs", "only clock.rs reads clocks"),
    // Clippy refuses clocks and exits everywhere; this keeps the exceptions where they belong.
    (&["disallowed_methods"], "/clock.rs /main.rs /src/bin/", "only clock.rs reads clocks, only main.rs exits"),
    // Clippy's `allow_attributes` does not see inner ones.
    (&["#", "!", "[", "allow"], "", "expect with a reason instead of allow"),
];
/// Modules of the gateway that talk to NATS, and those who test it.
const NATS_MODULES: &str = "tests/rig/ agent/gateway/examples/ actuate agent aggregator boilers command \
                            ambient conformance consume control controller feed front nats publish report reset \
                            session snapshot streams verify";

/// Words that do not belong into plain technical English, in two halves so that this file may contain them.
const WORDS: [&str; 7] = [
    concat!("no", "body"),
    concat!("who", "ever"),
    concat!("some", "body"),
    concat!("an", "ew"),
    concat!("for", " ever"),
    concat!("is", " none"),
    concat!("sa", "id"),
];
const TEST_NAME_CHARS: usize = 60;

/// Words that would tie the tree to one machine, in two halves so that this file may contain them.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/", "t-"), concat!("/ro", "ot/")];
const REGISTRY_HOSTS: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted"),
    concat!("registry", ".npmjs"),
    concat!("deb.debian", ".org"),
    concat!("static.rust", "-lang.org"),
];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "the top level is fixed",
        breaches: |source| {
            let top = source.path.split('/').next().unwrap_or("");
            let is_known = top.starts_with('.') || words(TOP_LEVEL).any(|known| known == top);
            breach(!is_known, "belongs into one of the folders")
        },
        samples: &[("notes.txt", "", 1), ("more/notes.txt", "", 1), ("agent/a.md", "", 0), (".ci/run", "", 0)],
    },
    Rule {
        name: "what touches the world stays in its modules",
        breaches: confinement,
        samples: &[
            ("agent/gateway/src/agent.rs", "#[expect(clippy::disallowed_methods)]\nfn f() {}", 1),
            ("agent/gateway/src/clock.rs", "#[expect(clippy::disallowed_methods)]\nfn f() {}", 0),
            ("agent/gateway/src/agent.rs", "use rustix::time::clock_gettime;", 1),
            ("agent/gateway/src/agent.rs", "// clock_gettime\nconst A: &str = \"clock_gettime\";", 0),
            ("agent/gateway/src/config/mod.rs", "use async_nats::Client;", 1),
            ("agent/gateway/src/publisher.rs", "use async_nats::Client;", 1),
            ("agent/gateway/src/publish.rs", "use async_nats::Client;", 0),
            ("agent/gateway/src/nats/mod.rs", "use async_nats::Client;", 0),
            ("tests/world/src/lib.rs", "use async_nats::Client;", 1),
            ("agent/gateway/src/agent.rs", "use tokio_serial::SerialStream;", 1),
            ("agent/gateway/src/serial.rs", "use tokio_serial::SerialStream;", 0),
            ("agent/wire/src/lib.rs", "#![allow(dead_code)]", 1),
        ],
    },
    Rule {
        name: "files have up to 500 lines before their tests",
        breaches: |source| {
            let lines = if source.is_rust() && !source.is_test(0) { source.lines_before_tests } else { 0 };
            breach(lines > FILE_LINES, format!("{lines} lines"))
        },
        samples: &[
            ("a/src/b.rs", "{500}use a;", 1),
            ("a/src/b.rs", "{500}#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n{500}}\n", 0),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;\n{500}", 1),
            ("a/src/tests.rs", "{500}{500}", 0),
        ],
    },
    Rule {
        name: "lines have up to 120 characters",
        breaches: |source| {
            let is_short = SHORT_LINES.iter().any(|end| source.path.ends_with(end));
            lines(source, |line| {
                let chars = line.chars().count();
                (is_short && chars > LINE_CHARS).then(|| format!("{chars} characters"))
            })
        },
        samples: &[("a/b.rs", "//{120}", 1), ("a.conf", "{120}a", 1), ("a.conf", "{120}", 0), ("a.md", "{120}a", 0)],
    },
    Rule {
        name: "a module's name says what it is for",
        breaches: |source| {
            let stem = source.path.strip_suffix(".rs").unwrap_or("");
            breach(stem.split('/').any(|part| words(VAGUE_NAMES).any(|vague| vague == part)), "find a better one")
        },
        samples: &[("a/src/utils.rs", "", 1), ("a/src/common/x.rs", "", 1), ("a/src/manager.rs", "", 1)],
    },
    Rule {
        name: "no machine's paths and no registry's hosts",
        breaches: |source| {
            // cargo writes the registry into the lock file.
            lines(source, |line| place(line).filter(|_| source.path != "Cargo.lock").map(str::to_owned))
        },
        samples: &[
            ("a.md", concat!("in /wo", "rk/x\nor /tmp/", "t-1\nor /ro", "ot/.cargo"), 3),
            ("a.md", concat!("in tests/wo", "rk/x"), 0),
            ("a.md", concat!("crates", ".io\npypi", ".org\nfiles.python", "hosted\nregistry", ".npmjs"), 4),
            ("a.md", concat!("deb.debian", ".org\nstatic.rust", "-lang.org"), 2),
        ],
    },
    Rule {
        name: "plain technical English",
        breaches: |source| lines(source, |line| word(line).map(str::to_owned)),
        samples: &[
            ("a.md", concat!("No", "body reads it.\nIt waits for", " ever, and is asked an", "ew."), 2),
            (
                "a.rs",
                concat!("// who", "ever, some", "body\nconst A: &str = \"it is", " none\"; // as was sa", "id"),
                2,
            ),
            ("a/src/b.rs", "// 0 if there is none; None if `x.is_none()`; renewed for every one", 0),
        ],
    },
    Rule {
        name: "names of functions have up to 60 characters",
        breaches: |source| {
            let names = source.places_of(&["fn"]).filter_map(|at| source.tokens.get(at + 1));
            let long = names.filter(|(_, name)| name.len() > TEST_NAME_CHARS);
            long.map(|(line, name)| (*line, name.clone())).collect()
        },
        samples: &[
            ("a.rs", "fn a_name_of_more_than_sixty_characters_is_a_sentence_and_not_a_name() {}", 1),
            ("a.rs", "fn pump_overruns_after_overheat() {}", 0),
        ],
    },
];

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split_whitespace()
}

fn lines(source: &Source, breach: impl Fn(&str) -> Option<String>) -> Breaches {
    let numbered = source.text.lines().zip(1..);
    numbered.filter_map(|(line, number)| breach(line).map(|what| (number, what))).collect()
}

fn confinement(source: &Source) -> Breaches {
    let path = source.path.as_str();
    let module = path.strip_prefix("agent/gateway/src/").and_then(|inner| inner.split(['/', '.']).next());
    let mut breaches = Vec::new();
    for (tokens, places, what) in CONFINED {
        let is_place = |place| module == Some(place) || place.contains('/') && path.contains(place);
        if !words(places).any(is_place) {
            breaches.extend(source.places_of(tokens).map(|at| (source.tokens[at].0, what.to_owned())));
        }
    }
    breaches
}

fn place(line: &str) -> Option<&'static str> {
    // `tests/work/` is a folder of the tree, not of a machine.
    let is_absolute = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
    let is_path = |path: &&&str| line.match_indices(**path).any(|(at, _)| is_absolute(at));
    let host = || REGISTRY_HOSTS.iter().find(|host| line.contains(**host));
    MACHINE_PATHS.iter().find(is_path).or_else(host).copied()
}

/// The first unwanted word, in lower case or at the beginning of a sentence. "There is none" is English.
fn word(line: &str) -> Option<&'static str> {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    WORDS.into_iter().find(|word| {
        line.match_indices(&word[1..]).any(|(at, rest)| {
            let (before, after) = (&line[..at], &line[at + rest.len()..]);
            let Some(first) = before.chars().next_back() else { return false };
            let before = &before[..at - first.len_utf8()];
            first.eq_ignore_ascii_case(&char::from(word.as_bytes()[0]))
                && !before.ends_with(is_letter)
                && !after.starts_with(is_letter)
                && !before.ends_with("here ")
        })
    })
}
