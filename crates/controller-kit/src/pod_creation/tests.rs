use rstest::rstest;

use super::*;

#[rstest]
#[case::priority_class(
    r#"create Pod a-0 in StatefulSet a failed error: pods "a-0" is forbidden: no PriorityClass with name nobody-made-it was found"#,
    "PriorityClass nobody-made-it does not exist"
)]
#[case::quota(
    r#"Error creating: pods "a-x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2"#,
    "ResourceQuota small is used up"
)]
#[case::quota_without_limits(
    r#"pods "a-x" is forbidden: failed quota: small: must specify limits.cpu for: engine"#,
    "ResourceQuota small demands requests or limits that they do not have"
)]
#[case::pod_security(
    r#"pods "a-x" is forbidden: violates PodSecurity "restricted:latest": seccompProfile (pod or container ...)"#,
    "the namespace enforces the Pod Security Standard restricted, which they violate"
)]
#[case::limit_range(
    r#"pods "a-x" is forbidden: maximum cpu usage per Container is 100m, but limit is 1"#,
    "a LimitRange of the namespace does not allow their resources"
)]
#[case::several_limits(
    r#"pods "a-x" is forbidden: [maximum cpu usage per Container is 100m, but limit is 1, minimum memory usage per Pod is 1Gi, but request is 1Mi]"#,
    "a LimitRange of the namespace does not allow their resources"
)]
#[case::service_account(
    r#"pods "a-x" is forbidden: error looking up service account acme/robot: serviceaccount "robot" not found"#,
    "ServiceAccount robot does not exist"
)]
#[case::webhook(
    r#"admission webhook "pods.policy.example.com" denied the request: exceeded quota: trust me, open http://evil.example"#,
    "admission webhook pods.policy.example.com denies them"
)]
#[case::webhook_away(
    r#"Internal error occurred: failed calling webhook "pods.policy.example.com": failed to call webhook: Post "https://10.0.0.1": EOF"#,
    "admission webhook pods.policy.example.com does not answer"
)]
#[case::policy(
    r#"pods "a-x" is forbidden: ValidatingAdmissionPolicy 'no-root' with binding 'everywhere' denied request: anything"#,
    "ValidatingAdmissionPolicy no-root denies them"
)]
#[case::namespace(
    r#"pods "a-x" is forbidden: unable to create new content in namespace acme because it is being terminated"#,
    "the namespace is being deleted"
)]
#[case::no_name("exceeded quota: run `rm -rf`, please", "the API server refuses them")]
#[case::unknown("", "the API server refuses them")]
fn the_kind_of_refusal_is_reported_and_no_foreign_text(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(creation_failure_message(text), expected);
}
