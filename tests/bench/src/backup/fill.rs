//! A database as an engine leaves it, by the engine's own API.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use engine_client::EngineClient;
use engine_client::model::{ActivateJobs, CompleteJob, DEFAULT_TENANT, StartInstances, Variables};
use serde_json::json;
use sqlx::Executor as _;
use test_support::builders::{JOB_TYPE, ORDER_BPMN};
use tokio::task::JoinSet;

use crate::world::World;

/// Not those of the load, whose workers would find these jobs first.
const PROCESS: &str = "archive";
const WAITING: &str = "archive-order";
const CLIENTS: u32 = 4;
/// Instances per call.
const BATCH: u32 = 500;
/// Definitions beside the one whose instances are started.
const DEFINITIONS: u32 = 20;

/// Starts them and completes every second one.
pub(super) async fn fill(world: &World, instances: u32) -> anyhow::Result<()> {
    let document =
        |id: &str| ORDER_BPMN.replace("\"order\"", &format!("\"{id}\"")).replace(JOB_TYPE, WAITING);
    world.deploy("bench/archive", &document(PROCESS)).await?;
    for number in 0..DEFINITIONS {
        world.deploy(&format!("bench/archive-{number}"), &document(&format!("archive-{number}"))).await?;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(work(world.client()?, world.worker()?, Arc::clone(&next), instances));
    }
    while let Some(ended) = clients.join_next().await {
        ended.context("a client panicked")??;
    }
    // Else the first who reads the tables would pay for it.
    let mut session = world.session().await?;
    session.execute("VACUUM ANALYZE").await?;
    session.execute("CHECKPOINT").await?;
    Ok(())
}

async fn work(
    client: EngineClient,
    worker: EngineClient,
    next: Arc<AtomicU32>,
    instances: u32,
) -> anyhow::Result<()> {
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= instances {
            return Ok(());
        }
        let last = instances.min(first + BATCH);
        let request = StartInstances {
            request_id: String::new(),
            tenant_id: DEFAULT_TENANT.to_owned(),
            process_id: PROCESS.to_owned(),
            version: None,
            variables: (first..last).map(order).collect(),
        };
        client.start_instances(&request).await?;
        let demand = ActivateJobs {
            tenant_id: DEFAULT_TENANT.to_owned(),
            job_types: vec![WAITING.to_owned()],
            worker: "bench".to_owned(),
            max_jobs: ((last - first) / 2).max(1),
            lease: Duration::from_mins(1),
            wait: Duration::ZERO,
        };
        let jobs = worker.activate_jobs(&demand).await?;
        let completions: Vec<CompleteJob> = jobs
            .iter()
            .map(|job| CompleteJob { job: job.job_ref(), variables: Variables::default() })
            .collect();
        if !completions.is_empty() {
            worker.complete_jobs(DEFAULT_TENANT, &completions).await?;
        }
    }
}

/// The variables of an order: about 1 KiB, no two alike, half of it words that a dump compresses well.
fn order(number: u32) -> Variables {
    let line = |line: u32| {
        json!({
            "article": format!("{:016x}", scramble(u64::from(number) * 8 + u64::from(line))),
            "description": "Standard delivery within two working days, signature required",
            "quantity": 1 + (number + line) % 7,
            "price": {"amount": 100 + (number * 7 + line) % 9_900, "currency": "EUR"},
        })
    };
    let signature: Vec<String> =
        (0..8).map(|part| format!("{:016x}", scramble(u64::from(number) * 64 + part))).collect();
    let order = json!({
        "orderId": format!("order-{number:08}"),
        "customer": {
            "id": format!("{:016x}", scramble(u64::from(number) << 32)),
            "name": format!("Customer {}", number % 5_000),
            "address": {"street": format!("Long Street {}", number % 300), "city": "Springfield", "country": "US"},
        },
        "lines": (0..4).map(line).collect::<Vec<_>>(),
        "signature": signature.concat(),
    });
    Variables(order.as_object().cloned().unwrap_or_default())
}

/// Digits that do not compress: the finalizer of SplitMix64.
fn scramble(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_about_a_kibibyte_of_its_own() {
        let text = |number| serde_json::to_string(&order(number).0).unwrap();
        assert!((900..1200).contains(&text(7).len()), "{}", text(7).len());
        assert_ne!(text(7), text(8));
    }
}
