//! Which room may import which.

use crate::source::{Finding, Source, Tree};

/// The rooms of `flow` in the direction of the data: each may import what stands to its left. `time`, `plausible`
/// (which readings can be) and `published` (the JSON that others read) are what all stand on. The roles compose the
/// rooms before them.
const FLOW_ORDER: [&str; 20] = [
    "time",
    "plausible",
    "published",
    "serial",
    "decode",
    "batch",
    "spool",
    "publish",
    "actuate",
    "agent",
    "consume",
    "aggregate",
    "snapshot",
    "feed",
    "aggregator",
    "control",
    "controller",
    "command",
    "reset",
    "conformance",
];

/// The rooms of the gateway. They know neither each other nor those who compose them.
const GATEWAY_ROOMS: [&str; 13] = [
    "serial",
    "decode",
    "batch",
    "spool",
    "publish",
    "consume",
    "aggregate",
    "snapshot",
    "feed",
    "control",
    "actuate",
    "command",
    "reset",
];

/// Those who compose the rooms of the gateway.
const GATEWAY_COMPOSERS: [&str; 6] = ["agent", "aggregator", "controller", "cli", "commands", "run"];

const ORDER: &str = "a room of flow imports only rooms to its left";
const APART: &str = "rooms of the gateway do not import each other";

pub(crate) fn check_flow(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|source| source.path.starts_with("agent/flow/src/")).flat_map(flow_file).collect()
}

pub(crate) fn check_gateway(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|source| source.path.starts_with("agent/gateway/src/")).flat_map(gateway_file).collect()
}

fn flow_file(source: &Source) -> Vec<Finding> {
    let Some(room) = module_of(source) else { return Vec::new() };
    let place = |name: &str| FLOW_ORDER.iter().position(|known| *known == name);
    let Some(own) = place(&room) else {
        return vec![source.finding(0, ORDER, format!("give {room} its place in the order, in tidy"))];
    };
    let mut findings = Vec::new();
    for (line, name) in imports(source) {
        match place(&name) {
            Some(other) if other <= own => {}
            Some(_) => findings.push(source.finding(line, ORDER, format!("{room} imports {name}"))),
            None => findings.push(source.finding(line, ORDER, format!("import {name} from its room"))),
        }
    }
    findings
}

fn gateway_file(source: &Source) -> Vec<Finding> {
    let Some(room) = module_of(source).filter(|module| GATEWAY_ROOMS.contains(&module.as_str())) else {
        return Vec::new();
    };
    let forbidden = |name: &str| name != room && (GATEWAY_ROOMS.contains(&name) || GATEWAY_COMPOSERS.contains(&name));
    let imports = imports(source).into_iter().filter(|(_, name)| forbidden(name));
    imports.map(|(line, name)| source.finding(line, APART, format!("{room} imports {name}"))).collect()
}

/// The path of a source file below its `src`, as module names: `batch/mod.rs` is `[batch]`.
fn module_path(source: &Source) -> Vec<&str> {
    let inner = source.path.rsplit_once("/src/").map_or("", |(_, inner)| inner);
    let inner = inner.trim_end_matches(".rs");
    inner.split('/').filter(|part| !["mod", "lib", "main", ""].contains(part)).collect()
}

fn module_of(source: &Source) -> Option<String> {
    module_path(source).first().map(|name| (*name).to_owned())
}

/// Every name right below the crate that the file's code (not its tests) refers to, with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    if source.is_test_module() {
        return Vec::new();
    }
    let code: Vec<_> = source.code().lines().take(source.lines_before_tests()).map(str::to_owned).collect();
    let code = code.join("\n");
    let up = "super::".repeat(module_path(source).len());
    let mut found = Vec::new();
    for root in ["crate::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            // `super::super::x` is looked at as a whole, and `$crate::` belongs to a macro's user.
            if before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
                continue;
            }
            let behind = &code[at + root.len()..];
            let line = code[..at].matches('\n').count();
            for (offset, name) in first_names(behind) {
                let line = line + behind[..offset].matches('\n').count() + 1;
                found.push((line, name));
            }
        }
    }
    found.retain(|(_, name)| name != "super");
    found
}

/// `a::b` gives `a`; `{a::{b, c}, d}` gives `a` and `d`; with where they stand.
fn first_names(behind: &str) -> Vec<(usize, String)> {
    let word = |from: usize| {
        let name = behind[from..].chars().take_while(|c| c.is_alphanumeric() || *c == '_');
        (from, name.collect::<String>())
    };
    if !behind.starts_with('{') {
        return vec![word(0)];
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut expects_name = false;
    for (at, c) in behind.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && (c == ',' || c == '{') {
            expects_name = true;
        } else if depth == 1 && expects_name && !c.is_whitespace() {
            names.push(word(at));
            expects_name = false;
        }
    }
    names
}

#[test]
fn imports_are_found_in_all_their_forms() {
    let names = |path: &str, code: &str| -> Vec<String> {
        imports(&Source::new(path, code)).into_iter().map(|(_, name)| name).collect()
    };
    let path = "agent/flow/src/batch.rs";
    assert_eq!(names(path, "use crate::time::Utc;"), ["time"]);
    assert_eq!(names(path, "use crate::{time::{A, B}, spool,\n decode as d};"), ["time", "spool", "decode"]);
    assert_eq!(names(path, "let x = crate::spool::new(); // crate::feed"), ["spool"]);
    assert_eq!(names(path, "use super::spool::Spool;"), ["spool"]);
    assert_eq!(names("agent/flow/src/batch/cut.rs", "use super::spool;\nuse super::super::feed;"), ["feed"]);
    assert_eq!(names(path, "use other_crate::spool;\n$crate::spool!()"), Vec::<String>::new());
    assert_eq!(names(path, "#[cfg(test)]\nmod tests {\n use crate::spool;\n}"), Vec::<String>::new());
}

#[test]
fn an_import_to_the_right_is_found_with_its_line() {
    let bad = Source::new("agent/flow/src/batch.rs", "use crate::time;\nuse crate::{\n    spool::Spool,\n};");
    let findings = flow_file(&bad);
    assert_eq!((findings.len(), findings[0].line), (1, 3), "{findings:?}");
    let good = Source::new("agent/flow/src/spool/mod.rs", "use crate::{batch::Batch, time::Utc};");
    assert_eq!(flow_file(&good), []);
    let unknown = Source::new("agent/flow/src/extra.rs", "");
    assert_eq!(flow_file(&unknown).len(), 1);
    let from_root = Source::new("agent/flow/src/spool.rs", "use crate::Batch;");
    assert_eq!(flow_file(&from_root).len(), 1);
}

#[test]
fn a_room_of_the_gateway_that_knows_another_is_found() {
    let bad = Source::new("agent/gateway/src/publish.rs", "use crate::{clock, serial::Port, agent};");
    assert_eq!(gateway_file(&bad).len(), 2);
    let role = Source::new("agent/gateway/src/agent.rs", "use crate::{publish, serial};");
    assert_eq!(gateway_file(&role), []);
}
