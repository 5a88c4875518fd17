//! Everything that the engine says arrives as it was meant: the same script, once with the fake itself and once over
//! gRPC, gives the same answers.

use std::{collections::BTreeSet, time::Duration};

use engine_client::{
    Accepted, Credential, CredentialVerifier, Engine, EngineClient, EngineError, EnginePool, ErrorClass,
    Timeouts,
    model::{
        ActivateJobs, AppliedMigration, CompleteJob, DEFAULT_TENANT, DefinitionFilter, DefinitionRef,
        DeleteProcess, DeleteTenant, DeleteTenantMode, DeployOutcome, DeployProcess, DeployResult,
        EngineHealth, FailJob, Finding, HealthCheck, HealthComponent, HealthState, Instance, InstanceState,
        Isolation, JobLag, JobLagFilter, JobLagUpdate, JobRef, JobSeries, LintMode, MigrationKind,
        MigrationPlan, MigrationStatus, MigrationStep, Node, OnInstances, Owner, ProcessDeletion, PutOutcome,
        PutTenant, QuotaKind, Severity, StartInstance, StartInstances, StreamJobs, Tenant, TenantDeletion,
        TenantQuotas, TenantUsage, ValidateProcess, Variables, VersionVerdict,
    },
};
use engine_fake::{FakeEngine, FakeServer};
use futures::StreamExt as _;
use jiff::Timestamp;
use rstest::rstest;
use serde_json::json;
use sha2::{Digest as _, Sha256};

fn time(second: i64) -> Timestamp {
    Timestamp::new(second, 500).expect("second should be within range")
}

fn variables(value: serde_json::Value) -> Variables {
    Variables(serde_json::from_value(value).expect("value should be an object"))
}

fn owner(uid: &str) -> Owner {
    Owner { id: format!("WorkflowTest/{uid}"), uid: uid.to_owned(), created_at: Timestamp::UNIX_EPOCH }
}

fn token(text: &str) -> Credential {
    Credential::parse(text).expect("token should parse")
}

fn client(server: &FakeServer) -> EngineClient {
    let pool = EnginePool::new(Timeouts::default());
    pool.client(&server.access(token("t"))).expect("address should be valid")
}

