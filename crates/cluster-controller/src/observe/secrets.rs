//! Secrets, always by name: the login to the database, which belongs to the user, and what we make for the engine.

use std::collections::BTreeMap;
use std::fmt;

use api_types::WorkflowCluster;
use api_types::cluster::{
    CA_SECRET_KEY, ClusterReason, DATABASE_SECRET_DATABASE, DATABASE_SECRET_PASSWORD,
    DATABASE_SECRET_USERNAME, DEFAULT_DATABASE,
};
use api_types::engine_access::{
    Access, NEXT_KEY, PREVIOUS_KEY, access_secret_name, ca_key_secret_name, tls_secret_name,
};
use api_types::labels::PROOF;
use controller_kit::problem::Problem;
use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use super::dependants::{Holder, observe_holders};
use super::postgres::{Login, PostgresProblem};
use super::unread;
use crate::context::Context;
use crate::proof::ProofKey;
use crate::validate::Target;

/// A Secret that is never shown by `Debug`.
#[derive(Clone, PartialEq)]
pub struct RedactedSecret(pub Secret);

impl RedactedSecret {
    /// The value of `key` as text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(&self.0.data.as_ref()?.get(key)?.0).ok().filter(|text| !text.is_empty())
    }

    /// All keys and values.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, ByteString> {
        self.0.data.clone().unwrap_or_default()
    }
}

impl fmt::Debug for RedactedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactedSecret({})", self.0.name_any())
    }
}

/// What we make for the engine's TLS and credentials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessView {
    /// The authority and its key.
    pub authority: Option<RedactedSecret>,
    /// The engine's certificate and its key.
    pub certificate: Option<RedactedSecret>,
    /// Tokens and keys, as far as they are there.
    pub credentials: BTreeMap<Access, RedactedSecret>,
    /// What proves that they are ours; `None` before it is made.
    pub proof: Option<ProofKey>,
    /// Who has tokens that were minted from a key; empty while none is being replaced.
    pub holders: BTreeMap<Access, Vec<Holder>>,
}

impl AccessView {
    /// `secret` with the proof that it is one of the cluster of this name.
    #[must_use]
    pub fn prove(&self, cluster: &str, mut secret: Secret) -> Secret {
        if let Some(key) = &self.proof {
            let proof = key.prove(cluster, &secret);
            secret.annotations_mut().insert(PROOF.to_owned(), proof);
        }
        secret
    }
}

/// Reads our Secrets.
pub async fn observe_access(
    context: &Context,
    cluster: &WorkflowCluster,
) -> Result<AccessView, Problem<ClusterReason>> {
    let name = cluster.name_any();
    let (authority, certificate) = (ca_key_secret_name(&name), tls_secret_name(&name));
    let credentials = Access::ALL.map(async |access| {
        let found = read(context, cluster, &access_secret_name(&name, access)).await?;
        Ok(found.map(|found| (access, found)))
    });
    let (authority, certificate, credentials, proof) = futures::try_join!(
        read(context, cluster, &authority),
        read(context, cluster, &certificate),
        try_join_all(credentials),
        context.proof.observe(),
    )?;
    let credentials: BTreeMap<_, _> = credentials.into_iter().flatten().collect();
    let is_rotating = |secret: &RedactedSecret| secret.text(NEXT_KEY).or(secret.text(PREVIOUS_KEY)).is_some();
    let holders = if credentials.values().any(is_rotating) {
        observe_holders(context, cluster)
    } else {
        BTreeMap::new()
    };
    Ok(AccessView { authority, certificate, credentials, proof, holders })
}

/// Reads the user's Secrets and makes a login of them.
pub async fn observe_login(
    context: &Context,
    cluster: &WorkflowCluster,
    target: &Target,
) -> Result<Result<Login, PostgresProblem>, Problem<ClusterReason>> {
    let postgres = &target.postgres;
    let secret = read(context, cluster, &postgres.database_secret).await?;
    let ca = match &postgres.ca_secret {
        Some(name) => read(context, cluster, name).await?,
        None => None,
    };
    Ok(build_login(target, secret.as_ref(), ca.as_ref()))
}

