//! What was seen, as conditions and fields.

use api_types::WorkflowCluster;
use api_types::backup::DrillResult;
use api_types::cluster::ClusterReason as Reason;
use api_types::cluster::{
    AccessKeyIds, ClusterReason, Endpoint, LastBackup, PostgresStatus, RecoveryStatus, SslMode,
    StableTemplate, UpgradeGateName, UpgradeStage, UpgradeStatus, WorkflowClusterStatus,
};
use api_types::condition::{
    AVAILABLE, MIGRATED, POSTGRES_ENCRYPTED, POSTGRES_REACHABLE, ROTATING_CREDENTIALS, SUPPORTED,
    UPGRADE_COMPLETE,
};
use api_types::engine_access::{GRPC_PORT, engine_host, engine_url};
use api_types::reason::Reason as _;
use controller_kit::condition::{ConditionStatus, DesiredCondition, find};
use controller_kit::events::Event;
use controller_kit::message::listed;
use jiff::Timestamp;
use kube::ResourceExt as _;
use postgres_guard::Protection;

use crate::children::migration_job::UpTo;
use crate::children::service_monitor::ServiceMonitorView;
use crate::children::stateful_set::version_of;
use crate::external::External;
use crate::observe::Observed;
use crate::observe::postgres::PostgresView;
use crate::plan::Plan;
use crate::plan::credentials::Rotation;
use crate::recovery::Stage;
use crate::upgrade::migration::{JobState, Migration};
use crate::validate::{Target, fields_not_acted_on};

/// What a pass saw of the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The domain's conditions.
    pub conditions: Vec<DesiredCondition<ClusterReason>>,
    /// Engine pods that exist.
    pub replicas: i32,
    /// Engine pods that are ready.
    pub ready_replicas: i32,
    /// Version that every engine pod runs; `None` while they differ.
    pub version: Option<String>,
    /// Version of the schema; `None` when the database did not answer.
    pub schema_version: Option<i64>,
    /// Whether Postgres can be used.
    pub postgres_status: PostgresStatus,
    /// Where the engine is, once there is one.
    pub endpoint: Option<Endpoint>,
    /// Whether processes may be deployed.
    pub accepts_deployments: bool,
    /// Ids of the keys that tokens are minted from.
    pub access_key_ids: AccessKeyIds,
    /// The upgrade that runs, or the last one.
    pub upgrade: Option<UpgradeStatus>,
    /// What a failed upgrade goes back to.
    pub last_stable: Option<StableTemplate>,
    /// The backup that the cluster began with.
    pub recovery: Option<RecoveryStatus>,
    /// The newest backup.
    pub last_backup: Option<LastBackup>,
    /// The newest drill.
    pub last_drill: Option<DrillResult>,
    /// The database was claimed in this pass: the next one knows more.
    pub claims_database: bool,
    /// Of what was done, beside the change of `Ready`.
    pub events: Vec<Event>,
}

impl Facts {
    /// Reads them off a pass.
    #[must_use]
    pub fn of(
        cluster: &WorkflowCluster,
        target: &Target,
        observed: &Observed,
        plan: &Plan,
        now: Timestamp,
    ) -> Self {
        let set = observed.children.stateful_set();
        let set_status = set.and_then(|set| set.status.as_ref());
        let ready_replicas = observed.children.ready_replicas();
        let is_uniform =
            observed.is_rolled_out(cluster.spec.engine_pods()) && !plan.upgrade.rollout.is_rolling;
        let (name, namespace) = (cluster.name_any(), cluster.namespace().unwrap_or_default());
        let external = External::of(cluster, observed.children.client_service());
        let endpoint = plan.upgrade.rollout.template.is_some().then(|| Endpoint {
            host: engine_host(&name, &namespace),
            port: GRPC_PORT.into(),
            url: engine_url(&name, &namespace),
            external_host: external.host,
            external_url: external.url,
        });
        Self {
            replicas: set_status.map_or(0, |status| status.replicas),
            ready_replicas,
            version: set.filter(|_| is_uniform).and_then(version_of).map(|of_template| {
                observed.running_version().map_or_else(|| of_template.to_string(), str::to_owned)
            }),
            schema_version: match &observed.postgres {
                PostgresView::Reachable(database) => database.schema_version,
                PostgresView::Unusable(_) => None,
            },
            postgres_status: postgres_status_of(&observed.postgres),
            endpoint,
            access_key_ids: plan.key_ids.clone(),
            claims_database: plan.claims_database,
            events: Vec::new(),
            accepts_deployments: observed.engine.is_serving()
                && !plan.upgrade.rollout.is_rolling
                && !is_migrating(plan),
            upgrade: plan.upgrade.record.clone(),
            last_stable: plan.upgrade.stable.clone(),
            recovery: match &plan.recovery {
                Some(Stage::Done(status)) => Some(status.clone()),
                _ => None,
            },
            last_backup: observed.backups.last(),
            last_drill: observed.backups.last_drill(),
            conditions: vec![
                build_available(cluster, ready_replicas),
                build_postgres_reachable(observed),
                build_migrated(target, observed, plan),
                build_upgrade_complete(target, observed, plan, is_uniform),
            ]
            .into_iter()
            .chain(build_postgres_encrypted(cluster, target, observed))
            .chain(build_supported(cluster, observed))
            .chain(plan.rotation.as_ref().map(|rotation| build_rotating(rotation, now)))
            .collect(),
        }
    }

