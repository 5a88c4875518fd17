use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::*;

/// An object whose label says on whom it has an effect; its version changes with every write.
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
fn only_whom_a_change_concerns_is_woken_and_only_by_a_change() {
    let mut concerns = ChangedFields::new(|object: &ConfigMap| object.labels()["concerns"].clone());
    let mut woken = |changes: &[Change<ConfigMap>]| {
        let of = |concern: &String| vec![ObjectRef::<ConfigMap>::new(concern)];
        let mut names: Vec<_> = concerns.dependants_of(changes, of).into_iter().map(|it| it.name).collect();
        names.sort();
        names
    };
    let present = |name, version, whom| Change::Present(object(name, version, whom));
    assert_eq!(woken(&[present("a", "1", "x"), present("b", "1", "x")]), ["x"], "listed");
    assert_eq!(
        woken(&[present("a", "2", "x"), present("b", "1", "x")]),
        [""; 0],
        "listed again, one status written"
    );
    assert_eq!(woken(&[present("a", "3", "y")]), ["x", "y"], "those it concerned and those it concerns");
    assert_eq!(woken(&[Change::Gone(object("a", "3", "y"))]), ["y"], "gone");
    assert_eq!(woken(&[present("a", "4", "y")]), ["y"], "made anew");
    let anew = [Change::Gone(object("a", "4", "y")), present("a", "5", "y")];
    assert_eq!(woken(&anew), ["y"], "made anew while nobody watched");
}
