//! One run on this machine: its folder, its configuration, its processes.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use thermowell::config::Config;
use thermowell::keys;

use super::options::Options;
use crate::clock::{boottime_ns, realtime_ns};
use crate::nats::{Broker, BrokerOptions, NatsServer, RIG_LOGIN, free_port};
use crate::process::{Change, Launch, Programs, Role, Supervised};

/// The devices boot this long after everything was started: agents and aggregator run by then.
const LEAD: Duration = Duration::from_millis(1_500);
/// 2026-01-07T00:00:00Z: a winter's day, at the start of an hour. Where simulated UTC begins.
pub(crate) const SIMULATED_START_NS: i64 = 1_767_744_000_000_000_000;
/// The devices boot this much simulated time later. A stamp may be off by some real milliseconds, and at a
/// demo's speed those are seconds: a boot on the full hour would have its first slots in the hour before.
const BOOT_NS: u64 = 8_000_000_000;

/// The default scenario, without faults.
const WINTER_DAY: &str = include_str!("../../../../config/scenarios/winter-day.toml");

/// Stands for any free port.
pub(crate) const ANY_PORT: u16 = 0;

/// The name of the keys' folder.
const KEYS: &str = "keys";

/// The operators: they may give commands and approve resets.
const OPERATORS: [&str; 3] = ["anna", "ben", "carla"];
/// The only boiler of [`make_keys`], and the source of its room temperature.
const SOURCED: &str = "\n[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n[boiler.room]\nsource = \"hall\"\n";
/// The operator of Home Assistant's buttons, in a run with an MQTT broker.
pub const BUTTONS: &str = "home-assistant";

/// Folder, time axis and speed of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Store, configuration, ports, account and logs.
    pub folder: PathBuf,
    /// Real CLOCK_BOOTTIME nanoseconds at which the calendar begins: a full hour if time is scaled.
    pub epoch_monotonic_ns: u64,
    /// UTC at that moment.
    pub epoch_utc_ns: i64,
    /// Real nanoseconds from then until the devices boot.
    pub boot_ns: u64,
    /// Simulated seconds per real second.
    pub speed: u32,
}

impl Plan {
    /// A run in `folder` that begins in a moment.
    #[must_use]
    pub fn in_folder(folder: &Path, speed: u32) -> Self {
        let now = boottime_ns();
        let lead = i64::try_from(LEAD.as_nanos()).unwrap_or(0);
        let epoch_utc_ns = if speed == 1 { realtime_ns() + lead } else { SIMULATED_START_NS };
        let epoch_monotonic_ns = u64::try_from(now + lead).unwrap_or(0);
        let boot_ns = if speed == 1 { 0 } else { BOOT_NS.div_ceil(u64::from(speed)) };
        Self { folder: folder.to_owned(), epoch_monotonic_ns, epoch_utc_ns, boot_ns, speed }
    }

    /// When the devices boot: CLOCK_BOOTTIME nanoseconds, and UTC.
    #[must_use]
    pub fn boot(&self) -> (u64, i64) {
        let simulated = i64::try_from(self.boot_ns * u64::from(self.speed)).unwrap_or(0);
        (self.epoch_monotonic_ns + self.boot_ns, self.epoch_utc_ns + simulated)
    }

    /// Simulated time since the devices booted; zero before.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let now = u64::try_from(boottime_ns()).unwrap_or(0);
        Duration::from_nanos(now.saturating_sub(self.boot().0)) * self.speed
    }

    /// UTC now on the run's calendar, in nanoseconds.
    #[must_use]
    pub fn utc_ns(&self) -> i64 {
        let real = i128::from(boottime_ns()) - i128::from(self.epoch_monotonic_ns);
        let utc = i128::from(self.epoch_utc_ns) + real * i128::from(self.speed);
        i64::try_from(utc).unwrap_or(i64::MAX)
    }

    /// The folder of the simulator's account.
    #[must_use]
    pub fn account(&self) -> PathBuf {
        self.folder.join("account")
    }

    /// The folder with all keys and the server's permissions.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        keys_in(&self.folder)
    }

    /// The folder of the agent's spill files.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// The socket on which the simulator takes orders.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.folder.join("console")
    }
}

/// Every process of a run.
pub struct Processes {
    pub broker: Broker,
    /// The boilers.
    pub simulator: Supervised,
    /// The agent.
    pub agent: Supervised,
    pub aggregator: Supervised,
    pub controller: Supervised,
    /// The dashboard.
    pub front: Supervised,
    /// Its address.
    pub dashboard: SocketAddr,
}

/// Makes the folder of `--keep` and returns its absolute path.
///
/// # Errors
/// It cannot be made, or is not empty.
pub(crate) fn kept(folder: &Path) -> Result<PathBuf> {
    let folder = std::path::absolute(folder).context("--keep")?;
    fs::create_dir_all(&folder).with_context(|| make(&folder))?;
    let is_empty = fs::read_dir(&folder).with_context(|| make(&folder))?.next().is_none();
    ensure!(is_empty, "--keep {}: the folder is not empty", folder.display());
    Ok(folder)
}

