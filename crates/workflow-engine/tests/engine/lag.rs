use std::time::Duration;

use engine_api::proto::{
    DeleteProcessRequest, JobLag, ListJobLagRequest, OnInstances, TenantQuotas, WatchJobLagRequest,
    WatchJobLagResponse,
};
use serde_json::json;
use tonic::{Code, Streaming};

use crate::models::one_task;
use crate::support::{Caller, World, activation, database};

async fn lags(caller: &Caller, tenant_ids: &[&str]) -> Vec<JobLag> {
    // A sample is reused for a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let request = ListJobLagRequest {
        tenant_ids: tenant_ids.iter().map(|id| (*id).to_owned()).collect(),
        job_types: Vec::new(),
        page_token: String::new(),
    };
    caller.jobs().list_job_lag(request).await.expect("should list").into_inner().lags
}

/// (tenant, type, activatable, has an oldest job, activated).
fn figures(lags: &[JobLag]) -> Vec<(&str, &str, i64, bool, i64)> {
    lags.iter()
        .map(|lag| {
            (&*lag.tenant_id, &*lag.job_type, lag.activatable, lag.oldest_run_at.is_some(), lag.activated)
        })
        .collect()
}

#[tokio::test]
async fn lag_counts_activatable_jobs_and_includes_known_types_without_jobs() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let (caller, monitor) = (engine.controller(), engine.monitor());
    for id in ["acme", "globex"] {
        caller.put_tenant(id, TenantQuotas::default()).await;
        caller.deploy(id, &one_task("order", "charge")).await;
    }
    caller.deploy("acme", &one_task("other", "ship")).await;
    for _ in 0..3 {
        caller.start("acme", "order", &json!({})).await;
    }
    let job = caller.activate("acme", "charge", 1).await.remove(0);
    assert_eq!(
        figures(&lags(&monitor, &[]).await),
        [("acme", "charge", 2, true, 1), ("acme", "ship", 0, false, 0), ("globex", "charge", 0, false, 0)]
    );
    assert_eq!(figures(&lags(&monitor, &["globex"]).await), [("globex", "charge", 0, false, 0)]);

    // A job in its backoff does not count.
    let failure = |retries| engine_api::proto::FailJobRequest {
        tenant_id: "acme".to_owned(),
        key: job.key,
        lease_epoch: job.lease_epoch,
        retries,
        retry_backoff: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
        error_message: String::new(),
    };
    caller.jobs().fail_job(failure(1)).await.expect("should fail");
    assert_eq!(figures(&lags(&monitor, &["acme"]).await)[0], ("acme", "charge", 2, true, 0));
}

#[tokio::test]
async fn a_job_with_an_expired_lease_counts_as_lag_from_the_expiry() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let mut short = activation("_default", "charge", 1);
    short.lease = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let job = caller.try_activate(short).await.expect("should activate").remove(0);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let lag = lags(&caller, &[]).await.remove(0);
    assert_eq!((lag.activatable, lag.oldest_run_at), (1, job.lease_expires_at));
}

#[tokio::test]
async fn a_type_is_removed_when_its_last_process_is_deleted_and_its_last_job_is_done() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let request = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: OnInstances::KeepRunning.into(),
        retain: false,
    };
    caller.processes().delete_process(request).await.expect("should delete");
    // It stays as long as there is a job.
    assert_eq!(figures(&lags(&caller, &[]).await), [("_default", "charge", 1, true, 0)]);
    caller.work("_default", "charge", &json!({})).await;
    assert_eq!(figures(&lags(&caller, &[]).await), []);
}

async fn next(stream: &mut Streaming<WatchJobLagResponse>) -> WatchJobLagResponse {
    tokio::time::timeout(Duration::from_secs(12), stream.message())
        .await
        .expect("should not be silent for 12 s")
        .expect("should not fail")
        .expect("should not end")
}

#[tokio::test]
async fn watching_sends_a_snapshot_then_changes_and_heartbeats() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.deploy("_default", &one_task("other", "ship")).await;
    let request = WatchJobLagRequest { tenant_ids: Vec::new(), job_types: Vec::new(), min_interval: None };
    let mut stream = engine.monitor().jobs().watch_job_lag(request).await.expect("should watch").into_inner();
    let first = next(&mut stream).await;
    assert!(first.snapshot);
    assert_eq!(
        figures(&first.lags),
        [("_default", "charge", 0, false, 0), ("_default", "ship", 0, false, 0)]
    );

    caller.start("_default", "order", &json!({})).await;
    let started = tokio::time::Instant::now();
    let change = next(&mut stream).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!((change.snapshot, figures(&change.lags)), (false, vec![("_default", "charge", 1, true, 0)]));

    let before = change.measured_at.expect("should be measured").seconds;
    let heartbeat = next(&mut stream).await;
    assert_eq!((heartbeat.snapshot, heartbeat.lags.len(), heartbeat.removed.len()), (false, 0, 0));
    assert!(heartbeat.measured_at.expect("should be measured").seconds > before);

    let request = DeleteProcessRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "other".to_owned(),
        owner: None,
        on_instances: OnInstances::Fail.into(),
        retain: false,
    };
    caller.processes().delete_process(request).await.expect("should delete");
    let removal = next(&mut stream).await;
    let removed: Vec<_> = removal.removed.iter().map(|lag| &*lag.job_type).collect();
    assert_eq!((removal.lags.len(), removed), (0, vec!["ship"]));
}

#[tokio::test]
async fn an_interval_outside_its_range_is_refused() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let request = WatchJobLagRequest {
        tenant_ids: Vec::new(),
        job_types: Vec::new(),
        min_interval: Some(prost_types::Duration { seconds: 61, nanos: 0 }),
    };
    let refused = engine.monitor().jobs().watch_job_lag(request).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("min_interval"), "{}", refused.message());
}
