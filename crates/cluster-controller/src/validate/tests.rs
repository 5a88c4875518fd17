use rstest::rstest;

use super::*;
use crate::testing::{MINIMAL, SEED, cluster, minimal};

#[test]
fn a_valid_spec_gives_its_target() {
    let cluster = cluster(MINIMAL);
    let postgres = cluster.spec.postgres.external_ref.clone().unwrap();
    assert_eq!(validate(&cluster), Ok(Target { version: Version::new(1, 2, 3), postgres }));
}

#[rstest]
#[case::version("version: \"1.2.3\"", "version: latest", Reason::InvalidSpec, "spec.version")]
#[case::version_of_300_characters("version: \"1.2.3\"", &format!("version: 1.2.3-{}", "a".repeat(300)), Reason::InvalidSpec, "spec.version")]
#[case::version_with_a_path("version: \"1.2.3\"", "version: ../x", Reason::InvalidSpec, "spec.version")]
#[case::version_with_a_digest("version: \"1.2.3\"", "version: 1.2@evil", Reason::InvalidSpec, "spec.version")]
#[case::host_with_options(
    "host: postgres",
    "host: a host=b",
    Reason::InvalidSpec,
    "spec.postgres.externalRef.host"
)]
#[case::both_sources(
    "externalRef:",
    "managed: {replicas: 1}\n    externalRef:",
    Reason::InvalidSpec,
    "exactly one of externalRef and managed"
)]
#[case::too_many_replicas("replicas: 1", "replicas: 65", Reason::InvalidSpec, "spec.replicas")]
fn what_admission_would_refuse_is_refused(
    #[case] from: &str,
    #[case] to: &str,
    #[case] reason: ClusterReason,
    #[case] words: &str,
) {
    let refusal = validate(&cluster(&MINIMAL.replace(from, to))).unwrap_err();
    assert_eq!(refusal.reason, reason);
    assert!(refusal.message.contains(words), "{}", refusal.message);
}

#[test]
fn a_managed_postgres_is_told_to_be_not_acted_on() {
    let cluster = minimal(|cluster| {
        cluster.spec.postgres.external_ref = None;
        cluster.spec.postgres.managed = Some(api_types::cluster::ManagedPostgres::default());
    });
    assert_eq!(
        validate(&cluster),
        Err(Refusal {
            reason: Reason::FieldsNotActedOn,
            message: "spec.postgres.managed is stored but not acted on by this version: create a Postgres yourself and name \
                      it in spec.postgres.externalRef of a new WorkflowCluster"
                .to_owned()
        })
    );
}

#[test]
fn every_field_that_is_not_acted_on_is_told_with_what_to_do_instead() {
    assert_eq!(
        fields_not_acted_on(&cluster(SEED)),
        [
            "spec.authentication.oidc (use the tokens in Secret <name>-engine-credentials)",
            "spec.observability.tracing (use the metrics)",
        ]
    );
    assert_eq!(fields_not_acted_on(&cluster(MINIMAL)), Vec::<&str>::new());
}
