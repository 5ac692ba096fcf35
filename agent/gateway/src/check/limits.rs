//! Compares the server's limits with the streams' sizes and our largest messages, and the size of SAMPLES with the
//! boilers' data rate.

use serde::Deserialize;
use thermowell_wire::batch::encoded_max;

use super::server::Unread;
use super::{Finding, Status};
use crate::config::{Config, SAMPLES_PER_SECOND, show_bytes};
use crate::nats::Connection;
use crate::streams::{self, Room};

/// Room for the headers of a publish: conditions, ids.
const HEADERS: u64 = 256;
/// An upper limit for our states, statuses, snapshots and events.
const JSON: u64 = 2_048;
/// Bytes per second of a boiler in SAMPLES, beside those per message. From the rates in `config/thermowell.toml`: one
/// message a second takes 194 bytes (16 MiB a day), 100 messages a second take 15 times as much: 167 + 27 n.
const PER_SECOND: u64 = 167;
/// Bytes per message: see [`PER_SECOND`].
const PER_MESSAGE: u64 = 27;
const HOUR: u64 = 3_600;
/// What SAMPLES keeps if its size allows it, in seconds.
const KEPT: u64 = 72 * HOUR;

/// How long the size of SAMPLES lasts, for these boilers.
pub(super) fn samples(config: &Config) -> Finding {
    let make = |status, message: String| Finding::new("streams.samples", status, message);
    let boilers = u64::try_from(config.boilers.len()).unwrap_or(u64::MAX);
    let messages = u64::from(SAMPLES_PER_SECOND).div_ceil(u64::from(config.batch.samples));
    let per_second = (PER_SECOND + messages * PER_MESSAGE) * boilers;
    let (bound, lasts) = (config.streams.samples, config.streams.samples / per_second);
    let has = match boilers {
        1 => format!("{} has room for", show_bytes(bound)),
        many => format!("{} for {many} boilers has room for", show_bytes(bound)),
    };
    let wanted = |seconds: u64| show_bytes((per_second * seconds).next_multiple_of(64 << 20));
    let raise = |seconds| format!("set samples = \"{}\" or more in [streams]", wanted(seconds));
    if lasts < HOUR {
        let message = format!("{has} about {} of samples: too few to recompute an hour", minutes(lasts));
        return make(Status::Error, message).advise(raise(KEPT));
    }
    if lasts < KEPT {
        let message = format!("{has} about {} of samples; SAMPLES keeps up to 72 h", hours(lasts));
        return make(Status::Warning, message).advise(raise(KEPT));
    }
    make(Status::Ok, format!("{has} 72 h of samples"))
}

fn minutes(seconds: u64) -> String {
    format!("{} min", seconds / 60)
}

fn hours(seconds: u64) -> String {
    format!("{} h", seconds / HOUR)
}

/// Whether the server accepts our largest messages. `max_payload` is its limit, none if unknown.
pub(super) fn max_payload(config: &Config, max_payload: Option<u64>) -> Finding {
    let make = |status, message: String| Finding::new("nats.max-payload", status, message);
    let Some(limit) = max_payload else {
        return make(Status::Unknown, "the server does not report its limit".to_owned());
    };
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let table = streams::table(config);
    let settings = table.iter().map(|stream| bytes(serde_json::to_vec(stream).unwrap_or_default().len()));
    let needed = settings.max().unwrap_or(0).max(JSON) + HEADERS;
    let batch = bytes(encoded_max(usize::from(config.batch.samples))) + HEADERS;
    if limit < needed {
        let message = format!("the server accepts messages of {limit} bytes, ours have up to {needed}");
        return make(Status::Error, message).advise("raise max_payload in nats.conf; the server's default is 1MB");
    }
    if limit < batch {
        let message = format!(
            "the server accepts messages of {limit} bytes, a batch of {} samples may have {batch}: it is cut smaller",
            config.batch.samples
        );
        return make(Status::Warning, message).advise("raise max_payload in nats.conf, or lower samples in [batch]");
    }
    make(Status::Ok, format!("the server accepts messages of {limit} bytes"))
}

/// The limits of a server or an account.
#[derive(Debug, Deserialize)]
pub(super) struct Bounds {
    max_storage: Option<u64>,
    max_memory: Option<u64>,
}

