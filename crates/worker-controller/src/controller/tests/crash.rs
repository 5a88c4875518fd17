//! Killed before and after every write, a controller ends where an undisturbed one does.

use controller_testing::crash::crash_at_every_write;

use crate::testing::world::{HOME, WORKER, World};
use crate::testing::{EVERY_FIELD, applied};

#[tokio::test]
async fn a_new_worker_survives() {
    let fresh = async || World::with(applied(EVERY_FIELD, HOME, |_| ()));
    let writes = crash_at_every_write(fresh, WORKER).await;
    assert_eq!(
        writes[..4],
        [
            "PATCH /api/v1/namespaces/acme-tenant/secrets/payment-worker-engine-access",
            "PATCH /apis/apps/v1/namespaces/acme-tenant/deployments/payment-worker",
            "PATCH /apis/autoscaling/v2/namespaces/acme-tenant/horizontalpodautoscalers/payment-worker",
            "PATCH /apis/policy/v1/namespaces/acme-tenant/poddisruptionbudgets/payment-worker",
        ]
    );
}
