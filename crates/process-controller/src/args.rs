//! Command line and environment.

use std::path::PathBuf;
use std::time::Duration;

use controller_kit::args::ServiceArgs;
use ipnet::IpNet;
use remote_files::archive;
use remote_files::git::{Budget, Store};
use remote_files::network::AddressPolicy;

use crate::source::SourceSettings;
use crate::source::flux::FluxSettings;
use crate::source::git::GitSettings;

/// Deploys the BPMN of each WorkflowProcess to its engine.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Args {
    /// What all services take.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// How sources outside of the cluster's API are read.
    #[command(flatten)]
    pub sources: SourceArgs,
}

/// How sources outside of the cluster's API are read.
#[derive(Clone, Debug, clap::Args)]
pub struct SourceArgs {
    /// Networks that may be called although they are not public, like 10.20.0.0/16, separated by commas.
    #[arg(long, env = "GIT_ALLOWED_NETWORKS", value_delimiter = ',')]
    pub git_allowed_networks: Vec<IpNet>,

    /// Networks that are never called, separated by commas.
    #[arg(long, env = "GIT_DENIED_NETWORKS", value_delimiter = ',')]
    pub git_denied_networks: Vec<IpNet>,

    /// Folder for what was fetched. It can be lost at any time.
    #[arg(long, env = "SOURCE_CACHE_FOLDER", default_value = "/var/cache/workflow/sources")]
    pub source_cache_folder: PathBuf,

    /// Megabytes that the folder may hold.
    #[arg(long, env = "SOURCE_CACHE_MEGABYTES", default_value_t = 512, value_parser = clap::value_parser!(u64).range(64..=65_536))]
    pub source_cache_megabytes: u64,

    /// Megabytes that one fetch may send.
    #[arg(long, env = "GIT_PACK_MEGABYTES", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pub git_pack_megabytes: u64,

    /// Seconds that one visit of a repository may take.
    #[arg(long, env = "GIT_VISIT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub git_visit_seconds: u64,

    /// Hosts that artifacts of Flux are downloaded from, separated by commas.
    #[arg(
        long,
        env = "FLUX_ARTIFACT_HOSTS",
        value_delimiter = ',',
        default_value = "source-controller.flux-system.svc.cluster.local"
    )]
    pub flux_artifact_hosts: Vec<String>,
}

impl SourceArgs {
    /// Opens the folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn settings(&self) -> Result<SourceSettings, remote_files::Error> {
        let git = GitSettings {
            policy: AddressPolicy {
                allowed: self.git_allowed_networks.clone(),
                denied: self.git_denied_networks.clone(),
            },
            budget: Budget {
                pack_bytes: self.git_pack_megabytes << 20,
                time: Duration::from_secs(self.git_visit_seconds),
                ..Budget::default()
            },
            store: Store::open(&self.source_cache_folder, self.source_cache_megabytes << 20)?,
        };
        let flux =
            FluxSettings { hosts: self.flux_artifact_hosts.clone(), budget: archive::Budget::default() };
        Ok(SourceSettings { git, flux })
    }
}
