//! What one scrape has: rows in any order, written by families.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::catalogue::CATALOGUE;

/// The media type of [`Sheet::text`].
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

type Label = (&'static str, String);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

#[derive(Debug)]
struct Row {
    /// Its place in the catalogue.
    metric: usize,
    labels: Vec<Label>,
    value: Value,
}

#[derive(Debug, Default)]
pub(super) struct Sheet {
    rows: Vec<Row>,
}

impl Sheet {
    /// A row with these labels.
    ///
    /// # Panics
    /// With debug assertions, if the catalogue has no such metric, or one with other labels. Without them, a row that
    /// is not in the catalogue is left out.
    pub(super) fn add(&mut self, name: &str, labels: Vec<Label>, value: impl Into<Value>) {
        let metric = CATALOGUE.iter().position(|metric| metric.name == name);
        let fits = |at: usize| CATALOGUE[at].labels().eq(labels.iter().map(|(key, _)| *key));
        debug_assert!(metric.is_some_and(fits), "{name} with {labels:?} is in the catalogue");
        if let Some(metric) = metric {
            self.rows.push(Row { metric, labels, value: value.into() });
        }
    }

    /// The rows of one boiler, or of one role.
    pub(super) fn of(&mut self, key: &'static str, value: &str) -> Rows<'_> {
        Rows { sheet: self, label: (key, value.to_owned()) }
    }

    /// The text that is scraped.
    pub(super) fn text(mut self) -> String {
        self.rows.sort_by_key(|row| row.metric);
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(self));
        prometheus_text::encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }
}

impl Collector for Sheet {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.rows.chunk_by(|a, b| a.metric == b.metric) {
            let metric = &CATALOGUE[family[0].metric];
            let (name, kind) = (metric.full_name(), metric.kind());
            // The encoder adds the suffix of a counter.
            let name = name.strip_suffix("_total").unwrap_or(&name);
            let mut rows = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for row in family {
                let mut one = rows.encode_family(&row.labels)?;
                match (kind, row.value) {
                    (MetricType::Counter, Value::Whole(value)) => {
                        one.encode_counter::<Vec<Label>, _, f64>(&value, None)?
                    }
                    (MetricType::Counter, Value::Real(value)) => {
                        one.encode_counter::<Vec<Label>, _, f64>(&value, None)?
                    }
                    (_, Value::Whole(value)) => one.encode_gauge(&value)?,
                    (_, Value::Real(value)) => one.encode_gauge(&value)?,
                }
            }
        }
        Ok(())
    }
}

/// The rows of one boiler, or of one role.
pub(super) struct Rows<'a> {
    sheet: &'a mut Sheet,
    label: Label,
}

impl Rows<'_> {
    pub(super) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.sheet.add(name, vec![self.label.clone()], value);
    }

    /// A row only if the value is known.
    pub(super) fn known(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// A row with a second label.
    pub(super) fn one(&mut self, name: &str, label: Label, value: impl Into<Value>) {
        self.sheet.add(name, vec![self.label.clone(), label], value);
    }

    /// A row for each value of a second label.
    pub(super) fn each<V: Into<Value>>(
        &mut self,
        name: &str,
        key: &'static str,
        rows: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        for (label, value) in rows {
            self.one(name, (key, label.to_owned()), value);
        }
    }
}
