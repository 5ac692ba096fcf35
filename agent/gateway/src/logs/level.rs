//! The log level at run time: `thermowell log debug --for 10m` asks each running process of this machine for another
//! filter, and each returns to the configured one by itself.
//!
//! | | |
//! |---|---|
//! | where | a socket `thermowell-ROLE-PID.sock` in RUNTIME_DIRECTORY (systemd), else XDG_RUNTIME_DIR, else none |
//! | who | the process's own user and root, by the kernel's credentials of the peer; mode 0600 |
//! | asks | one line: seconds, then the filter; `0` for the configured one |
//! | bounds | one connection at a time, 512 bytes, 2 s; at most a day |
//!
//! Not a signal, which has no value and no answer; not a file, which would stay after a crash.

use std::convert::Infallible;
use std::env;
use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Sleep, sleep, timeout};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::Handle;

use crate::config;
use crate::quantity::show_duration;

/// The longest time until the configured filter returns.
pub const LONGEST: Duration = Duration::from_secs(86_400);
const PREFIX: &str = "thermowell-";
const SUFFIX: &str = ".sock";
const LINE_MAX: u64 = 512;
const PATIENCE: Duration = Duration::from_secs(2);

/// The filter of this process's log.
pub struct Level {
    pub(super) handle: Handle<Targets, Registry>,
    pub(super) configured: Targets,
}

impl Level {
    /// Listens for other filters until the process ends; `role` is in the name of the socket. Without a runtime folder
    /// it does nothing.
    pub async fn listen(self, role: &str) -> Infallible {
        let Some(folder) = own_folder() else { return std::future::pending().await };
        match Socket::bind(folder.join(format!("{PREFIX}{role}-{}{SUFFIX}", process::id()))) {
            Ok(socket) => self.serve(&socket).await,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "the log level cannot be changed at run time");
                std::future::pending().await
            }
        }
    }

    async fn serve(&self, socket: &Socket) -> Infallible {
        let mut until: Option<Pin<Box<Sleep>>> = None;
        loop {
            let over = async {
                match &mut until {
                    Some(until) => until.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {
                    until = None;
                    self.apply(self.configured.clone());
                    tracing::info!("the log filter is the configured one again");
                }
                accepted = socket.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Ok(Ok((line, mut write))) = timeout(PATIENCE, request(stream)).await {
                            let (answer, length) = self.obey(&line);
                            if let Some(length) = length {
                                until = (!length.is_zero()).then(|| Box::pin(sleep(length)));
                            }
                            // The filter applies for its time, whether or not the answer is heard.
                            timeout(PATIENCE, write.write_all(answer.as_bytes())).await.map(drop).unwrap_or_default();
                        }
                    }
                    // Out of files: not in a busy loop.
                    Err(_) => tokio::time::sleep(PATIENCE).await,
                },
            }
        }
    }

    /// Carries out one request. Returns the answer, and how long its filter applies; 0 for the configured one, none if
    /// it is refused.
    fn obey(&self, line: &str) -> (String, Option<Duration>) {
        let Some((length, filter)) = parse(line) else {
            return (format!("refused: {}\n", config::FILTER_EXPECTED), None);
        };
        let shown = if length.is_zero() { "configured".to_owned() } else { show_duration(length) };
        let asked = line.trim().split_once(' ').map_or("", |(_, filter)| filter);
        tracing::info!(filter = asked, length = shown, "another log filter was asked for");
        self.apply(filter.unwrap_or_else(|| self.configured.clone()));
        ("ok\n".to_owned(), Some(length))
    }

    fn apply(&self, filter: Targets) {
        if let Err(error) = self.handle.reload(filter) {
            tracing::warn!(%error, "the log filter was not changed");
        }
    }
}

/// The line of this user or root, and where to answer.
async fn request(stream: UnixStream) -> io::Result<(String, OwnedWriteHalf)> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::getuid().as_raw() {
        return Err(io::Error::other("another user"));
    }
    let (read, write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_MAX)).read_line(&mut line).await?;
    Ok((line, write))
}

/// Seconds and a filter; no filter for the configured one.
fn parse(line: &str) -> Option<(Duration, Option<Targets>)> {
    let (seconds, filter) = line.trim_end().split_once(' ')?;
    let length = Duration::from_secs(seconds.parse().ok()?);
    match (length.is_zero(), length <= LONGEST) {
        (true, _) => Some((length, None)),
        (false, true) => Some((length, Some(config::filter(filter)?))),
        (false, false) => None,
    }
}

