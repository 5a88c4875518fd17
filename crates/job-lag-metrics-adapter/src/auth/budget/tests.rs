use std::time::Duration;

use super::*;

const IN_ALL: Rate = Rate { per_second: 10.0, burst: 20.0 };
const PER_ADDRESS: Rate = Rate { per_second: 1.0, burst: 5.0 };

fn host(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn taken(budget: &Budget, address: IpAddr) -> usize {
    (0..100).filter(|_| budget.take(address)).count()
}

#[tokio::test(start_paused = true)]
async fn one_address_leaves_something_for_others() {
    let budget = Budget::new(IN_ALL, PER_ADDRESS);
    assert_eq!([1, 1, 2].map(|n| taken(&budget, host(n))), [5, 0, 5]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(taken(&budget, host(1)), 2);
}

#[tokio::test(start_paused = true)]
async fn all_together_have_a_bound() {
    let budget = Budget::new(IN_ALL, PER_ADDRESS);
    assert_eq!((1..=10).map(|n| taken(&budget, host(n))).sum::<usize>(), 20);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((11..=20).map(|n| taken(&budget, host(n))).sum::<usize>(), 10);
}

#[tokio::test(start_paused = true)]
async fn hosts_of_one_ipv6_network_are_one_address() {
    let budget = Budget::new(IN_ALL, PER_ADDRESS);
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    assert_eq!(taken(&budget, address("2001:db8::1")), 5);
    assert_eq!(taken(&budget, address("2001:db8::ffff:2")), 0);
    assert_eq!(taken(&budget, address("2001:db8:0:1::1")), 5);
    assert_eq!(taken(&budget, host(1)), 5);
    assert_eq!(taken(&budget, address("::ffff:10.0.0.1")), 0);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_remembered_have_a_bound() {
    let budget = Budget::new(Rate { per_second: 0.0, burst: 100_000.0 }, PER_ADDRESS);
    let spread = |n: usize| IpAddr::from(u32::try_from(n).expect("is small").to_be_bytes());
    assert!((0..ADDRESSES).all(|n| budget.take(spread(n))));
    assert!(!budget.take(spread(ADDRESSES)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(budget.take(spread(ADDRESSES)));
    assert_eq!(budget.buckets.lock().expect("the lock").addresses.len(), 1);
}
