//! Who may do what on the server: the one table from which `thermowell keys` makes the permissions of nats-server.
//!
//! | user | writes | reads | owns |
//! |---|---|---|---|
//! | agent | samples, status, resets, its events | leases, commands, approvals | SAMPLES, STATUS, COMMAND, EVENT |
//! | aggregator | state, snapshots, feed | samples | FEED, STATE, SNAPSHOT |
//! | controller | **set-points**, decisions | state, status, commands | LEASE |
//! | operator | commands, approvals *under the own name* | state, status, commands | – |
//! | reader | nothing | what is published; the last of what PLANT exports | – |
//! | inspector | nothing | what is stored | – |
//! | installer | decisions about a boiler as a whole | what is stored | all |
//!
//! Two things are wider than one would wish, and why:
//!
//! * Each role may **make** every stream, because whoever comes first after a power cut must find the system whole: a
//!   freshly made stream can vanish in one, and those in memory are gone after each restart of the server. A stream
//!   that stands is **changed** by who owns it; the others wait for that.
//! * The server sends its answers to whatever subject the question names, and looks at nobody's permissions when it
//!   does (see [`super::is_copy`]). An answer that is empty, as *there is no such message* of a direct get or of a
//!   consumer is, sent to the subject on which a stream is purged or deleted, purges or deletes it. An answer that is a
//!   message as it is, sent into another stream, is a lease, an approval or a batch there. So people, and programs that
//!   work for them, get neither direct gets nor consumers: they ask for messages one by one, and the server answers in
//!   its own JSON, always. That is no order to the server, which refuses what it does not know (so never run it with
//!   `strict: false`), and it is nobody's lease, approval or batch.
//!
//! The reader is in an account of its own, PEOPLE, which sees PLANT through what PLANT exports: the subjects of boilers
//! as a stream of messages, and direct gets of five streams as services. A reply stays in the account of the asker:
//! one that a reader directs onto a boiler's subject, or onto the server's interface, arrives at no stream.
//!
//! What remains: a user of PLANT who may ask the server for anything, the inspector included, may have its JSON put on
//! any subject. There it is foreign bytes and is named like them. On a subject of SAMPLES that is a foreign writer, at
//! which this boiler's delivery stops until it has been looked at. So a key is for people who are trusted so far. The
//! roles are trusted with more: the agent may ask for its batches as they are, and each role has a consumer, so it
//! could have a stream purged, or a message of theirs sent elsewhere as it is. What acts on a boiler goes by no copy
//! that can be recognised.
//!
//! Subjects are of all boilers: another boiler in the configuration needs no other permissions.

use thermowell_wire::subject::EventKind::{self, Answer, Approval, Boiler, Boot, Clock, Command, Decision, Delivery};
use thermowell_wire::subject::EventKind::{Fault, Gap, Reset, Sensor, Snapshot};
use thermowell_wire::subject::stream::{COMMAND, EVENT, FEED, LEASE, SAMPLES, SNAPSHOT, STATE, STATUS};
use thermowell_wire::subject::{self, wildcard};

use super::User;

/// Where a user is: accounts of nats-server share no subject but what one exports and the other imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The streams, the roles, and everybody who writes.
    Plant,
    /// Programs that read.
    People,
}

impl Account {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Plant, Self::People];

    /// Its name in the server's configuration, and of the folder of its streams.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plant => "PLANT",
            Self::People => "PEOPLE",
        }
    }
}

/// The account of `user`.
#[must_use]
pub fn account(user: &User) -> Account {
    match user {
        User::Reader => Account::People,
        User::Agent | User::Aggregator | User::Controller | User::Operator(_) | User::Inspector | User::Installer => {
            Account::Plant
        }
    }
}

/// What PLANT exports to PEOPLE as messages.
pub const EXPORTED_MESSAGES: &str = wildcard::ALL;
/// Streams whose last messages PLANT exports to PEOPLE: each subject by a direct get.
const EXPORTED_STREAMS: [&str; 5] = [STATE, STATUS, SNAPSHOT, LEASE, EVENT];

/// The services that PLANT exports to PEOPLE.
#[must_use]
pub fn exported_services() -> Vec<String> {
    EXPORTED_STREAMS.iter().map(|stream| last_of_subjects(stream)).collect()
}

/// A direct get of the last message of a subject: `$JS.API.DIRECT.GET.STATE.boiler.b1.state`.
fn last_of_subjects(stream: &str) -> String {
    format!("$JS.API.DIRECT.GET.{stream}.>")
}

/// Every stream of ours.
pub const STREAMS: [&str; 8] = [SAMPLES, FEED, STATUS, STATE, SNAPSHOT, LEASE, COMMAND, EVENT];

