//! Definitions from a real git server.

use api_types::WorkflowProcess;
use api_types::condition::{SOURCE_READY, VALID};
use api_types::process::WorkflowProcessStatus;
use e2e::cluster::Cluster;
use e2e::sample::ACME_NAMESPACE;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use test_support::wait::await_condition;

use crate::fixture::{START, api, apply, bpmn, named_cluster, process, remove};
use crate::forge::Forge;

const NAME: &str = "e2e-from-git";

async fn await_status(
    cluster: &Cluster,
    what: &str,
    is_it: impl Fn(&WorkflowProcessStatus) -> bool,
) -> WorkflowProcessStatus {
    let processes: Api<WorkflowProcess> = api(cluster, ACME_NAMESPACE);
    let found = await_condition(&processes, NAME, START, what, |process: &WorkflowProcess| {
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
