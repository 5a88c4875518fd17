//! Instances of the fake in the hands of people.

use std::collections::BTreeMap;

use super::{FakeEngine, World, refusal};
use engine_client::{
    EngineError, ErrorClass, Operation,
    model::{
        CancelInstances, CanceledInstances, Incident, IncidentCount, IncidentFilter, Instance,
        InstanceFilter, InstanceState, InstanceSummary, OpenElement, OpenJob, Page, ResolveIncidents,
        ResolvedIncidents, Selection, SetVariables, UnresolvedIncident,
    },
};

impl FakeEngine {
    /// All matching instances; one page, however many they are.
    pub async fn list_instances(
        &self,
        tenant_id: &str,
        filter: &InstanceFilter,
        _: Option<&str>,
    ) -> Result<Page<InstanceSummary>, EngineError> {
        self.admit(Operation::ListInstances, tenant_id).await?;
        let world = self.world();
        let entries = world.matching(tenant_id, filter).map(|instance| InstanceSummary {
            key: instance.key,
            process_definition_key: instance.process_definition_key,
            process_id: instance.process_id.clone(),
            version: instance.version,
            state: instance.state,
            started_at: instance.started_at.unwrap_or(world.now),
            ended_at: instance.ended_at,
            open_incidents: u32::try_from(instance.incidents.len()).unwrap_or(u32::MAX),
        });
        Ok(Page { entries: entries.collect(), next: None })
    }

    /// Merges variables into a running instance.
    pub async fn set_variables(&self, request: &SetVariables) -> Result<(), EngineError> {
        let operation = Operation::SetVariables;
        self.admit(operation, &request.tenant_id).await?;
        self.change(|world| {
            world.once(operation, &request.request_id, request, |world| {
                let instance = world.running(operation, &request.tenant_id, request.instance_key)?;
                instance.variables.extend(request.variables.0.clone());
                Ok(())
            })
        })
    }

    /// Ends one running instance.
    pub async fn cancel_instance(
        &self,
        request_id: &str,
        tenant_id: &str,
        key: i64,
    ) -> Result<(), EngineError> {
        let operation = Operation::CancelInstance;
        self.admit(operation, tenant_id).await?;
        self.change(|world| {
            world.once(operation, request_id, &(tenant_id, key), |world| {
                let canceled = world
                    .shown_instance(tenant_id, key)
                    .is_some_and(|instance| instance.state == InstanceState::Canceled);
                if !canceled {
                    world.running(operation, tenant_id, key)?;
                    world.cancel(key);
                }
                Ok(())
            })
        })
    }

    /// Ends running instances.
    pub async fn cancel_instances(
        &self,
        request: &CancelInstances,
    ) -> Result<CanceledInstances, EngineError> {
        let operation = Operation::CancelInstances;
        self.admit(operation, &request.tenant_id).await?;
        self.change(|world| {
            world.once(operation, &request.request_id, request, |world| {
                let active = |filter: &InstanceFilter| InstanceFilter {
                    state: Some(InstanceState::Active),
                    ..filter.clone()
                };
                let running: Vec<i64> = match &request.selection {
                    Selection::Keys(keys) => world
                        .matching(&request.tenant_id, &active(&InstanceFilter::default()))
                        .map(|instance| instance.key)
                        .filter(|key| keys.contains(key))
                        .collect(),
                    Selection::Filter { filter, .. } => world
                        .matching(&request.tenant_id, &active(filter))
                        .map(|instance| instance.key)
                        .collect(),
                };
                let not_running = match &request.selection {
                    Selection::Keys(keys) => {
                        keys.iter().copied().filter(|key| !running.contains(key)).collect()
                    }
                    Selection::Filter { .. } => Vec::new(),
                };
                for key in &running {
                    world.cancel(*key);
                }
                let canceled = u32::try_from(running.len()).unwrap_or(u32::MAX);
                Ok(CanceledInstances { canceled, not_running, next: None })
            })
        })
    }

    /// All matching incidents; one page, however many they are.
    pub async fn list_incidents(
        &self,
        tenant_id: &str,
        filter: &IncidentFilter,
        _: Option<&str>,
    ) -> Result<Page<Incident>, EngineError> {
        self.admit(Operation::ListIncidents, tenant_id).await?;
        Ok(Page { entries: self.world().open_incidents(tenant_id, filter), next: None })
    }

    /// Lets what incidents hold go on: their jobs can be taken again.
    pub async fn resolve_incidents(
        &self,
        request: &ResolveIncidents,
    ) -> Result<ResolvedIncidents, EngineError> {
        let operation = Operation::ResolveIncidents;
        self.admit(operation, &request.tenant_id).await?;
        self.change(|world| {
            world.once(operation, &request.request_id, request, |world| Ok(world.resolve(request)))
        })
    }
}

