//! `thermowell check --bundle`: what a distant reader needs, in one archive without secrets.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blank::blank;
use super::report::Checks;
use super::{Root, tar};
use crate::clock::realtime_ns;
use crate::config::{self, Config};
use crate::output::Report as _;
use crate::{logs, regular, status};

/// The folder in the archive.
const FOLDER: &str = "thermowell-diagnosis";
/// The lines of the log that are taken.
const LOG_LINES: &str = "5000";
/// Time-out for a program.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time-out for what is read from the server.
const SERVER: Duration = Duration::from_secs(5);

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{path}: the name of the archive must end in .tar")]
    Name { path: PathBuf },
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Checks the name of an archive before anything else is done.
///
/// # Errors
/// It does not end in `.tar`, or the file exists.
pub fn admit(path: &Path) -> Result<(), BundleError> {
    if path.extension() != Some(OsStr::new("tar")) {
        return Err(BundleError::Name { path: path.to_owned() });
    }
    match path.symlink_metadata() {
        Ok(_) => {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            Err(BundleError::Write { path: path.to_owned(), source })
        }
        Err(_) => Ok(()),
    }
}

/// Writes the archive, readable only by its owner. Returns the names of its files.
///
/// # Errors
/// See [`BundleError`]; a file that exists is never replaced.
pub async fn bundle(path: &Path, source: &Path, checks: &Checks, root: &Root) -> Result<Vec<String>, BundleError> {
    admit(path)?;
    let files = collect(source, checks, root).await;
    let failed = |source| BundleError::Write { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let mtime_s = u64::try_from(realtime_ns() / 1_000_000_000).unwrap_or(0);
    let written = tar::write(&mut file, FOLDER, &files, mtime_s).and_then(|()| file.flush());
    if let Err(source) = written {
        // An archive that ends early would mislead.
        drop(fs::remove_file(path));
        return Err(failed(source));
    }
    Ok(files.into_iter().map(|(name, _)| name).collect())
}

async fn collect(source: &Path, checks: &Checks, root: &Root) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut add = |name: String, text: &str| files.push((name, blank(text).into_bytes()));
    add("check.txt".to_owned(), &checks.clone().verbose(true).text());
    add("check.json".to_owned(), &checks.json());
    add("versions.txt".to_owned(), &versions(root));
    for (at, path) in config::files(source).unwrap_or_default().iter().enumerate() {
        add(format!("config/{at}-{}", short_name(path)), &text_of(path));
    }
    let nats = source.parent().unwrap_or(Path::new(".")).join("nats.conf");
    if nats.exists() {
        add("config/nats.conf".to_owned(), &text_of(&nats));
    }
    if let Ok(config) = Config::load(source) {
        let state = tokio::time::timeout(SERVER, status::status(&config, None)).await;
        add(
            "status.json".to_owned(),
            &match state {
                Ok(Ok(state)) => state.json(),
                Ok(Err(error)) => logs::chain(&error),
                Err(_) => "no answer from the server".to_owned(),
            },
        );
    }
    let journal = ["-u", "thermowell-*", "-n", LOG_LINES, "-o", "short-iso", "--no-pager"];
    add("log.txt".to_owned(), &root.run("journalctl", &journal, PATIENCE).unwrap_or_else(|error| error));
    files
}

fn text_of(path: &Path) -> String {
    match regular::read(path, regular::MAX) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{}: {error}", path.display()),
    }
}

/// Names in an archive are limited.
fn short_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().chars().take(32).collect()
}

fn versions(root: &Root) -> String {
    let read = |path: &str| root.read(path).unwrap_or_else(|| format!("{path} is not readable"));
    let program = |name: &str| root.run(name, &["--version"], PATIENCE).unwrap_or_else(|error| error);
    format!(
        "thermowell {}\nnats-server on this machine: {}\nkernel: {}\nuptime: {}\n\n{}\n",
        env!("CARGO_PKG_VERSION"),
        program("nats-server").trim(),
        read("/proc/version"),
        read("/proc/uptime"),
        read("/etc/os-release")
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Status;
    use super::super::finding::Finding;
    use super::super::root::testing::{machine, program};
    use super::*;

    #[tokio::test]
    async fn bundle_has_findings_configuration_and_log_without_secrets() {
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        let (folder, root) = machine(&[
            ("etc/thermowell.toml", "gateway = \"cellar\"\nnats.url = \"nats://127.0.0.1:9\"\nboiler = []"),
            ("etc/conf.d/10-x.toml", "# password: geheim"),
            ("etc/nats.conf", "authorization { user: a, password: geheim }"),
        ]);
        program(&root, "journalctl", &format!("echo agent started with {seed}"));
        let (archive, source) = (folder.path().join("d.tar"), folder.path().join("etc/thermowell.toml"));
        let checks = Checks::new(vec![Finding::new("nats.login", Status::Error, format!("wrong seed {seed}"))]);
        let names = bundle(&archive, &source, &checks, &root).await.unwrap();
        assert_eq!(
            names.join(" "),
            "check.txt check.json versions.txt config/0-thermowell.toml config/1-10-x.toml config/nats.conf log.txt"
        );
        let text = String::from_utf8_lossy(&fs::read(&archive).unwrap()).into_owned();
        for word in ["gateway = \"cellar\"", "wrong seed (blanked)", "started with (blanked)", "password: (blanked)"] {
            assert!(text.contains(word), "{word}");
        }
        assert!(!text.contains(&seed) && !text.contains("geheim"));
        assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);

        let again = bundle(&archive, &source, &checks, &root).await.unwrap_err();
        assert!(logs::chain(&again).contains("exists"), "{again}");
        assert!(matches!(admit(&folder.path().join("d.zip")), Err(BundleError::Name { .. })));
    }
}
