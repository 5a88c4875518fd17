//! The `Backup` of CloudNativePG, as it says of itself. It is read by name: a kind that may not exist cannot be watched.

use api_types::WorkflowBackup;
use api_types::backup::{BackupMethod, BackupReason};
use backup_format::PhysicalId;
use controller_kit::optional_kind::{Reading, read};
use controller_kit::plan::is_controlled_by;
use controller_kit::problem::Problem;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::{Resource as _, ResourceExt as _};
use serde::Deserialize;

use super::{is_complete, unread};
use crate::children::base_backup::{Backup, name};
use crate::context::Context;

/// What one pass sees.
#[derive(Clone, Debug, PartialEq)]
pub enum BaseView {
    /// CloudNativePG is not installed.
    KindMissing,
    /// There is none.
    Absent,
    /// One of that name is somebody else's: `Kind namespace/name`.
    Foreign(String),
    /// It is there.
    Known {
        /// When it was made.
        made: Option<Timestamp>,
        /// How far it is.
        state: BaseState,
    },
}

/// How far a base backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseState {
    /// It is being made.
    Going,
    /// It waits for the archive of the WAL, which does not work.
    ArchiveFails,
    /// CloudNativePG says that it is complete; its id, if that is one.
    Completed(Option<PhysicalId>),
    /// CloudNativePG gave it up; what it says of the cause.
    Failed(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    backup_id: String,
    error: String,
}

/// Reads it for a backup by CloudNativePG that was begun and is not complete.
pub async fn observe_base_backup(
    context: &Context,
    backup: &WorkflowBackup,
) -> Result<Option<BaseView>, Problem<BackupReason>> {
    let Some(server) = server_of(backup).filter(|_| !is_complete(backup)) else { return Ok(None) };
    let (namespace, name) = (backup.namespace().unwrap_or_default(), name(backup));
    let resource = ApiResource::erase::<Backup>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let object = format!("Backup {namespace}/{name}");
    Ok(Some(match read(&api, &name).await {
        Ok(Reading::Found(found)) if !is_controlled_by(found.meta(), &backup.uid().unwrap_or_default()) => {
            BaseView::Foreign(object)
        }
        Ok(Reading::Found(found)) => BaseView::Known {
            made: found.creation_timestamp().map(|time| time.0),
            state: judge(&found, &server),
        },
        Ok(Reading::Absent) => BaseView::Absent,
        Ok(Reading::KindMissing) => BaseView::KindMissing,
        Err(error) => return Err(unread(&object, &error)),
    }))
}

/// The name under which the Postgres archives, recorded when the backup was begun.
fn server_of(backup: &WorkflowBackup) -> Option<String> {
    let artefact = backup.status.as_ref()?.artefact.as_ref()?;
    if artefact.method == BackupMethod::CloudNativePg { artefact.server_name.clone() } else { None }
}

fn judge(found: &DynamicObject, server: &str) -> BaseState {
    let status = found.data.get("status").cloned().unwrap_or_default();
    let status: Status = serde_json::from_value(status).unwrap_or_default();
    match status.phase.as_str() {
        "completed" => BaseState::Completed(PhysicalId::new(server, &status.backup_id)),
        "failed" | "invalid backup definition" => BaseState::Failed(plain_text::one_line(&status.error, 300)),
        "walArchivingFailing" => BaseState::ArchiveFails,
        _ => BaseState::Going,
    }
}
