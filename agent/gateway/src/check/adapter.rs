//! What connects a port: its name, an FTDI adapter's delay, and whether the line is fast enough.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::Status::{Error, Ok as Fine, Skipped, Warning};
use super::finding::{Repair, of};
use super::{Finding, Root};
use crate::config::{Boiler, SAMPLE_LINE_BYTES, SAMPLES_PER_SECOND};
use crate::quantity::grouped;

/// The most of the line that the samples may take: the rest is for answers, and for catching up.
const LINE_PERCENT_MAX: u32 = 80;
/// Bits of a byte on the line, with start and stop bit.
const BITS: u32 = 10;
/// Kinds of ports whose number depends on the order in which adapters are plugged in.
const NUMBERED: [&str; 2] = ["ttyUSB", "ttyACM"];

pub(super) fn check(boilers: &[Boiler], root: &Root) -> Vec<Finding> {
    let look =
        |boiler: &Boiler| [name(boiler, root), latency(boiler, root)].map(|finding| finding.about(boiler.id.as_str()));
    boilers.iter().flat_map(look).collect()
}

/// A name that the kernel numbers.
fn name(boiler: &Boiler, root: &Root) -> Finding {
    let find = of("port.name");
    let port = boiler.port.display();
    let device = boiler.port.file_name().unwrap_or_default().to_string_lossy();
    let is_numbered = boiler.port.parent() == Some(Path::new("/dev"))
        && NUMBERED.iter().any(|kind| device.strip_prefix(kind).is_some_and(|number| number.parse::<u32>().is_ok()));
    if !is_numbered {
        return find(Fine, format!("{port} is not a number of the kernel's"));
    }
    let message = format!("{port} changes with the socket and the order of plugging in");
    let link = format!("thermowell-{}", boiler.id);
    let Some((key, value)) = udev(boiler, root) else {
        let advice = "name it by a line in 70-thermowell.rules, with ID_SERIAL or ID_PATH of this command";
        return find(Warning, message).advise(advice).fix(&[
            "udevadm",
            "info",
            "--query=property",
            &format!("--name={port}"),
        ]);
    };
    find(Warning, message).advise(format!(
        "add this line to /usr/lib/udev/rules.d/70-thermowell.rules, plug it in again, set port = \"/dev/{link}\":\n\
         SUBSYSTEM==\"tty\", ENV{{{key}}}==\"{value}\", SYMLINK+=\"{link}\""
    ))
}

/// What identifies an adapter: its serial number, else its socket. From udev's own record of the device.
fn udev(boiler: &Boiler, root: &Root) -> Option<(&'static str, String)> {
    let device = fs::metadata(root.path(&boiler.port)).ok()?.rdev();
    let record = root.read(format!("/run/udev/data/c{}:{}", major(device), minor(device)))?;
    let value = |key: &'static str| {
        let found = record.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('='))?;
        Some((key, found.to_owned()))
    };
    // An adapter without a serial number has its maker's name twice, and so has every other one of its kind.
    let has_number = value("ID_SERIAL_SHORT").is_some();
    value("ID_SERIAL").filter(|_| has_number).or_else(|| value("ID_PATH"))
}

fn latency(boiler: &Boiler, root: &Root) -> Finding {
    let find = of("port.latency");
    let Some((path, timer)) = timer(boiler, root) else {
        return find(Skipped, "no FTDI adapter".to_owned());
    };
    if timer == "1" {
        return find(Fine, "the adapter passes bytes on after 1 ms".to_owned());
    }
    let file = path.display().to_string();
    find(Warning, format!("the adapter passes bytes on after {timer} ms, so stamps are less exact"))
        .advise("deploy/70-thermowell.rules sets it to 1 at each plug-in")
        .fix(&["sh", "-c", &format!("echo 1 > {file}")])
        .repair(Repair::Latency(path))
}

/// The latency timer of the port's adapter, and its value in ms.
fn timer(boiler: &Boiler, root: &Root) -> Option<(PathBuf, String)> {
    let device = fs::canonicalize(root.path(&boiler.port)).ok()?;
    let timer = Path::new("/sys/class/tty").join(device.file_name()?).join("device/latency_timer");
    let value = root.read(&timer)?;
    Some((root.path(timer), value))
}

