//! Killed before and after every write to a real API server, a controller ends where an undisturbed one does.

use controller_kit::outcome::Next;
use serde_json::{Value, json};
use test_support::crash::{run_until_settled, survives_crash_at_every_write};
use test_support::snapshot::snapshot_of;

use crate::world::{SEED, World, kinds};

#[tokio::test]
async fn a_new_worker_survives() {
    let apiserver = test_support::require_apiserver!();
    let report = survives_crash_at_every_write(
        async || {
            let home = World::new(apiserver, "crash").await;
            home.apply(SEED, |_| ()).await;
            home
        },
        async |home, faults| {
            let client = faults.wrap(home.client.clone());
            run_until_settled(faults, 10, async || match home.pass(&client).await.next {
                Next::Failed(class) => Err(class),
                _ => Ok(()),
            })
            .await
        },
        async |home| {
            let mut snapshot = snapshot_of(&home.client, &home.name, &kinds()).await.unwrap();
            // Hashes cover the uids and the namespace, which differ on each run.
            snapshot.values_mut().for_each(mask_hashes);
            snapshot
        },
    )
    .await;
    assert!(report.crashes >= 10, "{report:?}");
}

fn mask_hashes(value: &mut Value) {
    if let Some(hash) = value.pointer_mut("/metadata/annotations/workflow.example.com~1applied-hash") {
        *hash = json!("<masked>");
    }
    if let Some(digest) =
        value.pointer_mut("/spec/template/metadata/annotations/workflow.example.com~1config-digest")
    {
        *digest = json!("<masked>");
    }
}
