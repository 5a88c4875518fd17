//! The serving processes of the cluster, as they report themselves.

use jiff::Timestamp;

use crate::database::NobodyTx;

/// A node unseen for longer is gone.
const SEEN_WITHIN: &str = "15 seconds";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    pub version: String,
    pub last_seen_at: Timestamp,
}

/// Reports this node and forgets those that have been gone for an hour.
pub async fn record_heartbeat(tx: &mut NobodyTx, id: &str, version: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "WITH gone AS (DELETE FROM workflow.node WHERE last_seen_at < now() - interval '1 hour' AND id <> $1)
         INSERT INTO workflow.node AS n (id, version, last_seen_at) VALUES ($1, $2, now())
         ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version, last_seen_at = EXCLUDED.last_seen_at",
    )
    .bind(id)
    .bind(version)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A node that leaves in order is gone at once.
pub async fn delete_node(tx: &mut NobodyTx, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM workflow.node WHERE id = $1").bind(id).execute(tx.connection()).await?;
    Ok(())
}

pub async fn list_nodes(tx: &mut NobodyTx) -> Result<Vec<Node>, sqlx::Error> {
    let rows = sqlx::query_as::<_, (String, String, jiff_sqlx::Timestamp)>(
        "SELECT id, version, last_seen_at FROM workflow.node WHERE last_seen_at > now() - $1::interval ORDER BY id",
    )
    .bind(SEEN_WITHIN)
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, version, last_seen_at)| Node { id, version, last_seen_at: last_seen_at.to_jiff() })
        .collect())
}
