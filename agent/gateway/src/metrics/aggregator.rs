//! What the aggregator reports of a boiler, with each STATE.

use thermowell_flow::aggregator::Counters;
use thermowell_flow::published::{Freshness, Missing, State};

use super::sheet::Rows;

/// The values of a STATE.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    /// When the newest slot was sampled, Unix seconds.
    pub stamp: f64,
    /// Temperatures in °C.
    pub current: Option<f64>,
    pub average: Option<f64>,
    pub average_heating: Option<f64>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    /// Of the last hour, 0 to 1.
    pub coverage: f64,
    pub heating_share: f64,
}

impl From<&State> for Values {
    fn from(state: &State) -> Self {
        Self {
            stamp: state.stamp,
            current: state.current,
            average: state.average,
            average_heating: state.average_heating,
            minimum: state.minimum,
            maximum: state.maximum,
            coverage: state.coverage,
            heating_share: state.heating_share,
        }
    }
}

/// The last report about a boiler.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// None before the first slot, and while the aggregator catches up.
    pub values: Option<Values>,
    pub counters: Counters,
    /// Slots of this session's hours: counted, and missing.
    pub slots: (u64, Missing),
    /// The last hour with a snapshot, in hours since 1970.
    pub last_hour: Option<i64>,
}

impl Report {
    pub(super) fn write(&self, rows: &mut Rows<'_>, freshness: impl Fn(f64) -> Freshness) {
        let (counted, missing) = self.slots;
        rows.add("slots_total", counted.saturating_add(missing.total()));
        rows.each("slots_missing_total", "reason", missing.by_reason());
        let begin = self.last_hour.and_then(|hour| i32::try_from(hour).ok()).map(|hour| f64::from(hour) * 3_600.0);
        rows.known("snapshot_hour_timestamp_seconds", begin);
        counters(&self.counters, rows);
        let Some(values) = &self.values else { return };
        rows.add("last_slot_timestamp_seconds", values.stamp);
        let freshness = freshness(values.stamp);
        if freshness == Freshness::Fresh {
            rows.known("flow_temperature_celsius", values.current);
        }
        if matches!(freshness, Freshness::Fresh | Freshness::Coasting) {
            rows.known("flow_temperature_hour_mean_celsius", values.average);
            rows.known("flow_temperature_hour_heating_mean_celsius", values.average_heating);
            rows.known("flow_temperature_hour_minimum_celsius", values.minimum);
            rows.known("flow_temperature_hour_maximum_celsius", values.maximum);
            rows.add("hour_coverage_ratio", values.coverage);
            rows.add("hour_heating_ratio", values.heating_share);
        }
    }
}

/// Destructured, so that a new counter cannot be forgotten.
fn counters(counters: &Counters, rows: &mut Rows<'_>) {
    let Counters {
        batches,
        gaps,
        samples,
        duplicates,
        malformed,
        discarded,
        unexplained,
        stepped_back,
        unsynced,
        hours,
        differing,
        dropped_hours,
    } = *counters;
    rows.add("aggregator_batches_total", batches);
    rows.add("aggregator_gaps_total", gaps);
    rows.add("aggregator_slots_read_total", samples);
    rows.add("aggregator_slots_repeated_total", duplicates);
    rows.add("aggregator_malformed_total", malformed);
    let lost = [
        ("discarded", discarded),
        ("unexplained", unexplained),
        ("stepped_back", stepped_back),
        ("unsynced", unsynced),
    ];
    rows.each("aggregator_slots_lost_total", "cause", lost);
    rows.add("snapshots_closed_total", hours);
    rows.add("snapshots_dropped_total", dropped_hours);
    rows.add("snapshots_differing_total", differing);
}
