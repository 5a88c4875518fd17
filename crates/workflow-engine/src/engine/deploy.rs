//! Process definitions: judging, deploying, reading, deleting.

use bpmn::{Mode, Report};
use engine_api::model::{Claim, Owner, QuotaKind, claim};
use engine_api::proto::{
    DeleteProcessRequest, DeleteProcessResponse, DeployOutcome, DeployProcessRequest, DeployProcessResponse,
    Finding, GetProcessDefinitionRequest, GetProcessDefinitionResponse, LintMode,
    ListProcessDefinitionsRequest, ListProcessDefinitionsResponse, OnInstances, ProcessDefinition, Severity,
    ValidateProcessRequest, ValidateProcessResponse, deploy_process_response,
    get_process_definition_request::By,
};

use tokio::time::Instant;

use super::{
    Engine, Fence, any_epoch, fences, may_delete, owner, page_size, page_token, refuse_claim, require_short,
    require_text, settle_races,
};
use crate::database::TenantTx;
use crate::deletion;
use crate::error::Error;
use crate::storage::definitions::{self, Definition, NewDefinition};
use crate::storage::request_log::{self, Request};
use crate::storage::{job_types, retired, tenants, usage};
use crate::tenant_scope::TenantScope;
use crate::wire;

/// Who deploys.
#[derive(Debug)]
struct Caller<'a> {
    owner: Option<Owner>,
    /// The latest version that the caller knows, 0 = none; `None` = any.
    follows: Option<i32>,
    fence: Option<&'a Fence>,
}

/// What is to be taken out of service, and by whom.
#[derive(Debug)]
struct Deletion<'a> {
    process_id: &'a str,
    owner: Option<&'a Owner>,
    /// What becomes of running instances; `None` = only the ownership is given up.
    retire: Option<OnInstances>,
    fence: Option<&'a Fence>,
}

impl Engine {
    /// Judges a document; touches no database.
    pub async fn validate(&self, request: ValidateProcessRequest) -> Result<ValidateProcessResponse, Error> {
        any_epoch(&request.tenant_id)?;
        let report = lint(lint_mode(request.mode())?, request.content).await?.1;
        Ok(ValidateProcessResponse {
            deployable: report.deployable_process().is_some(),
            findings: report.findings.iter().map(finding).collect(),
            truncated: report.truncated,
            process_ids: report.process_ids,
            job_types: report.job_types,
        })
    }

    pub async fn deploy(
        &self,
        request: DeployProcessRequest,
        fence: Option<&Fence>,
    ) -> Result<DeployProcessResponse, Error> {
        let tenant = any_epoch(&request.tenant_id)?;
        require_short("resource_name", &request.resource_name, 255)?;
        require_short("version_tag", &request.version_tag, 255)?;
        let caller = Caller { owner: owner(request.owner.clone())?, follows: request.follows_version, fence };
        let mode = lint_mode(request.mode())?;
        if request.content_sha256 != bpmn::digest(&request.content) {
            return Err(Error::Invalid(
                "content_sha256 is not the lower-case hex SHA-256 of content".to_owned(),
            ));
        }
        let remembered = Request::of("DeployProcess", &request.request_id, &request)?;
        let (content, report) = lint(mode, request.content).await?;
        let Some(process_id) = report.deployable_process() else { return Ok(rejected(&report)) };
        let candidate = NewDefinition {
            key: 0,
            process_id,
            version: 0,
            version_tag: report.version_tag(Some(&request.version_tag)).unwrap_or_default(),
            sha256: &request.content_sha256,
            resource_name: &request.resource_name,
            content: &content,
            job_types: &report.job_types,
        };
        settle_races(&self.keys, || self.deploy_judged(&tenant, &caller, &candidate, remembered.as_ref()))
            .await
    }

