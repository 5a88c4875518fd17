use std::time::Duration;

use api_types::cluster::{ClusterReason as Reason, Network, ServiceType, SslMode};
use api_types::reason::Reason as _;
use controller_kit::apply::WriteError;
use controller_kit::condition::Readiness;
use controller_kit::events::EventType;
use controller_kit::pass::{build_status, problem_of};
use controller_kit::problem::Problem;
use engine_client::model::HealthState;
use k8s_openapi::api::core::v1::Service;
use kube::api::ObjectMeta;
use postgres_guard::Protection;
use rstest::rstest;
use serde_json::json;
use test_support::reply;

use super::*;
use crate::children::service::{self, ClientService};
use crate::children::stateful_set::EnginePods;
use crate::execute::name_taken;
use crate::kind::{Applied, Clusters};
use crate::observe::Observed;
use crate::observe::engine::EngineView;
use crate::observe::obstacles::{FailedCreate, PodOwner};
use crate::observe::pods::PodHealth;
use crate::observe::postgres::{PostgresProblem, PostgresView};
use crate::testing::{
    days, ended, minimal, nothing, pod, reachable, rolling_set, serving, settings, settled_pods, settled_set,
    target, today, with_input, with_set,
};

/// A cluster of three replicas that ran before, or not.
fn cluster(has_run: bool) -> WorkflowCluster {
    minimal(|cluster| {
        cluster.spec.replicas = 3;
        cluster.status = has_run.then(|| WorkflowClusterStatus {
            version: Some("1.2.3".to_owned()),
            ..WorkflowClusterStatus::default()
        });
    })
}

/// A settled world.
fn settled() -> Observed {
    let mut observed = nothing();
    observed.postgres = reachable(Some("1.2.3"));
    observed.engine = serving();
    observed.children = with_set(settled_set(&cluster(true), "1.2.3"));
    observed.pods = settled_pods(3);
    observed
}

fn assessed(cluster: &WorkflowCluster, observed: &Observed, applied: &Applied) -> Assessment {
    let target = target(cluster);
    let mut plan = crate::plan::plan(cluster, &target, &settings(), observed, today());
    // There are no Secrets in these worlds.
    plan.writes_credentials = false;
    assess(cluster, &target, observed, &plan, applied, today())
}

fn events_of(
    cluster: &WorkflowCluster,
    status: &WorkflowClusterStatus,
    assessment: &Assessment,
) -> Vec<Event> {
    build_events(&cluster.status.clone().unwrap_or_default(), status, assessment)
}

