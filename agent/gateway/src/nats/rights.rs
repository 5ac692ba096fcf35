//! The rights of each user on the server, from which `thermowell keys` makes the permissions of nats-server.
//!
//! | user | publishes | reads | owns |
//! |---|---|---|---|
//! | agent | samples, status, resets, its events | leases, commands, approvals | SAMPLES, STATUS, COMMAND, EVENT |
//! | aggregator | state, snapshots, feed | samples | FEED, STATE, SNAPSHOT |
//! | controller | **set-points**, decisions | state, status, commands | LEASE |
//! | operator | commands, approvals *under their own name* | state, status, commands | – |
//! | reader | nothing | new messages; the last messages of PLANT's exported streams | – |
//! | inspector | nothing | stored messages | – |
//! | installer | decisions about a boiler as a whole | stored messages | all |
//!
//! Two rights are wider or narrower than expected:
//!
//! * Each role may **create** every stream, because the first role to start after a power cut must find the system
//!   complete: a newly created stream can be lost in a power cut, and memory streams are gone after each restart of the
//!   server. An existing stream is **updated** only by its owner; the others wait for that.
//! * The server sends its responses to any reply subject that the request names, without checking permissions for it
//!   (see [`super::is_copy`]). An empty response, such as *no such message* of a direct get or of a consumer, sent to
//!   the subject that purges or deletes a stream, purges or deletes it. A response with a raw message, sent into
//!   another stream, is a lease, an approval or a batch there. So people, and programs that they use, get neither
//!   direct gets nor consumers: they request messages one by one, and the server always responds in its own JSON. That
//!   is no valid request to the server, which refuses unknown fields (so never run it with `strict: false`), and no
//!   valid lease, approval or batch.
//!
//! The reader is in an account of its own, PEOPLE, which sees only what PLANT exports: the subjects of boilers as a
//! stream of messages, and direct gets of five streams as services. A response stays in the account of the requester:
//! one that a reader directs to a boiler's subject, or to the server's API, reaches no stream.
//!
//! Remaining risk: a user of PLANT with any request to the server, the inspector included, can direct the response's
//! JSON to any subject. There it is malformed and logged as such. On a subject of SAMPLES it counts as a foreign
//! writer, and this boiler's delivery stops until an operator intervenes. So keys are only for people who are trusted
//! with that. The roles are trusted with more: the agent may read its raw batches, and each role has a consumer, so it
//! could have a stream purged, or a raw message sent elsewhere. Recognisable copies never act on a boiler.
//!
//! Subjects are for all boilers: another boiler in the configuration needs no new permissions.

use thermowell_wire::subject::EventKind::{self, Answer, Approval, Boiler, Boot, Clock, Command, Decision, Delivery};
use thermowell_wire::subject::EventKind::{Fault, Gap, Reset, Sensor, Snapshot};
use thermowell_wire::subject::stream::{COMMAND, EVENT, FEED, LEASE, SAMPLES, SNAPSHOT, STATE, STATUS};
use thermowell_wire::subject::{self, wildcard};

use super::User;

/// The account of a user. Accounts of nats-server share only the subjects that one exports and the other imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The streams, the roles, and every user that publishes.
    Plant,
    /// Programs that only read.
    People,
}

impl Account {
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
/// Streams whose last message per subject PLANT exports to PEOPLE, by direct get.
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

/// All of our streams.
pub const STREAMS: [&str; 8] = [SAMPLES, FEED, STATUS, STATE, SNAPSHOT, LEASE, COMMAND, EVENT];

/// The rights of one kind of user, apart from subscribing to its own replies.
#[derive(Clone, Copy, Debug)]
struct Rights {
    /// A comment for permissions.conf.
    purpose: &'static str,
    /// Subjects to publish to, of every boiler.
    publish: &'static [&'static str],
    /// Kinds of events to publish.
    events: &'static [EventKind],
    /// Subjects to subscribe to.
    subscribe: &'static [&'static str],
    /// Streams whose configuration it reads.
    info: &'static [&'static str],
    /// Streams whose messages it reads one by one, in the server's JSON.
    get: &'static [&'static str],
    /// Streams whose messages it reads one by one, raw. Not for people.
    direct_get: &'static [&'static str],
    /// Streams that it follows with a consumer. Not for people.
    consume: &'static [&'static str],
    /// Streams that it creates if they are missing.
    create: &'static [&'static str],
    /// Streams whose configuration it updates.
    update: &'static [&'static str],
    /// Streams that it deletes.
    delete: &'static [&'static str],
}

