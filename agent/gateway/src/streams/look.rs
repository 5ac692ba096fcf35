//! Compares the streams on the server with the table, and changes nothing.

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use futures_util::future::join_all;

use super::{StreamError, is_absent, merge, request};
use crate::quantity::{show_bytes, show_duration};

/// A stream of the table as it is on the server.
#[derive(Debug)]
pub struct Look {
    pub name: String,
    pub found: Found,
}

/// What is there.
#[derive(Debug)]
pub enum Found {
    Absent,
    /// A foreign stream, or one that no update can restore.
    Unusable(StreamError),
    Ours(Ours),
}

/// One of our streams.
#[derive(Debug, Default)]
pub struct Ours {
    /// Subjects that it does not take yet.
    pub missing: Vec<String>,
    /// Subjects that it takes beyond the table's.
    pub beyond: Vec<String>,
    /// Other settings that an update would change, in words.
    pub changes: Vec<String>,
    pub bytes: u64,
    pub bytes_max: u64,
    /// When full, it refuses messages; other streams drop the oldest.
    pub refuses: bool,
}

/// Looks at every stream of `table`, in one round trip.
///
/// # Errors
/// The server does not answer.
pub async fn look(context: &Context, table: &[Config]) -> Result<Vec<Look>, StreamError> {
    let answers = join_all(table.iter().map(|wanted| context.get_stream(&wanted.name))).await;
    let look = |(wanted, answer): (&Config, Result<Stream, _>)| {
        let found = match answer {
            Ok(stream) => compare(&stream.cached_info().config, wanted, stream.cached_info().state.bytes),
            Err(error) if is_absent(&error) => Found::Absent,
            Err(error) => return Err(request("read", &wanted.name, error)),
        };
        Ok(Look { name: wanted.name.clone(), found })
    };
    table.iter().zip(answers).map(look).collect()
}

fn compare(found: &Config, wanted: &Config, bytes: u64) -> Found {
    let merged = match merge(found, wanted) {
        Ok(merged) => merged,
        Err(error) => return Found::Unusable(error),
    };
    let not_in = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter().filter(|subject| !others.contains(subject)).cloned().collect()
    };
    let mut changes = Vec::new();
    let mut differs = |what: &str, found: String, wanted: String| {
        if found != wanted {
            changes.push(format!("{what} is {found}, not {wanted}"));
        }
    };
    let size = |bytes: i64| u64::try_from(bytes).map_or("unlimited".to_owned(), show_bytes);
    differs("its size", size(found.max_bytes), size(merged.max_bytes));
    differs("its age", show_duration(found.max_age), show_duration(merged.max_age));
    let count = |config: &Config| config.max_messages_per_subject.to_string();
    differs("the number of messages of a subject", count(found), count(&merged));
    // The rest is rarely changed by hand.
    if changes.is_empty() && merged != (Config { subjects: merged.subjects.clone(), ..found.clone() }) {
        changes.push("a setting was changed by hand".to_owned());
    }
    Found::Ours(Ours {
        missing: not_in(&wanted.subjects, &found.subjects),
        beyond: not_in(&found.subjects, &wanted.subjects),
        changes,
        bytes,
        bytes_max: u64::try_from(found.max_bytes).unwrap_or(0),
        refuses: found.discard == DiscardPolicy::New,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::streams::table;

    fn samples(boilers: &str) -> Config {
        let boilers: String =
            boilers.split(' ').map(|id| format!("[[boiler]]\nid = \"{id}\"\nport = \"/dev/{id}\"\n")).collect();
        table(&config::Config::parse(&boilers, "t.toml").unwrap()).remove(0)
    }

    fn ours(found: &Config) -> Ours {
        match compare(found, &samples("b1 b2"), 7) {
            Found::Ours(ours) => ours,
            other @ (Found::Absent | Found::Unusable(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn differences_from_the_table_are_named() {
        let same = ours(&samples("b1 b2"));
        assert!(same.missing.is_empty() && same.beyond.is_empty() && same.changes.is_empty(), "{same:?}");
        let other = ours(&samples("b2 b3"));
        assert_eq!(other.missing, ["boiler.b1.samples.v1"]);
        assert_eq!(other.beyond, ["boiler.b3.samples.v1"]);
        let small = ours(&Config { max_bytes: 1 << 20, max_age: Duration::from_secs(3_600), ..samples("b1 b2") });
        assert_eq!(small.changes, ["its size is 1 MiB, not 1 GiB", "its age is 1 h, not 3 d"]);
        assert_eq!((small.bytes, small.bytes_max), (7, 1 << 20));
        let direct = ours(&Config { allow_direct: false, ..samples("b1 b2") });
        assert_eq!(direct.changes, ["a setting was changed by hand"]);
        let foreign = compare(&Config { metadata: [].into(), ..samples("b1") }, &samples("b1"), 0);
        assert!(matches!(foreign, Found::Unusable(StreamError::Foreign { .. })), "{foreign:?}");
    }
}
