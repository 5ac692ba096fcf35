//! Whether HTTP is at an address of this machine, and open to other ones. It is read only and has no login.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Warning};
use super::finding::of;
use crate::config::Http;

pub(super) fn check(http: &Http) -> Vec<Finding> {
    let find = of("http.listen");
    let listeners = [
        ("front", http.front),
        ("agent", http.agent),
        ("aggregator", http.aggregator),
        ("controller", http.controller),
    ];
    let on: Vec<_> = listeners.into_iter().filter_map(|(key, address)| Some((key, address?))).collect();
    if on.is_empty() {
        return vec![find(Skipped, "every listener is off".to_owned())];
    }
    let absent = on.iter().filter(|(_, address)| !is_here(address)).map(|(key, address)| {
        let message = format!("{key} = \"{address}\": this machine does not have this address");
        find(Error, message).advise("set an address of this machine in [http], or \"0.0.0.0:PORT\" for all of them")
    });
    let absent: Vec<Finding> = absent.collect();
    if !absent.is_empty() {
        return absent;
    }
    let open: Vec<_> = on.iter().filter(|(_, address)| !address.ip().is_loopback()).collect();
    if open.is_empty() {
        return vec![find(Fine, "every listener is for this machine only".to_owned())];
    }
    let finding = |(key, address): &&(&str, SocketAddr)| {
        let message = format!("{key} = \"{address}\": other machines can read it, without a login");
        let local = format!("{key} = \"127.0.0.1:{}\"", address.port());
        find(Warning, message).advise(format!(
            "if that is not meant, set {local} in [http]; from elsewhere: ssh -L {0}:127.0.0.1:{0} HOST",
            address.port()
        ))
    };
    open.iter().map(finding).collect()
}

/// The port may be in use: by ourselves.
fn is_here(address: &SocketAddr) -> bool {
    let bound = TcpListener::bind((address.ip(), 0));
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn found(http: &str) -> Vec<Finding> {
        let text = format!("[http]\n{http}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"");
        check(&Config::parse(&text, "t.toml").unwrap().http)
    }

    #[test]
    fn address_of_another_machine_is_an_error() {
        // TEST-NET-1 of RFC 5737.
        let found = found("front = \"192.0.2.1:80\"");
        assert_eq!((found.len(), found[0].status), (1, Error));
        assert_eq!(found[0].message, "front = \"192.0.2.1:80\": this machine does not have this address");
    }

    #[test]
    fn listener_for_other_machines_is_a_warning() {
        assert_eq!(found("")[0].status, Fine);
        let open = found("front = \"0.0.0.0:8080\"\nagent = \"[::1]:8081\"");
        assert_eq!((open.len(), open[0].status), (1, Warning));
        assert!(open[0].message.starts_with("front = \"0.0.0.0:8080\""));
        assert!(open[0].advice.as_ref().unwrap().contains("set front = \"127.0.0.1:8080\" in [http]"));
        let off = "front = \"off\"\nagent = \"off\"\naggregator = \"off\"\ncontroller = \"off\"";
        assert_eq!(found(off)[0].status, Skipped);
    }
}
