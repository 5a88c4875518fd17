//! Who may read what the engine is opened with.

use std::time::Duration;

use api_types::engine_access::{Access, access_secret_name};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use test_support::wait::eventually;

use crate::world::{CLUSTER, World};

/// Each of the chart's services, with the Secrets that it may read.
async fn readable(home: &World) -> Vec<(&'static str, Vec<&'static str>)> {
    let services = [
        "process-controller",
        "tenant-controller",
        "worker-controller",
        "job-lag-metrics-adapter",
        "stranger",
    ];
    let mut readable = Vec::new();
    for service in services {
        let mut names = Vec::new();
        for access in Access::ALL {
            if home.may_read(service, &access_secret_name(CLUSTER, access)).await {
                names.push(access.name());
            }
        }
        readable.push((service, names));
    }
    readable
}

impl World {
    async fn may_read(&self, account: &str, secret: &str) -> bool {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{}:{account}", self.name)),
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(self.name.clone()),
                    verb: Some("get".to_owned()),
                    resource: Some("secrets".to_owned()),
                    name: Some(secret.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = Api::all(self.client.clone()).create(&PostParams::default(), &review).await.unwrap();
        answer.status.unwrap().allowed
    }
}

#[tokio::test]
async fn each_service_reads_its_own_token_or_key_and_no_other() {
    let apiserver = test_support::require_apiserver!();
    let home = World::new(apiserver, "readers").await;
    home.apply(|_| ()).await;
    home.settle_with_fresh_rights().await;
    let expected = vec![
        ("process-controller", vec!["controller-token"]),
        ("tenant-controller", vec!["controller-token", "client-key"]),
        ("worker-controller", vec!["worker-key"]),
        ("job-lag-metrics-adapter", vec!["monitor-token"]),
        ("stranger", Vec::new()),
    ];
    let arrived = eventually("the Roles arrive at the authorizer", Duration::from_secs(20), || async {
        let found = readable(&home).await;
        if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
    });
    Box::pin(arrived).await;
    let uid = home.cluster().await.uid().unwrap();
    for role in home.api::<Role>().list(&ListParams::default()).await.unwrap() {
        // The one that grants the controller its rights is the test's.
        let is_owned = controller_kit::plan::is_controlled_by(&role.metadata, &uid);
        assert_eq!(is_owned, role.name_any().starts_with(CLUSTER), "{}", role.name_any());
    }
}
