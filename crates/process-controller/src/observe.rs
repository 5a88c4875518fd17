//! All reads. What is absent or cannot be reached is a value.

use std::collections::BTreeSet;
use std::sync::Arc;

use api_types::process::{ProcessReason, SourceChange};
use api_types::{WorkflowCluster, WorkflowProcess, WorkflowWorker};
use controller_kit::pass::is_deleting;
use engine_access::engine::{AccessError, is_callable, owner_of};
use engine_access::reference::{
    Referrer, Refused, Resolved, Unasked, observe_cluster_of_deleted, resolve, tenant_label,
};
use engine_client::model::{DefinitionFilter, DefinitionRef, ManagedDefinition};
use engine_client::{Engine, EngineError, ErrorClass as EngineClass};
use kube::ResourceExt as _;

use crate::change::observe_change;
use crate::context::Context;
use crate::document::{Document, SourceView};
use crate::source::{Fetched, ReadFailure, Reading};
use crate::tenancy::Tenancy;

/// The world as one pass sees it.
#[derive(Debug)]
pub struct Observed {
    /// Cluster and tenant.
    pub references: Result<Resolved, Refused>,
    /// Whose its definitions are.
    pub tenancy: Tenancy,
    /// The BPMN.
    pub source: SourceView,
    /// Why the newest state of the source could not be read.
    pub source_failure: Option<ReadFailure>,
    /// The engine, as far as the rest allows to ask it.
    pub engine: EngineView,
    /// Job types that a WorkflowWorker of the same cluster and tenant serves.
    pub served_job_types: BTreeSet<String>,
    /// Open incidents of the process, as the engine said last; `None` = unknown.
    pub open_incidents: Option<u64>,
    /// What the latest version changes, if the status waits for that.
    pub change: Option<SourceChange>,
}

/// What the engine has of this object.
#[derive(Debug)]
pub enum EngineView {
    /// There was nothing to ask, or nobody.
    NotAsked,
    /// Of an object that is being deleted: nobody could be asked.
    Unasked(Unasked<ProcessReason>),
    /// The cluster is not ready to be asked.
    NotReady(AccessError),
    /// It did not answer, or refused.
    Failed(EngineError),
    /// Its answer, and the connection for the steps that follow.
    Answered {
        /// Whose engine it is.
        cluster: Arc<WorkflowCluster>,
        /// For the execution of the plan.
        engine: Arc<dyn Engine>,
        /// The latest version, if there is any.
        latest: Option<ManagedDefinition>,
        /// Other process ids that this object owns there: its document had them before.
        former_ids: Vec<String>,
    },
    /// Its answer to an object that is being deleted.
    Holds {
        /// Whose engine it is.
        cluster: Arc<WorkflowCluster>,
        /// For the execution of the plan.
        engine: Arc<dyn Engine>,
        /// Every process id that this object owns there.
        process_ids: Vec<String>,
    },
}

impl EngineView {
    /// The engine that answered, and whose it is.
    #[must_use]
    pub fn answering(&self) -> Option<(&WorkflowCluster, &dyn Engine)> {
        match self {
            Self::Answered { cluster, engine, .. } | Self::Holds { cluster, engine, .. } => {
                Some((&**cluster, &**engine))
            }
            Self::NotAsked | Self::Unasked(_) | Self::NotReady(_) | Self::Failed(_) => None,
        }
    }
}

/// Reads everything that the plan depends on beside the source: which process the engine is asked about is in the document.
pub async fn observe(
    context: &Context,
    process: &WorkflowProcess,
    source: SourceView,
    source_failure: Option<ReadFailure>,
) -> Observed {
    let namespace = process.namespace().unwrap_or_default();
    let referrer = Referrer {
        namespace: &namespace,
        cluster: &process.spec.cluster_ref,
        tenant: process.spec.tenant_ref.as_ref(),
    };
    let references = resolve(&*context.directory, &context.cluster_namespace, referrer);
    let tenancy = Tenancy::of(process, tenant_label(&*context.directory, &namespace).as_deref());
    if is_deleting(process) {
        // What was deployed while the grant held is still to be retired, whatever became of its source.
        let engine = observe_holdings(context, process, &namespace, &tenancy).await;
        return Observed {
            references,
            tenancy,
            source: SourceView::NotRead,
            source_failure: None,
            engine,
            served_job_types: BTreeSet::new(),
            open_incidents: None,
            change: None,
        };
    }
    let engine = match (&references, id_to_ask_about(process, &source)) {
        (Ok(Resolved { cluster, .. }), Some(process_id))
            if is_callable(cluster) && tenancy.conflict().is_none() =>
        {
            let asks_for_former_ids = may_have_former_ids(process, &source, &process_id);
            observe_engine(context, process, cluster, &tenancy, process_id, asks_for_former_ids).await
        }
        _ => EngineView::NotAsked,
    };
    let served_job_types =
        references.as_ref().map(|resolved| observe_served(context, resolved)).unwrap_or_default();
    let open_incidents = observe_incidents(context, process, &references, &tenancy);
    let change = match (&engine, &source) {
        (EngineView::Answered { engine, latest: Some(latest), .. }, SourceView::Document(document)) => {
            observe_change(&**engine, tenancy.id(), process, latest, document).await
        }
        _ => None,
    };
    Observed { references, tenancy, source, source_failure, engine, served_job_types, open_incidents, change }
}

