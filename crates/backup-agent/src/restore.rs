//! `restore`: a backup into an empty database.
//!
//! Everything that can be refused is refused before the first write. Then: the note that a restore was begun, the data in
//! one transaction, the comparison with the manifest, and one last transaction that makes the database the new owner's and
//! says so in `workflow.restored`. Until that row is there, no engine may start. A restore that was interrupted is run
//! again: it removes what the first one loaded.

mod contents;
mod finish;
mod load;
mod target;

use std::time::Instant;

use backup_format::{BackupId, Failure, Manifest, Reason, RestoreReport, difference};
use engine_api::version_policy::{self, Verdict};
use semver::Version;
use sqlx::PgConnection;

use crate::args::RestoreArgs;
use crate::artefact;
use crate::backup::check_owner;
use crate::census::{observe_rows, observe_tables};
use crate::database::Login;
use crate::programs::Programs;
use crate::reading::apply_reading;
use crate::seal::Identity;
use crate::storage::{self, Storage};
pub(crate) use finish::{Recovered, apply_finish};
use target::Target;
pub(crate) use target::{lock, observe_restored};

/// What is restored, from where.
pub struct Source<'a> {
    /// Where the backup is.
    pub storage: &'a Storage,
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// The key, if it needs one.
    pub identity: Option<&'a Identity>,
}

/// Restores the backup, or reports the restore that is complete already.
pub async fn run(args: &RestoreArgs, programs: &Programs) -> Result<RestoreReport, Failure> {
    let (id, storage) = storage::open(&args.storage)?;
    check_owner(&args.target.new_owner, "--new-owner")?;
    let identity = args.identity_file.as_deref().map(Identity::read).transpose()?;
    let manifest = artefact::observe_manifest(&storage, &id).await?;
    check_fits(args, &id, &manifest)?;
    artefact::check_identity(&manifest, identity.as_ref())?;
    let login = Login::read(&args.database)?;
    let source = Source { storage: &storage, manifest: &manifest, identity: identity.as_ref() };
    restore_into(&login, &source, &args.target.new_owner, programs).await
}

/// Restores into the database of a login. What the arguments of a command ask for was checked before.
pub async fn restore_into(
    login: &Login,
    source: &Source<'_>,
    new_owner: &str,
    programs: &Programs,
) -> Result<RestoreReport, Failure> {
    let began = Instant::now();
    let mut connection = login.connect("restore").await?;
    lock(&mut connection).await?;
    // Before the long read: a database that is not empty is the more likely mistake.
    let found = target::observe(&mut connection, source.manifest).await?;
    if let Target::Restored(report) = found {
        return Ok(*report);
    }
    let entries = contents::list(source, programs).await?;
    target::apply_begin(&mut connection, source.manifest, &found).await?;
    load::load(login, source, &entries, programs).await?;
    compare(&mut connection, source.manifest).await?;
    let report = apply_finish(&mut connection, source.manifest.into(), new_owner, began).await?;
    tracing::info!(backup = %report.backup_id, seconds = report.seconds, "restored");
    Ok(report)
}

/// Reads every row that was loaded and compares it with the manifest.
async fn compare(connection: &mut PgConnection, manifest: &Manifest) -> Result<(), Failure> {
    apply_reading(connection).await?;
    let tables = observe_tables(connection).await?;
    let rows = observe_rows(connection, &tables).await?;
    match difference(&manifest.rows, &rows) {
        None => Ok(()),
        Some(how) => {
            Err(Failure::new(Reason::RowsDiffer, format!("what was loaded is not what was backed up: {how}")))
        }
    }
}

/// What can be refused by the manifest alone.
fn check_fits(args: &RestoreArgs, id: &BackupId, manifest: &Manifest) -> Result<(), Failure> {
    if let Some(expected) = args.expected_digest.as_ref().filter(|expected| **expected != manifest.digest) {
        return Err(Failure::new(
            Reason::ArtefactAltered,
            format!(
                "backup {id} has the digest {}, expected {expected}: it is not the one that was made",
                manifest.digest
            ),
        ));
    }
    let versions = [Some(&manifest.engine_version), manifest.recorded_engine_version.as_ref()];
    for version in versions.into_iter().flatten() {
        check_version(id.as_str(), version, &args.target.engine_version)?;
    }
    check_schema(
        id.as_str(),
        manifest.schema_version,
        args.target.max_schema_version,
        &args.target.engine_version,
    )
}

pub(crate) fn check_schema(id: &str, schema: i64, newest: i64, engine: &str) -> Result<(), Failure> {
    if schema <= newest {
        return Ok(());
    }
    Err(Failure::new(
        Reason::SchemaUnsupported,
        format!(
            "backup {id} has schema {schema}, and the engine {engine} knows schemas up to {newest}: restore with a newer engine version"
        ),
    ))
}

/// The engine's own migration follows the same policy after the restore, so it would refuse the same.
pub(crate) fn check_version(id: &str, from: &str, to: &str) -> Result<(), Failure> {
    let unsupported = |why: &str| Failure::new(Reason::VersionUnsupported, format!("backup {id}: {why}"));
    let parse = |text: &str| {
        Version::parse(text).map_err(|_| {
            unsupported(&format!("the engine version '{}' is none", plain_text::one_line(text, 60)))
        })
    };
    let (from, to) = (parse(from)?, parse(to)?);
    match version_policy::judge(&from, &to) {
        Verdict::Same | Verdict::Compatible => Ok(()),
        Verdict::Downgrade => Err(unsupported(&format!(
            "it is of engine {from}, which is newer than {to}: restore with {from} or newer"
        ))),
        verdict => Err(unsupported(&format!(
            "it is of engine {from} and cannot become {to} at once, because {}: restore with {from}, then upgrade",
            verdict.explanation()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::same("1.3.0", "1.3.0", None)]
    #[case::patch("1.3.0", "1.3.9", None)]
    #[case::minor("1.3.0", "1.4.0", None)]
    #[case::older_target("1.3.0", "1.2.9", Some("restore with 1.3.0 or newer"))]
    #[case::two_minors("1.3.0", "1.5.0", Some("restore with 1.3.0, then upgrade"))]
    #[case::major("1.3.0", "2.0.0", Some("restore with 1.3.0, then upgrade"))]
    #[case::two_majors("1.3.0", "3.0.0", Some("restore with 1.3.0, then upgrade"))]
    #[case::prerelease("1.3.0", "1.4.0-rc.1", Some("pre-releases"))]
    #[case::no_version("latest", "1.4.0", Some("is none"))]
    fn versions(#[case] from: &str, #[case] to: &str, #[case] refused: Option<&str>) {
        match (check_version("b1", from, to), refused) {
            (Ok(()), None) => {}
            (Err(failure), Some(words)) => {
                assert_eq!(failure.reason, Reason::VersionUnsupported);
                assert!(failure.message.contains(words), "{}", failure.message);
            }
            (result, _) => panic!("{result:?}"),
        }
    }
}
