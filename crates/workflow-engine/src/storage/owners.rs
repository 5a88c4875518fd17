//! The columns for the owner of a tenant or a process id.

use engine_api::model::Owner;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::Row;
use sqlx::postgres::PgRow;

/// From the columns `owner`, `owner_uid` and `owner_created_at`; an empty `owner` = no owner.
pub fn from_row(row: &PgRow) -> Result<Option<Owner>, sqlx::Error> {
    let id: String = row.try_get("owner")?;
    if id.is_empty() {
        return Ok(None);
    }
    let created_at: jiff_sqlx::Timestamp = row.try_get("owner_created_at")?;
    Ok(Some(Owner { id, uid: row.try_get("owner_uid")?, created_at: created_at.to_jiff() }))
}

/// Values of the columns `owner`, `owner_uid` and `owner_created_at`.
pub fn to_columns(owner: Option<&Owner>) -> (&str, &str, jiff_sqlx::Timestamp) {
    match owner {
        Some(owner) => (&owner.id, &owner.uid, owner.created_at.to_sqlx()),
        None => ("", "", Timestamp::UNIX_EPOCH.to_sqlx()),
    }
}