type Reported = (ClusterPhase, Readiness, ClusterReason, &'static str, Next);

fn check(cluster: &WorkflowCluster, observed: &Observed, applied: &Applied, expected: Reported) {
    let Assessment { phase, readiness, reason, message, next, .. } = assessed(cluster, observed, applied);
    assert_eq!((phase, readiness, reason, message.as_str(), next), expected);
}

const fn wait(seconds: u64) -> Next {
    Next::Wait { recheck: Duration::from_secs(seconds) }
}

const SETTLED: Next = Next::Settled { resync: Duration::from_mins(1) };

#[rstest]
#[case::running(|_: &mut Observed| (), (ClusterPhase::Running, Readiness::Ready, Reason::Running, "3 engine pods serve at version 1.2.3", SETTLED))]
#[case::no_stateful_set(|o: &mut Observed| o.children.live.set(&EnginePods, None), (ClusterPhase::Degraded, Readiness::InProgress, Reason::Reconciling, "the engine's objects are being created", wait(1)))]
#[case::rolling(|o: &mut Observed| o.children = with_set(rolling_set(&cluster(true), "1.2.3", 3)), (ClusterPhase::Running, Readiness::InProgress, Reason::RollingOut, "3 of 3 engine pods have been replaced", wait(5)))]
#[case::a_pod_of_a_given_up_version(|o: &mut Observed| o.pods[2] = crate::observe::pods::PodView { version: Some("1.3.0".into()), ..pod(2, "given-up", true) }, (ClusterPhase::Running, Readiness::InProgress, Reason::RollingOut, "2 of 3 engine pods have been replaced", wait(5)))]
#[case::starting(|o: &mut Observed| unready(o, 1), (ClusterPhase::Running, Readiness::InProgress, Reason::EngineStarting, "2 of 3 engine pods are ready", wait(5)))]
#[case::ending(|o: &mut Observed| surplus(o, 2), (ClusterPhase::Running, Readiness::InProgress, Reason::ScalingDown, "2 engine pods are ending", wait(5)))]
#[case::stuck_pod(|o: &mut Observed| { unready(o, 1); o.pods = vec![crate::observe::pods::PodView { problem: Some("ImagePullBackOff".into()), ..pod(1, "new", false) }]; }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "engine pod dev-engine-1: ImagePullBackOff", wait(5)))]
#[case::pods_refused(|o: &mut Observed| { o.pods.truncate(2); o.obstacles.failed_creates = vec![refused_pods()]; }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::FailedCreate, "the pods of StatefulSet dev-engine cannot be created: ResourceQuota small is used up; see kubectl -n acme describe statefulset dev-engine", wait(5)))]
#[case::pull_secret_missing(|o: &mut Observed| { unready(o, 1); o.pods = vec![crate::observe::pods::PodView { problem: Some("ImagePullBackOff".into()), ..pod(1, "new", false) }]; o.obstacles.missing_pull_secrets = vec!["registry-login".into()]; }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "engine pod dev-engine-1: ImagePullBackOff; namespace acme has no pull Secret registry-login", wait(5)))]
#[case::silent_pod(|o: &mut Observed| { unready(o, 1); o.pods = vec![crate::observe::pods::PodView { health: PodHealth::Unready { since: Some(today() - days(1)) }, ..pod(1, "new", false) }]; }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "engine pod dev-engine-1 does not become ready: look at its events and log", wait(5)))]
#[case::one_ending(|o: &mut Observed| surplus(o, 1), (ClusterPhase::Running, Readiness::InProgress, Reason::ScalingDown, "1 engine pod is ending", wait(5)))]
#[case::not_asked(|o: &mut Observed| o.engine = EngineView::NotAsked, (ClusterPhase::Running, Readiness::InProgress, Reason::EngineStarting, "waiting for the first answer of the engine", wait(1)))]
#[case::unreachable(|o: &mut Observed| o.engine = EngineView::Unreachable("no answer within 10 s".into()), (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "the engine does not answer: no answer within 10 s", wait(5)))]
#[case::degraded(|o: &mut Observed| o.engine = EngineView::Answered { state: HealthState::Degraded, problem: Some("leases are late".into()) }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "the engine says that it is degraded: leases are late", wait(5)))]
#[case::not_serving(|o: &mut Observed| o.engine = EngineView::Answered { state: HealthState::NotServing, problem: None }, (ClusterPhase::Degraded, Readiness::InProgress, Reason::EngineUnhealthy, "the engine says that it is not serving", wait(5)))]
#[case::postgres_away(|o: &mut Observed| o.postgres = problem(Reason::PostgresUnreachable), (ClusterPhase::Degraded, Readiness::InProgress, Reason::PostgresUnreachable, "the cause", wait(5)))]
#[case::secret_invalid(|o: &mut Observed| o.postgres = problem(Reason::PostgresSecretInvalid), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresSecretInvalid, "the cause", wait(5)))]
#[case::login_refused(|o: &mut Observed| o.postgres = problem(Reason::PostgresAuthenticationFailed), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresAuthenticationFailed, "the cause", wait(5)))]
#[case::tls(|o: &mut Observed| o.postgres = problem(Reason::PostgresTlsFailed), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresTlsFailed, "the cause", wait(5)))]
#[case::no_database(|o: &mut Observed| o.postgres = problem(Reason::PostgresDatabaseMissing), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresDatabaseMissing, "the cause", wait(5)))]
#[case::no_right(|o: &mut Observed| o.postgres = problem(Reason::PostgresPrivilegeMissing), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresPrivilegeMissing, "the cause", wait(5)))]
#[case::standby(|o: &mut Observed| o.postgres = problem(Reason::PostgresReadOnly), (ClusterPhase::Degraded, Readiness::InProgress, Reason::PostgresReadOnly, "the cause", wait(5)))]
#[case::full(|o: &mut Observed| o.postgres = problem(Reason::PostgresConnectionLimit), (ClusterPhase::Degraded, Readiness::InProgress, Reason::PostgresConnectionLimit, "the cause", wait(5)))]
#[case::anothers(|o: &mut Observed| o.postgres = problem(Reason::DatabaseInUse), (ClusterPhase::Degraded, Readiness::Stalled, Reason::DatabaseInUse, "the cause", wait(5)))]
#[case::old_server(|o: &mut Observed| o.postgres = problem(Reason::PostgresVersionUnsupported), (ClusterPhase::Degraded, Readiness::Stalled, Reason::PostgresVersionUnsupported, "the cause", wait(5)))]
#[case::downgrade(|o: &mut Observed| o.postgres = reachable(Some("1.3.0")), (ClusterPhase::Degraded, Readiness::Stalled, Reason::UpgradeRefused, "1.3.0 → 1.2.3: a downgrade is never possible, restore a backup instead; set spec.version back to 1.3.0", wait(60)))]
#[case::name_taken(foreign_service, (ClusterPhase::Degraded, Readiness::Stalled, Reason::NameTaken, "Service acme/dev-engine exists and belongs to something else: delete or rename it", wait(60)))]
fn a_world_that_ran_before(#[case] change: fn(&mut Observed), #[case] expected: Reported) {
    let mut observed = settled();
    change(&mut observed);
    check(&cluster(true), &observed, &Applied::default(), expected);
}

#[rstest]
#[case::no_stateful_set(|o: &mut Observed| o.children.live.set(&EnginePods, None), (ClusterPhase::Provisioning, Readiness::InProgress, Reason::Reconciling, "the engine's objects are being created", wait(1)))]
#[case::starting(|o: &mut Observed| unready(o, 3), (ClusterPhase::Provisioning, Readiness::InProgress, Reason::EngineStarting, "0 of 3 engine pods are ready", wait(5)))]
#[case::postgres_away(|o: &mut Observed| o.postgres = problem(Reason::PostgresUnreachable), (ClusterPhase::Pending, Readiness::InProgress, Reason::PostgresUnreachable, "the cause", wait(5)))]
#[case::secret_missing(|o: &mut Observed| o.postgres = problem(Reason::PostgresSecretMissing), (ClusterPhase::Pending, Readiness::Stalled, Reason::PostgresSecretMissing, "the cause", wait(5)))]
#[case::anothers(|o: &mut Observed| o.postgres = problem(Reason::DatabaseInUse), (ClusterPhase::Pending, Readiness::Stalled, Reason::DatabaseInUse, "the cause", wait(5)))]
#[case::newer_schema(|o: &mut Observed| { o.postgres = reachable(Some("1.3.0")); o.children.live.set(&EnginePods, None); }, (ClusterPhase::Failed, Readiness::Stalled, Reason::SchemaTooNew, "the database has the schema of 1.3.0, newer than spec.version 1.2.3", wait(60)))]
#[case::name_taken(foreign_service, (ClusterPhase::Failed, Readiness::Stalled, Reason::NameTaken, "Service acme/dev-engine exists and belongs to something else: delete or rename it", wait(60)))]
fn a_world_that_never_ran(#[case] change: fn(&mut Observed), #[case] expected: Reported) {
    let mut observed = settled();
    change(&mut observed);
    check(&cluster(false), &observed, &Applied::default(), expected);
}

fn balanced(has_run: bool) -> WorkflowCluster {
    let mut cluster = cluster(has_run);
    let service_type = Some(ServiceType::LoadBalancer);
    cluster.spec.network = Some(Network { service_type, ..Network::default() });
    cluster
}

#[rstest]
#[case::it_ran_before(true)]
#[case::it_is_new(false)]
fn an_engine_without_the_address_that_the_spec_asks_for_serves_and_is_not_ready(#[case] has_run: bool) {
    let message =
        "the engine serves, and Service dev-engine has no address of a load balancer yet: the cloud gives it";
    let expected =
        (ClusterPhase::Running, Readiness::InProgress, Reason::LoadBalancerPending, message, wait(60));
    check(&balanced(has_run), &settled(), &Applied::default(), expected);
}

#[test]
fn the_address_that_the_cloud_gave_is_in_the_status() {
    let cluster = balanced(true);
    let mut observed = settled();
    let mut service = with_input(&cluster, service::build);
    service.status =
        serde_json::from_value(json!({"loadBalancer": {"ingress": [{"hostname": "lb.example.net"}]}}))
            .unwrap();
    observed.children.live.set(&ClientService, Some(service));
    let assessment = assessed(&cluster, &observed, &Applied::default());
    assert_eq!((assessment.readiness, assessment.reason), (Readiness::Ready, Reason::Running));
    let endpoint = own_fields(&cluster, &assessment).endpoint.unwrap();
    assert_eq!(endpoint.host, "dev-engine.acme.svc");
    assert_eq!(endpoint.external_host.as_deref(), Some("lb.example.net"));
    assert_eq!(endpoint.external_url.as_deref(), Some("https://lb.example.net:26500"));
}

fn own_fields(cluster: &WorkflowCluster, assessment: &Assessment) -> WorkflowClusterStatus {
    build_own_status(cluster, &cluster.status.clone().unwrap_or_default(), assessment).fields
}

/// Also when nothing could be read: the status then speaks of the object all the same.
#[rstest]
#[case::none(None, None)]
#[case::a_word(Some("modify-7"), Some("modify-7"))]
#[case::empty(Some(""), None)]
#[case::no_word(Some("modify it"), None)]
#[case::too_long(Some("a123456789b123456789c123456789d123456789e123456789f123456789g123"), None)]
fn the_request_of_the_object_is_repeated(#[case] request: Option<&str>, #[case] expected: Option<&str>) {
    let mut cluster = cluster(true);
    cluster.annotations_mut().extend(request.map(|request| (REQUEST.to_owned(), request.to_owned())));
    let seen = assessed(&cluster, &settled(), &Applied::default());
    let unseen = Assessment { facts: None, ..seen.clone() };
    for assessment in [seen, unseen] {
        assert_eq!(own_fields(&cluster, &assessment).observed_request.as_deref(), expected);
    }
}

#[rstest]
#[case::settled(|_: &mut Observed| (), false)]
#[case::moving(|o: &mut Observed| unready(o, 1), false)]
#[case::a_person_is_awaited(|o: &mut Observed| o.postgres = problem(Reason::PostgresAuthenticationFailed), true)]
fn what_waits_for_a_person_is_a_field(#[case] change: fn(&mut Observed), #[case] expected: bool) {
    let mut observed = settled();
    change(&mut observed);
    let assessment = assessed(&cluster(true), &observed, &Applied::default());
    assert_eq!(own_fields(&cluster(true), &assessment).stalled, expected);
}

fn refused_pods() -> FailedCreate {
    FailedCreate {
        owner: PodOwner::StatefulSet,
        namespace: "acme".to_owned(),
        name: "dev-engine".to_owned(),
        cause: "ResourceQuota small is used up".to_owned(),
    }
}

fn problem(reason: ClusterReason) -> PostgresView {
    PostgresView::Unusable(PostgresProblem { reason, cause: "the cause".to_owned() })
}

fn change_counts(
    observed: &mut Observed,
    change: impl FnOnce(&mut k8s_openapi::api::apps::v1::StatefulSetStatus),
) {
    let mut set = settled_set(&cluster(true), "1.2.3");
    change(set.status.as_mut().unwrap());
    observed.children = with_set(set);
}

fn unready(observed: &mut Observed, pods: i32) {
    change_counts(observed, |status| status.ready_replicas = Some(3 - pods));
}

fn surplus(observed: &mut Observed, pods: i32) {
    change_counts(observed, |status| status.replicas = 3 + pods);
}

fn foreign_service(observed: &mut Observed) {
    let metadata = ObjectMeta {
        name: Some("dev-engine".into()),
        namespace: Some("acme".into()),
        ..ObjectMeta::default()
    };
    observed.children.live.set(&ClientService, Some(Service { metadata, ..Service::default() }));
}

#[test]
fn a_failed_migration_is_reported_with_its_job() {
    let cluster = cluster(false);
    let mut observed = nothing();
    let job = crate::testing::with_input(&cluster, |input| {
        crate::children::migration_job::build_job(input, crate::children::migration_job::UpTo::All, false)
    });
    let name = job.name_any();
    observed.children.jobs = vec![std::sync::Arc::new(ended(job, "Failed", today()))];
    let found = assessed(&cluster, &observed, &Applied::default());
    let message =
        format!("migration Job {name} failed: read its log; delete it to try again, or change the spec");
    assert_eq!(
        (found.phase, found.readiness, found.reason, found.message, found.next),
        (ClusterPhase::Failed, Readiness::Stalled, Reason::MigrationFailed, message, wait(60))
    );
}

#[rstest]
#[case::denied(
    reply::forbidden("services", "dev-engine", "quota exceeded"),
    ClusterPhase::Failed,
    Readiness::Stalled,
    Reason::Denied,
    ErrorClass::Denied
)]
#[case::conflict(
    reply::conflict("services", "dev-engine"),
    ClusterPhase::Provisioning,
    Readiness::InProgress,
    Reason::Conflict,
    ErrorClass::Conflict
)]
#[case::away(
    reply::failure(503, "ServiceUnavailable", "try again"),
    ClusterPhase::Provisioning,
    Readiness::InProgress,
    Reason::KubernetesUnavailable,
    ErrorClass::Transient
)]
#[case::malformed(
    reply::failure(422, "Invalid", "spec.x"),
    ClusterPhase::Failed,
    Readiness::Stalled,
    Reason::InternalError,
    ErrorClass::Defect
)]
#[case::field_conflict(
    reply::apply_conflict(&[(".spec.type", "kubectl-edit")]),
    ClusterPhase::Failed,
    Readiness::Stalled,
    Reason::Conflict,
    ErrorClass::FieldConflict
)]
fn a_refused_write_is_reported(
    #[case] status: kube::core::Status,
    #[case] phase: ClusterPhase,
    #[case] readiness: Readiness,
    #[case] reason: ClusterReason,
    #[case] class: ErrorClass,
) {
    let source = kube::Error::Api(Box::new(status));
    let failure = WriteError { operation: "apply", object: "Service acme/dev-engine".to_owned(), source };
    let applied = Applied { failures: vec![problem_of::<Clusters>(&failure)], ..Applied::default() };
    let found = assessed(&cluster(false), &settled(), &applied);
    assert_eq!(
        (found.phase, found.readiness, found.reason, found.next),
        (phase, readiness, reason, Next::Failed(class))
    );
    let reported = match class {
        ErrorClass::FieldConflict => {
            r#"changed by others again and again, set back at most once a minute: Service acme/dev-engine: "kubectl-edit" set .spec.type"#
        }
        _ => "failed to apply Service acme/dev-engine: ",
    };
    assert!(found.message.starts_with(reported), "{}", found.message);
}

