use std::collections::BTreeMap;
use std::time::Duration;

use api_types::tenant::TenantPhase;
use controller_kit::outcome::ErrorClass;
use controller_kit::plan::Wait;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use rstest::rstest;

use super::*;
use crate::status::Facts;
use crate::testing::{now, observed, tenant};

fn problem(namespace: &str, reason: TenantReason) -> NamespaceProblem {
    NamespaceProblem::new(namespace, reason, format!("{namespace} is closed"))
}

fn circumstances() -> Circumstances {
    Circumstances { generation: Some(1), granted: Vec::new(), missing: BTreeSet::new(), access: None }
}

fn with_clients(tenant: &WorkflowTenant, assessment: Option<&ClientsAssessment>) -> WorkflowTenantStatus {
    let former = tenant.status.clone().unwrap_or_default();
    let facts = Facts { clients: assessment.cloned(), ..Facts::default() };
    let wait = Wait { reason: TenantReason::Reconciling, message: String::new(), recheck: Duration::ZERO };
    let assessment = Assessment { facts, ..Assessment::of_wait(TenantPhase::Pending, &wait) };
    update_clients(tenant, &former, &assessment, now())
}

fn assessment(problems: Vec<NamespaceProblem>) -> ClientsAssessment {
    ClientsAssessment {
        under: circumstances(),
        namespaces: vec!["acme-tenant".into()],
        key_id: Some("key".into()),
        problems,
        is_granted: true,
        is_served: true,
        is_unfinished: false,
    }
}

fn condition_of(
    tenant: &WorkflowTenant,
    assessment: Option<&ClientsAssessment>,
) -> Option<(String, String, String)> {
    let status = with_clients(tenant, assessment);
    let condition: Condition = find(&status.conditions, CLIENT_ACCESS)?.clone();
    Some((condition.status, condition.reason, condition.message))
}

fn words(status: &str, reason: &str, message: &str) -> (String, String, String) {
    (status.into(), reason.into(), message.into())
}

/// Each reason that a namespace can have.
const REASONS: [TenantReason; 6] = [
    TenantReason::ClientSecretNotPermitted,
    TenantReason::ClientSecretNameTaken,
    TenantReason::ClientSecretNotWritten,
    TenantReason::ClientNamespaceMissing,
    TenantReason::TooManyClientNamespaces,
    TenantReason::EngineCredentialsMissing,
];

/// The reasons that conditions and events of the Secrets of clients give.
pub(crate) fn reasons() -> Vec<String> {
    let troubled = REASONS.map(|reason| assessment(vec![problem("a", reason)]));
    let conditions = troubled.into_iter().chain([assessment(Vec::new())]);
    let conditions = conditions.filter_map(|assessment| condition_of(&tenant(), Some(&assessment)));
    let results = Results { left_secrets: vec!["acme-tenant".into()], ..Results::default() };
    let left = build_secrets_left(&tenant(), &observed(None, None), &results).map(|event| event.reason);
    conditions.map(|(_, reason, _)| reason).chain(left).collect()
}

#[test]
fn the_first_problem_is_reported_in_full_and_the_others_by_namespace() {
    let denied = TenantReason::ClientSecretNotPermitted;
    let problems =
        vec![problem("b", denied), problem("c", denied), problem("a", denied), problem("", denied)];
    assert_eq!(
        condition_of(&tenant(), Some(&assessment(problems))),
        Some(words("False", "ClientSecretNotPermitted", "b is closed; not in order either: a, c"))
    );
}

#[test]
fn a_thousand_problems_are_bounded() {
    let denied = TenantReason::ClientSecretNotPermitted;
    let problems = (0..1000).map(|n| problem(&format!("team-{n}"), denied)).collect();
    let (_, _, message) = condition_of(&tenant(), Some(&assessment(problems))).unwrap();
    assert_eq!(message.chars().count(), 256);
}

#[test]
fn what_nobody_looked_at_stays_as_it_was() {
    let mut tenant = tenant();
    let looked = assessment(vec![problem("a", TenantReason::ClientSecretNameTaken)]);
    let status = with_clients(&tenant, Some(&looked));
    tenant.status = Some(status.clone());
    assert_eq!(with_clients(&tenant, None), status);
    // While nothing may be written a look tells no more than that.
    let unserved = ClientsAssessment { is_served: false, ..assessment(Vec::new()) };
    assert_eq!(
        condition_of(&tenant, Some(&unserved)),
        Some(words("False", "ClientSecretNameTaken", "a is closed"))
    );
    let revoked = ClientsAssessment { is_granted: false, ..unserved };
    assert_eq!(condition_of(&tenant, Some(&revoked)), None);
}

#[rstest]
#[case::new_trouble(None, Some("ClientSecretNotPermitted"), Some("ClientSecretNotPermitted: words"))]
#[case::the_same(Some("ClientSecretNotPermitted"), Some("ClientSecretNotPermitted"), None)]
#[case::another(
    Some("ClientSecretNameTaken"),
    Some("ClientSecretNotPermitted"),
    Some("ClientSecretNotPermitted: words")
)]
#[case::over(Some("ClientSecretNotPermitted"), None, None)]
fn each_cause_is_one_event(
    #[case] former: Option<&str>,
    #[case] now_: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let status = |reason: Option<&str>| {
        let wanted = reason.map(|reason| Condition {
            type_: CLIENT_ACCESS.into(),
            status: "False".into(),
            reason: reason.into(),
            message: "words".into(),
            observed_generation: None,
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()),
        });
        WorkflowTenantStatus { conditions: wanted.into_iter().collect(), ..WorkflowTenantStatus::default() }
    };
    let event = build_client_event(&status(former), &status(now_));
    assert_eq!(event.map(|event| event.note).as_deref(), expected);
}

#[test]
fn a_secret_that_could_not_be_deleted_stays_in_the_list_and_no_key_is_named() {
    use controller_kit::plan::Deletion;
    use k8s_openapi::api::core::v1::Secret;

    let view = ClientsView { under: circumstances(), places: BTreeMap::new() };
    let delete = SecretWrite::Delete(Deletion::of(&Secret::default()), "1".into());
    let writes = BTreeMap::from([("a".to_owned(), delete.clone()), ("b".to_owned(), delete)]);
    let plan = ClientsPlan { writes, key_id: Some("key".into()), ..ClientsPlan::default() };
    let mut passing = problem("a", TenantReason::ClientSecretNotWritten);
    passing.problem.class = ErrorClass::Transient;
    let expected = ClientsAssessment {
        under: circumstances(),
        namespaces: vec!["a".into()],
        key_id: None,
        problems: vec![passing.clone()],
        is_granted: false,
        is_served: false,
        is_unfinished: true,
    };
    assert_eq!(assess_look(None, &view, &plan, &[passing]), expected);
}
