//! The events of a process. Pure.

use api_types::WorkflowProcess;
use api_types::process::ProcessReason as Reason;
use api_types::process::{ProcessReason, WorkflowProcessStatus};
use api_types::reason::Reason as _;
use api_types::reference::DeletionPolicy;
use controller_kit::events::{Event, EventType};
use controller_kit::status::event_of_ready;
use engine_access::reference::Unasked;
use engine_client::model::{DeployOutcome, DeployResult, ProcessDeletion};

use super::Assessment;
use super::fields::is_wait;
use crate::cleanup::is_forced;
use crate::execute::Results;
use crate::observe::{EngineView, Observed};

/// The events of a pass. Another reason for the same wait is none.
#[must_use]
pub fn build_events(
    process: &WorkflowProcess,
    former: &WorkflowProcessStatus,
    status: &WorkflowProcessStatus,
    assessment: &Assessment,
) -> Vec<Event> {
    let facts = &assessment.facts;
    let mut events: Vec<Event> = event_of_ready::<ProcessReason>(&former.conditions, &status.conditions)
        .into_iter()
        .filter(|_| !(is_wait(former) && is_wait(status)))
        .collect();
    if let Some(DeployResult::Deployed { definition, adopted: true, .. }) = &facts.deployed {
        events.push(Event {
            type_: EventType::Normal,
            reason: Reason::Adopted.as_str().to_owned(),
            note: format!(
                "process {} was in the engine already; this object manages it now, at v{}",
                definition.process_id, definition.version
            ),
        });
    }
    if let Some(DeployResult::Deployed { outcome: DeployOutcome::Created, definition, adopted: false }) =
        &facts.deployed
        && former.ready
        && former.observed_generation == process.metadata.generation
        && former.source_digest == status.source_digest
    {
        events.push(Event {
            type_: EventType::Normal,
            reason: Reason::Redeployed.as_str().to_owned(),
            note: format!("the engine had lost the definition; deployed it again as v{}", definition.version),
        });
    }
    events.extend(build_change_event(assessment));
    events.extend(build_incident_event(former, status, &facts.tenant_id));
    events
}

/// Instances that wait where the new version has nothing.
fn build_change_event(assessment: &Assessment) -> Option<Event> {
    let change = assessment.facts.change.as_ref()?;
    let waiting = change.waiting_instances.filter(|waiting| *waiting > 0)?;
    let at_least = if change.waiting_instances_are_more.is_some() { "at least " } else { "" };
    let removed = change.removed.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    Some(Event {
        type_: EventType::Warning,
        reason: Reason::RemovedElementsInUse.as_str().to_owned(),
        note: format!(
            "v{} has no more {removed}, and {at_least}{waiting} running instances of former versions wait at what was removed; they go on with their own version",
            change.to_version
        ),
    })
}

/// The first open incident is worth an event, however many follow.
fn build_incident_event(
    former: &WorkflowProcessStatus,
    status: &WorkflowProcessStatus,
    tenant: &str,
) -> Option<Event> {
    let open = status.open_incidents.filter(|open| *open > 0)?;
    if former.open_incidents.is_some_and(|open| open > 0) {
        return None;
    }
    let process_id = status.bpmn_process_id.as_deref().unwrap_or_default();
    Some(Event {
        type_: EventType::Warning,
        reason: Reason::IncidentsOpen.as_str().to_owned(),
        note: format!(
            "IncidentsOpen: {open} open. Resolve or cancel (docs/operations.md); list: GET \
             /api/v1/incidents?tenantId={tenant}&bpmnProcessId={process_id}"
        ),
    })
}

/// The event of an object that has just been released, if something of it is left.
#[must_use]
pub fn build_last_events(process: &WorkflowProcess, observed: &Observed, results: &Results) -> Option<Event> {
    let reported = process.status.as_ref().and_then(|status| status.bpmn_process_id.clone());
    let (ids, is_certain) = match &observed.engine {
        EngineView::Holds { process_ids, .. } => (process_ids.join(", "), true),
        _ => (reported.unwrap_or_else(|| "of this object".to_owned()), false),
    };
    let warning = |reason: ProcessReason, note: String| {
        Some(Event {
            type_: EventType::Warning,
            reason: reason.as_str().to_owned(),
            note: format!("{reason}: {note}"),
        })
    };
    if matches!(&observed.engine, EngineView::Unasked(Unasked::ClusterGone)) {
        // Without a deployment there is nothing that could be left.
        return process.status.as_ref().and_then(|status| status.process_definition_key).and_then(|_| {
            warning(Reason::LeftInDatabase, format!(
                "process {ids} may still be in the database of its cluster, which is gone; the same object applied again takes it over"
            ))
        });
    }
    if is_forced(process) && !(is_certain && ids.is_empty()) {
        return warning(Reason::DeletionForced, format!("process {ids} may still be in the engine"));
    }
    let retained = process.spec.deletion_policy() == DeletionPolicy::Retain
        && results.retired.iter().any(|(_, deletion)| matches!(deletion, ProcessDeletion::Retired { .. }));
    retained.then(|| Event {
        type_: EventType::Normal,
        reason: Reason::Retained.as_str().to_owned(),
        note: format!("process {ids} stays in the engine"),
    })
}