#[test]
fn a_job_name_that_is_taken_is_reported() {
    let applied = Applied { failures: vec![name_taken("Job acme/dev-migrate")], ..Applied::default() };
    let found = assessed(&cluster(false), &settled(), &applied);
    assert_eq!(
        (found.reason, found.message.as_str()),
        (Reason::NameTaken, "Job acme/dev-migrate exists and belongs to something else")
    );
}

#[test]
fn what_is_known_stays_when_nothing_could_be_read() {
    let mut cluster = cluster(true);
    cluster.status = Some(build_status::<Clusters>(
        &cluster,
        &assessed(&cluster, &settled(), &Applied::default()),
        today(),
    ));
    let before = cluster.status.clone().unwrap();
    assert!(before.ready && before.accepts_deployments);

    let unread = |class: ErrorClass| Problem::new(class.reason(), class, "failed to read Secret acme/db");
    let transient = assess_unread(&cluster, &unread(ErrorClass::Transient));
    assert_eq!(build_status::<Clusters>(&cluster, &transient, today()), before);

    let denied = build_status::<Clusters>(
        &cluster,
        &assess_unread(&cluster, &unread(ErrorClass::Denied)),
        today() + days(1),
    );
    let types: Vec<_> = denied.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str())).collect();
    assert_eq!(
        types,
        [
            ("Available", "True"),
            ("Migrated", "True"),
            ("PostgresEncrypted", "True"),
            ("PostgresReachable", "True"),
            ("Ready", "False"),
            ("Stalled", "True"),
            ("UpgradeComplete", "True")
        ]
    );
    assert_eq!(
        WorkflowClusterStatus { conditions: Vec::new(), ..denied },
        WorkflowClusterStatus {
            stalled: true,
            phase: Some(ClusterPhase::Degraded),
            ready: false,
            message: Some("failed to read Secret acme/db".to_owned()),
            accepts_deployments: false,
            conditions: Vec::new(),
            ..before
        }
    );
}

