//! What has to be done now and then: ending deletions, and forgetting what is past its time. One replica is enough: the one
//! whose name comes first among the living. Two at once would only do some of it twice.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, in_time};
use crate::deletion;
use crate::error::Error;
use crate::node::Node;
use crate::storage::{instances, purge, request_log, tenants};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;

const INTERVAL: Duration = Duration::from_mins(1);
/// Rows per transaction, so that none holds locks for long.
const SLICE: i64 = 5_000;
const TENANTS_PER_PAGE: i64 = 500;
const SLICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Somebody waits for a deletion to end.
const DELETION_INTERVAL: Duration = Duration::from_secs(5);
/// Then it is the next one's turn, so that a big tenant holds up no small one for long.
const TURN: Duration = Duration::from_secs(20);

/// Ends what was to be deleted, also when nobody asks for it any more, until stopped.
pub async fn run_deletions(node: &Node, database: &Database, stop: &CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(DELETION_INTERVAL)).await.is_some() {
        if is_caretaker(node)
            && let Some(Err(error)) = stop.run_until_cancelled(Box::pin(end_deletions(database))).await
        {
            tracing::warn!(error = %error, "deletions were interrupted; the next round goes on");
        }
    }
}

async fn end_deletions(database: &Database) -> Result<(), Error> {
    let unfinished = in_time(SLICE_TIMEOUT, async {
        let mut tx = database.monitor().await?;
        let unfinished = purge::list_unfinished(&mut tx).await?;
        tx.commit().await?;
        Ok(unfinished)
    })
    .await?;
    for (id, being_deleted) in unfinished {
        let tenant = TenantScope::any_epoch(TenantId::parse(&id)?);
        let until = Instant::now() + TURN;
        let ended = if being_deleted {
            deletion::purge_and_delete(database, &tenant, until).await
        } else {
            deletion::cancel_retired(database, &tenant, until).await
        };
        match ended {
            Ok(true) => tracing::info!(%tenant, being_deleted, "what was to be deleted is gone"),
            Ok(false) => {}
            // One tenant's trouble must not be the others'.
            Err(error) => tracing::warn!(%tenant, error = %error, "a deletion was interrupted"),
        }
    }
    Ok(())
}

pub async fn run(node: &Node, database: &Database, instance_retention: Duration, stop: &CancellationToken) {
    loop {
        if is_caretaker(node)
            && let Err(error) = tend_all(database, instance_retention, stop).await
        {
            tracing::warn!(error = %error, "upkeep was interrupted; the next round goes on");
        }
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

fn is_caretaker(node: &Node) -> bool {
    node.info().nodes.iter().map(|seen| &seen.id).min() == Some(&node.id)
}

async fn tend_all(
    database: &Database,
    instance_retention: Duration,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = in_time(SLICE_TIMEOUT, async {
            let mut tx = database.monitor().await?;
            let page = tenants::list_tenants(&mut tx, &after, TENANTS_PER_PAGE).await?;
            tx.commit().await?;
            Ok(page)
        })
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for tenant in page.iter().filter(|tenant| !tenant.being_deleted) {
            let tenant = TenantScope::any_epoch(TenantId::parse(&tenant.id)?);
            if stop.is_cancelled() {
                return Ok(());
            }
            // One tenant's trouble must not be the others'.
            if let Err(error) = tend(database, &tenant, instance_retention, stop).await {
                tracing::warn!(%tenant, error = %error, "upkeep of a tenant failed");
            }
        }
    }
}

async fn tend(
    database: &Database,
    tenant: &TenantScope,
    instance_retention: Duration,
    stop: &CancellationToken,
) -> Result<(), Error> {
    forget_finished(database, tenant, instance_retention, stop).await?;
    in_time(SLICE_TIMEOUT, async {
        let mut tx = database.tenant(tenant).await?;
        request_log::delete_expired(&mut tx, SLICE).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

async fn forget_finished(
    database: &Database,
    tenant: &TenantScope,
    retention: Duration,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut after = 0;
    while !stop.is_cancelled() {
        let next = in_time(SLICE_TIMEOUT, async {
            let mut tx = database.tenant(tenant).await?;
            let next = instances::delete_finished(&mut tx, after, SLICE, retention).await?;
            tx.commit().await?;
            Ok(next)
        })
        .await?;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    Ok(())
}
