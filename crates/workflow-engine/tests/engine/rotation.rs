//! Rotation of the callers' secrets while calls go on.

use std::time::Duration;

use engine_api::proto::{GetInfoRequest, StreamActivatedJobsRequest};
use engine_api::{Credential, TenantKey, TokenRole};
use test_support::wait::eventually;
use tonic::Code;

use crate::support::{Engine, World, database, minted};

const TIMEOUT: Duration = Duration::from_secs(20);

/// One secret for each role.
struct Secrets {
    controller: Credential,
    monitor: Credential,
    worker: TenantKey,
    client: TenantKey,
}

impl Secrets {
    fn generate() -> Self {
        let token = || Credential::generate().expect("should be random");
        let key = || TenantKey::generate().expect("should be random");
        Self { controller: token(), monitor: token(), worker: key(), client: key() }
    }

    fn write(&self, world: &World, file: &str) {
        world.write(&format!("controller-token/{file}"), self.controller.expose());
        world.write(&format!("monitor-token/{file}"), self.monitor.expose());
        world.write(&format!("worker-key/{file}"), &self.worker.expose());
        world.write(&format!("client-key/{file}"), &self.client.expose());
    }

    /// A token of each role.
    fn tokens(&self) -> [String; 4] {
        [
            self.controller.expose().to_owned(),
            self.monitor.expose().to_owned(),
            minted(&self.worker, TokenRole::Worker, "_default", ""),
            minted(&self.client, TokenRole::Client, "_default", ""),
        ]
    }

    /// For how many of the four roles the engine accepts the token.
    async fn accepted(&self, engine: &Engine) -> usize {
        let mut accepted = 0;
        for token in self.tokens() {
            let info = engine.caller(Some(&token)).cluster().get_info(GetInfoRequest {}).await;
            accepted += usize::from(info.is_ok());
        }
        accepted
    }
}

async fn remove(world: &World, file: &str) {
    for role in ["controller-token", "monitor-token", "worker-key", "client-key"] {
        tokio::fs::remove_file(world.path(&format!("{role}/{file}"))).await.expect("should be there");
    }
}

/// The metric of calls with previous secrets, by role.
async fn previous_calls(engine: &Engine) -> [u64; 4] {
    let (_, metrics) = engine.admin_get("/metrics").await.expect("should answer");
    ["controller", "monitor", "worker", "client"].map(|role| {
        let series = format!("workflow_engine_previous_secret_calls_total{{role=\"{role}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("should be counted");
        line.parse().expect("should be a number")
    })
}

#[tokio::test]
async fn every_roles_secret_can_be_rotated_without_a_restart_or_a_refused_call() {
    let world = World::new(database!());
    let (former, current) = (Secrets::generate(), Secrets::generate());
    former.write(&world, "current");
    let engine = world.serve("engine-0").await;
    let request = StreamActivatedJobsRequest {
        tenant_id: "_default".to_owned(),
        job_types: vec!["charge".to_owned()],
        worker: "tester".to_owned(),
        max_in_flight: 1,
        lease: None,
    };
    let worker = engine.caller(Some(&former.tokens()[2]));
    let mut stream = worker.jobs().stream_activated_jobs(request).await.expect("should open").into_inner();
    let ended = tokio::spawn(async move {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return (Code::Ok, String::new()),
                Err(status) => return (status.code(), status.message().to_owned()),
            }
        }
    });

    current.write(&world, "next");
    eventually("the next secrets to be accepted", TIMEOUT, || async {
        (current.accepted(&engine).await == 4).then_some(())
    })
    .await;
    assert_eq!(former.accepted(&engine).await, 4);
    assert_eq!(previous_calls(&engine).await, [0; 4]);

    // In this order, so that both secrets are in some file at any time.
    former.write(&world, "previous");
    current.write(&world, "current");
    remove(&world, "next").await;
    eventually("calls with the former secrets to be counted", TIMEOUT, || async {
        assert_eq!((former.accepted(&engine).await, current.accepted(&engine).await), (4, 4));
        previous_calls(&engine).await.iter().all(|calls| *calls > 0).then_some(())
    })
    .await;
    assert!(!ended.is_finished(), "the stream ends with its secret, not before");

    remove(&world, "previous").await;
    eventually("the former secrets to be refused", TIMEOUT, || async {
        (former.accepted(&engine).await == 0).then_some(())
    })
    .await;
    assert_eq!(current.accepted(&engine).await, 4);
    let ended = tokio::time::timeout(TIMEOUT, ended).await.expect("should end").expect("should not panic");
    let expected = "this token is accepted no more: read the Secret that it came from again";
    assert_eq!(ended, (Code::Unauthenticated, expected.to_owned()));
    for secret in former.tokens().iter().chain(&current.tokens()) {
        assert!(!engine.log().contains(secret), "a token is in the log");
    }
}
