use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::json;

use super::*;
use crate::FakeApiServer;
use crate::snapshot::snapshot_of;

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "acme")
}

async fn ensure(api: &Api<ConfigMap>, name: &str, data: &serde_json::Value) -> Result<(), kube::Error> {
    let desired = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    let found = api.get_opt(name).await?;
    if found.is_none_or(|found| json!(found.data.unwrap_or_default()) != *data) {
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&desired)).await?;
    }
    Ok(())
}

async fn test_crashes(reconcile: impl AsyncFn(&Client) -> Result<(), kube::Error>) -> CrashReport {
    survives_crash_at_every_write(
        async || FakeApiServer::new(),
        async |apiserver, faults| {
            let client = faults.wrap(apiserver.client());
            run_until_settled(faults, 5, async || reconcile(&client).await).await
        },
        async |apiserver| apiserver.snapshot(),
    )
    .await
}

#[tokio::test]
async fn resumable_reconcile_survives() {
    let report = test_crashes(async |client| {
        ensure(&config_maps(client), "a", &json!({})).await?;
        ensure(&config_maps(client), "b", &json!({})).await
    })
    .await;
    let write = |name| format!("PATCH /api/v1/namespaces/acme/configmaps/{name}");
    assert_eq!(report, CrashReport { writes: vec![write("a"), write("b")], crashes: 4 });
}

#[tokio::test]
async fn resumable_reconcile_survives_on_the_real_apiserver() {
    let apiserver = crate::require_apiserver!();
    let client = &apiserver.client().await;
    let report = survives_crash_at_every_write(
        async || apiserver.namespace("crash").await,
        async |namespace, faults| {
            let api: Api<ConfigMap> = Api::namespaced(faults.wrap(client.clone()), namespace);
            run_until_settled(faults, 5, async || {
                for name in ["a", "b"] {
                    ensure(&api, name, &json!({"namespace": namespace})).await?;
                }
                Ok::<(), kube::Error>(())
            })
            .await
        },
        async |namespace| {
            let kinds = [ApiResource::erase::<ConfigMap>(&())];
            snapshot_of(client, namespace, &kinds).await.unwrap()
        },
    )
    .await;
    assert_eq!((report.writes.len(), report.crashes), (2, 4));
}

/// Takes the existence of `a` as proof that `b` was written, which is wrong when it is killed between the two.
#[tokio::test]
#[should_panic(expected = "ends elsewhere:\n- configmaps/acme/b")]
async fn reconcile_that_does_not_resume_its_second_write_is_found() {
    test_crashes(async |client| {
        if config_maps(client).get_opt("a").await?.is_none() {
            ensure(&config_maps(client), "a", &json!({})).await?;
            ensure(&config_maps(client), "b", &json!({})).await?;
        }
        Ok(())
    })
    .await;
}

/// The answer of the create is lost: the second run makes a second object.
#[tokio::test]
#[should_panic(expected = "the run after a stop at After(1)")]
async fn create_that_is_not_idempotent_is_found() {
    test_crashes(async |client| {
        if config_maps(client).get_opt("done").await?.is_none() {
            let mut object = ConfigMap::default();
            object.metadata.generate_name = Some("made-".to_owned());
            config_maps(client).create(&PostParams::default(), &object).await?;
            ensure(&config_maps(client), "done", &json!({})).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "not settled after 5 passes")]
async fn reconcile_that_always_writes_is_found() {
    test_crashes(async |client| {
        let desired = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        config_maps(client).patch("a", &PatchParams::apply("test"), &Patch::Apply(&desired)).await.map(|_| ())
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "the undisturbed run wrote nothing")]
async fn reconcile_that_writes_nothing_is_refused() {
    test_crashes(async |_| Ok(())).await;
}

#[tokio::test]
#[should_panic(expected = "the undisturbed run failed")]
async fn reconcile_that_fails_is_reported() {
    test_crashes(async |client| config_maps(client).get("a").await.map(|_| ())).await;
}
