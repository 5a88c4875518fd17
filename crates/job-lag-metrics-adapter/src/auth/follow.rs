//! Reads and then follows the ConfigMap with kube-apiserver's authorities, which changes when they are rotated.

use std::sync::Arc;

use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::sync::watch;

use super::{AuthConfig, CurrentAuthConfig};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(
        "failed to read ConfigMap kube-system/extension-apiserver-authentication: not permitted; bind this service \
         account to the role that Kubernetes has for it: kubectl create rolebinding job-lag-metrics-adapter-auth-reader \
         -n kube-system --role=extension-apiserver-authentication-reader --serviceaccount=<namespace>:<service account>"
    )]
    NotPermitted(#[source] watcher::Error),
    #[error("the watch of ConfigMap kube-system/extension-apiserver-authentication ended")]
    Ended,
}

/// Where the followed configuration is published.
pub struct AuthConfigFollower {
    api: Api<ConfigMap>,
    publish: watch::Sender<Option<Arc<AuthConfig>>>,
}

impl AuthConfigFollower {
    pub fn new(client: Client) -> (Self, CurrentAuthConfig) {
        let (publish, current) = watch::channel(None);
        (Self { api: Api::namespaced(client, NAMESPACE), publish }, current)
    }

    /// Follows for ever. Ends with an error only when the right to read is missing from the start: nothing but an
    /// administrator can mend that, and a pod that restarts is what an administrator sees.
    pub async fn follow(self) -> FollowError {
        let states = watcher::watch_object(self.api.clone(), NAME).default_backoff();
        pin_mut!(states);
        while let Some(state) = states.next().await {
            match state {
                Ok(found) => self.apply(found),
                Err(error) if is_forbidden(&error) && self.publish.borrow().is_none() => {
                    return FollowError::NotPermitted(error);
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "failed to watch ConfigMap {NAMESPACE}/{NAME}"
                ),
            }
        }
        FollowError::Ended
    }

    fn apply(&self, found: Option<ConfigMap>) {
        let Some(config_map) = found else {
            // kube-apiserver writes it again within a minute; its absence says nothing about trust.
            tracing::warn!("ConfigMap {NAMESPACE}/{NAME} does not exist");
            return;
        };
        match AuthConfig::parse(&config_map.data.unwrap_or_default()) {
            Ok(config) => {
                tracing::info!(?config, "loaded the authorities of kube-apiserver");
                self.publish.send_replace(Some(Arc::new(config)));
            }
            Err(error) => {
                // What was trusted before may be what was just revoked.
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no client is trusted until this is mended"
                );
                self.publish.send_replace(None);
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(source)
    | watcher::Error::WatchStartFailed(source)
    | watcher::Error::WatchFailed(source)) = error
    else {
        return false;
    };
    matches!(source, kube::Error::Api(status) if status.code == 403)
}

#[cfg(test)]
mod tests;
