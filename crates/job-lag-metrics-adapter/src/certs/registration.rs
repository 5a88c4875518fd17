//! The APIService that leads kube-apiserver here. A cluster has one for this API: while it leads to another product's
//! Service it is left alone, however this adapter was installed. It is read here, just before it is written, because a
//! chart that renders manifests cannot read it.

use k8s_openapi::{
    ByteString,
    api::rbac::v1::ClusterRole,
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec},
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::wire;

const FIELD_MANAGER: &str = "job-lag-metrics-adapter";

#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("failed to read APIService {name}")]
    Read { name: String, source: kube::Error },
    #[error("failed to write APIService {name}")]
    Write { name: String, source: kube::Error },
    #[error(
        "APIService {name} does not exist: kube-apiserver sends no metric request here; make it, or name the ClusterRole \
         that shall own it (API_SERVICE_OWNER), and it is made here"
    )]
    Missing { name: String },
    #[error(
        "APIService {name} belongs to Service {service}: another adapter serves external metrics in this cluster and is left \
         alone; remove that APIService, or use that adapter alone"
    )]
    Foreign { name: String, service: String },
    #[error("failed to read ClusterRole {name}, which shall own the APIService")]
    ReadOwner { name: String, source: kube::Error },
    #[error("ClusterRole {name} does not exist, which shall own the APIService (API_SERVICE_OWNER)")]
    NoOwner { name: String },
}

/// The Service in front of this server.
#[derive(Clone, Debug)]
pub struct ServiceName {
    pub name: String,
    pub namespace: String,
    pub port: u16,
}

pub struct Registration {
    api_services: Api<APIService>,
    cluster_roles: Api<ClusterRole>,
    service: ServiceName,
    owner: Option<String>,
    other_server: watch::Sender<Option<String>>,
}

/// What was found of it.
#[derive(Clone, Debug)]
pub struct Observed {
    api_service: Option<APIService>,
    /// Of the one that is there if it was made here, else of one that is to be made; none where somebody else makes it.
    owner: Option<OwnerReference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Yes,
    /// Nothing was to be written.
    Unchanged,
    /// Somebody wrote it since we looked.
    Conflict,
}

impl Registration {
    /// With an `owner`, a ClusterRole, the APIService is made when there is none, and goes when the owner goes. In one that
    /// somebody else made only `caBundle` is written.
    pub fn new(client: Client, service: ServiceName, owner: Option<String>) -> Self {
        Self {
            api_services: Api::all(client.clone()),
            cluster_roles: Api::all(client),
            service,
            owner,
            other_server: watch::Sender::new(None),
        }
    }

    /// Why this server gets no requests as long as another one has the API.
    pub fn other_server(&self) -> watch::Receiver<Option<String>> {
        self.other_server.subscribe()
    }

    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    pub async fn observe(&self) -> Result<Observed, RegistrationError> {
        let name = api_service_name();
        let found = self
            .api_services
            .get_opt(&name)
            .await
            .map_err(|source| RegistrationError::Read { name: name.clone(), source })?;
        let foreign = found.as_ref().and_then(|found| self.foreign_service(found));
        let foreign = foreign.map(|service| RegistrationError::Foreign { name: name.clone(), service });
        self.other_server.send_if_modified(|other_server| {
            let found = foreign.as_ref().map(ToString::to_string);
            std::mem::replace(other_server, found.clone()) != found
        });
        let owner = match (foreign, &found, &self.owner) {
            (Some(foreign), ..) => return Err(foreign),
            (None, None, None) => return Err(RegistrationError::Missing { name }),
            (None, None, Some(owner)) => Some(self.observe_owner(owner).await?),
            (None, Some(found), Some(owner)) => {
                found.owner_references().iter().find(|found| found.name == *owner).cloned()
            }
            (None, Some(_), None) => None,
        };
        Ok(Observed { api_service: found, owner })
    }

    async fn observe_owner(&self, name: &str) -> Result<OwnerReference, RegistrationError> {
        let found = self
            .cluster_roles
            .get_opt(name)
            .await
            .map_err(|source| RegistrationError::ReadOwner { name: name.to_owned(), source })?;
        found
            .and_then(|found| found.owner_ref(&()))
            .ok_or_else(|| RegistrationError::NoOwner { name: name.to_owned() })
    }

    /// `None`: it leads here.
    fn foreign_service(&self, found: &APIService) -> Option<String> {
        let service = found.spec.as_ref().and_then(|spec| spec.service.clone()).unwrap_or_default();
        let is_ours = service.namespace.as_ref() == Some(&self.service.namespace)
            && service.name.as_ref() == Some(&self.service.name);
        (!is_ours).then(|| {
            format!("{}/{}", service.namespace.unwrap_or_default(), service.name.unwrap_or_default())
        })
    }

    /// At most one write. One that is there is only changed as it was when we looked; a new one only if nobody else makes
    /// one meanwhile.
    pub async fn apply(&self, observed: &Observed, bundle: &str) -> Result<Written, RegistrationError> {
        let Some(patch) = build_patch(&self.service, observed, bundle) else { return Ok(Written::Unchanged) };
        let name = api_service_name();
        let params = PatchParams::apply(FIELD_MANAGER);
        let params = if observed.api_service.is_some() { params.force() } else { params };
        match self.api_services.patch(&name, &params, &Patch::Apply(&patch)).await {
            Ok(_) => {
                tracing::info!(api_service = name, "published the authorities of the serving certificate");
                Ok(Written::Yes)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Written::Conflict),
            Err(source) => Err(RegistrationError::Write { name, source }),
        }
    }
}

impl Observed {
    pub fn ca_bundle(&self) -> Option<&[u8]> {
        let spec = self.spec()?;
        spec.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice())
    }

    fn spec(&self) -> Option<&APIServiceSpec> {
        self.api_service.as_ref()?.spec.as_ref()
    }
}

/// `None`: it is as it should be. One that was made here is sent whole each time: what is left out would be removed.
fn build_patch(service: &ServiceName, observed: &Observed, bundle: &str) -> Option<Value> {
    let found_port = observed.spec().and_then(|spec| spec.service.as_ref()).and_then(|found| found.port);
    let has_port = observed.owner.is_none() || found_port == Some(i32::from(service.port));
    if observed.ca_bundle() == Some(bundle.as_bytes()) && has_port {
        return None;
    }
    let mut metadata = json!({"name": api_service_name()});
    let mut spec = json!({"caBundle": ByteString(bundle.as_bytes().to_vec())});
    if let Some(found) = &observed.api_service {
        metadata["resourceVersion"] = found.resource_version().into();
    }
    if let Some(owner) = &observed.owner {
        metadata["labels"] = json!({"app.kubernetes.io/managed-by": FIELD_MANAGER});
        metadata["ownerReferences"] = json!([owner]);
        spec["group"] = wire::GROUP.into();
        spec["version"] = wire::VERSION.into();
        spec["groupPriorityMinimum"] = 100.into();
        spec["versionPriority"] = 100.into();
        spec["service"] = json!({"name": service.name, "namespace": service.namespace, "port": service.port});
    }
    Some(json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec,
    }))
}

pub fn api_service_name() -> String {
    format!("{}.{}", wire::VERSION, wire::GROUP)
}
