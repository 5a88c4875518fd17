//! All writes but the status. The steps are independent: one that is refused does not keep the others from being done.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::engine_access::{
    Access, CA_CERT_KEY, CA_PREVIOUS_CERT_KEY, CA_PRIVATE_KEY_KEY, CURRENT_KEY, NEXT_KEY, TLS_CERT_KEY,
    TLS_PRIVATE_KEY_KEY,
};
use api_types::labels::CLUSTER_CONTROLLER;
use controller_kit::apply::{Contest, WriteError};
use controller_kit::grant::{NamespaceRole, missing_grant};
use controller_kit::outcome::ErrorClass;
use controller_kit::plan::{Deletion, Desired, is_controlled_by};
use controller_kit::run::chain;
use engine_client::CredentialError;
use engine_client::{Credential, TenantKey};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Resource as _, ResourceExt as _};

use crate::certificate::{self, Issued};
use crate::cleanup;
use crate::context::Context;
use crate::observe::secrets::{AccessView, Sealed};
use crate::plan::access::build_secret;
use crate::plan::{Plan, Step};
use crate::proof::ProofError;

/// What became of the steps.
#[derive(Debug, Default)]
pub struct Applied {
    /// The cluster as the last write returned it.
    pub written: Option<WorkflowCluster>,
    /// Steps that were done.
    pub done: usize,
    /// The engine got a certificate in the place of another one.
    pub renewed_certificate: bool,
    /// What other writers had changed.
    pub reverted: Vec<Contest>,
    /// Steps that failed, in order.
    pub failures: Vec<Failure>,
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The Kubernetes API.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A Job of this name belongs to somebody else.
    #[error("{object} exists and belongs to something else")]
    NameTaken {
        /// `Kind namespace/name`.
        object: String,
    },
    /// A certificate.
    #[error("failed to make the certificate of {object}")]
    Certificate {
        /// Name of the Secret.
        object: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The key of the proofs.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// Random bytes.
    #[error("failed to make the credentials of {object}")]
    Credential {
        /// Name of the Secret.
        object: String,
        /// The cause.
        #[source]
        source: CredentialError,
    },
}

impl Failure {
    /// What it means for the next attempt.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Write(error) | Self::Proof(ProofError::Write(error)) => error.class(),
            Self::NameTaken { .. } => ErrorClass::Denied,
            Self::Certificate { .. } | Self::Credential { .. } | Self::Proof(ProofError::Random(_)) => {
                ErrorClass::Defect
            }
        }
    }

    /// For status and event.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Write(error) => {
                missing_grant(&error.source, NamespaceRole::Cluster).unwrap_or_else(|| error.message())
            }
            Self::Proof(ProofError::Write(error)) => error.message(),
            Self::NameTaken { .. }
            | Self::Certificate { .. }
            | Self::Credential { .. }
            | Self::Proof(ProofError::Random(_)) => self.to_string(),
        }
    }
}

/// Executes `plan`. An API server that does not answer ends it: the other steps would only wait for it too.
pub async fn execute(
    context: &Context,
    cluster: &WorkflowCluster,
    access: &AccessView,
    plan: &Plan,
) -> Applied {
    let mut applied = Applied::default();
    for step in &plan.steps {
        match execute_step(context, cluster, access, step).await {
            Ok(Done { cluster, reverted }) => {
                applied.written = cluster.or(applied.written.take());
                applied.reverted.extend(reverted);
                applied.done += 1;
                applied.renewed_certificate |= matches!(step, Step::IssueCertificate { renewal: true, .. });
            }
            Err(failure) => {
                tracing::warn!(error = %chain(&failure), "step failed");
                let is_over = failure.class() == ErrorClass::Transient;
                applied.failures.push(failure);
                if is_over {
                    break;
                }
            }
        }
    }
    applied
}

/// Deletes migration Jobs of a cluster that is not acted on otherwise.
pub async fn withdraw_jobs(context: &Context, jobs: &[Deletion]) -> Result<(), WriteError> {
    for job in jobs {
        context.writer.delete_behind_dependants(job).await?;
    }
    Ok(())
}

