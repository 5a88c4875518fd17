//! The story of the demo: 2 → n → 2 on real lag.

use e2e::progress::Progress;
use e2e::story::{Load, tell};

use crate::fixture::named_cluster;

#[tokio::test]
async fn a_fleet_scales_out_on_lag_and_in_when_it_is_worked_off() {
    let Some(cluster) = named_cluster("a_fleet_scales_out_on_lag").await else { return };
    let summary =
        tell(&cluster, Progress::default(), Load::default()).await.expect("should tell the whole story");
    assert!(summary.replicas_peak > summary.replicas_before, "{summary:?}");
    assert_eq!(summary.replicas_after, summary.replicas_before, "{summary:?}");
    assert!(summary.lag_peak > 0.0, "{summary:?}");
}
