//! Labels, annotations, finalizers and field managers that the controllers write on objects.

use std::collections::BTreeMap;

/// On a Namespace: its objects may refer to the tenant of this name and to that tenant's cluster. Objects there that
/// name no tenant belong to this one. Only cluster admins label namespaces. On pods and owned objects: the tenant that
/// they work for.
pub const TENANT: &str = "workflow.example.com/tenant";
/// On owned objects: the `WorkflowCluster` that they belong to.
pub const CLUSTER: &str = "workflow.example.com/cluster";
/// On owned objects: the `WorkflowWorker` that they belong to.
pub const WORKER: &str = "workflow.example.com/worker";

/// On owned objects: the `WorkflowBackup` that they belong to.
pub const BACKUP: &str = "workflow.example.com/backup";
/// Label of a `WorkflowBackup`: why it was made by itself, one of `schedule`, `upgrade`, `deletion`.
pub const BACKUP_CAUSE: &str = "workflow.example.com/backup-cause";
/// Annotation of a `WorkflowBackup` that was made before an upgrade: `planHash` of that upgrade.
pub const BACKUP_FOR_PLAN: &str = "workflow.example.com/plan-hash";
/// Annotation of a `WorkflowBackup` that a schedule made: when it was due.
pub const SCHEDULED_FOR: &str = "workflow.example.com/scheduled-for";
/// Annotation of a `WorkflowBackup` that a schedule made: that schedule with its time zone, `0 3 * * * Europe/Berlin`.
pub const SCHEDULED_BY: &str = "workflow.example.com/scheduled-by";
/// Label of a Job of the backup agent: what it does with the backup, one of `backup`, `delete`, `drill`.
pub const BACKUP_TASK: &str = "workflow.example.com/backup-task";

/// Annotation of a WorkflowProcess: a new value has its repository looked at now instead of after its interval.
pub const RECONCILE_AT: &str = "workflow.example.com/reconcile-at";
/// Annotation of a Secret with credentials for git: the host that they may be sent to, with its port unless that is 443. Without it, who may
/// name the Secret could have them sent to any host.
pub const GIT_HOST: &str = "workflow.example.com/git-host";

/// Annotation, `"true"`: gives up a cleanup that cannot end. What is left behind is reported in an event.
pub const FORCE_DELETE: &str = "workflow.example.com/force-delete";
/// Annotation on a `WorkflowProcess` that names no tenant, written together with the finalizer: id of the tenant that
/// its definitions belong to. It is kept because the label of the Namespace can change, and deployed definitions stay
/// with their tenant.
pub const DEPLOYED_FOR: &str = "workflow.example.com/deployed-for";
/// Annotation on a `WorkflowCluster`, written by a person: the version with the next MAJOR that it may be upgraded to,
/// `2.0.0`, or that version by one plan only, `2.0.0@<planHash>`. It counts only while the version is `spec.version`, and
/// the hash that of `status.upgrade`.
pub const APPROVE_UPGRADE: &str = "workflow.example.com/approve-upgrade";
/// Annotation on a `WorkflowCluster`, written by a person, `"true"`: no pod is watched alone before the others follow.
pub const SKIP_CANARY: &str = "workflow.example.com/skip-canary";
/// Annotation on a `WorkflowCluster`, written by a person: the version whose upgrade may become final, when
/// `spec.upgrade.finalize` is `Manual`.
pub const FINALIZE_UPGRADE: &str = "workflow.example.com/finalize-upgrade";
/// Annotation on a `WorkflowCluster`, written by a person, `"true"`: an upgrade to another version waits for a backup.
pub const BACKUP_BEFORE_UPGRADE: &str = "workflow.example.com/backup-before-upgrade";
/// Annotation on a `WorkflowCluster`, written by a person or by the tool that makes backups: `planHash` of the upgrade that
/// a backup was made for.
pub const BACKUP_COMPLETED: &str = "workflow.example.com/backup-completed";
/// Annotation on a `WorkflowCluster`, written by a person: the claim that its database has, as
/// `<uid of namespace kube-system>/<namespace>/<name>` of the other `WorkflowCluster`, which it shall take over.
pub const TAKE_OVER_DATABASE: &str = "workflow.example.com/take-over-database";
/// Annotation on a `WorkflowCluster`, written with each change of it: a word of at most 63 letters, digits, `-`, `_` and
/// `.`. `status.observedRequest` repeats it once the status speaks of the object that has it.
pub const REQUEST: &str = "workflow.example.com/request";
/// Annotation on the StatefulSet of an engine: digest of the pod template that was applied last.
pub const TEMPLATE_DIGEST: &str = "workflow.example.com/template-digest";
/// Annotation on the Deployment of a fleet: the value of `spec.replicas` that its number of pods does not follow,
/// because an autoscaler sets that number, or set it last.
pub const KEPT_OVER_REPLICAS: &str = "workflow.example.com/kept-over-replicas";
/// Annotation on pod templates: digest of the Secrets and ConfigMaps that pods read only at their start.
pub const CONFIG_DIGEST: &str = "workflow.example.com/config-digest";

