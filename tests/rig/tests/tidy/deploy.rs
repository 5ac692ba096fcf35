//! The units in `deploy/` start programs that exist, with arguments that they take.

use rig::process::NEVER_RESTART;

use crate::source::{Breaches, Rule, Source, breach};

/// Every command line of a unit. systemd replaces $NAME only if it is a whole word.
const COMMANDS: [&str; 6] = [
    "/usr/bin/thermowell run agent --config /etc/thermowell/thermowell.toml",
    "/usr/bin/thermowell run aggregator --config /etc/thermowell/thermowell.toml",
    "/usr/bin/thermowell run controller --config /etc/thermowell/thermowell.toml",
    "/usr/bin/thermowell run front --config /etc/thermowell/thermowell.toml",
    "/usr/bin/nats-server --config /etc/thermowell/nats.conf",
    "/usr/bin/nats-server --signal reload=${MAINPID}",
];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "every Exec line in deploy/ names a real program and real arguments",
        breaches: commands,
        samples: &[
            ("deploy/a.service", "ExecStart=/usr/bin/nats-server --config /etc/thermowell/nats.conf", 0),
            ("deploy/a.service", "ExecStart=/opt/nats-server --config /etc/thermowell/nats.conf", 1),
            ("deploy/a.service", "ExecStart=/usr/bin/nats-server --conf /etc/thermowell/nats.conf", 1),
            ("deploy/a.service", "ExecStop=/usr/bin/nats-server --config /etc/thermowell/nats.conf", 1),
            ("deploy/a.service", "ExecStart=/usr/bin/nats-server --signal reload=$MAINPID", 1),
        ],
    },
    Rule {
        name: "units of thermowell restart as the rig does",
        breaches: |source| {
            let codes = NEVER_RESTART.map(|code| code.to_string()).join(" ");
            let prevents = format!("RestartPreventExitStatus={codes}");
            let is_ours = is_unit(source) && source.text.contains("=/usr/bin/thermowell ");
            breach(is_ours && !source.text.lines().any(|line| line == prevents), format!("no `{prevents}`"))
        },
        samples: &[
            ("deploy/a.service", "ExecStart=/usr/bin/thermowell run\nRestartPreventExitStatus=2 78", 0),
            ("deploy/a.service", "ExecStart=/usr/bin/thermowell run\nRestartPreventExitStatus=78", 1),
            ("deploy/a.service", "ExecStart=/usr/bin/nats-server", 0),
        ],
    },
];

fn is_unit(source: &Source) -> bool {
    source.path.starts_with("deploy/") && source.path.ends_with(".service")
}

fn commands(source: &Source) -> Breaches {
    if !is_unit(source) {
        return Vec::new();
    }
    let lines = source.text.lines().zip(1..).filter_map(|(line, number)| Some((number, line.split_once('=')?)));
    let commands: Vec<_> = lines.filter(|(_, (key, _))| key.starts_with("Exec")).collect();
    let wrong = commands.iter().filter(|(_, (_, command))| !COMMANDS.contains(command));
    let mut breaches: Breaches =
        wrong.map(|(line, (_, command))| (*line, format!("not a command: {command}"))).collect();
    let starts = commands.iter().filter(|(_, (key, _))| *key == "ExecStart").count();
    breaches.extend(breach(starts != 1, format!("{starts} ExecStart lines")));
    breaches
}