fn protected(protection: Protection) -> Observed {
    let mut observed = settled();
    let PostgresView::Reachable(database) = &mut observed.postgres else { unreachable!() };
    database.protection = protection;
    observed
}

/// `PostgresEncrypted`, and whether the cluster is ready with it.
fn protection_message(cluster: &WorkflowCluster, observed: &Observed) -> (String, String, String, bool) {
    let status =
        build_status::<Clusters>(cluster, &assessed(cluster, observed, &Applied::default()), today());
    let found = find(&status.conditions, POSTGRES_ENCRYPTED).unwrap().clone();
    (found.status, found.reason, found.message, status.ready)
}

#[rstest]
#[case::no_tls(SslMode::Prefer, Protection::Plain, ("False", "PostgresNotEncrypted", "not encrypted: the server offers no TLS, and sslMode prefer goes on without"))]
#[case::preferred(SslMode::Prefer, Protection::Encrypted, ("True", "PostgresServerNotVerified", "encrypted, server not verified (sslMode prefer)"))]
#[case::required(SslMode::Require, Protection::Encrypted, ("True", "PostgresServerNotVerified", "encrypted, server not verified (sslMode require)"))]
#[case::authority(SslMode::VerifyCa, Protection::Verified, ("True", "PostgresServerVerified", "encrypted; a trusted authority signed the server's certificate, its host name is not compared (sslMode verify-ca)"))]
#[case::host(SslMode::VerifyFull, Protection::Verified, ("True", "PostgresServerVerified", "encrypted, server verified"))]
fn how_the_connection_to_postgres_is_protected_is_reported_and_changes_no_ready(
    #[case] mode: SslMode,
    #[case] protection: Protection,
    #[case] (status, reason, message): (&str, &str, &str),
) {
    let mut cluster = cluster(true);
    cluster.spec.postgres.external_ref.as_mut().unwrap().ssl_mode = Some(mode);
    let mut observed = protected(protection);
    observed.children = with_set(settled_set(&cluster, "1.2.3"));
    let expected = (status.to_owned(), reason.to_owned(), message.to_owned(), true);
    assert_eq!(protection_message(&cluster, &observed), expected);
}

