//! What to do. Pure.

pub mod access;
pub mod budget;
pub mod credentials;
pub mod grants;
pub mod ingress;
pub mod migration;
pub mod network_policy;
pub mod pod;
pub mod rollout;
pub mod service_monitor;
pub mod services;
pub mod stateful_set;
pub mod withdrawal;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use api_types::cluster::{AccessKeyIds, ClusterReason};
use api_types::engine_access::Access;
use api_types::labels::{CLUSTER, CLUSTER_CONTROLLER, Component, recommended};
use api_types::{WorkflowCluster, engine_access};
use controller_kit::plan::{
    ChildVerdict, Deletion, Desired, build_owner_reference, is_controlled_by, plan_child,
};
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use semver::Version;
use serde::Serialize;

use crate::args::Settings;
use crate::cleanup::{self, plan_cleanup};
use crate::observe::service_monitor::ServiceMonitorView;
use crate::observe::{Observed, View};
use crate::validate::Target;
use access::plan_access;
use credentials::{Rotation, key_id_of, rotation_of};
use grants::plan_grants;
use migration::{Migration, plan_migration};
use rollout::{Rollout, plan_rollout};
use withdrawal::unwanted_by_refused;

/// One write that only clusters have.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterStep {
    /// A new authority; `former` stays trusted beside it.
    CreateAuthority {
        /// Metadata of the Secret.
        metadata: ObjectMeta,
        /// Certificate of the authority that it follows.
        former: Option<String>,
    },
    /// A new certificate for the engine, signed by the authority that was observed.
    IssueCertificate {
        /// Metadata of the Secret.
        metadata: ObjectMeta,
        /// DNS names.
        names: Vec<String>,
        /// Whether it takes the place of another one.
        renewal: bool,
    },
    /// The key of the proofs that Secrets are ours; nothing is made for the engine before it is there.
    CreateProof,
    /// A token or key beside the one that was observed, which follows it later.
    AnnounceCredential {
        /// Metadata of the Secret.
        metadata: ObjectMeta,
        /// Which one.
        access: Access,
    },
    /// A new token or key.
    CreateCredential {
        /// Metadata of the Secret.
        metadata: ObjectMeta,
        /// Which one.
        access: Access,
    },
    /// Creates a migration Job, whose template can never change.
    CreateJob(Desired),
    /// Deletes a migration Job that is not wanted; it stays until its pods are gone.
    WithdrawJob(Deletion),
}

/// One write.
pub type Step = controller_kit::plan::Step<ClusterStep>;

/// What a pass does, by what the cluster is.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// It lives.
    Plan(Box<Plan>),
    /// It lives, and its spec cannot be acted on: only Jobs go.
    Withdrawal(Vec<Step>),
    /// It is being deleted.
    Cleanup(cleanup::Plan),
}

impl AsRef<[Step]> for Course {
    fn as_ref(&self) -> &[Step] {
        match self {
            Self::Plan(plan) => &plan.steps,
            Self::Withdrawal(steps) => steps,
            Self::Cleanup(plan) => &plan.steps,
        }
    }
}

/// What is to be done, and what the plan was made from: the status tells both.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Independent of each other, executed in order.
    pub steps: Vec<Step>,
    /// Objects that have a child's name and belong to somebody else: `Kind namespace/name`.
    pub taken: Vec<String>,
    /// Secrets that may have been left behind by a cluster of this name, or planted.
    pub unproven: Vec<Unproven>,
    /// A replacement of tokens and keys that is on its way.
    pub rotation: Option<Rotation>,
    /// Ids of the keys that were observed.
    pub key_ids: AccessKeyIds,
    /// Tokens or keys are written: what they are then is found by the next pass.
    pub writes_credentials: bool,
    /// Where the schema stands.
    pub migration: Migration,
    /// Where the pods stand.
    pub rollout: Rollout,
}

/// A Secret that is taken over only when a person says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// `Secret namespace/name`.
    pub object: String,
    /// Names this one, and none that is put in its place.
    pub uid: String,
}

