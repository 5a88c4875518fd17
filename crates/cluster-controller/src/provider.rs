//! Other operators that make Postgres for a cluster (`spec.postgres.managed`). A provider says what is to be applied, what
//! the applied object says of itself, and where the database is then. Pure, but for [`observe`].

pub mod archive;
pub mod cloud_native_pg;
mod leftovers;
mod observe;
pub mod trigger;

use api_types::WorkflowCluster;
use api_types::cluster::{ClusterDeletionPolicy, ClusterReason, ManagedPostgres, PostgresProvider};
use api_types::labels::{CLUSTER, Component, MANAGED_BY, OPERATOR};
use controller_kit::plan::{ChildVerdict, Desired, is_controlled_by, is_converged, plan_child};
use controller_kit::problem::Problem;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use kube::{Resource as _, ResourceExt as _};

use crate::children::BuildInput;
use crate::observe::postgres::PostgresProblem;
use archive::{Beginning, Origin, StoresView, plan_stores};
use leftovers::hold_for;
pub use observe::{Found, observe_managed, observe_provider};

/// An operator that makes Postgres.
pub trait Provider: Send + Sync {
    /// Its name, as people know it.
    fn name(&self) -> &'static str;

    /// The kind that is applied.
    fn resource(&self) -> ApiResource;

    /// What a person types to install it.
    fn install_command(&self) -> &'static str;

    /// Name of the applied object.
    fn object_name(&self, cluster: &str) -> String;

    /// The object to apply. `live` is the one that was applied before: what cannot be taken back stays as it has it.
    fn build(&self, order: &Order<'_>, live: Option<&DynamicObject>) -> Desired;

    /// What the object says of itself, measured by what was asked for. `converged`: it was applied from this very order.
    fn judge(&self, order: &Order<'_>, live: &DynamicObject, converged: bool) -> State;

    /// Another number when [`Provider::judge`] may say something else because of the object's status.
    fn fingerprint(&self, live: &DynamicObject) -> u64;

    /// Whether the object was applied last with the order to sleep.
    fn was_sent_to_sleep(&self, live: &DynamicObject) -> bool;

    /// Whether the object was applied with an archive of the WAL.
    fn archives(&self, live: &DynamicObject) -> bool;

    /// Whether the object began with a base backup.
    fn was_recovered(&self, live: &DynamicObject) -> bool;

    /// Labels of the pods that recover the object from a base backup, while it has no instance yet.
    fn recovering_pods(&self, live: &DynamicObject) -> Option<String>;

    /// Labels of the volume claims of the object that is applied for this cluster.
    fn volume_labels(&self, cluster: &str) -> String;

    /// The kind of the plugin's objects that say where an archive is.
    fn store_resource(&self) -> ApiResource;

    /// Names of such objects: that of the archive, that of the base backup which is begun with.
    fn store_names(&self, cluster: &str) -> [String; 2];

    /// Those that are needed.
    fn build_stores(&self, order: &Order<'_>) -> Vec<Desired>;

    /// What a person types to install the plugin.
    fn plugin_install_command(&self) -> &'static str;

    /// The size that the volumes keep, if they cannot get the one that is asked for.
    fn kept_size(&self, order: &Order<'_>, live: &DynamicObject) -> Option<KeptSize>;
}

/// All of them.
pub const PROVIDERS: [&dyn Provider; 1] = [&cloud_native_pg::CloudNativePg];

/// The provider that a spec names.
#[must_use]
pub fn provider_of(managed: &ManagedPostgres) -> &'static dyn Provider {
    match managed.provider() {
        PostgresProvider::CloudNativePg => &cloud_native_pg::CloudNativePg,
    }
}

/// What a provider is asked for.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// For whom.
    pub cluster: &'a WorkflowCluster,
    /// `spec.postgres.managed`.
    pub managed: &'a ManagedPostgres,
    /// Image of a new one, where the spec names none and the provider's own is not wanted.
    pub default_image: Option<&'a str>,
    /// Name, namespace, labels and, if the database goes with the cluster, the owner.
    pub metadata: ObjectMeta,
    /// What it depends on beside the spec.
    pub circumstances: Circumstances<'a>,
}

/// What an order depends on beside the spec.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// No instance shall run; the volumes stay.
    pub asleep: bool,
    /// The `StorageClass` of the volumes, if it does not let them grow.
    pub fixed_class: Option<&'a str>,
    /// The WAL goes to the destination of `spec.backup`, if that asks for it.
    pub archives: bool,
    /// The base backup that a new object begins with.
    pub origin: Option<&'a Origin>,
}

/// A size that volumes keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSize {
    /// As the provider's object has it.
    pub size: String,
    /// Why they keep it.
    pub why: WhyKept,
}