#[test]
fn the_protection_is_one_event_for_each_change_also_over_an_outage() {
    let mut cluster = cluster(true);
    let mut event_after = |observed: &Observed| {
        let assessment = assessed(&cluster, observed, &Applied::default());
        let status = build_status::<Clusters>(&cluster, &assessment, today());
        let event = events_of(&cluster, &status, &assessment);
        cluster.status = Some(status);
        let event = event.into_iter().filter(|event| {
            event.reason.starts_with("PostgresNot") || event.reason.starts_with("PostgresServer")
        });
        event.map(|event| (event.type_, event.note)).collect::<Vec<_>>()
    };
    let mut away = settled();
    away.postgres = problem(Reason::PostgresUnreachable);
    let plain =
        "PostgresNotEncrypted: not encrypted: the server offers no TLS, and sslMode prefer goes on without";
    assert_eq!(event_after(&protected(Protection::Plain)), [(EventType::Warning, plain.to_owned())]);
    assert_eq!(event_after(&protected(Protection::Plain)), []);
    assert_eq!(event_after(&away), []);
    assert_eq!(event_after(&protected(Protection::Plain)), []);
    assert_eq!(
        event_after(&protected(Protection::Verified)),
        [(EventType::Normal, "encrypted, server verified".to_owned())]
    );
}

