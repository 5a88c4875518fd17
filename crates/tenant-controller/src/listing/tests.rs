use engine_client::{ErrorClass, Operation};
use engine_fake::FakeEngine;

use super::*;

fn cluster(uid: &str, version: &str) -> WorkflowCluster {
    let mut cluster = crate::testing::cluster();
    cluster.metadata.uid = Some(uid.to_owned());
    cluster.metadata.resource_version = Some(version.to_owned());
    cluster
}

fn reads(engine: &FakeEngine) -> (usize, usize) {
    (engine.count(Operation::ListTenants), engine.count(Operation::ListTenantUsage))
}

#[tokio::test(start_paused = true)]
async fn one_look_serves_all_until_it_is_stale() {
    let (engine, listings) = (FakeEngine::new(), TenantListings::default());
    for _ in 0..50 {
        listings.get(&cluster("uid", "1"), &engine).await.unwrap();
    }
    assert_eq!(reads(&engine), (1, 1));
    tokio::time::advance(FRESH).await;
    listings.get(&cluster("uid", "1"), &engine).await.unwrap();
    assert_eq!(reads(&engine), (2, 2));
    listings.forget("uid");
    listings.get(&cluster("uid", "1"), &engine).await.unwrap();
    assert_eq!(reads(&engine), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn clusters_do_not_share() {
    let (engine, listings) = (FakeEngine::new(), TenantListings::default());
    listings.get(&cluster("a", "1"), &engine).await.unwrap();
    listings.get(&cluster("b", "1"), &engine).await.unwrap();
    assert_eq!(reads(&engine), (2, 2));
}

/// Fifty passes that each wait ten seconds for a dead engine, one after the other, would not end within their deadline.
#[tokio::test(start_paused = true)]
async fn whoever_waited_for_a_failure_shares_it() {
    let (engine, listings) = (FakeEngine::new(), TenantListings::default());
    engine.set_latency(Duration::from_secs(10));
    engine.set_unreachable(true);
    let began = Instant::now();
    let takes = (0..50).map(|_| {
        let (engine, listings) = (engine.clone(), listings.clone());
        tokio::spawn(async move { listings.get(&cluster("uid", "1"), &engine).await })
    });
    for take in takes.collect::<Vec<_>>() {
        assert_eq!(take.await.unwrap().unwrap_err().class(), &ErrorClass::Unavailable);
    }
    assert_eq!((reads(&engine), began.elapsed()), ((1, 0), Duration::from_secs(10)));

    engine.heal();
    tokio::time::advance(FRESH_FAILURE).await;
    listings.get(&cluster("uid", "1"), &engine).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_nothing_of_a_cluster_that_changed_since() {
    let (engine, listings) = (FakeEngine::new(), TenantListings::default());
    engine.set_unreachable(true);
    assert!(listings.get(&cluster("uid", "1"), &engine).await.is_err());
    assert!(listings.get(&cluster("uid", "1"), &engine).await.is_err());
    assert_eq!(reads(&engine), (1, 0));
    engine.set_unreachable(false);
    assert!(listings.get(&cluster("uid", "2"), &engine).await.is_ok());
    assert_eq!(reads(&engine), (2, 1));
}
