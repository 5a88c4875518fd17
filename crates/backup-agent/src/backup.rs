//! `backup`: one state of the database, with the proof that all of it is there.

use std::time::Duration;

use backup_format::{
    BackupId, BackupReport, FORMAT, Failure, Manifest, Part, Reason, new_part_name, overall_digest,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::args::BackupArgs;
use crate::artefact;
use crate::clock;
use crate::copied;
use crate::database::{ClientAccess, Login};
use crate::dump::{Dumped, dump};
use crate::programs::{Programs, major};
use crate::reading::apply_reading;
use crate::seal::{Recipient, Sealer};
use crate::snapshot::{Contents, Snapshot, Source, observe_source};
use crate::storage::{self, Storage, Upload};

/// The longest owner, in characters: it must fit into reports.
const MAX_OWNER_CHARS: usize = 300;

/// Writes the backup, or reports the one that is there already. `stop` ends it early, without leaving anything.
pub async fn run(
    args: &BackupArgs,
    programs: &Programs,
    stop: &CancellationToken,
) -> Result<BackupReport, Failure> {
    let (id, storage) = storage::open(&args.storage)?;
    check_owner(&args.owner, "--owner")?;
    let recipient = args.recipient_file.as_deref().map(Recipient::read).transpose()?;
    if let Some(report) = observe_existing(&storage, &id, &args.owner).await? {
        return Ok(report);
    }
    storage.check(&id).await?;
    let backup = Backup { args, programs, id, storage, recipient };
    backup.write(stop).await
}

/// Identities are in reports and messages, so they are short and have no control characters.
pub fn check_owner(owner: &str, flag: &str) -> Result<(), Failure> {
    let fits =
        (1..=MAX_OWNER_CHARS).contains(&owner.chars().count()) && owner.chars().all(plain_text::is_printable);
    if fits {
        return Ok(());
    }
    Err(Failure::new(
        Reason::InternalError,
        format!(
            "{flag} must be 1 to {MAX_OWNER_CHARS} printable characters: <installation>/<namespace>/<name>"
        ),
    ))
}

/// The report of a backup of this id. A pod that was started again after its backup was complete reports it once more.
async fn observe_existing(
    storage: &Storage,
    id: &BackupId,
    owner: &str,
) -> Result<Option<BackupReport>, Failure> {
    if storage.observe_manifest(id).await?.is_none() {
        return Ok(None);
    }
    let manifest = artefact::observe_manifest(storage, id).await?;
    if manifest.owner != owner {
        return Err(Failure::new(
            Reason::BackupIdTaken,
            format!(
                "{} is a backup of '{}': choose another backup id or destination",
                storage.location(id),
                plain_text::one_line(&manifest.owner, MAX_OWNER_CHARS)
            ),
        ));
    }
    Ok(Some(report(&manifest, storage, true)))
}

fn report(manifest: &Manifest, storage: &Storage, existed: bool) -> BackupReport {
    BackupReport {
        backup_id: manifest.backup_id.clone(),
        location: storage.location(&manifest.backup_id),
        size_bytes: manifest.parts.iter().map(|part| part.size).sum(),
        started_at: manifest.started_at,
        snapshot_at: manifest.snapshot_at,
        completed_at: manifest.completed_at,
        engine_version: manifest.engine_version.clone(),
        schema_version: manifest.schema_version,
        digest: manifest.digest.clone(),
        totals: manifest.totals,
        encrypted: manifest.encryption.is_some(),
        existed,
    }
}

struct Backup<'a> {
    args: &'a BackupArgs,
    programs: &'a Programs,
    id: BackupId,
    storage: Storage,
    recipient: Option<Recipient>,
}

/// What was read from the database and written to the storage in the same snapshot.
struct Captured {
    snapshot_at: jiff::Timestamp,
    contents: Contents,
    dumped: Dumped,
}