fn document(process_id: &str, job_types: &[&str]) -> Vec<u8> {
    let task = |job_type| format!(r#"<serviceTask><taskDefinition type="{job_type}"/></serviceTask>"#);
    let tasks = job_types.iter().map(task).collect::<Vec<_>>().concat();
    format!(r#"<definitions><process id="{process_id}">{tasks}</process></definitions>"#).into_bytes()
}

fn deploy(request_id: &str, content: Vec<u8>) -> DeployProcess {
    DeployProcess {
        request_id: request_id.to_owned(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        resource_name: "order.bpmn".to_owned(),
        content_sha256: format!("{:x}", Sha256::digest(&content)),
        content,
        version_tag: Some("v1".to_owned()),
        mode: LintMode::Strict,
        owner: Some(owner("uid-1")),
        follows_version: None,
    }
}

fn tenant(id: &str, generation: i64) -> Tenant {
    Tenant {
        id: id.to_owned(),
        display_name: "Acme".to_owned(),
        quotas: TenantQuotas {
            max_active_instances: Some(10),
            max_jobs_per_minute: None,
            max_storage_bytes: Some(1),
        },
        rls: true,
        suspended: true,
        owner: Some(owner("uid-2")),
        generation,
    }
}

fn lag(tenant_id: &str, job_type: &str, activatable: u64) -> JobLag {
    JobLag {
        series: JobSeries { tenant_id: tenant_id.to_owned(), job_type: job_type.to_owned() },
        activatable,
        oldest_run_at: (activatable > 0).then(|| time(90)),
        activated: 3,
    }
}

/// A world in which no field has its default.
fn world() -> FakeEngine {
    let engine = FakeEngine::new();
    engine.set_now(time(100));
    engine.set_purge("acme", 1);
    engine.change_info(|info| {
        info.nodes =
            vec![Node { id: "fake-0".to_owned(), version: "1.0.0".to_owned(), last_seen_at: time(99) }];
    });
    let check = HealthCheck {
        component: HealthComponent::Leases,
        state: HealthState::Degraded,
        reason: Some("slow".to_owned()),
        since: Some(time(50)),
    };
    engine.set_health(EngineHealth { overall: HealthState::Degraded, checks: vec![check] });
    let step =
        |id, kind| MigrationStep { id, description: format!("step {id}"), kind, checksum: "ab".to_owned() };
    engine.set_migration_status(MigrationStatus {
        current: 1,
        newest_known: 2,
        applied: vec![AppliedMigration { step: step(1, MigrationKind::Expand), applied_at: Some(time(1)) }],
        pending: vec![step(2, MigrationKind::Contract)],
        dirty: true,
        lock_holder: Some("fake-1".to_owned()),
    });
    engine.set_migration_plan(MigrationPlan {
        verdict: VersionVerdict::SkippedMajor,
        steps: vec![step(2, MigrationKind::Contract)],
    });
    engine.set_isolation(
        DEFAULT_TENANT,
        Isolation { isolated: false, violations: vec!["no policy".to_owned()] },
    );
    engine.set_usage(TenantUsage {
        tenant_id: DEFAULT_TENANT.to_owned(),
        active_instances: 1,
        jobs_last_minute: 2,
        storage_bytes: 3,
        measured_at: time(98),
        over: BTreeSet::from([QuotaKind::JobsPerMinute, QuotaKind::Storage]),
    });
    engine.reject_documents_with("forbidden", findings(1));
    engine.set_lag(lag(DEFAULT_TENANT, "charge-payment", 5));
    engine
}

fn findings(count: u32) -> Vec<Finding> {
    let finding = |line| Finding {
        rule_id: "task-without-type".to_owned(),
        severity: Severity::Error,
        element_id: Some(format!("Task_{line}")),
        line,
        column: 7,
        message: "missing taskDefinition ".repeat(10),
    };
    (1..=count).map(finding).collect()
}

/// Every call of the trait, told as text: two engines that differ anywhere give different texts.
async fn story_of_a_controller(engine: &dyn Engine) -> Vec<String> {
    let mut story = Vec::new();
    macro_rules! tell {
        ($($call:expr),* $(,)?) => { $( story.push(format!("{:?}", $call.await.map_err(|error| without_words(&error)))); )* };
    }
    let delete = |owner: &str, retain| DeleteProcess {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        owner: self::owner(owner),
        on_instances: OnInstances::Fail,
        retain,
    };
    let delete_tenant = |owner: &str, mode| DeleteTenant {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: self::owner(owner),
        mode,
    };
    let validate =
        |content| ValidateProcess { tenant_id: "acme".to_owned(), content, mode: LintMode::Lenient };
    let wrong_digest =
        DeployProcess { content_sha256: "00".to_owned(), ..deploy("d", document("order", &[])) };
    let stranger = DeployProcess { owner: Some(owner("uid-9")), ..deploy("e", document("order", &["a"])) };
    // The same object, deleted and applied again.
    let reborn = |uid: &str| Owner { id: owner(uid).id, uid: format!("{uid}-again"), created_at: time(5) };
    let heir = DeployProcess { owner: Some(reborn("uid-1")), ..deploy("", document("order", &["a"])) };
    let late = DeployProcess { follows_version: Some(1), ..heir.clone() };
    let late = DeployProcess { content: document("order", &["c"]), ..late };
    let late = DeployProcess { content_sha256: format!("{:x}", Sha256::digest(&late.content)), ..late };
    let (all, latest) = (DefinitionFilter::default(), DefinitionFilter { latest_only: true, owner_id: None });
    let owned = DefinitionFilter { latest_only: true, owner_id: Some(owner("uid-1").id) };
    let owned_by_other = DefinitionFilter { latest_only: true, owner_id: Some(owner("uid-9").id) };
    let filter = JobLagFilter { tenant_ids: vec![DEFAULT_TENANT.to_owned()], job_types: vec![] };
    tell!(
        engine.info(),
        engine.health(),
        engine.migration_status(),
        engine.plan_migration("3.0.0"),
        engine.validate_process(&validate(document("order", &["b", "a"]))),
        engine.validate_process(&validate(document("forbidden", &[]))),
        engine.deploy_process(&deploy("a", document("order", &["a"]))),
        engine.deploy_process(&deploy("a", document("order", &["a"]))),
        engine.deploy_process(&deploy("a", document("order", &["b"]))),
        engine.deploy_process(&deploy("", document("order", &["a"]))),
        engine.deploy_process(&deploy("b", document("order", &["b"]))),
        engine.deploy_process(&deploy("c", document("order", &["a"]))),
        engine.deploy_process(&deploy("f", document("forbidden", &[]))),
        engine.deploy_process(&wrong_digest),
        engine.deploy_process(&stranger),
        engine.get_process_definition(DEFAULT_TENANT, &DefinitionRef::LatestOf("order".to_owned())),
        engine.get_process_definition(DEFAULT_TENANT, &DefinitionRef::Key(1)),
        engine.get_process_definition(DEFAULT_TENANT, &DefinitionRef::Key(999)),
        engine.list_process_definitions(DEFAULT_TENANT, &all),
        engine.list_process_definitions(DEFAULT_TENANT, &latest),
        engine.list_process_definitions(DEFAULT_TENANT, &owned),
        engine.list_process_definitions(DEFAULT_TENANT, &owned_by_other),
        engine.deploy_process(&heir),
        engine.deploy_process(&late),
        engine.deploy_process(&deploy("g", document("order", &["a"]))),
        engine.delete_process(&DeleteProcess { owner: reborn("uid-1"), ..delete("uid-1", true) }),
        engine.deploy_process(&deploy("h", document("order", &["a"]))),
        engine.delete_process(&delete("uid-9", false)),
        engine.delete_process(&delete("uid-1", true)),
        engine.put_tenant("p", &tenant("acme", 2)),
        engine.put_tenant("p", &tenant("acme", 2)),
        engine.put_tenant("q", &tenant("acme", 2)),
        engine.put_tenant("r", &tenant("acme", 1)),
        engine.put_tenant("s", &Tenant { owner: None, ..tenant("acme", 3) }),
        engine.put_tenant("t", &Tenant { rls: false, ..tenant("acme", 3) }),
        engine.get_tenant("acme"),
        engine.get_tenant("nobody"),
        engine.list_tenants(),
        engine.list_tenant_usage(&[]),
        engine.list_tenant_usage(&["acme".to_owned(), "nobody".to_owned()]),
        engine.verify_isolation(DEFAULT_TENANT),
        engine.verify_isolation("acme"),
        engine.verify_isolation("nobody"),
        engine.delete_tenant(&delete_tenant("uid-9", DeleteTenantMode::Purge)),
        engine.delete_tenant(&delete_tenant("uid-2", DeleteTenantMode::RefuseIfActive)),
        engine.delete_tenant(&delete_tenant("uid-2", DeleteTenantMode::RefuseIfActive)),
        engine.count_incidents(DEFAULT_TENANT),
        engine.list_job_lag(&filter),
    );
    story
}

/// The words in front of a message differ by design.
fn without_words(error: &EngineError) -> (ErrorClass, engine_client::Operation) {
    (error.class().clone(), error.operation())
}

#[tokio::test]
async fn every_answer_arrives_as_it_was_meant() {
    let direct = story_of_a_controller(&world()).await;
    let server = FakeServer::start(&world()).expect("loopback should be there");
    let wired = story_of_a_controller(&client(&server)).await;
    assert_eq!(wired, direct);
    assert_eq!(direct.len(), 48);
}

#[tokio::test]
async fn outcomes_of_the_story_are_the_promised_ones() {
    let engine = world();
    let outcome = async |request| match engine.deploy_process(&request).await {
        Ok(DeployResult::Deployed { outcome, definition, .. }) => Ok((outcome, definition.version)),
        Ok(DeployResult::Rejected { findings, .. }) => panic!("{findings:?}"),
        Err(error) => Err(error.class().clone()),
    };
    let (old, new) = (document("order", &["a"]), document("order", &["b"]));
    assert_eq!(outcome(deploy("", old.clone())).await, Ok((DeployOutcome::Created, 1)));
    let renamed = DeployProcess { resource_name: "other.bpmn".to_owned(), ..deploy("", old.clone()) };
    assert_eq!(outcome(renamed).await, Ok((DeployOutcome::Unchanged, 1)));
    assert_eq!(outcome(deploy("", new)).await, Ok((DeployOutcome::Created, 2)));
    assert_eq!(
        outcome(deploy("", old.clone())).await,
        Ok((DeployOutcome::Created, 3)),
        "rollback is a version"
    );
    let stranger = DeployProcess { owner: None, ..deploy("", old) };
    assert_eq!(outcome(stranger).await, Err(ErrorClass::AlreadyOwned));

    let put =
        async |tenant: &Tenant| engine.put_tenant("", tenant).await.map_err(|error| error.class().clone());
    assert_eq!(put(&tenant("acme", 2)).await, Ok(PutTenant { outcome: PutOutcome::Created, adopted: false }));
    assert_eq!(
        put(&tenant("acme", 2)).await,
        Ok(PutTenant { outcome: PutOutcome::Unchanged, adopted: false })
    );
    assert_eq!(put(&tenant("acme", 3)).await, Ok(PutTenant { outcome: PutOutcome::Updated, adopted: false }));
    assert_eq!(put(&tenant("acme", 2)).await, Err(ErrorClass::Stale));

    let delete = DeleteTenant {
        request_id: String::new(),
        tenant_id: "acme".to_owned(),
        owner: owner("uid-2"),
        mode: DeleteTenantMode::Purge,
    };
    assert_eq!(engine.delete_tenant(&delete).await, Ok(TenantDeletion::Purging));
    let reason = "TENANT_BEING_DELETED".to_owned();
    assert_eq!(put(&tenant("acme", 4)).await, Err(ErrorClass::Precondition { reason }));
    assert_eq!(engine.delete_tenant(&delete).await, Ok(TenantDeletion::Deleted));
    assert_eq!(engine.delete_tenant(&delete).await, Ok(TenantDeletion::Deleted), "it is gone");
}

#[tokio::test]
async fn list_of_many_pages_is_whole() {
    let engine = FakeEngine::new();
    for index in 0..2500 {
        engine.set_tenant(tenant(&format!("tenant-{index:04}"), 1));
    }
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let tenants = client(&server).list_tenants().await.expect("engine should answer");
    assert_eq!(tenants.len(), 2501);
    assert_eq!(Ok(tenants), engine.list_tenants().await);
    assert_eq!(engine.count(engine_client::Operation::ListTenants), 4, "three pages, and the comparison");
}

#[tokio::test]
async fn thousand_findings_arrive_in_the_body() {
    let engine = FakeEngine::new();
    engine.reject_documents_with("forbidden", findings(1000));
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let result = client(&server).deploy_process(&deploy("", document("forbidden", &[]))).await;
    assert_eq!(result, Ok(DeployResult::Rejected { findings: findings(1000), truncated: false }));
}

#[tokio::test]
async fn much_lag_arrives_in_parts() {
    let engine = FakeEngine::new();
    engine.set_now(time(100));
    let lags = ["a", "b", "c"].map(|job_type| lag("acme", job_type, 1));
    for lag in &lags {
        engine.set_lag(lag.clone());
    }
    engine.set_lag_part(2);
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let filter = JobLagFilter::default();
    let updates =
        client(&server).watch_job_lag(&filter, Duration::from_secs(1)).await.expect("stream should open");
    let parts: Vec<_> = updates.take(2).map(|part| part.expect("should be told")).collect().await;
    let part = |complete, lags: &[JobLag]| {
        let (lags, removed) = (lags.to_vec(), Vec::new());
        JobLagUpdate { snapshot: true, complete, lags, removed, measured_at: time(100) }
    };
    assert_eq!(parts, [part(false, &lags[..2]), part(true, &lags[2..])]);
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

#[tokio::test]
async fn work_is_done_over_the_wire() {
    let engine = FakeEngine::new();
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let client = client(&server);
    client
        .deploy_process(&deploy("", document("order", &["charge-payment"])))
        .await
        .expect("engine should deploy");
    let started = client
        .start_instance(&StartInstance {
            request_id: "s".to_owned(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            process_id: "order".to_owned(),
            version: Some(1),
            variables: variables(json!({"amount": 12.5, "items": [1, 2]})),
        })
        .await
        .expect("engine should start");
    let many = client
        .start_instances(&StartInstances {
            request_id: String::new(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            process_id: "order".to_owned(),
            version: None,
            variables: vec![Variables::default(); 3],
        })
        .await
        .expect("engine should start");
    assert_eq!(many.instance_keys.len(), 3);

    let stream = StreamJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge-payment".to_owned()],
        worker: "worker-0".to_owned(),
        max_in_flight: 1,
        lease: Duration::from_mins(1),
    };
    let mut jobs = client.stream_activated_jobs(&stream).await.expect("stream should open");
    let job = jobs.next().await.expect("stream should go on").expect("job should come");
    assert_eq!(job.variables, variables(json!({"amount": 12.5, "items": [1, 2]})));
    let none = tokio::time::timeout(Duration::from_millis(200), jobs.next()).await;
    assert!(none.is_err(), "more jobs than max_in_flight: {none:?}");

    let done = CompleteJob { job: job.job_ref(), variables: variables(json!({"paid": true})) };
    client.complete_job(&done).await.expect("lease should be held");
    let again = client.complete_job(&done).await.expect_err("job should be gone");
    assert_eq!(again.class(), &ErrorClass::NotFound);
    let instance =
        client.get_instance(DEFAULT_TENANT, started.instance_key).await.expect("engine should answer");
    let expected = Instance {
        key: started.instance_key,
        process_definition_key: started.process_definition_key,
        process_id: "order".to_owned(),
        version: 1,
        state: InstanceState::Completed,
        variables: variables(json!({"amount": 12.5, "items": [1, 2], "paid": true})),
        incidents: vec![],
        open_elements: vec![],
        started_at: Some(Timestamp::UNIX_EPOCH),
        ended_at: Some(Timestamp::UNIX_EPOCH),
    };
    assert_eq!(instance, Some(expected));

    let second = jobs.next().await.expect("stream should go on").expect("job should come");
    let fail = FailJob {
        job: second.job_ref(),
        retries: 0,
        retry_backoff: Duration::ZERO,
        error_message: "card declined".to_owned(),
    };
    assert_eq!(client.fail_job(&fail).await, Ok(true));
    let third = jobs.next().await.expect("stream should go on").expect("job should come");

    let activate = ActivateJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge-payment".to_owned()],
        worker: "worker-1".to_owned(),
        max_jobs: 10,
        lease: Duration::from_mins(1),
        wait: Duration::ZERO,
    };
    let rest = client.activate_jobs(&activate).await.expect("engine should answer");
    let lost = JobRef { lease_epoch: third.lease_epoch + 1, ..third.job_ref() };
    let error = client.extend_job(&lost, Duration::from_mins(1)).await.expect_err("lease should not be ours");
    assert_eq!(error.class(), &ErrorClass::Stale);
    assert_eq!(rest.len(), 1, "one is done, one has an incident, one is held by the stream");
    assert_ne!(rest[0].key, third.key);
    let extended = client.extend_job(&rest[0].job_ref(), Duration::from_mins(2)).await;
    assert_eq!(extended, Ok(Timestamp::UNIX_EPOCH + Duration::from_mins(2)));
    let stranger = CompleteJob { job: second.job_ref(), variables: Variables::default() };
    let mine = CompleteJob { job: rest[0].job_ref(), variables: Variables::default() };
    assert_eq!(client.complete_jobs(DEFAULT_TENANT, &[mine, stranger]).await, Ok(vec![second.key]));
    assert_eq!(client.get_instance(DEFAULT_TENANT, 999).await, Ok(None));
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

#[tokio::test]
async fn deleting_what_is_not_there_succeeds() {
    let server = FakeServer::start(&FakeEngine::new()).expect("loopback should be there");
    let delete = DeleteProcess {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        owner: owner("uid-1"),
        on_instances: OnInstances::Cancel,
        retain: false,
    };
    assert_eq!(client(&server).delete_process(&delete).await, Ok(ProcessDeletion::Retired { versions: 0 }));
}
