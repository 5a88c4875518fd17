//! The engine's authority and certificate: made once, kept while they are valid, replaced in time. And whose a Secret is.

use std::collections::BTreeSet;
use std::time::Duration;

use api_types::cluster::ClusterDeletionPolicy;
use api_types::engine_access::{
    CA_CERT_KEY, CA_PREVIOUS_CERT_KEY, CA_PRIVATE_KEY_KEY, TLS_CERT_KEY, TLS_PRIVATE_KEY_KEY,
    ca_key_secret_name, engine_host, headless_service_name, tls_secret_name,
};
use api_types::labels::{ADOPT, APPLIED_HASH, CLUSTER, Component, MANAGED_BY, OPERATOR, PROOF};
use controller_kit::plan::{Desired, is_controlled_by, is_subset};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ObjectMeta;

use super::credentials::plan_credentials;
use super::{ClusterStep, Draft, Step, Unproven};
use crate::certificate::{self, Lifetime};
use crate::children::{BuildInput, body_of};
use crate::external::External;
use crate::observe::secrets::{AccessView, RedactedSecret};

/// How long a new authority is published before it signs, and an old one after its last certificate: callers read the
/// bundle again within minutes, pods that mount it within hours.
pub const SETTLE: Duration = Duration::from_hours(24);

/// Plans the Secrets. Before there is a proof nothing is made that would lack it.
pub fn plan_access(
    input: &BuildInput<'_>,
    access: &AccessView,
    external: &External,
    now: Timestamp,
    draft: &mut Draft,
) {
    if access.proof.is_none() {
        draft.steps.push(Step::Own(ClusterStep::CreateProof));
        return;
    }
    plan_credentials(input, access, now, draft);
    let metadata = metadata(input, ca_key_secret_name(&input.name()));
    let Some(live) = &access.authority else {
        draft.steps.push(Step::Own(ClusterStep::CreateAuthority { metadata, former: None }));
        return;
    };
    if !claims(input, access, live, draft) {
        return;
    }
    let Some((certificate, lifetime)) = authority_of(live) else {
        // Engines that run have a certificate of the former authority: it stays trusted if it can be read.
        let former =
            live.text(CA_CERT_KEY).filter(|pem| Lifetime::of(pem.as_bytes()).is_some()).map(str::to_owned);
        draft.steps.push(Step::Own(ClusterStep::CreateAuthority { metadata, former }));
        return;
    };
    if lifetime.is_due(now) {
        draft
            .steps
            .push(Step::Own(ClusterStep::CreateAuthority { metadata, former: Some(certificate.to_owned()) }));
        return;
    }
    let issued = access.certificate.as_ref();
    if issued.is_none_or(|issued| claims(input, access, issued, draft)) {
        plan_certificate(input, access, live, names_of_engine(input, external), now, draft);
    }
    keep(
        access,
        live,
        metadata,
        |data| {
            if issued.is_some_and(|issued| is_settled(issued, certificate, now)) {
                data.remove(CA_PREVIOUS_CERT_KEY);
            }
        },
        draft,
    );
}

/// The Secret with these data as it shall be.
#[must_use]
pub fn build_secret(
    metadata: ObjectMeta,
    data: std::collections::BTreeMap<String, k8s_openapi::ByteString>,
) -> Secret {
    Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
}

/// The names under which the engine is called: the Service's, each pod's own, and those outside of the Kubernetes cluster.
#[must_use]
pub fn names_of_engine(input: &BuildInput<'_>, external: &External) -> Vec<String> {
    let (name, namespace) = (input.name(), input.namespace());
    let service = engine_host(&name, &namespace);
    let headless = format!("{}.{namespace}.svc", headless_service_name(&name));
    let short = format!("{}.{namespace}", input.engine_name());
    let wildcard = format!("*.{headless}");
    let mut names = vec![service, short, input.engine_name(), wildcard, headless, "localhost".to_owned()];
    names.extend(external.names.iter().cloned());
    names
}

fn plan_certificate(
    input: &BuildInput<'_>,
    access: &AccessView,
    authority: &RedactedSecret,
    names: Vec<String>,
    now: Timestamp,
    draft: &mut Draft,
) {
    let live = access.certificate.as_ref();
    let metadata = metadata(input, tls_secret_name(&input.name()));
    match live {
        Some(live) if !must_issue(authority, live, &names, now) => {
            keep(access, live, metadata, |_| (), draft);
        }
        _ => draft.steps.push(Step::Own(ClusterStep::IssueCertificate {
            metadata,
            names,
            renewal: live.is_some(),
        })),
    }
}

fn must_issue(authority: &RedactedSecret, live: &RedactedSecret, names: &[String], now: Timestamp) -> bool {
    let (Some((current, made)), Some(lifetime)) = (authority_of(authority), certificate_of(live)) else {
        return true;
    };
    let issuer = live.text(CA_CERT_KEY);
    let is_published = made.age(now) >= SETTLE;
    if issuer == Some(current) {
        // While an authority follows another one, new names wait with everything else.
        lifetime.is_due(now) || !is_made_for(live, names)
    } else if issuer.is_some() && issuer == authority.text(CA_PREVIOUS_CERT_KEY) {
        // Callers may not know the new authority yet; a certificate that ends before they do is worse.
        is_published || lifetime.end <= now.saturating_add(SETTLE).unwrap_or(lifetime.end)
    } else {
        true
    }
}