/// Why volumes keep their size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyKept {
    /// Less is asked for.
    Shrinks,
    /// This `StorageClass` does not let them grow.
    ClassIsFixed(String),
}

impl<'a> Order<'a> {
    /// The order of a cluster; `None` when no provider makes its database.
    #[must_use]
    pub fn of(input: &BuildInput<'a>, circumstances: Circumstances<'a>) -> Option<Self> {
        let managed = input.target.managed.as_ref()?;
        let name = provider_of(managed).object_name(&input.name());
        let metadata = match input.cluster.spec.deletion_policy() {
            ClusterDeletionPolicy::Delete | ClusterDeletionPolicy::Snapshot => {
                input.metadata(name, Component::Postgres)
            }
            ClusterDeletionPolicy::Retain => input.unowned_metadata(name, Component::Postgres),
        };
        let default_image =
            Some(input.settings.managed_postgres_image.as_str()).filter(|image| !image.is_empty());
        Some(Self { cluster: input.cluster, managed, default_image, metadata, circumstances })
    }
}

/// How far a managed Postgres is. Each text is a phrase of ours for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being made, changed or started.
    Provisioning(String),
    /// It is as it was asked for.
    Ready,
    /// It serves, but not with all its instances.
    Degraded(String),
    /// The provider cannot go on by itself.
    Failed(String),
    /// It goes to sleep.
    Hibernating,
    /// It sleeps.
    Hibernated,
    /// It slept, and is asked to serve again.
    Waking,
}

/// A managed Postgres, as one pass sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    /// The provider's object.
    pub view: ProviderView,
    /// How far it is; `None` when its object could not be read, or is somebody else's.
    pub state: Option<State>,
    /// No instance shall run.
    pub asleep: bool,
    /// The `StorageClass` of the volumes, if it does not let them grow.
    pub fixed_class: Option<String>,
    /// The size that the volumes keep, if they cannot get the one that the spec asks for.
    pub kept_size: Option<KeptSize>,
    /// Where WAL is archived, and where a base backup is.
    pub stores: StoresView,
    /// What a new one begins with.
    pub beginning: Beginning,
    /// WAL is archived, or can be.
    pub archives: bool,
    /// The pod that could not recover the base backup.
    pub failed_recovery: Option<String>,
}

impl Managed {
    /// What its order depends on.
    #[must_use]
    pub fn circumstances(&self) -> Circumstances<'_> {
        let origin = match &self.beginning {
            Beginning::Recovered(origin) => Some(&**origin),
            Beginning::Empty | Beginning::Held(..) => None,
        };
        Circumstances {
            asleep: self.asleep,
            fixed_class: self.fixed_class.as_deref(),
            archives: self.archives,
            origin,
        }
    }

    /// A database that was recovered from a base backup, and is ours.
    #[must_use]
    pub fn is_recovered(&self, managed: &ManagedPostgres) -> bool {
        let was_recovered = |live| provider_of(managed).was_recovered(live);
        self.state.is_some() && self.view.live().is_some_and(was_recovered)
    }
}

/// The provider's object, as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum ProviderView {
    /// The provider is not installed.
    CrdMissing,
    /// The object could not be read.
    Unread(Problem<ClusterReason>),
    /// As it is.
    Known(Option<Box<DynamicObject>>),
}

