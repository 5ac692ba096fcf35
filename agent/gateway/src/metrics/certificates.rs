//! When the certificates end that this process reads for its connections. They are read at each scrape: a renewed one
//! is used from the next connection on.

use std::path::PathBuf;

use super::sheet::Sheet;
use crate::config::Config;
use crate::nats::certificate;
use crate::quantity::unix;
use crate::run::Role;

/// Each file, by the word of its label.
#[derive(Debug)]
pub(super) struct Certificates {
    files: Vec<(&'static str, PathBuf)>,
}

impl Certificates {
    /// Those of a process with these roles.
    pub(super) fn new(config: &Config, roles: &[&str]) -> Self {
        let nats = config.nats.tls.as_ref();
        let is_front = roles.contains(&Role::Front.name());
        let broker = config.mqtt.as_ref().filter(|_| is_front).and_then(|mqtt| mqtt.tls.as_ref());
        let files = [
            ("nats_client", nats.and_then(|tls| tls.cert.clone())),
            ("nats_ca", nats.and_then(|tls| tls.ca.clone())),
            ("mqtt_ca", broker.and_then(|tls| tls.ca.clone())),
        ];
        Self { files: files.into_iter().filter_map(|(word, file)| Some((word, file?))).collect() }
    }

    pub(super) fn write(&self, sheet: &mut Sheet) {
        for (word, file) in &self.files {
            if let Some(end) = certificate::end_of_file(file) {
                sheet.add(
                    "certificate_expires_timestamp_seconds",
                    vec![("certificate", (*word).to_owned())],
                    unix(end),
                );
            }
        }
    }
}
