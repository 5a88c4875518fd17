//! A whole rotation, as an engine and the holders of tokens see it.

use std::sync::Arc;

use api_types::engine_access::{Access, CURRENT_KEY, NEXT_KEY, PREVIOUS_KEY, access_secret_name};
use api_types::labels::{ADOPT, PROOF, ROTATE_CREDENTIALS};
use api_types::{WorkflowTenant, WorkflowWorker};
use engine_access::engine::{EngineConnector, EngineRole, TenantAccess};
use engine_client::{
    Accepted, Credential, CredentialError, CredentialVerifier, Role as TokenIsFor, TenantEpoch, TenantKey,
    TokenRole,
};
use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::world::{CLUSTER, ENGINE, World, read};

/// The token in a Secret that was made for somebody.
struct Given {
    role: TokenRole,
    token: Credential,
}

fn tenant() -> TenantEpoch {
    TenantEpoch { tenant_id: "acme".to_owned(), epoch: "uid-acme".to_owned() }
}

impl World {
    fn pass_time(&self, to: Timestamp) {
        *self.now.lock().unwrap() = Some(to);
    }

    async fn data(&self, access: Access) -> std::collections::BTreeMap<String, String> {
        let secret = self.api::<Secret>().get(&access_secret_name(CLUSTER, access)).await.unwrap();
        let data = secret.data.unwrap_or_default().into_iter();
        data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect()
    }

    /// What an engine accepts that has read the Secrets as they are now.
    async fn verifier(&self) -> CredentialVerifier {
        async fn read<T>(
            home: &World,
            access: Access,
            parse: impl Fn(&str) -> Result<T, CredentialError>,
        ) -> Vec<T> {
            let data = home.data(access).await;
            [CURRENT_KEY, NEXT_KEY, PREVIOUS_KEY]
                .iter()
                .filter_map(|key| data.get(*key))
                .map(|text| parse(text).unwrap())
                .collect()
        }
        CredentialVerifier::new(Accepted {
            controller: read(self, Access::ControllerToken, Credential::parse).await,
            monitor: read(self, Access::MonitorToken, Credential::parse).await,
            worker: read(self, Access::WorkerKey, TenantKey::parse).await,
            client: read(self, Access::ClientKey, TenantKey::parse).await,
        })
        .unwrap()
    }

    async fn accepts(&self, given: &Given) -> bool {
        let header = format!("Bearer {}", given.token.expose());
        let expected = match given.role {
            TokenRole::Worker => TokenIsFor::Worker(tenant()),
            TokenRole::Client => TokenIsFor::Client(tenant()),
        };
        self.verifier().await.verify(&header) == Some(expected)
    }

    /// As worker-controller and tenant-controller do it: through the cluster's status and its Secrets.
    async fn mint(&self, connector: &EngineConnector, role: TokenRole) -> Given {
        let TenantAccess { key, .. } = connector.tenant_access(&self.cluster().await, role).await.unwrap();
        Given { role, token: key.mint(role, &tenant()) }
    }

    /// Worker and tenant report the keys of their tokens.
    async fn report(&self, worker: &Given, client: &Given) {
        let worker = json!({"status": {"accessKeyId": worker.token.key_id()}});
        let params = PatchParams::default();
        self.api::<WorkflowWorker>().patch_status("w", &params, &Patch::Merge(worker)).await.unwrap();
        let tenant = json!({"status": {"clientKeyId": client.token.key_id()}});
        self.api::<WorkflowTenant>().patch_status("acme", &params, &Patch::Merge(tenant)).await.unwrap();
    }

    async fn rotating(&self) -> Option<String> {
        let conditions = self.cluster().await.status.unwrap().conditions;
        conditions.into_iter().find(|found| found.type_ == "RotatingCredentials").map(|found| found.reason)
    }

    async fn create_dependants(&self) {
        let worker = json!({
            "metadata": {"name": "w"},
            "spec": {"clusterRef": {"name": CLUSTER}, "image": "registry.example.com/w:1.0.0", "jobTypes": ["pay"]},
        });
        self.api().create(&PostParams::default(), &read::<WorkflowWorker>(worker)).await.unwrap();
        let tenant = json!({"metadata": {"name": "acme"}, "spec": {"clusterRef": {"name": CLUSTER}}});
        self.api().create(&PostParams::default(), &read::<WorkflowTenant>(tenant)).await.unwrap();
    }
}

