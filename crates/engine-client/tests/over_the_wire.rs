//! What the client makes of the wire: job lag as it changes, documents and counts of instances, requests that are not sent,
//! tokens. What each call means is tested with the real engine (`crates/workflow-engine/tests/engine/client.rs`).

use std::time::Duration;

use engine_client::{
    Accepted, Credential, CredentialVerifier, Engine as _, EngineClient, EnginePool, ErrorClass, Timeouts,
    model::{
        CompleteJob, DEFAULT_TENANT, DeployProcess, DeployResult, JobLag, JobLagFilter, JobLagUpdate,
        JobSeries, LintMode, ProcessDefinition, ProcessDocument, StartInstance, StreamJobs, Tenant,
        TenantQuotas, Variables, WaitingCount, WaitingInstances,
    },
};
use engine_fake::{FakeEngine, FakeServer};
use futures::StreamExt as _;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;

fn time(second: i64) -> Timestamp {
    Timestamp::new(second, 500).expect("second should be within range")
}

fn variables(value: serde_json::Value) -> Variables {
    Variables(serde_json::from_value(value).expect("value should be an object"))
}

fn token(text: &str) -> Credential {
    Credential::parse(text).expect("token should parse")
}

fn client(server: &FakeServer) -> EngineClient {
    let pool = EnginePool::new(Timeouts::default());
    pool.client(&server.access(token("t"))).expect("address should be valid")
}

fn lag(tenant_id: &str, job_type: &str, activatable: u64) -> JobLag {
    JobLag {
        series: JobSeries { tenant_id: tenant_id.to_owned(), job_type: job_type.to_owned() },
        activatable,
        oldest_run_at: (activatable > 0).then(|| time(90)),
        activated: 3,
    }
}

#[tokio::test]
async fn lag_arrives_as_it_changes() {
    let engine = FakeEngine::new();
    engine.set_now(time(100));
    engine.set_lag(lag("acme", "charge-payment", 1));
    engine.set_lag(lag("other", "charge-payment", 1));
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let filter = JobLagFilter { tenant_ids: vec!["acme".to_owned()], job_types: vec![] };
    let mut updates =
        client(&server).watch_job_lag(&filter, Duration::from_secs(1)).await.expect("stream should open");
    let update = |snapshot, lags, removed, second| JobLagUpdate {
        snapshot,
        complete: true,
        lags,
        removed,
        measured_at: time(second),
    };

    let first = lag("acme", "charge-payment", 1);
    assert_eq!(updates.next().await, Some(Ok(update(true, vec![first.clone()], vec![], 100))));
    engine.set_lag(lag("acme", "refund-payment", 0));
    let second = lag("acme", "refund-payment", 0);
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![second], vec![], 100))));
    engine.remove_lag(&first.series);
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![], vec![first.series], 100))));
    engine.set_now(time(101));
    engine.set_heartbeat(Duration::from_millis(20));
    engine.set_now(time(102));
    assert_eq!(updates.next().await, Some(Ok(update(false, vec![], vec![], 102))), "heartbeat");
    engine.set_unreachable(true);
    let end = loop {
        match updates.next().await {
            Some(Ok(_)) => {}
            end => break end,
        }
    };
    assert_eq!(end.and_then(Result::err).map(|error| error.class().clone()), Some(ErrorClass::Unavailable));
    assert_eq!(updates.next().await, None);
}

