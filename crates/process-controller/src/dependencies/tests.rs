use serde_json::{Value, json};
use test_support::builders::{active_tenant, running_cluster, running_worker};

use kube::ResourceExt;

use super::*;

/// `namespace`, `name`, cluster reference, tenant reference, job types.
fn process(namespace: &str, name: &str, cluster: &Value, tenant: &Value, jobs: &[&str]) -> WorkflowProcess {
    let mut spec = json!({"clusterRef": cluster, "source": {"configMapRef": {"name": "bpmn", "key": "a"}}});
    if !tenant.is_null() {
        spec["tenantRef"] = tenant.clone();
    }
    let object = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
        "status": {"jobTypes": jobs},
    });
    serde_json::from_value(object).unwrap()
}

fn processes() -> Vec<WorkflowProcess> {
    let (east, acme) = (json!({"name": "east"}), json!({"name": "acme"}));
    let elsewhere = json!({"name": "east", "namespace": "elsewhere"});
    vec![
        process("acme-1", "charges", &east, &acme, &["charge"]),
        process("acme-2", "ships", &east, &acme, &["ship"]),
        process("beta-1", "charges-too", &east, &json!({"name": "beta"}), &["charge"]),
        process("acme-1", "on-west", &json!({"name": "west"}), &acme, &["charge"]),
        process("acme-1", "on-another-east", &elsewhere, &acme, &["charge"]),
        process("home", "without-tenant", &east, &Value::Null, &["charge"]),
        process("acme-2", "by-label", &east, &Value::Null, &["charge"]),
    ]
}

/// `acme-2` and `acme-3` are granted to `acme` by their label.
fn label(namespace: &str) -> Option<String> {
    ["acme-2", "acme-3"].contains(&namespace).then(|| "acme".to_owned())
}

/// The names of those that depend on something.
fn names(depends: impl Fn(&WorkflowProcess) -> bool) -> Vec<String> {
    processes().iter().filter(|process| depends(process)).map(ResourceExt::name_any).collect()
}

fn worker(namespace: &str, tenant: &str, jobs: &[&str]) -> WorkerFields {
    let mut worker = running_worker(namespace, "w", &running_cluster("home", "east"));
    worker.spec.cluster_ref.namespace = None;
    worker.spec.tenant_ref = Some(TenantRef { name: tenant.into(), namespace: None });
    worker.spec.job_types = jobs.iter().map(|job| (*job).to_owned()).collect();
    WorkerFields::of(&worker)
}

#[test]
fn a_worker_concerns_the_processes_of_its_tenant_and_cluster_that_have_jobs_for_it() {
    let dependants = |worker| names(|process| depends_on_worker(process, &worker, label, "home"));
    assert_eq!(dependants(worker("acme-3", "acme", &["charge"])), ["charges", "by-label"]);
    assert_eq!(dependants(worker("acme-3", "acme", &["charge", "ship"])), ["charges", "ships", "by-label"]);
    assert_eq!(dependants(worker("acme-3", "beta", &["charge"])), ["charges-too"]);
    assert_eq!(dependants(worker("acme-3", "gamma", &["charge"])), [""; 0]);
    assert_eq!(dependants(worker("acme-3", "acme", &["refund"])), [""; 0]);
    let untenanted = WorkerFields { tenant: None, ..worker("home", "acme", &["charge"]) };
    assert_eq!(dependants(untenanted), ["without-tenant"]);
    let labelled = WorkerFields { tenant: None, ..worker("acme-3", "beta", &["charge"]) };
    assert_eq!(dependants(labelled), ["charges", "by-label"]);
}

#[test]
fn what_a_worker_reports_is_no_concern_of_processes() {
    let before = running_worker("acme-1", "w", &running_cluster("home", "east"));
    let mut after = before.clone();
    after.metadata.resource_version = Some("2".into());
    after.status.as_mut().unwrap().ready_replicas = Some(0);
    assert_eq!(WorkerFields::of(&after), WorkerFields::of(&before));
    after.spec.job_types.push("refund".into());
    assert_ne!(WorkerFields::of(&after), WorkerFields::of(&before));
}

#[test]
fn cluster_and_tenant_concern_those_whose_references_can_mean_them() {
    let cluster = |home: &str| ClusterFields::of(&running_cluster(home, "east"));
    assert_eq!(
        names(|process| depends_on_cluster(process, &cluster("home"), "home")),
        ["charges", "ships", "charges-too", "without-tenant", "by-label"]
    );
    assert_eq!(
        names(|process| depends_on_cluster(process, &cluster("elsewhere"), "home")),
        ["on-another-east"]
    );
    let tenant = |home: &str| TenantFields::of(&active_tenant(home, "acme", &running_cluster(home, "east")));
    let dependants = |home| names(|process| depends_on_tenant(process, &tenant(home), label, "home"));
    assert_eq!(dependants("home"), ["charges", "ships", "on-west", "by-label"]);
    assert_eq!(dependants("elsewhere"), ["on-another-east"]);
}

#[test]
fn a_grant_concerns_the_namespace_and_the_tenant_whose_workers_it_lets_in() {
    let namespace = |name: &str, tenant: Option<&str>| {
        let namespace = NamespaceFields { name: name.into(), tenant: tenant.map(str::to_owned) };
        names(|process| depends_on_namespace(process, &namespace, label))
    };
    assert_eq!(namespace("beta-1", None), ["charges-too"]);
    assert_eq!(namespace("workers", Some("beta")), ["charges-too"]);
    assert_eq!(
        namespace("workers", Some("acme")),
        ["charges", "ships", "on-west", "on-another-east", "by-label"]
    );
    assert_eq!(namespace("home", None), ["without-tenant"], "it may have belonged to a tenant");
}
