//! The files named in `[nats]`: seeds, credentials, passwords, certificates.
//!
//! They are read first, because a role whose key is missing or damaged can never log in, and a restart does not help.
//! Their content is never shown.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use nkeys::{KeyPair, KeyPairType};

use super::User;
use crate::config;
use crate::regular;

/// The required content of a file, by the configuration key that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// This user's seed, in the folder of the keys.
    RoleKey(User),
    /// A seed for every role.
    Nkey,
    /// A user's JWT and its seed.
    Credentials,
    Password,
    /// CA certificates for the server's certificate.
    Authority,
    /// The client certificate.
    Certificate,
    /// The private key of the client certificate.
    CertificateKey,
}

impl Holds {
    fn key(&self) -> &'static str {
        match self {
            Self::RoleKey(_) => "nats.keys",
            Self::Nkey => "nats.nkey_file",
            Self::Credentials => "nats.credentials",
            Self::Password => "nats.password_file",
            Self::Authority => "nats.tls.ca",
            Self::Certificate => "nats.tls.cert",
            Self::CertificateKey => "nats.tls.key",
        }
    }

    /// The error for a file with other content.
    fn lacks(&self) -> &'static str {
        match self {
            Self::RoleKey(_) | Self::Nkey => "holds no seed of a user's nkey, which begins with SU",
            Self::Credentials => "holds no user's JWT with its seed, as `nsc generate creds` writes them",
            Self::Password => "is empty",
            Self::Authority | Self::Certificate => "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)",
            Self::CertificateKey => "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)",
        }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let text = std::str::from_utf8(bytes).unwrap_or_default().trim();
        match self {
            Self::RoleKey(_) | Self::Nkey => user_pair(text).is_some(),
            Self::Credentials => async_nats::ConnectOptions::with_credentials(text).is_ok(),
            Self::Password => !text.is_empty(),
            Self::Authority | Self::Certificate => {
                let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
                certificates.is_ok_and(|certificates| !certificates.is_empty())
            }
            Self::CertificateKey => PrivateKeyDer::from_pem_slice(bytes).is_ok(),
        }
    }

    fn advice(&self, fault: &Fault) -> String {
        match (self, fault) {
            (Self::RoleKey(_), Fault::Missing) => "make it with `thermowell keys`, or set another folder".to_owned(),
            (Self::RoleKey(user), Fault::Damaged) => {
                format!("replace it with `thermowell keys --replace {user}`, then reload the server")
            }
            (Self::RoleKey(user), Fault::Forbidden) => {
                format!("run this as a user who may read it, or use systemd: LoadCredential={user}.nk:... in the unit")
            }
            (_, Fault::Missing | Fault::Damaged) => "put the right file there, or set another path".to_owned(),
            (_, Fault::Forbidden) => "run this as a user who may read it, or change its owner or mode".to_owned(),
            (_, Fault::Other(_)) => "set the path of a readable file".to_owned(),
        }
    }
}

/// Why a file is unusable.
#[derive(Debug)]
enum Fault {
    Missing,
    Forbidden,
    Damaged,
    Other(io::Error),
}

/// A file in `[nats]` is unusable.
#[derive(Debug)]
pub struct FileError {
    holds: Holds,
    path: PathBuf,
    fault: Fault,
}

impl FileError {
    /// It is missing or not readable.
    #[must_use]
    pub fn is_out_of_reach(&self) -> bool {
        matches!(self.fault, Fault::Missing | Fault::Forbidden)
    }

    /// Whether only another file or path helps. Other I/O errors are transient: a read error of the disk, too many open
    /// files, a file server that is down.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match &self.fault {
            Fault::Missing | Fault::Forbidden | Fault::Damaged => true,
            Fault::Other(error) => {
                use ErrorKind::{FileTooLarge, InvalidInput, IsADirectory, NotADirectory};
                matches!(error.kind(), IsADirectory | NotADirectory | InvalidInput | FileTooLarge)
            }
        }
    }
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.holds.key(), self.path.display())?;
        match &self.fault {
            Fault::Missing => f.write_str("does not exist")?,
            Fault::Forbidden => f.write_str("is not readable for this user")?,
            Fault::Damaged => f.write_str(self.holds.lacks())?,
            Fault::Other(error) => write!(f, "cannot be read ({error})")?,
        }
        write!(f, "; {}", self.holds.advice(&self.fault))
    }
}

/// The content of the file, trimmed.
pub(super) async fn read(path: &Path, holds: Holds) -> Result<String, FileError> {
    let owned = path.to_owned();
    // The disk or a file server may take its time.
    let read = tokio::task::spawn_blocking(move || regular::read(&owned, regular::MAX)).await;
    let fault = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(bytes) if holds.is_in(&bytes) => return Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Ok(_) => Fault::Damaged,
        Err(error) if error.kind() == ErrorKind::NotFound => Fault::Missing,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Fault::Forbidden,
        Err(error) => Fault::Other(error),
    };
    Err(FileError { holds, path: path.to_owned(), fault })
}

