//! Who may read which Secret of the engine: the ServiceAccounts that the installation names.

use api_types::WorkflowCluster;
use api_types::engine_access::{Access, access_secret_name};
use api_types::labels::Component;
use controller_kit::children::{Child, Lookup};
use controller_kit::plan::is_controlled_by;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, RoleRef, Subject};
use kube::{Resource as _, ResourceExt as _};

use super::reader_role::ReaderRole;
use super::{BuildInput, ClusterChildren, Input};

/// The child of one Secret.
pub struct ReaderRoleBinding(pub Access);

impl Child for ReaderRoleBinding {
    type Set = ClusterChildren;
    type Object = RoleBinding;

    const LOOKUP: Lookup = Lookup::ByName;

    fn part(&self) -> &'static str {
        self.0.name()
    }

    fn name(&self, cluster: &WorkflowCluster) -> String {
        access_secret_name(&cluster.name_any(), self.0)
    }

    /// A Role of that name that belongs to somebody else may say anything: nobody is bound to it.
    fn is_allowed(&self, input: &Input<'_>) -> bool {
        let owner = input.build.cluster.uid().unwrap_or_default();
        let is_ours = |role: &Role| is_controlled_by(&role.metadata, &owner);
        !input.build.settings.readers.of(self.0).is_empty()
            && input.live.get(&ReaderRole(self.0)).is_none_or(is_ours)
    }

    fn build(&self, input: &Input<'_>, _live: Option<&RoleBinding>) -> Option<RoleBinding> {
        Some(build(&input.build, self.0))
    }
}

fn build(input: &BuildInput<'_>, access: Access) -> RoleBinding {
    let name = access_secret_name(&input.name(), access);
    let subjects = input.settings.readers.of(access).iter().map(|reader| Subject {
        kind: ServiceAccount::kind(&()).into_owned(),
        namespace: Some(reader.namespace.clone()),
        name: reader.name.clone(),
        ..Subject::default()
    });
    RoleBinding {
        metadata: input.metadata(name.clone(), Component::Engine),
        role_ref: RoleRef {
            api_group: Role::group(&()).into_owned(),
            kind: Role::kind(&()).into_owned(),
            name,
        },
        subjects: Some(subjects.collect()),
    }
}
