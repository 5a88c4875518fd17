//! `inspect`: looks whether a base backup of CloudNativePG is complete at its destination.

use backup_format::{BaseReport, Failure, PhysicalId, Reason};
use jiff::Timestamp;

use crate::args::InspectArgs;
use crate::storage::base::BaseStorage;

/// Reads what Barman wrote about the base backup, and counts its bytes.
pub async fn run(args: &InspectArgs) -> Result<BaseReport, Failure> {
    let storage = BaseStorage::open(&args.storage)?;
    let id = storage.id().clone();
    let Some(info) = storage.observe_info(&id).await? else {
        return Err(Failure::new(
            Reason::BackupMissing,
            format!(
                "there is no base backup at {}: CloudNativePG wrote it somewhere else",
                storage.location()
            ),
        ));
    };
    if info.status != "DONE" {
        let status = plain_text::one_line(&info.status, 40);
        return Err(Failure::new(
            Reason::ArtefactTruncated,
            format!("the base backup at {} is not complete: its status is '{status}'", storage.location()),
        ));
    }
    let (Some(started_at), Some(completed_at)) = (info.began, info.ended) else {
        return Err(altered(&id, "has no times"));
    };
    Ok(BaseReport {
        location: storage.location(),
        size_bytes: storage.observe_size(&id).await?,
        backup_id: id.into(),
        started_at,
        completed_at,
        engine_version: args.engine_version.clone(),
    })
}

fn altered(id: &PhysicalId, how: &str) -> Failure {
    Failure::new(Reason::ArtefactAltered, format!("the description of base backup {id} {how}"))
}

/// What Barman's `backup.info` says, as far as it is needed here. A line is `name=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// `DONE` for a complete one.
    pub status: String,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The first WAL file that a recovery needs: 24 hexadecimal digits.
    pub first_wal: Option<String>,
}

impl Info {
    /// Reads the file. What is not understood is absent.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(line.trim().trim_matches('\'').to_owned())
                .filter(|value| !matches!(value.as_str(), "" | "None"))
        };
        let time = |name: &str| value(name)?.parse().ok();
        Self {
            status: value("status").unwrap_or_default(),
            began: time("begin_time"),
            ended: time("end_time"),
            first_wal: value("begin_wal").filter(|wal| is_wal(wal)),
        }
    }
}

/// Timeline, log and segment.
pub(crate) fn is_wal(name: &str) -> bool {
    name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "backup_label=None\nbegin_offset=40\nbegin_time='2026-11-28 03:43:14.123456+00:00'\n\
        begin_wal=000000010000000000000007\nend_time='2026-11-28 03:43:20+00:00'\nend_wal=000000010000000000000007\n\
        error=None\nserver_name=cloud\nsize=33554432\nstatus=DONE\nsystemid=7577\n";

    #[test]
    fn what_barman_writes_is_read() {
        let expected = Info {
            status: "DONE".to_owned(),
            began: Some("2026-11-28T03:43:14.123456Z".parse().expect("is a time")),
            ended: Some("2026-11-28T03:43:20Z".parse().expect("is a time")),
            first_wal: Some("000000010000000000000007".to_owned()),
        };
        assert_eq!(Info::parse(WRITTEN), expected);
    }

    #[test]
    fn what_is_not_understood_is_absent() {
        let text = "status=STARTED\nbegin_time=None\nbegin_wal=../../etc\nend_time='soon'\n";
        assert_eq!(Info::parse(text), Info { status: "STARTED".to_owned(), ..Info::default() });
        assert_eq!(Info::parse(""), Info::default());
    }
}
