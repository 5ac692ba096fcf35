//! One function per table: its keys, their types, units, ranges and defaults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use thermowell_flow::control::Emitter;
use thermowell_wire::{CentiCelsius, OperatorName};
use tracing_subscriber::filter::Targets;

use super::ambient;
use super::document::{Node, Value};
use super::error::Kind;
use super::section::{Section, Spot};
use super::value::{
    boolean, bytes, dates, duration, local_time, named, number, path, temperature, text, time_of_day, timezone,
    unquoted, whole,
};
use super::{
    Address, Batch, Boiler, Clock, Command, Config, Control, CurvePoint, Disk, Dtr, Epoch, Feed, Http, Law, Log, Nats,
    Reset, SAMPLE_LINE_BYTES, SAMPLES_PER_SECOND, Spool, Streams, Target, Tls,
};
use crate::calendar::{Absence, Days};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// The longest serial number that fits a `Hello`.
pub const SERIAL_NUMBER_MAX: usize = 24;
/// The supported rates of serial ports.
const BAUDS: [u32; 6] = [38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

/// The defaults of `[control]` that depend on what heats the rooms.
struct EmitterDefaults {
    curve: [CurvePoint; 2],
    kp: f64,
    ki: f64,
    flow: (CentiCelsius, CentiCelsius),
}

impl EmitterDefaults {
    /// Before the emitter is named: those of radiators.
    const fn of(emitter: Option<Emitter>) -> Self {
        match emitter {
            None | Some(Emitter::Radiators) => Self {
                curve: curve_between(55_00, 30_00),
                kp: 20.0,
                ki: 1.0,
                flow: (CentiCelsius(25_00), CentiCelsius(75_00)),
            },
            Some(Emitter::Floor) => Self {
                curve: curve_between(38_00, 25_00),
                kp: 8.0,
                ki: 0.2,
                flow: (CentiCelsius(20_00), CentiCelsius(45_00)),
            },
            Some(Emitter::FanCoil) => Self {
                curve: curve_between(50_00, 38_00),
                kp: 10.0,
                ki: 1.0,
                flow: (CentiCelsius(35_00), CentiCelsius(60_00)),
            },
        }
    }
}

/// From −10 to 15 °C outdoors.
const fn curve_between(cold: i16, warm: i16) -> [CurvePoint; 2] {
    [
        CurvePoint { outdoor: CentiCelsius(-10_00), flow: CentiCelsius(cold) },
        CurvePoint { outdoor: CentiCelsius(15_00), flow: CentiCelsius(warm) },
    ]
}

const DEFAULT_TARGET: [Target; 2] = [
    Target { on: Days::DAILY, from_minute: 6 * 60, room: CentiCelsius(21_00) },
    Target { on: Days::DAILY, from_minute: 22 * 60, room: CentiCelsius(18_00) },
];

// 100 samples/s × 20 B × 10 bits are 20,000 bit/s; a device catches up at no more than 80 % of the line.
const _: () = assert!(SAMPLES_PER_SECOND * SAMPLE_LINE_BYTES * 10 * 100 <= BAUDS[0] * 80);

/// The root table. None only with a reported problem.
pub(super) fn config(root: &Section<'_>) -> Option<Config> {
    let gateway = root.value("gateway", host_name(), name);
    let nats = root.section("nats", nats);
    let clock = root.section("clock", clock);
    let baud = root.section("serial", |serial| serial.value("baud", 115_200, baud));
    // Read everything before the first `?`: a key that was not requested counts as unknown.
    let boilers = boilers(root, baud);
    let control = root.section("control", control);
    let operators = operators(root);
    let log = root.section("log", |log| Log { filter: log.value("filter", default_filter(), targets) });
    let config = |control| Config {
        gateway,
        nats,
        clock,
        boilers,
        batch: root.section("batch", |batch| Batch { samples: batch.value("samples", 100, whole(1..=1000)) }),
        spool: root.section("spool", spool),
        streams: root.section("streams", streams),
        feed: root.section("feed", |feed| Feed { enabled: feed.value("enabled", false, boolean) }),
        control,
        operators,
        command: root
            .section("command", |command| Command { coverage: command.value("coverage", 0.1, number(0.0..=1.0)) }),
        reset: root.section("reset", |reset| Reset { approvals: reset.value("approvals", 2, whole(1..=4)) }),
        http: root.section("http", http),
        disk: root.section("disk", |disk| Disk { endurance: disk.optional("endurance", bytes(TIB..=100_000 * TIB)) }),
        mqtt: root.section("mqtt", super::mqtt::table),
        log,
    };
    control.map(config)
}

fn nats(nats: &Section<'_>) -> Nats {
    let url = nats.value("url", "nats://127.0.0.1:4222".to_owned(), server_url);
    let has_tls = nats.spot("tls").is_some() || url.starts_with("tls:");
    let tls = nats.section("tls", |tls| Tls {
        ca: tls.optional("ca", path("/etc/thermowell/ca.pem")),
        cert: tls.optional("cert", path("/etc/thermowell/gateway.pem")),
        key: tls.optional("key", path("/etc/thermowell/gateway.key")),
        first: tls.value("first", false, boolean),
    });
    Nats {
        url,
        keys: nats.optional("keys", path("/etc/thermowell/keys")),
        credentials: nats.optional("credentials", path("/etc/thermowell/agent.creds")),
        nkey_file: nats.optional("nkey_file", path("/etc/thermowell/agent.nk")),
        user: nats.optional("user", text),
        password_file: nats.optional("password_file", path("/etc/thermowell/agent.password")),
        tls: has_tls.then_some(tls),
        sync_interval: nats.value("sync_interval", secs(10), duration(Duration::from_millis(100)..=secs(120))),
        monitor: nats.optional("monitor", http_address),
    }
}

fn clock(clock: &Section<'_>) -> Clock {
    let read_epoch = |epoch: &Section<'_>| {
        let monotonic_ns = epoch.required("monotonic_ns", whole(0..=i64::MAX - 1));
        let utc_ns = epoch.required("utc", full_hour);
        Some(Epoch { monotonic_ns: u64::try_from(monotonic_ns?).ok()?, utc_ns: utc_ns? })
    };
    let epoch = clock.spot("epoch").is_some().then(|| clock.section("epoch", read_epoch)).flatten();
    Clock {
        speed: clock.value("speed", 1, whole(1..=1000)),
        epoch,
        assume_synced: clock.value("assume_synced", false, boolean),
        step_file: clock.optional("step_file", path("/run/thermowell-clock-step")),
    }
}