/// A process with a task `Task_charge` of type `charge`, and as many tasks `Task_refund…` of type `refund`.
fn document(process_id: &str, refunds: usize) -> String {
    let task = |id: &str, job_type: &str| {
        format!(
            r#"<serviceTask id="{id}"><extensionElements><taskDefinition type="{job_type}"/></extensionElements></serviceTask>"#
        )
    };
    let refunds = (0..refunds).map(|number| task(&format!("Task_refund{number}"), "refund"));
    let tasks: String = std::iter::once(task("Task_charge", "charge")).chain(refunds).collect();
    format!(r#"<process id="{process_id}">{tasks}</process>"#)
}

async fn deployed(client: &EngineClient, tenant_id: &str, document: &str) -> ProcessDefinition {
    let digest = ring::digest::digest(&ring::digest::SHA256, document.as_bytes());
    let request = DeployProcess {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        resource_name: "order.bpmn".to_owned(),
        content: document.as_bytes().to_vec(),
        content_sha256: digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")),
        version_tag: None,
        mode: LintMode::Strict,
        owner: None,
        follows_version: None,
    };
    match client.deploy_process(&request).await.expect("should be answered") {
        DeployResult::Deployed { definition, .. } => definition,
        DeployResult::Rejected { findings, .. } => unreachable!("{findings:?}"),
    }
}

async fn started(engine: &FakeEngine, tenant_id: &str, process_id: &str) {
    let start = StartInstance {
        request_id: String::new(),
        tenant_id: tenant_id.to_owned(),
        process_id: process_id.to_owned(),
        version: None,
        variables: Variables::default(),
    };
    engine.start_instance(&start).await.expect("should start");
}

fn with_tenant(id: &str) -> FakeEngine {
    let engine = FakeEngine::new();
    engine.set_tenant(Tenant {
        id: id.to_owned(),
        display_name: String::new(),
        quotas: TenantQuotas::default(),
        rls: true,
        suspended: false,
        owner: None,
        generation: 1,
    });
    engine
}

#[tokio::test]
async fn document_comes_back_as_it_was_deployed() {
    let engine = with_tenant("acme");
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let client = client(&server);
    let (former, latest) = (document("order", 1), document("order", 2));
    let definition = deployed(&client, "acme", &former).await;
    deployed(&client, "acme", &latest).await;
    let expected =
        ProcessDocument { content: former.into_bytes(), content_sha256: definition.content_sha256 };
    assert_eq!(client.get_process_document("acme", definition.key).await, Ok(Some(expected)));
    assert_eq!(client.get_process_document("acme", 999).await, Ok(None));
    assert_eq!(client.get_process_document(DEFAULT_TENANT, definition.key).await, Ok(None));
    engine.lose_definitions("acme", "order");
    assert_eq!(client.get_process_document("acme", definition.key).await, Ok(None));
}

#[tokio::test]
async fn instances_are_counted_by_the_elements_that_they_wait_at() {
    let engine = with_tenant("acme");
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let client = client(&server);
    for (tenant_id, process_id) in [("acme", "order"), ("acme", "other"), (DEFAULT_TENANT, "order")] {
        deployed(&client, tenant_id, &document(process_id, 0)).await;
        started(&engine, tenant_id, process_id).await;
    }
    deployed(&client, "acme", &document("order", 2)).await;
    started(&engine, "acme", "order").await;
    let ids = ["Task_charge", "Task_refund0", "Task_refund1"].map(str::to_owned);
    let count = async |ids: &[String]| client.count_waiting_instances("acme", "order", ids).await;
    let at = |element_id: &str, instances| WaitingCount { element_id: element_id.to_owned(), instances };
    let waiting = |counts, instances| Ok(WaitingInstances { counts, instances, is_at_least: false });
    let both = vec![at("Task_charge", 2), at("Task_refund0", 1)];
    assert_eq!(count(&ids).await, waiting(both, 2), "one instance waits at both");

    // The job of the first version, whose instance ends with it.
    let jobs = StreamJobs {
        tenant_id: "acme".to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "worker-0".to_owned(),
        max_in_flight: 1,
        lease: Duration::from_mins(1),
    };
    let mut jobs = client.stream_activated_jobs(&jobs).await.expect("stream should open");
    let job = jobs.next().await.expect("stream should be open").expect("there should be a job");
    assert_eq!((job.process_id.as_str(), job.element_id.as_str()), ("order", "Task_charge"));
    let done = CompleteJob { job: job.job_ref(), variables: Variables::default() };
    client.complete_job(&done).await.expect("should complete");
    assert_eq!(count(&ids[..1]).await, waiting(vec![at("Task_charge", 1)], 1));
    assert_eq!(count(&ids[2..]).await, waiting(vec![], 0));

    let many = WaitingInstances {
        counts: vec![at("Task_charge", 9_000), at("Task_gone", 1_000)],
        instances: 10_000,
        is_at_least: true,
    };
    engine.set_waiting_instances("acme", "order", many);
    let asked =
        WaitingInstances { counts: vec![at("Task_charge", 9_000)], instances: 9_000, is_at_least: true };
    assert_eq!(count(&ids).await, Ok(asked));

    let too_many: Vec<String> = (0..1001).map(|number| format!("Task_{number}")).collect();
    for wrong in [&[][..], &[ids[0].clone(), ids[0].clone()], &too_many] {
        let error = count(wrong).await.expect_err("should be refused");
        assert_eq!(error.class(), &ErrorClass::Invalid);
        assert!(error.message().contains("element_ids must have 1 to 1000 entries"), "{error}");
    }
}

#[tokio::test]
async fn variables_that_would_be_rounded_are_not_sent() {
    let engine = FakeEngine::new();
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let start = StartInstance {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: None,
        variables: variables(json!({"id": u64::MAX})),
    };
    let error = client(&server).start_instance(&start).await.expect_err("variables should be refused");
    assert_eq!(error.class(), &ErrorClass::Invalid);
    assert_eq!(engine.calls(), vec![]);
}

#[rstest]
#[case::controller("controller", true)]
#[case::unknown("other", false)]
#[tokio::test]
async fn token_is_presented(#[case] presented: &str, #[case] accepted: bool) {
    let secrets = Accepted { controller: vec![token("controller")], ..Accepted::default() };
    let verifier = CredentialVerifier::new(secrets);
    let verifier = verifier.expect("random bytes should be there");
    let server = FakeServer::builder(&FakeEngine::new()).verifier(verifier).start();
    let server = server.expect("loopback should be there");
    let client = EnginePool::new(Timeouts::default()).client(&server.access(token(presented)));
    let answer = client.expect("address should be valid").info().await;
    match answer {
        Ok(_) => assert!(accepted),
        Err(error) => {
            assert_eq!(error.class(), &ErrorClass::Denied);
            assert!(!accepted);
        }
    }
}
