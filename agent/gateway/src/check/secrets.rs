//! Passwords, private keys and seeds that every user of this machine can read or change. Access of the group is
//! accepted as a decision of the operator.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped};
use super::finding::{Repair, of};
use crate::config::{Config, Nats};
use crate::nats::User;

/// The rights of all other users.
pub(super) const OTHERS: u32 = 0o007;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let find = of("config.secrets");
    let files: Vec<PathBuf> = files(config).into_iter().filter(|file| file.exists()).collect();
    let open = |file: &&PathBuf| fs::metadata(file).is_ok_and(|found| found.permissions().mode() & OTHERS != 0);
    let open: Vec<&PathBuf> = files.iter().filter(open).collect();
    if files.is_empty() {
        return vec![find(Skipped, "no key or password is configured, or visible here".to_owned())];
    }
    if open.is_empty() {
        return vec![find(Fine, format!("other users cannot read any of {} files", files.len()))];
    }
    let finding = |file: &&PathBuf| {
        let path = file.display().to_string();
        let open = find(Error, format!("every user of this machine can read {path}"));
        open.advise("a user who has read it can still use it: replace it, too")
            .fix(&["chmod", "o=", &path])
            .repair(Repair::Close(file.to_path_buf()))
    };
    open.iter().map(finding).collect()
}

fn files(config: &Config) -> Vec<PathBuf> {
    let Nats { credentials, nkey_file, password_file, tls, keys, .. } = &config.nats;
    let mut files: Vec<PathBuf> = [credentials, nkey_file, password_file].into_iter().flatten().cloned().collect();
    files.extend(tls.as_ref().and_then(|tls| tls.key.clone()));
    files.extend(keys.as_deref().map(seeds).unwrap_or_default());
    files.extend(config.mqtt.as_ref().and_then(|mqtt| mqtt.password_file.clone()));
    files
}

/// Every seed in the folder of the keys, also those of operators who are no longer in the configuration.
fn seeds(folder: &Path) -> Vec<PathBuf> {
    let end = Path::new(&User::Agent.seed_file_name()).extension().map(ToOwned::to_owned);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut seeds: Vec<PathBuf> = entries.filter(|path| path.extension() == end.as_deref()).collect();
    seeds.sort();
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn seed_and_password_that_all_can_read_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let (seed, password) = (folder.path().join("operator-anna.nk"), folder.path().join("password"));
        for (file, bits) in [(&seed, 0o640), (&password, 0o600), (&folder.path().join("permissions.conf"), 0o644)] {
            fs::write(file, "").unwrap();
            mode(file, bits);
        }
        let parse = |nats: &str| {
            let text = format!("[nats]\n{nats}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"");
            Config::parse(&text, "t.toml").unwrap()
        };
        let keys = parse(&format!("keys = \"{}\"", folder.path().display()));
        let login = format!("user = \"a\"\npassword_file = \"{}\"", password.display());
        let broker = parse(&format!("[mqtt]\nurl = \"mqtt://h\"\n{login}"));
        let user = parse(&login);
        assert_eq!([&keys, &user, &broker].map(|config| check(config)[0].status), [Fine; 3]);
        assert_eq!(check(&parse(""))[0].status, Skipped);
        mode(&seed, 0o644);
        mode(&password, 0o606);
        for (config, file) in [(&keys, &seed), (&user, &password), (&broker, &password)] {
            let found = check(config);
            assert_eq!((found.len(), found[0].status), (1, Error));
            let file = file.display().to_string();
            assert_eq!(found[0].fix.as_deref(), Some(&["chmod".to_owned(), "o=".to_owned(), file][..]));
        }
    }
}
