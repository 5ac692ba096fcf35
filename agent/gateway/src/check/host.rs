//! The machine itself: its supply of power and memory.

use super::Status::{Ok as Fine, Unknown, Warning};
use super::finding::of;
use super::{Finding, Root};

const ID: &str = "host.power";
/// Free memory below this is a warning, in KiB.
const MEMORY_MIN_KIB: u64 = 32 * 1_024;
/// A Raspberry Pi's firmware reports here, in hexadecimal bits.
const THROTTLED: &str = "/sys/devices/platform/soc/soc:firmware/get_throttled";
/// Bits that are set now: under-voltage, frequency capped, throttled, soft temperature limit.
const NOW: [(u32, &str); 4] = [(0, "under-voltage"), (1, "the frequency is capped"), (2, "throttled"), (3, "too hot")];
/// The same bits since the start are 16 higher.
const SINCE: u32 = 16;

pub(super) fn check(root: &Root) -> Vec<Finding> {
    let find = of(ID);
    let mut found = Vec::new();
    let weak = supply(root);
    if !weak.is_empty() {
        let advice = "use the supply and the cable that the board's maker names, and cool it";
        found.push(find(Warning, weak.join(", ")).advise(advice));
    }
    match free_kib(root) {
        Some(free) if free < MEMORY_MIN_KIB => {
            let advice = "see what uses it, and stop what is not needed";
            let message = format!("{} MiB of memory are free", free / 1_024);
            found.push(find(Warning, message).advise(advice).fix(&["ps", "-eo", "pid,rss,comm", "--sort=-rss"]));
        }
        Some(free) if found.is_empty() => found.push(find(Fine, format!("{} MiB of memory are free", free / 1_024))),
        Some(_) => {}
        None => found.push(find(Unknown, "the system does not report its memory".to_owned())),
    }
    found
}

/// What is wrong with the supply, as far as the machine reports it.
fn supply(root: &Root) -> Vec<String> {
    let bits = root.read(THROTTLED).and_then(|hex| u32::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
    if let Some(bits) = bits {
        let is_set = |bit: u32| bits >> bit & 1 == 1;
        let word = |(bit, what): (u32, &str)| match (is_set(bit), is_set(bit + SINCE)) {
            (true, _) => Some(format!("{what} now")),
            (false, true) => Some(format!("{what} since the start, not now")),
            (false, false) => None,
        };
        return NOW.into_iter().filter_map(word).collect();
    }
    let sensors = root.names("/sys/class/hwmon").into_iter().map(|name| format!("/sys/class/hwmon/{name}"));
    let low = |sensor: &String| {
        let is_supply = root.read(format!("{sensor}/name")).as_deref() == Some("rpi_volt");
        is_supply && root.read(format!("{sensor}/in0_lcrit_alarm")).as_deref() == Some("1")
    };
    if sensors.into_iter().any(|sensor| low(&sensor)) { vec!["under-voltage now".to_owned()] } else { Vec::new() }
}

fn free_kib(root: &Root) -> Option<u64> {
    let text = root.read("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::root::testing::machine;
    use super::*;

    const MEMORY: (&str, &str) = ("proc/meminfo", "MemTotal: 900000 kB\nMemAvailable:  512000 kB\n");

    #[test]
    fn weak_supply_and_little_memory_are_warnings() {
        let (_folder, root) = machine(&[MEMORY]);
        assert_eq!(check(&root)[0].message, "500 MiB of memory are free");
        for (files, message) in [
            (vec![MEMORY, (THROTTLED, "50005\n")], "under-voltage now, throttled now"),
            (
                vec![MEMORY, (THROTTLED, "0x50000")],
                "under-voltage since the start, not now, throttled since the start, not now",
            ),
            (
                vec![
                    MEMORY,
                    ("sys/class/hwmon/hwmon1/name", "rpi_volt"),
                    ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1"),
                ],
                "under-voltage now",
            ),
            (vec![("proc/meminfo", "MemAvailable: 20480 kB")], "20 MiB of memory are free"),
        ] {
            let (_folder, root) = machine(&files);
            let found = check(&root);
            assert_eq!((found.len(), found[0].status, found[0].message.as_str()), (1, Warning, message));
            assert!(found[0].advice.is_some());
        }
        let (_folder, root) = machine(&[MEMORY, (THROTTLED, "0")]);
        assert_eq!(check(&root)[0].status, Fine);
        assert_eq!(check(&machine(&[]).1)[0].status, Unknown);
    }
}