/// What became of a cluster that is to go.
#[derive(Debug)]
pub enum Cleaned {
    /// It stays, for the time being.
    Waiting,
    /// Nothing of ours holds it any more; the object as the last write returned it, unless it was gone before.
    Gone(Option<Box<WorkflowCluster>>),
    /// The API server refused to let it go.
    Failed(WriteError),
}

/// Executes the plan of a cluster that is to go. A Job that cannot be deleted does not hold it: the garbage collector
/// follows, and in a namespace that is being deleted the rights may be gone already.
pub async fn execute_cleanup(context: &Context, cluster: &WorkflowCluster, plan: &cleanup::Plan) -> Cleaned {
    for step in &plan.steps {
        match step {
            cleanup::Step::WithdrawJob(job) => {
                if let Err(error) = context.writer.delete_behind_dependants(job).await {
                    tracing::warn!(error = %chain(&error), "a migration Job is left to the garbage collector");
                }
            }
            cleanup::Step::RemoveFinalizer { last_event } => {
                let removed = context.writer.remove_finalizer(cluster, CLUSTER_CONTROLLER.finalizer).await;
                let written = match removed {
                    Ok(written) => written,
                    Err(error) => return Cleaned::Failed(error),
                };
                if let Some(last_event) = last_event {
                    // In a namespace that is being deleted no event can be made.
                    tracing::warn!(left = last_event.note, "the cluster goes");
                    context.publisher.publish(cluster, last_event.clone()).await;
                }
                return Cleaned::Gone(written.map(Box::new));
            }
        }
    }
    Cleaned::Waiting
}

/// What a step gave.
#[derive(Default)]
struct Done {
    /// The cluster, if it was written.
    cluster: Option<WorkflowCluster>,
    reverted: Option<Contest>,
}

async fn execute_step(
    context: &Context,
    cluster: &WorkflowCluster,
    access: &AccessView,
    step: &Step,
) -> Result<Done, Failure> {
    let now = context.clock.now();
    let mut done = Done::default();
    match step {
        Step::AddFinalizer => {
            let written = context.writer.add_finalizer(cluster, CLUSTER_CONTROLLER.finalizer).await?;
            done.cluster = Some(written);
        }
        Step::CreateProof => context.proof.create().await?,
        Step::CreateAuthority { metadata, former } => {
            let data = create_authority(cluster, metadata, former.as_deref(), now)?;
            done.reverted = apply_secret(context, cluster, access, metadata, data).await?;
        }
        Step::IssueCertificate { metadata, names, .. } => {
            let lifetime = Duration::from_secs(u64::from(context.settings.certificate_days) * 24 * 3600);
            let data = issue_certificate(access, metadata, names, lifetime, now)?;
            done.reverted = apply_secret(context, cluster, access, metadata, data).await?;
        }
        Step::CreateCredential { metadata, access: which } => {
            let data = create_credential(*which, CURRENT_KEY, metadata)?;
            done.reverted = apply_secret(context, cluster, access, metadata, data).await?;
        }
        Step::AnnounceCredential { metadata, access: which } => {
            let mut data = access.credentials.get(which).map(Sealed::data).unwrap_or_default();
            data.extend(create_credential(*which, NEXT_KEY, metadata)?);
            done.reverted = apply_secret(context, cluster, access, metadata, data).await?;
        }
        Step::Apply(desired) if context.writer.is_futile(desired) => {}
        Step::Apply(desired) => done.reverted = apply(context, desired).await?,
        Step::CreateJob(desired) => create_job(context, cluster, desired).await?,
        Step::WithdrawJob(deletion) => context.writer.delete_behind_dependants(deletion).await?,
        Step::Delete(deletion) => context.writer.delete(deletion).await?,
    }
    Ok(done)
}

async fn apply_secret(
    context: &Context,
    cluster: &WorkflowCluster,
    access: &AccessView,
    metadata: &ObjectMeta,
    data: Data,
) -> Result<Option<Contest>, WriteError> {
    let secret = access.prove(&cluster.name_any(), build_secret(metadata.clone(), data));
    Ok(context.writer.apply(&Desired::of(&secret)).await?.reverted)
}

