//! What people do with instances arrives as it was meant: the same script, once with the fake itself and once over gRPC,
//! gives the same answers.

use std::time::Duration;

use engine_client::{
    Credential, Engine, EnginePool, Timeouts,
    model::{
        ActivateJobs, CancelInstances, CanceledInstances, DEFAULT_TENANT, DeployProcess, FailJob,
        IncidentCount, IncidentFilter, InstanceFilter, InstanceState, LintMode, ResolveIncidents,
        ResolvedIncidents, Selection, SetVariables, StartInstances, Variables,
    },
};
use engine_fake::{FakeEngine, FakeServer};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

fn variables(value: serde_json::Value) -> Variables {
    Variables(serde_json::from_value(value).expect("value should be an object"))
}

/// Four instances of a process with one job each; the job of the first has no attempts left.
async fn world() -> (FakeEngine, Vec<i64>) {
    let engine = FakeEngine::new();
    engine.set_now(Timestamp::new(100, 500).expect("should be within range"));
    let content =
        br#"<definitions><process id="order"><taskDefinition type="charge"/></process></definitions>"#
            .to_vec();
    let deploy = DeployProcess {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        resource_name: "order.bpmn".to_owned(),
        content_sha256: format!("{:x}", Sha256::digest(&content)),
        content,
        version_tag: None,
        mode: LintMode::Strict,
        owner: None,
        follows_version: None,
    };
    engine.deploy_process(&deploy).await.expect("should deploy");
    let start = StartInstances {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        version: None,
        variables: vec![variables(json!({"amount": 1})); 4],
    };
    let keys = engine.start_instances(&start).await.expect("should start").instance_keys;
    let activate = ActivateJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "worker-0".to_owned(),
        max_jobs: 1,
        lease: Duration::from_mins(1),
        wait: Duration::ZERO,
    };
    let job = engine.activate_jobs(&activate).await.expect("should activate").remove(0);
    let fail = FailJob {
        job: job.job_ref(),
        retries: 0,
        retry_backoff: Duration::ZERO,
        error_message: "card declined".to_owned(),
    };
    assert_eq!(engine.fail_job(&fail).await, Ok(true));
    (engine, keys)
}

/// The calls of people, told as text.
macro_rules! story {
    ($engine:expr, $keys:expr) => {{
        let (engine, keys) = ($engine, $keys);
        let mut story = Vec::new();
        macro_rules! tell {
            ($call:expr) => {
                let reported = $call.await.map_err(|error| (error.class().clone(), error.operation()));
                story.push(format!("{reported:?}"));
            };
        }
        let stuck = InstanceFilter {
            state: Some(InstanceState::Active),
            process_id: Some("order".to_owned()),
            version: Some(1),
            has_incident: Some(true),
        };
        let of_instance = IncidentFilter { instance_key: Some(keys[0]), ..IncidentFilter::default() };
        let of_version =
            IncidentFilter { process_id: Some("order".to_owned()), version: Some(1), instance_key: None };
        let set = |request_id: &str, instance_key, value| SetVariables {
            request_id: request_id.to_owned(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            instance_key,
            variables: variables(value),
        };
        let resolve = |selection| ResolveIncidents {
            request_id: String::new(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            selection,
            retries: 2,
            variables: variables(json!({"card": "other"})),
        };
        let cancel = |selection| CancelInstances {
            request_id: String::new(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            selection,
        };
        tell!(engine.list_instances(DEFAULT_TENANT, &InstanceFilter::default(), None));
        tell!(engine.list_instances(DEFAULT_TENANT, &stuck, None));
        tell!(engine.get_instance(DEFAULT_TENANT, keys[0]));
        tell!(engine.list_incidents(DEFAULT_TENANT, &IncidentFilter::default(), None));
        tell!(engine.list_incidents(DEFAULT_TENANT, &of_version, None));
        tell!(engine.list_incidents("nobody", &of_instance, None));
        tell!(engine.set_variables(&set("s", keys[0], json!({"amount": 2.5, "of": ["a"]}))));
        tell!(engine.set_variables(&set("s", keys[0], json!({"amount": 3}))));
        tell!(engine.set_variables(&set("", 999, json!({"amount": 3}))));
        tell!(engine.resolve_incidents(&resolve(Selection::Keys(vec![999]))));
        tell!(engine.resolve_incidents(&resolve(Selection::Filter { filter: of_instance.clone(), page: None })));
        tell!(engine.get_instance(DEFAULT_TENANT, keys[0]));
        tell!(engine.cancel_instance("c", DEFAULT_TENANT, keys[1]));
        tell!(engine.cancel_instance("", DEFAULT_TENANT, keys[1]));
        tell!(engine.cancel_instance("", DEFAULT_TENANT, 999));
        tell!(engine.cancel_instances(&cancel(Selection::Keys(vec![keys[1], keys[2]]))));
        tell!(engine.cancel_instances(&cancel(Selection::Filter {
            filter: InstanceFilter::default(),
            page: None
        })));
        tell!(engine.list_instances(DEFAULT_TENANT, &InstanceFilter::default(), None));
        story
    }};
}

#[tokio::test]
async fn every_answer_arrives_as_it_was_meant() {
    let (engine, keys) = world().await;
    let direct: Vec<String> = story!(&engine, &keys);
    let (engine, keys) = world().await;
    let server = FakeServer::start(&engine).expect("loopback should be there");
    let pool = EnginePool::new(Timeouts::default());
    let token = Credential::parse("t").expect("should parse");
    let client = pool.client(&server.access(token)).expect("address should be valid");
    let wired: Vec<String> = story!(&client, &keys);
    assert_eq!(wired, direct);
    assert_eq!(direct.len(), 18);
}

#[tokio::test]
async fn outcomes_of_the_story_are_the_promised_ones() {
    let (engine, keys) = world().await;
    let counted = engine.count_incidents(DEFAULT_TENANT).await.expect("should count");
    let shown = engine.get_instance(DEFAULT_TENANT, keys[0]).await.expect("should answer").expect("is there");
    let count = IncidentCount {
        process_definition_key: shown.process_definition_key,
        process_id: "order".to_owned(),
        version: 1,
        open: 1,
    };
    assert_eq!(counted, [count]);
    let resolve = ResolveIncidents {
        request_id: "r".to_owned(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        selection: Selection::Filter { filter: IncidentFilter::default(), page: None },
        retries: 2,
        variables: Variables::default(),
    };
    let resolved = ResolvedIncidents { resolved: 1, unresolved: Vec::new(), next: None };
    assert_eq!(engine.resolve_incidents(&resolve).await, Ok(resolved.clone()));
    assert_eq!(engine.resolve_incidents(&resolve).await, Ok(resolved), "a repetition");
    assert_eq!(engine.count_incidents(DEFAULT_TENANT).await, Ok(Vec::new()));
    let job = &engine.jobs(DEFAULT_TENANT)[0];
    assert_eq!((job.retries, job.lease_epoch), (2, 2));
    let cancel = CancelInstances {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        selection: Selection::Keys(vec![keys[0], 999]),
    };
    let canceled = CanceledInstances { canceled: 1, not_running: vec![999], next: None };
    assert_eq!(engine.cancel_instances(&cancel).await, Ok(canceled));
}
