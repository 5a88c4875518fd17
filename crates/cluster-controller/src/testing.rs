//! Objects, observations and a whole world for this crate's tests.

pub(crate) mod stateful_set_controller;
pub(crate) mod world;

use agent_jobs::pod::AgentImage;
use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use controller_kit::children::LiveChildren;
use controller_kit::plan::Desired;
use engine_client::model::HealthState;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetStatus};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use semver::Version;

use crate::args::{PullPolicy, Readers, Settings};
use crate::certificate::{self, Issued};
use crate::children::BuildInput;
use crate::children::service_monitor::ServiceMonitorView;
use crate::children::stateful_set::{self, EnginePods};
use crate::claim::{Claim, Identity, Ownership};
use crate::external::External;
use crate::observe::Observed;
use crate::observe::backups::Backups;
use crate::observe::children::Children;
use crate::observe::engine::EngineView;
use crate::observe::obstacles::Obstacles;
use crate::observe::pods::{PodHealth, PodView};
use crate::observe::postgres::{Database, PostgresProblem, PostgresView};
use crate::observe::secrets::{AccessView, RedactedSecret};
use crate::plan::access;
use crate::proof::ProofKey;
use crate::upgrade::rollout::EngineTemplate;
use crate::validate::{Target, validate};

pub(crate) const SEED: &str = include_str!("../testdata/seed.yaml");
pub(crate) const MINIMAL: &str = include_str!("../testdata/minimal.yaml");
pub(crate) const FULL: &str = include_str!("../testdata/full.yaml");
pub(crate) const MANAGED: &str = include_str!("../testdata/managed.yaml");

/// uid of the namespace `kube-system`.
pub(crate) const INSTALLATION: &str = "11111111-2222-3333-4444-555555555555";

/// The day on which the tests happen.
pub(crate) fn today() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn days(days: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_hours(24 * days)
}

pub(crate) fn cluster(yaml: &str) -> WorkflowCluster {
    serde_saphyr::from_str(yaml).unwrap()
}

/// The minimal cluster with a change.
pub(crate) fn minimal(change: impl FnOnce(&mut WorkflowCluster)) -> WorkflowCluster {
    let mut cluster = cluster(MINIMAL);
    change(&mut cluster);
    cluster
}

/// The minimal cluster with this number of pods, as a manifest.
pub(crate) fn minimal_with(replicas: i32) -> String {
    MINIMAL.replace("replicas: 1", &format!("replicas: {replicas}"))
}

pub(crate) fn target(cluster: &WorkflowCluster) -> Target {
    validate(cluster).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        engine_image_repository: "ghcr.io/example/workflow-engine".to_owned(),
        engine_image_pull_policy: PullPolicy::IfNotPresent,
        engine_image_pull_secrets: Vec::new(),
        managed_postgres_image: "registry.example/postgresql:17".to_owned(),
        certificate_days: 90,
        proof_secret: "proof".to_owned(),
        credential_settle_seconds: 600,
        credential_overlap_seconds: 86_400,
        engine_versions:
            r#"denied: [{ versions: "=1.3.66", reason: "it is denied; use 1.3.0" }]"#.parse().unwrap(),
        agent: agent_image(),
        readers: readers(),
    }
}

/// The image of the backup agent.
pub(crate) fn agent_image() -> AgentImage {
    AgentImage {
        reference: "ghcr.io/example/backup-agent:1.0.0".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        pull_secrets: Vec::new(),
    }
}

/// What proves Secrets in the tests.
pub(crate) fn proof() -> Option<ProofKey> {
    ProofKey::parse("the-proof-of-the-tests-0123456789")
}

/// The Secret as our own apply of it left it.
pub(crate) fn applied(cluster: &WorkflowCluster, name: &str, entries: &[(&str, &str)]) -> RedactedSecret {
    let metadata = with_input(cluster, |input| access::metadata(input, name.to_owned()));
    let secret = access::build_secret(metadata, secret(name, entries).data());
    let view = AccessView { proof: proof(), ..AccessView::default() };
    let desired = Desired::of(&view.prove(&cluster.name_any(), secret));
    RedactedSecret(serde_json::from_value::<Secret>(desired.body).unwrap())
}

