use serde_json::json;

use super::*;

#[test]
fn of_a_process_only_its_reference_and_its_end_are_kept() {
    let process = json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {
            "name": "flow", "namespace": "acme", "uid": "uid-flow", "resourceVersion": "7",
            "finalizers": [PROCESS_CONTROLLER.finalizer], "labels": {"a": "b"}, "annotations": {"c": "d"},
        },
        "spec": {"clusterRef": {"name": "dev"}, "source": {"bpmn": "<definitions/>"}},
        "status": {"ready": true},
    });
    let read: Referrer<WorkflowProcess> = serde_json::from_value(process).unwrap();
    assert_eq!(
        read.metadata,
        ObjectMeta {
            name: Some("flow".to_owned()),
            namespace: Some("acme".to_owned()),
            uid: Some("uid-flow".to_owned()),
            resource_version: Some("7".to_owned()),
            finalizers: Some(vec![PROCESS_CONTROLLER.finalizer.to_owned()]),
            ..ObjectMeta::default()
        }
    );
    assert_eq!(read.spec.cluster_ref, ClusterRef { name: "dev".to_owned(), namespace: None });
    let path = |path: &str| path.to_owned();
    assert_eq!(
        (Referrer::<WorkflowProcess>::url_path(&(), None), Referrer::<WorkflowTenant>::url_path(&(), None)),
        (
            path("/apis/workflow.example.com/v1alpha1/workflowprocesses"),
            path("/apis/workflow.example.com/v1alpha1/workflowtenants")
        )
    );
}
