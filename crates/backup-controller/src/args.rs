//! Command line and environment.

use agent_jobs::pod::AgentImage;
use controller_kit::args::ServiceArgs;

/// Makes, tries out and deletes the backups of WorkflowClusters.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    /// What all services take.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// What only this one takes.
    #[command(flatten)]
    pub settings: Settings,
}

/// How the backup agent is run in this installation.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// The agent's image.
    #[command(flatten)]
    pub agent: AgentImage,
}
