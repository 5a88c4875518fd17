//! The standard services for generic tools: health and reflection.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{Caller, World, database};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_is_reported_without_a_token_and_follows_readiness() {
    let world = World::unmigrated(database!());
    let engine = world.serve_unready("engine-0").await;
    let mut client = HealthClient::new(engine.endpoint().connect().await.expect("should connect"));
    for service in ["", "workflow.engine.v1.JobService"] {
        let answer = client.check(of(service)).await.expect("should answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing, "{service}");
    }
    let unknown = client.check(of("other.Service")).await.expect_err("should be unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = client.watch(of("")).await.expect("should open").into_inner();
    let first = watch.next().await.expect("should tell").expect("should be well").status();
    assert_eq!(first, ServingStatus::NotServing);

    assert!(world.migrate(&["--up-to", "all"]).status.success());
    let then = watch.next().await.expect("should tell").expect("should be well").status();
    assert_eq!(then, ServingStatus::Serving);
    engine.await_ready().await;
    for service in ["", "workflow.engine.v1.InstanceService"] {
        let answer = client.check(of(service)).await.expect("should answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let mut watch = client.watch(of("other.Service")).await.expect("should open").into_inner();
    let unknown = watch.next().await.expect("should tell").expect("should be well").status();
    assert_eq!(unknown, ServingStatus::ServiceUnknown);
}

async fn reflect(
    caller: &Caller,
    question: MessageRequest,
) -> Result<ServerReflectionResponse, tonic::Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(caller.service());
    let mut answers = client.server_reflection_info(futures::stream::iter([request])).await?.into_inner();
    answers.next().await.expect("should answer")
}

#[tokio::test]
async fn reflection_needs_a_token_and_lists_the_services() {
    let world = World::new(database!());
    let engine = world.serve("engine-0").await;
    let list = || MessageRequest::ListServices(String::new());
    let refused = reflect(&engine.caller(None), list()).await.expect_err("should be refused");
    assert_eq!(refused.code(), Code::Unauthenticated);

    let answer = reflect(&engine.worker("_default"), list()).await.expect("should answer");
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let reported: BTreeSet<String> = listed.service.into_iter().map(|service| service.name).collect();
    let expected = ["Cluster", "Instance", "Job", "Migration", "Process", "Tenant"];
    let expected = expected.map(|name| format!("workflow.engine.v1.{name}Service"));
    assert!(expected.iter().all(|name| reported.contains(name)), "{reported:?}");
    assert!(reported.contains("grpc.health.v1.Health"), "{reported:?}");

    let symbol = MessageRequest::FileContainingSymbol(expected[1].clone());
    let answer = reflect(&engine.monitor(), symbol).await.expect("should answer");
    assert!(
        matches!(&answer.message_response, Some(MessageResponse::FileDescriptorResponse(files))
            if !files.file_descriptor_proto.is_empty()),
        "{answer:?}"
    );
}
