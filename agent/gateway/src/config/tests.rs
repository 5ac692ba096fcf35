mod mistakes;

use std::fs;

use super::section::Findings;
use super::*;

const ONE: &str = "[[boiler]]\nid = \"b1\"\nport = \"/dev/ttyUSB0\"\n";

/// The error text.
fn refusal(text: &str) -> String {
    match Config::parse(text, "t.toml") {
        Ok(_) => format!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

const KEYS: &[(&str, &str)] = &[
    ("nats.sync_intervall = \"5 s\"", "1:6: nats.sync_intervall: unknown key; did you mean \"sync_interval\"?"),
    ("[contrl]\nenabled = true", "1:2: contrl: unknown key; did you mean \"control\"?"),
    ("batch.colour = 1", "1:7: batch.colour: unknown key; known here are samples"),
    (
        "[control]\nenabled = true",
        "1:1: control.emitter: missing; control needs what heats the rooms: \"radiators\", \"floor\" or \"fan-coil\"",
    ),
    ("clock = { speed = 60, epoch = { utc = \"2026-01-07T00:00:00Z\" } }", "1:31: clock.epoch.monotonic_ns: missing"),
];

const TYPES: &[(&str, &str)] = &[
    ("batch = 7", "1:9: batch = 7: not a table; write { key = value }, or its keys below a header of their own"),
    ("batch.samples = \"many\"", "1:17: batch.samples = \"many\": not a whole number; allowed are 1 to 1000"),
    ("feed.enabled = \"yes\"", "1:16: feed.enabled = \"yes\": not a boolean; allowed are true and false"),
    ("gateway = 7", "1:11: gateway = 7: a number, expected a text; write it in quotes, \"7\""),
    (
        "control.kp = \"8\"",
        "1:14: control.kp = \"8\": a text, expected a number; write 8 without quotes; allowed are 0 to 30",
    ),
    ("control.curve = 3", "1:17: control.curve = 3: not a list of tables"),
];

const UNITS: &[(&str, &str)] = &[
    (
        "nats.sync_interval = 10",
        "1:22: nats.sync_interval = 10: not a duration with its unit in quotes, such as \"100 ms\"; \
         allowed are 100 ms to 2 min",
    ),
    (
        "nats.credentials = \"/etc/a\\u0000b\"",
        "1:20: nats.credentials = \"/etc/a\\u0000b\": a path with the byte 0; expected one such as \
         \"/etc/thermowell/agent.creds\"",
    ),
    (
        "nats.sync_interval = \"10\"",
        "1:22: nats.sync_interval = \"10\": no unit; units of a duration are ms, s, min, h, d, as in \"100 ms\"; \
         allowed are 100 ms to 2 min",
    ),
    (
        "nats.sync_interval = \"10 parsecs\"",
        "1:22: nats.sync_interval = \"10 parsecs\": unknown unit \"parsecs\"; units of a duration are \
         ms, s, min, h, d, as in \"100 ms\"; allowed are 100 ms to 2 min",
    ),
    (
        "spool.memory = \"8 MB\"",
        "1:16: spool.memory = \"8 MB\": unknown unit \"MB\"; units of a size are B, KiB, MiB, GiB, TiB, \
         as in \"1 MiB\"; allowed are 1 MiB to 1 GiB",
    ),
    (
        "control.flow_max = \"70 K\"",
        "1:20: control.flow_max = \"70 K\": unknown unit \"K\"; units of a temperature are °C (or C), \
         as in \"15 °C\"; allowed are 15 °C to 90 °C",
    ),
    (
        "control.flow_max = \"hot\"",
        "1:20: control.flow_max = \"hot\": not a temperature, such as \"15 °C\"; allowed are 15 °C to 90 °C",
    ),
];

const RANGES: &[(&str, &str)] = &[
    ("batch.samples = 0", "1:17: batch.samples = 0: out of range, allowed are 1 to 1000"),
    ("batch.samples = 1001", "1:17: batch.samples = 1001: out of range, allowed are 1 to 1000"),
    ("batch.samples = 65537", "1:17: batch.samples = 65537: out of range, allowed are 1 to 1000"),
    ("clock.speed = -1", "1:15: clock.speed = -1: out of range, allowed are 1 to 1000"),
    (
        "control.emitter = \"convector\"",
        "1:19: control.emitter = \"convector\": not an emitter, allowed are \"radiators\", \"floor\" or \"fan-coil\"",
    ),
    ("control.k = 1.01", "1:13: control.k = 1.01: out of range, allowed are 0 to 1"),
    ("control.k = nan", "1:13: control.k = nan: out of range, allowed are 0 to 1"),
    ("control.lease = \"60.5 s\"", "1:17: control.lease = \"60.5 s\": not in whole seconds"),
    ("control.lease = \"121 s\"", "1:17: control.lease = \"121 s\": out of range, allowed are 10 s to 2 min"),
    ("streams.samples = \"1 KiB\"", "1:19: streams.samples = \"1 KiB\": out of range, allowed are 1 MiB to 1 TiB"),
    (
        "control.flow_max = \"90.01 °C\"",
        "1:20: control.flow_max = \"90.01 °C\": out of range, allowed are 15 °C to 90 °C",
    ),
    (
        "control.flow_max = \"60.005 °C\"",
        "1:20: control.flow_max = \"60.005 °C\": too many decimals; allowed are 15 °C to 90 °C",
    ),
    (
        "control.target = [{ from = \"24:00\", room = \"21 °C\" }]",
        "1:28: control.target.from = \"24:00\": not a time of day, allowed are \"00:00\" to \"23:59\"",
    ),
    (
        "control.target = []",
        "1:18: control.target = []: needs at least one step, such as { from = \"06:00\", room = \"21 °C\" }",
    ),
    (
        "control.timezone = \"CET+1\"",
        "1:20: control.timezone = \"CET+1\": not a time zone, expected a name of the IANA database, such as \
         \"Europe/Berlin\"",
    ),
    (
        "control.holidays = [\"25.12.2026\"]",
        "1:20: control.holidays = [\"25.12.2026\"]: \"25.12.2026\" is not a date, expected dates, such as \
         [\"2026-12-25\", \"2027-01-01\"]",
    ),
    (
        "control.target = [{ on = \"fri-mon\", from = \"06:00\", room = \"21 °C\" }]",
        "1:26: control.target.on = \"fri-mon\": not days, allowed are \"daily\", or some of mon, tue, wed, thu, fri, \
         sat, sun and holiday: \"mon-fri, holiday\"",
    ),
    (
        "control.absence = [{ from = \"2026-12-20\", until = \"2026-12-21T12:00\", room = \"15 °C\" }]",
        "1:29: control.absence.from = \"2026-12-20\": not a date and time, such as \"2026-12-20T16:00\"",
    ),
    (
        "serial.baud = 9600",
        "1:15: serial.baud = 9600: too slow: 100 samples a second of 20 bytes are 20000 bit/s, and a device uses \
         at most 80 % of the line; allowed are 38400, 57600, 115200, 230400, 460800, 921600",
    ),
    (
        "serial.baud = 115201",
        "1:15: serial.baud = 115201: not a rate of serial ports, \
         allowed are 38400, 57600, 115200, 230400, 460800, 921600",
    ),
    (
        "nats.url = \"localhost:4222\"",
        "1:12: nats.url = \"localhost:4222\": not a server's address, such as \"nats://127.0.0.1:4222\" or \
         \"tls://nats.example:4222\"",
    ),
    (
        "nats.url = \"nats://a:0\"",
        "1:12: nats.url = \"nats://a:0\": no port after the colon; allowed are 1 to 65535, and without a colon it is \
         4222",
    ),
    (
        "nats.credentials = \"b1.creds\"",
        "1:20: nats.credentials = \"b1.creds\": not an absolute path, such as \"/etc/thermowell/agent.creds\"",
    ),
    (
        "http.agent = \"localhost:0\"",
        "1:14: http.agent = \"localhost:0\": not an address of this machine with a port from 1 to 65535, such as \
         \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::1]:8080\", and not \"off\"",
    ),
    (
        "http.hosts = [\"cellar.local:8080\"]",
        "1:14: http.hosts = [\"cellar.local:8080\"]: not a list of names, such as [\"cellar.local\"]; a name has a-z, \
         A-Z, 0-9, '-' and '.', and no port",
    ),
    ("reset.approvals = 0", "1:19: reset.approvals = 0: out of range, allowed are 1 to 4"),
    (
        "operator = [{ name = \"Anna\" }]",
        "1:22: operator.name = \"Anna\": an operator's name has 1 to 32 characters of a-z, 0-9, '_' and '-', and \
         begins with a letter or a digit",
    ),
    (
        "operator = [{ name = \"anna\" }, { name = \"anna\" }]",
        "1:41: operator.name = \"anna\": already another operator's, at t.toml:1:22",
    ),
    (
        "log.filter = \"loud\"",
        "1:14: log.filter = \"loud\": not a filter, such as \"info\", \"warn,thermowell=debug\" or \"off\"; \
         levels are off, error, warn, info, debug, trace",
    ),
    (
        "clock = { speed = 60, epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:30:00Z\" } }",
        "1:57: clock.epoch.utc = \"2026-01-07T00:30:00Z\": not a full hour of UTC between 1970 and 2261, \
         such as \"2026-01-07T00:00:00Z\"",
    ),
];

const RELATIONS: &[(&str, &str)] = &[
    (
        "clock.speed = 60",
        "1:15: clock.speed = 60: a clock that is not real needs an epoch: \
         epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }",
    ),
    (
        "clock.epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }",
        "1:15: clock.epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }: \
         at speed 1 the calendar is the machine's, and an epoch has no meaning",
    ),
    (
        "control.renew = \"30 s\"",
        "1:17: control.renew = \"30 s\": a lease must be longer than two renewals, so that one may be lost: \
         1 min is not more than 2 × 30 s",
    ),
    (
        "nats.sync_interval = \"30 s\"",
        "1:22: nats.sync_interval = \"30 s\": spool.spill_after + 3 × nats.sync_interval must be less than the \
         2 min of the device's ring, but is 2 min",
    ),
    (
        "control = { emitter = \"floor\", flow_max = \"50 °C\" }",
        "1:43: control.flow_max = \"50 °C\": a heated floor takes at most 45.00 °C",
    ),
    ("control = { emitter = \"floor\", kp = 11 }", "1:37: control.kp = 11: a heated floor takes at most 10"),
    (
        "control = { emitter = \"floor\", curve = [{ outdoor = \"-10 °C\", flow = \"55 °C\" }, \
         { outdoor = \"15 °C\", flow = \"30 °C\" }] }",
        "1:40: control.curve = [{ outdoor = \"-10 °C\", flow = \"55 °C\" }, { outdoor = \"15 °C\"…: a heated floor \
         takes at most 45.00 °C",
    ),
    (
        "control.flow_min = \"75 °C\"",
        "1:20: control.flow_min = \"75 °C\": flow_min must be below flow_max, but 75.00 °C is not below 75.00 °C",
    ),
    (
        "operator = [{ name = \"anna\" }]",
        "1:12: operator = [{ name = \"anna\" }]: a reset needs the approval of 2 different operators, but there \
         are only 1: add another, or set approvals = 1 for a single owner",
    ),
    (
        "http.front = \"127.0.0.1:8082\"",
        "1:14: http.front = \"127.0.0.1:8082\": http.front and http.aggregator need different addresses",
    ),
    ("nats.user = \"agent\"", "1:13: nats.user = \"agent\": user and password_file must be set together"),
    ("nats.tls.cert = \"/a.pem\"", "1:17: nats.tls.cert = \"/a.pem\": cert and key must be set together"),
    (
        "nats.credentials = \"/a.creds\"\nnats.nkey_file = \"/a.nk\"",
        "2:18: nats.nkey_file = \"/a.nk\": only one login is allowed, and nats.credentials is set too",
    ),
    (
        "nats.keys = \"/keys\"\nnats.nkey_file = \"/a.nk\"",
        "2:18: nats.nkey_file = \"/a.nk\": only one login is allowed, and nats.keys is set too",
    ),
];

const SYNTAX: &[(&str, &str)] = &[
    ("batch.samples = ", "1:17: not TOML: no value after `=`; add one, or comment the line out with #"),
    ("batch.samples = 1\nbatch.samples = 2", "2:7: batch.samples: set twice, first at t.toml:1:7"),
];

/// Each wrong line is followed by one valid boiler: its message must be the only one.
#[test]
fn wrong_value_is_reported_with_place_and_allowed_values() {
    for (wrong, message) in [KEYS, TYPES, UNITS, RANGES, RELATIONS, SYNTAX].concat() {
        let expected = format!("t.toml:{message}");
        assert_eq!(refusal(&format!("{wrong}\n{ONE}")), expected, "for {wrong}");
    }
}

#[test]
fn boilers_have_valid_unique_ids_and_ports() {
    let table = [
        (
            "",
            "t.toml:1:1: boiler: missing; name each boiler as in\n    [[boiler]]\n    id = \"b1\"\n    \
             port = \"/dev/thermowell-b1\"",
        ),
        ("boiler = []", "t.toml:1:1: boiler: missing; at least one is needed"),
        ("boiler = 3", "t.toml:1:10: boiler = 3: not a list of tables"),
        ("[[boiler]]\nid = \"b1\"", "t.toml:1:1: boiler.port: missing"),
        (
            "[[boiler]]\nid = \"B 1\"\nport = \"/dev/a\"",
            "t.toml:2:6: boiler.id = \"B 1\": a boiler id has 1 to 32 characters of a-z, 0-9, '_' and '-', and begins \
             with a letter or a digit",
        ),
        (
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/b\"",
            "t.toml:5:6: boiler.id = \"b1\": already another boiler's, at t.toml:2:6",
        ),
        (
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[[boiler]]\nid = \"b2\"\nport = \"/dev/a\"",
            "t.toml:6:8: boiler.port = \"/dev/a\": already another boiler's, at t.toml:3:8",
        ),
        (
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\nbuad = 115200",
            "t.toml:4:1: boiler.buad: unknown key; did you mean \"baud\"?",
        ),
        (
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\nserial_number = \"1234567890123456789012345\"",
            "t.toml:4:17: boiler.serial_number = \"1234567890123456789012345\": too long, allowed are 1 to 24 bytes",
        ),
        (
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\ndtr = true",
            "t.toml:4:7: boiler.dtr = true: not a level of DTR, allowed are \"keep\", \"on\" and \"off\"",
        ),
    ];
    for (wrong, message) in table {
        assert_eq!(refusal(wrong), message, "for {wrong}");
    }
}

#[test]
fn all_problems_are_reported_in_file_order() {
    let text = format!("gatewy = \"g\"\n[batch]\nsamples = 0\n[log]\nfilter = 3\n{ONE}baud = 300\n");
    let lines: Vec<String> = refusal(&text).lines().map(|line| line.chars().take(22).collect()).collect();
    assert_eq!(
        lines,
        ["t.toml:1:1: gatewy: un", "t.toml:3:11: batch.sam", "t.toml:5:10: log.filte", "t.toml:9:8: boiler.bau"]
    );
}

/// A password in an address must not be logged.
#[test]
fn password_in_an_address_is_not_shown() {
    let message = refusal(&format!("nats.url = \"nats://me:hunter2@h:4222\"\n{ONE}"));
    assert_eq!(
        message,
        "t.toml:1:12: nats.url = \"nats://…\": contains a user or a password; set user and password_file instead"
    );
}

#[test]
fn files_in_conf_d_are_merged_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("thermowell.toml");
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let part = |name: &str| folder.path().join("conf.d").join(name);
    fs::write(&main, format!("[batch]\nsamples = 10\n{ONE}")).unwrap();
    fs::write(part("20-c.toml"), "[[boiler]]\nid = \"b3\"\nport = \"/dev/c\"\n").unwrap();
    fs::write(part("10-b.toml"), "feed.enabled = true\n[[boiler]]\nid = \"b2\"\nport = \"/dev/b\"\n").unwrap();
    fs::write(part("README"), "not read").unwrap();
    fs::write(part("._10-b.toml"), [0, 5, 22, 7]).unwrap();
    std::os::unix::fs::symlink("root@gateway.4711:1790000000", part(".#20-c.toml")).unwrap();
    let config = Config::load(&main).unwrap();
    let ids: Vec<&str> = config.boilers.iter().map(|boiler| boiler.id.as_str()).collect();
    assert_eq!((ids, config.batch.samples, config.feed.enabled), (vec!["b1", "b2", "b3"], 10, true));

    fs::write(part("20-c.toml"), format!("batch.samples = 20\n{ONE}")).unwrap();
    let (first, second) = (main.display(), part("20-c.toml").display().to_string());
    assert_eq!(
        Config::load(&main).unwrap_err().to_string(),
        format!("{second}:1:7: batch.samples: set twice, first at {first}:2:1")
    );
    fs::write(part("20-c.toml"), ONE).unwrap();
    assert_eq!(
        Config::load(&main).unwrap_err().to_string(),
        format!(
            "{second}:2:6: boiler.id = \"b1\": already another boiler's, at {first}:4:6\n\
             {second}:3:8: boiler.port = \"/dev/ttyUSB0\": already another boiler's, at {first}:5:8"
        )
    );
}

/// `--config /dev/stdin` and a process substitution are pipes; opening a FIFO waits for its writer.
#[test]
fn pipe_is_refused_as_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let [main, parts] = ["thermowell.toml", "conf.d"].map(|name| folder.path().join(name));
    crate::regular::fifo(&main);
    let error = Config::load(&main).unwrap_err();
    let advice = error.advice().unwrap();
    assert!(crate::logs::chain(&error).ends_with("thermowell.toml: not a regular file"), "{error}");
    assert!(advice.ends_with("is a pipe or a device, which may have no end: write the text into a file"), "{advice}");
    fs::remove_file(&main).unwrap();
    fs::write(&main, SAMPLE).unwrap();
    fs::create_dir(&parts).unwrap();
    crate::regular::fifo(&parts.join("10-pipe.toml"));
    let error = crate::logs::chain(&Config::load(&main).unwrap_err());
    assert!(error.ends_with("10-pipe.toml: not a regular file"), "{error}");
}