/// The login that spec and Secrets describe.
pub fn build_login(
    target: &Target,
    secret: Option<&RedactedSecret>,
    ca: Option<&RedactedSecret>,
) -> Result<Login, PostgresProblem> {
    let postgres = &target.postgres;
    let database_secret = Named::of(target, "databaseSecret", &postgres.database_secret);
    let secret = database_secret.present(secret)?;
    let user = database_secret.line(secret, DATABASE_SECRET_USERNAME)?;
    let password = database_secret.line(secret, DATABASE_SECRET_PASSWORD)?;
    let database =
        postgres.database.clone().or_else(|| line_of(secret, DATABASE_SECRET_DATABASE).map(str::to_owned));
    let ca_pem = match &postgres.ca_secret {
        None => None,
        Some(name) => {
            let named = Named::of(target, "caSecret", name);
            let pem = named.key(named.present(ca)?, CA_SECRET_KEY)?;
            if crate::certificate::Lifetime::of(pem.as_bytes()).is_none() {
                return Err(named.invalid(&format!("key {CA_SECRET_KEY} is no PEM certificate")));
            }
            Some(pem.to_owned())
        }
    };
    Ok(Login {
        host: postgres.host.clone(),
        port: postgres.port(),
        user: user.to_owned(),
        password: password.to_owned(),
        database: database.unwrap_or_else(|| DEFAULT_DATABASE.to_owned()),
        ssl_mode: postgres.ssl_mode(),
        ca_pem,
    })
}

struct Named<'a> {
    field: String,
    name: &'a str,
}

impl<'a> Named<'a> {
    fn of(target: &Target, field: &str, name: &'a str) -> Self {
        let field = match target.managed {
            Some(_) => "spec.postgres.managed".to_owned(),
            None => format!("spec.postgres.externalRef.{field}"),
        };
        Self { field, name }
    }

    fn present<'s>(&self, secret: Option<&'s RedactedSecret>) -> Result<&'s RedactedSecret, PostgresProblem> {
        secret.ok_or_else(|| PostgresProblem {
            reason: ClusterReason::PostgresSecretMissing,
            cause: format!("{}: Secret {} does not exist in this namespace", self.field, self.name),
        })
    }

    fn key<'s>(&self, secret: &'s RedactedSecret, key: &str) -> Result<&'s str, PostgresProblem> {
        secret.text(key).ok_or_else(|| self.invalid(&format!("key {key} is missing, empty or no text")))
    }

    /// A line break inside is a mistake; one at the end is `echo`'s.
    fn line<'s>(&self, secret: &'s RedactedSecret, key: &str) -> Result<&'s str, PostgresProblem> {
        self.key(secret, key)?;
        line_of(secret, key).ok_or_else(|| self.invalid(&format!("key {key} must be one line")))
    }

    fn invalid(&self, problem: &str) -> PostgresProblem {
        PostgresProblem {
            reason: ClusterReason::PostgresSecretInvalid,
            cause: format!("{}: Secret {}: {problem}", self.field, self.name),
        }
    }
}

fn line_of<'s>(secret: &'s RedactedSecret, key: &str) -> Option<&'s str> {
    let line = secret.text(key)?.trim_end_matches(['\r', '\n']);
    (!line.is_empty() && !line.contains(['\r', '\n', '\0'])).then_some(line)
}

async fn read(
    context: &Context,
    cluster: &WorkflowCluster,
    name: &str,
) -> Result<Option<RedactedSecret>, Problem<ClusterReason>> {
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let found =
        api.get_opt(name).await.map_err(|error| unread(&format!("Secret {namespace}/{name}"), &error))?;
    Ok(found.map(RedactedSecret))
}

#[cfg(test)]
mod tests;
