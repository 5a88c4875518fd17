use std::collections::BTreeMap;

use api_types::engine_access;
use controller_kit::children::LiveChildren;
use controller_kit::plan::build_owner_reference;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ApiResource;
use rstest::rstest;

use super::*;
use crate::children::disruption_budget::DisruptionBudget;
use crate::children::ingress::EngineIngress;
use crate::children::reader_role::ReaderRole;
use crate::children::reader_role_binding::ReaderRoleBinding;
use crate::children::service::ClientService;
use crate::children::service_monitor::ServiceMonitorView;
use crate::claim::{ClaimChange, Ownership};
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::observe::secrets::{AccessView, RedactedSecret};
use crate::testing::{
    FULL, MINIMAL, SEED, minimal, nothing, reachable, reported, serving, settings, target, today,
};
use crate::upgrade::migration::Migration;
use crate::upgrade::rollout::Change;

fn planned(cluster: &WorkflowCluster, observed: &Observed) -> Plan {
    plan(cluster, &target(cluster), &settings(), observed, today())
}

/// The access Secrets with fixed contents, so that what is rendered from them is fixed too.
fn access(cluster: &WorkflowCluster) -> AccessView {
    let authority = include_str!("../../testdata/authority.pem");
    let key = "-----BEGIN PRIVATE KEY-----\n";
    let sealed = |name: String, entries: &[(&str, &str)]| {
        let mut secret = crate::testing::secret(&name, entries).0;
        secret.metadata.owner_references = Some(vec![build_owner_reference(cluster)]);
        Some(RedactedSecret(secret))
    };
    AccessView {
        authority: sealed(
            engine_access::ca_key_secret_name(&cluster.name_any()),
            &[("ca.crt", authority), ("ca.key", key)],
        ),
        proof: crate::testing::proof(),
        ..AccessView::default()
    }
}

/// Every child of the testdata's clusters, as it is applied.
#[rstest]
#[case::seed("seed", SEED)]
#[case::minimal("minimal", MINIMAL)]
#[case::full("full", FULL)]
fn every_child_is_rendered_as_reviewed(#[case] name: &str, #[case] yaml: &str) {
    let cluster = crate::testing::cluster(yaml);
    let mut observed = nothing();
    observed.access = access(&cluster);
    observed.service_monitor = ServiceMonitorView::Known(None);
    let mut steps = planned(&cluster, &observed).steps;
    observed.postgres = reachable(Some("1.2.3"));
    steps.extend(planned(&cluster, &observed).steps);
    let mut bodies: BTreeMap<String, serde_json::Value> = BTreeMap::new();
    for step in steps {
        if let Step::Apply(desired) | Step::Own(ClusterStep::CreateJob(desired)) = step
            && desired.resource.kind != "Secret"
        {
            bodies.insert(format!("{} {}", desired.resource.kind, desired.name), desired.body);
        }
    }
    insta::assert_yaml_snapshot!(name, bodies);
}

#[test]
fn a_new_cluster_is_migrated_before_its_engine_starts() {
    let plan = planned(&crate::testing::cluster(MINIMAL), &nothing());
    assert_eq!(
        reported(&plan.steps),
        [
            "add the finalizer",
            "create credential dev-engine-controller-token",
            "create credential dev-engine-monitor-token",
            "create credential dev-engine-worker-key",
            "create credential dev-engine-client-key",
            "create authority dev-engine-ca-key",
            "apply Role dev-engine-controller-token",
            "apply RoleBinding dev-engine-controller-token",
            "apply Role dev-engine-monitor-token",
            "apply RoleBinding dev-engine-monitor-token",
            "apply Role dev-engine-worker-key",
            "apply RoleBinding dev-engine-worker-key",
            "apply Role dev-engine-client-key",
            "apply RoleBinding dev-engine-client-key",
            "apply Service dev-engine-headless",
            "apply Service dev-engine",
            "apply NetworkPolicy dev-engine",
            "apply NetworkPolicy dev-migration",
            "create Job dev-migrate-v1-2-3-JOB",
        ]
        .map(|line| line.replace("JOB", &job_digest(&plan)))
    );
}