/// What all streams of a server take and reserve.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reserved {
    #[serde(default)]
    storage: u64,
    #[serde(default)]
    reserved_storage: u64,
    #[serde(default)]
    reserved_memory: u64,
}

/// What a server may still write to its disk.
pub(super) fn to_come(bounds: &Bounds, taken: &Reserved) -> Option<u64> {
    Some(bounds.max_storage?.saturating_sub(taken.storage))
}

/// Whose limits these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Server,
    Account,
}

/// Whether the streams of this configuration fit into the limits of the server and of our account. `server` is what the
/// server's monitor reports.
pub(super) async fn storage(
    config: &Config,
    connection: Option<&Connection>,
    server: Result<(&Bounds, &Reserved), &Unread>,
) -> Finding {
    let table = streams::table(config);
    let wanted = Room::of(&table);
    let ours = match connection {
        Some(connection) => Room::taken(connection.context(), &table).await,
        None => None,
    };
    // The inspector's key does not permit this request, and a server with our keys has no limits per account.
    if let (Some(connection), None) = (connection, &config.nats.keys)
        && let Some((limits, all)) = Room::account(connection.context()).await
    {
        let limits = Bounds { max_storage: limits.disk, max_memory: limits.memory };
        let found = judge(Whose::Account, &limits, wanted, others(all, ours));
        if found.status == Status::Error {
            return found;
        }
    }
    match server {
        Ok((bounds, &Reserved { reserved_storage: disk, reserved_memory: memory, .. })) => {
            judge(Whose::Server, bounds, wanted, others(Room { disk, memory }, ours))
        }
        Err(unread) => unread.finding("nats.storage"),
    }
}

/// What foreign streams reserve; 0 if our own streams could not be read.
fn others(all: Room, ours: Option<Room>) -> Room {
    ours.map_or_else(Room::default, |ours| Room {
        disk: all.disk.saturating_sub(ours.disk),
        memory: all.memory.saturating_sub(ours.memory),
    })
}