#[tokio::test]
async fn every_token_is_good_until_its_holder_has_the_next_one() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "rotation").await;
    let start: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    home.pass_time(start);
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    home.create_dependants().await;
    let connector =
        EngineConnector::new(home.client.clone(), Arc::new(home.engines.clone()), EngineRole::Monitor);
    let old =
        [home.mint(&connector, TokenRole::Worker).await, home.mint(&connector, TokenRole::Client).await];
    home.report(&old[0], &old[1]).await;
    let controller_token = home.data(Access::ControllerToken).await[CURRENT_KEY].clone();
    let admits = async |token: &str| home.verifier().await.verify(&format!("Bearer {token}")).is_some();

    home.apply(|cluster| cluster["metadata"]["annotations"] = json!({ROTATE_CREDENTIALS: "one"})).await;
    for minutes in [0, 5, 9] {
        home.pass_time(start + minutes.minutes());
        home.pass().await;
        home.pass().await;
        assert_eq!(home.rotating().await.as_deref(), Some("CredentialsAnnounced"));
        for given in &old {
            assert!(home.accepts(given).await, "{minutes}");
            assert_eq!(home.mint(&connector, given.role).await.token.expose(), given.token.expose());
        }
    }

    home.pass_time(start + 10.minutes());
    home.pass().await;
    home.pass().await;
    // The status tells the new keys: what was read a moment ago is not used any more.
    let new =
        [home.mint(&connector, TokenRole::Worker).await, home.mint(&connector, TokenRole::Client).await];
    for (old, new) in std::iter::zip(&old, &new) {
        assert_ne!(old.token.key_id(), new.token.key_id());
        assert!(home.accepts(old).await && home.accepts(new).await);
    }
    assert!(admits(&controller_token).await);

    // The overlap is over, but the worker was paused and has its old token.
    home.report(&old[0], &new[1]).await;
    home.pass_time(start + 25.hours());
    home.pass().await;
    home.pass_time(start + 26.hours());
    home.pass().await;
    home.pass().await;
    assert_eq!(home.rotating().await.as_deref(), Some("CredentialsHeld"));
    assert!(home.accepts(&old[0]).await && home.accepts(&new[0]).await);
    assert!(!home.accepts(&old[1]).await && home.accepts(&new[1]).await, "nobody has it any more");
    assert!(!admits(&controller_token).await);

    home.report(&new[0], &new[1]).await;
    home.pass().await;
    assert!(home.accepts(&old[0]).await, "its pods get time to read the new one");
    home.pass_time(start + 27.hours());
    home.pass().await;
    home.pass().await;
    assert_eq!(home.rotating().await, None);
    assert!(!home.accepts(&old[0]).await && home.accepts(&new[0]).await);
    assert_eq!(home.data(Access::WorkerKey).await.into_keys().collect::<Vec<_>>(), [CURRENT_KEY]);
    let before = home.written_versions().await;
    home.pass().await;
    assert_eq!(home.written_versions().await, before, "a word is handled once");
}

#[tokio::test]
async fn a_planted_secret_is_refused_until_a_person_vouches_for_it() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "planted").await;
    let name = access_secret_name(CLUSTER, Access::ControllerToken);
    let planted: Secret = read(json!({
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "workflow-operator", "workflow.example.com/cluster": CLUSTER},
            "annotations": {PROOF: "v1.bm8gcHJvb2Y"},
        },
        "stringData": {"current": "known"},
    }));
    home.api().create(&PostParams::default(), &planted).await.unwrap();
    let planted = home.api::<Secret>().get(&name).await.unwrap();
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let status = home.cluster().await.status.unwrap();
    let stalled = status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
    assert_eq!(stalled.reason, "SecretUnproven");
    assert!(stalled.message.contains(&planted.uid().unwrap()), "{}", stalled.message);
    assert_eq!(home.api::<Secret>().get(&name).await.unwrap(), planted);
    assert!(home.api::<StatefulSet>().get_opt(ENGINE).await.unwrap().is_none());

    home.apply(|cluster| cluster["metadata"]["annotations"] = json!({ADOPT: planted.uid()})).await;
    home.settle().await;
    assert!(home.cluster().await.status.unwrap().ready);
    assert_eq!(home.data(Access::ControllerToken).await[CURRENT_KEY], "known");
}
