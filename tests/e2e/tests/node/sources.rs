//! Definitions from a real git server, and from Flux.

use api_types::WorkflowProcess;
use api_types::condition::{SOURCE_READY, VALID};
use api_types::process::WorkflowProcessStatus;
use e2e::cluster::Cluster;
use e2e::sample::ACME_NAMESPACE;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::json;
use test_support::wait::await_condition;

use crate::fixture::{START, api, apply, bpmn, named_cluster, process, remove};
use crate::forge::Forge;

const NAME: &str = "e2e-from-git";
const FROM_FLUX: &str = "e2e-from-flux";

async fn await_status(
    cluster: &Cluster,
    what: &str,
    is_it: impl Fn(&WorkflowProcessStatus) -> bool,
) -> WorkflowProcessStatus {
    await_status_of(cluster, NAME, what, is_it).await
}

async fn await_status_of(
    cluster: &Cluster,
    name: &str,
    what: &str,
    is_it: impl Fn(&WorkflowProcessStatus) -> bool,
) -> WorkflowProcessStatus {
    let processes: Api<WorkflowProcess> = api(cluster, ACME_NAMESPACE);
    let found = await_condition(&processes, name, START, what, |process: &WorkflowProcess| {
        process.status.as_ref().is_some_and(&is_it)
    });
    found.await.status.unwrap_or_default()
}

fn condition<'s>(status: &'s WorkflowProcessStatus, type_: &str) -> Option<(&'s str, &'s str)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status.as_str(), found.reason.as_str()))
}

/// A push is live within the interval; a broken file and a server that is away leave what runs; a force-push is followed.
#[tokio::test]
#[ignore = "needs the git server: `./dev nightly`"]
async fn a_pushed_file_is_live_within_the_interval_and_trouble_leaves_what_runs() {
    let Some(cluster) = named_cluster("a_pushed_file_is_live").await else { return };
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, NAME).await;
    let forge = Forge::empty(&cluster, "e2e").await.expect("a repository");
    let secret = forge.secret(&cluster, "e2e-forge", ACME_NAMESPACE).await.expect("the reader's Secret");
    apply::<Secret>(&cluster, ACME_NAMESPACE, "e2e-forge", &secret).await;
    let first = forge.push("bpmn/flow.bpmn", &bpmn(NAME, "charge-payment"));
    let source = json!({"gitRef": {
        "url": forge.url(),
        "path": "bpmn/flow.bpmn",
        "revision": "main",
        "interval": "30s",
        "secretRef": {"name": "e2e-forge"},
    }});
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, NAME, &process(NAME, &source)).await;
    let runs = |commit: String| {
        move |status: &WorkflowProcessStatus| status.ready && status.source_revision.as_ref() == Some(&commit)
    };
    let deployed = await_status(&cluster, "runs the first commit", runs(first.clone())).await;
    assert_eq!(condition(&deployed, SOURCE_READY), Some(("True", "SourceReady")));
    let version = deployed.version.expect("a version");

    let second = forge.push("bpmn/flow.bpmn", &bpmn(NAME, "refund-payment"));
    let deployed = await_status(&cluster, "runs the second commit", runs(second.clone())).await;
    assert_eq!(deployed.version, Some(version + 1));
    assert_eq!(deployed.job_types, ["refund-payment"]);

    let broken = forge.push("bpmn/flow.bpmn", "<definitions/>");
    let failed = await_status(&cluster, "tells the broken commit", |status| {
        status.attempted_revision.as_ref() == Some(&broken)
    })
    .await;
    assert_eq!(
        (failed.ready, failed.version, &failed.source_revision),
        (false, Some(version + 1), &Some(second))
    );
    assert_eq!(condition(&failed, VALID), Some(("False", "ValidationFailed")));

    // A revert by force.
    forge.go_back(&first);
    let back = await_status(&cluster, "runs the first commit again", runs(first.clone())).await;
    assert_eq!(back.version, Some(version + 2));

    scale_server(&cluster, 0).await;
    let away = await_status(&cluster, "tells that the server is away", |status| {
        condition(status, SOURCE_READY).is_some_and(|(status, _)| status == "False")
    })
    .await;
    assert_eq!(condition(&away, SOURCE_READY), Some(("False", "SourceUnreachable")));
    assert_eq!((away.ready, away.source_revision), (true, Some(first)));
    scale_server(&cluster, 1).await;

    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, NAME).await;
    remove::<Secret>(&cluster, ACME_NAMESPACE, "e2e-forge").await;
}

