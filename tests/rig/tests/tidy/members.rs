//! Which member may know which.

use crate::source::{Finding, Source, Tree};

/// Folder, package, and the packages of ours that it may depend on, in its tests too.
const MEMBERS: [(&str, &str, &[&str]); 7] = [
    ("agent/wire", "thermowell-wire", &[]),
    ("agent/flow", "thermowell-flow", &["thermowell-wire"]),
    ("agent/gateway", "thermowell", &["thermowell-wire", "thermowell-flow"]),
    ("firmware-sim/device", "thermowell-device", &["thermowell-wire"]),
    ("firmware-sim/sim", "firmware-sim", &["thermowell-wire", "thermowell-device"]),
    ("tests/world", "world", &["thermowell-wire", "thermowell-flow", "thermowell-device", "firmware-sim"]),
    (
        "tests/rig",
        "rig",
        &["thermowell-wire", "thermowell-flow", "thermowell", "thermowell-device", "firmware-sim", "world"],
    ),
];

/// The members that build without std.
const BARE: [&str; 3] = ["agent/wire", "agent/flow", "firmware-sim/device"];

const DIRECTION: &str = "members know only those below them";
const LINTS: &str = "every member inherits the workspace lints";
const LISTED: &str = "tidy knows every member";
const NO_STD: &str = "wire, flow and device are no_std";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let root = tree.find("Cargo.toml").expect("the workspace has a manifest");
    let mut findings = listed(root);
    for (folder, _, allowed) in MEMBERS {
        let Some(manifest) = tree.find(&format!("{folder}/Cargo.toml")) else {
            findings.push(root.finding(0, LISTED, format!("{folder} has no manifest")));
            continue;
        };
        findings.extend(member(manifest, allowed));
    }
    let libraries = BARE.iter().filter_map(|folder| tree.find(&format!("{folder}/src/lib.rs")));
    findings.extend(libraries.filter_map(bare));
    findings
}

fn table(source: &Source) -> toml::Table {
    source.text.parse().unwrap_or_else(|error| panic!("{}: {error}", source.path))
}

fn listed(root: &Source) -> Vec<Finding> {
    let table = table(root);
    let members = table["workspace"]["members"].as_array().expect("members is a list");
    let members: Vec<_> = members.iter().filter_map(toml::Value::as_str).collect();
    let unknown = members.into_iter().filter(|path| MEMBERS.iter().all(|(folder, ..)| folder != path));
    unknown.map(|path| root.finding(0, LISTED, format!("say in tidy what {path} may know"))).collect()
}

fn member(manifest: &Source, allowed: &[&str]) -> Vec<Finding> {
    let table = table(manifest);
    let mut findings = Vec::new();
    for name in dependencies(&table) {
        let ours = MEMBERS.iter().any(|(_, package, _)| *package == name);
        if ours && !allowed.contains(&name.as_str()) {
            let line = manifest.text.lines().position(|line| line.trim_start().starts_with(&name));
            findings.push(manifest.finding(line.map_or(0, |at| at + 1), DIRECTION, format!("must not know {name}")));
        }
    }
    let inherits = table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if inherits != Some(true) {
        findings.push(manifest.finding(0, LINTS, "no `[lints] workspace = true`"));
    }
    findings
}

/// The packages of every dependency table: plain, dev, build, and those of single targets.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if key == "target" {
            names.extend(table.values().filter_map(toml::Value::as_table).flat_map(dependencies));
        } else if key.ends_with("dependencies") {
            names.extend(
                table
                    .iter()
                    .map(|(name, spec)| spec.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()),
            );
        }
    }
    names
}

fn bare(library: &Source) -> Option<Finding> {
    let code = library.code();
    let attributes = ["#![no_std]", "#![cfg_attr(not(test), no_std)]"];
    let found = code.lines().any(|line| attributes.contains(&line.trim()));
    (!found).then(|| library.finding(1, NO_STD, "no `#![no_std]`"))
}

#[test]
fn a_dependency_against_the_direction_is_found_in_every_table() {
    for bad in [
        "[dependencies]\nthermowell.workspace = true",
        "[dev-dependencies]\nthermowell.workspace = true",
        "[target.'cfg(unix)'.dependencies]\nthermowell.workspace = true",
        "[build-dependencies]\nbelow = { package = \"thermowell\", path = \"x\" }",
    ] {
        let manifest = Source::new("a/Cargo.toml", &format!("{bad}\n[lints]\nworkspace = true"));
        let findings = member(&manifest, &["thermowell-wire"]);
        assert_eq!(findings.len(), 1, "{bad}");
        assert_eq!(findings[0].rule, DIRECTION);
    }
    let good = "[dependencies]\nthermowell-wire.workspace = true\nserde.workspace = true\n[lints]\nworkspace = true";
    assert_eq!(member(&Source::new("a/Cargo.toml", good), &["thermowell-wire"]), []);
}

#[test]
fn lints_of_its_own_and_std_and_an_unknown_member_are_found() {
    let manifest = Source::new("a/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"");
    assert_eq!(member(&manifest, &[])[0].rule, LINTS);
    let library = Source::new("a/src/lib.rs", "//! #![no_std]\nextern crate std;");
    assert_eq!(bare(&library).map(|finding| finding.rule), Some(NO_STD));
    let root = Source::new("Cargo.toml", "[workspace]\nmembers = [\"agent/wire\", \"agent/more\"]");
    assert_eq!(listed(&root).len(), 1);
}
