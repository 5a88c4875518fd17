//! One pass over one object, the same for every kind: validate (the spec alone) → observe (all reads) → plan (pure) →
//! execute (all writes but the status) → status (pure, then one write) → events → next look.
//!
//! A controller implements [`Kind`]; [`Passes`] calls it. Finalizers, the end of an object, stopping after a failed step,
//! the head of the status, the one status write, and what is logged are decided here and nowhere else.

mod execute;
mod scene;
mod status;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use api_types::reason::Reason;
use api_types::status::Status;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::apply::Writer;
use crate::assessment::Assessment;
use crate::clock::Clock;
use crate::controller::{Pass, Reconciler};
use crate::events::{Event, Publisher};
use crate::outcome::Next;
use crate::plan::{Plan, Step};
use crate::problem::{MissingPermission, Problem};
use crate::status::event_of_ready;

pub use execute::{Applied, Flow, problem_of};
pub use scene::{Scene, is_deleting};
pub use status::{OwnStatus, build_status};

/// The kind's part of a pass.
///
/// Pure: [`validate`](Kind::validate), [`plan`](Kind::plan), [`assess`](Kind::assess) and everything that builds. I/O:
/// [`observe`](Kind::observe) (reads) and [`execute_step`](Kind::execute_step) (writes).
pub trait Kind: Sized + Send + Sync + 'static {
    /// The custom resource.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status = Self::Status>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// Its status.
    type Status: Status<Phase = Self::Phase> + Clone + Default + Serialize + Send + Sync;
    /// Where an object is in its life.
    type Phase: Copy + Debug + Send + Sync;
    /// Why a condition has its value.
    type Reason: Reason;
    /// What validation makes of a spec. Building from it cannot fail.
    type Spec: Send + Sync;
    /// What one pass has read.
    type Observed: Send + Sync;
    /// Steps in addition to those that every kind has.
    type OwnStep: Send + Sync;
    /// The whole plan; [`Plan`] if it has only steps and a wait.
    type Plan: AsRef<[Step<Self::OwnStep>]> + Send + Sync;
    /// Results of the kind's own steps.
    type Results: Default + Send + Sync;
    /// What the kind's own status fields are made from.
    type Facts: Default + Send + Sync;

    /// Keeps an object until its cleanup is done; `None`: it is deleted at once, and its children are
    /// garbage-collected.
    const FINALIZER: Option<&'static str>;

    /// Checks the spec alone.
    fn validate(object: &Self::Object) -> Result<Self::Spec, Problem<Self::Reason>>;

    /// Reads everything that the plan depends on. Something that is absent or cannot be reached is a value. It is
    /// a problem only if no plan can be made without it.
    fn observe(
        &self,
        object: &Self::Object,
        spec: &Result<Self::Spec, Problem<Self::Reason>>,
    ) -> impl Future<Output = Result<Self::Observed, Problem<Self::Reason>>> + Send;

    /// What is to be done, also for an object that is being deleted: see [`is_deleting`].
    fn plan(&self, scene: &Scene<'_, Self>) -> Self::Plan;

    /// Does this step run although an earlier one failed? Without an answer of the Kubernetes API no step does.
    fn is_independent(_step: &Step<Self::OwnStep>) -> bool {
        false
    }

    /// Executes one step of the kind's own.
    fn execute_step(
        &self,
        scene: &Scene<'_, Self>,
        step: &Self::OwnStep,
        applied: &mut Applied<Self>,
    ) -> impl Future<Output = Result<Flow, Problem<Self::Reason>>> + Send;

    /// The result of the pass.
    fn assess(scene: &Scene<'_, Self>, plan: &Self::Plan, applied: &Applied<Self>) -> AssessmentOf<Self>;

    /// The result of a pass that could not read what it needs.
    fn assess_unread(object: &Self::Object, problem: &Problem<Self::Reason>) -> AssessmentOf<Self>;

    /// The result for an object that is being deleted and lacks the kind's finalizer; `None`: nothing is reported.
    fn assess_released(_object: &Self::Object) -> Option<AssessmentOf<Self>> {
        None
    }

    /// Is `spec.paused` set?
    fn is_paused(object: &Self::Object) -> bool;

    /// The former status, if this assessment shall not change it: what runs is still reported during an outage.
    fn keep_status(
        _object: &Self::Object,
        _former: &Self::Status,
        _assessment: &AssessmentOf<Self>,
        _now: Timestamp,
    ) -> Option<Self::Status> {
        None
    }

    /// The kind's own part of the status.
    fn build_own_status(
        object: &Self::Object,
        former: &Self::Status,
        assessment: &AssessmentOf<Self>,
        now: Timestamp,
    ) -> OwnStatus<Self>;

    /// Completes the status with fields that depend on whether the others changed.
    fn complete_status(
        _object: &Self::Object,
        status: Self::Status,
        _assessment: &AssessmentOf<Self>,
        _now: Timestamp,
    ) -> Self::Status {
        status
    }

    /// The events of a status that was written or stayed. By default the change of `Ready`.
    fn build_events(
        _object: &Self::Object,
        former: &Self::Status,
        status: &Self::Status,
        _assessment: &AssessmentOf<Self>,
    ) -> Vec<Event> {
        event_of_ready::<Self::Reason>(former.conditions(), status.conditions()).into_iter().collect()
    }

    /// The events of an object whose finalizer was just removed: for instance about what is left behind.
    fn build_last_events(_scene: &Scene<'_, Self>, _applied: &Applied<Self>) -> Vec<Event> {
        Vec::new()
    }

    /// When to look again, where that depends on the status as it is now.
    fn plan_next(
        _object: &Self::Object,
        assessment: &AssessmentOf<Self>,
        _status: &Self::Status,
        _now: Timestamp,
    ) -> Next {
        assessment.next
    }

    /// The permission that a person can grant, if its absence is why the Kubernetes API refused.
    fn missing_permission(_error: &kube::Error) -> Option<MissingPermission> {
        None
    }

    /// Keeps in memory what the next passes need to know of this one.
    fn remember(&self, _scene: &Scene<'_, Self>, _assessment: &AssessmentOf<Self>) {}

    /// Drops what is remembered of an object that is being deleted.
    fn forget(&self, _object: &Self::Object) {}
}

/// The assessment of a kind.
pub type AssessmentOf<K> = Assessment<<K as Kind>::Phase, <K as Kind>::Reason, <K as Kind>::Facts>;

/// The plan of a kind that needs no more than steps and a wait.
pub type PlanOf<K> = Plan<Step<<K as Kind>::OwnStep>, <K as Kind>::Reason>;

/// Runs the passes of one kind.
pub struct Passes<K> {
    /// The kind's part.
    pub kind: K,
    /// Writes.
    pub writer: Writer,
    /// Events.
    pub publisher: Publisher,
    /// Time.
    pub clock: Clock,
}

impl<K: Kind> Reconciler for Passes<K> {
    type Object = K::Object;

    async fn reconcile(&self, object: Arc<K::Object>) -> Pass<K::Object> {
        if is_deleting(&*object) {
            self.kind.forget(&object);
            if !has_finalizer::<K>(&object) {
                return match K::assess_released(&object) {
                    Some(assessment) => Box::pin(self.report(&object, assessment, Applied::default())).await,
                    None => Pass::unwritten(Next::Gone),
                };
            }
        }
        let spec = K::validate(&object);
        let observed = match Box::pin(self.kind.observe(&object, &spec)).await {
            Ok(observed) => observed,
            Err(problem) => {
                tracing::warn!(%problem, "the world could not be read");
                let assessment = K::assess_unread(&object, &problem);
                return Box::pin(self.report(&object, assessment, Applied::default())).await;
            }
        };
        let scene = Scene { object: &*object, spec: &spec, observed: &observed, now: self.clock.now() };
        let plan = self.kind.plan(&scene);
        let applied = Box::pin(self.execute(&scene, plan.as_ref())).await;
        if applied.released {
            for event in K::build_last_events(&scene, &applied) {
                // Logged too, because no event can be created in a namespace that is being deleted.
                tracing::info!(reason = event.reason, note = event.note, "the object goes");
                self.publisher.publish(&*object, event).await;
            }
            return Pass { next: Next::Gone, written: applied.object };
        }
        let assessment = K::assess(&scene, &plan, &applied);
        self.kind.remember(&scene, &assessment);
        Box::pin(self.report(&object, assessment, applied)).await
    }
}

impl<K: Kind> Passes<K> {
    /// One status write, if anything changed, and the events of it.
    async fn report(
        &self,
        object: &K::Object,
        assessment: AssessmentOf<K>,
        applied: Applied<K>,
    ) -> Pass<K::Object> {
        let now = self.clock.now();
        let former = object.status().cloned().unwrap_or_default();
        let status = build_status::<K>(object, &assessment, now);
        // What a step of this pass wrote is newer.
        let current = applied.object.as_ref().unwrap_or(object);
        for conflict in &applied.reverted {
            self.publisher.publish(object, conflict.event()).await;
        }
        match self.writer.apply_status(current, current.status(), &status).await {
            Ok(written) => {
                for event in K::build_events(object, &former, &status, &assessment) {
                    self.publisher.publish(object, event).await;
                }
                let next = K::plan_next(object, &assessment, &status, now);
                Pass { next, written: written.or(applied.object) }
            }
            Err(error) => {
                tracing::warn!(error = error.message(), "status not written");
                Pass { next: Next::Failed(error.class()), written: applied.object }
            }
        }
    }
}

fn has_finalizer<K: Kind>(object: &K::Object) -> bool {
    K::FINALIZER.is_some_and(|own| object.finalizers().iter().any(|present| present == own))
}

#[cfg(test)]
mod tests;
