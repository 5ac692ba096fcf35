//! The configuration: what a person wrote, or an editor left half written.

use std::fmt::Write as _;

use thermowell::config::{Config, ConfigError, Control, Law, Nats, show_duration};
use thermowell_wire::CentiCelsius;

use crate::hammer::judge::{Complaint, Parts, Target, Trace, must, same};

const SAMPLE: &str = include_str!("../../../../../config/thermowell.toml");
const FILE: &str = "thermowell.toml";

pub(super) const TARGET: Target = Target {
    name: "config",
    what: "thermowell.toml",
    longest: 8_192,
    seeds,
    words: &[
        b"[[boiler]]\n",
        b"\nid = \"b2\"\n",
        b"port = \"/dev/thermowell-b2\"\n",
        b"serial_number = \"TW-0001\"\n",
        b"gateway = \"cellar\"\n",
        b"[nats]\n",
        b"url = \"tls://[::1]:4222\"\n",
        b"keys = \"/k\"\n",
        b"credentials = \"/a\"\n",
        b"nkey_file = \"/b\"\n",
        b"user = \"u\"\npassword_file = \"/c\"\n",
        b"[nats.tls]\nca = \"/ca\"\n",
        b"[clock]\n",
        b"epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }\n",
        b"speed = 60\n",
        b"[serial]\nbaud = 921600\n",
        b"[spool]\n",
        b"[streams]\n",
        b"[feed]\nenabled = true\n",
        b"[control]\n",
        b"curve = [{ outdoor = \"-10 C\", flow = \"55 C\" }, { outdoor = \"15 C\", flow = \"30 C\" }]\n",
        b"target = [{ from = \"06:00\", room = \"21 C\" }]\n",
        b"utc_offset = \"-12:00\"\n",
        b"[log]\nfilter = \"warn,thermowell=debug\"\n",
        b" ms\"",
        b" min\"",
        b" GiB\"",
        b" TiB\"",
        " °C\"".as_bytes(),
        b"1979-05-27T07:32:00Z",
        b"0x7fffffffffffffff",
        b"1e999",
        b"nan",
        b"inf",
        b"[[",
        b"{a=",
        b"\"\"\"",
        b"'''",
        b"\\u0000",
        b"\\U0010FFFF",
        "\u{feff}".as_bytes(),
        b"\r\n",
        b"a.b.c = 1\n",
    ],
    parts: Some(Parts { open, close }),
    judge,
    cases: include_str!("../../../fuzz-corpus/config.txt"),
};

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let Ok(text) = std::str::from_utf8(input) else {
        trace.note("not a text");
        return Ok(trace);
    };
    match Config::parse(text, FILE) {
        Ok(config) => {
            trace.accept();
            trace.note_shape(&config);
            let again = print(&config);
            let parsed = Config::parse(&again, FILE);
            let parsed = parsed.map_err(|error| Complaint(format!("what is accepted can be written:\n{error}")))?;
            same("parse(print(x)) is x", &parsed, &config)?;
        }
        Err(ConfigError::Refused(problems)) => {
            must(!problems.is_empty(), "a refusal says why")?;
            for problem in &problems {
                trace.note_shape(&problem.kind);
                let (line, column) = (problem.place.line, problem.place.column);
                must((1..=text.split('\n').count()).contains(&line), "a problem lies in its text")?;
                let columns = text.split('\n').nth(line - 1).map_or(0, |line| line.chars().count()) + 1;
                must((1..=columns).contains(&column), "a problem lies in its line")?;
                must(problem.message.len() < 2_000 + 4 * text.len(), "a message is not longer than what it is about")?;
            }
        }
        Err(error @ ConfigError::Unreadable { .. }) => return Err(Complaint(format!("no file is read: {error}"))),
    }
    Ok(trace)
}

/// A configuration as text, from its checked values: each key is written, none is left to its default.
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

fn control(control: &Control, line: &mut impl FnMut(String)) {
    let Law { curve, target, utc_offset_minutes, kp, k, flow_min, flow_max, lease, renew } = &control.law;
    line(format!("[control]\nenabled = {}", control.enabled));
    let points = curve
        .map(|point| format!("{{ outdoor = \"{}\", flow = \"{}\" }}", celsius(point.outdoor), celsius(point.flow)));
    line(format!("curve = [{}]", points.join(", ")));
    let steps: Vec<_> = target
        .iter()
        .map(|step| {
            let (hour, minute) = (step.from_minute / 60, step.from_minute % 60);
            format!("{{ from = \"{hour:02}:{minute:02}\", room = \"{}\" }}", celsius(step.room))
        })
        .collect();
    line(format!("target = [{}]", steps.join(", ")));
    let (sign, minutes) = (if *utc_offset_minutes < 0 { '-' } else { '+' }, utc_offset_minutes.unsigned_abs());
    line(format!("utc_offset = \"{sign}{:02}:{:02}\"", minutes / 60, minutes % 60));
    line(format!("kp = {kp:?}\nk = {k:?}"));
    line(format!("flow_min = \"{}\"\nflow_max = \"{}\"", celsius(*flow_min), celsius(*flow_max)));
    line(format!("lease = \"{}\"\nrenew = \"{}\"", show_duration(*lease), show_duration(*renew)));
}

fn celsius(temperature: CentiCelsius) -> String {
    format!("{temperature} °C")
}

/// Lines.
fn open(input: &[u8]) -> Vec<Vec<u8>> {
    input.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn close(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.join(&b'\n')
}

fn seeds() -> Vec<Vec<u8>> {
    // What is switched off shows its default behind `# `: with all of it on, every key is in the text.
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' ')) => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    let is_said = |line: &&str| !line.starts_with('#') && !line.is_empty();
    let whole: Vec<String> = SAMPLE.lines().map(on).collect();
    let whole: Vec<&str> = whole.iter().map(String::as_str).filter(is_said).collect();
    let short: Vec<&str> = SAMPLE.lines().filter(is_said).collect();
    let odd = "gateway = 'attic'\n[nats]\nurl = \"tls://nats.example\"\nmonitor = \"http://[::1]:8222/\"\n\
               user = \"a\"\npassword_file = \"/p\"\n\
               tls = { first = true, ca = \"/ca\", cert = \"/c\", key = \"/k\" }\n[clock]\n\
               speed = 60\nepoch = { monotonic_ns = 5, utc = \"2026-01-07T00:00:00Z\" }\n[[boiler]]\nid = \"b1\"\n\
               port = \"/p1\"\n[[boiler]]\nid = \"b2\"\nport = \"/p2\"\nbaud = 57600\nserial_number = \"TW-2\"\n";
    vec![whole.join("\n").into_bytes(), short.join("\n").into_bytes(), odd.as_bytes().to_vec()]
}
