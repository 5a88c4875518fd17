//! What a reference may mean.

use api_types::WorkflowCluster;
use api_types::reference::ClusterRef;
use kube::runtime::reflector::ObjectRef;

use super::cluster_homes;

/// The clusters that a reference from namespace `own` may mean: it means the first of them that exists.
#[must_use]
pub fn cluster_candidates(
    cluster_namespace: &str,
    own: &str,
    reference: &ClusterRef,
) -> Vec<ObjectRef<WorkflowCluster>> {
    let homes = cluster_homes(reference, own, cluster_namespace);
    homes.into_iter().map(|home| ObjectRef::new(&reference.name).within(home)).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::given(Some("engines"), "acme", &["engines"])]
    #[case::own_first(None, "acme", &["acme", "workflow-system"])]
    #[case::the_same(None, "workflow-system", &["workflow-system"])]
    fn candidates_are_in_the_order_of_the_search(
        #[case] given: Option<&str>,
        #[case] own: &str,
        #[case] expected: &[&str],
    ) {
        let reference = ClusterRef { name: "dev".to_owned(), namespace: given.map(str::to_owned) };
        let found = cluster_candidates("workflow-system", own, &reference);
        let homes: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.namespace.as_deref().unwrap_or_default())).collect();
        assert_eq!(homes, expected.iter().map(|home| ("dev", *home)).collect::<Vec<_>>());
    }
}
