use api_types::cluster::SslMode;
use rstest::rstest;

use super::*;
use crate::children::{migration_job, stateful_set};
use crate::observe::secrets::build_login;
use crate::testing::{MANAGED, MINIMAL, SEED, cluster, minimal, secret, target, with_input};
use crate::upgrade::rollout::EngineTemplate;

#[test]
fn a_valid_spec_gives_its_target() {
    let cluster = cluster(MINIMAL);
    let mut postgres = cluster.spec.postgres.external_ref.clone().unwrap();
    postgres.host = "postgres.acme.svc".to_owned();
    assert_eq!(validate(&cluster), Ok(Target { version: Version::new(1, 2, 3), postgres, managed: None }));
}

/// `verify-full` compares this name with the certificate: one that only one of them checks locks the other one out.
#[rstest]
#[case::a_service_of_the_namespace("postgres", "postgres.acme.svc")]
#[case::a_service_elsewhere("postgres.data", "postgres.data")]
#[case::a_name_in_full("postgres.example.com", "postgres.example.com")]
#[case::an_address("10.0.0.7", "10.0.0.7")]
#[case::an_address_with_colons("2001:db8::1", "2001:db8::1")]
fn controller_engine_and_migration_look_the_host_up_by_the_same_name(#[case] host: &str, #[case] name: &str) {
    let cluster = minimal(|cluster| {
        let postgres = cluster.spec.postgres.external_ref.as_mut().unwrap();
        postgres.host = host.to_owned();
        postgres.ssl_mode = Some(api_types::cluster::SslMode::VerifyFull);
    });
    let secret = secret("db", &[("username", "u"), ("password", "p")]);
    let login = build_login(&target(&cluster), Some(&secret), None).unwrap();
    let names = with_input(&cluster, |input| {
        let set = stateful_set::build(input, &EngineTemplate::Wanted(Version::new(1, 2, 3)), 1, 1);
        let job = migration_job::build_job(input, migration_job::UpTo::All, false);
        [set.spec.unwrap().template, job.spec.unwrap().template].map(|template| {
            let env = template.spec.unwrap().containers.remove(0).env.unwrap();
            let host = env.into_iter().find(|variable| variable.name == "WORKFLOW_DATABASE_HOST");
            host.unwrap().value.unwrap()
        })
    });
    assert_eq!((login.host.as_str(), names), (name, [name.to_owned(), name.to_owned()]));
}

#[rstest]
#[case::version("version: \"1.2.3\"", "version: latest", ClusterReason::InvalidSpec, "spec.version")]
#[case::time_zone(
    "replicas: 1",
    "replicas: 1\n  upgrade: {maintenanceWindows: [{start: \"02:00\", durationMinutes: 60, timeZone: Europe/Berln}]}",
    ClusterReason::InvalidSpec,
    "spec.upgrade.maintenanceWindows[0].timeZone: Europe/Berln is no time zone of the IANA database, like Europe/Berlin"
)]
#[case::version_of_300_characters("version: \"1.2.3\"", &format!("version: 1.2.3-{}", "a".repeat(300)), ClusterReason::InvalidSpec, "spec.version")]
#[case::version_with_a_path(
    "version: \"1.2.3\"",
    "version: ../x",
    ClusterReason::InvalidSpec,
    "spec.version"
)]
#[case::version_with_a_digest(
    "version: \"1.2.3\"",
    "version: 1.2@evil",
    ClusterReason::InvalidSpec,
    "spec.version"
)]
#[case::host_with_options(
    "host: postgres",
    "host: a host=b",
    ClusterReason::InvalidSpec,
    "spec.postgres.externalRef.host"
)]
#[case::both_sources(
    "externalRef:",
    "managed: {replicas: 1}\n    externalRef:",
    ClusterReason::InvalidSpec,
    "exactly one of externalRef and managed"
)]
#[case::too_many_replicas("replicas: 1", "replicas: 65", ClusterReason::InvalidSpec, "spec.replicas")]
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
fn a_managed_postgres_is_where_its_provider_makes_it() {
    let target = validate(&cluster(MANAGED)).unwrap();
    assert_eq!(
        target.postgres,
        ExternalPostgres {
            host: "dev-postgres-rw.acme.svc".to_owned(),
            port: None,
            database: Some("workflow".to_owned()),
            database_secret: "dev-postgres-app".to_owned(),
            ssl_mode: Some(SslMode::VerifyFull),
            ca_secret: Some("dev-postgres-ca".to_owned()),
        }
    );
    assert_eq!(target.managed, cluster(MANAGED).spec.postgres.managed);
}

#[test]
fn every_field_that_is_not_acted_on_is_reported_with_what_to_do_instead() {
    assert_eq!(
        fields_not_acted_on(&cluster(SEED)),
        [
            "spec.authentication.oidc (use the token in Secret <tenant>-client of each tenant)",
            "spec.observability.tracing (no OTLP is sent yet; use the metrics)",
        ]
    );
    assert_eq!(fields_not_acted_on(&cluster(MINIMAL)), Vec::<String>::new());
}