/// A cluster with everything that its builders need.
#[derive(Clone, Copy)]
pub struct BuildInput<'a> {
    /// The object.
    pub cluster: &'a WorkflowCluster,
    /// What was made of its spec.
    pub target: &'a Target,
    /// The installation's settings.
    pub settings: &'a Settings,
    /// Name of the database.
    pub database: &'a str,
}

impl fmt::Debug for BuildInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blueprint({}/{})", self.namespace(), self.name())
    }
}

impl BuildInput<'_> {
    /// Name of the cluster.
    #[must_use]
    pub fn name(&self) -> String {
        self.cluster.name_any()
    }

    /// Namespace of the cluster and of all its children.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.cluster.namespace().unwrap_or_default()
    }

    /// Name of the StatefulSet, the client Service and whatever there is once beside them.
    #[must_use]
    pub fn engine_name(&self) -> String {
        engine_access::engine_name(&self.name())
    }

    /// Image of the engine at a version.
    #[must_use]
    pub fn image(&self, version: &Version) -> String {
        let repository = self.cluster.spec.image.as_ref().unwrap_or(&self.settings.engine_image_repository);
        format!("{repository}:{version}")
    }

    /// Metadata of a child that goes with the cluster.
    #[must_use]
    pub fn metadata(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![build_owner_reference(self.cluster)]),
            ..self.unowned_metadata(name, component)
        }
    }

    /// Metadata of a child that outlives the cluster.
    #[must_use]
    pub fn unowned_metadata(&self, name: String, component: Component) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace()),
            labels: Some(self.labels(component)),
            ..ObjectMeta::default()
        }
    }

    /// Labels of a child.
    #[must_use]
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = recommended(component, &self.name());
        labels.insert(CLUSTER.to_owned(), self.name());
        labels
    }
}

/// What to do, whatever became of the cluster.
#[must_use]
pub fn plan_course(
    cluster: &WorkflowCluster,
    spec: &Result<Target, Problem<ClusterReason>>,
    settings: &Settings,
    view: &View,
    now: Timestamp,
) -> Course {
    match (view, spec) {
        (View::World(observed), Ok(target)) => {
            Course::Plan(Box::new(plan(cluster, target, settings, observed, now)))
        }
        (View::Remains(remains), _) => Course::Cleanup(plan_cleanup(cluster, remains, now)),
        (View::Jobs(jobs), _) => Course::Withdrawal(plan_withdrawal(cluster, jobs)),
        // Nothing was validated, so nothing is known of the world either.
        (View::World(_), Err(_)) => Course::Withdrawal(Vec::new()),
    }
}

fn plan_withdrawal(cluster: &WorkflowCluster, jobs: &[Arc<Job>]) -> Vec<Step> {
    unwanted_by_refused(cluster, jobs).into_iter().map(ClusterStep::WithdrawJob).map(Step::Own).collect()
}

/// The plan of a cluster that is to live.
#[must_use]
pub fn plan(
    cluster: &WorkflowCluster,
    target: &Target,
    settings: &Settings,
    observed: &Observed,
    now: Timestamp,
) -> Plan {
    let live_database = observed.children.stateful_set.as_deref().and_then(stateful_set::database_of);
    let database = observed.database.clone().or(target.postgres.database.clone()).or(live_database);
    let database = database.as_deref().unwrap_or(api_types::cluster::DEFAULT_DATABASE);
    let input = BuildInput { cluster, target, settings, database };

    let mut draft = Draft { owner: cluster.uid().unwrap_or_default(), ..Draft::default() };
    let (migration, unwanted) = plan_migration(&input, observed, now);
    let mut rollout = plan_rollout(&input, observed, &migration);
    if !cluster.spec.is_paused() {
        if !cluster.finalizers().iter().any(|finalizer| finalizer == CLUSTER_CONTROLLER.finalizer) {
            // From then on a deletion waits for the tenants and processes that are deleted with the cluster.
            draft.steps.push(Step::AddFinalizer { annotation: None });
        }
        plan_access(&input, &observed.access, now, &mut draft);
        // An engine would accept whatever these Secrets hold.
        let are_ours = observed.access.proof.is_some() && draft.taken.is_empty() && draft.unproven.is_empty();
        if !are_ours && observed.children.stateful_set.is_none() {
            rollout.version = None;
        }
        plan_grants(&input, &observed.children, &mut draft);
        draft.steps.extend(unwanted.into_iter().map(ClusterStep::WithdrawJob).map(Step::Own));
        plan_children(&input, observed, &migration, &rollout, &mut draft);
    }
    let key_id = |access| key_id_of(&input, &observed.access, access);
    Plan {
        rotation: rotation_of(&input, &observed.access),
        key_ids: AccessKeyIds { worker: key_id(Access::WorkerKey), client: key_id(Access::ClientKey) },
        steps: draft.steps,
        taken: draft.taken,
        unproven: draft.unproven,
        writes_credentials: draft.writes_credentials,
        migration,
        rollout,
    }
}

