//! Metadata that a store does not keep: it is the larger part of a small object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use kube::api::ObjectMeta;
use serde_json::json;

/// The copy of an object that `kubectl apply` without server-side apply keeps in the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes what no controller reads: the copy of the object in an annotation, and the managed fields. Of these it keeps
/// who wrote a status and when, and who wrote `spec.replicas`, which autoscalers write too.
pub(super) fn slim(meta: &mut ObjectMeta) {
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove(LAST_APPLIED);
    }
    meta.managed_fields = meta.managed_fields.take().and_then(|entries| {
        let kept: Vec<_> = entries.into_iter().filter_map(slim_entry).collect();
        (!kept.is_empty()).then_some(kept)
    });
}

fn slim_entry(entry: ManagedFieldsEntry) -> Option<ManagedFieldsEntry> {
    let owns_replicas =
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some());
    let is_status = entry.subresource.as_deref() == Some("status");
    (owns_replicas || is_status).then(|| ManagedFieldsEntry {
        api_version: None,
        fields_type: None,
        fields_v1: owns_replicas.then(|| FieldsV1(json!({"f:spec": {"f:replicas": {}}}))),
        ..entry
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_managed_fields_of_status_and_replicas_are_kept() {
        let mut meta: ObjectMeta = serde_json::from_value(json!({
            "name": "a",
            "annotations": {(LAST_APPLIED): "{\"spec\": {}}", "workflow.example.com/force-delete": "true"},
            "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                 "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:image": {}}}},
                {"manager": "autoscaler", "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                 "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}, "f:image": {}}}},
                {"manager": "controller", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                 "subresource": "status", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:status": {"f:ready": {}}}},
            ],
        }))
        .unwrap();
        slim(&mut meta);
        assert_eq!(
            serde_json::to_value(meta).unwrap(),
            json!({
                "name": "a",
                "annotations": {"workflow.example.com/force-delete": "true"},
                "managedFields": [
                    {"manager": "autoscaler", "operation": "Update", "subresource": "scale",
                     "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                    {"manager": "controller", "operation": "Apply", "subresource": "status",
                     "time": "2026-01-01T00:00:00Z"},
                ],
            })
        );
    }
}
