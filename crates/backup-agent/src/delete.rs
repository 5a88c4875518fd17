//! `delete`: a backup and everything in its folder; a base backup also with the WAL that no other one needs.

use backup_format::{DeleteReport, Failure, PhysicalId};

use crate::args::DeleteArgs;
use crate::storage;
use crate::storage::base::BaseStorage;

/// Deletes it. That there is nothing to delete is a success.
pub async fn run(args: &DeleteArgs) -> Result<DeleteReport, Failure> {
    if args.storage.backup_id.parse::<PhysicalId>().is_ok() {
        let storage = BaseStorage::open(&args.storage)?;
        let deleted_objects = storage.delete_base(args.server_is_gone).await?;
        return Ok(DeleteReport { backup_id: storage.id().clone().into(), deleted_objects });
    }
    let (id, storage) = storage::open(&args.storage)?;
    let deleted_objects = storage.delete_backup(&id).await?;
    Ok(DeleteReport { backup_id: id, deleted_objects })
}