fn boilers(root: &Section<'_>, default_baud: u32) -> Vec<Boiler> {
    let seen = RefCell::new(BTreeMap::new());
    let read = |section: &Section<'_>| {
        let id = section.required("id", named);
        let port = section.required("port", path("/dev/thermowell-b1"));
        let baud = section.value("baud", default_baud, baud);
        let serial_number = section.optional("serial_number", serial_number);
        let dtr = section.value("dtr", Dtr::Keep, dtr);
        let (room, outdoor) = (ambient::read(section, "room"), ambient::read(section, "outdoor"));
        let boiler = Boiler { id: id?, port: port?, baud, serial_number, dtr, room, outdoor };
        unique(section, &seen, "boiler", "id", boiler.id.to_string());
        unique(section, &seen, "boiler", "port", boiler.port.display().to_string());
        Some(boiler)
    };
    let Some(boilers) = root.list("boiler", read) else {
        let example = "; name each boiler as in\n    [[boiler]]\n    id = \"b1\"\n    port = \"/dev/thermowell-b1\"";
        root.missing("boiler", example);
        return Vec::new();
    };
    if boilers.is_empty() {
        root.missing("boiler", "; at least one is needed");
    }
    boilers.into_iter().flatten().collect()
}

fn operators(root: &Section<'_>) -> Vec<OperatorName> {
    let seen = RefCell::new(BTreeMap::new());
    let read = |section: &Section<'_>| {
        let name: OperatorName = section.required("name", named)?;
        unique(section, &seen, "operator", "name", name.to_string());
        Some(name)
    };
    root.list("operator", read).unwrap_or_default().into_iter().flatten().collect()
}