impl ProviderView {
    /// The object, if there is one.
    #[must_use]
    pub fn live(&self) -> Option<&DynamicObject> {
        match self {
            Self::Known(live) => live.as_deref(),
            Self::CrdMissing | Self::Unread(_) => None,
        }
    }
}

/// Judges what was read; `None` when no provider makes the database.
#[must_use]
pub fn judge_managed(
    input: &BuildInput<'_>,
    found: Found,
    beginning: Beginning,
    may_sleep: bool,
) -> Option<Managed> {
    let Found { view, fixed_class, stores, failed_recovery, leftovers } = found;
    let provider = provider_of(input.target.managed.as_ref()?);
    // While the plugin cannot be asked, what archives goes on with it.
    let archives = match &stores {
        StoresView::Known(_) => true,
        StoresView::KindMissing | StoresView::Unread(_) => {
            view.live().is_some_and(|live| provider.archives(live))
        }
    };
    let beginning = hold_for(&leftovers, hold_without_plugin(provider, beginning, &stores));
    let mut managed = Managed {
        state: None,
        asleep: false,
        fixed_class,
        kept_size: None,
        stores,
        beginning,
        archives,
        failed_recovery,
        view,
    };
    let Some(live) = managed.view.live() else {
        managed.state = matches!(managed.view, ProviderView::Known(None))
            .then(|| State::Provisioning("is being created".to_owned()));
        return Some(managed);
    };
    let awake = Order::of(input, managed.circumstances())?;
    if !is_ours(&awake, live) {
        return Some(managed);
    }
    // One that is still being made is not put to sleep half done.
    let is_made = || matches!(judge(&awake, live), State::Ready | State::Degraded(_));
    let asleep = may_sleep && (provider.was_sent_to_sleep(live) || is_made());
    let order = Order { circumstances: Circumstances { asleep, ..awake.circumstances }, ..awake };
    let (state, kept_size) = (Some(judge(&order, live)), provider.kept_size(&order, live));
    Some(Managed { state, asleep, kept_size, ..managed })
}

/// Without the plugin there is no way to a base backup.
fn hold_without_plugin(provider: &dyn Provider, beginning: Beginning, stores: &StoresView) -> Beginning {
    match (&beginning, stores) {
        (Beginning::Recovered(_), StoresView::KindMissing) => Beginning::Held(
            ClusterReason::ProviderMissing,
            format!(
                "the base backup needs the plugin Barman Cloud of {}, which is not installed: {}",
                provider.name(),
                provider.plugin_install_command()
            ),
        ),
        (Beginning::Recovered(_), StoresView::Unread(problem)) => {
            Beginning::Held(problem.reason, problem.to_string())
        }
        _ => beginning,
    }
}

fn judge(order: &Order<'_>, live: &DynamicObject) -> State {
    let provider = provider_of(order.managed);
    let is_converged = is_converged(&provider.build(order, Some(live)), live);
    provider.judge(order, live, is_converged)
}

/// What is to be done about a managed Postgres: first what its object refers to.
#[must_use]
pub fn plan_managed(order: &Order<'_>, managed: &Managed) -> Vec<ChildVerdict> {
    // It would begin empty, for ever.
    if managed.view.live().is_none() && matches!(managed.beginning, Beginning::Held(..)) {
        return Vec::new();
    }
    let mut verdicts = plan_stores(order, &managed.stores);
    verdicts.push(plan_provider(order, &managed.view));
    verdicts
}

/// What is to be done about the provider's object, unless the kind is not there or could not be read.
#[must_use]
pub fn plan_provider(order: &Order<'_>, view: &ProviderView) -> ChildVerdict {
    let ProviderView::Known(live) = view else { return ChildVerdict::Converged };
    let desired = provider_of(order.managed).build(order, live.as_deref());
    let Some(live) = live.as_deref() else { return ChildVerdict::Apply(desired) };
    let owner = order.cluster.uid().unwrap_or_default();
    if is_controlled_by(live.meta(), &owner) {
        plan_child(&owner, desired, Some(live))
    } else if !is_ours(order, live) {
        ChildVerdict::NameTaken { object: desired.display() }
    } else if is_converged(&desired, live) {
        ChildVerdict::Converged
    } else {
        ChildVerdict::Apply(desired)
    }
}

