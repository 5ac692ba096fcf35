//! Renders the permissions in nats-server's syntax. The rights themselves are in `nats::rights`.

use std::collections::BTreeSet;

use thermowell_wire::subject::wildcard;

use crate::nats::User;
use crate::nats::rights::{self, PEOPLE, PLANT};

const HEAD: &str = "\
# Written by `thermowell keys`, which overwrites it: do not edit. Put users of your own into others.conf in the same
# folder, `{ user: ... }` or `{ nkey: ... }` each, in nats-server's syntax; then run it again.
#
# These are public keys. Clients without one of them are rejected, and each user may do only what is listed here.
accounts {
";

/// The file; the text of `others` goes into the list of PLANT's users.
pub(super) fn text<'a>(users: impl Iterator<Item = (&'a User, String)>, others: &str) -> String {
    let users: Vec<_> = users.map(|(user, key)| (rights::account(user), user, key)).collect();
    let accounts: BTreeSet<&str> = users.iter().map(|(account, ..)| account.as_str()).collect();
    let mut text = HEAD.to_owned();
    for name in accounts {
        text += &format!("    {name}: {{\n");
        if name == PLANT {
            text += "        jetstream: enabled\n";
        }
        text += &borders(name, &users);
        text += "        users: [\n";
        for (_, user, key) in users.iter().filter(|(account, ..)| account == name) {
            text += &format!("            # {user}: {}\n", rights::purpose(user));
            text += &format!("            {{ nkey: {key}, permissions: {{\n");
            text += &allowed("publish", &rights::publishes(user));
            text += &allowed("subscribe", &rights::subscribes(user));
            text += "            } }\n";
        }
        for line in others.lines().filter(|_| name == PLANT) {
            text += &format!("            {line}\n");
        }
        text += "        ]\n    }\n";
    }
    text + "}\n"
}

/// What the account `name` exports and imports, for the rights of these users in their accounts.
fn borders(name: &str, users: &[(String, &User, String)]) -> String {
    let (mut exports, mut imports) = (BTreeSet::new(), BTreeSet::new());
    if name == PLANT {
        exports.insert(format!("{{ stream: \"{}\" }}", wildcard::ALL));
    } else if name == PEOPLE {
        imports.insert(format!("{{ stream: {{ account: {PLANT}, subject: \"{}\" }} }}", wildcard::ALL));
    }
    for (account, user, _) in users.iter().filter(|(account, ..)| account != PLANT) {
        for subject in rights::publishes(user) {
            let (origin, is_message) = (rights::in_plant(&subject), subject.starts_with("boiler."));
            if name == PLANT {
                exports.insert(format!("{{ service: \"{origin}\" }}"));
            } else if name == account {
                let import = format!("{{ service: {{ account: {PLANT}, subject: \"{origin}\" }}, to: \"{subject}\" }}");
                imports.insert(import);
                exports.extend(is_message.then(|| format!("{{ stream: \"{subject}\" }}")));
            } else if name == PEOPLE && is_message {
                imports.insert(format!("{{ stream: {{ account: {account}, subject: \"{subject}\" }} }}"));
            }
        }
    }
    listed("exports", &exports) + &listed("imports", &imports)
}

fn listed(what: &str, lines: &BTreeSet<String>) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("            {line}\n")).collect();
    format!("        {what}: [\n{lines}        ]\n")
}

/// An empty list would allow everything.
fn allowed(what: &str, subjects: &[String]) -> String {
    if subjects.is_empty() {
        return format!("                {what}: {{ deny: \">\" }}\n");
    }
    let mut text = format!("                {what}: {{ allow: [\n");
    for subject in subjects {
        text += &format!("                    \"{subject}\"\n");
    }
    text + "                ] }\n"
}
