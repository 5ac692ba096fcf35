//! Every metric: its name, its label besides `boiler` or `role`, and its meaning. The table in `deploy/OPERATING.md` is
//! this one, and a test compares them.

use prometheus_client::metrics::MetricType;

/// A metric. Its full name has `thermowell_` before it, unless it is one of `process_…`.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    /// Who has it: a role with a boiler (`agent`, `aggregator`, `controller`), each role, or the process.
    pub(super) of: &'static str,
    /// Its label besides `boiler` or `role`, if any.
    pub(super) label: &'static str,
    pub(super) help: &'static str,
}

impl Metric {
    pub(super) fn full_name(&self) -> String {
        if self.name.starts_with("process_") { self.name.to_owned() } else { format!("thermowell_{}", self.name) }
    }

    /// The keys of its labels, in their order.
    pub(super) fn labels(&self) -> impl Iterator<Item = &'static str> {
        let first = match self.of {
            "process" => "",
            "role" => "role",
            _ => "boiler",
        };
        [first].into_iter().chain(self.label.split(", ")).filter(|key| !key.is_empty())
    }

    /// Counters end in `_total`, as the format wants it.
    pub(super) fn kind(&self) -> MetricType {
        if self.name.ends_with("_total") { MetricType::Counter } else { MetricType::Gauge }
    }
}

const fn metric(of: &'static str, name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { name, of, label, help }
}

