//! The units in `deploy/` start programs that exist, with arguments that they take.

use rig::process::NEVER_RESTART;

use crate::source::{Finding, Source, Tree};

const EXEC: &str = "every Exec line in deploy/ names a real program and real arguments";
const RESTART: &str = "units of thermowell restart as the rig does";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let units =
        tree.sources.iter().filter(|source| source.path.starts_with("deploy/") && source.path.ends_with(".service"));
    let units: Vec<_> = units.collect();
    assert!(!units.is_empty(), "deploy/ has units");
    units.into_iter().flat_map(unit).collect()
}

fn unit(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut starts = 0;
    let mut is_ours = false;
    for (at, line) in source.text.lines().enumerate() {
        let Some((key, command)) = line.split_once('=').filter(|(key, _)| key.starts_with("Exec")) else {
            continue;
        };
        starts += usize::from(key == "ExecStart");
        is_ours |= command.starts_with("/usr/bin/thermowell ");
        if let Some(what) = refusal(command) {
            findings.push(source.finding(at + 1, EXEC, what));
        }
    }
    if starts != 1 {
        findings.push(source.finding(0, EXEC, format!("{starts} ExecStart lines")));
    }
    let codes = NEVER_RESTART.map(|code| code.to_string()).join(" ");
    let prevents = format!("RestartPreventExitStatus={codes}");
    if is_ours && !source.text.lines().any(|line| line == prevents) {
        findings.push(source.finding(0, RESTART, format!("no `{prevents}`")));
    }
    findings
}

/// Why this command would not start.
fn refusal(command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("");
    let args: Vec<_> = words.collect();
    match program {
        "/usr/bin/thermowell" => thermowell_refusal(&args),
        "/usr/bin/nats-server" => match args.as_slice() {
            ["--config", "/etc/thermowell/nats.conf"] | ["--signal", "reload=${MAINPID}"] => None,
            // systemd replaces $NAME only where it is a whole word.
            _ => Some(format!("nats-server is not called like this here: {args:?}")),
        },
        _ => Some(format!("nothing of ours installs {program}")),
    }
}

/// SEAM: the binary's own parser takes this over as soon as it can be called from here.
fn thermowell_refusal(args: &[&str]) -> Option<String> {
    match args {
        ["run", "agent" | "aggregator" | "controller", "--config", "/etc/thermowell/thermowell.toml"] => None,
        _ => Some(format!("thermowell does not take {args:?}")),
    }
}

#[test]
fn commands_that_would_not_start_are_found() {
    let good = "[Service]\nExecStart=/usr/bin/thermowell run agent --config /etc/thermowell/thermowell.toml\n\
                RestartPreventExitStatus=2 78\n";
    assert_eq!(unit(&Source::new("deploy/a.service", good)), []);
    for (from, to) in [
        ("/usr/bin/", "/opt/"),
        ("run agent", "start agent"),
        ("run agent", "run agents"),
        ("--config", "--conf"),
        ("ExecStart=", "ExecStop="),
        ("2 78", "78"),
    ] {
        let bad = good.replace(from, to);
        assert_eq!(unit(&Source::new("deploy/a.service", &bad)).len(), 1, "{bad}");
    }
    assert_eq!(refusal("/usr/bin/nats-server --signal reload=${MAINPID}"), None);
    assert!(refusal("/usr/bin/nats-server --signal reload=$MAINPID").is_some());
}
