//! What a new version changes against the one before it, and how many running instances wait at what it removes.
//!
//! The pass that deploys a version notes in the status that it is to be compared; the next one compares it, once. So nothing is lost when
//! a controller ends in between, and a version that was there before this was built is not compared.

use api_types::WorkflowProcess;
use api_types::process::SourceChange;
use bpmn::Changes;
use engine_access::engine::owner_of;
use engine_client::model::{DefinitionFilter, ManagedDefinition, WaitingInstances};
use engine_client::{Engine, EngineError, ErrorClass};

use crate::document::Document;

/// Ids that the status shows of each list.
const SHOWN: usize = 50;
/// Elements that the engine is asked about; it takes no more.
const ASKED: usize = 1_000;

/// The comparison that the status asks for, if this is its version.
#[must_use]
pub fn awaited_change(process: &WorkflowProcess, version: u32) -> Option<&SourceChange> {
    let change = process.status.as_ref()?.source_change.as_ref()?;
    let is_this = u32::try_from(change.to_version).ok() == Some(version);
    (is_this && change.compared_at.is_none()).then_some(change)
}

/// Compares the deployed document with the version before it. `None`: it could not be done now, and is done by a later pass.
pub async fn observe_change(
    engine: &dyn Engine,
    tenant_id: &str,
    process: &WorkflowProcess,
    latest: &ManagedDefinition,
    document: &Document,
) -> Option<SourceChange> {
    let awaited = awaited_change(process, latest.definition.version)?;
    let compared = compare(engine, tenant_id, process, awaited, document).await;
    let process_id = &latest.definition.process_id;
    let counted = match &compared {
        Ok(Some(changes)) => count(engine, tenant_id, process_id, &changes.removed_nodes).await,
        Ok(None) => Ok(None),
        Err(error) => Err(error.clone()),
    };
    match (compared, counted) {
        (Ok(changes), Ok(waiting)) => Some(build_change(awaited, &changes.unwrap_or_default(), waiting)),
        // It will never tell.
        (Err(error), _) | (_, Err(error)) if *error.class() == ErrorClass::Unsupported => {
            Some(build_change(awaited, &Changes::default(), None))
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(%error, "the versions are compared later");
            None
        }
    }
}

/// `None`: the former version is gone, or no document for this version of the linter.
async fn compare(
    engine: &dyn Engine,
    tenant_id: &str,
    process: &WorkflowProcess,
    awaited: &SourceChange,
    document: &Document,
) -> Result<Option<Changes>, EngineError> {
    let filter = DefinitionFilter { latest_only: false, owner_id: Some(owner_of(process).id) };
    let versions = engine.list_process_definitions(tenant_id, &filter).await?;
    let is_former = |version: u32| u32::try_from(awaited.from_version).ok() == Some(version);
    let process_id = document.report.deployable_process();
    let former = versions
        .iter()
        .find(|found| Some(found.process_id.as_str()) == process_id && is_former(found.version));
    let Some(former) = former else { return Ok(None) };
    let Some(former) = engine.get_process_document(tenant_id, former.key).await? else { return Ok(None) };
    let bytes = document.bytes.clone();
    let compared = tokio::task::spawn_blocking(move || {
        Some(bpmn::compare(&bpmn::parse(&former.content).ok()?, &bpmn::parse(&bytes).ok()?))
    });
    Ok(compared.await.ok().flatten())
}

async fn count(
    engine: &dyn Engine,
    tenant_id: &str,
    process_id: &str,
    removed: &[String],
) -> Result<Option<WaitingInstances>, EngineError> {
    if removed.is_empty() {
        return Ok(Some(WaitingInstances::default()));
    }
    let asked = &removed[..removed.len().min(ASKED)];
    let waiting = engine.count_waiting_instances(tenant_id, process_id, asked).await?;
    let is_at_least = waiting.is_at_least || asked.len() < removed.len();
    Ok(Some(WaitingInstances { is_at_least, ..waiting }))
}

fn build_change(
    awaited: &SourceChange,
    changes: &Changes,
    waiting: Option<WaitingInstances>,
) -> SourceChange {
    let lists = [&changes.added, &changes.removed, &changes.changed];
    let omitted: usize = lists.iter().map(|list| list.len().saturating_sub(SHOWN)).sum();
    let shown = |list: &[String]| list.iter().take(SHOWN).cloned().collect();
    SourceChange {
        from_version: awaited.from_version,
        to_version: awaited.to_version,
        added: shown(&changes.added),
        removed: shown(&changes.removed),
        changed: shown(&changes.changed),
        omitted: i64::try_from(omitted).ok().filter(|omitted| *omitted > 0),
        waiting_instances: waiting
            .as_ref()
            .map(|waiting| i64::try_from(waiting.instances).unwrap_or(i64::MAX)),
        waiting_instances_are_more: waiting.filter(|waiting| waiting.is_at_least).map(|_| true),
        // The status has the time.
        compared_at: None,
    }
}

#[cfg(test)]
mod tests;
