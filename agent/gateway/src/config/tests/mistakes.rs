//! Common mistakes and their error messages.

use super::{ONE, refusal};
use crate::config::{Config, ConfigError};

/// Each is followed by one valid boiler; its message must be the only one.
const LINES: &[(&str, &str)] = &[
    ("boilers = 1", "1:1: boilers: unknown key; did you mean \"boiler\"?"),
    (
        "serial.baud = \"115200\"",
        "1:15: serial.baud = \"115200\": a text, expected a whole number; write 115200 without quotes; \
         allowed are 38400, 57600, 115200, 230400, 460800, 921600",
    ),
    (
        "serial.baud = 115200.0",
        "1:15: serial.baud = 115200.0: not a whole number; allowed are 38400, 57600, 115200, 230400, 460800, 921600",
    ),
    (
        "batch.samples = \"100\"",
        "1:17: batch.samples = \"100\": a text, expected a whole number; write 100 without quotes; \
         allowed are 1 to 1000",
    ),
    (
        "batch.samples = 99999999999999999999",
        "1:17: batch.samples = 99999999999999999999: out of range, allowed are 1 to 1000",
    ),
    (
        "feed.enabled = \"true\"",
        "1:16: feed.enabled = \"true\": a text, expected a boolean; write true without quotes; \
         allowed are true and false",
    ),
    (
        "feed.enabled = yes",
        "1:16: not TOML: yes is not a boolean; write true or false, in lower case and without quotes",
    ),
    (
        "feed.enabled = True",
        "1:16: not TOML: True is not a boolean; write true or false, in lower case and without quotes",
    ),
    ("control.kp = 0,5", "1:15: not TOML: a decimal comma; write a decimal point, as in 0.5"),
    (
        "control.lease = \"1,5 min\"",
        "1:17: control.lease = \"1,5 min\": a decimal comma; write a decimal point, as in \"1.5\"; allowed \
         are 10 s to 2 min",
    ),
    (
        "control.flow_max = \"−5 °C\"",
        "1:20: control.flow_max = \"−5 °C\": a dash that is not a minus sign; write -, as in \"-5\"; allowed are \
         15 °C to 90 °C",
    ),
    ("batch.samples: 100", "1:16: not TOML: a colon; write `key = value`"),
    ("gateway = cellar", "1:11: not TOML: a text without quotes; write \"cellar\""),
    ("gateway = thermowell", "1:11: not TOML: a text without quotes; write \"thermowell\""),
    ("gateway = “cellar”", "1:11: not TOML: a typographic quote; write \"...\" with plain quotes"),
    ("gateway = \"cellar", "1:18: not TOML: a text without its closing quote on the same line"),
    ("spool.directory = true", "1:19: spool.directory = true: not a path in quotes, such as \"/var/lib/thermowell\""),
    (
        "spool.directory = \"C:\\spool\"",
        "1:23: not TOML: a backslash begins an escape; write \\\\, or '...' in single quotes",
    ),
    ("log.filter = [\"info\"]", "1:14: log.filter = [\"info\"]: a list, expected one text in quotes"),
    ("nats.url = nats://me:hunter2@h", "1:12: not TOML: a text without quotes; write \"...\""),
    (
        "nats.url = \"nats://a:4222,nats://b:4222\"",
        "1:12: nats.url = \"nats://a:4222,nats://b:4222\": several addresses, but [nats] takes one server: \
         the one that this gateway uses",
    ),
    (
        "nats.url = [\"nats://a\"]",
        "1:12: nats.url = [\"nats://a\"]: a list, but [nats] takes one server: write its address in quotes",
    ),
    (
        "nats.url = \"nats://a:4222/x\"",
        "1:12: nats.url = \"nats://a:4222/x\": an address ends with its port; remove /x",
    ),
    ("nats.url = \"nats://a: 4222\"", "1:12: nats.url = \"nats://a: 4222\": an address has no spaces"),
    (
        "nats.url = \"nats://::1:4222\"",
        "1:12: nats.url = \"nats://::1:4222\": an IPv6 address needs brackets, as in [::1]:4222",
    ),
    (
        "nats.monitor = \"http://a:8222/varz\"",
        "1:16: nats.monitor = \"http://a:8222/varz\": an address ends with its port; remove /varz",
    ),
    (
        "batch = [100]",
        "1:9: batch = [100]: not a table; write { key = value }, or its keys below a header of their own",
    ),
    ("[[batch]]\nsamples = 100", "1:1: [[batch]]: there is only one; write [batch], in one bracket"),
    (
        "control.curve = { outdoor = \"1 °C\", flow = \"30 °C\" }",
        "1:17: control.curve = { outdoor = \"1 °C\", flow = \"30 °C\" }: a table, expected a list of tables; \
         write [{ ... }]",
    ),
    ("[log]\nmonitor = \"http://a\"", "2:1: log.monitor: unknown key; did you mean monitor in [nats]?"),
    ("[log]\nnats = 1", "2:1: log.nats: unknown key; known here are filter"),
    ("[log]\ngateway = \"cellar\"", "2:1: log.gateway: unknown key; it belongs above the first [table]"),
    (
        "[[operator]]\nname = \"anna\"",
        "1:1: [[operator]]: a reset needs the approval of 2 different operators, but there are only 1: add \
         another, or set approvals = 1 for a single owner",
    ),
];