#[test]
fn an_equal_world_gives_an_equal_status_at_any_time() {
    let mut cluster = cluster(true);
    let assessment = assessed(&cluster, &settled(), &Applied::default());
    cluster.status = Some(build_status::<Clusters>(&cluster, &assessment, today()));
    let again = build_status::<Clusters>(
        &cluster,
        &assessed(&cluster, &settled(), &Applied::default()),
        today() + days(9),
    );
    assert_eq!(Some(&again), cluster.status.as_ref());
    assert_eq!(events_of(&cluster, &again, &assessment), Vec::new());
}

#[test]
fn what_was_reported_stays_until_kubernetes_has_seen_the_change() {
    let mut cluster = cluster(true);
    let mut observed = settled();
    observed.children = with_set(rolling_set(&cluster, "1.2.3", 2));
    let before = assessed(&cluster, &observed, &Applied::default());
    cluster.status = Some(build_status::<Clusters>(&cluster, &before, today()));
    change_counts(&mut observed, |status| status.observed_generation = Some(0));
    let during = assessed(&cluster, &observed, &Applied::default());
    assert_eq!((during.reason, during.message), (Reason::RollingOut, before.message));
}

/// Nothing blocks the deletion of a cluster for good. An object that nobody saw is reported by the API server, one that cannot
/// be read by the watch. Every other reason of the enum is reported somewhere in this crate.
#[test]
fn every_reason_is_used() {
    let sources = [
        include_str!("assess.rs"),
        include_str!("facts.rs"),
        include_str!("../status.rs"),
        include_str!("../cleanup.rs"),
        include_str!("../validate.rs"),
        include_str!("../execute.rs"),
        // The reasons of failed calls to the Kubernetes API, for every kind.
        include_str!("../../../controller-kit/src/outcome.rs"),
        include_str!("../upgrade/migration.rs"),
        include_str!("../claim.rs"),
        include_str!("../observe/postgres/problem.rs"),
        include_str!("../observe/postgres/survey.rs"),
        include_str!("../observe/secrets.rs"),
        include_str!("../provider.rs"),
        include_str!("assess/postgres.rs"),
        include_str!("assess/recovery.rs"),
        include_str!("../recovery.rs"),
    ];
    let unused: Vec<&str> = ClusterReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .filter(|reason| !sources.iter().any(|source| source.contains(&format!("Reason::{reason}"))))
        .collect();
    assert_eq!(unused, ["Unseen", "DeletionBlocked", "Unreadable"], "{}", json!(unused));
}

#[test]
fn that_a_deletion_waits_is_reported_once_whatever_is_awaited() {
    let mut cluster = cluster(true);
    let awaits = |whom: &str| {
        let wait = controller_kit::plan::Wait {
            reason: Reason::AwaitingDependants,
            message: format!("waits for {whom}"),
            recheck: Duration::from_secs(1),
        };
        assess_cleanup(&wait)
    };
    let mut reported = Vec::new();
    for whom in ["both", "one", "the other"] {
        let status = build_status::<Clusters>(&cluster, &awaits(whom), today());
        reported.extend(events_of(&cluster, &status, &awaits(whom)).into_iter().map(|event| event.note));
        assert_eq!(status.message, Some(format!("waits for {whom}")));
        cluster.status = Some(status);
    }
    assert_eq!(reported, ["waits for both"]);
}