    /// The status fields. What is not known at present stays as it was reported.
    #[must_use]
    pub(super) fn fields(&self, former: &WorkflowClusterStatus) -> WorkflowClusterStatus {
        WorkflowClusterStatus {
            replicas: Some(self.replicas),
            ready_replicas: Some(self.ready_replicas),
            version: self.version.clone().or_else(|| former.version.clone()),
            schema_version: self.schema_version.or(former.schema_version),
            postgres_status: Some(self.postgres_status),
            endpoint: self.endpoint.clone().or_else(|| former.endpoint.clone()),
            accepts_deployments: self.accepts_deployments,
            access_key_ids: (self.access_key_ids != AccessKeyIds::default())
                .then(|| self.access_key_ids.clone()),
            upgrade: self.upgrade.clone(),
            last_stable: self.last_stable.clone(),
            recovery: self.recovery.clone(),
            last_backup: self.last_backup.clone(),
            last_drill: self.last_drill.clone(),
            ..WorkflowClusterStatus::default()
        }
    }
}

fn postgres_status_of(view: &PostgresView) -> PostgresStatus {
    let PostgresView::Unusable(problem) = view else { return PostgresStatus::Healthy };
    match problem.reason {
        Reason::PostgresProvisioning => PostgresStatus::Provisioning,
        Reason::PostgresHibernating | Reason::PostgresHibernated => PostgresStatus::Hibernated,
        _ => PostgresStatus::Unreachable,
    }
}

/// The schema is being changed, or the engine is about to be.
fn is_migrating(plan: &Plan) -> bool {
    let needs_job = matches!(
        plan.upgrade.migration,
        Migration::Needed { .. } | Migration::Expanded | Migration::Withdrawn { .. }
    );
    match plan.upgrade.stage() {
        Some(
            UpgradeStage::Expanding
            | UpgradeStage::Canary
            | UpgradeStage::Rolling
            | UpgradeStage::Contracting
            | UpgradeStage::RollingBack,
        ) => true,
        Some(UpgradeStage::Preflight | UpgradeStage::Planned | UpgradeStage::BackingUp) => {
            matches!(plan.upgrade.migration, Migration::Withdrawn { .. })
        }
        Some(
            UpgradeStage::Soaking | UpgradeStage::Verifying | UpgradeStage::RolledBack | UpgradeStage::Failed,
        ) => false,
        Some(UpgradeStage::Done) | None => needs_job,
    }
}