impl Backup<'_> {
    async fn write(&self, stop: &CancellationToken) -> Result<BackupReport, Failure> {
        let started_at = clock::now();
        let login = Login::read(&self.args.database)?;
        let mut connection = login.connect("backup").await?;
        let source = observe_source(&mut connection).await?;
        let pg_dump_version = self.programs.version("pg_dump").await?;
        check_pg_dump(&pg_dump_version, &source.server_version)?;
        apply_reading(&mut connection).await?;
        let access = login.open_client_access()?;

        let attempt = Uuid::new_v4().simple().to_string();
        let part = new_part_name(&attempt[..8], self.recipient.is_some());
        let mut upload = self.storage.begin_upload(&self.id, &part, source.table_bytes).await?;
        let captured = tokio::select! {
            captured = self.capture(connection, &access, &mut upload) => captured,
            () = stop.cancelled() => Err(Failure::new(
                Reason::TimedOut,
                "asked to end before the backup was complete: nothing of it is left",
            )),
        };
        let captured = match captured {
            Ok(captured) => captured,
            Err(failure) => {
                upload.abort().await;
                return Err(failure);
            }
        };
        if let Some(how) = copied::difference(&captured.contents.rows, &captured.dumped.counts) {
            upload.abort().await;
            return Err(Failure::new(
                Reason::RowsDiffer,
                format!("the dump has not the rows of the database: {how}"),
            ));
        }
        upload.finish().await?;
        let manifest = self.plan_manifest(started_at, source, pg_dump_version, part, captured);
        self.publish(&manifest).await
    }

    /// Everything that needs the snapshot, which is held no longer than allowed.
    async fn capture(
        &self,
        connection: sqlx::PgConnection,
        access: &ClientAccess,
        upload: &mut Upload,
    ) -> Result<Captured, Failure> {
        let mut snapshot = Snapshot::open(connection).await?;
        let snapshot_at = snapshot.at;
        tracing::info!(at = %snapshot_at, "took the snapshot");
        let id = snapshot.id.clone();
        let sealer = Sealer::new(self.recipient.as_ref())?;
        let working = async {
            let dumping = dump(self.programs, access, &id, sealer, upload);
            let (contents, dumped) = tokio::try_join!(snapshot.observe_contents(), dumping)?;
            Ok(Captured { snapshot_at, contents, dumped })
        };
        match tokio::time::timeout(Duration::from_secs(self.args.max_seconds), working).await {
            Ok(captured) => captured,
            Err(_) => Err(Failure::new(
                Reason::SnapshotTooLong,
                format!(
                    "the backup held its snapshot for {} s and was ended, since the database removes no dead rows meanwhile: allow it more time, make backups when the engine does less, or give the storage a faster line",
                    self.args.max_seconds
                ),
            )),
        }
    }

    fn plan_manifest(
        &self,
        started_at: jiff::Timestamp,
        source: Source,
        pg_dump_version: String,
        part: String,
        captured: Captured,
    ) -> Manifest {
        let Captured { snapshot_at, contents, dumped } = captured;
        Manifest {
            format: FORMAT,
            backup_id: self.id.clone(),
            owner: self.args.owner.clone(),
            started_at,
            snapshot_at,
            completed_at: clock::now(),
            engine_version: self.args.engine_version.clone(),
            recorded_engine_version: source.recorded_engine_version,
            schema_version: source.schema_version,
            server_version: source.server_version,
            pg_dump_version,
            totals: contents.totals,
            key_block: contents.key_block,
            parts: vec![Part { name: part, size: dumped.size, sha256: dumped.sha256 }],
            encryption: self.recipient.as_ref().map(Recipient::encryption),
            digest: overall_digest(&contents.rows),
            rows: contents.rows,
        }
    }

    async fn publish(&self, manifest: &Manifest) -> Result<BackupReport, Failure> {
        let json = manifest
            .to_json()
            .map_err(|_| Failure::new(Reason::InternalError, "the manifest cannot be written as JSON"))?;
        if self.storage.apply_manifest(&self.id, json).await? {
            return Ok(report(manifest, &self.storage, false));
        }
        // Another pod was faster: its backup counts, and ours has no manifest.
        for part in &manifest.parts {
            self.storage.delete_object(&self.id, &part.name).await?;
        }
        let existing = observe_existing(&self.storage, &self.id, &self.args.owner).await?;
        existing.ok_or_else(|| {
            Failure::new(
                Reason::DestinationUnreachable,
                "another manifest was written meanwhile and is gone again: try again",
            )
        })
    }
}

fn check_pg_dump(pg_dump: &str, server: &str) -> Result<(), Failure> {
    match (major(pg_dump), major(server)) {
        (Some(own), Some(theirs)) if own >= theirs => Ok(()),
        _ => Err(Failure::new(
            Reason::PgDumpTooOld,
            format!(
                "the database server has version {server}, and this agent's pg_dump {pg_dump} reads servers up to its own major version: use an agent image with PostgreSQL {}",
                major(server).unwrap_or_default()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("15.13", "15.4", true)]
    #[case("17.2", "15.13 (Debian 15.13-0+deb12u1)", true)]
    #[case("15.13", "16.0", false)]
    #[case("15.13", "19devel", false)]
    fn pg_dump_reads_servers_that_are_not_newer(
        #[case] pg_dump: &str,
        #[case] server: &str,
        #[case] fits: bool,
    ) {
        let checked = check_pg_dump(pg_dump, server);
        assert_eq!(checked.is_ok(), fits);
        if let Err(failure) = checked {
            assert_eq!(failure.reason, Reason::PgDumpTooOld);
        }
    }

    #[rstest]
    #[case("uid/prod/orders", true)]
    #[case("", false)]
    #[case("a\nb", false)]
    fn owners_are_short_and_printable(#[case] owner: &str, #[case] fits: bool) {
        assert_eq!(check_owner(owner, "--owner").is_ok(), fits);
        assert!(check_owner(&"ß".repeat(300), "--owner").is_ok());
        assert!(check_owner(&"ß".repeat(301), "--owner").is_err());
    }
}
