//! The writes that only clusters have. The steps are independent: one that is refused does not keep the others from being
//! done.

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::WorkflowCluster;
use api_types::cluster::ClusterReason;
use api_types::engine_access::{
    Access, CA_CERT_KEY, CA_PREVIOUS_CERT_KEY, CA_PRIVATE_KEY_KEY, CURRENT_KEY, NEXT_KEY, TLS_CERT_KEY,
    TLS_PRIVATE_KEY_KEY,
};
use api_types::labels::CLUSTER_CONTROLLER;
use controller_kit::apply::WriteError;
use controller_kit::outcome::ErrorClass;
use controller_kit::pass::{Flow, Scene, is_deleting, problem_of};
use controller_kit::plan::{Desired, is_controlled_by};
use controller_kit::problem::Problem;
use controller_kit::run::chain;
use engine_client::{Credential, TenantKey};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::{Resource as _, ResourceExt as _};

use crate::certificate::{self, Issued};
use crate::claim::{Claim, ClaimChange};
use crate::context::Context;
use crate::kind::{Applied, Clusters};
use crate::observe::dependants::Release;
use crate::observe::postgres::PostgresProblem;
use crate::observe::secrets::{AccessView, RedactedSecret};
use crate::observe::{Observed, View};
use crate::plan::ClusterStep;
use crate::plan::access::build_secret;
use crate::proof::ProofError;

/// What steps gave, beside what every kind's give.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The engine got a certificate in the place of another one.
    pub renewed_certificate: bool,
    /// The claim that the database had before it became this cluster's.
    pub former_claim: Option<Claim>,
}

/// Executes one step.
pub async fn execute_step(
    context: &Context,
    scene: &Scene<'_, Clusters>,
    step: &ClusterStep,
    applied: &mut Applied,
) -> Result<Flow, Problem<ClusterReason>> {
    match (step, scene.observed) {
        (ClusterStep::CreateProof, _) => context.proof.create().await.map_err(of_proof)?,
        (ClusterStep::ReleaseDatabase(release), _) => release_database(context, release).await,
        (ClusterStep::ClaimDatabase(change), View::World(observed)) => {
            claim_database(context, scene.object, observed, change, applied).await?;
        }
        (ClusterStep::CreateJob(desired), _) => create_job(context, scene.object, desired).await?,
        (ClusterStep::WithdrawJob(job), _) => {
            match context.writer.delete_behind_dependants(job).await {
                Ok(()) => {}
                // It holds up no deletion: the garbage collector follows, and in a namespace that is being deleted the
                // rights may be gone already.
                Err(error) if is_deleting(scene.object) => {
                    tracing::warn!(error = %chain(&error), "a migration Job is left to the garbage collector");
                }
                Err(error) => return Err(problem_of::<Clusters>(&error)),
            }
        }
        (step, View::World(observed)) => {
            let secrets = Secrets { context, cluster: scene.object, access: &observed.access };
            secrets.execute(step, scene.now, applied).await?;
        }
        // Secrets are only written to a world that was read.
        (_, View::Jobs(_) | View::Remains(_)) => {}
    }
    Ok(Flow::GoOn)
}

/// The steps that make the contents of Secrets.
struct Secrets<'a> {
    context: &'a Context,
    cluster: &'a WorkflowCluster,
    access: &'a AccessView,
}

impl Secrets<'_> {
    async fn execute(
        &self,
        step: &ClusterStep,
        now: Timestamp,
        applied: &mut Applied,
    ) -> Result<(), Problem<ClusterReason>> {
        let settings = &self.context.settings;
        let (metadata, data) = match step {
            ClusterStep::CreateAuthority { metadata, former } => {
                (metadata, create_authority(self.cluster, metadata, former.as_deref(), now)?)
            }
            ClusterStep::IssueCertificate { metadata, names, .. } => {
                let lifetime = Duration::from_secs(u64::from(settings.certificate_days) * 24 * 3600);
                (metadata, issue_certificate(self.access, metadata, names, lifetime, now)?)
            }
            ClusterStep::CreateCredential { metadata, access } => {
                (metadata, create_credential(*access, CURRENT_KEY, metadata)?)
            }
            ClusterStep::AnnounceCredential { metadata, access } => {
                let mut data =
                    self.access.credentials.get(access).map(RedactedSecret::data).unwrap_or_default();
                data.extend(create_credential(*access, NEXT_KEY, metadata)?);
                (metadata, data)
            }
            ClusterStep::CreateProof
            | ClusterStep::ClaimDatabase(_)
            | ClusterStep::ReleaseDatabase(_)
            | ClusterStep::CreateJob(_)
            | ClusterStep::WithdrawJob(_) => return Ok(()),
        };
        self.apply(metadata, data, applied).await?;
        applied.results.renewed_certificate |=
            matches!(step, ClusterStep::IssueCertificate { renewal: true, .. });
        Ok(())
    }

    async fn apply(
        &self,
        metadata: &ObjectMeta,
        data: Data,
        applied: &mut Applied,
    ) -> Result<(), Problem<ClusterReason>> {
        let secret = self.access.prove(&self.cluster.name_any(), build_secret(metadata.clone(), data));
        let written = self.context.writer.apply(&Desired::of(&secret)).await;
        applied.reverted.extend(written.map_err(|error| problem_of::<Clusters>(&error))?.reverted);
        Ok(())
    }
}

