use engine_api::model::{Capability, ENGINE_KIND};
use engine_api::proto::cluster_service_server::ClusterService;
use engine_api::proto::{
    self, GetHealthRequest, GetHealthResponse, GetInfoRequest, GetInfoResponse, HealthCheck, HealthComponent,
    HealthState,
};
use tonic::{Request, Response, Status};

use super::{Api, Method};
use crate::node::{Component, Node, NodeInfo};
use crate::schema::{self, migrate::OWN_VERSION};
use crate::wire;

#[tonic::async_trait]
impl ClusterService for Api {
    async fn get_info(&self, request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let work = async { Ok(wire_info(&self.node, self.node.info())) };
        self.call_node(Method::GetInfo, request.extensions(), "", work).await
    }

    async fn get_health(
        &self,
        request: Request<GetHealthRequest>,
    ) -> Result<Response<GetHealthResponse>, Status> {
        let work = async { Ok(wire_health(&self.node)) };
        self.call_node(Method::GetHealth, request.extensions(), "", work).await
    }
}

fn wire_info(node: &Node, info: NodeInfo) -> GetInfoResponse {
    GetInfoResponse {
        engine_kind: ENGINE_KIND.to_owned(),
        version: OWN_VERSION.to_owned(),
        schema_version: info.schema_version,
        min_schema_version: schema::OLDEST_SERVED,
        max_schema_version: schema::newest_known(),
        node_id: node.id.clone(),
        nodes: info
            .nodes
            .into_iter()
            .map(|node| proto::Node {
                id: node.id,
                version: node.version,
                last_seen_at: Some(wire::timestamp(node.last_seen_at)),
            })
            .collect(),
        capabilities: Capability::ALL.iter().map(ToString::to_string).collect(),
        started_at: Some(wire::timestamp(node.started_at)),
    }
}

fn wire_health(node: &Node) -> GetHealthResponse {
    let health = node.health();
    let state = |reason: &Option<String>| match reason {
        None => HealthState::Serving,
        Some(_) => HealthState::NotServing,
    };
    let checks: Vec<HealthCheck> = health
        .iter()
        .map(|(component, check)| HealthCheck {
            component: match component {
                Component::Database => HealthComponent::Database,
                Component::Schema => HealthComponent::Schema,
                Component::Leases => HealthComponent::Leases,
            }
            .into(),
            state: state(&check.reason).into(),
            reason: check.reason.clone().unwrap_or_default(),
            since: Some(wire::timestamp(check.since)),
        })
        .collect();
    let serving = health.values().all(|check| check.reason.is_none());
    let overall = if serving { HealthState::Serving } else { HealthState::NotServing };
    GetHealthResponse { overall: overall.into(), checks }
}
