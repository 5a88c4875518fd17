//! Periodic background work: finishing deletions, and deleting expired data. One replica does it: the live node with
//! the smallest id. If two do it at once, it is only wasted work.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::database::{Database, in_time};
use crate::deletion;
use crate::engine::{Engine, canary};
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

/// Shorter, since users wait for a deletion.
const DELETION_INTERVAL: Duration = Duration::from_secs(5);
/// Seconds after which a canary's tenant was left behind by its node.
const CANARY_AGE: i64 = 60;
/// Time for one tenant per round, so that a big tenant does not delay small ones for long.
const TENANT_BUDGET: Duration = Duration::from_secs(20);

/// Finishes deletions, also those whose caller disappeared, until the node stops.
pub async fn run_deletions(node: &Node, engine: &Engine) {
    while engine.stop.run_until_cancelled(tokio::time::sleep(DELETION_INTERVAL)).await.is_some() {
        let finish = while_permitted(engine, finish_deletions(&engine.database));
        if is_responsible(node)
            && let Some(Err(error)) = engine.stop.run_until_cancelled(Box::pin(finish)).await
        {
            tracing::warn!(error = %error, "deletions were interrupted; the next round goes on");
        }
    }
}

async fn finish_deletions(database: &Database) -> Result<(), Error> {
    let unfinished = in_time(SLICE_TIMEOUT, async {
        let mut tx = database.monitor().await?;
        let unfinished = purge::list_unfinished(&mut tx).await?;
        tx.commit().await?;
        Ok(unfinished)
    })
    .await?;
    for (id, being_deleted) in unfinished {
        let tenant = TenantScope::any_epoch(TenantId::stored(&id)?);
        let until = Instant::now() + TENANT_BUDGET;
        let ended = if let Some(began) = tenant.canary_began() {
            if clock::now().as_second() - began < CANARY_AGE {
                continue;
            }
            canary::remove(database, &tenant, until).await
        } else if being_deleted {
            deletion::purge_and_delete(database, &tenant, until).await
        } else {
            deletion::cancel_retired(database, &tenant, until).await
        };
        match ended {
            Ok(true) => tracing::info!(%tenant, being_deleted, "what was to be deleted is gone"),
            Ok(false) => {}
            // A failure of one tenant must not stop the work for others.
            Err(error) => tracing::warn!(%tenant, error = %error, "a deletion was interrupted"),
        }
    }
    Ok(())
}

pub async fn run(node: &Node, engine: &Engine, instance_retention: Duration) {
    let stop = &engine.stop;
    loop {
        let delete = delete_all_expired(&engine.database, instance_retention, stop);
        if is_responsible(node)
            && let Err(error) = Box::pin(while_permitted(engine, delete)).await
        {
            tracing::warn!(error = %error, "upkeep was interrupted; the next round goes on");
        }
        if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// Cuts the work off when this node may not work on the database any more.
async fn while_permitted(
    engine: &Engine,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    engine.permission.require()?;
    tokio::select! {
        done = work => done,
        withdrawn = engine.permission.withdrawn() => Err(withdrawn),
    }
}

fn is_responsible(node: &Node) -> bool {
    node.info().nodes.iter().map(|seen| &seen.id).min() == Some(&node.id)
}

async fn delete_all_expired(
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
            // A failure of one tenant must not stop the work for others.
            if let Err(error) = delete_expired(database, &tenant, instance_retention, stop).await {
                tracing::warn!(%tenant, error = %error, "upkeep of a tenant failed");
            }
        }
    }
}

async fn delete_expired(
    database: &Database,
    tenant: &TenantScope,
    instance_retention: Duration,
    stop: &CancellationToken,
) -> Result<(), Error> {
    delete_finished(database, tenant, instance_retention, stop).await?;
    in_time(SLICE_TIMEOUT, async {
        let mut tx = database.tenant(tenant).await?;
        request_log::delete_expired(&mut tx, SLICE).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

async fn delete_finished(
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
