use std::sync::Arc;

use engine_api::model::{
    self, Capability, ENGINE_KIND, EngineHealth, EngineInfo, HealthCheck, HealthComponent, HealthState,
};
use engine_api::proto::cluster_service_server::ClusterService;
use engine_api::proto::{
    GetHealthRequest, GetHealthResponse, GetInfoRequest, GetInfoResponse, RunCanaryRequest, RunCanaryResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, Method};
use crate::engine::Engine;
use crate::node::{Component, Node, NodeInfo};
use crate::{release, schema};

#[tonic::async_trait]
impl ClusterService for Api {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let work = async { Ok(build_info(&self.node, self.node.info()).into()) };
        self.call_node(Method::GetInfo, request.extensions(), "", work).await
    }

    async fn get_health(
        &self,
        request: Request<GetHealthRequest>,
    ) -> Result<Response<GetHealthResponse>, Status> {
        let work = async { Ok(build_health(&self.node).into()) };
        self.call_node(Method::GetHealth, request.extensions(), "", work).await
    }

    async fn run_canary(
        &self,
        request: Request<RunCanaryRequest>,
    ) -> Result<Response<RunCanaryResponse>, Status> {
        let run = |engine: Arc<Engine>| async move { engine.run_canary().await.map(Into::into) };
        self.call(Method::RunCanary, request.extensions(), run).await
    }
}

fn build_info(node: &Node, info: NodeInfo) -> EngineInfo {
    EngineInfo {
        engine_kind: ENGINE_KIND.to_owned(),
        version: release::version().to_owned(),
        schema_version: info.schema_version,
        min_schema_version: schema::OLDEST_SERVED,
        max_schema_version: schema::newest_known(),
        node_id: node.id.clone(),
        nodes: info
            .nodes
            .into_iter()
            .map(|node| model::Node { id: node.id, version: node.version, last_seen_at: node.last_seen_at })
            .collect(),
        capabilities: Capability::ALL.iter().map(ToString::to_string).collect(),
        started_at: node.started_at,
    }
}

fn build_health(node: &Node) -> EngineHealth {
    let state = |is_well| if is_well { HealthState::Serving } else { HealthState::NotServing };
    let health = node.health();
    let checks = health.iter().map(|(component, check)| HealthCheck {
        component: match component {
            Component::Database => HealthComponent::Database,
            Component::Schema => HealthComponent::Schema,
            Component::Leases => HealthComponent::Leases,
        },
        state: state(check.reason.is_none()),
        reason: check.reason.clone(),
        since: Some(check.since),
    });
    EngineHealth {
        overall: state(health.values().all(|check| check.reason.is_none())),
        checks: checks.collect(),
    }
}
