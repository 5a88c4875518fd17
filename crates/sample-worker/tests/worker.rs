//! The binary itself against a fake engine over TLS.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use engine_client::{
    Accepted, CredentialVerifier, Engine as _, Operation, TenantEpoch, TenantKey, TokenRole,
    model::{
        DeployProcess, Instance, InstanceState, LintMode, PutOutcome, PutTenant, StartInstance, Tenant,
        TenantQuotas, Variables,
    },
};
use engine_fake::{FakeEngine, FakeServer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PATIENCE: Duration = Duration::from_secs(20);

struct Fleet {
    engine: FakeEngine,
    server: Option<FakeServer>,
    worker_key: TenantKey,
    files: tempfile::TempDir,
}

impl Fleet {
    async fn new() -> Self {
        let engine = FakeEngine::new();
        let tenant = Tenant {
            id: "acme".to_owned(),
            display_name: String::new(),
            quotas: TenantQuotas::default(),
            rls: true,
            suspended: false,
            owner: None,
            generation: 1,
        };
        assert_eq!(
            engine.put_tenant("", &tenant).await,
            Ok(PutTenant { outcome: PutOutcome::Created, adopted: false })
        );
        for job_type in ["charge-payment", "refund-payment"] {
            let content = format!(
                r#"<definitions><process id="{job_type}"><taskDefinition type="{job_type}"/></process></definitions>"#
            );
            let deploy = DeployProcess {
                request_id: String::new(),
                tenant_id: "acme".to_owned(),
                resource_name: String::new(),
                content_sha256: format!("{:x}", Sha256::digest(&content)),
                content: content.into_bytes(),
                version_tag: None,
                mode: LintMode::Strict,
                owner: None,
                follows_version: None,
            };
            engine.deploy_process(&deploy).await.expect("engine should deploy");
        }
        let worker_key = TenantKey::generate().expect("random bytes should be there");
        let files = tempfile::tempdir().expect("directory should be made");
        let mut fleet = Self { engine, server: None, worker_key, files };
        fleet.write_token("");
        fleet.start_server(0);
        fleet
    }

    /// The token of a life of the tenant, by the present key.
    fn write_token(&self, epoch: &str) {
        let tenant = TenantEpoch { tenant_id: "acme".to_owned(), epoch: epoch.to_owned() };
        let token = self.worker_key.mint(TokenRole::Worker, &tenant);
        std::fs::write(self.file("token"), token.expose()).expect("file should be written");
    }

    fn start_server(&mut self, port: u16) {
        let accepted = Accepted { worker: vec![self.worker_key.clone()], ..Accepted::default() };
        let verifier = CredentialVerifier::new(accepted);
        let verifier = verifier.expect("random bytes should be there");
        let server = FakeServer::builder(&self.engine).port(port).tls("localhost").verifier(verifier).start();
        let server = server.expect("server should start");
        let tls = server.address().tls.expect("server should have TLS");
        std::fs::write(self.file("ca.crt"), tls.ca_pem).expect("file should be written");
        self.server = Some(server);
    }

    /// Kills the engine and starts it again, with another certificate authority.
    fn restart_server(&mut self) {
        let server = self.server.take().expect("server should run");
        let port = server.port();
        server.stop();
        self.start_server(port);
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.files.path()).join(name)
    }

    fn start_worker(&self, work_duration: Duration, max_in_flight: u16) -> Worker {
        let port = self.server.as_ref().expect("server should run").port();
        let child = Command::new(env!("CARGO_BIN_EXE_sample-worker"))
            .env_clear()
            .env("WORKFLOW_JOB_TYPES", "charge-payment,refund-payment")
            .env("WORKFLOW_ENGINE_ADDRESS", format!("localhost:{port}"))
            .env("WORKFLOW_TENANT", "acme")
            .env("WORKFLOW_WORKER_NAME", "payment-worker-0")
            .env("WORKFLOW_CA_FILE", self.file("ca.crt"))
            .env("WORKFLOW_TOKEN_FILE", self.file("token"))
            .env("WORK_DURATION_MS", work_duration.as_millis().to_string())
            .env("WORK_MAX_IN_FLIGHT", max_in_flight.to_string())
            .stdout(Stdio::null())
            .spawn();
        Worker(child.expect("worker should start"))
    }

    async fn start(&self, process_id: &str, variables: Value) -> i64 {
        let start = StartInstance {
            request_id: String::new(),
            tenant_id: "acme".to_owned(),
            process_id: process_id.to_owned(),
            version: None,
            variables: Variables(serde_json::from_value(variables).expect("variables should be an object")),
        };
        self.engine.start_instance(&start).await.expect("engine should start").instance_key
    }

    fn instance(&self, key: i64) -> Instance {
        self.engine.instance(key).expect("instance should be there")
    }

    async fn until(&self, what: &str, happened: impl Fn(&FakeEngine) -> bool) {
        let begun = Instant::now();
        while !happened(&self.engine) {
            assert!(begun.elapsed() < PATIENCE, "{what} did not happen: {:?}", self.engine.calls());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_complete(&self, key: i64) -> Value {
        self.until("completion", |_| self.instance(key).state == InstanceState::Completed).await;
        Value::Object(self.instance(key).variables.0)
    }
}

struct Worker(Child);

impl Worker {
    fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(sent.expect("kill should run").success());
    }

    /// Waits for its end; whether it was a good one.
    fn ended_well(&mut self, within: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("worker should be our child") {
                return status.success();
            }
            assert!(begun.elapsed() < within, "worker should end within {within:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn jobs_are_completed_and_bad_ones_become_incidents() {
    let fleet = Fleet::new().await;
    let charged = fleet.start("charge-payment", json!({"amount": 10})).await;
    let declined = fleet.start("charge-payment", json!({"amount": 9999})).await;
    let refunded = fleet.start("refund-payment", json!({"amount": 10})).await;
    let bad = fleet.start("charge-payment", json!({"amount": "ten"})).await;
    let _worker = fleet.start_worker(Duration::ZERO, 2);

    let approved = json!({"amount": 10, "paymentApproved": true, "paymentMessage": "approved"});
    assert_eq!(fleet.until_complete(charged).await, approved);
    assert_eq!(fleet.until_complete(declined).await["paymentApproved"], json!(false));
    assert_eq!(fleet.until_complete(refunded).await["paymentRefunded"], json!(true));
    fleet.until("incident", |_| !fleet.instance(bad).incidents.is_empty()).await;
    assert_eq!(
        fleet.instance(bad).incidents[0].message,
        "variable amount is \"ten\": expected a number above 0"
    );
    assert_eq!(fleet.instance(bad).state, InstanceState::Active);
}

#[tokio::test]
async fn no_more_jobs_at_once_than_allowed() {
    let fleet = Fleet::new().await;
    for _ in 0..6 {
        fleet.start("charge-payment", json!({"amount": 1})).await;
    }
    let begun = Instant::now();
    let _worker = fleet.start_worker(Duration::from_millis(300), 2);
    fleet.until("completions", |engine| engine.jobs("acme").is_empty()).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "three rounds of two: {:?}", begun.elapsed());
}

#[tokio::test]
async fn restarted_engine_with_a_new_authority_is_found_again() {
    let mut fleet = Fleet::new().await;
    let _worker = fleet.start_worker(Duration::ZERO, 1);
    let first = fleet.start("charge-payment", json!({"amount": 1})).await;
    fleet.until_complete(first).await;
    fleet.restart_server();
    let second = fleet.start("charge-payment", json!({"amount": 1})).await;
    fleet.until_complete(second).await;
}

#[tokio::test]
async fn a_token_of_a_former_life_is_replaced_without_a_restart() {
    let fleet = Fleet::new().await;
    fleet.write_token("uid-1");
    let _worker = fleet.start_worker(Duration::ZERO, 1);
    let key = fleet.start("charge-payment", json!({"amount": 1})).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.instance(key).state, InstanceState::Active, "the tenant is in another life");
    fleet.write_token("");
    fleet.until_complete(key).await;
}

/// The job's work ends after the key was replaced, and with it the token that the job was taken with.
#[tokio::test]
async fn a_job_at_work_is_reported_with_the_present_token() {
    let mut fleet = Fleet::new().await;
    let key = fleet.start("charge-payment", json!({"amount": 1})).await;
    let _worker = fleet.start_worker(Duration::from_secs(2), 1);
    fleet.until("activation", |engine| engine.jobs("acme").iter().any(|job| job.lease_epoch == 1)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    fleet.worker_key = TenantKey::generate().expect("random bytes should be there");
    fleet.write_token("");
    fleet.restart_server();
    fleet.until_complete(key).await;
    assert_eq!(fleet.engine.count(Operation::CompleteJob), 1, "the same lease");
}

#[tokio::test]
async fn refused_completion_is_reported_again() {
    let fleet = Fleet::new().await;
    fleet.engine.fail_once(Operation::CompleteJob, engine_client::ErrorClass::Unavailable);
    let key = fleet.start("charge-payment", json!({"amount": 1})).await;
    let _worker = fleet.start_worker(Duration::ZERO, 1);
    fleet.until_complete(key).await;
    assert_eq!(fleet.engine.count(Operation::CompleteJob), 2);
}

#[tokio::test]
async fn terminated_worker_finishes_what_it_has_and_takes_nothing_new() {
    let fleet = Fleet::new().await;
    let first = fleet.start("charge-payment", json!({"amount": 1})).await;
    let mut worker = fleet.start_worker(Duration::from_secs(2), 1);
    fleet.until("activation", |engine| engine.jobs("acme").iter().any(|job| job.lease_epoch == 1)).await;
    // The engine counts the job from its activation; give the worker the moment to hear of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    worker.terminate();
    let second = fleet.start("charge-payment", json!({"amount": 1})).await;
    assert!(worker.ended_well(Duration::from_secs(10)));
    assert_eq!(fleet.instance(first).state, InstanceState::Completed);
    assert_eq!(fleet.instance(second).state, InstanceState::Active);
}

#[tokio::test]
async fn idle_worker_ends_at_once() {
    let fleet = Fleet::new().await;
    let mut worker = fleet.start_worker(Duration::ZERO, 1);
    fleet.until("connection", |engine| engine.count(Operation::StreamActivatedJobs) > 0).await;
    worker.terminate();
    assert!(worker.ended_well(Duration::from_secs(5)));
}