/// Makes the folder of a run.
///
/// # Errors
/// It cannot be made, or is not empty.
pub fn prepare(folder: &Path) -> Result<()> {
    let folder = kept(folder)?;
    for name in ["ports", "account", "logs", "nats"] {
        let path = folder.join(name);
        fs::create_dir(&path).with_context(|| make(&path))?;
    }
    Ok(())
}

impl Processes {
    /// Starts everything, the server first, the boilers last. Call it from a thread that outlives the run.
    ///
    /// # Errors
    /// A file cannot be written, or a process cannot be started.
    pub fn start(options: &Options, folder: &Path, server: &NatsServer, programs: &Programs) -> Result<(Self, Plan)> {
        make_keys_of(&keys_in(folder), &people_and_boilers(options, folder))?;
        let broker_options = BrokerOptions {
            port: options.nats_port,
            ..BrokerOptions::with_keys(folder.join("nats"), &keys_in(folder))
        };
        let broker = Broker::start(server, programs, broker_options).context("start nats-server")?;
        let plan = Plan::in_folder(folder, options.speed);
        let config = folder.join("thermowell.toml");
        // Once the server has its own ports.
        let dashboard = (Ipv4Addr::LOCALHOST, http_port(options.http_port)?).into();
        fs::write(&config, configuration(options, &plan, &broker, dashboard)).with_context(|| make(&config))?;
        let log = |name: &str| folder.join("logs").join(format!("{name}.log"));
        let role = |name: &str| supervise(Launch::run(programs, name, &config, log(name)));
        let agent = role("agent")?;
        let aggregator = role("aggregator")?;
        let controller = role("controller")?;
        let front = role("front")?;
        let winter_day = folder.join("scenario.toml");
        fs::write(&winter_day, WINTER_DAY).with_context(|| make(&winter_day))?;
        let name = "firmware-sim";
        let simulator = supervise(Launch {
            name: name.to_owned(),
            programs: programs.clone(),
            role: Role::FirmwareSim,
            args: simulator_arguments(options, &plan, &winter_day),
            log: log(name),
        })?;
        Ok((Self { broker, simulator, agent, aggregator, controller, front, dashboard }, plan))
    }

    /// Checks every process and does what is due at `now`; `take` is called with each change.
    ///
    /// # Errors
    /// A process cannot be checked or started; errors of `take`.
    pub(crate) fn tend(
        &mut self,
        now: Duration,
        mut take: impl FnMut(&Supervised, Change) -> Result<()>,
    ) -> Result<()> {
        for role in self.all() {
            if let Some(change) = role.tend(now).context("look after the processes")? {
                take(role, change)?;
            }
        }
        Ok(())
    }

    /// All processes in flow order, the server last.
    pub fn all(&mut self) -> [&mut Supervised; 6] {
        let Self { broker, simulator, agent, aggregator, controller, front, dashboard: _ } = self;
        [simulator, agent, aggregator, controller, front, broker.process()]
    }
}

/// Refuses a port that was asked for and is taken: the run would show what another program has there.
///
/// # Errors
/// It cannot be had.
pub(crate) fn check_ports(options: &Options) -> Result<()> {
    let asked = [("--nats-port", options.nats_port), ("--http-port", options.http_port)];
    let mut held = Vec::new();
    for (name, port) in asked.into_iter().filter_map(|(name, port)| Some((name, port?))) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        held.push(listener.with_context(|| format!("{name} {port}: choose another port, or leave it out"))?);
    }
    Ok(())
}

/// The port of the dashboard: the one that is asked for, else the one that people know, or a free one if it is taken.
fn http_port(asked: Option<u16>) -> Result<u16> {
    const USUAL: u16 = 8080;
    match asked {
        Some(ANY_PORT) => free_port(),
        Some(port) => Ok(port),
        None if TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL)).is_ok() => Ok(USUAL),
        None => free_port(),
    }
}

fn make(path: &Path) -> String {
    format!("make {}", path.display())
}

fn keys_in(folder: &Path) -> PathBuf {
    folder.join(KEYS)
}

/// Makes a key for every role and operator, for the source of the room temperature of b1, and permissions for the rig's
/// own user.
///
/// # Errors
/// The folder cannot be made or written.
pub fn make_keys(folder: &Path) -> Result<()> {
    make_keys_of(folder, &(named(&OPERATORS) + SOURCED))
}

fn operators(options: &Options) -> Vec<&'static str> {
    OPERATORS.into_iter().chain(options.mqtt.is_some().then_some(BUTTONS)).collect()
}

fn named(operators: &[&str]) -> String {
    operators.iter().map(|name| format!("\n[[operator]]\nname = \"{name}\"\n")).collect()
}

/// For the users of this part of a configuration.
fn make_keys_of(folder: &Path, people_and_boilers: &str) -> Result<()> {
    let others = folder.join(keys::OTHERS);
    let (user, password) = RIG_LOGIN;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&others, format!("{{ user: {user}, password: {password} }}\n")))
        .with_context(|| make(&others))?;
    let config = Config::parse(people_and_boilers, "the demo's boilers").context("make keys")?;
    keys::make(folder, &config.users(), &[]).map(drop).context("make keys")
}

