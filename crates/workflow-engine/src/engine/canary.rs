//! A small process that this node runs as a test of itself: the same use cases as for other callers, in a tenant of its own
//! that no caller can name and no list shows.

use std::sync::Arc;
use std::time::Duration;

use engine_api::model::{
    ActivateJobs, CanaryFailure, CanaryReport, CanaryStep, CompleteJob, DeployProcess, DeployResult,
    InstanceState, JobRef, LintMode, StartInstance, Variables,
};
use tokio::time::Instant;

use super::{Engine, settle_races};
use crate::clock;
use crate::database::Database;
use crate::deletion;
use crate::error::Error;
use crate::storage::purge;
use crate::storage::tenants::{self, Quotas};
use crate::tenant_id::TenantId;
use crate::tenant_scope::TenantScope;

const PROCESS: &str = "canary";
const JOB_TYPE: &str = "canary";
const DOCUMENT: &str = include_str!("canary/canary.bpmn");
/// For all steps together.
const BUDGET: Duration = Duration::from_secs(10);
/// For the deletion of what they left.
const REMOVAL: Duration = Duration::from_secs(5);

impl Engine {
    /// Runs in a task of its own: when the caller disconnects, the tenant is deleted all the same.
    pub async fn run_canary(self: &Arc<Self>) -> Result<CanaryReport, Error> {
        let engine = Arc::clone(self);
        let run = tokio::spawn(async move { engine.run_canary_to_its_end().await });
        run.await.map_err(|error| Error::Defect(format!("the canary ended before its time: {error}")))?
    }

    async fn run_canary_to_its_end(self: &Arc<Self>) -> Result<CanaryReport, Error> {
        let Ok(_alone) = self.canary.try_lock() else {
            return Err(Error::Busy("a canary is running on this node already".to_owned()));
        };
        let tenant = TenantScope::any_epoch(TenantId::canary(clock::now().as_second()));
        let (began, mut step) = (Instant::now(), CanaryStep::Prepare);
        let outcome = tokio::time::timeout(BUDGET, self.work(&tenant, &mut step)).await;
        let took = began.elapsed();
        if let Err(error) = remove(&self.database, &tenant, Instant::now() + REMOVAL).await {
            tracing::warn!(error = %error, "a canary left its tenant behind; the upkeep deletes it");
        }
        let message = match outcome {
            Ok(Ok(())) => return Ok(CanaryReport { failure: None, took }),
            Ok(Err(error)) => {
                tracing::warn!(step = step.as_str(), error = %error, "the canary failed");
                error.to_string()
            }
            Err(_) => format!("not done within {} s", BUDGET.as_secs()),
        };
        Ok(CanaryReport { failure: Some(CanaryFailure { step, message }), took })
    }

    async fn work(self: &Arc<Self>, tenant: &TenantScope, step: &mut CanaryStep) -> Result<(), Error> {
        settle_races(&self.keys, || self.make_tenant(tenant)).await?;

        *step = CanaryStep::Deploy;
        let document = DeployProcess {
            request_id: String::new(),
            tenant_id: tenant.as_str().to_owned(),
            resource_name: "canary.bpmn".to_owned(),
            content: DOCUMENT.as_bytes().to_vec(),
            content_sha256: bpmn::digest(DOCUMENT.as_bytes()),
            version_tag: None,
            mode: LintMode::Strict,
            owner: None,
            follows_version: None,
        };
        if let DeployResult::Rejected { .. } = self.deploy_for(tenant, document, None, None).await? {
            return Err(Error::Defect("the canary's process is refused".to_owned()));
        }

        *step = CanaryStep::Start;
        let start = StartInstance {
            request_id: String::new(),
            tenant_id: tenant.as_str().to_owned(),
            process_id: PROCESS.to_owned(),
            version: None,
            variables: Variables::default(),
        };
        let instance = self.start_instance(tenant, start, None).await?.instance_key;

        *step = CanaryStep::Activate;
        let demand = ActivateJobs {
            tenant_id: tenant.as_str().to_owned(),
            job_types: vec![JOB_TYPE.to_owned()],
            worker: "canary".to_owned(),
            max_jobs: 1,
            lease: BUDGET,
            wait: BUDGET,
        };
        let jobs = self.activate(tenant, demand).await?;
        let job = jobs.first().ok_or_else(|| Error::Defect("there is no job".to_owned()))?;

        *step = CanaryStep::Complete;
        let completion = CompleteJob {
            job: JobRef { tenant_id: tenant.as_str().to_owned(), key: job.key, lease_epoch: job.lease_epoch },
            variables: Variables::default(),
        };
        self.complete(tenant, completion).await?;

        *step = CanaryStep::ReadBack;
        match self.get_instance(tenant, instance).await?.state {
            InstanceState::Completed => Ok(()),
            state => Err(Error::Defect(format!("the instance is {state:?}"))),
        }
    }

    async fn make_tenant(&self, tenant: &TenantScope) -> Result<(), Error> {
        let row = tenants::Tenant {
            id: tenant.as_str().to_owned(),
            display_name: "Canary".to_owned(),
            quotas: Quotas::default(),
            suspended: false,
            owner: None,
            generation: 0,
            being_deleted: false,
        };
        let mut tx = self.database.tenant_exclusive(tenant).await?;
        tenants::upsert_tenant(&mut tx, &row).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Deletes a canary's tenant with everything in it. True when nothing is left.
pub async fn remove(database: &Database, tenant: &TenantScope, until: Instant) -> Result<bool, Error> {
    let mut tx = database.tenant_exclusive(tenant).await?;
    purge::mark_deleting(&mut tx).await?;
    tx.commit().await?;
    deletion::purge_and_delete(database, tenant, until).await
}
