//! What has to be done now and then: forgetting what is past its time, and measuring storage. One replica is enough:
//! the one whose name comes first among the living. Two at once would only do some of it twice.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::database::{Database, in_time};
use crate::error::Error;
use crate::node::Node;
use crate::storage::{instances, request_log, tenants};
use crate::tenant_id::TenantId;

const INTERVAL: Duration = Duration::from_mins(1);
/// Rows per transaction, so that none holds locks for long.
const SLICE: i64 = 5_000;
const TENANTS_PER_PAGE: i64 = 500;
/// Measuring reads everything that a tenant has.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(30);
const SLICE_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn run(node: &Node, database: &Database, instance_retention: Duration, stop: &CancellationToken) {
    // At once too: a tenant's storage should not be unknown for a minute.
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
        for tenant in &page {
            let tenant = TenantId::parse(&tenant.id)?;
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
    tenant: &TenantId,
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
    .await?;
    in_time(MEASURE_TIMEOUT, async {
        let mut tx = database.tenant(tenant).await?;
        tenants::sample_storage(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    })
    .await
}

async fn forget_finished(
    database: &Database,
    tenant: &TenantId,
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
