//! Command line and environment.

use controller_kit::args::ServiceArgs;

/// Runs a Deployment and an autoscaler for each WorkflowWorker.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    /// What all services take.
    #[command(flatten)]
    pub service: ServiceArgs,
}
