//! The permissions as nats-server reads them. The rights are decided in `nats::rights`; this is their spelling.

use crate::nats::User;
use crate::nats::rights::{self, Account};

const HEAD: &str = "\
# Written by `thermowell keys`, which writes it anew each time: change nothing here. Users of your own belong into
# others.conf beside it, `{ user: ... }` or `{ nkey: ... }` each, as nats-server writes them; then run it again.
#
# Keys are public ones. Who has no key here is not let in, and everybody may do what is written here and no more.
accounts {
";

/// The file, with the text of `others` in the list of the plant's users.
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

/// What one account gives and the other takes.
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
