use std::collections::BTreeMap;

use api_types::WorkflowCluster;
use api_types::cluster::{Network, WorkflowClusterSpec};
use api_types::engine_access::{Access, CURRENT_KEY, access_secret_name};
use engine_client::TenantKey;
use rstest::rstest;

use super::*;
use crate::certificate::Issued;
use crate::children::ca_bundle;
use crate::testing::{
    applied, authority, certificate, days, minimal, proof, reported, secret, today, with_input,
};

/// The Secret as our own apply of it left it.
fn ours(spec: impl FnOnce(&mut WorkflowClusterSpec), name: &str, entries: &[(&str, &str)]) -> RedactedSecret {
    applied(&minimal(|cluster| spec(&mut cluster.spec)), name, entries)
}

fn authority_secret(current: &Issued, previous: Option<&Issued>) -> RedactedSecret {
    let mut entries =
        vec![(CA_CERT_KEY, current.certificate.as_str()), (CA_PRIVATE_KEY_KEY, current.key.as_str())];
    entries.extend(previous.map(|previous| (CA_PREVIOUS_CERT_KEY, previous.certificate.as_str())));
    ours(|_| (), "dev-engine-ca-key", &entries)
}

fn certificate_secret(by: &Issued, made: Timestamp) -> RedactedSecret {
    let leaf = certificate(by, made);
    let entries = [
        (TLS_CERT_KEY, leaf.certificate.as_str()),
        (TLS_PRIVATE_KEY_KEY, &leaf.key),
        (CA_CERT_KEY, &by.certificate),
    ];
    ours(|_| (), "dev-engine-tls", &entries)
}

fn credentials() -> BTreeMap<Access, RedactedSecret> {
    let secret = |access| match access {
        Access::ControllerToken => "controller".to_owned(),
        Access::MonitorToken => "monitor".to_owned(),
        Access::WorkerKey | Access::ClientKey => TenantKey::generate().unwrap().expose(),
    };
    Access::ALL
        .map(|access| (access, ours(|_| (), &secret_of(access), &[(CURRENT_KEY, &secret(access))])))
        .into()
}

/// Nothing but the key of the proofs.
fn known() -> AccessView {
    AccessView { proof: proof(), ..AccessView::default() }
}

fn secret_of(access: Access) -> String {
    access_secret_name("dev", access)
}

fn planned(spec: impl FnOnce(&mut WorkflowClusterSpec), access: &AccessView) -> (Vec<Step>, Vec<String>) {
    let draft = drafted(&minimal(|cluster| spec(&mut cluster.spec)), access);
    assert_eq!(draft.unproven, []);
    (draft.steps, draft.taken)
}

fn drafted(cluster: &WorkflowCluster, access: &AccessView) -> Draft {
    let mut draft = Draft::default();
    let external = External::of(cluster, None);
    with_input(cluster, |input| plan_access(input, access, &external, today(), &mut draft));
    draft
}

