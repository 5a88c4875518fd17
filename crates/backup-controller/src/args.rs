//! Command line and environment.

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
    /// Image of the backup agent, with its tag or digest.
    #[arg(
        long,
        env = "BACKUP_AGENT_IMAGE",
        default_value = concat!("ghcr.io/example/workflow-operator/backup-agent:", env!("CARGO_PKG_VERSION"))
    )]
    pub agent_image: String,

    /// When that image is pulled.
    #[arg(
        long,
        env = "BACKUP_AGENT_IMAGE_PULL_POLICY",
        default_value = "IfNotPresent",
        value_parser = ["Always", "IfNotPresent", "Never"]
    )]
    pub agent_image_pull_policy: String,

    /// Pull Secrets of that image, by name, separated by commas. Each namespace of a WorkflowCluster has its own.
    #[arg(long, env = "BACKUP_AGENT_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub agent_image_pull_secrets: Vec<String>,
}
