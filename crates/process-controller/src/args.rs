//! Command line and environment.

use controller_kit::args::ServiceArgs;

/// Deploys the BPMN of each WorkflowProcess to its engine.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    /// What all services take.
    #[command(flatten)]
    pub service: ServiceArgs,
}
