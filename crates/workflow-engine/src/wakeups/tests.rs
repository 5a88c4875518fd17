use futures::FutureExt;

use super::*;

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("should be a tenant id")
}

#[tokio::test]
async fn a_waiter_is_woken_only_for_its_own_tenant_and_types() {
    let wakeups = Wakeups::default();
    let mut waiter = wakeups.subscribe(&tenant("acme"), &["charge".to_owned(), "refund".to_owned()]);
    wakeups.announce(&tenant("acme"), ["ship"]);
    wakeups.announce(&tenant("globex"), ["charge"]);
    assert!(waiter.notified().now_or_never().is_none());
    wakeups.announce(&tenant("acme"), ["refund"]);
    assert!(waiter.notified().now_or_never().is_some());
    assert!(waiter.notified().now_or_never().is_none());
}

#[tokio::test]
async fn a_wake_up_before_waiting_is_not_lost() {
    let wakeups = Wakeups::default();
    let mut waiter = wakeups.subscribe(&tenant("acme"), &["charge".to_owned()]);
    wakeups.announce(&tenant("acme"), ["charge"]);
    assert!(waiter.notified().now_or_never().is_some());
}

#[test]
fn topics_without_waiters_are_removed() {
    let wakeups = Wakeups::default();
    drop(wakeups.subscribe(&tenant("acme"), &["charge".to_owned()]));
    let _waiter = wakeups.subscribe(&tenant("acme"), &["ship".to_owned()]);
    assert_eq!(locked(&wakeups.waiting).keys().map(|topic| topic.1.as_str()).collect::<Vec<_>>(), ["ship"]);
}

#[test]
fn only_notifications_of_other_processes_wake() {
    let wakeups = Wakeups::default();
    let own = format!("{} acme charge", wakeups.origin);
    assert_eq!(wakeups.foreign_topic(&own), None);
    assert_eq!(wakeups.foreign_topic("other acme a type"), Some((tenant("acme"), "a type".to_owned())));
    assert_eq!(wakeups.foreign_topic("nonsense"), None);
    assert_eq!(wakeups.foreign_topic("other Not-A-Tenant charge"), None);
}
