//! What the demo shows over time: lag and backlog as the HPA reads them, the fleet as the user sees it.

use anyhow::Context as _;
use api_types::WorkflowWorker;
use api_types::job_type;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{Api, Client};
use serde::Deserialize;

/// One look at a fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// `wf_job_lag_seconds`; `None` = the metrics API has no answer.
    pub lag_seconds: Option<f64>,
    /// `wf_job_backlog`.
    pub backlog: Option<f64>,
    /// What the autoscaler wants.
    pub desired: i32,
    /// What runs.
    pub ready: i32,
}

/// Looks at a fleet through the APIs that the HPA and the user use.
pub async fn observe_fleet(
    client: &Client,
    namespace: &str,
    worker: &str,
    job_type: &str,
) -> anyhow::Result<Sample> {
    let workers: Api<WorkflowWorker> = Api::namespaced(client.clone(), namespace);
    let status = workers.get(worker).await?.status.unwrap_or_default();
    let autoscalers: Api<HorizontalPodAutoscaler> = Api::namespaced(client.clone(), namespace);
    let autoscaler = autoscalers.get_opt(worker).await?;
    let desired = autoscaler.and_then(|found| found.status).map(|status| status.desired_replicas);
    Ok(Sample {
        lag_seconds: observe_metric(client, namespace, "wf_job_lag_seconds", job_type).await.ok(),
        backlog: observe_metric(client, namespace, "wf_job_backlog", job_type).await.ok(),
        desired: desired.or(status.replicas).unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
    })
}

/// One value of the External Metrics API.
pub async fn observe_metric(
    client: &Client,
    namespace: &str,
    metric: &str,
    job_type: &str,
) -> anyhow::Result<f64> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        value: String,
    }
    let label = job_type::encode(job_type)?;
    let path = format!(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}?labelSelector=job_type%3D{label}"
    );
    let list: List = client.request(http::Request::get(path).body(Vec::new())?).await?;
    let [item] = list.items.as_slice() else {
        anyhow::bail!("{metric} has {} items, expected one", list.items.len())
    };
    parse_quantity(&item.value).with_context(|| format!("{metric} is {:?}", item.value))
}

/// The forms that our adapter writes: `30` and `1500m`.
fn parse_quantity(text: &str) -> Option<f64> {
    match text.strip_suffix('m') {
        Some(millis) => millis.parse::<f64>().ok().map(|millis| millis / 1000.0),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_the_adapter_are_read() {
        assert_eq!(
            [parse_quantity("30"), parse_quantity("1500m"), parse_quantity("x")],
            [Some(30.0), Some(1.5), None]
        );
    }
}
