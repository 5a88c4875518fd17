//! The manifest of a backup, format 1.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::BackupId;
use crate::destination::is_part_name;

/// The format that this crate reads and writes.
pub const FORMAT: u32 = 1;

/// Scheme of a backup that is encrypted with age, for one X25519 recipient.
pub const SCHEME_AGE: &str = "age-x25519";

/// What a backup says of itself. It is written last: a backup without a manifest does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Which backup this is.
    pub backup_id: BackupId,
    /// The `WorkflowCluster` whose database it is: `<installation>/<namespace>/<name>`.
    pub owner: String,
    /// When the agent began, by the agent's clock.
    pub started_at: Timestamp,
    /// When the snapshot was taken, by the database's clock: the state that a restore goes back to.
    pub snapshot_at: Timestamp,
    /// When everything but the manifest was written, by the agent's clock.
    pub completed_at: Timestamp,
    /// The engine's version when the backup was asked for.
    pub engine_version: String,
    /// The engine version of the last complete migration, as the database records it. During an upgrade it is the former.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_engine_version: Option<String>,
    /// The newest migration step of the schema.
    pub schema_version: i64,
    /// `server_version` of the database.
    pub server_version: String,
    /// The version of pg_dump.
    pub pg_dump_version: String,
    /// How many there are of what a user knows.
    pub totals: Totals,
    /// The last value of the sequence `workflow.key_block`, read after the snapshot was taken.
    pub key_block: i64,
    /// The objects with the data, beside the manifest.
    pub parts: Vec<Part>,
    /// How the parts are encrypted; none = they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// [`overall_digest`] of `rows`.
    pub digest: String,
    /// Every table, and every tenant in it, in order.
    pub rows: Vec<Rows>,
}

/// How many there are of what a user knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Process definitions, retired ones included.
    pub definitions: u64,
    /// Instances that are active.
    pub active_instances: u64,
    /// Jobs.
    pub jobs: u64,
    /// Jobs that a worker held when the snapshot was taken. After a restore they are given out again.
    pub leased_jobs: u64,
    /// Rows of all tables.
    pub rows: u64,
}

/// One object with data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its name in the folder of the backup.
    pub name: String,
    /// Bytes, as stored.
    pub size: u64,
    /// SHA-256 of the bytes as stored, in hexadecimal.
    pub sha256: String,
}

/// How the parts are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// [`SCHEME_AGE`].
    pub scheme: String,
    /// SHA-256 of the recipient's text (`age1…`), in hexadecimal: which key is needed, without naming it.
    pub recipient_fingerprint: String,
}

/// The rows of one tenant in one table, or of a whole table that has no tenants. A table without rows has one line with
/// no tenant and 0 rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rows {
    /// The table, without the schema.
    pub table: String,
    /// The tenant; none = the whole table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How many rows.
    pub rows: u64,
    /// [`crate::RowDigest::to_hex`].
    pub digest: String,
}

/// Why bytes are no manifest of this backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not the fields of format 1.
    #[error("the manifest cannot be read as JSON of format {FORMAT}")]
    Malformed,
    /// A format that is not known here.
    #[error("the manifest has format {0}, and this agent reads format {FORMAT}")]
    Format(u64),
    /// It contradicts itself.
    #[error("the manifest contradicts itself: {0}")]
    Inconsistent(&'static str),
}

impl Manifest {
    /// Reads a manifest and checks what can be checked without the parts.
    pub fn parse(bytes: &[u8], id: &BackupId) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct OfFormat {
            format: u64,
        }
        // First, because another format may have other fields.
        let OfFormat { format } = serde_json::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
        if format != u64::from(FORMAT) {
            return Err(ManifestError::Format(format));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| ManifestError::Malformed)?;
        if manifest.backup_id != *id {
            return Err(ManifestError::Inconsistent("it is the manifest of another backup id"));
        }
        if manifest.parts.len() != 1 {
            return Err(ManifestError::Inconsistent("format 1 has exactly one part"));
        }
        if !manifest.parts.iter().all(|part| is_part_name(&part.name)) {
            return Err(ManifestError::Inconsistent("a part has a name outside of the backup's folder"));
        }
        if overall_digest(&manifest.rows) != manifest.digest {
            return Err(ManifestError::Inconsistent("its digest is not that of its rows"));
        }
        Ok(manifest)
    }

    /// The manifest as it is stored.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// SHA-256 over the rows' lines in the order of table and tenant, in hexadecimal. Each line is a JSON array
