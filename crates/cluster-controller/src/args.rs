//! Command line and environment.

use std::fmt;
use std::str::FromStr;

use agent_jobs::pod::AgentImage;
use api_types::engine_access::Access;
use controller_kit::args::ServiceArgs;

use crate::versions::EngineVersions;

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

    /// Image of a managed Postgres whose `spec.postgres.managed.image` is left out; the provider's own when empty. It counts
    /// when the Postgres is made: one that exists keeps its image.
    #[arg(long, env = "MANAGED_POSTGRES_IMAGE", default_value = "")]
    pub managed_postgres_image: String,

    /// Days that an engine's certificate holds; it is renewed when a third of them is left.
    #[arg(long, env = "CERTIFICATE_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(7..=825))]
    pub certificate_days: u16,

    /// Secret in the pod's namespace with the key of the proofs that engines' Secrets are ours; made when it is missing.
    #[arg(long, env = "PROOF_SECRET", default_value = "cluster-controller-proof")]
    pub proof_secret: String,

    /// Seconds that an engine accepts a new token or key before callers use it: as long as Kubernetes may take to bring
    /// a changed Secret to the pods.
    #[arg(long, env = "CREDENTIAL_SETTLE_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(60..=86_400))]
    pub credential_settle_seconds: u32,

    /// Seconds that an engine still accepts a token or key after callers were given the next one.
    #[arg(long, env = "CREDENTIAL_OVERLAP_SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(600..=31_536_000))]
    pub credential_overlap_seconds: u32,

    /// Which versions of the engine are run, as YAML or JSON: `supported`, `denied`, `steps`. Without it every version is.
    #[arg(long, env = "ENGINE_VERSIONS", default_value = "{}", hide_default_value = true)]
    pub engine_versions: EngineVersions,

    /// The agent that restores backups.
    #[command(flatten)]
    pub agent: AgentImage,

    /// Who may read which Secret of an engine.
    #[command(flatten)]
    pub readers: Readers,
}

/// ServiceAccounts, as `namespace:name`, for which every cluster makes a Role and a RoleBinding: RBAC cannot name a Secret
/// whose name begins with that of a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Readers {
    /// May read the token of controllers.
    #[arg(long, env = "CONTROLLER_TOKEN_READERS", value_delimiter = ',')]
    pub controller_token_readers: Vec<Account>,

    /// May read the token of monitors.
    #[arg(long, env = "MONITOR_TOKEN_READERS", value_delimiter = ',')]
    pub monitor_token_readers: Vec<Account>,

    /// May read the key that workers' tokens are minted from.
    #[arg(long, env = "WORKER_KEY_READERS", value_delimiter = ',')]
    pub worker_key_readers: Vec<Account>,

    /// May read the key that clients' tokens are minted from.
    #[arg(long, env = "CLIENT_KEY_READERS", value_delimiter = ',')]
    pub client_key_readers: Vec<Account>,
}

impl Readers {
    /// Of this Secret.
    #[must_use]
    pub fn of(&self, access: Access) -> &[Account] {
        match access {
            Access::ControllerToken => &self.controller_token_readers,
            Access::MonitorToken => &self.monitor_token_readers,
            Access::WorkerKey => &self.worker_key_readers,
            Access::ClientKey => &self.client_key_readers,
        }
    }
}

/// A ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for Account {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected the ServiceAccount as namespace:name"),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
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
