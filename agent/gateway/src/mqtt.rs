//! Home Assistant over MQTT, and any other program that reads it there: the values of each boiler, an event for each
//! hour, and two buttons.
//!
//! | topic | retained | QoS | what |
//! |---|---|---|---|
//! | `{discovery}/device/thermowell_{id}/config` | yes | 1 | the device and its entities |
//! | `{prefix}/gateway/{gateway}` | yes | 1 | `online`; `offline` is the last will |
//! | `{prefix}/{id}/availability` | yes | 1 | `online` while the newest sample is at most 60 s old |
//! | `{prefix}/{id}/data`, `/device`, `/command` | **never** | 0 | values; null where they are unknown |
//! | `{prefix}/{id}/last-hour` | never | 1 | the last closed hour |
//! | `{prefix}/{id}/hour`, `/answer` | never | 1 | events: an hour has closed; what became of a command |
//! | `{prefix}/{id}/set/…` | – | 1 | from Home Assistant: `boost`, `release`, `boost-flow`, `boost-minutes` |
//!
//! Topics of other devices can be read, too: their room and outdoor temperatures go to AMBIENT (`readings`).
//!
//! ```text
//!  front's model ─▶ Seen ─▶ values ─▶ session ─▶ link ─▶ broker
//!                           (what is known)  (what is due)  (rumqttc)
//!        commands ◀─ buttons ◀──────────── session ◀─ link ◀─ broker
//! ```
//!
//! `values`, `discovery` and `session` have no clock and no I/O. Why it is as it is:
//!
//! * A retained state would be shown after a restart of Home Assistant as if it were new, and restart its expiry. So
//!   states are repeated instead: when Home Assistant announces its birth, and every half minute.
//! * A retained command would be given again at each reconnect: it is refused, and the session begins clean.
//! * An unknown value is `null` under its key. A missing key renders as an empty text, which keeps the old value.
//! * Each connection has a new client: rumqttc waits without end for acknowledgements of a lost session (its issue
//!   1056).
//! * No climate and no select: both promise a lasting target, and scenes restore them. No resets: two people cannot be
//!   distinguished behind one login.

mod bridge;
mod buttons;
mod discovery;
mod link;
mod outlet;
mod probe;
mod readings;
mod remove;
mod session;
mod topics;
mod trust;
mod values;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod testing;

pub use bridge::{Bridge, Counters, View};
pub use link::LinkError;
pub use probe::{Found, probe};
pub use remove::{Removed, remove};
pub use values::Seen;

/// A message to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    topic: String,
    payload: String,
    retain: bool,
    /// Acknowledged by the broker (QoS 1), or not (QoS 0).
    is_acknowledged: bool,
}

impl Message {
    /// A state, which is repeated: never retained, not acknowledged.
    fn state(topic: String, payload: &serde_json::Value) -> Self {
        Self { topic, payload: payload.to_string(), retain: false, is_acknowledged: false }
    }

    /// An event, or what is sent once an hour: never retained, acknowledged.
    fn event(topic: String, payload: &serde_json::Value) -> Self {
        Self { topic, payload: payload.to_string(), retain: false, is_acknowledged: true }
    }

    /// What a client reads when it subscribes later. An empty payload deletes it.
    fn retained(topic: String, payload: impl Into<String>) -> Self {
        Self { topic, payload: payload.into(), retain: true, is_acknowledged: true }
    }
}
