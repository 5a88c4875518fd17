//! Objects and observations for the tables of this crate's tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use api_types::{WorkflowCluster, WorkflowProcess, WorkflowTenant};
use bpmn::Mode;
use engine_access::engine::owner_of;
use engine_access::reference::Resolved;
use engine_client::model::{ManagedDefinition, Owner, ProcessDefinition};
use engine_fake::FakeEngine;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::document::{Document, SourceView};
use crate::observe::{EngineView, Observed};
use crate::tenancy::Tenancy;

mod world;

pub(crate) use world::{HOME, World};

pub(crate) const UID: &str = "0b6f9d5e-0000-4000-8000-000000000001";

/// A process that charges and refunds.
pub(crate) const ORDER_FLOW: &str = include_str!("../testdata/order-flow.bpmn");
/// The same without the type of its first task.
pub(crate) const NO_TASK_DEFINITION: &str = include_str!("../testdata/no-task-definition.bpmn");

pub(crate) fn process(bpmn: &str) -> WorkflowProcess {
    process_from(&json!({"bpmn": bpmn}))
}

pub(crate) fn process_from(source: &Value) -> WorkflowProcess {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowProcess",
        "metadata": {
            "name": "order-flow",
            "namespace": "acme-tenant",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "1",
            "finalizers": ["workflow.example.com/process-cleanup"],
        },
        "spec": {
            "clusterRef": {"name": "prod-east"},
            "tenantRef": {"name": "acme"},
            "source": source,
            "versionTag": "v1.2.3",
        },
    }))
    .unwrap()
}

/// As a user applies it: without anything that a controller adds.
pub(crate) fn applied(name: &str, source: &Value) -> WorkflowProcess {
    let mut process = process_from(source);
    process.metadata.name = Some(name.to_owned());
    process.metadata.uid = Some(format!("uid-of-{name}"));
    process.metadata.finalizers = None;
    process
}

pub(crate) fn cluster() -> WorkflowCluster {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowCluster",
        "metadata": {"name": "prod-east", "namespace": "workflow-system", "uid": "uid-cluster"},
        "spec": {"version": "1.2.3", "replicas": 1, "postgres": {"externalRef": {"host": "db", "databaseSecret": "db"}}},
        "status": {
            "ready": true,
            "acceptsDeployments": true,
            "endpoint": {"host": "prod-east-engine.workflow-system.svc", "port": 26500, "url": "https://prod-east-engine.workflow-system.svc:26500"},
        },
    }))
    .unwrap()
}

pub(crate) fn tenant() -> WorkflowTenant {
    serde_json::from_value(json!({
        "apiVersion": "workflow.example.com/v1alpha1",
        "kind": "WorkflowTenant",
        "metadata": {"name": "acme", "namespace": "workflow-system", "uid": "uid-tenant"},
        "spec": {"clusterRef": {"name": "prod-east"}},
        "status": {"ready": true},
    }))
    .unwrap()
}

pub(crate) fn document(bpmn: &str) -> Document {
    let bytes = bpmn.as_bytes();
    Document {
        bytes: bytes.into(),
        sha256: bpmn::digest(bytes),
        report: bpmn::lint(bytes, Mode::Strict),
        revision: None,
    }
}

/// The world of [`process`] with a ready cluster, a ready tenant, an engine that answers, and workers for all job types.
pub(crate) fn observed(bpmn: &str, latest: Option<ManagedDefinition>) -> Observed {
    Observed {
        references: Ok(Resolved { cluster: Arc::new(cluster()), tenant: Some(Arc::new(tenant())) }),
        tenancy: Tenancy::of(&process(bpmn), None),
        source: SourceView::Document(document(bpmn)),
        source_failure: None,
        engine: EngineView::Answered {
            cluster: Arc::new(cluster()),
            engine: Arc::new(FakeEngine::default()),
            latest,
            former_ids: Vec::new(),
        },
        served_job_types: BTreeSet::from(["charge-payment".to_owned(), "refund-payment".to_owned()]),
        open_incidents: None,
        change: None,
    }
}

/// [`process`] as the owner of what it has in the engine.
pub(crate) fn owner() -> Owner {
    owner_of(&process(ORDER_FLOW))
}

/// What the engine has after `bpmn` was deployed as version 3.
pub(crate) fn definition(bpmn: &str) -> ProcessDefinition {
    ProcessDefinition {
        key: 2_251_799_813_685_250,
        tenant_id: "acme".into(),
        process_id: "order-flow".into(),
        version: 3,
        version_tag: Some("v1.2.3".into()),
        content_sha256: bpmn::digest(bpmn.as_bytes()),
        deployed_at: Timestamp::from_second(1_778_754_600).unwrap(),
        job_types: vec!["charge-payment".into(), "refund-payment".into()],
    }
}

pub(crate) fn owned(definition: ProcessDefinition) -> ManagedDefinition {
    ManagedDefinition { definition, owner: Some(owner()) }
}
