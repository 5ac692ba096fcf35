//! Tidy: the rules of the layout, as tests. Each finding names file, line and rule.
//!
//! The compiler and clippy keep most of them (`no_std`, functions up to 70 lines, disallowed methods, `unsafe`). Here
//! is what they cannot see. Every rule has a sample that breaks it beside it: a rule that cannot fail is a defect.

mod config;
mod deploy;
mod members;
mod rooms;
mod source;
mod text;

use source::{Finding, Tree};

/// Fails with every finding at once, so that one run is enough to mend them all.
fn expect_none(findings: Vec<Finding>) {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn the_top_level_holds_what_it_is_meant_to_hold() {
    expect_none(text::top_level(&Tree::read().top_level));
}

#[test]
fn members_depend_on_each_other_in_one_direction() {
    expect_none(members::check(&Tree::read()));
}

#[test]
fn rooms_import_what_is_to_their_left() {
    expect_none(rooms::check_flow(&Tree::read()));
}

#[test]
fn rooms_of_the_gateway_do_not_know_each_other() {
    expect_none(rooms::check_gateway(&Tree::read()));
}

#[test]
fn what_touches_the_world_stays_in_its_modules() {
    expect_none(text::confinement(&Tree::read()));
}

#[test]
fn files_and_lines_are_short_and_well_named() {
    expect_none(text::shape(&Tree::read()));
}

#[test]
fn no_place_of_one_machine_is_named() {
    expect_none(text::places(&Tree::read()));
}

#[test]
fn configurations_are_accepted_by_those_who_read_them() {
    expect_none(config::check(&Tree::read()));
}

#[test]
fn units_start_real_programs_with_real_arguments() {
    expect_none(deploy::check(&Tree::read()));
}
