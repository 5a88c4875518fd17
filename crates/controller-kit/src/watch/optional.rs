//! The watch of a kind that another operator brings: it may not be installed yet, or no longer.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::Resource;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{Error, Event, watcher as watch};

use super::{Watch, WatchBackoff, WatchContext, hint_of, key_of, list_config, liveness, trigger_of};
use crate::controller::Queue;
use crate::optional_kind::{Absence, absence};

/// A kind that is not installed is looked for again after this time. It costs one call.
pub const ABSENT_RECHECK: Duration = Duration::from_secs(15);

/// A kind that may not be installed.
#[derive(Clone, Debug)]
pub struct OptionalKind {
    /// Name of its watch in metrics and probes.
    pub name: &'static str,
    /// The kind.
    pub resource: ApiResource,
    /// Only objects with these labels are asked for.
    pub labels: String,
}

/// Watches a kind that may not be installed, and keeps none of its objects: a pass that needs one reads it by name. The
/// dependants of an object are queued when the object comes or goes, when its spec or metadata changes, or what `fields`
/// returns for it. Who they are is asked at each change; of an object that goes, also who they were before. While the kind is not installed nothing is wrong: it is looked for every [`ABSENT_RECHECK`]. No pass
/// waits for this watch, and readiness does not depend on it.
pub fn watch_optional<Owner, C>(
    context: &WatchContext,
    kind: OptionalKind,
    queue: Queue<Owner>,
    fields: impl Fn(&DynamicObject) -> C + Send + 'static,
    dependants: impl Fn(&DynamicObject) -> Vec<ObjectRef<Owner>> + Send + 'static,
) -> Watch
where
    Owner: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    C: PartialEq + Send + 'static,
{
    let OptionalKind { name, resource, labels } = kind;
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), &resource);
    let path = api.resource_url().to_owned();
    let live = liveness(context, name, &path);
    let (metrics, progress) = (context.metrics.clone(), context.progress.clone());
    let (listed_sender, listed) = tokio::sync::watch::channel(true);
    let mut seen = Seen::new(fields, dependants);
    let task = async move {
        // Lives as long as the task, like that of every other watch.
        let _listed = listed_sender;
        let (mut backoff, mut is_installed) = (WatchBackoff::new(), None);
        loop {
            let mut events = std::pin::pin!(watch(api.clone(), list_config().labels(&labels)));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        // The first event of a list comes before the API server is asked.
                        if !matches!(event, Event::Init) {
                            backoff = WatchBackoff::new();
                            if is_installed.replace(true) == Some(false) {
                                tracing::info!(watch = name, "the kind is installed now and watched");
                            }
                        }
                        queue.push_all(seen.accept(event));
                    }
                    Err(error) if is_absent(&error) => {
                        progress.note(&path, Instant::now());
                        queue.push_all(seen.forget());
                        if is_installed.replace(false) != Some(false) {
                            tracing::info!(
                                watch = name,
                                "the kind is not installed, it is looked for again and again"
                            );
                        }
                        tokio::time::sleep(ABSENT_RECHECK).await;
                        // Versions that the former watch knows mean nothing to the kind that comes next.
                        break;
                    }
                    // As when the kind was removed and installed again meanwhile. A new list follows.
                    Err(Error::WatchError(status)) if status.code == 410 => {
                        tokio::time::sleep(backoff.next().unwrap_or(ABSENT_RECHECK)).await;
                    }
                    Err(error) => {
                        if is_refused(&error) {
                            // A restart would not help.
                            progress.note(&path, Instant::now());
                        }
                        metrics.count_watch_error(progress.cluster(), name);
                        tracing::warn!(watch = name, %error, hint = hint_of(&error), "watch broke, starting it again");
                        tokio::time::sleep(backoff.next().unwrap_or(ABSENT_RECHECK)).await;
                    }
                }
            }
        }
    };
    Watch { name, listed, live, task: Box::pin(task) }
}

/// A list or a watch names no object: what is not found is the kind.
fn is_absent(error: &Error) -> bool {
    let (Error::InitialListFailed(source) | Error::WatchStartFailed(source)) = error else { return false };
    absence(source) == Some(Absence::Kind)
}

/// The API server answers, for instance that the ServiceAccount lacks a right.
fn is_refused(error: &Error) -> bool {
    matches!(
        error,
        Error::InitialListFailed(kube::Error::Api(_)) | Error::WatchStartFailed(kube::Error::Api(_))
    )
}

/// What is known of each object: what the pass of its dependants depends on, and who they are.
struct Seen<Owner: Resource, C, F, O> {
    fields: F,
    dependants: O,
    known: HashMap<String, (u64, C, Vec<ObjectRef<Owner>>)>,
    /// Of the list that is being read.
    listed: HashSet<String>,
}

impl<Owner, C, F, O> Seen<Owner, C, F, O>
where
    Owner: Resource<DynamicType = ()>,
    C: PartialEq,
    F: Fn(&DynamicObject) -> C,
    O: Fn(&DynamicObject) -> Vec<ObjectRef<Owner>>,
{
    fn new(fields: F, dependants: O) -> Self {
        Self { fields, dependants, known: HashMap::new(), listed: HashSet::new() }
    }

    /// The dependants that need a pass.
    fn accept(&mut self, event: Event<DynamicObject>) -> Vec<ObjectRef<Owner>> {
        match event {
            Event::Apply(object) => self.compare(&object),
            Event::Delete(object) => {
                let former = self.remove(&key_of(object.meta()));
                union(former, (self.dependants)(&object))
            }
            Event::Init => {
                self.listed.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.listed.insert(key_of(object.meta()));
                self.compare(&object)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                let gone: Vec<_> = self.known.keys().filter(|key| !listed.contains(*key)).cloned().collect();
                gone.iter().flat_map(|key| self.remove(key)).collect()
            }
        }
    }

    /// Dependants of all objects, which are gone with their kind.
    fn forget(&mut self) -> Vec<ObjectRef<Owner>> {
        self.known.drain().flat_map(|(_, (.., dependants))| dependants).collect()
    }

    fn compare(&mut self, object: &DynamicObject) -> Vec<ObjectRef<Owner>> {
        let key = key_of(object.meta());
        let now = (metadata_of(object.meta()), (self.fields)(object), (self.dependants)(object));
        if self.known.get(&key) == Some(&now) {
            return Vec::new();
        }
        let dependants = now.2.clone();
        let former = self.known.insert(key, now).map(|(.., dependants)| dependants);
        union(former.unwrap_or_default(), dependants)
    }

    fn remove(&mut self, key: &str) -> Vec<ObjectRef<Owner>> {
        self.known.remove(key).map(|(.., dependants)| dependants).unwrap_or_default()
    }
}

/// Each of them once.
fn union<Owner: Resource<DynamicType = ()>>(
    mut former: Vec<ObjectRef<Owner>>,
    now: Vec<ObjectRef<Owner>>,
) -> Vec<ObjectRef<Owner>> {
    former.retain(|former| !now.contains(former));
    former.extend(now);
    former
}

/// Changes with the spec and with the metadata that a pass depends on.
fn metadata_of(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    trigger_of(meta).hash(&mut hasher);
    for owner in meta.owner_references.iter().flatten() {
        (&owner.uid, owner.controller).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