fn unique(
    section: &Section<'_>,
    seen: &RefCell<BTreeMap<(&'static str, String), Spot>>,
    whose: &str,
    key: &'static str,
    value: String,
) {
    let Some(spot) = section.spot(key) else { return };
    if let Some(first) = seen.borrow().get(&(key, value.clone())) {
        let message = format!("already another {whose}'s, at {}", first.place);
        section.refuse_spot(&spot, key, Kind::Relation, &message);
        return;
    }
    seen.borrow_mut().insert((key, value), spot);
}

fn spool(spool: &Section<'_>) -> Spool {
    Spool {
        memory: spool.value("memory", 8 * MIB, bytes(MIB..=GIB)),
        spill_after: spool.value("spill_after", secs(30), duration(secs(1)..=secs(120))),
        directory: spool.value("directory", PathBuf::from("/var/lib/thermowell"), path("/var/lib/thermowell")),
    }
}

fn http(http: &Section<'_>) -> Http {
    let local = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Http {
        front: http.value("front", local(8080), listen_address),
        agent: http.value("agent", local(8081), listen_address),
        aggregator: http.value("aggregator", local(8082), listen_address),
        controller: http.value("controller", local(8083), listen_address),
        hosts: http.value("hosts", Vec::new(), host_names),
    }
}

/// The defaults fit into the 4 GiB of `max_file_store` in `config/nats.conf`: the server reserves the sizes.
fn streams(streams: &Section<'_>) -> Streams {
    let size = |key, default| streams.value(key, default, bytes(MIB..=1024 * GIB));
    Streams {
        samples: size("samples", GIB),
        feed: size("feed", 2 * GIB),
        snapshot: size("snapshot", 256 * MIB),
        event: size("event", 256 * MIB),
        command: size("command", 64 * MIB),
    }
}

fn control(control: &Section<'_>) -> Option<Control> {
    let enabled = control.value("enabled", false, boolean);
    let emitter = control.optional("emitter", emitter);
    if enabled && control.spot("emitter").is_none() {
        control.missing("emitter", &format!("; control needs what heats the rooms: {EMITTERS}"));
    }
    let defaults = EmitterDefaults::of(emitter);
    let (curve, target, absence) = (curve(control, defaults.curve), target(control), absence(control));
    let law = |curve, target, absence| Law {
        emitter,
        curve,
        target,
        timezone: control.value("timezone", TimeZone::UTC, timezone),
        holidays: control.value("holidays", Vec::new(), dates),
        absence,
        kp: control.value("kp", defaults.kp, number(0.0..=30.0)),
        ki: control.value("ki", defaults.ki, number(0.0..=2.0)),
        k: control.value("k", 0.5, number(0.0..=1.0)),
        heating_limit: control.value("heating_limit", CentiCelsius(15_00), temperature(5..=30)),
        flow_min: control.value("flow_min", defaults.flow.0, temperature(15..=90)),
        flow_max: control.value("flow_max", defaults.flow.1, temperature(15..=90)),
        lease: control.value("lease", secs(60), whole_seconds),
        renew: control.value("renew", secs(15), duration(secs(1)..=secs(60))),
    };
    // Read in any case, so that every key is requested; returned only if all lists are valid.
    let is_fine = curve.is_some() && target.is_some() && absence.is_some();
    let law = law(curve.unwrap_or(defaults.curve), target.unwrap_or_default(), absence.unwrap_or_default());
    is_fine.then_some(Control { enabled, law })
}

const EMITTERS: &str = "\"radiators\", \"floor\" or \"fan-coil\"";

fn emitter(node: &Node) -> Result<Emitter, String> {
    let named = |word: String| Emitter::ALL.into_iter().find(|emitter| emitter.to_string() == word);
    let emitter = text(node).ok().and_then(named);
    emitter.ok_or_else(|| format!("not an emitter, allowed are {EMITTERS}"))
}

fn curve(control: &Section<'_>, default: [CurvePoint; 2]) -> Option<[CurvePoint; 2]> {
    let points = control.list("curve", |point| {
        let outdoor = point.required("outdoor", temperature(-50..=30));
        let flow = point.required("flow", temperature(15..=90));
        Some(CurvePoint { outdoor: outdoor?, flow: flow? })
    });
    let Some(points) = points else { return Some(default) };
    let points = points.into_iter().collect::<Option<Vec<_>>>()?;
    let curve = <[CurvePoint; 2]>::try_from(points).ok();
    if curve.is_none() {
        complain(control, "curve", "needs two points, such as { outdoor = \"-10 °C\", flow = \"55 °C\" }");
    }
    curve
}

fn absence(control: &Section<'_>) -> Option<Vec<Absence>> {
    let absences = control.list("absence", |absence| {
        let (from, until) = (absence.required("from", local_time), absence.required("until", local_time));
        let room = absence.required("room", temperature(5..=30));
        Some(Absence { from: from?, until: until?, room: room? })
    });
    absences.unwrap_or_default().into_iter().collect()
}

fn target(control: &Section<'_>) -> Option<Vec<Target>> {
    let steps = control.list("target", |step| {
        let on = step.value("on", Days::DAILY, named);
        let from_minute = step.required("from", time_of_day);
        let room = step.required("room", temperature(5..=30));
        Some(Target { on, from_minute: from_minute?, room: room? })
    });
    let Some(steps) = steps else { return Some(DEFAULT_TARGET.to_vec()) };
    let steps = steps.into_iter().collect::<Option<Vec<_>>>()?;
    if steps.is_empty() {
        complain(control, "target", "needs at least one step, such as { from = \"06:00\", room = \"21 °C\" }");
    }
    Some(steps)
}

/// A lease is sent in whole seconds.
fn whole_seconds(node: &Node) -> Result<Duration, String> {
    let lease = duration(secs(10)..=secs(120))(node)?;
    if lease.subsec_nanos() == 0 { Ok(lease) } else { Err("not in whole seconds".into()) }
}

fn complain(section: &Section<'_>, key: &'static str, complaint: &str) {
    if let Some(spot) = section.spot(key) {
        section.refuse_spot(&spot, key, Kind::Value, complaint);
    }
}

/// Without the client's own lines for each attempt to connect: `nats::outage` logs them, throttled.
fn default_filter() -> Targets {
    "info,async_nats=warn,async_nats::connector=off".parse().expect("levels are a filter")
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let name: String = name.chars().filter(|c| is_name_character(*c)).take(NAME_MAX).collect();
    if name.is_empty() { "thermowell".to_owned() } else { name }
}

/// A gateway's name is part of messages and logs.
const NAME_MAX: usize = 64;

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn name(node: &Node) -> Result<String, String> {
    let name = text(node)?;
    let fine = name.len() <= NAME_MAX && name.chars().all(is_name_character);
    if fine {
        Ok(name)
    } else {
        Err("not a name, allowed are 1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.'".into())
    }
}

fn serial_number(node: &Node) -> Result<String, String> {
    let number = text(node)?;
    let fits = number.len() <= SERIAL_NUMBER_MAX;
    if fits { Ok(number) } else { Err(format!("too long, allowed are 1 to {SERIAL_NUMBER_MAX} bytes")) }
}

fn dtr(node: &Node) -> Result<Dtr, String> {
    match text(node).as_deref() {
        Ok("keep") => Ok(Dtr::Keep),
        Ok("on") => Ok(Dtr::On),
        Ok("off") => Ok(Dtr::Off),
        Ok(_) | Err(_) => Err("not a level of DTR, allowed are \"keep\", \"on\" and \"off\"".into()),
    }
}

fn baud(node: &Node) -> Result<u32, String> {
    let needed = SAMPLES_PER_SECOND * SAMPLE_LINE_BYTES * 10;
    let known = BAUDS.map(|baud| baud.to_string()).join(", ");
    let Value::Integer(baud) = node.value else {
        let wrong = unquoted(node, "a whole number", |text| text.parse::<u32>().is_ok());
        return Err(format!("{wrong}; allowed are {known}"));
    };
    match u32::try_from(baud) {
        Ok(baud) if BAUDS.contains(&baud) => Ok(baud),
        Ok(baud) if baud < BAUDS[0] => Err(format!(
            "too slow: {SAMPLES_PER_SECOND} samples a second of {SAMPLE_LINE_BYTES} bytes are {needed} bit/s, and a \
             device uses at most 80 % of the line; allowed are {known}"
        )),
        Ok(_) | Err(_) => Err(format!("not a rate of serial ports, allowed are {known}")),
    }
}

fn server_url(node: &Node) -> Result<String, String> {
    if matches!(node.value, Value::List(_)) {
        return Err("a list, but [nats] takes one server: write its address in quotes".into());
    }
    let url = text(node)?;
    server_address(&url).map(|_| url.trim_end_matches('/').to_owned())
}

/// The host and port of a `nats://` or `tls://` address.
pub(super) fn server_address(url: &str) -> Result<Address, String> {
    if url.contains(',') {
        return Err("several addresses, but [nats] takes one server: the one that this gateway uses".into());
    }
    let rest = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
    let Some(rest) = rest else {
        return Err("not a server's address, such as \"nats://127.0.0.1:4222\" or \"tls://nats.example:4222\"".into());
    };
    if rest.contains('@') {
        return Err("contains a user or a password; set user and password_file instead".into());
    }
    host_and_port(rest, 4222)
}

fn http_address(node: &Node) -> Result<Address, String> {
    let url = text(node)?;
    let rest = url.strip_prefix("http://");
    host_and_port(rest.ok_or("not an address of plain HTTP, such as \"http://127.0.0.1:8222\"")?, 80)
}

/// An address of this machine and a port, or `off`. A name could have several addresses, and they could change.
fn listen_address(node: &Node) -> Result<Option<SocketAddr>, String> {
    let complaint = "not an address of this machine with a port from 1 to 65535, such as \"127.0.0.1:8080\", \
                     \"0.0.0.0:8080\" or \"[::1]:8080\", and not \"off\"";
    match text(node).map_err(|_| complaint)?.as_str() {
        "off" => Ok(None),
        text => Ok(Some(text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).ok_or(complaint)?)),
    }
}

