//! Process definitions: validating, deploying, reading, deleting.

use bpmn::{Mode, Report};
use engine_api::model::{
    Claim, DefinitionFilter, DefinitionRef, DeleteProcess, DeployOutcome, DeployProcess, DeployResult,
    Finding, LintMode, ManagedDefinition, OnInstances, Owner, Page, PageRequest, ProcessDefinition,
    ProcessDeletion, ProcessDocument, QuotaKind, Severity, ValidateProcess, Validation, claim,
};

use tokio::time::Instant;

use super::{
    Engine, Fence, any_epoch, fences, keys_after, may_delete, next_token, refuse_claim, require_owner,
    require_short, require_text, settle_races,
};
use crate::database::TenantTx;
use crate::deletion;
use crate::error::Error;
use crate::storage::definitions::{self, Definition, NewDefinition};
use crate::storage::request_log::{self, Remembered};
use crate::storage::{job_types, retired, tenants, usage};
use crate::tenant_scope::TenantScope;
use crate::wire;

/// Who deploys.
#[derive(Debug)]
struct Caller<'a> {
    owner: Option<Owner>,
    /// The latest version that the caller expects, 0 = none; `None` = any.
    follows: Option<i32>,
    fence: Option<&'a Fence>,
}

/// Which process to delete, and for whom.
#[derive(Debug)]
struct Deletion<'a> {
    process_id: &'a str,
    owner: Option<&'a Owner>,
    /// What to do with running instances; `None` = delete nothing, only remove the owner.
    retire: Option<OnInstances>,
    fence: Option<&'a Fence>,
}

impl Engine {
    /// Lints a document, without the database.
    pub async fn validate(&self, request: ValidateProcess) -> Result<Validation, Error> {
        any_epoch(&request.tenant_id)?;
        let report = lint(lint_mode(request.mode), request.content).await?.1;
        Ok(Validation {
            deployable: report.deployable_process().is_some(),
            findings: report.findings.iter().map(build_finding).collect(),
            truncated: report.truncated,
            process_ids: report.process_ids,
            job_types: report.job_types,
        })
    }

    pub async fn deploy(
        &self,
        request: DeployProcess,
        remembered: Option<Remembered>,
        fence: Option<&Fence>,
    ) -> Result<DeployResult, Error> {
        self.deploy_for(&any_epoch(&request.tenant_id)?, request, remembered, fence).await
    }

    /// For this tenant, whatever the request says.
    pub(super) async fn deploy_for(
        &self,
        tenant: &TenantScope,
        request: DeployProcess,
        remembered: Option<Remembered>,
        fence: Option<&Fence>,
    ) -> Result<DeployResult, Error> {
        let version_tag = request.version_tag.as_deref().unwrap_or_default();
        require_short("resource_name", &request.resource_name, 255)?;
        require_short("version_tag", version_tag, 255)?;
        require_owner(request.owner.as_ref())?;
        if request.content_sha256 != bpmn::digest(&request.content) {
            return Err(Error::Invalid(
                "content_sha256 is not the lower-case hex SHA-256 of content".to_owned(),
            ));
        }
        let follows = request.follows_version.map(wire::stored);
        let caller = Caller { owner: request.owner, follows, fence };
        let (content, report) = lint(lint_mode(request.mode), request.content).await?;
        let Some(process_id) = report.deployable_process() else { return Ok(rejected(&report)) };
        let candidate = NewDefinition {
            key: 0,
            process_id,
            version: 0,
            version_tag: report.version_tag(Some(version_tag)).unwrap_or_default(),
            sha256: &request.content_sha256,
            resource_name: &request.resource_name,
            content: &content,
            job_types: &report.job_types,
        };
        settle_races(&self.keys, || self.deploy_judged(tenant, &caller, &candidate, remembered.as_ref()))
            .await
    }

