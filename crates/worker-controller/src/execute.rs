//! All writes but the status, in the order of the plan; the first failure ends them.

use controller_kit::apply::{Contest, WriteError};
use k8s_openapi::api::apps::v1::Deployment;

use crate::context::Context;
use crate::plan::{Plan, Step};

/// What became of the steps.
#[derive(Debug, Default)]
pub struct Applied {
    /// The Deployment as the write returned it: what was observed before is out of date then.
    pub deployment: Option<Deployment>,
    /// What other writers had changed.
    pub reverted: Vec<Contest>,
    /// What ended the execution early.
    pub failure: Option<WriteError>,
}

/// Executes `plan`.
pub async fn execute(context: &Context, plan: &Plan) -> Applied {
    let mut applied = Applied::default();
    for step in &plan.steps {
        if let Err(failure) = execute_step(context, step, &mut applied).await {
            applied.failure = Some(failure);
            break;
        }
    }
    applied
}

async fn execute_step(context: &Context, step: &Step, applied: &mut Applied) -> Result<(), WriteError> {
    match step {
        Step::Apply(desired) if context.writer.is_futile(desired) => {}
        Step::Apply(desired) => {
            let written = context.writer.apply(desired).await?;
            if desired.resource.kind == "Deployment" {
                applied.deployment = written.object.try_parse().ok();
            }
            applied.reverted.extend(written.reverted);
        }
        Step::Delete(deletion) => context.writer.delete(deletion).await?,
    }
    Ok(())
}
