use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::*;

/// An object whose label names its dependant; its version changes with every write.
fn object(name: &str, version: &str, concerns: &str) -> Arc<ConfigMap> {
    Arc::new(ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            resource_version: Some(version.into()),
            labels: Some([("concerns".to_owned(), concerns.to_owned())].into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    })
}

#[test]
fn only_dependants_of_changed_fields_are_queued() {
    let mut concerns = ChangedFields::new(|object: &ConfigMap| object.labels()["concerns"].clone());
    let mut queued = |changes: &[Change<ConfigMap>]| {
        let of = |concern: &String| vec![ObjectRef::<ConfigMap>::new(concern)];
        let mut names: Vec<_> = concerns.dependants_of(changes, of).into_iter().map(|it| it.name).collect();
        names.sort();
        names
    };
    let present = |name, version, dependant| Change::Present(object(name, version, dependant));
    assert_eq!(queued(&[present("a", "1", "x"), present("b", "1", "x")]), ["x"], "listed");
    assert_eq!(
        queued(&[present("a", "2", "x"), present("b", "1", "x")]),
        [""; 0],
        "listed again, one status written"
    );
    assert_eq!(queued(&[present("a", "3", "y")]), ["x", "y"], "the former and the present dependant");
    assert_eq!(queued(&[Change::Gone(object("a", "3", "y"))]), ["y"], "gone");
    assert_eq!(queued(&[present("a", "4", "y")]), ["y"], "created again");
    let recreated = [Change::Gone(object("a", "4", "y")), present("a", "5", "y")];
    assert_eq!(queued(&recreated), ["y"], "created again while the watch was interrupted");
}