impl World {
    /// With where it waits.
    pub(super) fn shown_instance(&self, tenant_id: &str, key: i64) -> Option<Instance> {
        let (_, instance) = self.instances.get(&key).filter(|(tenant, _)| tenant == tenant_id)?;
        let incident_of = |job: i64| instance.incidents.iter().find(|incident| incident.job_key == Some(job));
        let jobs = self.jobs.values().map(|entry| &entry.job).filter(|job| job.instance_key == key);
        let open_elements = jobs.map(|job| OpenElement {
            element_id: job.element_id.clone(),
            tokens: 1,
            job: Some(OpenJob { key: job.key, job_type: job.job_type.clone(), retries: job.retries }),
            incident_key: incident_of(job.key).map(|incident| incident.key),
        });
        Some(Instance { open_elements: open_elements.collect(), ..instance.clone() })
    }

    fn matching(&self, tenant_id: &str, filter: &InstanceFilter) -> impl Iterator<Item = &Instance> {
        let of_tenant = self.instances.values().filter(move |(tenant, _)| tenant == tenant_id);
        of_tenant.map(|(_, instance)| instance).filter(move |instance| {
            filter.state.is_none_or(|state| instance.state == state)
                && filter.process_id.as_ref().is_none_or(|process| instance.process_id == *process)
                && filter.version.is_none_or(|version| instance.version == version)
                && filter.has_incident.is_none_or(|has| instance.incidents.is_empty() != has)
        })
    }

    fn running(
        &mut self,
        operation: Operation,
        tenant_id: &str,
        key: i64,
    ) -> Result<&mut Instance, EngineError> {
        let found = self.instances.get_mut(&key).filter(|(tenant, _)| tenant == tenant_id);
        let unknown = || EngineError::new(operation, ErrorClass::NotFound, format!("no instance {key}"));
        let (_, instance) = found.ok_or_else(unknown)?;
        if instance.state != InstanceState::Active {
            return Err(refusal(operation, "INSTANCE_ENDED", format!("instance {key} has ended")));
        }
        Ok(instance)
    }

    pub(super) fn cancel(&mut self, instance_key: i64) {
        self.jobs.retain(|_, entry| entry.job.instance_key != instance_key);
        if let Some((_, instance)) = self.instances.get_mut(&instance_key) {
            instance.state = InstanceState::Canceled;
            instance.ended_at = Some(self.now);
            instance.incidents.clear();
        }
    }

    fn open_incidents(&self, tenant_id: &str, filter: &IncidentFilter) -> Vec<Incident> {
        let instances = InstanceFilter {
            process_id: filter.process_id.clone(),
            version: filter.version,
            ..InstanceFilter::default()
        };
        let chosen = self
            .matching(tenant_id, &instances)
            .filter(|instance| filter.instance_key.is_none_or(|key| instance.key == key));
        let mut open: Vec<Incident> = chosen.flat_map(|instance| instance.incidents.clone()).collect();
        open.sort_by_key(|incident| incident.key);
        open
    }

    pub(super) fn count_incidents(&self, tenant_id: &str) -> Vec<IncidentCount> {
        let mut counts: BTreeMap<(String, u32, i64), u64> = BTreeMap::new();
        for incident in self.open_incidents(tenant_id, &IncidentFilter::default()) {
            let version = (incident.process_id, incident.version, incident.process_definition_key);
            *counts.entry(version).or_default() += 1;
        }
        let counts = counts.into_iter().map(|((process_id, version, process_definition_key), open)| {
            IncidentCount { process_definition_key, process_id, version, open }
        });
        counts.collect()
    }

    fn resolve(&mut self, request: &ResolveIncidents) -> ResolvedIncidents {
        let all = self.open_incidents(&request.tenant_id, &IncidentFilter::default());
        let chosen: Vec<Incident> = match &request.selection {
            Selection::Keys(keys) => {
                all.into_iter().filter(|incident| keys.contains(&incident.key)).collect()
            }
            Selection::Filter { filter, .. } => self.open_incidents(&request.tenant_id, filter),
        };
        let unknown = |key: &i64| !chosen.iter().any(|incident| incident.key == *key);
        let unresolved = match &request.selection {
            Selection::Keys(keys) => keys.iter().copied().filter(unknown).collect(),
            Selection::Filter { .. } => Vec::new(),
        };
        for incident in &chosen {
            if let Some((_, instance)) = self.instances.get_mut(&incident.instance_key) {
                instance.variables.extend(request.variables.0.clone());
                instance.incidents.retain(|open| open.key != incident.key);
            }
            if let Some(entry) = incident.job_key.and_then(|key| self.jobs.get_mut(&key)) {
                entry.job.retries = request.retries;
                entry.job.lease_epoch += 1;
                entry.runnable_at = self.now;
            }
        }
        ResolvedIncidents {
            resolved: u32::try_from(chosen.len()).unwrap_or(u32::MAX),
            unresolved: unresolved
                .into_iter()
                .map(|key| UnresolvedIncident {
                    key,
                    reason: "INCIDENT_UNKNOWN".to_owned(),
                    message: format!("there is no open incident {key}"),
                })
                .collect(),
            next: None,
        }
    }
}
