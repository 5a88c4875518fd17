//! Who may read which Secret of the engine: a Role per Secret, because RBAC can name a Secret and not the end of a name.

use api_types::WorkflowCluster;
use api_types::engine_access::{Access, access_secret_name};
use api_types::labels::Component;
use controller_kit::children::{Child, Lookup};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::{Resource as _, ResourceExt as _};

use super::{BuildInput, ClusterChildren, Input};

/// The child of one Secret.
pub struct ReaderRole(pub Access);

impl Child for ReaderRole {
    type Set = ClusterChildren;
    type Object = Role;

    const LOOKUP: Lookup = Lookup::ByName;

    fn part(&self) -> &'static str {
        self.0.name()
    }

    fn name(&self, cluster: &WorkflowCluster) -> String {
        access_secret_name(&cluster.name_any(), self.0)
    }

    fn is_allowed(&self, input: &Input<'_>) -> bool {
        !input.build.settings.readers.of(self.0).is_empty()
    }

    fn build(&self, input: &Input<'_>, _live: Option<&Role>) -> Option<Role> {
        Some(build(&input.build, self.0))
    }
}

fn build(input: &BuildInput<'_>, access: Access) -> Role {
    let name = access_secret_name(&input.name(), access);
    Role {
        metadata: input.metadata(name.clone(), Component::Engine),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![Secret::group(&()).into_owned()]),
            resources: Some(vec![Secret::plural(&()).into_owned()]),
            resource_names: Some(vec![name]),
            verbs: vec!["get".to_owned()],
            ..PolicyRule::default()
        }]),
    }
}
