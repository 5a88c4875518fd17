use api_types::labels::TENANT;
use api_types::reference::TenantRef;
use rstest::rstest;
use serde_json::json;
use test_support::builders::{active_tenant, running_cluster};

use super::*;

#[rstest]
#[case::by_its_namespace(Some("home"), "elsewhere", true)]
#[case::from_its_own_namespace(None, "home", true)]
#[case::of_another_namespace(Some("other"), "home", false)]
#[case::from_another_namespace(None, "elsewhere", false)]
fn a_cluster_is_meant_by_its_full_reference(
    #[case] namespace: Option<&str>,
    #[case] own: &str,
    #[case] meant: bool,
) {
    let reference = ClusterRef { name: "east".into(), namespace: namespace.map(str::to_owned) };
    let cluster = ClusterFields::of(&running_cluster("home", "east"));
    assert_eq!(cluster.is_meant_by(own, &reference, "workflow-system"), meant);
    let central = ClusterFields::of(&running_cluster("workflow-system", "east"));
    assert_eq!(central.is_meant_by(own, &reference, "workflow-system"), namespace.is_none(), "the fallback");
    let named_otherwise = ClusterFields::of(&running_cluster("home", "west"));
    assert!(!named_otherwise.is_meant_by(own, &reference, "workflow-system"));
}

#[rstest]
#[case::by_its_namespace(Some("home"), Some("clusters"), true)]
#[case::beside_the_cluster(None, Some("home"), true)]
#[case::in_the_referrers_namespace(None, Some("clusters"), false)]
#[case::beside_the_central_cluster(None, None, false)]
#[case::of_another_namespace(Some("other"), None, false)]
fn a_tenant_is_meant_by_its_full_reference(
    #[case] namespace: Option<&str>,
    #[case] cluster_namespace: Option<&str>,
    #[case] meant: bool,
) {
    let cluster = ClusterRef { name: "east".into(), namespace: cluster_namespace.map(str::to_owned) };
    let tenant = TenantRef { name: "acme".into(), namespace: namespace.map(str::to_owned) };
    let referrer = Referrer { namespace: "own", cluster: &cluster, tenant: Some(&tenant) };
    let of = |home: &str| TenantFields::of(&active_tenant(home, "acme", &running_cluster(home, "east")));
    assert_eq!(of("home").is_meant_by(&referrer, Some("beta"), "workflow-system"), meant);
    assert_eq!(
        of("own").is_meant_by(&referrer, None, "workflow-system"),
        namespace.is_none(),
        "the referrer's own"
    );
    let unnamed = Referrer { tenant: None, ..referrer };
    assert!(!of("home").is_meant_by(&unnamed, None, "workflow-system"));
    assert!(!of("own").is_meant_by(&unnamed, Some("beta"), "workflow-system"), "another tenant");
    assert!(of("own").is_meant_by(&unnamed, Some("acme"), "workflow-system"), "by the label");
}

#[test]
fn fields_change_with_what_dependants_read_and_not_with_the_rest_of_the_status() {
    let cluster = running_cluster("home", "east");
    let mut reported = cluster.clone();
    let status = reported.status.as_mut().unwrap();
    (status.message, status.ready_replicas) = (Some("2 of 3 pods".into()), Some(2));
    reported.metadata.resource_version = Some("9".into());
    assert_eq!(ClusterFields::of(&reported), ClusterFields::of(&cluster));
    let changes: [fn(&mut WorkflowCluster); 8] = [
        |it| it.metadata.uid = Some("another".into()),
        |it| it.metadata.generation = Some(2),
        |it| it.metadata.deletion_timestamp = it.metadata.creation_timestamp.clone(),
        |it| it.status.as_mut().unwrap().ready = false,
        |it| it.status.as_mut().unwrap().accepts_deployments = false,
        |it| it.status.as_mut().unwrap().endpoint = None,
        |it| it.status.as_mut().unwrap().version = Some("1.2.4".into()),
        |it| it.status.as_mut().unwrap().access_key_ids = Some(AccessKeyIds::default()),
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut other = cluster.clone();
        change(&mut other);
        assert_ne!(ClusterFields::of(&other), ClusterFields::of(&cluster), "{at}");
    }

    let tenant = active_tenant("home", "acme", &cluster);
    let mut reported = tenant.clone();
    reported.status.as_mut().unwrap().current_instances = Some(7);
    assert_eq!(TenantFields::of(&reported), TenantFields::of(&tenant));
    let changes: [fn(&mut WorkflowTenant); 4] = [
        |it| it.metadata.uid = Some("another".into()),
        |it| it.metadata.generation = Some(2),
        |it| it.metadata.deletion_timestamp = it.metadata.creation_timestamp.clone(),
        |it| it.status.as_mut().unwrap().ready = false,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut other = tenant.clone();
        change(&mut other);
        assert_ne!(TenantFields::of(&other), TenantFields::of(&tenant), "{at}");
    }
}

#[test]
fn of_a_namespace_only_the_tenant_label_counts() {
    let namespace = |labels| -> PartialObjectMeta<Namespace> {
        serde_json::from_value(json!({"metadata": {"name": "acme", "labels": labels}})).unwrap()
    };
    let granted = NamespaceFields::of(&namespace(json!({TENANT: "acme"})));
    assert_eq!(granted, NamespaceFields::of(&namespace(json!({TENANT: "acme", "team": "payments"}))));
    let none = NamespaceFields::of(&namespace(json!({})));
    assert_ne!(granted, none);
    assert_eq!(none, NamespaceFields::of(&namespace(json!({TENANT: ""}))), "an empty value names none");
}
