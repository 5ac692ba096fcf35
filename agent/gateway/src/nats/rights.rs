//! The rights of each user on the server, from which `thermowell keys` makes the accounts of nats-server.
//!
//! | user | publishes | reads | owns |
//! |---|---|---|---|
//! | agent | samples, status, resets, its events | leases, commands, approvals | SAMPLES, STATUS, COMMAND, EVENT |
//! | aggregator | state, snapshots, feed | samples | FEED, STATE, SNAPSHOT |
//! | controller | **set-points**, decisions | state, status, commands, temperatures of sources | LEASE, AMBIENT |
//! | operator | commands, approvals, *under their own name* | state, status, commands | – |
//! | source | the room and outdoor temperatures for which the configuration names it | – | – |
//! | front | nothing | stored messages of eight streams | – |
//! | reader | nothing | new messages; the last messages of six streams | – |
//! | inspector | nothing | stored messages | – |
//! | installer | decisions about a boiler as a whole | stored messages | all |
//!
//! | account | users | imports |
//! |---|---|---|
//! | PLANT | the roles; it has the streams | – |
//! | PEOPLE | front, reader, inspector | new messages; requests that only read |
//! | one for each operator and source, and the installer's | that user | what this user may publish |
//!
//! Why accounts: the server sends its responses to any reply subject that a request names, without checking permissions
//! for it. Within PLANT, a response can be directed into a boiler's samples, or to the subject that purges a stream. A
//! response to a request from another account stays in that account, except that it can cross the border again where
//! that account imports the subject: from an account that imports direct gets and `STREAM.DELETE`, an empty response
//! deleted a stream. So an account imports only what each of its users may publish
//! (`tests/rig/tests/system/accounts.rs`).
//!
//! * Requests to the streams have the prefix `plant.api` instead of `$JS.API`: under that name the server itself
//!   responds to the other accounts that they have no streams (error 10039). Only direct gets of the last message of a
//!   subject keep their name, for any client of a reader.
//! * Commands, approvals and people's events have the same name in all accounts. The stream's acknowledgement is the
//!   response. PEOPLE imports them from their authors' accounts, because the server does not pass a message on to a
//!   third account.
//!
//! No user of PEOPLE creates consumers: the subject to which one delivers is a reply subject in PLANT, and so a forged
//! message there. They read stored messages by requests for one message.
//!
//! Remaining risk: roles, and the users of others.conf, can direct responses to any subject of PLANT, so they are
//! trusted. A user of PEOPLE can direct a response to another's subscription there: what is stored in the streams is
//! proof, what was received live is not.
//!
//! Each role may **create** every stream, because the first role to start after a power cut must find the system
//! complete: a newly created stream can be lost in a power cut, and memory streams are gone after each restart of the
//! server. An existing stream is **updated** only by its owner; the others wait for that.
//!
//! Subjects are for all boilers: another boiler in the configuration needs no new permissions, except of its sources.
//! These have exact subjects, because AMBIENT is small: with made-up boilers one source would push out all others.

use thermowell_wire::subject::EventKind::{self, Answer, Approval, Boiler, Boot, Clock, Command, Decision, Delivery};
use thermowell_wire::subject::EventKind::{Fault, Gap, Reset, Sensor, Snapshot};
use thermowell_wire::subject::stream::{AMBIENT, COMMAND, EVENT, FEED, LEASE, SAMPLES, SNAPSHOT, STATE, STATUS};
use thermowell_wire::subject::{self, wildcard};

use super::User;

/// The account of the streams and the roles, and the name of the folder of its streams.
pub const PLANT: &str = "PLANT";
/// The account of those who only read.
pub const PEOPLE: &str = "PEOPLE";

/// The account of `user`. Accounts of nats-server share only the subjects that one exports and the other imports.
#[must_use]
pub fn account(user: &User) -> String {
    match user {
        User::Agent | User::Aggregator | User::Controller => PLANT.to_owned(),
        User::Front | User::Reader | User::Inspector => PEOPLE.to_owned(),
        User::Operator(_) | User::Source { .. } | User::Installer => user.to_string(),
    }
}

