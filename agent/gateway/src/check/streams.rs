//! The streams on the server, and whether what they may take fits on its disk.

use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use super::Status::{Error, Ok as Fine, Unknown, Warning};
use super::finding::{Repair, of};
use super::{Finding, disk};
use crate::config::{Config, show_bytes};
use crate::logs;
use crate::nats::{self, Connection};
use crate::streams::{self, Found, Look, Ours, StreamError};

const REPAIR: [&str; 6] = ["thermowell", "check", "--only", "nats.streams", "--repair", "--yes"];
/// A boiler that is not configured here counts as another gateway's if it was written within this time.
const ALIVE_NS: i64 = 3_600_000_000_000;
/// The most such boilers that are looked up.
const BEYOND_MAX: usize = 16;

/// A boiler in SAMPLES that is not configured here.
#[derive(Debug)]
struct Stranger {
    id: BoilerId,
    is_alive: bool,
}

pub(super) async fn check(config: &Config, connection: &Connection, store: &Store) -> Vec<Finding> {
    let looks = streams::look(connection.context(), &streams::table(config)).await;
    let mut found = judge(&looks, &strangers(connection, looks.as_deref().unwrap_or_default()).await);
    let looks = looks.as_deref().unwrap_or_default();
    found.extend(room(looks, store));
    found
}

async fn strangers(connection: &Connection, looks: &[Look]) -> Vec<Stranger> {
    let mut strangers = Vec::new();
    for id in beyond(looks).into_iter().take(BEYOND_MAX) {
        let last = nats::last(connection.context(), stream::SAMPLES, &subject::samples(&id)).await;
        let is_alive = last.ok().flatten().is_some_and(|last| nats::age_ns(&last) < ALIVE_NS);
        strangers.push(Stranger { id, is_alive });
    }
    strangers
}

fn beyond(looks: &[Look]) -> Vec<BoilerId> {
    let subjects =
        looks.iter().filter(|look| look.name == stream::SAMPLES).filter_map(ours).flat_map(|ours| &ours.beyond);
    subjects.filter_map(|subject| subject::boiler_of(subject)).collect()
}

fn ours(look: &Look) -> Option<&Ours> {
    match &look.found {
        Found::Ours(ours) => Some(ours),
        Found::Absent | Found::Unusable(_) => None,
    }
}

fn judge(looks: &Result<Vec<Look>, StreamError>, strangers: &[Stranger]) -> Vec<Finding> {
    let find = of("nats.streams");
    let looks = match looks {
        Ok(looks) => looks,
        Err(error) => return vec![find(Unknown, logs::chain(error))],
    };
    if looks.iter().all(|look| matches!(look.found, Found::Absent)) {
        let message = "there is no stream yet: the roles create them when they start".to_owned();
        return vec![find(Warning, message).fix(&["systemctl", "start", "thermowell-agent", "thermowell-aggregator"])];
    }
    let repairable = |finding: Finding| finding.fix(&REPAIR).repair(Repair::Streams);
    let mut found = Vec::new();
    for Look { name, found: state } in looks {
        match state {
            Found::Absent => {
                let advice = "a role that starts creates it, too";
                found.push(repairable(find(Error, format!("{name} is missing")).advise(advice)));
            }
            Found::Unusable(error) => found.push(find(Error, logs::chain(error))),
            Found::Ours(ours) => {
                if !ours.missing.is_empty() {
                    let message = format!("{name} does not take {}", ours.missing.join(", "));
                    found.push(repairable(
                        find(Error, message).advise("the role that writes it adds that when it starts"),
                    ));
                }
                if !ours.changes.is_empty() {
                    let message = format!("{name}: {}", ours.changes.join(", "));
                    found.push(repairable(find(Warning, message).advise("its role sets that when it starts")));
                }
            }
        }
    }
    for Stranger { id, .. } in strangers.iter().filter(|stranger| !stranger.is_alive) {
        let message = format!("SAMPLES takes {id}, which is not configured here and wrote nothing for an hour");
        let advice = "if it was removed or renamed, retire it; what is stored stays until it expires";
        found.push(find(Warning, message).advise(advice).fix(&[
            "thermowell",
            "boiler",
            "retire",
            id.as_str(),
            "--yes",
        ]));
    }
    if found.is_empty() {
        let mut message = format!("{} streams are as they should be", looks.len());
        let others: Vec<&str> = strangers.iter().map(|stranger| stranger.id.as_str()).collect();
        if !others.is_empty() {
            message += &format!("; another gateway writes {}", others.join(", "));
        }
        found.push(find(Fine, message));
    }
    found
}

/// The server's store on this machine, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Where it is, if that is on this machine.
    pub(super) folder: Option<std::path::PathBuf>,
    /// Bytes that it may still take: its limit without what it holds.
    pub(super) to_come: Option<u64>,
}

fn room(looks: &[Look], store: &Store) -> Vec<Finding> {
    let mut found: Vec<Finding> = looks.iter().filter_map(|look| full(&look.name, ours(look)?)).collect();
    let space = store.folder.as_deref().and_then(disk::space);
    found.extend(space.zip(store.to_come).and_then(|(space, to_come)| crowded(space.free, to_come)));
    if found.is_empty() {
        let fullest = looks.iter().filter_map(ours).map(percent).max().unwrap_or(0);
        let message = match (space, store.to_come) {
            (Some(space), Some(to_come)) => format!(
                "the fullest stream has {fullest} % of its size; the store may take {} more, and {} are free",
                disk::bytes(to_come),
                disk::bytes(space.free)
            ),
            (_, _) => format!("the fullest stream has {fullest} % of its size; the store is not visible here"),
        };
        found.push(of("nats.room")(Fine, message));
    }
    found
}