fn plan_children(
    input: &BuildInput<'_>,
    observed: &Observed,
    migration: &Migration,
    rollout: &Rollout,
    draft: &mut Draft,
) {
    let children = &observed.children;
    let spec = &input.cluster.spec;
    if let Some(ca_bundle) = access::build_ca_bundle(input, &observed.access) {
        draft.want(&ca_bundle, children.ca_bundle.as_deref());
    }
    draft.want(&services::build_headless(input), children.headless_service.as_deref());
    draft.want(&services::build_client(input), children.service.as_deref());
    draft.want(&network_policy::build(input), children.network_policy.as_deref());
    if let Migration::Needed { job, state: migration::JobState::Missing, .. } = migration {
        draft.steps.push(Step::Own(ClusterStep::CreateJob(Desired::of(&**job))));
    }
    if let Some(version) = &rollout.version {
        let set = stateful_set::build(input, version, rollout.partition);
        draft.want(&set, children.stateful_set.as_deref());
    }
    draft.steps.extend(rollout.stuck.iter().cloned().map(Step::Delete));
    let budget = (spec.replicas > 1).then(|| budget::build(input));
    draft.want_or_drop(budget.as_ref(), children.budget.as_deref());
    let ingress = spec.enabled_ingress().map(|ingress| ingress::build(input, ingress));
    draft.want_or_drop(ingress.as_ref(), children.ingress.as_deref());
    if let ServiceMonitorView::Known(live) = &observed.service_monitor {
        let monitor = spec.wants_service_monitor().then(|| service_monitor::build(input));
        draft.want_or_drop(monitor.as_ref(), live.as_deref());
    }
}

fn body_of<T: Serialize>(object: &T) -> serde_json::Value {
    serde_json::to_value(object).expect("should serialise: Kubernetes types have string keys only")
}

/// A plan while it is made.
#[derive(Debug, Default)]
pub struct Draft {
    owner: String,
    steps: Vec<Step>,
    taken: Vec<String>,
    unproven: Vec<Unproven>,
    writes_credentials: bool,
}

impl Draft {
    /// The object must be there as it is given.
    fn want<K>(&mut self, desired: &K, live: Option<&K>)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        match plan_child(&self.owner, Desired::of(desired), live) {
            ChildVerdict::Converged => {}
            ChildVerdict::Apply(desired) => self.steps.push(Step::Apply(desired)),
            ChildVerdict::NameTaken { object } => self.taken.push(object),
        }
    }

    /// The object must be there, or must not; one that belongs to somebody else is not ours to delete.
    fn want_or_drop<K>(&mut self, desired: Option<&K>, live: Option<&K>)
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        match (desired, live) {
            (Some(desired), live) => self.want(desired, live),
            (None, Some(live))
                if is_controlled_by(live.meta(), &self.owner) && live.meta().deletion_timestamp.is_none() =>
            {
                self.steps.push(Step::Delete(Deletion::of(live)));
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