/// Keys and tables that are set twice, with both places.
const TWICE: &[(&str, &str)] = &[
    (
        "[batch]\nsamples = 1\n\n  [ batch ]\n",
        "4:5: [batch]: set twice, first at t.toml:1:2; put all of its keys below the first one",
    ),
    (
        "batch.samples = 1\n[log]\n[batch]\n",
        "3:2: [batch]: set twice, first at t.toml:1:1; put all of its keys below the first one",
    ),
    (
        "[nats.tls]\n[nats]\n[nats.tls]\n",
        "3:7: [nats.tls]: set twice, first at t.toml:1:2; put all of its keys below the first one",
    ),
    (
        "[nats]\ntls.first = true\n[nats.tls]\n",
        "3:7: [nats.tls]: set twice, first at t.toml:2:1; put all of its keys below the first one",
    ),
    ("[batch]\nsamples = 1\n\"samples\" = 2\n", "3:1: batch.samples: set twice, first at t.toml:2:1"),
    ("batch = { samples = 1, samples = 2 }\n", "1:24: samples: set twice, first at t.toml:1:11"),
    (
        "[boiler]\nid = \"b0\"\nport = \"/dev/a\"\n",
        "5:3: [[boiler]]: set twice, first at t.toml:1:2; write [[boiler]], in two brackets, at both places",
    ),
];

#[test]
fn common_mistakes_get_hints() {
    for (wrong, message) in LINES.iter().chain(TWICE) {
        assert_eq!(refusal(&format!("{wrong}\n{ONE}")), format!("t.toml:{message}"), "for {wrong}");
    }
}

#[test]
fn relative_path_is_refused_with_an_example() {
    for (key, example) in [
        ("nats.keys", "/etc/thermowell/keys"),
        ("nats.credentials", "/etc/thermowell/agent.creds"),
        ("nats.nkey_file", "/etc/thermowell/agent.nk"),
        ("nats.password_file", "/etc/thermowell/agent.password"),
        ("nats.tls.ca", "/etc/thermowell/ca.pem"),
        ("nats.tls.cert", "/etc/thermowell/gateway.pem"),
        ("nats.tls.key", "/etc/thermowell/gateway.key"),
        ("spool.directory", "/var/lib/thermowell"),
        ("clock.step_file", "/run/thermowell-clock-step"),
    ] {
        let expected = format!("{key} = \"x\": not an absolute path, such as \"{example}\"");
        let error = refusal(&format!("{key} = \"x\"\n{ONE}"));
        assert!(error.ends_with(&expected), "{error}");
    }
    let error = refusal("[[boiler]]\nid = \"b1\"\nport = \"ttyUSB0\"\n");
    let empty = refusal("[[boiler]]\nid = \"b1\"\nport = \"\"\n");
    assert!(empty.ends_with("boiler.port = \"\": not a path in quotes, such as \"/dev/thermowell-b1\""), "{empty}");
    assert!(error.starts_with("t.toml:3:8: ") && error.ends_with("such as \"/dev/thermowell-b1\""), "{error}");
}

#[test]
fn single_bracket_for_a_list_is_reported() {
    assert_eq!(
        refusal("[boiler]\nid = \"b1\"\nport = \"/dev/a\"\n"),
        "t.toml:1:1: [boiler]: there may be several; write [[boiler]], in two brackets"
    );
    assert_eq!(
        refusal(&format!("{ONE}gateway = \"cellar\"\n")),
        "t.toml:4:1: boiler.gateway: unknown key; it belongs above the first [table]"
    );
}

#[test]
fn other_encoding_is_reported_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (main, more) = (folder.path().join("t.toml"), folder.path().join("conf.d/a.toml"));
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let refused = || match Config::load(&main) {
        Err(error @ ConfigError::Refused(_)) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => "accepted".to_owned(),
    };
    let latin = [ONE.as_bytes(), b"# f\xfcr den Keller\n"].concat();
    let place = format!("{}:4:4: the byte 0xfc is not UTF-8, perhaps Latin-1; save the file as UTF-8", main.display());
    std::fs::write(&main, &latin).unwrap();
    assert_eq!(refused(), place);
    std::fs::write(&main, ONE).unwrap();
    std::fs::write(&more, b"\xfe\xff\0#").unwrap();
    assert_eq!(refused(), format!("{}:1:1: the file is UTF-16; save it as UTF-8", more.display()));
    std::fs::remove_file(&more).unwrap();
    for good in [format!("\u{feff}{ONE}"), ONE.replace('\n', "\r\n")] {
        std::fs::write(&main, good).unwrap();
        assert_eq!(refused(), "accepted");
    }
    std::fs::write(&main, ONE.replace('\n', "\r")).unwrap();
    assert!(refused().contains("a carriage return alone; save the file with Unix line ends"));
}

#[test]
fn unusable_path_is_reported_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("t.toml");
    let advice = || Config::load(&main).unwrap_err().advice().unwrap_or_default();
    assert!(advice().contains("--config"));
    std::fs::write(&main, ONE).unwrap();
    std::fs::create_dir_all(folder.path().join("conf.d/old.toml")).unwrap();
    assert!(advice().contains("conf.d/old.toml is a folder"));
}

#[test]
fn conflicting_types_in_two_files_are_reported() {
    let read = |second: &str| {
        let texts = [(ONE, "a.toml"), ("[nats]\n", "b.toml"), (second, "c.toml")];
        Config::checked(texts).unwrap_err().to_string()
    };
    assert_eq!(read("nats = \"nats://a\""), "c.toml:1:1: nats: a text here, and a table at b.toml:1:2");
    assert_eq!(
        read("[boiler]\n"),
        "c.toml:1:2: boiler: a table here, and a list at a.toml:1:3; write [[boiler]] in both places"
    );
}

#[test]
fn address_may_end_with_a_slash() {
    let config = Config::parse(&format!("nats.url = \"nats://h:7/\"\n{ONE}"), "t.toml").unwrap();
    assert_eq!((config.nats.url.as_str(), config.nats.address().port), ("nats://h:7", 7));
}
