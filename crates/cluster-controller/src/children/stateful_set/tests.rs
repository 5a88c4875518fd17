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

/// The claim is given to engines that know of it. A new epoch is a change of the template, and no other plan of an upgrade.
#[test]
fn a_claim_is_given_and_is_no_part_of_what_the_spec_asks_for() {
    let cluster = minimal(|_| ());
    let build_with = |version: &str, claim: Option<&str>| {
        with_input(&cluster, |input| {
            let input = BuildInput { claim, ..*input };
            build(&input, &EngineTemplate::Wanted(version.parse().unwrap()), 3, 3)
        })
    };
    let given = |set: &StatefulSet| with_input(&cluster, |input| claim_of(set, input));
    let [first, second] = ["i/acme/dev#1", "i/acme/dev#2"].map(|claim| build_with("1.3.0", Some(claim)));
    assert_eq!(
        (given(&first).as_deref(), given(&second).as_deref()),
        (Some("i/acme/dev#1"), Some("i/acme/dev#2"))
    );
    assert_eq!(applied_digest(&first), applied_digest(&second));
    assert!(changes_template(&second, &first));
    for version in ["1.2.3", "1.2.99"] {
        assert_eq!(build_with(version, Some("i/acme/dev#1")), build_with(version, None), "{version}");
    }
    for version in ["1.3.0", "1.10.0", "2.0.0"] {
        assert!(given(&build_with(version, Some("i/acme/dev#1"))).is_some(), "{version}");
    }
}

#[test]
fn a_former_template_gets_the_claim_of_today_on_its_own_database_only() {
    let cluster = minimal(|_| ());
    let moved = minimal(|cluster| {
        cluster.spec.postgres.external_ref.as_mut().unwrap().host = "moved.example".to_owned();
    });
    let build_former = |version: &str, made_for: &WorkflowCluster| {
        let version: Version = version.parse().unwrap();
        let made = with_input(made_for, |input| {
            build(input, &EngineTemplate::Wanted(version.clone()), 3, 3).spec.unwrap().template
        });
        let former = EngineTemplate::Former {
            version,
            digest: "former".to_owned(),
            template: Some(Box::new(made.clone())),
        };
        let built = with_input(&cluster, |input| {
            build(&BuildInput { claim: Some("i/acme/dev#9"), ..*input }, &former, 3, 3).spec.unwrap().template
        });
        (made, built)
    };
    let (_, built) = build_former("1.3.0", &cluster);
    assert_eq!(variable_of(&built, CLAIM_VARIABLE), Some("i/acme/dev#9"));
    for (version, made_for) in [("1.3.0", &moved), ("1.2.3", &cluster)] {
        let (made, built) = build_former(version, made_for);
        assert_eq!(built, made, "{version}");
    }
}