/// Controlled by this cluster; or no owner's and labelled as one of this name: `deletionPolicy: Retain` keeps it so, also for
/// the next cluster of the name.
fn is_ours(order: &Order<'_>, live: &DynamicObject) -> bool {
    let label = |key: &str, value: &str| live.labels().get(key).is_some_and(|found| found == value);
    let is_kept = live.owner_references().is_empty()
        && label(MANAGED_BY, OPERATOR)
        && label(CLUSTER, &order.cluster.name_any());
    is_kept || is_controlled_by(live.meta(), &order.cluster.uid().unwrap_or_default())
}

/// Why the database cannot be used, when its provider is the reason: a login could only fail.
#[must_use]
pub fn explain_absence(input: &BuildInput<'_>, managed: &Managed) -> Option<PostgresProblem> {
    let provider = provider_of(input.target.managed.as_ref()?);
    let problem = |reason, cause: String| Some(PostgresProblem { reason, cause });
    let object = format!("{} {}", provider.resource().kind, provider.object_name(&input.name()));
    match (&managed.view, &managed.state) {
        (ProviderView::CrdMissing, _) => problem(
            ClusterReason::ProviderMissing,
            format!(
                "spec.postgres.managed needs {}, which is not installed: {}",
                provider.name(),
                provider.install_command()
            ),
        ),
        (ProviderView::Unread(unread), _) => problem(unread.reason, unread.to_string()),
        (ProviderView::Known(None), _) if let Beginning::Held(reason, why) = &managed.beginning => {
            problem(*reason, why.clone())
        }
        (ProviderView::Known(_), None) => {
            problem(ClusterReason::NameTaken, format!("{object} exists and belongs to something else"))
        }
        (_, Some(State::Provisioning(_))) if let Some(pod) = &managed.failed_recovery => problem(
            ClusterReason::RestoreFailed,
            format!(
                "pod {pod} could not recover the base backup: its log says why, mostly a targetTime after the last archived WAL; create the WorkflowCluster anew with another one"
            ),
        ),
        (_, Some(State::Provisioning(what))) => {
            problem(ClusterReason::PostgresProvisioning, format!("{object} {what}"))
        }
        (_, Some(State::Failed(what))) => {
            problem(ClusterReason::PostgresFailed, format!("{object} {what}: look at it and its pods"))
        }
        (_, Some(State::Hibernating)) => {
            problem(ClusterReason::PostgresHibernating, format!("{object} goes to sleep"))
        }
        (_, Some(State::Waking)) => {
            problem(ClusterReason::PostgresProvisioning, format!("{object} wakes up"))
        }
        (_, Some(State::Hibernated)) => {
            problem(ClusterReason::PostgresHibernated, format!("{object} sleeps; its volumes are kept"))
        }
        (_, Some(State::Ready | State::Degraded(_))) => None,
    }
}

/// Whether a login is worth a try: a database that is not there, or not ours, is not asked. Before an engine is there the
/// database is complete first: while commits wait for an instance that is still being made, the first write would hang.
#[must_use]
pub fn may_answer(managed: &Managed, has_engine: bool) -> bool {
    match &managed.view {
        ProviderView::CrdMissing | ProviderView::Known(None) => false,
        ProviderView::Unread(_) => true,
        ProviderView::Known(Some(_)) => match managed.state {
            None | Some(State::Hibernating | State::Hibernated | State::Waking) => false,
            Some(State::Provisioning(_)) => has_engine,
            Some(State::Ready | State::Degraded(_) | State::Failed(_)) => true,
        },
    }
}

#[cfg(test)]
mod tests;
