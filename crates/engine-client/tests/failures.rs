//! What goes wrong on the way to an engine ends in time, in the right class and in our own words.

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use engine_api::proto::{
    GetHealthRequest, GetHealthResponse, GetInfoRequest, GetInfoResponse, RunCanaryRequest,
    RunCanaryResponse,
    cluster_service_server::{ClusterService, ClusterServiceServer},
};
use engine_client::{
    Credential, Engine, EngineAccess, EngineAddress, EngineClient, EngineError, EnginePool, ErrorClass,
    Operation, Timeouts,
    model::{DEFAULT_TENANT, DefinitionRef, DeleteProcess, JobLagFilter, OnInstances, StreamJobs},
};
use engine_fake::{FakeEngine, FakeServer};
use futures::StreamExt as _;
use rstest::rstest;
use tonic::{Code, Request, Response, Status, transport::server::TcpIncoming};

/// Short enough for a test, long enough for a busy machine.
const DEADLINE: Duration = Duration::from_millis(1500);

fn timeouts() -> Timeouts {
    Timeouts {
        connect: DEADLINE / 2,
        read: DEADLINE,
        write: DEADLINE,
        deploy: DEADLINE,
        stream_idle: DEADLINE,
    }
}

fn credential() -> Credential {
    Credential::parse("t").expect("token should parse")
}

fn client(access: &EngineAccess) -> EngineClient {
    EnginePool::new(timeouts()).client(access).expect("address should be valid")
}

fn served(engine: &FakeEngine) -> (FakeServer, EngineClient) {
    let server = FakeServer::start(engine).expect("loopback should be there");
    let client = client(&server.access(credential()));
    (server, client)
}

/// A mutation.
fn deletion() -> DeleteProcess {
    DeleteProcess {
        request_id: String::new(),
        tenant_id: DEFAULT_TENANT.to_owned(),
        process_id: "order".to_owned(),
        owner: None,
        on_instances: OnInstances::Cancel,
        retain: false,
    }
}

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, EngineError>, words: &str) {
    let error = answer.expect_err("call should fail");
    assert_eq!(error.class(), &ErrorClass::Unavailable, "{error}");
    assert!(error.message().starts_with(words), "{error}");
}

