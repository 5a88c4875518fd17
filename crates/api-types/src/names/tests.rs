use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::engine_access;
use crate::grammar::DNS_LABEL;

#[rstest]
#[case("prod-east", "engine", "prod-east-engine")]
#[case("a", "b", "a-b")]
fn short_name_is_parent_and_suffix(#[case] parent: &str, #[case] suffix: &str, #[case] expected: &str) {
    assert_eq!(child(parent, suffix), expected);
}

#[test]
fn long_names_of_different_parents_are_cut_and_differ() {
    let parents = [format!("{}a", "p".repeat(70)), format!("{}b", "p".repeat(70))];
    let names = parents.map(|parent| child(&parent, "engine"));
    assert_eq!(names.each_ref().map(String::len), [MAX_NAME; 2]);
    assert_ne!(names[0], names[1]);
}

#[test]
fn long_names_of_different_suffixes_differ() {
    let parent = "p".repeat(63);
    assert_ne!(child(&parent, "engine"), child(&parent, "engine-headless"));
}

#[test]
fn qualified_names_differ_where_the_joined_words_are_equal() {
    assert_ne!(qualified("a-b", "c"), qualified("a", "b-c"));
}

#[rstest]
#[case("1.2.3", "v1-2-3")]
#[case("1.2.3-rc.1", "v1-2-3-rc-1")]
#[case("1.2.3-RC.1", "v1-2-3-rc-1")]
fn version_key_has_no_dots(#[case] version: &str, #[case] expected: &str) {
    assert_eq!(version_key(version), expected);
}

#[test]
fn children_of_the_longest_cluster_name_are_not_cut() {
    let cluster = "c".repeat(crate::cluster::MAX_CLUSTER_NAME);
    let names = cluster_children(&cluster);
    assert!(names.iter().all(|name| name.starts_with(&cluster)), "{names:?}");
}

/// Else `a` + `x-y` and `a-x` + `y` would give the same name.
#[test]
fn no_suffix_of_a_cluster_ends_with_another() {
    let suffixes = cluster_children("").map(|name| name.trim_start_matches('-').to_owned());
    for suffix in &suffixes {
        for other in &suffixes {
            assert!(!suffix.ends_with(&format!("-{other}")), "{suffix} ends with -{other}");
        }
    }
}

fn cluster_children(cluster: &str) -> [String; 9] {
    [
        engine_access::engine_name(cluster),
        engine_access::headless_service_name(cluster),
        engine_access::ca_config_map_name(cluster),
        engine_access::ca_key_secret_name(cluster),
        engine_access::tls_secret_name(cluster),
        engine_access::access_secret_name(cluster, engine_access::Access::ControllerToken),
        engine_access::access_secret_name(cluster, engine_access::Access::MonitorToken),
        engine_access::access_secret_name(cluster, engine_access::Access::WorkerKey),
        engine_access::access_secret_name(cluster, engine_access::Access::ClientKey),
    ]
}

fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
}

proptest! {
    #[test]
    fn generated_names_are_dns_labels(parent in label(), suffix in "[a-z]([-a-z0-9]{0,28}[a-z0-9])?") {
        let pattern = regex::Regex::new(DNS_LABEL).unwrap();
        for name in [child(&parent, &suffix), qualified(&parent, &suffix)] {
            prop_assert!(name.len() <= MAX_NAME && pattern.is_match(&name), "{name}");
        }
    }

    #[test]
    fn different_parents_have_different_children(one in label(), other in label()) {
        prop_assume!(one != other);
        prop_assert_ne!(child(&one, "engine"), child(&other, "engine"));
    }

    #[test]
    fn different_objects_have_different_qualified_names(one in (label(), label()), other in (label(), label())) {
        prop_assume!(one != other);
        prop_assert_ne!(qualified(&one.0, &one.1), qualified(&other.0, &other.1));
    }
}