/// A socket that is removed with the process's end.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    fn bind(path: PathBuf) -> io::Result<Self> {
        // What an earlier process of the same number left.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

fn named(variable: &str) -> Vec<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty());
    value.map(|value| env::split_paths(&value).collect()).unwrap_or_default()
}

/// The runtime folder of this process.
fn own_folder() -> Option<PathBuf> {
    named("RUNTIME_DIRECTORY").into_iter().chain(named("XDG_RUNTIME_DIR")).next()
}

/// The folders in which processes listen: those of the units, and that of this user.
fn folders() -> Vec<PathBuf> {
    let own = named("RUNTIME_DIRECTORY");
    if !own.is_empty() {
        return own;
    }
    let units = fs::read_dir("/run").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
    units.filter(is_ours).chain(named("XDG_RUNTIME_DIR")).collect()
}

/// The answer of one process.
#[derive(Debug)]
pub struct Answer {
    /// Its role, or `all`, and its number: `agent-4711`.
    pub name: String,
    /// Why it did not change its filter.
    pub refused: Option<String>,
}

/// Asks each running process, or those of `role`, for this filter; none for the configured one.
#[must_use]
pub fn ask(role: Option<&str>, filter: Option<&str>, length: Duration) -> Vec<Answer> {
    let request = match filter {
        Some(filter) => format!("{} {filter}\n", length.as_secs()),
        None => "0 configured\n".to_owned(),
    };
    let mut answers = Vec::new();
    for path in folders().iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let path = path.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
        if role.is_some_and(|role| name.rsplit_once('-').is_none_or(|(own, _)| own != role)) {
            continue;
        }
        match exchange(&path, &request) {
            // A process that was killed left it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => answers.push(Answer { name: name.to_owned(), refused: Some(silence(&error)) }),
            Ok(answer) => {
                let refused = (answer.trim() != "ok").then(|| answer.trim().to_owned());
                answers.push(Answer { name: name.to_owned(), refused });
            }
        }
    }
    answers.sort_by(|a, b| a.name.cmp(&b.name));
    answers
}

/// Why there is no answer. A process that is stopped (SIGSTOP) still has its socket.
fn silence(error: &io::Error) -> String {
    let is_silent = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if is_silent { format!("it does not answer within {}", show_duration(PATIENCE)) } else { error.to_string() }
}

fn exchange(path: &Path, request: &str) -> io::Result<String> {
    let mut stream = blocking::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(LINE_MAX).read_to_string(&mut answer)?;
    if answer.is_empty() { Err(io::Error::other("it did not answer: another user's process?")) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::reload;

    use super::*;

    #[test]
    fn requests_have_a_length_and_a_filter() {
        assert_eq!(parse("600 debug\n"), Some((Duration::from_secs(600), config::filter("debug"))));
        assert_eq!(parse("0 configured\n"), Some((Duration::ZERO, None)));
        for wrong in ["", "600", "debug 600", "600 thermowell", "86401 debug", "-1 debug"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn process_that_is_stopped_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listens_only = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = exchange(&path, "600 debug\n").unwrap_err();
        assert!(silence(&error).starts_with("it does not answer within "), "{}", silence(&error));
    }

    #[tokio::test]
    async fn filter_ends_although_the_answer_is_not_heard() {
        let [configured, debug] = ["info", "debug"].map(|text| config::filter(text).unwrap());
        let (_layer, handle) = reload::Layer::<Targets, Registry>::new(configured.clone());
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket::bind(folder.path().join("socket")).unwrap();
        let level = Level { handle: handle.clone(), configured: configured.clone() };
        let is = |wanted: &Targets| handle.with_current(|filter| filter == wanted).unwrap();
        let mut client = blocking::UnixStream::connect(&socket.path).unwrap();
        client.write_all(b"1 debug\n").unwrap();
        drop(client);
        let watch = async {
            for wanted in [&debug, &configured] {
                while !is(wanted) {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        };
        tokio::select! {
            never = level.serve(&socket) => match never {},
            ended = timeout(Duration::from_secs(30), watch) => ended.unwrap(),
        }
    }
}
