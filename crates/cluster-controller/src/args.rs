//! Command line and environment.

use controller_kit::args::ServiceArgs;

/// Runs the engine of each WorkflowCluster.
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

/// How engines are run in this installation.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Repository of the engine image, without tag; `spec.image` of a cluster takes its place, the tag is `spec.version`.
    #[arg(
        long,
        env = "ENGINE_IMAGE_REPOSITORY",
        default_value = "ghcr.io/example/workflow-operator/workflow-engine"
    )]
    pub engine_image_repository: String,

    /// When the engine image is pulled.
    #[arg(long, env = "ENGINE_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub engine_image_pull_policy: PullPolicy,

    /// Pull Secrets of the engine image, by name, separated by commas. Each namespace of a WorkflowCluster has its own.
    #[arg(long, env = "ENGINE_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub engine_image_pull_secrets: Vec<String>,

    /// Days that an engine's certificate holds; it is renewed when a third of them is left.
    #[arg(long, env = "CERTIFICATE_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(7..=825))]
    pub certificate_days: u16,
}

/// `imagePullPolicy` of the engine's containers, in the words of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// On every start of a container.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// The node must have it.
    Never,
}

impl PullPolicy {
    /// The word that Kubernetes uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