/// Its repositories go with its pod.
async fn scale_server(cluster: &Cluster, replicas: i32) {
    let servers: Api<Deployment> = Api::namespaced(cluster.client.clone(), "git-server");
    let scaled = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    servers.patch("git", &PatchParams::default(), &scaled).await.expect("should scale the git server");
    await_condition(&servers, "git", START, "has its pods", |server: &Deployment| {
        server.status.as_ref().is_some_and(|status| status.ready_replicas.unwrap_or(0) == replicas)
    })
    .await;
}

/// Flux's source-controller fetches with the credential; the process follows its artifact.
#[tokio::test]
#[ignore = "needs the git server and Flux: `./dev nightly`"]
async fn an_artifact_of_flux_is_followed_and_what_runs_stays_without_it() {
    let Some(cluster) = named_cluster("an_artifact_of_flux_is_followed").await else { return };
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, FROM_FLUX).await;
    let forge = Forge::empty(&cluster, "flux").await.expect("a repository");
    let secret = forge.secret(&cluster, FROM_FLUX, ACME_NAMESPACE).await.expect("the reader's Secret");
    apply::<Secret>(&cluster, ACME_NAMESPACE, FROM_FLUX, &secret).await;
    let first = forge.push("bpmn/flow.bpmn", &bpmn(FROM_FLUX, "charge-payment"));
    let kind = GroupVersionKind::gvk("source.toolkit.fluxcd.io", "v1", "GitRepository");
    let kind = ApiResource::from_gvk_with_plural(&kind, "gitrepositories");
    let repositories: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), ACME_NAMESPACE, &kind);
    let repository = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": FROM_FLUX, "namespace": ACME_NAMESPACE},
        "spec": {
            "interval": "30s",
            "url": forge.url(),
            "ref": {"branch": "main"},
            "secretRef": {"name": FROM_FLUX},
        },
    });
    let params = PatchParams::apply("e2e").force();
    repositories.patch(FROM_FLUX, &params, &Patch::Apply(&repository)).await.expect("a GitRepository");
    let source = json!({"fluxRef": {"kind": "GitRepository", "name": FROM_FLUX, "path": "bpmn/flow.bpmn"}});
    apply::<WorkflowProcess>(&cluster, ACME_NAMESPACE, FROM_FLUX, &process(FROM_FLUX, &source)).await;
    let runs = |commit: &str| {
        let revision = format!("main@sha1:{commit}");
        move |status: &WorkflowProcessStatus| {
            status.ready && status.source_revision.as_ref() == Some(&revision)
        }
    };
    let deployed = await_status_of(&cluster, FROM_FLUX, "runs the first artifact", runs(&first)).await;
    let version = deployed.version.expect("a version");

    let second = forge.push("bpmn/flow.bpmn", &bpmn(FROM_FLUX, "refund-payment"));
    let deployed = await_status_of(&cluster, FROM_FLUX, "runs the second artifact", runs(&second)).await;
    assert_eq!(
        (deployed.version, deployed.job_types),
        (Some(version + 1), vec!["refund-payment".to_owned()])
    );

    repositories.delete(FROM_FLUX, &DeleteParams::default()).await.expect("should be deleted");
    let without = await_status_of(&cluster, FROM_FLUX, "tells that its source is gone", |status| {
        condition(status, SOURCE_READY) == Some(("False", "SourceMissing"))
    })
    .await;
    assert_eq!((without.ready, without.version), (false, Some(version + 1)));
    remove::<WorkflowProcess>(&cluster, ACME_NAMESPACE, FROM_FLUX).await;
    remove::<Secret>(&cluster, ACME_NAMESPACE, FROM_FLUX).await;
}
