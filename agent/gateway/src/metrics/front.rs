//! What the front reports of the MQTT broker, each second.

use super::sheet::Rows;
use crate::mqtt::Counters;

pub(super) fn write(counters: &Counters, rows: &mut Rows<'_>) {
    let Counters {
        is_connected,
        connects,
        failures,
        sent,
        denied,
        dropped,
        accepted,
        refused,
        readings,
        readings_refused,
        readings_dropped,
    } = *counters;
    rows.add("mqtt_connected", is_connected);
    rows.add("mqtt_connects_total", connects);
    rows.add("mqtt_failures_total", failures);
    rows.each("mqtt_messages_total", "outcome", [("sent", sent), ("denied", denied), ("dropped", dropped)]);
    rows.each("mqtt_commands_total", "outcome", [("accepted", accepted), ("refused", refused)]);
    let readings = [("taken", readings), ("refused", readings_refused), ("dropped", readings_dropped)];
    rows.each("mqtt_temperatures_total", "outcome", readings);
}