/// As the chart names them.
fn readers() -> Readers {
    let accounts = |services: &[&str]| {
        let accounts = services.iter().map(|service| format!("workflow-system:workflow-{service}").parse());
        accounts.collect::<Result<_, _>>().unwrap()
    };
    Readers {
        controller_token_readers: accounts(&["process-controller", "tenant-controller"]),
        monitor_token_readers: accounts(&["job-lag-metrics-adapter"]),
        worker_key_readers: accounts(&["worker-controller"]),
        client_key_readers: accounts(&["tenant-controller"]),
    }
}

pub(crate) fn with_input<T>(cluster: &WorkflowCluster, build: impl FnOnce(&BuildInput<'_>) -> T) -> T {
    let (target, settings) = (target(cluster), settings());
    let database = target.postgres.database.clone().unwrap_or_else(|| "workflow".to_owned());
    let claim = held(cluster).for_engine();
    build(&BuildInput {
        cluster,
        target: &target,
        settings: &settings,
        database: &database,
        claim: Some(&claim),
    })
}

/// The claim that this cluster made first.
pub(crate) fn held(cluster: &WorkflowCluster) -> Claim {
    Claim {
        identity: Identity::of(INSTALLATION, cluster),
        uid: cluster.uid().unwrap_or_default(),
        epoch: 1,
        is_released: false,
    }
}

/// A world in which nothing exists but an empty database, which is the minimal cluster's.
pub(crate) fn nothing() -> Observed {
    Observed {
        postgres: reachable(None),
        managed: None,
        backups: Backups::default(),
        recovery: None,
        ownership: Ownership::Held(held(&cluster(MINIMAL))),
        login: None,
        access: AccessView { proof: proof(), ..AccessView::default() },
        children: Children::default(),
        pods: Vec::new(),
        stable_template: None,
        canaries: std::collections::BTreeMap::new(),
        unconfirmed: Vec::new(),
        obstacles: Obstacles::default(),
        engine: EngineView::NotAsked,
        service_monitor: ServiceMonitorView::CrdMissing,
    }
}

/// A database whose schema is that of this engine version.
pub(crate) fn reachable(engine_version: Option<&str>) -> PostgresView {
    PostgresView::Reachable(Database {
        restored: None,
        protection: postgres_guard::Protection::Verified,
        server_version: 150_004,
        schema_version: engine_version.map(|_| 1),
        engine_version: engine_version.map(str::to_owned),
        claim: None,
    })
}

/// A database that nobody reaches.
pub(crate) fn unreachable() -> PostgresView {
    PostgresView::Unusable(PostgresProblem {
        reason: ClusterReason::PostgresUnreachable,
        cause: "connection refused (postgres:5432)".to_owned(),
    })
}

pub(crate) fn serving() -> EngineView {
    EngineView::Answered { state: HealthState::Serving, problem: None }
}

/// The StatefulSet of `cluster` at `version`, settled: all pods there, ready, of one revision.
pub(crate) fn settled_set(cluster: &WorkflowCluster, version: &str) -> StatefulSet {
    let version: Version = version.parse().unwrap();
    let replicas = cluster.spec.replicas;
    let mut set = with_input(cluster, |input| {
        stateful_set::build(input, &EngineTemplate::Wanted(version.clone()), replicas, replicas)
    });
    set.metadata.uid = Some("uid-set".to_owned());
    set.metadata.generation = Some(1);
    set.status = Some(StatefulSetStatus {
        observed_generation: Some(1),
        replicas,
        ready_replicas: Some(replicas),
        updated_replicas: Some(replicas),
        current_revision: Some("new".to_owned()),
        update_revision: Some("new".to_owned()),
        ..StatefulSetStatus::default()
    });
    set
}

/// The same while it rolls from revision `old` to `new`, at this partition.
pub(crate) fn rolling_set(cluster: &WorkflowCluster, version: &str, partition: i32) -> StatefulSet {
    let mut set = settled_set(cluster, version);
    set.status.as_mut().unwrap().current_revision = Some("old".to_owned());
    let strategy = set.spec.as_mut().unwrap().update_strategy.as_mut().unwrap();
    strategy.rolling_update.as_mut().unwrap().partition = Some(partition);
    set
}

pub(crate) fn pod(ordinal: i32, revision: &str, ready: bool) -> PodView {
    PodView {
        name: format!("dev-engine-{ordinal}"),
        namespace: "acme".to_owned(),
        uid: format!("uid-pod-{ordinal}"),
        ordinal: Some(ordinal),
        revision: Some(revision.to_owned()),
        version: Some("1.2.3".to_owned()),
        health: if ready { PodHealth::Ready } else { PodHealth::Unready { since: Some(today()) } },
        terminating: false,
        problem: None,
        restarts: 0,
    }
}

/// The pods of a settled StatefulSet.
pub(crate) fn settled_pods(replicas: i32) -> Vec<PodView> {
    (0..replicas).map(|ordinal| pod(ordinal, "new", true)).collect()
}

pub(crate) fn with_set(set: StatefulSet) -> Children {
    Children { live: LiveChildren::default().with(&EnginePods, set), jobs: Vec::new() }
}

/// `job` after it ended so (`Complete`, `Failed`), a moment ago.
pub(crate) fn ended(mut job: Job, how: &str, at: Timestamp) -> Job {
    job.status = Some(JobStatus {
        conditions: Some(vec![JobCondition {
            type_: how.to_owned(),
            status: "True".to_owned(),
            last_transition_time: Some(Time(at)),
            ..JobCondition::default()
        }]),
        ..JobStatus::default()
    });
    job
}

/// A Secret of the user's with these keys.
pub(crate) fn secret(name: &str, entries: &[(&str, &str)]) -> RedactedSecret {
    let data = entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
    RedactedSecret(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("acme".to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    })
}

pub(crate) fn authority(made: Timestamp) -> Issued {
    certificate::create_authority("dev", made).unwrap()
}

/// For the names of the minimal cluster.
pub(crate) fn certificate(authority: &Issued, made: Timestamp) -> Issued {
    let names = with_input(&minimal(|_| ()), |input| access::names_of_engine(input, &External::default()));
    certificate::issue(authority, &names, std::time::Duration::from_hours(90 * 24), made).unwrap()
}

/// The name of each step's object, with what is done to it.
pub(crate) fn reported(steps: &[crate::plan::Step]) -> Vec<String> {
    use crate::plan::{ClusterStep, Step};
    let name = |metadata: &ObjectMeta| metadata.name.clone().unwrap_or_default();
    steps
        .iter()
        .map(|step| match step {
            Step::AddFinalizer { .. } => "add the finalizer".to_owned(),
            Step::Own(ClusterStep::CreateAuthority { metadata, former: None }) => {
                format!("create authority {}", name(metadata))
            }
            Step::Own(ClusterStep::CreateAuthority { metadata, former: Some(_) }) => {
                format!("replace authority {}", name(metadata))
            }
            Step::Own(ClusterStep::IssueCertificate { metadata, renewal, .. }) => {
                format!("{} certificate {}", if *renewal { "renew" } else { "issue" }, name(metadata))
            }
            Step::Own(ClusterStep::CreateProof) => "create the proof".to_owned(),
            Step::Own(ClusterStep::AnnounceCredential { metadata, .. }) => {
                format!("announce credential {}", name(metadata))
            }
            Step::Own(ClusterStep::CreateCredential { metadata, .. }) => {
                format!("create credential {}", name(metadata))
            }
            Step::Own(ClusterStep::ClaimDatabase(change)) => format!("claim {}", change.next.for_engine()),
            Step::Own(ClusterStep::ReleaseDatabase(release)) => format!("release {}", release.identity),
            Step::Apply(desired) => format!("apply {} {}", desired.resource.kind, desired.name),
            Step::Own(ClusterStep::CreateJob(desired)) => {
                format!("create {} {}", desired.resource.kind, desired.name)
            }
            Step::Own(ClusterStep::WithdrawJob(deletion)) => {
                format!("withdraw {} {}", deletion.resource.kind, deletion.name)
            }
            Step::Delete(deletion) => format!("delete {} {}", deletion.resource.kind, deletion.name),
            Step::RemoveFinalizer => "remove the finalizer".to_owned(),
        })
        .collect()
}
