//! `delete`: a backup and everything in its folder.

use backup_format::{DeleteReport, Failure};

use crate::args::DeleteArgs;
use crate::storage;

/// Deletes it. That there is nothing to delete is a success.
pub async fn run(args: &DeleteArgs) -> Result<DeleteReport, Failure> {
    let (id, storage) = storage::open(&args.storage)?;
    let deleted_objects = storage.delete_backup(&id).await?;
    Ok(DeleteReport { backup_id: id, deleted_objects })
}