fn is_made_for(live: &RedactedSecret, names: &[String]) -> bool {
    let held = live.text(TLS_CERT_KEY).and_then(|pem| certificate::names_of(pem.as_bytes()));
    held.is_some_and(|held| held.iter().collect::<BTreeSet<_>>() == names.iter().collect())
}

/// The authority signed the certificate in use, and that long enough ago for every pod to serve it.
fn is_settled(issued: &RedactedSecret, authority: &str, now: Timestamp) -> bool {
    issued.text(CA_CERT_KEY) == Some(authority)
        && certificate_of(issued).is_some_and(|lifetime| lifetime.age(now) >= SETTLE)
}

pub(crate) fn authority_of(secret: &RedactedSecret) -> Option<(&str, Lifetime)> {
    let certificate = secret.text(CA_CERT_KEY)?;
    secret.text(CA_PRIVATE_KEY_KEY).filter(|key| key.starts_with("-----BEGIN "))?;
    Some((certificate, Lifetime::of(certificate.as_bytes())?))
}

fn certificate_of(secret: &RedactedSecret) -> Option<Lifetime> {
    secret.text(TLS_PRIVATE_KEY_KEY).filter(|key| key.starts_with("-----BEGIN "))?;
    Lifetime::of(secret.text(TLS_CERT_KEY)?.as_bytes())
}

/// With `deletionPolicy: Retain` the Secrets outlive the cluster, and serve the next one of its name.
pub(crate) fn metadata(input: &BuildInput<'_>, name: String) -> ObjectMeta {
    match input.cluster.spec.deletion_policy() {
        ClusterDeletionPolicy::Delete | ClusterDeletionPolicy::Snapshot => {
            input.metadata(name, Component::Engine)
        }
        ClusterDeletionPolicy::Retain => input.unowned_metadata(name, Component::Engine),
    }
}

/// To whom a Secret with a child's name belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Controlled by this cluster; or left behind by one of its name, which is proved, or vouched for by a person.
    Ours,
    /// It has the form of one that was left behind, without a proof. Everybody who may create Secrets here could have
    /// made it.
    Unproven,
    /// It belongs to something else.
    Foreign,
}

/// Judges it.
#[must_use]
pub fn claim_on(input: &BuildInput<'_>, access: &AccessView, live: &RedactedSecret) -> Claim {
    let secret = &live.0;
    if is_controlled_by(&secret.metadata, &input.cluster.uid().unwrap_or_default()) {
        return Claim::Ours;
    }
    let labels = secret.labels();
    let is_left_behind = !secret.owner_references().iter().any(|owner| owner.controller == Some(true))
        && labels.get(MANAGED_BY).is_some_and(|manager| manager == OPERATOR)
        && labels.get(CLUSTER) == Some(&input.name());
    if !is_left_behind {
        return Claim::Foreign;
    }
    let proof = secret.annotations().get(PROOF);
    let is_proved =
        std::iter::zip(&access.proof, proof).any(|(key, proof)| key.verifies(&input.name(), secret, proof));
    if is_proved || is_vouched_for(input, secret) { Claim::Ours } else { Claim::Unproven }
}

/// A person who may write the cluster names the very object: one that is made anew under the name has another uid.
fn is_vouched_for(input: &BuildInput<'_>, secret: &Secret) -> bool {
    let named = input.cluster.annotations().get(ADOPT);
    let uids = named.into_iter().flat_map(|uids| uids.split([',', ' ']));
    secret.uid().is_some_and(|uid| !uid.is_empty() && uids.into_iter().any(|named| named == uid))
}

/// Is it ours? If not, it is reported.
pub(super) fn claims(
    input: &BuildInput<'_>,
    access: &AccessView,
    live: &RedactedSecret,
    draft: &mut Draft,
) -> bool {
    match claim_on(input, access, live) {
        Claim::Ours => return true,
        Claim::Foreign => draft.taken.push(reported(live)),
        Claim::Unproven => {
            draft.unproven.push(Unproven { object: reported(live), uid: live.0.uid().unwrap_or_default() });
        }
    }
    false
}

/// The same data, and everything around them as it shall be.
pub(super) fn keep(
    access: &AccessView,
    live: &RedactedSecret,
    metadata: ObjectMeta,
    change: impl FnOnce(&mut std::collections::BTreeMap<String, k8s_openapi::ByteString>),
    draft: &mut Draft,
) {
    let cluster =
        metadata.labels.as_ref().and_then(|labels| labels.get(CLUSTER)).cloned().unwrap_or_default();
    let mut data = live.data();
    change(&mut data);
    let desired = Desired::of(&access.prove(&cluster, build_secret(metadata, data)));
    let body = body_of(&live.0);
    let hash = |body: &serde_json::Value| body["metadata"]["annotations"][APPLIED_HASH].clone();
    if hash(&body) != hash(&desired.body) || !is_subset(&desired.body, &body) {
        draft.steps.push(Step::Apply(desired));
    }
}

fn reported(secret: &RedactedSecret) -> String {
    format!("Secret {}/{}", secret.0.namespace().unwrap_or_default(), secret.0.name_any())
}

#[cfg(test)]
mod tests;
