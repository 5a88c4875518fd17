use std::time::Duration;

use engine_api::proto::{
    CompleteJobsRequest, ExtendJobRequest, FailJobRequest, InstanceState, Job, StartInstancesRequest,
};
use serde_json::json;
use tonic::Code;

use crate::models::one_task;
use crate::support::{World, activation, completion, database, wire_variables};

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn failure(job: &Job, retries: i32, backoff: i64) -> FailJobRequest {
    FailJobRequest {
        tenant_id: job.tenant_id.clone(),
        key: job.key,
        lease_epoch: job.lease_epoch,
        retries,
        retry_backoff: Some(seconds(backoff)),
        error_message: "card\u{7} declined".to_owned(),
    }
}

#[tokio::test]
async fn an_activated_job_has_all_fields_and_its_completion_ends_the_instance() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let definition =
        caller.deploy("_default", &one_task("order", "charge")).await.definition.expect("should be");
    let instance = caller.start("_default", "order", &json!({"amount": 12.5, "items": ["a"]})).await;

    let jobs = caller.activate("_default", "charge", 10).await;
    let [job] = jobs.as_slice() else { panic!("{jobs:?}") };
    assert_eq!(
        (job.instance_key, job.process_definition_key, job.retries, job.lease_epoch),
        (instance, definition.key, 3, 1)
    );
    assert_eq!(
        (job.process_id.as_str(), job.element_id.as_str(), job.r#type.as_str()),
        ("order", "work", "charge")
    );
    assert_eq!(job.headers.get("queue").map(String::as_str), Some("fast"));
    assert_eq!(job.variables, Some(wire_variables(&json!({"amount": 12.5, "items": ["a"]}))));
    assert_eq!(caller.activate("_default", "charge", 10).await, []);

    caller.complete(job, &json!({"paid": true})).await;
    let ended = caller.instance("_default", instance).await;
    assert_eq!(ended.state(), InstanceState::Completed);
    assert_eq!(ended.variables, Some(wire_variables(&json!({"amount": 12.5, "items": ["a"], "paid": true}))));
    let again = caller.try_complete(job, &json!({})).await.expect_err("should be gone");
    assert_eq!(again.code(), Code::NotFound);
}

#[tokio::test]
async fn after_its_lease_expired_a_job_goes_to_another_worker_and_the_first_is_refused() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    let mut short = activation("_default", "charge", 1);
    short.lease = Some(seconds(1));
    let first = caller.try_activate(short).await.expect("should activate").remove(0);
    let mut waiting = activation("_default", "charge", 1);
    waiting.wait = Some(seconds(10));
    let second = caller.try_activate(waiting).await.expect("should activate").remove(0);
    assert_eq!((second.key, second.lease_epoch, second.retries), (first.key, first.lease_epoch + 1, 3));

    let stale = caller.try_complete(&first, &json!({"who": "first"})).await.expect_err("should be stale");
    assert_eq!(stale.code(), Code::Aborted);
    let stale = caller.jobs().fail_job(failure(&first, 1, 0)).await.expect_err("should be stale");
    assert_eq!(stale.code(), Code::Aborted);
    caller.complete(&second, &json!({"who": "second"})).await;
    let ended = caller.instance("_default", instance).await;
    assert_eq!(ended.variables, Some(wire_variables(&json!({"who": "second"}))));
}

#[tokio::test]
async fn an_extended_lease_keeps_the_job() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let mut short = activation("_default", "charge", 1);
    short.lease = Some(seconds(1));
    let job = caller.try_activate(short).await.expect("should activate").remove(0);
    let request = ExtendJobRequest {
        tenant_id: "_default".to_owned(),
        key: job.key,
        lease_epoch: job.lease_epoch,
        lease: Some(seconds(60)),
    };
    let extended = caller.jobs().extend_job(request.clone()).await.expect("should extend").into_inner();
    assert!(extended.lease_expires_at.map(|at| at.seconds) > job.lease_expires_at.map(|at| at.seconds + 50));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(caller.activate("_default", "charge", 1).await, []);
    let stale = ExtendJobRequest { lease_epoch: job.lease_epoch + 1, ..request };
    assert_eq!(caller.jobs().extend_job(stale).await.expect_err("should be stale").code(), Code::Aborted);
    caller.complete(&job, &json!({})).await;
}