fn supervise(launch: Launch) -> Result<Supervised> {
    Supervised::start(launch).context("start a process")
}

fn configuration(options: &Options, plan: &Plan, broker: &Broker, dashboard: SocketAddr) -> String {
    let mut text = format!(
        "# Written by the demo.\ngateway = \"demo\"\n\n\
         [nats]\nurl = \"{}\"\nkeys = \"{}\"\nmonitor = \"{}\"\nsync_interval = \"10 s\"\n\n",
        broker.url(),
        plan.keys().display(),
        broker.monitor_url()
    );
    text += "[clock]\nassume_synced = true\n";
    if let Some(path) = &options.clock_step {
        text += &format!("step_file = \"{}\"\n", path.display());
    }
    if options.speed != 1 {
        text += &format!(
            "speed = {}\n\n[clock.epoch]\nmonotonic_ns = {}\nutc = \"{}\"\n",
            options.speed,
            plan.epoch_monotonic_ns,
            super::rfc3339(plan.epoch_utc_ns)
        );
    }
    text += &http(options, dashboard);
    text += &format!("\n[batch]\nsamples = {}\n", options.batch);
    let (after, directory) = (options.spill_after, plan.spool());
    text += &format!("\n[spool]\nspill_after = \"{after} s\"\ndirectory = \"{}\"\n", directory.display());
    text += &format!("\n[feed]\nenabled = {}\n", options.feed);
    text += "\n[control]\nenabled = true\nemitter = \"radiators\"\n";
    text += match options.speed {
        // The calendar is the machine's, and the scenario's day begins now: it has no night.
        1 => "target = [{ from = \"00:00\", room = \"21 °C\" }]\n",
        _ => "# The scenario's day begins at 06:00; the sign is that of POSIX.\ntimezone = \"Etc/GMT-6\"\n",
    };
    text + &people_and_boilers(options, &plan.folder)
}

/// `[mqtt]`, the operators, and the boilers with their sources.
fn people_and_boilers(options: &Options, folder: &Path) -> String {
    let mut text = String::new();
    if let Some(url) = &options.mqtt {
        text += &format!("\n[mqtt]\nurl = \"{url}\"\noperator = \"{BUTTONS}\"\n");
    }
    text += &named(&operators(options));
    for n in 1..=options.boilers {
        let port = folder.join("ports").join(format!("b{n}"));
        text += &format!("\n[[boiler]]\nid = \"b{n}\"\nport = \"{}\"\n{}", port.display(), options.ambient);
    }
    text
}

fn http(options: &Options, dashboard: SocketAddr) -> String {
    let address = |port: Option<&u16>| port.map_or("off".to_owned(), |port| format!("127.0.0.1:{port}"));
    let roles = ["agent", "aggregator", "controller"].into_iter().enumerate();
    let roles = roles.map(|(at, role)| (role, address(options.http.get(at))));
    let lines = roles.chain([("front", dashboard.to_string())]);
    "\n[http]\n".to_owned() + &lines.map(|(role, address)| format!("{role} = \"{address}\"\n")).collect::<String>()
}

fn simulator_arguments(options: &Options, plan: &Plan, winter_day: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut add = |name: &str, value: OsString| args.extend([name.into(), value]);
    add("--boilers", options.boilers.to_string().into());
    add("--speed", plan.speed.to_string().into());
    add("--seed", options.seed.to_string().into());
    let (monotonic_ns, utc_ns) = plan.boot();
    add("--epoch-monotonic-ns", monotonic_ns.to_string().into());
    add("--epoch-utc", utc_ns.to_string().into());
    add("--port-dir", plan.folder.join("ports").into());
    add("--account", plan.account().into());
    add("--control", plan.console().into());
    add("--scenario", options.scenario.as_deref().unwrap_or(winter_day).into());
    args.extend(options.replay.to_arguments());
    args.extend(options.sim_arg.iter().map(OsString::from));
    args
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn port_of_another_program_is_refused() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port().to_string();
        let check = |arguments: &[&str]| {
            check_ports(&Options::try_parse_from([&["demo"][..], arguments].concat()).unwrap())
                .map_err(|it| format!("{it:#}"))
        };
        for name in ["--nats-port", "--http-port"] {
            let error = check(&[name, &port]).unwrap_err();
            assert!(error.starts_with(&format!("{name} {port}: ")) && error.contains("in use"), "{error}");
            assert!(Options::try_parse_from(["demo", name, "0"]).is_err());
        }
        let free = free_port().unwrap().to_string();
        assert_eq!(check(&["--http-port", &free]), Ok(()));
        assert!(check(&["--http-port", &free, "--nats-port", &free]).is_err(), "one port for both");
    }

    #[test]
    fn a_kept_folder_is_made_or_must_be_empty() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("new");
        assert_eq!(kept(&folder).unwrap(), folder);
        assert_eq!(kept(&folder).unwrap(), folder, "it is empty");
        fs::write(folder.join("file"), "").unwrap();
        assert!(kept(&folder).unwrap_err().to_string().contains("the folder is not empty"));
    }
}