/// Server-side apply keeps what others put into a list, even where it makes the object impossible, for instance a port
/// of the same name under another number. Then the lists that we mean are replaced as a whole.
async fn apply(context: &Context, desired: &Desired) -> Result<Option<Contest>, Failure> {
    let refused = match context.writer.apply(desired).await {
        Ok(written) => return Ok(written.reverted),
        Err(refused) => refused,
    };
    if !matches!(&refused.source, kube::Error::Api(status) if status.code == 422) {
        return Err(refused.into());
    }
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &desired.namespace, &desired.resource);
    let manager = Some(CLUSTER_CONTROLLER.field_manager.to_owned());
    let params = PatchParams { field_manager: manager, ..PatchParams::default() };
    match api.patch(&desired.name, &params, &Patch::Merge(&desired.body)).await {
        Ok(_) => Ok(None),
        Err(_) => Err(refused.into()),
    }
}

/// Created, never applied: a Job's template cannot change. One of ours that the cache does not show yet is fine.
async fn create_job(context: &Context, cluster: &WorkflowCluster, desired: &Desired) -> Result<(), Failure> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &desired.namespace, &desired.resource);
    let failed = |operation, source| WriteError { operation, object: desired.display(), source };
    let params = PostParams {
        field_manager: Some(CLUSTER_CONTROLLER.field_manager.to_owned()),
        ..PostParams::default()
    };
    let job = serde_json::from_value(desired.body.clone())
        .map_err(|source| failed("build", kube::Error::SerdeError(source)))?;
    match api.create(&params, &job).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let live = api.get(&desired.name).await.map_err(|source| failed("read", source))?;
            let is_ours = is_controlled_by(live.meta(), &cluster.uid().unwrap_or_default());
            if is_ours { Ok(()) } else { Err(Failure::NameTaken { object: desired.display() }) }
        }
        Err(source) => Err(failed("create", source).into()),
    }
}

type Data = BTreeMap<String, ByteString>;

fn create_authority(
    cluster: &WorkflowCluster,
    metadata: &ObjectMeta,
    former: Option<&str>,
    now: Timestamp,
) -> Result<Data, Failure> {
    let Issued { certificate, key } = certificate::create_authority(&cluster.name_any(), now)
        .map_err(|source| certificate_failure(metadata, source))?;
    let previous = former.map(|former| (CA_PREVIOUS_CERT_KEY, former.to_owned()));
    Ok(data([(CA_CERT_KEY, certificate), (CA_PRIVATE_KEY_KEY, key)].into_iter().chain(previous)))
}

fn issue_certificate(
    access: &AccessView,
    metadata: &ObjectMeta,
    names: &[String],
    lifetime: Duration,
    now: Timestamp,
) -> Result<Data, Failure> {
    let text = |key| {
        access.authority.as_ref().and_then(|authority| authority.text(key)).unwrap_or_default().to_owned()
    };
    let authority = Issued { certificate: text(CA_CERT_KEY), key: text(CA_PRIVATE_KEY_KEY) };
    let Issued { certificate, key } = certificate::issue(&authority, names, lifetime, now)
        .map_err(|source| certificate_failure(metadata, source))?;
    Ok(data([(TLS_CERT_KEY, certificate), (TLS_PRIVATE_KEY_KEY, key), (CA_CERT_KEY, authority.certificate)]))
}

fn create_credential(access: Access, key: &'static str, metadata: &ObjectMeta) -> Result<Data, Failure> {
    let secret = match access {
        Access::ControllerToken | Access::MonitorToken => {
            Credential::generate().map(|token| token.expose().to_owned())
        }
        Access::WorkerKey | Access::ClientKey => TenantKey::generate().map(|key| key.expose()),
    };
    let failed = |source| Failure::Credential { object: metadata.name.clone().unwrap_or_default(), source };
    Ok(data([(key, secret.map_err(failed)?)]))
}

fn data(entries: impl IntoIterator<Item = (&'static str, String)>) -> Data {
    entries.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()
}

fn certificate_failure(metadata: &ObjectMeta, source: rcgen::Error) -> Failure {
    Failure::Certificate { object: metadata.name.clone().unwrap_or_default(), source }
}