fn host_names(node: &Node) -> Result<Vec<String>, String> {
    let complaint =
        "not a list of names, such as [\"cellar.local\"]; a name has a-z, A-Z, 0-9, '-' and '.', and no port";
    let Value::List(items) = &node.value else { return Err(complaint.into()) };
    let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let names = items.iter().map(|item| text(item).ok().filter(is_name));
    names.collect::<Option<_>>().ok_or_else(|| complaint.into())
}

/// The part after `scheme://`; a trailing slash is allowed.
pub(super) fn host_and_port(text: &str, default_port: u16) -> Result<Address, String> {
    let text = text.trim_end_matches('/');
    if let Some((_, path)) = text.split_once('/') {
        return Err(format!("an address ends with its port; remove /{path}"));
    }
    if text.contains(char::is_whitespace) {
        return Err("an address has no spaces".into());
    }
    if text.matches(':').count() > 1 && !text.starts_with('[') {
        return Err("an IPv6 address needs brackets, as in [::1]:4222".into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)),
        Some(_) | None => (text, Some(default_port)),
    };
    let Some(port) = port else {
        return Err(format!(
            "no port after the colon; allowed are 1 to 65535, and without a colon it is {default_port}"
        ));
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
    let fine = match bare {
        Some(bare) => !bare.is_empty() && bare.chars().all(is_address),
        None => !host.is_empty() && host.chars().all(is_host),
    };
    if !fine {
        return Err("no host, or one with invalid characters; allowed are a-z, A-Z, 0-9, '-', '.', '_'".into());
    }
    Ok(Address { host: bare.unwrap_or(host).to_owned(), port })
}

fn full_hour(node: &Node) -> Result<i64, String> {
    let hours = text(node).ok().and_then(|text| crate::quantity::full_hour(&text)).filter(|hours| *hours >= 0);
    let nanoseconds = hours.and_then(|hours| hours.checked_mul(thermowell_flow::time::HOUR_NS));
    let complaint = "not a full hour of UTC between 1970 and 2261, such as \"2026-01-07T00:00:00Z\"";
    nanoseconds.ok_or_else(|| complaint.to_owned())
}

fn targets(node: &Node) -> Result<Targets, String> {
    super::filter(&text(node)?).ok_or_else(|| super::FILTER_EXPECTED.into())
}