/// The server's prefix of requests to streams.
pub const PLANT_API: &str = "$JS.API";
/// The prefix under which other accounts import these requests.
pub const PEOPLE_API: &str = "plant.api";

/// The prefix of requests to streams by `user`.
#[must_use]
pub fn api(user: &User) -> &'static str {
    if account(user) == PLANT { PLANT_API } else { PEOPLE_API }
}

/// The name in PLANT of a subject that another account imports.
#[must_use]
pub fn in_plant(subject: &str) -> String {
    subject.replacen(PEOPLE_API, PLANT_API, 1)
}

/// All of our streams.
pub const STREAMS: [&str; 9] = [SAMPLES, FEED, STATUS, STATE, SNAPSHOT, LEASE, COMMAND, EVENT, AMBIENT];

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
    /// Streams whose messages it reads one by one, raw.
    direct_get: &'static [&'static str],
    /// Streams of which it reads the last messages of many subjects at once.
    last_of_each: &'static [&'static str],
    /// Streams of which it reads the last message of a subject, raw.
    last: &'static [&'static str],
    /// Streams that it follows with a consumer.
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
    last_of_each: &[],
    last: &[],
    consume: &[],
    create: &[],
    update: &[],
    delete: &[],
};

const AGENT: Rights = Rights {
    purpose: "reads the serial lines, publishes the samples, sends leases and resets to the boilers",
    publish: &[wildcard::SAMPLES, wildcard::STATUS, wildcard::RESET],
    events: &[Boot, Gap, Fault, Answer, Delivery, Clock, Approval, Reset, Sensor],
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
    get: &[SAMPLES, STATE, SNAPSHOT],
    last_of_each: &[STATE, SNAPSHOT, FEED],
    consume: &[SAMPLES],
    create: &STREAMS,
    update: &[FEED, STATE, SNAPSHOT],
    ..NOTHING
};

const CONTROLLER: Rights = Rights {
    purpose: "the only author of set-points",
    publish: &[wildcard::LEASE],
    events: &[Decision, Sensor],
    subscribe: &[wildcard::STATE, wildcard::STATUS],
    get: &[STATE, STATUS, LEASE, COMMAND, EVENT],
    consume: &[COMMAND, EVENT, AMBIENT],
    create: &STREAMS,
    update: &[LEASE, AMBIENT],
    ..NOTHING
};

/// [`publishes`] adds the commands and approvals under the operator's own name.
const OPERATOR: Rights = Rights {
    purpose: "a person who gives commands and approves resets",
    events: &[Command, Approval],
    get: &[STATE, STATUS, COMMAND],
    ..NOTHING
};

/// [`publishes`] adds the temperatures for which it is configured.
const SOURCE: Rights =
    Rights { purpose: "a source of room or outdoor temperatures outside of the boilers", info: &[], ..NOTHING };

/// It receives nothing: what another user of PEOPLE could forge is never shown.
const FRONT: Rights = Rights {
    purpose: "the dashboard",
    info: &[SAMPLES, SNAPSHOT, EVENT],
    get: &[SAMPLES, STATUS, STATE, SNAPSHOT, LEASE, COMMAND, EVENT, AMBIENT],
    ..NOTHING
};

const READER: Rights = Rights {
    purpose: "programs that read: dashboards, thermostats, your own",
    subscribe: &[wildcard::ALL],
    info: &[],
    last: &[STATE, STATUS, SNAPSHOT, LEASE, EVENT, AMBIENT],
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
        User::Source { .. } => SOURCE,
        User::Front => FRONT,
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
        subjects.extend([subject::commands_of(&name), subject::approvals_of(&name)].map(|own| own.to_string()));
    }
    if let User::Source { subjects: own, .. } = user {
        subjects.extend(own.iter().cloned());
    }
    subjects.extend(rights.events.iter().map(|kind| subject::events(*kind).to_string()));
    let api = api(user);
    let requests: [(&[&str], &[&str]); 8] = [
        (rights.info, &["STREAM.INFO.{}"]),
        (rights.get, &["STREAM.MSG.GET.{}"]),
        (rights.direct_get, &["DIRECT.GET.{}", "DIRECT.GET.{}.>"]),
        (rights.last_of_each, &["DIRECT.GET.{}"]),
        (
            rights.consume,
            &["CONSUMER.CREATE.{}", "CONSUMER.CREATE.{}.>", "CONSUMER.INFO.{}.*", "CONSUMER.MSG.NEXT.{}.*"],
        ),
        (rights.create, &["STREAM.CREATE.{}"]),
        (rights.update, &["STREAM.UPDATE.{}"]),
        (rights.delete, &["STREAM.DELETE.{}"]),
    ];
    for (streams, calls) in requests {
        for stream in streams {
            subjects.extend(calls.iter().map(|call| format!("{api}.{}", call.replace("{}", stream))));
        }
    }
    // Under the server's own prefix in all accounts.
    subjects.extend(rights.last.iter().map(|stream| format!("{PLANT_API}.DIRECT.GET.{stream}.>")));
    subjects
}

