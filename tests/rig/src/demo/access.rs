//! The lines with which a second terminal looks at a running demo. Each works as it is printed.

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use thermowell::cli::CONFIG_VARIABLE;
use thermowell::nats::User;

use super::setup::Plan;
use crate::nats::Broker;
use crate::process::THERMOWELL_BIN;

/// The name under which the multi-call binary is the product.
pub const PRODUCT: &str = "thermowell";

/// The lines to print.
pub(super) fn lines(plan: &Plan, broker: &Broker) -> Vec<String> {
    let config = quoted(plan.folder.join("thermowell.toml").as_os_str());
    let key = quoted(User::Reader.seed_file(&plan.keys()).as_os_str());
    let mut lines = vec!["From a second terminal, while this runs:".to_owned()];
    lines.extend(program_folder().map(|folder| format!("  export PATH={}:$PATH", quoted(folder.as_os_str()))));
    lines.extend([
        format!("  export {CONFIG_VARIABLE}={config}"),
        format!("  export NATS_URL={}", broker.url()),
        format!("  export NATS_NKEY={key}"),
        "  thermowell status".to_owned(),
        "  thermowell verify".to_owned(),
        // A command needs a tenth of an hour that is known.
        "  thermowell command boost --boiler b1 --flow 72 --for 30m --by anna # from 0:06".to_owned(),
    ]);
    lines
}

/// The folder with a `thermowell` to call: the one that is tested, or a link to this program, which stays beside it.
fn program_folder() -> Option<PathBuf> {
    if let Some(named) = env::var_os(THERMOWELL_BIN).map(PathBuf::from)
        && named.file_name().is_some_and(|name| name == PRODUCT)
    {
        return named.parent().map(Path::to_owned);
    }
    let own = env::current_exe().ok()?;
    let link = own.with_file_name(PRODUCT);
    // A program of that name that was built stays as it is.
    if !link.exists() {
        symlink(own.file_name()?, &link).ok();
    }
    link.exists().then(|| own.parent().map(Path::to_owned))?
}

/// As a shell takes it.
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
