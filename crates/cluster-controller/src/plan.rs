//! What to do. Pure.

pub mod access;
pub mod credentials;

use std::sync::Arc;

use api_types::WorkflowCluster;
use api_types::cluster::{AccessKeyIds, ClusterReason, DEFAULT_DATABASE};
use api_types::engine_access::Access;
use api_types::labels::CLUSTER_CONTROLLER;
use controller_kit::children::plan_children;
use controller_kit::plan::{ChildVerdict, Deletion, Desired};
use controller_kit::problem::Problem;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use crate::args::Settings;
use crate::children::stateful_set::{self, EnginePods};
use crate::children::{BuildInput, Input, service_monitor};
use crate::claim::{Claim, ClaimChange};
use crate::cleanup::{self, plan_cleanup};
use crate::external::External;
use crate::observe::dependants::{Release, Remains};
use crate::observe::{Observed, View};
use crate::provider::{Circumstances, Order, plan_managed, plan_provider, provider_of};
use crate::recovery::{Stage, judge_recovery};
use crate::upgrade::withdrawal::unwanted_by_refused;
use crate::upgrade::{Upgrade, plan_upgrade};
use crate::validate::Target;
use access::plan_access;
use credentials::{Rotation, key_id_of, rotation_of};

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
        /// DNS names and IP addresses.
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
    /// Claims the database, or takes it over from another cluster. Nothing that depends on it is done before the claim has
    /// been observed.
    ClaimDatabase(Box<ClaimChange>),
    /// Gives the claim up; a database that does not answer soon keeps it.
    ReleaseDatabase(Box<Release>),
    /// Creates a migration Job, whose template can never change.
    CreateJob(Desired),
    /// Deletes a migration Job that is not wanted; it stays until its pods are gone.
    WithdrawJob(Deletion),
}

/// One write.
pub type Step = controller_kit::plan::Step<ClusterStep>;

/// What a pass does, by what the cluster is.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterPlan {
    /// It is not being deleted, and its spec can be acted on.
    Plan(Box<Plan>),
    /// It is not being deleted, and its spec cannot be acted on: only Jobs are deleted.
    Withdrawal(Vec<Step>),
    /// It is being deleted.
    Cleanup(cleanup::Plan),
}

impl AsRef<[Step]> for ClusterPlan {
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
    /// The database is about to be claimed: what depends on it waits for the next pass.
    pub claims_database: bool,
    /// Stage of the schema and of the pods.
    pub upgrade: Upgrade,
    /// Where the backup is that the cluster begins with.
    pub recovery: Option<Stage>,
}

/// A Secret that is taken over only when a person says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// `Secret namespace/name`.
    pub object: String,
    /// Names this one, and none that is put in its place.
    pub uid: String,
}

/// The plan for a cluster in any state.
#[must_use]
pub fn plan_pass(
    cluster: &WorkflowCluster,
    spec: &Result<Target, Problem<ClusterReason>>,
    settings: &Settings,
    view: &View,
    now: Timestamp,
) -> ClusterPlan {
    match (view, spec) {
        (View::World(observed), Ok(target)) => {
            ClusterPlan::Plan(Box::new(plan(cluster, target, settings, observed, now)))
        }
        (View::Remains(remains), spec) => {
            let wake = plan_wake(cluster, spec, settings, remains);
            ClusterPlan::Cleanup(plan_cleanup(cluster, remains, wake, now))
        }
        (View::Jobs(jobs), _) => ClusterPlan::Withdrawal(plan_withdrawal(cluster, jobs)),
        // Nothing was validated, so nothing is known of the world either.
        (View::World(_), Err(_)) => ClusterPlan::Withdrawal(Vec::new()),
    }
}

/// The order by which a managed Postgres that was sent to sleep serves again.
fn plan_wake(
    cluster: &WorkflowCluster,
    spec: &Result<Target, Problem<ClusterReason>>,
    settings: &Settings,
    remains: &Remains,
) -> Option<Desired> {
    let (target, view) = (spec.as_ref().ok()?, remains.provider.as_ref()?);
    let input = BuildInput { cluster, target, settings, database: DEFAULT_DATABASE, claim: None };
    let live = view.live()?;
    let provider = provider_of(target.managed.as_ref()?);
    let is_asleep = provider.was_sent_to_sleep(live);
    let circumstances = Circumstances { archives: provider.archives(live), ..Circumstances::default() };
    let order = Order::of(&input, circumstances)?;
    match plan_provider(&order, view) {
        ChildVerdict::Apply(desired) if is_asleep => Some(desired),
        _ => None,
    }
}

fn plan_withdrawal(cluster: &WorkflowCluster, jobs: &[Arc<Job>]) -> Vec<Step> {
    unwanted_by_refused(cluster, jobs).into_iter().map(ClusterStep::WithdrawJob).map(Step::Own).collect()
}

