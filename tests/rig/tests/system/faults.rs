//! `cargo faults` itself: a row that is as predicted, and a wrong prediction.

use std::process::{Command, Output};

/// The shortest row.
const ROW: &str = "second-agent";

fn faults(arguments: &[&str]) -> Output {
    let output = Command::new(super::DEMO).arg("faults").args(arguments).output();
    output.expect("the multi-call binary starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_row_as_predicted_is_reported_so() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("faults.md");
    std::fs::write(&page, "# Faults\n").unwrap();
    let output = faults(&["--only", ROW, "--quick", "--report", page.to_str().expect("a plain name")]);
    let table = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{table}{}", String::from_utf8_lossy(&output.stderr));
    let row = table.lines().find(|line| line.starts_with("| a second agent on the port | 2 | "));
    assert!(row.is_some_and(|row| row.ends_with(" | as predicted |")), "{table}");
    let page = std::fs::read_to_string(page).unwrap();
    let head = "# Faults\n\n<!-- results -->\nWritten by `cargo faults --only second-agent --quick` on ";
    assert!(page.starts_with(head) && page.ends_with(&table), "{page}");
}

#[test]
fn a_prediction_that_is_wrong_is_a_failure() {
    let output = faults(&["--only", ROW, "--quick", "--json", "--predict-lost", "5"]);
    assert_eq!(output.status.code(), Some(1));
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!(table["ok"], false);
    let [row] = table["rows"].as_array().expect("rows").as_slice() else { panic!("one row: {table}") };
    assert_eq!(row["verdict"]["because"][0], "0 slots are lost, predicted were 5", "{table}");
}

#[test]
fn an_unknown_row_is_answered_with_the_known_ones() {
    let output = faults(&["--only", "earthquake"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("there is no row earthquake; there are kill-agent"), "{stderr}");
}