/// The key pair of the seed in the file.
pub(super) async fn read_key(path: &Path, holds: Holds) -> Result<KeyPair, FileError> {
    let seed = read(path, holds).await?;
    Ok(user_pair(&seed).expect("`read` accepts only a user's seed"))
}

/// Checks the files of `[nats.tls]`: the client would read them at each attempt without reporting errors.
pub(super) async fn check_tls(tls: &config::Tls) -> Result<(), FileError> {
    let files = [(&tls.ca, Holds::Authority), (&tls.cert, Holds::Certificate), (&tls.key, Holds::CertificateKey)];
    for (path, holds) in files {
        if let Some(path) = path {
            read(path, holds).await?;
        }
    }
    Ok(())
}

/// The key pair of a seed, if it is a user's.
pub fn user_pair(seed: &str) -> Option<KeyPair> {
    KeyPair::from_seed(seed).ok().filter(|pair| matches!(pair.key_pair_type(), KeyPairType::User))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::io::Errno;

    use super::super::NatsError;
    use super::*;

    async fn outcome(path: &Path, holds: Holds) -> String {
        match read(path, holds).await {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn unusable_file_is_reported_with_its_key_and_advice() {
        let folder = tempfile::tempdir().unwrap();
        let (absent, wrong) = (folder.path().join("absent"), folder.path().join("wrong"));
        fs::write(&wrong, "hunter2\n").unwrap();
        let agent = Holds::RoleKey(User::Agent);
        let (absent_name, wrong_name) = (absent.display(), wrong.display());
        for (path, holds, expected) in [
            (
                &absent,
                agent.clone(),
                format!("nats.keys: {absent_name} does not exist; make it with `thermowell keys`"),
            ),
            (&wrong, agent.clone(), format!("nats.keys: {wrong_name} holds no seed of a user's nkey")),
            (&absent, Holds::Nkey, format!("nats.nkey_file: {absent_name} does not exist; put")),
            (&wrong, Holds::Nkey, format!("nats.nkey_file: {wrong_name} holds no seed")),
            (&absent, Holds::Credentials, format!("nats.credentials: {absent_name} does not exist; put")),
            (&wrong, Holds::Credentials, format!("nats.credentials: {wrong_name} holds no user's JWT")),
            (&absent, Holds::Password, format!("nats.password_file: {absent_name} does not exist")),
            (&wrong, Holds::Password, "ok".to_owned()),
            (&wrong, Holds::Authority, format!("nats.tls.ca: {wrong_name} holds no certificate")),
            (&wrong, Holds::Certificate, format!("nats.tls.cert: {wrong_name} holds no certificate")),
            (&wrong, Holds::CertificateKey, format!("nats.tls.key: {wrong_name} holds no private key")),
        ] {
            let error = outcome(path, holds).await;
            assert!(error.starts_with(&expected) && !error.contains("hunter2"), "{error}");
        }
        assert!(
            outcome(&wrong, agent.clone()).await.ends_with("`thermowell keys --replace agent`, then reload the server")
        );
        let directory = outcome(folder.path(), agent).await;
        assert!(directory.contains("cannot be read (Is a directory"), "{directory}");
    }

    /// A FIFO or a terminal never ends.
    #[tokio::test]
    async fn only_regular_files_are_read() {
        let error = read(Path::new("/dev/null"), Holds::Password).await.unwrap_err();
        assert!(error.is_configuration(), "{error}");
        assert!(error.to_string().contains("/dev/null cannot be read (not a regular file)"), "{error}");
    }

    #[tokio::test]
    async fn transient_error_is_not_a_configuration_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "hunter2").unwrap();
        for path in [folder.path().to_owned(), folder.path().join("absent"), file.clone(), file.join("agent.nk")] {
            let error = read(&path, Holds::Nkey).await.unwrap_err();
            assert!(error.is_configuration(), "{error}");
        }
        for errno in [Errno::IO, Errno::MFILE, Errno::STALE] {
            let fault = Fault::Other(errno.into());
            let error = FileError { holds: Holds::Nkey, path: file.clone(), fault };
            assert!(!NatsError::File(error).is_configuration(), "{errno}");
        }
    }

    #[tokio::test]
    async fn empty_file_and_other_kinds_of_keys_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let account = KeyPair::new_account().seed().unwrap();
        for text in ["", "\n", account.as_str()] {
            fs::write(&file, text).unwrap();
            assert!(outcome(&file, Holds::Nkey).await.contains("holds no seed of a user's nkey"), "{text:?}");
        }
        fs::write(&file, " \n").unwrap();
        assert!(outcome(&file, Holds::Password).await.contains("is empty"));
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(outcome(&file, Holds::Credentials).await.contains("holds no user's JWT"));
        fs::write(&file, format!("{}\n", KeyPair::new_user().seed().unwrap())).unwrap();
        assert_eq!(outcome(&file, Holds::Nkey).await, "ok");
    }
}