#[test]
fn unreadable_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent.toml");
    let error = Config::load(&absent).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the configuration {}", absent.display()));
    assert!(matches!(error, ConfigError::Unreadable { .. }));

    let binary = folder.path().join("binary.toml");
    fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(
        Config::load(&binary).unwrap_err().to_string(),
        format!("{}:1:1: the file is UTF-16; save it as UTF-8", binary.display())
    );
}

#[test]
fn units_are_exact() {
    let text = "control.lease = \"1.5 min\"\ncontrol.flow_max = \"61.25C\"\nspool.memory = \"1.5 GiB\"\n";
    let config = Config::parse(&format!("{}{ONE}", text.replace("1.5 GiB", "0.5 GiB")), "t.toml").unwrap();
    assert_eq!(config.control.law.lease, Duration::from_secs(90));
    assert_eq!(config.control.law.flow_max, CentiCelsius(61_25));
    assert_eq!(config.spool.memory, 512 << 20);
    assert!(refusal(&format!("{text}{ONE}")).contains("allowed are 1 MiB to 1 GiB"));
}

#[test]
fn times_and_days_have_one_form() {
    let time = |text: &str| refusal(&format!("control.target = [{{ from = \"{text}\", room = \"21 °C\" }}]\n{ONE}"));
    for wrong in ["6:00", "006:00", "06:0", "06:60", "+6:00", "0600", "06-00", "é6:00"] {
        assert!(time(wrong).contains("not a time of day"), "{wrong}");
    }
    let law = |text: &str| Config::parse(&format!("control.{text}\n{ONE}"), "t.toml").unwrap().control.law;
    assert_eq!(law("target = [{ from = \"23:59\", room = \"21 °C\" }]").target[0].from_minute, 1439);
    let step = |on: &str, from: &str| format!("{{ on = \"{on}\", from = \"{from}\", room = \"20 °C\" }}");
    let steps = |steps: [String; 2]| format!("target = [{}]", steps.join(", "));
    assert_eq!(law(&steps([step("mon-fri", "06:00"), step("sat, sun, holiday", "06:00")])).target.len(), 2);
    let twice = refusal(&format!("control.{}\n{ONE}", steps([step("mon-fri", "06:00"), step("fri-sun", "06:00")])));
    assert!(twice.contains("each time once; those of fri are not"), "{twice}");
    let absence = "{ from = \"2026-12-21T12:00\", until = \"2026-12-21T12:00\", room = \"15 °C\" }";
    assert!(refusal(&format!("control.absence = [{absence}]\n{ONE}")).contains("from must be before until"));
}

