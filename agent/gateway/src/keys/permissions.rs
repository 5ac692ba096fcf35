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
    let mut accounts: Vec<&str> = Vec::new();
    for (account, ..) in &users {
        if !accounts.contains(&account.as_str()) {
            accounts.push(account);
        }
    }
    let mut text = HEAD.to_owned();
    for name in accounts {
        let mut borders = Borders::default();
        users.iter().for_each(|(account, user, _)| borders.add(name, account, user));
        text += &format!("    {name}: {{\n");
        if name == PLANT {
            text += "        jetstream: enabled\n";
        }
        text += &listed("exports", &borders.exports);
        text += &listed("imports", &borders.imports);
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

/// What one account exports and imports, in nats-server's syntax.
#[derive(Default)]
struct Borders {
    exports: BTreeSet<String>,
    imports: BTreeSet<String>,
}

impl Borders {
    /// Adds to the borders of `name` what `user` of `account` needs.
    fn add(&mut self, name: &str, account: &str, user: &User) {
        if account == PLANT {
            return;
        }
        for subject in rights::publishes(user) {
            let origin = rights::in_plant(&subject);
            if name == PLANT {
                self.exports.insert(format!("{{ service: \"{origin}\" }}"));
            } else if name == account {
                let import = format!("{{ service: {{ account: {PLANT}, subject: \"{origin}\" }}, to: \"{subject}\" }}");
                self.imports.insert(import);
            }
        }
        // Readers receive what is published in PLANT, and what people publish, from each author's account.
        let stream =
            |account: &str, subject: &str| format!("{{ stream: {{ account: {account}, subject: \"{subject}\" }} }}");
        for subject in rights::messages(user) {
            if name == account {
                self.exports.insert(format!("{{ stream: \"{subject}\" }}"));
            } else if name == PEOPLE {
                self.imports.insert(stream(account, &subject));
            }
        }
        if name == PLANT {
            self.exports.insert(format!("{{ stream: \"{}\" }}", wildcard::ALL));
        } else if name == PEOPLE {
            self.imports.insert(stream(PLANT, wildcard::ALL));
        }
    }
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