#[tokio::test]
async fn a_failed_job_can_be_activated_again_after_its_backoff_with_fewer_retries() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    caller.start("_default", "order", &json!({})).await;
    let job = caller.activate("_default", "charge", 1).await.remove(0);
    let failed = caller.jobs().fail_job(failure(&job, 2, 2)).await.expect("should fail").into_inner();
    assert!(!failed.incident);
    assert_eq!(caller.activate("_default", "charge", 1).await, []);
    // Its lease ended with the failure.
    let late = caller.try_complete(&job, &json!({})).await.expect_err("should be stale");
    assert_eq!(late.code(), Code::Aborted);
    let mut waiting = activation("_default", "charge", 1);
    waiting.wait = Some(seconds(10));
    let again = caller.try_activate(waiting).await.expect("should activate").remove(0);
    assert_eq!((again.key, again.retries), (job.key, 2));
}

#[tokio::test]
async fn a_job_without_retries_raises_an_incident_and_is_not_activated_again() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let instance = caller.start("_default", "order", &json!({})).await;
    let job = caller.activate("_default", "charge", 1).await.remove(0);
    let failed = caller.jobs().fail_job(failure(&job, 0, 0)).await.expect("should fail").into_inner();
    assert!(failed.incident);
    assert_eq!(caller.activate("_default", "charge", 1).await, []);
    let stuck = caller.instance("_default", instance).await;
    assert_eq!(stuck.state(), InstanceState::Active);
    let reported: Vec<_> =
        stuck.incidents.iter().map(|incident| (&*incident.element_id, &*incident.message)).collect();
    assert_eq!(reported, [("work", "card  declined")]);
}

#[tokio::test]
async fn a_batch_completes_jobs_with_a_held_lease_and_returns_the_keys_of_the_others() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let request = StartInstancesRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: vec![wire_variables(&json!({})); 1000],
    };
    let started = caller.jobs().start_instances(request).await.expect("should start").into_inner();
    let jobs = caller.activate("_default", "charge", 1000).await;
    assert_eq!((started.instance_keys.len(), jobs.len()), (1000, 1000));

    let mut completions: Vec<_> = jobs.iter().map(|job| completion(job, &json!({"done": true}))).collect();
    completions[3].lease_epoch += 1;
    completions[7].key = 42;
    let request = CompleteJobsRequest { tenant_id: "_default".to_owned(), jobs: completions };
    let lost = caller.jobs().complete_jobs(request).await.expect("should complete").into_inner().lost;
    assert_eq!(lost, [42, jobs[3].key]);
    let left: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM workflow.job), (SELECT count(*) FROM workflow.instance WHERE state = 1)",
    )
    .fetch_one(&mut tenant_session(&world).await)
    .await
    .expect("should count");
    assert_eq!(left, (2, 2));
}

async fn tenant_session(world: &World) -> sqlx::PgConnection {
    let mut session = world.app_session().await;
    sqlx::query("SELECT set_config('workflow.tenant_id', '_default', false)")
        .execute(&mut session)
        .await
        .expect("should set the tenant");
    session
}