/// `[table, tenant or null, rows, digest]` and ends with a line feed.
#[must_use]
pub fn overall_digest(rows: &[Rows]) -> String {
    let mut sorted: Vec<&Rows> = rows.iter().collect();
    sorted.sort();
    let mut hasher = Sha256::new();
    for Rows { table, tenant, rows, digest } in sorted {
        // An array of strings and a number is always written.
        let line = serde_json::json!([table, tenant, rows, digest]);
        hasher.update(format!("{line}\n"));
    }
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How `found` differs from `expected`, for the first differing table and tenant; none = not at all.
#[must_use]
pub fn difference(expected: &[Rows], found: &[Rows]) -> Option<String> {
    fn by_place(rows: &[Rows]) -> BTreeMap<(&str, Option<&str>), (u64, &str)> {
        // A table that has no rows says the same with its line and without.
        rows.iter()
            .filter(|line| line.rows > 0)
            .map(|line| ((line.table.as_str(), line.tenant.as_deref()), (line.rows, line.digest.as_str())))
            .collect()
    }
    let (expected, found) = (by_place(expected), by_place(found));
    let mut places: Vec<_> = expected.keys().chain(found.keys()).copied().collect();
    places.sort_unstable();
    places.dedup();
    let mut differing = places.into_iter().filter(|place| expected.get(place) != found.get(place));
    let place = differing.next()?;
    let others = differing.count();
    let counted = |rows: Option<&(u64, &str)>| rows.map_or(0, |(count, _)| *count);
    let (wanted, there) = (counted(expected.get(&place)), counted(found.get(&place)));
    let (table, tenant) = place;
    let of_tenant = tenant.map_or(String::new(), |tenant| format!(" of tenant '{tenant}'"));
    let how = if wanted == there {
        format!("has {there} rows as expected, but with other contents")
    } else {
        format!("has {there} rows, expected {wanted}")
    };
    let more = if others == 0 { String::new() } else { format!("; {others} more tables or tenants differ") };
    Some(format!("table {table}{of_tenant} {how}{more}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rows(table: &str, tenant: Option<&str>, rows: u64, digest: &str) -> Rows {
        Rows { table: table.to_owned(), tenant: tenant.map(str::to_owned), rows, digest: digest.to_owned() }
    }

    fn manifest() -> Manifest {
        let lines = vec![
            rows("job", Some("acme"), 2, "00000000000000aa"),
            rows("job", Some("globex"), 1, "00000000000000bb"),
            rows("schema_migration", None, 3, "00000000000000cc"),
        ];
        let at = "2026-11-27T03:00:00Z".parse().expect("is a time");
        Manifest {
            format: FORMAT,
            backup_id: "b1".parse().expect("is an id"),
            owner: "uid/prod/orders".to_owned(),
            started_at: at,
            snapshot_at: at,
            completed_at: at,
            engine_version: "1.3.0".to_owned(),
            recorded_engine_version: Some("1.3.0".to_owned()),
            schema_version: 3,
            server_version: "15.13".to_owned(),
            pg_dump_version: "15.13".to_owned(),
            totals: Totals { definitions: 0, active_instances: 0, jobs: 3, leased_jobs: 1, rows: 6 },
            key_block: 7,
            parts: vec![Part { name: "data-1.pgdump".to_owned(), size: 10, sha256: "ab".to_owned() }],
            encryption: None,
            digest: overall_digest(&lines),
            rows: lines,
        }
    }

    fn parse(json: &serde_json::Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(json.to_string().as_bytes(), &"b1".parse().expect("is an id"))
    }

    fn json() -> serde_json::Value {
        serde_json::from_slice(&manifest().to_json().expect("is written")).expect("is JSON")
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        assert_eq!(parse(&json()), Ok(manifest()));
        let names: Vec<String> = json().as_object().expect("is an object").keys().cloned().collect();
        // The names are the format: no release may change them.
        let expected = "backupId completedAt digest engineVersion format keyBlock owner parts pgDumpVersion \
                        recordedEngineVersion rows schemaVersion serverVersion snapshotAt startedAt totals";
        assert_eq!(names.join(" "), expected);
    }

    #[rstest]
    #[case::newer_format("/format", serde_json::json!(2), ManifestError::Format(2))]
    #[case::other_backup("/backupId", serde_json::json!("b2"), ManifestError::Inconsistent("it is the manifest of another backup id"))]
    #[case::no_id("/backupId", serde_json::json!(".."), ManifestError::Malformed)]
    #[case::no_part("/parts", serde_json::json!([]), ManifestError::Inconsistent("format 1 has exactly one part"))]
    #[case::foreign_part("/parts/0/name", serde_json::json!("../b2/data"), ManifestError::Inconsistent("a part has a name outside of the backup's folder"))]
    #[case::changed_rows("/rows/0/rows", serde_json::json!(3), ManifestError::Inconsistent("its digest is not that of its rows"))]
    fn a_manifest_that_does_not_fit_is_refused(
        #[case] field: &str,
        #[case] value: serde_json::Value,
        #[case] expected: ManifestError,
    ) {
        let mut json = json();
        *json.pointer_mut(field).expect("is a field") = value;
        assert_eq!(parse(&json), Err(expected));
    }

    #[test]
    fn a_manifest_that_was_cut_is_malformed() {
        let whole = manifest().to_json().expect("is written");
        for length in 0..whole.len() {
            let cut = Manifest::parse(&whole[..length], &"b1".parse().expect("is an id"));
            assert_eq!(cut, Err(ManifestError::Malformed), "{length}");
        }
    }

    #[test]
    fn the_overall_digest_depends_on_the_rows_and_not_on_their_order() {
        let mut lines = manifest().rows;
        lines.reverse();
        assert_eq!(overall_digest(&lines), manifest().digest);
        lines[0].tenant = Some(String::new());
        assert_ne!(overall_digest(&lines), manifest().digest);
    }

    #[rstest]
    #[case::same(rows("job", Some("acme"), 2, "aa"), None)]
    #[case::lost(
        rows("job", Some("acme"), 1, "ab"),
        Some("table job of tenant 'acme' has 1 rows, expected 2")
    )]
    #[case::changed(
        rows("job", Some("acme"), 2, "ab"),
        Some("table job of tenant 'acme' has 2 rows as expected, but with other contents")
    )]
    #[case::moved(
        rows("job", Some("globex"), 2, "aa"),
        Some("table job of tenant 'acme' has 0 rows, expected 2; 1 more tables or tenants differ")
    )]
    fn a_difference_names_table_and_tenant(#[case] found: Rows, #[case] expected: Option<&str>) {
        let wanted = [rows("job", Some("acme"), 2, "aa"), rows("process", None, 0, "00")];
        assert_eq!(difference(&wanted, &[found]).as_deref(), expected);
    }
}
