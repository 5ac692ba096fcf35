//! Whether HTTP is open to other machines. It is read only and has no login.

use super::Finding;
use super::Status::{Ok as Fine, Skipped, Warning};
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
    let open: Vec<_> = on.iter().filter(|(_, address)| !address.ip().is_loopback()).collect();
    if open.is_empty() {
        return vec![find(Fine, "every listener is for this machine only".to_owned())];
    }
    let finding = |(key, address): &&(&str, std::net::SocketAddr)| {
        let message = format!("{key} = \"{address}\": other machines can read it, without a login");
        let local = format!("{key} = \"127.0.0.1:{}\"", address.port());
        find(Warning, message).advise(format!(
            "if that is not meant, set {local} in [http]; from elsewhere: ssh -L {0}:127.0.0.1:{0} HOST",
            address.port()
        ))
    };
    open.iter().map(finding).collect()
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
