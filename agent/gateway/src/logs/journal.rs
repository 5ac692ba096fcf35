//! Where log lines go, and their form. Always to stderr:
//!
//! | stderr is | a line |
//! |---|---|
//! | the journal's | `<4>thermowell::logs: the boiler is locked out … boiler=b1`, without time: journald adds it |
//! | anything else | time, level, then the same |

use std::env;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::level::Level;

/// Logs to stderr from now on. Returns what changes the filter.
pub fn start(filter: Targets) -> Level {
    let configured = filter.clone();
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    // A line that cannot be written is dropped: a closed terminal must not end the drain with a panic.
    let lines = layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    let started = if is_journal(io::stderr(), env::var("JOURNAL_STREAM").ok().as_deref()) {
        registry.with(lines.event_format(Journal::new())).try_init()
    } else {
        registry.with(lines).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging is already set up");
    }
    Level { handle, configured }
}

/// Whether this is the stream that systemd connected to the journal: `named` has its device and inode. A shell that
/// redirects stderr inherits the name too.
fn is_journal(stream: impl AsFd, named: Option<&str>) -> bool {
    let found = rustix::fs::fstat(stream).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    found.is_some() && found.as_deref() == named
}

/// Lines with a priority and without time, as sd-daemon(3) describes.
pub(super) struct Journal(Format<Full, ()>);

impl Journal {
    pub(super) fn new() -> Self {
        Self(Format::default().without_time().with_level(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            tracing::Level::ERROR => 3,
            tracing::Level::WARN => 4,
            tracing::Level::INFO => 6,
            tracing::Level::DEBUG | tracing::Level::TRACE => 7,
        };
        write!(out, "<{priority}>")?;
        self.0.format_event(context, out, event)
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_the_named_stream_is_the_journal() {
        let stream = tempfile::tempfile().unwrap();
        let stat = stream.metadata().unwrap();
        let named = format!("{}:{}", stat.st_dev(), stat.st_ino());
        assert!(is_journal(&stream, Some(&named)));
        assert!(!is_journal(&stream, None) && !is_journal(&stream, Some("")));
        assert!(!is_journal(tempfile::tempfile().unwrap(), Some(&named)), "redirected");
    }
}