    async fn deploy_judged(
        &self,
        tenant: &TenantScope,
        caller: &Caller<'_>,
        candidate: &NewDefinition<'_>,
        request: Option<&Remembered>,
    ) -> Result<DeployResult, Error> {
        let mut tx = self.database.tenant_shared(tenant).await?;
        fences::require_current(&mut tx, caller.fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, request).await? {
            return Ok(answer);
        }
        require_storage(&mut tx, candidate.content.len()).await?;
        let process_id = candidate.process_id;
        let process = definitions::lock_or_insert_process(&mut tx, process_id).await?;
        let claim = claim(caller.owner.as_ref(), process.owner.as_ref());
        refuse_claim(claim, || format!("process id {process_id} of tenant {tenant}"))?;
        if process.owner != caller.owner {
            definitions::set_owner(&mut tx, process_id, caller.owner.as_ref()).await?;
        }
        let latest = definitions::find_latest(&mut tx, process_id).await?;
        let known = latest.as_ref().map_or(0, |latest| latest.version);
        let adopted = latest.is_some() && caller.owner.is_some() && claim != Claim::Held;
        let unchanged = latest.filter(|latest| {
            latest.sha256 == candidate.sha256 && latest.version_tag == candidate.version_tag
        });
        let (outcome, definition) = match unchanged {
            Some(latest) => (DeployOutcome::Unchanged, build_definition(latest)),
            None if caller.follows.is_some_and(|follows| follows != known) => {
                return Err(Error::Stale(format!(
                    "the latest version of process id {process_id} of tenant {tenant} is {known}, not {}",
                    caller.follows.unwrap_or_default()
                )));
            }
            None => (
                DeployOutcome::Created,
                self.insert_next_version(&mut tx, candidate, process.last_version).await?,
            ),
        };
        let response = DeployResult::Deployed { outcome, definition, adopted };
        request_log::record_answer(&mut tx, request, &response).await?;
        tx.commit().await?;
        Ok(response)
    }

    async fn insert_next_version(
        &self,
        tx: &mut TenantTx,
        candidate: &NewDefinition<'_>,
        last_version: i32,
    ) -> Result<ProcessDefinition, Error> {
        require_job_types(tx, candidate).await?;
        let key = self.keys.take(tx, 1).await?.remove(0);
        let version = last_version + 1;
        let new = NewDefinition { key, version, ..*candidate };
        let deployed_at = definitions::insert_definition(tx, &new).await?;
        Ok(ProcessDefinition {
            key,
            tenant_id: tx.tenant().to_string(),
            process_id: new.process_id.to_owned(),
            version: wire::number(version),
            version_tag: non_empty(new.version_tag.to_owned()),
            content_sha256: new.sha256.to_owned(),
            deployed_at,
            job_types: new.job_types.to_vec(),
        })
    }