#[tokio::test]
async fn engine_that_hangs_ends_by_deadline() {
    let engine = FakeEngine::new();
    let (_server, client) = served(&engine);
    client.info().await.expect("engine should answer");
    engine.set_hanging(true);
    let begun = Instant::now();
    assert_unavailable(client.info().await, "engine gave no answer in time");
    assert_unavailable(client.delete_process(&deletion()).await, "engine gave no answer in time");
    assert!(begun.elapsed() < 3 * DEADLINE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn listener_that_never_speaks_ends_by_deadline() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback should be there");
    let port = listener.local_addr().expect("listener should have an address").port();
    let address = EngineAddress { host: "127.0.0.1".to_owned(), port, tls: None };
    let begun = Instant::now();
    assert_unavailable(
        client(&EngineAccess { address, credential: credential() }).info().await,
        "engine gave no",
    );
    assert!(begun.elapsed() < 2 * DEADLINE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn closed_port_is_named_as_refused() {
    let (server, client) = served(&FakeEngine::new());
    server.stop();
    let error = client.info().await.expect_err("nobody should listen");
    assert_eq!(error.class(), &ErrorClass::Unavailable);
    assert!(error.message().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn unknown_host_is_unavailable() {
    let address = EngineAddress { host: "engine.invalid".to_owned(), port: 26500, tls: None };
    let answer = client(&EngineAccess { address, credential: credential() }).info().await;
    assert_eq!(answer.expect_err("host should be unknown").class(), &ErrorClass::Unavailable);
}

#[tokio::test]
async fn restarted_engine_is_found_again() {
    let engine = FakeEngine::new();
    let (server, client) = served(&engine);
    client.info().await.expect("engine should answer");
    let port = server.port();
    server.stop();
    client.info().await.expect_err("nobody should listen");
    let _server = FakeServer::builder(&engine).port(port).start().expect("port should be free again");
    client.info().await.expect("engine should answer again");
}

#[tokio::test]
async fn silent_stream_ends() {
    let engine = FakeEngine::new();
    let (_server, client) = served(&engine);
    let mut updates = client
        .watch_job_lag(&JobLagFilter::default(), Duration::from_secs(1))
        .await
        .expect("stream should open");
    assert!(matches!(updates.next().await, Some(Ok(_))));
    engine.set_hanging(true);
    assert_unavailable(
        updates.next().await.expect("stream should end with an error"),
        "engine has been silent for",
    );
    assert!(updates.next().await.is_none());
}

#[tokio::test]
async fn heartbeats_keep_streams_open() {
    let engine = FakeEngine::new();
    engine.set_heartbeat(DEADLINE / 5);
    let (_server, client) = served(&engine);
    let jobs = StreamJobs {
        tenant_id: DEFAULT_TENANT.to_owned(),
        job_types: vec!["charge-payment".to_owned()],
        worker: "worker-0".to_owned(),
        max_in_flight: 1,
        lease: Duration::from_mins(1),
    };
    let mut jobs = client.stream_activated_jobs(&jobs).await.expect("stream should open");
    let quiet = tokio::time::timeout(2 * DEADLINE, jobs.next()).await;
    assert!(quiet.is_err(), "idle stream should stay open: {quiet:?}");
}

#[tokio::test]
async fn killed_engine_ends_its_streams() {
    let (server, client) = served(&FakeEngine::new());
    let mut updates = client
        .watch_job_lag(&JobLagFilter::default(), Duration::from_secs(1))
        .await
        .expect("stream should open");
    assert!(matches!(updates.next().await, Some(Ok(_))));
    drop(server);
    let end = updates.next().await.expect("stream should end with an error");
    assert_eq!(end.expect_err("engine should be gone").class(), &ErrorClass::Unavailable);
}

#[tokio::test]
async fn read_is_repeated_and_mutation_is_not() {
    let engine = FakeEngine::new();
    let (_server, client) = served(&engine);
    engine.fail_once(Operation::GetInfo, ErrorClass::Unavailable);
    client.info().await.expect("second attempt should succeed");
    assert_eq!(engine.count(Operation::GetInfo), 2);
    engine.fail(Operation::GetHealth, ErrorClass::Unavailable);
    client.health().await.expect_err("every attempt should fail");
    assert_eq!(engine.count(Operation::GetHealth), 3);
    let latest = DefinitionRef::LatestOf("order".to_owned());
    engine.fail(Operation::GetProcessDefinition, ErrorClass::Internal);
    let answer = client.get_process_definition(DEFAULT_TENANT, &latest).await;
    answer.expect_err("a defect should not be repeated");
    assert_eq!(engine.count(Operation::GetProcessDefinition), 1);
    engine.fail_once(Operation::DeleteProcess, ErrorClass::Unavailable);
    client.delete_process(&deletion()).await.expect_err("a mutation should not be repeated");
    assert_eq!(engine.count(Operation::DeleteProcess), 1);
}

#[tokio::test]
async fn tls_with_the_right_authority_and_name_works() {
    let server =
        FakeServer::builder(&FakeEngine::new()).tls("engine.test").start().expect("server should start");
    client(&server.access(credential())).info().await.expect("engine should be trusted");
}

#[rstest]
#[case::other_authority(true, "engine.test")]
#[case::other_name(false, "other.test")]
#[tokio::test]
async fn engine_that_cannot_prove_itself_is_refused(#[case] other_authority: bool, #[case] name: &str) {
    let engine = FakeEngine::new();
    let server = FakeServer::builder(&engine).tls("engine.test").start().expect("server should start");
    let other = FakeServer::builder(&engine).tls("engine.test").start().expect("server should start");
    let mut access = server.access(credential());
    let trusted = if other_authority { other.address().tls } else { access.address.tls };
    access.address.tls =
        trusted.map(|tls| engine_client::EngineTls { server_name: Some(name.to_owned()), ..tls });
    let error = client(&access).info().await.expect_err("engine should not be trusted");
    assert_eq!(error.class(), &ErrorClass::Unavailable);
    assert!(error.message().contains("certificate"), "{error}");
    assert_eq!(engine.calls(), vec![], "the token should not have been sent");
}

#[tokio::test]
async fn engine_without_tls_is_not_talked_to_in_the_clear() {
    let engine = FakeEngine::new();
    let server = FakeServer::start(&engine).expect("server should start");
    let other = FakeServer::builder(&engine).tls("engine.test").start().expect("server should start");
    let mut access = server.access(credential());
    access.address.tls = other.address().tls;
    let error = client(&access).info().await.expect_err("there should be no TLS");
    assert_eq!(error.class(), &ErrorClass::Unavailable);
    assert_eq!(engine.calls(), vec![]);
}

/// An engine that refuses everything with 13 kB of trailers, and answers health with nothing.
struct Talkative;

#[tonic::async_trait]
impl ClusterService for Talkative {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let details = vec![b'x'; 6_000];
        Err(Status::with_details(Code::InvalidArgument, "x".repeat(5_000), details.into()))
    }

    async fn get_health(&self, _: Request<GetHealthRequest>) -> Result<Response<GetHealthResponse>, Status> {
        Ok(Response::new(GetHealthResponse::default()))
    }

    async fn run_canary(&self, _: Request<RunCanaryRequest>) -> Result<Response<RunCanaryResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

async fn talkative() -> EngineClient {
    let listener =
        tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback should be there");
    let port = listener.local_addr().expect("listener should have an address").port();
    let server = tonic::transport::Server::builder().add_service(ClusterServiceServer::new(Talkative));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let address = EngineAddress { host: "127.0.0.1".to_owned(), port, tls: None };
    client(&EngineAccess { address, credential: credential() })
}

#[tokio::test]
async fn long_trailers_hide_no_class() {
    let error = talkative().await.info().await.expect_err("engine should refuse");
    assert_eq!(error.class(), &ErrorClass::Invalid);
    assert!(error.message().starts_with("engine refuses the request: xxx"), "{error}");
    assert_eq!(error.message().chars().count(), engine_client::MAX_MESSAGE_CHARS);
}

#[tokio::test]
async fn call_that_an_engine_does_not_know_is_unsupported() {
    let client = talkative().await;
    let document = client.get_process_document(DEFAULT_TENANT, 1).await;
    assert_eq!(document.expect_err("engine should not know it").class(), &ErrorClass::Unsupported);
    let waiting = client.count_waiting_instances(DEFAULT_TENANT, "order", &["charge".to_owned()]).await;
    assert_eq!(waiting.expect_err("engine should not know it").class(), &ErrorClass::Unsupported);
}

#[tokio::test]
async fn empty_answer_is_outside_of_the_contract() {
    let error = talkative().await.health().await.expect_err("answer should lack its state");
    assert_eq!(error.class(), &ErrorClass::Internal);
    assert_eq!(
        error.message(),
        "engine's answer is outside of the contract: HealthState should be specified"
    );
}
