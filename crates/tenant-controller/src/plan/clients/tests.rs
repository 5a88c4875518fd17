use api_types::WorkflowTenantStatus;
use api_types::labels::OWNED_BY;
use engine_client::Credential;
use rstest::rstest;

use super::*;
use crate::observe::clients::Circumstances;
use crate::testing::tenant;

const TEAM: &str = "acme-tenant";

fn access() -> Access {
    Access {
        cluster: "prod-east".into(),
        host: "prod-east-engine.workflow-system.svc".into(),
        port: 26500,
        uri: "https://prod-east-engine.workflow-system.svc:26500".into(),
        ca_pem: "an authority".into(),
        token: Credential::parse("secret-token").unwrap(),
        key_id: "newest".into(),
    }
}

fn remembering(namespaces: &[&str]) -> WorkflowTenant {
    let mut tenant = tenant();
    tenant.status = Some(WorkflowTenantStatus {
        client_namespaces: namespaces.iter().map(ToString::to_string).collect(),
        client_key_id: Some("former".into()),
        ..WorkflowTenantStatus::default()
    });
    tenant
}

/// As the API server has it.
fn ours(tenant: &WorkflowTenant, access: &Access) -> Secret {
    let desired = Desired::of(&client_secret::build(tenant, access, TEAM));
    let mut secret: Secret = serde_json::from_value(desired.body).unwrap();
    secret.metadata.uid = Some("uid-of-secret".into());
    secret.metadata.resource_version = Some("7".into());
    secret
}

fn outdated(tenant: &WorkflowTenant) -> Secret {
    ours(tenant, &Access { ca_pem: "a former authority".into(), ..access() })
}

fn theirs(tenant: &WorkflowTenant) -> Secret {
    let mut secret = ours(tenant, &access());
    let former_life = "workflow-system/acme/former-uid".to_owned();
    secret.metadata.annotations.get_or_insert_default().insert(OWNED_BY.into(), former_life);
    secret
}

fn problem(reason: TenantReason) -> NamespaceProblem {
    NamespaceProblem::new(TEAM, reason, "why".into())
}

fn held(secret: Secret) -> Place {
    Place::Held(Box::new(secret))
}

fn view(place: Place, is_granted: bool, access: Option<Result<Access, String>>) -> ClientsView {
    let granted = if is_granted { vec![TEAM.to_owned()] } else { Vec::new() };
    let under = Circumstances { generation: Some(1), granted, missing: BTreeSet::new(), access };
    ClientsView { under, places: BTreeMap::from([(TEAM.to_owned(), place)]) }
}

/// The kind of write, what is recorded before it, where the Secret is after it, and what is reported.
#[derive(Debug, PartialEq)]
struct Planned {
    write: &'static str,
    is_recorded_first: bool,
    is_listed: bool,
    reason: Option<TenantReason>,
    key_id: Option<&'static str>,
}

const NOTHING: Planned =
    Planned { write: "", is_recorded_first: false, is_listed: false, reason: None, key_id: Some("newest") };

fn planned(tenant: &WorkflowTenant, view: &ClientsView) -> Planned {
    let plan = plan_clients(tenant, view);
    let write = plan.writes.get(TEAM).map(|write| match write {
        SecretWrite::Create(_) => "create",
        SecretWrite::Update(_) => "update",
        SecretWrite::Delete(..) => "delete",
    });
    let key_id = plan.key_id.as_deref().map(|id| if id == "newest" { "newest" } else { "former" });
    Planned {
        write: write.unwrap_or_default(),
        is_recorded_first: plan.record.is_some(),
        is_listed: plan.namespaces.contains(TEAM),
        reason: plan.problems.first().map(|problem| problem.problem.reason),
        key_id,
    }
}

const DENIED: TenantReason = TenantReason::ClientSecretNotPermitted;