const NOTHING: Rights = Rights {
    purpose: "",
    publish: &[],
    events: &[],
    subscribe: &[],
    info: &STREAMS,
    get: &[],
    direct_get: &[],
    consume: &[],
    create: &[],
    update: &[],
    delete: &[],
};

const AGENT: Rights = Rights {
    purpose: "reads the serial lines, publishes the samples, sends leases and resets to the boilers",
    publish: &[wildcard::SAMPLES, wildcard::STATUS, wildcard::RESET],
    events: &[Boot, Gap, Fault, Answer, Delivery, Clock, Approval, Reset, Sensor],
    subscribe: &[wildcard::APPROVAL, wildcard::RESET],
    get: &[SAMPLES, COMMAND, EVENT],
    direct_get: &[SAMPLES],
    consume: &[LEASE, COMMAND],
    create: &STREAMS,
    update: &[SAMPLES, STATUS, COMMAND, EVENT],
    ..NOTHING
};

const AGGREGATOR: Rights = Rights {
    purpose: "averages, hourly snapshots and the feed",
    publish: &[wildcard::STATE, wildcard::SNAPSHOT, wildcard::FEED],
    events: &[Snapshot],
    get: &[SAMPLES, STATE, SNAPSHOT, FEED],
    consume: &[SAMPLES],
    create: &STREAMS,
    update: &[FEED, STATE, SNAPSHOT],
    ..NOTHING
};

const CONTROLLER: Rights = Rights {
    purpose: "the only author of set-points",
    publish: &[wildcard::LEASE],
    events: &[Decision],
    subscribe: &[wildcard::STATE, wildcard::STATUS, wildcard::COMMAND],
    get: &[STATE, STATUS, LEASE, COMMAND, EVENT],
    consume: &[COMMAND, EVENT],
    create: &STREAMS,
    update: &[LEASE],
    ..NOTHING
};

/// [`publishes`] adds the approvals under the operator's own name.
const OPERATOR: Rights = Rights {
    purpose: "a person who gives commands and approves resets",
    publish: &[wildcard::COMMAND],
    events: &[Command, Approval],
    get: &[STATE, STATUS, COMMAND, EVENT],
    ..NOTHING
};

const READER: Rights = Rights {
    purpose: "programs that read: dashboards, thermostats, your own",
    subscribe: &[EXPORTED_MESSAGES],
    info: &[],
    ..NOTHING
};

const INSPECTOR: Rights =
    Rights { purpose: "reads stored messages: `check`, `verify`, `boiler list`", get: &STREAMS, ..NOTHING };

const INSTALLER: Rights = Rights {
    purpose: "creates, changes and deletes streams: `boiler retire`",
    events: &[Boiler],
    get: &STREAMS,
    create: &STREAMS,
    update: &STREAMS,
    delete: &STREAMS,
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

/// The purpose of `user`, in one line.
#[must_use]
pub fn purpose(user: &User) -> &'static str {
    rights(user).purpose
}

/// Whether `user` updates the configuration of `stream`.
#[must_use]
pub fn changes(user: &User, stream: &str) -> bool {
    rights(user).update.contains(&stream)
}