/// An upgrade that is on its way, or that failed, in words.
pub(super) fn upgrade_message(target: &Target, plan: &Plan) -> Option<(ClusterReason, String)> {
    let record = plan.upgrade.record.as_ref()?;
    let (from, to) = (record.from.as_deref().unwrap_or_default(), record.to.as_deref().unwrap_or_default());
    let (what, back) = if from == to {
        (format!("the new pod template of {to}"), "the former one".to_owned())
    } else {
        (to.to_owned(), from.to_owned())
    };
    let failure = record.last_failure.as_ref().map(|failure| failure.message.as_str()).unwrap_or_default();
    let pod = record.canary_pod.as_deref().unwrap_or_default();
    if let Some(reason) = gate_reason(record) {
        let opens_when = record.gate.as_ref().map(|gate| gate.opens_when.as_str()).unwrap_or_default();
        return Some((reason, format!("{what} waits until {opens_when}")));
    }
    Some(match record.stage {
        UpgradeStage::Preflight
        | UpgradeStage::Planned
        | UpgradeStage::BackingUp
        | UpgradeStage::Expanding => (Reason::UpgradePlanned, format!("{what} follows {back}")),
        UpgradeStage::Canary => match record.healthy_since.as_ref() {
            Some(_) => (Reason::CanaryWatched, format!("engine pod {pod} has {what} and is watched")),
            None => (Reason::CanaryWatched, format!("engine pod {pod} gets {what}")),
        },
        UpgradeStage::Soaking => {
            (Reason::UpgradeSoaking, format!("every engine pod runs {to} and is watched"))
        }
        UpgradeStage::RollingBack if failure.is_empty() => {
            (Reason::UpgradeRollingBack, format!("the engine pods go back to {back}"))
        }
        UpgradeStage::RollingBack => (
            Reason::UpgradeRollingBack,
            format!("the engine pods go back to {back}, because of {what}: {failure}"),
        ),
        UpgradeStage::RolledBack => (
            Reason::UpgradeRolledBack,
            format!("{what} failed and the engine runs {back} again: {failure}; correct the spec"),
        ),
        UpgradeStage::Failed => (
            Reason::UpgradeFailed,
            format!("{what} failed: {failure}; go back to {back}, or correct the spec"),
        ),
        UpgradeStage::Rolling => {
            (Reason::RollingOut, format!("the pods are on their way to {}", target.version))
        }
        UpgradeStage::Contracting => (
            Reason::MigrationRunning,
            format!("every engine pod runs {to}; the schema gives up what {from} needed"),
        ),
        UpgradeStage::Verifying => {
            (Reason::DefinitionsVerified, format!("{to} is final; processes confirm their definitions"))
        }
        UpgradeStage::Done => return None,
    })
}

/// Which reason stands for what holds the upgrade. Pods that start are reported as such while others are replaced, and a
/// person is asked only when all pods are healthy.
fn gate_reason(record: &UpgradeStatus) -> Option<ClusterReason> {
    let gate = record.gate.as_ref()?;
    match (gate.name, record.stage) {
        (UpgradeGateName::Database, _) | (UpgradeGateName::EnginePods, UpgradeStage::Preflight) => {
            Some(Reason::UpgradePlanned)
        }
        (UpgradeGateName::MaintenanceWindow, UpgradeStage::Soaking) | (UpgradeGateName::Finalize, _)
            if record.healthy_since.is_none() =>
        {
            None
        }
        (UpgradeGateName::MaintenanceWindow, _) => Some(Reason::MaintenanceWindowAwaited),
        (UpgradeGateName::Backup, _) => Some(Reason::BackupAwaited),
        (UpgradeGateName::Finalize, _) => Some(Reason::FinalizeAwaited),
        (UpgradeGateName::Definitions, _) => Some(Reason::DefinitionsVerified),
        (UpgradeGateName::Version | UpgradeGateName::EnginePods, _) => None,
    }
}

/// Which field says that no pod shall run.
pub(super) fn why_stopped(cluster: &WorkflowCluster) -> &'static str {
    if cluster.spec.is_stopped() { "spec.stopped is true" } else { "spec.replicas is 0" }
}

fn build_available(cluster: &WorkflowCluster, ready: i32) -> DesiredCondition<ClusterReason> {
    match (ready, cluster.spec.engine_pods()) {
        (0, 0) => {
            DesiredCondition::new(AVAILABLE, ConditionStatus::False, Reason::Stopped, why_stopped(cluster))
        }
        (0, _) => DesiredCondition::new(
            AVAILABLE,
            ConditionStatus::False,
            Reason::EngineStarting,
            "no engine pod is ready",
        ),
        _ => DesiredCondition::new(
            AVAILABLE,
            ConditionStatus::True,
            Reason::EngineAvailable,
            "at least one engine pod is ready",
        ),
    }
}

fn build_postgres_reachable(observed: &Observed) -> DesiredCondition<ClusterReason> {
    match &observed.postgres {
        PostgresView::Reachable(database) => {
            let message = format!("PostgreSQL {} accepts the login", database.server_version / 10_000);
            DesiredCondition::new(
                POSTGRES_REACHABLE,
                ConditionStatus::True,
                Reason::PostgresReachable,
                message,
            )
        }
        PostgresView::Unusable(problem) => DesiredCondition::new(
            POSTGRES_REACHABLE,
            ConditionStatus::False,
            problem.reason,
            problem.cause.clone(),
        ),
    }
}

