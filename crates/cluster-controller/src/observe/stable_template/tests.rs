use serde_json::json;

use super::*;
use crate::testing::{minimal, settled_set};

#[test]
fn a_revision_holds_the_template_as_a_patch() {
    let set = settled_set(&minimal(|_| ()), "1.2.3");
    let template = set.spec.as_ref().unwrap().template.clone();
    let revision: ControllerRevision = serde_json::from_value(json!({
        "metadata": {"name": "dev-engine-6f", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "dev-engine", "uid": "uid-set"},
        ]},
        "revision": 1,
        "data": {"spec": {"template": {"$patch": "replace", "metadata": template.metadata, "spec": template.spec}}},
    }))
    .unwrap();
    assert!(is_of(&revision, &set));
    assert_eq!(template_of(revision), Some(template));
}

#[test]
fn a_revision_of_somebody_else_or_without_a_template_is_none() {
    let set = settled_set(&minimal(|_| ()), "1.2.3");
    let revision: ControllerRevision =
        serde_json::from_value(json!({"metadata": {"name": "dev-engine-6f"}, "revision": 1})).unwrap();
    assert!(!is_of(&revision, &set));
    assert_eq!(template_of(revision), None);
}
