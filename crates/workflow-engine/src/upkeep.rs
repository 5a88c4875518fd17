//! What has to be done now and then: forgetting what is past its time, and measuring storage. Each replica does it, and
//! finds little to do when another one just did.

use std::sync::Arc;
use std::time::Duration;

use crate::database::in_time;
use crate::engine::Engine;
use crate::error::Error;
use crate::storage::{instances, request_log, tenants};
use crate::tenant_id::TenantId;

const INTERVAL: Duration = Duration::from_mins(1);
/// Rows per transaction, so that none holds locks for long.
const SLICE: i64 = 5_000;
const TENANTS_PER_PAGE: i64 = 500;

pub async fn run(engine: &Arc<Engine>, instance_retention: Duration) {
    // At once too: a tenant's storage should not be unknown for a minute.
    loop {
        if let Err(error) = tend_all(engine, instance_retention).await {
            tracing::warn!(error = %error, "upkeep was interrupted; the next round goes on");
        }
        if engine.stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

async fn tend_all(engine: &Engine, instance_retention: Duration) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = in_time(async {
            let mut tx = engine.database.monitor().await?;
            let page = tenants::list_tenants(&mut tx, &after, TENANTS_PER_PAGE).await?;
            tx.commit().await?;
            Ok(page)
        })
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        for tenant in &page {
            if engine.stop.is_cancelled() {
                return Ok(());
            }
            let tenant = TenantId::parse(&tenant.id)?;
            in_time(tend(engine, &tenant)).await?;
            forget_finished(engine, &tenant, instance_retention).await?;
        }
    }
}

async fn tend(engine: &Engine, tenant: &TenantId) -> Result<(), Error> {
    let mut tx = engine.database.tenant(tenant).await?;
    request_log::delete_expired(&mut tx, SLICE).await?;
    tenants::sample_storage(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

async fn forget_finished(engine: &Engine, tenant: &TenantId, retention: Duration) -> Result<(), Error> {
    let mut after = 0;
    while !engine.stop.is_cancelled() {
        let next = in_time(async {
            let mut tx = engine.database.tenant(tenant).await?;
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