fn ago(age: i64) -> Timestamp {
    today() - days(age)
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_new_cluster_gets_authority_and_credentials_and_then_its_certificate() {
    let (steps, _) = planned(|_| (), &AccessView { proof: proof(), ..AccessView::default() });
    assert_eq!(
        reported(&steps),
        [
            "create credential dev-engine-controller-token",
            "create credential dev-engine-monitor-token",
            "create credential dev-engine-worker-key",
            "create credential dev-engine-client-key",
            "create authority dev-engine-ca-key",
        ]
    );
    let access = AccessView {
        authority: Some(authority_secret(&authority(today()), None)),
        certificate: None,
        credentials: credentials(),
        ..known()
    };
    let (steps, _) = planned(|_| (), &access);
    assert_eq!(reported(&steps), ["issue certificate dev-engine-tls"]);
}

/// Authority, the one before it, and the certificate, by the days since they were made.
#[rstest]
#[case::young(1, None, Some((true, 1)), &NOTHING)]
#[case::certificate_at_two_thirds(70, None, Some((true, 60)), &["renew certificate dev-engine-tls"])]
#[case::certificate_before_two_thirds(70, None, Some((true, 59)), &NOTHING)]
#[case::authority_at_two_thirds(1217, None, Some((true, 1)), &["replace authority dev-engine-ca-key"])]
#[case::new_authority_is_published_first(0, Some(1300), Some((false, 30)), &NOTHING)]
#[case::new_authority_signs_after_a_day(1, Some(1300), Some((false, 30)), &["renew certificate dev-engine-tls"])]
#[case::a_certificate_that_ends_does_not_wait(0, Some(1300), Some((false, 89)), &["renew certificate dev-engine-tls"])]
#[case::old_authority_is_kept_while_pods_may_serve_its_certificate(2, Some(1300), Some((true, 0)), &NOTHING)]
#[case::old_authority_is_dropped_after_a_day(3, Some(1300), Some((true, 1)), &["apply Secret dev-engine-ca-key"])]
#[case::certificate_of_an_unknown_authority(3, None, Some((false, 1)), &["renew certificate dev-engine-tls"])]
fn rotation(
    #[case] age: i64,
    #[case] previous_age: Option<i64>,
    #[case] issued: Option<(bool, i64)>,
    #[case] expected: &[&str],
) {
    let (current, former) = (authority(ago(age)), authority(ago(previous_age.unwrap_or(1400))));
    let access = AccessView {
        authority: Some(authority_secret(&current, previous_age.map(|_| &former))),
        certificate: issued.map(|(by_current, age)| {
            certificate_secret(if by_current { &current } else { &former }, ago(age))
        }),
        credentials: credentials(),
        ..known()
    };
    assert_eq!(reported(&planned(|_| (), &access).0), expected);
}

/// The certificate and its authority, by the days since they were made, for an engine that gets another name.
#[rstest]
#[case::at_once(10, None, Some((true, 1)), &["renew certificate dev-engine-tls"])]
#[case::not_before_callers_know_the_authority(0, Some(1300), Some((false, 30)), &NOTHING)]
fn a_certificate_is_renewed_when_the_engine_gets_another_name(
    #[case] age: i64,
    #[case] previous_age: Option<i64>,
    #[case] issued: Option<(bool, i64)>,
    #[case] expected: &[&str],
) {
    let (current, former) = (authority(ago(age)), authority(ago(previous_age.unwrap_or(1400))));
    let access = AccessView {
        authority: Some(authority_secret(&current, previous_age.map(|_| &former))),
        certificate: issued.map(|(by_current, age)| {
            certificate_secret(if by_current { &current } else { &former }, ago(age))
        }),
        credentials: credentials(),
        ..known()
    };
    let named = |spec: &mut WorkflowClusterSpec| {
        let host = Some("engine.example.com".to_owned());
        spec.network = Some(Network { external_host: host, ..Network::default() });
    };
    assert_eq!(reported(&planned(named, &access).0), expected);
}

#[test]
fn the_bundle_holds_both_authorities_while_one_follows_the_other() {
    let (current, former) = (authority(today()), authority(ago(1300)));
    let bundle = |previous| {
        let access = AccessView { authority: Some(authority_secret(&current, previous)), ..known() };
        let bundle = with_input(&minimal(|_| ()), |input| ca_bundle::build(input, &access)).unwrap();
        bundle.data.unwrap()[CA_CERT_KEY].clone()
    };
    assert_eq!(bundle(None), current.certificate);
    assert_eq!(bundle(Some(&former)), format!("{}{}", current.certificate, former.certificate));
}

#[test]
fn an_authority_without_key_is_replaced_and_stays_trusted() {
    let lost = authority(today());
    let access = AccessView {
        authority: Some(ours(|_| (), "dev-engine-ca-key", &[(CA_CERT_KEY, &lost.certificate)])),
        certificate: None,
        credentials: credentials(),
        ..known()
    };
    let (steps, _) = planned(|_| (), &access);
    let [Step::Own(ClusterStep::CreateAuthority { former, .. })] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    assert_eq!(former.as_ref(), Some(&lost.certificate));
}

#[rstest]
#[case::empty_token(Access::ControllerToken, "", "create credential dev-engine-controller-token")]
#[case::token_with_a_space(Access::MonitorToken, "a b", "create credential dev-engine-monitor-token")]
#[case::short_key(Access::WorkerKey, "abc", "create credential dev-engine-worker-key")]
#[case::key_with_a_space(Access::ClientKey, "a b", "create credential dev-engine-client-key")]
fn an_unusable_credential_is_made_anew_and_no_other(
    #[case] access: Access,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let current = authority(today());
    let mut view = AccessView {
        authority: Some(authority_secret(&current, None)),
        certificate: Some(certificate_secret(&current, today())),
        credentials: credentials(),
        ..known()
    };
    view.credentials.insert(access, ours(|_| (), &secret_of(access), &[(CURRENT_KEY, value)]));
    assert_eq!(reported(&planned(|_| (), &view).0), [expected]);
}

#[test]
fn secrets_of_somebody_else_are_neither_used_nor_overwritten() {
    let foreign = |name: &str| Some(secret(name, &[("key", "value")]));
    let access = AccessView {
        authority: foreign("dev-engine-ca-key"),
        certificate: None,
        credentials: Access::ALL.map(|access| (access, foreign(&secret_of(access)).unwrap())).into(),
        ..known()
    };
    let expected = [
        "Secret acme/dev-engine-controller-token",
        "Secret acme/dev-engine-monitor-token",
        "Secret acme/dev-engine-worker-key",
        "Secret acme/dev-engine-client-key",
        "Secret acme/dev-engine-ca-key",
    ];
    assert_eq!(planned(|_| (), &access), (Vec::new(), expected.map(str::to_owned).into()));

    let access = AccessView {
        authority: Some(authority_secret(&authority(today()), None)),
        certificate: foreign("dev-engine-tls"),
        credentials: credentials(),
        ..known()
    };
    assert_eq!(planned(|_| (), &access), (Vec::new(), vec!["Secret acme/dev-engine-tls".to_owned()]));
}

#[test]
fn retained_secrets_lose_their_owner_and_serve_the_next_cluster_of_the_name() {
    let current = authority(today());
    let access = AccessView {
        authority: Some(authority_secret(&current, None)),
        certificate: Some(certificate_secret(&current, today())),
        credentials: credentials(),
        ..known()
    };
    let (steps, _) = planned(|spec| spec.deletion_policy = Some(ClusterDeletionPolicy::Retain), &access);
    let expected = [
        "apply Secret dev-engine-controller-token",
        "apply Secret dev-engine-monitor-token",
        "apply Secret dev-engine-worker-key",
        "apply Secret dev-engine-client-key",
        "apply Secret dev-engine-tls",
        "apply Secret dev-engine-ca-key",
    ];
    assert_eq!(reported(&steps), expected);
    let retained = |step: &Step| match step {
        Step::Apply(desired) => Some(RedactedSecret(serde_json::from_value(desired.body.clone()).unwrap())),
        _ => None,
    };
    let access = AccessView {
        credentials: std::iter::zip(Access::ALL, steps.iter().map_while(retained)).collect(),
        certificate: retained(&steps[4]),
        authority: retained(&steps[5]),
        ..known()
    };
    for credential in access.credentials.values() {
        assert_eq!(credential.0.metadata.owner_references, None);
    }
    // The cluster is made anew, with another uid and policy Delete: the Secrets are taken over.
    let (steps, taken) = planned(|_| (), &access);
    assert_eq!((reported(&steps), taken), (expected.map(str::to_owned).to_vec(), Vec::new()));
}

#[test]
fn nothing_is_made_before_there_is_a_proof() {
    let draft = drafted(&minimal(|_| ()), &AccessView::default());
    assert_eq!(reported(&draft.steps), ["create the proof"]);
}

/// A Secret without owner and with our labels, as `deletionPolicy: Retain` leaves it, or as anybody may write it.
fn left_behind(change: impl FnOnce(&mut Secret)) -> RedactedSecret {
    let retained =
        |spec: &mut WorkflowClusterSpec| spec.deletion_policy = Some(ClusterDeletionPolicy::Retain);
    let mut left =
        ours(retained, "dev-engine-worker-key", &[(CURRENT_KEY, &TenantKey::generate().unwrap().expose())]);
    left.0.metadata.uid = Some("uid-left".to_owned());
    change(&mut left.0);
    left
}

#[rstest]
#[case::as_we_left_it(|_: &mut Secret| (), None, Claim::Ours)]
#[case::without_proof(|secret: &mut Secret| { secret.annotations_mut().remove(PROOF); }, None, Claim::Unproven)]
#[case::with_another_key(|secret: &mut Secret| {
    let planted = TenantKey::generate().unwrap().expose().into_bytes();
    secret.data = Some([(CURRENT_KEY.to_owned(), k8s_openapi::ByteString(planted))].into());
}, None, Claim::Unproven)]
#[case::with_the_proof_of_another_secret(|secret: &mut Secret| {
    secret.metadata.name = Some("dev-engine-client-key".to_owned());
}, None, Claim::Unproven)]
#[case::vouched_for(|secret: &mut Secret| { secret.annotations_mut().remove(PROOF); }, Some("uid-other, uid-left"), Claim::Ours)]
#[case::another_one_vouched_for(|secret: &mut Secret| { secret.annotations_mut().remove(PROOF); }, Some("uid-other"), Claim::Unproven)]
#[case::without_our_labels(|secret: &mut Secret| secret.labels_mut().clear(), Some("uid-left"), Claim::Foreign)]
#[case::controlled_by_something_else(|secret: &mut Secret| {
    let owner = k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference { controller: Some(true), ..Default::default() };
    secret.metadata.owner_references = Some(vec![owner]);
}, Some("uid-left"), Claim::Foreign)]
fn what_was_left_behind_is_taken_over_by_proof_or_by_a_persons_word(
    #[case] change: fn(&mut Secret),
    #[case] vouched: Option<&str>,
    #[case] claim: Claim,
) {
    let cluster = minimal(|cluster| {
        cluster.annotations_mut().extend(vouched.map(|uids| (ADOPT.to_owned(), uids.to_owned())));
    });
    let left = left_behind(change);
    assert_eq!(with_input(&cluster, |input| claim_on(input, &known(), &left)), claim);
}