    async fn deploy_judged(
        &self,
        tenant: &TenantScope,
        caller: &Caller<'_>,
        candidate: &NewDefinition<'_>,
        request: Option<&Request>,
    ) -> Result<DeployProcessResponse, Error> {
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
            Some(latest) => (DeployOutcome::Unchanged, wire_definition(latest)),
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
        let response = DeployProcessResponse {
            result: Some(deploy_process_response::Result::Deployed(deploy_process_response::Deployed {
                outcome: outcome.into(),
                definition: Some(definition),
                adopted,
            })),
        };
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
            version,
            version_tag: new.version_tag.to_owned(),
            content_sha256: new.sha256.to_owned(),
            deployed_at: Some(wire::timestamp(deployed_at)),
            job_types: new.job_types.to_vec(),
        })
    }

    pub async fn get_definition(
        &self,
        tenant: &TenantScope,
        request: GetProcessDefinitionRequest,
    ) -> Result<GetProcessDefinitionResponse, Error> {
        let mut tx = self.database.tenant(tenant).await?;
        let (found, name) = match &request.by {
            Some(By::Key(key)) => (definitions::find_by_key(&mut tx, *key).await?, key.to_string()),
            Some(By::ProcessId(id)) => (definitions::find_latest(&mut tx, id).await?, id.clone()),
            None => return Err(Error::Invalid("one of key and process_id is required".to_owned())),
        };
        let definition = found
            .ok_or_else(|| Error::NotFound(format!("tenant {tenant} has no process definition {name}")))?;
        let owner = definition.owner.as_ref().map(Into::into);
        Ok(GetProcessDefinitionResponse { definition: Some(wire_definition(definition)), owner })
    }

    pub async fn list_definitions(
        &self,
        tenant: &TenantScope,
        request: ListProcessDefinitionsRequest,
    ) -> Result<ListProcessDefinitionsResponse, Error> {
        let limit = page_size(request.page_size)?;
        let after = page_token(&request.page_token)?;
        let mut tx = self.database.tenant(tenant).await?;
        let page = definitions::list(&mut tx, request.latest_only, &request.owner_id, after, limit).await?;
        let is_full = i64::try_from(page.len()).is_ok_and(|length| length == limit);
        let next_page_token = match page.last() {
            Some(last) if is_full => last.key.to_string(),
            _ => String::new(),
        };
        let definitions = page.into_iter().map(wire_definition).collect();
        Ok(ListProcessDefinitionsResponse { definitions, next_page_token })
    }

    pub async fn delete_process(
        &self,
        request: DeleteProcessRequest,
        fence: Option<&Fence>,
    ) -> Result<DeleteProcessResponse, Error> {
        let tenant = any_epoch(&request.tenant_id)?;
        require_text("process_id", &request.process_id, 255)?;
        let on_instances = request.on_instances();
        if on_instances == OnInstances::Unspecified && !request.retain {
            return Err(Error::Invalid("on_instances is required: FAIL, KEEP_RUNNING or CANCEL".to_owned()));
        }
        let owner = owner(request.owner.clone())?;
        let remembered = Request::of("DeleteProcess", &request.request_id, &request)?;
        let until = Instant::now() + deletion::CALL_BUDGET;
        let order = Deletion {
            process_id: &request.process_id,
            owner: owner.as_ref(),
            // Giving up touches no instance.
            retire: (!request.retain).then_some(on_instances),
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
        remembered: Option<&Request>,
    ) -> Result<DeleteProcessResponse, Error> {
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
                // Given up before: giving it up again is done.
                let given_up = deletion.retire.is_none() && process.owner.is_none();
                DeleteProcessResponse { deleted: 0, owned_by_other: !given_up }
            }
            Some(_) if is_there => {
                let deleted = match deletion.retire {
                    Some(on_instances) => retire(&mut tx, process_id, on_instances).await?,
                    None => 0,
                };
                definitions::set_owner(&mut tx, process_id, None).await?;
                DeleteProcessResponse { deleted, owned_by_other: false }
            }
            // The versions were retired before; those of their instances that run can still be canceled.
            Some(_) if deletion.retire == Some(OnInstances::Cancel) => {
                retired::mark_canceling(&mut tx, process_id).await?;
                DeleteProcessResponse { deleted: 0, owned_by_other: false }
            }
            _ => DeleteProcessResponse { deleted: 0, owned_by_other: false },
        };
        request_log::record_answer(&mut tx, remembered, &response).await?;
        tx.commit().await?;
        Ok(response)
    }
}

async fn retire(tx: &mut TenantTx, process_id: &str, on_instances: OnInstances) -> Result<i32, Error> {
    match on_instances {
        OnInstances::KeepRunning => {}
        // Canceled in slices after this transaction: retired versions take no new ones.
        OnInstances::Cancel => retired::mark_canceling(tx, process_id).await?,
        OnInstances::Fail | OnInstances::Unspecified => {
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
    Ok(i32::try_from(retired).unwrap_or(i32::MAX))
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

/// Every job type is a series that the engine samples and tells each second, for all tenants together.
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

/// Gives the content back, since judging it takes it to another thread: a mebibyte takes milliseconds.
async fn lint(mode: Mode, content: Vec<u8>) -> Result<(Vec<u8>, Report), Error> {
    tokio::task::spawn_blocking(move || {
        let report = bpmn::lint(&content, mode);
        (content, report)
    })
    .await
    .map_err(|_| Error::Defect("the document could not be judged".to_owned()))
}

fn lint_mode(mode: LintMode) -> Result<Mode, Error> {
    match mode {
        LintMode::Strict => Ok(Mode::Strict),
        LintMode::Lenient => Ok(Mode::Lenient),
        LintMode::Unspecified => Err(Error::Invalid("mode is required: STRICT or LENIENT".to_owned())),
    }
}

fn rejected(report: &Report) -> DeployProcessResponse {
    DeployProcessResponse {
        result: Some(deploy_process_response::Result::Rejected(deploy_process_response::Rejected {
            findings: report.findings.iter().map(finding).collect(),
            truncated: report.truncated,
        })),
    }
}

fn finding(finding: &bpmn::Finding) -> Finding {
    let severity = match finding.severity {
        bpmn::Severity::Error => Severity::Error,
        bpmn::Severity::Warning => Severity::Warning,
    };
    Finding {
        rule_id: finding.rule_id().to_owned(),
        severity: severity.into(),
        element_id: finding.element_id.clone().unwrap_or_default(),
        line: finding.line,
        column: finding.column,
        message: finding.message.clone(),
    }
}

fn wire_definition(definition: Definition) -> ProcessDefinition {
    ProcessDefinition {
        key: definition.key,
        tenant_id: definition.tenant_id,
        process_id: definition.process_id,
        version: definition.version,
        version_tag: definition.version_tag,
        content_sha256: definition.sha256,
        deployed_at: Some(wire::timestamp(definition.deployed_at)),
        job_types: definition.job_types,
    }
}
