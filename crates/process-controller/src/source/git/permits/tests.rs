use std::time::Duration;

use tokio::time::timeout;

use super::*;

/// As many permits as there are at once.
async fn take_all(permits: &Permits, namespace: &str, host: &str) -> Vec<Permit> {
    let mut taken = Vec::new();
    while let Ok(permit) = timeout(Duration::from_millis(10), permits.take(namespace, host)).await {
        taken.push(permit);
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_host_and_a_namespace_have_their_own_bounds() {
    let permits = Permits::new();
    let slow = take_all(&permits, "acme", "slow.example.com").await;
    assert_eq!(slow.len(), AT_HOST);
    let other = take_all(&permits, "acme", "other.example.com").await;
    assert_eq!(slow.len() + other.len(), OF_NAMESPACE, "the namespace's other hosts go on");
    assert_eq!(take_all(&permits, "acme", "third.example.com").await.len(), 0);
    let beta = take_all(&permits, "beta", "slow.example.com").await;
    assert_eq!(beta.len(), AT_HOST, "another namespace waits for nobody");
    drop(slow);
    assert_eq!(take_all(&permits, "acme", "third.example.com").await.len(), AT_HOST);
}

/// Who waits for a host holds nothing that another reader could have.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_host_takes_no_turn_of_its_namespace() {
    let permits = Permits::new();
    let _slow = take_all(&permits, "acme", "slow.example.com").await;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let permits = permits.clone();
            tokio::spawn(async move { permits.take("acme", "slow.example.com").await })
        })
        .collect();
    tokio::task::yield_now().await;
    let other = take_all(&permits, "acme", "other.example.com").await;
    assert_eq!(other.len(), OF_NAMESPACE - AT_HOST);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
