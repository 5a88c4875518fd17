use serde_json::json;

use super::*;

#[test]
fn identity_and_time_are_masked_and_everything_else_is_kept() {
    let object = json!({
        "metadata": {
            "name": "orders",
            "uid": "8d7b",
            "resourceVersion": "7",
            "generation": 2,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "ours"}],
            "ownerReferences": [{"name": "orders", "uid": "1c2d"}],
        },
        "spec": {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ports": [{"nodePort": 31000, "port": 80}]},
        "status": {"conditions": [{"type": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    });
    let expected = json!({
        "metadata": {
            "name": "orders",
            "uid": "<masked>",
            "generation": 2,
            "creationTimestamp": "<masked>",
            "ownerReferences": [{"name": "orders", "uid": "<masked>"}],
        },
        "spec": {"clusterIP": "<masked>", "clusterIPs": "<masked>", "ports": [{"nodePort": "<masked>", "port": 80}]},
        "status": {"conditions": [{"type": "Ready", "lastTransitionTime": "<masked>"}]},
    });
    assert_eq!(comparable(&object), expected);
}

#[test]
fn difference_names_the_field() {
    let snapshot = |objects: Value| serde_json::from_value::<Snapshot>(objects).unwrap();
    let expected = snapshot(json!({"a": {"spec": {"x": 1, "y": 2}}, "gone": {}}));
    let actual = snapshot(json!({"a": {"spec": {"x": 1, "y": 3, "z": 4}}, "new": {}}));
    let lines =
        ["- a.spec.y: 2\n+ a.spec.y: 3", "- a.spec.z: null\n+ a.spec.z: 4", "- gone: {}", "+ new: {}"];
    assert_eq!(difference(&expected, &actual), lines);
    assert_eq!(difference(&expected, &expected), [""; 0]);
}
