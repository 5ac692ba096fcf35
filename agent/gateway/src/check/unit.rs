//! The units of `deploy/`, as systemd reports them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::finding::of;
use super::{Finding, Root};

/// In the order in which they are started.
const UNITS: [&str; 5] =
    ["thermowell-nats", "thermowell-agent", "thermowell-aggregator", "thermowell-controller", "thermowell-front"];
const PROPERTIES: &str = "Id,LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,MainPID,User";
/// Time-out for each program that asks systemd.
const PATIENCE: Duration = Duration::from_secs(2);
/// The exposure of `systemd-analyze security` that the units of `deploy/` stay below.
const EXPOSURE_MAX: f64 = 2.0;

/// A unit's properties.
type Unit = BTreeMap<String, String>;

pub(super) fn check(root: &Root) -> Vec<Finding> {
    let skip = |why: &str| ["unit.state", "unit.hardening"].map(|id| Finding::new(id, Skipped, why)).into();
    if !root.exists("/run/systemd/system") {
        return skip("systemd does not run here");
    }
    let units = match units(root) {
        Ok(units) => units,
        Err(error) => return ["unit.state", "unit.hardening"].map(|id| Finding::new(id, Unknown, &error)).into(),
    };
    if units.is_empty() {
        return skip("no unit of Thermowell is installed");
    }
    let mut found: Vec<Finding> = units.iter().map(|(name, unit)| state(name, unit, root).about(name)).collect();
    found.extend(hardening(&units, root));
    found
}

/// The units that are installed.
fn units(root: &Root) -> Result<Vec<(String, Unit)>, String> {
    let names = UNITS.map(|unit| format!("{unit}.service"));
    let mut arguments = vec!["show", "--no-pager", "--property", PROPERTIES];
    arguments.extend(names.iter().map(String::as_str));
    let text = root.run("systemctl", &arguments, PATIENCE)?;
    let unit = |block: &str| -> Unit {
        let lines = block.lines().filter_map(|line| line.split_once('='));
        lines.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let units = text.split("\n\n").map(unit).filter(|unit| word(unit, "LoadState") == "loaded");
    Ok(units.map(|unit| (word(&unit, "Id").trim_end_matches(".service").to_owned(), unit)).collect())
}

fn word<'u>(unit: &'u Unit, key: &str) -> &'u str {
    unit.get(key).map_or("", String::as_str)
}

fn state(name: &str, unit: &Unit, root: &Root) -> Finding {
    let find = of("unit.state");
    let journal = ["journalctl", "-u", name, "-n", "50", "--no-pager"];
    let (active, result) = (word(unit, "ActiveState"), word(unit, "Result"));
    if active == "failed" || word(unit, "SubState") == "auto-restart" {
        let status = word(unit, "ExecMainStatus");
        let advice = match status {
            "78" => "the configuration or a key is wrong: see the other findings, then `systemctl restart` it",
            _ => "the end of its log has the cause; `systemctl restart` it after mending",
        };
        let message = format!("{active}: {result}, exit status {status}");
        return find(Error, message).advise(advice).fix(&journal);
    }
    if active != "active" {
        let is_wanted = word(unit, "UnitFileState") == "enabled";
        return match is_wanted {
            true => find(Warning, format!("enabled, but {active}")).fix(&["systemctl", "start", name]),
            false => find(Fine, format!("{active}, and not enabled")),
        };
    }
    let exe = root.path(format!("/proc/{}/exe", word(unit, "MainPID")));
    if fs::read_link(exe).is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)")) {
        let message = "runs a program that has been replaced since".to_owned();
        return find(Warning, message).fix(&["systemctl", "restart", name]);
    }
    match word(unit, "NRestarts") {
        "" | "0" => find(Fine, "runs, and has not been restarted".to_owned()),
        restarts => find(Warning, format!("was restarted {restarts} times by systemd since it was started"))
            .advise("its log has the cause of each; a restart by hand sets the count to 0")
            .fix(&journal),
    }
}

fn hardening(units: &[(String, Unit)], root: &Root) -> Vec<Finding> {
    let find = of("unit.hardening");
    let names: Vec<String> = units.iter().map(|(name, _)| format!("{name}.service")).collect();
    let mut arguments = vec!["security", "--no-pager"];
    arguments.extend(names.iter().map(String::as_str));
    let text = root.run("systemd-analyze", &arguments, PATIENCE);
    let judge = |(name, unit): &(String, Unit)| {
        let install = "install the unit of deploy/ again, and see its drop-ins";
        let edit = ["systemctl", "cat", name.as_str()];
        if matches!(word(unit, "User"), "" | "root") {
            return find(Warning, "runs as root".to_owned()).advise(install).fix(&edit);
        }
        match text.as_ref().map(|text| exposure(text, name)) {
            Ok(Some(exposure)) if exposure > EXPOSURE_MAX => {
                find(Warning, format!("its exposure is {exposure:.1}, above {EXPOSURE_MAX:.1}"))
                    .advise(install)
                    .fix(&edit)
            }
            Ok(Some(exposure)) => find(Fine, format!("its exposure is {exposure:.1}")),
            Ok(None) => find(Unknown, "systemd-analyze does not report it".to_owned()),
            Err(error) => find(Unknown, error.clone()),
        }
    };
    units.iter().map(|unit| judge(unit).about(&unit.0)).collect()
}

