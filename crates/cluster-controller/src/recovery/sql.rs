//! The row by which the backup agent says that a database was restored. Reads only.

use sqlx::postgres::PgConnection;

use super::Restored;

/// The row; `None` when the database was never restored, or not to the end.
pub async fn observe_restored(connection: &mut PgConnection) -> Result<Option<Restored>, sqlx::Error> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('workflow.restored') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(None);
    }
    let row = sqlx::query_as::<_, (String, String, serde_json::Value)>(
        "SELECT backup_id, owner, report FROM workflow.restored",
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(backup_id, owner, report)| Restored {
        backup_id,
        owner,
        report: serde_json::from_value(report).ok(),
    }))
}