    pub async fn get_definition(
        &self,
        tenant: &TenantScope,
        wanted: &DefinitionRef,
    ) -> Result<ManagedDefinition, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let (found, name) = match wanted {
            DefinitionRef::Key(key) => (definitions::find_by_key(&mut tx, *key).await?, key.to_string()),
            DefinitionRef::LatestOf(id) => (definitions::find_latest(&mut tx, id).await?, id.clone()),
        };
        let mut definition = found.ok_or_else(|| no_such_definition(tenant, &name))?;
        let owner = definition.owner.take();
        Ok(ManagedDefinition { definition: build_definition(definition), owner })
    }

    pub async fn get_document(&self, tenant: &TenantScope, key: i64) -> Result<ProcessDocument, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let (content, content_sha256) = definitions::find_document(&mut tx, key)
            .await?
            .ok_or_else(|| no_such_definition(tenant, &key.to_string()))?;
        Ok(ProcessDocument { content, content_sha256 })
    }

    pub async fn list_definitions(
        &self,
        tenant: &TenantScope,
        filter: &DefinitionFilter,
        page: &PageRequest,
    ) -> Result<Page<ProcessDefinition>, Error> {
        let (after, limit) = keys_after(page)?;
        let owner_id = filter.owner_id.as_deref().unwrap_or_default();
        let mut tx = self.database.tenant(tenant).await?;
        let found = definitions::list(&mut tx, filter.latest_only, owner_id, after, limit).await?;
        let next = next_token(&found, limit, |last| last.key.to_string());
        Ok(Page { entries: found.into_iter().map(build_definition).collect(), next })
    }

    pub async fn delete_process(
        &self,
        request: DeleteProcess,
        remembered: Option<Remembered>,
        fence: Option<&Fence>,
    ) -> Result<ProcessDeletion, Error> {
        let tenant = any_epoch(&request.tenant_id)?;
        require_text("process_id", &request.process_id, 255)?;
        require_owner(request.owner.as_ref())?;
        let until = Instant::now() + deletion::CALL_BUDGET;
        let order = Deletion {
            process_id: &request.process_id,
            owner: request.owner.as_ref(),
            // Removing the owner changes no instance.
            retire: (!request.retain).then_some(request.on_instances),
            fence,
        };
        let response =
            settle_races(&self.keys, || self.delete_process_once(&tenant, &order, remembered.as_ref()))
                .await?;
        if order.retire == Some(OnInstances::Cancel)
            && let Err(error) = deletion::cancel_retired(&self.database, &tenant, until).await
        {
            tracing::debug!(%tenant, error = %error, "the upkeep cancels the rest of the instances");
        }
        Ok(response)
    }

    async fn delete_process_once(
        &self,
        tenant: &TenantScope,
        deletion: &Deletion<'_>,
        remembered: Option<&Remembered>,
    ) -> Result<ProcessDeletion, Error> {
        let mut tx = self.database.tenant_exclusive(tenant).await?;
        fences::require_current(&mut tx, deletion.fence).await?;
        if let Some(answer) = request_log::find_answer(&mut tx, remembered).await? {
            return Ok(answer);
        }
        let process_id = deletion.process_id;
        let process = definitions::lock_process(&mut tx, process_id).await?;
        let is_there = definitions::find_latest(&mut tx, process_id).await?.is_some();
        let response = match process {
            Some(process) if is_there && !may_delete(deletion.owner, process.owner.as_ref()) => {
                // The owner was removed before: doing it again succeeds.
                let owner_removed = deletion.retire.is_none() && process.owner.is_none();
                if owner_removed {
                    ProcessDeletion::Retired { versions: 0 }
                } else {
                    ProcessDeletion::OwnedByOther
                }
            }
            Some(_) if is_there => {
                let versions = match deletion.retire {
                    Some(on_instances) => retire(&mut tx, process_id, on_instances).await?,
                    None => 0,
                };
                definitions::set_owner(&mut tx, process_id, None).await?;
                ProcessDeletion::Retired { versions }
            }
            // The versions were deleted before; their running instances can still be canceled.
            Some(_) if deletion.retire == Some(OnInstances::Cancel) => {
                retired::mark_canceling(&mut tx, process_id).await?;
                ProcessDeletion::Retired { versions: 0 }
            }
            _ => ProcessDeletion::Retired { versions: 0 },
        };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        Ok(response)
    }
}

async fn retire(tx: &mut TenantTx, process_id: &str, on_instances: OnInstances) -> Result<u32, Error> {
    match on_instances {
        OnInstances::KeepRunning => {}
        // They are canceled in slices after this transaction. Retired versions start no new instances.
        OnInstances::Cancel => retired::mark_canceling(tx, process_id).await?,
        OnInstances::Fail => {
            let active = definitions::count_active_instances(tx, process_id).await?;
            if active > 0 {
                return Err(Error::Precondition {
                    reason: "INSTANCES_ACTIVE",
                    message: format!(
                        "process {process_id} of tenant {} has {active} running instances",
                        tx.tenant()
                    ),
                });
            }
        }
    }
    let retired = definitions::retire_process(tx, process_id).await?;
    Ok(u32::try_from(retired).unwrap_or(u32::MAX))
}

