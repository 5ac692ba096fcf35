//! Tidy: the rules of the layout and of the language, as data. Each finding names file, line and rule.
//!
//! The compiler and clippy check most rules (`no_std`, functions up to 70 lines, clocks, exits, `unsafe`, see
//! `.clippy.toml`). These are the others. Every rule has a sample that breaks it: a rule that cannot fail is a
//! defect.

mod commits;
mod config;
mod deploy;
mod members;
mod rooms;
mod source;
mod text;

use source::{Rule, Source, tree};

fn rules() -> impl Iterator<Item = &'static Rule> {
    [text::RULES, rooms::RULES, members::RULES, deploy::RULES, config::RULES].into_iter().flatten()
}

/// Fails with all findings at once, so that one run is enough to correct them.
#[test]
fn tree_keeps_the_rules() {
    let tree = tree();
    assert!(tree.len() > 20, "tidy looks at the wrong folder");
    let findings: Vec<_> = rules().flat_map(|rule| tree.iter().flat_map(|source| rule.findings(source))).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// In a sample, `{500}` stands for 500 lines and `{120}` for 120 characters.
#[test]
fn samples_break_the_rules() {
    for rule in rules() {
        assert!(rule.samples.iter().any(|(_, _, breaches)| *breaches > 0), "no sample breaks the rule: {}", rule.name);
        for (path, text, breaches) in rule.samples {
            let text = text.replace("{500}", &"use a;\n".repeat(500)).replace("{120}", &"ä".repeat(120));
            let findings = rule.findings(&Source::new(path, text));
            assert_eq!(findings.len(), *breaches, "{path}: {findings:#?}");
        }
    }
}
