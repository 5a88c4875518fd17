//! An instance that an incident holds: it shows, a person lets it go on, and a tenant can be deleted all the same.

use std::time::Duration;

use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant};
use e2e::engine::{Connection, connect};
use engine_client::model::{
    ActivateJobs, CompleteJob, FailJob, IncidentFilter, InstanceState, Job, ResolveIncidents, Selection,
    StartInstance, Variables,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use test_support::wait::{await_condition, await_gone, eventually};

use crate::deletion::ALL;
use crate::fixture::{EDIT, api, await_event, named_cluster};
use crate::lane::{Kind, Lane};

/// The figure is asked for every 30 s.
const FIGURE: Duration = Duration::from_secs(90);
const END: Duration = Duration::from_mins(7);

/// Takes the one job that waits.
async fn take(engine: &Connection, tenant_id: &str) -> Job {
    let demand = ActivateJobs {
        tenant_id: tenant_id.to_owned(),
        job_types: vec!["charge-payment".to_owned()],
        worker: "e2e".to_owned(),
        max_jobs: 1,
        lease: Duration::from_mins(1),
        wait: Duration::from_secs(10),
    };
    let jobs = engine.client.activate_jobs(&demand).await.expect("should activate");
    jobs.into_iter().next().expect("a job should wait")
}

/// Starts an instance and lets its job fail for good.
async fn get_stuck(engine: &Connection, name: &str) -> i64 {
    let start = StartInstance {
        request_id: String::new(),
        tenant_id: name.to_owned(),
        process_id: format!("{name}-flow"),
        version: None,
        variables: Variables::default(),
    };
    let started = engine.client.start_instance(&start).await.expect("should start");
    let job = take(engine, name).await;
    let failure = FailJob {
        job: job.job_ref(),
        retries: 0,
        retry_backoff: Duration::ZERO,
        error_message: "the bank says no".to_owned(),
    };
    assert!(engine.client.fail_job(&failure).await.expect("should fail"), "an incident should be raised");
    started.instance_key
}

#[tokio::test]
async fn an_incident_shows_is_resolved_and_does_not_hold_a_tenant_for_ever() {
    let Some(cluster) = named_cluster("an_incident_shows_is_resolved").await else { return };
    let lane = Lane::fresh(&cluster, "incident").await;
    lane.apply().await;
    lane.await_ready().await;
    // Its jobs are this test's: a pod that is still on its way out would take them.
    lane.delete(Kind::Worker).await;
    let name = lane.name.as_str();
    await_gone(&api::<Deployment>(&cluster, ALL), name, EDIT).await;
    let pods: Api<Pod> = api(&cluster, ALL);
    let of_worker = ListParams::default().labels(&format!("workflow.example.com/worker={name}"));
    eventually("the worker's pods are gone", EDIT, async || {
        let left = pods.list(&of_worker).await.map_err(|error| error.to_string())?.items.len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
    let clusters: Api<WorkflowCluster> = api(&cluster, ALL);
    let engine = clusters.get(name).await.expect("should read the cluster");
    let engine = connect(&cluster, &engine).await.expect("should connect");

    let stuck = get_stuck(&engine, name).await;
    let processes: Api<WorkflowProcess> = api(&cluster, ALL);
    let open = |expected: i64| {
        move |process: &WorkflowProcess| {
            process.status.as_ref().and_then(|status| status.open_incidents) == Some(expected)
        }
    };
    await_condition(&processes, name, FIGURE, "shows the incident", open(1)).await;
    await_event(&cluster, ALL, name, "IncidentsOpen", "").await;

    let resolve = ResolveIncidents {
        request_id: String::new(),
        tenant_id: name.to_owned(),
        selection: Selection::Filter { filter: IncidentFilter::default(), page: None },
        retries: 1,
        variables: Variables::default(),
    };
    assert_eq!(engine.client.resolve_incidents(&resolve).await.expect("should resolve").resolved, 1);
    let job = take(&engine, name).await;
    let complete = CompleteJob { job: job.job_ref(), variables: Variables::default() };
    engine.client.complete_job(&complete).await.expect("should complete");
    let ended = engine.client.get_instance(name, stuck).await.expect("should read").expect("should be there");
    assert_eq!(ended.state, InstanceState::Completed);
    await_condition(&processes, name, FIGURE, "shows that none is left", open(0)).await;

    // Nobody resolves the next one. The tenant says what holds it, and a person purges it.
    get_stuck(&engine, name).await;
    lane.delete(Kind::Process).await;
    lane.delete(Kind::Tenant).await;
    await_gone(&processes, name, EDIT).await;
    let tenants: Api<WorkflowTenant> = api(&cluster, ALL);
    let reported = "has 1 running instances, 1 of them with an incident (incident-flow: 1)";
    await_condition(&tenants, name, EDIT, "says what holds it", |tenant: &WorkflowTenant| {
        let message = tenant.status.as_ref().and_then(|status| status.message.as_deref());
        message.is_some_and(|message| message.contains(reported))
    })
    .await;
    let purge = json!({"spec": {"deletionPolicy": "Purge"}});
    tenants
        .patch(name, &PatchParams::default(), &Patch::Merge(&purge))
        .await
        .expect("should change the policy");
    await_gone(&tenants, name, EDIT).await;
    lane.delete(Kind::Cluster).await;
    lane.await_gone(END).await;
}
