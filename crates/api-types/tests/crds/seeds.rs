//! The manifests of the first design decode without a violation, and encode again without a loss.

use api_types::violation::{Checked, violations};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant, WorkflowWorker};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cases::{missing, seeds};

fn round_trip<K: Checked + DeserializeOwned>(name: &str, manifest: &Value) -> Value {
    let object: K =
        serde_json::from_value(manifest.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(violations(&object), [], "{name}");
    serde_json::to_value(&object).unwrap()
}

#[test]
fn seeds_are_written_back_unchanged() {
    for (name, manifest) in seeds() {
        let written = match manifest["kind"].as_str().unwrap() {
            "WorkflowCluster" => round_trip::<WorkflowCluster>(&name, &manifest),
            "WorkflowTenant" => round_trip::<WorkflowTenant>(&name, &manifest),
            "WorkflowProcess" => round_trip::<WorkflowProcess>(&name, &manifest),
            "WorkflowWorker" => round_trip::<WorkflowWorker>(&name, &manifest),
            other => panic!("{name}: {other}"),
        };
        assert_eq!(missing(&manifest, &written, ""), None, "{name}");
    }
}