#[test]
fn a_planted_secret_is_reported_and_neither_used_nor_overwritten() {
    let planted = left_behind(|secret| {
        secret.annotations_mut().remove(PROOF);
    });
    let access = AccessView { credentials: [(Access::WorkerKey, planted)].into(), ..known() };
    let draft = drafted(&minimal(|_| ()), &access);
    let object = "Secret acme/dev-engine-worker-key".to_owned();
    assert_eq!(draft.unproven, [Unproven { object, uid: "uid-left".to_owned() }]);
    assert!(
        !reported(&draft.steps).iter().any(|step| step.contains("worker-key")),
        "{:?}",
        reported(&draft.steps)
    );
}

/// The key of the proofs was lost: what has an owner needs none, and gets a new proof.
#[test]
fn secrets_of_a_living_cluster_are_proved_anew() {
    let current = authority(today());
    let mut access = AccessView {
        authority: Some(authority_secret(&current, None)),
        certificate: Some(certificate_secret(&current, today())),
        credentials: credentials(),
        ..known()
    };
    access.proof = crate::proof::ProofKey::parse("another-key-0123456789-0123456789");
    let draft = drafted(&minimal(|_| ()), &access);
    assert_eq!((draft.steps.len(), draft.unproven), (6, Vec::new()));
    assert!(draft.steps.iter().all(|step| matches!(step, Step::Apply(_))), "{:?}", reported(&draft.steps));
}

#[test]
fn secrets_are_never_shown() {
    let shown = format!("{:?}", credentials()[&Access::MonitorToken]);
    assert_eq!(shown, "RedactedSecret(dev-engine-monitor-token)");
}
