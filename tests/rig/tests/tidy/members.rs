//! Dependencies between the members.

use crate::source::{Rule, Source, breach};

/// Folder, package, and the packages of ours that it may depend on, in its tests too.
const MEMBERS: [(&str, &str, &str); 7] = [
    ("agent/wire", "thermowell-wire", ""),
    ("agent/flow", "thermowell-flow", "thermowell-wire"),
    ("agent/gateway", "thermowell", "thermowell-wire thermowell-flow"),
    ("firmware-sim/device", "thermowell-device", "thermowell-wire"),
    ("firmware-sim/sim", "firmware-sim", "thermowell-wire thermowell-device"),
    ("tests/world", "world", "thermowell-wire thermowell-flow thermowell-device firmware-sim"),
    ("tests/rig", "rig", "thermowell-wire thermowell-flow thermowell thermowell-device firmware-sim world"),
];
/// The members that build without std.
const BARE: [&str; 3] = ["agent/wire/src/lib.rs", "agent/flow/src/lib.rs", "firmware-sim/device/src/lib.rs"];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "members know only those below them",
        breaches: |source| {
            let Some(table) = manifest(source) else { return Vec::new() };
            let is_this = |(folder, ..): &&(&str, &str, &str)| source.path == format!("{folder}/Cargo.toml");
            let Some((.., allowed)) = MEMBERS.iter().find(is_this) else { return breach(true, "list it in tidy") };
            let is_ours = |name: &String| MEMBERS.iter().any(|(_, package, _)| package == name);
            let is_allowed = |name: &String| allowed.split_whitespace().any(|allowed| allowed == name);
            let wrong = dependencies(&table).into_iter().filter(|name| is_ours(name) && !is_allowed(name));
            wrong.map(|name| (0, format!("must not know {name}"))).collect()
        },
        samples: &[
            ("agent/flow/Cargo.toml", "[dependencies]\nthermowell.workspace = true", 1),
            ("agent/flow/Cargo.toml", "[dev-dependencies]\nthermowell.workspace = true", 1),
            ("agent/flow/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nthermowell.workspace = true", 1),
            ("agent/flow/Cargo.toml", "[build-dependencies]\nbelow = { package = \"thermowell\", path = \"x\" }", 1),
            ("agent/flow/Cargo.toml", "[dependencies]\nthermowell-wire.workspace = true\nserde.workspace = true", 0),
            ("agent/more/Cargo.toml", "", 1),
        ],
    },
    Rule {
        name: "every member inherits the workspace lints",
        breaches: |source| {
            let inherits = |table: toml::Table| table.get("lints")?.get("workspace")?.as_bool();
            breach(manifest(source).is_some_and(|table| inherits(table) != Some(true)), "no `workspace = true`")
        },
        samples: &[
            ("agent/flow/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"", 1),
            ("agent/flow/Cargo.toml", "[lints]\nworkspace = true", 0),
        ],
    },
    Rule {
        name: "wire, flow and device are no_std",
        breaches: |source| {
            let is_bare = source.places_of(&["#", "!", "[", "no_std", "]"]).next().is_some();
            breach(BARE.contains(&source.path.as_str()) && !is_bare, "no `#![no_std]`")
        },
        samples: &[
            ("agent/wire/src/lib.rs", "//! #![no_std]\nextern crate std;", 1),
            ("agent/wire/src/lib.rs", "#![no_std]", 0),
        ],
    },
];

/// The manifest of a member.
fn manifest(source: &Source) -> Option<toml::Table> {
    let is_member = source.path.ends_with("/Cargo.toml");
    is_member.then(|| source.text.parse().unwrap_or_else(|error| panic!("{}: {error}", source.path)))
}

/// The packages of every dependency table: plain, dev, build, and those of single targets.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let package = |(name, spec): (&String, &toml::Value)| {
        spec.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned()
    };
    let tables = manifest.iter().filter_map(|(key, value)| Some((key, value.as_table()?)));
    let names = tables.map(|(key, table)| match key.as_str() {
        "target" => table.values().filter_map(toml::Value::as_table).flat_map(dependencies).collect(),
        key if key.ends_with("dependencies") => table.iter().map(package).collect(),
        _ => Vec::new(),
    });
    names.flatten().collect()
}
