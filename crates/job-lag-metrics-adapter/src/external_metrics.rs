//! Reading a metric: parse the query, look it up in memory, put it into the API's form.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    error::ApiError,
    quantity,
    selector::Selector,
    store::{NoReading, Reading, Store},
    visibility::Visibility,
    wire::{ExternalMetricValue, ExternalMetricValueList, Metric},
};

pub struct ExternalMetrics<V> {
    pub store: Arc<Store>,
    pub visibility: V,
    pub max_age: Duration,
}

impl<V: Visibility> ExternalMetrics<V> {
    /// The value of `metric` as `namespace` may see it.
    pub fn read(
        &self,
        namespace: &str,
        metric: Metric,
        query: &Query,
    ) -> Result<ExternalMetricValueList, ApiError> {
        let selector: Selector = query.label_selector.parse()?;
        let view = self.visibility.view(namespace).ok_or(ApiError::NotSynced)?;
        match self.store.read(&view, metric, &selector, Instant::now(), self.max_age) {
            Ok(reading) => Ok(ExternalMetricValueList::of(build_value(metric, reading))),
            Err(NoReading::NothingMatches) => Err(ApiError::UnknownSeries {
                metric,
                namespace: namespace.to_owned(),
                selector: query.label_selector.clone(),
            }),
            Err(NoReading::NotFresh { cluster, age }) => Err(ApiError::Stale {
                cluster: cluster.to_string(),
                detail: match age {
                    Some(age) => {
                        format!("{} s old, at most {} s are allowed", age.as_secs(), self.max_age.as_secs())
                    }
                    None => "there has been none yet".to_owned(),
                },
            }),
        }
    }
}

fn build_value(metric: Metric, reading: Reading) -> ExternalMetricValue {
    ExternalMetricValue {
        metric_name: metric.name(),
        metric_labels: reading.labels,
        timestamp: reading.measured_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        value: quantity::from_millis(reading.millis),
    }
}

/// What a metric read may ask for. Everything else in the query (`limit`, `fieldSelector`, `pretty`) has no meaning
/// for one item and is ignored, as other adapters do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub label_selector: String,
    pub watch: bool,
}

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        let mut selected = false;
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match key.as_ref() {
                "labelSelector" if !selected => {
                    selected = true;
                    parsed.label_selector = value.into_owned();
                }
                "watch" => parsed.watch |= !matches!(value.as_ref(), "" | "0" | "false"),
                _ => {}
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests;
