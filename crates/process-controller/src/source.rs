//! Where documents come from: one file per kind of source, and one line in [`SOURCES`].
//!
//! A source that answers at once is read inside the pass. One that takes long is fetched by a task of its own
//! ([`fetches`]), which asks for a pass when it is done.

pub mod config_map;
pub mod fetches;
pub mod inline;

use api_types::WorkflowProcess;
use api_types::process::ProcessReason;
use controller_kit::builder::ControllerBuilder;
use controller_kit::problem::Problem;
use futures::future::BoxFuture;
use kube::Client;

use crate::kind::Processes;
use config_map::ConfigMapKey;
use inline::Inline;

/// Every kind of source that is acted on.
pub const SOURCES: &[&dyn Source] = &[&Inline, &ConfigMapKey];

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Fetched {
    /// The document as it is there.
    Bytes(Vec<u8>),
    /// What the spec names does not exist.
    Missing(String),
    /// It could not be read.
    Unread(Problem<ProcessReason>),
    /// It is on its way; a pass follows when it is there.
    Pending,
}

/// One kind of source.
pub trait Source: Send + Sync {
    /// Does the spec name this one?
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool;

    /// Reads it.
    fn fetch<'a>(&'a self, client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Fetched>;

    /// Does it take long?
    fn is_slow(&self) -> bool {
        false
    }

    /// Watches what the documents of this source depend on.
    fn watch(&self, _controller: &mut ControllerBuilder<'_, Processes>) {}
}

/// The source that the spec names, if it is one that is acted on.
#[must_use]
pub fn source_of<'s>(
    sources: &'s [&'static dyn Source],
    process: &WorkflowProcess,
) -> Option<&'s dyn Source> {
    sources.iter().copied().find(|source| source.is_named_by(&process.spec.source)).map(|source| source as _)
}
