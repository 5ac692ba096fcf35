//! What a boiler's task in the agent reports, once a second with its STATUS.

use thermowell_flow::agent::Counters;
use thermowell_flow::published::{DeviceStatus, Link, Status};
use thermowell_wire::line::{BoilerState, Demand, FaultKind, Rejection};

use super::sheet::Rows;

/// Counts of the task itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounters {
    /// Times that the port was opened.
    pub opens: u64,
    /// Times that the open port was lost.
    pub losses: u64,
    /// Frames that the port did not take.
    pub unsent: u64,
    /// Leases that newer ones replaced.
    pub replaced: u64,
    /// Messages that the server refused with an error of its own.
    pub declined: u64,
}

/// The last report of a boiler's task.
#[derive(Clone, Debug)]
pub struct Report {
    /// CLOCK_BOOTTIME.
    pub at_ns: u64,
    pub status: Status,
    pub counters: Counters,
    pub task: TaskCounters,
    pub spool_bytes: usize,
    pub spill_bytes: usize,
}

const LINKS: [(&str, Link); 4] =
    [("down", Link::Down), ("silent", Link::Silent), ("refused", Link::Refused), ("up", Link::Up)];
const STATES: [(&str, BoilerState); 6] = [
    ("standby", BoilerState::Standby),
    ("waiting", BoilerState::Waiting),
    ("firing", BoilerState::Firing),
    ("overrun", BoilerState::Overrun),
    ("blocked", BoilerState::Blocked),
    ("lockout", BoilerState::Lockout),
];
const FAULTS: [(&str, FaultKind); 8] = [
    ("overheat", FaultKind::Overheat),
    ("sensor", FaultKind::Sensor),
    ("ignition", FaultKind::Ignition),
    ("flame_loss", FaultKind::FlameLoss),
    ("low_pressure", FaultKind::LowPressure),
    ("pump", FaultKind::Pump),
    ("sensor_mismatch", FaultKind::SensorMismatch),
    ("boot_loop", FaultKind::BootLoop),
];

fn bytes(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Report {
    /// `speed` is how many seconds of the calendar a second of a lease has. `is_current`: the task still reports.
    pub(super) fn write(&self, rows: &mut Rows<'_>, speed: u32, is_current: bool) {
        counters(&self.counters, rows);
        task(self.task, rows);
        if !is_current {
            return;
        }
        let status = &self.status;
        rows.add("link_up", status.link == Link::Up);
        rows.each("link_state", "state", LINKS.map(|(name, link)| (name, link == status.link)));
        rows.add("backlog_slots", status.backlog);
        rows.add("spool_bytes", bytes(self.spool_bytes));
        rows.add("spill_bytes", bytes(self.spill_bytes));
        // A silent device's last report is not what it does now.
        if let Some(device) = status.device.as_ref().filter(|_| status.link == Link::Up) {
            rows.add("simulated", status.simulated);
            write_device(device, rows, |left_s| status.created_at + left_s * f64::from(speed));
        }
    }
}

fn write_device(device: &DeviceStatus, rows: &mut Rows<'_>, ends: impl Fn(f64) -> f64) {
    rows.each("device_state", "state", STATES.map(|(name, state)| (name, state == device.state)));
    rows.each("device_on", "part", [("flame", device.flame), ("pump", device.pump), ("hot_water", device.hot_water)]);
    rows.add("device_modulation_ratio", f64::from(device.modulation) / 100.0);
    rows.add("burner_starts_total", u64::from(device.burner_starts));
    rows.known("return_temperature_celsius", device.return_temperature);
    rows.known("room_temperature_celsius", device.room);
    rows.known("outdoor_temperature_celsius", device.outdoor);
    rows.known("water_pressure_pascals", device.pressure_mbar.map(|mbar| u64::from(mbar) * 100));
    rows.add("setpoint_own_celsius", device.own_flow);
    let heat = device.setpoint.filter(|accepted| accepted.demand == Demand::Heat);
    rows.known("setpoint_accepted_celsius", heat.map(|accepted| accepted.flow));
    rows.known("lease_expires_timestamp_seconds", device.setpoint.map(|accepted| ends(accepted.lease_left_s)));
    let present = device.fault.map(|fault| fault.kind);
    rows.each("fault", "kind", FAULTS.map(|(name, kind)| (name, present == Some(kind))));
    rows.add("lockout", device.fault.is_some_and(|fault| fault.lockout));
}

/// Destructured, so that a new counter cannot be forgotten.
fn counters(counters: &Counters, rows: &mut Rows<'_>) {
    let Counters {
        frames,
        rejected,
        implausible,
        samples,
        duplicates,
        holes,
        foreign,
        identifies,
        resumes,
        refused_devices,
        boots,
        full,
        batches,
        gaps,
        publishes,
        acknowledged,
        wrong_sequences,
        unknown,
        spilled,
        spill_failures,
        restored,
        unrestored,
        too_large,
        rollbacks,
        conflicts,
        clock_jumps,
        faults_unreported,
        requests,
        declined,
    } = *counters;
    rows.add("serial_frames_total", frames);
    rows.each(
        "serial_rejected_total",
        "cause",
        Rejection::ALL.map(|cause| (cause_name(cause), rejected[cause.index()])),
    );
    rows.add("serial_implausible_total", implausible);
    rows.add("serial_holes_total", holes);
    rows.add("serial_foreign_total", foreign);
    rows.add("slots_read_total", samples);
    rows.add("slots_repeated_total", duplicates);
    rows.add("slots_refused_total", full);
    rows.add("identifies_total", identifies);
    rows.add("resumes_total", resumes);
    rows.add("device_boots_total", boots);
    rows.add("devices_refused_total", refused_devices);
    rows.add("requests_total", requests);
    rows.add("requests_declined_total", declined);
    rows.add("clock_jumps_total", clock_jumps);
    rows.add("faults_unreported_total", faults_unreported);
    rows.add("batches_total", batches);
    rows.add("gaps_total", gaps);
    rows.add("publishes_total", publishes);
    let outcomes = [
        ("acknowledged", acknowledged),
        ("wrong_sequence", wrong_sequences),
        ("unknown", unknown),
        ("too_large", too_large),
    ];
    rows.each("publish_total", "outcome", outcomes);
    rows.add("stream_rollbacks_total", rollbacks);
    rows.add("stream_conflicts_total", conflicts);
    rows.each(
        "spill_records_total",
        "outcome",
        [("written", spilled), ("restored", restored), ("unrestored", unrestored)],
    );
    rows.add("spill_failures_total", spill_failures);
}

fn task(counters: TaskCounters, rows: &mut Rows<'_>) {
    let TaskCounters { opens, losses, unsent, replaced, declined } = counters;
    rows.add("serial_port_opens_total", opens);
    rows.add("serial_port_losses_total", losses);
    rows.add("serial_unsent_total", unsent);
    rows.add("leases_replaced_total", replaced);
    rows.add("publish_declined_total", declined);
}

fn cause_name(cause: Rejection) -> &'static str {
    match cause {
        Rejection::Oversized => "oversized",
        Rejection::Cobs => "cobs",
        Rejection::Short => "short",
        Rejection::Checksum => "checksum",
        Rejection::Malformed => "malformed",
        Rejection::Trailing => "trailing",
    }
}
