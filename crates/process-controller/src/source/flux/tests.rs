use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::testing::process_from;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn source(status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "processes", "namespace": "acme-tenant"},
        "status": status,
    }))
    .unwrap()
}

#[test]
fn an_artifact_is_taken_as_flux_writes_it() {
    let status = json!({"artifact": {
        "url": "http://source-controller.flux-system.svc.cluster.local./gitrepository/a.tar.gz",
        "digest": DIGEST,
        "revision": "main@sha1:4db5582\n",
        "lastUpdateTime": "2026-11-28T10:00:00Z",
    }});
    assert_eq!(
        Artifact::of(&source(&status)),
        Some(Artifact {
            url: "http://source-controller.flux-system.svc.cluster.local./gitrepository/a.tar.gz".to_owned(),
            sha256: DIGEST.trim_start_matches("sha256:").to_owned(),
            revision: "main@sha1:4db5582".to_owned(),
        })
    );
}

#[rstest]
#[case::no_status(json!({}))]
#[case::no_artifact(json!({"conditions": []}))]
#[case::no_digest(json!({"artifact": {"url": "http://a/b"}}))]
#[case::other_digest(json!({"artifact": {"url": "http://a/b", "digest": "md5:d41d8cd98f00b204e9800998ecf8427e"}}))]
#[case::short_digest(json!({"artifact": {"url": "http://a/b", "digest": "sha256:00"}}))]
#[case::no_url(json!({"artifact": {"digest": DIGEST}}))]
#[case::no_text(json!({"artifact": {"url": 7, "digest": DIGEST}}))]
fn what_cannot_be_checked_is_no_artifact(#[case] status: Value) {
    assert_eq!(Artifact::of(&source(&status)), None);
}

#[test]
fn only_the_reason_of_a_failed_flux_source_is_reported() {
    let ready = json!({"type": "Ready", "status": "False", "reason": "GitOperationFailed", "message": "words of a host"});
    let status = json!({"conditions": [{"type": "Reconciling", "reason": "Other"}, ready]});
    assert_eq!(kinds::reason_of(&source(&status)), Some("GitOperationFailed".to_owned()));
    assert_eq!(kinds::reason_of(&source(&json!({}))), None);
}

#[rstest]
#[case::itself("GitRepository", "processes", "acme-tenant", true)]
#[case::another_name("GitRepository", "others", "acme-tenant", false)]
#[case::another_kind("Bucket", "processes", "acme-tenant", false)]
#[case::another_namespace("GitRepository", "processes", "beta-tenant", false)]
fn a_process_depends_on_its_own_source(
    #[case] kind: &str,
    #[case] name: &str,
    #[case] namespace: &str,
    #[case] depends: bool,
) {
    let process =
        process_from(&json!({"fluxRef": {"kind": "GitRepository", "name": "processes", "path": "a.bpmn"}}));
    let mut changed = source(&json!({}));
    changed.metadata.name = Some(name.to_owned());
    changed.metadata.namespace = Some(namespace.to_owned());
    changed.types = changed.types.map(|types| kube::api::TypeMeta { kind: kind.to_owned(), ..types });
    let watched = KINDS.into_iter().find(|watched| watched.as_str() == kind).unwrap();
    assert_eq!(depends_on_flux(&process, watched, &changed), depends);
}
