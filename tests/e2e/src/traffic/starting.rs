//! Applications that start instances.

use std::sync::Arc;
use std::time::Duration;

use backon::Retryable as _;
use engine_client::model::{StartInstance, Variables};
use engine_client::{EngineClient, EngineError, repetitions, request_id};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Shared;

const CALL: &str = "start";

/// An open loop: an engine that is slow or away does not slow it down.
pub(super) async fn start_by_the_clock(
    shared: Arc<Shared>,
    clients: Vec<EngineClient>,
    rate: u32,
    stop: CancellationToken,
) {
    let mut clock = tokio::time::interval(Duration::from_secs(1) / rate);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut starts = JoinSet::new();
    for client in clients.iter().cycle() {
        let Some(due) = stop.run_until_cancelled(clock.tick()).await else { break };
        let order = shared.record.open_order(due);
        starts.spawn(start(Arc::clone(&shared), client.clone(), order));
        while starts.try_join_next().is_some() {}
    }
    starts.join_all().await;
}

/// Repeated with the same request id, so that an engine which did it before gives the same answer.
async fn start(shared: Arc<Shared>, client: EngineClient, order: usize) {
    let target = &shared.target;
    let variables = json!({"run": target.run, "order": order});
    let request = StartInstance {
        request_id: request_id(&target.run, i64::try_from(order).unwrap_or(i64::MAX), CALL),
        tenant_id: target.tenant.clone(),
        process_id: target.process.clone(),
        version: None,
        variables: Variables(variables.as_object().cloned().unwrap_or_default()),
    };
    let started = (|| client.start_instance(&request))
        .retry(repetitions())
        .when(EngineError::is_unavailable)
        .notify(|error, _| shared.record.repeat(CALL, error))
        .await;
    match started {
        Ok(started) => shared.record.start_order(order, started.instance_key),
        Err(error) => shared.record.fail(CALL, &error),
    }
}
