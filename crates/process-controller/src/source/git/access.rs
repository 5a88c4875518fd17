//! From the Secret that `secretRef` names to what is sent with a visit.
//!
//! Users who may edit a WorkflowProcess choose host and Secret. So a Secret is sent only to the host that its own annotation names.

use api_types::labels::GIT_HOST;
use api_types::process::ProcessReason as Reason;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use controller_kit::outcome::ErrorClass;
use controller_kit::problem::Problem;
use engine_access::grant::{NamespaceRole, missing_permission};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use remote_files::git::{Access, Authorization, RepositoryUrl};
use remote_files::network::{AddressPolicy, TrustedCertificates};

use super::github_app::{GithubApp, Tokens, build_authorization};
use crate::source::reason::problem_of;

/// Reads the Secret, if one is named.
pub(super) async fn observe_access(
    client: &Client,
    namespace: &str,
    secret: Option<&str>,
    url: &RepositoryUrl,
    policy: &AddressPolicy,
    tokens: &Tokens,
) -> Result<Access, Problem<Reason>> {
    let access = Access { policy: policy.clone(), ..Access::default() };
    let Some(name) = secret else { return Ok(access) };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|error| {
        let missing = missing_permission(&error, NamespaceRole::Workload);
        let is_denied = missing.is_some();
        let problem = Problem::unread(&format!("Secret {namespace}/{name}"), &error, missing);
        let reason = if is_denied { Reason::SourceCredentialsMissing } else { problem.reason };
        Problem { reason, ..problem }
    })?;
    let secret = found.ok_or_else(|| {
        lacking(format!("spec.source.gitRef.secretRef.name: Secret {namespace}/{name} does not exist"))
    })?;
    let (access, installation) = build_access(&secret, url, access)?;
    let Some(installation) = installation else { return Ok(access) };
    let named = |error: &remote_files::Error| {
        let problem = problem_of(error);
        Problem { message: format!("Secret {namespace}/{name}: {}", problem.message), ..problem }
    };
    let token = tokens
        .observe_token(&installation, url, policy, &access.trust)
        .await
        .map_err(|error| named(&error))?;
    let authorization = Authorization::new(&build_authorization(&token)).map_err(|error| named(&error))?;
    Ok(Access { authorization: Some(authorization), ..access })
}

/// What the Secret says: how the server is called, or whose token has to be had before that. Pure.
pub(super) fn build_access(
    secret: &Secret,
    url: &RepositoryUrl,
    access: Access,
) -> Result<(Access, Option<GithubApp>), Problem<Reason>> {
    let name = format!("Secret {}/{}", secret.namespace().unwrap_or_default(), secret.name_any());
    let host = url.authority();
    if secret.annotations().get(GIT_HOST).map(String::as_str) != Some(host.as_str()) {
        return Err(lacking(format!(
            "{name} is not for host {host}; if its credentials may be sent there, set its annotation {GIT_HOST}: {host}"
        )));
    }
    let keys = Keys { secret, name: &name };
    let trust = match keys.bytes("ca.crt") {
        Some(pem) => TrustedCertificates::only(pem).map_err(|error| {
            let problem = problem_of(&error);
            Problem { message: format!("{name}: {}", problem.message), ..problem }
        })?,
        None => access.trust,
    };
    let app =
        (keys.text("githubAppID")?, keys.text("githubAppInstallationID")?, keys.text("githubAppPrivateKey")?);
    match app {
        (None, None, None) => {}
        (Some(app_id), Some(installation_id), Some(private_key)) => {
            let [app_id, installation_id, private_key] =
                [app_id, installation_id, private_key].map(str::to_owned);
            let installation = GithubApp { app_id, installation_id, private_key };
            return Ok((Access { trust, ..access }, Some(installation)));
        }
        _ => {
            return Err(lacking(format!(
                "{name} has a part of a GitHub App; expected githubAppID, githubAppInstallationID and githubAppPrivateKey"
            )));
        }
    }
    let value = match (keys.text("bearerToken")?, keys.text("username")?, keys.text("password")?) {
        (Some(token), _, _) => Some(format!("Bearer {token}")),
        (None, Some(username), Some(password)) => {
            Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
        }
        (None, None, None) if keys.bytes("ca.crt").is_some() => None,
        _ => {
            return Err(lacking(format!(
                "{name} has no credentials; expected the keys username and password, or bearerToken, or those of a GitHub App, or ca.crt alone"
            )));
        }
    };
    let authorization = value.map(|value| Authorization::new(&value)).transpose();
    let authorization = authorization.map_err(|error| lacking(format!("{name}: {}", error.message)))?;
    Ok((Access { authorization, trust, ..access }, None))
}

fn lacking(message: String) -> Problem<Reason> {
    Problem::new(Reason::SourceCredentialsMissing, ErrorClass::Denied, message)
}

struct Keys<'a> {
    secret: &'a Secret,
    name: &'a str,
}

impl Keys<'_> {
    fn bytes(&self, key: &str) -> Option<&[u8]> {
        let data = self.secret.data.as_ref()?.get(key)?;
        (!data.0.is_empty()).then_some(&data.0)
    }

    /// The newline that an editor leaves at the end is not part of it.
    fn text(&self, key: &str) -> Result<Option<&str>, Problem<Reason>> {
        let text = self.bytes(key).map(std::str::from_utf8).transpose();
        let text = text.map_err(|_| lacking(format!("{}: key {key} is no text", self.name)))?;
        Ok(text.map(|text| text.trim_end_matches(['\r', '\n'])))
    }
}

#[cfg(test)]
mod tests;
