//! The configuration, also half written.

use std::fmt::Write as _;

use thermowell::calendar::Absence;
use thermowell::config::{Config, ConfigError, Control, Http, Law, Nats, show_duration};
use thermowell_wire::CentiCelsius;

use super::inputs::Grammar;
use super::run::Target;

const SAMPLE: &str = include_str!("../../../../config/thermowell.toml");
const FILE: &str = "thermowell.toml";

pub(crate) const TARGET: Target = Target { grammar, judge, cases: &[] };

const WORDS: &str = "[[boiler]]\n|\nid = \"b2\"\n|[nats.tls]\nca = \"/ca\"\n|user = \"u\"\npassword_file = \"/c\"\n|\
    credentials = \"/a\"\n|[serial]\nbaud = 921600\n|timezone = \"Asia/Kolkata\"\n| ms\"| min\"| TiB\"| °C\"|[[|{a=|\
    0x7fffffffffffffff|1979-05-27T07:32:00Z|1e999|nan|\"\"\"|'''|\\u0000|\\U0010FFFF|\u{feff}|\r\n|a.b.c = 1\n|\
    epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }\n";

fn judge(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Config::parse(text, FILE) {
        Ok(config) => {
            let again = print(&config);
            let parsed = Config::parse(&again, FILE).unwrap_or_else(|error| panic!("{error}\n{again}"));
            assert_eq!(parsed, config, "parse(print(x)) is x");
            true
        }
        Err(ConfigError::Refused(problems)) => {
            assert!(!problems.is_empty(), "a refusal has a reason");
            for problem in &problems {
                let (line, column) = (problem.place.line, problem.place.column);
                let chars = text.split('\n').nth(line.wrapping_sub(1)).map(|line| line.chars().count());
                let chars = chars.unwrap_or_else(|| panic!("line {line} is not in the text"));
                assert!((1..=chars + 1).contains(&column), "column {column} is not in line {line}");
                assert!(problem.message.len() < 2_000 + 4 * text.len(), "a message is longer than its subject");
            }
            false
        }
        Err(error @ ConfigError::Unreadable { .. }) => panic!("no file is read: {error}"),
    }
}

/// A configuration as text, from its checked values: each key is written, so that no default is used.
fn print(config: &Config) -> String {
    let mut out = String::new();
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut line = |line: String| writeln!(out, "{line}").expect("a text takes everything");
    line(format!("gateway = {}", text(&config.gateway)));
    nats(&config.nats, &mut line);
    line("[clock]".to_owned());
    line(format!("speed = {}\nassume_synced = {}", config.clock.speed, config.clock.assume_synced));
    if let Some(epoch) = &config.clock.epoch {
        let utc = jiff::Timestamp::from_nanosecond(i128::from(epoch.utc_ns)).expect("64 bits of nanoseconds fit");
        line(format!("epoch = {{ monotonic_ns = {}, utc = \"{utc}\" }}", epoch.monotonic_ns));
    }
    for boiler in &config.boilers {
        let port = text(&boiler.port.display().to_string());
        line(format!("[[boiler]]\nid = \"{}\"\nport = {port}\nbaud = {}", boiler.id, boiler.baud));
        if let Some(number) = &boiler.serial_number {
            line(format!("serial_number = {}", text(number)));
        }
    }
    config.operators.iter().for_each(|name| line(format!("[[operator]]\nname = \"{name}\"")));
    line(format!("[command]\ncoverage = {:?}\n[reset]", config.command.coverage));
    line(format!("approvals = {}", config.reset.approvals));
    line(format!("[batch]\nsamples = {}", config.batch.samples));
    let (spool, streams) = (&config.spool, &config.streams);
    line(format!("[spool]\nmemory = \"{} B\"", spool.memory));
    line(format!("spill_after = \"{}\"", show_duration(spool.spill_after)));
    line(format!("directory = {}", text(&spool.directory.display().to_string())));
    line(format!("[streams]\nsamples = \"{} B\"\nfeed = \"{} B\"", streams.samples, streams.feed));
    line(format!("snapshot = \"{} B\"\nevent = \"{} B\"", streams.snapshot, streams.event));
    line(format!("command = \"{} B\"", streams.command));
    line(format!("[feed]\nenabled = {}", config.feed.enabled));
    control(&config.control, &mut line);
    http(&config.http, &mut line);
    line(format!("[log]\nfilter = {}", text(&config.log.filter.to_string())));
    out
}