/// Nothing that works on the database is made or changed before its claim has been observed.
#[test]
fn a_claim_comes_before_everything_that_works_on_the_database() {
    let cluster = minimal(|_| ());
    let next = crate::testing::held(&cluster);
    let due = || Ownership::Due(Box::new(ClaimChange { former: None, next: next.clone() }));
    let empty = Observed { ownership: due(), ..nothing() };
    let is_of_engine =
        |line: &String| ["Job", "StatefulSet"].into_iter().any(|kind| line.contains(&format!(" {kind} ")));
    let steps = reported(&planned(&cluster, &empty).steps);
    assert!(steps.contains(&format!("claim {}", next.for_engine())), "{steps:?}");
    assert_eq!(steps.iter().filter(|line| is_of_engine(line)).collect::<Vec<_>>(), Vec::<&String>::new());

    // An engine that runs: also one whose spec asks for something else.
    let running = Observed { ownership: due(), ..settled(&cluster) };
    let mut changed = cluster.clone();
    changed.spec.replicas = 4;
    changed.spec.version = "1.3.0".to_owned();
    for cluster in [&cluster, &changed] {
        let steps = children_reported(&planned(cluster, &running));
        assert_eq!(
            (&steps[0], steps.iter().find(|line| is_of_engine(line))),
            (&format!("claim {}", next.for_engine()), None)
        );
    }
    let mut paused = changed;
    paused.spec.paused = Some(true);
    assert_eq!(reported(&planned(&paused, &running).steps), Vec::<String>::new());
}

fn job_digest(plan: &Plan) -> String {
    let Migration::Needed { job, .. } = &plan.upgrade.migration else {
        panic!("{:?}", plan.upgrade.migration)
    };
    job.name_any().rsplit('-').next().unwrap().to_owned()
}

#[test]
fn a_migrated_cluster_gets_its_engine() {
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    let plan = planned(&minimal(|cluster| cluster.spec.replicas = 2), &observed);
    assert_eq!(
        reported(&plan.steps)[14..],
        [
            "apply Service dev-engine-headless",
            "apply Service dev-engine",
            "apply NetworkPolicy dev-engine",
            "apply NetworkPolicy dev-migration",
            "apply StatefulSet dev-engine",
            "apply PodDisruptionBudget dev-engine",
        ]
    );
}

/// A world in which everything is as `cluster` wants it.
fn settled(cluster: &WorkflowCluster) -> Observed {
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.engine = serving();
    observed.access = access(cluster);
    let plan = planned(cluster, &observed);
    let applied = |resource: &ApiResource, name: &str| {
        plan.steps.iter().find_map(|step| match step {
            Step::Apply(desired) if desired.resource == *resource && desired.name == name => {
                Some(desired.body.clone())
            }
            _ => None,
        })
    };
    let mut children = LiveChildren::holding(cluster, applied).unwrap();
    let set = crate::testing::settled_set(cluster, "1.2.3");
    let mut engine = children.get(&EnginePods).cloned().unwrap();
    engine.status = set.status;
    engine.metadata.generation = set.metadata.generation;
    children.set(&EnginePods, Some(engine));
    observed.children.live = children;
    observed
}

/// The steps that do not concern the Secrets, nor the cluster itself.
fn children_reported(plan: &Plan) -> Vec<String> {
    reported(&plan.steps)
        .into_iter()
        .filter(|line| !line.contains("ertificate") && !line.contains("redential"))
        .filter(|line| !line.contains("Secret") && !line.contains("finalizer"))
        .collect()
}

#[test]
fn a_settled_world_needs_nothing() {
    let cluster = crate::testing::cluster(SEED);
    assert_eq!(children_reported(&planned(&cluster, &settled(&cluster))), Vec::<String>::new());
}

#[test]
fn what_is_no_longer_wanted_goes() {
    let before = crate::testing::cluster(SEED);
    let observed = settled(&before);
    let mut after = before.clone();
    after.spec.replicas = 1;
    after.spec.network = None;
    let expected = [
        "apply StatefulSet prod-east-engine",
        "delete PodDisruptionBudget prod-east-engine",
        "delete Ingress prod-east-engine",
    ];
    assert_eq!(children_reported(&planned(&after, &observed)), expected);
}

#[test]
fn what_nobody_is_to_read_is_granted_to_nobody() {
    let cluster = minimal(|_| ());
    let mut settings = settings();
    settings.readers.monitor_token_readers.clear();
    settings.readers.client_key_readers = vec!["apps:gateway".parse().unwrap()];
    let plan = plan(&cluster, &target(&cluster), &settings, &settled(&cluster), today());
    let expected = [
        "delete Role dev-engine-monitor-token",
        "delete RoleBinding dev-engine-monitor-token",
        "apply RoleBinding dev-engine-client-key",
    ];
    assert_eq!(children_reported(&plan), expected);
}

