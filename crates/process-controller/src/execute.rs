//! The writes that only processes have: in the engine.

use api_types::process::ProcessReason;
use controller_kit::pass::{Applied, Flow, Scene, is_deleting};
use controller_kit::problem::Problem;
use engine_client::model::{DeployResult, ProcessDeletion};
use engine_client::{EngineError, ErrorClass};

use crate::context::Context;
use crate::error::{of_engine, of_engine_deletion};
use crate::kind::Processes;
use crate::plan::ProcessStep;

/// What the engine answered.
#[derive(Debug, Default)]
pub struct Results {
    /// To a deploy.
    pub deployed: Option<DeployResult>,
    /// To retirements, by process id.
    pub retired: Vec<(String, ProcessDeletion)>,
}

/// Executes one step.
pub async fn execute_step(
    context: &Context,
    scene: &Scene<'_, Processes>,
    step: &ProcessStep,
    applied: &mut Applied<Processes>,
) -> Result<Flow, Problem<ProcessReason>> {
    let Some((_, engine)) = scene.observed.engine.answering() else { return Ok(Flow::GoOn) };
    match step {
        ProcessStep::Deploy(request) => {
            let result = engine.deploy_process(request).await;
            let result = result.map_err(|error| refused(context, scene, &error))?;
            // What the engine refuses replaces nothing.
            let is_rejected = matches!(result, DeployResult::Rejected { .. });
            applied.results.deployed = Some(result);
            Ok(if is_rejected { Flow::End } else { Flow::GoOn })
        }
        ProcessStep::Retire(request) => {
            let result = engine.delete_process(request).await;
            let deletion = result.map_err(|error| refused(context, scene, &error))?;
            applied.results.retired.push((request.process_id.clone(), deletion));
            Ok(Flow::GoOn)
        }
    }
}

/// A refused credential is read anew by the next pass.
fn refused(context: &Context, scene: &Scene<'_, Processes>, error: &EngineError) -> Problem<ProcessReason> {
    if let (ErrorClass::Denied, Some((cluster, _))) = (error.class(), scene.observed.engine.answering()) {
        context.engines.forget(cluster);
    }
    if is_deleting(scene.object) { of_engine_deletion(error) } else { of_engine(error) }
}