/// When another write came first, the next pass sees whose the database is.
async fn claim_database(
    context: &Context,
    cluster: &WorkflowCluster,
    observed: &Observed,
    change: &ClaimChange,
    applied: &mut Applied,
) -> Result<(), Problem<ClusterReason>> {
    // Without a login nothing of the database was observed, so nothing is due.
    let Some(login) = &observed.login else { return Ok(()) };
    let written = context.postgres.claim(&cluster.uid().unwrap_or_default(), login, change).await;
    let written = written.map_err(|PostgresProblem { reason, cause }| {
        Problem::new(reason, ErrorClass::Transient, format!("failed to claim the database: {cause}"))
    })?;
    tracing::info!(claim = change.next.for_engine(), written, "the database is claimed");
    applied.results.former_claim = change.taken_from().filter(|_| written).cloned();
    Ok(())
}

/// A database that does not answer keeps the claim: it holds up no deletion, and the next cluster of this name takes it over.
async fn release_database(context: &Context, release: &Release) {
    let Release { login, identity, uid } = release;
    match context.postgres.release(login, identity, uid).await {
        Ok(released) => tracing::info!(%identity, released, "the claim to the database is given up"),
        Err(problem) => tracing::warn!(%identity, cause = problem.cause, "the database keeps the claim"),
    }
}

/// Created, never applied: a Job's template cannot change. One of ours that the cache does not show yet is fine.
async fn create_job(
    context: &Context,
    cluster: &WorkflowCluster,
    desired: &Desired,
) -> Result<(), Problem<ClusterReason>> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &desired.namespace, &desired.resource);
    let failed = |operation, source| {
        problem_of::<Clusters>(&WriteError { operation, object: desired.display(), source })
    };
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
            if is_ours { Ok(()) } else { Err(name_taken(&desired.display())) }
        }
        Err(source) => Err(failed("create", source)),
    }
}

/// `object` is `Kind namespace/name`.
pub(crate) fn name_taken(object: &str) -> Problem<ClusterReason> {
    let message = format!("{object} exists and belongs to something else");
    Problem::new(ClusterReason::NameTaken, ErrorClass::Denied, message)
}

/// The Secret is in the controller's own namespace, where no RoleBinding of a user's is missing.
fn of_proof(error: ProofError) -> Problem<ClusterReason> {
    match error {
        ProofError::Write(error) => Problem::new(error.class().reason(), error.class(), error.message()),
        ProofError::Random(_) => defect(error.to_string(), &error),
    }
}

fn defect(message: String, cause: &dyn std::error::Error) -> Problem<ClusterReason> {
    tracing::error!(error = %chain(cause), message);
    Problem::new(ClusterReason::InternalError, ErrorClass::Defect, message)
}

type Data = BTreeMap<String, ByteString>;

fn create_authority(
    cluster: &WorkflowCluster,
    metadata: &ObjectMeta,
    former: Option<&str>,
    now: Timestamp,
) -> Result<Data, Problem<ClusterReason>> {
    let Issued { certificate, key } = certificate::create_authority(&cluster.name_any(), now)
        .map_err(|source| certificate_failure(metadata, &source))?;
    let previous = former.map(|former| (CA_PREVIOUS_CERT_KEY, former.to_owned()));
    Ok(data([(CA_CERT_KEY, certificate), (CA_PRIVATE_KEY_KEY, key)].into_iter().chain(previous)))
}

fn issue_certificate(
    access: &AccessView,
    metadata: &ObjectMeta,
    names: &[String],
    lifetime: Duration,
    now: Timestamp,
) -> Result<Data, Problem<ClusterReason>> {
    let text = |key| {
        access.authority.as_ref().and_then(|authority| authority.text(key)).unwrap_or_default().to_owned()
    };
    let authority = Issued { certificate: text(CA_CERT_KEY), key: text(CA_PRIVATE_KEY_KEY) };
    let Issued { certificate, key } = certificate::issue(&authority, names, lifetime, now)
        .map_err(|source| certificate_failure(metadata, &source))?;
    Ok(data([(TLS_CERT_KEY, certificate), (TLS_PRIVATE_KEY_KEY, key), (CA_CERT_KEY, authority.certificate)]))
}

fn create_credential(
    access: Access,
    key: &'static str,
    metadata: &ObjectMeta,
) -> Result<Data, Problem<ClusterReason>> {
    let secret = match access {
        Access::ControllerToken | Access::MonitorToken => {
            Credential::generate().map(|token| token.expose().to_owned())
        }
        Access::WorkerKey | Access::ClientKey => TenantKey::generate().map(|key| key.expose()),
    };
    let failed = |source| {
        let object = metadata.name.as_deref().unwrap_or_default();
        defect(format!("failed to make the credentials of {object}"), &source)
    };
    Ok(data([(key, secret.map_err(failed)?)]))
}

fn data(entries: impl IntoIterator<Item = (&'static str, String)>) -> Data {
    entries.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()
}

fn certificate_failure(metadata: &ObjectMeta, source: &rcgen::Error) -> Problem<ClusterReason> {
    let object = metadata.name.as_deref().unwrap_or_default();
    defect(format!("failed to make the certificate of {object}"), source)
}