async fn require_storage(tx: &mut TenantTx, more: usize) -> Result<(), Error> {
    let id = tx.tenant().clone();
    let tenant = tenants::find_tenant(tx).await?.ok_or_else(|| Error::unknown_tenant(id.as_str()))?;
    if tenant.being_deleted {
        return Err(Error::tenant_being_deleted(id.as_str()));
    }
    let limit = tenant.quotas.max_storage_bytes;
    if limit == 0 {
        return Ok(());
    }
    let stored = usage::observe_storage(tx).await?;
    let after = stored.saturating_add(i64::try_from(more).unwrap_or(i64::MAX));
    if after > limit {
        return Err(Error::Quota {
            tenant: tenant.id,
            quota: QuotaKind::Storage,
            limit: wire::count(limit),
            current: wire::count(stored),
        });
    }
    Ok(())
}

/// Checks the limit of job types: each is a series of lag, which the engine samples and sends every second, for all
/// tenants.
async fn require_job_types(tx: &mut TenantTx, candidate: &NewDefinition<'_>) -> Result<(), Error> {
    if job_types::count_new(tx, candidate.job_types).await? == 0 {
        return Ok(());
    }
    job_types::lock(tx).await?;
    let mut known = job_types::count(tx).await?;
    let new = job_types::count_new(tx, candidate.job_types).await?;
    if known + new > job_types::MAX_PER_TENANT {
        job_types::forget_superseded(tx, candidate.process_id, candidate.job_types).await?;
        known = job_types::count(tx).await?;
    }
    if known + new > job_types::MAX_PER_TENANT {
        return Err(Error::Quota {
            tenant: tx.tenant().to_string(),
            quota: QuotaKind::JobTypes,
            limit: wire::count(job_types::MAX_PER_TENANT),
            current: wire::count(known),
        });
    }
    Ok(())
}

/// Lints in another thread, since a mebibyte takes milliseconds. That thread needs the content, so it is returned
/// again.
async fn lint(mode: Mode, content: Vec<u8>) -> Result<(Vec<u8>, Report), Error> {
    tokio::task::spawn_blocking(move || {
        let report = bpmn::lint(&content, mode);
        (content, report)
    })
    .await
    .map_err(|_| Error::Defect("the document could not be judged".to_owned()))
}

fn lint_mode(mode: LintMode) -> Mode {
    match mode {
        LintMode::Strict => Mode::Strict,
        LintMode::Lenient => Mode::Lenient,
    }
}

fn rejected(report: &Report) -> DeployResult {
    DeployResult::Rejected {
        findings: report.findings.iter().map(build_finding).collect(),
        truncated: report.truncated,
    }
}

fn build_finding(finding: &bpmn::Finding) -> Finding {
    Finding {
        rule_id: finding.rule_id().to_owned(),
        severity: match finding.severity {
            bpmn::Severity::Error => Severity::Error,
            bpmn::Severity::Warning => Severity::Warning,
        },
        element_id: finding.element_id.clone(),
        line: finding.line,
        column: finding.column,
        message: finding.message.clone(),
    }
}

fn build_definition(definition: Definition) -> ProcessDefinition {
    ProcessDefinition {
        key: definition.key,
        tenant_id: definition.tenant_id,
        process_id: definition.process_id,
        version: wire::number(definition.version),
        version_tag: non_empty(definition.version_tag),
        content_sha256: definition.sha256,
        deployed_at: definition.deployed_at,
        job_types: definition.job_types,
    }
}

fn no_such_definition(tenant: &TenantScope, name: &str) -> Error {
    Error::NotFound(format!("tenant {} has no process definition {name}", tenant.as_str()))
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
