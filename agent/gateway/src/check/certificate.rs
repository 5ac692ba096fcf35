//! When the certificates of the connection to the server end.

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::finding::of;
use crate::config::Nats;
use crate::nats::certificate;
use crate::quantity::{moment, unix};

const DAY: i64 = 86_400;
/// Days that are left: below the first it is a warning, below the second an error.
const DAYS: [i64; 2] = [30, 7];

/// `server` is when the server's own certificate ends, if its monitor reports that.
pub(super) fn check(nats: &Nats, server: Option<i64>, now_s: i64) -> Vec<Finding> {
    let find = of("nats.certificate");
    let Some(tls) = &nats.tls else { return vec![find(Skipped, "the connection is not encrypted".to_owned())] };
    let mut found: Vec<Finding> = Vec::new();
    for file in [&tls.cert, &tls.ca].into_iter().flatten() {
        let name = file.display().to_string();
        // Whether the file is usable is a matter of the login.
        match certificate::end_of_file(file) {
            Some(end) => found.push(judge(&name, end, now_s)),
            None => found.push(find(Unknown, format!("{name} cannot be read here"))),
        }
    }
    match server {
        Some(end) => found.push(judge("the server's certificate", end, now_s)),
        None if found.is_empty() => {
            found.push(find(Unknown, "the server's monitor does not report when its certificate ends".to_owned()));
        }
        None => {}
    }
    found
}

fn judge(name: &str, end: i64, now_s: i64) -> Finding {
    let days = (end - now_s).div_euclid(DAY);
    let when = moment(unix(end));
    let (status, message) = match days {
        days if days < 0 => (Error, format!("{name} has ended on {when}")),
        days if days < DAYS[1] => (Error, format!("{name} ends in {days} days, on {when}")),
        days if days < DAYS[0] => (Warning, format!("{name} ends in {days} days, on {when}")),
        days => return of("nats.certificate")(Fine, format!("{name} ends in {days} days")),
    };
    let advice = "renew it; a client reads its files again at the next connection, nats-server after a reload";
    of("nats.certificate")(status, message).advise(advice).fix(&["systemctl", "reload", "thermowell-nats"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn certificate_that_ends_soon_is_found() {
        let status = |days: i64| judge("it", 1_800_000_000, 1_800_000_000 - days * DAY).status;
        assert_eq!([30, 29, 7, 6, -1].map(status), [Fine, Warning, Warning, Error, Error]);
        let late = judge("/etc/thermowell/gateway.pem", 1_800_000_000, 1_800_000_000 - 6 * DAY);
        assert_eq!(late.message, "/etc/thermowell/gateway.pem ends in 6 days, on 2027-01-15T08:00:00Z");
        assert!(late.advice.unwrap().starts_with("renew it"));
    }

    #[test]
    fn connection_without_tls_has_no_certificate() {
        let nats = |text: &str| {
            Config::parse(&format!("[nats]\n{text}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\""), "t").unwrap().nats
        };
        assert_eq!(check(&nats(""), None, 0)[0].status, Skipped);
        let tls = nats("url = \"tls://nats.example\"");
        assert_eq!(check(&tls, None, 0)[0].status, Unknown);
        assert_eq!(check(&tls, Some(DAY * 3), 0)[0].status, Error);
        let absent = check(&nats("tls.ca = \"/absent\""), Some(DAY * 300), 0);
        assert_eq!(absent.iter().map(|it| it.status).collect::<Vec<_>>(), [Unknown, Fine]);
    }

    #[test]
    fn certificate_that_is_a_fifo_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("ca.pem");
        crate::regular::fifo(&pipe);
        let text = format!("nats.tls.ca = \"{}\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"", pipe.display());
        let found = check(&Config::parse(&text, "t").unwrap().nats, None, 0);
        assert_eq!(found[0].status, Unknown);
    }
}
