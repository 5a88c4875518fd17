//! Process definitions of the fake.

use std::collections::BTreeMap;

use super::{FakeEngine, World};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{
        Claim, DefinitionFilter, DefinitionRef, DeleteProcess, DeployOutcome, DeployProcess, DeployResult,
        Finding, ManagedDefinition, Owner, ProcessDefinition, ProcessDeletion, ProcessDocument, Severity,
        claim,
    },
};

#[derive(Default)]
pub(super) struct Process {
    pub(super) owner: Option<Owner>,
    pub(super) versions: Vec<ProcessDefinition>,
    /// Numbers go on after a deletion.
    last_version: u32,
}

impl FakeEngine {
    /// Documents that contain `marker` are refused with these findings.
    pub fn reject_documents_with(&self, marker: &str, findings: Vec<Finding>) {
        self.change(|world| world.rejections.push((marker.to_owned(), findings)));
    }

    /// All versions of all processes of a tenant, oldest first.
    pub fn definitions(&self, tenant_id: &str) -> Vec<ProcessDefinition> {
        self.world().definitions(tenant_id).cloned().collect()
    }

    /// Who manages this process id.
    pub fn process_owner(&self, tenant_id: &str, process_id: &str) -> Option<Owner> {
        let id = (tenant_id.to_owned(), process_id.to_owned());
        self.world().processes.get(&id).and_then(|process| process.owner.clone())
    }

    /// Removes all versions behind everybody's back, as a restored backup would.
    pub fn lose_definitions(&self, tenant_id: &str, process_id: &str) {
        self.change(|world| world.processes.remove(&(tenant_id.to_owned(), process_id.to_owned())));
    }
}

/// What the fake sees in a document.
struct Document {
    process_id: String,
    version_tag: Option<String>,
    job_types: Vec<String>,
    /// The first task of each job type.
    tasks: BTreeMap<String, String>,
}

impl Document {
    fn read(content: &[u8]) -> Result<Self, Finding> {
        let unreadable = |message: String| Finding {
            rule_id: "fake-unreadable".to_owned(),
            severity: Severity::Error,
            element_id: None,
            line: 0,
            column: 0,
            message,
        };
        let text = std::str::from_utf8(content).map_err(|error| unreadable(error.to_string()))?;
        let document = roxmltree::Document::parse(text).map_err(|error| unreadable(error.to_string()))?;
        let named = |name| document.descendants().filter(move |node| node.tag_name().name() == name);
        let process_id = named("process").find_map(|node| node.attribute("id"));
        let process_id =
            process_id.ok_or_else(|| unreadable("document has no process with an id".to_owned()))?;
        let mut tasks = BTreeMap::new();
        for node in named("taskDefinition") {
            let Some(job_type) = node.attribute("type") else { continue };
            let task = node.ancestors().find_map(|ancestor| ancestor.attribute("id")).unwrap_or(job_type);
            tasks.entry(job_type.to_owned()).or_insert_with(|| task.to_owned());
        }
        let job_types = tasks.keys().cloned().collect();
        let version_tag = named("versionTag").find_map(|node| node.attribute("value"));
        let version_tag = version_tag.filter(|tag| !tag.is_empty()).map(ToOwned::to_owned);
        Ok(Self { process_id: process_id.to_owned(), version_tag, job_types, tasks })
    }
}