#[rstest]
#[case::free(|_: &_| Place::Free, false, Planned { write: "create", is_recorded_first: true, is_listed: true, ..NOTHING })]
#[case::gone_again(|_: &_| Place::Free, true, Planned { write: "create", is_listed: true, ..NOTHING })]
#[case::closed(|_: &_| Place::Closed(problem(DENIED)), false, Planned { reason: Some(DENIED), ..NOTHING })]
#[case::closed_after_it_went(|_: &_| Place::Closed(problem(DENIED)), true, Planned { reason: Some(DENIED), ..NOTHING })]
#[case::unread(|_: &_| Place::Unread(problem(DENIED)), false, Planned { reason: Some(DENIED), ..NOTHING })]
#[case::unread_where_it_was(|_: &_| Place::Unread(problem(DENIED)), true,
    Planned { reason: Some(DENIED), is_listed: true, key_id: None, ..NOTHING })]
#[case::as_it_shall_be(|tenant: &WorkflowTenant| held(ours(tenant, &access())), true, Planned { is_listed: true, ..NOTHING })]
#[case::status_was_lost(|tenant: &WorkflowTenant| held(ours(tenant, &access())), false,
    Planned { is_recorded_first: true, is_listed: true, ..NOTHING })]
#[case::outdated(|tenant: &WorkflowTenant| held(outdated(tenant)), true,
    Planned { write: "update", is_listed: true, ..NOTHING })]
#[case::of_another(|tenant: &WorkflowTenant| held(theirs(tenant)), false,
    Planned { reason: Some(TenantReason::ClientSecretNameTaken), ..NOTHING })]
#[case::no_namespace(|_: &_| Place::NoNamespace, true,
    Planned { reason: Some(TenantReason::ClientNamespaceMissing), ..NOTHING })]
fn where_it_is_granted(
    #[case] place: fn(&WorkflowTenant) -> Place,
    #[case] was_there: bool,
    #[case] expected: Planned,
) {
    let tenant = remembering(if was_there { &[TEAM] } else { &[] });
    assert_eq!(planned(&tenant, &view(place(&tenant), true, Some(Ok(access())))), expected);
}

#[rstest]
#[case::gone(|_: &_| Place::Free, NOTHING)]
#[case::no_namespace(|_: &_| Place::NoNamespace, NOTHING)]
#[case::ours(|tenant: &WorkflowTenant| held(outdated(tenant)), Planned { write: "delete", ..NOTHING })]
#[case::of_another(|tenant: &WorkflowTenant| held(theirs(tenant)), NOTHING)]
#[case::unread(|_: &_| Place::Unread(problem(DENIED)), Planned { reason: Some(DENIED), is_listed: true, key_id: None, ..NOTHING })]
fn where_the_grant_ended(#[case] place: fn(&WorkflowTenant) -> Place, #[case] expected: Planned) {
    let tenant = remembering(&[TEAM]);
    assert_eq!(planned(&tenant, &view(place(&tenant), false, Some(Ok(access())))), expected);
    // The same whether or not anything may be made; only then is no key named.
    let expected = Planned { key_id: None, ..expected };
    assert_eq!(planned(&tenant, &view(place(&tenant), false, None)), expected);
}

#[rstest]
#[case::free(|_: &_| Place::Free, Planned { key_id: Some("former"), ..NOTHING })]
#[case::outdated(|tenant: &WorkflowTenant| held(outdated(tenant)),
    Planned { is_listed: true, key_id: Some("former"), ..NOTHING })]
fn while_nothing_may_be_made_or_changed(
    #[case] place: fn(&WorkflowTenant) -> Place,
    #[case] expected: Planned,
) {
    let tenant = remembering(&[TEAM]);
    assert_eq!(planned(&tenant, &view(place(&tenant), true, None)), expected);
    let unknown = Some(Err("no key".to_owned()));
    let expected = Planned { reason: Some(TenantReason::EngineCredentialsMissing), ..expected };
    assert_eq!(planned(&tenant, &view(place(&tenant), true, unknown)), expected);
}

#[test]
fn an_update_and_a_deletion_are_of_exactly_the_secret_that_was_seen() {
    let tenant = remembering(&[TEAM]);
    let plan = plan_clients(&tenant, &view(held(outdated(&tenant)), true, Some(Ok(access()))));
    let Some(SecretWrite::Update(desired)) = plan.writes.get(TEAM) else { panic!("{plan:?}") };
    assert_eq!(desired.body["metadata"]["uid"], "uid-of-secret");
    let plan = plan_clients(&tenant, &view(held(outdated(&tenant)), false, None));
    let deletion = Deletion::of(&outdated(&tenant));
    assert_eq!(plan.writes, BTreeMap::from([(TEAM.into(), SecretWrite::Delete(deletion, "7".into()))]));
}