fn judge(whose: Whose, bounds: &Bounds, wanted: Room, others: Room) -> Finding {
    let make = |status, message: String| Finding::new("nats.storage", status, message);
    let mut fits = Vec::new();
    for (what, limit, wanted, others, key, instead) in [
        (
            "on disk",
            bounds.max_storage,
            wanted.disk,
            others.disk,
            "max_file_store",
            ", or lower the sizes in [streams]",
        ),
        ("in memory", bounds.max_memory, wanted.memory, others.memory, "max_memory_store", ""),
    ] {
        let Some(limit) = limit else { continue };
        let plus = match others {
            0 => String::new(),
            others => format!(", plus {} of other streams", show_bytes(others)),
        };
        let (asked, has) = (show_bytes(wanted), show_bytes(limit));
        if wanted + others <= limit {
            fits.push(format!("{asked} of {has} {what}"));
            continue;
        }
        let room = show_bytes((wanted + others).next_multiple_of(64 << 20));
        let (name, advice) = match whose {
            Whose::Server => {
                let room = room.replace(' ', "");
                (key, format!("set {key}: {room} or more in nats.conf, then systemctl reload thermowell-nats{instead}"))
            }
            Whose::Account => ("the account's limit", format!("give the account {room} or more {what}{instead}")),
        };
        let message = format!("the streams need {asked} {what}{plus}, and {name} is {has}");
        return make(Status::Error, message).advise(advice);
    }
    if fits.is_empty() {
        return make(Status::Unknown, "the monitor does not report it".to_owned());
    }
    make(Status::Ok, format!("the streams reserve {}", fits.join(" and ")))
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::{
        self, AcceptedSetpoint, Decision, Deficit, DeviceStatus, Event, EventBody, Forecast, HeatingPart, Link,
        Missing, Provisional, SamplesRange, SlotQuality, Snapshot, State,
    };
    use thermowell_flow::time::hour_text;
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::line::{BoilerState, Demand, Fault, FaultKind};
    use thermowell_wire::{BoilerId, Boot, Slot};

    use super::*;
    use crate::nats::json;

    fn config(text: &str) -> Config {
        Config::parse(&format!("{text}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n"), "t.toml").unwrap()
    }

    fn of_boilers(count: usize, text: &str) -> Config {
        let mut config = config(text);
        let boiler = config.boilers[0].clone();
        config.boilers = vec![boiler; count];
        config
    }

    #[test]
    fn size_of_samples_is_shown_as_time() {
        assert_eq!(samples(&config("")).status, Status::Ok);
        assert_eq!(samples(&of_boilers(21, "")).status, Status::Ok, "as config/thermowell.toml has it");
        let many = samples(&of_boilers(64, ""));
        assert_eq!(many.status, Status::Warning);
        assert_eq!(many.message, "1 GiB for 64 boilers has room for about 24 h of samples; SAMPLES keeps up to 72 h");
        assert_eq!(many.advice.as_deref(), Some("set samples = \"3 GiB\" or more in [streams]"));
        let short = samples(&of_boilers(2, "streams.samples = \"1 MiB\""));
        assert_eq!(short.status, Status::Error);
        assert_eq!(
            short.message,
            "1 MiB for 2 boilers has room for about 45 min of samples: too few to recompute an hour"
        );
        assert_eq!(samples(&config("batch.samples = 1\nstreams.samples = \"8 MiB\"")).status, Status::Error);
    }

    #[test]
    fn max_payload_is_compared_with_our_messages() {
        let status = |text: &str, limit| max_payload(&config(text), limit).status;
        assert_eq!(status("", Some(1 << 20)), Status::Ok);
        assert_eq!(status("batch.samples = 1000", Some(1 << 20)), Status::Ok);
        assert_eq!(status("batch.samples = 1000", Some(4_096)), Status::Warning);
        assert_eq!(status("", Some(1_024)), Status::Error);
        assert_eq!(status("", None), Status::Unknown);
        // The settings of a stream name each boiler.
        let mut many = config("");
        let boiler = many.boilers[0].clone();
        many.boilers = vec![boiler; 500];
        assert_eq!(max_payload(&many, Some(4_096)).status, Status::Error);
    }

    /// With the longest names and numbers. Only paths and error texts of the system have no limit.
    #[test]
    fn longest_json_fits_its_allowance() {
        let length = |json: Vec<u8>| u64::try_from(json.len()).unwrap();
        let event = |body| Event { boiler: boiler(), created_at: LONG, body };
        let published = [
            ("state", length(json(&state()))),
            ("status", length(json(&status()))),
            ("snapshot", length(json(&snapshot()))),
            ("another snapshot", length(json(&event(EventBody::SnapshotDiffers { recomputed: Box::new(snapshot()) })))),
            ("decision", length(json(&event(EventBody::Decided(decision().into()))))),
        ];
        assert!(published.iter().all(|(_, length)| *length <= JSON), "{published:?}");
        assert!(published.iter().any(|(_, length)| *length > JSON / 4), "the allowance is too large: {published:?}");
    }

    /// 18 characters, the longest form of an unrounded number.
    const LONG: f64 = -1_234.567_890_123_45;
    const CELSIUS: Option<f64> = Some(LONG);

    fn boiler() -> BoilerId {
        "b".repeat(32).parse().unwrap()
    }

    fn slot() -> Slot {
        Slot::new(Boot::new(u32::MAX, u32::MAX), u64::MAX)
    }

    fn hour() -> String {
        hour_text(490_000)
    }

    fn state() -> State {
        State {
            boiler: boiler(),
            instance: "g".repeat(64),
            stamp: LONG,
            slot: slot(),
            current: CELSIUS,
            quality: SlotQuality::OutOfRange,
            heating: false,
            average: CELSIUS,
            average_points: u64::MAX,
            average_heating: CELSIUS,
            heating_share: LONG,
            coverage: LONG,
            minimum: CELSIUS,
            maximum: CELSIUS,
            provisional: Provisional { hour: hour(), temperature: CELSIUS, points: u64::MAX },
            last_hour: Some(hour()),
            clock: ClockQuality::Unsynced,
            simulated: false,
            version: u8::MAX,
        }
    }

    fn status() -> published::Status {
        let boot = slot().boot;
        let device = DeviceStatus {
            boot,
            serial_number: "s".repeat(64),
            firmware: "f".repeat(64),
            state: BoilerState::Lockout,
            flame: false,
            pump: false,
            hot_water: false,
            modulation: u8::MAX,
            return_temperature: CELSIUS,
            room: CELSIUS,
            outdoor: CELSIUS,
            pressure_mbar: Some(u16::MAX),
            own_flow: LONG,
            setpoint: Some(AcceptedSetpoint { n: u32::MAX, demand: Demand::Heat, flow: LONG, lease_left_s: LONG }),
            fault: Some(Fault { boot, counter: u32::MAX, kind: FaultKind::SensorMismatch, lockout: false }),
            burner_starts: u32::MAX,
        };
        published::Status {
            boiler: boiler(),
            created_at: LONG,
            link: Link::Refused,
            device: Some(device),
            newest: Some(slot()),
            backlog: u64::MAX,
            simulated: false,
            version: u8::MAX,
        }
    }

    fn snapshot() -> Snapshot {
        let most = u64::MAX;
        Snapshot {
            temperature: CELSIUS,
            created_at: i64::MIN,
            temperature_points: most,
            boiler: boiler(),
            hour: hour(),
            minimum: CELSIUS,
            maximum: CELSIUS,
            coverage: LONG,
            partial: false,
            heating: HeatingPart { temperature: CELSIUS, points: most },
            slots: most,
            missing: Missing {
                ring: most,
                reboot: most,
                missed: most,
                invalid: most,
                clock: most,
                discarded: most,
                unexplained: most,
            },
            skipped_hours: most,
            sum_centi: i64::MIN,
            first: Some(slot()),
            last: slot(),
            samples: SamplesRange { replay: most, first: most, last: most },
            simulated: false,
            clock: ClockQuality::Unsynced,
            version: u8::MAX,
        }
    }

    fn decision() -> Decision {
        Decision {
            rule: "no_heat_wanted".to_owned(),
            demand: Some(Demand::Heat),
            flow: CELSIUS,
            wish: CELSIUS,
            correction: LONG,
            integral: LONG,
            current: CELSIUS,
            average: CELSIUS,
            asked: CELSIUS,
            share: LONG,
            room: CELSIUS,
            room_source: Some("c".repeat(32).parse().unwrap()),
            outdoor: CELSIUS,
            outdoor_day: Some(LONG),
            outdoor_day_hours: LONG,
            heating_season: Some(true),
            outdoor_source: Some("c".repeat(32).parse().unwrap()),
            target: LONG,
            forecast: Some(Forecast { target: LONG, at: LONG, heats_from: LONG }),
            warm_up: Some(LONG),
            based_on: Some(slot()),
            command: Some("c".repeat(32).parse().unwrap()),
            deficit: Some(Deficit { kelvin: LONG, share: LONG, hours: LONG }),
        }
    }

    #[test]
    fn streams_fit_or_the_limit_is_named() {
        let table = |text: &str| Room::of(&streams::table(&config(text)));
        let bounds = |storage: u64| Bounds { max_storage: Some(storage << 20), max_memory: Some(64 << 20) };
        let none = Room::default();
        assert_eq!(judge(Whose::Server, &bounds(4_096), table(""), none).status, Status::Ok);
        assert_eq!(judge(Whose::Server, &bounds(4_096), table("feed.enabled = true"), none).status, Status::Ok);
        let small = judge(Whose::Server, &bounds(900), table(""), none);
        assert_eq!(small.status, Status::Error);
        assert_eq!(small.message, "the streams need 1600 MiB on disk, and max_file_store is 900 MiB");
        assert!(small.advice.unwrap().starts_with("set max_file_store: 1600MiB or more in nats.conf"));
        let others = Room { disk: 3 << 30, memory: 0 };
        let crowded = judge(Whose::Server, &bounds(4_096), table(""), others);
        assert_eq!(crowded.status, Status::Error);
        assert!(crowded.message.contains("plus 3 GiB of other streams"), "{}", crowded.message);
        let memory = Bounds { max_storage: Some(4 << 30), max_memory: Some(16 << 20) };
        assert!(judge(Whose::Server, &memory, table(""), none).message.ends_with("max_memory_store is 16 MiB"));
        let account = Bounds { max_storage: Some(1 << 30), max_memory: None };
        let account = judge(Whose::Account, &account, table(""), none);
        assert_eq!(account.message, "the streams need 1600 MiB on disk, and the account's limit is 1 GiB");
        let silent = Bounds { max_storage: None, max_memory: None };
        assert_eq!(judge(Whose::Server, &silent, table(""), none).status, Status::Unknown);
    }
}
