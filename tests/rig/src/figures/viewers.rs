//! What people cost: eight pages of the dashboard, and a front that is flooded or hangs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::shape::{Budget, Figure, percentile, real};
use super::stand::{Bench, PATIENCE, settle};
use super::steady::{CALM, Watched, account, delays, watch};
use crate::house::House;
use crate::nats::free_port;
use crate::process::{Child, Launch, Role, Supervised};

/// Pages that are open.
const VIEWERS: usize = 8;
/// Clients of the flood. Each connects again at once; the front takes 64 connections.
const FLOOD: usize = 4;

/// Clients in threads of their own, until they are dropped.
struct Clients {
    stop: Arc<AtomicBool>,
    /// Answers that have ended.
    answers: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// `count` clients that read the answer to this path, and ask again when it has ended.
    fn start(count: usize, address: SocketAddr, path: &'static str) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (stop, answers) = (stop.clone(), answers.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // What fails is asked again: a flood does not mind.
                    if read(address, path, &stop).is_ok() {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = (0..count).map(client).collect();
        Self { stop, answers, threads }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap_or_default());
    }
}

fn read(address: SocketAddr, path: &str, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut buffer = [0; 65_536];
    while !stop.load(Ordering::Relaxed) && stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// A broker for Home Assistant's messages; none where there is no mosquitto.
fn broker(bench: &Bench, folder: &Path) -> Result<Option<(Child, String)>> {
    if Command::new("mosquitto").arg("-h").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let port = free_port()?;
    let launch = Launch {
        name: "mosquitto".to_owned(),
        programs: bench.programs.clone(),
        role: Role::Program("mosquitto".into()),
        args: vec!["-p".into(), port.to_string().into()],
        log: folder.join("mosquitto.log"),
    };
    Ok(Some((Child::spawn(&launch)?, format!("mqtt://127.0.0.1:{port}"))))
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let broker = broker(bench, folder.path())?;
    let mqtt: Vec<&str> = broker.iter().flat_map(|(_, url)| ["--mqtt", url]).collect();
    let mut house = bench.start_with(1, 1, 100, &mqtt)?;
    settle(&mut house, CALM)?;
    let address = house.dashboard();
    let calm = look(&house, bench)?;
    let flood = Clients::start(FLOOD, address, "/");
    let flooded = look(&house, bench)?;
    let answers = real(flood.answers.load(Ordering::Relaxed)) / flooded.took.as_secs_f64();
    drop(flood);
    house.processes.front.signal(Signal::STOP)?;
    let hung = look(&house, bench)?;
    house.processes.front.signal(Signal::CONT)?;

    let thermowell = bench.unite(&mut house)?;
    settle(&mut house, CALM)?;
    let log = fs::read_to_string(thermowell.log()).context("read the log")?;
    ensure!(broker.is_none() || log.contains("connected to the MQTT broker"), "the front has no broker:\n{log}");
    let alone = watch(&house, bench.window, &[&thermowell])?;
    let viewers = Clients::start(VIEWERS, address, "/events?w=1120&boiler=b1");
    settle(&mut house, CALM)?;
    let seen = watch(&house, bench.window, &[&thermowell])?;
    drop(viewers);
    house.processes.simulator.stop(PATIENCE)?;

    let mqtt = if broker.is_some() { "HTTP and MQTT on" } else { "HTTP on, without MQTT: there is no mosquitto" };
    let mut figures = cost(&alone, &seen, mqtt);
    let account = account(&house)?;
    for (watched, what) in [
        (&calm, "calm".to_owned()),
        (&flooded, format!("flooded with {answers:.0} requests a second by {FLOOD} clients")),
        (&hung, "stopped".to_owned()),
    ] {
        let (_, newest) = delays(&account, watched);
        let agent = watched.cpu("agent");
        let how =
            format!("front {what}; the agent takes {agent:.2} % of a core, p50 is {:.1} ms", percentile(&newest, 0.5));
        let name = what.split(' ').next().unwrap_or_default();
        let name = format!("last sample of a batch → state, p99, front {name}");
        figures.push(Figure::new(name, percentile(&newest, 0.99), "ms", Budget::None, how));
    }
    Ok(figures)
}

/// The roles that make the numbers, each a process of its own.
fn look(house: &House, bench: &Bench) -> Result<Watched> {
    let roles: [&Supervised; 3] = [&house.processes.agent, &house.processes.aggregator, &house.processes.controller];
    watch(house, bench.window, &roles).context("watch the roles")
}

fn cost(alone: &Watched, seen: &Watched, on: &str) -> Vec<Figure> {
    let used = seen.of("thermowell");
    let memory = real(used.resident_kib) * 1_024.0 / 1e6;
    let how = format!(
        "`thermowell run` with {on}, VmRSS after {:.0} s; each page is one boiler at 1120 px",
        seen.took.as_secs_f64()
    );
    let (without, with) = (alone.cpu("thermowell"), seen.cpu("thermowell"));
    vec![
        Figure::new("memory with 8 pages open", memory, "MB", Budget::AtMost(8.0), how),
        Figure::new("processor without a page", without, "% of a core", Budget::AtMost(0.3), "in the same run"),
        Figure::new("processor with 8 pages open", with, "% of a core", Budget::None, "in the same run"),
    ]
}