/// As seen when the probe logged in. While it cannot, what was seen last stays.
fn build_postgres_encrypted(
    cluster: &WorkflowCluster,
    target: &Target,
    observed: &Observed,
) -> Option<DesiredCondition<ClusterReason>> {
    let PostgresView::Reachable(database) = &observed.postgres else {
        let conditions = &cluster.status.as_ref()?.conditions;
        let former = find(conditions, POSTGRES_ENCRYPTED)?;
        let reason = ClusterReason::ALL.iter().find(|known| known.as_str() == former.reason)?;
        let status = if former.status == "True" { ConditionStatus::True } else { ConditionStatus::False };
        return Some(DesiredCondition::new(POSTGRES_ENCRYPTED, status, *reason, former.message.clone()));
    };
    let mode = target.postgres.ssl_mode();
    let (status, reason, message) = match (database.protection, mode) {
        (Protection::Plain, _) => (
            ConditionStatus::False,
            Reason::PostgresNotEncrypted,
            format!("not encrypted: the server offers no TLS, and sslMode {} goes on without", mode.as_str()),
        ),
        (Protection::Encrypted, _) => (
            ConditionStatus::True,
            Reason::PostgresServerNotVerified,
            format!("encrypted, server not verified (sslMode {})", mode.as_str()),
        ),
        (Protection::Verified, SslMode::VerifyCa) => (
            ConditionStatus::True,
            Reason::PostgresServerVerified,
            "encrypted; a trusted authority signed the server's certificate, its host name is not compared (sslMode verify-ca)"
                .to_owned(),
        ),
        (Protection::Verified, _) => (
            ConditionStatus::True,
            Reason::PostgresServerVerified,
            "encrypted, server verified".to_owned(),
        ),
    };
    Some(DesiredCondition::new(POSTGRES_ENCRYPTED, status, reason, message))
}

fn build_migrated(target: &Target, observed: &Observed, plan: &Plan) -> DesiredCondition<ClusterReason> {
    let version = &target.version;
    match &plan.upgrade.migration {
        Migration::Done => DesiredCondition::new(
            MIGRATED,
            ConditionStatus::True,
            Reason::SchemaCurrent,
            format!("the schema is that of {version}"),
        ),
        Migration::Unknown => {
            let (reason, message) = match &observed.postgres {
                PostgresView::Unusable(problem) => (problem.reason, "the database cannot be asked"),
                PostgresView::Reachable(_) => (Reason::Reconciling, "the database is being claimed"),
            };
            DesiredCondition::new(MIGRATED, ConditionStatus::Unknown, reason, message)
        }
        Migration::Expanded => {
            let message = format!(
                "the schema serves {version} and the version before; it is completed when every pod runs {version}"
            );
            DesiredCondition::new(MIGRATED, ConditionStatus::False, Reason::MigrationRunning, message)
        }
        Migration::Refused { reason, message } => {
            DesiredCondition::new(MIGRATED, ConditionStatus::False, *reason, message.clone())
        }
        Migration::Needed { .. } | Migration::Withdrawn { .. } => {
            let (reason, message) =
                migration_message(plan).unwrap_or((Reason::MigrationRunning, String::new()));
            DesiredCondition::new(MIGRATED, ConditionStatus::False, reason, message)
        }
    }
}

/// A migration that is not done, in words.
pub(super) fn migration_message(plan: &Plan) -> Option<(ClusterReason, String)> {
    if let Migration::Withdrawn { job, version } = &plan.upgrade.migration {
        let message =
            format!("migration Job {job} for version {version}, which the spec does not ask for, is ending");
        return Some((Reason::MigrationWithdrawn, message));
    }
    let Migration::Needed { up_to, job, state } = &plan.upgrade.migration else { return None };
    let name = job.name_any();
    Some(match state {
        JobState::Missing | JobState::Outdated => {
            (Reason::MigrationRunning, format!("migration Job {name} is being created"))
        }
        JobState::FailedCreate(failed) => (Reason::FailedCreate, failed.message()),
        JobState::Running(None) => (Reason::MigrationRunning, format!("migration Job {name} is running")),
        JobState::Running(Some(problem)) => {
            (Reason::MigrationRunning, format!("migration Job {name}: {problem}"))
        }
        JobState::Succeeded if *up_to == UpTo::Expand => (
            Reason::MigrationRunning,
            format!("migration Job {name} has prepared the schema; the pods follow"),
        ),
        JobState::Succeeded => (
            Reason::MigrationRunning,
            format!("migration Job {name} is done; waiting for the database to show it"),
        ),
        JobState::Failed => (
            Reason::MigrationFailed,
            format!("migration Job {name} failed: read its log; delete it to try again, or change the spec"),
        ),
    })
}

