//! Blanks secrets in a text that leaves this machine.
//!
//! | secret | how it is recognised |
//! |---|---|
//! | a seed of an nkey | `S`, one of `A C N O U X`, and 56 letters and digits of base 32 |
//! | a private key, credentials | between `-----BEGIN … -----` and `-----END …`, except a certificate |
//! | a token of a login | `eyJ`, and what follows with points |
//! | a password in an address | between `://` and `@` |
//! | a password or token as a value | after a key whose name ends in `password`, `pass`, `token`, `secret` or `seed` |
//!
//! Paths of files with secrets are kept: they are what a reader looks for.

/// What a secret is replaced by.
pub(super) const BLANK: &str = "(blanked)";
const KEYS: [&str; 5] = ["password", "pass", "token", "secret", "seed"];
/// A seed's letters after the first.
const SEED_REST: usize = 57;

/// The text without its secrets.
pub(super) fn blank(text: &str) -> String {
    let mut out = String::new();
    let mut is_block = false;
    for line in text.lines() {
        let begins = line.contains("-----BEGIN ") && !line.contains("CERTIFICATE");
        if begins && !is_block {
            out += BLANK;
            out.push('\n');
        }
        let is_secret = is_block || begins;
        is_block = (is_block || begins) && !line.contains("-----END ");
        if !is_secret {
            out += &words(&values(&addresses(line)));
            out.push('\n');
        }
    }
    out
}

/// Users and passwords of addresses.
fn addresses(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out += before;
        out += "://";
        let end = after.find(|c: char| c.is_whitespace() || "/\"',;)]".contains(c)).unwrap_or(after.len());
        let (address, behind) = after.split_at(end);
        match address.rsplit_once('@') {
            Some((_, host)) => out += &format!("{BLANK}@{host}"),
            None => out += address,
        }
        rest = behind;
    }
    out + rest
}

/// Values of keys that name a secret: `password = "x"`, `password: x`, `{ user: a, password: x }`.
fn values(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['=', ':']) {
        let (before, after) = rest.split_at(at);
        let is_end = |c: char| c.is_whitespace() || "\"'{,(".contains(c);
        let key = before.trim_end().trim_end_matches(['"', '\'']);
        let key = key.rsplit(is_end).next().unwrap_or_default().to_lowercase();
        out += before;
        let mut letters = after.chars();
        out.extend(letters.next());
        rest = letters.as_str();
        // An address is not a value of the word before its colon.
        if !KEYS.iter().any(|name| key.ends_with(name)) || rest.starts_with("//") {
            continue;
        }
        let value = rest.trim_start();
        out += &rest[..rest.len() - value.len()];
        let quoted = value.chars().next().filter(|c| ['"', '\''].contains(c));
        let end = match quoted {
            Some(quote) => value[1..].find(quote).map_or(value.len(), |at| at + 2),
            None => value.find(|c: char| c.is_whitespace() || ",}".contains(c)).unwrap_or(value.len()),
        };
        if end > 0 {
            out += BLANK;
        }
        rest = &value[end..];
    }
    out + rest
}

/// Seeds and tokens, wherever they stand.
fn words(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut out = String::new();
    let mut rest = line;
    while let Some(begin) = rest.find(is_part) {
        let (before, after) = rest.split_at(begin);
        let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
        let (word, behind) = after.split_at(end);
        out += before;
        out += if is_seed(word) || is_token(word) { BLANK } else { word };
        rest = behind;
    }
    out + rest
}

fn is_seed(word: &str) -> bool {
    // A seed may be part of a longer word, such as a file's name.
    let bytes = word.as_bytes();
    let is_base32 = |byte: &u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte);
    bytes
        .windows(SEED_REST + 1)
        .any(|part| part[0] == b'S' && b"ACNOUX".contains(&part[1]) && part[1..].iter().all(is_base32))
}

fn is_token(word: &str) -> bool {
    word.starts_with("eyJ") && word.matches('.').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_and_the_rest_is_kept() {
        let seed = nkeys::KeyPair::new_user().seed().unwrap();
        for (text, expected) in [
            (format!("the key {seed}, and more"), "the key (blanked), and more".to_owned()),
            (format!("seed: {seed}\n"), "seed: (blanked)".to_owned()),
            ("url = \"nats://anna:geheim@host:4222\"".to_owned(), "url = \"nats://(blanked)@host:4222\"".to_owned()),
            (
                "nats://host:4222, mqtt://u:p@[::1]:1 x".to_owned(),
                "nats://host:4222, mqtt://(blanked)@[::1]:1 x".to_owned(),
            ),
            ("password = \"a b\" # the".to_owned(), "password = (blanked) # the".to_owned()),
            ("{ user: anna, password: geheim }".to_owned(), "{ user: anna, password: (blanked) }".to_owned()),
            ("{\"token\":\"abc\",\"n\":1}".to_owned(), "{\"token\":(blanked),\"n\":1}".to_owned()),
            ("password_file = \"/etc/a.password\"".to_owned(), "password_file = \"/etc/a.password\"".to_owned()),
            (
                "-----BEGIN USER NKEY SEED-----\nSU\n------END USER NKEY SEED------\nx".to_owned(),
                "(blanked)\nx".to_owned(),
            ),
            ("a\n-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----".to_owned(), "a\n(blanked)".to_owned()),
            ("-----BEGIN PRIVATE KEY-----\nMC4C, cut short".to_owned(), "(blanked)".to_owned()),
            ("-----BEGIN CERTIFICATE-----\nMIIB".to_owned(), "-----BEGIN CERTIFICATE-----\nMIIB".to_owned()),
            ("jwt eyJ0eXAi.eyJqdGki.x-_y end".to_owned(), "jwt (blanked) end".to_owned()),
            (
                "at 12:04:10 the port = \"/dev/thermowell-b1\"".to_owned(),
                "at 12:04:10 the port = \"/dev/thermowell-b1\"".to_owned(),
            ),
            ("password = ".to_owned(), "password = ".to_owned()),
            ("pass: \"ä".to_owned(), "pass: (blanked)".to_owned()),
        ] {
            assert_eq!(blank(&text), expected + "\n", "{text}");
        }
        assert_eq!(blank(""), "");
    }
}
