//! Renders the permissions in nats-server's syntax. The rights themselves are in `nats::rights`.

use crate::nats::User;
use crate::nats::rights::{self, Account};

const HEAD: &str = "\
# Written by `thermowell keys`, which overwrites it: do not edit. Put users of your own into others.conf in the same
# folder, `{ user: ... }` or `{ nkey: ... }` each, in nats-server's syntax; then run it again.
#
# These are public keys. Clients without one of them are rejected, and each user may do only what is listed here.
accounts {
";

/// The file; the text of `others` goes into the list of PLANT's users.
pub(super) fn text<'a>(users: impl Iterator<Item = (&'a User, String)>, others: &str) -> String {
    let users: Vec<_> = users.collect();
    let mut text = HEAD.to_owned();
    for account in Account::ALL {
        text += &format!("    {}: {{\n", account.name());
        text += &shared(account);
        text += "        users: [\n";
        for (user, key) in users.iter().filter(|(user, _)| rights::account(user) == account) {
            text += &format!("            # {user}: {}\n", rights::purpose(user));
            text += &format!("            {{ nkey: {key}, permissions: {{\n");
            text += &allowed("publish", &rights::publishes(user));
            text += &allowed("subscribe", &rights::subscribes(user));
            text += "            } }\n";
        }
        for line in others.lines().filter(|_| account == Account::Plant) {
            text += &format!("            {line}\n");
        }
        text += "        ]\n    }\n";
    }
    text + "}\n"
}

/// The exports of PLANT, or the imports of PEOPLE.
fn shared(account: Account) -> String {
    let (messages, services) = (rights::EXPORTED_MESSAGES, rights::exported_services());
    let (plant, people) = (Account::Plant.name(), Account::People.name());
    let mut text = String::new();
    match account {
        Account::Plant => {
            text += "        jetstream: enabled\n        exports: [\n";
            text += &format!("            {{ stream: \"{messages}\", accounts: [{people}] }}\n");
            for service in services {
                text += &format!("            {{ service: \"{service}\", accounts: [{people}] }}\n");
            }
        }
        Account::People => {
            text += "        imports: [\n";
            text += &format!("            {{ stream: {{ account: {plant}, subject: \"{messages}\" }} }}\n");
            for service in services {
                text += &format!("            {{ service: {{ account: {plant}, subject: \"{service}\" }} }}\n");
            }
        }
    }
    text + "        ]\n"
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