/// Annotation on owned objects that may be in another namespace than their owner, because an ownerReference cannot
/// cross namespaces: `<namespace>/<name>/<uid>` of the owner.
pub const OWNED_BY: &str = "workflow.example.com/owned-by";
/// Annotation on a `WorkflowCluster`, written by a person: when the value changes, the tokens and keys of its engine
/// are replaced. On the Secrets of those tokens and keys: the value that was acted on last.
pub const ROTATE_CREDENTIALS: &str = "workflow.example.com/rotate-credentials";
/// Annotation on a Secret whose token or key is being replaced: since when it has its present content.
pub const ROTATION_SINCE: &str = "workflow.example.com/rotation-since";
/// Annotation on a Secret whose key was replaced: since when no worker or client has a token made from the former key.
pub const UNHELD_SINCE: &str = "workflow.example.com/unheld-since";
/// Annotation on the Secrets of an engine: proves that this installation wrote their present content.
pub const PROOF: &str = "workflow.example.com/proof";
/// Annotation on a `WorkflowCluster`, written by a person: uids of Secrets without [`PROOF`] that it shall take
/// over.
pub const ADOPT: &str = "workflow.example.com/adopt";

/// Annotation on owned objects: digest of what was applied last. It differs when a field is no longer wanted, which the
/// live object alone does not show.
pub const APPLIED_HASH: &str = "workflow.example.com/applied-hash";

/// Value of [`MANAGED_BY`] on every owned object.
pub const OPERATOR: &str = "workflow-operator";
/// Name of the program that the object runs.
pub const NAME: &str = "app.kubernetes.io/name";
/// Name of the custom resource that the object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Role of the object: the word of a [`Component`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Application that the object is part of: `workflow`.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Tool that made the object: [`OPERATOR`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Version of what runs; never part of a selector.
pub const VERSION: &str = "app.kubernetes.io/version";

/// Field managers and finalizers of one controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Name under which the controller applies specs, statuses and events.
    pub field_manager: &'static str,
    /// Finalizer that keeps an object until its cleanup is done.
    pub finalizer: &'static str,
}

/// cluster-controller.
pub const CLUSTER_CONTROLLER: Owner =
    Owner { field_manager: "workflow-cluster-controller", finalizer: "workflow.example.com/cluster-cleanup" };
/// tenant-controller.
pub const TENANT_CONTROLLER: Owner =
    Owner { field_manager: "workflow-tenant-controller", finalizer: "workflow.example.com/tenant-cleanup" };
/// process-controller.
pub const PROCESS_CONTROLLER: Owner =
    Owner { field_manager: "workflow-process-controller", finalizer: "workflow.example.com/process-cleanup" };
/// worker-controller.
pub const WORKER_CONTROLLER: Owner =
    Owner { field_manager: "workflow-worker-controller", finalizer: "workflow.example.com/worker-cleanup" };

/// backup-controller.
pub const BACKUP_CONTROLLER: Owner =
    Owner { field_manager: "workflow-backup-controller", finalizer: "workflow.example.com/backup-cleanup" };

/// What a pod runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The engine of a cluster.
    Engine,
    /// The migration Job of a cluster.
    Migration,
    /// A Job that makes, deletes or tries out a backup.
    Backup,
    /// The Job that loads a backup into the database of a new cluster.
    Restore,
    /// The Postgres that a provider makes for a cluster.
    Postgres,
    /// A worker fleet.
    Worker,
    /// Applications that start a tenant's processes. The operator runs no pods for them; it only makes their Secret.
    Client,
}

impl Component {
    /// The word in [`COMPONENT`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Migration => "migration",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Postgres => "postgres",
            Self::Worker => "worker",
            Self::Client => "client",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Engine | Self::Migration => "workflow-engine",
            Self::Backup | Self::Restore => "backup-agent",
            Self::Postgres => "postgresql",
            Self::Worker => "workflow-worker",
            Self::Client => "workflow-client",
        }
    }
}

/// The labels that select the pods of one object. They never change: selectors are immutable.
pub fn selector(component: Component, instance: &str) -> BTreeMap<String, String> {
    [(NAME, component.program()), (INSTANCE, instance), (COMPONENT, component.as_str())]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of an owned object: its selector plus what people and tools look for.
pub fn recommended(component: Component, instance: &str) -> BTreeMap<String, String> {
    let mut labels = selector(component, instance);
    labels.insert(PART_OF.to_owned(), "workflow".to_owned());
    labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    labels
}

/// A selector in the text form that `status.selector` and `kubectl -l` use.
pub fn selector_text(selector: &BTreeMap<String, String>) -> String {
    selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