/// In the order of the text and of the table.
pub(super) const CATALOGUE: &[Metric] = &[
    metric(
        "aggregator",
        "flow_temperature_celsius",
        "",
        "flow temperature of the newest slot; only while it is fresh and valid",
    ),
    metric(
        "aggregator",
        "flow_temperature_hour_mean_celsius",
        "",
        "mean of the last hour; like all of the last hour absent when the newest slot is over 60 s old",
    ),
    metric(
        "aggregator",
        "flow_temperature_hour_heating_mean_celsius",
        "",
        "mean over the heating seconds of the last hour",
    ),
    metric("aggregator", "flow_temperature_hour_minimum_celsius", "", "least reading of the last hour"),
    metric("aggregator", "flow_temperature_hour_maximum_celsius", "", "largest reading of the last hour"),
    metric("aggregator", "hour_coverage_ratio", "", "known part of the last hour, 0 to 1"),
    metric("aggregator", "hour_heating_ratio", "", "part of the last hour in which rooms were heated, 0 to 1"),
    metric("aggregator", "last_slot_timestamp_seconds", "", "when the newest slot was sampled"),
    metric("aggregator", "slots_total", "", "slots accounted for since the hour with which this session began"),
    metric("aggregator", "slots_missing_total", "reason", "those of them that are not in the mean"),
    metric("aggregator", "snapshot_hour_timestamp_seconds", "", "begin of the last hour that has a snapshot"),
    metric("aggregator", "aggregator_batches_total", "", "batches with new slots, since this session began"),
    metric("aggregator", "aggregator_gaps_total", "", "gaps with new slots, since this session began"),
    metric(
        "aggregator",
        "aggregator_slots_read_total",
        "",
        "slots read from batches, valid or not, since this session began",
    ),
    metric("aggregator", "aggregator_slots_repeated_total", "", "slots that had been read before"),
    metric("aggregator", "aggregator_malformed_total", "", "malformed messages in SAMPLES"),
    metric(
        "aggregator",
        "aggregator_slots_lost_total",
        "cause",
        "slots that the aggregator itself had to name missing",
    ),
    metric("aggregator", "snapshots_closed_total", "", "hours closed, since this session began"),
    metric(
        "aggregator",
        "snapshots_dropped_total",
        "",
        "closed hours without a snapshot, because too many waited for the server",
    ),
    metric("aggregator", "snapshots_differing_total", "", "stored snapshots that differ from their recomputation"),
    metric("agent", "link_up", "", "1 while samples flow from the device"),
    metric("agent", "link_state", "state", "1 for the present state of the serial link"),
    metric("agent", "serial_frames_total", "", "valid frames of the device"),
    metric("agent", "serial_rejected_total", "cause", "frames thrown away"),
    metric("agent", "serial_implausible_total", "", "valid frames with impossible numbers"),
    metric("agent", "serial_holes_total", "", "holes in the sequence of the line; they are asked for again"),
    metric("agent", "serial_foreign_total", "", "frames of another boot than the session's"),
    metric("agent", "serial_port_opens_total", "", "times that the port was opened"),
    metric("agent", "serial_port_losses_total", "", "times that the open port was lost"),
    metric("agent", "serial_unsent_total", "", "frames dropped because the port took no output"),
    metric("agent", "slots_read_total", "", "slots read from the device as samples"),
    metric("agent", "slots_repeated_total", "", "slots that the device sent again"),
    metric(
        "agent",
        "slots_refused_total",
        "",
        "slots not taken because the spool was full; the ring may still hold them",
    ),
    metric("agent", "identifies_total", "", "`Identify` sent to the device"),
    metric("agent", "resumes_total", "", "`Resume` sent to the device"),
    metric("agent", "device_boots_total", "", "boots of the device that were seen"),
    metric("agent", "devices_refused_total", "", "devices refused: another board, another protocol"),
    metric("agent", "requests_total", "", "set-points, releases and resets sent to the device"),
    metric("agent", "requests_declined_total", "", "leases and resets not passed on to the device"),
    metric("agent", "leases_replaced_total", "", "leases that newer ones replaced before they were passed on"),
    metric("agent", "clock_jumps_total", "", "jumps of the stamps"),
    metric("agent", "faults_unreported_total", "", "changes of the fault without an event, because of the rate limit"),
    metric("agent", "batches_total", "", "batches cut"),
    metric("agent", "gaps_total", "", "gaps recorded"),
    metric("agent", "publishes_total", "", "messages sent to SAMPLES, retries included"),
    metric("agent", "publish_total", "outcome", "their outcomes"),
    metric(
        "agent",
        "publish_declined_total",
        "",
        "messages that the server refused with an error of its own, such as a full disk",
    ),
    metric("agent", "stream_rollbacks_total", "", "times that SAMPLES lost what it had acknowledged"),
    metric("agent", "stream_conflicts_total", "", "times that the last message in SAMPLES was not from this agent"),
    metric("agent", "backlog_slots", "", "slots read and not yet acknowledged by the server"),
    metric("agent", "spool_bytes", "", "memory of the records that are held"),
    metric("agent", "spill_bytes", "", "size of the spill file's records"),
    metric(
        "agent",
        "spill_records_total",
        "outcome",
        "records written to the spill file, restored from it, or without room in memory",
    ),
    metric("agent", "spill_failures_total", "", "syncs of the spill file that failed"),
    metric(
        "agent",
        "simulated",
        "",
        "1 for a device that is not a real boiler; like all of the device absent when the link is not up",
    ),
    metric("agent", "device_state", "state", "1 for the boiler's state"),
    metric("agent", "device_on", "part", "1 while it is on"),
    metric("agent", "device_modulation_ratio", "", "burner power, 0 to 1"),
    metric("agent", "burner_starts_total", "", "burner starts since the device's boot"),
    metric("agent", "return_temperature_celsius", "", "return temperature"),
    metric("agent", "room_temperature_celsius", "", "room temperature"),
    metric("agent", "outdoor_temperature_celsius", "", "outdoor temperature"),
    metric("agent", "water_pressure_pascals", "", "pressure of the heating water"),
    metric("agent", "setpoint_own_celsius", "", "flow temperature of the device's own control when it connected"),
    metric(
        "agent",
        "setpoint_accepted_celsius",
        "",
        "flow temperature that the device holds for a lease; absent for no heat and without a lease",
    ),
    metric("agent", "lease_expires_timestamp_seconds", "", "when the device's lease ends; absent without one"),
    metric("agent", "fault", "kind", "1 for the boiler's present fault"),
    metric("agent", "lockout", "", "1 while the fault needs a reset"),
    metric("controller", "decisions_total", "rule", "decisions, by the rule that decided"),
    metric(
        "controller",
        "setpoint_asked_celsius",
        "",
        "flow temperature that the controller asks for; absent for no heat and after the lease",
    ),
    metric("controller", "leases_published_total", "", "leases published"),
    metric("controller", "leases_unpublished_total", "", "leases that the server did not store"),
    metric("controller", "standing_by", "", "1 while another controller asks"),
    metric("role", "nats_connected", "", "1 while the server is connected"),
    metric("role", "nats_reconnects_total", "", "connections after the first"),
    metric("role", "nats_received_bytes_total", "", "bytes received from the server"),
    metric("role", "nats_sent_bytes_total", "", "bytes sent to the server"),
    metric("role", "session_ready", "", "1 while the server is usable and has every stream"),
    metric("role", "events_waiting", "", "events that wait for the server"),
    metric("role", "events_dropped_total", "", "events dropped: no room, or forbidden"),
    metric("role", "reports_forbidden_total", "", "events and statuses that the server forbids"),
    metric("role", "messages_ignored_total", "", "messages of others that were malformed or in a wrong name"),
    metric("role", "mqtt_connected", "", "1 while the MQTT broker is connected; like the next absent without `[mqtt]`"),
    metric("role", "mqtt_connects_total", "", "connections to the MQTT broker"),
    metric("role", "mqtt_failures_total", "", "failed attempts to connect to it, and connections that ended"),
    metric(
        "role",
        "mqtt_messages_total",
        "outcome",
        "messages sent to it, not allowed by its rights, or events dropped while it was away",
    ),
    metric("role", "mqtt_commands_total", "outcome", "commands and numbers from Home Assistant"),
    metric(
        "role",
        "mqtt_temperatures_total",
        "outcome",
        "room and outdoor temperatures of other devices: stored (taken), refused, or dropped on the way to the server",
    ),
    metric("process", "aggregator_lag_messages", "", "messages of SAMPLES that the aggregator has not read yet"),
    metric("process", "build_info", "version, roles", "always 1"),
    metric(
        "process",
        "certificate_expires_timestamp_seconds",
        "certificate",
        "when the first certificate in a configured file ends: `nats_client`, `nats_ca`, `mqtt_ca`",
    ),
    metric("process", "disk_written_bytes_total", "", "bytes that this process caused to be written to disks"),
    metric("process", "process_cpu_seconds_total", "", "processor time, user and system"),
    metric("process", "process_resident_memory_bytes", "", "memory in use"),
    metric("process", "process_open_fds", "", "open files"),
    metric("process", "process_max_fds", "", "limit of open files"),
    metric("process", "process_start_time_seconds", "", "when the process began"),
];