/// What one kind of user may do, in our own words. All of them may also hear the answers to their own questions.
#[derive(Clone, Copy, Debug)]
struct Rights {
    /// What it is for, as a comment.
    purpose: &'static str,
    /// Subjects that it publishes to, of every boiler.
    writes: &'static [&'static str],
    /// Kinds of events that it publishes.
    events: &'static [EventKind],
    /// Subjects that it subscribes to.
    hears: &'static [&'static str],
    /// Streams whose settings it reads.
    knows: &'static [&'static str],
    /// Streams whose messages it reads one by one, in the server's JSON.
    asks: &'static [&'static str],
    /// Streams whose messages it reads one by one, as they are. Not for people.
    reads: &'static [&'static str],
    /// Streams that it follows with a consumer. Not for people.
    follows: &'static [&'static str],
    /// Streams that it makes where they are not there.
    makes: &'static [&'static str],
    /// Streams whose settings it changes.
    changes: &'static [&'static str],
    /// Streams that it deletes.
    ends: &'static [&'static str],
}

const NOTHING: Rights = Rights {
    purpose: "",
    writes: &[],
    events: &[],
    hears: &[],
    knows: &STREAMS,
    asks: &[],
    reads: &[],
    follows: &[],
    makes: &[],
    changes: &[],
    ends: &[],
};

const AGENT: Rights = Rights {
    purpose: "reads the serial lines, publishes the samples, hands leases and resets to the boilers",
    writes: &[wildcard::SAMPLES, wildcard::STATUS, wildcard::RESET],
    events: &[Boot, Gap, Fault, Answer, Delivery, Clock, Approval, Reset, Sensor],
    hears: &[wildcard::APPROVAL, wildcard::RESET],
    asks: &[SAMPLES, COMMAND, EVENT],
    reads: &[SAMPLES],
    follows: &[LEASE, COMMAND],
    makes: &STREAMS,
    changes: &[SAMPLES, STATUS, COMMAND, EVENT],
    ..NOTHING
};

const AGGREGATOR: Rights = Rights {
    purpose: "averages, hourly snapshots and the feed",
    writes: &[wildcard::STATE, wildcard::SNAPSHOT, wildcard::FEED],
    events: &[Snapshot],
    asks: &[SAMPLES, STATE, SNAPSHOT, FEED],
    follows: &[SAMPLES],
    makes: &STREAMS,
    changes: &[FEED, STATE, SNAPSHOT],
    ..NOTHING
};

const CONTROLLER: Rights = Rights {
    purpose: "the only author of set-points",
    writes: &[wildcard::LEASE],
    events: &[Decision],
    hears: &[wildcard::STATE, wildcard::STATUS, wildcard::COMMAND],
    asks: &[STATE, STATUS, LEASE, COMMAND, EVENT],
    follows: &[COMMAND, EVENT],
    makes: &STREAMS,
    changes: &[LEASE],
    ..NOTHING
};

/// The approvals of the own name come on top: see [`publishes`].
const OPERATOR: Rights = Rights {
    purpose: "a person who gives commands and approves of resets",
    writes: &[wildcard::COMMAND],
    events: &[Command, Approval],
    asks: &[STATE, STATUS, COMMAND, EVENT],
    ..NOTHING
};

const READER: Rights = Rights {
    purpose: "programs that read: dashboards, thermostats, your own",
    hears: &[EXPORTED_MESSAGES],
    knows: &[],
    ..NOTHING
};

const INSPECTOR: Rights =
    Rights { purpose: "looks at what is stored: `check`, `verify`, `boiler list`", asks: &STREAMS, ..NOTHING };

const INSTALLER: Rights = Rights {
    purpose: "makes, changes and ends streams: `boiler retire`",
    events: &[Boiler],
    asks: &STREAMS,
    makes: &STREAMS,
    changes: &STREAMS,
    ends: &STREAMS,
    ..NOTHING
};

fn rights(user: &User) -> Rights {
    match user {
        User::Agent => AGENT,
        User::Aggregator => AGGREGATOR,
        User::Controller => CONTROLLER,
        User::Operator(_) => OPERATOR,
        User::Reader => READER,
        User::Inspector => INSPECTOR,
        User::Installer => INSTALLER,
    }
}

/// What `user` is for.
#[must_use]
pub fn purpose(user: &User) -> &'static str {
    rights(user).purpose
}

/// Whether `user` is the one that changes the settings of `stream` while roles run.
#[must_use]
pub fn changes(user: &User, stream: &str) -> bool {
    rights(user).changes.contains(&stream)
}