#[test]
fn a_foreign_role_of_a_secrets_name_is_neither_bound_nor_overwritten() {
    let cluster = minimal(|_| ());
    let mut observed = settled(&cluster);
    let live = &mut observed.children.live;
    let mut role = live.get(&ReaderRole(Access::WorkerKey)).cloned().unwrap();
    role.metadata.owner_references = None;
    live.set(&ReaderRole(Access::WorkerKey), Some(role));
    live.set(&ReaderRoleBinding(Access::WorkerKey), None);
    let plan = planned(&cluster, &observed);
    assert_eq!(
        (children_reported(&plan), plan.taken),
        (Vec::new(), vec!["Role acme/dev-engine-worker-key".to_owned()])
    );
}

#[test]
fn a_database_that_is_away_holds_up_no_scaling() {
    let before = crate::testing::cluster(SEED);
    let mut observed = settled(&before);
    observed.postgres = PostgresView::Unusable(PostgresProblem {
        reason: api_types::cluster::ClusterReason::PostgresUnreachable,
        cause: "connection refused".to_owned(),
    });
    observed.ownership = Ownership::Unknown;
    let mut after = before.clone();
    after.spec.replicas = 5;
    let plan = planned(&after, &observed);
    assert_eq!(children_reported(&plan), ["apply StatefulSet prod-east-engine"]);
    assert_eq!(plan.upgrade.rollout.change, Change { scale: Some((3, 5)), template: false });
}

#[test]
fn a_paused_cluster_is_left_as_it_is() {
    let cluster = minimal(|cluster| cluster.spec.paused = Some(true));
    assert_eq!(reported(&planned(&cluster, &nothing()).steps), Vec::<String>::new());
}

#[test]
fn objects_of_somebody_else_are_neither_overwritten_nor_deleted() {
    let cluster = minimal(|_| ());
    let mut observed = settled(&cluster);
    let foreign = ObjectMeta {
        name: Some("dev-engine".into()),
        namespace: Some("acme".into()),
        ..ObjectMeta::default()
    };
    let live = &mut observed.children.live;
    live.set(&ClientService, Some(Service { metadata: foreign.clone(), ..Service::default() }));
    let budget = PodDisruptionBudget { metadata: foreign.clone(), ..PodDisruptionBudget::default() };
    live.set(&DisruptionBudget, Some(budget));
    live.set(&EngineIngress, Some(Ingress { metadata: foreign, ..Ingress::default() }));
    let plan = planned(&cluster, &observed);
    assert_eq!(
        (children_reported(&plan), plan.taken),
        (Vec::new(), vec!["Service acme/dev-engine".to_owned()])
    );
}

#[test]
fn a_service_monitor_follows_the_crd_and_the_spec() {
    let cluster = crate::testing::cluster(SEED);
    let mut observed = settled(&cluster);
    observed.service_monitor = ServiceMonitorView::Known(None);
    let plan = planned(&cluster, &observed);
    assert_eq!(children_reported(&plan), ["apply ServiceMonitor prod-east-engine"]);
    let Some(Step::Apply(desired)) = plan.steps.last() else { panic!("{:?}", plan.steps) };
    observed.service_monitor =
        ServiceMonitorView::Known(Some(serde_json::from_value(desired.body.clone()).unwrap()));
    assert_eq!(children_reported(&planned(&cluster, &observed)), Vec::<String>::new());
    let mut without = cluster.clone();
    without.spec.observability.as_mut().unwrap().metrics.as_mut().unwrap().service_monitor = Some(false);
    assert_eq!(children_reported(&planned(&without, &observed)), ["delete ServiceMonitor prod-east-engine"]);
}

/// Pods of the engine and of migrations come from the same registry.
#[test]
fn every_pod_of_a_cluster_pulls_with_the_installations_secrets() {
    let cluster = crate::testing::cluster(SEED);
    let settings = Settings {
        engine_image_pull_secrets: vec!["registry-login".to_owned(), "mirror-login".to_owned()],
        ..settings()
    };
    let planned = |marker: Option<&str>| {
        let observed = Observed { postgres: reachable(marker), ..nothing() };
        plan(&cluster, &target(&cluster), &settings, &observed, today()).steps
    };
    let mut pulls = BTreeMap::new();
    for step in planned(None).into_iter().chain(planned(Some("1.2.3"))) {
        if let Step::Apply(desired) | Step::Own(ClusterStep::CreateJob(desired)) = step
            && let Some(pod) = desired.body.pointer("/spec/template/spec")
        {
            pulls.insert(desired.resource.kind.clone(), pod["imagePullSecrets"].clone());
        }
    }
    let expected = serde_json::json!([{"name": "registry-login"}, {"name": "mirror-login"}]);
    assert_eq!(pulls, ["Job", "StatefulSet"].map(|kind| (kind.to_owned(), expected.clone())).into());
}