/// Of the id that runs, which is the one in the status: a new document may have another.
fn observe_incidents(
    context: &Context,
    process: &WorkflowProcess,
    references: &Result<Resolved, Refused>,
    tenancy: &Tenancy,
) -> Option<u64> {
    let process_id = process.status.as_ref()?.bpmn_process_id.as_ref()?;
    let cluster_uid = references.as_ref().ok()?.cluster.uid()?;
    context.incidents.of(&cluster_uid, tenancy.id(), process_id)
}

/// The id in the document; that of the status while the document cannot be had: does it still run?
fn id_to_ask_about(process: &WorkflowProcess, source: &SourceView) -> Option<String> {
    match source {
        SourceView::Document(Document { report, .. }) => report.deployable_process().map(str::to_owned),
        SourceView::Unread(_) => process.status.as_ref()?.bpmn_process_id.clone(),
        _ => None,
    }
}

/// What the spec's source gives now.
pub async fn observe_source(context: &Context, process: &WorkflowProcess) -> Reading {
    let source = context.sources.named_by(process);
    // The spec may have named another source before.
    context.forget_sources(&process.uid().unwrap_or_default(), source);
    match source {
        Some(source) => source.read(&context.client, process).await,
        None => Fetched::Missing("spec.source names no source that this version reads".to_owned()).into(),
    }
}

/// A document whose id is another one than before, or was another one in between, has a former id. The engine is asked for them
/// whenever the document is not the one of the status, and as long as one is left.
fn may_have_former_ids(process: &WorkflowProcess, source: &SourceView, process_id: &str) -> bool {
    let Some(status) = &process.status else { return false };
    let SourceView::Document(document) = source else { return false };
    status.bpmn_process_id.is_some()
        && (status.bpmn_process_id.as_deref() != Some(process_id)
            || status.source_digest != Some(document.digest_text())
            || !status.retiring.is_empty())
}

async fn observe_engine(
    context: &Context,
    process: &WorkflowProcess,
    cluster: &Arc<WorkflowCluster>,
    tenancy: &Tenancy,
    process_id: String,
    asks_for_former_ids: bool,
) -> EngineView {
    let engine = match context.engines.connect(cluster).await {
        Ok(engine) => engine,
        Err(error) => return EngineView::NotReady(error),
    };
    let mut former_ids = Vec::new();
    if asks_for_former_ids {
        match observe_owned_ids(&*engine, tenancy, process).await {
            Ok(owned) => former_ids.extend(owned.into_iter().filter(|owned| *owned != process_id)),
            Err(error) => return failed(context, cluster, error),
        }
    }
    match engine.get_process_definition(tenancy.id(), &DefinitionRef::LatestOf(process_id)).await {
        Ok(latest) => EngineView::Answered { cluster: cluster.clone(), engine, latest, former_ids },
        Err(error) => failed(context, cluster, error),
    }
}

/// Every process id that this object owns there. The engine knows it best: the status may lack what was deployed last before a
/// controller was killed.
async fn observe_owned_ids(
    engine: &dyn Engine,
    tenancy: &Tenancy,
    process: &WorkflowProcess,
) -> Result<Vec<String>, EngineError> {
    let filter = DefinitionFilter { latest_only: true, owner_id: Some(owner_of(process).id) };
    let held = engine.list_process_definitions(tenancy.id(), &filter).await?;
    Ok(held.into_iter().map(|definition| definition.process_id).collect())
}

/// What a deletion has to retire, whatever became of the source.
async fn observe_holdings(
    context: &Context,
    process: &WorkflowProcess,
    namespace: &str,
    tenancy: &Tenancy,
) -> EngineView {
    let cluster = observe_cluster_of_deleted(
        &context.client,
        &*context.directory,
        &context.cluster_namespace,
        namespace,
        &process.spec.cluster_ref,
    );
    let cluster = match cluster.await {
        Ok(cluster) => cluster,
        Err(unasked) => return EngineView::Unasked(unasked),
    };
    let engine = match context.engines.connect(&cluster).await {
        Ok(engine) => engine,
        Err(error) => return EngineView::NotReady(error),
    };
    match observe_owned_ids(&*engine, tenancy, process).await {
        Ok(process_ids) => EngineView::Holds { cluster, engine, process_ids },
        Err(error) => failed(context, &cluster, error),
    }
}

/// A refused credential or an untrusted certificate may only be outdated.
fn failed(context: &Context, cluster: &WorkflowCluster, error: EngineError) -> EngineView {
    if matches!(error.class(), EngineClass::Denied | EngineClass::Unavailable) {
        context.engines.forget(cluster);
    }
    EngineView::Failed(error)
}

fn observe_served(context: &Context, resolved: &Resolved) -> BTreeSet<String> {
    let leads_here = |worker: &WorkflowWorker| {
        let namespace = worker.namespace().unwrap_or_default();
        let referrer = Referrer {
            namespace: &namespace,
            cluster: &worker.spec.cluster_ref,
            tenant: worker.spec.tenant_ref.as_ref(),
        };
        resolve(&*context.directory, &context.cluster_namespace, referrer).is_ok_and(|found| {
            found.cluster.uid() == resolved.cluster.uid() && found.tenant_id() == resolved.tenant_id()
        })
    };
    (context.workers)()
        .iter()
        .filter(|worker| leads_here(worker))
        .flat_map(|worker| worker.spec.job_types.iter().cloned())
        .collect()
}