/// Every subject that `user` may publish to: ours, and the server's own interface to its streams.
#[must_use]
pub fn publishes(user: &User) -> Vec<String> {
    let rights = rights(user);
    let mut subjects: Vec<String> = rights.writes.iter().map(|subject| (*subject).to_owned()).collect();
    if let User::Operator(name) = user
        && let Ok(name) = name.parse()
    {
        subjects.push(subject::approvals_of(&name).to_string());
    }
    subjects.extend(rights.events.iter().map(|kind| subject::events(*kind).to_string()));
    let interface: [(&[&str], &[&str]); 7] = [
        (rights.knows, &["STREAM.INFO.{}"]),
        (rights.asks, &["STREAM.MSG.GET.{}"]),
        (rights.reads, &["DIRECT.GET.{}", "DIRECT.GET.{}.>"]),
        (
            rights.follows,
            &["CONSUMER.CREATE.{}", "CONSUMER.CREATE.{}.>", "CONSUMER.INFO.{}.*", "CONSUMER.MSG.NEXT.{}.*"],
        ),
        (rights.makes, &["STREAM.CREATE.{}"]),
        (rights.changes, &["STREAM.UPDATE.{}"]),
        (rights.ends, &["STREAM.DELETE.{}"]),
    ];
    for (streams, calls) in interface {
        for stream in streams {
            subjects.extend(calls.iter().map(|call| format!("$JS.API.{}", call.replace("{}", stream))));
        }
    }
    if account(user) == Account::People {
        subjects.extend(exported_services());
    }
    subjects
}

/// Every subject that `user` may subscribe to.
#[must_use]
pub fn subscribes(user: &User) -> Vec<String> {
    let mut subjects: Vec<String> = rights(user).hears.iter().map(|subject| (*subject).to_owned()).collect();
    subjects.push(format!("{}.>", user.inbox()));
    if account(user) == Account::People {
        // What every client library uses by itself: in PEOPLE there are no answers but those to readers.
        subjects.push("_INBOX.>".to_owned());
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everybody() -> Vec<User> {
        User::ROLES.into_iter().chain(["anna", "ben"].map(|name| User::Operator(name.to_owned()))).collect()
    }

    fn writers(subject: &str) -> Vec<String> {
        let may_write = |user: &User| publishes(user).iter().any(|own| own == subject);
        everybody().iter().filter(|user| may_write(user)).map(User::to_string).collect()
    }

    #[test]
    fn what_acts_on_a_boiler_has_one_author() {
        assert_eq!(writers("boiler.*.setpoint"), ["controller"]);
        assert_eq!(writers("boiler.*.reset.*"), ["agent"]);
        assert_eq!(writers("boiler.*.approval.*.anna"), ["operator-anna"]);
        assert_eq!(writers("boiler.*.samples.v1"), ["agent"]);
        assert_eq!(writers("boiler.*.status"), ["agent"]);
        assert_eq!(writers("boiler.*.state"), ["aggregator"]);
        assert_eq!(writers("boiler.*.hourly-snapshot"), ["aggregator"]);
        assert_eq!(writers("boiler.*"), ["aggregator"]);
        assert_eq!(writers("boiler.*.event.decision"), ["controller"]);
    }

    #[test]
    fn each_stream_has_one_owner_among_the_roles() {
        for stream in STREAMS {
            let roles = [User::Agent, User::Aggregator, User::Controller];
            assert_eq!(roles.iter().filter(|role| changes(role, stream)).count(), 1, "{stream}");
        }
    }

    /// An answer without a body deletes a stream, and a message as it is is a lease: the server sends both anywhere.
    #[test]
    fn people_in_plant_hear_the_server_in_its_json_alone() {
        let roles = [User::Agent, User::Aggregator, User::Controller];
        let people = everybody().into_iter().filter(|user| account(user) == Account::Plant && !roles.contains(user));
        for user in people {
            for subject in publishes(&user).iter().filter(|subject| subject.starts_with("$JS.")) {
                let calls =
                    ["INFO", "MSG.GET", "CREATE", "UPDATE", "DELETE"].map(|call| format!("$JS.API.STREAM.{call}."));
                assert!(calls.iter().any(|call| subject.starts_with(call)), "{user}: {subject}");
            }
        }
    }

    /// A wildcard wider than those of the table would let somebody write what is another's.
    #[test]
    fn nobody_writes_more_than_a_kind_of_subject() {
        for user in everybody() {
            for subject in publishes(&user) {
                let is_open = subject.ends_with('>');
                assert!(!is_open || subject.starts_with("$JS.API."), "{user}: {subject}");
            }
        }
    }

    /// What the accounts exchange is messages and the last message of a subject: nothing that changes a stream.
    #[test]
    fn a_reader_asks_for_last_messages_alone() {
        assert_eq!(account(&User::Reader), Account::People);
        let asks = publishes(&User::Reader);
        assert_eq!(asks, exported_services());
        assert!(asks.iter().all(|subject| subject.starts_with("$JS.API.DIRECT.GET.") && subject.ends_with(".>")));
        assert!(everybody().iter().filter(|user| account(user) == Account::People).eq([&User::Reader]));
    }

    #[test]
    fn nobody_hears_anothers_answers() {
        for user in everybody() {
            let inboxes = subscribes(&user).into_iter().filter(|subject| subject.starts_with("_INBOX"));
            let inboxes: Vec<String> =
                inboxes.filter(|inbox| account(&user) == Account::Plant || inbox != "_INBOX.>").collect();
            assert_eq!(inboxes, [format!("_INBOX_{user}.>")]);
        }
    }
}
