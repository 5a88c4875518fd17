use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::*;
use crate::tenant_id::TenantId;

/// A tenant, or an epoch of it: `tenant@epoch`.
fn scope(name: &str) -> TenantScope {
    let id = |id| TenantId::parse(id).expect("should be an id");
    match name.split_once('@') {
        Some((tenant, epoch)) => TenantScope::of_epoch(id(tenant), epoch).expect("should be an epoch"),
        None => TenantScope::any_epoch(id(name)),
    }
}

/// Answers each item with how many were written together, after 10 ms.
async fn count(items: Vec<u32>) -> Vec<Result<usize, Error>> {
    tokio::time::sleep(Duration::from_millis(10)).await;
    items.iter().map(|_| Ok(items.len())).collect()
}

fn writing(batcher: &Arc<Batcher<u32, usize>>, tenant: &str, item: u32) -> JoinHandle<Result<usize, Error>> {
    let (batcher, tenant) = (Arc::clone(batcher), scope(tenant));
    tokio::spawn(async move { batcher.write(&tenant, item, count).await })
}

async fn answers(writings: impl IntoIterator<Item = JoinHandle<Result<usize, Error>>>) -> Vec<usize> {
    let mut answers = Vec::new();
    for writing in writings {
        answers.push(writing.await.expect("should end").expect("should be written"));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn requests_that_arrive_while_one_is_written_form_the_next_batch() {
    let batcher = Arc::default();
    let all: Vec<_> = (0..5).map(|item| writing(&batcher, "acme", item)).collect();
    let other = writing(&batcher, "globex", 9);
    assert_eq!((answers(all).await, answers([other]).await), (vec![1, 4, 4, 4, 4], vec![1]));
    assert_eq!(answers([writing(&batcher, "acme", 5)]).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn the_others_get_their_answers_when_the_caller_that_writes_is_dropped() {
    let batcher = Arc::default();
    let [first, leader, follower] = [1, 2, 3].map(|item| writing(&batcher, "acme", item));
    tokio::time::sleep(Duration::from_millis(15)).await;
    leader.abort();
    assert_eq!(answers([first, follower, writing(&batcher, "acme", 4)]).await, [1, 2, 1]);
}

#[tokio::test]
async fn a_panic_while_writing_is_an_error_for_its_batch_only() {
    let batcher = Arc::<Batcher<u32, usize>>::default();
    let tenant = scope("acme");
    let broken = async |items: Vec<u32>| vec![Ok(items[1] as usize)];
    assert!(matches!(batcher.write(&tenant, 1, broken).await, Err(Error::Defect(_))));
    assert_eq!(answers([writing(&batcher, "acme", 2)]).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn only_requests_of_one_epoch_of_a_tenant_share_a_batch() {
    let batcher = Arc::default();
    let callers = ["acme", "acme@uid-1", "acme@uid-2"].map(|name| [0, 1, 2].map(|item| (name, item)));
    let all: Vec<_> =
        callers.as_flattened().iter().map(|(name, item)| writing(&batcher, name, *item)).collect();
    assert_eq!(answers(all).await, [1, 2, 2, 1, 2, 2, 1, 2, 2]);
}
