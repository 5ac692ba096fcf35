//! The parameters of a house.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser as _;

use super::House;
use crate::clock::Stopwatch;
use crate::demo::Options;
use crate::demo::setup::{self, Processes};
use crate::nats::NatsServer;
use crate::process::Programs;
use crate::wait::Wait;

/// The parameters of a house; the defaults are those of tests.
pub struct Builder {
    programs: Programs,
    options: Options,
    is_quiet: bool,
    server: Option<NatsServer>,
    folder: Option<PathBuf>,
    wait: Option<Wait>,
    notes: bool,
}

impl Builder {
    /// The demo with these arguments, but without faults unless they name a scenario.
    ///
    /// # Panics
    /// The arguments are wrong.
    #[must_use]
    pub fn new<A: AsRef<str>>(programs: Programs, arguments: &[A]) -> Self {
        let words = ["demo"].into_iter().chain(arguments.iter().map(AsRef::as_ref));
        let options = Options::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        Self { is_quiet: true, ..Self::demo(programs, options) }
    }

    pub(crate) fn demo(programs: Programs, options: Options) -> Self {
        Self { programs, options, is_quiet: false, server: None, folder: None, wait: None, notes: false }
    }

    /// Uses this server instead of the one that [`super::server`] finds.
    #[must_use]
    pub fn server(self, server: &NatsServer) -> Self {
        Self { server: Some(server.clone()), ..self }
    }

    /// Uses this folder, which [`setup::prepare`] has made; it is not removed.
    #[must_use]
    pub fn folder(self, folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), ..self }
    }

    /// Uses these waits, which a signal may interrupt.
    #[must_use]
    pub fn wait(self, wait: &Wait) -> Self {
        Self { wait: Some(wait.clone()), ..self }
    }

    /// Notes processes that end by themselves (see `House::noted`), and restarts them.
    #[must_use]
    pub fn noting(self) -> Self {
        Self { notes: true, ..self }
    }

    /// Starts everything.
    ///
    /// # Errors
    /// A file cannot be written, or a process cannot be started.
    pub fn start(self) -> Result<House> {
        let Self { programs, mut options, is_quiet, server, folder, wait, notes } = self;
        let (folder, temporary) = match folder {
            Some(folder) => (folder, None),
            None => {
                let folder = tempfile::Builder::new().prefix("thermowell-house-").tempdir().context("make a folder")?;
                setup::prepare(folder.path())?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        if is_quiet && options.scenario.is_none() {
            let quiet = folder.join("quiet.toml");
            fs::write(&quiet, "").with_context(|| format!("write {}", quiet.display()))?;
            options.scenario = Some(quiet);
        }
        if is_quiet && options.http_port.is_none() {
            // Tests have several runs at a time.
            options.http_port = Some(setup::ANY_PORT);
        }
        let server = server.unwrap_or_else(super::server);
        let (processes, plan) = Processes::start(&options, &folder, &server, &programs).context("set up")?;
        let wait = wait.map_or_else(Wait::plain, Ok)?;
        let noted = notes.then(Vec::new);
        Ok(House {
            options,
            plan,
            processes,
            wait,
            stopwatch: Stopwatch::start(),
            noted,
            programs,
            _temporary: temporary,
        })
    }
}
