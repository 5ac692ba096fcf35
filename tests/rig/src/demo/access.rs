//! The commands for a second terminal during a demo. They work as printed.

use std::env;
use std::ffi::OsStr;
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
    lines.extend(program_folder().map(|folder| format!("  export PATH={}:$PATH", quoted(folder.as_os_str()))));
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

/// A folder with the program `thermowell`: the tested one, or a link to this program that is made next to it.
fn program_folder() -> Option<PathBuf> {
    if let Some(named) = env::var_os(THERMOWELL_BIN).map(PathBuf::from)
        && named.file_name().is_some_and(|name| name == PRODUCT)
    {
        return named.parent().map(Path::to_owned);
    }
    let own = env::current_exe().ok()?;
    let link = own.with_file_name(PRODUCT);
    // An existing program of that name is not replaced.
    if !link.exists() {
        symlink(own.file_name()?, &link).ok();
    }
    link.exists().then(|| own.parent().map(Path::to_owned))?
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
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        for (word, expected) in [("/tmp/a-b_c.toml", "/tmp/a-b_c.toml"), ("a b", "'a b'"), ("it's", "'it'\\''s'")] {
            assert_eq!(quoted(OsStr::new(word)), expected);
        }
    }
}