/// The plan of a cluster that is not being deleted.
#[must_use]
pub fn plan(
    cluster: &WorkflowCluster,
    target: &Target,
    settings: &Settings,
    observed: &Observed,
    now: Timestamp,
) -> Plan {
    let live = observed.children.stateful_set();
    let database = observed.login.as_ref().map(|login| login.database.clone());
    let database = database.or(target.postgres.database.clone()).or(live.and_then(stateful_set::database_of));
    let database = database.as_deref().unwrap_or(DEFAULT_DATABASE);
    let held = observed.ownership.held();
    let input = BuildInput { cluster, target, settings, database, claim: None };
    // While the database does not say whose it is, its engine goes on with what it was started with.
    let former = live.and_then(|live| stateful_set::claim_of(live, &input));
    let claim = held.map(Claim::for_engine).or(former);
    let input = BuildInput { claim: claim.as_deref(), ..input };

    let mut draft = Draft::default();
    let mut upgrade = plan_upgrade(&input, observed, now);
    let owner = observed.ownership.restoring_owner().map(ToString::to_string);
    let recovery = judge_recovery(&input, observed.recovery.as_ref(), &observed.postgres, owner.as_deref());
    if recovery.as_ref().is_some_and(|stage| !stage.is_done()) {
        // No schema and no engine before the backup is complete: nothing half restored is ever served.
        upgrade.permit.job = false;
        upgrade.rollout.template = upgrade.rollout.template.filter(|_| live.is_some());
    }
    if !cluster.spec.is_paused() {
        if !cluster.finalizers().iter().any(|finalizer| finalizer == CLUSTER_CONTROLLER.finalizer) {
            // From then on a deletion waits for the tenants and processes that are deleted with the cluster.
            draft.steps.push(Step::AddFinalizer { annotation: None });
        }
        let external = External::of(cluster, observed.children.client_service());
        plan_access(&input, &observed.access, &external, now, &mut draft);
        // An engine would accept whatever these Secrets hold.
        let are_ours = observed.access.proof.is_some() && draft.taken.is_empty() && draft.unproven.is_empty();
        if !(are_ours && held.is_some()) && live.is_none() {
            upgrade.rollout.template = None;
        }
        let due = observed.ownership.due().cloned().map(Box::new);
        draft.steps.extend(due.map(ClusterStep::ClaimDatabase).map(Step::Own));
        if let Some(Stage::JobMissing(job)) = &recovery {
            draft.steps.push(Step::Own(ClusterStep::CreateJob(Desired::of(&**job))));
        }
        draft.steps.extend(upgrade.unwanted.iter().cloned().map(ClusterStep::WithdrawJob).map(Step::Own));
        let input = Input {
            build: input,
            access: &observed.access,
            rollout: &upgrade.rollout,
            live: &observed.children.live,
        };
        plan_all(&input, observed, upgrade.missing_job(), &mut draft);
    }
    let key_id = |access| key_id_of(&input, &observed.access, access);
    Plan {
        rotation: rotation_of(&input, &observed.access),
        key_ids: AccessKeyIds { worker: key_id(Access::WorkerKey), client: key_id(Access::ClientKey) },
        steps: draft.steps,
        taken: draft.taken,
        unproven: draft.unproven,
        writes_credentials: draft.writes_credentials,
        claims_database: observed.ownership.due().is_some() && !cluster.spec.is_paused(),
        upgrade,
        recovery,
    }
}

/// The list's order, and in it what is no child: a managed Postgres comes before what needs it, the schema is migrated
/// before the engine's pods are made or changed, and pods that are stuck go once their template is the wanted one.
fn plan_all(input: &Input<'_>, observed: &Observed, missing_job: Option<&Job>, draft: &mut Draft) {
    if let Some(managed) = &observed.managed
        && let Some(order) = Order::of(&input.build, managed.circumstances())
    {
        for verdict in plan_managed(&order, managed) {
            draft.add(verdict);
        }
    }
    for (child, verdict) in plan_children(input.build.cluster, input, input.live) {
        let is_engine = child.is(&EnginePods);
        // Pods are not changed while the database that they work on is not this cluster's yet.
        if is_engine && observed.ownership.due().is_some() {
            continue;
        }
        if let Some(job) = missing_job.filter(|_| is_engine) {
            draft.steps.push(Step::Own(ClusterStep::CreateJob(Desired::of(job))));
        }
        draft.add(verdict);
        if is_engine {
            draft.steps.extend(input.rollout.stuck.iter().cloned().map(Step::Delete));
        }
    }
    draft.add(service_monitor::plan(&input.build, &observed.service_monitor));
}

/// A plan while it is made.
#[derive(Debug, Default)]
pub struct Draft {
    steps: Vec<Step>,
    taken: Vec<String>,
    unproven: Vec<Unproven>,
    writes_credentials: bool,
}

impl Draft {
    fn add(&mut self, verdict: ChildVerdict) {
        match verdict {
            ChildVerdict::Converged => {}
            ChildVerdict::Apply(desired) => self.steps.push(Step::Apply(desired)),
            ChildVerdict::Delete(deletion) => self.steps.push(Step::Delete(deletion)),
            ChildVerdict::NameTaken { object } => self.taken.push(object),
        }
    }
}

#[cfg(test)]
mod tests;