#[test]
fn addresses_parse_with_their_ports() {
    let server = |url: &str| Config::parse(&format!("nats.url = \"{url}\"\n{ONE}"), "t.toml").map(|c| c.nats.address());
    for (url, address) in [
        ("nats://h", "h:4222"),
        ("tls://nats.example:7", "nats.example:7"),
        ("nats://[::1]", "[::1]:4222"),
        ("nats://[::1]:7", "[::1]:7"),
    ] {
        assert_eq!(server(url).unwrap().to_string(), address, "{url}");
    }
    for wrong in ["nats://", "nats://:4222", "nats://::1", "nats://h:", "nats://h:65536", "nats://a b", "nats://h/x"] {
        assert!(server(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn http_listeners_can_be_off() {
    let http = |text: &str| Config::parse(&format!("[http]\n{text}\n{ONE}"), "t.toml").map(|config| config.http);
    let off = http("front = \"off\"\nagent = \"off\"").unwrap();
    assert_eq!((off.front, off.agent), (None, None));
    assert_eq!(http("agent = \"[::1]:1\"").unwrap().agent.unwrap().to_string(), "[::1]:1");
    for wrong in ["127.0.0.1", "127.0.0.1:0", ":8080", "on", "localhost:8080", ""] {
        assert!(http(&format!("agent = \"{wrong}\"")).is_err(), "{wrong}");
    }
}

#[test]
fn scaled_clock_needs_an_epoch() {
    let text = format!("clock = {{ speed = 60, epoch = {{ monotonic_ns = 123, utc = 2026-01-07T00:00:00Z }} }}\n{ONE}");
    let clock = Config::parse(&text, "t.toml").unwrap().clock;
    assert_eq!(clock.speed, 60);
    assert_eq!(clock.epoch, Some(Epoch { monotonic_ns: 123, utc_ns: 1_767_744_000_000_000_000 }));
}

#[test]
fn tls_address_or_table_enables_tls() {
    let tls = |text: &str| Config::parse(&format!("{text}\n{ONE}"), "t.toml").unwrap().nats.tls;
    assert_eq!(tls(""), None);
    assert_eq!(tls("nats.url = \"tls://h\""), Some(Tls::default()));
    assert_eq!(tls("[nats.tls]"), Some(Tls::default()));
    assert_eq!(tls("nats.tls.first = true"), Some(Tls { first: true, ..Tls::default() }));
}

mod sample {
    use super::*;

    /// The sample with its commented keys enabled: `# key = value` and `# [table]`, but no prose.
    fn uncommented() -> String {
        let is_key = |text: &str| {
            let word = text.split([' ', '.']).next().unwrap_or("");
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            (is_word && text.contains(" = ") && text.split(" = ").next() == Some(word)) || text.starts_with('[')
        };
        let enable = |line: &str| match line.strip_prefix("# ") {
            Some(text) if is_key(text) => format!("{text}\n"),
            Some(_) | None => format!("{line}\n"),
        };
        SAMPLE.lines().map(enable).collect()
    }

    #[test]
    fn documented_defaults_are_the_defaults() {
        let sample = Config::parse(SAMPLE, "config/thermowell.toml").unwrap_or_else(|error| panic!("{error}"));
        let minimal = Config::parse(
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/thermowell-b1\"\n[nats]\nmonitor = \"http://127.0.0.1:8222\"",
            "m.toml",
        );
        assert_eq!(sample, minimal.unwrap(), "the sample enables only what every gateway needs");
        let defaults =
            Config::parse(&uncommented(), "config/thermowell.toml").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(defaults, sample);
    }

    /// The paths of all keys of a schema.
    fn paths(schema: &serde_json::Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
        let schema = if schema["type"] == "array" { &schema["items"] } else { schema };
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            paths(inner, &path, found);
            found.insert(path);
        }
    }

    /// The schema is made of the sample; the keys that the code reads are another source.
    #[test]
    fn schema_has_every_key_that_is_read_and_no_other() {
        let findings = Findings::default();
        let text = uncommented().replace("\n#absence", "\nabsence");
        let text = format!("{text}\n[clock.epoch]\n[[operator]]\nname = \"anna\"\n");
        Config::read([(text.as_str(), "config/thermowell.toml")], &findings);
        let mut found = std::collections::BTreeSet::new();
        paths(&schema(), "", &mut found);
        assert_eq!(found, findings.known());
    }

    #[test]
    fn sample_documents_every_key() {
        let findings = Findings::default();
        let text = format!("{}\n[clock.epoch]\n", uncommented());
        Config::read([(text.as_str(), "config/thermowell.toml")], &findings);
        let known = findings.known();
        assert!(known.len() > 40, "{known:?}");
        for path in known {
            let key = path.rsplit('.').next().unwrap();
            let documents = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']);
                let table = [format!("[{path}]"), format!("[[{path}]]")];
                line.starts_with(&format!("{key} = "))
                    || line.contains(&format!("{{ {key} = "))
                    || line.contains(&format!(", {key} = "))
                    || table.iter().any(|table| line == table)
            };
            assert!(SAMPLE.lines().any(documents), "{path} is not documented");
        }
    }
}
