//! The commands for a second terminal during a demo. They work as printed.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thermowell::cli::CONFIG_VARIABLE;
use thermowell::nats::User;

use super::setup::Plan;
use crate::nats::Broker;
use crate::process::THERMOWELL_BIN;

/// The name by which the multi-call binary is the product.
pub const PRODUCT: &str = "thermowell";

pub(super) fn lines(plan: &Plan, broker: &Broker, dashboard: SocketAddr) -> Vec<String> {
    let config = quoted(plan.folder.join("thermowell.toml").as_os_str());
    let key = quoted(User::Reader.seed_file(&plan.keys()).as_os_str());
    let page = format!("Dashboard: http://{dashboard}/");
    let mut lines = vec![page, "From a second terminal, while this runs:".to_owned()];
    lines.extend(
        program_folder(&plan.folder).map(|folder| format!("  export PATH={}:$PATH", quoted(folder.as_os_str()))),
    );
    lines.extend([
        format!("  export {CONFIG_VARIABLE}={config}"),
        format!("  export NATS_URL={}", broker.url()),
        format!("  export NATS_NKEY={key}"),
        "  thermowell status".to_owned(),
        "  thermowell verify".to_owned(),
        "  thermowell command boost --boiler b1 --flow 72 --for 30m --by anna".to_owned(),
        "  # accepted from 0:06 on: a tenth of the hour must be known".to_owned(),
    ]);
    lines
}

/// Starts a browser with this address, and does not wait for it.
///
/// # Errors
/// There is no xdg-open.
pub(super) fn open(address: &str) -> io::Result<()> {
    let silent = Stdio::null;
    Command::new("xdg-open").arg(address).stdin(silent()).stdout(silent()).stderr(silent()).spawn().map(drop)
}

/// A folder of the run with a link `thermowell` to the tested program, else to this one. A program of that name next to
/// this one may be older.
fn program_folder(run: &Path) -> Option<PathBuf> {
    let named = env::var_os(THERMOWELL_BIN).filter(|named| !named.is_empty()).map(PathBuf::from);
    let program = named.and_then(|named| std::path::absolute(named).ok()).or_else(|| env::current_exe().ok())?;
    let folder = run.join("bin");
    fs::create_dir(&folder).and_then(|()| symlink(program, folder.join(PRODUCT))).ok()?;
    Some(folder)
}

/// Quoted for a shell if necessary.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@".contains(c));
    if is_plain { word.into_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_terminal_runs_this_program() {
        let run = tempfile::tempdir().unwrap();
        let folder = program_folder(run.path()).unwrap();
        assert_eq!(folder, run.path().join("bin"));
        let program = env::var_os(THERMOWELL_BIN).map_or_else(|| env::current_exe().unwrap(), PathBuf::from);
        assert_eq!(fs::canonicalize(folder.join(PRODUCT)).unwrap(), fs::canonicalize(program).unwrap());
    }

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        for (word, expected) in [("/tmp/a-b_c.toml", "/tmp/a-b_c.toml"), ("a b", "'a b'"), ("it's", "'it'\\''s'")] {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }
}
