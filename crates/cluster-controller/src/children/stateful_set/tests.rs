use super::*;
use crate::testing::{SEED, cluster, minimal, settled_set, with_input};

#[test]
fn a_template_tells_its_version_and_its_database() {
    let set = settled_set(&minimal(|_| ()), "1.2.2");
    assert_eq!(version_of(&set), Some(Version::new(1, 2, 2)));
    assert_eq!(database_of(&set), Some("workflow".to_owned()));
}

#[test]
fn replicas_and_partition_are_no_change_of_the_template() {
    let build = |replicas, partition| {
        let cluster = minimal(|cluster| cluster.spec.replicas = replicas);
        with_input(&cluster, |input| {
            build(input, &EngineTemplate::Wanted(Version::new(1, 2, 3)), 3, partition)
        })
    };
    assert!(!changes_template(&build(3, 0), &build(1, 1)));
}

#[test]
fn resources_are_a_change_of_the_template() {
    let seed = cluster(SEED);
    let smaller = {
        let mut cluster = seed.clone();
        cluster.spec.resources = None;
        cluster
    };
    let build = |cluster| {
        with_input(cluster, |input| build(input, &EngineTemplate::Wanted(Version::new(1, 2, 3)), 3, 3))
    };
    assert!(changes_template(&build(&smaller), &build(&seed)));
}

#[test]
fn the_selector_never_changes() {
    let set = with_input(&cluster(SEED), |input| {
        build(input, &EngineTemplate::Wanted(Version::new(9, 9, 9)), 3, 0)
    });
    let expected = [
        ("app.kubernetes.io/component", "engine"),
        ("app.kubernetes.io/instance", "prod-east"),
        ("app.kubernetes.io/name", "workflow-engine"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(set.spec.unwrap().selector.match_labels, Some(expected));
}
