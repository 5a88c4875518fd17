//! All writes of a pass but the status, in the order of the plan.

use api_types::reason::CommonReason;
use kube::Resource;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;

use super::{Kind, Passes, Scene};
use crate::apply::{FieldConflict, WriteError};
use crate::plan::Step;
use crate::problem::Problem;

/// The results of the steps.
pub struct Applied<K: Kind> {
    /// The object as the last write to it returned it.
    pub object: Option<K::Object>,
    /// Children as the API server returned them: what the pass read of them before is out of date.
    pub children: Vec<DynamicObject>,
    /// Fields that other writers had changed and that were set back.
    pub reverted: Vec<FieldConflict>,
    /// The finalizer was removed, or the object was gone before.
    pub released: bool,
    /// Steps that were done.
    pub done: usize,
    /// Steps that failed, in order.
    pub failures: Vec<Problem<K::Reason>>,
    /// Results of the kind's own steps.
    pub results: K::Results,
}

impl<K: Kind> Default for Applied<K> {
    fn default() -> Self {
        Self {
            object: None,
            children: Vec::new(),
            reverted: Vec::new(),
            released: false,
            done: 0,
            failures: Vec::new(),
            results: K::Results::default(),
        }
    }
}

impl<K: Kind> Applied<K> {
    /// A child of this type as it was written last, if it was.
    #[must_use]
    pub fn child<C: Resource<DynamicType = ()> + Clone + DeserializeOwned>(&self) -> Option<C> {
        let is_it = |child: &&DynamicObject| {
            child
                .types
                .as_ref()
                .is_some_and(|types| types.kind == C::kind(&()) && types.api_version == C::api_version(&()))
        };
        self.children.iter().rev().find(is_it)?.clone().try_parse().ok()
    }
}

/// Whether the steps after a successful one are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next step follows.
    GoOn,
    /// No further step: the result of this one makes the planned steps after it wrong or too early.
    End,
}

impl<K: Kind> Passes<K> {
    /// Executes `steps`. After a failure only independent steps are executed, and none when the Kubernetes API does not
    /// answer: they would wait for it too.
    pub(super) async fn execute(&self, scene: &Scene<'_, K>, steps: &[Step<K::OwnStep>]) -> Applied<K> {
        let mut applied = Applied::default();
        for step in steps {
            if !applied.failures.is_empty() && !K::is_independent(step) {
                continue;
            }
            match Box::pin(self.execute_step(scene, step, &mut applied)).await {
                Ok(Flow::GoOn) => applied.done += 1,
                Ok(Flow::End) => {
                    applied.done += 1;
                    break;
                }
                Err(problem) => {
                    tracing::warn!(%problem, "step failed");
                    let is_over = problem.reason == CommonReason::KubernetesUnavailable.into();
                    applied.failures.push(problem);
                    if is_over {
                        break;
                    }
                }
            }
        }
        applied
    }

    async fn execute_step(
        &self,
        scene: &Scene<'_, K>,
        step: &Step<K::OwnStep>,
        applied: &mut Applied<K>,
    ) -> Result<Flow, Problem<K::Reason>> {
        let object = applied.object.as_ref().unwrap_or(scene.object);
        let finalizer = K::FINALIZER.unwrap_or_default();
        match step {
            Step::AddFinalizer { annotation: None } => {
                let written = self.writer.add_finalizer(object, finalizer).await;
                applied.object = Some(written.map_err(|error| problem_of::<K>(&error))?);
            }
            Step::AddFinalizer { annotation: Some((key, value)) } => {
                let written = self.writer.add_finalizer_and_note(object, finalizer, (key, value)).await;
                applied.object = Some(written.map_err(|error| problem_of::<K>(&error))?);
            }
            Step::Apply(desired) if self.writer.is_ineffective(desired) => {}
            Step::Apply(desired) => {
                let written = self.writer.apply_or_replace_lists(desired).await;
                let written = written.map_err(|error| problem_of::<K>(&error))?;
                applied.children.push(written.object);
                applied.reverted.extend(written.reverted);
            }
            Step::Delete(deletion) => {
                self.writer.delete(deletion).await.map_err(|error| problem_of::<K>(&error))?;
            }
            Step::Own(own) => return self.kind.execute_step(scene, own, applied).await,
            Step::RemoveFinalizer => {
                let written = self.writer.remove_finalizer(object, finalizer).await;
                applied.object = written.map_err(|error| problem_of::<K>(&error))?;
                applied.released = true;
                return Ok(Flow::End);
            }
        }
        Ok(Flow::GoOn)
    }
}

/// The problem of a failed write, with the missing permission if that is the cause.
pub fn problem_of<K: Kind>(error: &WriteError) -> Problem<K::Reason> {
    let class = error.class();
    match K::missing_permission(&error.source) {
        Some(missing) => missing.into_problem(class),
        None => Problem::new(class.reason(), class, error.message()),
    }
}
