//! What the CRD lets pass and Kubernetes refuses on a child: the fault of the spec, whose field is named.

use serde_json::{Value, json};

use crate::world::{ENGINE, World};

/// What a pass tells after this change of the spec: reason, message, and whether it stalls.
async fn reported_after(home: &World, change: Value) -> (String, String, bool) {
    home.apply(|cluster| {
        for (field, value) in change.as_object().unwrap() {
            cluster["spec"][field] = value.clone();
        }
    })
    .await;
    // An upgrade checks and announces what it will do before it changes the pod template.
    for _ in 0..6 {
        home.pass().await;
        let reported = reported(home).await;
        if reported.0 != "UpgradePlanned" && reported.0 != "CanaryWatched" {
            return reported;
        }
    }
    reported(home).await
}

/// Reason and message of `Ready`, and whether the cluster is stalled.
async fn reported(home: &World) -> (String, String, bool) {
    let status = home.cluster().await.status.unwrap();
    let found = |type_: &str| status.conditions.iter().find(|condition| condition.type_ == type_).cloned();
    let ready = found("Ready").unwrap();
    (ready.reason, ready.message, found("Stalled").is_some())
}

#[tokio::test]
async fn a_child_that_the_spec_makes_invalid_is_reported_as_the_specs_fault() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "refused").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;

    let toleration = |given: Value| json!({"scheduling": {"tolerations": [given]}});
    let spread = |given: Value| json!({"scheduling": {"topologySpreadConstraints": [given]}});
    let (set, pod) = (format!("StatefulSet {}/{ENGINE}", home.name), "pod.spec");
    let explained =
        |explained: String| format!(": Kubernetes refuses {set}; see kubectl explain {explained}");
    let tolerations = explained(format!("{pod}.tolerations"));
    let spreads = explained(format!("{pod}.topologySpreadConstraints"));
    let affinity = explained(format!("{pod}.affinity"));
    let resources = explained(format!("{pod}.containers.resources"));
    let annotations = explained("pod.metadata.annotations".to_owned());
    let cases = [
        (
            toleration(json!({"key": "a", "operator": "Like"})),
            format!("spec.scheduling.tolerations[0].operator is none of the known values{tolerations}"),
        ),
        (
            toleration(json!({"operator": "Equal", "value": "x"})),
            format!("spec.scheduling.tolerations[0].operator has a value that is not valid{tolerations}"),
        ),
        (
            toleration(json!({"key": "a", "operator": "Exists", "effect": "Sometimes"})),
            format!("spec.scheduling.tolerations[0].effect is none of the known values{tolerations}"),
        ),
        (
            toleration(json!({"key": "a b", "operator": "Exists"})),
            format!("spec.scheduling.tolerations[0].key has a value that is not valid{tolerations}"),
        ),
        (
            spread(json!({"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"})),
            format!(
                "spec.scheduling.topologySpreadConstraints[0].maxSkew has a value that is not valid{spreads}"
            ),
        ),
        (
            json!({"scheduling": {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 0, "podAffinityTerm": {"topologyKey": "zone"}}
            ]}}}}),
            format!(
                "spec.scheduling.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight has a value that is not valid{affinity}"
            ),
        ),
        (
            json!({"scheduling": {"podAnnotations": {"seccomp.security.alpha.kubernetes.io/pod": "nonsense"}}}),
            format!(
                "spec.scheduling.podAnnotations.seccomp.security.alpha.kubernetes.io/pod has a value that is not valid{annotations}"
            ),
        ),
        (
            json!({"resources": {"requests": {"cpus": "2"}}}),
            format!("spec.resources.requests[cpus] has a value that is not valid{resources}"),
        ),
        (
            json!({"resources": {"requests": {"nvidia.com/gpu": "1"}}}),
            format!("spec.resources.limits lacks a limit that this resource must have{resources}"),
        ),
    ];
    for (change, message) in cases {
        let expected = ("InvalidSpec".to_owned(), controller_kit::message::bounded(&message), true);
        assert_eq!(reported_after(&home, change.clone()).await, expected, "{change}");
    }
    let (reason, message, is_stalled) = reported_after(&home, json!({})).await;
    assert_eq!((reason.as_str(), is_stalled), ("Running", false), "{message}");
}

#[tokio::test]
async fn a_migration_that_the_spec_makes_invalid_is_reported_alike() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "refused-job").await;
    let change = json!({"scheduling": {"tolerations": [{"key": "a", "operator": "Like"}]}});
    home.apply(|cluster| cluster["spec"]["scheduling"] = change["scheduling"].clone()).await;
    home.await_rights().await;
    let (reason, message, is_stalled) = reported_after(&home, change).await;
    assert_eq!((reason.as_str(), is_stalled), ("InvalidSpec", true));
    let reported =
        "spec.scheduling.tolerations[0].operator is none of the known values: Kubernetes refuses Job ";
    assert!(message.starts_with(reported), "{message}");
}
