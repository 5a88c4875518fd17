//! `spec.source.bpmn`: the document is part of the object.

use api_types::WorkflowProcess;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use kube::Client;

use super::{Fetched, Reading, Source};

/// The document in the object itself.
pub struct Inline;

impl Source for Inline {
    fn is_named_by(&self, spec: &api_types::process::Source) -> bool {
        spec.bpmn.is_some()
    }

    fn read<'a>(&'a self, _client: &'a Client, process: &'a WorkflowProcess) -> BoxFuture<'a, Reading> {
        let document = process.spec.source.bpmn.clone().unwrap_or_default();
        ready(Fetched::plain(document.into_bytes()).into()).boxed()
    }
}