#[test]
fn what_others_add_to_the_secret_is_no_difference_and_what_they_change_is() {
    let tenant = remembering(&[TEAM]);
    let mut secret = ours(&tenant, &access());
    secret.labels_mut().insert("their/label".into(), "1".into());
    let write = |secret| planned(&tenant, &view(held(secret), true, Some(Ok(access())))).write;
    assert_eq!(write(secret.clone()), "");
    let entry = k8s_openapi::ByteString(b"another".to_vec());
    secret.data.get_or_insert_default().insert("token".into(), entry);
    assert_eq!(write(secret), "update");
}

#[test]
fn no_more_namespaces_are_served_than_the_status_can_hold() {
    let tenant = remembering(&["former"]);
    let granted: Vec<_> = (0..MAX_CLIENT_NAMESPACES + 2).map(|n| format!("team-{n}")).collect();
    let mut view = view(Place::Free, true, Some(Ok(access())));
    view.places = granted.iter().map(|namespace| (namespace.clone(), Place::Free)).collect();
    // Its Secret is still to be deleted, and has to be remembered until then.
    view.places.insert("former".into(), held(outdated(&tenant)));
    view.under.granted = granted;
    let plan = plan_clients(&tenant, &view);
    assert_eq!(plan.record.as_ref().map(Vec::len), Some(MAX_CLIENT_NAMESPACES));
    assert!(plan.writes.contains_key("team-126") && !plan.writes.contains_key("team-127"));
    let message = "at most 128 namespaces of a tenant get the Secret of its clients; 3 more are granted it";
    let reason = TenantReason::TooManyClientNamespaces;
    assert_eq!(plan.problems, [NamespaceProblem::new("", reason, message.into())]);
}

#[test]
fn debug_output_shows_no_token() {
    let tenant = remembering(&[TEAM]);
    let view = view(held(outdated(&tenant)), true, Some(Ok(access())));
    let plan = plan_clients(&tenant, &view);
    let shown = format!("{view:?} {plan:?}");
    let encoded = "c2VjcmV0LXRva2Vu"; // base64
    assert!(!shown.contains("secret-token") && !shown.contains(encoded), "{shown}");
}

#[rstest]
#[case::ours(|tenant: &WorkflowTenant| held(outdated(tenant)), "delete, release", &[])]
#[case::of_another(|tenant: &WorkflowTenant| held(theirs(tenant)), "release", &[])]
#[case::gone(|_: &_| Place::Free, "release", &[])]
#[case::no_namespace(|_: &_| Place::NoNamespace, "release", &[])]
#[case::opted_out(|_: &_| Place::Unread(problem(DENIED)), "release", &[TEAM])]
#[case::unread(|_: &_| Place::Unread(problem(TenantReason::ClientSecretNotWritten)),
    "wait: in namespace acme-tenant: why", &[])]
fn before_the_object_goes(
    #[case] place: fn(&WorkflowTenant) -> Place,
    #[case] expected: &str,
    #[case] left: &[&str],
) {
    let tenant = remembering(&[TEAM]);
    let view = view(place(&tenant), false, None);
    let release = Plan { steps: vec![Step::RemoveFinalizer], wait: None };
    let plan = plan_release(&tenant, release, Some(&view));
    let steps = plan.steps.iter().map(|step| match step {
        Step::Own(TenantStep::DeleteSecret(..)) => "delete".to_owned(),
        Step::RemoveFinalizer => "release".to_owned(),
        other => format!("{other:?}"),
    });
    let wait = plan.wait.iter().map(|wait| format!("wait: {}", wait.message));
    assert_eq!(steps.chain(wait).collect::<Vec<_>>().join(", "), expected);
    assert_eq!(left_behind(Some(&view)), left);
}

#[test]
fn while_the_object_stays_so_do_its_secrets() {
    let tenant = remembering(&[TEAM]);
    let view = view(held(outdated(&tenant)), false, None);
    assert_eq!(plan_release(&tenant, Plan::converged(), Some(&view)), Plan::converged());
}