fn percent(ours: &Ours) -> u64 {
    ours.bytes.saturating_mul(100).checked_div(ours.bytes_max).unwrap_or(0)
}

fn full(name: &str, ours: &Ours) -> Option<Finding> {
    let percent = percent(ours);
    if percent <= 90 {
        return None;
    }
    let then = if ours.refuses { "when it is full it refuses new ones" } else { "when it is full the oldest leave it" };
    let message = format!("{name} has {percent} % of {}; {then}", show_bytes(ours.bytes_max));
    let finding = of("nats.room")(Warning, message);
    let key = name.to_lowercase();
    let advice = match name {
        stream::STATE | stream::STATUS | stream::LEASE => {
            "it has one message a boiler: retire those that are gone".to_owned()
        }
        _ => format!("set {key} = \"{}\" in [streams], and restart the roles", show_bytes(ours.bytes_max * 2)),
    };
    Some(finding.advise(advice))
}

/// The server reserves its limit, but the disk does not: a full disk freezes every stream.
fn crowded(free: u64, to_come: u64) -> Option<Finding> {
    if free >= to_come {
        return None;
    }
    let message =
        format!("the store may take {} more, but its partition has {} free", disk::bytes(to_come), disk::bytes(free));
    let advice = format!(
        "free space, or lower max_file_store in nats.conf by {} and the sizes in [streams] too: a full disk freezes \
         every stream until the server is restarted",
        disk::bytes(to_come - free)
    );
    Some(of("nats.room")(Warning, message).advise(advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, ours: Ours) -> Look {
        Look { name: name.to_owned(), found: Found::Ours(ours) }
    }

    fn streams(samples: Found) -> Result<Vec<Look>, StreamError> {
        Ok(vec![Look { name: "SAMPLES".to_owned(), found: samples }, look("EVENT", Ours::default())])
    }

    fn fix(finding: &Finding) -> String {
        finding.fix.as_deref().unwrap_or_default().join(" ")
    }

    #[test]
    fn missing_stream_or_subject_is_an_error_that_is_repaired() {
        let gone = judge(&streams(Found::Absent), &[]);
        assert_eq!((gone[0].status, gone[0].message.as_str()), (Error, "SAMPLES is missing"));
        let missing = Ours { missing: vec!["boiler.b2.samples.v1".to_owned()], ..Ours::default() };
        let partial = judge(&streams(Found::Ours(missing)), &[]);
        assert_eq!(
            (partial[0].status, partial[0].message.as_str()),
            (Error, "SAMPLES does not take boiler.b2.samples.v1")
        );
        let changes = Ours { changes: vec!["its size is 1 MiB, not 1 GiB".to_owned()], ..Ours::default() };
        let changed = judge(&streams(Found::Ours(changes)), &[]);
        assert_eq!(
            (changed[0].status, changed[0].message.as_str()),
            (Warning, "SAMPLES: its size is 1 MiB, not 1 GiB")
        );
        for found in [&gone, &partial, &changed] {
            assert_eq!((found[0].repair.clone(), fix(&found[0])), (Some(Repair::Streams), REPAIR.join(" ")));
        }
        let foreign = judge(&streams(Found::Unusable(StreamError::Foreign { name: "SAMPLES".to_owned() })), &[]);
        assert_eq!((foreign[0].status, foreign[0].repair.clone()), (Error, None));
    }

    #[test]
    fn server_without_any_stream_waits_for_the_roles() {
        let none = ["SAMPLES", "EVENT"].map(|name| Look { name: name.to_owned(), found: Found::Absent });
        let found = judge(&Ok(none.into()), &[]);
        assert_eq!((found.len(), found[0].status), (1, Warning));
        assert!(fix(&found[0]).starts_with("systemctl start"), "{found:?}");
    }

    #[test]
    fn boiler_of_no_gateway_is_a_warning() {
        let stranger = |is_alive| [Stranger { id: "b9".parse().unwrap(), is_alive }];
        let fine = || streams(Found::Ours(Ours::default()));
        let left = judge(&fine(), &stranger(false));
        assert_eq!((left[0].status, fix(&left[0])), (Warning, "thermowell boiler retire b9 --yes".to_owned()));
        let alive = judge(&fine(), &stranger(true));
        assert_eq!(
            (alive[0].status, alive[0].message.as_str()),
            (Fine, "2 streams are as they should be; another gateway writes b9")
        );
    }

    #[test]
    fn full_stream_and_small_disk_are_warnings() {
        let full = Ours { bytes: 95 << 20, bytes_max: 100 << 20, ..Ours::default() };
        let found = room(&[look("EVENT", full)], &Store::default());
        assert_eq!(found[0].message, "EVENT has 95 % of 100 MiB; when it is full the oldest leave it");
        assert_eq!(found[0].advice.as_deref(), Some("set event = \"200 MiB\" in [streams], and restart the roles"));
        let crowded = crowded(1 << 30, 3 << 30).unwrap();
        assert_eq!(crowded.message, "the store may take 3.0 GiB more, but its partition has 1.0 GiB free");
        assert!(crowded.advice.unwrap().contains("max_file_store in nats.conf by 2.0 GiB"));
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: Some(folder.path().to_owned()), to_come: Some(0) };
        let fine = room(&[look("EVENT", Ours { bytes: 5, bytes_max: 10, ..Ours::default() })], &store);
        assert!(fine[0].status == Fine && fine[0].message.starts_with("the fullest stream has 50 %"), "{fine:?}");
    }
}
