//! Upgrades while work goes on: nobody who starts or does work notices them.

use e2e::progress::Progress;
use e2e::upgrade_act;

use crate::fixture::named_cluster;

/// From 1.2.3 to 1.3.0, then to a sick version that is taken back. Connections stay with their pod while it lives, so those of the
/// traffic do not come to the sick one; a caller that connects anew in that half minute may, and its completions would be refused.
#[tokio::test]
#[ignore = "takes minutes: `./dev nightly`"]
async fn no_call_fails_and_no_job_is_lost_or_doubled_by_an_upgrade_and_a_rollback_under_load() {
    let Some(cluster) = named_cluster("no_call_fails").await else { return };
    let outcome = upgrade_act::run(&cluster, Progress::default(), "upgrade-load", 50)
        .await
        .expect("should tell it all");
    outcome.require_unharmed().expect("nobody should notice");
    let failure = outcome.failure.expect("should have an image of the sick version");
    assert!(failure.contains("fails to complete the job"), "{failure}");
    // The clock did not wait for the engine.
    let orders = outcome.ledger.orders.len();
    assert!(orders as u64 >= outcome.length.as_secs() * 50, "{orders} in {:?}", outcome.length);
}