fn nats(nats: &Nats, line: &mut impl FnMut(String)) {
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    line(format!("[nats]\nurl = {}", text(&nats.url)));
    line(format!("sync_interval = \"{}\"", show_duration(nats.sync_interval)));
    let paths = [
        ("keys", &nats.keys),
        ("credentials", &nats.credentials),
        ("nkey_file", &nats.nkey_file),
        ("password_file", &nats.password_file),
    ];
    for (key, path) in paths {
        path.iter().for_each(|path| line(format!("{key} = {}", text(&path.display().to_string()))));
    }
    nats.user.iter().for_each(|user| line(format!("user = {}", text(user))));
    if let Some(monitor) = &nats.monitor {
        line(format!("monitor = \"http://{monitor}\""));
    }
    if let Some(tls) = &nats.tls {
        line(format!("[nats.tls]\nfirst = {}", tls.first));
        for (key, path) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
            path.iter().for_each(|path| line(format!("{key} = {}", text(&path.display().to_string()))));
        }
    }
}

fn http(http: &Http, line: &mut impl FnMut(String)) {
    let Http { front, agent, aggregator, controller, hosts } = http;
    line(format!("[http]\nhosts = {hosts:?}"));
    for (key, address) in [("front", front), ("agent", agent), ("aggregator", aggregator), ("controller", controller)] {
        line(format!("{key} = \"{}\"", address.map_or("off".to_owned(), |address| address.to_string())));
    }
}

fn control(control: &Control, line: &mut impl FnMut(String)) {
    let Law { emitter, curve, target, timezone, holidays, absence, .. } = &control.law;
    let Law { kp, ki, k, heating_limit, flow_min, flow_max, lease, renew, .. } = &control.law;
    line(format!("[control]\nenabled = {}", control.enabled));
    emitter.iter().for_each(|emitter| line(format!("emitter = \"{emitter}\"")));
    let points = curve
        .map(|point| format!("{{ outdoor = \"{}\", flow = \"{}\" }}", celsius(point.outdoor), celsius(point.flow)));
    line(format!("curve = [{}]", points.join(", ")));
    let steps: Vec<_> = target
        .iter()
        .map(|step| {
            let (hour, minute) = (step.from_minute / 60, step.from_minute % 60);
            let (on, room) = (step.on, celsius(step.room));
            format!("{{ on = \"{on}\", from = \"{hour:02}:{minute:02}\", room = \"{room}\" }}")
        })
        .collect();
    line(format!("target = [{}]", steps.join(", ")));
    line(format!("timezone = \"{}\"", timezone.iana_name().expect("a time zone of the database has a name")));
    line(format!("holidays = {:?}", holidays.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let absences = absence.iter().map(|Absence { from, until, room }| {
        let [from, until] = [from, until].map(|at| at.strftime("%Y-%m-%dT%H:%M"));
        format!("{{ from = \"{from}\", until = \"{until}\", room = \"{}\" }}", celsius(*room))
    });
    line(format!("absence = [{}]", absences.collect::<Vec<_>>().join(", ")));
    line(format!("kp = {kp:?}\nki = {ki:?}\nk = {k:?}\nheating_limit = \"{}\"", celsius(*heating_limit)));
    line(format!("flow_min = \"{}\"\nflow_max = \"{}\"", celsius(*flow_min), celsius(*flow_max)));
    line(format!("lease = \"{}\"\nrenew = \"{}\"", show_duration(*lease), show_duration(*renew)));
}

fn celsius(temperature: CentiCelsius) -> String {
    format!("{temperature} °C")
}

fn grammar() -> Grammar {
    // Disabled settings are shown as comments after `# `: with all of them enabled, every key is in the text.
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    let is_set = |line: &&str| !line.starts_with('#') && !line.is_empty();
    let whole: Vec<String> = SAMPLE.lines().map(on).collect();
    let whole: Vec<&str> = whole.iter().map(String::as_str).filter(is_set).collect();
    let short: Vec<&str> = SAMPLE.lines().filter(is_set).collect();
    let odd = "gateway = 'attic'\n[nats]\nurl = \"tls://nats.example\"\nmonitor = \"http://[::1]:8222/\"\n\
               user = \"a\"\npassword_file = \"/p\"\n\
               tls = { first = true, ca = \"/ca\", cert = \"/c\", key = \"/k\" }\n[clock]\n\
               speed = 60\nepoch = { monotonic_ns = 5, utc = \"2026-01-07T00:00:00Z\" }\n[[boiler]]\nid = \"b1\"\n\
               port = \"/p1\"\n[[boiler]]\nid = \"b2\"\nport = \"/p2\"\nbaud = 57600\nserial_number = \"TW-2\"\n";
    let lines = |lines: Vec<&str>| lines.into_iter().map(|line| line.as_bytes().to_vec()).collect();
    Grammar::new(vec![lines(whole), lines(short), lines(odd.lines().collect())], |lines| lines.join(&b'\n'))
        .with_text(WORDS)
}
