//! The objects: written, deleted and watched in the same way whether a controller or the bare client owns them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use e2e::sample::{CLUSTER, SYSTEM_NAMESPACE};
use futures::TryStreamExt as _;
use k8s_openapi::api::events::v1::Event;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use test_support::builders::ORDER_BPMN;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::stage::TENANT;

const MANAGER: &str = "bench";
const FINALIZER: &str = "workflow.example.com/bench";

/// One of the two kinds, in its namespace.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) client: Client,
    pub(crate) resource: ApiResource,
    pub(crate) namespace: String,
}

impl Kind {
    fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &self.resource)
    }

    /// As a GitOps tool does. Each object has a process id of its own.
    pub(crate) async fn apply(&self, number: u32) -> anyhow::Result<DynamicObject> {
        let name = format!("bench-{number:05}");
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "clusterRef": {"name": CLUSTER, "namespace": SYSTEM_NAMESPACE},
                "tenantRef": {"name": TENANT, "namespace": SYSTEM_NAMESPACE},
                "source": {"bpmn": ORDER_BPMN.replace("process id=\"order\"", &format!("process id=\"{name}\""))},
            },
        });
        let params = PatchParams::apply(MANAGER).force();
        self.api()
            .patch(&name, &params, &Patch::Apply(&body))
            .await
            .with_context(|| format!("applying {name}"))
    }

    pub(crate) async fn add_finalizer(&self, object: &DynamicObject) -> anyhow::Result<DynamicObject> {
        let body =
            json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": [FINALIZER]}});
        Ok(self.api().patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&body)).await?)
    }

    pub(crate) async fn remove_finalizers(&self, name: &str) -> anyhow::Result<()> {
        let body = json!({"metadata": {"finalizers": []}});
        self.api().patch(name, &PatchParams::default(), &Patch::Merge(&body)).await?;
        Ok(())
    }

    pub(crate) async fn apply_status(&self, object: &DynamicObject, status: &Value) -> anyhow::Result<()> {
        let name = object.name_any();
        let body = json!({
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": name, "uid": object.uid()},
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        self.api().patch_status(&name, &params, &Patch::Apply(&body)).await?;
        Ok(())
    }

    /// As long as those of the controller.
    pub(crate) async fn publish_event(&self, object: &DynamicObject) -> anyhow::Result<()> {
        let mut event: Event = serde_json::from_value(json!({
            "metadata": {"generateName": format!("{}-", object.name_any()), "namespace": self.namespace},
            "action": "Reconcile",
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "note": "Deployed v1 (key=2251799813686274)",
            "reason": "Deployed",
            "reportingController": "workflow.example.com/process-controller",
            "reportingInstance": "bench",
            "type": "Normal",
        }))?;
        event.regarding = Some(object.object_ref(&self.resource));
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        events.create(&PostParams::default(), &event).await?;
        Ok(())
    }

    pub(crate) async fn names(&self) -> anyhow::Result<Vec<String>> {
        let list = self.api().list_metadata(&ListParams::default()).await?;
        Ok(list.items.iter().map(kube::ResourceExt::name_any).collect())
    }

    pub(crate) async fn delete_all(&self) -> anyhow::Result<()> {
        self.api().delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        Ok(())
    }
}

/// What the watch has seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    present: BTreeSet<String>,
    deployed: BTreeSet<String>,
    phases: BTreeMap<String, String>,
    status: Option<Value>,
}

/// Follows the objects of a namespace from the beginning.
pub(crate) struct Watched {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    /// The namespace must have none.
    pub(crate) async fn start(kind: &Kind) -> anyhow::Result<Self> {
        let list = kind.api().list(&ListParams::default().limit(1)).await?;
        if let Some(left) = list.items.first() {
            bail!(
                "namespace {} still has {}: delete what an aborted run left",
                kind.namespace,
                left.name_any()
            );
        }
        let (sender, seen) = watch::channel(Seen::default());
        let version = list.metadata.resource_version.unwrap_or_default();
        let task = tokio::spawn(follow(kind.api(), version, sender));
        Ok(Self { seen, task })
    }

    pub(crate) async fn await_deployed(&self, count: u32, limit: Duration) -> anyhow::Result<()> {
        let count = usize::try_from(count)?;
        self.wait(limit, "deployed", move |seen| seen.deployed.len() == count).await
    }

    pub(crate) async fn await_gone(&self, limit: Duration) -> anyhow::Result<()> {
        self.wait(limit, "gone", |seen| seen.present.is_empty()).await
    }

    /// The status of any deployed object.
    pub(crate) fn status(&self) -> Option<Value> {
        self.seen.borrow().status.clone()
    }

    async fn wait(&self, limit: Duration, what: &str, done: impl FnMut(&Seen) -> bool) -> anyhow::Result<()> {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(limit, seen.wait_for(done)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("the watch ended early"),
            Err(_) => {
                let seen = self.seen.borrow().clone();
                let lagging: Vec<_> =
                    seen.phases.iter().filter(|(_, phase)| *phase != "Deployed").take(3).collect();
                bail!(
                    "not all {what} within {} s: {} present, {} deployed, among the others {lagging:?}",
                    limit.as_secs(),
                    seen.present.len(),
                    seen.deployed.len()
                )
            }
        }
    }
}

/// The API server ends a watch after some minutes at the latest; it is taken up where it ended.
async fn follow(
    api: Api<DynamicObject>,
    mut version: String,
    sender: watch::Sender<Seen>,
) -> anyhow::Result<()> {
    loop {
        let mut events = std::pin::pin!(api.watch(&WatchParams::default().timeout(290), &version).await?);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    version = object.resource_version().unwrap_or_default();
                    sender.send_modify(|seen| seen.take_up(&object));
                }
                WatchEvent::Deleted(object) => {
                    version = object.resource_version().unwrap_or_default();
                    sender.send_modify(|seen| {
                        seen.present.remove(&object.name_any());
                    });
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
            }
        }
    }
}

impl Seen {
    fn take_up(&mut self, object: &DynamicObject) {
        let name = object.name_any();
        let status = &object.data["status"];
        let phase = status["phase"].as_str().unwrap_or("no status");
        if phase == "Deployed" && status["observedGeneration"].as_i64() == object.metadata.generation {
            self.deployed.insert(name.clone());
            self.status.get_or_insert_with(|| status.clone());
        }
        self.phases.insert(name.clone(), phase.to_owned());
        self.present.insert(name);
    }
}
