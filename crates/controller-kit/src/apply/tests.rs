use api_types::WorkflowProcess;
use api_types::labels::APPLIED_HASH;
use api_types::process::WorkflowProcessStatus;
use api_types::reason::CommonReason;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use rstest::rstest;
use serde_json::json;
use test_support::mock_apiserver::{MockApiServer, delete, patch, post};
use test_support::reply::{self, Reply};
use test_support::{FakeApiServer, builders};

use super::*;
use crate::condition::{ConditionStatus, DesiredCondition, Readiness, merge, summary};
use crate::plan::{ChildVerdict, plan_child};

const MANAGER: &str = "process-controller";
const PATH: &str = "/apis/workflow.example.com/v1alpha1/namespaces/acme/workflowprocesses/order";

fn process() -> WorkflowProcess {
    let cluster = builders::cluster("acme", "prod");
    builders::stored(builders::process("acme", "order", &cluster))
}

fn desired() -> Desired {
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("a".into()),
            namespace: Some("acme".into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    Desired::of(&config_map)
}

fn status(readiness: Readiness) -> WorkflowProcessStatus {
    let mut wanted = summary(readiness, CommonReason::Paused, "m");
    wanted.push(DesiredCondition::new("Deployed", ConditionStatus::True, CommonReason::Paused, "m"));
    WorkflowProcessStatus {
        conditions: merge(&[], wanted, Some(1), Timestamp::UNIX_EPOCH),
        ..WorkflowProcessStatus::default()
    }
}

#[rstest]
#[case::forbidden(
    reply::forbidden("configmaps", "a", "exceeded quota: small"),
    ErrorClass::Denied,
    r#"failed to apply ConfigMap acme/a: configmaps "a" is forbidden: exceeded quota: small"#
)]
#[case::namespace_is_gone(
    reply::failure(404, "NotFound", "namespaces \"acme\" not found"),
    ErrorClass::Defect,
    r#"failed to apply ConfigMap acme/a: namespaces "acme" not found"#
)]
#[case::changed_meanwhile(
    reply::conflict("configmaps", "a"),
    ErrorClass::Conflict,
    r#"failed to apply ConfigMap acme/a: Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again"#
)]
#[case::malformed(
    reply::failure(422, "Invalid", "ConfigMap \"a\" is invalid: data: expected strings"),
    ErrorClass::Defect,
    r#"failed to apply ConfigMap acme/a: ConfigMap "a" is invalid: data: expected strings"#
)]
#[case::overloaded(
    reply::failure(429, "TooManyRequests", "too many requests, please try again later"),
    ErrorClass::Transient,
    "failed to apply ConfigMap acme/a: too many requests, please try again later"
)]
#[case::no_words(
    reply::failure(503, "", ""),
    ErrorClass::Transient,
    "failed to apply ConfigMap acme/a: status 503"
)]
#[tokio::test]
async fn a_refusal_is_classed_and_reported_in_the_apiservers_words(
    #[case] refusal: kube::core::Status,
    #[case] class: ErrorClass,
    #[case] reported: &str,
) {
    let apiserver = MockApiServer::in_order([patch("/api/v1/namespaces/acme/configmaps/a").reply(refusal)]);
    let error = Writer::new(apiserver.client(), MANAGER).apply(&desired()).await.unwrap_err();
    assert_eq!((error.class(), error.message().as_str()), (class, reported));
}

#[tokio::test]
async fn an_object_is_applied_whole_under_the_managers_name() {
    let body = desired().body;
    let apiserver = MockApiServer::in_order([patch("/api/v1/namespaces/acme/configmaps/a")
        .query("fieldManager", MANAGER)
        .body(body.clone())
        .reply(Reply::ok(body))]);
    let written = Writer::new(apiserver.client(), MANAGER).apply(&desired()).await.unwrap();
    assert_eq!(written.reverted, None);
}

