use rstest::rstest;
use test_support::reply;

use super::*;

fn reported(object: &str, field: &str) -> Option<String> {
    spec_refusal_message(
        &reply::invalid("statefulsets.apps", "a", field, "Invalid value: \"secret\": words"),
        object,
    )
}

#[rstest]
#[case::scheduling(
    "StatefulSet acme/a",
    "spec.template.spec.tolerations[0].effect",
    "spec.scheduling.tolerations[0].effect has a value that is not valid: Kubernetes refuses StatefulSet acme/a; see kubectl explain pod.spec.tolerations"
)]
#[case::labels(
    "Deployment acme/a",
    "spec.template.labels",
    "spec.scheduling.podLabels has a value that is not valid: Kubernetes refuses Deployment acme/a; see kubectl explain pod.metadata.labels"
)]
#[case::requests(
    "Deployment acme/a",
    "spec.template.spec.containers[0].resources.requests",
    "spec.resources.requests asks for more than the limit: Kubernetes refuses Deployment acme/a; see kubectl explain pod.spec.containers.resources"
)]
#[case::index_of_a_variable_is_left_out(
    "Deployment acme/a",
    "spec.template.spec.containers[0].env[7].name",
    "spec.env has a value that is not valid: Kubernetes refuses Deployment acme/a; see kubectl explain pod.spec.containers.env"
)]
#[case::behavior(
    "HorizontalPodAutoscaler acme/a",
    "spec.behavior.scaleUp.stabilizationWindowSeconds",
    "spec.autoscaling.behavior.scaleUp.stabilizationWindowSeconds has a value that is not valid: Kubernetes refuses HorizontalPodAutoscaler acme/a; see kubectl explain hpa.spec.behavior"
)]
fn a_field_that_comes_from_the_spec_is_reported_by_its_path_in_the_spec(
    #[case] object: &str,
    #[case] field: &str,
    #[case] expected: &str,
) {
    assert_eq!(reported(object, field).as_deref(), Some(expected));
}

#[rstest]
#[case::set_by_the_controller("StatefulSet acme/a", "spec.template.spec.containers[0].ports[0].name")]
#[case::immutable("StatefulSet acme/a", "spec")]
#[case::similar_path("StatefulSet acme/a", "spec.template.spec.affinityTerms")]
#[case::resources_of_a_migration("Job acme/a", "spec.template.spec.containers[0].resources.limits[cpu]")]
fn a_field_that_does_not_come_from_the_spec_is_not_reported(#[case] object: &str, #[case] field: &str) {
    assert_eq!(reported(object, field), None);
}
