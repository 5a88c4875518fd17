//! Where backups are kept, and the names of what a backup consists of.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::BackupId;

/// The object that makes a backup exist. It is written last and deleted first.
pub const MANIFEST_NAME: &str = "manifest.json";

/// Where backups are kept: `s3://bucket/prefix` or `file:///absolute/folder`. Each backup is one folder below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A bucket of an S3 service.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names begin with, without `/` at either end; may be empty.
        prefix: String,
    },
    /// A folder, in a cluster that of a mounted volume.
    Folder(PathBuf),
}

/// Why a text is no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Neither scheme.
    #[error("the destination must be 's3://<bucket>/<prefix>' or 'file:///<absolute folder>'")]
    Scheme,
    /// Not a name of a bucket.
    #[error(
        "the bucket of the destination must be 3 to 63 characters of a-z, 0-9, '.' and '-', and begin and end with a letter or a digit"
    )]
    Bucket,
    /// A part of the path that is not a plain name.
    #[error(
        "each part of the destination's path must be 1 to 255 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'"
    )]
    Path,
    /// The folder is not absolute, or is the root.
    #[error(
        "the folder of the destination must be an absolute path below '/': 'file:///backups', for example"
    )]
    Folder,
}

impl Destination {
    /// The folder of one backup, as the destination itself is written.
    #[must_use]
    pub fn of_backup(&self, id: &BackupId) -> String {
        let whole = self.to_string();
        format!("{}/{id}", whole.trim_end_matches('/'))
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !is_bucket(bucket) {
                return Err(DestinationError::Bucket);
            }
            let prefix = path.strip_suffix('/').unwrap_or(path);
            if !prefix.is_empty() && !prefix.split('/').all(is_plain_name) {
                return Err(DestinationError::Path);
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        let Some(path) = text.strip_prefix("file://") else {
            return Err(DestinationError::Scheme);
        };
        let Some(names) = path.strip_prefix('/') else {
            return Err(DestinationError::Folder);
        };
        let names = names.strip_suffix('/').unwrap_or(names);
        if names.is_empty() {
            return Err(DestinationError::Folder);
        }
        if !names.split('/').all(is_plain_name) {
            return Err(DestinationError::Path);
        }
        Ok(Self::Folder(PathBuf::from(format!("/{names}"))))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "file://{}", path.display()),
        }
    }
}

fn is_bucket(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.chars().all(|c| is_plain(c) || matches!(c, '.' | '-'))
        && text.starts_with(is_plain)
        && text.ends_with(is_plain)
}

fn is_plain_name(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text != "."
        && text != ".."
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// The name of the data of a backup. `attempt` is the attempt's own: of two agents that write the same backup at once,
/// neither overwrites the other's data, and the manifest says whose counts.
#[must_use]
pub fn new_part_name(attempt: &str, encrypted: bool) -> String {
    let suffix = if encrypted { ".age" } else { "" };
    format!("data-{attempt}.pgdump{suffix}")
}

/// Whether a manifest may name this part: a plain name in the backup's own folder, and not the manifest's.
pub(crate) fn is_part_name(name: &str) -> bool {
    is_plain_name(name) && name != MANIFEST_NAME
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bucket("s3://backups", "s3://backups/b1")]
    #[case::bucket_slash("s3://backups/", "s3://backups/b1")]
    #[case::prefix("s3://backups/prod/eu", "s3://backups/prod/eu/b1")]
    #[case::prefix_slash("s3://back.ups-1/prod/", "s3://back.ups-1/prod/b1")]
    #[case::folder("file:///backups", "file:///backups/b1")]
    #[case::deep_folder("file:///mnt/back_ups/x.y/", "file:///mnt/back_ups/x.y/b1")]
    fn destinations(#[case] text: &str, #[case] of_backup: &str) {
        let destination: Destination = text.parse().expect("is a destination");
        assert_eq!(destination.of_backup(&"b1".parse().expect("is an id")), of_backup);
        assert_eq!(destination.to_string().parse(), Ok(destination));
    }

    #[rstest]
    #[case::nothing("", DestinationError::Scheme)]
    #[case::other_scheme("gs://backups", DestinationError::Scheme)]
    #[case::plain_path("/backups", DestinationError::Scheme)]
    #[case::no_bucket("s3:///prefix", DestinationError::Bucket)]
    #[case::upper_bucket("s3://Backups", DestinationError::Bucket)]
    #[case::credentials("s3://key:secret@bucket/prefix", DestinationError::Bucket)]
    #[case::parent("s3://backups/../other", DestinationError::Path)]
    #[case::parent_last("s3://backups/a/..", DestinationError::Path)]
    #[case::empty_part("s3://backups/a//b", DestinationError::Path)]
    #[case::escaped("s3://backups/%2e%2e", DestinationError::Path)]
    #[case::relative("file://backups", DestinationError::Folder)]
    #[case::root("file:///", DestinationError::Folder)]
    #[case::folder_parent("file:///backups/../etc", DestinationError::Path)]
    #[case::hash("file:///backups/a#1", DestinationError::Path)]
    fn other_texts_are_none(#[case] text: &str, #[case] expected: DestinationError) {
        assert_eq!(text.parse::<Destination>(), Err(expected));
    }

    #[rstest]
    #[case("data-0a1b.pgdump", true)]
    #[case("data-0a1b.pgdump.age", true)]
    #[case("manifest.json", false)]
    #[case("../b2/data.pgdump", false)]
    #[case("..", false)]
    fn parts_are_plain_names(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_part_name(name), expected);
    }
}
