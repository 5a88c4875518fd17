//! Which field of a spec determines which field of a child object. When the API server refuses the child, the message
//! names the field of the spec, which the user can change.

/// A part of a child object that comes from a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildField {
    /// Path in the child; all fields below it are included.
    pub below: &'static str,
    /// Path of the field in the spec.
    pub fed_by: &'static str,
    /// Path whose documentation `kubectl explain` shows.
    pub explained: &'static str,
}

const fn field(below: &'static str, fed_by: &'static str, explained: &'static str) -> ChildField {
    ChildField { below, fed_by, explained }
}

/// Every field of Deployments, StatefulSets, HorizontalPodAutoscalers and Ingresses that a user can make invalid.
pub const CHILD_FIELDS: [ChildField; 17] = [
    field("spec.template.spec.affinity", "spec.scheduling.affinity", "pod.spec.affinity"),
    field("spec.template.spec.nodeSelector", "spec.scheduling.nodeSelector", "pod.spec.nodeSelector"),
    field("spec.template.spec.tolerations", "spec.scheduling.tolerations", "pod.spec.tolerations"),
    field(
        "spec.template.spec.topologySpreadConstraints",
        "spec.scheduling.topologySpreadConstraints",
        "pod.spec.topologySpreadConstraints",
    ),
    field(
        "spec.template.spec.priorityClassName",
        "spec.scheduling.priorityClassName",
        "pod.spec.priorityClassName",
    ),
    field("spec.template.labels", "spec.scheduling.podLabels", "pod.metadata.labels"),
    field("spec.template.annotations", "spec.scheduling.podAnnotations", "pod.metadata.annotations"),
    field("spec.template.spec.containers[0].resources", "spec.resources", "pod.spec.containers.resources"),
    field("spec.template.spec.containers[0].env", "spec.env", "pod.spec.containers.env"),
    field("spec.template.spec.serviceAccountName", "spec.authentication", "pod.spec.serviceAccountName"),
    field("spec.template.spec.imagePullSecrets", "spec.imagePullSecrets", "pod.spec.imagePullSecrets"),
    field("spec.behavior", "spec.autoscaling.behavior", "hpa.spec.behavior"),
    field("spec.minReplicas", "spec.autoscaling.minReplicas", "hpa.spec.minReplicas"),
    field("spec.maxReplicas", "spec.autoscaling.maxReplicas", "hpa.spec.maxReplicas"),
    field("spec.rules[0].host", "spec.network.ingress.host", "ingress.spec.rules.host"),
    field("spec.tls[0]", "spec.network.ingress", "ingress.spec.tls"),
    field("spec.ingressClassName", "spec.network.ingress.className", "ingress.spec.ingressClassName"),
];
