//! Compares two snapshots by field.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use thermowell_flow::published::Snapshot;

use crate::nats;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its path in the JSON, such as `missing.ring`.
    pub field: String,
    /// None if the stored snapshot lacks the field.
    pub stored: Option<Value>,
    /// None if the recomputed snapshot lacks the field.
    pub recomputed: Option<Value>,
}

/// The differences; empty if `stored` is byte for byte the JSON of `recomputed`.
pub(super) fn differences(stored: &[u8], recomputed: &Snapshot) -> Vec<Difference> {
    let ours = nats::json(recomputed);
    if stored == ours {
        return Vec::new();
    }
    let values = [stored, &ours].map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null));
    let mut found = Vec::new();
    descend("", Some(&values[0]), Some(&values[1]), &mut found);
    if found.is_empty() {
        let text = |bytes: &[u8]| Some(Value::String(String::from_utf8_lossy(bytes).into_owned()));
        found.push(Difference { field: "bytes".to_owned(), stored: text(stored), recomputed: text(&ours) });
    }
    found
}

/// Whether the differences can come from a stream whose tail was lost and refilled: the same hour in other messages,
/// possibly with other boundaries. The fields that a reopened hour takes over from the stored one must not differ.
pub(super) fn may_have_moved(differences: &[Difference]) -> bool {
    const TAKEN_OVER: [&str; 4] = ["bytes", "partial", "skipped_hours", "version"];
    !differences.iter().any(|difference| TAKEN_OVER.contains(&difference.field.as_str()))
}

fn descend(path: &str, stored: Option<&Value>, recomputed: Option<&Value>, found: &mut Vec<Difference>) {
    if stored == recomputed {
        return;
    }
    if let (Some(Value::Object(a)), Some(Value::Object(b))) = (stored, recomputed) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            descend(&below, a.get(key), b.get(key), found);
        }
        return;
    }
    found.push(Difference { field: path.to_owned(), stored: stored.cloned(), recomputed: recomputed.cloned() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        serde_json::from_str(
            r#"{"temperature":52.13,"created_at":3600,"temperature_points":10,"boiler":"b1",
            "hour":"1970-01-01T00:00:00Z","minimum":50.0,"maximum":55.0,"coverage":0.5,"partial":true,
            "heating":{"temperature":null,"points":0},"slots":12,
            "missing":{"ring":2,"reboot":0,"missed":0,"invalid":0,"clock":0,"discarded":0,"unexplained":0},
            "skipped_hours":0,"sum_centi":52130,"first":null,"last":{"boot":"0000000100000000","seq":11},
            "samples":{"replay":1,"first":1,"last":2},"simulated":true,"clock":"synced","version":1}"#,
        )
        .unwrap()
    }

    fn fields(stored: &str) -> Vec<String> {
        differences(stored.as_bytes(), &snapshot()).into_iter().map(|difference| difference.field).collect()
    }

    #[test]
    fn field_is_named_by_its_path() {
        let text = String::from_utf8(nats::json(&snapshot())).unwrap();
        assert_eq!(fields(&text.replace("52.13,", "52.14,")), ["temperature"]);
        assert_eq!(fields(&text.replace("\"ring\":2", "\"ring\":3")), ["missing.ring"]);
        assert_eq!(fields(&text.replace("\"seq\":11", "\"seq\":12")), ["last.seq"]);
        assert_eq!(fields(&text.replace("\"version\":1", "\"version\":1,\"by\":\"me\"")), ["by"]);
        assert_eq!(fields(&text.replace("\"partial\":true,", "")), ["partial"]);
        assert_eq!(fields(&text.replace("\"sum_centi\":52130", "\"sum_centi\":52130.0")), ["sum_centi"]);
        let found = differences(text.replace("52.13,", "52.14,").as_bytes(), &snapshot());
        assert_eq!(found[0].stored, Some(Value::from(52.14)));
        assert_eq!(found[0].recomputed, Some(Value::from(52.13)));
    }

    #[test]
    fn only_the_same_bytes_have_no_differences() {
        assert_eq!(differences(&nats::json(&snapshot()), &snapshot()), []);
        let text = String::from_utf8(nats::json(&snapshot())).unwrap();
        assert_eq!(fields(&format!("{text} ")), ["bytes"]);
        assert_eq!(fields(&text.replace("\"slots\":12", "\"slots\": 12")), ["bytes"]);
    }

    #[test]
    fn taken_over_fields_cannot_have_moved() {
        let text = String::from_utf8(nats::json(&snapshot())).unwrap();
        for (from, to, moved) in [
            ("\"replay\":1", "\"replay\":7", true),
            ("\"seq\":11", "\"seq\":12", true),
            ("\"partial\":true", "\"partial\":false", false),
            ("\"skipped_hours\":0", "\"skipped_hours\":1", false),
        ] {
            let found = differences(text.replace(from, to).as_bytes(), &snapshot());
            assert_eq!((found.len(), may_have_moved(&found)), (1, moved), "{from}");
        }
    }
}