/// From the line `→ Overall exposure level for thermowell-agent.service: 1.3 OK`.
fn exposure(text: &str, name: &str) -> Option<f64> {
    let begin = format!("Overall exposure level for {name}.service: ");
    text.lines().find_map(|line| line.split_once(&begin)?.1.split(' ').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::root::testing::{machine, program};
    use super::*;

    const AGENT: &str = "Id=thermowell-agent.service\nLoadState=loaded\nUnitFileState=enabled\nActiveState=active\n\
                         SubState=running\nResult=success\nExecMainStatus=0\nNRestarts=0\nMainPID=7\nUser=thermowell\n";

    /// What is found on a machine with this unit, of this exposure.
    fn found(unit: &str, exposure: &str, exe: &str) -> [(Finding, String); 2] {
        let (_folder, root) = machine(&[("run/systemd/system/x", ""), ("proc/7/cmdline", "")]);
        symlink(exe, root.path("proc/7/exe")).unwrap();
        program(
            &root,
            "systemctl",
            &format!("echo \"{unit}\necho; Id=thermowell-front.service\nLoadState=not-found\""),
        );
        let line = format!("echo \"-> Overall exposure level for thermowell-agent.service: {exposure} OK\"");
        program(&root, "systemd-analyze", &line);
        let found = check(&root);
        assert!(
            found.len() == 2 && found.iter().all(|it| it.subject.as_deref() == Some("thermowell-agent")),
            "{found:?}"
        );
        let command = |it: &Finding| it.fix.as_deref().unwrap_or_default().join(" ");
        [0, 1].map(|at| (found[at].clone(), command(&found[at])))
    }

    #[test]
    fn unit_that_failed_or_restarted_is_found_with_its_command() {
        let exe = "/usr/bin/thermowell";
        for (from, to, exe, status, message, command) in [
            ("", "", exe, Fine, "runs, and has not been restarted", ""),
            (
                "=active",
                "=failed",
                exe,
                Error,
                "failed: success, exit status 0",
                "journalctl -u thermowell-agent -n 50 --no-pager",
            ),
            ("SubState=running", "SubState=auto-restart", exe, Error, "active: success", "journalctl -u"),
            ("NRestarts=0", "NRestarts=3", exe, Warning, "was restarted 3 times", "journalctl -u thermowell-agent"),
            ("=active", "=inactive", exe, Warning, "enabled, but inactive", "systemctl start thermowell-agent"),
            (
                "",
                "",
                "/usr/bin/thermowell (deleted)",
                Warning,
                "has been replaced",
                "systemctl restart thermowell-agent",
            ),
        ] {
            let [(state, fix), (hardening, _)] =
                found(&AGENT.replace(from, if from.is_empty() { "" } else { to }), "1.3", exe);
            assert_eq!(state.status, status, "{state:?}");
            assert!(state.message.contains(message) && fix.starts_with(command), "{state:?}");
            assert_eq!(hardening.status, Fine, "{hardening:?}");
        }
        let code = AGENT.replace("=active", "=failed").replace("ExecMainStatus=0", "ExecMainStatus=78");
        let [(wrong, _), _] = found(&code, "1.3", exe);
        assert!(wrong.advice.unwrap().starts_with("the configuration or a key is wrong"));
    }

    #[test]
    fn unit_as_root_or_exposed_is_a_warning() {
        let exe = "/usr/bin/thermowell";
        for (unit, exposure, status, message) in [
            (AGENT.replace("User=thermowell", "User="), "1.3", Warning, "runs as root"),
            (AGENT.to_owned(), "9.2", Warning, "its exposure is 9.2, above 2.0"),
            (AGENT.to_owned(), "2.0", Fine, "its exposure is 2.0"),
            (AGENT.to_owned(), "?", Unknown, "systemd-analyze does not report it"),
        ] {
            let [_, (hardening, _)] = found(&unit, exposure, exe);
            assert_eq!((hardening.status, hardening.message.as_str()), (status, message));
        }
    }

    #[test]
    fn machine_without_systemd_or_units_is_left_out() {
        let (_folder, root) = machine(&[]);
        assert!(check(&root).iter().all(|it| it.status == Skipped && it.message == "systemd does not run here"));
        let (_folder, root) = machine(&[("run/systemd/system/x", "")]);
        assert!(check(&root).iter().all(|it| it.status == Unknown));
        program(&root, "systemctl", "echo LoadState=not-found");
        assert!(check(&root).iter().all(|it| it.status == Skipped && it.message.starts_with("no unit")));
    }
}