/// Every subject that `user` may subscribe to.
#[must_use]
pub fn subscribes(user: &User) -> Vec<String> {
    let mut subjects: Vec<String> = rights(user).subscribe.iter().map(|subject| (*subject).to_owned()).collect();
    subjects.push(format!("{}.>", user.inbox()));
    if *user == User::Reader {
        // The default of every client library.
        subjects.push("_INBOX.>".to_owned());
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_users() -> Vec<User> {
        let operators = ["anna", "ben"].map(|name| User::Operator(name.to_owned()));
        let hall = User::Source { name: "hall".to_owned(), subjects: vec!["boiler.b1.room.hall".to_owned()] };
        User::ROLES.into_iter().chain(operators).chain([hall]).collect()
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
        assert_eq!(writers("boiler.*.command.*.anna"), ["operator-anna"]);
        assert_eq!(writers("boiler.b1.room.hall"), ["source-hall"]);
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

    /// A wider wildcard than those of the table would let a user publish to another's subjects.
    #[test]
    fn open_wildcards_are_for_the_api_only() {
        for user in all_users() {
            for subject in publishes(&user).iter().filter(|subject| subject.ends_with('>')) {
                assert!(subject.starts_with(PLANT_API), "{user}: {subject}");
            }
        }
    }

    /// A response can be directed to every subject that its account imports: another's right would be a forged message.
    #[test]
    fn accounts_with_rights_to_write_have_one_user() {
        for user in all_users().iter().filter(|user| account(user) != PLANT) {
            let reads = ["plant.api.STREAM.INFO.", "plant.api.STREAM.MSG.GET.", "$JS.API.DIRECT.GET."];
            let is_read = |subject: &String| reads.iter().any(|read| subject.starts_with(read));
            let others = all_users().iter().filter(|other| account(other) == account(user)).count() - 1;
            assert!(others == 0 || publishes(user).iter().all(is_read), "{user}");
        }
        assert_eq!(in_plant("plant.api.STREAM.MSG.GET.COMMAND"), "$JS.API.STREAM.MSG.GET.COMMAND");
    }

    /// A consumer of PEOPLE could deliver into PLANT.
    #[test]
    fn users_outside_plant_create_no_consumers() {
        for user in all_users().iter().filter(|user| account(user) != PLANT) {
            assert!(publishes(user).iter().all(|subject| !subject.contains("CONSUMER")), "{user}");
        }
        assert_eq!(subscribes(&User::Front), ["_INBOX_front.>"]);
        assert!(publishes(&User::Front).iter().all(|subject| subject.starts_with("plant.api.STREAM.")));
    }

    #[test]
    fn reader_can_request_last_messages_only() {
        let is_last = |subject: &String| subject.starts_with("$JS.API.DIRECT.GET.") && subject.ends_with(".>");
        assert!(publishes(&User::Reader).iter().all(is_last));
    }

    #[test]
    fn users_subscribe_to_their_own_replies_only() {
        for user in all_users() {
            let inboxes = subscribes(&user).into_iter().filter(|subject| subject.starts_with("_INBOX_"));
            assert_eq!(inboxes.collect::<Vec<_>>(), [format!("_INBOX_{user}.>")]);
        }
    }
}
