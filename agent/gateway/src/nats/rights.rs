//! Who may do what on the server: the one table from which `thermowell keys` makes the permissions of nats-server.
//!
//! | user | writes | reads | owns |
//! |---|---|---|---|
//! | agent | samples, status, resets, its events | leases, commands, approvals | SAMPLES, STATUS, COMMAND, EVENT |
//! | aggregator | state, snapshots, feed | samples | FEED, STATE, SNAPSHOT |
//! | controller | **set-points**, decisions | state, status, commands | LEASE |
//! | operator | commands, approvals *under the own name* | state, status, commands | – |
//! | reader | nothing | what is published from now on | – |
//! | inspector | nothing | what is stored | – |
//! | installer | decisions about a boiler as a whole | what is stored | all |
//!
//! Two things are wider than one would wish, and why:
//!
//! * Each role may **make** every stream, because whoever comes first after a power cut must find the system whole: a
//!   freshly made stream can vanish in one, and those in memory are gone after each restart of the server. A stream
//!   that stands is **changed** by who owns it; the others wait for that.
//! * The server sends its answers to whatever subject the question names, and looks at nobody's permissions when it
//!   does (see [`super::is_copy`]). An operator who could have a message of COMMAND sent as it is could write a lease
//!   into a command and have it put into LEASE. So into which people write, people read in the server's JSON only,
//!   which is nobody's lease, approval or batch: [`WRAPPED`]. It can still get in the way where it does not belong, as
//!   any foreign bytes in a stream, and is named like them. Roles, which write and read some streams as they are, can
//!   have a whole lease sent; what acts on a boiler goes by no such copy.
//!
//! Subjects are of all boilers: another boiler in the configuration needs no other permissions.

use thermowell_wire::subject::EventKind::{self, Answer, Approval, Boiler, Boot, Clock, Command, Decision, Delivery};
use thermowell_wire::subject::EventKind::{Fault, Gap, Reset, Snapshot};
use thermowell_wire::subject::stream::{COMMAND, EVENT, FEED, LEASE, SAMPLES, SNAPSHOT, STATE, STATUS};
use thermowell_wire::subject::{self, wildcard};

use super::User;

/// Every stream of ours.
pub const STREAMS: [&str; 8] = [SAMPLES, FEED, STATUS, STATE, SNAPSHOT, LEASE, COMMAND, EVENT];

/// The streams into which people write what they like. Their messages are asked for one by one in the server's JSON.
pub const WRAPPED: [&str; 2] = [COMMAND, EVENT];

/// What people, and programs that work for them, read as it is.
const UNWRAPPED: [&str; 6] = [SAMPLES, FEED, STATUS, STATE, SNAPSHOT, LEASE];

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
    /// Streams whose messages it reads one by one, as they are.
    reads: &'static [&'static str],
    /// Streams whose messages it reads one by one, in the server's JSON.
    asks: &'static [&'static str],
    /// Streams that it follows with a consumer.
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
    reads: &[],
    asks: &[],
    follows: &[],
    makes: &[],
    changes: &[],
    ends: &[],
};

const AGENT: Rights = Rights {
    purpose: "reads the serial lines, publishes the samples, hands leases and resets to the boilers",
    writes: &[wildcard::SAMPLES, wildcard::STATUS, wildcard::RESET],
    events: &[Boot, Gap, Fault, Answer, Delivery, Clock, Approval, Reset],
    hears: &[wildcard::APPROVAL, wildcard::RESET],
    reads: &[SAMPLES, COMMAND, EVENT],
    asks: &WRAPPED,
    follows: &[LEASE, COMMAND],
    makes: &STREAMS,
    changes: &[SAMPLES, STATUS, COMMAND, EVENT],
    ..NOTHING
};

const AGGREGATOR: Rights = Rights {
    purpose: "averages, hourly snapshots and the feed",
    writes: &[wildcard::STATE, wildcard::SNAPSHOT, wildcard::FEED],
    events: &[Snapshot],
    reads: &[SAMPLES, STATE, SNAPSHOT, FEED],
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
    reads: &[STATE, STATUS, LEASE, COMMAND, EVENT],
    asks: &WRAPPED,
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
    reads: &[STATE, STATUS],
    asks: &WRAPPED,
    ..NOTHING
};

const READER: Rights = Rights {
    purpose: "programs that listen: dashboards, thermostats, your own",
    hears: &[wildcard::ALL],
    knows: &[],
    ..NOTHING
};

const INSPECTOR: Rights = Rights {
    purpose: "looks at what is stored: `check`, `verify`, `boiler list`",
    reads: &UNWRAPPED,
    asks: &WRAPPED,
    follows: &[SAMPLES],
    ..NOTHING
};

const INSTALLER: Rights = Rights {
    purpose: "makes, changes and ends streams: `boiler retire`",
    events: &[Boiler],
    reads: &UNWRAPPED,
    asks: &WRAPPED,
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
        (rights.reads, &["DIRECT.GET.{}", "DIRECT.GET.{}.>"]),
        (rights.asks, &["STREAM.MSG.GET.{}"]),
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
    subjects
}

/// Every subject that `user` may subscribe to.
#[must_use]
pub fn subscribes(user: &User) -> Vec<String> {
    let mut subjects: Vec<String> = rights(user).hears.iter().map(|subject| (*subject).to_owned()).collect();
    subjects.push(format!("{}.>", user.inbox()));
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

    /// With both, a person could have the server put a message of his own under any subject, as it is.
    #[test]
    fn nobody_but_the_roles_writes_and_reads_a_stream_as_it_is() {
        let people = everybody().into_iter().filter(|user| rights(user).makes.is_empty() || *user == User::Installer);
        for user in people {
            let raw = publishes(&user).into_iter().filter(|subject| {
                ["DIRECT.GET", "CONSUMER"].iter().any(|call| subject.starts_with(&format!("$JS.API.{call}")))
            });
            let raw: Vec<String> = raw.collect();
            for stream in WRAPPED {
                assert!(raw.iter().all(|subject| !subject.contains(stream)), "{user}: {raw:?}");
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

    #[test]
    fn a_reader_says_nothing_and_nobody_hears_anothers_answers() {
        assert_eq!(publishes(&User::Reader), Vec::<String>::new());
        for user in everybody() {
            let inboxes = subscribes(&user).into_iter().filter(|subject| subject.starts_with("_INBOX"));
            assert_eq!(inboxes.collect::<Vec<_>>(), [format!("_INBOX_{user}.>")]);
        }
    }
}
