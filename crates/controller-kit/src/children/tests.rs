//! A set of three children, of which two are of one kind and one is never watched.

use api_types::WorkflowCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{ApiResource, ObjectMeta};
use rstest::rstest;
use test_support::reply::{Reply, forbidden};
use test_support::{FakeApiServer, builders};

use super::*;
use crate::apply::Writer;
use crate::plan::{Deletion, Desired, build_owner_reference};

struct Set;

impl ChildSet for Set {
    type Owner = WorkflowCluster;
    type Input<'a> = Input<'a>;

    const LIST: &'static [&'static dyn AnyChild<Self>] = &[&Reader, &Settings("first"), &Settings("second")];
}

struct Input<'a> {
    owner: &'a WorkflowCluster,
    /// `None`: it is not known yet.
    value: Option<&'a str>,
    allows_reader: bool,
}

fn metadata(input: &Input<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: input.owner.namespace(),
        owner_references: Some(vec![build_owner_reference(input.owner)]),
        labels: Some([("app.kubernetes.io/managed-by".to_owned(), "workflow-operator".to_owned())].into()),
        ..ObjectMeta::default()
    }
}

struct Reader;

impl Child for Reader {
    type Set = Set;
    type Object = Role;

    const LOOKUP: Lookup = Lookup::ByName;

    fn name(&self, owner: &WorkflowCluster) -> String {
        owner.name_any()
    }

    fn is_allowed(&self, input: &Input<'_>) -> bool {
        input.allows_reader
    }

    fn build(&self, input: &Input<'_>, _live: Option<&Role>) -> Option<Role> {
        Some(Role { metadata: metadata(input, input.owner.name_any()), rules: None })
    }
}

