//! `verify`: reads a backup as a restore would, without a database.

use backup_format::{BackupId, Failure, Manifest, Reason, VerifyReport};

use crate::args::VerifyArgs;
use crate::artefact::{self, OnEarlyEnd};
use crate::copied;
use crate::dump::ScriptReader;
use crate::programs::{Programs, check_pg_restore};
use crate::seal::Identity;
use crate::storage::{self, Storage};

/// Checks sizes and SHA-256; then, unless the backup is encrypted and no key is given, decrypts it and counts the rows that
/// pg_restore would load.
pub async fn run(args: &VerifyArgs, programs: &Programs) -> Result<VerifyReport, Failure> {
    let (id, storage) = storage::open(&args.storage)?;
    let identity = args.identity_file.as_deref().map(Identity::read).transpose()?;
    let manifest = artefact::observe_manifest(&storage, &id).await?;
    let rows_counted = if manifest.encryption.is_some() && identity.is_none() {
        artefact::check_data(&storage, &manifest).await?;
        false
    } else {
        artefact::check_identity(&manifest, identity.as_ref())?;
        count_rows(&storage, &id, &manifest, identity.as_ref(), programs).await?;
        true
    };
    Ok(VerifyReport {
        backup_id: id,
        size_bytes: manifest.parts.iter().map(|part| part.size).sum(),
        digest: manifest.digest,
        rows_counted,
    })
}

async fn count_rows(
    storage: &Storage,
    id: &BackupId,
    manifest: &Manifest,
    identity: Option<&Identity>,
    programs: &Programs,
) -> Result<(), Failure> {
    check_pg_restore(programs, manifest).await?;
    let mut script = ScriptReader::start(programs)?;
    let Some(input) = script.input.take() else {
        return Err(Failure::new(Reason::InternalError, "pg_restore has no input"));
    };
    let reading = artefact::read_data(storage, manifest, identity, input, OnEarlyEnd::ReadOn);
    let (read, counts) = tokio::join!(reading, script.count_rows());
    read?;
    match copied::difference(&manifest.rows, &counts?) {
        None => Ok(()),
        Some(how) => Err(Failure::new(
            Reason::RowsDiffer,
            format!("backup {id} has not the rows of its manifest: {how}"),
        )),
    }
}
