//! Who may read which Secret of the engine: a Role per Secret, because RBAC can name a Secret and not the end of a name.

use api_types::engine_access::{Access, access_secret_name};
use api_types::labels::Component;
use controller_kit::plan::is_controlled_by;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::Resource as _;

use super::{BuildInput, Draft};
use crate::observe::children::Children;

/// Role before RoleBinding: the API server grants only what it finds. A Role of that name that belongs to somebody else may
/// say anything: nobody is bound to it.
pub fn plan_grants(input: &BuildInput<'_>, children: &Children, draft: &mut Draft) {
    for access in Access::ALL {
        let live = children.grants.get(&access);
        let is_wanted = !input.settings.readers.of(access).is_empty();
        let role = is_wanted.then(|| build_role(input, access));
        let live_role = live.and_then(|live| live.role.as_ref());
        draft.want_or_drop(role.as_ref(), live_role);
        let is_foreign = live_role.is_some_and(|role| !is_controlled_by(&role.metadata, &draft.owner));
        let binding = (is_wanted && !is_foreign).then(|| build_binding(input, access));
        draft.want_or_drop(binding.as_ref(), live.and_then(|live| live.binding.as_ref()));
    }
}

fn build_role(input: &BuildInput<'_>, access: Access) -> Role {
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

fn build_binding(input: &BuildInput<'_>, access: Access) -> RoleBinding {
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