/// Another controller that writes the same field whenever it differs from what it wants.
#[tokio::test(start_paused = true)]
async fn fields_that_others_changed_are_set_back_and_reported_and_later_only_after_a_pause() {
    let apiserver = FakeApiServer::new();
    let config_map = |value: &str| {
        let mut config_map = ConfigMap::default();
        config_map.metadata.name = Some("a".into());
        config_map.metadata.namespace = Some("acme".into());
        config_map.data = Some([("key".to_owned(), value.to_owned())].into());
        config_map
    };
    let writer = Writer::new(apiserver.client(), MANAGER);
    let desired = Desired::of(&config_map("ours"));
    writer.apply(&desired).await.unwrap();

    let rival = || apiserver.edit::<ConfigMap>("acme", "a", |it| it["data"]["key"] = json!("theirs"));
    let found = || apiserver.get::<ConfigMap>("acme", "a").unwrap().data.unwrap()["key"].clone();
    rival();
    let written = writer.apply(&desired).await.unwrap();
    let reported = written.reverted.unwrap().message();
    assert_eq!((reported.as_str(), found().as_str()), (r#"ConfigMap acme/a: "edit" set .data.key"#, "ours"));

    rival();
    apiserver.forget_requests();
    for _ in 0..100 {
        let error = writer.apply(&desired).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::FieldConflict);
        assert_eq!(
            error.message(),
            r#"changed by others again and again, set back at most once a minute: ConfigMap acme/a: "edit" set .data.key"#
        );
    }
    assert_eq!((apiserver.requests().len(), found().as_str()), (1, "theirs"));
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert!(writer.apply(&desired).await.unwrap().reverted.is_some());
    assert_eq!(found(), "ours");
}

#[rstest]
#[case::deleted(Reply::ok(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})))]
#[case::gone_already(reply::not_found("configmaps", "a").into())]
#[tokio::test]
async fn only_the_object_that_was_seen_is_deleted(#[case] reply: Reply) {
    let mut live = ConfigMap::default();
    live.metadata.name = Some("a".into());
    live.metadata.namespace = Some("acme".into());
    live.metadata.uid = Some("uid-a".into());
    let apiserver = MockApiServer::in_order([delete("/api/v1/namespaces/acme/configmaps/a")
        .body(json!({"preconditions": {"uid": "uid-a"}, "propagationPolicy": "Background"}))
        .reply(reply)]);
    Writer::new(apiserver.client(), MANAGER).delete(&Deletion::of(&live)).await.unwrap();
}

#[tokio::test]
async fn only_the_version_that_was_seen_is_deleted_where_that_is_asked_for() {
    let mut live = ConfigMap::default();
    live.metadata.name = Some("a".into());
    live.metadata.namespace = Some("acme".into());
    live.metadata.uid = Some("uid-a".into());
    let apiserver = MockApiServer::in_order([delete("/api/v1/namespaces/acme/configmaps/a")
        .body(json!({"preconditions": {"uid": "uid-a", "resourceVersion": "7"}, "propagationPolicy": "Background"}))
        .reply(reply::conflict("configmaps", "a"))]);
    let error = Writer::new(apiserver.client(), MANAGER).delete_unchanged(&Deletion::of(&live), "7").await;
    assert_eq!(error.unwrap_err().class(), ErrorClass::Conflict);
}

#[tokio::test]
async fn create_does_not_overwrite_and_try_create_is_a_dry_run() {
    let path = "/api/v1/namespaces/acme/configmaps";
    let apiserver = MockApiServer::in_order([
        post(path)
            .query("fieldManager", MANAGER)
            .query("dryRun", "All")
            .body(desired().body)
            .reply(Reply::created(desired().body)),
        post(path)
            .query("fieldManager", MANAGER)
            .body(desired().body)
            .reply(reply::already_exists("configmaps", "a")),
    ]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    writer.try_create(&desired()).await.unwrap();
    let error = writer.create(&desired()).await.unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (ErrorClass::Conflict, "failed to create ConfigMap acme/a")
    );
}

#[tokio::test]
async fn a_new_object_of_the_same_name_is_not_deleted() {
    let apiserver = MockApiServer::in_order([
        delete("/api/v1/namespaces/acme/configmaps/a").reply(reply::conflict("configmaps", "a"))
    ]);
    let deletion = Deletion {
        resource: kube::api::ApiResource::erase::<ConfigMap>(&()),
        namespace: "acme".into(),
        name: "a".into(),
        uid: "uid-of-another".into(),
    };
    let error = Writer::new(apiserver.client(), MANAGER).delete(&deletion).await.unwrap_err();
    assert_eq!(
        (error.class(), error.to_string().as_str()),
        (ErrorClass::Conflict, "failed to delete ConfigMap acme/a")
    );
}

#[tokio::test]
async fn a_finalizer_is_added_to_those_of_others_and_only_on_the_version_that_was_seen() {
    let mut object = process();
    object.metadata.finalizers = Some(vec!["their/finalizer".into()]);
    let apiserver = MockApiServer::in_order([patch(PATH)
        .query("fieldManager", MANAGER)
        .body(
            json!({"metadata": {"resourceVersion": "1", "finalizers": ["their/finalizer", "our/finalizer"]}}),
        )
        .reply(Reply::ok(serde_json::to_value(&object).unwrap()))]);
    Writer::new(apiserver.client(), MANAGER).add_finalizer(&object, "our/finalizer").await.unwrap();
}

#[tokio::test]
async fn an_annotation_is_written_with_the_finalizer_which_is_listed_once() {
    let mut object = process();
    object.metadata.finalizers = Some(vec!["our/finalizer".into(), "their/finalizer".into()]);
    let apiserver = MockApiServer::in_order([patch(PATH)
        .query("fieldManager", MANAGER)
        .body(json!({"metadata": {
            "resourceVersion": "1",
            "finalizers": ["their/finalizer", "our/finalizer"],
            "annotations": {"our/note": "acme"},
        }}))
        .reply(Reply::ok(serde_json::to_value(&object).unwrap()))]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    writer.add_finalizer_and_note(&object, "our/finalizer", ("our/note", "acme")).await.unwrap();
}

#[tokio::test]
async fn removing_a_finalizer_from_a_changed_object_is_a_conflict_and_from_a_deleted_one_no_error() {
    let apiserver = MockApiServer::in_order([
        patch(PATH).reply(reply::conflict("workflowprocesses.workflow.example.com", "order")),
        patch(PATH).reply(reply::not_found("workflowprocesses.workflow.example.com", "order")),
    ]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    let conflict = writer.remove_finalizer(&process(), "our/finalizer").await.unwrap_err();
    assert_eq!(conflict.class(), ErrorClass::Conflict);
    assert_eq!(writer.remove_finalizer(&process(), "our/finalizer").await.unwrap(), None);
}

#[tokio::test]
async fn a_status_is_written_once_and_only_to_the_object_with_the_same_uid() {
    let status = status(Readiness::Ready);
    let body = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"name": "order", "uid": "uid-of-order"},
        "status": status,
    });
    let apiserver = MockApiServer::in_order([patch(&format!("{PATH}/status"))
        .query("fieldManager", MANAGER)
        .query("force", "true")
        .body(body)
        .reply(Reply::ok(serde_json::to_value(process()).unwrap()))]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    assert!(writer.apply_status(&process(), None, &status).await.unwrap().is_some());
    assert_eq!(writer.apply_status(&process(), Some(&status), &status).await.unwrap(), None);
}

#[tokio::test]
async fn a_status_of_a_deleted_object_is_no_error_and_a_refused_one_is() {
    let path = format!("{PATH}/status");
    let resource = "workflowprocesses.workflow.example.com";
    let apiserver = MockApiServer::in_order([
        patch(&path).reply(reply::not_found(resource, "order")),
        patch(&path).reply(reply::forbidden(resource, "order", "no permission")),
    ]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    let status = status(Readiness::Ready);
    assert_eq!(writer.apply_status(&process(), None, &status).await.unwrap(), None);
    let error = writer.apply_status(&process(), None, &status).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Denied);
    assert_eq!(error.to_string(), "failed to write the status of WorkflowProcess acme/order");
}

/// The API server keeps a condition at its first place, so a list that is read back can be in another order.
#[tokio::test]
async fn the_order_of_conditions_is_no_difference() {
    let apiserver = FakeApiServer::new();
    apiserver.seed(&process());
    let writer = Writer::new(apiserver.client(), MANAGER);
    for readiness in [Readiness::Stalled, Readiness::InProgress] {
        writer.apply_status(&process(), None, &status(readiness)).await.unwrap();
    }
    let stored: WorkflowProcess = apiserver.get("acme", "order").unwrap();
    let mut reversed = stored.status.clone().unwrap();
    reversed.conditions.reverse();
    let wanted = status(Readiness::InProgress);
    assert_eq!(writer.apply_status(&stored, stored.status.as_ref(), &wanted).await.unwrap(), None);
    assert_eq!(writer.apply_status(&stored, Some(&reversed), &wanted).await.unwrap(), None);
}

/// A live object in which not every applied field is stored; also the answer to its apply.
fn half_stored(version: &str, data: &[(&str, &str)]) -> ConfigMap {
    let mut live: ConfigMap = serde_json::from_value(desired().body).unwrap();
    live.metadata.resource_version = Some(version.to_owned());
    live.metadata.owner_references = Some(vec![OwnerReference {
        controller: Some(true),
        uid: "owner".to_owned(),
        ..OwnerReference::default()
    }]);
    live.data = Some(data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    live
}

fn planned_over(live: &ConfigMap) -> Desired {
    let mut wanted = half_stored("0", &[("a", "stored"), ("b", "not stored")]);
    wanted.metadata.resource_version = None;
    match plan_child("owner", Desired::of(&wanted), Some(live)) {
        ChildVerdict::Apply(desired) => desired,
        verdict => panic!("{verdict:?}"),
    }
}

#[tokio::test]
async fn an_ineffective_apply_is_known_until_the_desired_or_the_live_object_changes() {
    let live = half_stored("7", &[("a", "stored")]);
    let answer = |version| {
        let stored = serde_json::to_value(half_stored(version, &[("a", "stored")])).unwrap();
        patch("/api/v1/namespaces/acme/configmaps/a").reply(Reply::ok(stored))
    };
    let apiserver = MockApiServer::in_order([answer("7"), answer("9")]);
    let writer = Writer::new(apiserver.client(), MANAGER);
    assert!(!writer.is_ineffective(&planned_over(&live)), "not tried yet");
    writer.apply(&planned_over(&live)).await.unwrap();
    assert!(writer.is_ineffective(&planned_over(&live)));
    assert!(writer.clone().is_ineffective(&planned_over(&live)), "clones know it");
    assert!(
        writer.is_ineffective(&planned_over(&half_stored("8", &[("a", "stored")]))),
        "only its version is another"
    );

    assert!(
        !writer.is_ineffective(&planned_over(&half_stored("8", &[("a", "changed")]))),
        "somebody changed it"
    );
    let mut otherwise = planned_over(&live);
    otherwise.body["metadata"]["annotations"][APPLIED_HASH] = json!("another");
    assert!(!writer.is_ineffective(&otherwise), "another desired object");
    writer.apply(&planned_over(&live)).await.unwrap();
    assert!(!writer.is_ineffective(&planned_over(&live)), "it changed something, or was read too early");
}

#[tokio::test]
async fn an_unreachable_apiserver_is_transient() {
    let nobody = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("connection refused"))
    });
    let writer = Writer::new(Client::new(nobody, "acme"), MANAGER);
    let error = writer.apply(&desired()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(error.message(), "failed to apply ConfigMap acme/a: the Kubernetes API did not answer");
}

#[rstest]
#[case::the_lists_of_others_were_the_cause(Reply::ok(desired().body), None)]
#[case::they_were_not(Reply::json(422, reply::invalid("configmaps", "a", "data", "second")), Some("first"))]
#[tokio::test]
async fn lists_that_others_made_invalid_are_replaced_as_a_whole(
    #[case] answer: Reply,
    #[case] refused: Option<&str>,
) {
    let refusal = reply::invalid("configmaps", "a", "data", "first");
    let path = "/api/v1/namespaces/acme/configmaps/a";
    let apiserver =
        MockApiServer::in_order([patch(path).reply(Reply::json(422, refusal)), patch(path).reply(answer)]);
    let written = Writer::new(apiserver.client(), MANAGER).apply_or_replace_lists(&desired()).await;
    let types: Vec<_> = apiserver.finish().into_iter().map(|request| request.content_type).collect();
    assert_eq!(
        types,
        ["application/apply-patch+yaml", "application/merge-patch+json"].map(|it| Some(it.to_owned()))
    );
    match (written, refused) {
        (Ok(_), None) => {}
        (Err(error), Some(refused)) => assert!(error.source.to_string().contains(refused), "{error:?}"),
        (written, _) => panic!("{written:?}"),
    }
}
