//! Where documents come from: one file per kind of source, and one line in [`Sources::of`].
//!
//! A source that answers at once is read inside the pass. One that takes long is read by tasks of its own, which ask for a pass
//! when there is something new: [`git`] for repositories that are looked at again and again, [`flux`] for artifacts.

pub mod config_map;
pub mod flux;
pub mod git;
pub mod inline;
mod reason;

use std::sync::Arc;

use api_types::WorkflowProcess;
use api_types::process::ProcessReason;
use controller_kit::builder::ControllerBuilder;
use controller_kit::problem::Problem;
use futures::future::BoxFuture;
use kube::Client;

use crate::kind::Processes;
use config_map::ConfigMapKey;
use flux::{FluxFile, FluxSettings};
use git::{GitFile, GitSettings};
use inline::Inline;

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    /// The document as it is there.
    Document {
        /// Its bytes.
        bytes: Arc<[u8]>,
        /// The commit or the artifact that it is from, if it is from one.
        revision: Option<String>,
    },
    /// What the spec names does not exist.
    Missing(String),
    /// It could not be read.
    Unread(Problem<ProcessReason>),
    /// It is on its way; a pass follows when it is there.
    Pending,
}

impl Fetched {
    /// A document that has no revision.
    #[must_use]
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self::Document { bytes: bytes.into(), revision: None }
    }
}

/// What is known of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The newest document that could be read, or why there is none.
    pub latest: Fetched,
    /// Why the newest state of the source could not be read. What was read before stays.
    pub failure: Option<ReadFailure>,
}

/// Why the newest state of a source could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFailure {
    /// What is wrong.
    pub problem: Problem<ProcessReason>,
    /// The commit or artifact that was tried, if it is known.
    pub revision: Option<String>,
}

impl From<Fetched> for Reading {
    fn from(latest: Fetched) -> Self {
        Self { latest, failure: None }
    }
}

/// One kind of source.
pub trait Source: Send + Sync {
    /// Does the spec name this one?
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool;

    /// Reads it, or tells what its own tasks have read.
    fn read<'a>(&'a self, client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Reading>;

    /// The object goes, or its spec names another source.
    fn forget(&self, _uid: &str) {}

    /// Forgets every object but these.
    fn retain(&self, _processes: &[Arc<WorkflowProcess>]) {}

    /// Watches what the documents of this source depend on.
    fn watch(&self, _controller: &mut ControllerBuilder<'_, Processes>) {}
}

/// What an installation allows sources to do.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Of git.
    pub git: GitSettings,
    /// Of Flux.
    pub flux: FluxSettings,
}

/// Every kind of source that is acted on. Cheap to clone.
#[derive(Clone)]
pub struct Sources(Arc<[Arc<dyn Source>]>);

impl Sources {
    /// All that there are.
    #[must_use]
    pub fn of(git: GitFile, flux: FluxFile) -> Self {
        Self(Arc::new([Arc::new(Inline), Arc::new(ConfigMapKey), Arc::new(git), Arc::new(flux)]))
    }

    /// The source that the spec names.
    #[must_use]
    pub fn named_by(&self, process: &WorkflowProcess) -> Option<&Arc<dyn Source>> {
        self.0.iter().find(|source| source.is_named_by(&process.spec.source))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Source>> {
        self.0.iter()
    }
}
