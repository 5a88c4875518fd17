//! Puts a controller together: its queue, the watch of its own kind, the watches of what it depends on, and its passes.

use std::fmt::Debug;
use std::sync::Arc;

use api_types::status::Status as _;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::object::HasStatus as _;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::apply::Writer;
use crate::children::{ChildCaches, ChildObject, ChildSet, watch_children};
use crate::controller::{Queue, QueueEnd, static_kind};
use crate::pass::{Kind, Passes};
use crate::run::Service;
use crate::watch::{
    self, OptionalKind, Watch, WatchContext, watch_metadata, watch_metadata_store, watch_optional, watch_own,
    watch_referenced,
};

/// The controller of kind `K`, not running yet.
pub struct ControllerBuilder<'s, K: Kind> {
    service: &'s mut Service,
    context: WatchContext,
    watches: Vec<Watch>,
    queue: Queue<K::Object>,
    end: QueueEnd<K::Object>,
    objects: Store<K::Object>,
    writer: Writer,
}

impl<'s, K: Kind> ControllerBuilder<'s, K> {
    /// Watches the kind itself. `field_manager` is the name of all writes.
    #[must_use]
    pub fn new(service: &'s mut Service, field_manager: &'static str) -> Self {
        let context = service.watch_context();
        let (queue, end) = Queue::new();
        let (objects, own) = watch_own::<K::Object>(&context, static_kind::<K::Object>(), queue.clone());
        let writer = Writer::new(service.client.clone(), field_manager);
        Self { service, context, watches: vec![own], queue, end, objects, writer }
    }

    /// The service that it will run in.
    #[must_use]
    pub fn service(&mut self) -> &mut Service {
        self.service
    }

    /// The writer of the passes, for other writes of the controller.
    #[must_use]
    pub fn writer(&self) -> Writer {
        self.writer.clone()
    }

    /// All objects of the kind, as the watch shows them.
    #[must_use]
    pub fn objects(&self) -> Store<K::Object> {
        self.objects.clone()
    }

    /// The queue, for a task of the controller that requests passes.
    #[must_use]
    pub fn queue(&self) -> Queue<K::Object> {
        self.queue.clone()
    }

    /// Watches a kind that is only read. Objects for which `depends` is true get a pass when the `fields` of what they
    /// depend on change.
    pub fn watch_referenced<R, C>(
        &mut self,
        fields: impl Fn(&R) -> C + Send + 'static,
        depends: impl Fn(&K::Object, &C) -> bool + Send + 'static,
    ) -> Store<R>
    where
        R: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        C: Clone + PartialEq + Send + 'static,
    {
        let objects = self.objects.clone();
        let (store, watch) =
            watch_referenced(&self.context, static_kind::<R>(), self.queue.clone(), fields, move |changed| {
                dependants(&objects, |object| depends(object, changed))
            });
        self.watches.push(watch);
        store
    }

    /// The same for a kind of which only metadata is read. `depends` also gets the store of that kind.
    pub fn watch_metadata_store<R, C>(
        &mut self,
        fields: impl Fn(&PartialObjectMeta<R>) -> C + Send + 'static,
        depends: impl Fn(&K::Object, &C, &Store<PartialObjectMeta<R>>) -> bool + Send + 'static,
    ) -> Store<PartialObjectMeta<R>>
    where
        R: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        C: Clone + PartialEq + Send + 'static,
    {
        let objects = self.objects.clone();
        let (store, watch) = watch_metadata_store(
            &self.context,
            static_kind::<R>(),
            self.queue.clone(),
            fields,
            move |changed, kept| dependants(&objects, |object| depends(object, changed, kept)),
        );
        self.watches.push(watch);
        store
    }

    /// Watches metadata without a store. Objects for which `depends` is true get a pass at every change.
    pub fn watch_metadata<R>(
        &mut self,
        depends: impl Fn(&K::Object, &PartialObjectMeta<R>) -> bool + Send + Sync + 'static,
    ) where
        R: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let objects = self.objects.clone();
        self.watches.push(watch_metadata(
            &self.context,
            static_kind::<R>(),
            self.queue.clone(),
            move |changed| dependants(&objects, |object| depends(object, changed)),
        ));
    }

    /// Watches every kind of child in the set, by the `managed-by` label. The owner gets a pass when the value of
    /// `Child::trigger` changes.
    pub fn watch_children<S>(&mut self, managed_by: &str) -> ChildCaches
    where
        S: ChildSet<Owner = K::Object>,
    {
        let (caches, watches) = watch_children::<S>(&self.context, managed_by, &self.queue);
        self.watches.extend(watches);
        caches
    }

    /// Watches objects of which an owner has any number, by the `managed-by` label. The owner gets a pass at every
    /// change.
    pub fn watch_owned<C: ChildObject>(&mut self, managed_by: &str) -> Store<C> {
        let kind = static_kind::<C>();
        let (store, watch) = watch::watch_children(&self.context, kind, managed_by, self.queue.clone());
        self.watches.push(watch);
        store
    }

    /// Watches a kind that may not be installed, see [`watch_optional`]. The `owner` of an object gets a pass when it
    /// comes or goes, when its spec or metadata changes, or its `fields`.
    pub fn watch_optional<C>(
        &mut self,
        kind: OptionalKind,
        fields: impl Fn(&DynamicObject) -> C + Send + 'static,
        owner: impl Fn(&DynamicObject) -> Option<ObjectRef<K::Object>> + Send + 'static,
    ) where
        C: PartialEq + Send + 'static,
    {
        let owners = move |object: &DynamicObject| owner(object).into_iter().collect();
        self.watches.push(watch_optional(&self.context, kind, self.queue.clone(), fields, owners));
    }

    /// The same for a kind that is only read: objects for which `depends` is true get a pass.
    pub fn watch_optional_referenced<C>(
        &mut self,
        kind: OptionalKind,
        fields: impl Fn(&DynamicObject) -> C + Send + 'static,
        depends: impl Fn(&K::Object, &DynamicObject) -> bool + Send + 'static,
    ) where
        C: PartialEq + Send + 'static,
    {
        let objects = self.objects.clone();
        let owners = move |changed: &DynamicObject| dependants(&objects, |object| depends(object, changed));
        self.watches.push(watch_optional(&self.context, kind, self.queue.clone(), fields, owners));
    }

    /// Runs the controller. It begins with its first pass when every watch has its first complete list.
    pub fn run(self, kind: K) {
        let Self { service, watches, end, objects, writer, .. } = self;
        service.watch(watches);
        let listed = objects.clone();
        service.metrics.register_resource_status(
            static_kind::<K::Object>(),
            service.args.resource_status_limit,
            move || listed.state().iter().map(|object| phase_row::<K>(object)).collect(),
        );
        let passes =
            Passes { kind, writer, publisher: service.publisher.clone(), clock: service.clock.clone() };
        service.control(passes, objects, end);
    }
}

/// The objects in `objects` for which `depends` is true.
fn dependants<K>(objects: &Store<K>, depends: impl Fn(&K) -> bool) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let objects: Vec<Arc<K>> = objects.state();
    objects.iter().filter(|object| depends(object)).map(|object| ObjectRef::from_obj(&**object)).collect()
}

/// Namespace, name and phase, as `operator_resource_status` has them.
fn phase_row<K: Kind>(object: &K::Object) -> (String, String, String) {
    let phase = object.status().cloned().unwrap_or_default().phase();
    (object.namespace().unwrap_or_default(), object.name_any(), format!("{phase:?}"))
}
