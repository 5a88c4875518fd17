use serde_json::json;

use super::*;
use crate::testing::process_from;

#[test]
fn a_config_map_is_a_dependency_of_the_processes_whose_document_it_has() {
    let mut process = process_from(&json!({"configMapRef": {"name": "bpmn", "key": "a"}}));
    process.metadata.namespace = Some("acme-2".into());
    let depends = |namespace: &str, name: &str| {
        let meta = json!({"metadata": {"namespace": namespace, "name": name}});
        depends_on_config_map(&process, &serde_json::from_value(meta).unwrap())
    };
    let found = [depends("acme-2", "bpmn"), depends("acme-2", "other"), depends("other", "bpmn")];
    assert_eq!(found, [true, false, false]);
}