impl World {
    pub(super) fn definitions<'a>(
        &'a self,
        tenant_id: &'a str,
    ) -> impl Iterator<Item = &'a ProcessDefinition> {
        let of_tenant = self.processes.iter().filter(move |((tenant, _), _)| tenant == tenant_id);
        of_tenant.flat_map(|(_, process)| &process.versions)
    }

    pub(super) fn listed(&self, tenant_id: &str, filter: &DefinitionFilter) -> Vec<ProcessDefinition> {
        let wanted = |process: &&Process| {
            filter.owner_id.is_none()
                || process.owner.as_ref().map(|owner| &owner.id) == filter.owner_id.as_ref()
        };
        let of_tenant = self.processes.iter().filter(|((tenant, _), _)| tenant == tenant_id);
        let skipped =
            |process: &Process| if filter.latest_only { process.versions.len().saturating_sub(1) } else { 0 };
        of_tenant
            .map(|(_, process)| process)
            .filter(wanted)
            .flat_map(|process| process.versions.iter().skip(skipped(process)).cloned())
            .collect()
    }

    fn judge(&self, content: &[u8]) -> Result<Document, Vec<Finding>> {
        let text = String::from_utf8_lossy(content);
        match self.rejections.iter().find(|(marker, _)| text.contains(marker)) {
            Some((_, findings)) => Err(findings.clone()),
            None => Document::read(content).map_err(|finding| vec![finding]),
        }
    }

    pub(super) fn deploy(&mut self, request: &DeployProcess) -> Result<DeployResult, EngineError> {
        let refuse = |class, message: String| Err(EngineError::new(Operation::DeployProcess, class, message));
        self.tenant_at_work(Operation::DeployProcess, &request.tenant_id)?;
        let digest = ring::digest::digest(&ring::digest::SHA256, &request.content);
        let digest = digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        if digest != request.content_sha256 {
            return refuse(ErrorClass::Invalid, format!("content has digest {digest}, not content_sha256"));
        }
        let Document { process_id, version_tag, job_types, .. } = match self.judge(&request.content) {
            Ok(document) => document,
            Err(findings) => return Ok(DeployResult::Rejected { findings, truncated: false }),
        };
        // The request's tag counts, else the document's own.
        let version_tag = request.version_tag.clone().or(version_tag);
        let key = self.key();
        let deployed_at = self.now;
        let process = self.processes.entry((request.tenant_id.clone(), process_id.clone())).or_default();
        let claim = claim(request.owner.as_ref(), process.owner.as_ref());
        match claim {
            Claim::Foreign => {
                return refuse(
                    ErrorClass::AlreadyOwned,
                    format!("process {process_id} is managed by another owner"),
                );
            }
            Claim::Superseded => {
                return refuse(ErrorClass::Stale, format!("process {process_id} has a later owner"));
            }
            Claim::Free | Claim::Held | Claim::Inherited => {}
        }
        let latest = process.versions.last();
        let is_same =
            latest.is_some_and(|latest| latest.content_sha256 == digest && latest.version_tag == version_tag);
        let known = latest.map_or(0, |latest| latest.version);
        if !is_same && request.follows_version.is_some_and(|expected| expected != known) {
            return refuse(ErrorClass::Stale, format!("the latest version is {known}"));
        }
        let adopted = latest.is_some() && request.owner.is_some() && claim != Claim::Held;
        process.owner.clone_from(&request.owner);
        if let Some(same) =
            latest.filter(|latest| latest.content_sha256 == digest && latest.version_tag == version_tag)
        {
            return Ok(DeployResult::Deployed {
                outcome: DeployOutcome::Unchanged,
                definition: same.clone(),
                adopted,
            });
        }
        let definition = ProcessDefinition {
            key,
            tenant_id: request.tenant_id.clone(),
            process_id,
            version: process.last_version + 1,
            version_tag,
            content_sha256: digest,
            deployed_at,
            job_types,
        };
        self.documents.insert(key, request.content.clone());
        process.last_version = definition.version;
        process.versions.push(definition.clone());
        Ok(DeployResult::Deployed { outcome: DeployOutcome::Created, definition, adopted })
    }

    pub(super) fn definition(&self, tenant_id: &str, wanted: &DefinitionRef) -> Option<ManagedDefinition> {
        self.processes.iter().filter(|((tenant, _), _)| tenant == tenant_id).find_map(|((_, id), process)| {
            let definition = match wanted {
                DefinitionRef::Key(key) => process.versions.iter().find(|definition| definition.key == *key),
                DefinitionRef::LatestOf(process_id) => process.versions.last().filter(|_| id == process_id),
            };
            Some(ManagedDefinition { definition: definition?.clone(), owner: process.owner.clone() })
        })
    }

    /// None for a version that was deleted.
    pub(super) fn document(&self, tenant_id: &str, key: i64) -> Option<ProcessDocument> {
        let definition = self.definition(tenant_id, &DefinitionRef::Key(key))?.definition;
        let content = self.documents.get(&key)?.clone();
        Some(ProcessDocument { content, content_sha256: definition.content_sha256 })
    }

    /// The first task of each job type of a version.
    pub(super) fn tasks(&self, key: i64) -> BTreeMap<String, String> {
        let content = self.documents.get(&key);
        content.and_then(|content| Document::read(content).ok()).map(|read| read.tasks).unwrap_or_default()
    }

    pub(super) fn delete_process(&mut self, request: &DeleteProcess) -> ProcessDeletion {
        let id = (request.tenant_id.clone(), request.process_id.clone());
        let process = self.processes.get_mut(&id).filter(|process| !process.versions.is_empty());
        let Some(process) = process else { return ProcessDeletion::Retired { versions: 0 } };
        match claim(request.owner.as_ref(), process.owner.as_ref()) {
            Claim::Held | Claim::Inherited => {}
            Claim::Free if request.retain => {}
            Claim::Free | Claim::Superseded | Claim::Foreign => return ProcessDeletion::OwnedByOther,
        }
        process.owner = None;
        let retired = if request.retain { 0 } else { std::mem::take(&mut process.versions).len() };
        ProcessDeletion::Retired { versions: u32::try_from(retired).unwrap_or(u32::MAX) }
    }
}