/// Every subject that `user` may publish to: ours, and the server's JetStream API.
#[must_use]
pub fn publishes(user: &User) -> Vec<String> {
    let rights = rights(user);
    let mut subjects: Vec<String> = rights.publish.iter().map(|subject| (*subject).to_owned()).collect();
    if let User::Operator(name) = user
        && let Ok(name) = name.parse()
    {
        subjects.push(subject::approvals_of(&name).to_string());
    }
    subjects.extend(rights.events.iter().map(|kind| subject::events(*kind).to_string()));
    let api: [(&[&str], &[&str]); 7] = [
        (rights.info, &["STREAM.INFO.{}"]),
        (rights.get, &["STREAM.MSG.GET.{}"]),
        (rights.direct_get, &["DIRECT.GET.{}", "DIRECT.GET.{}.>"]),
        (
            rights.consume,
            &["CONSUMER.CREATE.{}", "CONSUMER.CREATE.{}.>", "CONSUMER.INFO.{}.*", "CONSUMER.MSG.NEXT.{}.*"],
        ),
        (rights.create, &["STREAM.CREATE.{}"]),
        (rights.update, &["STREAM.UPDATE.{}"]),
        (rights.delete, &["STREAM.DELETE.{}"]),
    ];
    for (streams, calls) in api {
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
    let mut subjects: Vec<String> = rights(user).subscribe.iter().map(|subject| (*subject).to_owned()).collect();
    subjects.push(format!("{}.>", user.inbox()));
    if account(user) == Account::People {
        // The default of every client library. In PEOPLE all replies are to readers.
        subjects.push("_INBOX.>".to_owned());
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_users() -> Vec<User> {
        User::ROLES.into_iter().chain(["anna", "ben"].map(|name| User::Operator(name.to_owned()))).collect()
    }

    fn writers(subject: &str) -> Vec<String> {
        let may_write = |user: &User| publishes(user).iter().any(|own| own == subject);
        all_users().iter().filter(|user| may_write(user)).map(User::to_string).collect()
    }

    #[test]
    fn subjects_that_act_on_a_boiler_have_one_author() {
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

    /// An empty response deletes a stream, and a raw message is a lease: the server sends both to any reply subject.
    #[test]
    fn people_in_plant_get_responses_in_json_only() {
        let roles = [User::Agent, User::Aggregator, User::Controller];
        let people = all_users().into_iter().filter(|user| account(user) == Account::Plant && !roles.contains(user));
        for user in people {
            for subject in publishes(&user).iter().filter(|subject| subject.starts_with("$JS.")) {
                let calls =
                    ["INFO", "MSG.GET", "CREATE", "UPDATE", "DELETE"].map(|call| format!("$JS.API.STREAM.{call}."));
                assert!(calls.iter().any(|call| subject.starts_with(call)), "{user}: {subject}");
            }
        }
    }

    /// A wider wildcard than those of the table would let a user publish to another's subjects.
    #[test]
    fn open_wildcards_are_for_the_api_only() {
        for user in all_users() {
            for subject in publishes(&user) {
                let is_open = subject.ends_with('>');
                assert!(!is_open || subject.starts_with("$JS.API."), "{user}: {subject}");
            }
        }
    }

    /// The accounts share new messages and the last message of a subject: nothing that changes a stream.
    #[test]
    fn reader_can_request_last_messages_only() {
        assert_eq!(account(&User::Reader), Account::People);
        let asks = publishes(&User::Reader);
        assert_eq!(asks, exported_services());
        assert!(asks.iter().all(|subject| subject.starts_with("$JS.API.DIRECT.GET.") && subject.ends_with(".>")));
        assert!(all_users().iter().filter(|user| account(user) == Account::People).eq([&User::Reader]));
    }

    #[test]
    fn users_subscribe_to_their_own_replies_only() {
        for user in all_users() {
            let inboxes = subscribes(&user).into_iter().filter(|subject| subject.starts_with("_INBOX"));
            let inboxes: Vec<String> =
                inboxes.filter(|inbox| account(&user) == Account::Plant || inbox != "_INBOX.>").collect();
            assert_eq!(inboxes, [format!("_INBOX_{user}.>")]);
        }
    }
}
