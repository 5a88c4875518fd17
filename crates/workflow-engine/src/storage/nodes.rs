//! The heartbeats of the cluster's serving processes.

use jiff::Timestamp;

use crate::database::ClusterTx;

/// A node without a heartbeat for longer is not listed.
const SEEN_WITHIN: &str = "15 seconds";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: String,
    pub version: String,
    pub last_seen_at: Timestamp,
}

/// Records this node's heartbeat, and deletes nodes without one for an hour.
pub async fn record_heartbeat(tx: &mut ClusterTx, id: &str, version: &str) -> Result<(), sqlx::Error> {
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

/// Removes a node that shuts down.
pub async fn delete_node(tx: &mut ClusterTx, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM workflow.node WHERE id = $1").bind(id).execute(tx.connection()).await?;
    Ok(())
}

pub async fn list_nodes(tx: &mut ClusterTx) -> Result<Vec<Node>, sqlx::Error> {
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