fn build_upgrade_complete(
    target: &Target,
    observed: &Observed,
    plan: &Plan,
    is_uniform: bool,
) -> DesiredCondition<ClusterReason> {
    let running = observed.children.stateful_set().and_then(version_of);
    let version = &target.version;
    let pending =
        |reason, message| DesiredCondition::new(UPGRADE_COMPLETE, ConditionStatus::False, reason, message);
    if let Migration::Refused { reason, message } = &plan.upgrade.migration {
        return pending(*reason, message.clone());
    }
    let has_job = matches!(plan.upgrade.stage(), Some(UpgradeStage::Expanding | UpgradeStage::Contracting));
    if let Some((reason, message)) = upgrade_message(target, plan).filter(|_| !has_job) {
        return pending(reason, message);
    }
    match (&plan.upgrade.migration, running) {
        (Migration::Needed { .. } | Migration::Withdrawn { .. }, _) => {
            let (reason, message) =
                migration_message(plan).unwrap_or((Reason::MigrationRunning, String::new()));
            pending(reason, message)
        }
        (Migration::Done | Migration::Unknown, Some(running)) if running == *version && is_uniform => {
            DesiredCondition::new(
                UPGRADE_COMPLETE,
                ConditionStatus::True,
                Reason::RolledOut,
                format!("every engine pod runs {version}"),
            )
        }
        (_, Some(running)) if running == *version => {
            pending(Reason::RollingOut, format!("the pods are on their way to {version}"))
        }
        (_, Some(running)) => {
            pending(Reason::RollingOut, format!("the pods run {running}, {version} follows"))
        }
        (_, None) => pending(Reason::EngineStarting, "there is no engine yet".to_owned()),
    }
}

/// Characters for the names of holders, in a message of 256.
const ROOM_FOR_NAMES: usize = 100;

fn build_rotating(rotation: &Rotation, now: Timestamp) -> DesiredCondition<ClusterReason> {
    let wanted =
        |reason, message| DesiredCondition::new(ROTATING_CREDENTIALS, ConditionStatus::True, reason, message);
    match rotation {
        Rotation::Announced { until } => wanted(
            Reason::CredentialsAnnounced,
            format!("the engine accepts new tokens and keys; callers use them from {until} on"),
        ),
        Rotation::Overlapping { until, holders } if holders.is_empty() => wanted(
            Reason::CredentialsRotated,
            format!("callers use the new tokens and keys; the former are accepted until {until} at least"),
        ),
        Rotation::Overlapping { until, holders } if now < *until => wanted(
            Reason::CredentialsRotated,
            format!(
                "callers use the new tokens and keys; the former are accepted until {until} at least, and by then \
                 must have left: {}",
                listed(holders, ROOM_FOR_NAMES)
            ),
        ),
        Rotation::Overlapping { holders, .. } => wanted(
            Reason::CredentialsHeld,
            format!(
                "the former tokens and keys are still accepted, because these have them: {}",
                listed(holders, ROOM_FOR_NAMES)
            ),
        ),
    }
}

/// What the spec asks for and is not done.
fn build_supported(
    cluster: &WorkflowCluster,
    observed: &Observed,
) -> Option<DesiredCondition<ClusterReason>> {
    let fields = fields_not_acted_on(cluster);
    let monitor = match &observed.service_monitor {
        _ if !cluster.spec.wants_service_monitor() => None,
        ServiceMonitorView::Known(_) => None,
        ServiceMonitorView::CrdMissing => Some(
            "spec.observability.metrics.serviceMonitor (install the CRDs of monitoring.coreos.com/v1)"
                .to_owned(),
        ),
        ServiceMonitorView::Unread(problem) => Some(problem.to_string()),
    };
    let reason = match (&observed.service_monitor, fields.is_empty()) {
        (_, false) => Reason::FieldsNotActedOn,
        (ServiceMonitorView::Unread(_), true) => Reason::Denied,
        (_, true) => Reason::ServiceMonitorCrdMissing,
    };
    let reported: Vec<String> = fields.into_iter().chain(monitor).collect();
    let message = || format!("not acted on: {}", reported.join(", "));
    (!reported.is_empty())
        .then(|| DesiredCondition::new(SUPPORTED, ConditionStatus::False, reason, message()))
}