pub(super) fn budget(boilers: &[Boiler]) -> Vec<Finding> {
    boilers.iter().map(|boiler| of_line(boiler.baud).about(boiler.id.as_str())).collect()
}

/// The configuration refuses slower rates too; this shows what is left.
fn of_line(baud: u32) -> Finding {
    let needed = SAMPLES_PER_SECOND * SAMPLE_LINE_BYTES * BITS;
    let percent = needed * 100 / baud.max(1);
    let rate = |bits: u32| grouped(&bits.to_string(), ',');
    let message = format!("the samples take {} of {} bit/s: {percent} %", rate(needed), rate(baud));
    if percent <= LINE_PERCENT_MAX {
        return of("line.budget")(Fine, message);
    }
    of("line.budget")(Error, message).advise("set baud = 115200 in [serial], and in the firmware")
}

#[cfg(test)]
mod tests {
    use super::super::root::testing::machine;
    use super::*;
    use crate::config::Dtr;

    fn boiler(port: &str) -> Boiler {
        Boiler {
            id: "b1".parse().unwrap(),
            port: port.into(),
            baud: 115_200,
            serial_number: None,
            dtr: Dtr::Keep,
            room: None,
            outdoor: None,
        }
    }

    #[test]
    fn numbered_name_is_a_warning_with_the_line_to_paste() {
        // A plain file has the device number 0:0.
        let record = "E:ID_SERIAL=FTDI_FT232R_A5\nE:ID_SERIAL_SHORT=A5\nE:ID_PATH=pci-0000:00:14.0-usb-0:2:1.0";
        let (_folder, root) = machine(&[("dev/ttyUSB0", ""), ("run/udev/data/c0:0", record)]);
        let found = name(&boiler("/dev/ttyUSB0"), &root);
        assert_eq!(found.status, Warning);
        let advice = found.advice.unwrap();
        let line = "SUBSYSTEM==\"tty\", ENV{ID_SERIAL}==\"FTDI_FT232R_A5\", SYMLINK+=\"thermowell-b1\"";
        assert!(advice.ends_with(line) && advice.contains("port = \"/dev/thermowell-b1\""), "{advice}");
        fs::write(root.path("run/udev/data/c0:0"), record.replace("E:ID_SERIAL_SHORT=A5\n", "")).unwrap();
        assert!(name(&boiler("/dev/ttyUSB0"), &root).advice.unwrap().contains("ENV{ID_PATH}==\"pci-"));
        let unknown = name(&boiler("/dev/ttyACM3"), &root);
        assert_eq!((unknown.status, unknown.fix.unwrap().last().unwrap().as_str()), (Warning, "--name=/dev/ttyACM3"));
        for fine in ["/dev/thermowell-b1", "/dev/serial/by-id/usb-FTDI", "/dev/ttyAMA0", "/dev/ttyUSB"] {
            assert_eq!(name(&boiler(fine), &root).status, Fine, "{fine}");
        }
    }

    #[test]
    fn slow_ftdi_timer_is_a_warning_with_a_command() {
        let timer = "sys/class/tty/ttyUSB0/device/latency_timer";
        let (_folder, root) = machine(&[("dev/ttyUSB0", ""), (timer, "16\n")]);
        std::os::unix::fs::symlink("ttyUSB0", root.path("dev/thermowell-b1")).unwrap();
        let slow = latency(&boiler("/dev/thermowell-b1"), &root);
        assert_eq!((slow.status, slow.repair), (Warning, Some(Repair::Latency(root.path(timer)))));
        assert!(slow.message.contains("16 ms") && slow.fix.unwrap()[2].starts_with("echo 1 > "));
        fs::write(root.path(timer), "1\n").unwrap();
        assert_eq!(latency(&boiler("/dev/thermowell-b1"), &root).status, Fine);
        assert_eq!(latency(&boiler("/dev/ttyS0"), &root).status, Skipped);
    }

    #[test]
    fn slow_line_is_an_error() {
        assert_eq!(of_line(38_400).message, "the samples take 20,000 of 38,400 bit/s: 52 %");
        assert_eq!([38_400, 19_200].map(|baud| of_line(baud).status), [Fine, Error]);
    }
}