/// The second is wanted only for more than one replica, and is applied only to the version that was read.
struct Settings(&'static str);

impl Child for Settings {
    type Set = Set;
    type Object = ConfigMap;

    fn part(&self) -> &'static str {
        self.0
    }

    fn name(&self, owner: &WorkflowCluster) -> String {
        format!("{}-{}", owner.name_any(), self.0)
    }

    fn is_wanted(&self, owner: &WorkflowCluster) -> bool {
        self.0 == "first" || owner.spec.replicas > 1
    }

    fn build(&self, input: &Input<'_>, _live: Option<&ConfigMap>) -> Option<ConfigMap> {
        let data = [("value".to_owned(), input.value?.to_owned())].into();
        let metadata = metadata(input, self.name(input.owner));
        Some(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
    }

    fn shared_fields(&self, _input: &Input<'_>, _live: Option<&ConfigMap>) -> &'static [&'static str] {
        &[".data.shared"]
    }

    fn needs_live_version(&self, _input: &Input<'_>, _live: &ConfigMap) -> bool {
        self.0 == "second"
    }
}

fn owner(replicas: i32) -> WorkflowCluster {
    let mut owner = builders::stored(builders::cluster("acme", "prod"));
    owner.spec.replicas = replicas;
    owner
}

fn input<'a>(owner: &'a WorkflowCluster, value: Option<&'a str>) -> Input<'a> {
    Input { owner, value, allows_reader: true }
}

fn caches(apiserver: &FakeApiServer) -> ChildCaches {
    let list = |_: &ApiResource| apiserver.list::<ConfigMap>("").iter().map(|object| json!(object)).collect();
    ChildCaches::holding::<Set>(list).unwrap()
}

async fn observed(apiserver: &FakeApiServer, caches: &ChildCaches, replicas: i32) -> LiveChildren<Set> {
    observe_children(&apiserver.client(), caches, &owner(replicas)).await.unwrap()
}

/// Reads, compares and writes; returns the verdicts that required something.
async fn pass(apiserver: &FakeApiServer, replicas: i32, value: Option<&str>) -> Vec<String> {
    let (owner, writer) = (owner(replicas), Writer::new(apiserver.client(), "cluster-controller"));
    let live = observed(apiserver, &caches(apiserver), replicas).await;
    let input = input(&owner, value);
    let mut steps = Vec::new();
    for (_, verdict) in plan_children(&owner, &input, &live) {
        match verdict {
            ChildVerdict::Converged => {}
            ChildVerdict::Apply(desired) => {
                writer.apply(&desired).await.unwrap();
                steps.push(format!("apply {}", desired.display()));
            }
            ChildVerdict::Delete(deletion) => {
                writer.delete(&deletion).await.unwrap();
                steps.push(format!("delete {}", deletion.name));
            }
            ChildVerdict::NameTaken { object } => steps.push(format!("taken {object}")),
        }
    }
    steps
}

#[test]
fn a_kind_is_watched_once_however_many_children_have_it() {
    let kinds: Vec<_> = watched_resources::<Set>().into_iter().map(|resource| resource.kind).collect();
    assert_eq!(kinds, ["ConfigMap"]);
}

#[tokio::test]
async fn children_are_made_in_the_order_of_the_list_and_then_left_alone() {
    let apiserver = FakeApiServer::new();
    let made =
        ["apply Role acme/prod", "apply ConfigMap acme/prod-first", "apply ConfigMap acme/prod-second"];
    assert_eq!(pass(&apiserver, 2, Some("a")).await, made);
    assert_eq!(pass(&apiserver, 2, Some("a")).await, Vec::<String>::new());
    assert_eq!(pass(&apiserver, 2, Some("b")).await, made[1..]);
    assert_eq!(pass(&apiserver, 2, None).await, Vec::<String>::new(), "what cannot be built stays");
    assert_eq!(pass(&apiserver, 1, Some("b")).await, ["delete prod-second"]);
    assert_eq!(pass(&apiserver, 1, Some("b")).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_object_of_somebody_else_is_neither_overwritten_nor_deleted() {
    let apiserver = FakeApiServer::new();
    pass(&apiserver, 2, Some("a")).await;
    for name in ["prod-first", "prod-second"] {
        apiserver.edit::<ConfigMap>("acme", name, |it| it["metadata"]["ownerReferences"] = json!([]));
    }
    assert_eq!(pass(&apiserver, 1, Some("b")).await, ["taken ConfigMap acme/prod-first"]);
}

/// The Role is in no cache; a ConfigMap is asked for only while it is wanted and no cache has it.
#[rstest]
#[case::all_cached(2, &["first", "second"], &[])]
#[case::nothing_cached(2, &[], &["first", "second"])]
#[case::not_wanted_and_not_cached(1, &[], &["first"])]
#[case::not_wanted_and_cached(1, &["first", "second"], &[])]
#[tokio::test]
async fn children_that_no_cache_has_are_read_from_the_api_server(
    #[case] replicas: i32,
    #[case] cached: &[&str],
    #[case] asked: &[&str],
) {
    let apiserver = FakeApiServer::new();
    pass(&apiserver, 2, Some("a")).await;
    let shown = |object: &ConfigMap| cached.iter().any(|part| object.name_any() == format!("prod-{part}"));
    let list = |_: &ApiResource| {
        let objects = apiserver.list::<ConfigMap>("").into_iter().filter(shown);
        objects.map(|object| json!(object)).collect()
    };
    let caches = ChildCaches::holding::<Set>(list).unwrap();
    apiserver.forget_requests();
    let live = observed(&apiserver, &caches, replicas).await;
    let paths: Vec<_> = apiserver.requests().iter().map(|request| request.path.clone()).collect();
    let config_maps = asked.iter().map(|part| format!("/api/v1/namespaces/acme/configmaps/prod-{part}"));
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/acme/roles/prod".to_owned();
    assert_eq!(paths, [role].into_iter().chain(config_maps).collect::<Vec<_>>());
    assert!(live.get(&Reader).is_some() && live.get(&Settings("first")).is_some());
    assert_eq!(live.get(&Settings("second")).is_some(), replicas > 1 || cached.contains(&"second"));
}

#[tokio::test]
async fn a_child_that_cannot_be_read_ends_the_pass() {
    let apiserver = FakeApiServer::new();
    apiserver.intercept(|request| {
        request.path.contains("/roles/").then(|| Reply::json(403, forbidden("roles", "prod", "no")))
    });
    let (client, caches) = (apiserver.client(), caches(&apiserver));
    let error = observe_children::<Set>(&client, &caches, &owner(2)).await.unwrap_err();
    assert_eq!(error.object, "Role acme/prod");
}

#[test]
fn a_child_built_from_a_live_object_is_applied_to_that_version_only() {
    let owner = owner(2);
    let (before, after) = (input(&owner, Some("a")), input(&owner, Some("b")));
    let stored = |part| {
        let mut live = Settings(part).build(&before, None).unwrap();
        live.metadata.resource_version = Some("7".to_owned());
        live
    };
    let live = LiveChildren::default()
        .with(&Settings("first"), stored("first"))
        .with(&Settings("second"), stored("second"));
    let verdicts: Vec<_> = plan_children(&owner, &after, &live)
        .filter_map(|(child, verdict)| match verdict {
            ChildVerdict::Apply(desired) if !child.is(&Reader) => {
                Some((desired.body["metadata"]["resourceVersion"].clone(), desired.shared))
            }
            _ => None,
        })
        .collect();
    assert_eq!(verdicts, [(json!(null), &[".data.shared"][..]), (json!("7"), &[".data.shared"][..])]);
}

#[test]
fn a_child_that_is_being_deleted_is_not_deleted_again() {
    let owner = owner(2);
    let input = input(&owner, Some("a"));
    let mut deleting = Settings("first").build(&input, None).unwrap();
    let live = LiveChildren::default().with(&Settings("first"), deleting.clone());
    let removal = |live: &LiveChildren<Set>| Set::LIST[1].plan_removal(&owner, live);
    assert_eq!(removal(&live), ChildVerdict::Delete(Deletion::of(&deleting)));
    deleting.metadata.deletion_timestamp = owner.metadata.creation_timestamp.clone();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    assert_eq!(removal(&live.with(&Settings("first"), deleting)), ChildVerdict::Converged);
}

#[test]
fn a_child_that_is_wanted_and_not_allowed_is_deleted() {
    let owner = owner(2);
    let input = Input { allows_reader: false, ..input(&owner, Some("a")) };
    let role = Reader.build(&input, None).unwrap();
    let verdict = |live: &LiveChildren<Set>| Set::LIST[0].plan(&owner, &input, live);
    assert_eq!(verdict(&LiveChildren::default()), ChildVerdict::Converged);
    let expected = ChildVerdict::Delete(Deletion::of(&role));
    assert_eq!(verdict(&LiveChildren::default().with(&Reader, role)), expected);
}

#[test]
fn the_content_of_live_children_is_not_shown() {
    let owner = owner(2);
    let child = Settings("first");
    let object = child.build(&input(&owner, Some("a secret")), None).unwrap();
    let desired = Desired::of(&object);
    let live = LiveChildren::default().with(&child, object);
    let shown = format!("{live:?}");
    assert!(shown.contains("first") && !shown.contains("a secret"), "{shown}");
    assert!(format!("{desired:?}").contains("a secret"));
}
