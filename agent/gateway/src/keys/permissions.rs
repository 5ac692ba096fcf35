//! The permissions as nats-server reads them. The rights are decided in `nats::rights`; this is their spelling.

use crate::nats::{User, rights};

const HEAD: &str = "\
# Written by `thermowell keys`, which writes it anew each time: change nothing here. Users of your own belong into
# others.conf beside it, `{ user: ... }` or `{ nkey: ... }` each, as nats-server writes them; then run it again.
#
# Keys are public ones. Who has no key here is not let in, and everybody may do what is written here and no more.
authorization {
    users: [
";

/// The file, with the text of `others` in the same list.
pub(super) fn text<'a>(users: impl Iterator<Item = (&'a User, String)>, others: &str) -> String {
    let mut text = HEAD.to_owned();
    for (user, key) in users {
        text += &format!("        # {user}: {}\n", rights::purpose(user));
        text += &format!("        {{ nkey: {key}, permissions: {{\n");
        text += &allowed("publish", &rights::publishes(user));
        text += &allowed("subscribe", &rights::subscribes(user));
        text += "        } }\n";
    }
    for line in others.lines() {
        text += &format!("        {line}\n");
    }
    text + "    ]\n}\n"
}

/// An empty list would allow everything.
fn allowed(what: &str, subjects: &[String]) -> String {
    if subjects.is_empty() {
        return format!("            {what}: {{ deny: \">\" }}\n");
    }
    let mut text = format!("            {what}: {{ allow: [\n");
    for subject in subjects {
        text += &format!("                \"{subject}\"\n");
    }
    text + "            ] }\n"
}
