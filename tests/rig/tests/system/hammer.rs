//! A short run of the hammer over every decoder, and a proof that it finds what is there.

use std::path::Path;
use std::process::{Command, Output};

fn hammer(args: &[&str], out: &Path) -> Output {
    Command::new(super::DEMO).arg("hammer").args(args).arg("--out").arg(out).output().unwrap()
}

/// The same inputs in each run: what fails here fails everywhere.
#[test]
fn every_decoder_survives_some_thousand_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let run = hammer(&["--inputs", "1000"], folder.path());
    let (out, error) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{error}");
    assert!(out.lines().count() > 10, "{out}");
}

#[test]
fn planted_defects_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let planted = [
        ("planted-panic", "index out of bounds"),
        ("planted-lie", "decode(encode(x)) is x"),
        ("planted-memory", "memory allocation of"),
        ("planted-loop", "does not come back"),
        ("planted-overflow", "overflowed its stack"),
    ];
    for (target, reason) in planted {
        let run = hammer(&["--target", target, "--for", "10s", "--patience", "1s"], folder.path());
        let out = String::from_utf8_lossy(&run.stdout);
        assert_eq!(run.status.code(), Some(1), "{out}");
        assert!(out.contains(reason), "{out}");
        let found = folder.path().join(target).read_dir().unwrap().next().expect("the input").unwrap();
        if target != "planted-loop" {
            let judged = Command::new(super::DEMO)
                .args(["hammer", "--target", target, "--judge"])
                .arg(found.path())
                .output()
                .unwrap();
            assert!(!judged.status.success(), "{target}: the input that was kept does it again");
        }
    }
}
