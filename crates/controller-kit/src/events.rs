//! Events (`events.k8s.io/v1`) on objects. [`crate::status`] decides which change gets an event. This module publishes
//! them, and limits those of an object that changes all the time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1 as kubernetes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};

use crate::clock::Clock;
use crate::message::bounded;

/// The same event about the same object is published once in this time, also when another one came in between.
const QUIET_TIME: Duration = Duration::from_mins(1);
/// With so many remembered events, those older than [`QUIET_TIME`] are dropped.
const REMEMBERED: usize = 1_000;

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Nothing is wrong.
    Normal,
    /// Somebody may want to act.
    Warning,
}

/// An event before it is published.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// Normal or Warning.
    pub type_: EventType,
    /// CamelCase word, at most 128 characters.
    pub reason: String,
    /// For people; cut to 256 characters.
    pub note: String,
}

/// Publishes events as one controller. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    controller: &'static str,
    instance: String,
    clock: Clock,
    /// Digests of object and event: the texts of a thousand objects would need more memory than all else that is kept
    /// of them.
    published: Arc<Mutex<HashMap<u64, Instant>>>,
}

impl Publisher {
    /// `instance` is the pod's name.
    #[must_use]
    pub fn new(client: Client, controller: &'static str, instance: String, clock: Clock) -> Self {
        Self { client, controller, instance, clock, published: Arc::default() }
    }

    /// Publishes `event` about `object`. A failure is only logged: it must not fail the pass.
    pub async fn publish<K: Resource<DynamicType = ()>>(&self, object: &K, event: Event) {
        self.publish_about(object.object_ref(&()), event).await;
    }

    /// The same for an object that is only known by reference.
    pub async fn publish_about(&self, regarding: ObjectReference, event: Event) {
        if !self.remember(regarding.uid.as_deref(), &event) {
            return;
        }
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let published = self.build_event(regarding, &event);
        let api: Api<kubernetes::Event> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &published).await {
            tracing::warn!(%error, reason = event.reason, "failed to publish an event");
        }
    }

    fn build_event(&self, regarding: ObjectReference, event: &Event) -> kubernetes::Event {
        let name = regarding.name.clone().unwrap_or_default();
        kubernetes::Event {
            metadata: ObjectMeta {
                // 253 characters at most: name, dot, 32 digits.
                name: Some(format!(
                    "{}.{}",
                    name.chars().take(200).collect::<String>(),
                    uuid::Uuid::new_v4().simple()
                )),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(self.clock.now())),
            note: Some(bounded(&event.note)),
            reason: Some(event.reason.clone()),
            regarding: Some(regarding),
            reporting_controller: Some(format!("{}/{}", api_types::GROUP, self.controller)),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(match event.type_ {
                EventType::Normal => "Normal".to_owned(),
                EventType::Warning => "Warning".to_owned(),
            }),
            ..kubernetes::Event::default()
        }
    }

    /// `false`: published within the [`QUIET_TIME`].
    fn remember(&self, uid: Option<&str>, event: &Event) -> bool {
        let mut hasher = DefaultHasher::new();
        (uid, event).hash(&mut hasher);
        let key = hasher.finish();
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if published.len() >= REMEMBERED {
            published.retain(|_, at| now.duration_since(*at) < QUIET_TIME);
        }
        if published.get(&key).is_some_and(|at| now.duration_since(*at) < QUIET_TIME) {
            return false;
        }
        published.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests;