#[tokio::test]
async fn concurrent_workers_get_each_job_once() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    let caller = one.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let request = StartInstancesRequest {
        request_id: String::new(),
        tenant_id: "_default".to_owned(),
        process_id: "order".to_owned(),
        version: 0,
        variables: vec![wire_variables(&json!({})); 300],
    };
    caller.jobs().start_instances(request).await.expect("should start");
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let worker = if number % 2 == 0 { one.worker("_default") } else { two.worker("_default") };
        workers.spawn(async move {
            let mut keys = Vec::new();
            loop {
                let jobs = worker.activate("_default", "charge", 7).await;
                if jobs.is_empty() {
                    return keys;
                }
                for job in &jobs {
                    worker.complete(job, &json!({})).await;
                }
                keys.extend(jobs.iter().map(|job| job.key));
            }
        });
    }
    let mut keys: Vec<i64> = workers.join_all().await.into_iter().flatten().collect();
    keys.sort_unstable();
    let taken = keys.len();
    keys.dedup();
    assert_eq!((taken, keys.len()), (300, 300));
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_job_that_another_replica_created() {
    let world = World::new(database!());
    let (one, two) = (world.serve("engine-0").await, world.serve("engine-1").await);
    one.controller().deploy("_default", &one_task("order", "charge")).await;
    let worker = two.worker("_default");
    let waiting = tokio::spawn(async move {
        let mut request = activation("_default", "charge", 1);
        request.wait = Some(seconds(20));
        let jobs = worker.try_activate(request).await.expect("should activate");
        (jobs.len(), std::time::Instant::now())
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.controller().start("_default", "order", &json!({})).await;
    let started = std::time::Instant::now();
    let (count, answered) = waiting.await.expect("should end");
    assert_eq!(count, 1);
    assert!(
        answered.duration_since(started) < Duration::from_secs(3),
        "{:?}",
        answered.duration_since(started)
    );
}

#[tokio::test]
async fn malformed_requests_of_workers_are_refused_with_the_field() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    let good = activation("_default", "charge", 1);
    let refused = [
        (engine_api::proto::ActivateJobsRequest { tenant_id: String::new(), ..good.clone() }, "tenant_id"),
        (engine_api::proto::ActivateJobsRequest { job_types: Vec::new(), ..good.clone() }, "job_types"),
        (engine_api::proto::ActivateJobsRequest { worker: String::new(), ..good.clone() }, "worker"),
        (engine_api::proto::ActivateJobsRequest { max_jobs: 0, ..good.clone() }, "number of jobs"),
        (engine_api::proto::ActivateJobsRequest { max_jobs: 1001, ..good.clone() }, "number of jobs"),
        (engine_api::proto::ActivateJobsRequest { lease: Some(seconds(7200)), ..good.clone() }, "lease"),
        (engine_api::proto::ActivateJobsRequest { wait: Some(seconds(31)), ..good.clone() }, "wait"),
    ];
    for (request, field) in refused {
        let status = caller.try_activate(request).await.expect_err("should be refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(field), "{} does not name {field}", status.message());
    }
}

#[tokio::test]
async fn requests_in_one_batch_do_not_affect_each_other() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let caller = engine.controller();
    caller.deploy("_default", &one_task("order", "charge")).await;
    let starts = (0..30).map(async |number| {
        let process_id = if number % 3 == 0 { "unknown" } else { "order" };
        caller.try_start("_default", process_id, &json!({})).await.map_err(|status| status.code())
    });
    let mut started = futures::future::join_all(starts).await;
    assert_eq!(started.iter().filter(|start| **start == Err(Code::NotFound)).count(), 10, "{started:?}");
    started.retain(Result::is_ok);
    started.sort_by_key(|start| start.unwrap_or_default());
    started.dedup();
    assert_eq!(started.len(), 20);

    let jobs = caller.activate("_default", "charge", 20).await;
    let stale = Job { lease_epoch: jobs[0].lease_epoch + 1, ..jobs[0].clone() };
    let (small, huge) = (json!({}), json!({"text": "x".repeat(1_100_000)}));
    let (all, twice) = (jobs[1..].iter(), jobs[1..5].iter());
    let completions = all.chain(twice).map(|job| caller.try_complete(job, &small));
    let (completed, refused, lost) = tokio::join!(
        futures::future::join_all(completions),
        caller.try_complete(&jobs[0], &huge),
        caller.try_complete(&stale, &small),
    );
    let codes =
        |code| completed.iter().filter(|done| matches!(done, Err(status) if status.code() == code)).count();
    assert_eq!((completed.iter().filter(|done| done.is_ok()).count(), codes(Code::NotFound)), (19, 4));
    assert_eq!(refused.expect_err("should be too large").code(), Code::InvalidArgument);
    assert_eq!(lost.expect_err("should be lost").code(), Code::Aborted);
    caller.complete(&jobs[0], &json!({})).await;
}
